"""Pieces that belong together: a table and its chairs, a desk and its chair."""

import numpy as np

from vlm3.worlds.indoors.plan import FloorPlan, Rect, footprint
from vlm3.worlds.pieces.piece import Piece


def table_group(plan: FloorPlan, category: str = "table") -> None:
    """A table on free floor, with chairs."""
    piece = plan.model(category)
    yaw = float(plan.rng.choice([0.0, np.pi / 2])) + float(plan.rng.normal(0, 0.04))
    position = plan.anywhere(piece, yaw, margin=1.0, tries=20)
    if position:
        _seats_around(plan, piece, (*position, 0.0), yaw)


def _seats_around(
    plan: FloorPlan, piece: Piece, at: tuple[float, float, float], yaw: float
) -> None:
    """Chairs along the two long sides of the table put last; floor around it is kept free."""
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
        if _fits(plan, box):
            plan.put(chair, (px, py, 0.0), turn, solid=False)
    x0, y0, x1, y1 = plan.taken[-1]
    plan.taken.append((x0 - 0.45, y0 - 0.45, x1 + 0.45, y1 + 0.45))


def _fits(plan: FloorPlan, box: Rect) -> bool:
    """Whether a chair is inside the room and meets nothing but the table put last."""
    x0, y0, x1, y1 = box
    inside = x0 > 0.05 and x1 < plan.width - 0.05 and y0 > 0.05 and y1 < plan.depth - 0.05
    return inside and not any(
        x1 > a and c > x0 and y1 > b and d > y0 for a, b, c, d in plan.taken[:-1]
    )


def desk_group(plan: FloorPlan, *, wall: bool) -> None:
    """A desk at a wall or on free floor, and a chair that someone has left."""
    rng, piece = plan.rng, plan.model("desk")
    if wall:
        if plan.against_wall(piece) is None:
            return
    else:
        yaw = float(rng.choice([0, np.pi / 2, np.pi, 1.5 * np.pi]))
        if plan.anywhere(piece, yaw, margin=0.9) is None:
            return
    desk = plan.objects[-1]
    x, y, _ = desk.center_m
    c, s = np.cos(desk.yaw_rad), np.sin(desk.yaw_rad)
    chair = plan.model("chair")
    ly = -(piece.size_wdh_m[1] / 2 + float(rng.uniform(0.0, 0.35)))
    px, py = x - ly * s, y + ly * c
    if 0.3 < px < plan.width - 0.3 and 0.3 < py < plan.depth - 0.3:
        turn = desk.yaw_rad + np.pi + float(rng.normal(0, 0.4))
        plan.put(chair, (px, py, 0.0), turn, solid=False)
        plan.taken.append(footprint(px, py, 0.6, 0.6, 0))
