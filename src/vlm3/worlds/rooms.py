"""Furnished rooms: shell, furniture by the room's use, things on surfaces, lamps and daylight.

`make_room(rng, split)` gives a `Scene`. Sizes, heights and clearances follow ordinary houses,
offices and halls. Knows no cameras beyond where one can stand.
"""

import numpy as np

from vlm3.worlds import shell
from vlm3.worlds.furnish import FURNISH, clutter, fill, walls_and_floor
from vlm3.worlds.layout import FloorPlan, make_palette
from vlm3.worlds.materials import (
    MARBLE,
    Material,
    MaterialTable,
    bricks,
    fabric,
    paint,
    pick,
    plaster,
    srgb,
    tiles,
    wallpaper,
    wood,
)
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.pack import Pack
from vlm3.worlds.scene import AreaLamp, Scene, Sky, measured
from vlm3.worlds.shell import Opening, WallFrame

Rng = np.random.Generator
Rect = tuple[float, float, float, float]


Uses = dict[str, tuple[float, tuple[float, float], tuple[float, float], tuple[float, float]]]

# use: (share, least and most width, least and most depth, ceiling)
HELDOUT_USES: Uses = {
    "living": (0.24, (3.2, 6.5), (3.2, 8.5), (2.4, 2.9)),
    "bedroom": (0.16, (2.8, 4.8), (3.0, 5.2), (2.4, 2.8)),
    "kitchen": (0.15, (2.3, 4.2), (2.8, 5.5), (2.4, 2.8)),
    "office": (0.17, (2.8, 7.5), (3.5, 10.0), (2.5, 3.2)),
    "bathroom": (0.05, (1.8, 3.2), (2.2, 3.6), (2.3, 2.7)),
    "corridor": (0.08, (1.4, 2.6), (6.0, 20.0), (2.4, 3.2)),
    "hall": (0.08, (6.0, 12.0), (8.0, 20.0), (2.9, 5.0)),
    "storage": (0.07, (2.2, 5.0), (2.6, 7.0), (2.4, 3.4)),
}
"""Rooms of the held-out split. They never change, so that figures stay comparable."""
TRAIN_USES: Uses = HELDOUT_USES | {
    "living": (0.22, (3.2, 7.5), (3.2, 9.0), (2.4, 3.2)),
    "office": (0.20, (2.8, 10.0), (3.5, 14.0), (2.5, 3.6)),
    "corridor": (0.09, (1.3, 3.0), (6.0, 24.0), (2.4, 3.6)),
    "hall": (0.13, (6.0, 16.0), (8.0, 26.0), (2.9, 6.0)),
}
"""Rooms to learn from: more of them large, as photographs of offices and halls show them."""


def make_room(rng: Rng, split: str, pack: Pack | None = None) -> Scene:
    """One furnished room; those of the train split are fuller and larger."""
    uses = TRAIN_USES if split == "train" else HELDOUT_USES
    names = list(uses)
    shares = np.array([uses[n][0] for n in names])
    use = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    _, w_range, d_range, h_range = uses[use]
    width, depth, height = (float(rng.uniform(*r)) for r in (w_range, d_range, h_range))
    if rng.random() < 0.5:
        width, depth = depth, width
    table, builder = MaterialTable(), MeshBuilder()
    palette = make_palette(table, rng)
    walls = shell.wall_frames(0.0, 0.0, width, depth)
    openings = _choose_openings(rng, use, walls, height)
    plan = FloorPlan(
        rng, builder, table, palette, split, pack, width, depth, height, walls, openings
    )
    for o in openings:
        if o.kind != "window":
            a, e = walls[o.wall].at(o.along_m, 0), walls[o.wall].at(o.along_m + o.width_m, 0, -0.9)
            xs, ys = sorted((a[0], e[0])), sorted((a[1], e[1]))
            plan.taken.append((xs[0] - 0.05, ys[0] - 0.05, xs[1] + 0.05, ys[1] + 0.05))
    lamps, sky = _draw_shell(plan, use)
    FURNISH[use](plan)
    walls_and_floor(plan, use)
    if split == "train":
        fill(plan)
    else:
        clutter(plan)
    mesh = builder.build(rng)
    return Scene(
        "room",
        mesh,
        table,
        tuple(lamps),
        sky,
        measured(plan.objects, mesh),
        _spots(plan),
        (0.75, 1.75),
        _focus(plan),
        reach_m=250.0,
    )


def _choose_openings(
    rng: Rng, use: str, walls: tuple[WallFrame, ...], height: float
) -> list[Opening]:
    openings: list[Opening] = []
    spans: list[list[tuple[float, float]]] = [[] for _ in range(4)]

    def fit(k: int, w: float) -> float | None:
        for _ in range(8):
            room = walls[k].length_m - w - 0.5
            if room <= 0:
                return None
            s = 0.25 + float(rng.random()) * room
            if all(s + w + 0.3 < a or e + 0.3 < s for a, e in spans[k]):
                spans[k].append((s, s + w))
                return s
        return None

    long_side = int(np.argmax([f.length_m for f in walls])) % 2
    doors = (
        1
        + int(rng.random() < 0.4)
        + (int(rng.integers(1, 4)) if use in ("corridor", "hall") else 0)
    )
    for _ in range(doors):
        k = int(rng.integers(4))
        if use == "corridor":
            k = int(rng.choice([long_side, long_side + 2]))
        wide = use in ("living", "hall", "kitchen", "corridor") and rng.random() < 0.3
        w = float(rng.uniform(1.1, 2.4) if wide else rng.uniform(0.78, 1.0))
        s = fit(k, w)
        if s is not None:
            openings.append(
                Opening(k, "passage" if wide else "door", s, w, 0.0, float(rng.uniform(1.98, 2.12)))
            )
    if use in ("storage", "corridor") and rng.random() < 0.6:
        return openings
    first = int(rng.integers(4))
    for k in [first] + ([(first + int(rng.choice([1, 2, 3]))) % 4] if rng.random() < 0.35 else []):
        for _ in range(int(rng.integers(1, 4))):
            w = float(rng.uniform(0.7, 2.4))
            s = fit(k, w)
            if s is not None:
                low = float(rng.choice([0.85, 0.9, 1.0, 0.45, 0.08], p=[0.3, 0.3, 0.2, 0.1, 0.1]))
                if use == "bathroom":
                    low = 1.2
                high = min(height - 0.15, float(rng.uniform(2.05, 2.35)))
                openings.append(Opening(k, "window", s, w, low, high))
    return openings


def _draw_shell(plan: FloorPlan, use: str) -> tuple[list[AreaLamp], Sky]:
    rng, b, table, openings = plan.rng, plan.builder, plan.table, plan.openings
    w, d, h = plan.width, plan.depth, plan.height
    wet = use in ("bathroom", "kitchen")
    if wet or (use in ("hall", "corridor", "storage") and rng.random() < 0.6):
        floor = tiles(rng)
    else:
        floor = wood(rng, planks=True) if rng.random() < 0.65 else fabric(rng)
    if use == "hall" and rng.random() < 0.3:
        floor = Material(
            MARBLE, srgb("#c9c4ba"), srgb("#8f8a80"), (1.0, 0, 0, 0), mirror=0.05, blur=0.2
        )
    floor_row = table.add(floor)
    main = plaster(rng, bright=rng.random() < 0.75)
    rows = [table.add(main)] * 4
    if use == "bathroom":
        rows = [table.add(tiles(rng))] * 4
    elif rng.random() < 0.3:
        special = (wallpaper(rng), bricks(rng), plaster(rng, bright=False), wood(rng))
        rows[int(rng.integers(4))] = table.add(special[int(rng.integers(4))])
    elif rng.random() < 0.12:
        rows = [table.add(wallpaper(rng))] * 4
    ceiling = table.add(plaster(rng) if rng.random() < 0.8 else tiles(rng, size=(0.6, 0.6)))
    frame_rows = {
        "frame": table.add(
            paint(srgb("#f0efec") if rng.random() < 0.7 else pick(("#5d4030", "#3c3c3e"), rng))
        ),
        "door": table.add(
            wood(rng)
            if rng.random() < 0.5
            else paint(pick(("#eeece6", "#e2ddd0", "#7d8a92", "#b9a58a"), rng))
        ),
        "door frame": table.add(paint(pick(("#efeee9", "#8a6543", "#d8d3c8"), rng))),
        "metal": plan.palette.metal,
        "curtain": table.add(shell.curtain_material(rng)),
    }
    b.quad(np.array([[0, 0, 0], [w, 0, 0], [w, d, 0], [0, d, 0]], float), floor_row)
    b.quad(np.array([[0, 0, h], [0, d, h], [w, d, h], [w, 0, h]], float), ceiling)
    skirting = (
        None if use == "bathroom" else (frame_rows["door frame"], float(rng.uniform(0.05, 0.14)))
    )
    dado = None
    if use == "kitchen" and rng.random() < 0.5:
        dado = (table.add(tiles(rng)), float(rng.uniform(1.2, 1.6)))
    thickness = float(rng.uniform(0.12, 0.35))
    for k, frame in enumerate(plan.walls):
        mine = [o for o in openings if o.wall == k]
        shell.draw_wall(
            b,
            frame,
            h,
            mine,
            rows[k],
            thickness=thickness,
            reveal=frame_rows["door frame"] if rng.random() < 0.3 else rows[k],
            skirting=skirting,
            dado=dado,
        )
    lamps: list[AreaLamp] = []
    day = rng.random() < 0.75
    warmth = rng.uniform(0.75, 1.0)
    blue = (0.9, 1.0, 1.12) if rng.random() < 0.6 else (1.0, 1.0, 1.0)
    strength = float(rng.uniform(0.5, 1.6)) * w * d / 14
    window_walls = []
    for o in openings:
        frame = plan.walls[o.wall]
        if o.kind == "window":
            shell.draw_window(b, frame, o, rng, frame_rows, thickness)
            window_walls.append(frame)
            if day and len(lamps) < 3:
                lamps.append(
                    shell.window_lamp(
                        frame, o, (strength * blue[0], strength * blue[1], strength * blue[2])
                    )
                )
        else:
            leaf = len(plan.objects) + 1 if o.kind == "door" else None
            swing = shell.draw_door(b, frame, o, rng, frame_rows, leaf)
            if leaf is not None:
                plan.objects.append(shell.object_of_door(leaf, frame, o, swing))
                if swing > 0:
                    leaf_box = plan.objects[-1]
                    x, y, _ = leaf_box.center_m
                    plan.taken.append((x - 0.4, y - 0.4, x + 0.4, y + 0.4))
            if leaf is None or swing > 0:
                _next_room(plan, frame, o, floor_row, ceiling, thickness)
    if window_walls:
        shell.draw_outside(b, table, rng, window_walls, float(rng.choice([0.3, 3.2, 6.0, 9.0])))
    if not lamps or rng.random() < 0.55:
        lamps += _ceiling_lamps(plan, use, warmth)
    level = float(rng.uniform(0.7, 1.1))
    sun = (0.0, 0.0, 0.0)
    direction = np.array([rng.normal(), rng.normal(), rng.uniform(0.3, 1.6)])
    if day and window_walls and rng.random() < 0.45:
        out = -window_walls[0].inward
        direction = np.array([*(out + rng.normal(0, 0.5, 2)), rng.uniform(0.3, 1.3)])
        power = float(rng.uniform(3, 8))
        sun = (power, power * 0.93, power * 0.8)
    bright = float(rng.uniform(1.5, 4.0)) if day else 0.03
    gray = rng.random() < 0.4
    zenith = (0.75, 0.78, 0.82) if gray else (0.35, 0.55, 0.95)
    sky = Sky(
        (float(direction[0]), float(direction[1]), float(direction[2])),
        sun,
        (level, level * (0.85 + 0.15 * warmth), level * (0.7 + 0.3 * warmth)),
        (zenith[0] * bright, zenith[1] * bright, zenith[2] * bright),
        (0.85 * bright, 0.9 * bright, 0.95 * bright),
        cloud=float(rng.uniform(0, 0.8)),
    )
    return lamps, sky


def _next_room(
    plan: FloorPlan, frame: WallFrame, o: Opening, floor: int, ceiling: int, thickness: float
) -> None:
    """A plain room behind an open door or passage."""
    rng, b = plan.rng, plan.builder
    row = plan.table.add(plaster(rng, bright=rng.random() < 0.6))
    half, far = float(rng.uniform(1.2, 2.5)), float(rng.uniform(1.5, 5.0))
    h = min(plan.height, 2.6)
    mid = o.along_m + o.width_m / 2
    s0, s1 = mid - half, mid + half
    near, back = thickness, thickness + far

    def q(points: list[tuple[float, float, float]], material: int) -> None:
        b.quad(np.array([frame.at(*p) for p in points]), material)

    q([(s0, 0, 0), (s1, 0, 0), (s1, 0, back), (s0, 0, back)], floor)
    q([(s0, h, near), (s1, h, near), (s1, h, back), (s0, h, back)], ceiling)
    q([(s0, 0, back), (s1, 0, back), (s1, h, back), (s0, h, back)], row)
    q([(s0, 0, near), (s0, 0, back), (s0, h, back), (s0, h, near)], row)
    q([(s1, 0, near), (s1, 0, back), (s1, h, back), (s1, h, near)], row)
    for a, e in ((s0, o.along_m), (o.along_m + o.width_m, s1)):
        q([(a, 0, near), (e, 0, near), (e, h, near), (a, h, near)], row)
    q(
        [
            (o.along_m, o.high_m, near),
            (o.along_m + o.width_m, o.high_m, near),
            (o.along_m + o.width_m, h, near),
            (o.along_m, h, near),
        ],
        row,
    )
    if rng.random() < 0.7:
        piece = plan.model(str(rng.choice(["cupboard", "bookshelf", "chest of drawers", "plant"])))
        base = frame.at(
            mid + float(rng.uniform(-0.5, 0.5)) * half, 0.0, back - piece.size_wdh_m[1] / 2 - 0.03
        )
        yaw = frame.yaw_rad + np.pi
        plan.put(piece, (float(base[0]), float(base[1]), 0.0), yaw, solid=False)


def _ceiling_lamps(plan: FloorPlan, use: str, warmth: float) -> list[AreaLamp]:
    rng, b = plan.rng, plan.builder
    w, d, h = plan.width, plan.depth, plan.height
    power = h * h * float(rng.uniform(0.7, 1.5)) * max(1.0, w * d / 16) ** 0.5
    colour = (power, power * (0.8 + 0.2 * warmth), power * (0.55 + 0.45 * warmth))
    style = rng.random()
    lamps = []
    if use in ("office", "hall", "corridor") and style < 0.75:
        nx, ny = max(1, round(w / 2.6)), max(1, round(d / 2.6))
        size = (0.6, 0.6) if rng.random() < 0.5 else (1.2, 0.2)
        for i in range(nx):
            for j in range(ny):
                x, y = w * (i + 0.5) / nx, d * (j + 0.5) / ny
                b.box((x, y, h - 0.01), (*size, 0.03), plan.palette.glow)
        lights = [
            (w * (i + 0.5) / min(nx, 2), d * (j + 0.5) / min(ny, 2))
            for i in range(min(nx, 2))
            for j in range(min(ny, 2))
        ]
        for x, y in lights:
            share = 1.6 / len(lights)
            lamps.append(
                AreaLamp(
                    (x, y, h - 0.06),
                    (1.5, 0, 0),
                    (0, 1.5, 0),
                    (0, 0, -1),
                    (colour[0] * share, colour[1] * share, colour[2] * share),
                )
            )
        return lamps
    x, y = w * float(rng.uniform(0.4, 0.6)), d * float(rng.uniform(0.4, 0.6))
    if style < 0.5:
        b.cylinder(
            (x, y, h - 0.05), float(rng.uniform(0.3, 0.55)), 0.09, plan.palette.glow, segments=18
        )
        z = h - 0.14
    else:
        drop = float(rng.uniform(0.3, 0.8))
        b.cylinder((x, y, h - drop / 2), 0.012, drop, plan.palette.metal, segments=5)
        b.cylinder(
            (x, y, h - drop),
            float(rng.uniform(0.25, 0.5)),
            0.22,
            plan.palette.glow,
            (0.95, 0.9, 0.8),
            0.5,
            18,
        )
        z = h - drop - 0.15
    lamps.append(AreaLamp((x, y, z), (0.35, 0, 0), (0, 0.35, 0), (0, 0, -1), colour))
    return lamps


def _spots(plan: FloorPlan) -> np.ndarray:
    """Free standing places, at least 0.2 m from furniture where there are any."""
    points = plan.rng.uniform([0.2, 0.2], [plan.width - 0.2, plan.depth - 0.2], (256, 2))
    rects = np.array(plan.taken) if plan.taken else np.zeros((0, 4))
    for gap in (0.22, 0.05):
        x, y = points[:, :1], points[:, 1:]
        hit = (
            (x > rects[:, 0] - gap)
            & (x < rects[:, 2] + gap)
            & (y > rects[:, 1] - gap)
            & (y < rects[:, 3] + gap)
        )
        free = points[~hit.any(1)]
        if len(free) >= 8:
            return free
    return points[:8]


def _focus(plan: FloorPlan) -> np.ndarray:
    """Points worth looking at: objects, and the walls at eye height."""
    things = [o.center_m for o in plan.objects]
    w, d = plan.width, plan.depth
    corners = [(x, y, 1.2) for x in (0.05 * w, 0.5 * w, 0.95 * w) for y in (0.05 * d, 0.95 * d)]
    return np.array(things + corners, float)
