"""A rendered picture with its truth at every pixel: what rendering gives, as plain values.

Labels are drawn from it (`worlds.labels`), the tower of nano learns from it, and KEY.npz holds it.
Knows no scenes, no rendering and no questions.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose, relative_pose

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WorldObject:
    """An object that a frame shows.

    Attributes:
        category: what it is, as people call it.
        name: the same, or more exactly (the model's catalogue name).
        instance: its id in `Frame.instance`.
        size_wdh_m: true width, depth and height.
        center_m: (3,) centre of its box, world frame.
        world_from_object: (4, 4); own axes x width, y depth, z up, origin at the box's centre.
        box_xyxy_px: smallest box around its visible pixels, pixel edges.
        visible_share: visible part of its outline inside the picture, 0..1.
    """

    category: str
    name: str
    instance: int
    size_wdh_m: tuple[float, float, float]
    center_m: Floats
    world_from_object: Floats
    box_xyxy_px: tuple[float, float, float, float]
    visible_share: float


@dataclass(frozen=True)
class Frame:
    """One rendered picture with its truth, at pixel centres.

    Attributes:
        image: (H, W, 3) uint8.
        distance_m: (H, W) float32 straight distance to the camera; the sky is inf.
        depth_z_m: (H, W) float32 along the optical axis; the sky is inf.
        normal: (H, W, 3) float32 unit normal in camera axes, towards the camera; sky 0.
        instance: (H, W) int32; 0 is shell, ground or sky, others are `objects`.
        world_from_cam: (4, 4).
    """

    image: NDArray[np.uint8]
    camera: Camera
    distance_m: NDArray[np.float32]
    depth_z_m: NDArray[np.float32]
    normal: NDArray[np.float32]
    instance: NDArray[np.int32]
    objects: tuple[WorldObject, ...]
    world_from_cam: Floats
    kind: str


def motion_between(frame1: Frame, frame2: Frame) -> RelativePose:
    """Pose of the second frame's camera in the first one's frame; both of one world."""
    pose = relative_pose(frame1.world_from_cam, frame2.world_from_cam)
    return RelativePose.from_matrix(pose)
