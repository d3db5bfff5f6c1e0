"""A run of nano's trainer: its folder, its settings and its clock, which outlives the process."""

import hashlib
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.nano.recipe import NanoRecipe, checked_minutes
from vlm3.nano.saving import write_json

_LAST_SECONDS, _LAST_SHARE = 20.0, 0.15
"""What is kept for the last check and save, at most."""


@dataclass(frozen=True)
class NanoRun:
    """What the command line says.

    Attributes:
        out: folder of the run.
        recipe: what is learnt.
        minutes: wall-clock budget, counted from the first start.
        init: checkpoint to begin from, None for random weights.
        device: "cuda" or "cpu".
        render_device: where pictures are rendered.
        workers: processes that render.
        seed: of weights and worlds.
    """

    out: Path
    recipe: NanoRecipe
    minutes: float
    init: str | None = None
    device: str = "cuda"
    render_device: str = "cpu"
    workers: int = 14
    seed: int = 0

    def __post_init__(self) -> None:
        checked_minutes(self.minutes)
        if not re.fullmatch(r"cpu|cuda:\d+", self.render_device):
            raise InputError(f"render device is {self.render_device!r}; give cpu or cuda:0")

    @property
    def name(self) -> str:
        """What distinguishes this run from others on this machine."""
        return hashlib.sha256(str(self.out.resolve()).encode()).hexdigest()[:12]


class Clock:
    """Wall-clock time of a run.

    Args:
        run: whose folder keeps when it began.

    Raises:
        InputError: the folder holds a run with other settings.
    """

    def __init__(self, run: NanoRun) -> None:
        path = run.out / "run.json"
        settings = {
            "recipe": run.recipe.to_json(),
            "minutes": run.minutes,
            "init": run.init,
            "seed": run.seed,
        }
        # As it will be read back: tuples become lists.
        settings = json.loads(json.dumps(settings, allow_nan=False))
        if not path.is_file():
            disk.make_folder(run.out)
            write_json(path, {"began": time.time()} | settings)
        held: dict[str, Any] = json.loads(path.read_text())
        self.began: float = held.pop("began")
        if held != settings:
            wrong = [name for name in settings if held.get(name) != settings[name]]
            raise InputError(
                f"{run.out} holds a run with another {' and '.join(wrong)}; give the same settings "
                "to go on, or another folder"
            )
        whole = 60 * run.minutes
        self._budget = whole - min(_LAST_SECONDS, _LAST_SHARE * whole)

    @property
    def seconds(self) -> float:
        """Since the run began, whatever happened since."""
        return time.time() - self.began

    @property
    def share(self) -> float:
        """Of the time for learning that is gone, up to 1."""
        return min(1.0, self.seconds / self._budget)
