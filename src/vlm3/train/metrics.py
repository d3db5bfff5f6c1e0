"""What a run leaves to read: a JSON line a step, a progress line, TensorBoard if wished."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from vlm3 import disk, strict_json
from vlm3.errors import MissingDependencyError

# Where nobody watches, a log file gets a line this often.
_EVERY_S = 30.0
_THEN = "make room; the same command goes on from the last checkpoint"


class MetricsLogger:
    """Writes `log.jsonl`; lines past the step a run goes on from are taken back.

    So the log of a run that was killed any number of times has every step once.
    """

    def __init__(self, out: Path, start: int, steps: int, *, tensorboard: bool) -> None:
        self.path, self.steps = out / "log.jsonl", steps
        kept = []
        if self.path.is_file():
            for line in self.path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:  # Cut off by a kill.
                    break
                if entry["step"] > start:
                    break
                kept.append(line + "\n")
        disk.write(self.path, "".join(kept), then=_THEN)
        with disk.naming(self.path, then=_THEN):
            self.file = self.path.open("a")
        self.board: Any = _board(out) if tensorboard else None
        self.live = sys.stderr.isatty()
        self.shown = time.monotonic()

    def write(self, entry: dict[str, Any]) -> None:
        """One line; `step` must be in it."""
        with disk.naming(self.path, then=_THEN):
            print(strict_json.dumps(entry), file=self.file, flush=True)
        if self.board is not None:
            for name, value in entry.items():
                if isinstance(value, float):
                    self.board.add_scalar(name, value, entry["step"])

    def show(self, step: int, loss: float, per_second: float, tokens: float, mfu: float) -> None:
        """The progress line: redrawn in place on a terminal, else a line now and then."""
        now = time.monotonic()
        if not self.live and step < self.steps and now - self.shown < _EVERY_S:
            return
        self.shown = now
        left = (self.steps - step) * (1 / per_second if per_second else 0)
        share = f"  MFU {mfu:.2f}" if mfu else ""
        again = "\r" if self.live else ""
        print(
            f"{again}{step}/{self.steps}  loss {loss:.4f}  {per_second:.2f} steps/s  "
            f"{tokens:.0f} tokens/s{share}  {left / 60:.0f} min left ",
            end="" if self.live and step < self.steps else "\n",
            file=sys.stderr,
            flush=True,
        )


def say(text: str) -> None:
    """A line on the terminal, over the progress line if there is one."""
    print(("\r" if sys.stderr.isatty() else "") + text, file=sys.stderr, flush=True)


def _board(out: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingDependencyError("tensorboard is not installed: pip install it") from error
    return SummaryWriter(str(out / "tensorboard"))
