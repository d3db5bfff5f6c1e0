"""Aria Synthetic Environments as published: rooms walked through with a fisheye, lying on its side.

    ROOT/SCENE/rgb/vignette0000000.jpg       704x704, to be turned clockwise
    ROOT/SCENE/depth/depth0000000.png        16 bit, millimetres along the PIXEL'S RAY, not the
                                             axis; 0 and 65535 unknown
    ROOT/SCENE/trajectory.csv                a line a frame: graph, time, ..., tx ty tz qx qy qz qw
                                             from the fourth column on: world_from_device

The camera is the same in all scenes. Its numbers are those of projectaria_tools 2.3.0
(`get_ase_rgb_calibration`): a model with six radial and two tangential coefficients (Fisheye624;
its thin prism terms are 0 here), pixel centres at whole numbers. Its pictures are turned upright
and leave here as a pinhole of 95 degrees, which the lens fills to the corners.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.datasets.base import (
    DepthMap,
    Floats,
    Frames,
    Pixels,
    RawFrame,
    Reader,
    each,
    folders_with,
)
from vlm3.datasets.files import depth_png_m, picture_size
from vlm3.datasets.published import facts
from vlm3.errors import InputError
from vlm3.files.reading import why
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import rigid_from_quaternion
from vlm3.pictures import read_picture

_LAYOUT = facts("aria-synthetic-environments").layout
_SIZE_PX = 704
_F_PX, _CX_PX, _CY_PX = 297.6375381033778, 357.6599197217746, 349.1922497127481
_RADIAL = (
    0.3650890375644368,
    -0.1738082418112771,
    -0.7534945484033189,
    2.434788882752295,
    -2.57786220300886,
    0.8788483538598834,
)
_TANGENTIAL = np.array([0.0008005198595407136, -0.000294237814554143])
# Further out the picture is black.
_VALID_PX = 353.75
_LARGEST_ANGLE_RAD = 1.02
_DEVICE_FROM_RAW = np.array(
    [
        [0.9960600290429797, -0.04388682089218443, 0.07706079090481517, -0.007530096566173914],
        [0.08210934462025632, 0.7846879598800616, -0.6144288902267692, -0.01090854984158026],
        [-0.03350334414547755, 0.6183354692812344, 0.7851998302087344, -0.003598063315542823],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
# A quarter turn clockwise: what was up in the stored picture is right, what was left is up.
_RAW_FROM_UPRIGHT = np.array([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
_DEVICE_FROM_UPRIGHT = _DEVICE_FROM_RAW @ _RAW_FROM_UPRIGHT
_PINHOLE_F_PX = 320.0


@dataclass(frozen=True)
class AriaCamera(Camera):
    """The upright fisheye. Only its size is free: the lens is the one of the set."""

    @classmethod
    def of_size(cls, side_px: int) -> "AriaCamera":
        """For square pictures; the set's are 704."""
        # For those who look: where the axis goes through the upright picture.
        f_px = _F_PX * side_px / _SIZE_PX
        axis = _turned(np.array([_CX_PX, _CY_PX]) + 0.5) * side_px / _SIZE_PX
        return cls(f_px, f_px, axis[0], axis[1], side_px, side_px, (0.0,) * 4, "fisheye")

    def project(self, points_cam_m: ArrayLike) -> Floats:
        """As `Camera.project`; NaN outside the lens."""
        points = np.asarray(points_cam_m, np.float64) @ _RAW_FROM_UPRIGHT[:3, :3].T
        off_axis = np.hypot(points[..., 0], points[..., 1])
        theta = np.arctan2(off_axis, points[..., 2])
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(off_axis > 0, _radius(theta) / off_axis, 1.0)
        plane = points[..., :2] * scale[..., None]
        xy = _F_PX * (plane + _shifted(plane)) + [_CX_PX, _CY_PX]
        seen = (theta < _LARGEST_ANGLE_RAD) & (_F_PX * _radius(theta) < _VALID_PX)
        upright = _turned(np.where(seen[..., None], xy + 0.5, np.nan))
        return np.asarray(upright * self.width_px / _SIZE_PX)

    def undistorted(self) -> Camera:  # type: ignore[override]
        """The pinhole that its pictures are straightened to."""
        half = self.width_px / 2
        f_px = _PINHOLE_F_PX * self.width_px / _SIZE_PX
        return Camera(f_px, f_px, half, half, self.width_px, self.height_px)

    def _rays(self, xy_px: ArrayLike) -> Floats:
        upright = np.asarray(xy_px, np.float64) * _SIZE_PX / self.width_px
        raw = np.stack([upright[..., 1], _SIZE_PX - upright[..., 0]], axis=-1) - 0.5
        bent = (raw - [_CX_PX, _CY_PX]) / _F_PX
        plane = bent
        # The shift is a thousandth of the radius: each round gains three digits.
        for _ in range(6):
            plane = bent - _shifted(plane)
        radius = np.hypot(plane[..., 0], plane[..., 1])
        theta = _angle(radius)
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(radius > 0, np.sin(theta) / radius, 1.0 + 0.0 * theta)
        rays = np.concatenate([plane * scale[..., None], np.cos(theta)[..., None]], axis=-1)
        return np.asarray(rays @ _RAW_FROM_UPRIGHT[:3, :3])


def _turned(xy: Floats) -> Floats:
    """Places in the stored picture of 704 pixels -> in the upright one."""
    return np.stack([_SIZE_PX - xy[..., 1], xy[..., 0]], axis=-1)


def _radius(theta: Floats) -> Floats:
    """Angle from the axis -> radius on the plane."""
    s = theta * theta
    value = np.zeros_like(s)
    for k in reversed(_RADIAL):
        value = s * (k + value)
    return theta * (1 + value)


def _angle(radius: Floats) -> Floats:
    """Inverse of `_radius`, NaN outside the lens."""
    low, high = np.zeros_like(radius), np.full_like(radius, _LARGEST_ANGLE_RAD)
    for _ in range(45):
        middle = (low + high) / 2
        below = _radius(middle) < radius
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(radius * _F_PX < _VALID_PX, (low + high) / 2, np.nan)


def _shifted(plane: Floats) -> Floats:
    """How far the tangential terms move points of the plane."""
    squared = np.sum(plane * plane, axis=-1, keepdims=True)
    along = 2 * np.sum(plane * _TANGENTIAL, axis=-1, keepdims=True)
    return np.asarray(along * plane + squared * _TANGENTIAL)


def scenes(root: Path) -> list[str]:
    """The folders with pictures."""
    return folders_with(root, "*/rgb", _LAYOUT)


def frames(root: Path, scene: str) -> Frames:
    """The frames of a scene, one a line of its trajectory."""
    folder = root / scene
    poses = _trajectory(folder / "trajectory.csv")
    pictures = sorted((folder / "rgb").glob("vignette*.jpg"))

    def make(picture: Path) -> RawFrame:
        name = picture.stem.removeprefix("vignette")
        if int(name) >= len(poses):
            raise InputError(f"trajectory.csv has {len(poses)} poses, none for {name}")
        depth = folder / "depth" / f"depth{name}.png"
        side = picture_size(picture)[0]
        return RawFrame(
            name,
            lambda: _upright(picture),
            AriaCamera.of_size(side),
            lambda: _depth(depth),
            poses[int(name)] @ _DEVICE_FROM_UPRIGHT,
        )

    return each(pictures, make)


def _upright(path: Path) -> Pixels:
    return np.ascontiguousarray(np.rot90(read_picture(path).image, -1))


def _depth(path: Path) -> DepthMap:
    return DepthMap(np.rot90(depth_png_m(path), -1), "distance")


def _trajectory(path: Path) -> list[NDArray[np.float64]]:
    """world_from_device of every frame."""
    try:
        rows = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(3, 10), ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the trajectory {str(path)!r} ({why(error)})") from error
    return [rigid_from_quaternion(row[[6, 3, 4, 5]], row[:3]) for row in rows]


ASE = Reader(scenes, frames)
