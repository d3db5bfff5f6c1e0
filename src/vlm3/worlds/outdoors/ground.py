"""The ground of a street: road with markings, pavements with kerbs, the land around."""

import numpy as np

from vlm3.worlds.materials import ASPHALT, GRASS, Material, srgb, tiles
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.outdoors.plan import StreetPlan

PAVEMENT_M = 0.13
"""Height of a pavement above the road."""
LAND_M = -0.16
"""Height of the land beside and below the road."""
_FAR_M = (-200, 400)
"""From where to where the road is drawn, beyond what stands along it."""
_LINE_M, _LINE_UP_M = 0.12, 0.004


def draw_ground(plan: StreetPlan) -> None:
    """All that is flat."""
    rng, table, road = plan.rng, plan.table, plan.profile
    shade, warm = float(rng.uniform(0.045, 0.16)), float(rng.uniform(0.92, 1.0))
    tar = (shade, shade * 0.99, shade * 0.97 * warm)
    vary, seed = float(rng.uniform(0.08, 0.2)), int(rng.integers(9999))
    asphalt = table.add(Material(ASPHALT, tar, vary=vary, seed=seed))
    seed = int(rng.integers(9999))
    grass = Material(GRASS, srgb("#50702e"), srgb("#8c9a58"), vary=0.25, seed=seed)
    bare = Material(ASPHALT, srgb("#8b877f"), vary=0.12)
    land = table.add(bare if road.style == "urban" else grass)
    _strip(plan.builder, (-400, 400), (-400, 400), LAND_M, land)
    _strip(plan.builder, (-road.half_m, road.half_m), _FAR_M, 0.0, asphalt)
    _draw_markings(plan)
    if road.walk_m > 0:
        _draw_pavements(plan, grass)


def _strip(
    b: MeshBuilder, x: tuple[float, float], y: tuple[float, float], z: float, row: int
) -> None:
    """A level rectangle."""
    (x0, x1), (y0, y1) = x, y
    b.quad(np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], float), row)


def _draw_markings(plan: StreetPlan) -> None:
    """Lines and a zebra crossing; half of the suburbs have no lines."""
    rng, b, road = plan.rng, plan.builder, plan.profile
    paint = Material(ASPHALT, srgb("#d8d8d2"), vary=0.12)
    white = plan.table.add(paint)
    yellow = Material(ASPHALT, srgb("#d9b63a"), vary=0.12)
    centre = plan.table.add(yellow if rng.random() < 0.2 else paint)
    if road.style != "suburb" or rng.random() < 0.5:
        _draw_lines(plan, white, centre)
    if road.style == "urban" and rng.random() < 0.6:
        y = float(rng.uniform(5, 30))
        for x in np.arange(-road.half_m + 0.3, road.half_m - 0.3, 1.0).tolist():
            _strip(b, (x, x + 0.5), (y, y + 3.0), _LINE_UP_M + 0.001, white)


def _draw_lines(plan: StreetPlan, white: int, centre: int) -> None:
    """Between the directions, between the lanes of each, and at the edge."""
    rng, road = plan.rng, plan.profile
    y0, y1 = road.start_m, road.end_m

    def line(x: float, start: float, end: float, row: int) -> None:
        _strip(plan.builder, (x - _LINE_M / 2, x + _LINE_M / 2), (start, end), _LINE_UP_M, row)

    if rng.random() < 0.3:
        line(0.0, y0, y1, centre)
    else:
        dash, gap = float(rng.uniform(2, 4)), float(rng.uniform(3, 6))
        for y in np.arange(y0, y1, dash + gap).tolist():
            line(0.0, y, y + dash, centre)
    for k in range(1, road.lanes):
        for side in (-1, 1):
            for y in np.arange(y0, y1, 7.5).tolist():
                line(side * k * road.lane_m, y, y + 3.0, white)
    country = road.style == "country"
    if road.park_m > 0 or country:
        for side in (-1, 1):
            line(side * (road.lanes * road.lane_m - (0.15 if country else 0)), y0, y1, white)


def _draw_pavements(plan: StreetPlan, grass: Material) -> None:
    """At both sides, with kerbs, and in suburbs sometimes a strip of grass."""
    rng, b, table, road = plan.rng, plan.builder, plan.table, plan.profile
    half, walk, high = road.half_m, road.walk_m, PAVEMENT_M
    if rng.random() < 0.7:
        size = (float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.3, 0.6)))
        paving = table.add(tiles(rng, size=size))
    else:
        paving = table.add(Material(ASPHALT, srgb("#9b978f"), vary=0.12))
    kerb = table.add(Material(ASPHALT, srgb("#b5b1a8"), vary=0.1))
    for side in (-1, 1):
        _strip(b, _across(side, half + 0.15, half + walk), _FAR_M, high, paving)
        b.box((side * (half + 0.075), 100, high / 2), (0.15, 600, high), kerb)
        b.box((side * (half + walk), 100, high / 2 - 0.1), (0.08, 600, high + 0.2), kerb)
        if road.style == "suburb" and rng.random() < 0.4:
            strip = _across(side, half + 0.15, half + 0.15 + 0.4 * walk)
            _strip(b, strip, _FAR_M, high + 0.005, table.add(grass))


def _across(side: int, near: float, far: float) -> tuple[float, float]:
    """From left to right between two distances from the middle of the road, at one side."""
    x0, x1 = sorted((side * near, side * far))
    return x0, x1
