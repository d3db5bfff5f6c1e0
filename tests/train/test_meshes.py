"""The same curve on any mesh, and after a kill at any moment."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "mesh_run.py"
MESHES = {"none": 1, "ddp": 2, "1x2": 2, "2x2": 4}
TOLERANCE = 1e-5


def launch(folder: Path, out: str, mesh: str, *rest: object) -> None:
    count = MESHES[mesh]
    command = [sys.executable]
    if count > 1:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command += [str(RUN), str(folder), out, mesh, *map(str, rest)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def curve(folder: Path, out: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(line["samples"] == 8 for line in lines)
    return [line["loss"] for line in lines]


def hold_equal(found: list[float], wanted: list[float], name: str) -> None:
    apart = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
    print(f"{name}: {apart:.1e}")
    assert apart < TOLERANCE


def test_one_run_over_all_meshes(tmp_path: Path) -> None:
    """Each leg goes on from what another mesh saved: one curve, that of a run that never moved."""
    launch(tmp_path, "none", "none", 0)
    for mesh, stop in (("none", 1), ("2x2", 3), ("ddp", 4), ("1x2", 0)):
        launch(tmp_path, "moved", mesh, stop)
    hold_equal(curve(tmp_path, "moved"), curve(tmp_path, "none"), "over four meshes")


@pytest.mark.slow
def test_compiled_layers_give_the_same_curve_on_any_mesh(tmp_path: Path) -> None:
    """Sharded layers are of another class, which is compiled once more."""
    launch(tmp_path, "none", "none", 0)
    whole = curve(tmp_path, "none")
    for mesh in MESHES:
        launch(tmp_path, f"on-{mesh}", mesh, 0, "compile", "recompute")
        hold_equal(curve(tmp_path, f"on-{mesh}"), whole, f"compiled, on {mesh}")


@pytest.mark.slow
def test_any_mesh_goes_on_from_any(tmp_path: Path) -> None:
    launch(tmp_path, "none", "none", 0)
    whole = curve(tmp_path, "none")
    for saved in MESHES:
        launch(tmp_path, f"from-{saved}", saved, 3)
        for resumed in MESHES:
            out = f"{saved}-{resumed}"
            shutil.copytree(tmp_path / f"from-{saved}", tmp_path / out)
            launch(tmp_path, out, resumed, 0)
            hold_equal(curve(tmp_path, out), whole, f"saved on {saved}, resumed on {resumed}")


@pytest.mark.parametrize("moments", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_any_moment(tmp_path: Path, moments: int) -> None:
    # A checkpoint every other step: so long that the last kill still comes before the end.
    samples = 64 * moments
    launch(tmp_path, "whole", "none", 0, samples)
    chance = random.Random(0)
    command = [sys.executable, str(RUN), str(tmp_path), "killed", "none", "0", str(samples)]
    for kill in range(moments):
        running = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
        folder = tmp_path / "killed" / "checkpoints"
        before = set(folder.glob("step-*"))
        # At least one new checkpoint, or no run would ever come to an end; then any moment, or,
        # every other time, while a checkpoint is being written.
        deadline = time.monotonic() + 240
        while set(folder.glob("step-*[0-9]")) <= before:
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.005)
        if kill % 2:
            while not list(folder.glob("*.partial")) and running.poll() is None:
                time.sleep(0.001)
        else:
            time.sleep(chance.random() * 0.3)
        assert running.poll() is None
        running.send_signal(signal.SIGKILL)
        running.wait()
    launch(tmp_path, "killed", "none", 0, samples)
    assert curve(tmp_path, "killed") == pytest.approx(curve(tmp_path, "whole"), abs=1e-6)
