"""Tables: dining tables, desks, coffee and side tables, counters."""

from vlm3.worlds.materials import Colour
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.pieces.parts import UNTINTED, draw_legs, muted_tint, size_within
from vlm3.worlds.pieces.piece import Palette, Piece, Rng, Sizes

TABLES: Sizes = {
    "table": ((0.9, 2.2), (0.7, 1.05), (0.71, 0.78)),
    "desk": ((1.0, 1.8), (0.55, 0.85), (0.70, 0.77)),
    "coffee table": ((0.6, 1.3), (0.4, 0.8), (0.32, 0.5)),
    "side table": ((0.35, 0.55), (0.35, 0.55), (0.42, 0.65)),
    "counter": ((1.2, 2.6), (0.6, 0.9), (0.86, 0.95)),
}
_FRAMED, _METAL_LEGS, _PANELS, _ONE_FOOT = range(4)


def table(rng: Rng, category: str) -> Piece:
    """Four legs, a foot, or side panels; a desk may have drawers."""
    w, d, h = size_within(rng, TABLES[category])
    style = int(rng.integers(4))
    top = float(rng.uniform(0.018, 0.05))
    leg = float(rng.uniform(0.035, 0.09))
    wooden, tint = rng.random() < 0.7, muted_tint(rng)
    drawers = int(rng.integers(2, 5)) if category == "desk" and rng.random() < 0.6 else 0
    under = h - top

    def draw(b: MeshBuilder, p: Palette) -> None:
        row, colour = (p.wood, UNTINTED) if wooden else (p.paint, tint)
        b.box((0, 0, h - top / 2), (w, d, top), row, colour)
        if style == _PANELS:
            for side in (-1, 1):
                b.box((side * (w / 2 - 0.03), 0, under / 2), (0.03, d * 0.92, under), row, colour)
            b.box((0, d * 0.35, under * 0.7), (w - 0.06, 0.02, under * 0.5), row, colour)
        elif style == _ONE_FOOT and category != "desk":
            b.cylinder((0, 0, under / 2), 0.09, under, p.metal)
            b.cylinder((0, 0, 0.015), min(w, d) * 0.7, 0.03, p.metal, segments=16)
        elif style == _METAL_LEGS:
            draw_legs(b, w - 0.04, d - 0.04, under, leg * 0.6, p.metal)
        else:
            draw_legs(b, w - 0.04, d - 0.04, under, leg, row, colour)
            if style == _FRAMED:
                for side in (-1, 1):
                    at = (0, side * (d / 2 - 0.04), under - 0.05)
                    b.box(at, (w - 0.1, 0.02, 0.09), row, colour)
        _drawers(b, p, drawers, (w, d, under), row, colour)

    return Piece(category, (w, d, h), draw, h)


def _drawers(
    b: MeshBuilder,
    p: Palette,
    count: int,
    under: tuple[float, float, float],
    row: int,
    colour: Colour,
) -> None:
    """A stack of drawers with handles at the right, below the top of a desk."""
    w, d, high = under
    for k in range(count):
        hk = 0.55 / count
        z = high - 0.02 - hk * (k + 0.5)
        b.box((w / 2 - 0.24, 0, z), (0.4, d * 0.85, hk - 0.01), row, colour)
        b.box((w / 2 - 0.24, -d * 0.43, z), (0.12, 0.025, 0.015), p.metal)
