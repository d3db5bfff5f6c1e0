"""Resume a run in its folder: the settings it began with, and what may differ when it goes on.

`OUT/run.json` is written once, when a run begins. A run with other settings is another run, and is
refused with the differences named. Knows no model.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.train.config import RunConfig
from vlm3.train.flat_settings import defaults, read_stored, stored, to_json

FILE = "run.json"
MAY_DIFFER = frozenset(
    {
        "name",
        "out",
        "workers",
        "save_every",
        "check_every",
        "held_out",
        "keep",
        "most_epochs",
        "tensorboard",
        # How a step is computed, not what it computes.
        "mesh",
        "budget",
        "recompute",
        "compile",
        "attention",
    }
)
"""Settings of a run that may change when it goes on: none of them decides what is learnt."""
_PLACES = ("model", "data", "gallery")
_MOST_NAMED = 6


def check(run: RunConfig) -> None:
    """Refuses a folder that holds a run with other settings.

    Raises:
        InputError: names the settings that differ, or `run.json` is damaged.
    """
    path = run.out / FILE
    if not path.is_file() or not _began(run.out):
        return
    try:
        found = json.loads(path.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read ({str(error)[:80]}), so nobody can tell whether this is the "
            "same run: restore it, or give another folder with --output"
        ) from error
    there, now = dict(_leaves(read_stored(found))), dict(_leaves(to_json(run)))
    known = defaults()
    differ = []
    for key in sorted(there.keys() | now.keys()):
        if key.split(".")[0] in MAY_DIFFER:
            continue
        # A setting that came after the folder was written had its default value then.
        leaf = key.split(".")[-1]
        before, after = there.get(key, known.get(leaf)), now.get(key, known.get(leaf))
        if before != after and not (key in _PLACES and _same_place(before, after)):
            differ.append(f"{key}: {_shown(before)} there, {_shown(after)} now")
    if differ:
        more = f"; and {len(differ) - _MOST_NAMED} more" if len(differ) > _MOST_NAMED else ""
        raise InputError(
            f"{str(run.out)!r} holds a run with other settings "
            f"({'; '.join(differ[:_MOST_NAMED])}{more}): give the same to go on, or another folder "
            "with --output"
        )


def keep(run: RunConfig) -> None:
    """Writes `run.json` where a run begins; one that goes on leaves it as it is."""
    path = run.out / FILE
    if path.is_file() and _began(run.out):
        return
    disk.write(path, json.dumps(stored(run), indent=1, allow_nan=False))


def _began(out: Path) -> bool:
    """Whether a run left anything to go on from; one that did not holds nobody up."""
    names = ("checkpoints/step-*", "tower.pt", "export/config.json")
    return any(True for name in names for _ in out.glob(name))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves by their path, such as parts.0.views; lists of plain values are leaves."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and any(isinstance(inner, Mapping) for inner in value):
        for place, inner in enumerate(value):
            yield from _leaves(inner, f"{name}.{place}")
    else:
        yield name, value


def _same_place(before: Any, after: Any) -> bool:
    if not (isinstance(before, str) and isinstance(after, str)):
        return False
    return Path(before).expanduser().resolve() == Path(after).expanduser().resolve()


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
