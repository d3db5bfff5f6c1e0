"""What is true of the objects that a frame shows: sizes, distances, directions, which is larger.

In a camera frame levelled by gravity: right, up, ahead, in metres. Knows no words.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3.worlds.frame import Frame, WorldObject
from vlm3.worlds.wordings import OF_ONE, RELATIONS


@dataclass(frozen=True)
class SeenObject:
    """An object in the levelled camera frame: right, up, ahead, metres."""

    thing: WorldObject
    center: NDArray[np.float64]
    nearest: float


def recognisable(frame: Frame) -> list[SeenObject]:
    """Objects that can be in a question: at least half visible, large enough, before the camera."""
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
            seen.append(SeenObject(thing, center, float(away[2].min())))
    return seen


def is_cut(frame: Frame, thing: WorldObject) -> bool:
    """Whether the border of the picture cuts an object."""
    height, width = frame.instance.shape
    x0, y0, x1, y1 = thing.box_xyxy_px
    return x0 <= 0 or y0 <= 0 or x1 >= width or y1 >= height


def clock_hour(right_m: float, ahead_m: float) -> int:
    """Hour on a clock whose 12 points away from the camera, in steps of 30 degrees."""
    to_left = np.degrees(np.arctan2(-right_m, ahead_m)) % 360
    hour = 12 - int(to_left // 30)
    return hour if hour > 0 else hour + 12


def measure(category: str, s: SeenObject) -> float:
    """What the larger of is the first word of a relation, in metres or cubic metres."""
    w, d, h = s.thing.size_wdh_m
    return {
        "left_right": -float(s.center[0]),
        "below_above": -float(s.center[1]),
        "big_small": w * d * h,
        "tall_short": h,
        "wide_thin": w,
        "behind_front": s.nearest,
    }[category]


def is_clear(category: str, things: tuple[SeenObject, ...]) -> bool:
    """Whether the question has one answer that can be seen."""
    if category in OF_ONE:
        return True
    a, b = things
    if category in RELATIONS:
        first, second = measure(category, a), measure(category, b)
        of_place = category in ("left_right", "below_above", "behind_front")
        return abs(first - second) > 0.1 * (1.0 if of_place else max(first, second))
    if category == "direction":
        offset = b.center - a.center
        return bool(np.hypot(offset[0], offset[2]) >= 0.3)
    return length_m(category, things) >= 0.05


def length_m(category: str, things: tuple[SeenObject, ...]) -> float:
    """The length that a quantity is: a size of the one, or a distance between the two."""
    if category in OF_ONE:
        return things[0].thing.size_wdh_m[0 if category == "width" else 2]
    offset = things[1].center - things[0].center
    return {
        "direct_distance": float(np.linalg.norm(offset)),
        "horizontal_distance": abs(float(offset[0])),
        "vertical_distance": abs(float(offset[1])),
    }[category]
