"""Houses along a street, and what closes it at its far end."""

from dataclasses import dataclass

import numpy as np

from vlm3.worlds.materials import (
    PLASTER,
    WINDOWS,
    Colour,
    Material,
    bricks,
    hsv,
    pick,
    srgb,
    tiles,
)
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.outdoors.plan import StreetPlan
from vlm3.worlds.pieces.piece import Rng
from vlm3.worlds.scene import SceneObject

_FACADES = (
    "#c9b79a",
    "#b98d6f",
    "#d8d2c4",
    "#a9a39a",
    "#e2d9c8",
    "#c7a98b",
    "#9e7c66",
    "#d6c08f",
    "#b7bcc0",
    "#e8e3da",
)
_ROOFS = ("#8a4632", "#5b4a44", "#6b6b6b", "#a5573a")
_DARK_GLASS: Colour = (0.08, 0.1, 0.13)


@dataclass(frozen=True)
class _House:
    """Measures of a house; its width is along the street.

    Attributes:
        side: -1 left of the road, 1 right of it.
        gap_m: to the next house.
        back_m: how much further from the street than its neighbours.
    """

    side: int
    width_m: float
    depth_m: float
    floor_m: float
    floors: int
    gap_m: float
    back_m: float

    @property
    def high_m(self) -> float:
        """Height of its walls."""
        return self.floor_m * self.floors + 0.6


def draw_houses(plan: StreetPlan, side: int, front_m: float) -> None:
    """A row of houses at one side; `front_m` is from the middle of the road."""
    rng, road = plan.rng, plan.profile
    y = road.start_m
    usual_floors = int(rng.integers(2, 7)) if road.style == "urban" else 1
    while y < road.end_m + 30:
        house = _choose_house(rng, road.style, side, usual_floors)
        _draw_house(plan, house, front_m, y)
        y += house.width_m + house.gap_m


def _choose_house(rng: Rng, style: str, side: int, usual_floors: int) -> _House:
    """In towns in rows of about the same height, elsewhere low and apart."""
    urban = style == "urban"
    width = float(rng.uniform(8, 24) if urban else rng.uniform(8, 15))
    gap = float(rng.choice([0.0, 0.0, 0.0, 3.0, 12.0]) if urban else rng.uniform(3, 14))
    if style == "country":
        gap = float(rng.uniform(15, 70))
    depth, floor = float(rng.uniform(9, 14)), float(rng.uniform(2.8, 3.5))
    if urban:
        floors, back = max(1, usual_floors + int(rng.integers(-1, 2))), 0.0
    else:
        floors, back = int(rng.integers(1, 3)), float(rng.uniform(0, 3))
    return _House(side, width, depth, floor, floors, gap, back)


def _draw_house(plan: StreetPlan, house: _House, front_m: float, y: float) -> None:
    """A house from y on, as an object."""
    rng, table = plan.rng, plan.table
    depth, width, high = house.depth_m, house.width_m, house.high_m
    base = bricks(rng).a if rng.random() < 0.3 else pick(_FACADES, rng, 0.12)
    glass = (0.05, 0.07, 0.1) if rng.random() < 0.7 else (0.2, 0.28, 0.36)
    cell = float(rng.uniform(1.7, 3.6))
    share = (float(rng.uniform(0.35, 0.75)), float(rng.uniform(0.4, 0.62)))
    vary, seed = float(rng.uniform(0.03, 0.12)), int(rng.integers(99999))
    cells = (cell, house.floor_m, *share)
    facade = table.add(Material(WINDOWS, base, glass, cells, vary=vary, seed=seed))
    wall = table.add(Material(PLASTER, base, base, vary=0.04))
    x = house.side * (front_m + depth / 2 + house.back_m)
    instance = plan.start_object((x, y + width / 2, 0.0), 0.0)
    _draw_walls(plan.builder, house, facade, wall, cell)
    total = high
    if plan.profile.style != "urban" or rng.random() < 0.4:
        total += _draw_gable(plan, house, wall)
    else:
        cornice = (depth + 0.5, width + 0.1, 0.3)
        plan.builder.box((0, 0, high + 0.15), cornice, wall, (0.9, 0.9, 0.9))
    _draw_ground_floor(plan, house)
    plan.builder.place()
    size, center = (depth, width, total), (x, y + width / 2, total / 2)
    plan.objects.append(SceneObject(instance, "building", "building", size, center, 0.0))


def _draw_walls(b: MeshBuilder, house: _House, facade: int, wall: int, cell: float) -> None:
    """Windows everywhere but at the back; their pattern starts at the corner of each wall."""
    high, hx, hy = house.high_m, house.depth_m / 2, house.width_m / 2

    def draw(ends: list[tuple[float, float]], length: float, row: int) -> None:
        (xa, ya), (xb, yb) = ends
        corners = np.array([[xa, ya, 0], [xb, yb, 0], [xb, yb, high], [xa, ya, high]], float)
        shift = (length % cell) / 2
        uv = np.array([[-shift, 0], [length - shift, 0], [length - shift, high], [-shift, high]])
        b.quad(corners, row, uv=uv)

    for sx in (-1, 1):
        row = facade if sx == -house.side else wall
        draw([(sx * hx, -hy), (sx * hx, hy)], house.width_m, row)
    for sy in (-1, 1):
        draw([(-hx, sy * hy), (hx, sy * hy)], house.depth_m, facade)


def _draw_gable(plan: StreetPlan, house: _House, wall: int) -> float:
    """A tiled roof with gables at both ends; returns its height."""
    rng, b = plan.rng, plan.builder
    row = plan.table.add(tiles(rng, size=(0.3, 0.25)))
    tint = srgb(_ROOFS[int(rng.integers(4))])
    rise, over = float(rng.uniform(1.8, 3.4)), 0.4
    hx, hy, high = house.depth_m / 2, house.width_m / 2, house.high_m
    ridge = high + rise
    for s in (-1, 1):
        eave, end = s * (hx + over), hy + over
        slope = [
            [eave, -end, high - 0.2],
            [eave, end, high - 0.2],
            [0, end, ridge],
            [0, -end, ridge],
        ]
        b.quad(np.array(slope), row, tint)
        y, top = s * house.width_m / 2, ridge - 0.1
        gable = [[-hx, y, high], [hx, y, high], [0.01, y, top], [-0.01, y, top]]
        b.quad(np.array(gable), wall)
    return rise


def _draw_ground_floor(plan: StreetPlan, house: _House) -> None:
    """Doors or a shop, and ledges, on the street side of the house being drawn."""
    rng, b, p = plan.rng, plan.builder, plan.palette
    out = -house.side
    x = out * house.depth_m / 2
    if plan.profile.style == "urban" and rng.random() < 0.5:
        _draw_shop(plan, x, out, house.width_m)
    else:
        for _ in range(1 + int(house.width_m > 14)):
            y = float(rng.uniform(-0.35, 0.35)) * house.width_m
            b.box((x + out * 0.02, y, 1.08), (0.1, 1.25, 2.3), p.paint, srgb("#d8d4ca"))
            b.box((x + out * 0.06, y, 1.02), (0.08, 0.95, 2.05), p.wood2)
    for k in range(int(rng.integers(0, 3))):
        ledge = (x + out * 0.08, 0, 3.1 + 3.1 * k)
        b.box(ledge, (0.2, house.width_m, 0.18), p.paint, srgb("#cfc8b8"))


def _draw_shop(plan: StreetPlan, x: float, out: int, width: float) -> None:
    """Shop windows, a sign, sometimes an awning; `out` is the way to the street."""
    rng, b, p = plan.rng, plan.builder, plan.palette
    base = hsv(float(rng.random()), float(rng.uniform(0.1, 0.6)), float(rng.uniform(0.2, 0.8)))
    b.box((x + out * 0.03, 0, 1.5), (0.1, width * 0.96, 3.0), p.paint, base)
    n = max(1, int(width / 3.5))
    for k in range(n):
        y = -width / 2 + width * (k + 0.5) / n
        b.box((x + out * 0.09, y, 1.35), (0.04, width / n * 0.78, 2.2), p.glass)
    sign = hsv(float(rng.random()), 0.6, 0.7)
    b.box((x + out * 0.12, 0, 2.75), (0.1, width * 0.8, 0.5), p.paint, sign)
    if rng.random() < 0.5:
        z, hy, reach = 2.5, width * 0.4, x + out * 1.2
        awning = [[x, -hy, z + 0.5], [x, hy, z + 0.5], [reach, hy, z], [reach, -hy, z]]
        b.quad(np.array(awning), p.fabric, hsv(float(rng.random()), 0.6, 0.8))


def draw_far_end(plan: StreetPlan) -> None:
    """Something at the horizon: houses across, or a line of trees."""
    rng, y1 = plan.rng, plan.profile.end_m
    if plan.profile.style == "urban" and rng.random() < 0.5:
        x = -60.0
        while x < 60:
            width, high = float(rng.uniform(10, 25)), float(rng.uniform(8, 30))
            wall, seed = pick(_FACADES, rng), int(rng.integers(9999))
            cells = (2.6, 3.2, 0.5, 0.5)
            row = plan.table.add(Material(WINDOWS, wall, _DARK_GLASS, cells, seed=seed))
            plan.builder.box((x + width / 2, y1 + 45, high / 2), (width, 12, high), row)
            x += width
        return
    for x in np.arange(-150, 150, 7.0).tolist():
        h = float(rng.uniform(5, 12))
        at = (x, y1 + 60 + float(rng.uniform(-15, 15)), h * 0.4)
        plan.builder.ball(at, (9, 9, h), plan.palette.leaves, (0.8, 0.9, 0.9), detail=5)
