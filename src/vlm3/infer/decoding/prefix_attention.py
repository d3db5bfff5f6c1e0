"""Attention of many rows to keys and values they share, held once: the engine's inner part.

Every row's sequence is a chain: the pictures and words that all rows share, then its own tokens.
Each part is attended to by itself and the results are merged by their log-sum-exp in float32, which
equals attention over the whole chain (the "cascade" of FlashInfer, Hydragen). Knows neither tokens
nor text.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from vlm3.infer.decoding import kernels
from vlm3.infer.decoding.kernels import Reach
from vlm3.infer.decoding.layers import Projected


@dataclass(frozen=True)
class Segment:
    """Keys and values of a finished part of a sequence.

    Attributes:
        keys: for each layer (1, heads, length, width).
        values: the same.
    """

    keys: tuple[torch.Tensor, ...]
    values: tuple[torch.Tensor, ...]

    @property
    def length(self) -> int:
        """Tokens in it."""
        return int(self.keys[0].shape[2])

    @property
    def bytes(self) -> int:
        """Memory it takes."""
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))

    def first(self, length: int) -> "Segment":
        """Its beginning, without a copy: what comes later never changes what came before."""
        if length == self.length:
            return self
        return Segment(
            tuple(key[:, :, :length] for key in self.keys),
            tuple(value[:, :, :length] for value in self.values),
        )


class RowMemory:
    """Memory for the rows' own keys and values, taken over from one batch to the next.

    A C library does not always use again what was freed: 48 batches of a map held 1.5 GB that
    nothing used, and each waited for new pages.
    """

    def __init__(self) -> None:
        self._flat: dict[tuple[int, bool], torch.Tensor] = {}

    def take(
        self, layer: int, shape: tuple[int, ...], like: torch.Tensor, *, values: bool
    ) -> torch.Tensor:
        """Room of a shape for a layer's keys or values; what lies in it is of no meaning."""
        size, place = math.prod(shape), (layer, values)
        flat = self._flat.get(place)
        if flat is None or len(flat) < size:
            flat = self._flat[place] = like.new_empty(size)
        return flat[:size].view(shape)


class Chain:
    """Rows with shared segments before them and a growing buffer of their own.

    Args:
        segments: what all rows share, in the order of the sequence.
        lengths: how many tokens come first in each row, on the host; padded on the right.
        device: of the segments.
        capacity: tokens a row is expected to grow to; more only cost a copy.
        parent: a finished chain over the same segments, rows of one length, that rows go on from.
        rows: (B,) which row of `parent` each row goes on from.
        own: for each layer zeros (B, heads, capacity, width) for the keys and values of the rows'
            own tokens; made here when None.
        memory: what they are then made of; memory of its own when None.

    Attributes:
        lengths: (B,) own tokens of every row on the device, inherited ones included.
        longest: the most of them.
        begun: whether the first tokens are in.
    """

    def __init__(
        self,
        segments: tuple[Segment, ...],
        lengths: Sequence[int],
        device: torch.device,
        *,
        capacity: int,
        parent: "Chain | None" = None,
        rows: torch.Tensor | None = None,
        own: tuple[list[torch.Tensor], list[torch.Tensor]] | None = None,
        memory: RowMemory | None = None,
    ) -> None:
        self.segments = segments
        self.inherited: int = 0 if parent is None else parent.longest
        self.lengths = torch.tensor(lengths).to(device, non_blocking=True) + self.inherited
        self.begun = False
        self._parent, self._rows = parent, rows
        self._ragged = len(set(lengths)) > 1
        self.longest: int = max(lengths) + self.inherited
        self._capacity = max(self.longest, self.inherited + capacity)
        self._keys, self._values = own or ([], [])
        self._memory = memory or RowMemory()
        self._reach = Reach()

    def segment(self) -> Segment:
        """What a single row holds, as a part that others can share."""
        return Segment(tuple(self._keys), tuple(self._values)).first(self.longest)

    def step(self, count: int = 1) -> None:
        """Makes room for more tokens a row; call before the pass that brings them."""
        self.begun = True
        self.lengths = self.lengths + count
        self.longest += count
        self._reach = Reach()
        if self.longest > self._capacity:
            extra = max(self._capacity, self.longest - self._capacity)
            self._capacity += extra
            for buffers in (self._keys, self._values):
                for i, old in enumerate(buffers):
                    rows, heads, _, width = old.shape
                    room = old.new_zeros(rows, heads, extra, width)
                    buffers[i] = torch.cat([old, room], dim=2)

    def keep(self, rows: torch.Tensor) -> None:
        """Drops all rows but these."""
        self.lengths = self.lengths[rows]
        self._keys = [key[rows] for key in self._keys]
        self._values = [value[rows] for value in self._values]

    def attend(self, layer: int, new: Projected) -> torch.Tensor:
        """As `layers.Attends`: to the rows' own tokens and to each segment, merged."""
        query, key, value, scale = new
        self._store(layer, key, value)
        out, lse = self._own(layer, query, scale)
        for number, segment in enumerate(self.segments, 1):
            other, other_lse = to_shared(query, segment.keys[layer], segment.values[layer], scale)
            out = kernels.merged(out, lse, other, other_lse)
            if number < len(self.segments):
                lse = torch.logaddexp(lse, other_lse)
        return out.to(query.dtype)

    def _store(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        rows, heads, count, width = key.shape
        news = ((self._keys, key), (self._values, value))
        if not self.begun:
            start = self.inherited
            for buffers, new in news:
                if layer == len(buffers):
                    shape = (rows, heads, self._capacity, width)
                    values = buffers is self._values
                    buffers.append(self._memory.take(layer, shape, new, values=values))
                    # No weight is given to what is not there yet; but zero times NaN is NaN.
                    buffers[layer][:, :, start + count :] = 0
                buffers[layer][:, :, start : start + count] = new
            if self._parent is not None:
                self._keys[layer][:, :, :start] = self._parent._keys[layer][self._rows, :, :start]
                self._values[layer][:, :, :start] = self._parent._values[layer][
                    self._rows, :, :start
                ]
        elif self._ragged:
            place = self.lengths[:, None] + torch.arange(-count, 0, device=key.device)
            at = place[:, None, :, None].expand(-1, heads, -1, width)
            for buffers, new in news:
                buffers[layer].scatter_(2, at, new)
        else:
            for buffers, new in news:
                buffers[layer][:, :, self.longest - count : self.longest] = new

    def _own(
        self, layer: int, query: torch.Tensor, scale: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention within the rows: (B, S, query heads, width) and log-sum-exp (B, S, heads)."""
        key = self._keys[layer][:, :, : self.longest]
        value = self._values[layer][:, :, : self.longest]
        if not self.begun:
            if self.inherited and self._reach.mask is None and not kernels.takes_groups(query):
                self._reach = Reach(kernels.mask_of_last(query, key.shape[2]))
            # Padding stands on the right, where a causal row never looks.
            out, lse = kernels.attention_of_last(query, key, value, scale, self._reach.mask)
            return out.transpose(1, 2), lse.transpose(1, 2)
        if (self._ragged or query.shape[2] > 1) and self._reach.mask is None:
            self._reach = reach_of_last(self.lengths, query, key.shape[1], self.longest)
        return to_own(query, key, value, scale, self._reach)


def to_shared(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    reach: Reach | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of all rows to what they share; all queries of a key head make one matrix.

    Args:
        query: (B, query heads, S, width).
        key: (1, heads, T, width).
        value: (1, heads, T, width).
        scale: factor of the scores.
        reach: how many of the T count, where not all do.

    Returns:
        (B, S, query heads, width), and log-sum-exp (B, S, query heads).
    """
    rows, query_heads, count, width = query.shape
    heads = key.shape[1]
    # (rows x tokens, heads, groups, width), heads moved to the front.
    folded = query.transpose(1, 2).reshape(rows * count, heads, -1, width).transpose(0, 1)
    folded = folded.reshape(1, heads, -1, width)
    if reach is None:
        out, lse = kernels.attention(folded, key, value, scale)
    else:
        out, lse = kernels.attention_within(folded, key, value, scale, reach)
    out = out.reshape(heads, rows * count, -1, width).transpose(0, 1)
    lse = lse.reshape(heads, rows * count, -1).transpose(0, 1)
    return out.reshape(rows, count, query_heads, width), lse.reshape(rows, count, query_heads)


def to_own(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, reach: Reach
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of each row to its own tokens; the queries of a key head make one matrix.

    Args:
        query: (B, query heads, S, width).
        key: (B, heads, T, width).
        value: (B, heads, T, width).
        scale: factor of the scores.
        reach: which of the T each query sees, the S of a group after those of the group before.

    Returns:
        As `to_shared`.
    """
    rows, query_heads, count, width = query.shape
    folded = query.reshape(rows, key.shape[1], -1, width)
    out, lse = kernels.attention_within(folded, key, value, scale, reach)
    out = out.reshape(rows, query_heads, count, width).transpose(1, 2)
    return out, lse.reshape(rows, query_heads, count).transpose(1, 2)


def reach_of_last(lengths: torch.Tensor, query: torch.Tensor, heads: int, width: int) -> Reach:
    """What the last S tokens of rows see of their own tokens: nothing that comes after them.

    Args:
        lengths: (B,) tokens of each row, these S included.
        query: (B, query heads, S, width of a head), for its shape, type and device.
        heads: of the keys.
        width: tokens that a row has room for.
    """
    rows, query_heads, count, _ = query.shape
    places = torch.arange(width, device=query.device)
    own = lengths[:, None] + torch.arange(-count, 0, device=query.device)
    beyond = (places > own[..., None])[:, None].expand(-1, query_heads // heads, -1, -1)
    mask = query.new_zeros(rows, 1, beyond.shape[1] * count, width)
    return Reach(mask.masked_fill(beyond.reshape(mask.shape), float("-inf")))
