"""Rigid transforms, yaw-pitch-roll, relative pose and angular errors.

Transforms are (4, 4) and named so that inner names meet: `a_from_c = a_from_b @ b_from_c`. Axes are
OpenCV's (X right, Y down, Z forward). Angles are turned about the moving axes in the order yaw (Y),
pitch (X), roll (Z), right-handed: positive yaw turns right, positive pitch looks up, positive roll
dips the right side. Inside radians, at every boundary degrees. Knows no text.

The convention is that of the released pose checkpoint (facebookresearch/VLM3); its sample's
rotation angle is reproduced to 1e-7 degrees.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError

Array = NDArray[np.float64]

# Shorter baselines have no direction that a picture could show.
SHORTEST_BASELINE_M = 1e-4
_GIMBAL = 1e-6
_ORTHONORMAL_TOLERANCE = 1e-3
_ROUNDED_TOLERANCE = 1e-2


def rotation_from_ypr_deg(ypr_deg: ArrayLike) -> Array:
    """Yaw, pitch, roll (*n, 3) in degrees -> R = Ry(yaw) Rx(pitch) Rz(roll), (*n, 3, 3)."""
    yaw, pitch, roll = np.moveaxis(np.radians(np.asarray(ypr_deg, dtype=np.float64)), -1, 0)
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    rows = [
        [cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, sy * cp],
        [cp * sr, cp * cr, -sp],
        [-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def ypr_deg_from_rotation(rotation: ArrayLike) -> Array:
    """R (*n, 3, 3) -> yaw, pitch, roll (*n, 3) in degrees; inverse of `rotation_from_ypr_deg`.

    Yaw and roll lie in (-180, 180], pitch in [-90, 90]. Looking straight up or down yaw and roll
    turn about the same line: roll is then 0 and yaw holds both.
    """
    R = np.asarray(rotation, dtype=np.float64)
    cos_pitch = np.hypot(R[..., 0, 2], R[..., 2, 2])
    gimbal = cos_pitch < _GIMBAL
    # asin(-R12), but without its loss of digits near +-90 degrees.
    pitch = np.arctan2(-R[..., 1, 2], cos_pitch)
    yaw = np.where(
        gimbal,
        np.arctan2(-R[..., 2, 0], R[..., 0, 0]),
        np.arctan2(R[..., 0, 2], R[..., 2, 2]),
    )
    roll = np.where(gimbal, 0.0, np.arctan2(R[..., 1, 0], R[..., 1, 1]))
    degrees = np.degrees(np.stack([yaw, pitch, roll], axis=-1))
    return np.where(degrees == -180.0, 180.0, degrees)


def rotation_angle_deg(rotation: ArrayLike) -> Array:
    """The single angle, 0 to 180 degrees, that R (*n, 3, 3) turns by -> (*n,)."""
    R = np.asarray(rotation, dtype=np.float64)
    twice_sine_axis = np.stack(
        [
            R[..., 2, 1] - R[..., 1, 2],
            R[..., 0, 2] - R[..., 2, 0],
            R[..., 1, 0] - R[..., 0, 1],
        ],
        axis=-1,
    )
    sine = np.linalg.norm(twice_sine_axis, axis=-1)
    cosine = np.trace(R, axis1=-2, axis2=-1) - 1
    angle: Array = np.degrees(np.arctan2(sine, cosine))
    return angle


def rotation_error_deg(rotation_a: ArrayLike, rotation_b: ArrayLike) -> Array:
    """The angle between two orientations (*n, 3, 3) -> (*n,), 0 to 180 degrees."""
    a = np.asarray(rotation_a, dtype=np.float64)
    return rotation_angle_deg(np.swapaxes(a, -1, -2) @ np.asarray(rotation_b, dtype=np.float64))


def direction_error_deg(u: ArrayLike, v: ArrayLike, *, sign_free: bool) -> Array:
    """The angle between two directions (*n, 3) of any length -> (*n,).

    Args:
        u: one direction.
        v: the other.
        sign_free: count v and -v as the same (0 to 90 degrees), as the pose benchmarks do;
            otherwise 0 to 180.

    Returns:
        Degrees; NaN where either vector is zero.
    """
    unit_u, unit_v = _unit(u), _unit(v)
    cosine = np.sum(unit_u * unit_v, axis=-1)
    sine = np.linalg.norm(np.cross(unit_u, unit_v), axis=-1)
    angle: Array = np.degrees(np.arctan2(sine, np.abs(cosine) if sign_free else cosine))
    return angle


def invert(transform: ArrayLike) -> Array:
    """a_from_b (*n, 4, 4) -> b_from_a (*n, 4, 4)."""
    T = np.asarray(transform, dtype=np.float64)
    turned_back = np.swapaxes(T[..., :3, :3], -1, -2)
    inverse = np.zeros_like(T)
    inverse[..., :3, :3] = turned_back
    inverse[..., :3, 3] = -(turned_back @ T[..., :3, 3:])[..., 0]
    inverse[..., 3, 3] = 1.0
    return inverse


def nearest_rigid(transform: ArrayLike) -> Array:
    """The rigid transform nearest to a (4, 4) one that carries few digits, as text files do.

    Raises:
        InputError: it is not finite, or further from a rotation than rounding explains.
    """
    T = _checked("world_from_cam", transform, (4, 4)).copy()
    u, _, vt = np.linalg.svd(T[:3, :3])
    R = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    off = float(np.abs(R - T[:3, :3]).max())
    if off > _ROUNDED_TOLERANCE or not np.allclose(T[3], [0, 0, 0, 1]):
        raise InputError(f"a pose is no rotation and translation (off by {off:.2g})")
    T[:3, :3], T[3] = R, [0, 0, 0, 1]
    return T


def transform_points(transform: ArrayLike, points: ArrayLike) -> Array:
    """a_from_b (4, 4) and points (*n, 3) in frame b -> points (*n, 3) in frame a."""
    T = np.asarray(transform, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ T[:3, :3].T + T[:3, 3]


def relative_pose(world_from_cam1: ArrayLike, world_from_cam2: ArrayLike) -> Array:
    """Two cameras' poses (4, 4) -> cam1_from_cam2 (4, 4)."""
    return invert(world_from_cam1) @ np.asarray(world_from_cam2, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class RelativePose:
    """Where camera 2 stands and looks, seen from camera 1.

    Attributes:
        rotation: (3, 3), camera 2's orientation in camera 1's frame: maps camera-2 coordinates to
            camera-1 axes.
        translation_m: (3,), camera 2's centre in camera 1's frame.

    Raises:
        InputError: the rotation is not one, or a shape or value is wrong.
    """

    rotation: Array
    translation_m: Array

    def __post_init__(self) -> None:
        rotation = _checked("rotation", self.rotation, (3, 3))
        error = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
        if error > _ORTHONORMAL_TOLERANCE or np.linalg.det(rotation) < 0:
            raise InputError(
                "the pose's 3x3 part is not a rotation "
                f"(R^T R is off by {error:.2g}, determinant {np.linalg.det(rotation):.3g}); "
                "give an orthonormal, right-handed one without scale"
            )
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(
            self, "translation_m", _checked("translation_m", self.translation_m, (3,))
        )

    @classmethod
    def from_matrix(cls, cam1_from_cam2: ArrayLike) -> Self:
        """From cam1_from_cam2 (4, 4)."""
        T = _checked("cam1_from_cam2", cam1_from_cam2, (4, 4))
        if not np.allclose(T[3], [0, 0, 0, 1]):
            raise InputError(f"the pose's last row is {T[3].tolist()}; it must be 0 0 0 1")
        return cls(T[:3, :3], T[:3, 3])

    @classmethod
    def from_ypr_direction(
        cls, ypr_deg: ArrayLike, direction: ArrayLike | None, distance_m: float
    ) -> Self:
        """From the four numbers a model writes.

        Args:
            ypr_deg: (3,) yaw, pitch, roll in degrees.
            direction: (3,) of any length but zero; None only for a camera that did not move.
            distance_m: how far camera 2's centre is from camera 1's, not negative.

        Raises:
            InputError: a direction shorter than 1e-6, or none for a camera that moved.
        """
        rotation = rotation_from_ypr_deg(_checked("ypr_deg", ypr_deg, (3,)))
        if not np.isfinite(distance_m) or distance_m < 0:
            raise InputError(f"distance_m is {distance_m:g}; give a length of 0 or more")
        if direction is None:
            if distance_m >= SHORTEST_BASELINE_M:
                raise InputError(f"no direction for a move of {distance_m:g} m; give one")
            return cls(rotation, np.zeros(3))
        u = _checked("direction", direction, (3,))
        length = float(np.linalg.norm(u))
        if length < 1e-6:
            raise InputError("the direction is the zero vector; give one with a length")
        return cls(rotation, u / length * distance_m)

    @property
    def cam1_from_cam2(self) -> Array:
        """(4, 4)."""
        T = np.eye(4)
        T[:3, :3] = self.rotation
        T[:3, 3] = self.translation_m
        return T

    @property
    def yaw_pitch_roll_deg(self) -> Array:
        """(3,) degrees; see `ypr_deg_from_rotation`."""
        return ypr_deg_from_rotation(self.rotation)

    @property
    def angle_deg(self) -> float:
        """The single rotation angle, 0 to 180 degrees."""
        return float(rotation_angle_deg(self.rotation))

    @property
    def distance_m(self) -> float:
        """How far the camera moved."""
        return float(np.linalg.norm(self.translation_m))

    @property
    def direction(self) -> Array | None:
        """(3,) unit vector of the move in camera 1's frame; None below `SHORTEST_BASELINE_M`."""
        distance_m = self.distance_m
        return None if distance_m < SHORTEST_BASELINE_M else self.translation_m / distance_m


def _unit(vector: ArrayLike) -> Array:
    array = np.asarray(vector, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit: Array = array / np.linalg.norm(array, axis=-1, keepdims=True)
    return unit


def _checked(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    """A read-only float64 copy of the right shape, all finite."""
    array = np.array(value, dtype=np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise InputError(f"pose {name} must be {shape} finite numbers, got shape {array.shape}")
    array.setflags(write=False)
    return array


def rigid_from_quaternion(wxyz: ArrayLike, translation: ArrayLike) -> Array:
    """A quaternion of any length, scalar first, and a translation -> (4, 4).

    Raises:
        InputError: they are not four and three finite numbers, or the quaternion is 0.
    """
    q, t = np.asarray(wxyz, dtype=np.float64), np.asarray(translation, dtype=np.float64)
    length = float(np.linalg.norm(q))
    if q.shape != (4,) or t.shape != (3,) or not np.isfinite([*q, *t]).all() or length == 0:
        raise InputError(f"{q} and {t} are no rotation and translation")
    w, x, y, z = q / length
    rigid = np.eye(4)
    rigid[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    rigid[:3, 3] = t
    return rigid
