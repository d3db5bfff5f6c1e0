"""The loop: stopping, resuming, damage, NaN, a full disk; one process. Meshes: test_meshes.py."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlm3.data.record import Record
from vlm3.data.shards import write_shards
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.lock import NAME as LOCK
from vlm3.lock import writing
from vlm3.train import checkpoint, resume
from vlm3.train import datasets as sources
from vlm3.train import trainer as loop
from vlm3.train.config import (
    CheckpointConfig,
    LoaderConfig,
    ModelConfig,
    OptimConfig,
    ParallelConfig,
    PromptConfig,
    RunConfig,
    ValidationConfig,
)
from vlm3.train.curriculum import Curriculum
from vlm3.train.flat_settings import changed
from vlm3.train.parts import (
    ColorMosaics,
    DataConfig,
    ObjectsFolder,
    RenderedWorlds,
    Stage,
    TableSets,
)
from vlm3.train.step import TrainingError
from vlm3.train.trainer import train

torch.set_num_threads(1)


def shards(folder: Path, count: int = 40) -> Path:
    import io

    from PIL import Image

    camera = Camera(50.0, 50.0, 24.0, 16.0, 48, 32)
    samples = []
    for k in range(count):
        rng = np.random.default_rng(k)
        out = io.BytesIO()
        low = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(low).resize((48, 32)).save(out, "JPEG")
        xy_px = rng.uniform((0, 0), (48, 32), (4, 2))
        record = Record(camera, xy_px, rng.uniform(0.5, 9, 4))
        samples.append((f"k{k:04d}", out.getvalue(), record.to_json()))
    write_shards(folder / "objects", samples, per_shard=16)
    return folder


def tiny(folder: Path, out: str = "out", **changes: Any) -> RunConfig:
    data = folder / "data"
    if not data.exists():
        shards(data)
    run = RunConfig(
        name="test",
        out=folder / out,
        model=ModelConfig("tiny"),
        data=DataConfig((Stage(48, (ObjectsFolder(("depth",)),)),), root=str(data)),
        prompt=PromptConfig("joint", f_px=50.0),
        loader=LoaderConfig(8, packing="independent", budget=400, workers=0),
        optim=OptimConfig(1e-3, clip=0.02),
        parallel=ParallelConfig(precision="fp32", recompute=False),
        checkpoint=CheckpointConfig(save_every=2),
        validation=ValidationConfig(check_every=3, held_out=2),
    )
    return changed(run, **changes)


def found_for(run: RunConfig) -> Curriculum:
    return sources.curriculum(run.data, run.prompt, seed=run.seed, multiple_px=16)


def curve(run: RunConfig) -> list[float]:
    lines = [json.loads(line) for line in (run.out / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def test_stopped_and_resumed_is_the_same(tmp_path: Path) -> None:
    whole, halves = tiny(tmp_path), tiny(tmp_path, "halves")
    assert train(whole) == 6
    assert train(halves, stop_at=3) == 3
    assert train(halves) == 6
    assert curve(halves) == pytest.approx(curve(whole), abs=1e-6)
    lines = [json.loads(line) for line in (whole.out / "log.jsonl").read_text().splitlines()]
    assert {"depth_loss", "depth_gap_shuffled", "depth_gap_blank"} <= set(lines[2])
    assert all(line["clipped"] and line["samples"] == 8 for line in lines)
    from vlm3.model import load_checkpoint

    exported = load_checkpoint(whole.out / "export", device="cpu")
    assert exported.settings.f_px == 50.0


def test_an_address_is_as_good_as_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    local = tiny(tmp_path, samples=16)
    remote = changed(local, out=tmp_path / "remote", data=f"file://{local.data.root}", workers=1)
    train(local)
    train(remote)
    assert curve(remote) == curve(local)


@pytest.mark.parametrize("packing", ["independent", "chat"])
def test_accumulation_changes_nothing(tmp_path: Path, packing: Any) -> None:
    one = tiny(tmp_path, "one", packing=packing, samples=16, budget=100_000)
    many = changed(one, out=tmp_path / "many", budget=150)
    train(one)
    train(many)
    assert curve(many) == pytest.approx(curve(one), abs=1e-5)


def test_recomputing_frozen_vision_and_lora(tmp_path: Path) -> None:
    plain = tiny(tmp_path, "plain", samples=16)
    train(plain)
    again = changed(plain, out=tmp_path / "again", recompute=True)
    train(again)
    assert curve(again) == pytest.approx(curve(plain), abs=1e-5)
    train(changed(plain, out=tmp_path / "frozen", freeze_vision=True))
    pytest.importorskip("peft")
    train(changed(plain, out=tmp_path / "lora", lora_rank=2), stop_at=1)
    train(changed(plain, out=tmp_path / "lora", lora_rank=2))
    assert (tmp_path / "lora" / "export" / "model.safetensors").is_file()


def test_damage_is_left_out_counted_and_named(tmp_path: Path) -> None:
    run = tiny(tmp_path, samples=80, workers=0)
    tar = tmp_path / "data" / "objects" / "00001.tar"
    tar.write_bytes(tar.read_bytes()[: len(tar.read_bytes()) // 2])
    train(run)
    lines = [json.loads(line) for line in (run.out / "log.jsonl").read_text().splitlines()]
    named = [name for line in lines for name in line["damaged"]]
    assert named and all("00001.tar" in name for name in named)
    assert sum(line["samples"] for line in lines) + len(named) == 80


def test_nan_names_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny(tmp_path)
    forward = loop.spread

    def poisoned(trainee: Any, *rest: Any, **options: Any) -> Any:
        module = forward(trainee, *rest, **options)
        inner = trainee.forward
        calls = []

        def wrong(batch: Any) -> Any:
            out = inner(batch)
            if module.training:
                calls.append(1)
            return out * float("nan") if len(calls) == 7 else out

        trainee.forward = wrong
        return module

    monkeypatch.setattr(loop, "spread", poisoned)
    with pytest.raises(TrainingError, match=r"no number, from \d+ samples: sample \d+, objects"):
        train(run)
    assert all(np.isfinite(curve(run)))


def test_full_disk_keeps_the_last_good_one(tmp_path: Path) -> None:
    import resource

    run = tiny(tmp_path)
    train(run, stop_at=2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        with pytest.warns(checkpoint.SaveWarning, match="the one before it stays"):
            train(run, stop_at=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    kept = sorted(path.name for path in (run.out / "checkpoints").glob("step-*"))
    assert kept == ["step-00000002"]
    whole = tiny(tmp_path, "whole")
    train(whole)
    train(run)
    assert curve(run) == pytest.approx(curve(whole), abs=1e-6)


def test_sigterm_saves_and_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny(tmp_path, save_every=100)
    step = loop.take_step

    def asked(*given: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGTERM)
        return step(*given, **options)

    monkeypatch.setattr(loop, "take_step", asked)
    assert train(run) == 1
    assert [p.name for p in (run.out / "checkpoints").glob("step-*")] == ["step-00000001"]


def test_ctrl_c_saves_and_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny(tmp_path, save_every=100)
    step = loop.take_step

    def asked(*given: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return step(*given, **options)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(loop, "take_step", asked)
    with pytest.raises(KeyboardInterrupt, match=r"saved at step 1 of 6 in .*same command goes on"):
        train(run)
    assert signal.getsignal(signal.SIGINT) is before
    assert [p.name for p in (run.out / "checkpoints").glob("step-*")] == ["step-00000001"]
    monkeypatch.setattr(loop, "take_step", step)
    assert train(run) == 6 and not (run.out / LOCK).exists()


def test_a_run_that_goes_on_is_announced_and_stays_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny(tmp_path)
    train(run, stop_at=2)
    note = (run.out / "run.json").read_bytes()
    capsys.readouterr()
    monkeypatch.chdir(tmp_path)
    # Another spelling of the same place, and what decides nothing.
    spelled = changed(run, out=Path("out"), data="data", workers=1, save_every=3, tensorboard=False)
    assert train(spelled, stop_at=4) == 4
    assert "at step 2 of 6: going on from there" in capsys.readouterr().err
    train(run)
    train(run)
    assert "at step 6 of 6: there is nothing left to do" in capsys.readouterr().err
    monkeypatch.setattr(loop, "begin", lambda *_, **__: pytest.fail("the model was loaded"))
    part = ObjectsFolder(share=0.5)
    for changes, named in (
        ({"batch": 4, "seed": 7}, "batch: 8 there, 4 now; seed: 0 there, 7 now"),
        ({"f_px": 60.0}, "f_px: 50.0 there, 60.0 now"),
        ({"samples": 96}, "samples: 48 there, 96 now"),
        ({"parts": (part,)}, "parts.0.share: 1.0 there, 0.5 now; parts.0.tasks:"),
        ({"parts": (*run.data.parts, part)}, "parts.1.kind"),
    ):
        with pytest.raises(InputError, match="other settings") as caught:
            train(changed(run, **changes))  # type: ignore[arg-type]
        assert named in str(caught.value) and "--output" in str(caught.value)
        assert (run.out / "run.json").read_bytes() == note, "never another run's"
    with writing(run.out), pytest.raises(InputError, match=f"process {os.getpid()} "):
        train(run)


@pytest.mark.parametrize("note", [b"", b"[]", b"[" * 5000, b"\xff"])
def test_whose_folder_it_is_cannot_be_told(tmp_path: Path, note: bytes) -> None:
    run = tiny(tmp_path)
    (run.out / "checkpoints" / "step-00000001").mkdir(parents=True)
    (run.out / "run.json").write_bytes(note)
    with pytest.raises(InputError, match=r"run\.json cannot be read"):
        resume.check(run)


def test_a_folder_of_an_older_version_or_of_a_run_that_left_nothing(tmp_path: Path) -> None:
    run = tiny(tmp_path)
    resume.keep(run)
    resume.check(changed(run, batch=4))  # Nothing to go on from: it holds nobody up.
    (run.out / "checkpoints" / "step-00000001").mkdir(parents=True)
    note = json.loads((run.out / "run.json").read_text())
    del note["schedule"], note["parts"][0]["share"]
    (run.out / "run.json").write_text(json.dumps(note))
    resume.check(run)
    with pytest.raises(InputError, match="schedule: 'cosine' there, 'flat' now"):
        resume.check(changed(run, schedule="flat"))


def test_sigterm_to_the_whole_group_saves(tmp_path: Path) -> None:
    tiny(tmp_path)
    script = Path(__file__).parent / "mesh_run.py"
    command = [sys.executable, str(script), str(tmp_path), "out", "none", "0", "40000", "1"]
    running = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    log = tmp_path / "out" / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.is_file() and log.read_text().count("\n") > 3):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(running.pid, signal.SIGTERM)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 0, said.decode()[-2000:]
    done = len(log.read_text().splitlines())
    assert (tmp_path / "out" / "checkpoints" / f"step-{done:08d}").is_dir()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": ""}, "give --data DIR"),
        ({"parts": (TableSets("depth", ("depth",)),)}, "8 sets|7 sets"),
        ({"without": ("nonsense",)}, "without names no set"),
        ({"mesh": "2x4"}, "needs 8 processes"),
        ({"model": "/no/such/folder"}, "no model"),
        ({"mesh": "1x1", "optimizer": "muon"}, "Muon cannot train shards"),
    ],
)
def test_wrong_runs_fail_before_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Any, why: str
) -> None:
    monkeypatch.setattr(loop, "begin", lambda *_, **__: pytest.fail("the model was loaded"))
    with pytest.raises(InputError, match=why):
        train(tiny(tmp_path, **changes))


def test_worlds_and_mosaics_are_sources(tmp_path: Path) -> None:
    pytest.importorskip("warp")
    run = tiny(tmp_path, parts=(RenderedWorlds(("depth",)), ColorMosaics()))
    found = found_for(changed(run, size_px=(64, 48)))
    for source in found.sources:
        first, again = (source.conversation(5, (0, 9)) for _ in range(2))
        assert first.turns == again.turns and np.array_equal(first.images[0], again.images[0])
        assert source.conversation(len(source) + 1, (0, 9)).turns
    first = found_for(changed(run, size_px=(64, 48), pointing=9)).sources[-1]
    asked = [qa.question for k in range(12) for qa in first.conversation(k, (0, 9)).turns]
    assert all(text.startswith("Color of") for text in asked)


def test_views_that_are_kept_look_another_way_each_time(tmp_path: Path) -> None:
    pytest.importorskip("warp")
    run = tiny(tmp_path, parts=(RenderedWorlds(("depth",), colors=2, views=3),), size_px=(64, 48))
    (source,) = found_for(run).sources
    assert len(source) == 3
    first, again, later = (source.conversation(1, (0, count)) for count in (1, 1, 4))
    assert first.turns == again.turns and np.array_equal(first.images[0], again.images[0])
    # Shown again the view is painted anew, and asked about elsewhere.
    assert first.turns != later.turns and not np.array_equal(first.images[0], later.images[0])
    grey = [one.images[0].mean(-1).ravel() for one in (first, later)]
    turned = later.images[0][:, ::-1].mean(-1).ravel()
    assert max(np.corrcoef(grey[0], one)[0, 1] for one in (grey[1], turned)) > 0.9
    # Held-out views are other worlds, as they are.
    held, same = (source.conversation(4, (0, count)) for count in (1, 2))
    assert np.array_equal(held.images[0], same.images[0]) and held.turns != same.turns
