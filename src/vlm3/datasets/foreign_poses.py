"""Other conventions' poses to `world_from_cam` with OpenCV axes."""

import numpy as np
from numpy.typing import ArrayLike

from vlm3.datasets.base import Floats
from vlm3.errors import InputError
from vlm3.geometry.pose import nearest_rigid

# X right, Y up, Z back to X right, Y down, Z ahead; its own inverse.
_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
_MIRROR_Y = np.diag([1.0, -1.0, 1.0, 1.0])


def world_from_opengl(world_from_gl: ArrayLike) -> Floats:
    """The pose of a camera that looks along -Z with Y up, (4, 4).

    Raises:
        InputError: it is no rotation and translation.
    """
    return nearest_rigid(np.asarray(world_from_gl, np.float64) @ _OPENGL)


def inverted(cam_from_world: ArrayLike) -> Floats:
    """world_from_cam of a (4, 4) or (3, 4) cam_from_world that carries few digits.

    Raises:
        InputError: it is no rotation and translation.
    """
    return nearest_rigid(_inverse(cam_from_world))


def from_left_handed(cam_from_world: ArrayLike) -> Floats:
    """world_from_cam where the camera has OpenCV's axes and the world is left-handed.

    Such a matrix mirrors. The world is mirrored back, along its Y; which axis that is does not
    matter, as only motion between cameras is ever used.

    Raises:
        InputError: it does not mirror, or is no orthogonal matrix with a translation.
    """
    found = _inverse(cam_from_world)
    if np.linalg.det(found[:3, :3]) > 0:
        raise InputError(
            "the pose does not mirror, as those of this set's left-handed world do: its axes are "
            "unknown"
        )
    return nearest_rigid(_MIRROR_Y @ found)


def _inverse(cam_from_world: ArrayLike) -> Floats:
    whole = np.eye(4)
    given = np.asarray(cam_from_world, np.float64)
    whole[: len(given)] = given
    if not np.isfinite(whole).all() or abs(np.linalg.det(whole)) < 1e-9:
        raise InputError("a pose is no rotation and translation: it has no inverse")
    return np.asarray(np.linalg.inv(whole), np.float64)
