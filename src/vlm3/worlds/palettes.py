"""The materials that the pieces of one world share, drawn once a world."""

from vlm3.worlds.materials import (
    ART,
    LEAVES,
    Colour,
    Material,
    MaterialTable,
    fabric,
    lamp,
    metal,
    paint,
    pick,
    srgb,
    wood,
)
from vlm3.worlds.pieces.piece import Palette, Rng


def room_palette(table: MaterialTable, rng: Rng) -> Palette:
    """What a room's furniture is made of."""
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
            Material(
                ART, srgb("#c8d8ee"), p=(0.12, 0, 0, 0), emission=(0.25, 0.3, 0.38), mirror=0.04
            )
        ),
        leaves=table.add(
            Material(LEAVES, srgb("#3f6b2f"), srgb("#7c9c46"), seed=int(rng.integers(999)))
        ),
        art=table.add(
            Material(
                ART,
                pick(("#d9d2c2", "#7b8794", "#b07b52"), rng),
                p=(0.16, 0, 0, 0),
                seed=int(rng.integers(9999)),
            )
        ),
        mirror=table.add(paint((0.05, 0.05, 0.05), mirror=0.85, blur=0.0)),
        glow=table.add(lamp(glow, 3.0)),
    )


def street_palette(table: MaterialTable, rng: Rng) -> Palette:
    """What a street's pieces are made of; its leaves are green, or of autumn."""
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
