"""The attention that tells its log-sum-exp: every route gives what plain operations give.

The GPU's routes run on a GPU only (`pytest -m gpu tests/infer`); here a plain function with the
arguments and the meaning of torch's kernel stands for it.
"""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vlm3.infer.decoding import kernels
from vlm3.infer.decoding.answer_forms import answer_form
from vlm3.infer.engines.local import LocalEngine
from vlm3.model import Checkpoint
from vlm3.tasks.protocol import PROTOCOLS

SHAPES = [(1, 2, 5, 5, 16), (3, 4, 7, 33, 64), (2, 1, 1, 300, 128)]


def tensors(shape: tuple[int, ...], device: str, dtype: torch.dtype) -> list[torch.Tensor]:
    batch, heads, count, total, width = shape
    torch.manual_seed(0)
    sizes = [(batch, heads, n, width) for n in (count, total, total)]
    return [torch.randn(size).to(device, dtype) for size in sizes]


@pytest.mark.parametrize("shape", SHAPES)
def test_on_a_cpu(shape: tuple[int, ...]) -> None:
    q, k, v = tensors(shape, "cpu", torch.float32)
    for causal in {False, shape[2] == shape[3]}:
        out, lse = kernels.attention(q, k, v, 0.3, causal=causal)
        expected, expected_lse = kernels.plain_attention(q, k, v, 0.3, causal=causal)
        torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(lse, expected_lse, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gpu_kernel_takes_these_arguments(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's own shape functions, without a GPU: signature, outputs, sizes, types."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    q, k, v = tensors(shape, "meta", torch.bfloat16)
    out, lse = kernels.attention(q, k, v, 0.3)
    assert out.shape == q.shape and out.dtype == q.dtype
    assert lse.shape == q.shape[:3] and lse.dtype == torch.float32


def test_what_the_gpu_kernel_cannot_take_goes_the_plain_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    half = torch.zeros(1, 1, 1, 64, dtype=torch.float16)
    assert kernels.flash_takes(half)
    assert not kernels.flash_takes(half.float())
    assert not kernels.flash_takes(half[..., :12])
    assert not kernels.flash_takes(half.repeat(1, 1, 1, 5))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert not kernels.flash_takes(half)


@given(st.integers(1, 30), st.data())
def test_parts_merged_are_the_whole(total: int, data: Any) -> None:
    cut = data.draw(st.integers(1, total))
    q, k, v = tensors((2, 3, 4, total, 8), "cpu", torch.float32)
    parts = [slice(0, cut), slice(cut, total)][: 1 + (cut < total)]
    found = [kernels.plain_attention(q, k[:, :, one], v[:, :, one], 0.3) for one in parts]
    whole, _ = kernels.plain_attention(q, k, v, 0.3)
    out = kernels.merged(*found[0], *found[1]) if len(found) > 1 else found[0][0]
    torch.testing.assert_close(out, whole, atol=1e-5, rtol=1e-5)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=4))
def test_a_row_sees_as_many_keys_as_its_length_says(used: list[int]) -> None:
    q, k, v = tensors((len(used), 2, 3, 12, 8), "cpu", torch.float32)
    reach = kernels.reach(torch.tensor(used), q, width=12, count=3)
    out, lse = kernels.attention_within(q, k, v, 0.3, reach)
    for row, length in enumerate(used):
        one = slice(row, row + 1)
        expected = kernels.plain_attention(q[one], k[one, :, :length], v[one, :, :length], 0.3)
        torch.testing.assert_close((out[one], lse[one]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("total", [5, 9])
def test_last_tokens_see_what_came_before(total: int) -> None:
    q, k, v = tensors((2, 4, 5, total, 8), "cpu", torch.float32)
    k, v = k[:, :2], v[:, :2]
    out, lse = kernels.attention_of_last(q, k, v, 0.3)
    wide = [one.repeat_interleave(2, 1) for one in (k, v)]
    for place in range(5):
        seen = total - 4 + place
        alone = q[:, :, place : place + 1], *(one[:, :, :seen] for one in wide)
        expected, expected_lse = kernels.plain_attention(*alone, 0.3)  # type: ignore[misc]
        torch.testing.assert_close(out[:, :, place], expected[:, :, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(lse[:, :, place], expected_lse[:, :, 0], atol=1e-5, rtol=1e-5)


def as_torchs_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends_q: torch.Tensor | None,
    ends_k: torch.Tensor | None,
    most_q: int,
    most_k: int,
    dropout: float,
    causal: bool,
    debug: bool,
    *,
    scale: float,
    seqused_k: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """`aten._flash_attention_forward` in plain operations: (B, S, H, D), or packed by ends."""
    nothing = query.new_zeros(0)
    if ends_q is None:
        q, k, v = (one.transpose(1, 2) for one in (query, key, value))
        groups = q.shape[1] // k.shape[1]
        k, v = (one.repeat_interleave(groups, 1) for one in (k, v))
        mask = kernels.mask_of_last(q, k.shape[2]) if causal else None
        out, lse = kernels.plain_attention(q, k, v, scale, mask=mask)
        # The kernel's log-sum-exp may be padded.
        return out.transpose(1, 2), torch.nn.functional.pad(lse, (0, 3)), nothing, nothing, nothing
    assert ends_k is not None and seqused_k is not None and not causal
    assert all(one.dtype == torch.int32 for one in (ends_q, ends_k, seqused_k))
    assert int(ends_q.diff().max()) <= most_q and int(seqused_k.max()) <= most_k
    outs, lses = [], []
    for i, used in enumerate(seqused_k.tolist()):
        q = query[ends_q[i] : ends_q[i + 1]].transpose(0, 1)[None]
        k, v = (one[ends_k[i] :][:used].transpose(0, 1)[None] for one in (key, value))
        out, lse = kernels.plain_attention(q, k, v, scale)
        outs.append(out[0].transpose(0, 1))
        lses.append(lse[0])
    return torch.cat(outs), torch.cat(lses, 1), nothing, nothing, nothing


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", as_torchs_kernel)
    monkeypatch.setattr(kernels, "_on_gpu", lambda query: True)
    kernels._works.cache_clear()
    yield
    kernels._works.cache_clear()


@pytest.mark.parametrize("form", ["lengths", "groups"])
def test_a_form_of_the_kernel_is_tried_before_it_is_used(
    as_on_a_gpu: None,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    here = torch.device("cpu"), torch.float32, 16
    assert kernels.difference_from_plain(form, *here) < 1e-5
    assert kernels._works(form, *here)

    def wrong(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        out, lse, *rest = as_torchs_kernel(*args, **kwargs)
        return out, lse * 1.1, *rest

    def refused(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        raise TypeError("unexpected keyword argument 'seqused_k'")

    for kernel in (wrong, refused):
        kernels._works.cache_clear()
        monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", kernel)
        assert not kernels._works(form, *here)
    chosen, differs, absent = [one.getMessage() for one in caplog.records]
    assert f"attention with {form} on cpu: torch's flash kernel" in chosen
    assert "plain operations (the kernel differs by" in differs
    assert "plain operations (unexpected keyword" in absent


@pytest.mark.parametrize("form", ["free", "form"])
def test_the_engine_by_the_gpus_route(
    as_on_a_gpu: None, qwen3: Checkpoint, pictures: list[Any], form: str
) -> None:
    grammar = answer_form(PROTOCOLS["joint"], "depth") if form == "form" else None
    questions = [f"{x:04d} {y:04d}" for x in (1120, 1370) for y in (1000, 1250, 1500)] + ["7"]
    found = []
    for fixed in (True, False):
        engine = LocalEngine(qwen3)
        if fixed:
            engine._decoder._fixed = engine._decoder.fixed_steps(lambda step: step)
        with engine.open(pictures[:1]) as scene:
            found.append(engine.reply(scene, questions, max_new_tokens=6, grammar=grammar))
    assert kernels._works.cache_info().currsize == 2
    kernels._works.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_on_gpu", lambda query: False)
        engine = LocalEngine(qwen3)
        with engine.open(pictures[:1]) as scene:
            expected = engine.reply(scene, questions, max_new_tokens=6, grammar=grammar)
    for replies in found:
        for a, b in zip(replies, expected, strict=True):
            assert a.text == b.text and a.logp is not None and b.logp is not None
            assert abs(a.logp - b.logp).max() < 1e-4


@pytest.mark.parametrize("form", ["lengths", "groups"])
def test_the_kernel_takes_the_arguments_of_a_form(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch's own shape function, without a GPU."""
    monkeypatch.setattr(kernels, "_on_gpu", lambda query: True)
    monkeypatch.setattr(kernels, "_works", lambda *_: True)
    q, k, v = tensors((3, 4, 5, 40, 64), "meta", torch.bfloat16)
    if form == "groups":
        out, lse = kernels.attention_of_last(q, k[:, :2], v[:, :2], 0.3)
    else:
        reach = kernels.reach(torch.ones(3, device="meta"), q, width=40, count=5)
        out, lse = kernels.attention_within(q, k, v, 0.3, reach)
    assert out.shape == q.shape and out.dtype == q.dtype
    assert lse.shape == q.shape[:3] and lse.dtype == torch.float32


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_on_a_gpu(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    q, k, v = tensors(shape, "cuda", dtype)
    for causal in {False, shape[2] == shape[3]}:
        out, lse = kernels.attention(q, k, v, 0.3, causal=causal)
        whole = kernels.plain_attention(q.float(), k.float(), v.float(), 0.3, causal=causal)
        torch.testing.assert_close(out.float(), whole[0], atol=2e-2, rtol=2e-2)
        torch.testing.assert_close(lse, whole[1], atol=2e-2, rtol=2e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("form", ["lengths", "groups"])
def test_forms_on_a_gpu(form: str, dtype: torch.dtype) -> None:
    assert kernels.difference_from_plain(form, torch.device("cuda"), dtype, 128) < 2e-2
