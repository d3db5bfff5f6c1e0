"""Which questions go through a model together, and what they share: token ids, no model, no task.

Prompts are split by token ids, never by text: a tokenizer may join letters across any cut.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Wave:
    """Tokens that run in one pass: the next ones of rows of the wave before.

    Attributes:
        tokens: for each row its tokens, at least one.
        parents: for each row the row of the wave before that it goes on from; empty in the first.
    """

    tokens: tuple[Ids, ...]
    parents: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Questions that run together.

    Attributes:
        rows: which questions, as indices.
        waves: the last has one row for each question; those before hold what several begin with,
            once, and the rows of such a wave are of one length.
    """

    rows: tuple[int, ...]
    waves: tuple[Wave, ...]


def common_length(rows: Sequence[Ids]) -> int:
    """How many tokens all rows begin with alike, at least one left over in each."""
    # Of sorted rows only the outermost need comparing.
    alike = _alike(min(rows), max(rows))
    return max(min(alike, min(len(row) for row in rows) - 1), 0)


def plan_batches(tails: Sequence[Ids], *, most_rows: int, pass_tokens: int) -> Iterator[Batch]:
    """Sorts questions and cuts them into batches.

    Rows of one length stand together, so that little is padding, and among those rows that begin
    alike, as the columns of a grid do: what they begin with runs once.

    Args:
        tails: for each question its tokens after what all have in common.
        most_rows: in a batch.
        pass_tokens: a pass through the model costs as much as that many tokens in a long one.
    """
    order = sorted(range(len(tails)), key=lambda i: (len(tails[i]), tails[i]))
    for start in range(0, len(order), most_rows):
        rows = tuple(sorted(order[start : start + most_rows], key=lambda i: tails[i]))
        yield Batch(rows, _waves([tails[i] for i in rows], pass_tokens))


def _waves(rows: Sequence[Ids], pass_tokens: int) -> tuple[Wave, ...]:
    """Sorted rows as waves."""
    alike = [_alike(a, b) for a, b in pairwise(rows)]
    waves: list[Wave] = []
    above, last = [0] * len(rows), 0
    for cut in _cuts(alike, rows, pass_tokens):
        starts = [0, *(i + 1 for i, same in enumerate(alike) if same < cut)]
        waves.append(
            Wave(
                tuple(rows[i][last:cut] for i in starts),
                tuple(above[i] for i in starts) if waves else (),
            )
        )
        group = -1
        for i in range(len(rows)):
            group += i == 0 or alike[i - 1] < cut
            above[i] = group
        last = cut
    waves.append(Wave(tuple(row[last:] for row in rows), tuple(above) if waves else ()))
    return tuple(waves)


def _cuts(alike: Sequence[int], rows: Sequence[Ids], pass_tokens: int) -> list[int]:
    """Where to cut sorted rows so that the fewest tokens run, each pass counted as some more."""
    most = min(len(row) for row in rows) - 1
    # Behind the longest beginning that any two share nothing is saved.
    most = min(most, max(alike, default=0))
    distinct = [1 + sum(same < cut for same in alike) for cut in range(most + 1)]
    # cost[cut]: of everything before it, when it is a cut; the rest runs once a row.
    cost, before = [0.0], [0]
    for cut in range(1, most + 1):
        costs = [cost[k] + distinct[cut] * (cut - k) + pass_tokens for k in range(cut)]
        cost.append(min(costs))
        before.append(costs.index(cost[cut]))
    cut = min(range(most + 1), key=lambda k: cost[k] - len(rows) * k)
    cuts = []
    while cut:
        cuts.append(cut)
        cut = before[cut]
    return cuts[::-1]


def _alike(a: Ids, b: Ids) -> int:
    for place, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return place
    return min(len(a), len(b))
