"""Whole numbers: close to the layer they stand for, guarded by the model's own answers."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from vlm3.errors import InputError
from vlm3.infer.engines import int8
from vlm3.infer.engines.local import LocalEngine
from vlm3.infer.engines.naive import NaiveEngine
from vlm3.infer.loading import load
from vlm3.infer.predictor import Predictor
from vlm3.model import Checkpoint
from vlm3.tasks.protocol import PROTOCOLS


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_stays_what_it_was_within_its_steps(bias: bool) -> None:
    torch.manual_seed(0)
    linear = torch.nn.Linear(96, 40, bias=bias)
    x = torch.randn(3, 5, 96)
    whole = int8.Int8Linear(linear)(x)
    assert whole.shape == (3, 5, 40) and whole.dtype == x.dtype
    error = (whole - linear(x)).norm() / linear(x).norm()
    # A step of seven bits, spread evenly, and one of eight for the weights.
    assert 0 < error < 0.03


@pytest.fixture
def predictor(qwen3: Checkpoint) -> tuple[Predictor, Checkpoint]:
    own = replace(qwen3, model=copy.deepcopy(qwen3.model))
    return (
        Predictor(
            LocalEngine(own), PROTOCOLS["release-pose"], 16, max_tokens=20, naive=NaiveEngine(own)
        ),
        own,
    )


def test_a_model_whose_answers_change_keeps_its_weights(
    predictor: tuple[Predictor, Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, checkpoint = predictor
    layers = checkpoint.model.model.language_model.layers
    before = dict(layers.named_parameters())
    monkeypatch.setattr(int8.Int8Linear, "forward", lambda self, x: torch.zeros(1))
    said = iter([["2.75", "1.00"], ["2.76", "7.00"]])
    monkeypatch.setattr(int8, "probe_texts", lambda *_, **__: next(said))
    with pytest.raises(InputError, match="changes 50% of"):
        int8.in_int8(asked, checkpoint)
    after = dict(layers.named_parameters())
    assert after.keys() == before.keys() and all(after[k] is before[k] for k in before)


def test_a_model_whose_answers_stay_computes_in_whole_numbers(
    predictor: tuple[Predictor, Checkpoint], monkeypatch: pytest.MonkeyPatch, pictures: list[Any]
) -> None:
    asked, checkpoint = predictor
    monkeypatch.setattr(int8, "_alike", lambda a, b: True)
    whole = int8.in_int8(asked, checkpoint)
    kinds = {type(m) for m in checkpoint.model.model.language_model.layers.modules()}
    assert int8.Int8Linear in kinds and torch.nn.Linear not in kinds
    assert whole.engine.name.endswith(" int8") and whole.naive is None
    with whole.engine.open(pictures[:1]) as scene:
        assert all(whole.engine.ask(scene, ["0880", "in 2"], max_new_tokens=3))


@pytest.mark.parametrize(
    ("a", "b", "alike"),
    [
        ("02.75", "02.80", True),
        ("02.75", "03.00", False),
        ("Yaw=+0.1", "Yaw=-0.1", False),
        ("(880, 512)", "(881, 512)", True),
        ("2.75 meters", "2.75", False),
        ("no", "no", True),
        ("1.0", "1.0 2.0", False),
    ],
)
def test_answers_alike(a: str, b: str, alike: bool) -> None:
    assert int8._alike(a, b) == alike


def test_where_it_cannot_be_it_is_refused() -> None:
    with pytest.raises(InputError, match="leave it out"):
        load("openai:m", protocol="joint", int8=True)
    with pytest.raises(InputError, match="fast engine"):
        load("nano", engine="naive", int8=True)
