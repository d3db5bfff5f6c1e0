"""What cameras in a scene see, and what is hidden from them, decided by casting rays.

Casts few rays at a time, which the CPU does sooner than a GPU has work. Draws no pictures.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, transform_points
from vlm3.worlds.frame import Frame, WorldObject
from vlm3.worlds.mesh import yaw_matrix
from vlm3.worlds.render import Renderer, pixel_rays
from vlm3.worlds.scene import SceneObject

Floats = NDArray[np.float64]
_MIN_VISIBLE_PX = 12


@lru_cache(maxsize=16)
def coarse_rays(camera: Camera, columns: int, rows: int) -> Floats:
    """(rows * columns, 3) unit rays of a coarse grid, camera axes."""
    x = (np.arange(columns) + 0.5) * camera.width_px / columns
    y = (np.arange(rows) + 0.5) * camera.height_px / rows
    return camera.unproject(np.stack(np.meshgrid(x, y), -1).reshape(-1, 2))


class Sight:
    """Answers for one scene; poses are (4, 4) world_from_cam.

    Args:
        renderer: of the scene, on the CPU.
    """

    def __init__(self, renderer: Renderer) -> None:
        self.renderer, self.scene = renderer, renderer.scene

    def points_seen(self, pose: Floats, rays: Floats) -> tuple[Floats, NDArray[np.floating[Any]]]:
        """Points (m, 3) and distances (m,) of the rays (n, 3), camera axes, that hit something."""
        rays = rays @ pose[:3, :3].T
        distance, _ = self.renderer.cast(pose[:3, 3], rays)
        good = np.isfinite(distance)
        return pose[:3, 3] + rays[good] * distance[good, None], distance[good]

    def visible(self, points_m: Floats, world_from_cam: Floats) -> NDArray[np.bool_]:
        """Which points (n, 3) nothing hides from a camera centre: one ray each, to 0.1 %."""
        away = points_m - world_from_cam[:3, 3]
        length = np.linalg.norm(away, axis=1)
        rays = away / np.maximum(length, 1e-9)[:, None]
        distance, _ = self.renderer.cast(world_from_cam[:3, 3], rays)
        return np.asarray(distance > length * (1 - 1e-3) - 1e-3)

    def stands_free(self, pose: Floats) -> bool:
        """Whether nothing is within 0.15 m of the camera, looked for in 26 directions."""
        grid = np.stack(np.meshgrid(*[[-1.0, 0.0, 1.0]] * 3), -1).reshape(-1, 3)
        grid = grid[np.abs(grid).sum(1) > 0]
        distance, _ = self.renderer.cast(pose[:3, 3], grid / np.linalg.norm(grid, axis=1)[:, None])
        return bool(distance.min() > 0.15)

    def covisibility(self, pose1: Floats, camera1: Camera, pose2: Floats, camera2: Camera) -> float:
        """Mean over both directions of the share of pixels whose point the other view sees."""
        shares = []
        for pa, ca, pb, cb in ((pose1, camera1, pose2, camera2), (pose2, camera2, pose1, camera1)):
            rays = coarse_rays(ca, 20, 15)
            points, _ = self.points_seen(pa, rays)
            xy = cb.project(transform_points(invert(pb), points))
            inside = np.asarray(cb.contains(xy), bool)
            ok = inside.copy()
            ok[inside] = self.visible(points[inside], pb)
            shares.append(ok.sum() / len(rays))
        return float(np.mean(shares))

    def matches(
        self, frame1: Frame, frame2: Frame, n: int, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """Up to n pixel centres of frame 1 and where frame 2 shows the same points.

        Returns:
            xy1_px (m, 2), xy2_px (m, 2), m <= n: only points that both frames see, occlusion
            decided by a ray from camera 2 to the very point.
        """
        height, width = frame1.distance_m.shape
        order = rng.permutation(height * width)
        rays = pixel_rays(frame1.camera).reshape(-1, 3)
        cam2_from_world = invert(frame2.world_from_cam)
        found1, found2, total = [], [], 0
        for start in range(0, len(order), 4 * n + 64):
            pick = order[start : start + 4 * n + 64]
            distance = frame1.distance_m.reshape(-1)[pick].astype(np.float64)
            pick, distance = pick[np.isfinite(distance)], distance[np.isfinite(distance)]
            points = transform_points(frame1.world_from_cam, rays[pick] * distance[:, None])
            xy2 = frame2.camera.project(transform_points(cam2_from_world, points))
            inside = np.asarray(frame2.camera.contains(xy2), bool)
            pick, points, xy2 = pick[inside], points[inside], xy2[inside]
            if len(pick):
                good = self.visible(points, frame2.world_from_cam)
                xy1 = np.stack([pick % width + 0.5, pick // width + 0.5], -1)[good]
                found1.append(xy1)
                found2.append(xy2[good])
                total += len(xy1)
            if total >= n:
                break
        if not found1:
            return np.zeros((0, 2)), np.zeros((0, 2))
        return np.concatenate(found1)[:n], np.concatenate(found2)[:n]

    def objects(
        self, instance: NDArray[np.int32], camera: Camera, world_from_cam: Floats
    ) -> tuple[WorldObject, ...]:
        """The objects of a picture whose pixels show these instances (H, W)."""
        size = int(self.scene.mesh.instance.max()) + 2
        counts = np.bincount(instance.ravel(), minlength=size - 1)
        if not (counts[1:] >= _MIN_VISIBLE_PX).any():
            return ()
        rays = coarse_rays(camera, 40, 30)
        hits = self.renderer.pierce(world_from_cam[:3, 3], rays @ world_from_cam[:3, :3].T)
        first = np.bincount(hits[:, 0] + 1, minlength=size)
        crossed = np.zeros(size, int)
        ordered = np.sort(hits, axis=1)
        new = np.diff(ordered, axis=1, prepend=-2) != 0
        crossed += np.bincount((ordered[new] + 1), minlength=size)
        height, width = instance.shape
        rows_of, columns_of = np.indices((height, width), sparse=True)
        in_rows = np.bincount((instance * height + rows_of).ravel(), minlength=size * height)
        in_columns = np.bincount((instance * width + columns_of).ravel(), minlength=size * width)
        in_rows, in_columns = in_rows.reshape(-1, height), in_columns.reshape(-1, width)
        found = []
        for thing in self.scene.objects:
            if counts[thing.instance] < _MIN_VISIBLE_PX:
                continue
            rows = np.flatnonzero(in_rows[thing.instance])
            columns = np.flatnonzero(in_columns[thing.instance])
            box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            seen, whole = first[thing.instance + 1], crossed[thing.instance + 1]
            share = float(seen / whole) if whole else 1.0
            found.append(_world_object(thing, box, share))
        return tuple(found)


def _world_object(
    thing: SceneObject, box: tuple[float, float, float, float], share: float
) -> WorldObject:
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = yaw_matrix(thing.yaw_rad), thing.center_m
    return WorldObject(
        thing.category,
        thing.name,
        thing.instance,
        thing.size_wdh_m,
        np.array(thing.center_m),
        pose,
        box,
        min(share, 1.0),
    )
