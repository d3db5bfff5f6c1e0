"""Bytes and JSON of files that somebody else wrote."""

import json
import re
import reprlib
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vlm3.errors import InputError

MEGABYTE = 1 << 20
LARGEST_JSON = 512 * MEGABYTE
"""Bytes of a JSON file, where a reader does not say less or more."""
DEEPEST = 32
"""Lists and objects inside each other; what vlm3 reads has six at most."""

_QUOTED = 120
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_STEP = np.zeros(256, np.int8)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1

_cut = reprlib.Repr()
_cut.maxstring = _cut.maxother = _cut.maxlong = _QUOTED
_cut.maxlist = _cut.maxtuple = _cut.maxdict = 4
_cut.maxlevel = 2


def short(value: object) -> str:
    """A value as messages quote it: 120 characters at most, on one line."""
    text = " ".join(_cut.repr(value).split())
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 3]}..."


def why(error: BaseException) -> str:
    """What an error says, cut to 160 characters on one line."""
    text = " ".join(str(error).split())[:160]
    return text or type(error).__name__


def read_bytes(path: Path, most: int = LARGEST_JSON) -> bytes:
    """A whole file of at most `most` bytes.

    Raises:
        FileNotFoundError: there is none.
        InputError: it is larger, no plain file, or cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{str(path)!r} is no plain file; give one")
        if status.st_size > most:
            raise InputError(f"{str(path)!r} has {status.st_size} bytes; at most {most} are read")
        with path.open("rb") as file:
            # A size given to read() is allocated at once, so it is the file's own.
            return file.read(status.st_size)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error


def read_json(
    path: Path,
    check: Callable[[Any, str], None] | None = None,
    *,
    most: int = LARGEST_JSON,
    deepest: int = DEEPEST,
) -> Any:
    """A JSON file whose value passes `check` (see `schema`).

    Raises:
        FileNotFoundError: there is none.
        InputError: too large, no JSON, too deep, or another value than the check allows.
    """
    return parse_json(read_bytes(path, most), str(path), check, deepest=deepest)


def parse_json(
    data: bytes,
    name: str,
    check: Callable[[Any, str], None] | None = None,
    *,
    deepest: int = DEEPEST,
) -> Any:
    """A JSON text; messages call it `name`.

    Raises:
        InputError: no JSON, nested deeper than `deepest`, text that is no Unicode, or another
            value than the check allows.
    """
    if depth_of(data, enough=deepest) > deepest:
        raise InputError(f"{name} nests lists and objects deeper than {deepest}")
    try:
        value = json.loads(data)
        # Half a surrogate pair can be written in JSON and nowhere else.
        if re.search(rb"\\u[dD][89a-fA-F]", data):
            for text in _texts(value):
                text.encode()
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is not JSON ({why(error)})") from None
    if check is not None:
        check(value, name)
    return value


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        yield from value
        for one in value.values():
            yield from _texts(one)


def depth_of(data: bytes, *, enough: int) -> int:
    """How deep a JSON text nests; texts that cannot nest deeper than `enough` are not counted."""
    if data.count(b"[") + data.count(b"{") <= enough:
        return 0
    deepest = level = 0
    # Brackets in strings nest nothing, and closing ones would hide what does.
    codes = np.frombuffer(_STRING.sub(b"", data), np.uint8)
    for start in range(0, len(codes), MEGABYTE):
        levels = np.cumsum(_STEP[codes[start : start + MEGABYTE]], dtype=np.int64) + level
        deepest, level = max(deepest, int(levels.max())), int(levels[-1])
    return deepest


def below(folder: Path, name: object, where: str) -> Path:
    """The file that a name from a file means: one below `folder`.

    Raises:
        InputError: it is no name, absolute, or leads out of the folder.
    """
    parts = name.split("/") if isinstance(name, str) else []
    if (
        not isinstance(name, str)
        or not name.strip("./")
        or len(name) > 1024
        or name.startswith("/")
        or ".." in parts
        or "\\" in name
        or not name.isprintable()
    ):
        raise InputError(f"{where} names the file {short(name)}; give a name below {str(folder)!r}")
    return folder / name
