"""The first lessons: look where the text points.

Mosaics of plain colours with a question for the colour at a point. There is no depth in them, only
the link between numbers in the text and places in the picture. Learnt first, it makes everything
after it learnable: worlds alone, or mixed in from the start, took several times as many pictures to
a first sign of looking.
"""

import numpy as np
import numpy.typing as npt

from vlm3.geometry.pixels import norm_from_px
from vlm3.tasks.base import QA

COLORS = ("black", "blue", "green", "cyan", "red", "purple", "yellow", "white")
"""Names of the corners of the colour cube, in binary order of red, green, blue."""

QUESTION = "Color of the point (x, y), each in [0, 2000): {x:04d} {y:04d}"

Image = npt.NDArray[np.uint8]


def color_lesson(
    rng: np.random.Generator, width_px: int, height_px: int, *, questions: int
) -> tuple[Image, list[QA]]:
    """A mosaic and questions for the colour at random points of it."""
    cell = int(rng.choice([16, 24, 32, 48, 64]))
    classes = rng.integers(0, 8, (height_px // cell + 2, width_px // cell + 2))
    shift_x, shift_y = rng.integers(0, cell, 2)
    rows = (np.arange(height_px) + shift_y) // cell
    columns = (np.arange(width_px) + shift_x) // cell
    image = _paint(rng, classes[rows[:, None], columns[None]])
    return image, color_qas(rng, image, questions=questions)


def color_qas(rng: np.random.Generator, image: Image, *, questions: int) -> list[QA]:
    """Questions for the nearest of the eight colours at random pixels of any picture.

    What the mosaics teach holds on in a rendered room only if rooms ask for it too.
    """
    height_px, width_px, _ = image.shape
    qas = []
    for x, y in zip(
        rng.integers(0, width_px, questions), rng.integers(0, height_px, questions), strict=True
    ):
        norm = norm_from_px(
            np.array([x + 0.5, y + 0.5]), width_px, height_px, size=2000, half_open=True
        )
        red, green, blue = image[y, x] >= 128
        text = QUESTION.format(x=int(norm[0]), y=int(norm[1]))
        qas.append(QA("depth", text, COLORS[4 * red + 2 * green + blue]))
    return qas


def _paint(rng: np.random.Generator, label: npt.NDArray[np.int64]) -> Image:
    """Colours the eight classes, each near its corner of the colour cube."""
    corners = (np.arange(8)[:, None] >> np.array([2, 1, 0])) & 1
    palette = np.clip(corners * 0.75 + 0.12 + rng.normal(0, 0.06, (8, 3)), 0, 1)
    noise = rng.normal(0, 0.02, (*label.shape, 1))
    return np.asarray(np.clip((palette[label] + noise) * 255, 0, 255).astype(np.uint8))
