"""Foreign files, decoded: JSON, matrices, depth pictures; each failure in one line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3.errors import InputError
from vlm3.files import reading
from vlm3.files.reading import MEGABYTE, why
from vlm3.files.schema import Check

LARGEST_TABLE = 4096 * MEGABYTE
"""Bytes of a JSON file of a published set; nuScenes' largest table has 1.2 GB."""
LARGEST_LINE = 64 * MEGABYTE
LARGEST_TEXT = 64 * MEGABYTE

Floats = NDArray[np.float64]


def read_json(path: Path, check: Check | None = None) -> Any:
    """A JSON file whose value passes `check` (`vlm3.files.schema`).

    Raises:
        InputError: it is missing, no JSON, too large or too deep, or another value.
    """
    try:
        return reading.read_json(path, check, most=LARGEST_TABLE)
    except FileNotFoundError:
        raise InputError(f"cannot read {str(path)!r} as JSON (there is no such file)") from None


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON-lines file with their line numbers, one line in memory at a time.

    Raises:
        InputError: the file cannot be read, or a line is no JSON object.
    """
    try:
        with path.open("rb") as lines:
            number = 0
            while line := lines.readline(LARGEST_LINE + 1):
                number += 1
                if len(line) > LARGEST_LINE:
                    raise InputError(f"{path}, line {number} has more than {LARGEST_LINE} bytes")
                if line.strip():
                    row = reading.parse_json(line, f"{path}, line {number}")
                    if not isinstance(row, dict):
                        raise InputError(f"{path}, line {number} is no JSON object")
                    yield number, row
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error


def read_text(path: Path) -> str:
    """A text file in UTF-8.

    Raises:
        InputError: it is missing, too large, or no text.
    """
    try:
        return reading.read_bytes(path, LARGEST_TEXT).decode()
    except FileNotFoundError:
        raise InputError(f"cannot read {str(path)!r} (there is no such file)") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is no text in UTF-8 ({why(error)})") from None


def files_in(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """The files of a folder and its subfolders, by path; none where it is not there.

    Links to folders are followed, but for those that lead back up. What is hidden (.NAME) is
    passed over.

    Args:
        folder: where to look.
        above: the folders that led here.
    """
    here = folder.resolve()
    if here in above or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from files_in(path, above | {here})
        elif path.is_file():
            yield path


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
        values = np.array(read_text(path).split(), dtype=np.float64)
        return values.reshape(rows, columns)
    except ValueError as error:
        raise InputError(f"{str(path)!r} does not hold {rows} x {columns} numbers") from error


def number_rows(path: Path, columns: int) -> Floats:
    """The lines of a text file (n, columns), each that many finite numbers.

    Raises:
        InputError: it cannot be read, or a line holds something else.
    """
    rows = []
    for place, line in enumerate(read_text(path).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            row = np.array(words, np.float64)
        except ValueError as error:
            raise InputError(f"{path}, line {place} is no row of numbers ({why(error)})") from None
        if len(row) != columns or not np.isfinite(row).all():
            raise InputError(
                f"{path}, line {place} has {len(row)} numbers; expected {columns} finite ones"
            )
        rows.append(row)
    return np.array(rows, np.float64).reshape(-1, columns)


def mvsnet_camera(path: Path) -> tuple[Floats, Floats]:
    """MVSNet's NUMBER_cam.txt (YoYo000/MVSNet, README.md): cam_from_world (4, 4) and K (3, 3).

    The words extrinsic and intrinsic with a matrix each, then the range of depth, which is not
    read.

    Raises:
        InputError: it is none.
    """
    words = read_text(path).split()
    if len(words) < 27 or words[0] != "extrinsic" or words[17] != "intrinsic":
        raise InputError(
            f"{str(path)!r} is no camera of MVSNet's: expected extrinsic with 16 numbers, then "
            "intrinsic with 9"
        )
    try:
        numbers = np.array([*words[1:17], *words[18:27]], np.float64)
    except ValueError as error:
        raise InputError(f"cannot read the camera {str(path)!r} ({why(error)})") from None
    if not np.isfinite(numbers).all():
        raise InputError(f"the camera {str(path)!r} holds a number that is not finite")
    return numbers[:16].reshape(4, 4), numbers[16:].reshape(3, 3)


def integer_picture(path: Path) -> NDArray[Any]:
    """A depth picture of one channel with more than 8 bits (height, width), as it lies.

    Raises:
        InputError: it cannot be read, has 8 bits or several channels.
    """
    try:
        with Image.open(path) as picture:
            mode, raw = picture.mode, np.asarray(picture)
    except OSError as error:
        raise InputError(f"cannot read the depth picture {str(path)!r} ({why(error)})") from error
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
    # Headers make Pillow raise nearly anything.
    except Exception as error:
        raise InputError(f"cannot read the picture {str(path)!r} ({why(error)})") from error


def floats(path: Path, columns: int) -> Floats:
    """Little-endian float32 rows (n, columns), without a header."""
    try:
        # A count that does not divide the file would be cut off without a word.
        if path.stat().st_size % (4 * columns):
            raise ValueError(f"{path.stat().st_size} bytes")
        values = np.fromfile(path, dtype="<f4").reshape(-1, columns)
    except (OSError, ValueError, ZeroDivisionError) as error:
        raise InputError(
            f"{str(path)!r} holds no rows of {columns} floats ({why(error)})"
        ) from error
    return values.astype(np.float64)
