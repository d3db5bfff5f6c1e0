"""Attention of many rows to keys and values they share, held once: the engine's inner part.

Every row's sequence is a chain: the pictures and words that all rows share, then its own tokens.
Each part is attended to by itself and the results are merged by their log-sum-exp in float32, which
equals attention over the whole chain (the "cascade" of FlashInfer, Hydragen). It runs inside the
stock transformers model through its attention interface. Knows neither tokens nor text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import AttentionInterface

ATTENTION = "vlm3_shared_prefix"
"""Name under which the attention is registered; without a `Chain` it is the stock "sdpa"."""

# Scores that plain attention holds at once on a GPU; more queries are taken in turns.
_MOST_SCORES = 2**28


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


class Chain:
    """Rows with shared segments before them and a growing buffer of their own.

    Args:
        segments: what all rows share, in the order of the sequence.
        lengths: how many tokens come first in each row, on the host; padded on the right.
        device: of the segments.
        capacity: tokens a row is expected to grow to; more only cost a copy.
        parent: a finished chain over the same segments, rows of one length, that rows go on from.
        rows: (B,) which row of `parent` each row goes on from.

    Attributes:
        lengths: (B,) own tokens of every row on the device, inherited ones included.
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
    ) -> None:
        self.segments = segments
        self.inherited: int = 0 if parent is None else parent._longest
        self.lengths = torch.tensor(lengths).to(device, non_blocking=True) + self.inherited
        self.begun = False
        self._parent, self._rows = parent, rows
        self._ragged = len(set(lengths)) > 1
        self._longest: int = max(lengths) + self.inherited
        self._capacity = max(self._longest, self.inherited + capacity)
        self._keys: list[torch.Tensor] = []
        self._values: list[torch.Tensor] = []
        self._mask: torch.Tensor | None = None

    def segment(self) -> Segment:
        """What a single row holds, as a part that others can share."""
        return Segment(tuple(self._keys), tuple(self._values)).first(self._longest)

    def step(self, count: int = 1) -> None:
        """Makes room for more tokens a row; call before the pass that brings them."""
        self.begun = True
        self.lengths = self.lengths + count
        self._longest += count
        self._mask = None
        if self._longest > self._capacity:
            extra = max(self._capacity, self._longest - self._capacity)
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

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Attention of the new tokens to everything before them in their rows.

        Args:
            layer: index.
            query: (B, query heads, S, width).
            key: (B, heads, S, width).
            value: (B, heads, S, width).
            scale: factor of the scores.

        Returns:
            (B, S, query heads, width).
        """
        self._store(layer, key, value)
        out, lse = self._own(layer, query, scale)
        for number, segment in enumerate(self.segments, 1):
            other, other_lse = _to_shared(query, segment.keys[layer], segment.values[layer], scale)
            weight = torch.sigmoid(other_lse - lse)[..., None]
            out = torch.lerp(out.float(), other.float(), weight)
            if number < len(self.segments):
                lse = torch.logaddexp(lse, other_lse)
        return out.to(query.dtype)

    def _store(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        rows, heads, count, width = key.shape
        news = ((self._keys, key), (self._values, value))
        if not self.begun:
            start = self.inherited
            for buffers, new in news:
                buffer = new.new_zeros(rows, heads, self._capacity, width)
                buffer[:, :, start : start + count] = new
                buffers.append(buffer)
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
                buffers[layer][:, :, self._longest - count : self._longest] = new

    def _own(
        self, layer: int, query: torch.Tensor, scale: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention within the rows: (B, S, query heads, width) and log-sum-exp (B, S, heads)."""
        rows, query_heads, count, width = query.shape
        key = self._keys[layer][:, :, : self._longest]
        value = self._values[layer][:, :, : self._longest]
        heads = key.shape[1]
        groups = query_heads // heads
        if not self.begun:
            if self.inherited and self._mask is None:
                self._mask = self._after_inherited(query)
            # Padding stands on the right, where a causal row never looks.
            out, lse = attention(
                query,
                key.repeat_interleave(groups, 1),
                value.repeat_interleave(groups, 1),
                scale,
                causal=self._mask is None,
                mask=self._mask,
            )
            return out.transpose(1, 2), lse.transpose(1, 2)
        if (self._ragged or count > 1) and self._mask is None:
            self._mask = self._within_rows(query, groups)
        folded = query.reshape(rows, heads, groups * count, width)
        out, lse = attention(folded, key, value, scale, mask=self._mask)
        out = out.reshape(rows, query_heads, count, width).transpose(1, 2)
        return out, lse.reshape(rows, query_heads, count).transpose(1, 2)

    def _after_inherited(self, query: torch.Tensor) -> torch.Tensor:
        """(1, 1, S, inherited + S): causal, the inherited tokens first."""
        count = query.shape[2]
        mask = query.new_full((count, self.inherited + count), float("-inf"))
        return mask.triu(1 + self.inherited)[None, None]

    def _within_rows(self, query: torch.Tensor, groups: int) -> torch.Tensor:
        """(B, 1, groups S, longest): hides what comes after a token in its row."""
        rows, _, count, _ = query.shape
        places = torch.arange(self._longest, device=query.device)
        own = self.lengths[:, None] + torch.arange(-count, 0, device=query.device)
        beyond = (places > own[..., None])[:, None].expand(-1, groups, -1, -1)
        mask = query.new_zeros(rows, 1, groups * count, self._longest)
        return mask.masked_fill(beyond.reshape(mask.shape), float("-inf"))


def _to_shared(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention of all rows to a segment; all queries of a key head make one matrix."""
    rows, query_heads, count, width = query.shape
    heads = key.shape[1]
    # (rows x tokens, heads, groups, width), heads moved to the front.
    folded = query.transpose(1, 2).reshape(rows * count, heads, -1, width).transpose(0, 1)
    out, lse = attention(folded.reshape(1, heads, -1, width), key, value, scale)
    out = out.reshape(heads, rows * count, -1, width).transpose(0, 1)
    lse = lse.reshape(heads, rows * count, -1).transpose(0, 1)
    return out.reshape(rows, count, query_heads, width), lse.reshape(rows, count, query_heads)


def attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    causal: bool = False,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax attention that also returns its log-sum-exp.

    On a CPU by the flash kernel; on a GPU by flash attention where its type and shape allow (half
    precision, no mask), else in plain operations.

    Args:
        query: (B, H, S, width).
        key: (B, H, T, width).
        value: (B, H, T, width).
        scale: factor of the scores.
        causal: S = T, and a token sees none after it.
        mask: added to the scores, broadcast to (B, H, S, T).

    Returns:
        (B, H, S, width) in the type of `query`; (B, H, S) float32.
    """
    if query.device.type == "cpu":
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, lse = flash(query, key, value, 0.0, causal, attn_mask=mask, scale=scale)
        return out, lse
    if mask is None and flash_takes(query):
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        out, lse, *_ = flash(query, key, value, 0.0, causal, False, scale=scale)
        return out, lse[..., : query.shape[2]]
    return plain_attention(query, key, value, scale, causal=causal, mask=mask)


def flash_takes(query: torch.Tensor) -> bool:
    """Whether a GPU's flash kernel computes this: half precision, Ampere or newer, its widths."""
    width = query.shape[-1]
    return (
        query.dtype in (torch.float16, torch.bfloat16)
        and width % 8 == 0
        and width <= 256
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


def plain_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    *,
    causal: bool = False,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same in plain operations, queries in turns so that the scores stay bounded."""
    count, total = query.shape[2], key.shape[2]
    turn = max(1, _MOST_SCORES // (query.shape[0] * query.shape[1] * total))
    if causal:
        hidden = torch.ones(count, total, dtype=torch.bool, device=query.device).triu(1)
    outs, lses = [], []
    for start in range(0, count, turn):
        scores = (query[:, :, start : start + turn] @ key.transpose(-1, -2)).float() * scale
        if causal:
            scores = scores.masked_fill(hidden[start : start + turn], float("-inf"))
        if mask is not None:
            scores = scores + mask[..., start : start + turn, :]
        lse = scores.logsumexp(-1)
        outs.append((scores - lse[..., None]).exp().to(value.dtype) @ value)
        lses.append(lse)
    return torch.cat(outs, dim=2), torch.cat(lses, dim=2)


def _interface(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    chain: Chain | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    if chain is None:
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return out, None
    layer: Any = module.layer_idx
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    return chain.attend(layer, query, key, value, factor), None


AttentionInterface.register(ATTENTION, _interface)
# The same masks as "sdpa", so that a model under this name computes the same without a chain.
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
