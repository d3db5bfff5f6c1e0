"""Lamps and screens: standing and table lamps, televisions, monitors, laptops."""

from vlm3.worlds.materials import srgb
from vlm3.worlds.mesh import MeshBuilder, axis_matrix
from vlm3.worlds.pieces.parts import BLACK, muted_tint
from vlm3.worlds.pieces.piece import Palette, Piece, Rng


def floor_lamp(rng: Rng) -> Piece:
    """A standing lamp with a shade."""
    h, w = float(rng.uniform(1.35, 1.8)), float(rng.uniform(0.3, 0.5))
    shade_h, ratio = float(rng.uniform(0.2, 0.38)), float(rng.choice([0.5, 0.7, 1.0]))
    lit = rng.random() < 0.6

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.cylinder((0, 0, 0.015), 0.28, 0.03, p.metal, segments=16)
        b.cylinder((0, 0, h / 2), 0.025, h - 0.1, p.metal, segments=6)
        row = p.glow if lit else p.fabric
        b.cylinder((0, 0, h - shade_h / 2), w, shade_h, row, (0.95, 0.9, 0.8), ratio, 18)

    return Piece("lamp", (w, w, h), draw)


def table_lamp(rng: Rng) -> Piece:
    """A lamp for a table."""
    h, w = float(rng.uniform(0.3, 0.6)), float(rng.uniform(0.18, 0.35))
    lit, tint = rng.random() < 0.6, muted_tint(rng)

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.ball((0, 0, h * 0.28), (w * 0.5, w * 0.5, h * 0.56), p.gloss, tint)
        row = p.glow if lit else p.fabric
        b.cylinder((0, 0, h * 0.78), w, h * 0.44, row, (0.95, 0.9, 0.8), 0.6, 14)

    return Piece("lamp", (w, w, h), draw)


def screen(rng: Rng, category: str) -> Piece:
    """Televisions and monitors on a foot."""
    diagonal = float(rng.uniform(0.8, 1.5) if category == "television" else rng.uniform(0.5, 0.75))
    w, sh = diagonal * 0.87, diagonal * 0.49
    foot = 0.06 if category == "television" else 0.12
    on = rng.random() < 0.4

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.box((0, 0.01, foot + sh / 2), (w, 0.035, sh), p.gloss, BLACK)
        b.box((0, -0.012, foot + sh / 2), (w - 0.03, 0.008, sh - 0.03), p.screen if on else p.glass)
        b.box((0, 0, foot / 2), (0.06, 0.03, foot), p.gloss, BLACK)
        b.box((0, 0, 0.008), (w * 0.35, 0.2, 0.016), p.gloss, BLACK)

    return Piece(category, (w, 0.2, foot + sh), draw)


def laptop(rng: Rng) -> Piece:
    """An open laptop."""
    w, d = float(rng.uniform(0.3, 0.38)), float(rng.uniform(0.21, 0.26))
    tint, on = (srgb("#b9bcbf") if rng.random() < 0.6 else BLACK), rng.random() < 0.6

    def draw(b: MeshBuilder, p: Palette) -> None:
        b.box((0, 0, 0.009), (w, d, 0.018), p.gloss, tint)
        b.box((0, -0.02, 0.019), (w * 0.88, d * 0.45, 0.002), p.paint, BLACK)
        turn = axis_matrix((1, 0, 0), -0.3)
        y, z = d / 2 + 0.02, 0.018 + d * 0.46
        b.box((0, y, z), (w, 0.008, d * 0.94), p.gloss, tint, turn)
        row = p.screen if on else p.glass
        b.box((0, y - 0.006, z), (w * 0.93, 0.004, d * 0.84), row, turn=turn)

    return Piece("laptop", (w, d + 0.12, 0.02 + d * 0.92), draw)
