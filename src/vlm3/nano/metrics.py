"""What a run leaves to read: `log.jsonl` for programs, the same as lines for people."""

import sys
from pathlib import Path
from typing import Any

from vlm3 import disk, strict_json

_THEN = "make room; the same command goes on from the last save"


class ClockLogger:
    """Writes `log.jsonl`, and lines to `log.txt` and stderr.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.entries, self.lines = folder / "log.jsonl", folder / "log.txt"

    def say(self, seconds: float, text: str) -> None:
        """A line for people, with the seconds since the run began."""
        line = f"[{seconds:7.1f} s] {text}"
        print(line, file=sys.stderr, flush=True)
        with disk.naming(self.lines, then=_THEN), self.lines.open("a") as file:
            print(line, file=file)

    def write(self, entry: dict[str, Any], text: str) -> None:
        """An entry for programs, and a line that says it to people; `seconds` must be in it."""
        with disk.naming(self.entries, then=_THEN), self.entries.open("a") as file:
            print(strict_json.dumps(entry), file=file)
        self.say(entry["seconds"], text)


def listed(values: dict[str, float]) -> str:
    """Measures as a line has them."""
    return "  ".join(f"{name} {value:.3f}" for name, value in values.items())
