"""Small JSON files beside weights, read in one guarded way. Knows no model."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm3 import disk
from vlm3.errors import CheckpointError

SIDE_FILE_BYTES = 64 << 20
"""No side file of a real checkpoint is larger; the index of a 235B model takes 1 MB."""


def read_text(path: Path, *, limit_bytes: int = SIDE_FILE_BYTES) -> str:
    """The text of a side file.

    Raises:
        CheckpointError: it cannot be read, is larger than `limit_bytes`, or is not UTF-8.
    """
    try:
        # Also refuses what is no plain file: reading a pipe would wait for ever.
        if not path.is_file():
            raise CheckpointError(f"{path} is not a file")
        size = path.stat().st_size
        if size > limit_bytes:
            raise CheckpointError(
                f"{path} has {size:,} bytes; at most {limit_bytes:,} are read of such a file"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text: copy the file again") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error})") from error


def read_object(path: Path, *, limit_bytes: int = SIDE_FILE_BYTES) -> dict[str, Any]:
    """The JSON object in a side file.

    Raises:
        CheckpointError: it cannot be read, is too large or too deep, or is not a JSON object.
    """
    text = read_text(path, limit_bytes=limit_bytes)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CheckpointError(
            f"{path} is not valid JSON ({reason[:120]}): copy the file again"
        ) from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} holds {kind_of(found)}; an object in braces is allowed")
    return found


def write_object(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON object that people can read."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    disk.write(path, text + "\n")


def kind_of(value: Any) -> str:
    """What a JSON value is, in a word or two."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), f"the number {value!r:.40}")
