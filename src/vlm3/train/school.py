"""What a small model is shown: pointing lessons, single views and pairs of worlds.

Every lesson is a function of (seed, split, number): a restarted run is shown what it would have
been shown. Worlds come from a gallery and look another way each time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from vlm3.tasks import correspondence, depth, pose
from vlm3.tasks.base import QA
from vlm3.tasks.protocol import Protocol
from vlm3.train.batch import Lesson
from vlm3.train.gallery import SHAPES, SIZE_PX, Gallery, StoredPair, collage, repainted, shown
from vlm3.train.pointing import (
    COLORS,
    QUESTION,
    box_lesson,
    color_lesson,
    color_qas,
    matching_lesson,
)
from vlm3.worlds import labels

Kind = Literal["color", "matching", "boxes", "view", "objects", "pair"]

_POINTING: dict[Kind, float] = {"color": 0.6, "matching": 0.15, "boxes": 0.25}
_WORLDS: dict[Kind, float] = {
    "color": 0.05,
    "matching": 0.05,
    "boxes": 0.1,
    "view": 0.35,
    "objects": 0.25,
    "pair": 0.2,
}
_COLLAGES = 0.6
"""Of the views that are learnt from; those of checks are whole."""
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


class School:
    """Makes lessons.

    Args:
        protocol: in which questions and answers are written.
        gallery: the worlds; its split is the school's, "heldout" has other seeds and furniture.
        worlds: how many of the gallery's pairs are shown in turn.
    """

    def __init__(self, protocol: Protocol, gallery: Gallery, worlds: int) -> None:
        self.protocol, self.gallery, self.worlds = protocol, gallery, worlds

    def lesson(self, number: int, *, kind: Kind | None = None, pointing: bool = False) -> Lesson:
        """Lesson `number`.

        Args:
            number: which.
            kind: of lesson, drawn when None.
            pointing: draw from the mosaics only.
        """
        gallery = self.gallery
        rng = np.random.default_rng((gallery.seed, gallery.split == "heldout", number))
        if kind is None:
            shares = _POINTING if pointing else _WORLDS
            kind = list(shares)[rng.choice(len(shares), p=list(shares.values()))]
        if kind == "color":
            image, qas = color_lesson(rng, *_shape(rng), questions=24)
            return Lesson((image,), _unique(qas))
        if kind == "matching":
            first, second, qas = matching_lesson(rng, self.protocol, *_shape(rng), questions=16)
            return Lesson((first, second), _unique(qas))
        if kind == "boxes":
            image, qas = box_lesson(
                rng, self.protocol, groups=3, opposites=0.2 if pointing else 0.5
            )
            return Lesson((image,), _unique(qas))
        pair = gallery.pair(number % self.worlds)
        if gallery.split == "train":
            pair = _repainted(pair, rng)
        make = {"view": self._view, "objects": self._objects, "pair": self._pair}[kind]
        return make(pair, rng)

    def _view(self, pair: StoredPair, rng: np.random.Generator) -> Lesson:
        shape = _shape(rng)
        pair = shown(pair, rng, *shape)
        frame = pair.frame1
        if self.gallery.split == "train" and rng.random() < _COLLAGES:
            other = self.gallery.pair(int(rng.integers(self.worlds)))
            other = shown(_repainted(other, rng), rng, *shape)
            a, b = pair.frame1, other.frame1
            ways = ((a, b, a, b), (a, a, b, b), (a, b, other.frame2, pair.frame2))
            frame = collage(ways[rng.integers(len(ways))], rng)
        qas = labels.depth_qas(frame, self.protocol, 24, rng)
        # What the mosaics teach holds on in a rendered room only if rooms ask for it too.
        return Lesson((frame.image,), _unique((*qas, *color_qas(rng, frame.image, questions=4))))

    # Apart from distances: a question about boxes is five times as long, and a row is as long as
    # the longest beside it.
    def _objects(self, pair: StoredPair, rng: np.random.Generator) -> Lesson:
        # Uncut: the boxes are those of whole pictures.
        frame = shown(pair, rng, *SIZE_PX).frame1
        qas = labels.grouped_object_qas(frame, self.protocol, 5, rng)
        return Lesson((frame.image,), _unique(qas[:24]))

    def _pair(self, pair: StoredPair, rng: np.random.Generator) -> Lesson:
        pair = shown(pair, rng, *_shape(rng))
        qas = labels.match_qas(pair, self.protocol, 16, rng)
        qas += labels.pose_qas(pair, self.protocol)
        return Lesson((pair.frame1.image, pair.frame2.image), _unique(qas))


def _shape(rng: np.random.Generator) -> tuple[int, int]:
    return SHAPES[rng.integers(len(SHAPES))]


def _repainted(pair: StoredPair, rng: np.random.Generator) -> StoredPair:
    one, two = (replace(f, image=repainted(f.image, rng)) for f in (pair.frame1, pair.frame2))
    return replace(pair, frame1=one, frame2=two)


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
