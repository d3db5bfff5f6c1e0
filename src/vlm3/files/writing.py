"""Files that appear whole or not at all, and what a killed writer leaves behind.

A file is written as NAME.HOST-PID-NUMBER.partial and renamed when it is whole. Whoever comes next
removes the partial files of processes that are gone, and of no others.
"""

import itertools
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vlm3.errors import InputError

_HOST = re.sub(r"[^A-Za-z0-9]+", "_", socket.gethostname())[:40]
_NAME = re.compile(r"\.(?:(\w{0,40})-)?(\d{1,10})(?:-\d+)?\.partial$")
_NUMBERS = itertools.count()
_OPEN: set[Path] = set()
# A process on another machine cannot be asked; no file takes so long to write.
_FORGOTTEN_S = 24 * 3600


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The path to write to; renamed to `path` at the end, removed on any error.

    Raises:
        InputError: the file cannot be written: a full disk, a folder that is read-only.
    """
    name = f"{path.name}.{_HOST}-{os.getpid()}-{next(_NUMBERS)}.partial"
    partial = (path.parent / name).absolute()
    _OPEN.add(partial)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"cannot write to {str(path)!r} ({reason})") from error
    finally:
        # On a disk that went read-only there is nothing to remove either.
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        _OPEN.discard(partial)


def write_file(path: Path, data: bytes) -> None:
    """Writes a whole file.

    Raises:
        InputError: it cannot be written; what was there before stays.
    """
    with whole_file(path) as partial:
        partial.write_bytes(data)


def clear_partials(folder: Path) -> None:
    """Removes the partial files whose writers are gone."""
    for path in folder.glob("*.partial"):
        match = _NAME.search(path.name)
        if match and path.absolute() not in _OPEN and _abandoned(path, match[1], int(match[2])):
            path.unlink(missing_ok=True)


def _abandoned(path: Path, host: str | None, pid: int) -> bool:
    if host not in (None, _HOST):
        try:
            return time.time() - path.stat().st_mtime > _FORGOTTEN_S
        except FileNotFoundError:
            return False
    if pid == os.getpid():
        # Of a process before this one that had the same number.
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False
