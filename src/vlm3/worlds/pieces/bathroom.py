"""Toilets, washbasins, bathtubs."""

from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.pieces.parts import WHITE
from vlm3.worlds.pieces.piece import Palette, Piece, Rng, Size

FIXTURES: dict[str, Size] = {
    "toilet": (0.37, 0.68, 0.8),
    "washbasin": (0.6, 0.48, 0.86),
    "bathtub": (1.7, 0.75, 0.58),
}
"""Category -> its usual width, depth and height in metres."""


def fixture(rng: Rng, category: str) -> Piece:
    """One of `FIXTURES`, its sides a little larger or smaller than usual."""
    w, d, h = size = _near(rng, FIXTURES[category])

    def draw(b: MeshBuilder, p: Palette) -> None:
        if category == "toilet":
            b.box((0, d / 2 - 0.09, h * 0.72), (w, 0.18, h * 0.56), p.gloss, WHITE)
            b.ball((0, -0.1, 0.36), (w, d - 0.2, 0.14), p.gloss, WHITE, 0.6)
            b.cylinder((0, -0.04, 0.18), w * 0.6, 0.36, p.gloss, WHITE, 1.3, 14)
        elif category == "washbasin":
            b.cylinder((0, 0.1, h * 0.42), 0.18, h * 0.84, p.gloss, WHITE, 1.2)
            b.ball((0, 0, h - 0.09), (w, d, 0.2), p.gloss, WHITE, 0.4)
            b.cylinder((0, d / 2 - 0.08, h + 0.03), 0.03, 0.15, p.metal, segments=8)
        else:
            t = 0.07
            for side in (-1, 1):
                b.box((side * (w - t) / 2, 0, h / 2), (t, d, h), p.gloss, WHITE)
                b.box((0, side * (d - t) / 2, h / 2), (w - 2 * t, t, h), p.gloss, WHITE)
            b.box((0, 0, 0.06), (w - t, d - t, 0.12), p.gloss, WHITE)

    return Piece(category, size, draw)


def _near(rng: Rng, size: Size) -> Size:
    w, d, h = (float(v * rng.uniform(0.94, 1.06)) for v in size)
    return w, d, h
