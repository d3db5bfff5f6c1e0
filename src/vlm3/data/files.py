"""Foreign files, decoded: JSON, matrices, depth pictures; each failure in one line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.errors import InputError

Floats = NDArray[np.float64]


def read_json(path: Path) -> Any:
    """A JSON file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {str(path)!r} as JSON ({error})") from error


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON-lines file with their line numbers, one line in memory at a time."""
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, _json_object(path, number, line)
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({error})") from error


def _json_object(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}, line {number} is no JSON ({error})") from error
    if not isinstance(row, dict):
        raise InputError(f"{path}, line {number} is no JSON object")
    return row


def one_file(folder: Path, pattern: str, what: str) -> Path:
    """The one file of that pattern in a folder.

    Raises:
        InputError: there is none, or there are several.
    """
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(p.name for p in found[:5]) or "none"
        raise InputError(f"{str(folder)!r} must hold one {what} ({pattern}); found {names}")
    return found[0]


def matrix(path: Path, rows: int, columns: int) -> Floats:
    """Numbers in a text file, row by row."""
    try:
        values = np.array(path.read_text(encoding="utf-8").split(), dtype=np.float64)
        return values.reshape(rows, columns)
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} does not hold {rows} x {columns} numbers") from error


def integer_picture(path: Path) -> NDArray[Any]:
    """A depth picture of one channel with more than 8 bits (height, width), as it lies.

    Raises:
        InputError: it cannot be read, has 8 bits or several channels.
    """
    try:
        with Image.open(path) as picture:
            mode, raw = picture.mode, np.asarray(picture)
    except OSError as error:
        raise InputError(f"cannot read the depth picture {str(path)!r} ({error})") from error
    if mode in ("1", "L", "P", "LA"):
        raise InputError(
            f"{path.name} has 8 bits: 256 shades of a drawing, not distances; write depth with "
            "16 bits, in millimetres"
        )
    if raw.ndim != 2:
        raise InputError(
            f"{path.name} has {raw.shape[-1]} channels ({mode}): colours that stand for depth are "
            "not read; write depth with one channel of 16 bits, in millimetres"
        )
    if mode.startswith("I;16"):
        return raw.astype(np.uint16)
    return raw


def depth_png_m(path: Path, *, unit_m: float = 0.001, highest: int = 65535) -> Floats:
    """A 16-bit depth picture in metres, NaN where it holds 0, or `highest` and more."""
    raw = integer_picture(path).astype(np.float64)
    return np.where((raw > 0) & (raw < highest), raw * unit_m, np.nan)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height from a picture's header."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except OSError as error:
        raise InputError(f"cannot read the picture {str(path)!r} ({error})") from error


def floats(path: Path, columns: int) -> Floats:
    """Little-endian float32 rows (n, columns), without a header."""
    try:
        values = np.fromfile(path, dtype="<f4").reshape(-1, columns)
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} holds no rows of {columns} floats ({error})") from error
    return values.astype(np.float64)
