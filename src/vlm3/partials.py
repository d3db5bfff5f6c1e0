"""Files and folders that are being written: made, held by a lock, removed when their writer died.

A killed process cannot remove its own: the next one that writes into that folder does, and knows a
dead writer's file from a living one's by the lock on it, which the kernel releases.
"""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIALS = ".vlm3-*.partial"
"""What incomplete files and folders are called."""
_ASIDE = re.compile(r"\.vlm3-(.+)\.aside")
# Of Linux's renameat2: paths as they are, and both names change places at once.
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2

swept: set[Path] = set()
"""Folders that this process has looked through."""


def restored(folder: str | os.PathLike[str]) -> None:
    """Brings back folders that a process in `folder` had put aside when it was killed.

    What else killed processes left there is removed.

    Only for who may write there: it would take back what another process is about to replace.
    """
    sweep(Path(folder))
    for aside in sorted(Path(folder).glob(".vlm3-*.aside")):
        name = _ASIDE.fullmatch(aside.name)
        if name is None:
            continue
        if (there := aside.with_name(name[1])).exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(there)


@contextmanager
def partial_folder(parent: Path) -> Iterator[Path]:
    """A new folder, which is removed unless it has another name by the end of the block."""
    sweep(parent)
    partial, held = begin(parent, folder=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(held)


def exchanged(one: Path, other: Path) -> bool:
    """Gives each of two names to the other's folder, at once; False where that cannot be done."""
    # Here, since start-up would pay for it.
    import ctypes

    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError):
        return False
    names = os.fsencode(one), os.fsencode(other)
    done: int = rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    return done == 0


def begin(parent: Path, *, folder: bool) -> tuple[Path, int]:
    """A new file or folder of nobody else's, and the descriptor that holds its lock."""
    while True:
        partial = parent / f".vlm3-{os.getpid()}-{secrets.token_hex(4)}.partial"
        if folder:
            partial.mkdir()
            held = os.open(partial, os.O_RDONLY)
        else:
            held = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        _lock(held)
        # Another process may have taken it for a dead one's before it was locked.
        if partial.exists():
            return partial, held
        os.close(held)


def sweep(folder: Path) -> None:
    """Removes what killed processes left there; once a folder and process."""
    if folder in swept:
        return
    swept.add(folder)
    for left in folder.glob(PARTIALS):
        try:
            held = os.open(left, os.O_RDONLY)
        except OSError:
            continue
        try:
            if _lock(held):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)
        finally:
            os.close(held)


def _lock(held: int) -> bool:
    """Takes the lock; False where another has it, or the file system has none."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
