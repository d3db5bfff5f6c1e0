"""Files on disk: whole or not there, and one line where nothing can be written.

What is written goes into a file or folder beside its place and is moved there when it is complete;
on any error, Ctrl-C included, it is removed, and what killed processes left there too (`partials`).
Knows no command.

    whole          a file
    whole_folder   files among others that may lie in a folder already
    new_folder     a folder in place of the one before, such as a checkpoint
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vlm3 import partials
from vlm3.errors import InputError, Vlm3Error

_NEVER_READING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_CAUSES = {
    errno.ENOSPC: ("the disk is full", "make room, or name another place"),
    errno.EDQUOT: ("your quota of the disk is used up", "make room, or name another place"),
    errno.EFBIG: ("it is larger than a file may be here", "see ulimit -f, or name another place"),
    errno.EROFS: ("the disk is read-only", "name another place"),
    errno.EACCES: ("no permission to write there", "name another place"),
    errno.EPERM: ("no permission to write there", "name another place"),
    errno.ENAMETOOLONG: ("the name is too long", "give a shorter one"),
    errno.EISDIR: ("it is a folder", "give a file's name"),
    errno.ENOTDIR: ("what should be a folder on the way there is a file", "name another place"),
    errno.ENOTEMPTY: ("another process has written there meanwhile", "name another place"),
    errno.EEXIST: ("what should be a folder on the way there is a file", "name another place"),
}
# Libraries in Rust and C++ tell the system's error in words only.
_IN_WORDS = re.compile(r"\(os error (\d+)\)|Os \{ code: (\d+)")


@contextmanager
def whole(path: str | os.PathLike[str], *, then: str = "") -> Iterator[Path]:
    """Gives a path to write to, and moves what was written to `path` when the block has passed.

    Folders on the way are made; a link is followed; a device or pipe is written as it is.

    Args:
        path: the file.
        then: what to do instead of the advice of `naming`.

    Raises:
        InputError: as `naming`.
    """
    target = Path(path)
    with naming(target, then=then):
        real = Path(os.path.realpath(target))
        kind = _kind(real)
        if kind is not None and not stat.S_ISREG(kind):
            if stat.S_ISDIR(kind):
                raise _error(errno.EISDIR, target)
            yield real
            return
        if kind is not None and not os.access(real, os.W_OK):
            raise _error(errno.EACCES, target)
        real.parent.mkdir(parents=True, exist_ok=True)
        partials.sweep(real.parent)
        partial, held = partials.begin(real.parent, folder=False)
        try:
            if kind is not None:
                os.fchmod(held, stat.S_IMODE(kind))
            yield partial
            sync(partial)
            partial.replace(real)
        finally:
            partial.unlink(missing_ok=True)
            os.close(held)


@contextmanager
def whole_folder(path: str | os.PathLike[str], *, then: str = "") -> Iterator[Path]:
    """Gives a folder to write into, and moves its files into `path` when the block has passed.

    A folder that is not there yet appears whole. Into one that is, files are moved one by one, and
    those that lie there under other names stay.

    Args:
        path: the folder.
        then: what to do instead of the advice of `naming`.

    Raises:
        InputError: as `naming`.
    """
    target = Path(path)
    with naming(target, then=then):
        real = _real_folder(target)
        there_before = real.is_dir()
        # A folder that is there may be a mount: only inside it can files be moved to it.
        with partials.partial_folder(real if there_before else real.parent) as partial:
            yield partial
            _sync_all(partial)
            if not there_before:
                partial.rename(real)
                return
            for file in sorted(partial.rglob("*")):
                there = real / file.relative_to(partial)
                if file.is_dir():
                    there.mkdir(parents=True, exist_ok=True)
                else:
                    file.replace(there)


@contextmanager
def new_folder(path: str | os.PathLike[str], *, then: str = "") -> Iterator[Path]:
    """Gives a folder to write into, which takes the place of `path` when the block has passed.

    At every moment the folder of before is there, or the new one, whole. Where the file system
    cannot exchange two names the one before is put aside for a moment; if the process is killed
    just then, `partials.restored` brings it back.

    Args:
        path: the folder.
        then: what to do instead of the advice of `naming`.

    Raises:
        InputError: as `naming`.
    """
    target = Path(path)
    with naming(target, then=then):
        real = _real_folder(target)
        partials.restored(real.parent)
        with partials.partial_folder(real.parent) as partial:
            yield partial
            _sync_all(partial)
            if not real.is_dir():
                partial.rename(real)
            elif not partials.exchanged(partial, real):
                try:
                    real.rename(real.with_name(f".vlm3-{real.name}.aside"))
                    partial.rename(real)
                finally:
                    partials.restored(real.parent)


def write(path: str | os.PathLike[str], data: bytes | str, *, then: str = "") -> Path:
    """Writes a whole file, text as UTF-8; returns its path.

    Raises:
        InputError: as `naming`.
    """
    with whole(path, then=then) as partial:
        partial.write_bytes(data.encode("utf-8", "replace") if isinstance(data, str) else data)
    return Path(path)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Makes a folder and those above it, where they are missing; returns its path.

    Raises:
        InputError: as `naming`.
    """
    with naming(path):
        Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


@contextmanager
def naming(path: str | os.PathLike[str], *, then: str = "") -> Iterator[None]:
    """Reports what a disk refuses in the block in one line that names `path`.

    Args:
        path: what is being written.
        then: what to do; else what helps against the cause.

    Raises:
        InputError: the disk is full or read-only, the place is no folder, there is no permission,
            and the like. Errors about files elsewhere, which were read, pass unchanged.
    """
    try:
        yield
    except Vlm3Error:
        raise
    except Exception as error:
        found = refusal(error)
        if found is None or not _about(found, Path(path)):
            raise
        raise InputError(_sentence(path, found, then)) from error


def refusal(error: BaseException | None) -> OSError | None:
    """The system's error behind one that a library raised about it; None where there is none."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, OSError):
            return error
        text = str(error)
        if number := _IN_WORDS.search(text):
            code = int(number[1] or number[2])
            return OSError(code, os.strerror(code))
        for code in _NEVER_READING:
            if os.strerror(code) in text:
                return OSError(code, os.strerror(code))
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


def is_full(error: OSError) -> bool:
    """Whether an error can only come from writing: the disk is full or read-only."""
    return error.errno in _NEVER_READING


def explain(path: str | os.PathLike[str], error: OSError) -> str:
    """One line for the system's error about writing `path`."""
    return _sentence(path, error, "")


def check_place(path: str | os.PathLike[str]) -> None:
    """Refuses a place that cannot be written, before the work is done. Writes nothing.

    Raises:
        InputError: as `naming`; a disk that is full is only noticed when writing.
    """
    target = Path(path)
    with naming(target):
        real = Path(os.path.realpath(target))
        if (kind := _kind(real)) is not None:
            if target.suffix and stat.S_ISDIR(kind):
                raise _error(errno.EISDIR, target)
            if not os.access(real, os.W_OK):
                raise _error(errno.EACCES, target)
            return
        above = next(one for one in real.parents if _kind(one) is not None)
        if not above.is_dir():
            raise _error(errno.ENOTDIR, target)
        if not os.access(above, os.W_OK | os.X_OK):
            only_read = os.statvfs(above).f_flag & os.ST_RDONLY
            raise _error(errno.EROFS if only_read else errno.EACCES, target)


def _sentence(path: str | os.PathLike[str], error: OSError, then: str) -> str:
    cause, advice = _CAUSES.get(
        error.errno or 0, (error.strerror or str(error), "name another place")
    )
    shown = os.fspath(path)
    shown = shown if len(shown) <= 300 else f"{shown[:140]}...{shown[-140:]}"
    return f"cannot write {shown!r} ({cause}): {then or advice}"


def _about(error: OSError, path: Path) -> bool:
    """Whether an error is about writing `path`, and not about something that was read for it."""
    if is_full(error) or error.filename is None:
        return True
    folder = Path(os.path.realpath(path.parent))
    for name in (error.filename, error.filename2):
        if isinstance(name, str | bytes):
            there = Path(os.path.realpath(os.fsdecode(name)))
            if there.is_relative_to(folder) or folder.is_relative_to(there):
                return True
    return False


def _error(code: int, path: Path) -> OSError:
    return OSError(code, os.strerror(code), str(path))


def _kind(path: Path) -> int | None:
    """Permissions and kind of what is there; None where nothing is."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _real_folder(target: Path) -> Path:
    """What a folder's name means once links are followed; the folders above it are made."""
    real = Path(os.path.realpath(target))
    if real.exists() and not real.is_dir():
        raise _error(errno.ENOTDIR, target)
    real.parent.mkdir(parents=True, exist_ok=True)
    return real


def sync(path: Path) -> None:
    """Waits until it is on the disk: some tell only then that they are full."""
    held = os.open(path, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
