"""A room's shell: floor, ceiling, walls with doors and windows, its lamps, what is outside."""

import numpy as np

from vlm3.worlds.indoors.doors import draw_door
from vlm3.worlds.indoors.light import choose_hour, choose_sky, draw_ceiling_lamps
from vlm3.worlds.indoors.plan import FloorPlan
from vlm3.worlds.indoors.surfaces import Surfaces, choose_surfaces
from vlm3.worlds.indoors.walls import draw_reveals, draw_skirting, draw_surface
from vlm3.worlds.indoors.windows import draw_outside, draw_window, window_lamp
from vlm3.worlds.scene import AreaLamp, Sky


def draw_shell(plan: FloorPlan) -> tuple[list[AreaLamp], Sky]:
    """Draws the empty room of a plan; returns its lamps and the sky outside."""
    rng = plan.rng
    surfaces = choose_surfaces(plan)
    _draw_inside(plan, surfaces)
    hour = choose_hour(plan)
    lamps: list[AreaLamp] = []
    window_walls = []
    for o in plan.openings:
        frame = plan.walls[o.wall]
        if o.kind == "window":
            draw_window(plan, o, surfaces)
            window_walls.append(frame)
            if hour.day and len(lamps) < 3:
                lamps.append(window_lamp(frame, o, hour.window))
        else:
            draw_door(plan, o, surfaces)
    if window_walls:
        draw_outside(plan, window_walls, float(rng.choice([0.3, 3.2, 6.0, 9.0])))
    if not lamps or rng.random() < 0.55:
        lamps += draw_ceiling_lamps(plan, hour.warmth)
    return lamps, choose_sky(rng, hour, window_walls)


def _draw_inside(plan: FloorPlan, surfaces: Surfaces) -> None:
    """Floor, ceiling and the four walls."""
    b, w, d, h = plan.builder, plan.width, plan.depth, plan.height
    b.quad(np.array([[0, 0, 0], [w, 0, 0], [w, d, 0], [0, d, 0]], float), surfaces.floor)
    b.quad(np.array([[0, 0, h], [0, d, h], [w, d, h], [w, 0, h]], float), surfaces.ceiling)
    for k, frame in enumerate(plan.walls):
        openings, row = [o for o in plan.openings if o.wall == k], surfaces.walls[k]
        reveal = surfaces.door_frame if plan.rng.random() < 0.3 else row
        draw_surface(b, frame, h, openings, row, surfaces.dado)
        draw_reveals(b, frame, openings, surfaces.thickness_m, reveal)
        if surfaces.skirting:
            draw_skirting(b, frame, openings, surfaces.skirting)
