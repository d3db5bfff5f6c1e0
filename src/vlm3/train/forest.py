"""Visibility in a packed row: which token attends to which, as a forest of unbranched runs.

A row of conversations is laid out depth first. A token sees its own run up to itself, and every
run above it whole. What would be a square of truths, nearly all of them false, is a few bounds.
Knows no tokens and no model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ForestPart:
    """Sequences of queries, each with its sequence of keys.

    Attributes:
        queries: (n,) which tokens of the row; None for all of them.
        keys: (m,) which tokens of the row; None for all of them.
        query_ends: (sequences + 1,) int32, where each starts among the queries, and the end.
        key_ends: (sequences + 1,) int32, the same among the keys.
        sizes: queries and keys of each sequence, on the host.
        causal: queries and keys are the same tokens, and none sees those after it.
    """

    queries: torch.Tensor | None
    keys: torch.Tensor | None
    query_ends: torch.Tensor
    key_ends: torch.Tensor
    sizes: tuple[tuple[int, int], ...]
    causal: bool

    @cached_property
    def longest_query(self) -> int:
        """Queries of the longest sequence."""
        return max(queries for queries, _ in self.sizes)

    @cached_property
    def longest_key(self) -> int:
        """Keys of the longest sequence."""
        return max(keys for _, keys in self.sizes)

    @cached_property
    def alike(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Places of queries (n, S) and keys (n, L) of the sequences that have one size."""
        members: dict[tuple[int, int], list[tuple[int, int]]] = {}
        query = key = 0
        for size in self.sizes:
            members.setdefault(size, []).append((query, key))
            query, key = query + size[0], key + size[1]
        out = []
        for (queries, keys), starts in members.items():
            first = torch.tensor(starts)
            out.append((first[:, :1] + torch.arange(queries), first[:, 1:] + torch.arange(keys)))
        return out

    def tensors(self) -> dict[str, torch.Tensor]:
        """Those of its fields."""
        every = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in every.items() if isinstance(value, torch.Tensor)}


@dataclass(frozen=True, eq=False)
class Forest:
    """Who sees whom in one packed row, for the kernels. Its counts stay on the host.

    Attributes:
        lengths: tokens of each conversation.
        until: (T,) int32, the place behind the last token that sees this one.
        runs: every run without a branch with itself; causal but for pictures.
        above: by how many runs stand above them: what hangs below runs, with those runs.
    """

    lengths: tuple[int, ...]
    until: torch.Tensor
    runs: ForestPart
    above: tuple[ForestPart, ...]

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Forest":
        def changed(part: ForestPart) -> ForestPart:
            every: dict[str, Any] = {name: change(t) for name, t in part.tensors().items()}
            return replace(part, **every)

        return Forest(
            self.lengths,
            change(self.until),
            changed(self.runs),
            tuple(changed(part) for part in self.above),
        )

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Forest":
        """The same on a device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Forest":
        """The same in memory that copies to a GPU need not wait for."""
        return self._each(lambda tensor: tensor.pin_memory())

    @cached_property
    def square(self) -> torch.Tensor:
        """(T, T) bool, row sees column: for attention that can do no better."""
        if not self.runs.causal:
            return self.until == self.until[:, None]
        place = torch.arange(len(self.until), device=self.until.device)
        return (place <= place[:, None]) & (place[:, None] < self.until)

    @property
    def bytes(self) -> int:
        """What travels to the device."""
        parts = [t for part in (self.runs, *self.above) for t in part.tensors().values()]
        return sum(t.numel() * t.element_size() for t in (self.until, *parts))

    @property
    def scores(self) -> int:
        """Pairs of a query and a key that are computed, a head; half a square where causal."""
        total = 0
        for part in (self.runs, *self.above):
            total += sum(q * (q + 1) // 2 if part.causal else q * k for q, k in part.sizes)
        return total


def forest(until: Sequence[Ints]) -> Forest:
    """Of conversations that stand one behind the other in a row.

    Args:
        until: of each, as `PackedQuestions.until`; one without a branch has its length throughout.
    """
    starts = np.cumsum([0, *map(len, until)])
    whole = np.concatenate([one + start for one, start in zip(until, starts, strict=False)])
    # A token goes on with the run before it where whatever follows from that one goes through it.
    first = np.flatnonzero(np.r_[True, whole[1:] != whole[:-1]])
    ends = np.r_[first[1:], len(whole)]
    below = whole[first]
    open_until: list[int] = []
    levels: list[list[int]] = []
    for run, start in enumerate(first):
        while open_until and open_until[-1] <= start:
            open_until.pop()
        if below[run] > ends[run]:
            if len(open_until) == len(levels):
                levels.append([])
            levels[len(open_until)].append(run)
        open_until.append(int(below[run]))
    bounds = torch.from_numpy(np.r_[first, len(whole)].astype(np.int32))
    sizes = tuple((size, size) for size in (ends - first).tolist())
    return Forest(
        tuple(map(len, until)),
        torch.from_numpy(whole.astype(np.int32)),
        ForestPart(None, None, bounds, bounds, sizes, causal=True),
        tuple(_hanging(first[runs], ends[runs], below[runs]) for runs in map(np.array, levels)),
    )


def apart(lengths: Sequence[int]) -> Forest:
    """Of pictures that stand one behind the other: each token sees the whole of its own, no other.

    Args:
        lengths: tokens of each picture.
    """
    ends = np.cumsum([0, *lengths]).astype(np.int32)
    bounds = torch.from_numpy(ends)
    sizes = tuple((length, length) for length in lengths)
    until = torch.from_numpy(np.repeat(ends[1:], lengths))
    part = ForestPart(None, None, bounds, bounds, sizes, causal=False)
    return Forest(tuple(lengths), until, part, ())


def _hanging(first: Ints, ends: Ints, below: Ints) -> ForestPart:
    """What hangs below runs, from their ends on, with the runs themselves."""

    def places(begin: Ints, end: Ints) -> tuple[torch.Tensor, torch.Tensor]:
        every = np.concatenate([np.arange(a, b) for a, b in zip(begin, end, strict=True)])
        bounds = np.cumsum([0, *(end - begin)]).astype(np.int32)
        return torch.from_numpy(every), torch.from_numpy(bounds)

    queries, query_ends = places(ends, below)
    keys, key_ends = places(first, ends)
    sizes = tuple(zip((below - ends).tolist(), (ends - first).tolist(), strict=True))
    return ForestPart(queries, keys, query_ends, key_ends, sizes, causal=False)


def dense(until: torch.Tensor, lengths: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as rows of their own with a mask, for attention that needs one.

    Returns:
        (B, L) which tokens of the packed row stand in each row, its last one again as padding, and
        (B, L, L) bool, row sees column; padding sees itself and nobody sees it. On the device of
        `until`.
    """
    count = torch.tensor(lengths)
    start = count.cumsum(0) - count
    place = torch.arange(int(count.max()))
    index = start[:, None] + torch.minimum(place, count[:, None] - 1)
    index, start, count, place = (t.to(until.device) for t in (index, start, count, place))
    last = (until[index] - start[:, None]).masked_fill(place >= count[:, None], 0)
    sees = (place <= place[:, None]) & (place[:, None] < last[:, None])
    return index, sees | torch.eye(len(place), dtype=torch.bool, device=until.device)
