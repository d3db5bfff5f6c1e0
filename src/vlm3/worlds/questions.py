"""Questions about the objects of a frame, in the twelve categories of SpatialRGPT-Bench.

Six qualitative ones, as predicate (yes or no) and as choice (which region), and six quantitative
ones. Wording is our own, in the benchmark's style. Meanings follow the benchmark's published
pipeline (AnjieCheng/SpatialRGPT, dataset_pipeline) in a camera frame levelled by gravity: left and
right compare centres across, above and below their heights, in front and behind the nearest
points; horizontal distance is |difference across|, vertical is |difference of height| of centres;
clock hours are cut at every 30 degrees, so 12 covers straight ahead and 30 degrees to its left.
Different on purpose: sizes are the object's own true width and height (not its extent across the
picture), and direct distance is from centre to centre.

Example: "Is {0} to the left of {1}?" with boxes of a lamp and a chair; yes.
"""

from collections.abc import Callable, Sequence

import numpy as np

from vlm3.tasks.sample import Box, ObjectQuestion
from vlm3.tasks.truth import ClockHour, Length, Region, YesNo
from vlm3.worlds.frame import Frame
from vlm3.worlds.relations import (
    SeenObject,
    clock_hour,
    is_clear,
    is_cut,
    length_m,
    measure,
    recognisable,
)
from vlm3.worlds.wordings import (
    CATEGORIES,
    OF_ONE,
    RELATIONS,
    Form,
    Wording,
    in_words,
    worded,
)

Rng = np.random.Generator

FORM_OF: dict[type, Form] = {
    YesNo: "predicate",
    Region: "choice",
    Length: "length",
    ClockHour: "clock",
}
"""How a question is answered, by the kind of its answer."""

_ON_A_WALL: dict[str, Callable[[float, float, float, float], float]] = {
    "left_right": lambda x1, _, x2, __: -(x1 + x2),
    "below_above": lambda _, y1, __, y2: y1 + y2,
    "big_small": lambda x1, y1, x2, y2: (x2 - x1) * (y2 - y1),
    "tall_short": lambda _, y1, __, y2: y2 - y1,
    "wide_thin": lambda x1, _, x2, __: x2 - x1,
}
"""What the larger of is the first word of a relation, from x1, y1, x2, y2 alone."""


def object_questions(
    frame: Frame, rng: Rng, count: int, *, categories: tuple[str, ...] = CATEGORIES
) -> tuple[ObjectQuestion, ...]:
    """Up to `count` questions, categories in turn; yes and no, first and second region by turns.

    Questions are about recognisable objects only: at least half visible, large enough, and
    not cut by the border where their size matters.
    """
    seen = recognisable(frame)
    order = [str(c) for c in rng.permutation(categories)]
    found: list[ObjectQuestion] = []
    turns = [bool(t) for t in rng.random(2) < 0.5]  # the next yes-no and the next choice answer
    for k in range(3 * count):
        if len(found) >= count or not seen:
            break
        made = _make(frame, seen, order[k % len(order)], rng, turns)
        if made is not None:
            found.append(made)
            if isinstance(made.truth, YesNo | Region):
                turns[isinstance(made.truth, Region)] ^= True
    return tuple(found)


def grouped_object_questions(frame: Frame, rng: Rng, groups: int) -> tuple[ObjectQuestion, ...]:
    """Questions to learn from, as many as there are regions.

    A group has one wording and one first region, and each other region in turn as the second; or,
    where one region is in question, each of them. Packed together its questions share most of their
    words, so more of them fit. Answers come out as they may: neither yes nor no is dealt by turns.
    """
    seen = recognisable(frame)
    found: list[ObjectQuestion] = []
    for category in (str(c) for c in rng.permutation(CATEGORIES)[:groups]):
        pool = _pool(frame, seen, category)
        every: list[tuple[SeenObject, ...]] = []
        if category in OF_ONE:
            every = [(s,) for s in pool]
        elif pool:
            first = pool[int(rng.integers(len(pool)))]
            every = [(first, s) for s in pool if s is not first]
        wording = worded(category, rng)
        found += [_answered(wording, t, rng) for t in every if is_clear(category, t)]
    return tuple(found)


def wall_questions(
    boxes_xyxy_px: Sequence[Box], rng: Rng, *, opposites: float = 0.5
) -> tuple[ObjectQuestion, ...]:
    """How the first region compares with each other one, were all painted on one flat wall.

    What boxes alone can tell: to learn comparing from, before depth comes into it.

    Args:
        boxes_xyxy_px: two or more.
        rng: draws the wording, one for all.
        opposites: how often the second word of a pair in `RELATIONS` is used. With half from
            the start an answer hangs on word and boxes at once, and neither is learnt.
    """
    category = str(rng.choice(list(_ON_A_WALL)))
    wording = worded(category, rng, opposites=opposites)
    painted = _ON_A_WALL[category]
    first, *others = boxes_xyxy_px
    return tuple(
        _related(wording, (first, one), (painted(*first) > painted(*one)) != wording.inverse)
        for one in others
        if painted(*first) != painted(*one)
    )


def _pool(frame: Frame, seen: list[SeenObject], category: str) -> list[SeenObject]:
    """Those that a question can be about: not cut by the border where their size matters."""
    sized = category in ("big_small", "tall_short", "wide_thin", *OF_ONE)
    return [s for s in seen if not (sized and is_cut(frame, s.thing))]


def _make(
    frame: Frame, seen: list[SeenObject], category: str, rng: Rng, turns: list[bool]
) -> ObjectQuestion | None:
    pool = _pool(frame, seen, category)
    things: tuple[SeenObject, ...] = ()
    if category in OF_ONE and pool:
        things = (pool[int(rng.integers(len(pool)))],)
    elif category not in OF_ONE and len(pool) >= 2:
        things = tuple(pool[int(k)] for k in rng.choice(len(pool), 2, replace=False))
    if not things or not is_clear(category, things):
        return None
    wording = worded(category, rng)
    # The answer of a relation is fixed first, then its regions are arranged.
    if category in RELATIONS and _fits(wording, things) != turns[wording.form == "choice"]:
        things = things[::-1]
    return _answered(wording, things, rng)


def _fits(wording: Wording, things: tuple[SeenObject, ...]) -> bool:
    """Whether the first region is what the word means: larger by its measure, or smaller."""
    first, second = (measure(wording.category, s) for s in things)
    return (first > second) != wording.inverse


def _answered(wording: Wording, things: tuple[SeenObject, ...], rng: Rng) -> ObjectQuestion:
    category = wording.category
    boxes = tuple(s.thing.box_xyxy_px for s in things)
    if category in RELATIONS:
        return _related(wording, boxes, _fits(wording, things))
    if wording.form == "clock":
        offset = things[1].center - things[0].center
        hour = clock_hour(float(offset[0]), float(offset[2]))
        sentence = f"{{1}} is at {hour} o'clock from {{0}}."
        return ObjectQuestion(wording.question, boxes, ClockHour(hour), sentence, category)
    value = length_m(category, things)
    sentence = f"It is {in_words(value, rng)}."
    return ObjectQuestion(wording.question, boxes, Length(value), sentence, category)


def _related(wording: Wording, boxes: tuple[Box, ...], fits: bool) -> ObjectQuestion:
    """Whether, or which: `fits` says that the first region is what the word says."""
    category, text = wording.category, wording.question
    if wording.form == "choice":
        region = 0 if fits else 1
        return ObjectQuestion(text, boxes, Region(region), f"{{{region}}}.", category)
    relation = wording.relation
    sentence = f"Yes, {{0}} is {relation} {{1}}." if fits else f"No, {{0}} is not {relation} {{1}}."
    return ObjectQuestion(text, boxes, YesNo(fits), sentence, category)
