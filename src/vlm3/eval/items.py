"""What a benchmark asks: items, each one picture or one pair, with the queries about it.

An item's pictures are opened when they are needed; its queries, with their truth, are small. Every
query becomes one line of a predictions file, so `ask` and `truth` are plain JSON here already.
Knows no model and no score.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vlm3.geometry.pose import RelativePose
from vlm3.tasks.base import Task
from vlm3.tasks.objects import ObjectValue
from vlm3.view import View

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """One question and its truth.

    Attributes:
        id: unique in its benchmark, the same in every run: predictions are joined by it.
        task: which task.
        ask: what is asked, as the predictions file holds it.
        truth: what is right, as the predictions file holds it.
    """

    id: str
    task: Task
    ask: Json
    truth: Json


@dataclass(frozen=True)
class Item:
    """One picture, or one pair, and the queries about it.

    Attributes:
        key: what intervals are clustered by.
        pictures: how to open each.
        queries: in the order they are asked.
    """

    key: str
    pictures: tuple[Callable[[], View], ...]
    queries: tuple[Query, ...]


def depth_query(
    id: str, xy_px: ArrayLike, *, cosine: float, distance_m: float, label_m: float
) -> Query:
    """How far a pixel's point is.

    Args:
        id: see `Query`.
        xy_px: (2,).
        cosine: z / distance along the pixel's ray.
        distance_m: the true straight distance.
        label_m: what the benchmark's own label says, which may be z or something else.
    """
    truth = {"distance_m": float(distance_m), "label_m": float(label_m)}
    return Query(id, "depth", {"xy_px": _floats(xy_px), "cosine": float(cosine)}, truth)


def match_query(
    id: str, xy_a_px: ArrayLike, xy_b_px: ArrayLike, size_a_px: ArrayLike, size_b_px: ArrayLike
) -> Query:
    """Where a pixel (2,) of picture a lies in picture b; sizes are width and height."""
    ask = {
        "xy_px": _floats(xy_a_px),
        "size_a_px": _floats(size_a_px),
        "size_b_px": _floats(size_b_px),
    }
    return Query(id, "correspondence", ask, {"xy_px": _floats(xy_b_px)})


def pose_query(id: str, pose: RelativePose, *, metric: bool = True) -> Query:
    """How the camera moved; `metric` says whether its distance is in metres."""
    return Query(id, "pose", {"metric": metric}, {"cam1_from_cam2": pose.cam1_from_cam2.tolist()})


def object_query(
    id: str, category: str, question: str, boxes_xyxy_px: ArrayLike, truth: ObjectValue
) -> Query:
    """A question about boxes with {0}, {1} where they are meant; `category` is a column's name."""
    boxes = np.asarray(boxes_xyxy_px, dtype=np.float64).reshape(-1, 4).tolist()
    said = {
        name: value
        for name in ("value_m", "clock_hour", "yes", "region")
        if (value := getattr(truth, name)) is not None
    }
    ask = {"question": question, "boxes_xyxy_px": boxes, "category": category}
    return Query(id, "objects", ask, said)


def free_query(id: str, category: str, question: str, form: Json, truth: Json) -> Query:
    """A question that is none of the four tasks, about all pictures of its item.

    Args:
        id: see `Query`.
        category: a column's name.
        question: complete, as the model reads it.
        form: what may be answered, see `vlm3.tasks.free_questions`.
        truth: {"option": k}, {"number": x}, or what a hit is judged by and, as "hit", the share of
            blind answers that hit.
    """
    ask = {"question": question, "boxes_xyxy_px": [], "category": category, "form": form}
    return Query(id, "objects", ask, truth)


def _floats(values: ArrayLike) -> list[float]:
    found: list[float] = np.asarray(values, dtype=np.float64).ravel().tolist()
    return found
