"""Windows: frame, sill, curtains or a blind, the daylight that enters, and what is outside."""

import numpy as np

from vlm3.worlds.indoors.plan import FloorPlan
from vlm3.worlds.indoors.surfaces import Surfaces
from vlm3.worlds.indoors.walls import Opening, WallFrame
from vlm3.worlds.materials import (
    ASPHALT,
    GRASS,
    LEAVES,
    WINDOWS,
    Colour,
    Material,
    pick,
    plaster,
    srgb,
)
from vlm3.worlds.scene import AreaLamp

_FACADES = ("#c9b79a", "#b98d6f", "#d8d2c4", "#a9a39a")
_TRUNK: Colour = (0.5, 0.35, 0.25)


def draw_window(plan: FloorPlan, o: Opening, surfaces: Surfaces) -> None:
    """Frame bars, sill and sometimes curtains or a blind."""
    rng, b, frame, row = plan.rng, plan.builder, plan.walls[o.wall], surfaces.window_frame
    bar, out = 0.05, surfaces.thickness_m * 0.6
    mid_z = (o.low_m + o.high_m) / 2
    splits = max(1, round(o.width_m / rng.uniform(0.6, 1.3)))
    for k in range(splits + 1):
        s = o.along_m + bar / 2 + (o.width_m - bar) * k / splits
        b.box(frame.at(s, mid_z, out), frame.box_size(bar, 0.06, o.tall_m), row)
    levels = [o.low_m + bar / 2, o.high_m - bar / 2]
    if rng.random() < 0.3:
        levels.append(mid_z + o.tall_m * 0.2)
    for z in levels:
        b.box(frame.at(o.middle_m, z, out), frame.box_size(o.width_m, 0.06, bar), row)
    sill = frame.at(o.middle_m, o.low_m - 0.015, -0.05)
    b.box(sill, frame.box_size(o.width_m + 0.16, 0.2, 0.03), row)
    style = rng.random()
    if style < 0.35:
        _draw_curtains(plan, o, surfaces.curtain)
    elif style < 0.55:
        drop = o.tall_m * rng.uniform(0.15, 1.0)
        blind = frame.at(o.middle_m, o.high_m - drop / 2, 0.01)
        b.box(blind, frame.box_size(o.width_m - 0.02, 0.008, drop), surfaces.curtain)


def _draw_curtains(plan: FloorPlan, o: Opening, row: int) -> None:
    """At both sides, in folds, on a rod."""
    rng, b, frame = plan.rng, plan.builder, plan.walls[o.wall]
    for side in (0, 1):
        width = o.width_m * rng.uniform(0.12, 0.3)
        folds = max(3, int(width / 0.07))
        low = rng.choice([0.03, o.low_m - 0.15])
        for k in range(folds):
            s = o.along_m - 0.1 + (k + 0.5) * width / folds
            if side:
                s = 2 * o.along_m + o.width_m - s
            at = frame.at(s, (low + o.high_m + 0.12) / 2, -0.09 - 0.02 * (k % 2))
            b.cylinder(at, width / folds * 1.25, o.high_m + 0.12 - low, row, segments=6)
    rod = frame.at(o.middle_m, o.high_m + 0.13, -0.09)
    b.box(rod, frame.box_size(o.width_m + 0.5, 0.02, 0.02), plan.palette.metal)


def window_lamp(frame: WallFrame, o: Opening, light: Colour) -> AreaLamp:
    """Daylight that enters through a window, as an area lamp; `light` is of a square metre."""
    area = o.width_m * o.tall_m
    center = frame.at(o.middle_m, (o.low_m + o.high_m) / 2, -0.03)
    return AreaLamp(
        (float(center[0]), float(center[1]), float(center[2])),
        (float(frame.along[0] * o.width_m), float(frame.along[1] * o.width_m), 0.0),
        (0.0, 0.0, o.tall_m),
        (float(frame.inward[0]), float(frame.inward[1]), -0.15),
        (light[0] * area, light[1] * area, light[2] * area),
    )


def draw_outside(plan: FloorPlan, walls: list[WallFrame], storey_m: float) -> None:
    """Ground, opposite houses and trees behind the walls that have windows."""
    rng, table = plan.rng, plan.table
    kind = GRASS if rng.random() < 0.5 else ASPHALT
    ground = table.add(Material(kind, srgb("#5c7a3a"), srgb("#7d9450"), vary=0.2))
    corners = [(-150.0, -150.0), (150.0, -150.0), (150.0, 150.0), (-150.0, 150.0)]
    plan.builder.quad(np.array([(x, y, -storey_m) for x, y in corners]), ground)
    seed = int(rng.integers(999))
    leaves = table.add(Material(LEAVES, srgb("#41602c"), srgb("#6d8a3e"), seed=seed))
    for frame in walls:
        away_m = float(rng.uniform(9, 40))
        _draw_houses(plan, frame, away_m, storey_m)
        for _ in range(int(rng.integers(0, 4))):
            _draw_tree(plan, frame, away_m, storey_m, leaves)


def _draw_houses(plan: FloorPlan, frame: WallFrame, away_m: float, storey_m: float) -> None:
    """A row of houses along a wall, `away_m` from it, with gaps."""
    rng = plan.rng
    vary = plaster(rng, bright=False).vary
    wall = pick(_FACADES, rng)
    cells = (rng.uniform(1.8, 3.2), rng.uniform(2.8, 3.4), 0.45, 0.5)
    facade = plan.table.add(Material(WINDOWS, wall, (0.08, 0.1, 0.13), cells, vary))
    x = -30.0
    while x < frame.length_m + 30:
        width, high = float(rng.uniform(8, 20)), float(rng.uniform(4, 16))
        if rng.random() < 0.75:
            at = frame.at(x + width / 2, high / 2 - storey_m, away_m + 4)
            plan.builder.box(at, frame.box_size(width, 8.0, high), facade)
        x += width + float(rng.choice([0.0, 3.0]))


def _draw_tree(
    plan: FloorPlan, frame: WallFrame, away_m: float, storey_m: float, leaves: int
) -> None:
    rng, b = plan.rng, plan.builder
    along = float(rng.uniform(-5, frame.length_m + 5))
    x, y, _ = frame.at(along, 0.0, away_m * float(rng.uniform(0.3, 0.9)))
    high = float(rng.uniform(4, 8))
    b.cylinder((x, y, high / 3 - storey_m), 0.25, high / 1.5, leaves, _TRUNK, segments=6)
    crown = (high * 0.55, high * 0.55, high * 0.6)
    b.ball((x, y, high * 0.72 - storey_m), crown, leaves)
