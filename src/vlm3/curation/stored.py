"""What a stored picture shows: points and depth of its frame, seen by the stored camera.

Depth is never resampled for labels: its cells are points in space, and go through the lens as
points. Knows no pictures: they are `prepare`'s, and written before pairs are looked for.
"""

from dataclasses import dataclass, replace

import numpy as np

from vlm3.data.record import Intrinsics
from vlm3.datasets.base import Depth, DepthMap, Floats, LaserPoints, PixelDepths, RawFrame
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.depth import distance_from_z
from vlm3.geometry.pixels import pixel_centres

# Of the points drawn for labels, those that a lens pushes out of the picture are replaced.
_SPARE = 4


@dataclass(frozen=True, eq=False)
class StoredFrame:
    """A frame of a set, and its picture as it is stored.

    Attributes:
        raw: what the source gave, with `camera` filled in.
        camera: of the stored picture, a pinhole.
        intrinsics: where the camera came from.
        fingerprint: of the picture, see `prepare.fingerprint_of`.
        place: of the picture within its scene, as rows of `pairs.npy` name it.
    """

    raw: RawFrame
    camera: Camera
    intrinsics: Intrinsics = "given"
    fingerprint: str = ""
    place: int = 0

    def without_picture(self, place: int) -> "StoredFrame":
        """The same, at its place; only frames wait for their scene's pairs, not pictures."""
        return replace(self, raw=replace(self.raw, picture=b""), place=place)

    @property
    def raw_camera(self) -> Camera:
        """Of the picture as it lay in the set."""
        if self.raw.camera is None:
            raise InputError(f"{self.raw.key} has no camera")
        return self.raw.camera

    def surface(self, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Up to `count` random cells of the depth: pixels (n, 2) of the stored picture, and points.

        The points (n, 3) lie in the camera's frame, at the centres of the raw cells: exact to the
        digits of the file.

        Raises:
            InputError: the depth cannot be read, or there is none.
        """
        return surface(_depth(self.raw), self.raw_camera, self.camera, count, rng)

    def depth_z(self, camera: Camera | None = None) -> Floats:
        """Depth along the axis (h, w) of the stored picture, NaN where unknown.

        Each pixel holds the nearest value of the raw grid, never a blend; where depth is known at
        some pixels only, planes between them. Read anew each time.

        Args:
            camera: the stored camera at another size, as `frame.camera.resized(w, h)`.

        Raises:
            InputError: the depth cannot be read, or there is none.
        """
        target = camera or self.camera
        depth, raw_camera = _depth(self.raw), self.raw_camera
        if isinstance(depth, PixelDepths):
            from vlm3.datasets.tracks import joined

            points = _points(depth, raw_camera)
            return joined(target.project(points), points[:, 2], target)
        if not isinstance(depth, DepthMap):
            return _raster(_points(depth, raw_camera), target)
        grid, values = depth.grid(raw_camera), depth.along_axis(raw_camera)
        rays = target.unproject_z1(pixel_centres(target.width_px, target.height_px))
        xy = grid.project(rays)
        inside = grid.contains(xy)
        column, row = np.moveaxis(np.where(inside[..., None], xy, 0).astype(np.intp), -1, 0)
        return np.where(inside, values[row, column], np.nan)


def surface(
    depth: Depth, raw: Camera, stored: Camera, count: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Random points that the stored picture shows: pixels (n, 2) of it, points (n, 3)."""
    if isinstance(depth, DepthMap):
        values = np.asarray(depth.values)
        known = np.flatnonzero(np.isfinite(values) & (values > 0))
        chosen = known[rng.permutation(len(known))[: _SPARE * count]]
        row, column = np.divmod(chosen, values.shape[1])
        grid = depth.grid(raw)
        xy = np.stack([column, row], axis=-1) + 0.5
        points = _lifted(xy, values[row, column].astype(np.float64), depth.kind, grid)
    else:
        points = _points(depth, raw)
    if isinstance(depth, LaserPoints):
        xy, points = seen(points, stored)
    else:
        xy = stored.project(points)
        inside = stored.contains(xy)
        xy, points = xy[inside], points[inside]
    order = rng.permutation(len(xy))[:count]
    return xy[order], points[order]


def seen(points_cam: Floats, camera: Camera) -> tuple[Floats, Floats]:
    """Laser points in the picture, (n, 2) pixels and (n, 3) points: the nearest at each pixel."""
    xy = camera.project(points_cam)
    inside = camera.contains(xy)
    points, xy = points_cam[inside], xy[inside]
    order = np.argsort(points[:, 2], kind="stable")
    cell = xy[order].astype(np.intp) @ [1, camera.width_px]
    _, first = np.unique(cell, return_index=True)
    keep = order[first]
    return xy[keep], points[keep]


def _depth(raw: RawFrame) -> Depth:
    if raw.depth is None:
        raise InputError(f"{raw.key} has no depth")
    return raw.depth()


def _lifted(xy_px: Floats, values: Floats, kind: str, camera: Camera) -> Floats:
    rays = camera.unproject(xy_px)
    distance = distance_from_z(values, rays) if kind == "z" else values
    return rays * distance[:, None]


def _points(depth: LaserPoints | PixelDepths, raw: Camera) -> Floats:
    if isinstance(depth, LaserPoints):
        return depth.points_cam[depth.points_cam[:, 2] > depth.nearest]
    known = np.isfinite(depth.values) & (depth.values > 0)
    return _lifted(depth.xy_px[known], depth.values[known], depth.kind, raw)


def _raster(points: Floats, camera: Camera) -> Floats:
    xy, points = seen(points, camera)
    found = np.full((camera.height_px, camera.width_px), np.nan)
    column, row = xy.astype(np.intp).T
    found[row, column] = points[:, 2]
    return found
