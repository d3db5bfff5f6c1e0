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

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.worlds.sample import Frame, WorldObject

Rng = np.random.Generator
Form = Literal["predicate", "choice", "length", "clock"]

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


@dataclass(frozen=True)
class ObjectQuestion:
    """One question with its exact answer.

    Attributes:
        category: one of `CATEGORIES`.
        form: how it is answered.
        question: text with {0}, {1} where regions are meant.
        sentence: an answer in words, {0}, {1} as above, lengths in mixed units.
        boxes_xyxy_px: the regions in order.
        yes, region, value_m, clock_hour: the answer; the one that `form` means is set.
    """

    category: str
    form: Form
    question: str
    sentence: str
    boxes_xyxy_px: tuple[tuple[float, float, float, float], ...]
    yes: bool | None = None
    region: int | None = None
    value_m: float | None = None
    clock_hour: int | None = None


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

    Only objects that can be recognised are asked about: at least half visible, large enough, and
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
            if made.form in ("predicate", "choice"):
                turns[made.form == "choice"] ^= True
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


def _cut(frame: Frame, thing: WorldObject) -> bool:
    height, width = frame.instance.shape
    x0, y0, x1, y1 = thing.box_xyxy_px
    return x0 <= 0 or y0 <= 0 or x1 >= width or y1 >= height


def _make(
    frame: Frame, seen: list[_Seen], category: str, rng: Rng, turns: list[bool]
) -> ObjectQuestion | None:
    sized = category in ("big_small", "tall_short", "wide_thin", "width", "height")
    pool = [s for s in seen if not (sized and _cut(frame, s.thing))]
    if category in ("width", "height"):
        if not pool:
            return None
        chosen = pool[int(rng.integers(len(pool)))]
        value = chosen.thing.size_wdh_m[0 if category == "width" else 2]
        return _length(category, value, (chosen,), rng)
    if len(pool) < 2:
        return None
    i, j = rng.choice(len(pool), 2, replace=False)
    a, b = pool[int(i)], pool[int(j)]
    if category in RELATIONS:
        return _relation(category, a, b, rng, turns)
    offset = b.center - a.center
    if category == "direction":
        if np.hypot(offset[0], offset[2]) < 0.3:
            return None
        hour = clock_hour(float(offset[0]), float(offset[2]))
        question = str(rng.choice(_MEASURES[category]))
        boxes = (a.thing.box_xyxy_px, b.thing.box_xyxy_px)
        sentence = f"{{1}} is at {hour} o'clock from {{0}}."
        return ObjectQuestion(category, "clock", question, sentence, boxes, clock_hour=hour)
    value = {
        "direct_distance": float(np.linalg.norm(offset)),
        "horizontal_distance": abs(float(offset[0])),
        "vertical_distance": abs(float(offset[1])),
    }[category]
    return _length(category, value, (a, b), rng) if value >= 0.05 else None


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


def _relation(
    category: str, a: _Seen, b: _Seen, rng: Rng, turns: list[bool]
) -> ObjectQuestion | None:
    """A yes-no or which-of-two question whose answer is fixed first, then arranged."""
    first, second = _measure(category, a), _measure(category, b)
    if category in ("left_right", "below_above", "behind_front"):
        clear = abs(first - second) > 0.1
    else:
        clear = abs(first - second) > 0.1 * max(first, second)
    if not clear:
        return None
    (word, opposite), (phrase, other) = RELATIONS[category]
    inverse, choice = bool(rng.random() < 0.5), bool(rng.random() < 0.5)
    wanted = turns[choice]
    # `a` fits the word when its measure is the larger one; the opposite word turns that round
    fits = (first > second) != inverse
    if not choice:
        if fits != wanted:
            a, b = b, a
        relation = other if inverse else phrase
        question = str(rng.choice(_PREDICATES)).format(relation=relation)
        sentence = (
            f"Yes, {{0}} is {relation} {{1}}." if wanted else f"No, {{0}} is not {relation} {{1}}."
        )
        boxes = (a.thing.box_xyxy_px, b.thing.box_xyxy_px)
        return ObjectQuestion(category, "predicate", question, sentence, boxes, yes=wanted)
    if fits != wanted:
        a, b = b, a
    region = 0 if wanted else 1
    asked = opposite if inverse else word
    text = _CHOICES.get(category, "Which is {word}, {{0}} or {{1}}?").format(
        word=asked,
        lower="higher" if inverse else "lower",
        nearer="nearer to" if inverse else "further from",
    )
    boxes = (a.thing.box_xyxy_px, b.thing.box_xyxy_px)
    return ObjectQuestion(category, "choice", text, f"{{{region}}}.", boxes, region=region)


def _length(category: str, value: float, things: tuple[_Seen, ...], rng: Rng) -> ObjectQuestion:
    question = str(rng.choice(_MEASURES[category]))
    boxes = tuple(s.thing.box_xyxy_px for s in things)
    return ObjectQuestion(
        category, "length", question, f"It is {in_words(value, rng)}.", boxes, value_m=value
    )


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
