"""What a small model is shown: pointing lessons, single views and pairs of worlds.

Every lesson is a function of (seed, split, step, place in the batch): nothing is stored, and a
restarted run is shown what it would have been shown.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from vlm3.tasks import correspondence, depth, pose
from vlm3.tasks.base import QA
from vlm3.tasks.protocol import Protocol
from vlm3.train.batch import Lesson
from vlm3.train.pointing import (
    COLORS,
    QUESTION,
    color_lesson,
    color_qas,
    matching_lesson,
)
from vlm3.worlds import Frame, labels, sample_pair, sample_view

Kind = Literal["color", "matching", "view", "objects", "pair"]

_POINTING: dict[Kind, float] = {"color": 1.0}
_WORLDS: dict[Kind, float] = {
    "color": 0.15,
    "matching": 0.05,
    "view": 0.60,
    "objects": 0.08,
    "pair": 0.12,
}
_OBJECT_SENTENCES = (
    "Is region 0 to the left of region 1? Is region 0 to the right of region 1? yes no",
    "Would you say that region 0 is below region 1? above behind in front of",
    "Does region 0 appear bigger than region 1, seen from here? smaller than taller than",
    "Is region 0 shorter than region 1? wider than thinner than",
    "Which lies further to the left, region 0 or region 1? further to the right",
    "Which of region 0 and region 1 is placed lower? placed higher",
    "Which is nearer to the camera, region 0 or region 1? Which is further from the camera",
    "Which is bigger, region 0 or region 1? Which is taller wider thinner shorter smaller",
    "How far is region 0 from region 1? What is the distance between region 0 and region 1?",
    "How far apart are region 0 and region 1 horizontally? vertically?",
    "What is the horizontal distance between region 0 and region 1?",
    "What is the vertical distance from region 0 to region 1?",
    "How wide is region 0? What is the width of region 0?",
    "How tall is region 0? What is the height of region 0?",
    "Standing at region 0 and facing away from the camera, at which hour of the clock is region 1?",
    "If you are at region 0, in which clock direction do you find region 1? 03 o'clock 01.25 m",
    "Regions x1 y1 x2 y2, each in [0, 2000): 0010 0039 0652 0999; 0006 0380 0228 0562",
)
"""The words of questions about objects."""

_ROOM_SHARE = 0.75
"""Rooms among the worlds: they cost less to render, and are what most first photos show."""

# Shapes of view in pixels at 125 px focal length: 3:2, 4:3, wide and tall, 50 to 85 degrees.
_SIZES = ((160, 128), (144, 112), (144, 96), (176, 128), (128, 144), (224, 80), (192, 112))
_SIZE_WEIGHTS = (0.25, 0.25, 0.2, 0.1, 0.05, 0.05, 0.1)


class School:
    """Makes lessons.

    Args:
        protocol: in which questions and answers are written.
        f_px: focal length of every picture.
        seed: of all lessons.
        split: "heldout" uses other seeds and other furniture.
    """

    def __init__(
        self,
        protocol: Protocol,
        *,
        f_px: float,
        seed: int,
        split: Literal["train", "heldout"] = "train",
    ) -> None:
        self.protocol = protocol
        self.f_px = f_px
        self.seed = seed
        self.split: Literal["train", "heldout"] = split

    def lessons(
        self, step: int, count: int, *, kind: Kind | None = None, pointing: bool = False
    ) -> list[Lesson]:
        """The lessons of one step: one kind and one picture size, so that they stack.

        Args:
            step: which.
            count: how many.
            kind: of lesson, drawn when None.
            pointing: draw from the mosaics only.
        """
        rng = np.random.default_rng((self.seed, self.split == "heldout", step))
        if kind is None:
            shares = _POINTING if pointing else _WORLDS
            kind = list(shares)[rng.choice(len(shares), p=list(shares.values()))]
        width_px, height_px = _SIZES[rng.choice(len(_SIZES), p=_SIZE_WEIGHTS)]
        make = {
            "color": self._color,
            "matching": self._matching,
            "view": self._view,
            "objects": self._objects,
            "pair": self._pair,
        }[kind]
        return [make(rng, step * 1000 + place, width_px, height_px) for place in range(count)]

    def _color(self, rng: np.random.Generator, _: int, width_px: int, height_px: int) -> Lesson:
        image, qas = color_lesson(rng, width_px=width_px, height_px=height_px, questions=16)
        return Lesson((image,), _unique(qas))

    def _matching(self, rng: np.random.Generator, _: int, width_px: int, height_px: int) -> Lesson:
        first, second, qas = matching_lesson(
            rng, self.protocol, width_px=width_px, height_px=height_px, questions=12
        )
        return Lesson((first, second), _unique(qas))

    def _view(self, rng: np.random.Generator, index: int, width_px: int, height_px: int) -> Lesson:
        frame = self._frame(rng, index, width_px, height_px)
        qas = labels.depth_qas(frame, self.protocol, 16, rng)
        return Lesson((frame.image,), _unique((*qas, *color_qas(rng, frame.image, questions=6))))

    # Apart from distances: a question about boxes is five times as long, and a row is as long as
    # the longest beside it.
    def _objects(
        self, rng: np.random.Generator, index: int, width_px: int, height_px: int
    ) -> Lesson:
        frame = self._frame(rng, index, width_px, height_px)
        return Lesson((frame.image,), _unique(labels.object_qas(frame, self.protocol, 5, rng)))

    def _frame(self, rng: np.random.Generator, index: int, width_px: int, height_px: int) -> Frame:
        return sample_view(
            self.seed,
            index,
            width_px=width_px,
            height_px=height_px,
            f_px=self.f_px,
            split=self.split,
            kind="room" if rng.random() < _ROOM_SHARE else "street",
        )

    def _pair(self, rng: np.random.Generator, index: int, width_px: int, height_px: int) -> Lesson:
        pair = sample_pair(
            self.seed,
            index,
            width_px=width_px,
            height_px=height_px,
            f_px=self.f_px,
            split=self.split,
            kind="room" if rng.random() < _ROOM_SHARE else "street",
        )
        qas = labels.match_qas(pair, self.protocol, 12, rng)
        qas += labels.pose_qas(pair, self.protocol)
        return Lesson((pair.frame1.image, pair.frame2.image), _unique(qas))


def _unique(qas: Iterable[QA]) -> tuple[QA, ...]:
    """One answer a question: what is asked twice is kept once."""
    return tuple({qa.question: qa for qa in qas}.values())


def sentences(protocol: Protocol) -> Iterator[str]:
    """Text as the lessons have it, for the tokenizer to learn its words from."""
    rng = np.random.default_rng(0)
    size = {"width_px": 160, "height_px": 128}
    for _ in range(200):
        x, y = rng.uniform(0, 128, 2)
        point = np.array([x, y])
        yield depth.ask(protocol, point, **size)
        yield correspondence.ask(protocol, point, **size)
        yield QUESTION.format(x=int(x), y=int(y))
        yield from COLORS
        for component in pose.components(protocol):
            yield pose.ask(protocol, component)
        yield from _OBJECT_SENTENCES
