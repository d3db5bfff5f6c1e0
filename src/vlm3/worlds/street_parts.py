"""What stands in streets, at true size: cars, vans, buses, people, cyclists, trees, poles, signs.

The same `Piece` as furniture: local axes x width, y length or depth (front is -y), z up, origin on
the ground. Knows no road.
"""

from collections.abc import Callable

import numpy as np

from vlm3.worlds.furniture import BLACK, WHITE, Palette, Piece
from vlm3.worlds.materials import Colour, hsv, srgb
from vlm3.worlds.mesh import MeshBuilder, axis_matrix

Rng = np.random.Generator

CAR_PAINTS = (
    "#e9e9e7",
    "#c7c9cb",
    "#8c9094",
    "#4a4d51",
    "#17181a",
    "#7c1f1f",
    "#1f3a66",
    "#2c4a3b",
    "#b9ad98",
)
_SIDEWAYS = axis_matrix((0, 1, 0), np.pi / 2)

# category: (width, length, height, profile of the upper edge as (share of length, share of height))
_CARS: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "car": ((1.68, 1.88), (3.7, 4.9), (1.40, 1.56)),
    "suv": ((1.80, 1.98), (4.3, 4.95), (1.62, 1.80)),
    "van": ((1.90, 2.10), (4.8, 6.0), (1.95, 2.60)),
    "bus": ((2.50, 2.55), (10.0, 12.5), (2.95, 3.20)),
    "truck": ((2.30, 2.55), (6.5, 10.0), (3.0, 3.9)),
}


def _tint(rng: Rng) -> Colour:
    return srgb(CAR_PAINTS[int(rng.integers(len(CAR_PAINTS)))])


def car(rng: Rng, category: str = "car") -> Piece:
    """Passenger cars and vans from a side profile: body, glass band, wheels, lamps."""
    w, length, h = (float(rng.uniform(*r)) for r in _CARS[category])
    tint = _tint(rng)
    hood = float(rng.uniform(0.20, 0.27)) if category != "van" else float(rng.uniform(0.10, 0.16))
    slope = float(rng.uniform(0.12, 0.17)) if category != "van" else 0.10
    sedan = category == "car" and rng.random() < 0.5
    tail = float(rng.uniform(0.14, 0.2)) if sedan else float(rng.uniform(0.0, 0.03))
    back = float(rng.uniform(0.08, 0.13)) if category == "car" else 0.05
    belt, low = (0.60 if category != "van" else 0.52), 0.14
    wheel = float(rng.uniform(0.60, 0.70))

    def draw(b: MeshBuilder, p: Palette) -> None:
        y0 = -length / 2
        # lower body: (y, z) outline at the belt line, slightly rounded at bumper and tail
        zb = h * belt
        nose = h * (belt - 0.06)
        outline = [
            (0.0, low * h),
            (0.0, nose * 0.86),
            (0.02, nose),
            (hood, zb),
            (1 - tail, zb),
            (0.985, zb * 0.96),
            (1.0, zb * 0.7),
            (1.0, low * h),
        ]
        _extrude(b, [(y0 + a * length, z) for a, z in outline], w, w * 0.97, p.gloss, tint)
        roof0, roof1 = hood + slope, 1 - tail - back
        cabin = [
            (hood - 0.01, zb),
            (roof0, h * 0.985),
            ((roof0 + roof1) / 2, h),
            (roof1, h * 0.98),
            (1 - tail - 0.005, zb),
        ]
        _extrude(
            b, [(y0 + a * length, z) for a, z in cabin], w * 0.93, w * 0.76, p.glass, (1, 1, 1)
        )
        # roof and pillars over the glass
        b.box(
            (0, y0 + (roof0 + roof1) / 2 * length, h - 0.015),
            (w * 0.77, (roof1 - roof0) * length, 0.04),
            p.gloss,
            tint,
        )
        for at in (hood + slope * 0.5, (roof0 + roof1) / 2, (roof1 + 1 - tail) / 2):
            for side in (-1, 1):
                lean = axis_matrix((0, 1, 0), -side * 0.2)
                b.box(
                    (side * w * 0.43, y0 + at * length, (zb + h) / 2),
                    (0.03, 0.07, (h - zb) * 0.98),
                    p.gloss,
                    tint,
                    lean,
                )
        for share in (0.18, 0.81):
            for side in (-1, 1):
                at3 = (side * (w / 2 - 0.09), y0 + share * length, wheel / 2)
                b.cylinder(at3, wheel, 0.22, p.paint, BLACK, segments=14, turn=_SIDEWAYS)
                hub = (side * (w / 2 + 0.015), y0 + share * length, wheel / 2)
                b.cylinder(hub, wheel * 0.6, 0.025, p.metal, segments=10, turn=_SIDEWAYS)
        for side in (-1, 1):
            b.box(
                (side * w * 0.36, y0 + 0.02, nose * 0.82),
                (w * 0.18, 0.06, 0.11),
                p.glow,
                (0.9, 0.9, 0.9),
            )
            b.box(
                (side * w * 0.40, y0 + length - 0.02, zb * 0.86),
                (w * 0.14, 0.06, 0.12),
                p.paint,
                srgb("#a01414"),
            )
            b.box(
                (side * (w / 2 + 0.01), y0 + (hood + 0.05) * length, zb + 0.06),
                (0.14, 0.08, 0.1),
                p.gloss,
                tint,
            )
        b.box((0, y0 - 0.005, nose * 0.55), (w * 0.5, 0.04, 0.14), p.paint, BLACK)
        for end in (y0 - 0.01, y0 + length + 0.0):
            b.box((0, end, h * 0.28), (0.5, 0.03, 0.11), p.paint, WHITE)
        b.box((0, 0, 0.2), (w * 0.9, length * 0.94, 0.12), p.paint, BLACK)

    return Piece(category if category != "suv" else "car", (w, length, h), draw)


def _extrude(
    b: MeshBuilder,
    outline: list[tuple[float, float]],
    low_w: float,
    high_w: float,
    row: int,
    tint: Colour,
) -> None:
    """A body of a (y, z) outline across x, narrower at the top."""
    points = np.array(outline)
    z0, z1 = points[:, 1].min(), points[:, 1].max()
    half = 0.5 * (low_w + (high_w - low_w) * (points[:, 1] - z0) / max(z1 - z0, 1e-6))
    left = np.stack([-half, points[:, 0], points[:, 1]], -1)
    right = left * [-1, 1, 1]
    for k in range(len(points) - 1):
        b.quad(np.array([left[k], right[k], right[k + 1], left[k + 1]]), row, tint)
    middle = points.mean(0)
    for side in (left, right):
        x = float(side[:, 0].mean())
        center = np.array([x, middle[0], middle[1]])
        fan = np.concatenate([[center], side])
        n = len(side)
        faces = np.array([[0, 1 + k, 1 + (k + 1) % n] for k in range(n)], np.int32)
        normal = np.tile([np.sign(x), 0.0, 0.12], (len(fan), 1)) / np.hypot(1, 0.12)
        b.raw(fan, normal, fan[:, 1:], faces, row, tint)


def big_vehicle(rng: Rng, category: str) -> Piece:
    """Buses and trucks: boxes with windows, cabin, wheels."""
    w, length, h = (float(rng.uniform(*r)) for r in _CARS[category])
    tint, other = _tint(rng), hsv(float(rng.random()), float(rng.uniform(0.1, 0.7)), 0.75)

    def draw(b: MeshBuilder, p: Palette) -> None:
        y0 = -length / 2
        if category == "bus":
            b.box((0, 0, 0.35 + (h - 0.35) / 2), (w, length, h - 0.35), p.gloss, other)
            for side in (-1, 1):
                b.box((side * w / 2, 0, h * 0.64), (0.02, length * 0.94, h * 0.3), p.glass)
                for k in range(8):
                    y = y0 + length * (k + 0.5) / 8
                    b.box(
                        (side * (w / 2 + 0.005), y, h * 0.64), (0.02, 0.08, h * 0.3), p.gloss, other
                    )
            for end in (-1, 1):
                b.box((0, end * length / 2, h * 0.6), (w * 0.9, 0.02, h * 0.4), p.glass)
        else:
            cab = 2.0
            b.box((0, y0 + cab / 2, 0.5 + h * 0.33), (w * 0.96, cab, h * 0.62), p.gloss, tint)
            b.box((0, y0 - 0.005, h * 0.62), (w * 0.86, 0.02, h * 0.22), p.glass)
            for side in (-1, 1):
                b.box(
                    (side * w * 0.48, y0 + cab * 0.45, h * 0.62),
                    (0.02, cab * 0.5, h * 0.2),
                    p.glass,
                )
            b.box(
                (0, y0 + cab + 0.1 + (length - cab - 0.1) / 2, 0.95 + (h - 0.95) / 2),
                (w, length - cab - 0.1, h - 0.95),
                p.paint,
                other,
            )
            b.box((0, 0, 0.7), (w * 0.5, length * 0.96, 0.3), p.paint, BLACK)
        for share in (0.14, 0.72, 0.83) if category == "truck" else (0.2, 0.78):
            for side in (-1, 1):
                at = (side * (w / 2 - 0.14), y0 + share * length, 0.48)
                b.cylinder(at, 0.96, 0.28, p.paint, BLACK, segments=14, turn=_SIDEWAYS)
                hub = (side * (w / 2 + 0.005), y0 + share * length, 0.48)
                b.cylinder(hub, 0.5, 0.03, p.metal, segments=10, turn=_SIDEWAYS)
        for side in (-1, 1):
            b.box((side * w * 0.38, y0 - 0.01, 0.75), (0.3, 0.05, 0.18), p.glow, (0.9, 0.9, 0.9))
            b.box((side * w * 0.42, y0 + length, 0.9), (0.2, 0.05, 0.25), p.paint, srgb("#a01414"))

    return Piece(category, (w, length, h), draw)


def person(rng: Rng) -> Piece:
    """A standing or walking figure, sometimes a child."""
    h = float(rng.uniform(1.55, 1.90)) if rng.random() < 0.88 else float(rng.uniform(1.0, 1.4))
    k = h / 1.75
    top = hsv(float(rng.random()), float(rng.uniform(0.05, 0.75)), float(rng.uniform(0.15, 0.9)))
    legs = hsv(
        float(rng.uniform(0.5, 0.7)), float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.1, 0.5))
    )
    skin = srgb(("#e3b899", "#c68e66", "#8d5a3b", "#f0cdb2")[int(rng.integers(4))])
    hair = srgb(("#2a1c14", "#5a3c22", "#a5875a", "#15120f", "#8c8c8c")[int(rng.integers(5))])
    stride, swing = float(rng.uniform(0, 0.4)), float(rng.uniform(0, 0.5))
    long_coat = rng.random() < 0.25
    bag = rng.random() < 0.3

    def draw(b: MeshBuilder, p: Palette) -> None:
        for side in (-1, 1):
            turn = axis_matrix((1, 0, 0), side * stride)
            offset = -side * np.sin(stride) * 0.41 * k
            b.cylinder(
                (side * 0.09 * k, -offset * 0.5, 0.44 * k),
                0.13 * k,
                0.86 * k,
                p.fabric,
                legs,
                1.3,
                8,
                turn,
            )
            b.box(
                (side * 0.09 * k, -offset - 0.05 * k, 0.04 * k),
                (0.09 * k, 0.26 * k, 0.08 * k),
                p.paint,
                BLACK,
            )
            arm = axis_matrix((1, 0, 0), -side * swing)
            b.cylinder(
                (side * 0.235 * k, side * np.sin(swing) * 0.15 * k, 1.13 * k),
                0.085 * k,
                0.62 * k,
                p.fabric,
                top,
                1.2,
                7,
                arm,
            )
            b.ball(
                (side * 0.235 * k, side * np.sin(swing) * 0.42 * k, 0.82 * k),
                (0.08 * k, 0.09 * k, 0.12 * k),
                p.paint,
                skin,
                detail=5,
            )
        low = 0.6 if long_coat else 0.82
        b.ball(
            (0, 0, (low + 1.46) / 2 * k), (0.42 * k, 0.25 * k, (1.46 - low) * k), p.fabric, top, 0.5
        )
        b.cylinder((0, 0, 1.47 * k), 0.11 * k, 0.12 * k, p.paint, skin, segments=8)
        b.ball((0, 0, 1.62 * k), (0.16 * k, 0.2 * k, 0.25 * k), p.paint, skin)
        b.ball((0, 0.02 * k, 1.665 * k), (0.175 * k, 0.2 * k, 0.17 * k), p.paint, hair)
        if bag:
            b.ball((0.0, 0.17 * k, 1.2 * k), (0.3 * k, 0.16 * k, 0.42 * k), p.fabric, hair, 0.4)

    return Piece("person", (0.56 * k, 0.5 * k, h), draw)


def bicycle(rng: Rng, rider: bool = False) -> Piece:
    """A bicycle, alone or ridden."""
    tint = hsv(float(rng.random()), 0.5, float(rng.uniform(0.2, 0.8)))
    who = person(rng)

    def draw(b: MeshBuilder, p: Palette) -> None:
        for y in (-0.52, 0.52):
            for k in range(14):
                angle = 2 * np.pi * (k + 0.5) / 14
                at = (0.0, y + 0.33 * float(np.cos(angle)), 0.34 + 0.33 * float(np.sin(angle)))
                b.box(
                    at,
                    (0.04, 0.155, 0.035),
                    p.paint,
                    BLACK,
                    axis_matrix((1, 0, 0), angle + np.pi / 2),
                )
        for (ya, za), (yb, zb) in (
            ((-0.52, 0.34), (-0.42, 0.95)),
            ((-0.45, 0.8), (0.05, 0.32)),
            ((-0.45, 0.85), (0.18, 0.85)),
            ((0.18, 0.9), (0.05, 0.32)),
            ((0.05, 0.32), (0.52, 0.34)),
            ((0.18, 0.85), (0.52, 0.34)),
        ):
            length = float(np.hypot(yb - ya, zb - za))
            turn = axis_matrix((1, 0, 0), float(np.arctan2(zb - za, yb - ya)))
            b.box((0, (ya + yb) / 2, (za + zb) / 2), (0.035, length, 0.035), p.gloss, tint, turn)
        b.box((0, -0.42, 1.0), (0.56, 0.04, 0.04), p.metal)
        b.ball((0, 0.2, 0.95), (0.16, 0.28, 0.07), p.paint, BLACK, detail=5)
        if rider:
            origin = b.origin.copy()
            b.origin = origin + b.rotation @ np.array([0, 0.15, 0.18])
            who.draw(b, p)
            b.origin = origin

    h = 1.05 if not rider else who.size_wdh_m[2] + 0.18
    return Piece("cyclist" if rider else "bicycle", (0.58, 1.74, h), draw)


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
                z = h * (0.15 + 0.17 * k)
                b.cylinder(
                    (0, 0, z + h * 0.12),
                    w * 0.75 * (1 - 0.17 * k),
                    h * 0.26,
                    p.leaves,
                    (0.5, 0.65, 0.55),
                    0.1,
                    10,
                )
            return
        room = h * (1 - bare)
        for r in blobs:
            s = w * (0.32 + 0.14 * abs(r[3]))
            radius = (w - s) / 2
            x, y = radius * r[0] * 0.95, radius * r[1] * 0.95
            z = (
                h * bare
                + s * 0.4
                + (room - s * 0.8) * (0.5 + 0.5 * r[2]) * (1 - 0.2 * (r[0] ** 2 + r[1] ** 2))
            )
            shade = 0.75 + 0.3 * (r[2] * 0.5 + 0.5) + 0.1 * r[4]
            b.ball(
                (x, y, z), (s, s, s * 0.85), p.leaves, (shade * hue, shade, shade * 0.85), detail=4
            )

    return Piece("tree", (w, w, h), draw)


def post(rng: Rng, category: str) -> Piece:
    """Street lamps, signs, traffic lights, bollards, bins, benches, hydrants."""
    sizes = {
        "street lamp": (1.6, 0.25, float(rng.uniform(5, 9))),
        "traffic sign": (0.7, 0.1, float(rng.uniform(2.3, 3.0))),
        "traffic light": (0.35, 0.35, float(rng.uniform(3.0, 4.2))),
        "bollard": (0.16, 0.16, 0.9),
        "trash can": (0.5, 0.5, 0.95),
        "bench": (1.7, 0.6, 0.82),
        "container": (1.3, 0.9, 1.35),
    }
    w, d, h = sizes[category]
    shape, tint = int(rng.integers(3)), hsv(float(rng.random()), float(rng.uniform(0, 0.6)), 0.45)
    face = srgb(("#b31b1b", "#1f4fa3", "#e7c21b", "#f0f0f0")[int(rng.integers(4))])
    lamp = int(rng.integers(3))

    def draw(b: MeshBuilder, p: Palette) -> None:
        if category == "street lamp":
            b.cylinder((w / 2 - 0.1, 0, h / 2), 0.18, h, p.metal, (0.6, 0.6, 0.6), 0.6, 8)
            b.box((0, 0, h - 0.05), (w - 0.1, 0.07, 0.07), p.metal, (0.6, 0.6, 0.6))
            b.box((-w / 2 + 0.3, 0, h - 0.1), (0.6, 0.24, 0.1), p.paint, (0.5, 0.5, 0.5))
        elif category == "traffic sign":
            b.cylinder((0, 0.03, h / 2), 0.07, h, p.metal, segments=8)
            turn = axis_matrix((1, 0, 0), np.pi / 2)
            if shape == 0:
                b.cylinder((0, -0.02, h - w / 2), w, 0.02, p.paint, face, segments=18, turn=turn)
                b.cylinder(
                    (0, -0.03, h - w / 2), w * 0.72, 0.02, p.paint, WHITE, segments=18, turn=turn
                )
            elif shape == 1:
                b.box((0, -0.02, h - w * 0.5), (w, 0.02, w), p.paint, face)
                b.box((0, -0.03, h - w * 0.5), (w * 0.3, 0.02, w * 0.6), p.paint, WHITE)
            else:
                b.cylinder(
                    (0, -0.02, h - w / 2),
                    w,
                    0.02,
                    p.paint,
                    face,
                    segments=3,
                    turn=axis_matrix((0, 1, 0), np.pi / 6) @ turn,
                )
        elif category == "traffic light":
            b.cylinder((0, 0.05, h / 2), 0.12, h, p.metal, (0.5, 0.5, 0.5), segments=8)
            b.box((0, -0.1, h - 0.5), (0.32, 0.22, 0.98), p.paint, BLACK)
            for k, colour in enumerate(("#d92020", "#e0a010", "#20b050")):
                on = k == lamp
                shade = srgb(colour) if on else (0.05, 0.05, 0.05)
                b.ball(
                    (0, -0.21, h - 0.2 - 0.3 * k),
                    (0.2, 0.06, 0.2),
                    p.glow if on else p.paint,
                    shade,
                    detail=6,
                )
        elif category == "bollard":
            b.cylinder((0, 0, h / 2), w, h, p.paint, tint, segments=10)
        elif category == "trash can":
            b.cylinder((0, 0, h / 2), w, h, p.paint, tint, 1.0, 14)
            b.cylinder((0, 0, h - 0.06), w * 1.06, 0.1, p.paint, BLACK, segments=14)
        elif category == "container":
            b.box((0, 0, h * 0.52), (w, d, h * 0.9), p.paint, tint)
            b.box((0, -0.02, h * 0.96), (w * 1.04, d * 1.05, h * 0.08), p.paint, tint)
            for side in (-1, 1):
                b.cylinder(
                    (side * w * 0.4, d * 0.35, 0.08), 0.16, 0.08, p.paint, BLACK, turn=_SIDEWAYS
                )
        else:
            for y in (-0.22, -0.07, 0.08):
                b.box((0, y, 0.45), (w, 0.12, 0.04), p.wood)
            for z in (0.62, 0.77):
                b.box((0, 0.2, z), (w, 0.04, 0.11), p.wood)
            for side in (-1, 1):
                b.box((side * w * 0.4, 0, 0.22), (0.06, 0.5, 0.44), p.metal, (0.3, 0.3, 0.3))
                b.box((side * w * 0.4, 0.24, 0.6), (0.06, 0.05, 0.42), p.metal, (0.3, 0.3, 0.3))

    return Piece(category, (w, d, h), draw)


MAKERS: dict[str, Callable[[Rng], Piece]] = {
    "car": car,
    "suv": lambda r: car(r, "suv"),
    "van": lambda r: car(r, "van"),
    "bus": lambda r: big_vehicle(r, "bus"),
    "truck": lambda r: big_vehicle(r, "truck"),
    "person": person,
    "bicycle": bicycle,
    "cyclist": lambda r: bicycle(r, True),
    "tree": tree,
}
for _name in (
    "street lamp",
    "traffic sign",
    "traffic light",
    "bollard",
    "trash can",
    "bench",
    "container",
):
    MAKERS[_name] = lambda r, n=_name: post(r, n)  # type: ignore[misc]


def model(category: str, number: int) -> Piece:
    """The `number`-th built-in model of a category: always the same shape."""
    return MAKERS[category](np.random.default_rng([number, *(ord(c) for c in category)]))
