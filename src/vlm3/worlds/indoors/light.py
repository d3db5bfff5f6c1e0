"""A room's light: daylight through its windows, lamps at its ceiling, the sky outside."""

from dataclasses import dataclass

import numpy as np

from vlm3.worlds.indoors.plan import FloorPlan
from vlm3.worlds.indoors.walls import WallFrame
from vlm3.worlds.materials import Colour
from vlm3.worlds.pieces.piece import Rng
from vlm3.worlds.scene import AreaLamp, Sky

_DOWN = (0, 0, -1)


@dataclass(frozen=True)
class Hour:
    """Day or night, how warm the lamps are (1 is white), and a square metre of window's light."""

    day: bool
    warmth: float
    window: Colour


def choose_hour(plan: FloorPlan) -> Hour:
    """Day in three of four rooms; larger rooms get more light through a window."""
    rng = plan.rng
    day = rng.random() < 0.75
    warmth = rng.uniform(0.75, 1.0)
    blue = (0.9, 1.0, 1.12) if rng.random() < 0.6 else (1.0, 1.0, 1.0)
    strength = float(rng.uniform(0.5, 1.6)) * plan.width * plan.depth / 14
    return Hour(day, warmth, (strength * blue[0], strength * blue[1], strength * blue[2]))


def choose_sky(rng: Rng, hour: Hour, window_walls: list[WallFrame]) -> Sky:
    """The sky that windows show; by day the sun may shine in through the first of them."""
    level = float(rng.uniform(0.7, 1.1))
    sun = (0.0, 0.0, 0.0)
    direction = np.array([rng.normal(), rng.normal(), rng.uniform(0.3, 1.6)])
    if hour.day and window_walls and rng.random() < 0.45:
        out = -window_walls[0].inward
        direction = np.array([*(out + rng.normal(0, 0.5, 2)), rng.uniform(0.3, 1.3)])
        power = float(rng.uniform(3, 8))
        sun = (power, power * 0.93, power * 0.8)
    bright = float(rng.uniform(1.5, 4.0)) if hour.day else 0.03
    zenith = (0.75, 0.78, 0.82) if rng.random() < 0.4 else (0.35, 0.55, 0.95)
    warmth = hour.warmth
    return Sky(
        (float(direction[0]), float(direction[1]), float(direction[2])),
        sun,
        (level, level * (0.85 + 0.15 * warmth), level * (0.7 + 0.3 * warmth)),
        (zenith[0] * bright, zenith[1] * bright, zenith[2] * bright),
        (0.85 * bright, 0.9 * bright, 0.95 * bright),
        cloud=float(rng.uniform(0, 0.8)),
    )


def draw_ceiling_lamps(plan: FloorPlan, warmth: float) -> list[AreaLamp]:
    """Panels in a grid in most offices and halls, elsewhere one lamp near the middle."""
    rng, w, d, h = plan.rng, plan.width, plan.depth, plan.height
    power = h * h * float(rng.uniform(0.7, 1.5)) * max(1.0, w * d / 16) ** 0.5
    colour = (power, power * (0.8 + 0.2 * warmth), power * (0.55 + 0.45 * warmth))
    style = rng.random()
    if plan.use in ("office", "hall", "corridor") and style < 0.75:
        return _draw_panels(plan, colour)
    return [_draw_lamp(plan, colour, hanging=style >= 0.5)]


def _draw_panels(plan: FloorPlan, colour: Colour) -> list[AreaLamp]:
    """A panel every 2.6 m or so; at most four lamps stand for their light."""
    w, d, h = plan.width, plan.depth, plan.height
    nx, ny = max(1, round(w / 2.6)), max(1, round(d / 2.6))
    size = (0.6, 0.6) if plan.rng.random() < 0.5 else (1.2, 0.2)
    for x, y in _grid(w, d, nx, ny):
        plan.builder.box((x, y, h - 0.01), (*size, 0.03), plan.palette.glow)
    places = _grid(w, d, min(nx, 2), min(ny, 2))
    share = 1.6 / len(places)
    power = (colour[0] * share, colour[1] * share, colour[2] * share)
    return [AreaLamp((x, y, h - 0.06), (1.5, 0, 0), (0, 1.5, 0), _DOWN, power) for x, y in places]


def _grid(w: float, d: float, nx: int, ny: int) -> list[tuple[float, float]]:
    """Middles of nx times ny equal fields of w x d."""
    return [(w * (i + 0.5) / nx, d * (j + 0.5) / ny) for i in range(nx) for j in range(ny)]


def _draw_lamp(plan: FloorPlan, colour: Colour, *, hanging: bool) -> AreaLamp:
    rng, b, p, h = plan.rng, plan.builder, plan.palette, plan.height
    x, y = plan.width * float(rng.uniform(0.4, 0.6)), plan.depth * float(rng.uniform(0.4, 0.6))
    if hanging:
        drop = float(rng.uniform(0.3, 0.8))
        b.cylinder((x, y, h - drop / 2), 0.012, drop, p.metal, segments=5)
        wide = float(rng.uniform(0.25, 0.5))
        b.cylinder((x, y, h - drop), wide, 0.22, p.glow, (0.95, 0.9, 0.8), 0.5, 18)
        z = h - drop - 0.15
    else:
        wide = float(rng.uniform(0.3, 0.55))
        b.cylinder((x, y, h - 0.05), wide, 0.09, p.glow, segments=18)
        z = h - 0.14
    return AreaLamp((x, y, z), (0.35, 0, 0), (0, 0.35, 0), _DOWN, colour)
