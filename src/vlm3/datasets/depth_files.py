"""Depth in the encodings of foreign sets: OpenEXR, PFM, HDF5, floats in the bytes of a picture."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.datasets.files import integer_picture
from vlm3.errors import InputError, MissingDependencyError
from vlm3.files.reading import why

_FAR_PERCENTILE = 95


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
    printed = StringIO()
    try:
        # What is wrong with the pixels it prints, and goes on without them.
        with redirect_stdout(printed), OpenEXR.File(str(path), separate_channels=True) as file:
            channels = file.channels()
            if len(channels) != 1:
                raise InputError(f"{str(path)!r} has channels {', '.join(channels)}; expected one")
            values: NDArray[np.floating] = np.array(next(iter(channels.values())).pixels)
    except (RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        reason = printed.getvalue().strip().rpartition(" - ")[2][:160] or why(error)
        raise InputError(f"{str(path)!r} is no EXR file that can be read ({reason})") from error
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


def read_half_png(path: Path) -> NDArray[np.float16]:
    """Half floats whose bits are the shades of a 16-bit PNG, (height, width).

    Raises:
        InputError: the picture cannot be read, or has not 16 bits.
    """
    shades = integer_picture(path)
    if shades.min(initial=0) < 0 or shades.max(initial=0) > 0xFFFF:
        raise InputError(f"{str(path)!r} has shades beyond 16 bits; half floats have 16")
    return np.ascontiguousarray(shades, "<u2").view("<f2")


@contextmanager
def open_hdf5(path: Path) -> Iterator[Any]:
    """An HDF5 file while it is read: damage may show at any access.

    Raises:
        InputError: there is none, or it is damaged.
        MissingDependencyError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError("HDF5 needs h5py: pip install 'vlm3[data]'") from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{str(path)!r} is no HDF5 file that can be read ({why(error)})"
        ) from error
    with file:
        try:
            yield file
        except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{str(path)!r} is damaged ({why(error)})") from error


def read_hdf5(path: Path, name: str) -> NDArray[np.floating]:
    """The map of numbers (height, width) that an HDF5 file has under a name.

    Raises:
        InputError: the file is damaged, or has no such map.
        MissingDependencyError: h5py is not installed.
    """
    with open_hdf5(path) as file:
        found = file.get(name)
        if getattr(found, "ndim", 0) != 2 or found.dtype.kind not in "fiu":
            raise InputError(f"{str(path)!r} has no map of numbers named {name!r}")
        values: NDArray[np.floating] = np.asarray(found[()])
    return values


def of_size(values: NDArray[Any], width_px: int, height_px: int, path: Path) -> NDArray[Any]:
    """`values` if they are the picture's pixels.

    Raises:
        InputError: they are of another size.
    """
    if values.shape != (height_px, width_px):
        size = "x".join(map(str, values.shape[::-1]))
        raise InputError(f"{str(path)!r} is {size}, its picture {width_px}x{height_px}")
    return values


def without_far(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Depth with its farthest 5 % as NaN, as MapAnything's loader leaves out windows on the sky.

    The share is of all pixels, unknown ones counted as 0, as that loader takes it.
    """
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    return np.where(finite > np.percentile(finite, _FAR_PERCENTILE), np.nan, finite)


def positive(values: NDArray[np.floating], below: float = np.inf) -> NDArray[np.float64]:
    """Depth with NaN where it is not finite, zero, negative, or not below a limit."""
    found = values.astype(np.float64)
    return np.where((found > 0) & (found < below), found, np.nan)


def masked(depth: NDArray[np.float64], mask: Path) -> NDArray[np.float64]:
    """Depth with NaN where a black and white picture of the same size is black, if there is one."""
    if not mask.is_file():
        return depth
    with Image.open(mask) as valid:
        return np.where(np.asarray(valid.convert("L")) > 0, depth, np.nan)
