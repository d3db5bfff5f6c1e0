"""What a model's tokens are to its answers: their texts, which end one, which a form allows next.

Knows a tokenizer and forms; runs no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from vlm3.infer.decoding.grammar import Automaton, Grammar
from vlm3.infer.decoding.planner import Ids
from vlm3.infer.engines.base import SYMBOLS

# Masks of tokens that a form allows, kept on the device: 80 MB at 150,000 tokens.
_MOST_MASKS = 512
_FIRST_MASKS = 32
_MOST_TEXTS = 100_000


@dataclass(frozen=True)
class Barred:
    """What may not come next in the rows of a batch.

    Attributes:
        table: (masks, vocabulary) bool, on the device.
        rows: for each row of the batch the row of the table.
    """

    table: torch.Tensor
    rows: list[int]

    def masks(self) -> torch.Tensor:
        """(B, vocabulary), or (1, vocabulary) where it is one for all."""
        if len(set(self.rows)) == 1:
            return self.table[self.rows[0]][None]
        return self.table[torch.tensor(self.rows).to(self.table.device, non_blocking=True)]


class Vocabulary:
    """The tokens of one checkpoint.

    Args:
        tokenizer: the checkpoint's.
        ends: ids of the tokens that end an answer.
        device: where masks of tokens are kept.

    Attributes:
        ends: as given.
        symbols: of `SYMBOLS` those that are one token each; "" stands for all ends.
        symbol_ids: their ids, the end left out.
    """

    def __init__(self, tokenizer: Any, ends: Sequence[int], device: torch.device) -> None:
        self.ends = tuple(ends)
        self._tokenizer, self._device = tokenizer, device
        single = {text: self._one_token(text) for text in SYMBOLS if text}
        known = {text: token for text, token in single.items() if token is not None}
        self.symbols = (*known, "")
        self.symbol_ids = tuple(known.values())
        self._pieces: dict[int, str] = {}
        self._texts: dict[Ids, str] = {}
        self._automata: dict[Grammar, Automaton] = {}
        self._table: torch.Tensor | None = None
        self._rows: dict[tuple[Grammar, frozenset[Any]], int] = {}

    def _one_token(self, text: str) -> int | None:
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids[0] if len(ids) == 1 else None

    def text(self, tokens: Ids) -> str:
        """What an answer says, without special tokens and the space around it."""
        if tokens not in self._texts:
            if len(self._texts) > _MOST_TEXTS:
                self._texts.clear()
            text = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
            self._texts[tokens] = str(text).strip()
        return self._texts[tokens]

    def piece(self, token: int) -> str:
        """The text of one token, that of an end empty."""
        if token not in self._pieces:
            whole = self._tokenizer.decode([token], skip_special_tokens=True)
            self._pieces[token] = "" if token in self.ends else str(whole)
        return self._pieces[token]

    def automaton(self, grammar: Grammar, size: int) -> Automaton:
        """A form over these tokens, of which the model has `size`."""
        if grammar not in self._automata:
            known = min(size, len(self._tokenizer))
            texts = self._tokenizer.batch_decode(
                [[token] for token in range(known)], skip_special_tokens=True
            )
            vocabulary = [*texts, *[""] * (size - known)]
            self._automata[grammar] = Automaton(grammar, vocabulary, self.ends)
        return self._automata[grammar]

    def barred(self, grammar: Grammar, states: Sequence[frozenset[Any]]) -> Barred:
        """What a form does not allow next in these states; `automaton` made it before."""
        distinct = dict.fromkeys((grammar, state) for state in states)
        if len(self._rows.keys() | distinct.keys()) > _MOST_MASKS:
            self._rows.clear()
        fresh = [key for key in distinct if key not in self._rows]
        if fresh:
            form = self._automata[grammar]
            news = torch.stack([torch.from_numpy(~form.allowed(state)) for _, state in fresh])
            first = len(self._rows)
            self._rows.update(zip(fresh, range(first, first + len(fresh)), strict=True))
            table = self._table_of(len(self._rows), news)
            table[first : len(self._rows)].copy_(news, non_blocking=True)
        assert self._table is not None
        return Barred(self._table, [self._rows[grammar, state] for state in states])

    def _table_of(self, count: int, like: torch.Tensor) -> torch.Tensor:
        """The table with room for so many masks; it moves when it grows, and then only."""
        old = self._table
        if old is None or len(old) < count:
            room = max(_FIRST_MASKS, 2 * count)
            self._table = torch.zeros(room, like.shape[1], dtype=torch.bool).to(self._device)
            if old is not None:
                self._table[: len(old)] = old
        assert self._table is not None
        return self._table
