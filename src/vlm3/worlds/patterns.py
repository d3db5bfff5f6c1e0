# ruff: noqa: D103
# mypy: disable-error-code="valid-type,misc,no-untyped-def,untyped-decorator,attr-defined"
# mypy: no-warn-return-any
"""Procedural patterns on the device: what colour a material has at (u, v) metres.

Every pattern is averaged over the pixel's footprint or fades where a pixel covers more than its
wavelength, so that pictures do not shimmer. Knows no rays and no light.
"""

import warp as wp

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


@wp.func
def hash3(x: int, y: int, s: int) -> float:
    h = wp.uint32(x) * wp.uint32(374761393) + wp.uint32(y) * wp.uint32(668265263)
    h = h + wp.uint32(s) * wp.uint32(1246822519)
    h = (h ^ (h >> wp.uint32(13))) * wp.uint32(1274126177)
    h = (h ^ (h >> wp.uint32(15))) * wp.uint32(1654435761)
    return float((h ^ (h >> wp.uint32(16))) & wp.uint32(16777215)) / 16777216.0


@wp.func
def noise(x: float, y: float, s: int) -> float:
    """Smooth noise in [-1, 1] of wavelength about 2."""
    fx = wp.floor(x)
    fy = wp.floor(y)
    ix = int(fx)
    iy = int(fy)
    tx = x - fx
    ty = y - fy
    tx = tx * tx * (3.0 - 2.0 * tx)
    ty = ty * ty * (3.0 - 2.0 * ty)
    low = wp.lerp(hash3(ix, iy, s), hash3(ix + 1, iy, s), tx)
    high = wp.lerp(hash3(ix, iy + 1, s), hash3(ix + 1, iy + 1, s), tx)
    return 2.0 * wp.lerp(low, high, ty) - 1.0


@wp.func
def fine(x: float, y: float, length: float, footprint: float, s: int) -> float:
    """Noise of cells of `length` metres, gone where a pixel covers more than a cell."""
    fade = 1.0 - footprint / length
    if fade <= 0.0:
        return 0.0
    return noise(x / length, y / length, s) * fade


@wp.func
def covered(x: float, period: float, width: float, footprint: float) -> float:
    """Share of a pixel inside the stripe [0, width) of each period, box filtered."""
    f = wp.max(footprint, 1.0e-4)
    if f > period:
        return width / period
    lo = (x - 0.5 * f) / period
    hi = (x + 0.5 * f) / period
    share = width / period
    a = wp.floor(lo) * share + wp.min(lo - wp.floor(lo), share)
    b = wp.floor(hi) * share + wp.min(hi - wp.floor(hi), share)
    return (b - a) * period / f


@wp.func
def hue(h: float, saturation: float, value: float) -> wp.vec3:
    r = wp.clamp(wp.abs(wp.mod(h * 6.0, 6.0) - 3.0) - 1.0, 0.0, 1.0)
    g = wp.clamp(2.0 - wp.abs(wp.mod(h * 6.0 + 4.0, 6.0) - 3.0) + 0.0, 0.0, 1.0)
    b = wp.clamp(2.0 - wp.abs(wp.mod(h * 6.0 + 2.0, 6.0) - 3.0) + 0.0, 0.0, 1.0)
    rgb = wp.vec3(r, g, b) * saturation + wp.vec3(1.0, 1.0, 1.0) * (1.0 - saturation)
    return rgb * value


@wp.func
def albedo(s: Surface, m: int, uv: wp.vec2, f: float) -> wp.vec3:
    """Colour of material m at uv (metres), averaged over about f metres."""
    kind = s.kind[m]
    a = s.a[m]
    b = s.b[m]
    p = s.p[m]
    vary = s.look[m][0]
    seed = s.seed[m]
    x = uv[0]
    y = uv[1]
    if kind == 0:  # plain
        return a * (1.0 + vary * (fine(x, y, 0.3, f, seed) + 0.5 * fine(x, y, 0.03, f, seed)))
    if kind == 1:  # wood
        row = int(wp.floor(y / p[0]))
        shifted = x + hash3(row, 7, seed) * p[1]
        column = int(wp.floor(shifted / p[1]))
        tone = hash3(row, column, seed) - 0.5
        z = y + hash3(column, row, seed + 3) * 9.0
        bend = 0.012 * noise(x * 1.1, z * 5.0, seed)
        rings = wp.sin((z + bend) * 160.0 + 3.0 * noise(x * 0.8, z * 9.0, seed + 5))
        fade = wp.clamp(1.0 - f / 0.03, 0.0, 1.0)
        grain = 0.5 + 0.35 * rings * fade + 0.3 * fine(x * 0.08, z, 0.006, f, seed + 1)
        colour = a + (b - a) * wp.clamp(
            grain * p[2] + 0.2 * p[2] * noise(x, z * 3.0, seed), 0.0, 1.0
        )
        gap = 0.0
        if p[3] > 0.0:
            gap = covered(y, p[0], p[3], f) + 0.7 * covered(shifted, p[1], p[3], f)
        return colour * (1.0 + 2.0 * vary * tone) * (1.0 - 0.7 * wp.min(gap, 1.0))
    if kind == 2:  # tiles and bricks
        row = int(wp.floor(y / p[1]))
        shifted = x + p[3] * p[0] * float(row & 1)
        column = int(wp.floor(shifted / p[0]))
        tone = (hash3(row, column, seed) - 0.5) * wp.clamp(2.0 - 2.0 * f / p[0], 0.0, 1.0)
        colour = a * (1.0 + 2.0 * vary * tone)
        colour = colour * (1.0 + vary * (fine(x, y, 0.02, f, seed) + fine(x, y, 0.15, f, seed + 1)))
        joint = wp.max(covered(y, p[1], p[2], f), covered(shifted, p[0], p[2], f))
        return colour + (b - colour) * joint
    if kind == 3:  # fabric, carpet
        n = fine(x, y, 0.004, f, seed) + 0.7 * fine(x, y, 0.02, f, seed + 1)
        return a * wp.max(0.05, 1.0 + vary * (n + 0.5 * fine(x, y, 0.4, f, seed + 2)))
    if kind == 4:  # stripes, checks
        first = covered(x, p[0], p[0] * p[1], f)
        second = covered(y, p[0], p[0] * p[1], f)
        share = first
        if p[2] > 0.5:
            share = second
        if p[2] > 1.5:
            share = 0.5 * (first + second)
        return (a + (b - a) * share) * (1.0 + 0.05 * fine(x, y, 0.01, f, seed))
    if kind == 5:  # plaster
        n = fine(x, y, 0.008, f, seed) * 0.5 + fine(x, y, 0.05, f, seed + 1) * 0.4
        stain = 0.35 * noise(x * 0.45, y * 0.45, seed + 2) + 0.15 * noise(x * 2.3, y * 2.3, seed)
        return a * (1.0 + vary * (n + stain))
    if kind == 6:  # asphalt, concrete
        n = fine(x, y, 0.012, f, seed) + 0.6 * fine(x, y, 0.06, f, seed + 1)
        patch = noise(x * 0.25, y * 0.25, seed + 2) + 0.5 * noise(x * 1.3, y * 1.3, seed + 3)
        return a * wp.max(0.1, 1.0 + vary * (n + patch))
    if kind == 7:  # grass
        n = fine(x, y, 0.015, f, seed) + 0.8 * fine(x, y, 0.08, f, seed + 1)
        patch = 0.5 + 0.5 * noise(x * 0.35, y * 0.35, seed + 2)
        return (a + (b - a) * patch) * wp.max(
            0.2, 1.0 + vary * (n + 0.6 * fine(x, y, 0.6, f, seed))
        )
    if kind == 8:  # pictures: soft random patches
        c = p[0]
        wx = x / c + 0.8 * noise(x / c * 0.7, y / c * 0.7, seed + 1)
        wy = y / c + 0.8 * noise(x / c * 0.7, y / c * 0.7, seed + 2)
        i = int(wp.floor(wx))
        j = int(wp.floor(wy))
        cell = hue(
            hash3(i, j, seed), 0.25 + 0.5 * hash3(j, i, seed), 0.1 + 0.7 * hash3(i, j, seed + 9)
        )
        return (a + (cell - a) * 0.8) * (1.0 + 0.25 * fine(x, y, 0.02, f, seed))
    if kind == 9:  # facade: rows of windows
        column = int(wp.floor(x / p[0]))
        row = int(wp.floor(y / p[1]))
        inside = covered(x + 0.5 * p[0] * p[2] - 0.5 * p[0], p[0], p[0] * p[2], f)
        inside = inside * covered(y + 0.5 * p[1] * p[3] - 0.55 * p[1], p[1], p[1] * p[3], f)
        frame = covered(x + 0.5 * p[0] * p[2] - 0.5 * p[0] + 0.09, p[0], p[0] * p[2] + 0.18, f)
        frame = frame * covered(
            y + 0.5 * p[1] * p[3] - 0.55 * p[1] + 0.09, p[1], p[1] * p[3] + 0.18, f
        )
        middle = covered(x - 0.5 * p[0] + 0.03, p[0], 0.06, f) * inside
        shade = 0.25 + 0.9 * hash3(column, row, seed)
        blind = 0.0
        if hash3(column, row, seed + 4) > 0.6:
            blind = hash3(row, column, seed + 5)
        height = y / p[1] - wp.floor(y / p[1])
        glass = b * shade
        if height > 0.95 - 0.6 * blind:
            glass = wp.vec3(0.5, 0.48, 0.44) * (0.6 + 0.4 * shade)
        wall = a * (
            1.0 + vary * (fine(x, y, 0.05, f, seed) + 0.6 * noise(x * 0.5, y * 0.5, seed + 2))
        )
        wall = wall * (1.0 - 0.12 * covered(y, p[1], 0.12, f))
        light = wp.vec3(0.62, 0.6, 0.56)
        colour = wall + (light - wall) * wp.max(0.0, frame - inside)
        colour = colour + (glass - colour) * inside
        return colour + (light - colour) * middle
    if kind == 10:  # leaves
        n = (
            fine(x, y, 0.05, f, seed)
            + 0.9 * fine(x, y, 0.18, f, seed + 1)
            + 0.4 * noise(x, y, seed)
        )
        mix = 0.5 + 0.5 * fine(x, y, 0.3, f, seed + 3)
        return (a + (b - a) * mix) * wp.max(0.1, 1.0 + 0.8 * n + 0.5 * fine(x, y, 0.5, f, seed + 4))
    if kind == 11:  # marble
        t = noise(x * 3.0, y * 3.0, seed) + 0.5 * fine(x, y, 0.12, f, seed + 1)
        t = t + 0.25 * fine(x, y, 0.04, f, seed + 2)
        vein = wp.abs(wp.sin(4.0 * (x + y) * p[0] + 3.0 * t))
        return a + (b - a) * wp.pow(1.0 - vein, 3.0) + a * 0.06 * t
    # image texture: p = first texel, width, height; uv in [0, 1], rows downwards
    texture_width = int(p[1])
    texture_height = int(p[2])
    tx = wp.clamp(int((x - wp.floor(x)) * float(texture_width)), 0, texture_width - 1)
    ty = wp.clamp(int((1.0 - (y - wp.floor(y))) * float(texture_height)), 0, texture_height - 1)
    at = (int(p[0]) + ty * texture_width + tx) * 3
    value = wp.vec3(float(s.texels[at]), float(s.texels[at + 1]), float(s.texels[at + 2])) / 255.0
    return wp.cw_mul(a, wp.cw_mul(value, value))
