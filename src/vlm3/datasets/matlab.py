"""Tables of numbers and lists of texts in MATLAB's MAT-files of level 5 (versions 5 to 7).

The format is MathWorks' "MAT-File Format": a head of 128 bytes, then elements, each a tag with type
and size and its data. Read here because scipy's reader may end the whole process on damaged bytes.
Files of version 7.3 are HDF5.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.files.reading import MEGABYTE, read_bytes, why

_LARGEST = 64 * MEGABYTE
_HEAD = 128
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR = 1, 4
_NUMERIC_CLASSES = range(6, 16)
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_CODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}


def mat_numbers(path: Path, name: str) -> NDArray[np.float64]:
    """The numbers (n,) of an array, column by column.

    Raises:
        InputError: the file is missing or damaged, or has no numbers of that name.
    """
    found = _named(path, name)
    if found.kind not in _NUMERIC_CLASSES:
        raise _damaged(path, f"{name!r} holds no numbers")
    try:
        return found.numbers()
    except _ERRORS as error:
        raise _damaged(path, why(error)) from error


def mat_texts(path: Path, name: str) -> list[str]:
    """The texts of a cell array, column by column.

    Raises:
        InputError: the file is missing or damaged, or has no cells of text of that name.
    """
    found = _named(path, name)
    if found.kind != _CELL:
        raise _damaged(path, f"{name!r} holds no cells")
    try:
        return [cell.text() for cell in found.cells()]
    except _ERRORS as error:
        raise _damaged(path, why(error)) from error


_ERRORS = (ValueError, IndexError, struct.error, zlib.error)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{str(path)!r} is no MATLAB file that can be read ({reason})")


@dataclass(frozen=True)
class _Array:
    """An array of a file.

    Attributes:
        kind: its class.
        count: of numbers, letters or cells.
        name: empty for those within cells.
        content: the elements that hold it.
        order: "<" or ">", the order of bytes.
    """

    kind: int
    count: int
    name: str
    content: bytes
    order: str

    @classmethod
    def of(cls, data: bytes, order: str) -> "_Array":
        """From the data of a matrix element; an empty one is an empty array of numbers."""
        if not data:
            return cls(_NUMERIC_CLASSES[0], 0, "", b"", order)
        elements = _elements(data, order)
        kind = struct.unpack_from(f"{order}I", next(elements, _NONE)[1])[0] & 0xFF
        if kind not in _NUMERIC_CLASSES and kind not in (_CELL, _CHAR):
            # What else there is has other parts, and nothing that is wanted.
            return cls(kind, 0, "", b"", order)
        (_, sides, _), (_, name, end) = next(elements, _NONE), next(elements, _NONE)
        count = prod(np.frombuffer(sides, f"{order}i4").tolist())
        return cls(kind, count, name.decode("latin-1"), data[end:], order)

    def _only(self) -> tuple[int, bytes]:
        kind, data, _ = next(_elements(self.content, self.order), _NONE)
        return kind, data

    def numbers(self) -> NDArray[np.float64]:
        """All numbers; what is imaginary of them is not read."""
        if not self.count:
            return np.empty(0)
        kind, data = self._only()
        if kind not in _NUMBERS:
            raise ValueError(f"numbers of type {kind}")
        values = np.frombuffer(data, f"{self.order}{_NUMBERS[kind]}").astype(np.float64)
        if len(values) != self.count:
            raise ValueError(f"{len(values)} numbers where {self.count} are announced")
        return values

    def text(self) -> str:
        """The letters."""
        if not self.count:
            return ""
        kind, data = self._only()
        if self.kind != _CHAR or kind not in _CODINGS:
            raise ValueError("a cell that holds no text")
        sides = {"<": "-le", ">": "-be"}[self.order] if _CODINGS[kind] == "utf-16" else ""
        return data.decode(_CODINGS[kind] + sides)

    def cells(self) -> "Iterator[_Array]":
        """What its cells hold."""
        seen = 0
        for kind, data, _ in _elements(self.content, self.order):
            if kind != _MATRIX:
                raise ValueError(f"a cell of type {kind}")
            seen += 1
            yield _Array.of(data, self.order)
        if seen != self.count:
            raise ValueError(f"{seen} cells where {self.count} are announced")


_NONE = (0, b"", 0)


def _named(path: Path, name: str) -> _Array:
    try:
        data = read_bytes(path, _LARGEST)
        order = {b"IM": "<", b"MI": ">"}.get(data[_HEAD - 2 : _HEAD])
        if order is None:
            raise ValueError("no head of level 5")
        for kind, element, _ in _elements(data[_HEAD:], order):
            if kind == _COMPRESSED:
                whole = zlib.decompressobj().decompress(element, _LARGEST)
                kind, element, _ = next(_elements(whole, order), _NONE)
            if kind == _MATRIX and (found := _Array.of(element, order)).name == name:
                return found
    except FileNotFoundError:
        raise InputError(f"cannot read {str(path)!r} (there is no such file)") from None
    except _ERRORS as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(path, why(error)) from error
    raise _damaged(path, f"no {name!r} in it")


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes, int]]:
    """Type and data of each element, and where it ends; a ValueError where one is cut off."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        begin = at + 8
        if kind >> 16:
            # A small element: size and type share a word, and the data are in the tag.
            kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        end = begin + size
        if end > len(data):
            raise ValueError("cut short")
        # All but compressed elements fill whole eights of bytes.
        at = end if kind == _COMPRESSED else at + 8 + -(-(end - at - 8) // 8) * 8
        yield kind, data[begin:end], at
