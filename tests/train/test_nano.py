"""The loop that makes nano: restarts as if it had never stopped, exports what stock code loads."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from vlm3.train import nano, school

pytest.importorskip("warp", reason="worlds need Warp")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nano.NanoRun:
    """Four steps on mosaics: nothing is rendered, so they take seconds."""
    tiny = nano.SmallSize(
        vision_hidden=32,
        vision_layers=1,
        vision_heads=2,
        vision_mlp=32,
        deepstack=(0,),
        position_table=8,
        text_hidden=48,
        text_layers=1,
        text_heads=2,
        text_kv_heads=1,
        text_mlp=32,
    )
    monkeypatch.setattr(nano, "SmallSize", lambda: tiny)
    monkeypatch.setattr(nano, "CHECKED", ("color", "matching"))
    monkeypatch.setattr(school, "_SIZES", ((64, 48),) * 7)
    return nano.NanoRun(
        out=tmp_path / "run",
        steps=4,
        pointing_steps=4,
        decay_steps=2,
        warmup_steps=2,
        batch=2,
        check_every=2,
        workers=0,
    )


def losses(run: nano.NanoRun) -> list[float]:
    return [json.loads(line)["loss"] for line in (run.out / "log.jsonl").read_text().splitlines()]


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    run: nano.NanoRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    whole = nano.train_nano(run)
    # The second run is stopped right after its first save.
    stopped = dataclasses.replace(run, out=tmp_path / "stopped")
    save = nano._save

    def save_and_stop(path: Path, *rest: object) -> None:
        save(path, *rest)  # type: ignore[arg-type]
        if path.name == "last.pt":
            raise KeyboardInterrupt

    monkeypatch.setattr(nano, "_save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        nano.train_nano(stopped)
    monkeypatch.setattr(nano, "_save", save)
    resumed = nano.train_nano(stopped)
    assert losses(stopped) == pytest.approx(losses(run), abs=1e-6)
    for name, value in load_file(whole / "model.safetensors").items():
        assert torch.equal(value, load_file(resumed / "model.safetensors")[name]), name


def test_the_rate_rises_stays_and_falls(run: nano.NanoRun) -> None:
    long = dataclasses.replace(run, steps=1000, warmup_steps=100, decay_steps=200)
    rates = [long.rate(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert set(rates[100:800]) == {1.0}
    assert rates[-1] == pytest.approx(1 / 200)
    assert rates[800:] == sorted(rates[800:], reverse=True)


def test_the_state_before_the_fall_is_kept(run: nano.NanoRun) -> None:
    nano.train_nano(run)
    assert torch.load(run.out / "stable.pt", weights_only=True)["step"] == 2


def test_the_export_loads_and_answers(run: nano.NanoRun) -> None:
    import numpy as np

    import vlm3

    predictor = vlm3.load(nano.train_nano(run), device="cpu")
    assert predictor.protocol.name == "joint"
    view = vlm3.View.open(np.zeros((96, 128, 3), np.uint8), fov_deg=60.0)
    assert len(predictor.depth(view, [(5.0, 5.0)]).raw_text) == 1
