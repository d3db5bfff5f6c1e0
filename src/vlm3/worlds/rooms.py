"""Furnished rooms: shell, furniture by the room's use, things on surfaces, lamps and daylight.

`make_room(rng, split)` gives a `Scene`. Sizes, heights and clearances follow ordinary houses,
offices and halls. Knows no cameras beyond where one can stand.
"""

import numpy as np

from vlm3.worlds.indoors.clutter import clutter
from vlm3.worlds.indoors.decor import decorate, fill
from vlm3.worlds.indoors.furnish import FURNISH
from vlm3.worlds.indoors.openings import choose_openings
from vlm3.worlds.indoors.plan import FloorPlan, Rect
from vlm3.worlds.indoors.shell import draw_shell
from vlm3.worlds.indoors.walls import Opening, WallFrame, wall_frames
from vlm3.worlds.materials import MaterialTable
from vlm3.worlds.pack import Pack
from vlm3.worlds.palettes import room_palette
from vlm3.worlds.pieces.piece import Rng
from vlm3.worlds.primitives import Floats
from vlm3.worlds.scene import Scene, measured

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
    plan = _empty_room(rng, split, pack)
    lamps, sky = draw_shell(plan)
    FURNISH[plan.use](plan)
    decorate(plan, plan.use)
    if split == "train":
        fill(plan)
    else:
        clutter(plan)
    mesh = plan.builder.build(rng)
    return Scene(
        "room",
        mesh,
        plan.table,
        tuple(lamps),
        sky,
        measured(plan.objects, mesh),
        _positions(plan),
        (0.75, 1.75),
        _focus(plan),
        reach_m=250.0,
    )


def _empty_room(rng: Rng, split: str, pack: Pack | None) -> FloorPlan:
    """Use, size, palette and openings; the floor in front of what one walks through is taken."""
    uses = TRAIN_USES if split == "train" else HELDOUT_USES
    names = list(uses)
    shares = np.array([uses[n][0] for n in names])
    use = names[int(rng.choice(len(names), p=shares / shares.sum()))]
    width, depth, height = (float(rng.uniform(*r)) for r in uses[use][1:])
    if rng.random() < 0.5:
        width, depth = depth, width
    table = MaterialTable()
    palette = room_palette(table, rng)
    walls = wall_frames(0.0, 0.0, width, depth)
    openings = choose_openings(rng, use, walls, height)
    return FloorPlan(
        rng=rng,
        table=table,
        palette=palette,
        split=split,
        pack=pack,
        use=use,
        width=width,
        depth=depth,
        height=height,
        walls=walls,
        openings=openings,
        taken=[_before(walls[o.wall], o) for o in openings if o.kind != "window"],
    )


def _before(wall: WallFrame, o: Opening) -> Rect:
    """The floor before a door or passage, 0.9 m deep."""
    a, e = wall.at(o.along_m, 0), wall.at(o.end_m, 0, -0.9)
    (x0, x1), (y0, y1) = sorted((a[0], e[0])), sorted((a[1], e[1]))
    return (x0 - 0.05, y0 - 0.05, x1 + 0.05, y1 + 0.05)


def _positions(plan: FloorPlan) -> Floats:
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


def _focus(plan: FloorPlan) -> Floats:
    """Points worth looking at: objects, and the walls at eye height."""
    things = [o.center_m for o in plan.objects]
    w, d = plan.width, plan.depth
    corners = [(x, y, 1.2) for x in (0.05 * w, 0.5 * w, 0.95 * w) for y in (0.05 * d, 0.95 * d)]
    return np.array(things + corners, float)
