"""What stands in a room, by its use.

`FURNISH[use](plan)` fills a `FloorPlan`. Knows no shell and no light.
"""

from collections.abc import Callable

import numpy as np

from vlm3.worlds.indoors.groups import desk_group, table_group
from vlm3.worlds.indoors.kitchen import furnish_kitchen
from vlm3.worlds.indoors.plan import FloorPlan, footprint
from vlm3.worlds.materials import plaster


def _living(plan: FloorPlan) -> None:
    rng = plan.rng
    sofa = plan.against_wall(plan.model("sofa"))
    if sofa:
        k, s = sofa
        frame = plan.walls[k]
        coffee = plan.model("coffee table")
        base = frame.at(s, 0.0, -(1.3 + float(rng.uniform(0.0, 0.4))))
        if plan.free(footprint(base[0], base[1], *coffee.size_wdh_m[:2], frame.yaw_rad)):
            plan.put(coffee, (float(base[0]), float(base[1]), 0.0), frame.yaw_rad)
        plan.against_wall(plan.model("tv stand"), wall=(k + 2) % 4)
    plan.some_against_walls(
        (
            ("bookshelf", 0.7),
            ("armchair", 0.5),
            ("lamp", 0.6),
            ("plant", 0.6),
            ("chest of drawers", 0.5),
            ("bookshelf", 0.4),
            ("side table", 0.4),
            ("armchair", 0.3),
            ("cupboard", 0.4),
        )
    )
    if plan.area_m2 > 18 and rng.random() < 0.7:
        table_group(plan)


def _bedroom(plan: FloorPlan) -> None:
    place = plan.against_wall(plan.model("bed"), tries=30)
    if place:
        k, s = place
        bed, frame = plan.objects[-1], plan.walls[k]
        stand = plan.model("nightstand")
        w, d, _ = stand.size_wdh_m
        for side in (-1, 1):
            at = frame.at(s + side * (bed.size_wdh_m[0] / 2 + 0.35), 0.0, -(d / 2 + 0.03))
            if plan.free(footprint(at[0], at[1], w, d, frame.yaw_rad)):
                plan.put(stand, (float(at[0]), float(at[1]), 0.0), frame.yaw_rad)
    plan.some_against_walls(
        (
            ("wardrobe", 0.85),
            ("chest of drawers", 0.6),
            ("desk", 0.35),
            ("chair", 0.4),
            ("plant", 0.4),
            ("lamp", 0.3),
            ("bookshelf", 0.35),
        )
    )


def _office(plan: FloorPlan) -> None:
    rng = plan.rng
    for _ in range(int(np.clip(plan.area_m2 / 9, 1, 7))):
        desk_group(plan, wall=rng.random() < 0.6)
    plan.some_against_walls(
        (
            ("bookshelf", 0.8),
            ("bookshelf", 0.5),
            ("cupboard", 0.5),
            ("filing cabinet", 0.6),
            ("filing cabinet", 0.4),
            ("plant", 0.6),
            ("wardrobe", 0.4),
            ("armchair", 0.2),
        )
    )
    if plan.area_m2 > 25 and rng.random() < 0.5:
        table_group(plan)


def _bathroom(plan: FloorPlan) -> None:
    plan.some_against_walls(
        (
            ("bathtub", 0.6),
            ("toilet", 0.9),
            ("washbasin", 0.95),
            ("washing machine", 0.5),
            ("cupboard", 0.4),
            ("bin", 0.4),
            ("stool", 0.2),
        ),
        tries=25,
    )


def _corridor(plan: FloorPlan) -> None:
    for category in (
        "chest of drawers",
        "bookshelf",
        "plant",
        "chair",
        "cupboard",
        "filing cabinet",
        "bin",
    ):
        if plan.rng.random() < 0.3:
            piece = plan.model(category)
            if piece.size_wdh_m[1] < min(plan.width, plan.depth) - 0.9:
                plan.against_wall(piece)


def _hall(plan: FloorPlan) -> None:
    rng = plan.rng
    for _ in range(int(rng.integers(1, 5))):
        table_group(plan, str(rng.choice(["table", "table", "counter"])))
    for _ in range(int(rng.integers(0, 4))):
        plan.against_wall(plan.model("sofa"))
    plan.some_against_walls(
        (
            ("plant", 0.5),
            ("plant", 0.5),
            ("bookshelf", 0.5),
            ("cupboard", 0.5),
            ("counter", 0.5),
            ("armchair", 0.5),
            ("bin", 0.5),
            ("wardrobe", 0.5),
        )
    )
    if rng.random() < 0.4:
        _draw_pillars(plan)


def _draw_pillars(plan: FloorPlan) -> None:
    """Every four metres or so, where the floor is free."""
    row = plan.table.add(plaster(plan.rng))
    size = float(plan.rng.uniform(0.3, 0.6))
    nx, ny = int(plan.width / 4) + 1, int(plan.depth / 4) + 1
    for i in range(1, nx):
        for j in range(1, ny):
            x, y = plan.width * i / nx, plan.depth * j / ny
            if plan.free((x - size, y - size, x + size, y + size)):
                plan.builder.box((x, y, plan.height / 2), (size, size, plan.height), row)
                plan.taken.append((x - size / 2, y - size / 2, x + size / 2, y + size / 2))


def _storage(plan: FloorPlan) -> None:
    rng = plan.rng
    stored = [
        "bookshelf",
        "wardrobe",
        "cupboard",
        "filing cabinet",
        "washing machine",
        "refrigerator",
    ]
    for _ in range(int(rng.integers(2, 7))):
        plan.against_wall(plan.one_of(stored))
    loose = ["box", "box", "bag", "bin", "chair", "stool", "ball"]
    for _ in range(int(rng.integers(2, 9))):
        plan.anywhere(plan.one_of(loose), float(rng.uniform(0, 6.28)))


FURNISH: dict[str, Callable[[FloorPlan], None]] = {
    "living": _living,
    "bedroom": _bedroom,
    "kitchen": furnish_kitchen,
    "office": _office,
    "bathroom": _bathroom,
    "corridor": _corridor,
    "hall": _hall,
    "storage": _storage,
}
