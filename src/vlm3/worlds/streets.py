"""Streets: road with markings, kerbs, pavements, houses, cars, trees, people, signs, sky.

`make_street(rng, split)` gives a `Scene`; the road runs along +y. Knows no cameras beyond where a
car drives and people walk.
"""

from dataclasses import dataclass, field

import numpy as np

from vlm3.worlds import street_parts
from vlm3.worlds.furniture import Palette, Piece
from vlm3.worlds.layout import MODELS
from vlm3.worlds.materials import (
    ASPHALT,
    GRASS,
    LEAVES,
    WINDOWS,
    Material,
    MaterialTable,
    bricks,
    fabric,
    hsv,
    lamp,
    metal,
    paint,
    pick,
    srgb,
    tiles,
    wood,
)
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.pack import Pack
from vlm3.worlds.scene import Scene, SceneObject, Sky, measured

Rng = np.random.Generator
PACK_SHARE = 0.4
FACADES = (
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


@dataclass
class StreetPlan:
    """What has been put where along a street."""

    rng: Rng
    builder: MeshBuilder
    table: MaterialTable
    palette: Palette
    split: str
    pack: Pack | None
    objects: list[SceneObject] = field(default_factory=list)
    taken: list[tuple[float, float, float]] = field(default_factory=list)  # x, y, radius

    def model(self, category: str) -> Piece:
        """A model of this split, from the pack where it has one, or built in."""
        if self.pack and self.rng.random() < PACK_SHARE:
            found = self.pack.choose(category, self.split, self.rng)
            if found:
                return found
        return street_parts.model(category, int(self.rng.integers(*MODELS[self.split])))

    def put(
        self, piece: Piece, x: float, y: float, z: float, yaw: float, radius: float | None = None
    ) -> bool:
        """Draw a piece where nothing stands yet."""
        w, d, h = piece.size_wdh_m
        own = radius if radius is not None else 0.5 * max(w, d)
        if any((x - a) ** 2 + (y - b) ** 2 < (own + r) ** 2 for a, b, r in self.taken):
            return False
        self.taken.append((x, y, own))
        instance = len(self.objects) + 1
        self.builder.place((x, y, z), yaw, instance)
        piece.draw(self.builder, self.palette)
        self.builder.place()
        name = piece.name or piece.category
        self.objects.append(
            SceneObject(instance, piece.category, name, (w, d, h), (x, y, z + h / 2), yaw)
        )
        return True


def _palette(table: MaterialTable, rng: Rng) -> Palette:
    green = srgb("#3f5f2a") if rng.random() < 0.85 else srgb("#a5762c")
    return Palette(
        wood=table.add(wood(rng)),
        wood2=table.add(wood(rng)),
        metal=table.add(metal(rng)),
        fabric=table.add(fabric(rng, colour=(0.9, 0.9, 0.9))),
        fabric2=table.add(fabric(rng)),
        paint=table.add(paint((0.9, 0.9, 0.9), mirror=0.02, blur=0.8)),
        gloss=table.add(paint((0.85, 0.85, 0.85), mirror=0.06, blur=0.1)),
        glass=table.add(paint((0.02, 0.022, 0.025), mirror=0.12, blur=0.03)),
        screen=table.add(paint((0.1, 0.1, 0.1))),
        leaves=table.add(Material(LEAVES, green, srgb("#86a04e"), seed=int(rng.integers(9999)))),
        art=table.add(paint((0.5, 0.5, 0.5))),
        mirror=table.add(paint((0.05, 0.05, 0.05), mirror=0.85, blur=0.0)),
        glow=table.add(lamp((1.0, 0.95, 0.9), 0.6)),
    )


def make_street(rng: Rng, split: str, pack: Pack | None = None) -> Scene:
    """One street."""
    table, b = MaterialTable(), MeshBuilder()
    plan = StreetPlan(rng, b, table, _palette(table, rng), split, pack)
    style = str(rng.choice(["urban", "suburb", "country"], p=[0.5, 0.35, 0.15]))
    lane = float(rng.uniform(2.9, 3.6))
    lanes = int(rng.choice([1, 2])) if style != "suburb" else 1
    parking = {"urban": 0.75, "suburb": 0.5, "country": 0.0}[style]
    park = float(rng.uniform(2.0, 2.3)) if rng.random() < parking else 0.0
    half = lane * lanes + park
    walk = {
        "urban": float(rng.uniform(1.8, 4.5)),
        "suburb": float(rng.uniform(1.2, 2.2)),
        "country": 0.0,
    }[style]
    setback = {
        "urban": float(rng.choice([0.0, 0.0, 2.5])),
        "suburb": float(rng.uniform(3, 8)),
        "country": 14.0,
    }[style]
    y0, y1 = -45.0, float(rng.uniform(80, 140))
    _ground(plan, style, half, walk, lane, lanes, park, y0, y1)
    front = half + walk + setback
    for side in (-1, 1):
        _houses(plan, style, side, front + float(rng.uniform(0, 1.5)), y0, y1)
        _verge(plan, style, side, half, walk, setback, y0, y1)
    _far_end(plan, style, y1)
    spots = [
        (lane * (k + 0.5) * s, y)
        for k in range(lanes)
        for s in (-1, 1)
        for y in np.arange(-15.0, 40.0, 2.5)
    ]
    walkers = [
        (s * (half + max(walk, 1.0) * 0.5), y) for s in (-1, 1) for y in np.arange(-10.0, 35.0, 3.0)
    ]
    _traffic(plan, half, lane, lanes, park, y0, y1)
    _people(plan, half, walk, y0, y1)
    spots = _clear(plan, spots)
    walkers = _clear(plan, walkers)
    chosen = np.array(spots + spots + walkers if len(spots) + len(walkers) else [(0.0, 0.0)], float)
    focus = [
        o.center_m for o in plan.objects if -5 < o.center_m[1] < 60 and o.category != "building"
    ]
    focus += [(0.0, 40.0, 1.5), (half, 20.0, 2.0), (-half, 20.0, 2.0)]
    mesh = b.build(rng)
    return Scene(
        "street",
        mesh,
        table,
        (),
        _sky(rng),
        measured(plan.objects, mesh),
        chosen,
        (1.25, 1.9),
        np.array(focus, float),
        forward=np.array([0.0, 1.0]),
        reach_m=400.0,
    )


def _sky(rng: Rng) -> Sky:
    azimuth, height = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(14, 65))
    direction = (
        float(np.cos(azimuth) * np.cos(height)),
        float(np.sin(azimuth) * np.cos(height)),
        float(np.sin(height)),
    )
    if rng.random() < 0.35:  # overcast
        level = float(rng.uniform(0.8, 1.1))
        return Sky(
            direction,
            (0, 0, 0),
            (0.9, 0.93, 1.0),
            (level * 0.85, level * 0.88, level * 0.92),
            (level, level, level),
            cloud=float(rng.uniform(0.3, 0.9)),
            outdoor=True,
        )
    warm = float(np.clip(1.2 - height, 0, 1))
    power = float(rng.uniform(1.8, 3.2))
    sun = (power, power * (0.95 - 0.15 * warm), power * (0.88 - 0.35 * warm))
    zenith = (0.22, 0.40, 0.78) if rng.random() < 0.8 else (0.45, 0.55, 0.7)
    return Sky(
        direction,
        sun,
        (0.55, 0.62, 0.75),
        zenith,
        (0.72, 0.82, 0.95),
        cloud=float(rng.choice([0.0, rng.uniform(0.1, 0.6)])),
        outdoor=True,
    )


def _strip(b: MeshBuilder, x0: float, x1: float, y0: float, y1: float, z: float, row: int) -> None:
    b.quad(np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]], float), row)


def _ground(
    plan: StreetPlan,
    style: str,
    half: float,
    walk: float,
    lane: float,
    lanes: int,
    park: float,
    y0: float,
    y1: float,
) -> None:
    rng, b, table = plan.rng, plan.builder, plan.table
    shade = float(rng.uniform(0.045, 0.16))
    warm = float(rng.uniform(0.92, 1.0))
    road = table.add(
        Material(
            ASPHALT,
            (shade, shade * 0.99, shade * 0.97 * warm),
            vary=float(rng.uniform(0.08, 0.2)),
            seed=int(rng.integers(9999)),
        )
    )
    grass = Material(
        GRASS, srgb("#50702e"), srgb("#8c9a58"), vary=0.25, seed=int(rng.integers(9999))
    )
    if style == "urban":
        earth = table.add(Material(ASPHALT, srgb("#8b877f"), vary=0.12))
    else:
        earth = table.add(grass)
    _strip(b, -400, 400, -400, 400, -0.16, earth)
    _strip(b, -half, half, -200, 400, 0.0, road)
    white = table.add(Material(ASPHALT, srgb("#d8d8d2"), vary=0.12))
    centre = table.add(
        Material(ASPHALT, srgb("#d9b63a") if rng.random() < 0.2 else srgb("#d8d8d2"), vary=0.12)
    )
    t, z = 0.12, 0.004
    if style != "suburb" or rng.random() < 0.5:
        if rng.random() < 0.3:
            _strip(b, -t / 2, t / 2, y0, y1, z, centre)
        else:
            dash, gap = float(rng.uniform(2, 4)), float(rng.uniform(3, 6))
            for y in np.arange(y0, y1, dash + gap):
                _strip(b, -t / 2, t / 2, float(y), float(y) + dash, z, centre)
        for k in range(1, lanes):
            for side in (-1, 1):
                for y in np.arange(y0, y1, 7.5):
                    x = side * k * lane
                    _strip(b, x - t / 2, x + t / 2, float(y), float(y) + 3.0, z, white)
        if park > 0 or style == "country":
            for side in (-1, 1):
                x = side * (lanes * lane - (0.15 if style == "country" else 0))
                _strip(b, x - t / 2, x + t / 2, y0, y1, z, white)
    if style == "urban" and rng.random() < 0.6:  # zebra crossing
        y = float(rng.uniform(5, 30))
        for x in np.arange(-half + 0.3, half - 0.3, 1.0):
            _strip(b, float(x), float(x) + 0.5, y, y + 3.0, z + 0.001, white)
    if walk > 0:
        paving = table.add(
            tiles(rng, size=(float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.3, 0.6))))
            if rng.random() < 0.7
            else Material(ASPHALT, srgb("#9b978f"), vary=0.12)
        )
        kerb = table.add(Material(ASPHALT, srgb("#b5b1a8"), vary=0.1))
        high = 0.13
        for side in (-1, 1):
            xs = sorted((side * (half + 0.15), side * (half + walk)))
            _strip(b, xs[0], xs[1], -200, 400, high, paving)
            b.box((side * (half + 0.075), 100, high / 2), (0.15, 600, high), kerb)
            b.box((side * (half + walk), 100, high / 2 - 0.1), (0.08, 600, high + 0.2), kerb)
            if style == "suburb" and rng.random() < 0.4:
                xs = sorted((side * (half + 0.15), side * (half + 0.15 + 0.4 * walk)))
                _strip(b, xs[0], xs[1], -200, 400, high + 0.005, table.add(grass))


def _houses(plan: StreetPlan, style: str, side: int, front: float, y0: float, y1: float) -> None:
    rng, b, table = plan.rng, plan.builder, plan.table
    y = y0
    storeys = int(rng.integers(2, 7)) if style == "urban" else 1
    while y < y1 + 30:
        width = float(rng.uniform(8, 24) if style == "urban" else rng.uniform(8, 15))
        gap = (
            float(rng.choice([0.0, 0.0, 0.0, 3.0, 12.0]))
            if style == "urban"
            else float(rng.uniform(3, 14))
        )
        if style == "country":
            gap = float(rng.uniform(15, 70))
        depth = float(rng.uniform(9, 14))
        floor = float(rng.uniform(2.8, 3.5))
        count = (
            max(1, storeys + int(rng.integers(-1, 2)))
            if style == "urban"
            else int(rng.integers(1, 3))
        )
        high = floor * count + 0.6
        x = side * (front + depth / 2 + (0.0 if style == "urban" else float(rng.uniform(0, 3))))
        base = bricks(rng).a if rng.random() < 0.3 else pick(FACADES, rng, 0.12)
        glass = (0.05, 0.07, 0.1) if rng.random() < 0.7 else (0.2, 0.28, 0.36)
        cell = float(rng.uniform(1.7, 3.6))
        share = (float(rng.uniform(0.35, 0.75)), float(rng.uniform(0.4, 0.62)))
        row = table.add(
            Material(
                WINDOWS,
                base,
                glass,
                (cell, floor, *share),
                vary=float(rng.uniform(0.03, 0.12)),
                seed=int(rng.integers(99999)),
            )
        )
        wall = table.add(Material(5, base, base, vary=0.04))
        instance = len(plan.objects) + 1
        b.place((x, y + width / 2, 0.0), 0.0, instance)
        _facade_box(b, width, depth, high, row, wall, cell, side)
        total = high
        if style != "urban" or rng.random() < 0.4:  # a gabled roof
            roof = table.add(tiles(rng, size=(0.3, 0.25)))
            tint = srgb(("#8a4632", "#5b4a44", "#6b6b6b", "#a5573a")[int(rng.integers(4))])
            rise = float(rng.uniform(1.8, 3.4))
            total += rise
            o = 0.4
            for s in (-1, 1):
                b.quad(
                    np.array(
                        [
                            [s * (depth / 2 + o), -width / 2 - o, high - 0.2],
                            [s * (depth / 2 + o), width / 2 + o, high - 0.2],
                            [0, width / 2 + o, high + rise],
                            [0, -width / 2 - o, high + rise],
                        ]
                    ),
                    roof,
                    tint,
                )
                b.quad(
                    np.array(
                        [
                            [-depth / 2, s * width / 2, high],
                            [depth / 2, s * width / 2, high],
                            [0.01, s * width / 2, high + rise - 0.1],
                            [-0.01, s * width / 2, high + rise - 0.1],
                        ]
                    ),
                    wall,
                )
        else:
            b.box((0, 0, high + 0.15), (depth + 0.5, width + 0.1, 0.3), wall, (0.9, 0.9, 0.9))
        _ground_floor(plan, side, width, depth, style)
        b.place()
        plan.objects.append(
            SceneObject(
                instance,
                "building",
                "building",
                (depth, width, total),
                (x, y + width / 2, total / 2),
                0.0,
            )
        )
        y += width + gap


def _facade_box(
    b: MeshBuilder,
    width: float,
    depth: float,
    high: float,
    row: int,
    wall: int,
    cell: float,
    side: int,
) -> None:
    """Walls of a house; window texture starts at the corner of each."""
    shift = (width % cell) / 2
    hx, hy = depth / 2, width / 2
    for sx in (-1, 1):
        corners = np.array(
            [[sx * hx, -hy, 0], [sx * hx, hy, 0], [sx * hx, hy, high], [sx * hx, -hy, high]], float
        )
        uv = np.array([[-shift, 0], [width - shift, 0], [width - shift, high], [-shift, high]])
        b.quad(corners, row if sx == -side else wall, uv=uv)
    shift = (depth % cell) / 2
    for sy in (-1, 1):
        corners = np.array(
            [[-hx, sy * hy, 0], [hx, sy * hy, 0], [hx, sy * hy, high], [-hx, sy * hy, high]], float
        )
        uv = np.array([[-shift, 0], [depth - shift, 0], [depth - shift, high], [-shift, high]])
        b.quad(corners, row, uv=uv)
    del side


def _ground_floor(plan: StreetPlan, side: int, width: float, depth: float, style: str) -> None:
    """Doors, shop windows, awnings, ledges on the street side of the house being drawn."""
    rng, b, p = plan.rng, plan.builder, plan.palette
    x = -side * depth / 2
    out = -side
    shop = style == "urban" and rng.random() < 0.5
    if shop:
        base = hsv(float(rng.random()), float(rng.uniform(0.1, 0.6)), float(rng.uniform(0.2, 0.8)))
        b.box((x + out * 0.03, 0, 1.5), (0.1, width * 0.96, 3.0), p.paint, base)
        n = max(1, int(width / 3.5))
        for k in range(n):
            y = -width / 2 + width * (k + 0.5) / n
            b.box((x + out * 0.09, y, 1.35), (0.04, width / n * 0.78, 2.2), p.glass)
        b.box(
            (x + out * 0.12, 0, 2.75),
            (0.1, width * 0.8, 0.5),
            p.paint,
            hsv(float(rng.random()), 0.6, 0.7),
        )
        if rng.random() < 0.5:
            z = 2.5
            b.quad(
                np.array(
                    [
                        [x, -width * 0.4, z + 0.5],
                        [x, width * 0.4, z + 0.5],
                        [x + out * 1.2, width * 0.4, z],
                        [x + out * 1.2, -width * 0.4, z],
                    ]
                ),
                p.fabric,
                hsv(float(rng.random()), 0.6, 0.8),
            )
    else:
        for _ in range(1 + int(width > 14)):
            y = float(rng.uniform(-0.35, 0.35)) * width
            b.box((x + out * 0.02, y, 1.08), (0.1, 1.25, 2.3), p.paint, srgb("#d8d4ca"))
            b.box((x + out * 0.06, y, 1.02), (0.08, 0.95, 2.05), p.wood2)
    for k in range(int(rng.integers(0, 3))):
        b.box((x + out * 0.08, 0, 3.1 + 3.1 * k), (0.2, width, 0.18), p.paint, srgb("#cfc8b8"))


def _verge(
    plan: StreetPlan,
    style: str,
    side: int,
    half: float,
    walk: float,
    setback: float,
    y0: float,
    y1: float,
) -> None:
    """Trees, lamps, signs, hedges, fences along one side."""
    rng = plan.rng
    edge = side * (half + 0.6)
    high = 0.13 if walk > 0 else -0.16
    turn = 0.0 if side > 0 else np.pi
    if rng.random() < 0.85:
        step, start = float(rng.uniform(18, 35)), float(rng.uniform(0, 20))
        lamp_post = plan.model("street lamp")
        for y in np.arange(y0 + start, y1, step):
            plan.put(lamp_post, edge, float(y), high, turn, 0.2)
    if rng.random() < (0.6 if style == "urban" else 0.9):
        step = float(rng.uniform(7, 20))
        for y in np.arange(y0, y1, step):
            far = setback if style != "urban" else 0.0
            x = edge + side * float(rng.uniform(0.0, max(0.3, far + walk)))
            plan.put(
                plan.model("tree"),
                x,
                float(y) + float(rng.uniform(-2, 2)),
                high,
                float(rng.uniform(0, 6.28)),
                0.5,
            )
    for _ in range(int(rng.integers(1, 6))):
        y = float(rng.uniform(-10, 60))
        kind = str(
            rng.choice(
                [
                    "traffic sign",
                    "traffic sign",
                    "traffic light",
                    "trash can",
                    "bench",
                    "bollard",
                    "container",
                    "bicycle",
                ]
            )
        )
        if style == "country" and kind in ("bench", "traffic light", "bicycle", "container"):
            kind = "traffic sign"
        facing = {"bench": -side * np.pi / 2}.get(kind, 0.0 if rng.random() < 0.6 else np.pi)
        plan.put(
            plan.model(kind),
            edge + side * float(rng.uniform(-0.2, 0.4)),
            y,
            high,
            float(facing),
            0.4,
        )
    if style == "suburb":
        x = side * (half + walk + 0.5)
        y = y0
        hedge = rng.random() < 0.5
        while y < y1:
            length = float(rng.uniform(4, 14))
            if rng.random() < 0.7:
                if hedge:
                    h = float(rng.uniform(0.7, 1.8))
                    plan.builder.ball(
                        (x, y + length / 2, h / 2 - 0.1),
                        (0.8, length, h),
                        plan.palette.leaves,
                        (0.8, 0.8, 0.8),
                        0.25,
                    )
                else:
                    for k in range(int(length / 0.25)):
                        plan.builder.box(
                            (x, y + 0.25 * k, 0.45),
                            (0.03, 0.16, 1.1),
                            plan.palette.wood,
                            (0.9, 0.9, 0.9),
                        )
                    plan.builder.box(
                        (x + 0.03, y + length / 2, 0.7), (0.03, length, 0.08), plan.palette.wood
                    )
            y += length + float(rng.uniform(2.5, 5))
    if style == "country" and rng.random() < 0.4:  # guard rail
        x = side * (half + 0.7)
        plan.builder.box((x, 40, 0.6), (0.06, 160, 0.3), plan.palette.metal)
        for y in np.arange(-40, 120, 4.0):
            plan.builder.box((x + side * 0.08, float(y), 0.25), (0.1, 0.1, 0.9), plan.palette.metal)


def _far_end(plan: StreetPlan, style: str, y1: float) -> None:
    """Something at the horizon: houses across, or a line of trees."""
    rng = plan.rng
    if style == "urban" and rng.random() < 0.5:
        x = -60.0
        while x < 60:
            width, high = float(rng.uniform(10, 25)), float(rng.uniform(8, 30))
            row = plan.table.add(
                Material(
                    WINDOWS,
                    pick(FACADES, rng),
                    (0.08, 0.1, 0.13),
                    (2.6, 3.2, 0.5, 0.5),
                    seed=int(rng.integers(9999)),
                )
            )
            plan.builder.box((x + width / 2, y1 + 45, high / 2), (width, 12, high), row)
            x += width
        return
    for x in np.arange(-150, 150, 7.0):
        h = float(rng.uniform(5, 12))
        y = y1 + 60 + float(rng.uniform(-15, 15))
        plan.builder.ball(
            (float(x), y, h * 0.4), (9, 9, h), plan.palette.leaves, (0.8, 0.9, 0.9), detail=5
        )


def _traffic(
    plan: StreetPlan, half: float, lane: float, lanes: int, park: float, y0: float, y1: float
) -> None:
    rng = plan.rng
    kinds, shares = ["car", "suv", "van", "truck", "bus"], [0.58, 0.22, 0.11, 0.05, 0.04]
    right_hand = 1 if rng.random() < 0.8 else -1
    for side in (-1, 1):
        yaw = np.pi if side * right_hand > 0 else 0.0  # the front is -y
        for k in range(lanes):
            y = y0 + float(rng.uniform(0, 30))
            dense = float(rng.choice([9.0, 18.0, 40.0]))
            while y < y1:
                piece = plan.model(str(rng.choice(kinds, p=shares)))
                y += piece.size_wdh_m[1] / 2
                if not (abs(y) < 9):
                    x = side * (k + 0.5) * lane + float(rng.normal(0, 0.15))
                    plan.put(
                        piece,
                        x,
                        y,
                        0.0,
                        yaw + float(rng.normal(0, 0.02)),
                        min(piece.size_wdh_m[1] / 2, lane / 2 + 0.1),
                    )
                y += piece.size_wdh_m[1] / 2 + 3.0 + float(rng.exponential(dense))
        if park > 0:
            y = y0
            while y < y1:
                piece = plan.model(str(rng.choice(kinds[:3], p=[0.66, 0.24, 0.1])))
                y += piece.size_wdh_m[1] / 2 + 0.5
                if rng.random() < 0.75:
                    x = side * (half - park / 2)
                    plan.put(piece, x, y, 0.0, yaw + float(rng.normal(0, 0.03)), 1.0)
                y += piece.size_wdh_m[1] / 2 + float(rng.uniform(0.3, 2.0))


def _people(plan: StreetPlan, half: float, walk: float, y0: float, y1: float) -> None:
    rng = plan.rng
    if walk > 0:
        for _ in range(int(rng.integers(0, 22))):
            side = float(rng.choice([-1, 1]))
            x = side * (half + 0.4 + float(rng.random()) * max(walk - 0.7, 0.2))
            yaw = float(rng.choice([0, np.pi])) + float(rng.normal(0, 0.3))
            plan.put(plan.model("person"), x, float(rng.uniform(-12, 70)), 0.13, yaw, 0.3)
    for _ in range(int(rng.integers(0, 4))):
        side = float(rng.choice([-1, 1]))
        x = side * (half - 0.8)
        plan.put(
            plan.model("cyclist"),
            x,
            float(rng.uniform(4, 60)),
            0.0,
            np.pi if side > 0 else 0.0,
            0.9,
        )
    if rng.random() < 0.4:
        y = float(rng.uniform(6, 25))
        for _ in range(int(rng.integers(1, 4))):
            plan.put(
                plan.model("person"),
                float(rng.uniform(-half, half)),
                y + float(rng.uniform(-1, 1)),
                0.0,
                float(rng.choice([-1.5, 1.5])),
                0.3,
            )


def _clear(plan: StreetPlan, spots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places at least 1.2 m from anything, houses measured by their boxes."""
    if not plan.objects:
        return spots
    points = np.array(spots)
    center = np.array([o.center_m[:2] for o in plan.objects])
    yaw = np.array([o.yaw_rad for o in plan.objects])
    gap = [-0.3 * o.size_wdh_m[0] if o.category == "tree" else 1.2 for o in plan.objects]
    half = np.array([o.size_wdh_m[:2] for o in plan.objects]) / 2 + np.array(gap)[:, None]
    away = points[:, None] - center
    c, s = np.cos(yaw), np.sin(yaw)
    along = np.abs(
        np.stack([away[..., 0] * c + away[..., 1] * s, away[..., 1] * c - away[..., 0] * s], -1)
    )
    near = (along < half).all(-1).any(-1)
    return [spot for spot, hit in zip(spots, near, strict=True) if not hit]
