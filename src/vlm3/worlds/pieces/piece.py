"""What a model is: its category, its size and how it draws itself; and the materials it draws with.

Local axes: x width, y depth (front is -y), z up, origin at the middle of the base, metres. Shape
parameters come from the model's own generator, so that a model (category, number) always looks the
same, and train and held-out worlds can own different models. Knows no rooms and no streets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from vlm3.worlds.mesh import MeshBuilder

Rng = np.random.Generator
Size = tuple[float, float, float]
Range = tuple[float, float]
Sizes = dict[str, tuple[Range, Range, Range]]
"""Category -> least and most width, depth and height in metres."""


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
