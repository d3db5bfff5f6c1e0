"""The first lessons: look where the text points, and compare what it says.

Mosaics of plain colours with a question for the colour at a point, and two crops of one mosaic
with a question for the match. There is no depth in them, only the link between numbers in the
text and places in the picture. Learnt first, it makes everything after it learnable: worlds alone,
or mixed in from the start, took several times as many pictures to a first sign of looking.

And boxes on a mosaic with questions that their numbers answer: which lies further left, which is
taller.
"""

import numpy as np
import numpy.typing as npt

from vlm3.geometry.pixels import norm_from_px
from vlm3.tasks import correspondence
from vlm3.tasks.base import QA
from vlm3.tasks.protocol import Protocol
from vlm3.worlds.labels import object_qa
from vlm3.worlds.questions import wall_questions

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


def matching_lesson(
    rng: np.random.Generator,
    protocol: Protocol,
    width_px: int,
    height_px: int,
    *,
    questions: int,
) -> tuple[Image, Image, list[QA]]:
    """Two views of one flat mosaic, shifted, turned and scaled, and questions for matches."""
    cell = float(rng.choice([12, 18, 26, 40]))
    classes = rng.integers(0, 8, (64, 64))
    paint_seed = int(rng.integers(2**31))
    center = np.array([width_px, height_px]) / 2
    angle, scale = rng.normal(0, 0.15), np.exp(rng.normal(0, 0.15))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = rng.uniform(-0.35, 0.35, 2) * (width_px, height_px)
    # Plane coordinates of a pixel: the first view's own; the second's are moved.
    yy, xx = np.meshgrid(np.arange(height_px) + 0.5, np.arange(width_px) + 0.5, indexing="ij")
    first = np.stack([xx, yy], -1)
    second = (first - center) @ turn.T + center + shift
    images = []
    for plane in (first, second):
        index = np.floor(plane / cell).astype(int) % 64
        images.append(
            _paint(np.random.default_rng(paint_seed), classes[index[..., 1], index[..., 0]])
        )
    points = rng.uniform((0, 0), (width_px, height_px), (questions * 4, 2))
    matches = (points - center - shift) @ np.linalg.inv(turn).T + center
    inside = ((matches >= 0) & (matches < (width_px, height_px))).all(-1)
    qas = [
        QA(
            "correspondence",
            correspondence.ask(protocol, point, width_px=width_px, height_px=height_px),
            correspondence.answer(protocol, match, width_px=width_px, height_px=height_px),
        )
        for point, match in zip(
            points[inside][:questions], matches[inside][:questions], strict=True
        )
    ]
    return images[0], images[1], qas


def box_lesson(
    rng: np.random.Generator, protocol: Protocol, *, groups: int, opposites: float
) -> tuple[Image, list[QA]]:
    """Regions of a mosaic, and how the first of each group compares with the seven others."""
    width_px, height_px = 64, 48
    image, _ = color_lesson(rng, width_px, height_px, questions=0)
    size = np.array([width_px, height_px])
    qas = []
    for _ in range(groups):
        sides = size * np.exp(rng.uniform(np.log(0.04), np.log(0.6), (8, 2)))
        corners = rng.uniform(0, size - sides)
        boxes = np.concatenate([corners, corners + sides], -1)
        made = wall_questions([tuple(box) for box in boxes.tolist()], rng, opposites=opposites)
        qas += [object_qa(protocol, q, width_px=width_px, height_px=height_px) for q in made]
    return image, qas


def _paint(rng: np.random.Generator, label: npt.NDArray[np.int64]) -> Image:
    """Colours the eight classes, each near its corner of the colour cube."""
    corners = (np.arange(8)[:, None] >> np.array([2, 1, 0])) & 1
    palette = np.clip(corners * 0.75 + 0.12 + rng.normal(0, 0.06, (8, 3)), 0, 1)
    noise = rng.normal(0, 0.02, (*label.shape, 1))
    return np.asarray(np.clip((palette[label] + noise) * 255, 0, 255).astype(np.uint8))
