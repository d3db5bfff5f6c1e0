"""Depth along the axis <-> straight distance <-> points.

`distance_m` is how far a point is from the camera, the quantity vlm3 asks for; `depth_z_m` is its
third coordinate. Knows no text, and no depth map's file format.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.geometry.camera import Camera


def distance_from_z(depth_z_m: ArrayLike, rays: ArrayLike) -> NDArray[np.float64]:
    """Depths (*n,) along rays (*n, 3) of any length -> distances (*n,); NaN unless z > 0."""
    return np.asarray(depth_z_m, dtype=np.float64) / _cosine(rays)


def z_from_distance(distance_m: ArrayLike, rays: ArrayLike) -> NDArray[np.float64]:
    """Distances (*n,) along rays (*n, 3) of any length -> depths (*n,); NaN unless z > 0."""
    return np.asarray(distance_m, dtype=np.float64) * _cosine(rays)


def points_from_distance(
    xy_px: ArrayLike, distance_m: ArrayLike, camera: Camera
) -> NDArray[np.float64]:
    """Pixels (*n, 2) and distances (*n,) -> points (*n, 3) in the camera's frame."""
    return camera.unproject(xy_px) * np.asarray(distance_m, dtype=np.float64)[..., None]


def points_from_z(xy_px: ArrayLike, depth_z_m: ArrayLike, camera: Camera) -> NDArray[np.float64]:
    """Pixels (*n, 2) and depths (*n,) -> points (*n, 3) in the camera's frame."""
    return camera.unproject_z1(xy_px) * np.asarray(depth_z_m, dtype=np.float64)[..., None]


def _cosine(rays: ArrayLike) -> NDArray[np.float64]:
    rays = np.asarray(rays, dtype=np.float64)
    forward = np.where(rays[..., 2] > 0, rays[..., 2], np.nan)
    cosine: NDArray[np.float64] = forward / np.linalg.norm(rays, axis=-1)
    return cosine
