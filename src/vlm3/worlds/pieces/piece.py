"""What a model is: its category, its size and how it draws itself; and the materials it draws with.

Local axes: x width, y depth (front is -y), z up, origin at the middle of the base, metres. Shape
parameters come from the model's own generator, so that a model (category, number) always looks the
same, and train and held-out worlds can own different models. Knows no rooms and no streets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vlm3.worlds.materials import Colour, hsv, srgb
from vlm3.worlds.mesh import MeshBuilder

Rng = np.random.Generator
Size = tuple[float, float, float]
Range = tuple[float, float]

WHITE: Colour = srgb("#f2f2ee")
BLACK: Colour = srgb("#1d1d1f")
UNTINTED: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Palette:
    """Rows of the material table that models draw with."""

    wood: int
    wood2: int
    metal: int
    fabric: int
    fabric2: int
    paint: int
    gloss: int
    glass: int
    screen: int
    leaves: int
    art: int
    mirror: int
    glow: int


@dataclass(frozen=True)
class Piece:
    """One model: `draw(builder, palette)` puts it at the builder's frame."""

    category: str
    size_wdh_m: Size
    draw: Callable[[MeshBuilder, Palette], None]
    top_m: float = 0.0  # height of a surface that carries things, 0 for none
    name: str | None = None  # more exactly than the category, where a catalogue gives it


Makers = Mapping[str, Callable[[Rng], Piece]]
"""Category -> what makes a model of it from the model's own generator."""


def numbered_model(makers: Makers, category: str, number: int) -> Piece:
    """The `number`-th model of a category: always the same shape."""
    return makers[category](np.random.default_rng([number, *(ord(c) for c in category)]))


def draw_size(rng: Rng, ranges: tuple[Range, Range, Range]) -> Size:
    """Width, depth and height, each drawn from its range of metres."""
    w, d, h = (float(rng.uniform(*r)) for r in ranges)
    return w, d, h


def muted_tint(rng: Rng) -> Colour:
    """White, grey, dark or a muted colour."""
    if rng.random() < 0.6:
        level = float(rng.choice([0.93, 0.8, 0.5, 0.2, 0.12])) * rng.uniform(0.9, 1.05)
        return srgb((min(level, 1.0), min(level * 0.98, 1.0), min(level * 0.95, 1.0)))
    return hsv(rng.random(), rng.uniform(0.2, 0.65), rng.uniform(0.3, 0.85))


def draw_legs(
    b: MeshBuilder, w: float, d: float, h: float, t: float, row: int, tint: Colour = UNTINTED
) -> None:
    """Four legs of thickness t at the corners of w x d."""
    for sx in (-1, 1):
        for sy in (-1, 1):
            center = (sx * (w - t) / 2, sy * (d - t) / 2, h / 2)
            b.box(center, (t, t, h), row, tint)
