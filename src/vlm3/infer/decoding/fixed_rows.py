"""Steps whose shapes and memory stay the same, so that a GPU can replay them by one launch.

Rows, their room and what they share are padded to a few sizes and lie where they were laid at
first. What changes from step to step (tokens, positions, lengths, what a form bars) is written
there before a step or by it, and no step reads anything on the host. Padding is computed and never
looked at. Knows token ids, neither texts nor forms.
"""

import math
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from vlm3.infer.decoding import kernels, layers
from vlm3.infer.decoding.kernels import Reach
from vlm3.infer.decoding.prefix_attention import Chain, Segment, reach_of_last, to_own, to_shared
from vlm3.infer.decoding.replay import Recorder, Replays
from vlm3.infer.decoding.steps import Choice, Head, last_wanted
from vlm3.infer.decoding.vocabulary import Barred

_ROWS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_WIDTHS = 32
_SHARED = 256

Buffers = list[torch.Tensor]


def rows_for(count: int) -> int:
    """Rows that are computed for so many: at most half of them padding, mostly a quarter."""
    return next((rows for rows in _ROWS if rows >= count), math.ceil(count / 128) * 128)


def width_for(tokens: int) -> int:
    """Own tokens that rows have room for, of so many."""
    return math.ceil(tokens / _WIDTHS) * _WIDTHS


def rows_within(count: int) -> int:
    """The most rows, of the sizes that there are, that are not more than that."""
    return max((rows for rows in _ROWS if rows <= count), default=1)


class StepMemory:
    """What steps read and write, laid down once and moved only when it has to grow.

    Args:
        device: where.
        symbols: of a distribution.

    Attributes:
        version: how often anything moved.
        shared_keys: for each layer (1, heads, room, width), what all rows share.
        shared_values: the same.
        shared_length: (1,) how many tokens of it count.
        start: () M-RoPE position of the rows' first own tokens.
        ids: flat, the tokens that a step takes, and the first of them those that it chose.
        lengths: flat, own tokens of the rows.
        masks: flat, for each row the row of the table of what may not come next.
        best: flat, the logits of the chosen tokens.
        logp: (flat, symbols) the distributions of a step.
    """

    def __init__(self, device: torch.device, symbols: int) -> None:
        self.version = 0
        self.shared_keys: Buffers = []
        self.shared_values: Buffers = []
        self._keys: Buffers = []
        self._values: Buffers = []
        self.shared_length = torch.zeros(1, dtype=torch.long, device=device)
        self.start = self.shared_length.new_zeros(())
        self.ids, self.lengths, self.masks = (self.shared_length.new_zeros(0) for _ in range(3))
        self.best = torch.zeros(0, device=device)
        self.logp = torch.zeros(0, symbols, device=device)
        self._rows = 0

    @property
    def dtype(self) -> torch.dtype:
        """Of keys and values."""
        return self.shared_keys[0].dtype

    @property
    def bytes(self) -> int:
        """That the rows' own keys and values take."""
        return sum(one.numel() * one.element_size() for one in (*self._keys, *self._values))

    def changing(self) -> tuple[torch.Tensor, ...]:
        """What a step both reads and writes."""
        return self.ids[: self._rows], self.lengths[: self._rows]

    def outcome(self) -> torch.Tensor:
        """(rows,) the best logits of the last step."""
        return self.best[: self._rows]

    def share(self, segments: Sequence[Segment], start: int) -> None:
        """Copies in what all rows share, one part behind the other."""
        self.start.fill_(start)
        total = sum(segment.length for segment in segments)
        self.shared_length.fill_(total)
        first = segments[0].keys[0]
        here = self.shared_keys[0] if self.shared_keys else first[:, :, :0]
        if here.shape[2] < total or here.dtype != first.dtype:
            room = math.ceil(total / _SHARED) * _SHARED
            one, heads, _, width = first.shape
            for kept in (self.shared_keys, self.shared_values):
                kept[:] = [first.new_zeros(one, heads, room, width) for _ in segments[0].keys]
            self.version += 1
        at = 0
        for segment in segments:
            span = slice(at, at + segment.length)
            for kept, news in (
                (self.shared_keys, segment.keys),
                (self.shared_values, segment.values),
            ):
                for old, new in zip(kept, news, strict=True):
                    old[:, :, span].copy_(new)
            at += segment.length

    def hold(self, rows: int, tokens: int) -> None:
        """Makes room for so many rows, and steps of so many tokens altogether."""
        self._rows = rows
        self.lengths, self.masks, self.best = (
            self._grown(one, rows) for one in (self.lengths, self.masks, self.best)
        )
        self.ids, self.logp = (self._grown(one, tokens) for one in (self.ids, self.logp))

    def _grown(self, old: torch.Tensor, length: int) -> torch.Tensor:
        if len(old) >= length:
            return old
        self.version += 1
        new = old.new_zeros(length, *old.shape[1:])
        new[: len(old)] = old
        return new

    def own(self, layer: int, rows: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values (rows, heads, width, width of a head) of the rows' own tokens."""
        keys, values = self._keys[layer], self._values[layer]
        return self._view(keys, rows, width), self._view(values, rows, width)

    def _view(self, flat: torch.Tensor, rows: int, width: int) -> torch.Tensor:
        _, heads, _, size = self.shared_keys[0].shape
        return flat[: rows * heads * width * size].view(rows, heads, width, size)

    def lay(self, rows: int, width: int) -> None:
        """Empties the room for the rows' own tokens."""
        if not self._keys or self._keys[0].dtype != self.dtype:
            nothing = self.shared_keys[0].new_zeros(0)
            self._keys, self._values = ([nothing] * len(self.shared_keys) for _ in range(2))
        for buffers in (self._keys, self._values):
            buffers[:] = [self._emptied(flat, rows, width) for flat in buffers]

    def move(
        self, old: tuple[int, int], new: tuple[int, int], places: torch.Tensor, tokens: int
    ) -> None:
        """Lays the room anew.

        Args:
            old: rows and width of the present one.
            new: of the next.
            places: the rows that go on, first in the next.
            tokens: how many of each row are there.
        """
        for buffers in (self._keys, self._values):
            for layer, flat in enumerate(buffers):
                kept = self._view(flat, *old)[places, :, :tokens]
                buffers[layer] = self._emptied(flat, *new)
                self._view(buffers[layer], *new)[: len(places), :, :tokens] = kept

    def _emptied(self, flat: torch.Tensor, rows: int, width: int) -> torch.Tensor:
        _, heads, _, size = self.shared_keys[0].shape
        count = rows * heads * width * size
        if len(flat) >= count:
            flat[:count].zero_()
            return flat
        self.version += 1
        return flat.new_zeros(count)


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
        """As in `Rows`."""
        masks = None if barred is None else barred.masks()
        choice = self._head.choose(hidden[:, None], masks, record=self._record)
        self._memory.ids[: self._count] = choice.tokens
        return choice

    def more(self, forced: Sequence[Sequence[int]], barred: Barred | None) -> Choice:
        """As in `Rows`."""
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
        self._replays.run((*self._shape, count, at, self._record), step)
        logp = memory.logp[: rows * count].view(rows, count, -1)[: self._count]
        return Choice(
            memory.ids[: self._count],
            memory.best[: self._count],
            logp.clone() if self._record else None,
        )

    def keep(self, places: Sequence[int]) -> None:
        """As in `Rows`."""
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
    """Batches of one model whose steps have fixed shapes.

    Args:
        text: the stock language model.
        head: over it.
        device: the model's.
        record: records steps; see `replay`.

    Attributes:
        turn: to be held from `begin` until a batch is done: there is one memory.
    """

    def __init__(self, text: Any, head: Head, device: torch.device, record: Recorder) -> None:
        self._text, self._head = text, head
        self._memory = StepMemory(device, head.symbols)
        self._replays = Replays(self._memory, record)
        self._width = 0
        self.turn = threading.Lock()

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

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """As `Chain.attend`."""
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
