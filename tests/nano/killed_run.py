"""Kills a tiny run three times, stops it once, lets it end; says what it saw. See test_training.py.

One process imports, and forks a child for each start: imports cost more than the run.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
import torch

import vlm3
from vlm3.model import build_small, nano_tokenizer
from vlm3.nano.recipe import MINIATURE, NanoStage, StagePart
from vlm3.nano.run import NanoRun
from vlm3.nano.saving import load_state
from vlm3.nano.trainer import train

PATIENCE_S = 100.0
SIZE = replace(MINIATURE.size, vision_layers=2, deepstack=(0,), text_layers=2)
STAGES = (
    NanoStage(
        "grounding", 0.9, ((StagePart("mosaic color", 2, 4, 1.0), StagePart("dense", 1, 0, 0.1)),)
    ),
    NanoStage("worlds", 1.0, ((StagePart("view", 2, 4, 1.0), StagePart("pair", 2, 2, 1.0)),)),
)
RECIPE = replace(MINIATURE, size=SIZE, stages=STAGES, held_out=1, enough_pairs=1, save_seconds=0.4)


def started(run: NanoRun) -> int:
    pid = os.fork()
    if pid:
        return pid
    torch.set_num_threads(1)
    try:
        train(run)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


def awaited(pid: int, happened: Callable[..., bool], *given: object) -> None:
    """Waits until something has happened, while the child lives."""
    end = time.monotonic() + PATIENCE_S
    while not happened(*given):
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "the run ended by itself"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def saved(folder: Path, name: str = "step") -> int:
    found = load_state(folder)
    return 0 if found is None else int(found[1][name])


def workers_of(folder: Path) -> int:
    """Processes that render for this run."""
    mark = f"vlm3-nano-{os.getuid()}-{NanoRun(folder, RECIPE, 9.0).name}".encode()
    count = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            count += mark in path.read_bytes()
        except OSError:
            continue
    return count


def main(folder: Path) -> None:
    run = NanoRun(folder, RECIPE, 9.0, device="cpu", workers=1)
    build_small(nano_tokenizer(), SIZE)  # Loads what every child will need.
    killed_at = []
    for number in range(4):
        before = saved(folder)
        pid = started(run)
        # The first also waits for a rendered world.
        wanted = ("next_world", 0) if number == 0 else ("step", before)
        awaited(pid, lambda name, least: saved(folder, name) > least, *wanted)
        # At another moment of a step, or of a save, each time.
        time.sleep(0.17 * number)
        os.kill(pid, signal.SIGTERM if number == 3 else signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert number < 3 or os.waitstatus_to_exitcode(status) == 0, status
        killed_at.append(saved(folder))
    # The deadline comes: a few seconds are left when it starts again.
    held = json.loads((folder / "run.json").read_text())
    held["began"] = time.time() - 60 * run.minutes + 20.0 + 4.0
    (folder / "run.json").write_text(json.dumps(held))
    _, status = os.waitpid(started(run), 0)
    assert status == 0, status
    end = time.monotonic() + 20
    while workers_of(folder) and time.monotonic() < end:
        time.sleep(0.1)
    view = vlm3.View.open(np.full((64, 96, 3), 128, np.uint8), f_px=125.0)
    answer = vlm3.load(str(folder / "model")).depth(view, [(40, 30)])
    report = {
        "killed_at": killed_at,
        "last_step": saved(folder),
        "worlds": saved(folder, "next_world"),
        "workers_left": workers_of(folder),
        "answer": answer.raw_text[0],
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
