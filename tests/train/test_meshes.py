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
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def curve(folder: Path, out: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    assert all(line["samples"] == 8 for line in lines)
    return [line["loss"] for line in lines]


@pytest.mark.parametrize("mesh", ["ddp", "1x2", pytest.param("2x2", marks=pytest.mark.slow)])
def test_every_mesh_learns_the_same_and_resumes_the_others(tmp_path: Path, mesh: str) -> None:
    launch(tmp_path, "none", "none", 0)
    whole = curve(tmp_path, "none")
    launch(tmp_path, mesh, mesh, 3)
    assert curve(tmp_path, mesh) == pytest.approx(whole[:3], abs=TOLERANCE)
    # Saved here, gone on with elsewhere.
    launch(tmp_path, mesh, "none", 0)
    assert curve(tmp_path, mesh) == pytest.approx(whole, abs=TOLERANCE)


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
            apart = max(abs(a - b) for a, b in zip(curve(tmp_path, out), whole, strict=True))
            print(f"saved on {saved}, resumed on {resumed}: {apart:.1e}")
            assert apart < TOLERANCE


@pytest.mark.slow
def test_killed_at_ten_moments(tmp_path: Path) -> None:
    launch(tmp_path, "whole", "none", 0, 640)
    chance = random.Random(0)
    kills = 0
    command = [sys.executable, str(RUN), str(tmp_path), "killed", "none", "0", "640"]
    while kills < 10:
        running = subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL)
        folder = tmp_path / "killed" / "checkpoints"
        before = set(folder.glob("step-*"))
        # At least one new checkpoint, or no run would ever come to an end; then any moment, or,
        # every other time, while a checkpoint is being written.
        deadline = time.monotonic() + 120
        while set(folder.glob("step-*[0-9]")) <= before and time.monotonic() < deadline:
            if running.poll() is not None:
                break
            time.sleep(0.005)
        if kills % 2:
            while not list(folder.glob("*.partial")) and running.poll() is None:
                time.sleep(0.001)
        else:
            time.sleep(chance.random() * 0.5)
        if running.poll() is not None:
            assert running.returncode == 0
            break
        running.send_signal(signal.SIGKILL)
        running.wait()
        kills += 1
    launch(tmp_path, "killed", "none", 0, 640)
    assert kills == 10
    assert curve(tmp_path, "killed") == pytest.approx(curve(tmp_path, "whole"), abs=1e-6)
