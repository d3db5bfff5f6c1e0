"""What many pieces share: white, black and muted colours, sizes from ranges, legs."""

import numpy as np

from vlm3.worlds.materials import Colour, hsv, srgb
from vlm3.worlds.mesh import MeshBuilder, axis_matrix
from vlm3.worlds.pieces.piece import Range, Rng, Size

WHITE: Colour = srgb("#f2f2ee")
BLACK: Colour = srgb("#1d1d1f")
UNTINTED: Colour = (1.0, 1.0, 1.0)
SIDEWAYS = axis_matrix((0, 1, 0), np.pi / 2)
"""Turns an upright cylinder into one that lies across: a wheel."""


def size_within(rng: Rng, ranges: tuple[Range, Range, Range]) -> Size:
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
