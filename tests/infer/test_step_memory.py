"""Sizes are few and enough; rows keep what is theirs when their room is laid anew."""

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from vlm3.infer.decoding.prefix_attention import Segment
from vlm3.infer.decoding.step_memory import StepMemory, rows_for, rows_within, width_for


@given(st.integers(1, 2000))
def test_sizes(count: int) -> None:
    assert count <= rows_for(count) <= max(2 * count, 8)
    assert rows_within(count) <= count and rows_for(rows_within(count)) == rows_within(count)
    assert count <= width_for(count) < count + 32


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.data(),
)
def test_rows_survive_a_move(old: tuple[int, int], new: tuple[int, int], data: Any) -> None:
    tokens = data.draw(st.integers(1, min(old[1], new[1])))
    places = data.draw(
        st.lists(st.integers(0, old[0] - 1), min_size=1, max_size=min(old[0], new[0]), unique=True)
    )
    memory = StepMemory(torch.device("cpu"), symbols=2)
    segment = Segment((torch.ones(1, 2, 3, 4),) * 2, (torch.ones(1, 2, 3, 4),) * 2)
    memory.share([segment], start=0)
    memory.lay(*old)
    before = []
    for layer in range(2):
        for one in memory.own(layer, *old):
            one.copy_(torch.randn(one.shape))
            before.append(one.clone())
    memory.move(old, new, torch.tensor(places), tokens)
    after = [one for layer in range(2) for one in memory.own(layer, *new)]
    for a, b in zip(before, after, strict=True):
        assert torch.equal(b[: len(places), :, :tokens], a[places, :, :tokens])
        assert not b[len(places) :].any() and not b[:, :, tokens:].any()
