"""Depth in the encodings of foreign sets: OpenEXR, PFM, floats in the bytes of a picture."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.errors import InputError, MissingDependencyError
from vlm3.files.reading import why


def read_exr(path: Path) -> NDArray[np.floating]:
    """The one channel of an EXR file, (height, width), in its own precision.

    Raises:
        InputError: the file cannot be read, or has several channels.
        MissingDependencyError: OpenEXR is not installed.
    """
    try:
        import OpenEXR
    except ImportError as error:
        raise MissingDependencyError("EXR files need OpenEXR: pip install 'vlm3[data]'") from error
    if not path.is_file():
        raise InputError(f"no depth file {str(path)!r}")
    try:
        with OpenEXR.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            if len(channels) != 1:
                raise InputError(f"{str(path)!r} has channels {', '.join(channels)}; expected one")
            values: NDArray[np.floating] = np.array(next(iter(channels.values())).pixels)
    except (RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{str(path)!r} is no EXR file that can be read ({why(error)})") from error
    return values


def read_pfm(path: Path) -> NDArray[np.float32]:
    """A grey PFM file, (height, width), its first row on top: the file has its last row first.

    Raises:
        InputError: it is none, or cut off.
    """
    try:
        data = path.read_bytes()
        kind, size, scale, pixels = data.split(b"\n", 3)
        width, height = (int(v) for v in size.split())
        if kind.strip() != b"Pf":
            raise ValueError(f"starts with {kind[:8]!r}, not Pf")
        # A negative scale says that the lowest byte comes first.
        values = np.frombuffer(pixels, "<f4" if float(scale) < 0 else ">f4", width * height)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error
    except ValueError as error:
        raise InputError(f"{str(path)!r} is no grey PFM file ({why(error)})") from error
    return values.reshape(height, width)[::-1].astype(np.float32)


def read_float_png(path: Path) -> NDArray[np.float32]:
    """Floats whose four bytes are a PNG's blue, green, red and alpha, (height, width).

    Raises:
        InputError: the picture cannot be read or has no alpha.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode != "RGBA":
                raise InputError(f"{str(path)!r} is {picture.mode}; floats lie in RGBA")
            rgba = np.asarray(picture)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error
    bgra = np.ascontiguousarray(rgba[..., [2, 1, 0, 3]])
    return bgra.view("<f4")[..., 0]
