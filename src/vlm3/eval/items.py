"""What a benchmark asks: items, each one picture or one pair, with the queries about it.

An item's pictures are opened when they are needed; its queries, with their truth, are small. Every
query becomes one line of a predictions file, so `ask` and `truth` are plain JSON here already.
Knows no model and no score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from vlm3.geometry.pose import RelativePose
from vlm3.tasks.base import TaskName
from vlm3.tasks.correspondence import CORRESPONDENCE
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.pose import POSE
from vlm3.tasks.questions import QUESTIONS
from vlm3.tasks.registry import TASKS
from vlm3.tasks.sample import ObjectQuestion, Sample
from vlm3.tasks.task import Json
from vlm3.tasks.truth import ObjectTruth
from vlm3.view import View

_ALL = 1 << 31


@dataclass(frozen=True)
class Query:
    """One question and its truth.

    Attributes:
        id: unique in its benchmark, the same in every run: predictions are joined by it.
        task: which task.
        ask: the question, as the predictions file holds it.
        truth: what is right, as the predictions file holds it.
    """

    id: str
    task: TaskName
    ask: Json
    truth: Json


@dataclass(frozen=True)
class Item:
    """One picture, or one pair, and the queries about it.

    Attributes:
        key: what intervals are clustered by.
        pictures: how to open each.
        queries: in the order of the run.
    """

    key: str
    pictures: tuple[Callable[[], View], ...]
    queries: tuple[Query, ...]

    @classmethod
    def of(
        cls, sample: Sample, *, numbers: Mapping[str, Sequence[int]] | None = None, digits: int = 2
    ) -> Self:
        """A sample with all its labels as queries; see `queries_of`."""
        queries = queries_of(sample, sample.key, numbers=numbers, digits=digits)
        return cls(sample.key, sample.pictures, queries)


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
    ask_and_truth = DEPTH.query(xy_px, cosine=cosine, distance_m=distance_m, label_m=label_m)
    return Query(id, DEPTH.name, *ask_and_truth)


def match_query(
    id: str, xy_a_px: ArrayLike, xy_b_px: ArrayLike, size_a_px: ArrayLike, size_b_px: ArrayLike
) -> Query:
    """Where a pixel (2,) of picture a lies in picture b; sizes are width and height."""
    ask_and_truth = CORRESPONDENCE.query(xy_a_px, xy_b_px, size_a_px, size_b_px)
    return Query(id, CORRESPONDENCE.name, *ask_and_truth)


def pose_query(id: str, pose: RelativePose, *, metric: bool = True) -> Query:
    """How the camera moved; `metric` says whether its distance is in metres."""
    return Query(id, POSE.name, *POSE.query(pose, metric=metric))


def object_query(
    id: str, category: str, question: str, boxes_xyxy_px: ArrayLike, truth: ObjectTruth
) -> Query:
    """A question about boxes with {0}, {1} where they are meant; `category` is a column's name."""
    boxes = [tuple(box) for box in np.asarray(boxes_xyxy_px, float).reshape(-1, 4).tolist()]
    ask_and_truth = OBJECTS.query(ObjectQuestion(question, tuple(boxes), truth, category=category))
    return Query(id, OBJECTS.name, *ask_and_truth)


def free_query(id: str, category: str, question: str, form: Json, truth: Json) -> Query:
    """A question in its publisher's words, about all pictures of its item.

    Args:
        id: see `Query`.
        category: a column's name.
        question: complete, as the model reads it.
        form: what may be answered, see `vlm3.tasks.questions`.
        truth: {"option": k}, {"number": x}, or what a hit is judged by and, as "hit", the share of
            blind answers that hit.
    """
    ask = {"question": question, "category": category, "form": form}
    return Query(id, QUESTIONS.name, ask, truth)


def queries_of(
    sample: Sample, key: str, *, numbers: Mapping[str, Sequence[int]] | None = None, digits: int = 2
) -> tuple[Query, ...]:
    """All labels of a sample as queries, task by task; those without a short truth are left out.

    Args:
        sample: its listed labels become queries, in their order.
        key: what ids begin with: KEY/depth-00, ..., KEY/pose.
        numbers: task -> the numbers in the ids of its labels, where they do not count from 0.
        digits: of those numbers, at least.
    """
    made = []
    for task in TASKS.values():
        if task.pictures != len(sample.cameras):
            continue
        counted = (numbers or {}).get(task.name)
        for k, (ask, truth) in enumerate(task.queries(sample, _ALL)):
            name = f"{task.mark}-{counted[k] if counted else k:0{digits}d}"
            ident = f"{key}/{task.mark if task.once else name}"
            if not np.isnan(task.numbers(truth)).all():
                made.append(Query(ident, task.name, ask, truth))
    return tuple(made)
