# mypy: disable-error-code="valid-type,misc,no-untyped-def,untyped-decorator,attr-defined"
# mypy: no-warn-return-any
"""Procedural patterns on the device: what colour a material has at (u, v) metres.

Every pattern is averaged over the pixel's footprint or fades where a pixel covers more than its
wavelength, so that pictures do not shimmer. Knows no rays and no light.
"""

import warp as wp

from vlm3.worlds.materials import (
    ART,
    ASPHALT,
    FABRIC,
    GRASS,
    LEAVES,
    MARBLE,
    PLAIN,
    PLASTER,
    STRIPES,
    TILE,
    WINDOWS,
    WOOD,
)
from vlm3.worlds.noise import covered, fine, hash3, hue, noise

wp.set_module_options({"enable_backward": False, "fast_math": False})


@wp.struct
class Surface:
    """The triangles and the material table on the device."""

    mesh: wp.uint64
    faces: wp.array(dtype=wp.int32)
    normals: wp.array(dtype=wp.vec3)
    uv: wp.array(dtype=wp.vec2)
    material: wp.array(dtype=wp.int32)
    tint: wp.array(dtype=wp.vec3)
    instance: wp.array(dtype=wp.int32)
    kind: wp.array(dtype=wp.int32)
    seed: wp.array(dtype=wp.int32)
    a: wp.array(dtype=wp.vec3)
    b: wp.array(dtype=wp.vec3)
    emission: wp.array(dtype=wp.vec3)
    p: wp.array(dtype=wp.vec4)
    look: wp.array(dtype=wp.vec3)
    texels: wp.array(dtype=wp.uint8)


@wp.struct
class Paint:
    """One material of the table, as `materials.Material` describes it."""

    a: wp.vec3
    b: wp.vec3
    p: wp.vec4
    vary: wp.float32
    seed: wp.int32


@wp.func
def plain(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """One colour, with a little dirt."""
    a = paint.a
    vary = paint.vary
    seed = paint.seed
    return a * (1.0 + vary * (fine(x, y, 0.3, f, seed) + 0.5 * fine(x, y, 0.03, f, seed)))


@wp.func
def wood(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Boards with rings, grain and joints."""
    a = paint.a
    b = paint.b
    p = paint.p
    vary = paint.vary
    seed = paint.seed
    row = int(wp.floor(y / p[0]))
    shifted = x + hash3(row, 7, seed) * p[1]
    column = int(wp.floor(shifted / p[1]))
    tone = hash3(row, column, seed) - 0.5
    z = y + hash3(column, row, seed + 3) * 9.0
    bend = 0.012 * noise(x * 1.1, z * 5.0, seed)
    rings = wp.sin((z + bend) * 160.0 + 3.0 * noise(x * 0.8, z * 9.0, seed + 5))
    fade = wp.clamp(1.0 - f / 0.03, 0.0, 1.0)
    grain = 0.5 + 0.35 * rings * fade + 0.3 * fine(x * 0.08, z, 0.006, f, seed + 1)
    colour = a + (b - a) * wp.clamp(grain * p[2] + 0.2 * p[2] * noise(x, z * 3.0, seed), 0.0, 1.0)
    gap = 0.0
    if p[3] > 0.0:
        gap = covered(y, p[0], p[3], f) + 0.7 * covered(shifted, p[1], p[3], f)
    return colour * (1.0 + 2.0 * vary * tone) * (1.0 - 0.7 * wp.min(gap, 1.0))


@wp.func
def tile(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Tiles or bricks with joints."""
    a = paint.a
    b = paint.b
    p = paint.p
    vary = paint.vary
    seed = paint.seed
    row = int(wp.floor(y / p[1]))
    shifted = x + p[3] * p[0] * float(row & 1)
    column = int(wp.floor(shifted / p[0]))
    tone = (hash3(row, column, seed) - 0.5) * wp.clamp(2.0 - 2.0 * f / p[0], 0.0, 1.0)
    colour = a * (1.0 + 2.0 * vary * tone)
    colour = colour * (1.0 + vary * (fine(x, y, 0.02, f, seed) + fine(x, y, 0.15, f, seed + 1)))
    joint = wp.max(covered(y, p[1], p[2], f), covered(shifted, p[0], p[2], f))
    return colour + (b - colour) * joint


@wp.func
def fabric(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Woven cloth or carpet."""
    a = paint.a
    vary = paint.vary
    seed = paint.seed
    n = fine(x, y, 0.004, f, seed) + 0.7 * fine(x, y, 0.02, f, seed + 1)
    return a * wp.max(0.05, 1.0 + vary * (n + 0.5 * fine(x, y, 0.4, f, seed + 2)))


@wp.func
def stripes(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Stripes along u, along v, or both: checks."""
    a = paint.a
    b = paint.b
    p = paint.p
    seed = paint.seed
    first = covered(x, p[0], p[0] * p[1], f)
    second = covered(y, p[0], p[0] * p[1], f)
    share = first
    if p[2] > 0.5:
        share = second
    if p[2] > 1.5:
        share = 0.5 * (first + second)
    return (a + (b - a) * share) * (1.0 + 0.05 * fine(x, y, 0.01, f, seed))


@wp.func
def plaster(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """A painted wall with stains."""
    a = paint.a
    vary = paint.vary
    seed = paint.seed
    n = fine(x, y, 0.008, f, seed) * 0.5 + fine(x, y, 0.05, f, seed + 1) * 0.4
    stain = 0.35 * noise(x * 0.45, y * 0.45, seed + 2) + 0.15 * noise(x * 2.3, y * 2.3, seed)
    return a * (1.0 + vary * (n + stain))


@wp.func
def asphalt(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Asphalt or concrete, in patches."""
    a = paint.a
    vary = paint.vary
    seed = paint.seed
    n = fine(x, y, 0.012, f, seed) + 0.6 * fine(x, y, 0.06, f, seed + 1)
    patch = noise(x * 0.25, y * 0.25, seed + 2) + 0.5 * noise(x * 1.3, y * 1.3, seed + 3)
    return a * wp.max(0.1, 1.0 + vary * (n + patch))


@wp.func
def grass(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Grass in two greens."""
    a = paint.a
    b = paint.b
    vary = paint.vary
    seed = paint.seed
    n = fine(x, y, 0.015, f, seed) + 0.8 * fine(x, y, 0.08, f, seed + 1)
    patch = 0.5 + 0.5 * noise(x * 0.35, y * 0.35, seed + 2)
    return (a + (b - a) * patch) * wp.max(0.2, 1.0 + vary * (n + 0.6 * fine(x, y, 0.6, f, seed)))


@wp.func
def art(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """A picture: soft random patches of any hue."""
    a = paint.a
    p = paint.p
    seed = paint.seed
    c = p[0]
    wx = x / c + 0.8 * noise(x / c * 0.7, y / c * 0.7, seed + 1)
    wy = y / c + 0.8 * noise(x / c * 0.7, y / c * 0.7, seed + 2)
    i = int(wp.floor(wx))
    j = int(wp.floor(wy))
    cell = hue(hash3(i, j, seed), 0.25 + 0.5 * hash3(j, i, seed), 0.1 + 0.7 * hash3(i, j, seed + 9))
    return (a + (cell - a) * 0.8) * (1.0 + 0.25 * fine(x, y, 0.02, f, seed))


@wp.func
def windows(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """A facade: rows of windows with frames, some with blinds."""
    a = paint.a
    b = paint.b
    p = paint.p
    vary = paint.vary
    seed = paint.seed
    column = int(wp.floor(x / p[0]))
    row = int(wp.floor(y / p[1]))
    inside = covered(x + 0.5 * p[0] * p[2] - 0.5 * p[0], p[0], p[0] * p[2], f)
    inside = inside * covered(y + 0.5 * p[1] * p[3] - 0.55 * p[1], p[1], p[1] * p[3], f)
    frame = covered(x + 0.5 * p[0] * p[2] - 0.5 * p[0] + 0.09, p[0], p[0] * p[2] + 0.18, f)
    frame = frame * covered(y + 0.5 * p[1] * p[3] - 0.55 * p[1] + 0.09, p[1], p[1] * p[3] + 0.18, f)
    middle = covered(x - 0.5 * p[0] + 0.03, p[0], 0.06, f) * inside
    shade = 0.25 + 0.9 * hash3(column, row, seed)
    blind = 0.0
    if hash3(column, row, seed + 4) > 0.6:
        blind = hash3(row, column, seed + 5)
    height = y / p[1] - wp.floor(y / p[1])
    glass = b * shade
    if height > 0.95 - 0.6 * blind:
        glass = wp.vec3(0.5, 0.48, 0.44) * (0.6 + 0.4 * shade)
    wall = a * (1.0 + vary * (fine(x, y, 0.05, f, seed) + 0.6 * noise(x * 0.5, y * 0.5, seed + 2)))
    wall = wall * (1.0 - 0.12 * covered(y, p[1], 0.12, f))
    light = wp.vec3(0.62, 0.6, 0.56)
    colour = wall + (light - wall) * wp.max(0.0, frame - inside)
    colour = colour + (glass - colour) * inside
    return colour + (light - colour) * middle


@wp.func
def leaves(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Leaves in two greens."""
    a = paint.a
    b = paint.b
    seed = paint.seed
    n = fine(x, y, 0.05, f, seed) + 0.9 * fine(x, y, 0.18, f, seed + 1) + 0.4 * noise(x, y, seed)
    mix = 0.5 + 0.5 * fine(x, y, 0.3, f, seed + 3)
    return (a + (b - a) * mix) * wp.max(0.1, 1.0 + 0.8 * n + 0.5 * fine(x, y, 0.5, f, seed + 4))


@wp.func
def marble(paint: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Stone with veins."""
    a = paint.a
    b = paint.b
    p = paint.p
    seed = paint.seed
    t = noise(x * 3.0, y * 3.0, seed) + 0.5 * fine(x, y, 0.12, f, seed + 1)
    t = t + 0.25 * fine(x, y, 0.04, f, seed + 2)
    vein = wp.abs(wp.sin(4.0 * (x + y) * p[0] + 3.0 * t))
    return a + (b - a) * wp.pow(1.0 - vein, 3.0) + a * 0.06 * t


PATTERNS = {
    PLAIN: plain,
    WOOD: wood,
    TILE: tile,
    FABRIC: fabric,
    STRIPES: stripes,
    PLASTER: plaster,
    ASPHALT: asphalt,
    GRASS: grass,
    ART: art,
    WINDOWS: windows,
    LEAVES: leaves,
    MARBLE: marble,
}
"""Kind of a material -> its pattern; the kinds count from 0."""


@wp.func
def texture(s: Surface, paint: Paint, x: float, y: float) -> wp.vec3:
    """An image: p is its first texel, width, height; uv is in [0, 1], rows go downwards."""
    p = paint.p
    width = int(p[1])
    height = int(p[2])
    column = wp.clamp(int((x - wp.floor(x)) * float(width)), 0, width - 1)
    row = wp.clamp(int((1.0 - (y - wp.floor(y))) * float(height)), 0, height - 1)
    at = (int(p[0]) + row * width + column) * 3
    value = wp.vec3(float(s.texels[at]), float(s.texels[at + 1]), float(s.texels[at + 2])) / 255.0
    return wp.cw_mul(paint.a, wp.cw_mul(value, value))


@wp.func
def albedo(s: Surface, m: int, uv: wp.vec2, f: float) -> wp.vec3:
    """Colour of material m at uv (metres), averaged over about f metres."""
    kind = s.kind[m]
    paint = Paint()
    paint.a = s.a[m]
    paint.b = s.b[m]
    paint.p = s.p[m]
    paint.vary = s.look[m][0]
    paint.seed = s.seed[m]
    for k in range(wp.static(len(PATTERNS))):
        if kind == k:
            return wp.static(PATTERNS[k])(paint, uv[0], uv[1], f)
    return texture(s, paint, uv[0], uv[1])
