# mypy: disable-error-code="valid-type,misc,no-untyped-def,untyped-decorator,attr-defined"
# mypy: no-warn-return-any
"""What patterns are made of on the device: random numbers of places, noise, stripes, hues.

Knows no materials.
"""

import warp as wp

wp.set_module_options({"enable_backward": False, "fast_math": False})


@wp.func
def hash3(x: int, y: int, s: int) -> float:
    """A random number in [0, 1) of two whole numbers and a seed."""
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
    """A colour of hue h in [0, 1)."""
    r = wp.clamp(wp.abs(wp.mod(h * 6.0, 6.0) - 3.0) - 1.0, 0.0, 1.0)
    g = wp.clamp(2.0 - wp.abs(wp.mod(h * 6.0 + 4.0, 6.0) - 3.0) + 0.0, 0.0, 1.0)
    b = wp.clamp(2.0 - wp.abs(wp.mod(h * 6.0 + 2.0, 6.0) - 3.0) + 0.0, 0.0, 1.0)
    rgb = wp.vec3(r, g, b) * saturation + wp.vec3(1.0, 1.0, 1.0) * (1.0 - saturation)
    return rgb * value
