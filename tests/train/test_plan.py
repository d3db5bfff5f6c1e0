"""`vlm3 plan` against torch's own counts, on the paper's architecture without its weights."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.train.collate import Collator
from vlm3.train.config import ParallelConfig, RunConfig
from vlm3.train.flat_settings import changed
from vlm3.train.loss_module import begin
from vlm3.train.optim import optimizers
from vlm3.train.plan import (
    PICTURE_SHARE,
    SAFE_SHARE,
    SHAPES,
    _memory_gb,
    layer_bytes,
    layers_to_keep,
    sample_flops,
)
from vlm3.train.recipes import recipe
from vlm3.train.sizes import SIZE_4B, SIZES_BY_ID, ModelSize, config_4b, stock_config

VISION, TEXT = 24, 36


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import Qwen3VLForConditionalGeneration

    from vlm3.model import train_tokenizer

    config = config_4b(train_tokenizer(["Distance in meters: 0123456789"], words=300))
    with torch.device("meta"):
        return Qwen3VLForConditionalGeneration(config).to(torch.bfloat16)


def given(*shape: int, gradient: bool = True) -> torch.Tensor:
    return torch.empty(*shape, device="meta", dtype=torch.bfloat16, requires_grad=gradient)


def text_layer(model: Any, tokens: int) -> torch.Tensor:
    turn = given(1, tokens, 128, gradient=False)
    return model.model.language_model.layers[0](
        given(1, tokens, 2560),
        attention_mask=None,
        position_ids=torch.arange(tokens)[None],
        position_embeddings=(turn, turn),
    )


def vision_layer(model: Any, patches: int) -> torch.Tensor:
    turn = given(patches, 64, gradient=False)
    return model.model.visual.blocks[0](
        given(patches, 1024),
        cu_seqlens=torch.tensor([0, patches]),
        position_embeddings=(turn, turn),
    )


def flops(run: Any) -> int:
    with FlopCounterMode(display=False) as counter:
        run().sum().backward()
    return counter.get_total_flops()


def test_weights(model: Any) -> None:
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(SIZE_4B.weights, rel=0.002)


@pytest.mark.parametrize("task", list(SHAPES))
def test_flops_are_those_torch_counts(model: Any, task: str) -> None:
    # Plain attention multiplies what the mask hides too: half of it is no model FLOP.
    model.set_attn_implementation({"text_config": "eager", "vision_config": "eager"})
    shape, visual = SHAPES[task], model.model.visual
    counted = TEXT * flops(lambda: text_layer(model, shape.tokens))
    counted -= 3 * 2 * TEXT * 32 * 128 * shape.tokens**2
    for tokens in shape.pictures:
        patches = 4 * tokens
        counted += VISION * flops(lambda n=patches: vision_layer(model, n))
        counted += flops(lambda n=patches: visual.merger(given(n, 1024)))
        counted += 3 * flops(lambda n=patches: visual.deepstack_merger_list[0](given(n, 1024)))
        counted += flops(lambda n=patches: visual.patch_embed(given(n, 1536)))
    print(f"{task}: planned over counted {sample_flops(SIZE_4B, shape) / counted:.4f}")
    assert sample_flops(SIZE_4B, shape) == pytest.approx(counted, rel=0.01)


def test_what_a_layer_keeps(model: Any) -> None:
    model.set_attn_implementation({"text_config": "sdpa", "vision_config": "sdpa"})

    def kept(run: Any, count: int) -> float:
        own = {p.untyped_storage()._cdata for p in model.parameters()}
        found: dict[int, torch.Tensor] = {}

        def keep(value: torch.Tensor) -> torch.Tensor:
            if value.untyped_storage()._cdata not in own:
                found[value.untyped_storage()._cdata] = value
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            run(model, count)
        return sum(value.untyped_storage().nbytes() for value in found.values()) / count

    # Without a device, attention keeps its weights, which grow with the square: two sizes tell.
    for planned, run in zip(layer_bytes(SIZE_4B), (text_layer, vision_layer), strict=True):
        counted = 2 * kept(run, 256) - kept(run, 512)
        print(f"a layer keeps {counted:.0f} bytes a place, planned {planned}")
        assert planned == pytest.approx(counted, rel=0.1)


def test_states_take_sixteen_bytes_a_weight() -> None:
    run = recipe("debug_cpu")
    trainee = begin(run.model, run.parallel, seed=0).trainee
    (optimizer,) = optimizers(trainee, replace(run.optim, optimizer="adamw"))
    for parameter in trainee.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    moments = [v for state in optimizer.state.values() for v in state.values() if v.ndim]
    held = [*trainee.parameters(), *(p.grad for p in trainee.parameters()), *moments]
    count = sum(p.numel() for p in trainee.parameters())
    assert sum(v.numel() * v.element_size() for v in held if v is not None) == 16 * count


@pytest.mark.parametrize("name", list(SIZES_BY_ID))
def test_sizes_are_those_of_the_stock_architecture(name: str) -> None:
    from transformers import AutoModelForImageTextToText

    from vlm3.model import train_tokenizer

    size = SIZES_BY_ID[name]
    config = stock_config(size, train_tokenizer(["Distance in meters: 0123456789"], words=300))
    assert ModelSize.of(config) == size
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    counted = sum(p.numel() for p in model.parameters())
    print(
        f"{name}: {counted / 1e9:.2f} B weights, planned over counted {size.weights / counted:.4f}"
    )
    assert size.weights == pytest.approx(counted, rel=0.002)


@pytest.mark.parametrize("name", list(SIZES_BY_ID))
def test_blocks_divide_among_eight(name: str) -> None:
    """What FSDP shards are blocks; every large tensor in them has a first side that divides."""
    from transformers import AutoModelForImageTextToText

    from vlm3.model import train_tokenizer

    config = stock_config(
        SIZES_BY_ID[name], train_tokenizer(["Distance in meters: 0123456789"], words=300)
    )
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    uneven = [
        (key, tuple(value.shape))
        for key, value in model.named_parameters()
        if value.numel() > 10**6 and value.shape[0] % 8
    ]
    assert uneven == []


def kept(run: RunConfig, *, shards: int, capacity: float) -> tuple[int, int]:
    """Layers of vision and text of the paper's model that are not recomputed."""
    budget = run.loader.budget
    return layers_to_keep(
        SIZE_4B, run.model, run.parallel, budget, shards=shards, capacity=capacity
    )


@drawn(st.floats(1e9, 1e12), st.sampled_from([1, 2, 8]), st.integers(512, 65_536), st.booleans())
def test_what_is_kept_fits_and_more_memory_keeps_no_less(
    capacity: float, shards: int, budget: int, lora: bool
) -> None:
    run = changed(recipe("depth_4b"), budget=budget, lora_rank=8 * lora)
    vision, text = kept(run, shards=shards, capacity=capacity)
    assert 0 <= vision <= SIZE_4B.vision[0] and 0 <= text <= SIZE_4B.text[0]
    per_text, per_vision = layer_bytes(SIZE_4B)
    held = text * budget * (per_text - 2 * SIZE_4B.text[1])
    held += vision * 4 * PICTURE_SHARE * budget * (per_vision - 2 * SIZE_4B.vision[1])
    if vision or text:
        memory_gb = _memory_gb(SIZE_4B, run.model, run.parallel, run.loader.budget, shards)
        assert 1e9 * memory_gb + held <= SAFE_SHARE * capacity
    more = kept(run, shards=shards, capacity=1.1 * capacity)
    assert more[1] >= text and (more[1] > text or more[0] >= vision)


def test_a_node_of_large_gpus_recomputes_less_and_one_gpu_everything() -> None:
    run = recipe("depth_4b")
    assert kept(run, shards=1, capacity=80e9) == (0, 0)
    vision, text = kept(run, shards=8, capacity=141e9)
    assert text > 20 and vision >= 0


def test_kept_layers_are_not_recomputed_and_change_nothing() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = []
    for layers_kept in ((0, 0), (1, 2), (9, 9)):
        made = begin(recipe("debug_cpu").model, ParallelConfig(recompute=True), seed=0)
        made.keep(*layers_kept)
        ran: list[int] = []
        for block in made.blocks:
            block.mlp.register_forward_pre_hook(lambda *_, ran=ran: ran.append(1))
        asked = Conversation((image,), (QA("depth", "a", "1"),))
        batch = Collator(made.tokenizer, made.spec)([asked])
        made.trainee(batch).sum().backward()
        found.append((len(ran), [p.grad for p in made.trainee.parameters() if p.grad is not None]))
    layers = len(made.blocks)
    assert [count for count, _ in found] == [2 * layers, 2 * layers - 3, layers]
    for _, grads in found[1:]:
        for a, b in zip(grads, found[0][1], strict=True):
            torch.testing.assert_close(a, b)
