"""Bytes of a stored picture to pixels: simplejpeg where it is installed, else Pillow."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.errors import InputError
from vlm3.files.reading import why
from vlm3.pictures import LARGEST_PX

try:
    from simplejpeg import decode_jpeg, decode_jpeg_header
except ImportError:  # Pillow decodes the same pixels, 1.5 times slower.
    decode_jpeg = None


def decode(picture: bytes) -> NDArray[np.uint8]:
    """A JPEG or PNG as (H, W, 3).

    Raises:
        InputError: it is damaged.
    """
    try:
        if decode_jpeg is not None and picture[:2] == b"\xff\xd8":
            _check_size(*decode_jpeg_header(picture)[:2])
            return np.asarray(decode_jpeg(picture))
        with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as image:
            _check_size(*image.size)
            return np.array(image.convert("RGB"))
    # Decoders raise nearly anything on damaged bytes.
    except Exception as error:
        raise InputError(f"the picture is damaged ({why(error)})") from error


def _check_size(one_side: int, other: int) -> None:
    """The size that a header promises decides how much a decoder allocates."""
    if one_side * other > LARGEST_PX:
        raise InputError(f"{one_side} x {other} pixels; at most {LARGEST_PX} are decoded")
