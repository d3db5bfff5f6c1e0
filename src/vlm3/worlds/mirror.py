"""A frame as a mirror shows it: left is right, distances and sizes are the same."""

from dataclasses import replace

import numpy as np

from vlm3.worlds.frame import Frame, WorldObject

_MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


def mirrored(frame: Frame) -> Frame:
    """The frame in a mirror, of a mirrored world: its picture, labels, objects and pose."""
    camera = frame.camera
    return replace(
        frame,
        image=np.ascontiguousarray(frame.image[:, ::-1]),
        camera=replace(camera, cx_px=camera.width_px - camera.cx_px),
        distance_m=frame.distance_m[:, ::-1],
        depth_z_m=frame.depth_z_m[:, ::-1],
        normal=frame.normal[:, ::-1] * np.array([-1, 1, 1], np.float32),
        instance=frame.instance[:, ::-1],
        objects=tuple(_mirrored(thing, camera.width_px) for thing in frame.objects),
        world_from_cam=_MIRROR @ frame.world_from_cam @ _MIRROR,
    )


def _mirrored(thing: WorldObject, width_px: int) -> WorldObject:
    x_min, y_min, x_max, y_max = thing.box_xyxy_px
    return replace(
        thing,
        center_m=thing.center_m * (-1.0, 1.0, 1.0),
        world_from_object=_MIRROR @ thing.world_from_object @ _MIRROR,
        box_xyxy_px=(width_px - x_max, y_min, width_px - x_min, y_max),
    )
