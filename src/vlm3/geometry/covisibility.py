"""What one view sees of another: correspondences with occlusion, and the covisible fraction.

A point of picture 1 is visible in picture 2 when it projects into it and the surface picture 2
shows there is as far away as the point, within a tolerance. The rule and its numbers are UFM's
(correspondence benchmark, as used for ETH3D) and MapAnything's: differences of straight distance
below `absolute_m + ln 2 * softness_m + relative * distance`. Knows no files and no text.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.depth import points_from_z
from vlm3.geometry.pixels import pixel_centres
from vlm3.geometry.pose import transform_points

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """How far two distances of one surface may differ.

    Attributes:
        absolute_m: at no distance.
        softness_m: half-value length of UFM's soft test; adds ln 2 times itself.
        relative: per metre.
    """

    absolute_m: float
    softness_m: float
    relative: float

    def at(self, distance_m: Array) -> Array:
        """Metres at straight distances (*n,)."""
        return self.absolute_m + math.log(2) * self.softness_m + self.relative * distance_m


SURFACE_TOLERANCE = Tolerance(0.1, 0.1, 0.005)
"""UFM's, of depth that was rendered or measured."""


def correspond(
    xy1_px: ArrayLike,
    depth_z1_m: ArrayLike,
    camera1: Camera,
    depth_z2_m: ArrayLike,
    camera2: Camera,
    cam2_from_cam1: ArrayLike,
    tolerance: Tolerance = SURFACE_TOLERANCE,
) -> tuple[Array, NDArray[np.bool_]]:
    """Where points of picture 1 lie in picture 2, and whether they are seen there.

    Args:
        xy1_px: (*n, 2) pixels of picture 1.
        depth_z1_m: (height, width) depth map of picture 1; values that are not positive and finite
            are holes.
        camera1: its camera.
        depth_z2_m: depth map of picture 2.
        camera2: its camera.
        cam2_from_cam1: (4, 4).
        tolerance: when a point and the surface that is seen there are one.

    Returns:
        xy2_px (*n, 2), NaN where depth is missing or the point lies behind camera 2, and visible
        (*n,): in picture 2 and not occluded. A hole of picture 2 counts as not visible.

    Raises:
        InputError: a depth map that is not its camera's size.
    """
    depth1 = _map(depth_z1_m, camera1, "first")
    xy1 = np.asarray(xy1_px, dtype=np.float64)
    points1 = points_from_z(xy1, _nearest(depth1, xy1, camera1), camera1)
    return where_seen(points1, depth_z2_m, camera2, cam2_from_cam1, tolerance)


def where_seen(
    points1: ArrayLike,
    depth_z2_m: ArrayLike,
    camera2: Camera,
    cam2_from_cam1: ArrayLike,
    tolerance: Tolerance = SURFACE_TOLERANCE,
) -> tuple[Array, NDArray[np.bool_]]:
    """`correspond` for points (*n, 3) in camera 1's frame, wherever their depth came from."""
    depth2 = _map(depth_z2_m, camera2, "second")
    points2 = transform_points(cam2_from_cam1, points1)
    xy2 = camera2.project(points2)
    surface = points_from_z(xy2, _nearest(depth2, xy2, camera2), camera2)
    distance = np.linalg.norm(points2, axis=-1)
    gap = np.abs(distance - np.linalg.norm(surface, axis=-1))
    # Comparisons with NaN (holes, behind, outside) are False: not visible.
    visible = gap < tolerance.at(distance)
    return xy2, np.asarray(visible, dtype=np.bool_)


def covisibility(
    depth_z1_m: ArrayLike,
    camera1: Camera,
    depth_z2_m: ArrayLike,
    camera2: Camera,
    cam2_from_cam1: ArrayLike,
    tolerance: Tolerance = SURFACE_TOLERANCE,
) -> float:
    """The fraction of ALL pixels of picture 1, holes included, that picture 2 sees; 0 to 1."""
    _, visible = correspond(
        pixel_centres(camera1.width_px, camera1.height_px),
        depth_z1_m,
        camera1,
        depth_z2_m,
        camera2,
        cam2_from_cam1,
        tolerance,
    )
    return float(visible.mean())


def _map(depth_z_m: ArrayLike, camera: Camera, which: str) -> Array:
    depth = np.asarray(depth_z_m, dtype=np.float64)
    if depth.shape != (camera.height_px, camera.width_px):
        raise InputError(
            f"the {which} depth map has shape {depth.shape}, its camera is "
            f"{camera.width_px}x{camera.height_px}; give (height, width) of the camera's size"
        )
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)


def _nearest(depth_m: Array, xy_px: Array, camera: Camera) -> Array:
    """The value of the pixel that holds each point; NaN outside. No blending across edges."""
    inside = camera.contains(xy_px)
    column, row = np.moveaxis(np.where(inside[..., None], xy_px, 0.0).astype(np.intp), -1, 0)
    return np.where(inside, depth_m[row, column], np.nan)
