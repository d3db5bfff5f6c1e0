"""What a room's floor, ceiling, walls, doors and windows are made of."""

from dataclasses import dataclass

from vlm3.worlds.indoors.plan import FloorPlan
from vlm3.worlds.indoors.walls import Band
from vlm3.worlds.materials import (
    FABRIC,
    MARBLE,
    Material,
    bricks,
    fabric,
    hsv,
    paint,
    pick,
    plaster,
    srgb,
    tiles,
    wallpaper,
    wood,
)
from vlm3.worlds.pieces.piece import Rng


@dataclass(frozen=True)
class Surfaces:
    """Rows of the material table.

    Attributes:
        walls: one a wall.
        skirting: None in bathrooms.
        dado: tiles on the lower part of a kitchen's walls.
        thickness_m: of the walls.
    """

    floor: int
    ceiling: int
    walls: tuple[int, ...]
    window_frame: int
    door: int
    door_frame: int
    curtain: int
    skirting: Band | None
    dado: Band | None
    thickness_m: float


def choose_surfaces(plan: FloorPlan) -> Surfaces:
    """Draws all of them, in an order that is part of the seed."""
    rng, table, use = plan.rng, plan.table, plan.use
    floor = table.add(_floor(rng, use))
    walls = _walls(plan)
    ceiling = table.add(plaster(rng) if rng.random() < 0.8 else tiles(rng, size=(0.6, 0.6)))
    white = rng.random() < 0.7
    frame = table.add(paint(srgb("#f0efec") if white else pick(("#5d4030", "#3c3c3e"), rng)))
    wooden = rng.random() < 0.5
    leaf_paints = ("#eeece6", "#e2ddd0", "#7d8a92", "#b9a58a")
    door = table.add(wood(rng) if wooden else paint(pick(leaf_paints, rng)))
    door_frame = table.add(paint(pick(("#efeee9", "#8a6543", "#d8d3c8"), rng)))
    curtain = table.add(_curtain(rng))
    skirting = dado = None
    if use != "bathroom":
        skirting = Band(door_frame, float(rng.uniform(0.05, 0.14)))
    if use == "kitchen" and rng.random() < 0.5:
        dado = Band(table.add(tiles(rng)), float(rng.uniform(1.2, 1.6)))
    thickness_m = float(rng.uniform(0.12, 0.35))
    return Surfaces(
        floor, ceiling, walls, frame, door, door_frame, curtain, skirting, dado, thickness_m
    )


def _floor(rng: Rng, use: str) -> Material:
    """Tiles, boards or carpet; marble in some halls."""
    wet = use in ("bathroom", "kitchen")
    if wet or (use in ("hall", "corridor", "storage") and rng.random() < 0.6):
        floor = tiles(rng)
    else:
        floor = wood(rng, planks=True) if rng.random() < 0.65 else fabric(rng)
    if use == "hall" and rng.random() < 0.3:
        white, grey = srgb("#c9c4ba"), srgb("#8f8a80")
        floor = Material(MARBLE, white, grey, (1.0, 0, 0, 0), mirror=0.05, blur=0.2)
    return floor


def _walls(plan: FloorPlan) -> tuple[int, ...]:
    """Plaster; tiles in bathrooms; sometimes one wall of another material, or paper all round."""
    rng, table = plan.rng, plan.table
    rows = [table.add(plaster(rng, bright=rng.random() < 0.75))] * 4
    if plan.use == "bathroom":
        rows = [table.add(tiles(rng))] * 4
    elif rng.random() < 0.3:
        special = (wallpaper(rng), bricks(rng), plaster(rng, bright=False), wood(rng))
        rows[int(rng.integers(4))] = table.add(special[int(rng.integers(4))])
    elif rng.random() < 0.12:
        rows = [table.add(wallpaper(rng))] * 4
    return tuple(rows)


def _curtain(rng: Rng) -> Material:
    """Cloth in a light or strong colour."""
    hue, saturation = float(rng.random()), float(rng.uniform(0, 0.5))
    return Material(FABRIC, hsv(hue, saturation, float(rng.uniform(0.5, 0.95))), vary=0.15)
