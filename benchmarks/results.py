"""How benchmarks time a device, and what they keep: figures with versions and card, as JSON."""

import json
import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]


def row(what: str, value: float | None, unit: str, note: str = "") -> Row:
    """A figure, or None where there is none, which is no number."""
    return {
        "what": what,
        "unit": unit,
        "value": None if value is None else float(value),
        "note": note,
    }


def clock(device: torch.device) -> float:
    """Seconds: of the processor on a CPU (a shared machine), of the wall once a GPU is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were taken on, and with."""
    import transformers

    card = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": device.type,
        "card": card,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def keep(path: Path, device: torch.device, rows: Sequence[dict[str, Any]]) -> None:
    """Writes rows of figures; a row's texts and whole numbers are what it is known by."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(device), "rows": list(rows)}, indent=1) + "\n")
