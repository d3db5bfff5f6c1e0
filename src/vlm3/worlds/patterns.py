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
    """One material of the table; what its numbers p mean is in `materials.Material`."""

    a: wp.vec3
    b: wp.vec3
    p: wp.vec4
    vary: wp.float32
    seed: wp.int32


@wp.func
def plain(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """One colour, with a little dirt."""
    return m.a * (1.0 + m.vary * (fine(x, y, 0.3, f, m.seed) + 0.5 * fine(x, y, 0.03, f, m.seed)))


@wp.func
def wood(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Boards with rings, grain and joints."""
    row = int(wp.floor(y / m.p[0]))
    shifted = x + hash3(row, 7, m.seed) * m.p[1]
    column = int(wp.floor(shifted / m.p[1]))
    tone = hash3(row, column, m.seed) - 0.5
    z = y + hash3(column, row, m.seed + 3) * 9.0
    bend = 0.012 * noise(x * 1.1, z * 5.0, m.seed)
    rings = wp.sin((z + bend) * 160.0 + 3.0 * noise(x * 0.8, z * 9.0, m.seed + 5))
    fade = wp.clamp(1.0 - f / 0.03, 0.0, 1.0)
    grain = 0.5 + 0.35 * rings * fade + 0.3 * fine(x * 0.08, z, 0.006, f, m.seed + 1)
    colour = m.a + (m.b - m.a) * wp.clamp(
        grain * m.p[2] + 0.2 * m.p[2] * noise(x, z * 3.0, m.seed), 0.0, 1.0
    )
    gap = 0.0
    if m.p[3] > 0.0:
        gap = covered(y, m.p[0], m.p[3], f) + 0.7 * covered(shifted, m.p[1], m.p[3], f)
    return colour * (1.0 + 2.0 * m.vary * tone) * (1.0 - 0.7 * wp.min(gap, 1.0))


@wp.func
def tile(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Tiles or bricks with joints."""
    row = int(wp.floor(y / m.p[1]))
    shifted = x + m.p[3] * m.p[0] * float(row & 1)
    column = int(wp.floor(shifted / m.p[0]))
    tone = (hash3(row, column, m.seed) - 0.5) * wp.clamp(2.0 - 2.0 * f / m.p[0], 0.0, 1.0)
    colour = m.a * (1.0 + 2.0 * m.vary * tone)
    colour = colour * (
        1.0 + m.vary * (fine(x, y, 0.02, f, m.seed) + fine(x, y, 0.15, f, m.seed + 1))
    )
    joint = wp.max(covered(y, m.p[1], m.p[2], f), covered(shifted, m.p[0], m.p[2], f))
    return colour + (m.b - colour) * joint


@wp.func
def fabric(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Woven cloth or carpet."""
    n = fine(x, y, 0.004, f, m.seed) + 0.7 * fine(x, y, 0.02, f, m.seed + 1)
    return m.a * wp.max(0.05, 1.0 + m.vary * (n + 0.5 * fine(x, y, 0.4, f, m.seed + 2)))


@wp.func
def stripes(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Stripes along u, along v, or both: checks."""
    first = covered(x, m.p[0], m.p[0] * m.p[1], f)
    second = covered(y, m.p[0], m.p[0] * m.p[1], f)
    share = first
    if m.p[2] > 0.5:
        share = second
    if m.p[2] > 1.5:
        share = 0.5 * (first + second)
    return (m.a + (m.b - m.a) * share) * (1.0 + 0.05 * fine(x, y, 0.01, f, m.seed))


@wp.func
def plaster(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """A painted wall with stains."""
    n = fine(x, y, 0.008, f, m.seed) * 0.5 + fine(x, y, 0.05, f, m.seed + 1) * 0.4
    stain = 0.35 * noise(x * 0.45, y * 0.45, m.seed + 2) + 0.15 * noise(x * 2.3, y * 2.3, m.seed)
    return m.a * (1.0 + m.vary * (n + stain))


@wp.func
def asphalt(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Asphalt or concrete, in patches."""
    n = fine(x, y, 0.012, f, m.seed) + 0.6 * fine(x, y, 0.06, f, m.seed + 1)
    patch = noise(x * 0.25, y * 0.25, m.seed + 2) + 0.5 * noise(x * 1.3, y * 1.3, m.seed + 3)
    return m.a * wp.max(0.1, 1.0 + m.vary * (n + patch))


@wp.func
def grass(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Grass in two greens."""
    n = fine(x, y, 0.015, f, m.seed) + 0.8 * fine(x, y, 0.08, f, m.seed + 1)
    patch = 0.5 + 0.5 * noise(x * 0.35, y * 0.35, m.seed + 2)
    return (m.a + (m.b - m.a) * patch) * wp.max(
        0.2, 1.0 + m.vary * (n + 0.6 * fine(x, y, 0.6, f, m.seed))
    )


@wp.func
def art(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """A picture: soft random patches of any hue."""
    c = m.p[0]
    wx = x / c + 0.8 * noise(x / c * 0.7, y / c * 0.7, m.seed + 1)
    wy = y / c + 0.8 * noise(x / c * 0.7, y / c * 0.7, m.seed + 2)
    i = int(wp.floor(wx))
    j = int(wp.floor(wy))
    cell = hue(
        hash3(i, j, m.seed), 0.25 + 0.5 * hash3(j, i, m.seed), 0.1 + 0.7 * hash3(i, j, m.seed + 9)
    )
    return (m.a + (cell - m.a) * 0.8) * (1.0 + 0.25 * fine(x, y, 0.02, f, m.seed))


@wp.func
def windows(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """A facade: rows of windows with frames, some with blinds."""
    w = m.p[0]
    h = m.p[1]
    glass_w = m.p[2]
    glass_h = m.p[3]
    column = int(wp.floor(x / w))
    row = int(wp.floor(y / h))
    inside = covered(x + 0.5 * w * glass_w - 0.5 * w, w, w * glass_w, f)
    inside = inside * covered(y + 0.5 * h * glass_h - 0.55 * h, h, h * glass_h, f)
    frame = covered(x + 0.5 * w * glass_w - 0.5 * w + 0.09, w, w * glass_w + 0.18, f)
    frame = frame * covered(y + 0.5 * h * glass_h - 0.55 * h + 0.09, h, h * glass_h + 0.18, f)
    middle = covered(x - 0.5 * w + 0.03, w, 0.06, f) * inside
    shade = 0.25 + 0.9 * hash3(column, row, m.seed)
    blind = 0.0
    if hash3(column, row, m.seed + 4) > 0.6:
        blind = hash3(row, column, m.seed + 5)
    height = y / h - wp.floor(y / h)
    glass = m.b * shade
    if height > 0.95 - 0.6 * blind:
        glass = wp.vec3(0.5, 0.48, 0.44) * (0.6 + 0.4 * shade)
    wall = m.a * (
        1.0 + m.vary * (fine(x, y, 0.05, f, m.seed) + 0.6 * noise(x * 0.5, y * 0.5, m.seed + 2))
    )
    wall = wall * (1.0 - 0.12 * covered(y, h, 0.12, f))
    light = wp.vec3(0.62, 0.6, 0.56)
    colour = wall + (light - wall) * wp.max(0.0, frame - inside)
    colour = colour + (glass - colour) * inside
    return colour + (light - colour) * middle


@wp.func
def leaves(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Leaves in two greens."""
    n = (
        fine(x, y, 0.05, f, m.seed)
        + 0.9 * fine(x, y, 0.18, f, m.seed + 1)
        + 0.4 * noise(x, y, m.seed)
    )
    mix = 0.5 + 0.5 * fine(x, y, 0.3, f, m.seed + 3)
    return (m.a + (m.b - m.a) * mix) * wp.max(
        0.1, 1.0 + 0.8 * n + 0.5 * fine(x, y, 0.5, f, m.seed + 4)
    )


@wp.func
def marble(m: Paint, x: float, y: float, f: float) -> wp.vec3:
    """Stone with veins."""
    t = noise(x * 3.0, y * 3.0, m.seed) + 0.5 * fine(x, y, 0.12, f, m.seed + 1)
    t = t + 0.25 * fine(x, y, 0.04, f, m.seed + 2)
    vein = wp.abs(wp.sin(4.0 * (x + y) * m.p[0] + 3.0 * t))
    return m.a + (m.b - m.a) * wp.pow(1.0 - vein, 3.0) + m.a * 0.06 * t


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
