"""Surface materials: procedural patterns at metric scale, as rows of one table.

A material is a pattern kind, two colours and a few lengths in metres; the kernels draw it.
Colours are linear light. Knows no geometry.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]

PLAIN, WOOD, TILE, FABRIC, STRIPES, PLASTER, ASPHALT, GRASS, ART, WINDOWS, LEAVES, MARBLE = range(
    12
)
TEXTURE = 12


@dataclass(frozen=True)
class Material:
    """One pattern.

    Attributes:
        kind: one of the constants of this module.
        a, b: the two colours, linear RGB in [0, 1].
        p: four parameters, by kind: WOOD (plank width, plank length, grain, gap);
            TILE (width, height, joint, row shift); STRIPES (period, share of b, angle, -);
            WINDOWS (cell width, cell height, glass width share, glass height share);
            ART (cell size, -, -, -); TEXTURE (first texel, width, height, -).
        vary: how much single tiles, planks or cells differ, 0..1.
        mirror: reflectance at normal incidence (0.04 varnish, 0.9 mirror); 0 is matt.
        blur: 0 sharp reflection .. 1 only a sheen.
        emission: radiance added, linear RGB.
        seed: shifts the pattern.
    """

    kind: int
    a: Colour
    b: Colour = (0.5, 0.5, 0.5)
    p: tuple[float, float, float, float] = (1.0, 1.0, 0.0, 0.0)
    vary: float = 0.1
    mirror: float = 0.0
    blur: float = 0.5
    emission: Colour = (0.0, 0.0, 0.0)
    seed: int = 0


@dataclass
class MaterialTable:
    """Materials of one world; `add` gives the row."""

    rows: list[Material] = field(default_factory=list)

    def add(self, material: Material) -> int:
        """Append a material; returns its row."""
        self.rows.append(material)
        return len(self.rows) - 1

    def arrays(self) -> dict[str, NDArray[np.float32] | NDArray[np.int32]]:
        """The table as arrays: kind, seed (M,); a, b, emission (M, 3); p (M, 4); look (M, 3)."""
        rows = self.rows
        return {
            "kind": np.array([r.kind for r in rows], np.int32),
            "seed": np.array([r.seed for r in rows], np.int32),
            "a": np.array([r.a for r in rows], np.float32),
            "b": np.array([r.b for r in rows], np.float32),
            "emission": np.array([r.emission for r in rows], np.float32),
            "p": np.array([r.p for r in rows], np.float32),
            "look": np.array([(r.vary, r.mirror, r.blur) for r in rows], np.float32),
        }


def srgb(hex_or_rgb: str | tuple[float, float, float]) -> Colour:
    """Linear light from "#rrggbb" or sRGB values in [0, 1]."""
    return _named(hex_or_rgb) if isinstance(hex_or_rgb, str) else _linear(np.array(hex_or_rgb))


@lru_cache(maxsize=256)
def _named(hex_rgb: str) -> Colour:
    """The linear light of a colour that is written in a table: the same few again and again."""
    return _linear(np.array([int(hex_rgb[i : i + 2], 16) / 255 for i in (1, 3, 5)]))


def _linear(value: NDArray[np.float64]) -> Colour:
    value = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return (float(value[0]), float(value[1]), float(value[2]))


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Linear light from an sRGB hue, saturation and value, each in [0, 1]."""
    k = (np.array([5.0, 3.0, 1.0]) + hue * 6) % 6
    rgb = value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)
    return srgb((float(rgb[0]), float(rgb[1]), float(rgb[2])))


WOODS = ("#c8a06a", "#a97c50", "#8a5a36", "#6b4226", "#d9bc8c", "#4a2f1d", "#b98a5a", "#e0cba8")
WALLS = ("#f2efe8", "#e8e4da", "#ece6d6", "#dfe3e4", "#d8d3c6", "#f4f4f2", "#e3d9c4", "#cfd8d3")
ACCENTS = ("#b7c7c0", "#c9b7a0", "#9fb3c4", "#d4b483", "#a8b890", "#c48f7f", "#7f93a3", "#d9c7d0")


def shift(colour: Colour, rng: np.random.Generator, amount: float = 0.1) -> Colour:
    """The colour made a little lighter or darker and warmer or cooler."""
    gain = np.exp(rng.normal(0, amount)) * np.exp(rng.normal(0, amount / 4, 3))
    value = np.clip(np.array(colour) * gain, 0.005, 0.92)
    return (float(value[0]), float(value[1]), float(value[2]))


def pick(options: tuple[str, ...], rng: np.random.Generator, amount: float = 0.1) -> Colour:
    """One of the listed sRGB colours, shifted a little."""
    return shift(srgb(options[int(rng.integers(len(options)))]), rng, amount)


def wood(rng: np.random.Generator, *, planks: bool = False) -> Material:
    """Furniture wood, or floor boards with joints."""
    base = pick(WOODS, rng, 0.12)
    factor = rng.uniform(0.55, 0.8)
    dark: Colour = (base[0] * factor, base[1] * factor * 0.95, base[2] * factor * 0.9)
    width = rng.uniform(0.07, 0.2) if planks else 50.0
    length = rng.uniform(0.6, 2.2) if planks else 50.0
    return Material(
        WOOD,
        base,
        dark,
        (width, length, rng.uniform(0.3, 1.0), 0.002 if planks else 0.0),
        vary=rng.uniform(0.08, 0.3) if planks else 0.03,
        mirror=rng.choice([0.0, 0.03, 0.05]),
        blur=rng.uniform(0.3, 0.9),
        seed=int(rng.integers(1 << 20)),
    )


def tiles(rng: np.random.Generator, *, size: tuple[float, float] | None = None) -> Material:
    """Ceramic or stone tiles with joints."""
    side = float(rng.choice([0.1, 0.15, 0.2, 0.3, 0.33, 0.45, 0.6]))
    width, height = size or (side, side * float(rng.choice([1.0, 1.0, 0.5, 2.0])))
    base = pick(WALLS + ACCENTS + ("#8d8a84", "#b3a48c", "#6f7376"), rng, 0.15)
    joint = shift(srgb("#b8b4ac"), rng, 0.3)
    return Material(
        TILE,
        base,
        joint,
        (width, height, rng.uniform(0.002, 0.006), float(rng.choice([0.0, 0.0, 0.5]))),
        vary=rng.uniform(0.02, 0.15),
        mirror=rng.uniform(0.02, 0.06),
        blur=rng.uniform(0.1, 0.7),
        seed=int(rng.integers(1 << 20)),
    )


def bricks(rng: np.random.Generator) -> Material:
    """Brickwork in running bond."""
    base = pick(("#9c4a34", "#b0664a", "#8a4632", "#c2a184", "#7d5546", "#d9d4cb"), rng, 0.12)
    return Material(
        TILE,
        base,
        pick(("#b9b1a5", "#d0cac0", "#8d867c"), rng),
        (0.22, 0.075, 0.011, 0.5),
        vary=rng.uniform(0.15, 0.4),
        seed=int(rng.integers(1 << 20)),
    )


def fabric(rng: np.random.Generator, *, colour: Colour | None = None) -> Material:
    """Woven cloth or carpet: fine grain, sometimes striped or checked."""
    value = rng.uniform(0.2, 0.9)
    base = colour or hsv(rng.random(), rng.choice([0.1, 0.3, 0.6]) * rng.random(), value)
    if colour is None and rng.random() < 0.2:
        other = hsv(rng.random(), 0.4 * rng.random(), rng.uniform(0.2, 0.9))
        return Material(
            STRIPES,
            base,
            other,
            (rng.uniform(0.03, 0.2), rng.uniform(0.2, 0.5), float(rng.choice([0, 1, 2])), 0.0),
            seed=int(rng.integers(1 << 20)),
        )
    return Material(
        FABRIC, base, base, vary=rng.uniform(0.1, 0.35), seed=int(rng.integers(1 << 20))
    )


def plaster(rng: np.random.Generator, *, bright: bool = True) -> Material:
    """A painted wall."""
    base = pick(WALLS if bright else ACCENTS, rng, 0.06)
    seed = int(rng.integers(1 << 20))
    return Material(PLASTER, base, base, vary=rng.uniform(0.01, 0.045), seed=seed)


def wallpaper(rng: np.random.Generator) -> Material:
    """Striped or checked paper in two near colours."""
    base = pick(WALLS + ACCENTS, rng, 0.1)
    other = shift(base, rng, 0.3)
    period = rng.uniform(0.04, 0.3)
    angle = float(rng.choice([0, 1, 2]))
    return Material(STRIPES, base, other, (period, rng.uniform(0.2, 0.5), angle, 0.0))


def metal(rng: np.random.Generator) -> Material:
    """Brushed steel, chrome, brass or dark iron."""
    base = pick(("#b9bcbf", "#8f9396", "#d6d3cc", "#b08d57", "#3a3b3d", "#e6e6e6"), rng, 0.1)
    return Material(
        PLAIN, base, vary=0.03, mirror=rng.uniform(0.2, 0.6), blur=rng.uniform(0.2, 0.8)
    )


def paint(colour: Colour, *, mirror: float = 0.03, blur: float = 0.6) -> Material:
    """A plain lacquered or plastic surface."""
    return Material(PLAIN, colour, vary=0.03, mirror=mirror, blur=blur)


def lamp(colour: Colour, strength: float) -> Material:
    """A glowing surface."""
    glow = (colour[0] * strength, colour[1] * strength, colour[2] * strength)
    return Material(PLAIN, (0.8, 0.8, 0.8), emission=glow, vary=0.0)
