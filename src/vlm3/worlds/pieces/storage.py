"""Storage: bookcases, and boxes with doors or drawers, from nightstands to refrigerators."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vlm3.worlds.materials import Colour, hsv, srgb
from vlm3.worlds.mesh import MeshBuilder, axis_matrix
from vlm3.worlds.pieces.parts import BLACK, UNTINTED, WHITE, muted_tint, size_within
from vlm3.worlds.pieces.piece import Palette, Piece, Rng, Size, Sizes

_Block = tuple[tuple[float, float, float], Size, Colour]  # centre, size, tint

CUPBOARDS: Sizes = {
    "cupboard": ((0.6, 1.2), (0.38, 0.5), (0.75, 1.3)),
    "wardrobe": ((0.9, 2.2), (0.55, 0.65), (1.85, 2.3)),
    "chest of drawers": ((0.6, 1.3), (0.4, 0.5), (0.7, 1.1)),
    "nightstand": ((0.38, 0.55), (0.35, 0.45), (0.42, 0.62)),
    "tv stand": ((1.0, 2.0), (0.35, 0.45), (0.4, 0.6)),
    "refrigerator": ((0.55, 0.75), (0.58, 0.7), (1.4, 1.95)),
    "washing machine": ((0.595, 0.61), (0.55, 0.62), (0.84, 0.86)),
    "stove": ((0.5, 0.6), (0.58, 0.62), (0.85, 0.92)),
    "filing cabinet": ((0.4, 0.5), (0.45, 0.62), (0.65, 1.35)),
}
_APPLIANCES = ("refrigerator", "washing machine", "stove")
_WITH_DRAWERS = ("chest of drawers", "nightstand", "filing cabinet")
_PLINTH_M = 0.06
_DOORS_FROM_M = _PLINTH_M + 0.005
_BOARD_M = 0.022


def shelf(rng: Rng) -> Piece:
    """Bookcases with books, boxes and gaps."""
    w, d = float(rng.uniform(0.6, 1.6)), float(rng.uniform(0.25, 0.4))
    h = float(rng.choice([rng.uniform(0.7, 1.2), rng.uniform(1.6, 2.2)]))
    rows, wooden, tint = max(2, round(h / 0.36)), rng.random() < 0.65, muted_tint(rng)
    open_back, t = rng.random() < 0.3, _BOARD_M
    items: list[_Block] = []
    for r in range(rows):
        z, room = 0.05 + r * (h - 0.07) / rows + t / 2, (h - 0.07) / rows - t
        kind = float(rng.random())
        if kind < 0.7:
            items += _row_of_books(rng, w, d, z, room)
        elif kind < 0.9:
            items += _row_of_boxes(rng, w, d, z, room)

    def draw(b: MeshBuilder, p: Palette) -> None:
        row, colour = (p.wood, UNTINTED) if wooden else (p.paint, tint)
        for side in (-1, 1):
            b.box((side * (w - t) / 2, 0, h / 2), (t, d, h), row, colour)
        for r in range(rows + 1):
            b.box((0, 0, 0.05 + r * (h - 0.07) / rows), (w - 2 * t, d, t), row, colour)
        if not open_back:
            b.box((0, d / 2 - 0.005, h / 2), (w - 0.01, 0.01, h - 0.02), row, colour)
        for center, size, shade in items:
            b.box(center, size, p.paint, shade)

    return Piece("bookshelf", (w, d, h), draw, h if h < 1.3 else 0.0)


def _row_of_books(rng: Rng, w: float, d: float, z: float, room: float) -> list[_Block]:
    """Spines side by side from the left, on a board at height z with `room` above it."""
    books: list[_Block] = []
    x, end = -w / 2 + _BOARD_M, w / 2 - _BOARD_M
    end -= float(rng.uniform(0, 0.5)) * w
    while x < end - 0.06:
        step = float(rng.uniform(0.018, 0.06))
        bh = room * float(rng.uniform(0.6, 0.93))
        bd = d * float(rng.uniform(0.55, 0.85))
        colour = hsv(
            float(rng.random()) ** 1.7,
            float(rng.triangular(0.0, 0.1, 0.8)),
            float(rng.uniform(0.15, 0.92)),
        )
        center = (x + step / 2, d * 0.4 - bd / 2, z + bh / 2)
        books.append((center, (step - 0.002, bd, bh), colour))
        x += step
    return books


def _row_of_boxes(rng: Rng, w: float, d: float, z: float, room: float) -> list[_Block]:
    """A few boxes anywhere on a board."""
    boxes: list[_Block] = []
    for _ in range(int(rng.integers(1, 4))):
        width = float(rng.uniform(0.08, 0.25, 2)[0])
        x = float(rng.uniform(-w / 2 + _BOARD_M + 0.15, w / 2 - _BOARD_M - 0.15))
        bh = room * float(rng.uniform(0.3, 0.8))
        boxes.append(((x, 0.0, z + bh / 2), (width, d * 0.7, bh), muted_tint(rng)))
    return boxes


def _enamel(rng: Rng) -> Colour:
    return WHITE if rng.random() < 0.6 else srgb("#9a9da0")


@dataclass(frozen=True)
class _Front:
    """The front of a cupboard: rows of doors or drawers, and what they are opened by."""

    heights_m: tuple[float, ...]
    columns: int
    drawers: bool
    handle: Literal["knob", "bar", "long bar"]


def cupboard(rng: Rng, category: str) -> Piece:
    """Boxes with doors or drawers: wardrobes, chests, nightstands, fridges, washing machines."""
    w, d, h = size = size_within(rng, CUPBOARDS[category])
    appliance = category in _APPLIANCES
    wooden = not appliance and category != "filing cabinet" and rng.random() < 0.65
    tint = _enamel(rng) if appliance else muted_tint(rng)
    split, knob = float(rng.uniform(0.55, 0.75)), rng.random() < 0.5
    front = _front(category, w, h, split, knob)

    def draw(b: MeshBuilder, p: Palette) -> None:
        row, colour = (p.wood, UNTINTED) if wooden else (p.gloss if appliance else p.paint, tint)
        body = h - _PLINTH_M
        b.box((0, 0.01, _PLINTH_M + body / 2), (w, d - 0.02, body), row, colour)
        b.box((0, 0.03, _PLINTH_M / 2), (w - 0.04, d - 0.06, _PLINTH_M), p.paint, BLACK)
        if category == "washing machine":
            _draw_drum(b, p, size)
        elif category == "stove":
            _draw_oven(b, p, size)
        else:
            _draw_front(b, p, size, front, row, colour)

    top = h if h < 1.35 and category != "stove" else 0.0
    return Piece(category, size, draw, top)


def _front(category: str, w: float, h: float, split: float, knob: bool) -> _Front:
    """How the front is divided; a refrigerator has two doors, the upper `split` of the height."""
    high = h - _DOORS_FROM_M
    if category == "refrigerator":
        return _Front((high * (1 - split), high * split), 1, False, "long bar")
    drawers = category in _WITH_DRAWERS
    rows = max(2, round(h / 0.26)) if drawers else 1
    columns = max(1, round(w / 0.5))
    return _Front((high / rows,) * rows, columns, drawers, "knob" if knob else "bar")


def _draw_front(
    b: MeshBuilder, p: Palette, size: Size, front: _Front, row: int, colour: Colour
) -> None:
    w, d, _ = size
    z0, yf = _DOORS_FROM_M, -d / 2 + 0.01
    wc = w / front.columns
    # A refrigerator's long bars sit high on its small door, so that both are within reach.
    longest, on_small = (0.35, 0.8) if front.handle == "long bar" else (0.14, 0.55)
    for hk in front.heights_m:
        for c in range(front.columns):
            x = -w / 2 + wc * (c + 0.5)
            b.box((x, yf, z0 + hk / 2), (wc - 0.006, 0.018, hk - 0.006), row, colour)
            if front.drawers:
                handle, bar = (x, yf - 0.02, z0 + hk / 2), (0.1, 0.02, 0.012)
            else:
                side = (1 if c % 2 == 0 else -1) if front.columns > 1 else 1
                at = z0 + hk * (on_small if hk < 0.7 else 0.55)
                handle = (x + side * (wc / 2 - 0.05), yf - 0.02, at)
                bar = (0.014, 0.02, min(longest, hk * 0.5))
            if front.handle == "knob":
                b.ball(handle, (0.03, 0.03, 0.03), p.metal, detail=4)
            else:
                b.box(handle, bar, p.metal)
        z0 += hk


def _draw_drum(b: MeshBuilder, p: Palette, size: Size) -> None:
    """The round door and the panel of a washing machine."""
    w, d, h = size
    yf, turn = -d / 2 + 0.01, axis_matrix((1, 0, 0), np.pi / 2)
    b.cylinder((0, yf, 0.45), 0.36, 0.03, p.metal, segments=20, turn=turn)
    b.cylinder((0, yf - 0.01, 0.45), 0.28, 0.03, p.glass, segments=20, turn=turn)
    b.box((0, yf, h - 0.07), (w - 0.02, 0.012, 0.1), p.paint, srgb("#d0d2d4"))


def _draw_oven(b: MeshBuilder, p: Palette, size: Size) -> None:
    """The window and the bar of an oven's door, and four hotplates."""
    w, d, h = size
    yf = -d / 2 + 0.01
    b.box((0, yf, h * 0.48), (w * 0.86, 0.02, h * 0.5), p.glass)
    b.box((0, yf - 0.03, h * 0.76), (w * 0.8, 0.02, 0.02), p.metal)
    for k in range(4):
        x, y = (-1 if k & 1 else 1) * w * 0.22, (-1 if k & 2 else 1) * d * 0.22
        b.cylinder((x, y, h + 0.004), 0.17, 0.008, p.paint, BLACK)
