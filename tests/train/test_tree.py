"""Attention of a tree in parts equals attention with its mask: outcomes and gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.train import tree
from vlm3.train.forest import apart, dense, forest
from vlm3.train.packing import PackedQuestions, pack_independent

prompts = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple)
answers = st.lists(st.integers(10, 12), min_size=1, max_size=4)


@st.composite
def packings(draw: st.DrawFn) -> PackedQuestions:
    head = draw(st.lists(st.integers(0, 9), min_size=1, max_size=7))
    asked = draw(st.dictionaries(prompts, answers, max_size=6))
    chosen: list[tuple[tuple[int, ...], list[int]]] = []
    for prompt, answer in asked.items():
        if not any(prompt[: len(o)] == o or o[: len(prompt)] == prompt for o, _ in chosen):
            chosen.append((prompt, answer))
    return pack_independent(head, chosen)


rows = st.lists(packings(), min_size=1, max_size=4)


def masked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sees: torch.Tensor) -> torch.Tensor:
    """Plain attention (T, heads, width) with the square of truths."""
    groups = q.shape[1] // k.shape[1]
    k, v = (one.repeat_interleave(groups, 1).transpose(0, 1) for one in (k, v))
    scores = (q.transpose(0, 1) @ k.transpose(1, 2)) * 0.3
    return (scores.masked_fill(~sees, float("-inf")).softmax(-1) @ v).transpose(0, 1)


def square(packed: list[PackedQuestions]) -> torch.Tensor:
    return torch.block_diag(*[torch.from_numpy(one.sees) for one in packed]).bool()


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
def test_pictures_apart_are_each_alone(lengths: list[int], seed: int) -> None:
    torch.manual_seed(seed)
    given_ = [torch.randn(sum(lengths), 2, 8, dtype=torch.float64) for _ in range(3)]
    found, alone = ([one.clone().requires_grad_() for one in given_] for _ in range(2))
    weight, pictures = torch.randn(sum(lengths), 2, 8, dtype=torch.float64), apart(lengths)
    out = tree.attention(*found, pictures, 0.3)
    own = zip(*(one.split(lengths) for one in alone), strict=True)
    every = [masked(*one, torch.ones(len(one[0]), len(one[0])).bool()) for one in own]
    (out * weight).sum().backward()
    (torch.cat(every) * weight).sum().backward()
    torch.testing.assert_close(out, torch.cat(every), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(masked(*given_, pictures.square), out, atol=1e-12, rtol=1e-12)
    for a, b in zip(found, alone, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-11, rtol=1e-11)


@settings(max_examples=60)
@given(rows, st.sampled_from([(2, 2), (4, 2), (3, 1)]), st.integers(0, 99))
def test_outcome_and_gradients_are_those_of_the_mask(
    packed: list[PackedQuestions], heads: tuple[int, int], seed: int
) -> None:
    total = sum(len(one.ids) for one in packed)
    torch.manual_seed(seed)
    given_ = [torch.randn(total, n, 8, dtype=torch.float64) for n in (heads[0], *heads[1:] * 2)]
    weight = torch.randn(total, heads[0], 8, dtype=torch.float64)
    found, wanted = ([one.clone().requires_grad_() for one in given_] for _ in range(2))
    trees = forest([one.until for one in packed])
    out = tree.attention(*found, trees, 0.3)
    expected = masked(*wanted, square(packed))
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=1e-12)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-11, rtol=1e-11)


@given(rows)
def test_a_forest_counts_what_is_seen_and_makes_the_mask(packed: list[PackedQuestions]) -> None:
    trees = forest([one.until for one in packed])
    assert trees.scores == sum(int(one.sees.sum()) for one in packed)
    index, sees = dense(trees.until, trees.lengths)
    start = 0
    for row, one in enumerate(packed):
        count = len(one.ids)
        assert index[row].tolist() == [start + min(k, count - 1) for k in range(index.shape[1])]
        assert np.array_equal(sees[row, :count, :count], one.sees)
        assert torch.equal(sees[row, count:], torch.eye(index.shape[1], dtype=torch.bool)[count:])
        assert not sees[row, :count, count:].any()
        start += count


def test_bytes_of_a_paper_sized_row() -> None:
    """1,400 tokens of a picture, ten questions of 45 that share their first 30."""
    asked = [((*range(30), k, *range(9)), [1, 2, 3, 4, 5, 6]) for k in range(40, 50)]
    packed = pack_independent(list(range(1400)), asked)
    trees = forest([packed.until])
    assert len(trees.above) == 1
    assert trees.bytes < packed.sees.nbytes / 100
    assert trees.scores < len(packed.ids) ** 2 * 0.56


def test_the_gpu_kernel_takes_these_arguments() -> None:
    """PyTorch's own shape functions, without a GPU: signature, outputs, sizes, types."""
    packed = pack_independent([1, 2, 3], [((k,), [5, 6]) for k in range(3)])
    trees = forest([packed.until, packed.until]).to(torch.device("meta"))
    query, key, value = (
        torch.zeros(len(trees.until), heads, 64, dtype=torch.bfloat16, device="meta")
        for heads in (4, 2, 2)
    )
    for one in (query, key, value):
        one.requires_grad_()
    out = tree.attention(query, key, value, trees, 0.125)
    assert out.shape == query.shape and out.dtype == query.dtype
    out.sum().backward()
    assert key.grad is not None and key.grad.shape == key.shape


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu() -> None:
    packed = [pack_independent(list(range(90)), [((k % 2, k), [5, 6]) for k in range(9)])] * 3
    torch.manual_seed(0)
    total = sum(len(one.ids) for one in packed)
    given_ = [torch.randn(total, heads, 64, dtype=torch.bfloat16) for heads in (8, 2, 2)]
    found = [one.cuda().requires_grad_() for one in given_]
    wanted = [one.double().requires_grad_() for one in given_]
    trees = forest([one.until for one in packed]).to(torch.device("cuda"))
    out, expected = tree.attention(*found, trees, 0.3), masked(*wanted, square(packed))
    out.sum().backward()
    expected.sum().backward()
    assert (out.double().cpu() - expected).abs().max() < 0.03
    for a, b in zip(found, wanted, strict=True):
        assert a.grad is not None and b.grad is not None
        assert (a.grad.double().cpu() - b.grad).abs().max() < 0.02 * b.grad.abs().max() + 0.02
