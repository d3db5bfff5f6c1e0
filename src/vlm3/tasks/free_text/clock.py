"""The hour on the clock face, 12 ahead, that a free answer gives as a direction.

The text is that of `framing`. Ranges and two hours are none; "12 o'clock is straight ahead" beside
another hour is the frame, no answer.
"""

import re

from vlm3.tasks.free_text.statements import Statements, concluded, denied, refused, standing

_HOURS = (
    *("one", "two", "three", "four", "five", "six"),
    *("seven", "eight", "nine", "ten", "eleven", "twelve"),
)
_OCLOCK = re.compile(
    rf"(?<![\w.,:/+])(?<![0-9] - )(?P<hour>[0-9]{{1,2}}"
    rf"|{'|'.join(_HOURS)}) ?-?(?P<oclock>o ?'? ?-?clock)\b"
    r"|(?<![\w.,:/+-])(?P<time>[0-9]{1,2}):(?P<minute>[0-9]{2})(?![\w:])"
)
_ELSEWHERE_BEFORE = re.compile(
    r"\b(?:fac(?:es|ing)|pointing|looking|where|with|set|defin\w{1,4}|taking"
    r"|ahead (?:is|as)|forward (?:is|as)|front (?:is|as))(?: (?:at|to|towards?|the|is"
    r"|as|be))* \Z"
)
_ELSEWHERE_AFTER = re.compile(
    r" (?:direction |position )?(?:is|as|being|represents?|means|corresponds to|="
    r"|points?|would be|refers to) (?:the |directly |straight |defined |to )*(?:ahead"
    r"|front|forward|north|facing|top|behind|right|left|away)"
)
_HOUR = "|".join(_HOURS)
_RANGE_BEFORE = re.compile(
    rf"(?:(?:[0-9]|\b(?:{_HOUR})|clock) ?(?:to|and|or|-|–|—|/) ?"
    r"|\bbetween(?: about| roughly)? |[a-z']-)\Z"
)
_RANGE_AFTER = re.compile(rf" ?(?:to|or|-|–|—|/) ?(?:[0-9]|(?:{_HOUR})\b)")


def read_clock(text: str) -> int | str:
    """The hour from 1 to 12 that is given as a direction, or why there is none."""
    found = list(_OCLOCK.finditer(text))
    if not found:
        return "no hour on the clock"
    statements = Statements.of(text)
    cut = standing(text, [m.start() for m in found])
    stated: list[tuple[int, int]] = []
    vague = False
    for m in found:
        before = text[max(0, m.start() - 40) : m.start()]
        if m.start() < cut or denied(statements, m.start()):
            continue
        if _RANGE_BEFORE.search(before) or _RANGE_AFTER.match(text, m.end()):
            vague = True
            continue
        if m["minute"] and m["minute"] != "00":
            return "between two hours"
        if len(found) > 1 and (
            _ELSEWHERE_BEFORE.search(before) or _ELSEWHERE_AFTER.match(text, m.end())
        ):
            continue
        hour = m["time"] or m["hour"]
        stated.append((m.start(), int(hour) if hour.isdigit() else _HOURS.index(hour) + 1))
    hours = {hour for _, hour in stated}
    if vague:
        return "a range, not an hour"
    if len(hours) > 1:
        place = concluded(text, [at for at, _ in stated])
        hours = {h for at, h in stated if place is not None and at >= place} or hours
    if len(hours) != 1:
        return "several hours" if hours else "no hour on the clock"
    if refused(text, stated[-1][0]):
        return "says that it has no answer"
    hour_read = hours.pop()
    return hour_read if 1 <= hour_read <= 12 else f"{hour_read} is no hour on the clock"
