"""Putting geometry into text: the checks and the rounding limits that all tasks share."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pixels import norm_from_px
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.reading import LARGEST_M

# Lengths are written with two decimals, and "0.00" is no length.
FINEST_M = 0.01


def written_xy(
    protocol: Protocol, xy_px: ArrayLike, *, width_px: int, height_px: int
) -> tuple[int, int]:
    """One pixel (2,) as the whole numbers that stand in the text.

    Raises:
        InputError: the pixel lies outside the picture; its far edge counts as inside.
    """
    # The first half of the first pixel has no smaller name than 0.
    named = np.maximum(_inside(xy_px, width_px, height_px) - (0.5 - protocol.centre_px), 0)
    x, y = norm_from_px(
        named, width_px, height_px, size=protocol.norm_size, half_open=protocol.half_open
    ).tolist()
    return x, y


def named_pixel(
    protocol: Protocol, camera: Camera, xy_px: ArrayLike
) -> tuple[NDArray[np.float64], int, int]:
    """The pixel (2,) that a text names, and width and height of the picture it is counted in.

    Most protocols name the point as it is, in the picture as it is. `release-depth` names a whole
    pixel of the resized picture: the one in which DepthLM puts the whole pixel that holds the point
    (facebookresearch/DepthLM_Official, utils/datasets.py). Its operations are repeated in their
    order, because they cut to whole numbers, and a last bit decides.

    Raises:
        InputError: the pixel lies outside the camera's picture.
    """
    size = camera.width_px, camera.height_px
    xy = _inside(xy_px, *size)
    if not protocol.whole_px:
        return xy, *size
    scale = protocol.scales(camera)[0]
    centre = camera.cx_px, camera.cy_px
    focal = camera.fx_px, camera.fy_px
    resized = [max(1, int(side * scale)) for side in size]
    named = [
        int((min(int(at), side - 1) - c) * (f * scale / f) + c * scale)
        for at, side, c, f in zip(xy.tolist(), size, centre, focal, strict=True)
    ]
    return np.clip(np.array(named, dtype=np.float64), 0, resized), resized[0], resized[1]


def written_metres(length_m: float) -> float:
    """A length that two decimals can hold: at least `FINEST_M`.

    Raises:
        InputError: not positive, not finite, or longer than anything that is read back.
    """
    if not (math.isfinite(length_m) and 0 < length_m <= LARGEST_M):
        raise InputError(
            f"{length_m} m is not a length that can be written; "
            f"give a positive number up to {LARGEST_M:.0f}"
        )
    return max(float(length_m), FINEST_M)


def _inside(xy_px: ArrayLike, width_px: int, height_px: int) -> NDArray[np.float64]:
    xy = np.asarray(xy_px, dtype=np.float64)
    if xy.shape != (2,):
        raise InputError(f"a pixel is two numbers x, y; got shape {xy.shape}")
    x_px, y_px = xy.tolist()
    if not (0 <= x_px <= width_px and 0 <= y_px <= height_px):
        raise InputError(
            f"the point ({x_px:g}, {y_px:g}) lies outside the {width_px}x{height_px} picture; "
            "give pixels counted from its top left corner"
        )
    return xy
