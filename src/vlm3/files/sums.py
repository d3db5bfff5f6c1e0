"""SHA256SUMS of a folder: a line a file, as sha256sum writes and checks it.

    HASH  index.npy
    HASH  units/scene-1a2b3c4d.npz

`sha256sum -c SHA256SUMS` in the folder says the same as `problems` here.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.files.reading import MEGABYTE, below, read_bytes, short

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([^\n]{1,1024})")


def read_sums(folder: Path) -> dict[str, str]:
    """The hash of each file it names; empty where the folder has no SHA256SUMS.

    Raises:
        InputError: it is damaged, or names a file outside the folder.
    """
    path = folder / SUMS
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        return {}
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path} is damaged: it is no text") from None
    if lines[-1]:
        raise InputError(f"{path} is damaged: its last line is cut off")
    found: dict[str, str] = {}
    for number, line in enumerate(lines[:-1], 1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in found:
            raise InputError(
                f"{path}, line {number} is {short(line)}; expected a SHA-256, two spaces and a "
                "file's name that comes once"
            )
        below(folder, match[2], f"{path}, line {number}")
        found[match[2]] = match[1]
    return found


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Writes SHA256SUMS anew."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    disk.write(folder / SUMS, lines.encode())


def add_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Puts hashes of files that were just written into SHA256SUMS; a damaged one is replaced."""
    try:
        before = read_sums(folder)
    except InputError:
        before = {}
    write_sums(folder, {**before, **sums})


def sha256_of_file(path: Path) -> str:
    """Of all its bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(4 * MEGABYTE):
            digest.update(block)
    return digest.hexdigest()


def problems(folder: Path) -> Iterator[str]:
    """A line for each file that is missing or is not what was written."""
    try:
        sums = read_sums(folder)
    except InputError as error:
        yield str(error)
        return
    for name, digest in sums.items():
        try:
            if sha256_of_file(folder / name) != digest:
                yield f"{name} is not what was written (hash)"
        except OSError as error:
            reason = error.strerror or type(error).__name__
            yield f"{name} is named by {SUMS} and cannot be read ({reason})"
