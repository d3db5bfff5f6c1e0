"""Pixels, directions and angles in a free answer: the one pair or triple that is meant.

The text is that of `framing`. Pairs of the first picture, of the question, and those denied or
taken back do not count; two that are left are none.
"""

import math
import re

from vlm3.tasks.free_text.statements import Statements, concluded, denied, refused, standing

_NUMBER = r"(?>[-+]?(?:[0-9]{1,9}(?:\.[0-9]{0,12})?|\.[0-9]{1,12}))"
_COMMA = r" ?, ?"


def _row(n: int) -> str:
    return _COMMA.join(rf"({_NUMBER})" for _ in range(n))


def _named(names: str) -> str:
    return r"[ ,;\n]{1,3}(?:and )?".join(
        rf"(?<![a-z]){name}[_ ]?[12]? ?(?:[=:]|is|~)+ ?~? ?({_NUMBER})" for name in names
    )


def _forms(n: int, names: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?<!\w)[(\[]{{1,3}} ?{_row(n)} ?[)\]]{{1,3}}|{_named(names)}(?![0-9.]*[0-9])"
        rf"|(?:^|(?<=[:=~])|(?<=[:=~] )|(?<=\bis )|(?<=\bat )|(?<=pixel )|(?<=vector ))"
        rf"{_row(n)}(?= ?(?:$|[.;)]|(?:in|on|of)\b))",
        re.MULTILINE,
    )


_PAIR, _TRIPLE = _forms(2, "xy"), _forms(3, "xyz")
_ALL = re.compile(rf"[(\[] ?{_NUMBER}(?:{_COMMA}{_NUMBER}){{3,20}} ?[)\]]")
_FIRST = (
    r"(?:(?:first|1st|original|reference|source) (?:image|picture|view|frame|photo)"
    r"|(?:image|picture|view|frame|photo) (?:1|one|a)\b)"
)
_SECOND = re.compile(
    r"(?:second|2nd|other|target) (?:image|picture|view|frame|photo)|(?:image|picture"
    r"|view|frame|photo) (?:2|two|b)\b"
)
_IN_FIRST_AFTER = re.compile(rf",? ?(?:in|of|from|on) (?:the )?{_FIRST}")
_IN_FIRST_BEFORE = re.compile(rf"{_FIRST}(?:[^,;.]| \.){{0,40}}\Z")
_MEANS = re.compile(
    r"->|\b(?:corresponds? to|maps? to|matche[sd]?(?: to| with)?|becomes?|moves? to|is now)\b"
)
_OTHER_ORDER = re.compile(r"(?:\A|\n|\b)(?:points?|box 2d|yx|row,? ?col\w{0,4}) ?: ?\Z")
_VAGUE = re.compile(r"\b(?:between|from|either|neither)(?: about)? ?\Z")


def read_tuple(
    text: str, n: int, *, asked: tuple[float, ...] | None = None
) -> tuple[float, ...] | str:
    """The n numbers, 2 for a pixel and 3 for a direction, that a plain text gives, or why none.

    Args:
        text: as `framing` leaves it.
        n: 2 or 3.
        asked: the question's own pixel, which an answer may repeat.
    """
    text = _ALL.sub(" ", text)
    found = list((_PAIR if n == 2 else _TRIPLE).finditer(text))[:100]
    if not found:
        return "no pixel" if n == 2 else "no direction"
    statements = Statements.of(text)
    values = []
    for m in found:
        before = statements.before(m.start(), 100)
        if _OTHER_ORDER.search(text[max(0, m.start() - 20) : m.start()]):
            return "a point whose order of x and y is not given"
        if _VAGUE.search(before):
            return "a range"
        if denied(statements, m.start()):
            continue
        value = tuple(float(v) for v in m.groups() if v is not None)
        of_first = _IN_FIRST_AFTER.match(text, m.end()) is not None
        perhaps = _IN_FIRST_BEFORE.search(before) is not None and not _SECOND.search(before[-30:])
        values.append((m.start(), value, of_first, perhaps))
    values = [v for v in values if not v[2]] or values
    values = [v for v in values if v[1] != asked] or values
    values = [v for v in values if not v[3]] or values
    if not values:
        return "says what it is not"
    cut = max(standing(text, [v[0] for v in values]), _last_meaning(text, values))
    values = [v for v in values if v[0] >= cut]
    if len({v[1] for v in values}) > 1:
        place = concluded(text, [v[0] for v in values])
        values = [v for v in values if place is not None and v[0] >= place]
    if len({v[1] for v in values}) != 1:
        return "several answers"
    if refused(text, values[-1][0]):
        return "says that it has no answer"
    return values[-1][1]


def _last_meaning(text: str, values: list[tuple[int, tuple[float, ...], bool, bool]]) -> int:
    """After "corresponds to" stands the match, where one stands before it too."""
    places = [m.end() for m in _MEANS.finditer(text) if values[0][0] < m.start() < values[-1][0]]
    return places[-1] if places else 0


ANGLES = ("yaw", "pitch", "roll")
_RADIANS = re.compile(r"\brad(?:ians?)?\b")
_ANGLE = re.compile(
    r"(?<![a-z])(?P<name>yaw|pitch"
    rf"|roll)\b(?:\((?:[^()\n]){{0,40}}\))?(?P<words>(?:(?!yaw|pitch"
    rf"|roll)[^0-9+\n.-]){{0,40}}?)"
    rf"(?<![0-9.])(?P<value>{_NUMBER})(?P<unit> ?(?:°|deg(?:rees?)?\b"
    r"|rad(?:ians?)?\b)?)(?![0-9.]*[0-9]|[a-z])(?P<after> ?(?:-|–|to|or|/) ?[0-9])?"
)


def read_angles(text: str) -> tuple[float, ...] | str:
    """Yaw, pitch and roll in degrees, or why there are none; radians are converted."""
    found = list(_ANGLE.finditer(text))[:60]
    cut = standing(text, [m.start() for m in found])
    in_radians = _RADIANS.search(text) is not None and "°" not in text and "deg" not in text
    statements = Statements.of(text)
    values: dict[str, set[float]] = {name: set() for name in ANGLES}
    for m in found:
        if (
            m["after"]
            or "π" in text
            or "pi/" in text
            or re.search(r"between|from|less|more|over|under|<|>", m["words"])
        ):
            return "no single angle"
        if m.start() < cut or denied(statements, m.start("value")):
            continue
        value = float(m["value"])
        if "minus" in m["words"] or "negative" in m["words"]:
            value = -value
        if "rad" in m["unit"] or (in_radians and not m["unit"].strip()):
            value = math.degrees(value)
        values[m["name"]].add(value)
    if any(len(v) > 1 for v in values.values()):
        return "several angles"
    if not all(values.values()):
        return "not all of yaw, pitch and roll"
    if refused(text, found[-1].start()):
        return "says that it has no answer"
    return tuple(values[name].pop() for name in ANGLES)
