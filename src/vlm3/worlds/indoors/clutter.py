"""Things on the surfaces that furniture offers."""

import numpy as np

from vlm3.worlds.indoors.plan import FloorPlan
from vlm3.worlds.pieces.piece import Piece

_ON = {
    "desk": ["monitor", "laptop", "keyboard", "mug", "book", "table lamp", "printer"],
    "table": ["bowl", "vase", "mug", "bottle", "book", "laptop"],
    "coffee table": ["book", "mug", "bowl", "vase"],
    "counter": ["kettle", "pot", "bottle", "bowl", "microwave", "mug"],
}
_ON_OTHERS = ["vase", "book", "table lamp", "clock", "box", "bottle"]
_WIDE = ("laptop", "monitor", "microwave", "printer")
_Top = tuple[Piece, tuple[float, float, float], float]  # as in `FloorPlan.tops`


def clutter(plan: FloorPlan) -> None:
    """Puts something on most surfaces, without touching."""
    for top in list(plan.tops):
        if top[0].category == "tv stand":
            if plan.rng.random() < 0.85:
                _put_on(plan, top, "television", 0.0, 0.0)
        else:
            _strew(plan, top)


def _strew(plan: FloorPlan, top: _Top) -> None:
    """Up to four things a metre; on a desk often a monitor and a keyboard first."""
    rng, piece = plan.rng, top[0]
    w, d, _ = piece.size_wdh_m
    options = _ON.get(piece.category, _ON_OTHERS)
    used: list[tuple[float, float, float]] = []
    if piece.category == "desk" and rng.random() < 0.75:
        _put_on(plan, top, "monitor", 0.0, d * 0.2)
        _put_on(plan, top, "keyboard", 0.0, -d * 0.2)
        used.append((0.0, 0.0, 0.35))
        options = options[3:]
    for _ in range(int(rng.integers(0, 1 + max(1, round(4 * w))))):
        category = str(rng.choice(options))
        lx, ly = float(rng.uniform(-0.44, 0.44)) * w, float(rng.uniform(-0.36, 0.36)) * d
        radius = 0.25 if category in _WIDE else 0.13
        if all(np.hypot(lx - x, ly - y) > radius + r for x, y, r in used) and w > 2 * radius:
            used.append((lx, ly, radius))
            _put_on(plan, top, category, lx, ly, float(rng.normal(0, 0.4)))


def _put_on(
    plan: FloorPlan, top: _Top, category: str, lx: float, ly: float, turn: float = 0.0
) -> None:
    """Puts a model at (lx, ly) of a piece's own axes, on its top."""
    piece, at, yaw = top
    thing = plan.model(category)
    c, s = np.cos(yaw), np.sin(yaw)
    x, y = at[0] + lx * c - ly * s, at[1] + lx * s + ly * c
    plan.put(thing, (float(x), float(y), at[2] + piece.top_m), yaw + turn, solid=False)
