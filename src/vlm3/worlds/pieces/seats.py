"""Seats and beds: chairs, office chairs, stools, sofas, armchairs, beds."""

import numpy as np

from vlm3.worlds.materials import Colour, hsv
from vlm3.worlds.mesh import MeshBuilder, axis_matrix
from vlm3.worlds.pieces.parts import BLACK, UNTINTED, WHITE, draw_legs, muted_tint
from vlm3.worlds.pieces.piece import Palette, Piece, Rng


def chair(rng: Rng) -> Piece:
    """Chairs with legs, and office chairs on a star base."""
    w, d = float(rng.uniform(0.40, 0.52)), float(rng.uniform(0.42, 0.55))
    seat, h = float(rng.uniform(0.43, 0.48)), float(rng.uniform(0.78, 1.02))
    office = rng.random() < 0.3
    wooden, tint, leg = rng.random() < 0.55, muted_tint(rng), float(rng.uniform(0.025, 0.045))
    slats, arms = int(rng.integers(0, 5)), rng.random() < 0.3
    lean = float(rng.uniform(0.0, 0.15))
    if office:
        w, d, h = w + 0.12, d + 0.1, h + 0.08
    cushion = rng.random() < 0.35

    def draw(b: MeshBuilder, p: Palette) -> None:
        row, colour = (p.wood2, UNTINTED) if wooden and not office else (p.paint, tint)
        if office:
            _office_seat(b, p, w, d, seat, h - seat)
        else:
            draw_legs(b, w - 0.02, d - 0.02, seat, leg, row if not slats else p.wood2, colour)
            b.box((0, 0, seat - 0.02), (w, d, 0.04), row, colour)
            turn = axis_matrix((1, 0, 0), -lean * 0.5)
            at = (0, d / 2 - 0.03, seat)
            _back(b, at, (w, h - seat), slats, leg, row, colour, turn)
            if cushion:
                b.ball((0, 0, seat + 0.02), (w * 0.92, d * 0.9, 0.07), p.fabric, power=0.4)
        if arms:
            for side in (-1, 1):
                x = side * (w / 2 - 0.02)
                b.box((x, 0, seat + 0.2), (0.04, d * 0.7, 0.03), row, colour)
                b.box((x, -d * 0.3, seat + 0.09), (0.03, 0.03, 0.2), row, colour)

    return Piece("office chair" if office else "chair", (w, d, h), draw)


def _office_seat(
    b: MeshBuilder, p: Palette, w: float, d: float, seat: float, back_h: float
) -> None:
    """A star base on castors, a column, an upholstered seat and back."""
    for k in range(5):
        angle = 2 * np.pi * k / 5
        c, s = float(np.cos(angle)), float(np.sin(angle))
        turn = axis_matrix((0, 0, 1), angle)
        b.box((0.14 * c, 0.14 * s, 0.06), (0.28, 0.04, 0.03), p.metal, turn=turn)
        b.ball((0.27 * c, 0.27 * s, 0.03), (0.06, 0.06, 0.06), p.paint, BLACK, detail=4)
    b.cylinder((0, 0, 0.25), 0.05, 0.36, p.metal, segments=8)
    b.ball((0, 0, seat), (w * 0.9, d * 0.9, 0.1), p.fabric2, power=0.4)
    yb = d / 2 - 0.03
    at = (0, yb - 0.03, seat + back_h * 0.58)
    b.ball(at, (w * 0.85, 0.09, back_h * 0.84), p.fabric2, power=0.4)
    b.box((0, yb, seat + back_h * 0.15), (0.06, 0.03, back_h * 0.4), p.metal)


def _back(
    b: MeshBuilder,
    foot: tuple[float, float, float],
    size: tuple[float, float],
    slats: int,
    leg: float,
    row: int,
    colour: Colour,
    turn: np.ndarray,
) -> None:
    """The back of a chair, from its middle `foot`: one board, or slats between two posts."""
    _, y, z0 = foot
    w, high = size
    if slats == 0:
        b.box((0, y, z0 + high / 2), (w, 0.025, high), row, colour, turn)
        return
    for side in (-1, 1):
        at = (side * (w / 2 - leg / 2), y, z0 + high / 2)
        b.box(at, (leg, leg, high), row, colour, turn)
    for k in range(slats):
        z = z0 + high * (0.35 + 0.62 * (k + 0.5) / slats)
        b.box((0, y, z), (w - leg, 0.02, high * 0.4 / slats), row, colour, turn)


def stool(rng: Rng) -> Piece:
    """Round stools, low or for a bar."""
    w, h = float(rng.uniform(0.3, 0.42)), float(rng.choice([0.45, 0.65, 0.75]))

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.cylinder((0, 0, h - 0.03), w, 0.06, p.wood2, segments=16)
        draw_legs(b, w * 0.75, w * 0.75, h - 0.05, 0.03, p.wood2)

    return Piece("stool", (w, w, h), draw)


def sofa(rng: Rng, category: str) -> Piece:
    """Sofas and armchairs of soft blocks."""
    w = float(rng.uniform(1.5, 2.5) if category == "sofa" else rng.uniform(0.72, 0.98))
    d, h = float(rng.uniform(0.78, 1.0)), float(rng.uniform(0.72, 0.95))
    seat, arm = float(rng.uniform(0.38, 0.46)), float(rng.uniform(0.1, 0.24))
    seats = max(1, round((w - 2 * arm) / 0.7))
    pillows = int(rng.integers(0, 4)) if category == "sofa" else int(rng.integers(0, 2))
    where, power = rng.uniform(-0.4, 0.4, 4), float(rng.uniform(0.15, 0.4))
    tints = [hsv(float(rng.random()), float(rng.uniform(0.1, 0.7)), 0.8) for _ in range(4)]

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.box((0, 0, 0.05 + seat * 0.32), (w - 0.06, d - 0.06, seat * 0.6), p.fabric2)
        draw_legs(b, w - 0.1, d - 0.1, 0.07, 0.05, p.wood2)
        for side in (-1, 1):
            at = (side * (w - arm) / 2, -0.02, 0.06 + seat * 0.68)
            b.ball(at, (arm, d - 0.04, seat * 1.25), p.fabric2, power=power)
        b.ball((0, d / 2 - 0.11, 0.06 + h / 2), (w - 0.02, 0.22, h - 0.06), p.fabric2, power=power)
        width = (w - 2 * arm) / seats
        for k in range(seats):
            x = -w / 2 + arm + width * (k + 0.5)
            b.ball((x, -0.08, seat - 0.06), (width, d - 0.2, 0.2), p.fabric2, power=0.25)
            b.ball((x, d / 2 - 0.25, seat + 0.2), (width * 0.98, 0.2, 0.42), p.fabric2, power=0.4)
        for k in range(pillows):
            at = (where[k] * (w - 2 * arm), d / 2 - 0.4, seat + 0.2)
            b.ball(at, (0.42, 0.16, 0.38), p.fabric, tints[k], 0.5, axis_matrix((1, 0, 0), -0.35))

    return Piece(category, (w, d, h), draw)


def bed(rng: Rng) -> Piece:
    """Beds with mattress, blanket and pillows; the head is at the back."""
    w = float(rng.choice([0.9, 1.0, 1.4, 1.6, 1.8])) + 0.06
    d, h = float(rng.uniform(1.98, 2.15)), float(rng.uniform(0.75, 1.15))
    level, fold = float(rng.uniform(0.42, 0.58)), float(rng.uniform(0.55, 0.8))
    soft_head = rng.random() < 0.4
    count = 1 if w < 1.2 else 2
    blanket = hsv(float(rng.random()), float(rng.uniform(0.05, 0.6)), float(rng.uniform(0.4, 0.95)))

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.box((0, 0, level * 0.38), (w, d, level * 0.45), p.wood)
        draw_legs(b, w - 0.06, d - 0.06, level * 0.2, 0.06, p.wood)
        if soft_head:
            b.ball((0, d / 2 - 0.05, h / 2), (w, 0.1, h), p.fabric2, power=0.2)
        else:
            b.box((0, d / 2 - 0.025, h / 2), (w, 0.05, h), p.wood)
        b.ball((0, -0.03, level - 0.1), (w - 0.04, d - 0.1, 0.24), p.paint, WHITE, 0.15)
        cover = fold * d
        at = (0, -d / 2 + cover / 2, level - 0.06)
        b.ball(at, (w + 0.03, cover, 0.24), p.fabric, blanket, 0.18)
        for k in range(count):
            x = (k - (count - 1) / 2) * w * 0.46
            b.ball((x, d / 2 - 0.32, level + 0.08), (0.6, 0.4, 0.16), p.paint, WHITE, 0.6)

    return Piece("bed", (w, d, h), draw)
