"""Where a camera stands, how it looks, and its lens: hand-held in rooms, also on vehicles outside.

Knows scenes only through their standing places and points of interest.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.worlds.scene import Scene

Rng = np.random.Generator
Floats = NDArray[np.float64]


def pose_from_angles(center_m: Floats, yaw_rad: float, pitch_rad: float, roll_rad: float) -> Floats:
    """(4, 4) world_from_cam: yaw from +x counter-clockwise, pitch up, roll about the axis."""
    cy, sy, cp, sp = np.cos(yaw_rad), np.sin(yaw_rad), np.cos(pitch_rad), np.sin(pitch_rad)
    forward = np.array([cp * cy, cp * sy, sp])
    right = np.array([sy, -cy, 0.0])
    down = np.cross(forward, right)
    c, s = np.cos(roll_rad), np.sin(roll_rad)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right * c + down * s, down * c - right * s, forward
    pose[:3, 3] = center_m
    return pose


def angles_to(center_m: Floats, target_m: Floats) -> tuple[float, float]:
    """Yaw and pitch, radians, that look from one point at another."""
    away = np.asarray(target_m, float) - center_m
    yaw = float(np.arctan2(away[1], away[0]))
    return yaw, float(np.arctan2(away[2], np.hypot(away[0], away[1])))


def free_camera(
    rng: Rng, *, width_px: int, height_px: int, lens: Literal["ideal", "free"] = "free"
) -> Camera:
    """A camera of 40 to 110 degrees; `free` moves the centre, parts fx from fy, may distort."""
    fov = float(np.clip(rng.normal(66, 14), 40, 110))
    fx = width_px / 2 / np.tan(np.radians(fov) / 2)
    if lens == "ideal":
        return Camera(fx, fx, width_px / 2, height_px / 2, width_px, height_px)
    fy = fx * float(np.exp(rng.normal(0, 0.01)))
    cx, cy = (np.array([width_px, height_px]) * (0.5 + rng.normal(0, 0.015, 2))).tolist()
    if rng.random() < 0.3:
        k1 = float(rng.uniform(-0.08, 0.03)) if fov < 85 else float(rng.uniform(-0.03, 0.01))
        coefficients = (k1, -0.2 * k1, float(rng.normal(0, 3e-4)), float(rng.normal(0, 3e-4)))
        return Camera(fx, fy, cx, cy, width_px, height_px, coefficients, "brown_conrady")
    return Camera(fx, fy, cx, cy, width_px, height_px)


def sample_pose(scene: Scene, rng: Rng) -> Floats:
    """(4, 4) world_from_cam somewhere sensible."""
    spot = scene.spots[int(rng.integers(len(scene.spots)))]
    low, high = scene.heights_m
    center = np.array(
        [spot[0], spot[1], np.clip(rng.normal((low + high) / 2 + 0.12, 0.22), low, high)]
    )
    roll = float(np.radians(rng.normal(0, 1.8)))
    if scene.forward is not None and rng.random() < 0.8:
        yaw = float(np.arctan2(scene.forward[1], scene.forward[0]))
        yaw += float(rng.choice([0.0, np.pi], p=[0.75, 0.25])) + float(
            np.radians(rng.normal(0, 14))
        )
        return pose_from_angles(center, yaw, float(np.radians(rng.normal(-1.5, 3))), roll)
    away = np.linalg.norm(scene.focus - center, axis=1)
    weight = np.clip(away, 0.2, 6.0)
    target = scene.focus[int(rng.choice(len(weight), p=weight / weight.sum()))]
    yaw, pitch = angles_to(center, target)
    yaw += float(np.radians(rng.normal(0, 10)))
    pitch = float(np.clip(0.55 * pitch + np.radians(rng.normal(-4, 6)), -0.8, 0.45))
    return pose_from_angles(center, yaw, pitch, roll)


def second_pose(
    scene: Scene, rng: Rng, world_from_cam1: Floats, seen_m: Floats, reach_m: float
) -> Floats:
    """(4, 4) world_from_cam2 after a random motion: a step, a walk around what is seen, a turn.

    `seen_m` (n, 3) are points that camera 1 sees, `reach_m` is their usual distance.
    """
    center, forward = world_from_cam1[:3, 3].copy(), world_from_cam1[:3, 2]
    yaw = float(np.arctan2(forward[1], forward[0]))
    pitch = float(np.arcsin(np.clip(forward[2], -1, 1)))
    style = rng.random()
    low, high = scene.heights_m
    if style < 0.45:  # hand-held step with a turn
        size = reach_m * float(rng.uniform(0.03, 0.25))
        center = center + rng.normal(0, 1, 3) * size * [1, 1, 0.35]
        yaw += float(np.radians(rng.normal(0, 14)))
        pitch += float(np.radians(rng.normal(0, 5)))
    elif style < 0.85:  # somewhere else, towards what was seen
        near = scene.spots[np.linalg.norm(scene.spots - center[:2], axis=1) < 1.2 * reach_m + 0.5]
        if len(near):
            spot = near[int(rng.integers(len(near)))]
            center = np.array([spot[0], spot[1], center[2] + rng.normal(0, 0.15)])
        yaw, pitch = angles_to(center, seen_m[int(rng.integers(len(seen_m)))])
        yaw += float(np.radians(rng.normal(0, 8)))
        pitch = 0.7 * pitch + float(np.radians(rng.normal(0, 4)))
    else:  # a large turn almost on the spot
        center = center + rng.normal(0, 0.06 * reach_m, 3) * [1, 1, 0.4]
        yaw += float(np.radians(rng.choice([-1, 1]) * rng.uniform(20, 60)))
    center[2] = np.clip(center[2], 0.6 * low, high * 1.15)
    return pose_from_angles(
        center, yaw, float(np.clip(pitch, -0.9, 0.6)), float(np.radians(rng.normal(0, 2.5)))
    )
