"""The attention that tells its log-sum-exp: every route gives what plain operations give.

The GPU's route runs on a GPU only: `pytest -m gpu tests/infer`.
"""

import pytest
import torch

from vlm3.infer.decoding import kernels

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
