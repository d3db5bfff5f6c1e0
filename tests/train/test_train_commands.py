"""`vlm3 train`, `plan` and `data`: what is refused, and what is shown without training."""

import json
import math
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from vlm3.cli.overrides import overridden
from vlm3.cli.train import data, plan, train
from vlm3.errors import InputError
from vlm3.model import train_tokenizer
from vlm3.train.config import OptimConfig
from vlm3.train.plan import SHAPES, sample_flops
from vlm3.train.recipes import BASE, RECIPES, recipe
from vlm3.train.sizes import SIZE_4B, config_4b

pytest.importorskip("tyro", reason="overrides need tyro")


def test_table_4() -> None:
    steps = {name: recipe(name).steps for name in RECIPES if name.endswith("4b")}
    # 32M / 1344, 1M / 640, 80M / 2816, 10M / 448.
    assert steps | {"joint_4b": 0} == {
        "depth_4b": 23_810,
        "objects_4b": 1_563,
        "correspondence_4b": 28_409,
        "pose_4b": 22_321,
        "joint_4b": 0,
    }
    run = recipe("depth_4b")
    optim = run.optim
    assert (optim.warmup, optim.clip) == (0.1, 0.02)
    assert (run.prompt.protocol, run.loader.packing) == ("paper", "chat")
    assert optim.rate_at(0, run.steps) == 0 and optim.rate_at(2381, run.steps) == 5.5e-5
    assert optim.rate_at(23_810, run.steps) < 1e-12


def test_overrides_and_refusals() -> None:
    run = overridden("depth_4b", ["--rate", "1e-4", "--without", "waymo", "nuscenes"])
    assert (run.optim.rate, run.data.without) == (1e-4, ("waymo", "nuscenes"))
    for changes, why in (
        (["--rat", "1"], "--rate"),
        (["--batch", "x"], "invalid literal"),
        (["--batch", "-3"], "above 0"),
        (["--mesh", "4by8"], "auto, none, ddp"),
    ):
        with pytest.raises(InputError, match=why):
            overridden("depth_4b", changes)
    with pytest.raises(InputError, match="choose one of debug_cpu"):
        overridden("depth_5b", [])
    refused = CliRunner().invoke(train, ["depth_5b"])
    assert isinstance(refused.exception, InputError) and "depth_5b" in str(refused.exception)
    assert "Recipes: debug_cpu" in CliRunner().invoke(train, []).output


def test_a_switch_that_became_a_choice_still_works() -> None:
    for words, meant in (
        (["--compile"], "on"),
        (["--compile", "--batch", "8"], "on"),
        (["--no-compile"], "off"),
        (["--compile", "auto"], "auto"),
        (["--compile", "off", "--batch", "8"], "off"),
    ):
        assert overridden("debug_cpu", words).parallel.compile == meant
    with pytest.raises(InputError, match="compile"):
        overridden("debug_cpu", ["--compile", "maybe"])


def test_dry_run_says_what_would_be_done() -> None:
    said = CliRunner().invoke(train, ["debug_cpu", "--batch", "32", "--dry-run"])
    assert said.exit_code == 0 and '"batch": 32' in said.output and "steps: 375" in said.output
    # 4,000 of the 12,000 samples are mosaics before the mixture, and about a quarter of the rest.
    planned = {name: int(n) for name, n in re.findall(r"(\w+) +\w+ +\d+\.00 +(\d+) ", said.output)}
    assert planned.keys() == {"worlds", "mosaics"} and sum(planned.values()) == 8000
    assert planned["mosaics"] == pytest.approx(2000, rel=0.05)
    refused = CliRunner().invoke(train, ["depth_4b", "--data", "/nowhere", "--dry-run"])
    assert isinstance(refused.exception, InputError) and "--without" in str(refused.exception)


def test_plan_and_books() -> None:
    said = CliRunner().invoke(plan, ["depth_4b", "--gpu", "H100", "--gpus", "32"])
    assert said.exit_code == 0 and "hours" in said.output and "1.64 times" in said.output
    said = CliRunner().invoke(data, ["books", "--as-in-paper", "--drawn", "1344000"])
    assert "Argoverse2 is seen 2.62 times" in said.output


def test_plan_counts_the_model_that_is_named(tmp_path: Path) -> None:
    def hours(model: str) -> float:
        said = CliRunner().invoke(plan, ["depth_4b", "--model", model])
        assert said.exit_code == 0, said.exception
        return float(said.output.split("hours")[1].split()[0])

    config = config_4b(train_tokenizer(["0"], words=300))
    config.save_pretrained(tmp_path / "same")
    config.text_config.num_hidden_layers *= 2
    config.save_pretrained(tmp_path / "deeper")
    as_in_paper = hours(BASE)
    assert hours(str(tmp_path / "same")) == as_in_paper
    assert 1.5 < hours(str(tmp_path / "deeper")) / as_in_paper < 2
    for model, why in (("tiny", "toy"), ("nano", "toy"), (str(tmp_path), "no Qwen3-VL or")):
        refused = CliRunner().invoke(plan, ["depth_4b", "--model", model])
        assert isinstance(refused.exception, InputError) and why in str(refused.exception)


def test_flops_are_those_of_the_study() -> None:
    # Counted independently in the measured study: 64 TFLOP for 1600x896 with 450 tokens of text.
    assert sample_flops(SIZE_4B, SHAPES["depth"]) / 1e12 == pytest.approx(64, rel=0.02)
    # 4.4 billion weights, embedding included, as the checkpoint is named.
    assert 4.2e9 < SIZE_4B.weights < 4.6e9


def test_index_of_foreign_tars(tmp_path: Path) -> None:
    import io
    import tarfile

    with tarfile.open(tmp_path / "any.tar", "w") as tar:
        for name, content in (("a/x.jpg", b"j"), ("a/x.json", json.dumps({}).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert "1 samples" in CliRunner().invoke(data, ["index", str(tmp_path)]).output


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["depth_4b", "--model", "nano"], "protocol 'joint'.*--protocol joint keeps"),
        (["joint_4b", "--model", "nano"], "focal length of 125 px.*--f-px 125 keeps"),
        (["joint_4b", "--model", "nano", "--f-px", "125"], None),
        (["debug_cpu"], None),
    ],
)
def test_a_models_own_words_are_not_left_without_a_word(
    changes: list[str], told: str | None
) -> None:
    said = CliRunner().invoke(train, [*changes, "--dry-run"]).output
    assert re.search(told, said) if told else "warning" not in said


@pytest.mark.parametrize("steps", [1, 7, 40, 3125, 23_810])
@pytest.mark.parametrize("share", [0.0, 0.0125, 0.05, 0.1])
def test_the_rate_is_that_of_transformers(steps: int, share: float) -> None:
    """Rise and cosine, step by step; the number of steps that rise is rounded up."""
    import torch
    from transformers import get_cosine_schedule_with_warmup

    config = OptimConfig(1.0, warmup=share)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rise = math.ceil(steps * share)  # TrainingArguments.get_warmup_steps
    stock = get_cosine_schedule_with_warmup(optimizer, rise, steps).lr_lambdas[0]
    assert config.warmup_steps(steps) == rise
    for step in {0, 1, rise - 1, rise, rise + 1, steps // 2, steps - 1} & set(range(steps)):
        assert config.rate_at(step, steps) == pytest.approx(stock(step), abs=1e-12)
