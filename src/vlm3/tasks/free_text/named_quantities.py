"""What a quantity in a text measures, by the words around it.

The width in "1.2 meters tall and 0.8 meters wide", a distance between regions beside distances from
the camera, a 50 inch TV. Which of several that fit a question is meant, `lengths` says.
"""

import re
from dataclasses import dataclass

from vlm3.tasks.free_text.length_questions import CAMERA_WORDS, LengthQuestion
from vlm3.tasks.free_text.numerals import Quantity
from vlm3.tasks.free_text.statements import Statements

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
        rf"(?:from|to|of|before|in front of) (?:the |our |my |your )?{CAMERA_WORDS}"
        rf"|(?:the )?{CAMERA_WORDS}(?:'s)?"
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
class NamedQuantity:
    """A quantity with what its words say of it.

    Attributes:
        q: the quantity.
        tags: what it measures: names of sizes, of distances and of what a distance is from.
        reference: whether it is of something to compare with.
        attributive: whether it stands before a noun, as in "the 2 m wall".
        about: the region that its clause is about; None where none is named.
        sentence: where its sentence begins.
        screen: whether a screen is named before it: its inches are those of its diagonal.
    """

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


# Told by their diagonals, in inches.
_SCREEN = re.compile(r"\b(?:tv|television|screen|monitor|display|laptop)\b")
_OBJECT_OF = re.compile(
    r"\b(?:from|to|than|behind|beside|near|with|between|unlike|past|before|under|over) \Z"
)


def named_quantities(
    statements: Statements,
    found: list[Quantity],
    mentions: list[tuple[int, int | None]],
    *,
    depth: bool,
) -> list[NamedQuantity]:
    """Quantities with what the words of their sentences say of them.

    Args:
        statements: the text.
        found: its quantities, in order.
        mentions: where regions are named, and which; None for one not in the question.
        depth: whether "depth" means the distance from the camera.
    """
    out: list[NamedQuantity] = []
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
        out.append(
            NamedQuantity(
                q,
                tags,
                _is_reference(left, right),
                _is_attributive(statements.text, start, q),
                _region_before(statements.text, start, q, mentions),
                start,
                _SCREEN.search(left) is not None,
            )
        )
        previous_end = q.end
    return out


def _is_reference(left: str, right: str) -> bool:
    """Whether a quantity, by the words before and after it, is of something to compare with."""
    clause = left[left.rfind(",") + 1 :]
    after = re.match(r" ?(?:tall|wide|long|high)? ?(?:as a reference|reference)", right)
    return _REFERENCE.search(clause) is not None or after is not None


def _is_attributive(text: str, start: int, q: Quantity) -> bool:
    """Whether a quantity stands before a noun, in a sentence that begins at `start`: a 2 m wall."""
    before = text[max(start, q.start - 24) : q.start]
    # "50 inch TV at 2 m"
    headline = not before.strip() and q.unit in ("in", "ft")
    determined = _DETERMINED.search(before) is not None and not _VERBLIKE.search(before)
    return (headline or determined) and _NOUN_AFTER.match(text, q.end) is not None


def _region_before(
    text: str, start: int, q: Quantity, mentions: list[tuple[int, int | None]]
) -> int | None:
    """The region that is named last before a quantity as what its clause is about."""
    turn = max(text.rfind(word, start, q.start) for word in (" while ", " whereas "))
    about = [
        region
        for at, region in mentions
        if max(start, turn) <= at < q.start and not _OBJECT_OF.search(text[max(0, at - 16) : at])
    ]
    return about[-1] if about else None


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


def fits(ask: LengthQuestion, named: NamedQuantity) -> bool:
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
