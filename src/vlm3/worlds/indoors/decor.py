"""What makes a room lived in: pictures, mirrors, whiteboards, rugs, radiators, loose things."""

from vlm3.worlds.indoors.clutter import clutter
from vlm3.worlds.indoors.groups import table_group
from vlm3.worlds.indoors.plan import FloorPlan, OnWall, footprint
from vlm3.worlds.materials import fabric
from vlm3.worlds.pieces.parts import UNTINTED, muted_tint
from vlm3.worlds.scene import SceneObject

_LOOSE = ["bin", "box", "ball", "bag", "plant", "stool", "book"]


def decorate(plan: FloorPlan, use: str) -> None:
    """Walls and floor of a room as of that use, which need not be its own."""
    rng = plan.rng
    for _ in range(int(rng.integers(0, 6))):
        _hang_picture(plan, use)
    if use in ("living", "bedroom", "office") and rng.random() < 0.5:
        _lay_rug(plan)
    _draw_radiators(plan)
    for _ in range(int(rng.integers(0, 4))):
        plan.anywhere(plan.one_of(_LOOSE), float(rng.uniform(0, 6.28)))


def _hang_picture(plan: FloorPlan, use: str) -> None:
    """A picture or a mirror, in offices and halls also a whiteboard, where a wall is free."""
    rng = plan.rng
    k = int(rng.integers(4))
    frame = plan.walls[k]
    w, h = float(rng.uniform(0.25, 1.1)), float(rng.uniform(0.25, 0.9))
    if use in ("office", "hall") and rng.random() < 0.4:
        w, h = float(rng.uniform(1.2, 2.4)), float(rng.uniform(0.9, 1.2))
    z = float(rng.uniform(1.3, 1.75))
    if frame.length_m < w + 0.4:
        return
    s = float(rng.uniform(w / 2 + 0.1, frame.length_m - w / 2 - 0.1))
    if any(o.wall == k and o.meets(s, w / 2, 0.1) for o in plan.openings):
        return
    if any(
        q.wall == k
        and q.from_m < s + w / 2 + 0.05
        and s - w / 2 - 0.05 < q.to_m
        and q.high_m > z - h / 2 - 0.05
        for q in plan.on_walls
    ):
        return
    plan.on_walls.append(OnWall(k, s - w / 2, s + w / 2, z - h / 2, z + h / 2))
    _draw_picture(plan, k, (s, z), (w, h))


def _draw_picture(
    plan: FloorPlan, wall: int, at_sz: tuple[float, float], size: tuple[float, float]
) -> None:
    rng, b, p, frame = plan.rng, plan.builder, plan.palette, plan.walls[wall]
    (s, z), (w, h) = at_sz, size
    at = frame.at(s, z, -0.02)
    kind = "mirror" if rng.random() < 0.15 else ("whiteboard" if w > 1.15 else "picture")
    center = (float(at[0]), float(at[1]), z)
    instance = plan.start_object(center, frame.yaw_rad)
    row = p.wood2 if rng.random() < 0.5 else p.paint
    tint = muted_tint(rng) if kind == "picture" else UNTINTED
    b.box((0, 0, 0), (w, 0.03, h), row, tint)
    m = float(rng.uniform(0.02, 0.06))
    inner = {"mirror": p.mirror, "picture": p.art, "whiteboard": p.gloss}[kind]
    b.box((0, -0.014, 0), (w - 2 * m, 0.006, h - 2 * m), inner)
    b.place()
    plan.objects.append(SceneObject(instance, kind, kind, (w, 0.034, h), center, frame.yaw_rad))


def _lay_rug(plan: FloorPlan) -> None:
    rng = plan.rng
    w, d = float(rng.uniform(1.2, 2.6)), float(rng.uniform(0.9, 1.9))
    if w < plan.width - 0.6 and d < plan.depth - 0.6:
        row = plan.table.add(fabric(rng))
        x = float(rng.uniform(w / 2 + 0.2, plan.width - w / 2 - 0.2))
        y = float(rng.uniform(d / 2 + 0.2, plan.depth - d / 2 - 0.2))
        plan.builder.box((x, y, 0.006), (w, d, 0.012), row)


def _draw_radiators(plan: FloorPlan) -> None:
    """Below windows that begin high enough, where the floor is free."""
    b = plan.builder
    for o in plan.openings:
        if o.kind == "window" and o.low_m > 0.7 and plan.rng.random() < 0.5:
            frame, w = plan.walls[o.wall], min(o.width_m, 1.4)
            base = frame.at(o.middle_m, 0.0, -0.1)
            if plan.free(footprint(base[0], base[1], w, 0.16, frame.yaw_rad), 0.0):
                b.place(base, frame.yaw_rad)
                for k in range(int(w / 0.09)):
                    at = (-w / 2 + 0.045 + 0.09 * k, 0, 0.4)
                    b.box(at, (0.07, 0.1, 0.55), plan.palette.gloss)
                b.place()


def fill(plan: FloorPlan) -> None:
    """A room as people live in it: more on the floor and the walls, more tables, more on these."""
    rng = plan.rng
    if rng.random() < 0.6:
        decorate(plan, "hall")
    loose = ["bin", "box", "ball", "bag", "plant", "stool", "book", "chair", "box", "chair"]
    for _ in range(int(rng.integers(0, 2 + min(8, round(plan.area_m2 / 7))))):
        plan.anywhere(plan.one_of(loose), float(rng.uniform(0, 6.28)))
    if plan.area_m2 > 40 and rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 6))):
            table_group(plan, str(rng.choice(["table", "table", "counter"])))
    clutter(plan)
    if rng.random() < 0.5:
        clutter(plan)
