"""People, on foot and on bicycles."""

from dataclasses import dataclass

import numpy as np

from vlm3.worlds.materials import Colour, hsv, srgb
from vlm3.worlds.mesh import MeshBuilder, axis_matrix
from vlm3.worlds.pieces.parts import BLACK
from vlm3.worlds.pieces.piece import Palette, Piece, Rng

_SKINS = ("#e3b899", "#c68e66", "#8d5a3b", "#f0cdb2")
_HAIRS = ("#2a1c14", "#5a3c22", "#a5875a", "#15120f", "#8c8c8c")
_BICYCLE_TUBES = (
    ((-0.52, 0.34), (-0.42, 0.95)),
    ((-0.45, 0.8), (0.05, 0.32)),
    ((-0.45, 0.85), (0.18, 0.85)),
    ((0.18, 0.9), (0.05, 0.32)),
    ((0.05, 0.32), (0.52, 0.34)),
    ((0.18, 0.85), (0.52, 0.34)),
)
"""From (y, z) to (y, z), metres."""

_TYRE = [
    (
        (0.33 * float(np.cos(angle)), 0.34 + 0.33 * float(np.sin(angle))),
        axis_matrix((1, 0, 0), angle + np.pi / 2),
    )
    for angle in (2 * np.pi * (k + 0.5) / 14 for k in range(14))
]
"""The fourteen short boxes of a tyre: (y, z) from below its hub, and their turn."""


@dataclass(frozen=True)
class _Looks:
    """What a person wears, and how far it strides and swings its arms, radians."""

    top: Colour
    legs: Colour
    skin: Colour
    hair: Colour
    stride: float
    swing: float


def person(rng: Rng) -> Piece:
    """A standing or walking figure, sometimes a child."""
    h = float(rng.uniform(1.55, 1.90)) if rng.random() < 0.88 else float(rng.uniform(1.0, 1.4))
    k = h / 1.75
    looks = _looks(rng)
    long_coat, bag = rng.random() < 0.25, rng.random() < 0.3

    def draw(b: MeshBuilder, p: Palette) -> None:
        for side in (-1, 1):
            _draw_leg(b, p, k, side, looks)
            _draw_arm(b, p, k, side, looks)
        low = 0.6 if long_coat else 0.82
        coat = (0.42 * k, 0.25 * k, (1.46 - low) * k)
        b.ball((0, 0, (low + 1.46) / 2 * k), coat, p.fabric, looks.top, 0.5)
        b.cylinder((0, 0, 1.47 * k), 0.11 * k, 0.12 * k, p.paint, looks.skin, segments=8)
        b.ball((0, 0, 1.62 * k), (0.16 * k, 0.2 * k, 0.25 * k), p.paint, looks.skin)
        b.ball((0, 0.02 * k, 1.665 * k), (0.175 * k, 0.2 * k, 0.17 * k), p.paint, looks.hair)
        if bag:
            size = (0.3 * k, 0.16 * k, 0.42 * k)
            b.ball((0.0, 0.17 * k, 1.2 * k), size, p.fabric, looks.hair, 0.4)

    return Piece("person", (0.56 * k, 0.5 * k, h), draw)


def _looks(rng: Rng) -> _Looks:
    top = hsv(float(rng.random()), float(rng.uniform(0.05, 0.75)), float(rng.uniform(0.15, 0.9)))
    blue, pale = float(rng.uniform(0.5, 0.7)), float(rng.uniform(0.05, 0.5))
    legs = hsv(blue, pale, float(rng.uniform(0.1, 0.5)))
    skin = srgb(_SKINS[int(rng.integers(4))])
    hair = srgb(_HAIRS[int(rng.integers(5))])
    return _Looks(top, legs, skin, hair, float(rng.uniform(0, 0.4)), float(rng.uniform(0, 0.5)))


def _draw_leg(b: MeshBuilder, p: Palette, k: float, side: int, looks: _Looks) -> None:
    """A leg and its shoe, of a person k times 1.75 m tall."""
    turn = axis_matrix((1, 0, 0), side * looks.stride)
    offset = -side * np.sin(looks.stride) * 0.41 * k
    at = (side * 0.09 * k, -offset * 0.5, 0.44 * k)
    b.cylinder(at, 0.13 * k, 0.86 * k, p.fabric, looks.legs, 1.3, 8, turn)
    shoe = (side * 0.09 * k, -offset - 0.05 * k, 0.04 * k)
    b.box(shoe, (0.09 * k, 0.26 * k, 0.08 * k), p.paint, BLACK)


def _draw_arm(b: MeshBuilder, p: Palette, k: float, side: int, looks: _Looks) -> None:
    turn = axis_matrix((1, 0, 0), -side * looks.swing)
    at = (side * 0.235 * k, side * np.sin(looks.swing) * 0.15 * k, 1.13 * k)
    b.cylinder(at, 0.085 * k, 0.62 * k, p.fabric, looks.top, 1.2, 7, turn)
    hand = (side * 0.235 * k, side * np.sin(looks.swing) * 0.42 * k, 0.82 * k)
    b.ball(hand, (0.08 * k, 0.09 * k, 0.12 * k), p.paint, looks.skin, detail=5)


def bicycle(rng: Rng) -> Piece:
    """A bicycle alone."""
    tint = _bicycle_tint(rng)
    return Piece("bicycle", (0.58, 1.74, 1.05), lambda b, p: _draw_bicycle(b, p, tint))


def cyclist(rng: Rng) -> Piece:
    """A bicycle that is ridden."""
    tint, rider = _bicycle_tint(rng), person(rng)

    def draw(b: MeshBuilder, p: Palette) -> None:
        _draw_bicycle(b, p, tint)
        origin = b.origin.copy()
        b.origin = origin + b.rotation @ np.array([0, 0.15, 0.18])
        rider.draw(b, p)
        b.origin = origin

    return Piece("cyclist", (0.58, 1.74, rider.size_wdh_m[2] + 0.18), draw)


def _bicycle_tint(rng: Rng) -> Colour:
    return hsv(float(rng.random()), 0.5, float(rng.uniform(0.2, 0.8)))


def _draw_bicycle(b: MeshBuilder, p: Palette, tint: Colour) -> None:
    """Tyres, tubes, handlebar, saddle."""
    for hub in (-0.52, 0.52):
        for (y, z), turn in _TYRE:
            b.box((0.0, hub + y, z), (0.04, 0.155, 0.035), p.paint, BLACK, turn)
    for (ya, za), (yb, zb) in _BICYCLE_TUBES:
        length = float(np.hypot(yb - ya, zb - za))
        turn = axis_matrix((1, 0, 0), float(np.arctan2(zb - za, yb - ya)))
        b.box((0, (ya + yb) / 2, (za + zb) / 2), (0.035, length, 0.035), p.gloss, tint, turn)
    b.box((0, -0.42, 1.0), (0.56, 0.04, 0.04), p.metal)
    b.ball((0, 0.2, 0.95), (0.16, 0.28, 0.07), p.paint, BLACK, detail=5)
