"""Pixels <-> the normalised coordinates that stand in the text (paper, section 3.1).

The only place that rounds. Knows no text and no camera.
"""

from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError


@overload
def norm_from_px(
    xy_px: ArrayLike,
    width_px: int,
    height_px: int,
    *,
    size: int = ...,
    rounding: Literal["round"] = ...,
    half_open: bool = ...,
) -> NDArray[np.int64]: ...


@overload
def norm_from_px(
    xy_px: ArrayLike,
    width_px: int,
    height_px: int,
    *,
    size: int = ...,
    rounding: Literal["none"],
    half_open: bool = ...,
) -> NDArray[np.float64]: ...


def norm_from_px(
    xy_px: ArrayLike,
    width_px: int,
    height_px: int,
    *,
    size: int = 2000,
    rounding: Literal["round", "none"] = "round",
    half_open: bool = False,
) -> NDArray[np.int64] | NDArray[np.float64]:
    """Pixels (*n, 2) -> coordinates `size * x / width`, `size * y / height`.

    Args:
        xy_px: continuous pixels, corner at (0, 0).
        width_px: width of the picture the pixels belong to.
        height_px: its height.
        size: what the far edge is called: 2000 in the paper, 1000 in some released checkpoints.
        rounding: "round" gives int64, to the nearest with halves to even (as Python's round, which
            the released samples used); "none" gives float64.
        half_open: clip what is rounded to [0, size - 1], for protocols whose range is [0, size).

    Raises:
        InputError: a value to round that is not finite.
    """
    xy = np.asarray(xy_px, dtype=np.float64)
    scaled: NDArray[np.float64] = xy * size / np.array([width_px, height_px], dtype=np.float64)
    if rounding == "none":
        return scaled
    if not np.isfinite(scaled).all():
        raise InputError("a pixel is not finite, so it cannot be written; drop NaN pixels first")
    whole = np.rint(scaled).astype(np.int64)
    return np.clip(whole, 0, size - 1) if half_open else whole


def px_from_norm(
    xy_norm: ArrayLike, width_px: int, height_px: int, *, size: int = 2000
) -> NDArray[np.float64]:
    """Coordinates in [0, size) (*n, 2) -> continuous pixels (*n, 2)."""
    xy = np.asarray(xy_norm, dtype=np.float64)
    xy_px: NDArray[np.float64] = xy * np.array([width_px, height_px], dtype=np.float64) / size
    return xy_px


def pixel_centres(width_px: int, height_px: int) -> NDArray[np.float64]:
    """(height, width, 2): the centre of every pixel, (0.5, 0.5) at the top left."""
    x, y = np.meshgrid(np.arange(width_px) + 0.5, np.arange(height_px) + 0.5)
    return np.stack([x, y], axis=-1)
