"""Looks for camera poses: one that sees something, and two that share much of what they see.

`worlds.cameras` proposes poses; here rays tell which of them are worth a picture.
"""

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.worlds import cameras
from vlm3.worlds.sight import Sight, coarse_rays

Floats = NDArray[np.float64]
LEAST_SHARED = 0.25
"""Two views of a pair share more than this part of their pixels."""


def find_pose(sight: Sight, rng: np.random.Generator, camera: Camera) -> Floats:
    """(4, 4) world_from_cam that sees something: no cupboard's inside and no bare wall."""
    rays = coarse_rays(camera, 16, 12)
    best, best_score = np.eye(4), -1.0
    for _ in range(12):
        pose = cameras.sample_pose(sight.scene, rng)
        distance, face = sight.renderer.cast(pose[:3, 3], rays @ pose[:3, :3].T)
        seen = distance[np.isfinite(distance)]
        if len(seen) < 0.25 * len(distance):
            continue
        low, middle = np.quantile(seen, [0.03, 0.5])
        things = len(np.unique(sight.scene.mesh.instance[face[face >= 0]]))
        score = min(things / 4, 1.0) + min(float(low) / 0.35, 1.0) + min(float(middle) / 1.1, 1.0)
        if score > best_score:
            best, best_score = pose, score
        if score > 2.7:
            break
    return best


def find_two_poses(
    sight: Sight, rng: np.random.Generator, camera1: Camera, camera2: Camera
) -> tuple[Floats, Floats]:
    """Two poses (4, 4) whose views share more than a quarter, if some tries find any."""
    pose1 = pose2 = np.eye(4)
    for _ in range(4):
        pose1 = find_pose(sight, rng, camera1)
        pose2, share = _second_pose(sight, rng, pose1, camera1, camera2)
        if share > LEAST_SHARED:
            break
    return pose1, pose2


def _second_pose(
    sight: Sight, rng: np.random.Generator, pose1: Floats, camera1: Camera, camera2: Camera
) -> tuple[Floats, float]:
    """The pose whose share is nearest to one that is drawn, and the share."""
    seen, distance = sight.points_seen(pose1, coarse_rays(camera1, 20, 15))
    if not len(seen):
        return pose1, 0.0
    reach = float(np.median(distance))
    wanted = float(rng.uniform(0.28, 0.8))
    best, best_share = pose1, 0.0
    gap = np.inf
    for _ in range(14):
        pose2 = cameras.second_pose(sight.scene, rng, pose1, seen, reach)
        share = sight.covisibility(pose1, camera1, pose2, camera2)
        closer = share > LEAST_SHARED and abs(share - wanted) < gap
        if closer and sight.stands_free(pose2):
            best, best_share, gap = pose2, share, abs(share - wanted)
            if gap < 0.15:
                break
    return best, best_share
