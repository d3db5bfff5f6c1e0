"""Tables of numbers and lists of texts in MATLAB's MAT-files before version 7.3 (which is HDF5).

scipy reads them, in a process of its own: on damaged bytes its reader may end the process that it
runs in.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from vlm3.errors import InputError
from vlm3.files.reading import MEGABYTE, read_bytes

_LARGEST = 64 * MEGABYTE
_LONGEST_S = 120
_PROGRAM = """
import io, json, sys
from scipy.io import loadmat
found = loadmat(io.BytesIO(sys.stdin.buffer.read()))[sys.argv[1]].ravel(order="F")
cells = found.dtype == object
print(json.dumps(["".join(cell.ravel()) for cell in found] if cells else found.tolist()))
"""


def mat_numbers(path: Path, name: str) -> list[float]:
    """The numbers of an array, column by column.

    Raises:
        InputError: the file is missing or damaged, or has no numbers of that name.
    """
    values = _read(path, name)
    if not all(isinstance(value, int | float) for value in values):
        raise _damaged(path, name, "it holds no numbers")
    return values


def mat_texts(path: Path, name: str) -> list[str]:
    """The texts of a cell array, column by column.

    Raises:
        InputError: the file is missing or damaged, or has no cells of text of that name.
    """
    values = _read(path, name)
    if not all(isinstance(value, str) for value in values):
        raise _damaged(path, name, "it holds no cells of text")
    return values


def _read(path: Path, name: str) -> list[Any]:
    try:
        data = read_bytes(path, _LARGEST)
        ended = subprocess.run(
            [sys.executable, "-c", _PROGRAM, name],
            input=data,
            capture_output=True,
            timeout=_LONGEST_S,
            check=False,
        )
    except FileNotFoundError:
        raise InputError(f"there is no file {str(path)!r}") from None
    except subprocess.TimeoutExpired:
        raise _damaged(path, name, f"not within {_LONGEST_S} s") from None
    if ended.returncode:
        lines = ended.stderr.decode(errors="replace").strip().splitlines()
        raise _damaged(path, name, lines[-1][:200] if lines else f"exit {ended.returncode}")
    values: list[Any] = json.loads(ended.stdout)
    return values


def _damaged(path: Path, name: str, reason: str) -> InputError:
    return InputError(f"{str(path)!r} is no MATLAB file with {name!r} that can be read ({reason})")
