"""Pairs of one scene that see more than a quarter of each other, with matches and relative pose.

The rule is MapAnything's (facebookresearch/map-anything, covisibility and _random_walk_sampling for
two views): depth at a long side of 224 px; a pixel counts when the other view shows a surface there
as far away as it is, within a tolerance that depends on how the depth came about; shares of all
pixels, averaged over both directions, divided by the first view's share with depth. Partners are
drawn uniformly from those above the threshold.

Matches need more than that rule, whose tolerance of 17 cm and up lets a hand before a table pass as
the table: each must also come back to where it started, by the second view's own depth.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vlm3.data.record import pair_row
from vlm3.data.sources.base import DepthOrigin
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.covisibility import correspond
from vlm3.geometry.depth import points_from_z
from vlm3.geometry.pixels import pixel_centres
from vlm3.geometry.pose import invert, nearest_rigid, relative_pose, transform_points

Floats = NDArray[np.float64]
Rng = np.random.Generator

LEAST_COVISIBLE = 0.25
MATCHES = 32
"""As many as a row of `pairs.npy` holds."""
LEAST_MATCHES = 10
"""What the paper asks of a pair; one with fewer is left out."""

_LONG_SIDE_PX = 224
# A match may come back this far from where it started, in pixels of the coarser of the two views.
_RETURN_PX = 1.0
# Frames that are compared with each other at once; 150 KB of depth each.
_BLOCK = 1024
# Points of a frame, across and down, that say which others can see it at all.
_PROBES = (12, 9)
_TRIES = 8


@dataclass(frozen=True)
class Tolerance:
    """When two depths are of one surface: gap < absolute + ln 2 * softness + relative * depth."""

    absolute_m: float
    softness_m: float
    relative: float


TOLERANCES: dict[DepthOrigin, Tolerance] = {
    "truth": Tolerance(0.1, 0.1, 0.005),
    "mvs": Tolerance(0.5, 0.5, 0.005),
    "predicted": Tolerance(0.4, 0.4, 0.02),
}


@dataclass(frozen=True, eq=False)
class PairView:
    """A stored picture as pairs see it.

    Attributes:
        place: of the picture, as rows of `pairs.npy` name it.
        camera: of the stored picture, a pinhole.
        world_from_cam: (4, 4).
        depth_z: reads its depth along the axis for its camera at any size, NaN where unknown.
    """

    place: int
    camera: Camera
    world_from_cam: Floats
    depth_z: Callable[[Camera], Floats]


def make_pairs(
    views: Sequence[PairView],
    rng: Rng,
    *,
    origin: DepthOrigin = "truth",
    per_view: int = 4,
    metric: bool = True,
) -> Iterator[NDArray[np.void]]:
    """Rows for `pairs.npy`: up to `per_view` new partners for each view of a scene.

    Views whose pose is no rigid one, or whose depth cannot be read, are left out. A pair comes once,
    in either order.

    Args:
        views: of one scene, in an order that never changes.
        rng: draws partners and matches.
        origin: how the depth came about.
        per_view: partners drawn for each view.
        metric: whether lengths are metres.
    """
    tolerance = TOLERANCES[origin]
    for start in range(0, len(views), _BLOCK):
        small = [s for view in views[start : start + _BLOCK] if (s := _small(view)) is not None]
        # Full depth is read again for each match; the first of a pair changes slowly.
        depth = lru_cache(maxsize=8)(lambda k, small=small: small[k].full())
        for i, j, share in _partners(small, rng, tolerance, per_view):
            one, two = small[i], small[j]
            cam1_from_cam2 = relative_pose(one.pose, two.pose)
            xy1, xy2 = matches(
                depth(i), one.view.camera, depth(j), two.view.camera, cam1_from_cam2, rng,
                tolerance=tolerance,
            )  # fmt: skip
            if len(xy1) >= LEAST_MATCHES:
                yield pair_row(
                    one.view.place, two.view.place, cam1_from_cam2, xy1, xy2,
                    covisibility=share, metric=metric,
                )  # fmt: skip


def matches(
    depth_z1: Floats,
    camera1: Camera,
    depth_z2: Floats,
    camera2: Camera,
    cam1_from_cam2: Floats,
    rng: Rng,
    *,
    tolerance: Tolerance,
    count: int = MATCHES,
) -> tuple[Floats, Floats]:
    """Random pixel centres of view 1 and where view 2 shows the same points.

    Args:
        depth_z1: (height, width) of the first, along the axis; NaN where unknown.
        camera1: its camera.
        depth_z2: of the second.
        camera2: its camera.
        cam1_from_cam2: (4, 4).
        rng: chooses the pixels.
        tolerance: of the depths.
        count: at most so many.

    Returns:
        xy1_px (m, 2) and xy2_px (m, 2), m <= count; seen by both and back within `_RETURN_PX`.
    """
    cam2_from_cam1 = invert(cam1_from_cam2)
    rows, columns = np.nonzero(np.isfinite(depth_z1))
    order = rng.permutation(len(rows))
    found1, found2, total = [np.empty((0, 2))], [np.empty((0, 2))], 0
    # Enough for a pair that shares a quarter in one go; more only where that fails.
    step = 8 * count
    for start in range(0, min(len(order), 16 * step), step):
        pick = order[start : start + step]
        xy1 = np.stack([columns[pick] + 0.5, rows[pick] + 0.5], -1)
        xy2, seen = correspond(
            xy1, depth_z1, camera1, depth_z2, camera2, cam2_from_cam1, **asdict(tolerance)
        )
        xy1, xy2 = xy1[seen], xy2[seen]
        good = _comes_back(xy1, xy2, depth_z1, camera1, depth_z2, camera2, cam1_from_cam2)
        found1.append(xy1[good])
        found2.append(xy2[good])
        total += int(good.sum())
        if total >= count:
            break
    return np.concatenate(found1)[:count], np.concatenate(found2)[:count]


def shared(one: "_Small", two: "_Small", tolerance: Tolerance) -> float:
    """How much views share: both directions' mean over the first one's share with depth."""
    if one.known == 0:
        return 0.0
    two_from_one = relative_pose(two.pose, one.pose)
    there = _seen(one, two, two_from_one, tolerance)
    back = _seen(two, one, invert(two_from_one), tolerance)
    return (there + back) / 2 / one.known


def _seen(one: "_Small", two: "_Small", two_from_one: Floats, tolerance: Tolerance) -> float:
    """The share of ALL pixels of one, every second along both sides, that two sees."""
    centres = pixel_centres(one.camera.width_px, one.camera.height_px)[::2, ::2]
    _, visible = correspond(
        centres, one.depth, one.camera, two.depth, two.camera, two_from_one, **asdict(tolerance)
    )
    return float(visible.mean())


@dataclass(frozen=True, eq=False)
class _Small:
    """A view at the size of the covisibility rule; `known` is its share of pixels with depth."""

    view: PairView
    pose: Floats
    camera: Camera
    depth: NDArray[np.float32]
    known: float

    def full(self) -> Floats:
        """Depth at the size of the picture."""
        return self.view.depth_z(self.view.camera)

    def probes(self) -> Floats:
        """(n, 3) points in the world on a coarse grid, NaN where depth is unknown."""
        columns, rows = (
            ((np.arange(n) + 0.5) * side / n).astype(np.intp)
            for n, side in zip(_PROBES, self.depth.shape[::-1], strict=True)
        )
        column, row = (grid.ravel() for grid in np.meshgrid(columns, rows))
        xy = np.stack([column + 0.5, row + 0.5], -1)
        points = points_from_z(xy, self.depth[row, column], self.camera)
        return transform_points(self.pose, points)


def _small(view: PairView) -> _Small | None:
    try:
        pose = nearest_rigid(view.world_from_cam)
        sides = (view.camera.width_px, view.camera.height_px)
        width, height = (max(1, round(side * _LONG_SIDE_PX / max(sides))) for side in sides)
        camera = view.camera.resized(width, height)
        depth = view.depth_z(camera).astype(np.float32)
    except (InputError, OSError):
        return None
    return _Small(view, pose, camera, depth, float(np.isfinite(depth).mean()))


def _partners(
    small: Sequence[_Small], rng: Rng, tolerance: Tolerance, per_view: int
) -> Iterator[tuple[int, int, float]]:
    """Pairs of places in `small`, and what they share."""
    if not small:
        return
    bounds = _Bounds(small)
    taken: set[tuple[int, int]] = set()
    for i, one in enumerate(small):
        found = tries = 0
        for j in rng.permutation(bounds.candidates(i)).tolist():
            pair = (min(i, j), max(i, j))
            if pair in taken:
                continue
            share = shared(one, small[j], tolerance)
            if share > LEAST_COVISIBLE:
                taken.add(pair)
                found += 1
                yield i, j, share
            tries += 1
            if found == per_view or tries == per_view * _TRIES:
                break


class _Bounds:
    """Which views can share enough at all: points inside each other's pictures, nothing hidden.

    So not every pair of a scene need be compared pixel by pixel. Half the threshold is asked, as
    few points are taken.
    """

    def __init__(self, small: Sequence[_Small]) -> None:
        self.probes = np.stack([s.probes() for s in small])
        self.cam_from_world = invert(np.stack([s.pose for s in small]))
        self.K = np.stack([s.camera.K for s in small])
        self.size = np.array([s.depth.shape[::-1] for s in small])
        self.known = np.array([s.known for s in small])

    def candidates(self, i: int) -> NDArray[np.intp]:
        """The views that view i may be paired with, itself left out."""
        if self.known[i] == 0:
            return np.empty(0, np.intp)
        every = slice(None)
        there = self._inside(self.probes[i : i + 1], every) * self.known[i]
        back = self._inside(self.probes, slice(i, i + 1)) * self.known
        most = (there + back) / 2 / self.known[i]
        most[i] = 0
        return np.flatnonzero(most > LEAST_COVISIBLE / 2)

    def _inside(self, points: Floats, views: slice) -> Floats:
        """(n,) the share of known points (n or 1, p, 3) that project into the views."""
        T, K, size = self.cam_from_world[views], self.K[views], self.size[views]
        in_cam = points @ T[:, :3, :3].swapaxes(1, 2) + T[:, None, :3, 3]
        plane = in_cam @ K.swapaxes(1, 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            xy = plane[..., :2] / plane[..., 2:]
            # NaN compares as outside.
            inside = (plane[..., 2] > 0) & (xy >= 0).all(-1) & (xy < size[:, None]).all(-1)
        known = np.isfinite(points[..., 0]).sum(-1)
        share: Floats = inside.sum(-1) / np.maximum(known, 1)
        return share


def _comes_back(
    xy1: Floats,
    xy2: Floats,
    depth_z1: Floats,
    camera1: Camera,
    depth_z2: Floats,
    camera2: Camera,
    cam1_from_cam2: Floats,
) -> NDArray[np.bool_]:
    """Whether the pixel of view 2 that holds each match leads back to where it started."""
    centre2 = np.floor(xy2) + 0.5
    column, row = np.moveaxis(centre2.astype(np.intp), -1, 0)
    z2 = depth_z2[row, column]
    points1 = transform_points(cam1_from_cam2, points_from_z(centre2, z2, camera2))
    returned = camera1.project(points1)
    # A pixel of view 2 covers so many of view 1 where it looks from further away.
    z1 = depth_z1[tuple(np.floor(xy1).astype(np.intp).T[::-1])]
    coarser = np.maximum(1.0, z2 / camera2.fx_px / (z1 / camera1.fx_px))
    # NaN (behind camera 1) is not back.
    return np.asarray(np.linalg.norm(returned - xy1, axis=-1) < _RETURN_PX * coarser)
