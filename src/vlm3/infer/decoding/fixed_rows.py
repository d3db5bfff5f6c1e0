"""Steps whose shapes and memory stay the same, so that a GPU can replay them by one launch.

What changes from step to step (tokens, positions, lengths, what a form bars) is written into a
`StepMemory` before a step or by it, and no step reads anything on the host. Padding is computed and
never looked at. Knows token ids, neither texts nor forms.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from vlm3.infer.decoding import kernels, layers
from vlm3.infer.decoding.kernels import Reach
from vlm3.infer.decoding.layers import Projected
from vlm3.infer.decoding.prefix_attention import Chain, Segment, reach_of_last, to_own, to_shared
from vlm3.infer.decoding.replay import Recorder, Replays
from vlm3.infer.decoding.step_memory import Buffers, StepMemory, rows_for, width_for
from vlm3.infer.decoding.steps import Choice, Head, last_wanted
from vlm3.infer.decoding.vocabulary import Barred

# Tokens of a step that is recorded: a recording keeps the memory of their logits. A longer step is
# one of several tokens a row, whose launches weigh less.
_MOST_RECORDED = 512


class FixedRows:
    """The rows of one batch in a `StepMemory`; see `FixedSteps`.

    Args:
        text: the stock language model.
        head: over it.
        memory: where the questions' own keys and values lie already.
        replays: what runs the steps.
        chain: the rows, their questions run.
        width: own tokens that a row has room for.
        record: keep distributions.
    """

    def __init__(
        self,
        text: Any,
        head: Head,
        memory: StepMemory,
        replays: Replays,
        chain: Chain,
        width: int,
        *,
        record: bool,
    ) -> None:
        self._text, self._head, self._memory, self._replays = text, head, memory, replays
        self._record = record
        self._count, self._longest = len(chain.lengths), chain.longest
        self._shape = rows_for(self._count), width
        self._fill(chain.lengths, torch.zeros_like(chain.lengths))

    def _fill(self, lengths: torch.Tensor, ids: torch.Tensor) -> None:
        rows, memory = self._shape[0], self._memory
        memory.hold(rows, rows)
        # Padding sees itself alone.
        memory.lengths[:rows].fill_(1)
        memory.lengths[: self._count] = lengths
        memory.ids[: self._count] = ids

    def first(self, hidden: torch.Tensor, barred: Barred | None) -> Choice:
        """As in `RunningRows`."""
        masks = None if barred is None else barred.masks()
        choice = self._head.choose(hidden[:, None], masks, record=self._record)
        self._memory.ids[: self._count] = choice.tokens
        return choice

    def more(self, forced: Sequence[Sequence[int]], barred: Barred | None) -> Choice:
        """As in `RunningRows`."""
        memory, (rows, width) = self._memory, self._shape
        count = 1 + len(forced[0])
        if self._longest + count > width:
            width = width_for(max(2 * width, self._longest + count))
            self._move((rows, width), torch.arange(self._count, device=memory.ids.device))
        self._longest += count
        if count > 1:
            memory.hold(rows, rows * count)
            behind = torch.tensor(forced).to(memory.ids.device, non_blocking=True)
            ids = torch.cat([memory.ids[: self._count, None], behind], dim=1)
            memory.ids[: self._count * count] = ids.flatten()
        if barred is not None:
            memory.masks[: self._count].copy_(torch.tensor(barred.rows), non_blocking=True)
        table = None if barred is None else barred.table
        at = None if table is None else table.data_ptr()
        step = partial(
            take_step, self._text, self._head, memory, self._shape, count, table, self._record
        )
        if rows * count > _MOST_RECORDED:
            step()
        else:
            self._replays.run((*self._shape, count, at, self._record), step)
        logp = memory.logp[: rows * count].view(rows, count, -1)[: self._count]
        return Choice(
            memory.ids[: self._count],
            memory.best[: self._count],
            logp.clone() if self._record else None,
        )

    def keep(self, places: Sequence[int]) -> None:
        """As in `RunningRows`."""
        memory = self._memory
        there = torch.tensor(places).to(memory.ids.device, non_blocking=True)
        lengths, ids = memory.lengths[there], memory.ids[there]
        self._count = len(places)
        self._move((rows_for(self._count), self._shape[1]), there)
        self._fill(lengths, ids)

    def _move(self, shape: tuple[int, int], places: torch.Tensor) -> None:
        self._memory.move(self._shape, shape, places, self._longest)
        self._shape = shape


class FixedSteps:
    """Batches of one model whose steps have fixed shapes, one after the other: there is one memory.

    Args:
        text: the stock language model.
        head: over it.
        device: the model's.
        record: records steps; see `replay`.
    """

    def __init__(self, text: Any, head: Head, device: torch.device, record: Recorder) -> None:
        self._text, self._head = text, head
        self._memory = StepMemory(device, head.symbols)
        self._replays = Replays(self._memory, record)
        self._width = 0

    @property
    def bytes(self) -> int:
        """Memory that the next batch takes over from the one before."""
        return self._memory.bytes

    def begin(
        self, segments: Sequence[Segment], *, start: int, rows: int, tokens: int
    ) -> tuple[Buffers, Buffers]:
        """Where the rows of a batch are to have their own keys and values, for its last `Chain`.

        Args:
            segments: what all rows share.
            start: M-RoPE position of the rows' first own token.
            rows: of the batch.
            tokens: that a row is expected to grow to.
        """
        self._memory.share(segments, start)
        padded, self._width = rows_for(rows), width_for(tokens)
        self._memory.lay(padded, self._width)
        layers_ = range(len(segments[0].keys))
        views = [self._memory.own(layer, padded, self._width) for layer in layers_]
        return [keys[:rows] for keys, _ in views], [values[:rows] for _, values in views]

    def rows(self, chain: Chain, *, record: bool) -> FixedRows:
        """The rows of a chain whose last tokens are in those buffers."""
        return FixedRows(
            self._text,
            self._head,
            self._memory,
            self._replays,
            chain,
            self._width,
            record=record,
        )


class _Attending:
    """The attention of a step: each row to its own tokens, and to what all share."""

    def __init__(
        self, memory: StepMemory, shape: tuple[int, int], own: torch.Tensor, lengths: torch.Tensor
    ) -> None:
        self._memory, self._shape, self._lengths = memory, shape, lengths
        self._places = own
        self._own = self._shared = Reach()

    def attend(self, layer: int, new: Projected) -> torch.Tensor:
        """As `layers.Attends`."""
        query, key, value, scale = new
        heads, shared = key.shape[1], self._memory.shared_keys[layer]
        if not layer:
            self._reach(query, heads, shared.shape[2])
        keys, values = self._memory.own(layer, *self._shape)
        at = self._places[:, None, :, None].expand_as(key)
        keys.scatter_(2, at, key)
        values.scatter_(2, at, value)
        out, lse = to_own(query, keys, values, scale, self._own)
        behind = self._memory.shared_values[layer]
        other, other_lse = to_shared(query, shared, behind, scale, self._shared)
        return kernels.merged(out, lse, other, other_lse).to(query.dtype)

    def _reach(self, query: torch.Tensor, heads: int, room: int) -> None:
        """Determined once, in the first layer."""
        rows, query_heads, count, _ = query.shape
        width, groups = self._shape[1], query_heads // heads
        like = query[:, :heads]
        if count == 1:
            self._own = kernels.reach(self._lengths, like, width=width, count=groups)
        else:
            self._own = reach_of_last(self._lengths, query, heads, width)
        self._shared = kernels.reach(
            self._memory.shared_length, like, width=room, count=rows * count * groups
        )


def take_step(
    text: Any,
    head: Head,
    memory: StepMemory,
    shape: tuple[int, int],
    count: int,
    table: torch.Tensor | None,
    record: bool,
) -> None:
    """One step, of nothing but what lies in the memory, and into it.

    Args:
        text: the stock language model.
        head: over it.
        memory: holds the tokens, positions and lengths; takes the tokens chosen.
        shape: rows, and the width of their room.
        count: tokens of each row.
        table: of what may not come next, where a form says so.
        record: keep distributions.
    """
    rows, _ = shape
    ids = memory.ids[: rows * count].view(rows, count)
    lengths = memory.lengths[:rows]
    own = lengths[:, None] + torch.arange(count, device=lengths.device)
    lengths += count
    attending = _Attending(memory, shape, own, lengths)
    wanted = last_wanted(rows, count, lengths.device, record=record)
    hidden = layers.run(text, ids, memory.start + own, attending, wanted)
    masks = None if table is None else table[memory.masks[:rows]]
    choice = head.choose(hidden if wanted is None else hidden[:, None], masks, record=record)
    memory.ids[:rows] = choice.tokens
    memory.best[:rows] = choice.best
    if choice.logp is not None:
        memory.logp[: rows * count] = choice.logp.flatten(0, 1)
