"""What stands along one side of a street: lamps, trees, signs, hedges, fences, guard rails."""

import numpy as np

from vlm3.worlds.outdoors.ground import LAND_M, PAVEMENT_M
from vlm3.worlds.outdoors.plan import StreetPlan

_KINDS = [
    "traffic sign",
    "traffic sign",
    "traffic light",
    "trash can",
    "bench",
    "bollard",
    "container",
    "bicycle",
]
_NOT_IN_THE_COUNTRY = ("bench", "traffic light", "bicycle", "container")


def draw_verge(plan: StreetPlan, side: int) -> None:
    """One side; -1 is left of the road, 1 right of it."""
    rng, road = plan.rng, plan.profile
    high = PAVEMENT_M if road.walk_m > 0 else LAND_M
    edge = side * (road.half_m + 0.6)
    if rng.random() < 0.85:
        _put_lamps(plan, side, edge, high)
    if rng.random() < (0.6 if road.style == "urban" else 0.9):
        _put_trees(plan, side, edge, high)
    for _ in range(int(rng.integers(1, 6))):
        _put_post(plan, side, edge, high)
    if road.style == "suburb":
        _draw_garden_borders(plan, side * (road.half_m + road.walk_m + 0.5))
    if road.style == "country" and rng.random() < 0.4:
        _draw_guard_rail(plan, side)


def _put_lamps(plan: StreetPlan, side: int, edge: float, high: float) -> None:
    """The same lamp at equal steps."""
    rng, road = plan.rng, plan.profile
    step, start = float(rng.uniform(18, 35)), float(rng.uniform(0, 20))
    lamp_post, turn = plan.model("street lamp"), 0.0 if side > 0 else np.pi
    for y in np.arange(road.start_m + start, road.end_m, step).tolist():
        plan.put(lamp_post, (edge, y, high), turn, 0.2)


def _put_trees(plan: StreetPlan, side: int, edge: float, high: float) -> None:
    """Near the kerb in towns, elsewhere anywhere before the houses."""
    rng, road = plan.rng, plan.profile
    far = road.setback_m if road.style != "urban" else 0.0
    for y in np.arange(road.start_m, road.end_m, float(rng.uniform(7, 20))).tolist():
        x = edge + side * float(rng.uniform(0.0, max(0.3, far + road.walk_m)))
        piece = plan.model("tree")
        at = (x, y + float(rng.uniform(-2, 2)), high)
        plan.put(piece, at, float(rng.uniform(0, 6.28)), 0.5)


def _put_post(plan: StreetPlan, side: int, edge: float, high: float) -> None:
    """A sign, a bin, a bench or the like, near where cameras are; benches face the road."""
    rng = plan.rng
    y = float(rng.uniform(-10, 60))
    kind = str(rng.choice(_KINDS))
    if plan.profile.style == "country" and kind in _NOT_IN_THE_COUNTRY:
        kind = "traffic sign"
    facing = 0.0 if rng.random() < 0.6 else np.pi
    if kind == "bench":
        facing = -side * np.pi / 2
    piece = plan.model(kind)
    plan.put(piece, (edge + side * float(rng.uniform(-0.2, 0.4)), y, high), facing, 0.4)


def _draw_garden_borders(plan: StreetPlan, x: float) -> None:
    """Hedges or fences along x, with gaps."""
    rng, road = plan.rng, plan.profile
    y, hedge = road.start_m, rng.random() < 0.5
    while y < road.end_m:
        length = float(rng.uniform(4, 14))
        if rng.random() < 0.7:
            if hedge:
                h = float(rng.uniform(0.7, 1.8))
                at, size = (x, y + length / 2, h / 2 - 0.1), (0.8, length, h)
                plan.builder.ball(at, size, plan.palette.leaves, (0.8, 0.8, 0.8), 0.25)
            else:
                _draw_fence(plan, x, y, length)
        y += length + float(rng.uniform(2.5, 5))


def _draw_fence(plan: StreetPlan, x: float, y: float, length: float) -> None:
    b, wood = plan.builder, plan.palette.wood
    for k in range(int(length / 0.25)):
        b.box((x, y + 0.25 * k, 0.45), (0.03, 0.16, 1.1), wood, (0.9, 0.9, 0.9))
    b.box((x + 0.03, y + length / 2, 0.7), (0.03, length, 0.08), wood)


def _draw_guard_rail(plan: StreetPlan, side: int) -> None:
    b, metal = plan.builder, plan.palette.metal
    x = side * (plan.profile.half_m + 0.7)
    b.box((x, 40, 0.6), (0.06, 160, 0.3), metal)
    for y in np.arange(-40, 120, 4.0).tolist():
        b.box((x + side * 0.08, y, 0.25), (0.1, 0.1, 0.9), metal)
