"""The lens models: points in the camera's frame <-> the plane that the sensor lies in.

On that plane a point stands in focal lengths from the principal point, distortion included: pixels
are `camera`'s. The formulas of the distortions are in `distortion`.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.distortion import (
    distort_brown_conrady,
    distort_fisheye,
    undistort_brown_conrady,
    undistort_fisheye,
)

Array = NDArray[np.float64]
LensModel = Literal["pinhole", "brown_conrady", "fisheye"]
COEFFICIENT_COUNTS: dict[str, tuple[int, ...]] = {
    "pinhole": (0,),
    "brown_conrady": (4, 5, 8),
    "fisheye": (4,),
}
"""Model -> how many coefficients of distortion it may have."""


def plane_from_points(points: Array, model: LensModel, coefficients: tuple[float, ...]) -> Array:
    """Points (*n, 3) in any unit -> the plane (*n, 2).

    NaN behind the camera (z <= 0) and where the lens model folds over; a fisheye sees past 90
    degrees, up to where its own polynomial ends.
    """
    x, y, z = points[..., 0], points[..., 1], points[..., 2]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if model == "fisheye":
            off_axis = np.hypot(x, y)
            theta = np.arctan2(off_axis, z)
            radius = distort_fisheye(theta, coefficients)
            scale = np.where(off_axis > 0, radius / off_axis, 1.0)
            at_centre = (x == 0) & (y == 0) & (z == 0)
            plane = np.where((np.isnan(radius) | at_centre)[..., None], np.nan, points[..., :2])
            return plane * scale[..., None]
        plane = points[..., :2] / np.where(z > 0, z, np.nan)[..., None]
        return distort_brown_conrady(plane, coefficients) if model == "brown_conrady" else plane


def rays_from_plane(plane: Array, model: LensModel, coefficients: tuple[float, ...]) -> Array:
    """The plane (*n, 2) -> rays (*n, 3): of unit length for a fisheye, with z = 1 otherwise.

    NaN where the lens has no ray.
    """
    if model == "fisheye":
        radius = np.hypot(plane[..., 0], plane[..., 1])
        theta = undistort_fisheye(radius, coefficients)
        with np.errstate(invalid="ignore", divide="ignore"):
            # NaN (no ray) must survive the division at the very centre.
            scale = np.where(radius > 0, np.sin(theta) / radius, 1.0 + 0.0 * theta)
        return np.concatenate([plane * scale[..., None], np.cos(theta)[..., None]], axis=-1)
    if model == "brown_conrady":
        plane = undistort_brown_conrady(plane, coefficients)
    forward = np.where(np.isnan(plane).any(axis=-1, keepdims=True), np.nan, 1.0)
    return np.concatenate([plane, forward], axis=-1)
