# ruff: noqa: UP018
# Warp needs float(0.0) for what a loop changes.
# mypy: disable-error-code="valid-type,misc,no-untyped-def,untyped-decorator,attr-defined"
# mypy: no-warn-return-any
"""The exposure and tone curve of `worlds.looks` as Warp kernels, for radiance that lies on a GPU.

`looks.exposed` is the same in NumPy, and the tests hold the two together to one grey level. Several
pictures of one size are developed by one launch of each kernel, so that radiance, four times the
bytes of a picture, stays where it is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import warp as wp
from numpy.typing import NDArray

from vlm3.worlds.looks import BRIGHTEST, DARKEST, Look, gains

wp.set_module_options({"enable_backward": False, "fast_math": False})


@wp.struct
class Tone:
    """What a look does to one picture; fields as in `Look`, `gain` from `looks.gains`."""

    gain: wp.vec3
    vignette: wp.float32
    shoulder: wp.float32
    contrast: wp.float32
    saturation: wp.float32
    grey: wp.int32
    level: wp.float32


@wp.func
def lit(radiance: wp.array3d(dtype=wp.vec3), v: int, y: int, x: int) -> wp.vec3:
    """Light of a pixel, never below zero."""
    return wp.max(radiance[v, y, x], wp.vec3(0.0, 0.0, 0.0))


@wp.func
def mean_colour(light: wp.vec3) -> float:
    """Mean of red, green and blue."""
    return (light[0] + light[1] + light[2]) / 3.0


@wp.kernel
def measure(
    radiance: wp.array3d(dtype=wp.vec3),
    luminance: wp.array(dtype=wp.float32),
    tints: wp.array2d(dtype=wp.vec3),
):
    """Luminance of each pixel, one picture after another, and the sum of the light of each row."""
    v, y = wp.tid()
    height = radiance.shape[1]
    width = radiance.shape[2]
    total = wp.vec3(0.0, 0.0, 0.0)
    for x in range(width):
        light = lit(radiance, v, y, x)
        luminance[(v * height + y) * width + x] = mean_colour(light)
        total = total + light
    tints[v, y] = total


@wp.kernel
def measure_bulk(
    ordered: wp.array(dtype=wp.float32),
    width: int,
    place: int,
    part: float,
    darkest: float,
    logs: wp.array2d(dtype=wp.float32),
):
    """Sums of logarithms of luminance, cut at a quantile: of `width` pixels in their order each.

    The quantile lies by `part` from the pixel at `place` of its picture to the next.
    """
    v, y = wp.tid()
    first = v * logs.shape[1] * width
    low = ordered[first + place]
    high = ordered[wp.min(first + place + 1, first + logs.shape[1] * width - 1)]
    most = low + (high - low) * part
    total = float(0.0)
    for x in range(width):
        total = total + wp.log(wp.min(ordered[first + y * width + x], most) + darkest)
    logs[v, y] = total


@wp.kernel
def expose(
    radiance: wp.array3d(dtype=wp.vec3),
    tones: wp.array(dtype=Tone),
    grain: wp.array3d(dtype=wp.vec3),
    picture: wp.array4d(dtype=wp.uint8),
):
    """All that `looks.exposed` does to a pixel."""
    v, y, x = wp.tid()
    tone = tones[v]
    across = 2.0 * float(x) / float(radiance.shape[2] - 1) - 1.0
    down = 2.0 * float(y) / float(radiance.shape[1] - 1) - 1.0
    shade = 1.0 - tone.vignette * (across * across + down * down)
    light = wp.cw_mul(lit(radiance, v, y, x), tone.gain) * shade
    value = wp.vec3(0.0, 0.0, 0.0)
    for k in range(3):
        soft = light[k] * (1.0 + light[k] * tone.shoulder * 0.25) / (1.0 + light[k] * tone.shoulder)
        one = wp.pow(wp.clamp(soft, 0.0, 1.0), 1.0 / 2.2)
        value[k] = one + tone.contrast * (one * one * (3.0 - 2.0 * one) - one)
    grey = mean_colour(value)
    for k in range(3):
        one = grey + (value[k] - grey) * tone.saturation
        if tone.grey == 1:
            one = grey
        if tone.level > 0.0:
            one = one + tone.level * (0.4 + 0.6 * (1.0 - one)) * grain[v, y, x][k]
        picture[v, y, x, k] = wp.uint8(wp.clamp(one, 0.0, 1.0) * 255.0 + 0.5)


def exposed(radiance: Any, looks: Sequence[Look]) -> NDArray[np.uint8]:
    """(V, H, W, 3) pictures as sensors have them.

    Args:
        radiance: wp.array (V, H, W) of vec3, on the device that is to do it.
        looks: one a picture; all with grain or none.
    """
    device, (count, height, width) = radiance.device, radiance.shape
    size = height * width
    with wp.ScopedDevice(device):
        # The second half is room for sorting.
        luminance = wp.empty(2 * count * size, dtype=wp.float32)
        order = wp.zeros(2 * count * size, dtype=wp.int32)
        tints = wp.empty((count, height), dtype=wp.vec3)
        logs = wp.empty((count, height), dtype=wp.float32)
        wp.launch(measure, (count, height), [radiance, luminance, tints])
        starts = wp.array(np.arange(count + 1) * size, dtype=wp.int32)
        wp.utils.segmented_sort_pairs(luminance, order, count * size, starts)
        place, part = divmod(BRIGHTEST * (size - 1), 1.0)
        inputs = [luminance, width, int(place), part, DARKEST, logs]
        wp.launch(measure_bulk, (count, height), inputs)
        tint = tints.numpy().sum(1, dtype=np.float64) / size
        mean_log = logs.numpy().sum(1, dtype=np.float64) / size
        grain = [look.grain for look in looks if look.grain is not None]
        kind: Any = Tone
        tones = np.zeros(count, kind.numpy_dtype())
        tones["gain"] = [gains(*one) for one in zip(looks, mean_log, tint, strict=True)]
        for name in ("vignette", "shoulder", "contrast", "saturation", "grey", "level"):
            tones[name] = [getattr(look, name) for look in looks]
        picture = wp.empty((count, height, width, 3), dtype=wp.uint8)
        noise = np.stack(grain) if grain else np.zeros((1, 1, 1, 3), np.float32)
        arrays = [wp.array(tones, dtype=kind), wp.array(noise, dtype=wp.vec3)]
        wp.launch(expose, (count, height, width), [radiance, *arrays, picture])
        out: NDArray[np.uint8] = picture.numpy()
        return out
