"""Colour grounding: look where the text points.

Mosaics of plain colours with a question for the colour at a point. There is no depth in them, only
the link between numbers in the text and places in the picture. Learnt first, it makes everything
after it learnable: worlds alone, or mixed in from the start, took several times as many pictures to
a first sign of looking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vlm3.data.mixture import ENDLESS
from vlm3.geometry.pixels import norm_from_px
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.references import MARKED_COLOR, Reference, marked, question_place
from vlm3.tasks.sample import Sample

COLORS = ("black", "blue", "green", "cyan", "red", "purple", "yellow", "white")
"""Names of the corners of the colour cube, in binary order of red, green, blue."""

QUESTION = "Color of the point (x, y), each in [0, 2000): {x:04d} {y:04d}"
COLOR = "color"
"""The task name of these questions, which occur in training alone."""

Image = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Colors:
    """Asks for the nearest of the eight colours at random pixels of any picture.

    What the mosaics teach holds on in a rendered room only if questions about rooms need it too.
    """

    count: int
    name: str = COLOR

    def examples(
        self, sample: Sample, protocol: Protocol, rng: np.random.Generator, most: int
    ) -> list[QA]:
        """So many questions as it was made for."""
        return color_questions(rng, sample.open()[0].image, self.count)


def color_questions(rng: np.random.Generator, image: Image, count: int) -> list[QA]:
    """Questions for the colours at `count` random pixels of a picture."""
    height_px, width_px, _ = image.shape
    columns, rows = rng.integers(0, width_px, count), rng.integers(0, height_px, count)
    return [
        color_question((x + 0.5, y + 0.5), (width_px, height_px), 2000, color_at(image, x, y))
        for x, y in zip(columns.tolist(), rows.tolist(), strict=True)
    ]


def color_question(
    xy_px: Sequence[float], size_px: Sequence[int], norm_size: int, answer: str
) -> QA:
    """The question about a pixel (2,) of a picture of some width and height."""
    x, y = norm_from_px(np.array(xy_px), *size_px, size=norm_size, half_open=True).tolist()
    return QA(COLOR, QUESTION.format(x=x, y=y), answer)


def color_at(image: Image, x: int, y: int) -> str:
    """The nearest of the eight colours."""
    red, green, blue = image[y, x] >= 128
    return COLORS[4 * red + 2 * green + blue]


def mosaic(rng: np.random.Generator, width_px: int, height_px: int) -> Image:
    """Squares of plain colours."""
    cell = int(rng.choice([16, 24, 32, 48, 64]))
    classes = rng.integers(0, 8, (height_px // cell + 2, width_px // cell + 2))
    shift_x, shift_y = rng.integers(0, cell, 2)
    rows = (np.arange(height_px) + shift_y) // cell
    columns = (np.arange(width_px) + shift_x) // cell
    return _paint(rng, classes[rows[:, None], columns[None]])


@dataclass(frozen=True)
class Mosaics:
    """Mosaics and questions about them.

    Pictures differ in size, within a quarter of `size_px`. Where pixels are marked, a picture has
    one question.
    """

    protocol: Protocol
    size_px: tuple[int, int]
    multiple_px: int
    questions: int
    seed: int
    reference: Reference = "normalised"
    name: str = "mosaics"

    def __len__(self) -> int:
        return ENDLESS

    def conversation(self, place: int, seed: tuple[int, ...]) -> Conversation:
        """See `vlm3.train.datasets.ConversationSource`; a mosaic's questions never change."""
        rng = np.random.default_rng((7, self.seed, place))
        width_px, height_px = (
            max(1, round(side * rng.uniform(0.75, 1.25) / self.multiple_px)) * self.multiple_px
            for side in self.size_px
        )
        image = mosaic(rng, width_px, height_px)
        qas = color_questions(rng, image, self.questions)
        if self.reference == "marker":
            x, y = int(rng.integers(width_px)), int(rng.integers(height_px))
            qas = [QA(COLOR, MARKED_COLOR, color_at(image, x, y))]
            return Conversation((marked(image, (x + 0.5, y + 0.5)),), tuple(qas))
        if self.reference in ("pixels", "relative"):
            qas = self._renamed(rng, image)
        return Conversation((image,), tuple({qa.question: qa for qa in qas}.values()))

    def _renamed(self, rng: np.random.Generator, image: Image) -> list[QA]:
        height_px, width_px, _ = image.shape
        qas = []
        for x, y in rng.integers((0, 0), (width_px, height_px), (self.questions, 2)).tolist():
            xy, size = question_place(
                self.reference, self.protocol, (x + 0.5, y + 0.5), width_px, height_px
            )
            answer = color_at(image, x, y)
            qas.append(
                color_question(xy.tolist(), (*size.values(),), self.protocol.norm_size, answer)
            )
        return qas

    def describe(self, place: int) -> str:
        """See `vlm3.train.datasets.ConversationSource`."""
        return f"mosaic {place} of seed {self.seed}"


def _paint(rng: np.random.Generator, label: npt.NDArray[np.int64]) -> Image:
    """Colours the eight classes, each near its corner of the colour cube."""
    corners = (np.arange(8)[:, None] >> np.array([2, 1, 0])) & 1
    palette = np.clip(corners * 0.75 + 0.12 + rng.normal(0, 0.06, (8, 3)), 0, 1)
    noise = rng.normal(0, 0.02, (*label.shape, 1))
    return np.asarray(np.clip((palette[label] + noise) * 255, 0, 255).astype(np.uint8))
