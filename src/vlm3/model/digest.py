"""Digest of a checkpoint's content: folders are renamed, copied and overwritten.

A digest is over everything in the folder that decides an answer to a given prompt: weights,
adapters, configuration, tokenizer, chat template. `vlm3.json` is not in it: the model's settings
are given beside it. Hashing costs a second or so a gigabyte, once: the hash of a large file is kept
under its path, size and times.
"""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vlm3 import disk
from vlm3.errors import InputError

_DECIDING = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
)
_LENGTH = 16
# A file that was changed so lately may be changed again within one tick of the file system's clock.
_SETTLED_S = 2.0
# Below this a file is read faster than the notes about it.
_WORTH_KEEPING_BYTES = 2**22


def model_digest(folder: Path) -> str:
    """Sixteen hexadecimal digits that are the same for the same content, wherever it lies.

    Raises:
        OSError: a file cannot be read.
    """
    files = sorted({path for pattern in _DECIDING for path in folder.glob(pattern)})
    known = _Notes()
    whole = hashlib.sha256()
    for path in files:
        if path.is_file():
            whole.update(f"{path.name}\0{known.sha256(path)}\n".encode())
    known.keep()
    return whole.hexdigest()[:_LENGTH]


class _Notes:
    """Hashes of large files that were computed before, by path, size and times."""

    def __init__(self) -> None:
        cache = Path(os.environ.get("VLM3_CACHE") or "~/.cache/vlm3").expanduser()
        self._path = cache / "digests.json"
        self._hashes: dict[str, str] = {}
        self._changed = False
        try:
            found = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return
        if isinstance(found, Mapping):
            self._hashes = {str(key): value for key, value in found.items() if _is_hash(value)}

    def sha256(self, path: Path) -> str:
        state = path.stat()
        if state.st_size < _WORTH_KEEPING_BYTES:
            return _hashed(path)
        times = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}"
        key = f"{path.resolve()} {times}"
        if key not in self._hashes:
            fresh = _hashed(path)
            if time.time() - max(state.st_mtime, state.st_ctime) < _SETTLED_S:
                return fresh
            self._hashes[key] = fresh
            self._changed = True
        return self._hashes[key]

    def keep(self) -> None:
        if not self._changed:
            return
        # Nowhere to keep them: they are computed again.
        with suppress(InputError):
            disk.write(self._path, json.dumps(self._hashes, allow_nan=False))


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64
