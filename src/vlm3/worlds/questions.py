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
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.tasks.sample import Box, ObjectQuestion
from vlm3.tasks.truth import ClockHour, Length, Region, YesNo
from vlm3.worlds.frame import Frame, WorldObject

Rng = np.random.Generator
Form = Literal["predicate", "choice", "length", "clock"]
FORM_OF: dict[type, Form] = {
    YesNo: "predicate",
    Region: "choice",
    Length: "length",
    ClockHour: "clock",
}
"""How a question is answered, by the kind of its answer."""

RELATIONS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    # category: (word, word of the opposite), (comparative as predicate needs it, of the opposite)
    "left_right": (("left", "right"), ("to the left of", "to the right of")),
    "below_above": (("below", "above"), ("below", "above")),
    "big_small": (("bigger", "smaller"), ("bigger than", "smaller than")),
    "tall_short": (("taller", "shorter"), ("taller than", "shorter than")),
    "wide_thin": (("wider", "thinner"), ("wider than", "thinner than")),
    "behind_front": (("behind", "in front"), ("behind", "in front of")),
}
QUANTITIES = (
    "direct_distance",
    "horizontal_distance",
    "vertical_distance",
    "width",
    "height",
    "direction",
)
CATEGORIES = (*RELATIONS, *QUANTITIES)
_OF_ONE = ("width", "height")
"""Categories that ask about one region."""

_PREDICATES = (
    "Is {{0}} {relation} {{1}}?",
    "Would you say that {{0}} is {relation} {{1}}?",
    "Does {{0}} appear {relation} {{1}}, seen from here?",
)
_CHOICES = {
    "left_right": "Which lies further to the {word}, {{0}} or {{1}}?",
    "below_above": "Which of {{0}} and {{1}} is placed {lower}?",
    "behind_front": "Which is {nearer} the camera, {{0}} or {{1}}?",
}
_MEASURES = {
    "direct_distance": ("How far is {0} from {1}?", "What is the distance between {0} and {1}?"),
    "horizontal_distance": (
        "How far apart are {0} and {1} horizontally?",
        "What is the horizontal distance between {0} and {1}?",
    ),
    "vertical_distance": (
        "How far apart are {0} and {1} vertically?",
        "What is the vertical distance from {0} to {1}?",
    ),
    "width": ("How wide is {0}?", "What is the width of {0}?"),
    "height": ("How tall is {0}?", "What is the height of {0}?"),
    "direction": (
        "Standing at {0} and facing away from the camera, at which hour of the clock is {1}?",
        "If you are at {0}, in which clock direction do you find {1}?",
    ),
}


_ON_A_WALL: dict[str, Callable[[float, float, float, float], float]] = {
    "left_right": lambda x1, _, x2, __: -(x1 + x2),
    "below_above": lambda _, y1, __, y2: y1 + y2,
    "big_small": lambda x1, y1, x2, y2: (x2 - x1) * (y2 - y1),
    "tall_short": lambda _, y1, __, y2: y2 - y1,
    "wide_thin": lambda x1, _, x2, __: x2 - x1,
}
"""What the larger of is the first word of a relation, from x1, y1, x2, y2 alone."""


@dataclass(frozen=True)
class _Seen:
    """An object in the levelled camera frame: right, up, ahead, metres."""

    thing: WorldObject
    center: NDArray[np.float64]
    nearest: float


def object_questions(
    frame: Frame, rng: Rng, count: int, *, categories: tuple[str, ...] = CATEGORIES
) -> tuple[ObjectQuestion, ...]:
    """Up to `count` questions, categories in turn; yes and no, first and second region by turns.

    Questions are about recognisable objects only: at least half visible, large enough, and
    not cut by the border where their size matters.
    """
    seen = _candidates(frame)
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


def _candidates(frame: Frame) -> list[_Seen]:
    height, width = frame.instance.shape
    forward = frame.world_from_cam[:3, 2] * [1, 1, 0]
    forward = forward / max(float(np.linalg.norm(forward)), 1e-9)
    level = np.array([[forward[1], -forward[0], 0.0], [0.0, 0.0, 1.0], forward])
    seen = []
    for thing in frame.objects:
        x0, y0, x1, y1 = thing.box_xyxy_px
        if thing.visible_share < 0.5 or (x1 - x0) * (y1 - y0) < 0.003 * width * height:
            continue
        if min(x1 - x0, y1 - y0) < 0.02 * width:
            continue
        half = np.array(thing.size_wdh_m) / 2
        signs = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), -1).reshape(-1, 3)
        corners = thing.world_from_object[:3, :3] @ (signs * half).T + thing.center_m[:, None]
        away = level @ (corners - frame.world_from_cam[:3, 3][:, None])
        center = level @ (thing.center_m - frame.world_from_cam[:3, 3])
        if center[2] > 0.2:
            seen.append(_Seen(thing, center, float(away[2].min())))
    return seen


def grouped_object_questions(frame: Frame, rng: Rng, groups: int) -> tuple[ObjectQuestion, ...]:
    """Questions to learn from, as many as there are regions.

    A group has one wording and one first region, and each other region in turn as the second; or,
    where one region is in question, each of them. Packed together its questions share most of their
    words, so more of them fit. Answers come out as they may: neither yes nor no is dealt by turns.
    """
    seen = _candidates(frame)
    found: list[ObjectQuestion] = []
    for category in (str(c) for c in rng.permutation(CATEGORIES)[:groups]):
        pool = _pool(frame, seen, category)
        every: list[tuple[_Seen, ...]] = []
        if category in _OF_ONE:
            every = [(s,) for s in pool]
        elif pool:
            first = pool[int(rng.integers(len(pool)))]
            every = [(first, s) for s in pool if s is not first]
        wording = _worded(category, rng)
        found += [_answered(wording, t, rng) for t in every if _clear(category, t)]
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
    wording = _worded(category, rng, opposites=opposites)
    measure = _ON_A_WALL[category]
    first, *others = boxes_xyxy_px
    return tuple(
        _related(wording, (first, one), (measure(*first) > measure(*one)) != wording.inverse)
        for one in others
        if measure(*first) != measure(*one)
    )


def _cut(frame: Frame, thing: WorldObject) -> bool:
    height, width = frame.instance.shape
    x0, y0, x1, y1 = thing.box_xyxy_px
    return x0 <= 0 or y0 <= 0 or x1 >= width or y1 >= height


def _pool(frame: Frame, seen: list[_Seen], category: str) -> list[_Seen]:
    """Those that a question can be about: not cut by the border where their size matters."""
    sized = category in ("big_small", "tall_short", "wide_thin", *_OF_ONE)
    return [s for s in seen if not (sized and _cut(frame, s.thing))]


def _make(
    frame: Frame, seen: list[_Seen], category: str, rng: Rng, turns: list[bool]
) -> ObjectQuestion | None:
    pool = _pool(frame, seen, category)
    things: tuple[_Seen, ...] = ()
    if category in _OF_ONE and pool:
        things = (pool[int(rng.integers(len(pool)))],)
    elif category not in _OF_ONE and len(pool) >= 2:
        things = tuple(pool[int(k)] for k in rng.choice(len(pool), 2, replace=False))
    if not things or not _clear(category, things):
        return None
    wording = _worded(category, rng)
    # The answer of a relation is fixed first, then its regions are arranged.
    if category in RELATIONS and _fits(wording, things) != turns[wording.form == "choice"]:
        things = things[::-1]
    return _answered(wording, things, rng)


def clock_hour(right_m: float, ahead_m: float) -> int:
    """Hour on a clock whose 12 points away from the camera, in steps of 30 degrees."""
    to_left = np.degrees(np.arctan2(-right_m, ahead_m)) % 360
    hour = 12 - int(to_left // 30)
    return hour if hour > 0 else hour + 12


def _measure(category: str, s: _Seen) -> float:
    w, d, h = s.thing.size_wdh_m
    return {
        "left_right": -float(s.center[0]),
        "below_above": -float(s.center[1]),
        "big_small": w * d * h,
        "tall_short": h,
        "wide_thin": w,
        "behind_front": s.nearest,
    }[category]


def _clear(category: str, things: tuple[_Seen, ...]) -> bool:
    """Whether the question has one answer that can be seen."""
    if category in _OF_ONE:
        return True
    a, b = things
    if category in RELATIONS:
        first, second = _measure(category, a), _measure(category, b)
        of_place = category in ("left_right", "below_above", "behind_front")
        return abs(first - second) > 0.1 * (1.0 if of_place else max(first, second))
    if category == "direction":
        offset = b.center - a.center
        return bool(np.hypot(offset[0], offset[2]) >= 0.3)
    return _length_m(category, things) >= 0.05


def _length_m(category: str, things: tuple[_Seen, ...]) -> float:
    if category in _OF_ONE:
        return things[0].thing.size_wdh_m[0 if category == "width" else 2]
    offset = things[1].center - things[0].center
    return {
        "direct_distance": float(np.linalg.norm(offset)),
        "horizontal_distance": abs(float(offset[0])),
        "vertical_distance": abs(float(offset[1])),
    }[category]


@dataclass(frozen=True)
class _Wording:
    """The wording of a question, whatever the regions.

    Attributes:
        category, question: as in `ObjectQuestion`.
        form: how it is answered.
        relation: that a yes or no is about.
        inverse: whether the opposite word is used.
    """

    category: str
    form: Form
    question: str
    relation: str = ""
    inverse: bool = False


def _worded(category: str, rng: Rng, *, opposites: float = 0.5) -> _Wording:
    if category not in RELATIONS:
        form: Form = "clock" if category == "direction" else "length"
        return _Wording(category, form, str(rng.choice(_MEASURES[category])))
    (word, opposite), (phrase, other) = RELATIONS[category]
    inverse, choice = bool(rng.random() < opposites), bool(rng.random() < 0.5)
    if choice:
        text = _CHOICES.get(category, "Which is {word}, {{0}} or {{1}}?").format(
            word=opposite if inverse else word,
            lower="higher" if inverse else "lower",
            nearer="nearer to" if inverse else "further from",
        )
        return _Wording(category, "choice", text, inverse=inverse)
    relation = other if inverse else phrase
    text = str(rng.choice(_PREDICATES)).format(relation=relation)
    return _Wording(category, "predicate", text, relation, inverse)


def _fits(wording: _Wording, things: tuple[_Seen, ...]) -> bool:
    """Whether the first region is what the word says: its measure is the larger one, or with the
    opposite word the smaller.
    """  # noqa: D205
    first, second = (_measure(wording.category, s) for s in things)
    return (first > second) != wording.inverse


def _answered(wording: _Wording, things: tuple[_Seen, ...], rng: Rng) -> ObjectQuestion:
    category = wording.category
    boxes = tuple(s.thing.box_xyxy_px for s in things)
    if category in RELATIONS:
        return _related(wording, boxes, _fits(wording, things))
    if wording.form == "clock":
        offset = things[1].center - things[0].center
        hour = clock_hour(float(offset[0]), float(offset[2]))
        sentence = f"{{1}} is at {hour} o'clock from {{0}}."
        return ObjectQuestion(wording.question, boxes, ClockHour(hour), sentence, category)
    value = _length_m(category, things)
    sentence = f"It is {in_words(value, rng)}."
    return ObjectQuestion(wording.question, boxes, Length(value), sentence, category)


def _related(wording: _Wording, boxes: tuple[Box, ...], fits: bool) -> ObjectQuestion:
    """Whether, or which: `fits` says that the first region is what the word says."""
    category, text = wording.category, wording.question
    if wording.form == "choice":
        region = 0 if fits else 1
        return ObjectQuestion(text, boxes, Region(region), f"{{{region}}}.", category)
    relation = wording.relation
    sentence = f"Yes, {{0}} is {relation} {{1}}." if fits else f"No, {{0}} is not {relation} {{1}}."
    return ObjectQuestion(text, boxes, YesNo(fits), sentence, category)


def in_words(length_m: float, rng: Rng) -> str:
    """A length with a unit, drawn as the benchmark draws it (metrics: inches below 1 m, ...)."""
    if length_m < 1:
        options = [(0.2, 100.0, "centimeters"), (0.8, 39.3701, "inches")]
    elif length_m < 3:
        options = [(0.5, 1.0, "meters"), (0.5, 3.28084, "feet")]
    else:
        options = [(0.7, 1.0, "meters"), (0.3, 3.28084, "feet")]
    _, factor, unit = options[0] if rng.random() < options[0][0] else options[1]
    return f"{length_m * factor:.2f} {unit}"
