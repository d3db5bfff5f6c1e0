"""The manifest of a folder of many results: one line of JSON a result, appended when it is whole.

A line's `key` is a digest of what the result was made from: content, model, and every setting. What
has the same key and its files there need not be made again. Knows no model.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vlm3 import strict_json
from vlm3.errors import InputError

NAME = "manifest.jsonl"
_NEEDED = {"name", "key", "files", "preview"}


def key_of(content: str, common: Mapping[str, Any]) -> str:
    """Digest of what one result is made from.

    Args:
        content: digest of the pictures.
        common: everything else that changes the result.
    """
    text = json.dumps([content, common], sort_keys=True, default=list, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_manifest(folder: Path, kind: str) -> dict[str, dict[str, Any]]:
    """The last whole line of every name; one that a killed process left half-written is none.

    Raises:
        InputError: the folder holds results of another kind.
    """
    path = folder / NAME
    found: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if not (isinstance(record, dict) and set(record) >= _NEEDED):
            continue
        other = record.get("kind", kind)
        if other != kind:
            raise InputError(
                f"{str(folder)!r} holds {other} of an earlier run; give -o another folder for "
                f"{kind}"
            )
        found[record["name"]] = record
    return found


def is_complete(folder: Path, record: Mapping[str, Any]) -> bool:
    """Whether every file that a line names is there."""
    return all((folder / name).is_file() for name in (*record["files"], record["preview"]))


def append(folder: Path, record: Mapping[str, Any]) -> None:
    """Adds a line."""
    path = folder / NAME
    # A half-written line gets an end of its own, so that it does not take this one with it.
    torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * torn + strict_json.dumps(record) + "\n")
