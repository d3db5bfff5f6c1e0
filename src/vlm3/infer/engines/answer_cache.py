"""Answers on disk: one JSON line each, written when it arrives, read again by the next run.

A run may be killed at any moment: a line that was cut short is left out. Knows no server.
"""

import json
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vlm3 import disk, strict_json
from vlm3.infer.engines.base import Reply
from vlm3.infer.engines.top_logprobs import Step, recorded

# Log probabilities are kept to as many decimals: a ten-thousandth part of a probability.
_DECIMALS = 4
_THEN = "make room; what was answered before is kept, and the same command goes on from there"


class AnswerCache:
    """Key -> reply, kept in a file.

    Args:
        path: JSON lines with `key`, `prompt`, `text` and, where the server gave probabilities,
            `steps`; made when there is something to keep. None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._replies: dict[str, Reply] = {}
        self._lock = threading.Lock()
        self._earlier: frozenset[str] = frozenset()
        self.fingerprints: set[str] = set()
        """What those who gave the answers of earlier runs call themselves, where they do."""
        if path is None or not path.is_file():
            return
        for line in path.read_bytes().splitlines():
            try:
                record = json.loads(line)
                self._replies[str(record["key"])] = _reply(record)
                if isinstance(record.get("fingerprint"), str):
                    self.fingerprints.add(record["fingerprint"])
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue
        self._earlier = frozenset(self._replies)

    def is_earlier(self, key: str) -> bool:
        """Whether an earlier run left this answer."""
        return key in self._earlier

    def __contains__(self, key: str) -> bool:
        return key in self._replies

    def __getitem__(self, key: str) -> Reply:
        return self._replies[key]

    def put(
        self,
        key: str,
        *,
        prompt: str,
        text: str,
        steps: Sequence[Step] = (),
        fingerprint: str | None = None,
        on_disk: bool = True,
    ) -> None:
        """Keeps an answer; it is with the system's file when this returns, unless not wanted."""
        record: dict[str, Any] = {"key": key, "prompt": prompt, "text": text}
        if fingerprint is not None:
            record["fingerprint"] = fingerprint
        if steps:
            record["steps"] = [
                [step.piece, [[symbol, round(logp, _DECIMALS)] for symbol, logp in step.top]]
                for step in steps
            ]
        with self._lock:
            self._replies[key] = _reply(record)
            if self._path is None or not on_disk:
                return
            disk.make_folder(self._path.parent)
            with disk.naming(self._path, then=_THEN), self._path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, 2)
                    # Behind a line that was cut short, on a line of its own.
                    if file.read(1) != b"\n":
                        file.write(b"\n")
                file.write(strict_json.dumps(record).encode() + b"\n")


def _reply(record: dict[str, Any]) -> Reply:
    steps = [
        Step(piece, tuple((str(symbol), _logp(logp)) for symbol, logp in top))
        for piece, top in record.get("steps", ())
    ]
    text = str(record["text"])
    return recorded(text, steps) if steps else Reply(text)


def _logp(kept: float | None) -> float:
    """A log probability; that of what cannot be, which JSON has no number for, is kept as null."""
    return -math.inf if kept is None else float(kept)
