"""Compiled layers compute what plain ones do, once a class; what fails is left as it was."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from test_families import base
from test_train_waits import CPU, lessons, started
from torch._dynamo.utils import counters

from vlm3.model import load_checkpoint
from vlm3.train import compiled, loss_module
from vlm3.train.collate import Collator
from vlm3.train.config import ModelConfig, ParallelConfig, PromptConfig
from vlm3.train.loss_module import TINY, Start
from vlm3.train.validation import moved

MOST_GRAPHS = 8
"""Of a model, whatever its layers and lengths: before and after attention, with its norm and the
rest of the layer, of text and of vision."""


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Everything of the compiler but its own kernels, which take long to build."""
    torch._dynamo.reset()
    counters.clear()
    plain = partial(compiled.compile_layers, backend="aot_eager")
    monkeypatch.setattr(loss_module, "compile_layers", plain)
    yield
    torch._dynamo.reset()


def one_pass(made: Start, packing: Any, seed: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Losses and gradients of a batch."""
    collator = Collator(made.tokenizer, made.spec, packing)
    several = lessons(seed, made.spec.token_px)[: 1 + seed]
    batch = collator.batch([collator.encoder(one) for one in several])
    made.trainee.zero_grad()
    losses = made.trainee(moved(batch.tensors, CPU))
    losses.sum().backward()
    grads = [p.grad.clone() for p in made.trainee.parameters() if p.grad is not None]
    return losses.detach(), grads


def hold_equal(plain: Start, other: Start, packing: str, seed: int) -> None:
    wanted, found = (one_pass(made, packing, seed) for made in (plain, other))
    torch.testing.assert_close(found[0], wanted[0], atol=1e-5, rtol=0)
    assert len(wanted[1]) == len(found[1])
    for a, b in zip(found[1], wanted[1], strict=True):
        torch.testing.assert_close(a, b, atol=2e-5 * float(b.abs().max()) + 1e-6, rtol=0)


def test_equal_with_either_packing_and_recomputed_and_compiled_once(
    traced: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lengths, questions and pictures differ from pass to pass; layers and recomputation too."""
    made, plain = {}, {}
    for layers, recompute in ((3, False), (6, True)):
        size = replace(TINY, vision_layers=layers, text_layers=layers)
        monkeypatch.setitem(loss_module.SIZES, "tiny", size)
        plain[layers] = started("tree", recompute=recompute)
        made[layers] = started("tree", recompute=recompute, compile="on")
        assert made[layers].compiled.startswith("compile: on in ")
        assert made[layers].compiled.endswith(f": {layers} text layers; {layers} vision layers")
    assert counters["stats"]["unique_graphs"] == MOST_GRAPHS
    for layers, packing, seed in product(made, ("independent", "chat"), (2, 1, 0)):
        hold_equal(plain[layers], made[layers], packing, seed)
    assert counters["stats"]["unique_graphs"] <= MOST_GRAPHS + 2
    graphs = counters["stats"]["unique_graphs"]
    # Evaluation runs as it did.
    with torch.no_grad():
        batch = Collator(made[3].tokenizer, made[3].spec)([lessons(5)[0]])
        made[3].trainee.eval()(moved(batch, CPU))
    assert counters["stats"]["unique_graphs"] == graphs


def test_attention_with_a_mask_is_compiled_with_its_layer(traced: None) -> None:
    made = started("sdpa", compile="on")
    assert made.compiled.endswith(": 3 text layers"), "pictures one by one are not compiled"
    for seed in (2, 1):
        hold_equal(started("sdpa"), made, "independent", seed)
    assert counters["stats"]["unique_graphs"] <= 2


@pytest.mark.parametrize(
    ("name", "graphs"),
    [
        ("qwen2_5_vl-tied", 4),
        pytest.param("qwen3_vl_moe-untied", MOST_GRAPHS, marks=pytest.mark.slow),
    ],
)
def test_other_families_are_compiled_too(
    traced: None, tiny_tokenizer: Any, tmp_path: Path, name: str, graphs: int
) -> None:
    """Their towers as far as all pictures are attended to at once: that of Qwen2.5-VL is not."""
    model = ModelConfig(str(base(tiny_tokenizer, name, tmp_path / "base")))
    plain, made = (
        loss_module.begin(model, ParallelConfig(compile=choice), seed=0) for choice in ("off", "on")
    )
    for seed in (2, 1):
        hold_equal(plain, made, "independent", seed)
    assert graphs <= counters["stats"]["unique_graphs"] <= graphs + 2


def test_what_fails_or_differs_is_left(traced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("no Triton for\nthis card")

    monkeypatch.setattr(
        loss_module, "compile_layers", partial(compiled.compile_layers, backend=broken)
    )
    made = started("tree", compile="on")
    assert made.compiled.startswith("compile: off: text layers fail here (")
    assert "no Triton for this card" in made.compiled and "\n" not in made.compiled
    hold_equal(started("tree"), made, "chat", 1)

    def wrong(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        def run(*args: Any) -> list[Any]:
            return [
                one * 1.001 if isinstance(one, torch.Tensor) and one.is_floating_point() else one
                for one in graph(*args)
            ]

        return run

    torch._dynamo.reset()
    monkeypatch.setattr(
        loss_module, "compile_layers", partial(compiled.compile_layers, backend=wrong)
    )
    assert "text layers differ from plain ones by 0.00" in started("tree", compile="on").compiled


@pytest.mark.parametrize("recompute", [False, True])
def test_what_fails_later_is_plain_from_then_on(
    traced: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    recompute: bool,
) -> None:
    """As where sharded layers are compiled anew; also in the middle of a layer."""
    ready: list[bool] = []

    def fails(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        ready.append(True)
        if len(ready) > 5:
            raise RuntimeError("no memory")
        return graph.forward

    fragile = partial(compiled.compile_layers, backend=fails)
    monkeypatch.setattr(loss_module, "compile_layers", fragile)
    settings: Any = {"attention": "tree", "recompute": recompute}
    made = started(**settings, compile="on")
    assert "text layers; vision layers fail here" in made.compiled
    torch._dynamo.reset()
    ready[:] = ready[:3]
    hold_equal(started(**settings), made, "chat", 1)
    told = capsys.readouterr()
    lines = [line for line in (told.out + told.err).splitlines() if "off from here on" in line]
    assert len(lines) == 1 and "Qwen3VLTextDecoderLayer: " in lines[0] and "no memory" in lines[0]


def test_where_it_is_not_wanted_nothing_is_tried(traced: None) -> None:
    model: Any = None
    told = compiled.compile_layers(model, ParallelConfig(), CPU)
    assert told == "compile: off, as usual on cpu: it pays where launches cost"
    off = ParallelConfig(compile="off")
    assert compiled.compile_layers(model, off, torch.device("cuda")) == (
        "compile: off, as configured"
    )
    assert started("tree").compiled == told


_NO_KERNEL = (
    "view reshape as_strided as_strided_ transpose permute expand slice select detach empty to t "
    "empty_like empty_strided new_empty unsqueeze squeeze split split_with_sizes unbind alias "
    "contiguous clone unflatten _reshape_alias _unsafe_view expand_as view_as item set_ narrow "
    "_local_scalar_dense result_type resolve_conj resolve_neg lift_fresh detach_ chunk"
)
"""What torch's profiler has names for and what computes nothing."""


def kernels(made: Start, packing: str) -> Counter[str]:
    """What computes in a pass forward and backward, by name, after one that compiles."""
    none = set(_NO_KERNEL.split())
    one_pass(made, packing, 2)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        one_pass(made, packing, 2)

    def computes(event: Any) -> bool:
        space, _, name = event.name.partition("::")
        return (space == "aten" and name not in none) or "cpp_fused" in event.name

    def inside(event: Any) -> bool:
        return any(computes(one) or inside(one) for one in event.cpu_children)

    return Counter(e.name for e in profile.events() if computes(e) and not inside(e))


@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler"
)
def test_the_compilers_own_kernels_are_equal_and_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr(torch._inductor.config.cpp, "enable_kernel_profile", True)
    plain, made = started("tree", recompute=True), started("tree", recompute=True, compile="on")
    assert made.compiled.startswith("compile: on"), made.compiled
    for seed in (2, 1):
        hold_equal(plain, made, "chat", seed)
    before, after = kernels(plain, "chat"), kernels(made, "chat")
    fused = sum(count for name, count in after.items() if "cpp_fused" in name)
    print(f"kernels of a step: {sum(before.values())}, compiled {sum(after.values())}")
    assert fused > 50 and sum(after.values()) < 0.65 * sum(before.values())
    torch._dynamo.reset()


def test_a_checkpoint_does_not_tell(traced: None, tmp_path: Path) -> None:
    """Weights have the names of plain layers, with low-rank additions and while they are merged."""
    config = ModelConfig(source="tiny", lora_rank=2)
    made, plain = (
        loss_module.begin(config, ParallelConfig(compile=choice), seed=0, device="cpu")
        for choice in ("on", "off")
    )
    assert made.compiled.startswith("compile: on")
    weights = made.trainee.state_dict()
    assert list(weights) == list(plain.trainee.state_dict())
    hold_equal(plain, made, "independent", 1)
    with torch.no_grad():
        for name, weight in weights.items():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(0))
    folder = loss_module.export(
        plain, weights, tmp_path / "export", model=config, prompt=PromptConfig("joint")
    )
    trained = load_checkpoint(folder, device="cpu", dtype=torch.float32).model.state_dict()
    merged = made.trainee.model.merge_and_unload().state_dict()
    assert not [name for name in trained if "_orig_mod" in name or "lora" in name]
    for name, weight in merged.items():
        # Written in bfloat16.
        torch.testing.assert_close(trained[name], weight.bfloat16().float())
