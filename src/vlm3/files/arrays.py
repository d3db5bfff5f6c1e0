"""`.npy` and `.npz` files: kinds and shapes are checked before anything is allocated."""

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.files.reading import MEGABYTE, why

LARGEST_ARRAY = 2048 * MEGABYTE
"""Bytes of an array that is read; one that is mapped may have any size."""

Kind = np.dtype[Any] | str
"""A dtype, or the letters of the kinds allowed: "f" floats, "i" and "u" whole numbers."""
Shape = Sequence[int | None] | None
"""A length for each axis, where None is any; None for any axes."""

# numpy reads a header as a Python literal, and what that raises depends on the damage.
_HEADER_ERRORS = (
    ValueError, EOFError, OSError, SyntaxError, TypeError, KeyError, IndexError, AttributeError,
    OverflowError, RecursionError, MemoryError, struct.error, tokenize.TokenError,
)  # fmt: skip
ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, KeyError,
    OverflowError, NotImplementedError, RuntimeError, struct.error,
)  # fmt: skip
"""What `zipfile` raises on damaged bytes."""


def read_array(path: Path, kind: Kind, shape: Shape, *, mapped: bool = False) -> NDArray[Any]:
    """The array of a `.npy` file, or a read-only map of it.

    Raises:
        InputError: no such file, or not an array of that kind and shape and nothing else.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if not mapped and size > LARGEST_ARRAY:
                raise InputError(
                    f"{str(path)!r} has {size} bytes; at most {LARGEST_ARRAY} are read"
                )
            dtype, found, fortran = _header(file, str(path), size, kind, shape)
            if mapped and 0 not in found:
                offset, order = file.tell(), "F" if fortran else "C"
                return np.memmap(path, dtype, "r", offset, found, order)  # type: ignore[call-overload,no-any-return]
            return _values(file, dtype, found, fortran)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error


def read_arrays(path: Path, wanted: Mapping[str, tuple[Kind, Shape]]) -> dict[str, NDArray[Any]]:
    """Arrays of a `.npz` file by name; others in it are not read.

    Raises:
        InputError: no such file, one of them is missing, or not of its kind and shape.
    """
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name, (kind, shape) in wanted.items():
                entry = archive.getinfo(f"{name}.npy")
                if entry.file_size > LARGEST_ARRAY:
                    raise InputError(
                        f"{path}: {name} has {entry.file_size} bytes; at most {LARGEST_ARRAY} "
                        "are read"
                    )
                with archive.open(entry) as member:
                    # One byte more than it says it has shows that it lied; the end, its checksum.
                    data = member.read(entry.file_size + 1)
                place = f"{path}: {name}"
                file = io.BytesIO(data)
                dtype, own, fortran = _header(file, place, len(data), kind, shape)
                found[name] = _values(file, dtype, own, fortran)
    except ZIP_ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{str(path)!r} is no .npz file with {', '.join(wanted)} ({why(error)})"
        ) from error
    return found


def array_names(path: Path) -> list[str]:
    """The names of the arrays in a `.npz` file; empty for a file that is none.

    Raises:
        InputError: it begins as one and is damaged.
    """
    try:
        if not zipfile.is_zipfile(path):
            return []
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except ZIP_ERRORS as error:
        raise InputError(f"{str(path)!r} is no .npz file ({why(error)})") from error


def _header(
    file: IO[bytes], name: str, size: int, kind: Kind, shape: Shape
) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Dtype, shape and order; the file stands at the first value then."""
    try:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"version {version}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        found, fortran, dtype = read(file)
        length = int(np.prod(np.array(found, dtype=object), initial=1)) * dtype.itemsize
    except _HEADER_ERRORS as error:
        raise InputError(f"{name} is no .npy array ({why(error)})") from error
    good_kind = dtype.kind in kind if isinstance(kind, str) else dtype == kind
    wanted = [None] * len(found) if shape is None else list(shape)
    wide = "any shape" if shape is None else str(tuple("n" if n is None else n for n in shape))
    good_shape = len(found) == len(wanted) and all(
        n >= 0 and (want is None or n == want) for n, want in zip(found, wanted, strict=True)
    )
    if not good_kind or dtype.hasobject or not good_shape:
        what = f"kind {kind!r}" if isinstance(kind, str) else f"{kind!s:.80}"
        raise InputError(
            f"{name} holds {dtype!s:.80} of shape {found!s:.40}; expected {what}, {wide}"
        )
    if file.tell() + length != size:
        raise InputError(
            f"{name} has {size} bytes, but an array of shape {found} needs {file.tell() + length}"
        )
    return dtype, found, fortran


def _values(
    file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool
) -> NDArray[Any]:
    values = np.frombuffer(file.read(), dtype).copy()
    return values.reshape(shape, order="F" if fortran else "C")
