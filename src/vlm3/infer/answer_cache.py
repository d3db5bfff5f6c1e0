"""Answers on disk: one JSON line each, written when it arrives, read again by the next run.

A run may be killed at any moment: a line that was cut short is left out. Knows no server.
"""

import json
import threading
from pathlib import Path


class AnswerCache:
    """Key -> text, kept in a file.

    Args:
        path: JSON lines with `key`, `prompt` and `text`, made when there is something to keep;
            None keeps nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._texts: dict[str, str] = {}
        self._lock = threading.Lock()
        if path is None or not path.is_file():
            return
        for line in path.read_bytes().splitlines():
            try:
                record = json.loads(line)
                self._texts[str(record["key"])] = str(record["text"])
            except (ValueError, KeyError, TypeError):
                continue

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    def __getitem__(self, key: str) -> str:
        return self._texts[key]

    def put(self, key: str, *, prompt: str, text: str) -> None:
        """Keeps an answer; it is with the system's file when this returns."""
        with self._lock:
            self._texts[key] = text
            if self._path is None:
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            record = json.dumps({"key": key, "prompt": prompt, "text": text})
            with self._path.open("ab+") as file:
                if file.tell():
                    file.seek(-1, 2)
                    # Behind a line that was cut short, on a line of its own.
                    if file.read(1) != b"\n":
                        file.write(b"\n")
                file.write(record.encode() + b"\n")
