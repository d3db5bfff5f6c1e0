"""One writer a folder: a lock that the kernel releases when its process ends, however it ends.

The lock is `flock` on a file in the folder. The file says who holds it, for the one who comes
second; a file that a killed process left behind holds nobody up. Knows no command.
"""

import errno
import fcntl
import json
import os
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from vlm3 import disk
from vlm3.errors import InputError

NAME = ".writer.lock"
"""The file in a folder that is being written."""


class _Held:
    """An open lock file. A forked child closes its copy, so that no orphan keeps the lock."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        _OPEN.add(self)


_OPEN: "weakref.WeakSet[_Held]" = weakref.WeakSet()


def _close_in_child() -> None:
    for held in list(_OPEN):
        # Closing a copy leaves the parent's lock as it is; LOCK_UN would not.
        os.close(held.descriptor)
    _OPEN.clear()


os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def writing(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Holds a folder for writing, for the length of the block.

    Args:
        folder: made if missing.
        shared: with others that ask for the same: the ranks of one array job. They keep out one
            who wants the folder alone, and are kept out by one.

    Raises:
        InputError: another process writes there (named with its host and since when), the folder
            is a file, or nothing can be written in it.
    """
    with disk.naming(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held = _take(folder / NAME, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"{str(folder)!r} is a file; give a folder") from error
    try:
        yield
    finally:
        _release(held, folder / NAME, shared=shared)


def _take(path: Path, kind: int) -> _Held | None:
    """The lock, or None on a file system that has none."""
    # A rank that leaves holds the file alone for a moment, to remove it: that keeps nobody out.
    patience = 40 if kind == fcntl.LOCK_SH else 0
    while True:
        held = _Held(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
        try:
            fcntl.flock(held.descriptor, kind | fcntl.LOCK_NB)
        except OSError as error:
            note = os.pread(held.descriptor, 4096, 0)
            _close(held)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                if patience:
                    patience -= 1
                    time.sleep(0.025)
                    continue
                raise InputError(
                    f"{str(path.parent)!r} is being written by {_holder(note)}: wait for it, end "
                    "it, or give another folder"
                ) from None
            if error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                return None
            raise
        # Whoever had the lock before removes the file: then this lock is on a file that is gone.
        if _is_still(held.descriptor, path):
            break
        _close(held)
    note = json.dumps(
        {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        },
        allow_nan=False,
    ).encode()
    try:
        os.ftruncate(held.descriptor, 0)
        os.pwrite(held.descriptor, note, 0)
    except OSError:
        # A full disk: the lock holds all the same, and the note is a courtesy.
        pass
    return held


def _release(held: _Held | None, path: Path, *, shared: bool) -> None:
    if held is None:
        return
    if shared:
        try:
            # The last of several removes the file.
            fcntl.flock(held.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _close(held)
            return
    # Removed while held, so that nobody can lock it in between and lose it.
    path.unlink(missing_ok=True)
    _close(held)


def _close(held: _Held) -> None:
    if held in _OPEN:
        _OPEN.discard(held)
        os.close(held.descriptor)


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)


def _holder(note: bytes) -> str:
    try:
        told = json.loads(note)
        return (
            f"process {int(told['pid'])} on {str(told['host'])[:80]!r} since {told['since']!s:.40}"
        )
    except (ValueError, TypeError, KeyError):
        return "another process"
