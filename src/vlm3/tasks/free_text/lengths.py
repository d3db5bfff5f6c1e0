"""Read the length in question out of a free answer that may name several.

What each of them measures, `named_quantities` says; of those that fit the question results
count more than what they were calculated from, and the object more than what it is compared with.
What is left must be one value; two are none.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from vlm3.tasks.free_text.length_questions import LengthQuestion
from vlm3.tasks.free_text.named_quantities import NamedQuantity, fits, named_quantities
from vlm3.tasks.free_text.numerals import METRES_OF, Quantity
from vlm3.tasks.free_text.quantities import close, quantities
from vlm3.tasks.free_text.statements import Statements, concluded, denied, refused, standing

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
    ask: LengthQuestion, text: str, mentions: Sequence[int | None] = (), *, depth: bool = False
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
    named = named_quantities(
        statements, found, list(zip(places, mentions, strict=False)), depth=depth
    )
    named = [n for n in named if not denied(statements, n.q.start)]
    fitting = [n for n in named if fits(ask, n)]
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


_PRONOUN = re.compile(r"(?:\A|[\s,(])(?:it|its|this|region|the object|the region|they)\b|§")


def _weighed(
    ask: LengthQuestion, text: str, statements: Statements, fitting: list[NamedQuantity]
) -> list[NamedQuantity] | str:
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


def _of_subject(
    statements: Statements, pool: list[NamedQuantity], ask: LengthQuestion
) -> list[Quantity]:
    """The values in sentences about the question's subject, rather than about things around it."""
    return [
        n.q
        for n in pool
        if n.q.role == "value"
        and (_SUBJECT.search(statements.before(n.q.start, 200)) or (n.about in ask.regions))
    ]


def _one(
    text: str, statements: Statements, pool: list[NamedQuantity], ask: LengthQuestion
) -> float | str:
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
