"""Built-in parametric furniture at true size: tables, seats, storage, beds, lamps, plants.

A `Piece` knows its category, size and how to draw itself; shape parameters come from the model's
own generator, so that a model (category, number) always looks the same and train and held-out
worlds can own different models. Local axes: x width, y depth (front is -y), z up, origin at the
middle of the base, metres. Knows no rooms.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vlm3.worlds.materials import Colour, hsv, srgb
from vlm3.worlds.mesh import MeshBuilder, axis_matrix

Rng = np.random.Generator
Size = tuple[float, float, float]


@dataclass(frozen=True)
class Palette:
    """Rows of the material table that furniture draws with."""

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
    name: str | None = None  # more exactly than the category, where a catalogue says it


WHITE: Colour = srgb("#f2f2ee")
BLACK: Colour = srgb("#1d1d1f")
TERRACOTTA: Colour = srgb("#b5653f")


def _tint(rng: Rng) -> Colour:
    """White, grey, dark or a muted colour."""
    if rng.random() < 0.6:
        level = float(rng.choice([0.93, 0.8, 0.5, 0.2, 0.12])) * rng.uniform(0.9, 1.05)
        return srgb((min(level, 1.0), min(level * 0.98, 1.0), min(level * 0.95, 1.0)))
    return hsv(rng.random(), rng.uniform(0.2, 0.65), rng.uniform(0.3, 0.85))


def _legs(b: MeshBuilder, w: float, d: float, h: float, t: float, row: int, tint: Colour) -> None:
    for sx in (-1, 1):
        for sy in (-1, 1):
            center = (sx * (w - t) / 2, sy * (d - t) / 2, h / 2)
            b.box(center, (t, t, h), row, tint)


def table(rng: Rng, category: str = "table") -> Piece:
    """Dining tables, desks, coffee and side tables: four legs, a foot, or side panels."""
    ranges = {
        "table": ((0.9, 2.2), (0.7, 1.05), (0.71, 0.78)),
        "desk": ((1.0, 1.8), (0.55, 0.85), (0.70, 0.77)),
        "coffee table": ((0.6, 1.3), (0.4, 0.8), (0.32, 0.5)),
        "side table": ((0.35, 0.55), (0.35, 0.55), (0.42, 0.65)),
        "counter": ((1.2, 2.6), (0.6, 0.9), (0.86, 0.95)),
    }[category]
    w, d, h = (float(rng.uniform(*r)) for r in ranges)
    style = int(rng.integers(4))
    top = float(rng.uniform(0.018, 0.05))
    leg = float(rng.uniform(0.035, 0.09))
    wooden, tint = rng.random() < 0.7, _tint(rng)
    drawers = int(rng.integers(2, 5)) if category == "desk" and rng.random() < 0.6 else 0

    def draw(b: MeshBuilder, p: Palette) -> None:
        row = p.wood if wooden else p.paint
        colour: Colour = (1, 1, 1) if wooden else tint
        leg_row, leg_tint = (p.metal, (1.0, 1.0, 1.0)) if style == 1 else (row, colour)
        b.box((0, 0, h - top / 2), (w, d, top), row, colour)
        under = h - top
        if style == 2:  # side panels
            for side in (-1, 1):
                b.box((side * (w / 2 - 0.03), 0, under / 2), (0.03, d * 0.92, under), row, colour)
            b.box((0, d * 0.35, under * 0.7), (w - 0.06, 0.02, under * 0.5), row, colour)
        elif style == 3 and category != "desk":  # one foot
            b.cylinder((0, 0, under / 2), 0.09, under, p.metal)
            b.cylinder((0, 0, 0.015), min(w, d) * 0.7, 0.03, p.metal, segments=16)
        else:
            _legs(b, w - 0.04, d - 0.04, under, leg * (0.6 if style == 1 else 1), leg_row, leg_tint)
            if style == 0:
                for side in (-1, 1):
                    b.box(
                        (0, side * (d / 2 - 0.04), under - 0.05), (w - 0.1, 0.02, 0.09), row, colour
                    )
        for k in range(drawers):
            hk = 0.55 / drawers
            z = under - 0.02 - hk * (k + 0.5)
            b.box((w / 2 - 0.24, 0, z), (0.4, d * 0.85, hk - 0.01), row, colour)
            b.box((w / 2 - 0.24, -d * 0.43, z), (0.12, 0.025, 0.015), p.metal)

    return Piece(category, (w, d, h), draw, h)


def chair(rng: Rng) -> Piece:
    """Chairs with legs, and office chairs on a star base."""
    w, d = float(rng.uniform(0.40, 0.52)), float(rng.uniform(0.42, 0.55))
    seat, h = float(rng.uniform(0.43, 0.48)), float(rng.uniform(0.78, 1.02))
    office = rng.random() < 0.3
    wooden, tint, leg = rng.random() < 0.55, _tint(rng), float(rng.uniform(0.025, 0.045))
    slats, arms = int(rng.integers(0, 5)), rng.random() < 0.3
    lean = float(rng.uniform(0.0, 0.15))
    if office:
        w, d, h = w + 0.12, d + 0.1, h + 0.08

    def draw(b: MeshBuilder, p: Palette) -> None:
        row = p.wood2 if wooden and not office else p.paint
        colour: Colour = (1, 1, 1) if wooden and not office else tint
        back_h = h - seat
        turn = axis_matrix((1, 0, 0), -lean * 0.5)
        yb = d / 2 - 0.03
        if office:
            for k in range(5):
                angle = 2 * np.pi * k / 5
                turn_k = axis_matrix((0, 0, 1), angle)
                c, s = float(np.cos(angle)), float(np.sin(angle))
                b.box((0.14 * c, 0.14 * s, 0.06), (0.28, 0.04, 0.03), p.metal, turn=turn_k)
                b.ball((0.27 * c, 0.27 * s, 0.03), (0.06, 0.06, 0.06), p.paint, BLACK, detail=4)
            b.cylinder((0, 0, 0.25), 0.05, 0.36, p.metal, segments=8)
            b.ball((0, 0, seat), (w * 0.9, d * 0.9, 0.1), p.fabric2, power=0.4)
            b.ball(
                (0, yb - 0.03, seat + back_h * 0.58),
                (w * 0.85, 0.09, back_h * 0.84),
                p.fabric2,
                power=0.4,
            )
            b.box((0, yb, seat + back_h * 0.15), (0.06, 0.03, back_h * 0.4), p.metal)
        else:
            _legs(b, w - 0.02, d - 0.02, seat, leg, row if not slats else p.wood2, colour)
            b.box((0, 0, seat - 0.02), (w, d, 0.04), row, colour)
            if slats == 0:
                b.box((0, yb, seat + back_h / 2), (w, 0.025, back_h), row, colour, turn)
            else:
                for side in (-1, 1):
                    at = (side * (w / 2 - leg / 2), yb, seat + back_h / 2)
                    b.box(at, (leg, leg, back_h), row, colour, turn)
                for k in range(slats):
                    z = seat + back_h * (0.35 + 0.62 * (k + 0.5) / slats)
                    b.box((0, yb, z), (w - leg, 0.02, back_h * 0.4 / slats), row, colour, turn)
            if rng_cushion:
                b.ball((0, 0, seat + 0.02), (w * 0.92, d * 0.9, 0.07), p.fabric, power=0.4)
        if arms:
            for side in (-1, 1):
                b.box((side * (w / 2 - 0.02), 0, seat + 0.2), (0.04, d * 0.7, 0.03), row, colour)
                b.box(
                    (side * (w / 2 - 0.02), -d * 0.3, seat + 0.09), (0.03, 0.03, 0.2), row, colour
                )

    rng_cushion = rng.random() < 0.35
    return Piece("office chair" if office else "chair", (w, d, h), draw)


def stool(rng: Rng) -> Piece:
    """Round stools, low or for a bar."""
    w, h = float(rng.uniform(0.3, 0.42)), float(rng.choice([0.45, 0.65, 0.75]))

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.cylinder((0, 0, h - 0.03), w, 0.06, p.wood2, segments=16)
        _legs(b, w * 0.75, w * 0.75, h - 0.05, 0.03, p.wood2, (1, 1, 1))

    return Piece("stool", (w, w, h), draw)


def sofa(rng: Rng, category: str = "sofa") -> Piece:
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
        _legs(b, w - 0.1, d - 0.1, 0.07, 0.05, p.wood2, (1, 1, 1))
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
        _legs(b, w - 0.06, d - 0.06, level * 0.2, 0.06, p.wood, (1, 1, 1))
        if soft_head:
            b.ball((0, d / 2 - 0.05, h / 2), (w, 0.1, h), p.fabric2, power=0.2)
        else:
            b.box((0, d / 2 - 0.025, h / 2), (w, 0.05, h), p.wood)
        b.ball((0, -0.03, level - 0.1), (w - 0.04, d - 0.1, 0.24), p.paint, WHITE, 0.15)
        cover = fold * d
        at = (0, -d / 2 + cover / 2 + 0.0, level - 0.06)
        b.ball(at, (w + 0.03, cover, 0.24), p.fabric, blanket, 0.18)
        for k in range(count):
            x = (k - (count - 1) / 2) * w * 0.46
            b.ball((x, d / 2 - 0.32, level + 0.08), (0.6, 0.4, 0.16), p.paint, WHITE, 0.6)

    return Piece("bed", (w, d, h), draw)


def shelf(rng: Rng) -> Piece:
    """Bookcases with books, boxes and gaps."""
    w, d = float(rng.uniform(0.6, 1.6)), float(rng.uniform(0.25, 0.4))
    h = float(rng.choice([rng.uniform(0.7, 1.2), rng.uniform(1.6, 2.2)]))
    rows, wooden, tint = max(2, round(h / 0.36)), rng.random() < 0.65, _tint(rng)
    open_back, t = rng.random() < 0.3, 0.022
    items: list[tuple[tuple[float, float, float], Size, Colour]] = []
    for r in range(rows):
        z, room = 0.05 + r * (h - 0.07) / rows + t / 2, (h - 0.07) / rows - t
        x, kind = -w / 2 + t, float(rng.random())
        end = w / 2 - t
        if kind < 0.7:
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
                items.append(
                    ((x + step / 2, d * 0.4 - bd / 2, z + bh / 2), (step - 0.002, bd, bh), colour)
                )
                x += step
        elif kind < 0.9:
            for _ in range(int(rng.integers(1, 4))):
                s = rng.uniform(0.08, 0.25, 2)
                px, bh = (
                    float(rng.uniform(x + 0.15, end - 0.15)),
                    room * float(rng.uniform(0.3, 0.8)),
                )
                items.append(((px, 0.0, z + bh / 2), (float(s[0]), d * 0.7, bh), _tint(rng)))

    def draw(b: MeshBuilder, p: Palette) -> None:
        row = p.wood if wooden else p.paint
        colour: Colour = (1, 1, 1) if wooden else tint
        for side in (-1, 1):
            b.box((side * (w - t) / 2, 0, h / 2), (t, d, h), row, colour)
        for r in range(rows + 1):
            b.box((0, 0, 0.05 + r * (h - 0.07) / rows), (w - 2 * t, d, t), row, colour)
        if not open_back:
            b.box((0, d / 2 - 0.005, h / 2), (w - 0.01, 0.01, h - 0.02), row, colour)
        for center, size, shade in items:
            b.box(center, size, p.paint, shade)

    return Piece("bookshelf", (w, d, h), draw, h if h < 1.3 else 0.0)


def cupboard(rng: Rng, category: str = "cupboard") -> Piece:
    """Boxes with doors or drawers: wardrobes, chests, nightstands, fridges, washing machines."""
    ranges = {
        "cupboard": ((0.6, 1.2), (0.38, 0.5), (0.75, 1.3)),
        "wardrobe": ((0.9, 2.2), (0.55, 0.65), (1.85, 2.3)),
        "chest of drawers": ((0.6, 1.3), (0.4, 0.5), (0.7, 1.1)),
        "nightstand": ((0.38, 0.55), (0.35, 0.45), (0.42, 0.62)),
        "tv stand": ((1.0, 2.0), (0.35, 0.45), (0.4, 0.6)),
        "refrigerator": ((0.55, 0.75), (0.58, 0.7), (1.4, 1.95)),
        "washing machine": ((0.595, 0.61), (0.55, 0.62), (0.84, 0.86)),
        "stove": ((0.5, 0.6), (0.58, 0.62), (0.85, 0.92)),
        "filing cabinet": ((0.4, 0.5), (0.45, 0.62), (0.65, 1.35)),
    }[category]
    w, d, h = (float(rng.uniform(*r)) for r in ranges)
    appliance = category in ("refrigerator", "washing machine", "stove")
    steel = category == "filing cabinet"
    wooden = not appliance and not steel and rng.random() < 0.65
    tint = _tint(rng) if not appliance else (WHITE if rng.random() < 0.6 else srgb("#9a9da0"))
    columns = max(1, round(w / 0.5))
    drawers = category in ("chest of drawers", "nightstand", "filing cabinet")
    rows = max(2, round(h / 0.26)) if drawers else 1
    if category == "refrigerator":
        columns, rows = 1, 2
    split = float(rng.uniform(0.55, 0.75))
    plinth = 0.06
    knob = rng.random() < 0.5

    def draw(b: MeshBuilder, p: Palette) -> None:
        row = p.wood if wooden else (p.gloss if appliance else p.paint)
        colour: Colour = (1, 1, 1) if wooden else tint
        b.box((0, 0.01, plinth + (h - plinth) / 2), (w, d - 0.02, h - plinth), row, colour)
        b.box((0, 0.03, plinth / 2), (w - 0.04, d - 0.06, plinth), p.paint, BLACK)
        yf = -d / 2 + 0.01
        if category == "washing machine":
            turn = axis_matrix((1, 0, 0), np.pi / 2)
            b.cylinder((0, yf, 0.45), 0.36, 0.03, p.metal, segments=20, turn=turn)
            b.cylinder((0, yf - 0.01, 0.45), 0.28, 0.03, p.glass, segments=20, turn=turn)
            b.box((0, yf, h - 0.07), (w - 0.02, 0.012, 0.1), p.paint, srgb("#d0d2d4"))
            return
        if category == "stove":
            b.box((0, yf, h * 0.48), (w * 0.86, 0.02, h * 0.5), p.glass)
            b.box((0, yf - 0.03, h * 0.76), (w * 0.8, 0.02, 0.02), p.metal)
            for k in range(4):
                x, y = (-1 if k & 1 else 1) * w * 0.22, (-1 if k & 2 else 1) * d * 0.22
                b.cylinder((x, y, h + 0.004), 0.17, 0.008, p.paint, BLACK)
            return
        z0 = plinth + 0.005
        heights = [(h - z0) / rows] * rows
        if category == "refrigerator":
            heights = [(h - z0) * (1 - split), (h - z0) * split]
        for hk in heights:
            for c in range(columns):
                wc = w / columns
                x = -w / 2 + wc * (c + 0.5)
                b.box((x, yf, z0 + hk / 2), (wc - 0.006, 0.018, hk - 0.006), row, colour)
                if drawers:
                    handle, bar = (x, yf - 0.02, z0 + hk / 2), (0.1, 0.02, 0.012)
                else:
                    side = (1 if c % 2 == 0 else -1) if columns > 1 else 1
                    tall = min(0.35 if appliance else 0.14, hk * 0.5)
                    at = z0 + hk * (0.8 if category == "refrigerator" and hk < 0.7 else 0.55)
                    handle, bar = (x + side * (wc / 2 - 0.05), yf - 0.02, at), (0.014, 0.02, tall)
                if knob and not appliance:
                    b.ball(handle, (0.03, 0.03, 0.03), p.metal, detail=4)
                else:
                    b.box(handle, bar, p.metal)
            z0 += hk

    top = h if h < 1.35 and category != "stove" else 0.0
    return Piece(category, (w, d, h), draw, top)


def plant(rng: Rng) -> Piece:
    """A pot with many leaves, small or as tall as a person."""
    h = float(rng.choice([rng.uniform(0.25, 0.5), rng.uniform(0.8, 1.7)]))
    w = h * float(rng.uniform(0.45, 0.75))
    pot_h, pot_w = h * float(rng.uniform(0.18, 0.3)), w * float(rng.uniform(0.4, 0.55))
    count = int(rng.integers(24, 60))
    tint = TERRACOTTA if rng.random() < 0.5 else _tint(rng)
    drawn = rng.uniform(size=(count, 4))
    slim = float(rng.uniform(0.25, 0.6))

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.cylinder((0, 0, pot_h / 2), pot_w * 0.75, pot_h, p.paint, tint, 1.3, 14)
        b.cylinder((0, 0, h * 0.35), 0.02 + 0.01 * h, h * 0.5, p.wood2, segments=6)
        for r in drawn:
            angle, lift = 2 * np.pi * r[0], 0.15 + 1.1 * r[1]
            length = (0.25 + 0.25 * r[2]) * w
            base = pot_h + (h - pot_h) * (0.15 + 0.6 * r[1] * r[3])
            way = np.array(
                [np.cos(angle) * np.cos(lift), np.sin(angle) * np.cos(lift), np.sin(lift)]
            )
            tip = np.array([0, 0, base]) + way * length
            tip[2] = min(tip[2], h)
            across = np.cross(way, [0, 0, 1.0])
            across = across / np.linalg.norm(across) * length * slim * 0.5
            middle = np.array([0, 0, base]) * 0.45 + tip * 0.55 + [0, 0, 0.03 * h]
            middle[2] = min(middle[2], h)
            corners = np.array([[0, 0, base], middle - across, tip, middle + across])
            shade = 0.6 + 0.8 * r[3]
            b.quad(corners, p.leaves, (shade, shade, shade * 0.9))

    return Piece("plant", (w, w, h), draw)


def floor_lamp(rng: Rng) -> Piece:
    """A standing lamp with a shade."""
    h, w = float(rng.uniform(1.35, 1.8)), float(rng.uniform(0.3, 0.5))
    shade_h, ratio = float(rng.uniform(0.2, 0.38)), float(rng.choice([0.5, 0.7, 1.0]))
    lit = rng.random() < 0.6

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.cylinder((0, 0, 0.015), 0.28, 0.03, p.metal, segments=16)
        b.cylinder((0, 0, h / 2), 0.025, h - 0.1, p.metal, segments=6)
        row = p.glow if lit else p.fabric
        b.cylinder((0, 0, h - shade_h / 2), w, shade_h, row, (0.95, 0.9, 0.8), ratio, 18)

    return Piece("lamp", (w, w, h), draw)


def table_lamp(rng: Rng) -> Piece:
    """A lamp for a table."""
    h, w = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.18, 0.35))
    lit, tint = rng.random() < 0.6, _tint(rng)

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.ball((0, 0, h * 0.28), (w * 0.5, w * 0.5, h * 0.56), p.gloss, tint)
        row = p.glow if lit else p.fabric
        b.cylinder((0, 0, h * 0.78), w, h * 0.44, row, (0.95, 0.9, 0.8), 0.6, 14)

    return Piece("lamp", (w, w, h), draw)


def bathroom(rng: Rng, category: str) -> Piece:
    """Toilet, washbasin, bathtub."""
    sizes = {
        "toilet": (0.37, 0.68, 0.8),
        "washbasin": (0.6, 0.48, 0.86),
        "bathtub": (1.7, 0.75, 0.58),
    }
    w, d, h = (float(v * rng.uniform(0.94, 1.06)) for v in sizes[category])

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

    return Piece(category, (w, d, h), draw)


def screen(rng: Rng, category: str = "television") -> Piece:
    """Televisions and monitors on a foot."""
    diagonal = float(rng.uniform(0.8, 1.5) if category == "television" else rng.uniform(0.5, 0.75))
    w, sh = diagonal * 0.87, diagonal * 0.49
    foot = 0.06 if category == "television" else 0.12
    on = rng.random() < 0.4

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.box((0, 0.01, foot + sh / 2), (w, 0.035, sh), p.gloss, BLACK)
        b.box((0, -0.012, foot + sh / 2), (w - 0.03, 0.008, sh - 0.03), p.screen if on else p.glass)
        b.box((0, 0, foot / 2), (0.06, 0.03, foot), p.gloss, BLACK)
        b.box((0, 0, 0.008), (w * 0.35, 0.2, 0.016), p.gloss, BLACK)

    return Piece(category, (w, 0.2, foot + sh), draw)


def laptop(rng: Rng) -> Piece:
    """An open laptop."""
    w, d = float(rng.uniform(0.3, 0.38)), float(rng.uniform(0.21, 0.26))
    tint, on = (srgb("#b9bcbf") if rng.random() < 0.6 else BLACK), rng.random() < 0.6

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.box((0, 0, 0.009), (w, d, 0.018), p.gloss, tint)
        b.box((0, -0.02, 0.019), (w * 0.88, d * 0.45, 0.002), p.paint, BLACK)
        turn = axis_matrix((1, 0, 0), -0.3)
        at = (0, d / 2 + 0.02, 0.018 + d * 0.46)
        b.box(at, (w, 0.008, d * 0.94), p.gloss, tint, turn)
        b.box(
            (0, at[1] - 0.006, at[2]),
            (w * 0.93, 0.004, d * 0.84),
            p.screen if on else p.glass,
            turn=turn,
        )

    return Piece("laptop", (w, d + 0.12, 0.02 + d * 0.92), draw)


def small(rng: Rng, category: str) -> Piece:
    """Things that lie on surfaces or on the floor."""
    tint = hsv(
        float(rng.random()), float(rng.triangular(0.0, 0.1, 0.85)), float(rng.uniform(0.2, 0.95))
    )
    sizes: dict[str, Size] = {
        "mug": (0.085, 0.085, 0.095),
        "bottle": (0.075, 0.075, 0.29),
        "bowl": (0.22, 0.22, 0.09),
        "vase": (0.14, 0.14, 0.3),
        "book": (0.16, 0.22, 0.03),
        "box": (0.35, 0.28, 0.25),
        "bin": (0.28, 0.28, 0.38),
        "ball": (0.22, 0.22, 0.22),
        "bag": (0.35, 0.2, 0.4),
        "keyboard": (0.43, 0.14, 0.025),
        "pot": (0.24, 0.24, 0.16),
        "kettle": (0.18, 0.18, 0.25),
        "microwave": (0.48, 0.36, 0.28),
        "clock": (0.1, 0.05, 0.1),
        "printer": (0.42, 0.36, 0.22),
    }
    scale = float(rng.uniform(0.8, 1.25))
    w, d, h = (v * scale for v in sizes[category])
    layers = int(rng.integers(1, 6)) if category == "book" else 1
    jitter = rng.uniform(-0.2, 0.2, layers)
    shades = [hsv(float(rng.random()), float(rng.uniform(0.1, 0.7)), 0.7) for _ in range(layers)]

    def draw(b: MeshBuilder, p: Palette) -> None:
        if category in ("mug", "bin", "pot"):
            b.cylinder((0, 0, h / 2), w * 0.92, h, p.gloss, tint, 1.1, 14)
            b.box((w * 0.5, 0, h * 0.55), (w * 0.16, w * 0.1, h * 0.45), p.gloss, tint)
        elif category == "bottle":
            b.cylinder(
                (0, 0, h * 0.32), w, h * 0.64, p.glass if scale > 1 else p.gloss, tint, 1.0, 12
            )
            b.cylinder((0, 0, h * 0.72), w, h * 0.16, p.gloss, tint, 0.4, 12)
            b.cylinder((0, 0, h * 0.9), w * 0.4, h * 0.2, p.gloss, tint, 1.0, 8)
        elif category in ("bowl",):
            b.cylinder((0, 0, h / 2), w * 0.55, h, p.gloss, tint, 1.8, 16)
        elif category in ("vase", "kettle"):
            b.ball((0, 0, h * 0.38), (w, d, h * 0.76), p.gloss, tint)
            b.cylinder((0, 0, h * 0.83), w * 0.5, h * 0.34, p.gloss, tint, 0.8, 12)
        elif category == "ball":
            b.ball((0, 0, h / 2), (w, d, h), p.paint, tint)
        elif category == "bag":
            b.ball((0, 0, h * 0.42), (w, d, h * 0.84), p.fabric, tint, 0.5)
            b.box((0, 0, h * 0.9), (w * 0.4, 0.02, h * 0.2), p.fabric, tint)
        elif category == "book":
            for k in range(layers):
                turn = axis_matrix((0, 0, 1), float(jitter[k]))
                at = (0, 0, h * (k + 0.5))
                b.box(at, (w, d, h * 0.96), p.paint, shades[k], turn)
        else:
            b.box((0, 0, h / 2), (w, d, h), p.paint, tint)
            if category == "microwave":
                b.box((-0.06 * w, -d / 2, h / 2), (w * 0.68, 0.006, h * 0.8), p.glass)
            if category == "keyboard":
                b.box((0, 0, h), (w * 0.94, d * 0.8, 0.004), p.paint, BLACK)

    return Piece(
        "books" if category == "book" and layers > 1 else category, (w, d, h * layers), draw
    )


MAKERS: dict[str, Callable[[Rng], Piece]] = {
    "table": table,
    "chair": chair,
    "stool": stool,
    "sofa": sofa,
    "bed": bed,
    "bookshelf": shelf,
    "plant": plant,
    "lamp": floor_lamp,
    "table lamp": table_lamp,
    "television": screen,
    "laptop": laptop,
    "armchair": lambda r: sofa(r, "armchair"),
    "monitor": lambda r: screen(r, "monitor"),
}
for _name in ("desk", "coffee table", "side table", "counter"):
    MAKERS[_name] = lambda r, n=_name: table(r, n)  # type: ignore[misc]
for _name in (
    "cupboard",
    "wardrobe",
    "chest of drawers",
    "nightstand",
    "tv stand",
    "refrigerator",
    "washing machine",
    "stove",
    "filing cabinet",
):
    MAKERS[_name] = lambda r, n=_name: cupboard(r, n)  # type: ignore[misc]
for _name in ("toilet", "washbasin", "bathtub"):
    MAKERS[_name] = lambda r, n=_name: bathroom(r, n)  # type: ignore[misc]
for _name in (
    "mug",
    "bottle",
    "bowl",
    "vase",
    "book",
    "box",
    "bin",
    "ball",
    "bag",
    "keyboard",
    "pot",
    "kettle",
    "microwave",
    "clock",
    "printer",
):
    MAKERS[_name] = lambda r, n=_name: small(r, n)  # type: ignore[misc]


def model(category: str, number: int) -> Piece:
    """The `number`-th built-in model of a category: always the same shape."""
    code = [ord(c) for c in category]
    return MAKERS[category](np.random.default_rng([number, *code]))
