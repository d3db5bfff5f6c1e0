"""Depth at features of a picture, for sets with poses and no depth: match, check, triangulate.

The motion is known, so nothing is estimated but where a feature's ray meets another's. Needs
OpenCV for SIFT. `joined` makes a map of such points, by planes between them.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.datasets.base import Floats, Frames, PixelDepths, RawFrame, Remark, Skipped
from vlm3.errors import MissingDependencyError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pixels import pixel_centres
from vlm3.geometry.pose import invert, transform_points
from vlm3.pictures import read_picture

_FEATURES = 2000
_RATIO = 0.8
# How far a triangulated point may lie from its feature, in either picture.
_REPROJECTION_PX = 1.0
# Rays that are more nearly parallel than this do not say where they meet.
_LEAST_ANGLE_DEG = 2.0


def triangulated(one: RawFrame, others: Sequence[RawFrame]) -> PixelDepths:
    """Depth along the axis at the features of a frame's picture that some other one shows too.

    Where several do, the one whose ray crosses most steeply says.
    """
    xy, descriptors = _features(_file(one))
    depth = np.full(len(xy), np.nan)
    steepest = np.full(len(xy), _LEAST_ANGLE_DEG)
    for other in others:
        xy2, descriptors2 = _features(_file(other))
        first, second = _matched(descriptors, descriptors2)
        if not len(first):
            continue
        z, angle = _crossing(one, other, xy[first], xy2[second])
        # NaN is not steeper.
        better = angle > steepest[first]
        depth[first[better]], steepest[first[better]] = z[better], angle[better]
    known = np.isfinite(depth)
    return PixelDepths(xy[known], depth[known], "z")


@lru_cache(maxsize=1024)
def path_depth(
    path: tuple[RawFrame | Skipped | Remark, ...], k: int, steps: tuple[int, ...]
) -> PixelDepths:
    """`triangulated` of picture k of a camera's path with those so many steps away from it.

    Args:
        path: the pictures in their order, and what stands for those that cannot be used.
        k: which of them; a frame.
        steps: to its neighbours, backwards and forwards.
    """
    near = [path[k + step] for step in (0, *steps) if 0 <= k + step < len(path)]
    one, *others = [frame for frame in near if isinstance(frame, RawFrame)]
    return triangulated(one, others)


def path_frames(frames: Frames, steps: tuple[int, ...]) -> Frames:
    """The pictures of a camera's path, with `path_depth` for their depth.

    Args:
        frames: in their order, each a picture file with its camera and pose.
        steps: to the neighbours that each is triangulated with.
    """
    path = tuple(frames)
    for k, one in enumerate(path):
        if isinstance(one, RawFrame):
            yield replace(one, depth=partial(path_depth, path, k, steps))
        else:
            yield one


def joined(xy_px: Floats, depth_z: Floats, camera: Camera) -> Floats:
    """A depth map (h, w) for a camera from some pixels (n, 2) of it: planes between neighbours.

    Inverse depth is linear on a plane seen by a pinhole, so it is what is interpolated, over
    Delaunay's triangles; NaN outside them.
    """
    try:
        from scipy.interpolate import LinearNDInterpolator
    except ImportError as error:
        raise MissingDependencyError("needs SciPy: pip install 'vlm3[data]'") from error
    shape = (camera.height_px, camera.width_px)
    if len(xy_px) < 3 or np.linalg.matrix_rank(xy_px[1:] - xy_px[0], tol=1e-3) < 2:
        return np.full(shape, np.nan)
    inverse = LinearNDInterpolator(xy_px, 1 / depth_z)
    found: Floats = 1 / inverse(pixel_centres(camera.width_px, camera.height_px))
    return found


def _file(frame: RawFrame) -> Path:
    assert isinstance(frame.picture, Path)
    return frame.picture


def _posed(frame: RawFrame) -> tuple[Camera, Floats]:
    """Camera and world_from_cam."""
    assert frame.camera is not None and frame.world_from_cam is not None
    return frame.camera, frame.world_from_cam


def _crossing(one: RawFrame, other: RawFrame, xy1: Floats, xy2: Floats) -> tuple[Floats, Floats]:
    """Depth along the first axis where rays come nearest, and their angle; NaN where they miss."""
    (camera1, world_from_cam1), (camera2, world_from_cam2) = _posed(one), _posed(other)
    ray1 = camera1.unproject(xy1) @ world_from_cam1[:3, :3].T
    ray2 = camera2.unproject(xy2) @ world_from_cam2[:3, :3].T
    apart = world_from_cam2[:3, 3] - world_from_cam1[:3, 3]
    cosine = np.clip(np.sum(ray1 * ray2, axis=1), -1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        along = (ray1 @ apart - cosine * (ray2 @ apart)) / (1 - cosine**2)
    points = world_from_cam1[:3, 3] + ray1 * along[:, None]
    in_cam1 = transform_points(invert(world_from_cam1), points)
    # On the first ray by construction, so only the other picture can disagree.
    seen2 = camera2.project(transform_points(invert(world_from_cam2), points))
    good = (along > 0) & (np.linalg.norm(seen2 - xy2, axis=1) < _REPROJECTION_PX)
    return np.where(good, in_cam1[:, 2], np.nan), np.where(
        good, np.degrees(np.arccos(cosine)), np.nan
    )


@lru_cache(maxsize=128)
def _features(path: Path) -> tuple[Floats, Any]:
    try:
        import cv2
    except ImportError as error:
        raise MissingDependencyError("needs OpenCV: pip install 'vlm3[data]'") from error
    grey = cv2.cvtColor(read_picture(path).image, cv2.COLOR_RGB2GRAY)
    points, descriptors = cv2.SIFT.create(nfeatures=_FEATURES).detectAndCompute(grey, None)
    # OpenCV counts from pixel centres. One feature may come with several orientations.
    xy = np.array([p.pt for p in points], np.float64).reshape(-1, 2) + 0.5
    _, first = np.unique(xy, axis=0, return_index=True)
    return xy[first], None if descriptors is None else descriptors[first]


def _matched(one: Any, two: Any) -> tuple[Any, Any]:
    """Places of features that are each other's nearest, and much nearer than the second."""
    if one is None or two is None or len(one) < 2 or len(two) < 2:
        return np.empty(0, int), np.empty(0, int)
    import cv2

    matcher = cv2.BFMatcher(cv2.NORM_L2)
    there = {
        a.queryIdx: a.trainIdx
        for a, b in matcher.knnMatch(one, two, k=2)
        if a.distance < _RATIO * b.distance
    }
    back = {m.queryIdx: m.trainIdx for m in matcher.match(two, one)}
    pairs = [(i, j) for i, j in there.items() if back.get(j) == i]
    first, second = np.array(pairs, int).reshape(-1, 2).T
    return first, second
