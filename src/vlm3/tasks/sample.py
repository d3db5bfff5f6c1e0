"""A sample: one picture, or two of one scene, and everything that is known about them.

What all data comes down to, whether it was curated, rendered or made for an evaluation; the tasks
turn it into questions. Pictures are opened when they are needed, and labels are drawn from: a
rendered picture has a distance at every pixel, a curated one at a hundred.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.tasks.truth import ObjectTruth, check_truth
from vlm3.view import View

Floats = NDArray[np.float64]
Rng = np.random.Generator | None
"""What labels are drawn with; None takes the first ones as they stand."""
Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


@dataclass(frozen=True)
class ObjectQuestion:
    """A question about boxes, with {0}, {1} where they are meant, and its answer.

    Attributes:
        question: with {k} where box k is meant.
        boxes_xyxy_px: corners of the boxes.
        truth: the short answer; None where it is known in words alone.
        sentence: the answer in words, for protocols that answer in sentences.
        category: the column of a table that it belongs to; "" for the kind of its answer.
    """

    question: str
    boxes_xyxy_px: tuple[Box, ...]
    truth: ObjectTruth | None = None
    sentence: str | None = None
    category: str = ""

    def validate(self, name: str) -> None:
        """Checks the question; messages call it `name`.

        Raises:
            InputError: a box without area, a {k} without a box, an answer that cannot be or none.
        """
        boxes = len(self.boxes_xyxy_px)
        for k, box in enumerate(self.boxes_xyxy_px):
            if len(box) != 4 or not (
                box[0] < box[2] and box[1] < box[3] and bool(np.isfinite(box).all())
            ):
                raise InputError(f"{name}.boxes_xyxy_px[{k}] is not x1, y1, x2, y2 with an area")
        for part, text in (("question", self.question), ("answer", self.sentence or "")):
            named = [int(k[:9]) for k in re.findall(r"\{(\d+)\}", text)]
            if named and max(named) >= boxes:
                raise InputError(f"{name}.{part} names box {{{max(named)}}} of {boxes}")
        if self.truth is None and self.sentence is None:
            raise InputError(f"{name} has no answer")
        if self.truth is not None:
            check_truth(self.truth, name, boxes)


@dataclass(frozen=True, eq=False)
class Points:
    """Labelled pixels of one picture.

    Attributes:
        xy_px: (n, 2) pixels.
        distance_m: (n,) straight distances of what they show.
    """

    xy_px: Floats
    distance_m: Floats

    def draw(self, count: int, rng: Rng) -> "Points":
        """Up to `count` of them, in a random order."""
        chosen = _chosen(len(self.xy_px), count, rng)
        return Points(self.xy_px[chosen], self.distance_m[chosen])


@dataclass(frozen=True, eq=False)
class Matches:
    """Pixels of picture 1 that picture 2 shows too.

    Attributes:
        xy1_px: (n, 2) pixels of picture 1.
        xy2_px: (n, 2) the same places in picture 2.
    """

    xy1_px: Floats
    xy2_px: Floats

    def draw(self, count: int, rng: Rng) -> "Matches":
        """Up to `count` of them, in a random order."""
        chosen = _chosen(len(self.xy1_px), count, rng)
        return Matches(self.xy1_px[chosen], self.xy2_px[chosen])


@dataclass(frozen=True, eq=False)
class ObjectQuestions:
    """Questions about the objects of a picture."""

    questions: tuple[ObjectQuestion, ...]

    def draw(self, count: int, rng: Rng) -> tuple[ObjectQuestion, ...]:
        """Up to `count` of them, in a random order."""
        return tuple(self.questions[k] for k in _chosen(len(self.questions), count, rng))


def _chosen(there: int, count: int, rng: Rng) -> NDArray[np.int64]:
    order = np.arange(there) if rng is None else rng.permutation(there)
    return order[:count]


class PointLabels(Interface):
    """Distances that can be drawn: `Points`, or a picture with one at every pixel."""

    def draw(self, count: int, rng: Rng) -> Points:
        """Up to `count` labelled pixels."""


class MatchLabels(Interface):
    """Matches that can be drawn: `Matches`, or rays cast at what was rendered."""

    def draw(self, count: int, rng: Rng) -> Matches:
        """Up to `count` matches."""


class ObjectLabels(Interface):
    """Object questions that can be drawn: `ObjectQuestions`, or made of the objects of a world."""

    def draw(self, count: int, rng: Rng) -> tuple[ObjectQuestion, ...]:
        """Up to `count` questions."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One picture or two, and their labels; what is not known is None.

    Attributes:
        key: what messages call it.
        cameras: one a picture, of the picture as it is stored.
        pictures: how each is opened.
        points: distances in the first picture.
        objects: questions about the first picture.
        matches: places of the first picture in the second.
        motion: pose of camera 2 in camera 1's frame.
        metric: whether lengths are true metres.
        calibrated: whether the first picture's lens was measured, and not guessed.
    """

    key: str
    cameras: tuple[Camera, ...]
    pictures: tuple[Callable[[], View], ...]
    points: PointLabels | None = None
    objects: ObjectLabels | None = None
    matches: MatchLabels | None = None
    motion: RelativePose | None = None
    metric: bool = True
    calibrated: bool = True

    def open(self) -> tuple[View, ...]:
        """All pictures, opened now.

        Raises:
            InputError: one is damaged.
        """
        return tuple(picture() for picture in self.pictures)
