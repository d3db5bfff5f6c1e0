"""Plans lose no token, ask no question twice, and share what is alike."""

from hypothesis import given
from hypothesis import strategies as st

from vlm3.infer.decoding.planner import Batch, Ids, common_length, plan_batches

rows = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=7).map(tuple),
    min_size=1,
    max_size=40,
    unique=True,
)


def spelled(batch: Batch) -> list[Ids]:
    """The tokens of every row of the last wave, from the first wave on."""
    sofar: list[Ids] = []
    for number, wave in enumerate(batch.waves):
        sofar = [
            (sofar[wave.parents[i]] if number else ()) + tokens
            for i, tokens in enumerate(wave.tokens)
        ]
    return sofar


@given(rows, st.integers(1, 50), st.integers(0, 6))
def test_a_plan_spells_every_question_once(tails: list[Ids], most: int, cost: int) -> None:
    batches = list(plan_batches(tails, most_rows=most, pass_tokens=cost))
    asked = [row for batch in batches for row in batch.rows]
    assert sorted(asked) == list(range(len(tails)))
    for batch in batches:
        assert len(batch.rows) <= most
        assert spelled(batch) == [tails[row] for row in batch.rows]
        assert all(tokens for wave in batch.waves for tokens in wave.tokens)
        for wave in batch.waves[:-1]:
            assert len({len(tokens) for tokens in wave.tokens}) == 1
        assert not batch.waves[0].parents


def run_tokens(batches: list[Batch]) -> int:
    return sum(len(tokens) for b in batches for wave in b.waves for tokens in wave.tokens)


@given(rows, st.integers(0, 6))
def test_sharing_never_runs_more(tails: list[Ids], cost: int) -> None:
    batches = list(plan_batches(tails, most_rows=100, pass_tokens=cost))
    passes = sum(len(batch.waves) - 1 for batch in batches)
    assert run_tokens(batches) + cost * passes <= sum(len(tail) for tail in tails)


def test_a_grid_runs_each_column_once() -> None:
    tails = [(9, x, 9, y, 9) for x in range(8) for y in range(8)]
    (batch,) = plan_batches(tails, most_rows=64, pass_tokens=2)
    assert [len(wave.tokens) for wave in batch.waves] == [1, 8, 64] or [
        len(wave.tokens) for wave in batch.waves
    ] == [8, 64]
    assert run_tokens([batch]) <= 8 * 3 + 64 * 2


@given(rows)
def test_common_length_is_common_and_leaves_one(tails: list[Ids]) -> None:
    length = common_length(tails)
    assert len({tail[:length] for tail in tails}) == 1
    shortest = min(len(tail) for tail in tails)
    assert length <= shortest - 1
    assert length == shortest - 1 or len({tail[: length + 1] for tail in tails}) > 1
