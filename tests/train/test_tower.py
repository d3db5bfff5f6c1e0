"""The tower's own stage: labels lie where the tokens look; it goes on; its weights are kept."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("warp", reason="worlds need Warp")

import vlm3
from vlm3.errors import Vlm3Error
from vlm3.model import load_checkpoint
from vlm3.train import tower
from vlm3.train.config import Run
from vlm3.train.gallery import Gallery, gallery_of
from vlm3.train.loop import train
from vlm3.train.recipes import recipe
from vlm3.train.tower import SPOTS, TWINS, dense, train_tower
from vlm3.train.trainee import SIZES, begin

torch.set_num_threads(1)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gallery")


def small(gallery: Path, out: Path) -> Run:
    """The recipe of nano, with a toy and a few steps."""
    return replace(
        recipe("nano"),
        out=out,
        model="tiny",
        samples=4,
        batch=2,
        tower_steps=4,
        pointing=0,
        gallery=gallery,
        worlds=2,
        precision="fp32",
        workers=0,
        check_every=2,
        held_out=2,
    )


def tower_of(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["visual"]
    return state


def test_labels_are_those_of_the_pixels_a_token_spans(folder: Path) -> None:
    spec = SIZES["tiny"].picture_input
    pair = Gallery(folder, 125.0, 0).pair(0).cut(160, 128)
    batch = dense([pair], spec, np.random.default_rng(0), paint=False)
    token, columns = spec.token_px, 160 // spec.token_px
    stride = token // SPOTS
    assert batch.labels.shape == (2, columns * 128 // token, SPOTS**2, 7)
    for picture, frame in enumerate((pair.frame1, pair.frame2)):
        for place, spot in ((0, 0), (7, 5), (columns, 15), (columns * 3 + 2, 10)):
            row = place // columns * token + spot // SPOTS * stride + stride // 2
            column = place % columns * token + spot % SPOTS * stride + stride // 2
            distance = frame.distance_m[row, column]
            label = batch.labels[picture, place, spot].numpy()
            if np.isfinite(distance):
                assert np.exp(label[0]) == pytest.approx(max(distance, 0.05), rel=1e-5)
            else:
                assert np.isnan(label[0])
            assert label[1:4] == pytest.approx(frame.normal[row, column])
            assert (label[4:] + 1) * 127.5 == pytest.approx(frame.image[row, column], abs=1e-3)
    for found, xy_px in ((batch.xy1, pair.xy1_px), (batch.xy2, pair.xy2_px)):
        middle = (found[0].numpy() + 0.5) * token / TWINS
        assert np.abs(middle - xy_px).max() <= token / TWINS / 2


def test_killed_between_two_saves_it_ends_where_it_would_have(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for name, dies in (("whole", False), ("killed", True)):
        run = small(folder, tmp_path / name)
        made = begin(run)
        if dies:
            calls = 0

            def fails(*args: object, **kwargs: object) -> tower.Dense:
                nonlocal calls
                calls += 1
                if calls == 5:  # Two steps, a check of one batch, a step, and this one.
                    raise Vlm3Error("killed")
                return dense(*args, **kwargs)  # type: ignore[arg-type]

            with monkeypatch.context() as patch:
                patch.setattr(tower, "dense", fails)
                with pytest.raises(Vlm3Error, match="killed"):
                    train_tower(run, made.trainee.model, made.spec, CPU)
            assert torch.load(run.out / "tower.pt", weights_only=True)["step"] == 2
            made = begin(run)
        train_tower(run, made.trainee.model, made.spec, CPU)
        ends.append(tower_of(run.out / "tower.pt"))
    fresh = begin(small(folder, tmp_path / "fresh")).trainee.model.model.visual.state_dict()
    for name, whole in ends[0].items():
        assert torch.equal(whole, ends[1][name]), name
    assert any(not torch.equal(ends[0][name], fresh[name]) for name in fresh)


def test_text_leaves_the_tower_as_it_was(folder: Path, tmp_path: Path) -> None:
    run = small(folder, tmp_path / "run")
    assert train(run) == run.steps == 2
    kept = tower_of(run.out / "tower.pt")
    loaded = load_checkpoint(str(run.out / "export"), device="cpu", dtype=torch.float32)
    for name, weights in loaded.model.model.visual.state_dict().items():
        assert weights == pytest.approx(kept[name].bfloat16().float()), name
    # Training needs no cache; whoever generates with stock libraries does.
    assert json.loads((run.out / "export" / "config.json").read_text()).get("use_cache", True)
    # Two steps of text say nothing that can be trusted; what counts is that it is asked as any is.
    image = gallery_of(run).pair(0).frame1.image
    view = vlm3.View.open(image, f_px=125.0)
    answer = vlm3.load(str(run.out / "export")).depth(view, [(80, 60)])
    assert len(answer.raw_text) == 1
