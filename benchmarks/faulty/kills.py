"""Writers killed at any moment: the same command again must give what an undisturbed one gives."""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faulty.data import Files, depthlm_rows, files_of
from faulty.mutate import Rng, pick

_FORGETS = ("seconds", "environment", "started")


@dataclass
class Writer:
    """What writes a folder, what it wrote undisturbed, and how long that took."""

    write: Callable[[Path], Any]
    files: Files
    seconds: float


def forked(write: Callable[[Path], Any], out: Path, kill_after_s: float | None) -> bool:
    """Runs a writer in a child; whether it came to its end before it was killed."""
    child = os.fork()
    if not child:
        # What the writer says belongs to nobody.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            write(out)
            os._exit(0)
        finally:
            os._exit(1)
    begun = time.monotonic()
    while kill_after_s is None or time.monotonic() - begun < kill_after_s:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise RuntimeError(f"the writer ended with {status} before it was killed")
            return True
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def writers(folder: Path, names: tuple[str, ...]) -> dict[str, Writer]:
    """The writers by name, each run once undisturbed."""
    made: dict[str, Callable[[Path], Any]] = {}
    if "curate" in names:
        from vlm3 import datasets as sources
        from vlm3.curation.launch import curate
        from vlm3.curation.units import Job
        from vlm3.datasets import depthlm

        raw = folder / "raw"
        depthlm_rows(raw, 24)
        # Four rows a scene, so that there are scenes to be killed between.
        depthlm._ROWS = 4
        assert sources.get_source("depthlm")
        made["curate"] = lambda out: curate(Job("depthlm", raw, out, points=8))
    if "worlds" in names:
        from vlm3.worlds import shards

        shards.SHARD_SIZE = 2
        made["worlds"] = lambda out: list(
            shards.render_shards(out, 6, 0, width_px=96, height_px=64)
        )
    if "eval" in names:
        from click.testing import CliRunner

        from vlm3.cli.main import main

        def evaluate(out: Path) -> None:
            command = ["eval", "worlds", "--model", "oracle", "--count", "4", "-o", str(out)]
            result = CliRunner().invoke(main, command)
            if result.exit_code:
                raise RuntimeError(result.output[-300:])

        made["eval"] = evaluate
    if "train" in names:
        made["train"] = _train
    found = {}
    for name, write in made.items():
        begun = time.monotonic()
        forked(write, folder / name, None)
        found[name] = Writer(write, kept(folder / name), time.monotonic() - begun)
    return found


def _train(out: Path) -> None:
    from vlm3.train.flat_settings import changed
    from vlm3.train.recipes import recipe
    from vlm3.train.trainer import train

    run = changed(
        recipe("debug_cpu"), out=out, samples=48, pointing=16, save_every=2, check_every=100,
        held_out=2, questions=8, workers=0,
    )  # fmt: skip
    train(run)


def kept(out: Path) -> Files:
    """What must be equal: everything but clocks, and logs of what was said."""
    found: Files = {}
    for name, data in files_of(out).items():
        if name.endswith(".jsonl") and "predictions" in name:
            rows = [json.loads(line) for line in data.splitlines()]
            clean = [{k: v for k, v in row.items() if k not in _FORGETS} for row in rows]
            data = "\n".join(sorted(json.dumps(row) for row in clean if "id" in row)).encode()
        elif not name.endswith((".tar", ".npy", ".npz", ".safetensors", "SHA256SUMS")):
            # Its being there is compared, its clock and paths are not.
            data = b""
        # Of checkpoints the names: their moments are compared by the export that follows from them.
        if name.startswith("checkpoints/"):
            data = b""
        if name != ".lock":
            found[name] = data
    return found


def case(state: dict[str, Writer], rng: Rng, folder: Path) -> str:
    writer = state[pick(rng, sorted(state))]
    out = folder / f"out{int(rng.integers(2**60))}"
    ended = False
    for _ in range(1 + int(rng.integers(2))):
        ended = forked(writer.write, out, float(rng.uniform(0, writer.seconds)))
    forked(writer.write, out, None)
    after = kept(out)
    stray = sorted(set(after) - set(writer.files)) + sorted(set(writer.files) - set(after))
    if stray:
        return f"wrong: files differ from undisturbed: {', '.join(stray[:4])}"
    for name, data in writer.files.items():
        if after[name] != data:
            return f"wrong: {name} differs from undisturbed"
    assert np.isscalar(ended)
    return "value"
