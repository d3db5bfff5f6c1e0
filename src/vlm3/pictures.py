"""From a file, a Pillow image or an array to 8-bit RGB.

The only place that decodes picture files. Formats are limited to those whose decoders need no other
program, sizes are checked before decoding, and every failure is one line. Knows no camera: what
EXIF says of one is read by `exif`.

EXIF may say that a picture is shown turned. A caller says whether the picture's camera
turns with it: then the picture comes upright; a camera of the stored pixels needs them as stored.

What becomes of other pictures:
    grey, 1-bit, palette, YCbCr, HSV   converted to RGB
    CMYK                  converted to RGB by Pillow's plain formula; ICC profiles are ignored
    alpha, transparency   laid over white
    16 bits a channel     the high byte (value >> 8)
    MPO (phone cameras)   its first picture
    HEIC, HEIF            its primary picture, with the package pillow-heif
    animated, several pages, 32-bit or float values, Lab   refused

Pillow itself warns from 89 megapixels on; vlm3 refuses from 150, before decoding.
"""

import io
import os
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from vlm3 import exif
from vlm3.errors import InputError

LARGEST_PX = 150_000_000
SMALLEST_SIDE_PX = 16

# MPO needs no name of its own: Pillow's JPEG reader finds it.
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF", "AVIF", "HEIF")
_UPLOAD = "the picture"
_NAMES = "PNG, JPEG, WebP, AVIF, TIFF, BMP, PPM, a still GIF, or HEIC with pip install 'vlm3[heic]'"

# Brands of an ISO media file that holds HEIF pictures, in its bytes 8 to 12.
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture.

    Attributes:
        image: (height, width, 3) uint8, upright or as stored.
        name: what messages call it.
        path: where it came from, if a file.
        exif_f_px: focal length in pixels from EXIF, if there is a believable one.
        exif_problem: why EXIF gave none, for the warning.
        orientation: EXIF's, 1 to 8: how the stored picture is to be shown; 1 for as it is.
        panorama: what says that no pinhole camera took it, if something does.
    """

    image: NDArray[np.uint8]
    name: str
    path: str | None
    exif_f_px: float | None = None
    exif_problem: str = "no focal length in EXIF"
    orientation: int = 1
    panorama: str | None = None


def read_picture(source: object, *, upright: bool = True) -> Picture:
    """Decode `source`: a path, bytes of a file, a Pillow image, or (height, width, 3) uint8.

    Args:
        source: what to decode.
        upright: turn it as EXIF says it is shown. False leaves it as stored, for a camera that
            describes the stored pixels.

    Raises:
        InputError: anything that is not one still picture of a sane size; one line.
    """
    if isinstance(source, np.ndarray):
        return Picture(
            _checked_array(source), "the array", None, exif_problem="arrays have no EXIF"
        )
    if isinstance(source, Image.Image):
        return _from_pillow(source, "the Pillow image", None, upright)
    if isinstance(source, bytes):
        with closing(_opened(io.BytesIO(source), _UPLOAD)) as image:
            return _from_pillow(image, _UPLOAD, None, upright)
    if isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        if isinstance(path, str):
            return _from_file(path, upright)
    raise InputError(
        f"a picture cannot be a {type(source).__name__}; give a path, a file's bytes, "
        "a Pillow image, or a (height, width, 3) uint8 array"
    )


def _from_file(path: str, upright: bool) -> Picture:
    name = repr(path)
    if "://" in path:
        raise InputError(f"{name} is an address, not a file; download the picture first")
    try:
        file = Path(path)
        if file.is_dir():
            raise InputError(f"{name} is a folder; give one picture file")
        if not file.is_file():
            what = "is not a regular file" if file.exists() else "does not exist"
            raise InputError(f"{name} {what}; give the path of a picture: {_NAMES}")
        if file.stat().st_size == 0:
            raise InputError(f"{name} is empty (0 bytes); give a picture: {_NAMES}")
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be opened ({_line(error)}); check the file") from error
    with closing(_opened(file, name)) as opened:
        return _from_pillow(opened, name, path, upright)


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a picture file, from its header: nothing is decoded.

    Raises:
        InputError: the bytes are no picture that can be read.
    """
    with closing(_opened(io.BytesIO(data), _UPLOAD)) as opened:
        width, height = opened.size
    return width, height


def _opened(file: Path | io.BytesIO, name: str) -> Image.Image:
    """The picture with its header read."""
    Image.init()  # registers what this build of Pillow can read; AVIF may be absent
    _register_heif()
    try:
        return Image.open(file, formats=[name for name in _FORMATS if name in Image.OPEN])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name) from error
    except UnidentifiedImageError as error:
        if _is_heif(file):
            raise InputError(
                f"{name} is a HEIC picture, as iPhones take them: pip install 'vlm3[heic]' to read "
                "it, or save it as JPEG"
            ) from error
        raise InputError(
            f"{name} is not a picture that can be read; allowed are {_NAMES}: convert it first"
        ) from error
    # Decoders raise nearly anything on hostile bytes; whatever it is, the file cannot be read.
    except Exception as error:
        raise InputError(f"{name} cannot be opened ({_line(error)}); check the file") from error


@cache
def _register_heif() -> None:
    """Makes Pillow read HEIF where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()


def _is_heif(file: Path | io.BytesIO) -> bool:
    if isinstance(file, io.BytesIO):
        head = file.getvalue()[:12]
    else:
        with file.open("rb") as opened:
            head = opened.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _from_pillow(source: Image.Image, name: str, path: str | None, upright: bool) -> Picture:
    width, height = source.size
    # Sizes stand in the header, so this comes before any pixel is decoded.
    if width * height > LARGEST_PX:
        raise _too_large(name, width, height)
    if min(width, height) < SMALLEST_SIDE_PX:
        raise _too_small(name, width, height)
    try:
        # Both show their first or primary picture.
        whole = source.format in ("MPO", "HEIF")
        frames = 1 if whole else getattr(source, "n_frames", 1)
        if frames > 1:
            raise InputError(
                f"{name} holds {frames} pictures (animated, or several pages); "
                "give one still picture: extract the frame you mean"
            )
        source.load()
        f_px, problem = exif.focal_px(source)
        orientation, panorama = exif.orientation(source), exif.panorama(source)
        image = _rgb(_upright(source) if upright else source, name)
    except InputError:
        raise
    # As above: truncated and damaged files fail here, in many ways.
    except Exception as error:
        raise InputError(
            f"{name} is truncated or damaged ({_line(error)}); get a complete copy of the file"
        ) from error
    return Picture(image, name, path, f_px, problem, orientation, panorama)


def _upright(source: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(source)
    except Exception:
        # Unreadable EXIF says nothing about orientation: the picture stays as stored.
        return source


def _rgb(upright: Image.Image, name: str) -> NDArray[np.uint8]:
    if upright.mode.startswith("I"):
        return _high_byte(upright, name)
    # Pillow would clip float values without a word, and cannot convert Lab or premultiplied grey.
    if upright.mode in ("F", "LAB", "La"):
        raise InputError(
            f"{name} has pixels of Pillow's mode {upright.mode}; convert it to 8-bit RGB first"
        )
    if upright.has_transparency_data:
        pixels = upright.convert("RGBA")
        white = Image.new("RGBA", pixels.size, "white")
        upright = Image.alpha_composite(white, pixels)
    return np.array(upright.convert("RGB"), dtype=np.uint8)


def _high_byte(image: Image.Image, name: str) -> NDArray[np.uint8]:
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise InputError(
            f"{name} has 32-bit values from {values.min()} to {values.max()}; "
            "convert it to 8-bit RGB first"
        )
    grey = (values.astype(np.uint32) >> 8).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def _checked_array(array: NDArray[np.generic]) -> NDArray[np.uint8]:
    if array.ndim != 3 or array.shape[2] != 3:
        hint = "give (height, width, 3) uint8, RGB"
        if array.ndim == 2:
            hint = "repeat grey three times along a last axis"
        elif array.ndim == 3 and array.shape[0] == 3:
            hint = "move the channels last: array.transpose(1, 2, 0)"
        elif array.ndim == 3 and array.shape[2] == 4:
            hint = "drop or blend alpha: a picture has 3 channels"
        raise InputError(f"the array has shape {array.shape}; {hint}")
    if array.dtype != np.uint8:
        raise InputError(
            f"the array holds {array.dtype}; give uint8 from 0 to 255 "
            "(floats in 0..1: multiply by 255, round, then astype(uint8))"
        )
    height, width = array.shape[:2]
    if min(width, height) < SMALLEST_SIDE_PX:
        raise _too_small("the array", width, height)
    if width * height > LARGEST_PX:
        raise _too_large("the array", width, height)
    return np.array(array, dtype=np.uint8, order="C")


def _too_large(name: str, width: int | None = None, height: int | None = None) -> InputError:
    size = f"{width}x{height}" if width else "far too many pixels"
    return InputError(
        f"{name} has {size}; at most {LARGEST_PX // 10**6} megapixels are decoded: "
        "make it smaller first"
    )


def _too_small(name: str, width: int, height: int) -> InputError:
    return InputError(
        f"{name} is {width}x{height}; each side must have at least {SMALLEST_SIDE_PX} px: "
        "give a larger picture"
    )


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())[:120]
    return text or type(error).__name__
