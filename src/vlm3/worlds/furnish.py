"""What stands in a room, by its use: groups of furniture, things on surfaces and walls.

`FURNISH[use](plan)` fills a `FloorPlan`. Knows no shell and no light.
"""

import numpy as np

from vlm3.worlds import furniture
from vlm3.worlds.furniture import Palette, Piece
from vlm3.worlds.layout import FloorPlan, footprint
from vlm3.worlds.materials import MARBLE, Colour, Material, fabric, pick, plaster, srgb
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.scene import SceneObject


def _seats_around(
    plan: FloorPlan, piece: Piece, at: tuple[float, float, float], yaw: float
) -> None:
    """Chairs along the two long sides of a table, and sometimes at its ends."""
    rng = plan.rng
    w, d, _ = piece.size_wdh_m
    chair = plan.model("chair")
    sides = [(x, -1) for x in np.linspace(-1, 1, max(1, int(w / 0.65)) + 2)[1:-1]]
    sides += [(x, 1) for x, _ in sides]
    c, s = np.cos(yaw), np.sin(yaw)
    for x, side in sides:
        if rng.random() < 0.15:
            continue
        lx = float(x) * w / 2
        ly = side * (d / 2 + float(rng.uniform(-0.05, 0.3)))
        px, py = at[0] + lx * c - ly * s, at[1] + lx * s + ly * c
        turn = yaw + (0 if side > 0 else np.pi) + float(rng.normal(0, 0.12))
        box = footprint(px, py, chair.size_wdh_m[0] * 0.7, chair.size_wdh_m[1] * 0.7, turn)
        inside = (
            box[0] > 0.05
            and box[2] < plan.width - 0.05
            and box[1] > 0.05
            and box[3] < plan.depth - 0.05
        )
        if inside and not any(
            box[2] > a and c2 > box[0] and box[3] > b2 and d2 > box[1]
            for a, b2, c2, d2 in plan.taken[:-1]
        ):
            plan.put(chair, (px, py, 0.0), turn, solid=False)
    x0, y0, x1, y1 = plan.taken[-1]
    plan.taken.append((x0 - 0.45, y0 - 0.45, x1 + 0.45, y1 + 0.45))


def _table_group(plan: FloorPlan, category: str = "table") -> None:
    piece = plan.model(category)
    yaw = float(plan.rng.choice([0.0, np.pi / 2])) + float(plan.rng.normal(0, 0.04))
    spot = plan.anywhere(piece, yaw, margin=1.0, tries=20)
    if spot:
        _seats_around(plan, piece, (*spot, 0.0), yaw)


def _desk_group(plan: FloorPlan, *, wall: bool) -> None:
    piece = plan.model("desk")
    if wall:
        found = plan.against_wall(piece)
        if found is None:
            return
    elif (
        plan.anywhere(piece, float(plan.rng.choice([0, np.pi / 2, np.pi, 1.5 * np.pi])), margin=0.9)
        is None
    ):
        return
    thing = plan.objects[-1]
    x, y, _ = thing.center_m
    c, s = np.cos(thing.yaw_rad), np.sin(thing.yaw_rad)
    chair = plan.model("chair")
    ly = -(piece.size_wdh_m[1] / 2 + float(plan.rng.uniform(0.0, 0.35)))
    px, py = x - ly * s, y + ly * c
    if 0.3 < px < plan.width - 0.3 and 0.3 < py < plan.depth - 0.3:
        plan.put(
            chair,
            (px, py, 0.0),
            thing.yaw_rad + np.pi + float(plan.rng.normal(0, 0.4)),
            solid=False,
        )
        plan.taken.append(footprint(px, py, 0.6, 0.6, 0))


def _on_desk(
    plan: FloorPlan,
    piece: Piece,
    category: str,
    lx: float,
    ly: float,
    at: tuple[float, float, float],
    yaw: float,
    turn: float = 0.0,
) -> None:
    thing = plan.model(category)
    c, s = np.cos(yaw), np.sin(yaw)
    spot = (at[0] + lx * c - ly * s, at[1] + lx * s + ly * c, at[2] + piece.top_m)
    plan.put(thing, (float(spot[0]), float(spot[1]), spot[2]), yaw + turn, solid=False)


def clutter(plan: FloorPlan) -> None:
    """Things on the surfaces that furniture offers."""
    rng = plan.rng
    kinds = {
        "desk": ["monitor", "laptop", "keyboard", "mug", "book", "table lamp", "printer"],
        "table": ["bowl", "vase", "mug", "bottle", "book", "laptop"],
        "coffee table": ["book", "mug", "bowl", "vase"],
        "counter": ["kettle", "pot", "bottle", "bowl", "microwave", "mug"],
        "tv stand": ["television"],
    }
    for piece, at, yaw in list(plan.tops):
        w, d, _ = piece.size_wdh_m
        options = kinds.get(
            piece.category, ["vase", "book", "table lamp", "clock", "box", "bottle"]
        )
        if piece.category == "tv stand":
            if rng.random() < 0.85:
                _on_desk(plan, piece, "television", 0.0, 0.0, at, yaw)
            continue
        used: list[tuple[float, float, float]] = []
        if piece.category == "desk" and rng.random() < 0.75:
            _on_desk(plan, piece, "monitor", 0.0, d * 0.2, at, yaw)
            _on_desk(plan, piece, "keyboard", 0.0, -d * 0.2, at, yaw)
            used.append((0.0, 0.0, 0.35))
            options = options[3:]
        for _ in range(int(rng.integers(0, 1 + max(1, round(4 * w))))):
            category = str(rng.choice(options))
            lx, ly = float(rng.uniform(-0.44, 0.44)) * w, float(rng.uniform(-0.36, 0.36)) * d
            radius = 0.25 if category in ("laptop", "monitor", "microwave", "printer") else 0.13
            if all(np.hypot(lx - x, ly - y) > radius + r for x, y, r in used) and w > 2 * radius:
                used.append((lx, ly, radius))
                _on_desk(plan, piece, category, lx, ly, at, yaw, float(rng.normal(0, 0.4)))


def fill(plan: FloorPlan) -> None:
    """A room as people live in it: more on the floor and the walls, more tables, more on these."""
    rng = plan.rng
    area_m2 = plan.width * plan.depth
    if rng.random() < 0.6:
        walls_and_floor(plan, "hall")
    loose = ["bin", "box", "ball", "bag", "plant", "stool", "book", "chair", "box", "chair"]
    for _ in range(int(rng.integers(0, 2 + min(8, round(area_m2 / 7))))):
        kind = str(rng.choice(loose))
        plan.anywhere(plan.model(kind), float(rng.uniform(0, 6.28)))
    if area_m2 > 40 and rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 6))):
            _table_group(plan, str(rng.choice(["table", "table", "counter"])))
    clutter(plan)
    if rng.random() < 0.5:
        clutter(plan)


def walls_and_floor(plan: FloorPlan, use: str) -> None:
    """Pictures, mirrors, rugs, radiators, and things on the floor."""
    rng, b = plan.rng, plan.builder
    for _ in range(int(rng.integers(0, 6))):
        k = int(rng.integers(4))
        frame = plan.walls[k]
        w, h = float(rng.uniform(0.25, 1.1)), float(rng.uniform(0.25, 0.9))
        if use in ("office", "hall") and rng.random() < 0.4:
            w, h = float(rng.uniform(1.2, 2.4)), float(rng.uniform(0.9, 1.2))
        z = float(rng.uniform(1.3, 1.75))
        if frame.length_m < w + 0.4:
            continue
        s = float(rng.uniform(w / 2 + 0.1, frame.length_m - w / 2 - 0.1))
        if any(
            o.wall == k and o.along_m - w / 2 - 0.1 < s < o.along_m + o.width_m + w / 2 + 0.1
            for o in plan.openings
        ):
            continue
        if any(
            q == k and a < s + w / 2 + 0.05 and s - w / 2 - 0.05 < e and top > z - h / 2 - 0.05
            for q, a, e, _, top in plan.spots_on_walls
        ):
            continue
        plan.spots_on_walls.append((k, s - w / 2, s + w / 2, z - h / 2, z + h / 2))
        instance = len(plan.objects) + 1
        at = frame.at(s, z, -0.02)
        kind = "mirror" if rng.random() < 0.15 else ("whiteboard" if w > 1.15 else "picture")
        b.place(at, frame.yaw_rad, instance)
        b.box(
            (0, 0, 0),
            (w, 0.03, h),
            plan.palette.wood2 if rng.random() < 0.5 else plan.palette.paint,
            (1, 1, 1) if kind != "picture" else furniture._tint(rng),
        )
        m = float(rng.uniform(0.02, 0.06))
        row = {
            "mirror": plan.palette.mirror,
            "picture": plan.palette.art,
            "whiteboard": plan.palette.gloss,
        }[kind]
        b.box((0, -0.014, 0), (w - 2 * m, 0.006, h - 2 * m), row)
        b.place()
        center = (float(at[0]), float(at[1]), z)
        plan.objects.append(SceneObject(instance, kind, kind, (w, 0.034, h), center, frame.yaw_rad))
    if use in ("living", "bedroom", "office") and rng.random() < 0.5:
        w, d = float(rng.uniform(1.2, 2.6)), float(rng.uniform(0.9, 1.9))
        if w < plan.width - 0.6 and d < plan.depth - 0.6:
            row = plan.table.add(fabric(rng))
            x = float(rng.uniform(w / 2 + 0.2, plan.width - w / 2 - 0.2))
            y = float(rng.uniform(d / 2 + 0.2, plan.depth - d / 2 - 0.2))
            b.box((x, y, 0.006), (w, d, 0.012), row)
    for o in plan.openings:
        if o.kind == "window" and o.low_m > 0.7 and rng.random() < 0.5:
            frame, w = plan.walls[o.wall], min(o.width_m, 1.4)
            base = frame.at(o.along_m + o.width_m / 2, 0.0, -0.1)
            if plan.free(footprint(base[0], base[1], w, 0.16, frame.yaw_rad), 0.0):
                b.place(base, frame.yaw_rad)
                for k in range(int(w / 0.09)):
                    b.box(
                        (-w / 2 + 0.045 + 0.09 * k, 0, 0.4), (0.07, 0.1, 0.55), plan.palette.gloss
                    )
                b.place()
    for _ in range(int(rng.integers(0, 4))):
        plan.anywhere(
            plan.model(str(rng.choice(["bin", "box", "ball", "bag", "plant", "stool", "book"]))),
            float(rng.uniform(0, 6.28)),
        )


def _living(plan: FloorPlan) -> None:
    rng = plan.rng
    found = plan.against_wall(plan.model("sofa"))
    if found:
        k, s = found
        frame = plan.walls[k]
        coffee = plan.model("coffee table")
        base = frame.at(s, 0.0, -(1.3 + float(rng.uniform(0.0, 0.4))))
        if plan.free(footprint(base[0], base[1], *coffee.size_wdh_m[:2], frame.yaw_rad)):
            plan.put(coffee, (float(base[0]), float(base[1]), 0.0), frame.yaw_rad)
        plan.against_wall(plan.model("tv stand"), wall=(k + 2) % 4)
    for category, chance in (
        ("bookshelf", 0.7),
        ("armchair", 0.5),
        ("lamp", 0.6),
        ("plant", 0.6),
        ("chest of drawers", 0.5),
        ("bookshelf", 0.4),
        ("side table", 0.4),
        ("armchair", 0.3),
        ("cupboard", 0.4),
    ):
        if rng.random() < chance:
            plan.against_wall(plan.model(category))
    if plan.width * plan.depth > 18 and rng.random() < 0.7:
        _table_group(plan)


def _bedroom(plan: FloorPlan) -> None:
    rng = plan.rng
    found = plan.against_wall(plan.model("bed"), tries=30)
    if found:
        k, s = found
        bed = plan.objects[-1]
        stand = plan.model("nightstand")
        for side in (-1, 1):
            at = plan.walls[k].at(
                s + side * (bed.size_wdh_m[0] / 2 + 0.35), 0.0, -(stand.size_wdh_m[1] / 2 + 0.03)
            )
            if plan.free(footprint(at[0], at[1], *stand.size_wdh_m[:2], plan.walls[k].yaw_rad)):
                plan.put(stand, (float(at[0]), float(at[1]), 0.0), plan.walls[k].yaw_rad)
    for category, chance in (
        ("wardrobe", 0.85),
        ("chest of drawers", 0.6),
        ("desk", 0.35),
        ("chair", 0.4),
        ("plant", 0.4),
        ("lamp", 0.3),
        ("bookshelf", 0.35),
    ):
        if rng.random() < chance:
            plan.against_wall(plan.model(category))


def _kitchen(plan: FloorPlan) -> None:
    rng = plan.rng
    k = int(rng.integers(4))
    frame = plan.walls[k]
    blocked = [o for o in plan.openings if o.wall == k and (o.kind != "window" or o.low_m < 0.86)]
    tint = furniture._tint(rng)
    s, run = 0.02, []
    while s + 0.6 < frame.length_m - 0.02:
        base = frame.at(s + 0.3, 0.0, -0.31)
        clear = all(s + 0.62 < o.along_m or o.along_m + o.width_m < s - 0.02 for o in blocked)
        if clear and plan.free(footprint(base[0], base[1], 0.59, 0.6, frame.yaw_rad), 0.0):
            run.append(s)
        s += 0.6
    stove = int(rng.integers(max(len(run), 1)))
    top_row = plan.table.add(
        Material(
            MARBLE,
            pick(("#3b3a38", "#d8d4cc", "#8a7b6a"), rng),
            srgb("#77736b"),
            (2, 0, 0, 0),
            mirror=0.05,
            blur=0.3,
        )
    )
    wooden = rng.random() < 0.5
    uppers = rng.random() < 0.75
    windows = [o for o in plan.openings if o.wall == k and o.kind == "window"]
    for n, s in enumerate(run):
        base = frame.at(s + 0.3, 0.0, -0.31)
        at = (float(base[0]), float(base[1]), 0.0)
        special = {stove: "stove", stove + 2: "washing machine"}.get(n)
        if n == len(run) - 1 and rng.random() < 0.6:
            special = "refrigerator"
        if special:
            plan.put(plan.model(special), at, frame.yaw_rad)
        else:
            piece = _unit(0.598, 0.6, 0.9, wooden, tint, top_row, sink=n == stove + 1)
            plan.put(piece, at, frame.yaw_rad)
        low = all(s + 0.6 < o.along_m or o.along_m + o.width_m < s for o in windows)
        if uppers and low and special != "refrigerator":
            up = frame.at(s + 0.3, 1.45, -0.18)
            if n == stove:
                plan.builder.place((float(up[0]), float(up[1]), 1.6), frame.yaw_rad)
                plan.builder.cylinder((0, 0.0, 0.05), 0.5, 0.12, plan.palette.metal, top_ratio=0.5)
                plan.builder.box(
                    (0, 0.05, (plan.height - 1.6) / 2),
                    (0.25, 0.22, plan.height - 1.62),
                    plan.palette.metal,
                )
                plan.builder.place()
            else:
                plan.put(
                    _unit(0.598, 0.34, 0.7, wooden, tint, None, sink=False),
                    (float(up[0]), float(up[1]), 1.45),
                    frame.yaw_rad,
                    solid=False,
                )
    if run:
        plan.spots_on_walls.append((k, run[0], run[-1] + 0.6, 0.0, 2.3))
    if plan.width * plan.depth > 9:
        _table_group(plan)
    for category, chance in (
        ("refrigerator", 0.3),
        ("cupboard", 0.5),
        ("bin", 0.6),
        ("plant", 0.3),
        ("bookshelf", 0.3),
    ):
        if rng.random() < chance:
            plan.against_wall(plan.model(category))


def _unit(
    w: float, d: float, h: float, wooden: bool, tint: Colour, top: int | None, *, sink: bool
) -> Piece:
    """One kitchen unit, below or above the worktop."""

    def draw(b: MeshBuilder, p: Palette) -> None:
        row, colour = (p.wood, (1.0, 1.0, 1.0)) if wooden else (p.gloss, tint)
        low = 0.1 if top is not None else 0.0
        body = h - (0.04 if top is not None else 0.0)
        b.box((0, 0.01, (low + body) / 2), (w, d - 0.02, body - low), row, colour)
        b.box(
            (0, -d / 2 + 0.01, (low + body) / 2),
            (w - 0.006, 0.018, body - low - 0.006),
            row,
            colour,
        )
        b.box(
            (0, -d / 2 - 0.01, body - 0.12 if top is not None else 0.08),
            (0.14, 0.02, 0.012),
            p.metal,
        )
        if top is not None:
            b.box((0, -0.01, h - 0.02), (w + 0.004, d + 0.02, 0.04), top)
            b.box((0, 0.04, low / 2), (w, d - 0.1, low), p.paint, furniture.BLACK)
            if sink:
                b.box((0, 0, h + 0.002), (w * 0.8, d * 0.7, 0.006), p.metal)
                b.box((0, -0.02, h + 0.004), (w * 0.62, d * 0.5, 0.006), p.metal, (0.4, 0.4, 0.4))
                b.cylinder((0, d * 0.36, h + 0.12), 0.03, 0.24, p.metal, segments=8)
                b.box((0, d * 0.24, h + 0.24), (0.025, 0.18, 0.025), p.metal)

    category = "kitchen cabinet" if top is not None else "wall cabinet"
    return Piece(category, (w, d, h), draw, h if top is not None and not sink else 0.0)


def _office(plan: FloorPlan) -> None:
    rng = plan.rng
    area = plan.width * plan.depth
    for _ in range(int(np.clip(area / 9, 1, 7))):
        _desk_group(plan, wall=rng.random() < 0.6)
    for category, chance in (
        ("bookshelf", 0.8),
        ("bookshelf", 0.5),
        ("cupboard", 0.5),
        ("filing cabinet", 0.6),
        ("filing cabinet", 0.4),
        ("plant", 0.6),
        ("wardrobe", 0.4),
        ("armchair", 0.2),
    ):
        if rng.random() < chance:
            plan.against_wall(plan.model(category))
    if area > 25 and rng.random() < 0.5:
        _table_group(plan)


def _bath(plan: FloorPlan) -> None:
    for category, chance in (
        ("bathtub", 0.6),
        ("toilet", 0.9),
        ("washbasin", 0.95),
        ("washing machine", 0.5),
        ("cupboard", 0.4),
        ("bin", 0.4),
        ("stool", 0.2),
    ):
        if plan.rng.random() < chance:
            plan.against_wall(plan.model(category), tries=25)


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
        _table_group(plan, str(rng.choice(["table", "table", "counter"])))
    for _ in range(int(rng.integers(0, 4))):
        plan.against_wall(plan.model("sofa"))
    for category in (
        "plant",
        "plant",
        "bookshelf",
        "cupboard",
        "counter",
        "armchair",
        "bin",
        "wardrobe",
    ):
        if rng.random() < 0.5:
            plan.against_wall(plan.model(category))
    if rng.random() < 0.4:  # pillars
        row = plan.table.add(plaster(rng))
        size = float(rng.uniform(0.3, 0.6))
        for i in range(1, int(plan.width / 4) + 1):
            for j in range(1, int(plan.depth / 4) + 1):
                x, y = (
                    plan.width * i / (int(plan.width / 4) + 1),
                    plan.depth * j / (int(plan.depth / 4) + 1),
                )
                if plan.free((x - size, y - size, x + size, y + size)):
                    plan.builder.box((x, y, plan.height / 2), (size, size, plan.height), row)
                    plan.taken.append((x - size / 2, y - size / 2, x + size / 2, y + size / 2))


def _storage(plan: FloorPlan) -> None:
    rng = plan.rng
    for _ in range(int(rng.integers(2, 7))):
        plan.against_wall(
            plan.model(
                str(
                    rng.choice(
                        [
                            "bookshelf",
                            "wardrobe",
                            "cupboard",
                            "filing cabinet",
                            "washing machine",
                            "refrigerator",
                        ]
                    )
                )
            )
        )
    for _ in range(int(rng.integers(2, 9))):
        plan.anywhere(
            plan.model(str(rng.choice(["box", "box", "bag", "bin", "chair", "stool", "ball"]))),
            float(rng.uniform(0, 6.28)),
        )


FURNISH = {
    "living": _living,
    "bedroom": _bedroom,
    "kitchen": _kitchen,
    "office": _office,
    "bathroom": _bath,
    "corridor": _corridor,
    "hall": _hall,
    "storage": _storage,
}
