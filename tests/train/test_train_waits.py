"""Whole passes: the forest's way equals the stock model's with a mask, and waits for nothing."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.train import tree
from vlm3.train.collate import Collator
from vlm3.train.flat_settings import changed
from vlm3.train.loss_module import Start, begin
from vlm3.train.optim import optimizers
from vlm3.train.recipes import recipe
from vlm3.train.validation import moved

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def counting() -> Iterator[ModuleType]:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import counting

    yield counting
    sys.path.pop(0)


def started(attention: str, packing: Any = "independent", **changes: Any) -> Start:
    run = changed(recipe("debug_cpu"), attention=attention, packing=packing, **changes)
    return begin(run.model, run.parallel, run.loader.packing, seed=run.seed)


def lessons(seed: int, token_px: int = 16) -> list[Conversation]:
    """Four pictures of a few tokens in three conversations."""
    rng = np.random.default_rng(seed)

    def one(*shapes: tuple[int, int], count: int) -> Conversation:
        sizes = [(rows * token_px, columns * token_px) for rows, columns in shapes]
        images = tuple(rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes)
        asked = rng.choice(2000, count, replace=False)
        words = ("Distance to the point", "Color of the point")
        return Conversation(
            images,
            tuple(QA("depth", f"{words[k % 2]}: {k:04d}", f"{k % 7}.{k % 10}7") for k in asked),
        )

    return [one((2, 3), count=5), one((3, 2), (2, 2), count=3), one((2, 2), count=1)]


@pytest.mark.parametrize("packing", ["independent", "chat"])
@pytest.mark.parametrize("recompute", [False, True])
def test_losses_and_gradients_equal_the_stock_pass_with_its_mask(
    packing: str, recompute: bool
) -> None:
    losses, grads = [], []
    for attention in ("sdpa", "tree"):
        made = started(attention, packing, recompute=recompute)
        collator = Collator(made.tokenizer, made.spec, packing)  # type: ignore[arg-type]
        batch = collator.batch([collator.encoder(lesson) for lesson in lessons(1)])
        each = made.trainee(moved(batch.tensors, CPU))
        each.sum().backward()
        losses.append(each.detach())
        grads.append([p.grad for p in made.trainee.parameters() if p.grad is not None])
    torch.testing.assert_close(losses[0], losses[1], atol=1e-5, rtol=0)
    assert losses[0].std() > 0.01 and len(grads[0]) == len(grads[1])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5 * float(a.abs().max()) + 1e-6, rtol=0)


def test_the_probe_says_what_it_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    assert started("auto").attention.startswith("attention: tree, of what works here")
    plain = tree._forward_cpu
    monkeypatch.setattr(tree, "_forward_cpu", lambda *a: (plain(*a)[0] * 1.01, plain(*a)[1]))
    assert "tree differs from plain attention by" in started("auto").attention

    def broken(*_: Any) -> Any:
        raise RuntimeError("no kernel for this card")

    monkeypatch.setattr(tree, "_forward_cpu", broken)
    made = started("auto")
    assert made.attention == (
        "attention: sdpa, of what works here; tree fails here (no kernel for this card)"
    )
    assert made.trainee.model.config.text_config._attn_implementation == "sdpa"


@pytest.mark.parametrize("packing", ["independent", "chat"])
def test_a_step_waits_for_nothing(counting: ModuleType, packing: str) -> None:
    """Forward, backward, clipping and optimiser; the trainer itself reads once, at the end."""
    made = started("tree", packing, recompute=True)
    collator = Collator(made.tokenizer, made.spec, packing)  # type: ignore[arg-type]
    batch = collator.batch([collator.encoder(lesson) for lesson in lessons(2)])
    (stepping,) = optimizers(made.trainee, recipe("depth_4b").optim)
    for _ in range(2):  # What is made once, and kept, is made in the first.
        with counting.pretended(made.trainee) as counts:
            counts.mark(*[p.grad for p in made.trainee.parameters() if p.grad is not None])
            made.trainee(moved(batch.tensors, CPU)).mean().backward()
            torch.nn.utils.clip_grad_norm_(made.trainee.parameters(), 0.02)
            stepping.step()
            stepping.zero_grad()
    assert sum(counts.launches.values()) > 500
    assert not counts.waits
    with counting.pretended(made.trainee) as counts:
        losses = made.trainee(moved(batch.tensors, CPU))
        float(losses.detach().sum())
        losses[losses > 0]
    assert counts.waits == {"_local_scalar_dense": 1, "index": 1}, "the count sees a wait"


def test_six_pictures_take_as_many_attention_kernels_as_one(counting: ModuleType) -> None:
    made = started("tree", "chat")
    collator = Collator(made.tokenizer, made.spec, "chat")
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    told = Conversation((image,), (QA("depth", "How far?", "0.17"),))
    calls = []
    for several in (1, 6):
        batch = collator.batch([collator.encoder(told)] * several)
        with counting.pretended(made.trainee) as counts:
            made.trainee(moved(batch.tensors, CPU)).mean().backward()
        calls.append({k: n for k, n in counts.launches.items() if "flash_attention" in k})
    assert calls[0] == calls[1] and set(calls[0].values()) == {6}, "of three and three layers"


def test_what_no_kernel_takes_is_computed_with_the_square(monkeypatch: pytest.MonkeyPatch) -> None:
    made = started("tree")
    collator = Collator(made.tokenizer, made.spec)
    batch = collator.batch([collator.encoder(lesson) for lesson in lessons(3)])
    with torch.no_grad():
        by_parts = made.trainee(batch.tensors)
        monkeypatch.setattr(tree, "takes", lambda *_: False)
        with_square = made.trainee(batch.tensors)
    assert not torch.equal(by_parts, with_square)
    torch.testing.assert_close(by_parts, with_square, atol=1e-5, rtol=0)
