"""The mixture: exact shares, every sample once an epoch, one integer of state."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlm3.data.mixture import Mixture, permuted, weights_of
from vlm3.data.paper_tables import book_text, books, plan_table, table, warnings_of
from vlm3.errors import InputError


@given(size=st.integers(1, 3000), key=st.integers(0, 2**64 - 1))
def test_permutations(size: int, key: int) -> None:
    assert sorted(permuted(i, size, key) for i in range(size)) == list(range(size))


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    seed=st.integers(0, 9),
    world=st.sampled_from([1, 2, 3, 8]),
    start=st.integers(0, 300),
)
def test_once_an_epoch_on_any_number_of_ranks(
    sizes: list[int], seed: int, world: int, start: int
) -> None:
    mixture = Mixture(tuple(sizes), tuple(1.0 + k for k in range(len(sizes))), seed, block=100)
    draws = [mixture[k] for k in range(400)]
    assert len(set(draws)) == len(draws)
    for source, size in enumerate(sizes):
        mine = [d for d in draws if d.source == source]
        for epoch in range(mine[-1].epoch):
            assert {d.place for d in mine if d.epoch == epoch} == set(range(size))
        assert mixture.drawn(400)[source] == len(mine)
    again = pickle.loads(pickle.dumps(mixture))
    shared = [again[k] for rank in range(world) for k in range(start + rank, 400, world)]
    assert sorted(map(repr, shared)) == sorted(map(repr, draws[start:]))


@given(
    weights=st.lists(st.floats(0.1, 100), min_size=1, max_size=6),
    seed=st.integers(0, 99),
    block=st.integers(0, 5),
)
def test_shares_within_one_a_block(weights: list[float], seed: int, block: int) -> None:
    mixture = Mixture((7,) * len(weights), tuple(weights), seed, block=20_000)
    before, after = (mixture.drawn(20_000 * k) for k in (block, block + 1))
    for weight, first, last in zip(weights, before, after, strict=True):
        assert abs(last - first - 20_000 * weight / sum(weights)) < 1


# Paper, Table 5, by hand: samples * weight / 2.566 / pictures. Argoverse2, Waymo, NuScenes,
# ScanNet++, Taskonomy, HM3D, Matterport3D, internal.
_PAPER = (2.62, 0.71, 0.62, 0.12, 1.59, 1.08, 0.39, 1.25)
_TWICE = (5.24, 1.43, 1.25, 0.25, 3.18, 2.16, 0.79, 2.49)


@pytest.mark.parametrize(
    ("weights", "samples", "epochs"),
    [
        ("table5", 32_000_000, _PAPER),
        ("table5", 64_000_000, _TWICE),
        ("size", 32_000_000, (32 / 26.09,) * 8),
        ("uniform", 32_000_000, (4.0, 5.71, 20.0, 4.0, 1.0, 0.444, 21.05, 0.4)),
    ],
)
def test_epochs_of_table_5(weights: str, samples: int, epochs: tuple[float, ...]) -> None:
    sets, mixture, _ = plan_table("depth", weights=weights, with_absent=True)
    lines = books([s.name for s in sets], mixture, samples)
    assert sum(line.planned for line in lines) == samples
    for line, want in zip(lines, epochs, strict=True):
        assert line.epochs == pytest.approx(want, rel=2e-3, abs=0.006)


def test_without_the_internal_set_every_epoch_grows_alike() -> None:
    whole, open_run = (plan_table("depth", with_absent=w) for w in (True, False))
    before, after = (
        books([s.name for s in sets], mixture, 32_000_000) for sets, mixture, _ in (whole, open_run)
    )
    for one, other in zip(before, after, strict=False):
        assert other.epochs / one.epochs == pytest.approx(2.566 / 1.566, rel=3e-3)


def test_pairs_run_eight_epochs_of_every_set() -> None:
    sets, mixture, _ = plan_table("pairs")
    for line in books([s.name for s in sets], mixture, 80_000_000):
        assert line.epochs == pytest.approx(8.08, abs=0.03)


def test_shares_are_exact_in_every_block() -> None:
    sets, mixture, absent = plan_table("depth", with_absent=True)
    assert not absent
    share = [round(100 * c / mixture.block, 2) for c in mixture.counts]
    assert share == [8.18, 1.56, 0.39, 0.39, 19.88, 30.4, 0.23, 38.97]
    lines = books([s.name for s in sets], mixture, 32_000_000, drawn=100_000)
    # Hand arithmetic: 32e6 * 0.21 / 2.566 / 1e6.
    assert lines[0].epochs == pytest.approx(2.619, abs=2e-3)
    assert lines[5].epochs == pytest.approx(1.081, abs=2e-3)
    assert sum(line.drawn or 0 for line in lines) == 100_000
    assert warnings_of(lines, most_epochs=2) == ("Argoverse2 is seen 2.62 times, more than 2",)


def test_what_nobody_has_is_named() -> None:
    sets, mixture, absent = plan_table("depth")
    assert [one.name for one in absent] == ["Internal street view"]
    lines = books([s.name for s in sets], mixture, 32_000_000)
    assert lines[0].epochs == pytest.approx(4.29, abs=0.01)
    assert "1.64 times" in book_text(lines, (), absent)
    assert sum(one.samples for one in table("pairs")) == 9_903_000


def test_refusals() -> None:
    with pytest.raises(InputError, match="no samples"):
        Mixture((0, 3), (1.0, 1.0))
    with pytest.raises(InputError, match="seed is -1"):
        Mixture((3,), (1.0,), seed=-1)
    with pytest.raises(InputError, match="one above 0"):
        Mixture((3,), (0.0,))
    with pytest.raises(InputError, match="uniform, size or table5"):
        weights_of("guess", [1], [None])
