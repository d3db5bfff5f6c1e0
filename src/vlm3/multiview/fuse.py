"""Depth maps of one world -> one cloud: what other pictures see through goes, the rest is averaged.

A point contradicts another picture when it stands well before what that picture shows there: the
picture looked through it. Points that are contradicted more often than confirmed are left out.
Those that remain are averaged in small cubes, surer ones counting more. Knows no file format.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.pose import invert, transform_points
from vlm3.infer.answers import P10_TO_P90
from vlm3.infer.maps import DepthMap, PointCloud
from vlm3.multiview.averaging import Array
from vlm3.tasks.answers import Readout

# Distances within this part of each other are one surface: what VLMs state is no finer.
_SAME = 0.2
# Without probabilities a distance is believed to this part.
_USUAL_SIGMA = 0.1
# Cubes of this part of the median distance.
_CUBE = 0.01


@dataclass(frozen=True, eq=False)
class Fused:
    """The points of several maps.

    Attributes:
        cloud: averaged in cubes, in the world's frame.
        points_m: (n, 3) every point that was kept, not averaged.
        rgb: (n, 3) uint8.
        view: (n,) number of the map each came from.
        xy_px: (n, 2) the pixel of its question.
        seen_through: how many points were left out.
    """

    cloud: PointCloud
    points_m: Array
    rgb: NDArray[np.uint8]
    view: NDArray[np.intp]
    xy_px: Array
    seen_through: int


def fuse(maps: Sequence[DepthMap], world_from_cams: Sequence[Array]) -> Fused:
    """One cloud from maps whose cameras (4, 4) are known."""
    known = [np.isfinite(one.distance_m) for one in maps]
    world = [
        transform_points(pose, one.cloud().points_m)
        for one, pose in zip(maps, world_from_cams, strict=True)
    ]
    points = np.concatenate(world)
    view = np.repeat(np.arange(len(maps)), [len(w) for w in world])
    distance = np.concatenate([one.distance_m[k] for one, k in zip(maps, known, strict=True)])
    sigma = np.concatenate([_sigma(one)[k] for one, k in zip(maps, known, strict=True)])
    votes = np.zeros(len(points))
    for k, (one, pose) in enumerate(zip(maps, world_from_cams, strict=True)):
        others = view != k
        votes[others] += _votes(points[others], one, pose)
    keep = votes >= 0
    rgb = np.concatenate([one.rgb[k] for one, k in zip(maps, known, strict=True)])
    xy_px = np.concatenate([one.xy_px[k] for one, k in zip(maps, known, strict=True)])
    asked = np.concatenate([one.asked[k] for one, k in zip(maps, known, strict=True)])
    side = _CUBE * float(np.median(distance)) if distance.size else 1.0
    cloud = _averaged(
        points[keep], rgb[keep], asked[keep], sigma[keep] ** -2, side, maps[0].readout
    )
    return Fused(
        cloud, points[keep], rgb[keep], view[keep], xy_px[keep], int(len(points) - keep.sum())
    )


def _sigma(one: DepthMap) -> Array:
    """(rows, columns) metres along the ray."""
    stated = (one.p90_m - one.p10_m) / P10_TO_P90
    usual = _USUAL_SIGMA * one.distance_m
    return np.asarray(np.maximum(np.where(np.isfinite(stated), stated, usual), 0.1 * usual))


def _votes(points_m: Array, one: DepthMap, world_from_cam: Array) -> Array:
    """(n,) +1 where a map shows a point's surface, -1 where it looked through it, 0 otherwise."""
    local = transform_points(invert(world_from_cam), points_m)
    xy = one.camera.project(local)
    inside = np.asarray(one.camera.contains(xy), bool)
    rows, columns = one.distance_m.shape
    size = (one.camera.width_px, one.camera.height_px)
    at = (np.where(inside[:, None], xy, 0) / size * (columns, rows)).astype(int)
    shown = np.where(inside, one.distance_m[at[:, 1], at[:, 0]], np.nan)
    distance = np.linalg.norm(local, axis=1)
    with np.errstate(invalid="ignore"):
        through = distance < (1 - _SAME) * shown
        same = np.abs(distance - shown) <= _SAME * shown
    return np.asarray(same.astype(float) - through)


def _averaged(
    points_m: Array,
    rgb: NDArray[np.uint8],
    asked: NDArray[np.bool_],
    weight: Array,
    side_m: float,
    readout: Readout,
) -> PointCloud:
    """One point a cube: means by weight."""
    if not len(points_m):
        return PointCloud(points_m=points_m, rgb=rgb, asked=asked, readout=readout)
    cubes = np.floor(points_m / side_m).astype(np.int64)
    _, place = np.unique(cubes, axis=0, return_inverse=True)
    place = place.ravel()
    total = np.bincount(place, weight)

    def mean(values: Array) -> Array:
        return (
            np.stack([np.bincount(place, weight * column) for column in values.T], 1)
            / total[:, None]
        )

    return PointCloud(
        points_m=mean(points_m),
        rgb=np.round(mean(rgb.astype(np.float64))).astype(np.uint8),
        asked=np.bincount(place, asked) > 0,
        readout=readout,
    )
