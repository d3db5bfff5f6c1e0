"""What callers hand in as points and boxes: checked once, refused in one line. Knows no model."""

from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.tasks.base import Floats
from vlm3.view import View


def points_in(view: View, xy_px: ArrayLike) -> Floats:
    """(n, 2) finite pixels inside the view."""
    points = number_rows("xy_px", xy_px, 2)
    camera = view.camera
    outside = points[~camera.contains(points)]
    if len(outside):
        x, y = outside[0]
        raise InputError(
            f"the point ({x:g}, {y:g}) lies outside the picture of "
            f"{camera.width_px}x{camera.height_px} px; x runs from 0 to {camera.width_px}, "
            f"y from 0 to {camera.height_px}, from the top left corner"
        )
    return points


def number_rows(name: str, values: ArrayLike, columns: int) -> Floats:
    """(n, columns) finite numbers from that, from one row, or from nothing."""
    try:
        rows = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        _refuse(name, f"{values!r}", columns)
    if rows.size == 0:
        return np.empty((0, columns))
    if rows.ndim == 1:
        rows = rows[None]
    if rows.ndim != 2 or rows.shape[1] != columns:
        _refuse(name, f"an array of shape {rows.shape}", columns)
    if not np.isfinite(rows).all():
        _refuse(name, "numbers that are not finite", columns)
    return rows


def _refuse(name: str, came: str, columns: int) -> NoReturn:
    meaning = {2: "x, y", 4: "x1, y1, x2, y2"}[columns]
    raise InputError(f"{name} is {came}; give finite numbers of shape (n, {columns}): {meaning}")


def pixel_pairs(pairs_px: ArrayLike) -> Floats:
    """(n, 4) from x, y to x, y: the pairs of pixels (n, 2, 2) that lengths are measured between.

    Raises:
        InputError: another shape, what is no number, or a pixel and itself.
    """
    pairs = np.asarray(pairs_px, dtype=float)
    if pairs.size and pairs.shape[-2:] != (2, 2):
        raise InputError(
            f"pairs_px has the shape {pairs.shape}; give (n, 2, 2) pixels: from x, y, to x, y"
        )
    rows = number_rows("pairs_px", pairs.reshape(-1, 4), 4)
    for x, y, *to in rows.tolist():
        if [x, y] == to:
            raise InputError(f"({x:g}, {y:g}) to itself is no length; give two different pixels")
    return rows
