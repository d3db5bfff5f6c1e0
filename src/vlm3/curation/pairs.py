"""Pairs of one scene that see more than a quarter of each other, with matches and relative pose.

The rule is MapAnything's (facebookresearch/map-anything, covisibility and _random_walk_sampling for
two views): depth at a long side of 224 px; a pixel counts when the other view shows a surface there
as far away as it is, within a tolerance that depends on how the depth came about; shares of all
pixels, averaged over both directions, divided by the first view's share with depth. Partners are
drawn uniformly from those above the threshold.

Matches need more than that rule, whose tolerance of 17 cm and up lets a hand before a table pass as
the table: each must also come back to where it started, by the second view's own depth.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vlm3.curation.stored import StoredFrame
from vlm3.data.pair_rows import MATCHES, pair_row
from vlm3.datasets.base import READ_ERRORS
from vlm3.datasets.published import DepthOrigin
from vlm3.geometry.camera import Camera
from vlm3.geometry.covisibility import SURFACE_TOLERANCE, Tolerance, correspond, where_seen
from vlm3.geometry.depth import points_from_z
from vlm3.geometry.pixels import pixel_centres
from vlm3.geometry.pose import invert, nearest_rigid, relative_pose, transform_points
from vlm3.geometry.posed_depth import PosedDepth

Floats = NDArray[np.float64]
Rng = np.random.Generator

LEAST_COVISIBLE = 0.25
LEAST_MATCHES = 10
"""What the paper asks of a pair; one with fewer is left out."""

_LONG_SIDE_PX = 224
# Points of a view that are looked for in the other: a pair that shares a quarter keeps MATCHES.
_TRIED = 16 * MATCHES
# A match may come back this far from where it started, in pixels of the coarser of the two views.
_RETURN_PX = 1.0
# Frames that are compared with each other at once; 150 KB of depth each.
_BLOCK = 1024
# Points of a frame, across and down, that say which others can see it at all.
_PROBES = (12, 9)
# Candidates looked at for each partner wanted.
_TRIES = 8


TOLERANCES: dict[DepthOrigin, Tolerance] = {
    "truth": SURFACE_TOLERANCE,
    "mvs": Tolerance(0.5, 0.5, 0.005),
    "predicted": Tolerance(0.4, 0.4, 0.02),
}
"""MapAnything's. In a scene without metric scale they are in its own unit, there as here."""


def make_pairs(
    frames: Sequence[StoredFrame],
    rng: Rng,
    *,
    origin: DepthOrigin = "truth",
    per_view: int = 4,
    metric: bool = True,
) -> Iterator[NDArray[np.void]]:
    """Rows for `pairs.npy`: up to `per_view` new partners for each frame of a scene.

    Frames without a pose or depth, whose pose is no rigid one or whose depth cannot be read, are
    left out. A pair comes once, in either order. Of long scenes, 1024 frames that follow each other
    are compared at once.

    Args:
        frames: of one scene, in an order that never changes.
        rng: draws partners and matches.
        origin: how the depth came about.
        per_view: partners drawn for each frame.
        metric: whether lengths are metres.
    """
    tolerance = TOLERANCES[origin]
    posed = [f for f in frames if f.raw.world_from_cam is not None and f.raw.depth is not None]
    for start in range(0, len(posed), _BLOCK):
        block = posed[start : start + _BLOCK]
        both = [(frame, view) for frame in block if (view := coarse_view(frame)) is not None]
        stored, views = [frame for frame, _ in both], [view for _, view in both]
        # Full depth is large; neighbours share their partners.
        full = lru_cache(maxsize=8)(lambda k, stored=stored: stored[k].depth_z())
        for i, partners in enumerate(_partners(views, rng, tolerance, per_view)):
            if not partners:
                continue
            one = stored[i]
            xy, points = one.surface(_TRIED * len(partners), rng)
            for k, (j, share) in enumerate(partners):
                two = stored[j]
                cam1_from_cam2 = relative_pose(views[i].world_from_cam, views[j].world_from_cam)
                mine = slice(k, None, len(partners))
                good, xy2 = matches(
                    xy[mine], points[mine], one.camera, full(j), two.camera,
                    cam1_from_cam2, tolerance=tolerance,
                )  # fmt: skip
                if good.sum() >= LEAST_MATCHES:
                    yield pair_row(
                        one.place, two.place, cam1_from_cam2,
                        xy[mine][good][:MATCHES], xy2[good][:MATCHES],
                        covisibility=share, metric=metric,
                    )  # fmt: skip


def matches(
    xy1_px: Floats,
    points1: Floats,
    camera1: Camera,
    depth_z2: Floats,
    camera2: Camera,
    cam1_from_cam2: Floats,
    *,
    tolerance: Tolerance,
) -> tuple[NDArray[np.bool_], Floats]:
    """Which points of view 1 are seen by view 2 too, and where.

    Args:
        xy1_px: (n, 2) pixels of picture 1.
        points1: (n, 3) what they show, in camera 1's frame.
        camera1: a pinhole.
        depth_z2: (height, width) of picture 2, along the axis; NaN where unknown.
        camera2: its camera.
        cam1_from_cam2: (4, 4).
        tolerance: of the depths.

    Returns:
        good (n,) and xy2_px (n, 2). Good are those within the tolerance whose pixel in picture 2,
        lifted by picture 2's own depth, leads back to within `_RETURN_PX` of where they started.
    """
    xy2, seen = where_seen(points1, depth_z2, camera2, invert(cam1_from_cam2), tolerance)
    centre2 = np.where(seen[:, None], np.floor(xy2), 0.0) + 0.5
    column, row = np.moveaxis(centre2.astype(np.intp), -1, 0)
    z2 = depth_z2[row, column]
    back = transform_points(cam1_from_cam2, points_from_z(centre2, z2, camera2))
    # A pixel of view 2 covers so many of view 1 where it looks from further away.
    coarser = np.maximum(1.0, z2 / camera2.fx_px / (points1[:, 2] / camera1.fx_px))
    off = np.linalg.norm(camera1.project(back) - xy1_px, axis=-1)
    # NaN (behind camera 1) is not back.
    return np.asarray(seen & (off < _RETURN_PX * coarser)), xy2


def coarse_view(frame: StoredFrame) -> PosedDepth | None:
    """A frame at the size of the covisibility rule; None if it cannot be compared."""
    sides = (frame.camera.width_px, frame.camera.height_px)
    width, height = (max(1, round(side * _LONG_SIDE_PX / max(sides))) for side in sides)
    camera = frame.camera.resized(width, height)
    if frame.raw.world_from_cam is None:
        return None
    try:
        pose = nearest_rigid(frame.raw.world_from_cam)
        view = PosedDepth(camera, frame.depth_z(camera).astype(np.float32), pose)
    except READ_ERRORS:
        return None
    return view if view.known else None


def _probes(view: PosedDepth) -> Floats:
    """(n, 3) points in the world on a coarse grid, NaN where depth is unknown."""
    columns, rows = (
        ((np.arange(n) + 0.5) * side / n).astype(np.intp)
        for n, side in zip(_PROBES, view.depth_z.shape[::-1], strict=True)
    )
    column, row = (grid.ravel() for grid in np.meshgrid(columns, rows))
    xy = np.stack([column + 0.5, row + 0.5], -1)
    points = points_from_z(xy, view.depth_z[row, column], view.camera)
    return transform_points(view.world_from_cam, points)


def _partners(
    views: Sequence[PosedDepth], rng: Rng, tolerance: Tolerance, per_view: int
) -> Iterator[list[tuple[int, float]]]:
    """For each view, its new partners and what they share with it."""
    if not views:
        return
    bounds = _Bounds(views)
    taken: set[tuple[int, int]] = set()
    for i, one in enumerate(views):
        found: list[tuple[int, float]] = []
        candidates = [
            j
            for j in rng.permutation(bounds.candidates(i)).tolist()
            if (min(i, j), max(i, j)) not in taken
        ]
        for j in candidates[: per_view * _TRIES]:
            share = shared(one, views[j], tolerance)
            if share > LEAST_COVISIBLE:
                taken.add((min(i, j), max(i, j)))
                found.append((j, share))
            if len(found) == per_view:
                break
        yield found


def shared(one: PosedDepth, two: PosedDepth, tolerance: Tolerance) -> float:
    """How much views share: both directions' mean over the first one's share with depth."""
    two_from_one = relative_pose(two.world_from_cam, one.world_from_cam)
    there = _seen(one, two, two_from_one, tolerance)
    back = _seen(two, one, invert(two_from_one), tolerance)
    return (there + back) / 2 / one.known


def _seen(one: PosedDepth, two: PosedDepth, two_from_one: Floats, tolerance: Tolerance) -> float:
    """The share of ALL pixels of one, every second along both sides, that two sees."""
    centres = pixel_centres(one.camera.width_px, one.camera.height_px)[::2, ::2]
    _, visible = correspond(
        centres, one.depth_z, one.camera, two.depth_z, two.camera, two_from_one, tolerance
    )
    return float(visible.mean())


class _Bounds:
    """Which views can share enough at all: points inside each other's pictures, nothing hidden.

    So not every pair of a scene need be compared pixel by pixel. Half the threshold is required, as
    few points are taken.
    """

    def __init__(self, views: Sequence[PosedDepth]) -> None:
        self.probes = np.stack([_probes(view) for view in views])
        self.cam_from_world = invert(np.stack([view.world_from_cam for view in views]))
        self.K = np.stack([view.camera.K for view in views])
        self.size = np.array([view.depth_z.shape[::-1] for view in views])
        self.known = np.array([view.known for view in views])

    def candidates(self, i: int) -> NDArray[np.intp]:
        """The views that view i may be paired with, itself left out."""
        there = self._inside(self.probes[i : i + 1], slice(None)) * self.known[i]
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
