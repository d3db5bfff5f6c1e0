"""What stands along a kerb: street lamps, signs, traffic lights, bollards, bins, benches."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vlm3.worlds.materials import Colour, hsv, srgb
from vlm3.worlds.mesh import MeshBuilder, axis_matrix
from vlm3.worlds.pieces.parts import BLACK, SIDEWAYS, WHITE
from vlm3.worlds.pieces.piece import Palette, Piece, Range, Rng, Size

_SIGN_FACES = ("#b31b1b", "#1f4fa3", "#e7c21b", "#f0f0f0")
_TALL: dict[str, Range] = {
    "street lamp": (5, 9),
    "traffic sign": (2.3, 3.0),
    "traffic light": (3.0, 4.2),
}
_SIGNALS = ("#d92020", "#e0a010", "#20b050")


@dataclass(frozen=True)
class _Look:
    """What differs between posts of one kind: a sign's shape and face, the signal that is lit."""

    shape: int
    tint: Colour
    face: Colour
    lit: int


def post(rng: Rng, category: str) -> Piece:
    """One of `POSTS`."""
    # Every post draws the three heights, its own or not: so each number keeps its shape.
    heights = {name: float(rng.uniform(*least_most)) for name, least_most in _TALL.items()}
    (w, d, h), shape = POSTS[category]
    size = (w, d, heights.get(category, h))
    number, tint = int(rng.integers(3)), hsv(float(rng.random()), float(rng.uniform(0, 0.6)), 0.45)
    look = _Look(number, tint, srgb(_SIGN_FACES[int(rng.integers(4))]), int(rng.integers(3)))
    return Piece(category, size, lambda b, p: shape(b, p, size, look))


def _street_lamp(b: MeshBuilder, p: Palette, size: Size, _: _Look) -> None:
    w, _d, h = size
    b.cylinder((w / 2 - 0.1, 0, h / 2), 0.18, h, p.metal, (0.6, 0.6, 0.6), 0.6, 8)
    b.box((0, 0, h - 0.05), (w - 0.1, 0.07, 0.07), p.metal, (0.6, 0.6, 0.6))
    b.box((-w / 2 + 0.3, 0, h - 0.1), (0.6, 0.24, 0.1), p.paint, (0.5, 0.5, 0.5))


def _traffic_sign(b: MeshBuilder, p: Palette, size: Size, look: _Look) -> None:
    """A disc, a square or a triangle on a pole."""
    w, _, h = size
    b.cylinder((0, 0.03, h / 2), 0.07, h, p.metal, segments=8)
    turn = axis_matrix((1, 0, 0), np.pi / 2)
    front, inner = (0, -0.02, h - w / 2), (0, -0.03, h - w / 2)
    if look.shape == 0:
        b.cylinder(front, w, 0.02, p.paint, look.face, segments=18, turn=turn)
        b.cylinder(inner, w * 0.72, 0.02, p.paint, WHITE, segments=18, turn=turn)
    elif look.shape == 1:
        b.box(front, (w, 0.02, w), p.paint, look.face)
        b.box(inner, (w * 0.3, 0.02, w * 0.6), p.paint, WHITE)
    else:
        upright = axis_matrix((0, 1, 0), np.pi / 6) @ turn
        b.cylinder(front, w, 0.02, p.paint, look.face, segments=3, turn=upright)


def _traffic_light(b: MeshBuilder, p: Palette, size: Size, look: _Look) -> None:
    h = size[2]
    b.cylinder((0, 0.05, h / 2), 0.12, h, p.metal, (0.5, 0.5, 0.5), segments=8)
    b.box((0, -0.1, h - 0.5), (0.32, 0.22, 0.98), p.paint, BLACK)
    for k, colour in enumerate(_SIGNALS):
        row, tint = (p.glow, srgb(colour)) if k == look.lit else (p.paint, (0.05, 0.05, 0.05))
        b.ball((0, -0.21, h - 0.2 - 0.3 * k), (0.2, 0.06, 0.2), row, tint, detail=6)


def _bollard(b: MeshBuilder, p: Palette, size: Size, look: _Look) -> None:
    w, _, h = size
    b.cylinder((0, 0, h / 2), w, h, p.paint, look.tint, segments=10)


def _trash_can(b: MeshBuilder, p: Palette, size: Size, look: _Look) -> None:
    w, _, h = size
    b.cylinder((0, 0, h / 2), w, h, p.paint, look.tint, 1.0, 14)
    b.cylinder((0, 0, h - 0.06), w * 1.06, 0.1, p.paint, BLACK, segments=14)


def _container(b: MeshBuilder, p: Palette, size: Size, look: _Look) -> None:
    w, d, h = size
    b.box((0, 0, h * 0.52), (w, d, h * 0.9), p.paint, look.tint)
    b.box((0, -0.02, h * 0.96), (w * 1.04, d * 1.05, h * 0.08), p.paint, look.tint)
    for side in (-1, 1):
        b.cylinder((side * w * 0.4, d * 0.35, 0.08), 0.16, 0.08, p.paint, BLACK, turn=SIDEWAYS)


def _bench(b: MeshBuilder, p: Palette, size: Size, _: _Look) -> None:
    w = size[0]
    for y in (-0.22, -0.07, 0.08):
        b.box((0, y, 0.45), (w, 0.12, 0.04), p.wood)
    for z in (0.62, 0.77):
        b.box((0, 0.2, z), (w, 0.04, 0.11), p.wood)
    for side in (-1, 1):
        b.box((side * w * 0.4, 0, 0.22), (0.06, 0.5, 0.44), p.metal, (0.3, 0.3, 0.3))
        b.box((side * w * 0.4, 0.24, 0.6), (0.06, 0.05, 0.42), p.metal, (0.3, 0.3, 0.3))


POSTS: dict[str, tuple[Size, Callable[[MeshBuilder, Palette, Size, _Look], None]]] = {
    "street lamp": ((1.6, 0.25, 5.0), _street_lamp),
    "traffic sign": ((0.7, 0.1, 2.3), _traffic_sign),
    "traffic light": ((0.35, 0.35, 3.0), _traffic_light),
    "bollard": ((0.16, 0.16, 0.9), _bollard),
    "trash can": ((0.5, 0.5, 0.95), _trash_can),
    "bench": ((1.7, 0.6, 0.82), _bench),
    "container": ((1.3, 0.9, 1.35), _container),
}
"""Category -> width, depth, height in metres, and how it is drawn; those of `_TALL` are higher."""
