"""Read the length in question out of a free answer that may name several.

Which of the quantities in a text are meant follows from their words: the width in "1.2 meters tall
and 0.8 meters wide", a distance between regions beside distances from the camera, a 50 inch TV.
What is left must be one value; two are none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from vlm3.tasks.quantities import METRES_OF, Quantity, close, quantities
from vlm3.tasks.statements import Statements, concluded, denied, refused, standing

Measure = Literal["width", "height", "length", "size", "distance"]
Axis = Literal["direct", "horizontal", "vertical"]


@dataclass(frozen=True)
class Wanted:
    """The length a question asks for.

    Attributes:
        measure: of one object, or a distance.
        axis: of a distance.
        camera: whether the distance is from the camera; None where both kinds are meant.
        regions: indices of the regions it is about.
        unit: of a bare number; "" where a number without a unit is no answer.
    """

    measure: Measure
    axis: Axis = "direct"
    camera: bool | None = False
    regions: frozenset[int] = frozenset()
    unit: str = ""


_CAMERA = r"(?:camera|viewer|observer|lens|viewpoint|photographer|us|me|you|image plane)"
_UNIT_ASKED = re.compile(r"\bin (met|cent|feet|foot|inch|mill)|\((m|cm|ft|mm)\)")
_UNITS = {
    "met": "m",
    "m": "m",
    "cent": "cm",
    "cm": "cm",
    "feet": "ft",
    "foot": "ft",
    "ft": "ft",
    "inch": "in",
    "mill": "mm",
    "mm": "mm",
}


def wanted(question: str, regions: Sequence[int | None]) -> Wanted:
    """What a question in lower case asks, with the regions it names."""
    about = frozenset(r for r in regions if r is not None)
    found = _UNIT_ASKED.search(question)
    unit = _UNITS[found[1] or found[2]] if found else ""
    axis: Axis = "direct"
    if re.search(r"\bhorizontal|\blateral|\bsideways", question):
        axis = "horizontal"
    elif re.search(r"\bvertical", question):
        axis = "vertical"
    far = re.search(
        r"\bdistance|\bapart\b|\bfar\b|\bgap\b|\bclose\b|\baway\b|\bdistant\b"
        r"|\bseparat|\bbetween\b",
        question,
    )
    if far or axis != "direct":
        camera = len(about) < 2 and re.search(rf"\b{_CAMERA}\b", question) is not None
        return Wanted("distance", axis, camera, about, unit)
    for measure, words in _MEASURES:
        if words.search(question):
            return Wanted(measure, axis, False, about, unit)
    return Wanted("size", axis, False, about, unit)


_MEASURES: tuple[tuple[Measure, re.Pattern[str]], ...] = (
    ("width", re.compile(r"\b(?:wide|wider|width|breadth|broad|across|diameter)\b")),
    ("height", re.compile(r"\b(?:tall|taller|high|height|stature)\b")),
    ("length", re.compile(r"\b(?:long|longer|length|deep|depth|thick|thickness)\b")),
)

# Words that say what a quantity measures: right after it, or in the words before it.
_TAGS: dict[str, str] = {
    "width": r"wide|width|breadth|broad|across|diameter|in width|wider",
    "height": r"tall|height|high|taller|stature|in height",
    "length": r"long|length|deep|thick|thickness|in length|longer|thicker|deeper",
    "distance": (
        r"distance|distant|away|apart|far|gap|separat\w{1,4}|spacing|space|between|behind"
        r"|in front|to the (?:left|right)|range|offset|closer(?! to (?:about |around "
        r"|roughly )?~?\Z)|nearer|farther|further|far off|ahead"
    ),
    "horizontal": r"horizontal(?:ly)?|lateral(?:ly)?|sideways",
    "vertical": r"vertical(?:ly)?",
    "level": r"above|below|beneath|higher|lower|under|underneath|over",
    "side": r"left|right",
    "straight": r"straight[- ]line|euclidean|direct(?:ly)?|diagonal(?:ly)?|total",
    "camera": (
        rf"(?:from|to|of|before|in front of) (?:the |our |my |your )?{_CAMERA}"
        rf"|(?:the )?{_CAMERA}(?:'s)?"
    ),
    "other": (
        r"from (?!the (?:camera|viewer|observer|lens|viewpoint|photographer|left|right|top"
        r"|bottom|image|perspective|photo|picture)\b)(?!(?:left|right|top|us|me|you|camera"
        r"|here|edge)\b)(?:the |each |one |a )?\S{1,20}|between|apart"
    ),
    "age": r"pixels?|px",
}
_TAG = {name: re.compile(rf"(?<![\w-])(?:{words})(?![\w])") for name, words in _TAGS.items()}
_LABEL_BEFORE = re.compile(
    r"(?<![\w])(?:(?P<width>w)|(?P<height>h)|(?P<length>l)|(?P<distance>d)) ?(?:=|:"
    r"|~)+ ?(?:about )?~? ?\Z"
)
_SIZES = ("width", "height", "length")
_LABELS_NEXT = r"(?! ?(?:is|was|of|about|:|=|~))"
_ADJACENT = re.compile(
    r"[ -]?[)\]]? ?\(?(?:in |of |is )?(?P<width>wide|width|across|breadth|broad"
    rf"|in diameter)(?![a-z]){_LABELS_NEXT}"
    rf"|[ -]?[)\]]? ?\(?(?:in |of |is )?(?P<height>tall|height|high)(?![a-z]){_LABELS_NEXT}"
    r"|[ -]?[)\]]? ?\(?(?:in |of |is )?(?P<length>long|length|deep|depth"
    rf"|thick)(?![a-z]){_LABELS_NEXT}"
)
_NOUN_BEFORE = re.compile(
    r"(?<![\w])(?:(?P<width>width|breadth|diameter)|(?P<height>height|stature)"
    r"|(?P<length>length|depth|thickness)"
    r"|(?P<distance>distance|gap|separation|spacing|range))(?![\w-])"
)


@dataclass(frozen=True)
class _Named:
    """A quantity with what its words say of it."""

    q: Quantity
    tags: frozenset[str]
    reference: bool
    attributive: bool
    about: int | None
    sentence: int
    screen: bool


_REFERENCE = re.compile(
    r"\b(?:standard|typical|typically|average|usual|usually|normal|normally|generally"
    r"|commonly|often|reference|scale"
    r"|assum(?:e|es|ed|ing)|suppos\w{1,4}|if|given|based on|compared (?:to|with)"
    r"|comparable|using|relative to|than an?|than the"
    r"|as (?:tall|wide|long|high|deep) as|known|most(?! likely)|for example|tend to"
    r"|about the size of)\b"
)
_DETERMINED = re.compile(
    r"(?<![\w])(?:the|a|an|this|that|its|standard|typical|any|every)(?: (?:[a-z]{2,12}))?[ -]\Z"
)
_VERBLIKE = re.compile(
    r"(?:the|a|an|this|that|its) (?:is|was|are|at|of|about|around|only|approximately"
    r"|roughly|measures|nearly|almost|mere|full|total|distance|width|height|length"
    r"|another|further|additional)[ -]\Z"
)
_NOUN_AFTER = re.compile(
    r"(?:[ -](?:wide|tall|high|long|deep|thick))?[ -](?!(?:wide|tall|high|long|deep"
    r"|thick|away|apart|from|in|at|to|and|or|but|on|of|for|is|are|was|across|above"
    r"|below|behind|distance|gap|width|height|length|separation|space|span|off|between"
    r"|by|with|left|right|higher|lower|total|depending|which|that|as|so|while|with|due"
    r"|based|given|horizontally|vertically|further|farther|closer|ahead|when|if"
    r"|because|since|making|mark|approx|approximately|roughly|about|around|give|plus|only"
    r"|exactly|each|or so|maybe|probably|per|then|rather|instead|not|no|it|this)\b)[a-z]{2,20}"
)
_PRONOUN = re.compile(r"(?:\A|[\s,(])(?:it|its|this|region|the object|the region|they)\b|§")


# Told by their diagonals, in inches.
_SCREEN = re.compile(r"\b(?:tv|television|screen|monitor|display|laptop)\b")
_OBJECT_OF = re.compile(
    r"\b(?:from|to|than|behind|beside|near|with|between|unlike|past|before|under|over) \Z"
)


def _name(
    statements: Statements,
    found: list[Quantity],
    mentions: list[tuple[int, int | None]],
    depth: bool,
) -> list[_Named]:
    out: list[_Named] = []
    previous_end = 0
    for k, q in enumerate(found):
        start, end = statements.sentence(q.start)
        left = statements.text[max(start, previous_end) : q.start]
        right_end = min(end, found[k + 1].start if k + 1 < len(found) else end)
        right_end = max(
            q.end, statements.sentence(max(q.end - 1, 0))[1] if k + 1 == len(found) else right_end
        )
        right = statements.text[q.end : right_end]
        tags = frozenset(_tags_of(left, right))
        if depth and tags & {"length"} and re.search(r"\bdepth\b", left):
            tags = (tags - {"length"}) | {"distance"}
        if (
            not tags
            and out
            and out[-1].sentence == start
            and re.search(r"\band\b|§|,|\bwhile\b", left)
        ):
            # "region 0 is 2 m from the camera and region 1 5 m"
            tags = out[-1].tags & {"camera", "horizontal", "vertical", "other"}
        clause = left[left.rfind(",") + 1 :]
        reference = (
            _REFERENCE.search(clause) is not None
            or re.match(r" ?(?:tall|wide|long|high)? ?(?:as a reference|reference)", right)
            is not None
        )
        before = statements.text[max(start, q.start - 24) : q.start]
        # "50 inch TV at 2 m"
        headline = not before.strip() and q.unit in ("in", "ft")
        determined = _DETERMINED.search(before) is not None and not _VERBLIKE.search(before)
        attributive = (headline or determined) and _NOUN_AFTER.match(
            statements.text, q.end
        ) is not None
        turn = max(statements.text.rfind(word, start, q.start) for word in (" while ", " whereas "))
        about = [
            r
            for at, r in mentions
            if max(start, turn) <= at < q.start
            and not _OBJECT_OF.search(statements.text[max(0, at - 16) : at])
        ]
        out.append(
            _Named(
                q,
                frozenset(tags),
                reference,
                attributive,
                about[-1] if about else None,
                start,
                _SCREEN.search(left) is not None,
            )
        )
        previous_end = q.end
    return out


def _tags_of(left: str, right: str) -> set[str]:
    """What a quantity measures, by the words before it and after it up to the next one."""
    label = _LABEL_BEFORE.search(left)
    if label and label.lastgroup:
        return {label.lastgroup}
    adjacent = _ADJACENT.match(right)
    nouns = list(_NOUN_BEFORE.finditer(left))
    after = right[:60].split(" while ")[0].split(" whereas ")[0].split(" but ")[0]
    after = re.split(r"(?:,|;| and) (?=[^,;]{0,40}\b(?:is|are|has|about|roughly|its|it)\b)", after)[
        0
    ]
    near = {name for name, words in _TAG.items() if name not in _SIZES and words.search(after)}
    if adjacent and adjacent.lastgroup and not (nouns and adjacent[0].endswith("long")):
        sizes = {adjacent.lastgroup}
        return sizes | (near - {"side", "level", "other", "distance"} if adjacent else near)
    tags = set(near)
    if nouns and nouns[-1].lastgroup:
        tags.add(nouns[-1].lastgroup)
    else:
        adjectives = [
            (m.end(), name) for name in (*_SIZES, "distance") for m in _TAG[name].finditer(left)
        ]
        if adjectives and not near:
            tags.add(max(adjectives)[1])
    clause = re.split(r"\band\b|,|;", left)[-1]
    for name in ("horizontal", "vertical", "straight", "camera"):
        if name not in tags and _TAG[name].search(clause if name == "camera" else left):
            tags.add(name)
    if {"horizontal", "vertical"} <= tags:
        last = max(("horizontal", "vertical"), key=lambda n: _last(n, left, after))
        tags -= {"horizontal", "vertical"} - {last}
    return tags


def _last(name: str, left: str, after: str) -> int:
    if _TAG[name].search(after):
        return len(left) + 1
    return max((m.start() for m in _TAG[name].finditer(left)), default=-1)


def _fits(ask: Wanted, named: _Named) -> bool:
    """Whether what its words say of a quantity agrees with the question."""
    tags = named.tags
    sizes = tags & set(_SIZES)
    if "age" in tags:
        return False
    if (
        len(ask.regions) == 1
        and named.about is not None
        and named.about not in ask.regions
        and ask.measure != "distance"
    ):
        return False
    if ask.measure != "distance":
        if sizes:
            return ask.measure == "size" or ask.measure in sizes
        return not tags & {"distance", "camera", "other", "horizontal", "vertical"}
    if sizes and not tags & {"distance", "horizontal", "vertical", "level"}:
        return False
    if sizes and named.attributive:
        return False
    if named.q.unit == "in" and named.screen and not tags & {"distance", "camera"}:
        return False
    if ask.camera:
        if named.about is not None and ask.regions and named.about not in ask.regions:
            return False
        return "camera" in tags or "other" not in tags
    if ask.camera is None:
        return True
    if "camera" in tags:
        return False
    if ask.axis == "direct":
        return not tags & {"horizontal", "vertical"} or "straight" in tags
    if "straight" in tags and ask.axis not in tags:
        return False
    if ask.axis == "horizontal":
        return "horizontal" in tags or not tags & {"vertical", "level"}
    return "vertical" in tags or not tags & {"horizontal", "side"}


_TUPLE = re.compile(r"[(\[] ?-?[0-9.]{1,9}(?: ?, ?-?[0-9.]{1,9}){1,3} ?[)\]]")
_BARE_BEFORE = re.compile(
    r"(?:\A|[\n:=~]|->|\b(?:is|be|answer|about|around|approximately|roughly|distance"
    r"|depth|at|of|estimated at|say|d))\s{0,2}\Z"
)
_BARE_AFTER = re.compile(
    r"\s{0,2}(?:\Z|\n|[.;!](?:\s|\Z)|\(|,? (?:away|from (?:the |our )?(?:camera|viewer"
    r"|lens|observer)))"
)


def read_length(
    ask: Wanted, text: str, mentions: Sequence[int | None] = (), *, depth: bool = False
) -> float | str:
    """The length in metres that a plain text gives, or why there is none.

    Args:
        ask: what is wanted.
        text: as `framing` leaves it, with "§" where a region is named.
        mentions: the regions at these marks, in order; None for one not in the question.
        depth: whether "depth" means the distance from the camera.
    """
    text = _TUPLE.sub(lambda m: " " * len(m[0]), text)
    found = quantities(text)
    if found is None:
        return "too many numbers"
    found = [_with_unit(text, q, ask.unit, found) for q in found]
    found = [q for q in found if q.unit and q.role not in ("operand", "spread")]
    if not found:
        return "no length with a unit"
    statements = Statements.of(text, [(q.start, q.end) for q in found])
    places = [m.start() for m in re.finditer("§", text)]
    named = _name(statements, found, list(zip(places, mentions, strict=False)), depth)
    named = [n for n in named if not denied(statements, n.q.start)]
    fitting = [n for n in named if _fits(ask, n)]
    if not fitting:
        return "no length of the kind in question"
    cut = standing(text, [n.q.start for n in named])
    fitting = [n for n in fitting if n.q.start >= cut] or fitting
    pool = _weighed(ask, text, statements, fitting)
    if isinstance(pool, str):
        return pool
    value = _one(text, statements, pool, ask)
    if isinstance(value, str):
        return value
    if refused(text, pool[-1].q.start):
        return "says that it has no answer"
    return value


def _with_unit(text: str, q: Quantity, unit: str, found: list[Quantity]) -> Quantity:
    """A bare number in the question's unit, where it can be the answer."""
    if q.unit or not unit:
        return q
    alone = len(found) == 1 or q.result
    before, after = text[max(0, q.start - 16) : q.start], text[q.end : q.end + 8]
    label = re.search(
        r"\b(?!is\b|be\b)([a-z]{1,15})[12]? ?[:=] ?\Z", text[max(0, q.start - 24) : q.start]
    )
    if label and not re.search(
        r"\Ad\Z|dist|depth|answer|value|meter|metre|result|range|estimat", label[1]
    ):
        return q
    if not (_BARE_BEFORE.search(before) and _BARE_AFTER.match(after)) and not alone:
        return q
    if alone and not (_BARE_AFTER.match(after) and (_BARE_BEFORE.search(before) or q.result)):
        return q
    return replace(q, low=q.low * METRES_OF[unit], high=q.high * METRES_OF[unit], unit=unit)


def _weighed(
    ask: Wanted, text: str, statements: Statements, fitting: list[_Named]
) -> list[_Named] | str:
    """The quantities that count: results, not what they came from; the object, no reference."""
    results = [n for n in fitting if n.q.result]
    if results:
        fitting = [n for n in fitting if n.q.start >= results[-1].q.start]
    plainly = [n for n in fitting if not n.reference]
    if not plainly:
        about = [n for n in fitting if _PRONOUN.search(statements.before(n.q.start, 200))]
        alone = [
            n
            for n in fitting
            if not re.search(
                r"[a-z]{3}",
                re.sub(
                    r"\b(?:typically|usually|normally|generally|about|around"
                    r"|approximately|roughly|probably|often)\b",
                    "",
                    statements.before(n.q.start, 200),
                ),
            )
        ]
        if not about and not alone:
            return "the length of something else"
        plainly = about or alone
    predicative = [n for n in plainly if not n.attributive]
    if predicative:
        return predicative
    if ask.measure in ("distance", "size") or all(ask.measure in n.tags for n in plainly):
        if ask.measure == "distance" and not any(
            n.tags & {"distance", "horizontal", "vertical", "camera"} for n in plainly
        ):
            return "the size of something"
        return plainly
    return "the size of something"


_SUBJECT = re.compile(r"\b(?:pixel|point|location)\b|\A\s*(?:so |thus |therefore,? )?(?:it|its)\b")


def _of_subject(statements: Statements, pool: list[_Named], ask: Wanted) -> list[Quantity]:
    """The values in sentences about the question's subject, rather than about things around it."""
    return [
        n.q
        for n in pool
        if n.q.role == "value"
        and (_SUBJECT.search(statements.before(n.q.start, 200)) or (n.about in ask.regions))
    ]


def _one(text: str, statements: Statements, pool: list[_Named], ask: Wanted) -> float | str:
    """The one value of a pool, or why it has none."""
    points = [n.q for n in pool if n.q.role == "value"]
    vague = [n.q for n in pool if n.q.role != "value"]
    if not points:
        return "a range, not a length" if vague else "no length"
    if not _agree(points):
        place = concluded(text, [q.start for q in points])
        last = [q for q in points if place is not None and q.start >= place]
        if not last or not _agree(last):
            last = _of_subject(statements, pool, ask)
        if not last or not _agree(last):
            return "several lengths"
        points = last
    value = points[0]
    finest = max((q for q in points if q.unit == value.unit), key=lambda q: q.decimals)
    if vague:
        inside = all(v.low <= finest.low <= v.high for v in vague if v.role != "unclear")
        clear = all(v.role == "range" or v.start < value.start for v in vague)
        if any(v.role == "unclear" for v in vague) or not (inside and clear):
            return "a range, not a length"
    return finest.low


def _agree(points: list[Quantity]) -> bool:
    """Whether quantities are one: equal as they are rounded, or one converted to another unit."""
    first = points[0]
    for q in points[1:]:
        if q.unit == first.unit:
            step = METRES_OF[q.unit] * 10.0 ** -min(q.decimals, first.decimals)
            rounded = abs(q.low - first.low) <= 0.5000001 * step
            if q.low != first.low and not (rounded and close(q.low, first.low, 0.03)):
                return False
        elif not close(q.low, first.low, 0.05 if {q.unit, first.unit} <= _METRIC else 0.12):
            return False
    return True


_METRIC = {"mm", "cm", "dm", "m", "km"}
