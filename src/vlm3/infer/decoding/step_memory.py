"""Memory that steps of fixed shape read and write: where it lies, how big it is, what is in it.

Rows, the room for their own tokens, and what they share are padded to a few sizes, so that few
shapes are computed; nothing moves but where it has to grow. Knows no model.
"""

import math
from collections.abc import Sequence

import torch

from vlm3.infer.decoding.prefix_attention import Segment

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
