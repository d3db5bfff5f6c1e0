"""Doors and passages: casing, leaf, and the room behind."""

import numpy as np

from vlm3.worlds.indoors.plan import FloorPlan
from vlm3.worlds.indoors.surfaces import Surfaces
from vlm3.worlds.indoors.walls import Opening
from vlm3.worlds.materials import plaster
from vlm3.worlds.scene import SceneObject


def draw_door(plan: FloorPlan, o: Opening, surfaces: Surfaces) -> None:
    """A door, closed or ajar, or a passage; behind what is open, the next room."""
    _draw_casing(plan, o, surfaces)
    swing = 0.0
    if o.kind == "door":
        swing = _draw_leaf(plan, o, surfaces)
    if o.kind == "passage" or swing > 0:
        _draw_next_room(plan, o, surfaces)


def _draw_casing(plan: FloorPlan, o: Opening, surfaces: Surfaces) -> None:
    b, frame, row = plan.builder, plan.walls[o.wall], surfaces.door_frame
    for side in (0.0, 1.0):
        s = o.along_m + side * o.width_m + (side - 0.5) * 0.07
        at = frame.at(s, o.high_m / 2, -0.008)
        b.box(at, frame.box_size(0.07, 0.02, o.high_m), row)
    at = frame.at(o.middle_m, o.high_m + 0.035, -0.008)
    b.box(at, frame.box_size(o.width_m + 0.14, 0.02, 0.07), row)


def _draw_leaf(plan: FloorPlan, o: Opening, surfaces: Surfaces) -> float:
    """The leaf with panels and handle, as an object; returns its swing in radians, 0 is closed."""
    rng, b, frame, metal = plan.rng, plan.builder, plan.walls[o.wall], plan.palette.metal
    swing = 0.0 if rng.random() < 0.65 else float(rng.uniform(0.5, 1.7))
    hinge = frame.at(o.along_m, 0.0, 0.04 if swing == 0 else 0.12)
    yaw = float(np.arctan2(frame.along[1], frame.along[0])) - swing
    instance = len(plan.objects) + 1
    b.place(hinge, yaw, instance)
    w, h = o.width_m - 0.01, o.high_m - 0.01
    b.box((w / 2, 0, h / 2 + 0.005), (w, 0.04, h), surfaces.door)
    panels = int(rng.integers(0, 4))
    for k in range(panels):
        z = h * (k + 0.5) / panels + 0.02
        for face in (-1, 1):
            size = (w * 0.7, 0.006, h / panels * 0.75)
            b.box((w / 2, face * 0.021, z), size, surfaces.door, (0.93, 0.93, 0.93))
    for face in (-1, 1):
        b.box((w - 0.09, face * 0.05, 1.02), (0.12, 0.02, 0.02), metal)
        b.cylinder((w - 0.05, face * 0.03, 1.02), 0.03, 0.06, metal, segments=6)
    b.place()
    middle = hinge + np.array([np.cos(yaw) * w / 2, np.sin(yaw) * w / 2, h / 2 + 0.005])
    x, y, z = (float(v) for v in middle)
    plan.objects.append(SceneObject(instance, "door", "door", (w, 0.14, h), (x, y, z), yaw))
    if swing > 0:
        plan.taken.append((x - 0.4, y - 0.4, x + 0.4, y + 0.4))
    return swing


def _draw_next_room(plan: FloorPlan, o: Opening, surfaces: Surfaces) -> None:
    """A plain room behind an open door or passage, often with a piece at its far wall."""
    rng, frame = plan.rng, plan.walls[o.wall]
    row = plan.table.add(plaster(rng, bright=rng.random() < 0.6))
    half, far = float(rng.uniform(1.2, 2.5)), float(rng.uniform(1.5, 5.0))
    h = min(plan.height, 2.6)
    s0, s1 = o.middle_m - half, o.middle_m + half
    near, back = surfaces.thickness_m, surfaces.thickness_m + far

    def quad(points: list[tuple[float, float, float]], material: int) -> None:
        plan.builder.quad(np.array([frame.at(*p) for p in points]), material)

    quad([(s0, 0, 0), (s1, 0, 0), (s1, 0, back), (s0, 0, back)], surfaces.floor)
    quad([(s0, h, near), (s1, h, near), (s1, h, back), (s0, h, back)], surfaces.ceiling)
    quad([(s0, 0, back), (s1, 0, back), (s1, h, back), (s0, h, back)], row)
    quad([(s0, 0, near), (s0, 0, back), (s0, h, back), (s0, h, near)], row)
    quad([(s1, 0, near), (s1, 0, back), (s1, h, back), (s1, h, near)], row)
    a, e, high = o.along_m, o.end_m, o.high_m
    quad([(s0, 0, near), (a, 0, near), (a, h, near), (s0, h, near)], row)
    quad([(e, 0, near), (s1, 0, near), (s1, h, near), (e, h, near)], row)
    quad([(a, high, near), (e, high, near), (e, h, near), (a, h, near)], row)
    if rng.random() < 0.7:
        piece = plan.one_of(["cupboard", "bookshelf", "chest of drawers", "plant"])
        s = o.middle_m + float(rng.uniform(-0.5, 0.5)) * half
        base = frame.at(s, 0.0, back - piece.size_wdh_m[1] / 2 - 0.03)
        yaw = frame.yaw_rad + np.pi
        plan.put(piece, (float(base[0]), float(base[1]), 0.0), yaw, solid=False)
