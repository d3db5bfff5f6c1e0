"""Intrinsics and poses that no camera has, and what was probably meant by them.

A focal length in millimetres, an angle in radians, a K divided by the picture's size, a K of the
picture before it was resized: each is a valid number, and each makes every distance wrong. Here
they become a question, one line. `Camera` itself takes any positive focal length, so that what is
really so can still be stated with one.
"""

import math
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError

WIDEST_DEG = 120.0
NARROWEST_DEG = 2.0
"""Horizontal fields of view of pictures without a fisheye lens: an action camera has 120 degrees,
an 800 mm telephoto lens 2.6."""

_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
# A K divided by the picture's size has focal lengths of 0.3 to 3 and a centre near 0.5.
_NORMALISED_F = 10.0
# The longest lens people name in millimetres.
_LONGEST_MM = 1200.0
# No larger angle in radians is a field of view.
_MOST_RAD = math.pi
# Of a picture's side: real principal points lie within 0.05 of the middle.
_OFF_CENTRE = 0.15
# How far R R^T of a rounded rotation may be from the identity.
_POSE_TOLERANCE = 2e-2
# All three axes longer or shorter than 1 by more than this are scaled, not rounded.
_EVEN = 5e-3


def check_fov_deg(fov_deg: float) -> None:
    """Refuses a horizontal field of view that nobody has.

    Args:
        fov_deg: in degrees, finite and positive.

    Raises:
        InputError: it is more than 120 degrees or less than 2, or an angle in radians.
    """
    if not _numeric(fov_deg):
        return  # Camera says what is wrong with it.
    if 0 < fov_deg <= _MOST_RAD:
        degrees = math.degrees(fov_deg)
        raise InputError(
            f"a field of view of {fov_deg:g} degrees: were radians meant? Those would be "
            f"{degrees:.1f} degrees. A lens that is really so long is given by its focal length "
            "in pixels (f_px)"
        )
    if WIDEST_DEG < fov_deg < 180:
        raise InputError(
            f"a horizontal field of view of {fov_deg:g} degrees is wider than any lens without "
            "fisheye: was it measured along the diagonal, or is it of a 360-degree picture? Give "
            "the horizontal one; a fisheye picture needs its lens, vlm3.Camera(model='fisheye')"
        )


def check_f_px(f_px: float, width_px: int, height_px: int) -> None:
    """Refuses a focal length that is probably not in pixels of this picture.

    Raises:
        InputError: it gives a field of view that nobody has.
    """
    if not (_numeric(f_px) and f_px > 0):
        return
    fov_deg = _fov_deg(f_px, width_px)
    if fov_deg > WIDEST_DEG:
        raise InputError(
            f"a focal length of {f_px:g} px in a picture {width_px} px wide is a field of view "
            f"of {fov_deg:.0f} degrees: {_meant(f_px, width_px, height_px)}"
        )
    if fov_deg < NARROWEST_DEG:
        raise InputError(
            f"a focal length of {f_px:g} px in a picture {width_px} px wide is a field of view "
            f"of {fov_deg:.2g} degrees: is it of a larger picture? Scale it by this one's width "
            "over that one's; a telescope is given as vlm3.Camera(...)"
        )


def check_intrinsics(
    fx: float, fy: float, cx: float, cy: float, width_px: int, height_px: int, *, fisheye: bool
) -> None:
    """Refuses intrinsics that are probably not in pixels of this picture.

    Args:
        fx: focal length along x, in pixels as it is claimed.
        fy: along y.
        cx: principal point, from the left edge.
        cy: from the top edge.
        width_px: of the picture.
        height_px: of the picture.
        fisheye: whether the lens is one, whose field of view K alone does not tell.

    Raises:
        InputError: K is normalised, or gives a field of view that nobody has.
    """
    if not all(map(_numeric, (fx, fy, cx, cy))) or min(fx, fy) <= 0:
        return
    if max(fx, fy) < _NORMALISED_F and 0 <= cx <= 2 and 0 <= cy <= 2:
        raise InputError(
            f"intrinsics ({fx:g}, {fy:g}, {cx:g}, {cy:g}) seem to be in units of the picture's "
            f"size: in pixels of {width_px}x{height_px} they are ({fx * width_px:g}, "
            f"{fy * height_px:g}, {cx * width_px:g}, {cy * height_px:g}); give those"
        )
    if fisheye:
        return
    wide = max(_fov_deg(fx, width_px), _fov_deg(fy, height_px))
    if wide > WIDEST_DEG:
        raise InputError(
            f"focal lengths ({fx:g}, {fy:g}) px in a picture of {width_px}x{height_px} px are a "
            f"field of view of {wide:.0f} degrees: {_meant(fx, width_px, height_px)}"
        )


def off_centre(cx: float, cy: float, width_px: int, height_px: int) -> str | None:
    """What is odd about a principal point (from the corner), or None if it is near the middle."""
    x, y = cx / width_px, cy / height_px
    if max(abs(x - 0.5), abs(y - 0.5)) <= _OFF_CENTRE:
        return None
    where = (
        f"the principal point ({cx:.4g}, {cy:.4g}) is far from the middle of the "
        f"{width_px}x{height_px} picture"
    )
    if abs(cx / height_px - 0.5) < 0.1 and abs(cy / width_px - 0.5) < 0.1:
        return (
            f"{where} and near that of a {height_px}x{width_px} one: K is of the picture before "
            "it was turned"
        )
    ratio = (x * y) ** 0.5 * 2 if x > 0 and y > 0 else 0.0
    if ratio and abs(x / y - 1) < 0.12:
        return (
            f"{where}: K seems to be of one of about {2 * cx:.0f}x{2 * cy:.0f}; scale its first "
            f"two rows by {1 / ratio:.3g} if the picture was resized from it"
        )
    return (
        f"{where}: K seems to be of a picture of another shape, about {2 * cx:.0f}x{2 * cy:.0f}; "
        "a crop moves cx and cy, a resize scales each row of K by its own factor"
    )


def _numeric(value: object) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _fov_deg(f_px: float, side_px: int) -> float:
    # Rounded, so that the focal length made from the widest view is not wider than it.
    return round(math.degrees(2 * math.atan(side_px / 2 / f_px)), 9)


def _meant(f: float, width_px: int, height_px: int) -> str:
    if f > _LONGEST_MM:
        return "is it of a smaller picture? Scale it by this one's width over that one's"
    by_film = f / _FILM_DIAGONAL_MM * math.hypot(width_px, height_px)
    if _fov_deg(by_film, width_px) > WIDEST_DEG:
        return (
            "were millimetres meant? In pixels it is millimetres times the picture's width over "
            "the sensor's in millimetres"
        )
    return (
        "were millimetres meant? In pixels it is millimetres times the picture's width over the "
        f"sensor's in millimetres; as a 35 mm equivalent it would be {by_film:.0f} px"
    )


def pose_fault(transform: ArrayLike) -> str | None:
    """Why a finite (4, 4) is no pose, and what it seems to be instead; None for a pose.

    Rounded numbers pass: rows may be off by 2 %, as those of scanned text files are.
    """
    T = np.asarray(transform, dtype=np.float64)
    last = T[3]
    if not np.allclose(last, [0, 0, 0, 1], atol=1e-6):
        if np.allclose(T[:3, 3], 0, atol=1e-9) and np.isclose(last[3], 1):
            return "the pose has its translation in the last row: it is transposed"
        return f"the pose's last row is {_row(last)}; it must be 0 0 0 1"
    sizes = np.linalg.svd(T[:3, :3], compute_uv=False)
    mean = float(sizes.mean())
    if np.ptp(sizes) < _EVEN * mean and abs(mean - 1) > _EVEN:
        return (
            f"the pose's rotation is scaled by {mean:.4g}: divide its 3x3 part by that, and see "
            "whether the translation has the unit of the depth"
        )
    if not np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=_POSE_TOLERANCE):
        return "the pose is no rotation and translation"
    if np.linalg.det(T[:3, :3]) < 0:
        return "the pose mirrors (determinant -1): one axis is flipped, as in left-handed frames"
    return None


def _row(values: NDArray[np.float64]) -> str:
    return " ".join(f"{v:g}" for v in values)
