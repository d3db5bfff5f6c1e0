"""What EXIF and XMP say of a picture and the camera that took it.

Tags are often wrong or of another picture, so what no camera has is not believed.
"""

import math
import re

from PIL import Image

# EXIF tags (EXIF 2.32, section 4.6).
_EXIF_IFD = 0x8769
_ORIENTATION = 0x0112
_FOCAL_LENGTH_MM = 0x920A
_FOCAL_LENGTH_35MM = 0xA405
_WIDTH_PX, _HEIGHT_PX = 0xA002, 0xA003
_CUSTOM_RENDERED = 0xA401
# What Apple writes there for a panorama.
_PANORAMA = 6
_FOCAL_PLANE_X_RESOLUTION = 0xA20E
_FOCAL_PLANE_UNIT = 0xA210
_UNIT_MM = {1: 25.4, 2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
# From a 10x telephoto to an action camera; anything else is a wrong tag.
_SANE_LONG_SIDE_FOV_DEG = (3.0, 140.0)
# No sensor is so long: such a picture was stitched, or cropped with its EXIF left as it was.
_LONGEST_ASPECT = 2.9
# XMP of the GPano and GImage kinds, as an attribute or as an element.
_PROJECTION = re.compile(rb"ProjectionType\s*(?:=\s*[\"']|>)\s*([A-Za-z-]+)")
_FLAT = (b"perspective", b"rectilinear", b"flat")
_FULL_PANORAMA = b"FullPanoWidthPixels"
_CAMERAS_360 = ("theta", "insta360", "gear 360", "gopro max", "qoocam", "vuze", "pano")


def focal_px(source: Image.Image) -> tuple[float | None, str]:
    """Focal length in pixels and, failing that, why.

    The 35 mm equivalent is read by diagonals (CIPA DCG-001). The sensor's pixel pitch comes second:
    it refers to the recorded size, so a picture resized since is scaled, and one cropped since
    (another aspect) is not believed at all.
    """
    try:
        exif = source.getexif().get_ifd(_EXIF_IFD)
    except Exception:  # a damaged EXIF block must not cost the picture
        return None, "EXIF cannot be read"
    width, height = source.size
    short_px, long_px = sorted((width, height))
    if long_px > _LONGEST_ASPECT * short_px:
        return None, f"no camera takes {width}x{height} in one picture (a panorama, or a crop?)"
    was_short, was_long = sorted((_number(exif.get(_WIDTH_PX)), _number(exif.get(_HEIGHT_PX))))
    scale = long_px / was_long if was_long > 0 else 1.0
    if was_short > 0 and abs(was_short * scale - short_px) > 0.01 * short_px + 1:
        return None, "EXIF describes a picture of another shape (cropped since?)"
    diagonal_px = math.hypot(width, height)
    candidates = [_number(exif.get(_FOCAL_LENGTH_35MM)) / _FILM_DIAGONAL_MM * diagonal_px]
    unit_mm = _UNIT_MM.get(int(_number(exif.get(_FOCAL_PLANE_UNIT, 2))), 0.0)
    if unit_mm > 0:
        per_mm = _number(exif.get(_FOCAL_PLANE_X_RESOLUTION)) / unit_mm
        candidates.append(_number(exif.get(_FOCAL_LENGTH_MM)) * per_mm * scale)
    candidates = [f_px for f_px in candidates if f_px > 0]
    low, high = _SANE_LONG_SIDE_FOV_DEG
    for f_px in candidates:
        if low <= math.degrees(2 * math.atan(long_px / 2 / f_px)) <= high:
            return f_px, ""
    if candidates:
        return None, f"EXIF's focal length ({candidates[0]:.4g} px) is not believable"
    return None, "no focal length in EXIF"


def orientation(source: Image.Image) -> int:
    """How the stored picture is to be shown, 1 to 8; 1, as it is, where nothing says so."""
    try:
        found = source.getexif().get(_ORIENTATION, 1)
    except Exception:  # a damaged EXIF block must not cost the picture
        return 1
    return found if found in range(1, 9) else 1


def panorama(source: Image.Image) -> str | None:
    """What says that the picture is stitched or of another projection; None if nothing does."""
    info = source.info
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    xmp = xmp if isinstance(xmp, bytes) else str(xmp).encode()
    kinds = [kind.lower() for kind in _PROJECTION.findall(xmp)]
    curved = [kind for kind in kinds if kind not in _FLAT]
    if curved:
        return f"XMP calls it {curved[0].decode()}"
    if _FULL_PANORAMA in xmp and not kinds:
        return "XMP calls it part of a panorama"
    try:
        exif = source.getexif()
        rendered = exif.get_ifd(_EXIF_IFD).get(_CUSTOM_RENDERED)
        maker = f"{exif.get(0x010F, '')} {exif.get(0x0110, '')}".lower()
    except Exception:  # a damaged EXIF block must not cost the picture
        return None
    if rendered == _PANORAMA:
        return "EXIF calls it a panorama"
    short_px, long_px = sorted(source.size)
    if long_px == 2 * short_px and any(name in maker for name in _CAMERAS_360):
        return f"it is twice as wide as high and by a 360-degree camera ({maker.strip()})"
    return None


def _number(value: object) -> float:
    """A tag's value as a finite float; 0, which EXIF uses for unknown, when it is anything else."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) else 0.0
