"""A JSON array of objects that is too large to load, read in parts that know nothing of each other.

Entry boundaries are known without parsing what comes before: every entry opens with the same first
key, and `{"key":` cannot occur inside a string, where its quotation mark would be escaped. So any
part of the file can be read on its own, in the memory of one entry, by any process.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlm3.errors import InputError
from vlm3.files.reading import parse_json, why

PART_BYTES = 64 << 20
"""Size of a part: some two thousand entries of 35 KB."""

_BLOCK = 4 << 20
# No entry of a sane file is larger; a broken one must not eat all memory.
_LARGEST_ENTRY = 256 << 20
_HEAD = re.compile(rb"\s*\[\s*\{\s*(\"[^\"\\]{1,100}\")\s*:")


def part_count(path: Path) -> int:
    """How many parts a file has.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return max(1, -(-path.stat().st_size // PART_BYTES))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error


def entries(path: Path, part: int) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """The entries that begin in a part, with the bytes they begin at; None for one that is damaged.

    Raises:
        InputError: the file is no array of objects, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            begins = _begins(path, file.read(4096))
            first, last = part * PART_BYTES, (part + 1) * PART_BYTES
            file.seek(first)
            held, offset, ended = b"", first, False
            while not ended and offset < last:
                block = file.read(_BLOCK)
                ended = not block
                held += block
                found = [match.start() for match in begins.finditer(held)]
                # What follows the last one may go on in the next block.
                stops = [*found[1:], len(held)] if ended else found[1:]
                for start, stop in zip(found, stops, strict=False):
                    if offset + start >= last:
                        return
                    yield offset + start, _parsed(held[start:stop])
                keep = len(held) if ended else found[-1] if found else max(0, len(held) - 256)
                held, offset = held[keep:], offset + keep
                if len(held) > _LARGEST_ENTRY:
                    raise InputError(f"{path}: the entry at byte {offset} does not end")
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r} ({why(error)})") from error


def _begins(path: Path, head: bytes) -> re.Pattern[bytes]:
    match = _HEAD.match(head)
    if match is None:
        raise InputError(f"{str(path)!r} is no JSON array of objects: it starts {head[:40]!r}")
    return re.compile(rb"\{\s*" + re.escape(match[1]) + rb"\s*:")


def _parsed(text: bytes) -> dict[str, Any] | None:
    # After the entry comes a comma, or the array's end.
    text = text.rstrip()
    for ending in (b",", b"]"):
        text = text.removesuffix(ending).rstrip() if text.endswith(ending) else text
    try:
        found = parse_json(text, "the entry")
    except InputError:
        return None
    return found if isinstance(found, dict) else None
