"""Cars, vans, buses and trucks; y is their length."""

from dataclasses import dataclass

import numpy as np

from vlm3.worlds.materials import Colour, hsv, srgb
from vlm3.worlds.mesh import MeshBuilder, axis_matrix
from vlm3.worlds.pieces.parts import BLACK, SIDEWAYS, UNTINTED, WHITE, size_within
from vlm3.worlds.pieces.piece import Palette, Piece, Rng, Size, Sizes

CARS: Sizes = {
    "car": ((1.68, 1.88), (3.7, 4.9), (1.40, 1.56)),
    "suv": ((1.80, 1.98), (4.3, 4.95), (1.62, 1.80)),
    "van": ((1.90, 2.10), (4.8, 6.0), (1.95, 2.60)),
}
BIG_VEHICLES: Sizes = {
    "bus": ((2.50, 2.55), (10.0, 12.5), (2.95, 3.20)),
    "truck": ((2.30, 2.55), (6.5, 10.0), (3.0, 3.9)),
}
_PAINTS = (
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
_TAIL_LAMP = srgb("#a01414")


def _paint(rng: Rng) -> Colour:
    return srgb(_PAINTS[int(rng.integers(len(_PAINTS)))])


@dataclass(frozen=True)
class _Profile:
    """A car from the side. Shares are of its length from the front, or of its height.

    Attributes:
        size_m: width, length, height.
        hood, slope: where the windscreen begins, and how far it leans.
        tail, back: how much of the length is boot, and rear window.
        belt: height of the windows' lower edge.
    """

    size_m: Size
    tint: Colour
    hood: float
    slope: float
    tail: float
    back: float
    belt: float

    @property
    def front_m(self) -> float:
        return -self.size_m[1] / 2

    @property
    def belt_m(self) -> float:
        return self.size_m[2] * self.belt

    @property
    def nose_m(self) -> float:
        return self.size_m[2] * (self.belt - 0.06)

    @property
    def roof(self) -> tuple[float, float]:
        """Where the roof begins and ends."""
        return self.hood + self.slope, 1 - self.tail - self.back


@dataclass(frozen=True)
class _Wheels:
    """Tyre and hub of every wheel, in metres: inset and out count from the vehicle's side."""

    diameter_m: float
    width_m: float
    inset_m: float
    hub_diameter_m: float
    hub_width_m: float
    hub_out_m: float


_BIG_WHEELS = _Wheels(0.96, 0.28, 0.14, 0.5, 0.03, 0.005)


def car(rng: Rng, category: str) -> Piece:
    """Passenger cars and vans from a side profile: body, glass band, wheels, lamps."""
    size, tint, van = size_within(rng, CARS[category]), _paint(rng), category == "van"
    hood = float(rng.uniform(0.10, 0.16) if van else rng.uniform(0.20, 0.27))
    slope = 0.10 if van else float(rng.uniform(0.12, 0.17))
    sedan = category == "car" and rng.random() < 0.5
    tail = float(rng.uniform(0.14, 0.2) if sedan else rng.uniform(0.0, 0.03))
    back = float(rng.uniform(0.08, 0.13)) if category == "car" else 0.05
    profile = _Profile(size, tint, hood, slope, tail, back, 0.52 if van else 0.60)
    wheel = float(rng.uniform(0.60, 0.70))
    wheels = _Wheels(wheel, 0.22, 0.09, wheel * 0.6, 0.025, 0.015)

    def draw(b: MeshBuilder, p: Palette) -> None:
        _draw_body(b, p, profile)
        _draw_cabin(b, p, profile)
        for share in (0.18, 0.81):
            _draw_axle(b, p, profile.front_m + share * size[1], size[0], wheels)
        _draw_fittings(b, p, profile)

    return Piece("car" if category == "suv" else category, size, draw)


def _draw_body(b: MeshBuilder, p: Palette, car: _Profile) -> None:
    """Up to the belt line, slightly rounded at bumper and tail."""
    w, length, h = car.size_m
    zb, low = car.belt_m, 0.14 * h
    outline = [
        (0.0, low),
        (0.0, car.nose_m * 0.86),
        (0.02, car.nose_m),
        (car.hood, zb),
        (1 - car.tail, zb),
        (0.985, zb * 0.96),
        (1.0, zb * 0.7),
        (1.0, low),
    ]
    points = [(car.front_m + a * length, z) for a, z in outline]
    _extrude(b, points, w, w * 0.97, p.gloss, car.tint)


def _draw_cabin(b: MeshBuilder, p: Palette, car: _Profile) -> None:
    """A band of glass, with roof and pillars over it."""
    w, length, h = car.size_m
    y0, zb = car.front_m, car.belt_m
    roof0, roof1 = car.roof
    outline = [
        (car.hood - 0.01, zb),
        (roof0, h * 0.985),
        ((roof0 + roof1) / 2, h),
        (roof1, h * 0.98),
        (1 - car.tail - 0.005, zb),
    ]
    points = [(y0 + a * length, z) for a, z in outline]
    _extrude(b, points, w * 0.93, w * 0.76, p.glass, UNTINTED)
    middle = (0, y0 + (roof0 + roof1) / 2 * length, h - 0.015)
    b.box(middle, (w * 0.77, (roof1 - roof0) * length, 0.04), p.gloss, car.tint)
    for at in (car.hood + car.slope * 0.5, (roof0 + roof1) / 2, (roof1 + 1 - car.tail) / 2):
        for side in (-1, 1):
            lean = axis_matrix((0, 1, 0), -side * 0.2)
            foot = (side * w * 0.43, y0 + at * length, (zb + h) / 2)
            b.box(foot, (0.03, 0.07, (h - zb) * 0.98), p.gloss, car.tint, lean)


def _draw_fittings(b: MeshBuilder, p: Palette, car: _Profile) -> None:
    """Lamps, mirrors, grille, number plates, and the dark below."""
    w, length, h = car.size_m
    y0, zb, nose = car.front_m, car.belt_m, car.nose_m
    for side in (-1, 1):
        head = (side * w * 0.36, y0 + 0.02, nose * 0.82)
        b.box(head, (w * 0.18, 0.06, 0.11), p.glow, (0.9, 0.9, 0.9))
        tail = (side * w * 0.40, y0 + length - 0.02, zb * 0.86)
        b.box(tail, (w * 0.14, 0.06, 0.12), p.paint, _TAIL_LAMP)
        mirror = (side * (w / 2 + 0.01), y0 + (car.hood + 0.05) * length, zb + 0.06)
        b.box(mirror, (0.14, 0.08, 0.1), p.gloss, car.tint)
    b.box((0, y0 - 0.005, nose * 0.55), (w * 0.5, 0.04, 0.14), p.paint, BLACK)
    for end in (y0 - 0.01, y0 + length):
        b.box((0, end, h * 0.28), (0.5, 0.03, 0.11), p.paint, WHITE)
    b.box((0, 0, 0.2), (w * 0.9, length * 0.94, 0.12), p.paint, BLACK)


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


def _draw_axle(b: MeshBuilder, p: Palette, y: float, width: float, wheels: _Wheels) -> None:
    """Two wheels at y of a vehicle of that width."""
    z = wheels.diameter_m / 2
    for side in (-1, 1):
        tyre = (side * (width / 2 - wheels.inset_m), y, z)
        size = (wheels.diameter_m, wheels.width_m)
        b.cylinder(tyre, *size, p.paint, BLACK, segments=14, turn=SIDEWAYS)
        hub = (side * (width / 2 + wheels.hub_out_m), y, z)
        size = (wheels.hub_diameter_m, wheels.hub_width_m)
        b.cylinder(hub, *size, p.metal, segments=10, turn=SIDEWAYS)


def big_vehicle(rng: Rng, category: str) -> Piece:
    """Buses and trucks: boxes with windows, cabin, wheels."""
    size = w, length, _ = size_within(rng, BIG_VEHICLES[category])
    tint, other = _paint(rng), hsv(float(rng.random()), float(rng.uniform(0.1, 0.7)), 0.75)
    y0 = -length / 2

    def draw(b: MeshBuilder, p: Palette) -> None:
        if category == "bus":
            _draw_bus(b, p, size, other)
        else:
            _draw_truck(b, p, size, tint, other)
        for share in (0.14, 0.72, 0.83) if category == "truck" else (0.2, 0.78):
            _draw_axle(b, p, y0 + share * length, w, _BIG_WHEELS)
        for side in (-1, 1):
            b.box((side * w * 0.38, y0 - 0.01, 0.75), (0.3, 0.05, 0.18), p.glow, (0.9, 0.9, 0.9))
            b.box((side * w * 0.42, y0 + length, 0.9), (0.2, 0.05, 0.25), p.paint, _TAIL_LAMP)

    return Piece(category, size, draw)


def _draw_bus(b: MeshBuilder, p: Palette, size: Size, tint: Colour) -> None:
    w, length, h = size
    b.box((0, 0, 0.35 + (h - 0.35) / 2), (w, length, h - 0.35), p.gloss, tint)
    for side in (-1, 1):
        b.box((side * w / 2, 0, h * 0.64), (0.02, length * 0.94, h * 0.3), p.glass)
        for k in range(8):
            at = (side * (w / 2 + 0.005), -length / 2 + length * (k + 0.5) / 8, h * 0.64)
            b.box(at, (0.02, 0.08, h * 0.3), p.gloss, tint)
    for end in (-1, 1):
        b.box((0, end * length / 2, h * 0.6), (w * 0.9, 0.02, h * 0.4), p.glass)


def _draw_truck(b: MeshBuilder, p: Palette, size: Size, tint: Colour, load: Colour) -> None:
    w, length, h = size
    y0, cab = -length / 2, 2.0
    b.box((0, y0 + cab / 2, 0.5 + h * 0.33), (w * 0.96, cab, h * 0.62), p.gloss, tint)
    b.box((0, y0 - 0.005, h * 0.62), (w * 0.86, 0.02, h * 0.22), p.glass)
    for side in (-1, 1):
        window = (side * w * 0.48, y0 + cab * 0.45, h * 0.62)
        b.box(window, (0.02, cab * 0.5, h * 0.2), p.glass)
    behind = length - cab - 0.1
    at = (0, y0 + cab + 0.1 + behind / 2, 0.95 + (h - 0.95) / 2)
    b.box(at, (w, behind, h - 0.95), p.paint, load)
    b.box((0, 0, 0.7), (w * 0.5, length * 0.96, 0.3), p.paint, BLACK)
