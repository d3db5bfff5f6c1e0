"""Kitchens: a run of units along one wall, with stove, sink, machines and wall cabinets."""

from dataclasses import dataclass

from vlm3.worlds.indoors.groups import table_group
from vlm3.worlds.indoors.plan import FloorPlan, OnWall, footprint
from vlm3.worlds.indoors.walls import WallFrame
from vlm3.worlds.materials import MARBLE, Colour, Material, pick, srgb
from vlm3.worlds.mesh import MeshBuilder
from vlm3.worlds.pieces.parts import BLACK, UNTINTED, muted_tint
from vlm3.worlds.pieces.piece import Palette, Piece

_UNIT_M = 0.6


@dataclass(frozen=True)
class _Style:
    """What all units of a kitchen share; `top` is the worktop's material."""

    wooden: bool
    tint: Colour
    top: int


def furnish_kitchen(plan: FloorPlan) -> None:
    """Units, a table where there is room, and a few pieces more."""
    rng = plan.rng
    k = int(rng.integers(4))
    tint, run = muted_tint(rng), _places(plan, k)
    stove = int(rng.integers(max(len(run), 1)))
    stone = pick(("#3b3a38", "#d8d4cc", "#8a7b6a"), rng)
    marble = Material(MARBLE, stone, srgb("#77736b"), (2, 0, 0, 0), mirror=0.05, blur=0.3)
    style = _Style(rng.random() < 0.5, tint, plan.table.add(marble))
    uppers = rng.random() < 0.75
    windows = [o for o in plan.openings if o.wall == k and o.kind == "window"]
    for n, s in enumerate(run):
        category = {stove: "stove", stove + 2: "washing machine"}.get(n)
        if n == len(run) - 1 and rng.random() < 0.6:
            category = "refrigerator"
        _put_unit(plan, plan.walls[k], s, category, style, sink=n == stove + 1)
        below_wall = all(s + _UNIT_M < o.along_m or o.end_m < s for o in windows)
        if uppers and below_wall and category != "refrigerator":
            _put_above(plan, plan.walls[k], s, style, stove=n == stove)
    if run:
        plan.on_walls.append(OnWall(k, run[0], run[-1] + _UNIT_M, 0.0, 2.3))
    if plan.area_m2 > 9:
        table_group(plan)
    plan.some_against_walls(_MORE)


_MORE = (
    ("refrigerator", 0.3),
    ("cupboard", 0.5),
    ("bin", 0.6),
    ("plant", 0.3),
    ("bookshelf", 0.3),
)


def _places(plan: FloorPlan, wall: int) -> list[float]:
    """Where units can stand along a wall: not at a door, nor at a window that begins low."""
    frame = plan.walls[wall]
    blocked = [
        o for o in plan.openings if o.wall == wall and (o.kind != "window" or o.low_m < 0.86)
    ]
    places: list[float] = []
    s = 0.02
    while s + _UNIT_M < frame.length_m - 0.02:
        base = frame.at(s + 0.3, 0.0, -0.31)
        clear = all(s + 0.62 < o.along_m or o.end_m < s - 0.02 for o in blocked)
        if clear and plan.free(footprint(base[0], base[1], 0.59, 0.6, frame.yaw_rad), 0.0):
            places.append(s)
        s += _UNIT_M
    return places


def _put_unit(
    plan: FloorPlan, frame: WallFrame, s: float, category: str | None, style: _Style, *, sink: bool
) -> None:
    """An appliance of that category, or a unit with worktop, from s along the wall."""
    x, y, _ = (float(v) for v in frame.at(s + 0.3, 0.0, -0.31))
    piece = plan.model(category) if category else _base_unit(style, sink=sink)
    plan.put(piece, (x, y, 0.0), frame.yaw_rad)


def _put_above(plan: FloorPlan, frame: WallFrame, s: float, style: _Style, *, stove: bool) -> None:
    """A wall cabinet, or the hood above a stove."""
    b, p = plan.builder, plan.palette
    x, y, _ = (float(v) for v in frame.at(s + 0.3, 1.45, -0.18))
    if not stove:
        plan.put(_wall_unit(style), (x, y, 1.45), frame.yaw_rad, solid=False)
        return
    b.place((x, y, 1.6), frame.yaw_rad)
    b.cylinder((0, 0.0, 0.05), 0.5, 0.12, p.metal, top_ratio=0.5)
    b.box((0, 0.05, (plan.height - 1.6) / 2), (0.25, 0.22, plan.height - 1.62), p.metal)
    b.place()


def _base_unit(style: _Style, *, sink: bool) -> Piece:
    """A unit on a plinth, with a worktop that carries things unless there is a sink in it."""
    w, d, h = size = (0.598, 0.6, 0.9)
    low, body = 0.1, h - 0.04

    def draw(b: MeshBuilder, p: Palette) -> None:
        _draw_case(b, p, (w, d), (low, body), style)
        b.box((0, -d / 2 - 0.01, body - 0.12), (0.14, 0.02, 0.012), p.metal)
        b.box((0, -0.01, h - 0.02), (w + 0.004, d + 0.02, 0.04), style.top)
        b.box((0, 0.04, low / 2), (w, d - 0.1, low), p.paint, BLACK)
        if sink:
            b.box((0, 0, h + 0.002), (w * 0.8, d * 0.7, 0.006), p.metal)
            b.box((0, -0.02, h + 0.004), (w * 0.62, d * 0.5, 0.006), p.metal, (0.4, 0.4, 0.4))
            b.cylinder((0, d * 0.36, h + 0.12), 0.03, 0.24, p.metal, segments=8)
            b.box((0, d * 0.24, h + 0.24), (0.025, 0.18, 0.025), p.metal)

    return Piece("kitchen cabinet", size, draw, 0.0 if sink else h)


def _wall_unit(style: _Style) -> Piece:
    w, d, h = size = (0.598, 0.34, 0.7)

    def draw(b: MeshBuilder, p: Palette) -> None:
        _draw_case(b, p, (w, d), (0.0, h), style)
        b.box((0, -d / 2 - 0.01, 0.08), (0.14, 0.02, 0.012), p.metal)

    return Piece("wall cabinet", size, draw)


def _draw_case(
    b: MeshBuilder,
    p: Palette,
    width_depth: tuple[float, float],
    low_high: tuple[float, float],
    style: _Style,
) -> None:
    """Body and door of a unit, between two heights."""
    (w, d), (low, high) = width_depth, low_high
    row, tint = (p.wood, UNTINTED) if style.wooden else (p.gloss, style.tint)
    middle = (low + high) / 2
    b.box((0, 0.01, middle), (w, d - 0.02, high - low), row, tint)
    b.box((0, -d / 2 + 0.01, middle), (w - 0.006, 0.018, high - low - 0.006), row, tint)
