"""Where a picture's focal length came from and how far off it may be, in words and as a record.

Every length carries the focal length's error. What is given is taken as it is. EXIF gives the 35 mm
equivalent in whole millimetres, so it is known to half a millimetre. Where nothing is known, the
assumed field of view stands beside those that cameras have.
"""

import math
from typing import Any

from vlm3.view import ASSUMED_FOV_DEG, View

ORDINARY_FOV_DEG = (40.0, 90.0)
"""Horizontal fields of view of the cameras of nine public data sets (41 to 89 degrees: iBims-1,
NYUv2, 7-Scenes, HoloLens, Open3D's, Middlebury's, KITTI, nuScenes, DDAD)."""

_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
_HALF_MM = 0.5


def f_px_interval(view: View) -> tuple[float, float] | None:
    """The focal lengths that are as good as the one used, in pixels; None where that is unknown.

    The error of a given lens, and of a calibrator's, is unknown.
    """
    camera = view.camera
    if view.intrinsics == "assumed":
        wide, narrow = (_f_px(fov, camera.width_px) for fov in reversed(ORDINARY_FOV_DEG))
        return wide, narrow
    if view.intrinsics == "exif":
        px_per_mm = math.hypot(camera.width_px, camera.height_px) / _FILM_DIAGONAL_MM
        equivalent_mm = camera.fx_px / px_per_mm
        # From the sensor's pixel pitch it is no whole number, and how exact that is is unknown.
        if abs(equivalent_mm - round(equivalent_mm)) < 1e-6:
            return camera.fx_px - _HALF_MM * px_per_mm, camera.fx_px + _HALF_MM * px_per_mm
    return None


def lens_record(view: View) -> dict[str, Any]:
    """Origin, focal length and horizontal field of view, with their intervals where known."""
    width_px = view.camera.width_px
    interval = f_px_interval(view)
    return {
        "origin": view.intrinsics,
        "f_px": view.camera.fx_px,
        "f_px_interval": None if interval is None else list(interval),
        "fov_deg": _fov_deg(view.camera.fx_px, width_px),
        "fov_deg_interval": interval and [_fov_deg(f, width_px) for f in reversed(interval)],
    }


def lens_words(view: View) -> str:
    """Such as `focal length 495 px (from EXIF: 488 to 503 px)`."""
    return f"focal length {view.camera.fx_px:.0f} px ({_origin(view)})"


def assumed_words() -> str:
    """What follows for lengths where the lens was assumed."""
    narrow, wide = ORDINARY_FOV_DEG
    used = _f_px(ASSUMED_FOV_DEG, 1)
    least, most = _f_px(wide, 1) / used, _f_px(narrow, 1) / used
    return (
        f"nothing says what camera took this; a field of view of {ASSUMED_FOV_DEG:g} degrees is "
        f"assumed, cameras have {narrow:g} to {wide:g}, so lengths may be off by a common factor "
        f"of {least:.2f} to {most:.2f}: give --f-px or --fov-deg."
    )


def _origin(view: View) -> str:
    interval = f_px_interval(view)
    between = "" if interval is None else f"{interval[0]:.0f} to {interval[1]:.0f} px"
    match view.intrinsics:
        case "assumed":
            return f"{ASSUMED_FOV_DEG:g} degrees assumed, may be {between}"
        case "exif":
            return f"from EXIF: {between}" if between else "from EXIF, how exact is not known"
        case "fov":
            return "from the field of view given"
        case "calibrator":
            return "from the calibrator, how exact is not known"
    return "given"


def _f_px(fov_deg: float, width_px: float) -> float:
    return width_px / 2 / math.tan(math.radians(fov_deg) / 2)


def _fov_deg(f_px: float, width_px: float) -> float:
    return math.degrees(2 * math.atan(width_px / 2 / f_px))
