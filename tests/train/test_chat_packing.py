"""Many conversations in one row: equal to each alone, and what breaks it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from vlm3.model import PictureInput, pixel_values
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.train import varlen
from vlm3.train.collate import Collator, Encoded, TensorBatch, stock_rows

SPEC = PictureInput(8, 2, 2, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def mixed() -> list[Conversation]:
    rng = np.random.default_rng(1)

    def one(*shapes: tuple[int, int], questions: int) -> Conversation:
        images = tuple(rng.integers(0, 256, (*s, 3), dtype=np.uint8) for s in shapes)
        qas = [QA("depth", f"point {rng.integers(2000):04d}", f"{k}.07") for k in range(questions)]
        return Conversation(images, tuple(qas))

    return [
        one((32, 48), questions=3),
        one((48, 32), (16, 64), questions=2),
        one(questions=2),
        one((32, 32), questions=4),
    ]


def logits(model: Any, batch: TensorBatch, **options: Any) -> torch.Tensor:
    inputs = {k: v for k, v in batch.items() if k not in ("labels", "patches")}
    pixels = pixel_values(batch["patches"], SPEC)
    with torch.no_grad():
        return model(**inputs, pixel_values=pixels, **options).logits[0]


def alone_row(collator: Collator, encoded: Encoded) -> TensorBatch:
    return stock_rows(collator.batch([encoded]).tensors)


@pytest.fixture
def both(tiny_model: Any, tiny_tokenizer: Any) -> Any:
    collator = Collator(tiny_tokenizer, SPEC, "chat")
    encoded = [collator.encoder(lesson) for lesson in mixed()]
    tiny_model.model.rope_deltas = None
    alone = torch.cat(
        [logits(tiny_model, alone_row(collator, e), use_cache=False)[: len(e.ids)] for e in encoded]
    )
    return stock_rows(collator.batch(encoded).tensors), alone


@pytest.mark.parametrize("training", [False, True])
def test_packed_equals_alone(tiny_model: Any, both: Any, training: bool) -> None:
    packed, alone = both
    tiny_model.train(training)
    found = logits(tiny_model, packed, use_cache=False)
    tiny_model.eval()
    assert (found - alone).abs().max() < 1e-5
    assert alone.std() > 0.1


def test_what_breaks_it(tiny_model: Any, both: Any) -> None:
    packed, alone = both
    # The library drops the hint that keeps conversations apart when a cache is in use ...
    assert (logits(tiny_model, packed, use_cache=True) - alone).abs().max() > 0.1
    # ... and never makes one from three rows of positions.
    short = packed | {"position_ids": packed["position_ids"][1:]}
    assert (logits(tiny_model, short, use_cache=False) - alone).abs().max() > 0.1


def test_turns_are_those_of_the_template(tiny_tokenizer: Any) -> None:
    lesson = mixed()[0]
    encoded = Collator(tiny_tokenizer, SPEC, "chat").encoder(lesson)
    messages: list[dict[str, Any]] = []
    content: list[dict[str, str]] = [{"type": "image"}]
    for qa in lesson.turns:
        messages.append(
            {"role": "user", "content": [*content, {"type": "text", "text": qa.question}]}
        )
        messages.append({"role": "assistant", "content": [{"type": "text", "text": qa.answer}]})
        content = []
    text = tiny_tokenizer.apply_chat_template(messages, tokenize=False)
    text = text.replace("<|image_pad|>", "<|image_pad|>" * 6)
    assert encoded.ids.tolist() == tiny_tokenizer(text, add_special_tokens=False)["input_ids"]
    learnt = encoded.labels[encoded.labels != -100]
    answers = "".join(f"{qa.answer}<|im_end|>" for qa in lesson.turns)
    assert tiny_tokenizer.decode(learnt) == answers


def test_a_rank_without_anything_still_has_a_picture(tiny_tokenizer: Any) -> None:
    batch = Collator(tiny_tokenizer, SPEC, "chat").batch([])
    assert len(batch.tensors["image_grid_thw"]) == 1 and len(batch.owners) == 0


def by_rows(query: Any, key: Any, value: Any, ends: Any, longest: int, scaling: float) -> Any:
    """What the kernel computes, a conversation at a time."""
    out = []
    for start, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        assert 0 < end - start <= longest
        q, k, v = (part[start:end].transpose(0, 1) for part in (query, key, value))
        out.append(
            torch.nn.functional.scaled_dot_product_attention(
                q, k, v, is_causal=True, scale=scaling, enable_gqa=True
            ).transpose(0, 1)
        )
    return torch.cat(out)


@pytest.fixture
def varlen_model(tiny_model: Any, both: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The model of `both`, then with attention `varlen`, its kernel replaced by a loop."""
    varlen.register()
    monkeypatch.setattr(varlen, "attention", by_rows)
    tiny_model.set_attn_implementation({"text_config": "varlen", "vision_config": "sdpa"})
    yield tiny_model
    tiny_model.set_attn_implementation({"text_config": "sdpa", "vision_config": "sdpa"})


def test_varlen_attention_equals_alone(varlen_model: Any, both: Any) -> None:
    packed, alone = both
    found = logits(varlen_model, packed, use_cache=False)
    with pytest.raises(ValueError, match="one packed row"):
        logits(varlen_model, packed | {"position_ids": packed["position_ids"][1:]})
    assert (found - alone).abs().max() < 1e-5


def test_bounds_are_found_once_a_batch(
    varlen_model: Any, both: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, _ = both
    counted: list[int] = []
    plain = varlen.bounds
    monkeypatch.setattr(varlen, "bounds", lambda p: counted.append(p.shape[1]) or plain(p))
    logits(varlen_model, packed, use_cache=False)
    layers = len(varlen_model.model.language_model.layers)
    assert layers > 1 and len(counted) == 1
    logits(varlen_model, packed | {"position_ids": packed["position_ids"].clone()})
    assert len(counted) == 2


def of_29(q, k, v, ends, ends_k, longest, longest_k, is_causal=False, return_aux=None):  # type: ignore[no-untyped-def]
    """As torch 2.9: no scale, no grouped queries."""
    assert is_causal and q.shape == k.shape
    return by_rows(q, k, v, ends, longest, q.shape[-1] ** -0.5)


def of_211(q, k, v, ends, ends_k, longest, longest_k, *, scale=None, window_size=(-1, -1)):  # type: ignore[no-untyped-def]
    """As torch 2.11: no grouped queries."""
    assert window_size == (-1, 0) and q.shape == k.shape
    return by_rows(q, k, v, ends, longest, scale)


def of_213(  # type: ignore[no-untyped-def]
    q, k, v, ends, ends_k, longest, longest_k, *, scale=None, window_size=(-1, -1), enable_gqa=False
):
    """As torch 2.12 and 2.13."""
    assert window_size == (-1, 0) and enable_gqa
    return by_rows(q, k, v, ends, longest, scale)


@pytest.mark.parametrize("release", [of_29, of_211, of_213])
def test_every_release_of_torch_is_asked_as_it_wants(
    release: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.nn.attention import varlen as torchs

    monkeypatch.setattr(torchs, "varlen_attn", release)
    torch.manual_seed(0)
    query, key, value = (torch.randn(90, heads, 16) for heads in (8, 2, 2))
    ends = torch.tensor([0, 17, 50, 90], dtype=torch.int32)
    given = (query, key, value, ends, 40, 0.3)
    assert (varlen.attention(*given) - by_rows(*given)).abs().max() < 1e-5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_kernel_is_what_the_reference_says() -> None:
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(90, heads, 64, device="cuda", dtype=torch.bfloat16) for heads in (8, 2, 2)
    )
    ends = torch.tensor([0, 17, 50, 90], device="cuda", dtype=torch.int32)
    given = (query, key, value, ends, 40, 0.125)
    assert (varlen.attention(*given) - by_rows(*given)).abs().max() < 0.03
