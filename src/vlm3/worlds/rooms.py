"""Furnished rooms: shell, furniture by the room's use, things on surfaces, lamps and daylight.

`make_room(rng, split)` gives a `Scene`. Sizes, heights and clearances follow ordinary houses,
offices and halls. Knows no cameras beyond where one can stand.
"""

from dataclasses import dataclass, field

import numpy as np

from vlm3.worlds import furniture, shell
from vlm3.worlds.furniture import Palette, Piece
from vlm3.worlds.materials import (
    ART,
    LEAVES,
    MARBLE,
    Colour,
    Material,
    MaterialTable,
    bricks,
    fabric,
    lamp,
    metal,
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
from vlm3.worlds.scene import AreaLamp, Scene, SceneObject, Sky
from vlm3.worlds.shell import Opening, WallFrame

Rng = np.random.Generator
Rect = tuple[float, float, float, float]

MODELS = {"train": (0, 400), "heldout": (10_000, 10_060)}  # numbers of built-in models
PACK_SHARE = 0.7

# use: (share, least and most width, least and most depth, ceiling)
USES: dict[str, tuple[float, tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "living": (0.24, (3.2, 6.5), (3.2, 8.5), (2.4, 2.9)),
    "bedroom": (0.16, (2.8, 4.8), (3.0, 5.2), (2.4, 2.8)),
    "kitchen": (0.15, (2.3, 4.2), (2.8, 5.5), (2.4, 2.8)),
    "office": (0.17, (2.8, 7.5), (3.5, 10.0), (2.5, 3.2)),
    "bathroom": (0.05, (1.8, 3.2), (2.2, 3.6), (2.3, 2.7)),
    "corridor": (0.08, (1.4, 2.6), (6.0, 20.0), (2.4, 3.2)),
    "hall": (0.08, (6.0, 12.0), (8.0, 20.0), (2.9, 5.0)),
    "storage": (0.07, (2.2, 5.0), (2.6, 7.0), (2.4, 3.4)),
}


@dataclass
class Plan:
    """What has been put where, while a room is furnished."""

    rng: Rng
    builder: MeshBuilder
    table: MaterialTable
    palette: Palette
    split: str
    pack: Pack | None
    width: float
    depth: float
    height: float
    walls: tuple[WallFrame, ...]
    openings: list[Opening]
    taken: list[Rect] = field(default_factory=list)
    objects: list[SceneObject] = field(default_factory=list)
    tops: list[tuple[Piece, tuple[float, float, float], float]] = field(default_factory=list)
    spots_on_walls: list[tuple[int, float, float, float, float]] = field(default_factory=list)

    def model(self, category: str) -> Piece:
        """A furniture model of this split, from the pack where it has one, or built in."""
        if self.pack and self.rng.random() < PACK_SHARE:
            found = self.pack.choose(category, self.split, self.rng)
            if found:
                return found
        return furniture.model(category, int(self.rng.integers(*MODELS[self.split])))

    def free(self, rect: Rect, gap: float = 0.04) -> bool:
        """Whether a rectangle is inside the room and clear of what stands there."""
        x0, y0, x1, y1 = rect
        if x0 < 0.01 or y0 < 0.01 or x1 > self.width - 0.01 or y1 > self.depth - 0.01:
            return False
        return all(
            x1 + gap <= a or c + gap <= x0 or y1 + gap <= b or d + gap <= y0
            for a, b, c, d in self.taken
        )

    def put(
        self, piece: Piece, at: tuple[float, float, float], yaw: float, *, solid: bool = True
    ) -> int:
        """Draw a piece and note its object, footprint and top."""
        instance = len(self.objects) + 1
        self.builder.place(at, yaw, instance)
        piece.draw(self.builder, self.palette)
        self.builder.place()
        w, d, h = piece.size_wdh_m
        center = (at[0], at[1], at[2] + h / 2)
        name = piece.name or piece.category
        self.objects.append(SceneObject(instance, piece.category, name, (w, d, h), center, yaw))
        if solid:
            self.taken.append(footprint(at[0], at[1], w, d, yaw))
        if piece.top_m > 0:
            self.tops.append((piece, at, yaw))
        return instance

    def against_wall(
        self, piece: Piece, *, wall: int | None = None, tries: int = 14
    ) -> tuple[int, float] | None:
        """Put a piece with its back to a wall; returns (wall, place along) or None."""
        w, d, h = piece.size_wdh_m
        for _ in range(tries):
            k = int(self.rng.integers(4)) if wall is None else wall
            frame = self.walls[k]
            if frame.length_m < w + 0.1:
                continue
            if self.rng.random() < 0.4:
                s = float(self.rng.choice([w / 2 + 0.03, frame.length_m - w / 2 - 0.03]))
            else:
                s = float(self.rng.uniform(w / 2 + 0.02, frame.length_m - w / 2 - 0.02))
            if any(
                o.wall == k and o.along_m - w / 2 - 0.05 < s < o.along_m + o.width_m + w / 2 + 0.05
                and (o.kind != "window" or h > o.low_m + 0.05)
                for o in self.openings
            ):  # fmt: skip
                continue
            base = frame.at(s, 0.0, -(d / 2 + 0.025))
            if self.free(footprint(base[0], base[1], w, d, frame.yaw_rad)):
                self.put(piece, (float(base[0]), float(base[1]), 0.0), frame.yaw_rad)
                self.spots_on_walls.append((k, s - w / 2, s + w / 2, 0.0, h))
                return k, s
        return None

    def anywhere(
        self, piece: Piece, yaw: float, *, tries: int = 14, margin: float = 0.3
    ) -> tuple[float, float] | None:
        """Put a piece on free floor."""
        w, d, _ = piece.size_wdh_m
        for _ in range(tries):
            x = float(self.rng.uniform(margin, self.width - margin))
            y = float(self.rng.uniform(margin, self.depth - margin))
            if self.free(footprint(x, y, w, d, yaw)):
                self.put(piece, (x, y, 0.0), yaw)
                return x, y
        return None


def footprint(x: float, y: float, w: float, d: float, yaw: float) -> Rect:
    """Axis-aligned rectangle around a turned one."""
    c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
    hx, hy = float(w * c + d * s) / 2, float(w * s + d * c) / 2
    return (x - hx, y - hy, x + hx, y + hy)


def make_palette(table: MaterialTable, rng: Rng) -> Palette:
    """Materials that this world's furniture shares."""
    white: Colour = (0.9, 0.9, 0.9)
    glow = srgb((1.0, 0.93, 0.8))
    return Palette(
        wood=table.add(wood(rng)),
        wood2=table.add(wood(rng)),
        metal=table.add(metal(rng)),
        fabric=table.add(fabric(rng, colour=white) if rng.random() < 0.5 else fabric(rng)),
        fabric2=table.add(fabric(rng)),
        paint=table.add(paint(white, mirror=0.02, blur=0.8)),
        gloss=table.add(paint(white, mirror=0.05, blur=0.25)),
        glass=table.add(paint((0.03, 0.03, 0.035), mirror=0.08, blur=0.05)),
        screen=table.add(
            Material(ART, srgb("#c8d8ee"), p=(0.12, 0, 0, 0), emission=(0.25, 0.3, 0.38), mirror=0.04)
        ),
        leaves=table.add(Material(LEAVES, srgb("#3f6b2f"), srgb("#7c9c46"), seed=int(rng.integers(999)))),
        art=table.add(Material(ART, pick(("#d9d2c2", "#7b8794", "#b07b52"), rng), p=(0.16, 0, 0, 0), seed=int(rng.integers(9999)))),
        mirror=table.add(paint((0.05, 0.05, 0.05), mirror=0.85, blur=0.0)),
        glow=table.add(lamp(glow, 3.0)),
    )  # fmt: skip


def make_room(rng: Rng, split: str, pack: Pack | None = None) -> Scene:
    """One furnished room."""
    names = list(USES)
    shares = np.array([USES[n][0] for n in names])
    use = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    _, w_range, d_range, h_range = USES[use]
    width, depth, height = (float(rng.uniform(*r)) for r in (w_range, d_range, h_range))
    if rng.random() < 0.5:
        width, depth = depth, width
    table, builder = MaterialTable(), MeshBuilder()
    palette = make_palette(table, rng)
    walls = shell.wall_frames(0.0, 0.0, width, depth)
    openings = _choose_openings(rng, use, walls, height)
    plan = Plan(rng, builder, table, palette, split, pack, width, depth, height, walls, openings)
    for o in openings:
        if o.kind != "window":
            a, e = walls[o.wall].at(o.along_m, 0), walls[o.wall].at(o.along_m + o.width_m, 0, -0.9)
            xs, ys = sorted((a[0], e[0])), sorted((a[1], e[1]))
            plan.taken.append((xs[0] - 0.05, ys[0] - 0.05, xs[1] + 0.05, ys[1] + 0.05))
    lamps, sky = _draw_shell(plan, use)
    _FURNISH[use](plan)
    _walls_and_floor(plan, use)
    _clutter(plan)
    mesh = builder.build(rng)
    return Scene(
        "room", mesh, table, tuple(lamps), sky, tuple(plan.objects), _spots(plan), (0.75, 1.75),
        _focus(plan), reach_m=250.0,
    )  # fmt: skip


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


def _draw_shell(plan: Plan, use: str) -> tuple[list[AreaLamp], Sky]:
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
        special = [wallpaper, bricks, lambda r: plaster(r, bright=False), wood][
            int(rng.integers(4))
        ]
        rows[int(rng.integers(4))] = table.add(special(rng))
    elif rng.random() < 0.12:
        rows = [table.add(wallpaper(rng))] * 4
    ceiling = table.add(plaster(rng) if rng.random() < 0.8 else tiles(rng, size=(0.6, 0.6)))
    frame_rows = {
        "frame": table.add(paint(srgb("#f0efec") if rng.random() < 0.7 else pick(("#5d4030", "#3c3c3e"), rng))),
        "door": table.add(wood(rng) if rng.random() < 0.5 else paint(pick(("#eeece6", "#e2ddd0", "#7d8a92", "#b9a58a"), rng))),
        "door frame": table.add(paint(pick(("#efeee9", "#8a6543", "#d8d3c8"), rng))),
        "metal": plan.palette.metal,
        "curtain": table.add(shell.curtain_material(rng)),
    }  # fmt: skip
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
        shell.draw_wall(b, frame, h, mine, rows[k], thickness=thickness,
                        reveal=frame_rows["door frame"] if rng.random() < 0.3 else rows[k],
                        skirting=skirting, dado=dado)  # fmt: skip
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
    plan: Plan, frame: WallFrame, o: Opening, floor: int, ceiling: int, thickness: float
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
    q([(o.along_m, o.high_m, near), (o.along_m + o.width_m, o.high_m, near),
       (o.along_m + o.width_m, h, near), (o.along_m, h, near)], row)  # fmt: skip
    if rng.random() < 0.7:
        piece = plan.model(str(rng.choice(["cupboard", "bookshelf", "chest of drawers", "plant"])))
        base = frame.at(
            mid + float(rng.uniform(-0.5, 0.5)) * half, 0.0, back - piece.size_wdh_m[1] / 2 - 0.03
        )
        yaw = frame.yaw_rad + np.pi
        plan.put(piece, (float(base[0]), float(base[1]), 0.0), yaw, solid=False)


def _ceiling_lamps(plan: Plan, use: str, warmth: float) -> list[AreaLamp]:
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
            lamps.append(AreaLamp((x, y, h - 0.06), (1.5, 0, 0), (0, 1.5, 0), (0, 0, -1),
                                  (colour[0] * share, colour[1] * share, colour[2] * share)))  # fmt: skip
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


def _seats_around(plan: Plan, piece: Piece, at: tuple[float, float, float], yaw: float) -> None:
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


def _table_group(plan: Plan, category: str = "table") -> None:
    piece = plan.model(category)
    yaw = float(plan.rng.choice([0.0, np.pi / 2])) + float(plan.rng.normal(0, 0.04))
    spot = plan.anywhere(piece, yaw, margin=1.0, tries=20)
    if spot:
        _seats_around(plan, piece, (*spot, 0.0), yaw)


def _desk_group(plan: Plan, *, wall: bool) -> None:
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
    plan: Plan,
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


def _clutter(plan: Plan) -> None:
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


def _walls_and_floor(plan: Plan, use: str) -> None:
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
        if any(q == k and a < s + w / 2 + 0.05 and s - w / 2 - 0.05 < e and top > z - h / 2 - 0.05
               for q, a, e, _, top in plan.spots_on_walls):  # fmt: skip
            continue
        plan.spots_on_walls.append((k, s - w / 2, s + w / 2, z - h / 2, z + h / 2))
        instance = len(plan.objects) + 1
        at = frame.at(s, z, -0.02)
        kind = "mirror" if rng.random() < 0.15 else ("whiteboard" if w > 1.15 else "picture")
        b.place(at, frame.yaw_rad, instance)
        b.box((0, 0, 0), (w, 0.03, h), plan.palette.wood2 if rng.random() < 0.5 else plan.palette.paint,
              (1, 1, 1) if kind != "picture" else furniture._tint(rng))  # fmt: skip
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


def _living(plan: Plan) -> None:
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
    for category, chance in (("bookshelf", 0.7), ("armchair", 0.5), ("lamp", 0.6), ("plant", 0.6),
                             ("chest of drawers", 0.5), ("bookshelf", 0.4), ("side table", 0.4),
                             ("armchair", 0.3), ("cupboard", 0.4)):  # fmt: skip
        if rng.random() < chance:
            plan.against_wall(plan.model(category))
    if plan.width * plan.depth > 18 and rng.random() < 0.7:
        _table_group(plan)


def _bedroom(plan: Plan) -> None:
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
    for category, chance in (("wardrobe", 0.85), ("chest of drawers", 0.6), ("desk", 0.35),
                             ("chair", 0.4), ("plant", 0.4), ("lamp", 0.3), ("bookshelf", 0.35)):  # fmt: skip
        if rng.random() < chance:
            plan.against_wall(plan.model(category))


def _kitchen(plan: Plan) -> None:
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


def _office(plan: Plan) -> None:
    rng = plan.rng
    area = plan.width * plan.depth
    for _ in range(int(np.clip(area / 9, 1, 7))):
        _desk_group(plan, wall=rng.random() < 0.6)
    for category, chance in (("bookshelf", 0.8), ("bookshelf", 0.5), ("cupboard", 0.5), ("filing cabinet", 0.6),
                             ("filing cabinet", 0.4), ("plant", 0.6), ("wardrobe", 0.4), ("armchair", 0.2)):  # fmt: skip
        if rng.random() < chance:
            plan.against_wall(plan.model(category))
    if area > 25 and rng.random() < 0.5:
        _table_group(plan)


def _bath(plan: Plan) -> None:
    for category, chance in (("bathtub", 0.6), ("toilet", 0.9), ("washbasin", 0.95), ("washing machine", 0.5),
                             ("cupboard", 0.4), ("bin", 0.4), ("stool", 0.2)):  # fmt: skip
        if plan.rng.random() < chance:
            plan.against_wall(plan.model(category), tries=25)


def _corridor(plan: Plan) -> None:
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


def _hall(plan: Plan) -> None:
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


def _storage(plan: Plan) -> None:
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


_FURNISH = {
    "living": _living, "bedroom": _bedroom, "kitchen": _kitchen, "office": _office,
    "bathroom": _bath, "corridor": _corridor, "hall": _hall, "storage": _storage,
}  # fmt: skip


def _spots(plan: Plan) -> np.ndarray:
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


def _focus(plan: Plan) -> np.ndarray:
    """Points worth looking at: objects, and the walls at eye height."""
    things = [o.center_m for o in plan.objects]
    w, d = plan.width, plan.depth
    corners = [(x, y, 1.2) for x in (0.05 * w, 0.5 * w, 0.95 * w) for y in (0.05 * d, 0.95 * d)]
    return np.array(things + corners, float)
