"""Plants: in pots, and trees along streets."""

import numpy as np

from vlm3.worlds.materials import srgb
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.pieces.parts import muted_tint
from vlm3.worlds.pieces.piece import Palette, Piece, Rng
from vlm3.worlds.primitives import Floats

_TERRACOTTA = srgb("#b5653f")


def plant(rng: Rng) -> Piece:
    """A pot with many leaves, small or as tall as a person."""
    h = float(rng.choice([rng.uniform(0.25, 0.5), rng.uniform(0.8, 1.7)]))
    w = h * float(rng.uniform(0.45, 0.75))
    pot_h, pot_w = h * float(rng.uniform(0.18, 0.3)), w * float(rng.uniform(0.4, 0.55))
    count = int(rng.integers(24, 60))
    tint = _TERRACOTTA if rng.random() < 0.5 else muted_tint(rng)
    drawn = rng.uniform(size=(count, 4))
    slim = float(rng.uniform(0.25, 0.6))

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.cylinder((0, 0, pot_h / 2), pot_w * 0.75, pot_h, p.paint, tint, 1.3, 14)
        b.cylinder((0, 0, h * 0.35), 0.02 + 0.01 * h, h * 0.5, p.wood2, segments=6)
        for numbers in drawn:
            shade = 0.6 + 0.8 * numbers[3]
            corners = _leaf(numbers, w, h, pot_h, slim)
            b.quad(corners, p.leaves, (shade, shade, shade * 0.9))

    return Piece("plant", (w, w, h), draw)


def _leaf(numbers: Floats, w: float, h: float, pot_h: float, slim: float) -> Floats:
    """(4, 3) corners of a leaf from four numbers in [0, 1): direction, lift, length, height."""
    angle, lift = 2 * np.pi * numbers[0], 0.15 + 1.1 * numbers[1]
    length = (0.25 + 0.25 * numbers[2]) * w
    base = pot_h + (h - pot_h) * (0.15 + 0.6 * numbers[1] * numbers[3])
    way = np.array([np.cos(angle) * np.cos(lift), np.sin(angle) * np.cos(lift), np.sin(lift)])
    tip = np.array([0, 0, base]) + way * length
    tip[2] = min(tip[2], h)
    across = np.cross(way, [0, 0, 1.0])
    across = across / np.linalg.norm(across) * length * slim * 0.5
    middle = np.array([0, 0, base]) * 0.45 + tip * 0.55 + [0, 0, 0.03 * h]
    middle[2] = min(middle[2], h)
    return np.array([[0, 0, base], middle - across, tip, middle + across])


def tree(rng: Rng) -> Piece:
    """Broad-leaved trees and conifers."""
    h = float(np.clip(rng.lognormal(1.9, 0.35), 3.0, 14.0))
    w = h * float(rng.uniform(0.4, 0.75))
    trunk, bare = 0.03 * h + 0.08, float(rng.uniform(0.22, 0.4))
    conifer = rng.random() < 0.2
    blobs = rng.uniform(-1, 1, (int(rng.integers(9, 17)), 5))
    hue = float(rng.uniform(0.85, 1.15))

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.cylinder((0, 0, h * 0.3), trunk, h * 0.6, p.wood2, (0.75, 0.72, 0.7), 0.6, 8)
        if conifer:
            for k in range(5):
                at = (0, 0, h * (0.15 + 0.17 * k) + h * 0.12)
                wide = w * 0.75 * (1 - 0.17 * k)
                b.cylinder(at, wide, h * 0.26, p.leaves, (0.5, 0.65, 0.55), 0.1, 10)
            return
        room = h * (1 - bare)
        for r in blobs:
            s = w * (0.32 + 0.14 * abs(r[3]))
            radius = (w - s) / 2
            x, y = radius * r[0] * 0.95, radius * r[1] * 0.95
            inward = 1 - 0.2 * (r[0] ** 2 + r[1] ** 2)
            z = h * bare + s * 0.4 + (room - s * 0.8) * (0.5 + 0.5 * r[2]) * inward
            shade = 0.75 + 0.3 * (r[2] * 0.5 + 0.5) + 0.1 * r[4]
            tint = (shade * hue, shade, shade * 0.85)
            b.ball((x, y, z), (s, s, s * 0.85), p.leaves, tint, detail=4)

    return Piece("tree", (w, w, h), draw)
