"""One step of a batch: its next tokens through the text model, the likeliest that follow out.

`RunningRows` is what the decoding loop sees of a batch; `GrowingRows` computes it plainly, each
step as long as its rows are by then. Knows token ids, neither texts nor forms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from vlm3.infer.decoding import layers
from vlm3.infer.decoding.prefix_attention import Chain
from vlm3.infer.decoding.vocabulary import Barred, Vocabulary


@dataclass(frozen=True)
class Choice:
    """What a step came to.

    Attributes:
        tokens: (B,) the likeliest next token of each row.
        best: (B,) its logit.
        logp: (B, S, symbols) natural log of each symbol's probability after each of the S tokens,
            those of all ends as one, last; None where it is not recorded.
    """

    tokens: torch.Tensor
    best: torch.Tensor
    logp: torch.Tensor | None


class Head:
    """From hidden states to tokens and distributions.

    Args:
        lm_head: the model's output layer.
        vocabulary: names the symbols and the ends.
        device: the model's.
    """

    def __init__(self, lm_head: Any, vocabulary: Vocabulary, device: torch.device) -> None:
        self._lm_head = lm_head
        self._symbols = torch.tensor(vocabulary.symbol_ids, dtype=torch.long, device=device)
        self._ends = torch.tensor(vocabulary.ends, dtype=torch.long, device=device)

    @property
    def symbols(self) -> int:
        """How many a distribution speaks of, the end among them."""
        return len(self._symbols) + 1

    def choose(self, hidden: torch.Tensor, barred: torch.Tensor | None, *, record: bool) -> Choice:
        """The likeliest token after the last of S, of those that may come.

        Args:
            hidden: (B, S, width).
            barred: (B or 1, vocabulary) what may not come next.
            record: keep the distributions after all S.
        """
        logits = self._lm_head(hidden).float()
        logp = self._logp(logits) if record else None
        last = logits[:, -1]
        if barred is not None:
            last = last.masked_fill(barred, float("-inf"))
        best, tokens = last.max(-1)
        return Choice(tokens, best, logp)

    def _logp(self, logits: torch.Tensor) -> torch.Tensor:
        whole = logits.logsumexp(-1, keepdim=True)
        end = logits[..., self._ends].logsumexp(-1, keepdim=True)
        return torch.cat([logits[..., self._symbols], end], dim=-1) - whole


class RunningRows(Protocol):
    """A batch of answers being written, all by the same number of tokens at a time."""

    def first(self, hidden: torch.Tensor, barred: Barred | None) -> Choice:
        """The first tokens, from the last hidden states (B, width) of the questions."""

    def more(self, forced: Sequence[Sequence[int]], barred: Barred | None) -> Choice:
        """The tokens after those chosen last and those that a form forces behind them.

        Args:
            forced: for each row as many, or none.
            barred: what may not come next.
        """

    def keep(self, places: Sequence[int]) -> None:
        """Drops all rows but these."""


class GrowingRows:
    """Rows over a chain that grows with every step.

    Args:
        text: the stock language model.
        head: over it.
        chain: the rows, their questions run.
        start: M-RoPE position of the first own token.
        record: keep distributions.
    """

    def __init__(self, text: Any, head: Head, chain: Chain, start: int, *, record: bool) -> None:
        self._text, self._head, self._chain = text, head, chain
        self._start, self._record = start, record
        self._tokens = chain.lengths

    def first(self, hidden: torch.Tensor, barred: Barred | None) -> Choice:
        """As in `RunningRows`."""
        return self._chosen(hidden[:, None], barred)

    def more(self, forced: Sequence[Sequence[int]], barred: Barred | None) -> Choice:
        """As in `RunningRows`."""
        ids = self._tokens[:, None]
        if forced[0]:
            ids = torch.cat([ids, torch.tensor(forced).to(ids.device, non_blocking=True)], dim=1)
        rows, count = ids.shape
        self._chain.step(count)
        own = (self._chain.lengths - count)[:, None] + torch.arange(count, device=ids.device)
        wanted = last_wanted(rows, count, ids.device, record=self._record)
        hidden = layers.run(self._text, ids, self._start + own, self._chain, wanted)
        return self._chosen(hidden if wanted is None else hidden[:, None], barred)

    def _chosen(self, hidden: torch.Tensor, barred: Barred | None) -> Choice:
        masks = None if barred is None else barred.masks()
        choice = self._head.choose(hidden, masks, record=self._record)
        self._tokens = choice.tokens
        return choice

    def keep(self, places: Sequence[int]) -> None:
        """As in `RunningRows`."""
        there = torch.tensor(places).to(self._tokens.device, non_blocking=True)
        self._chain.keep(there)
        self._tokens = self._tokens[there]


def last_wanted(
    rows: int, count: int, device: torch.device, *, record: bool
) -> torch.Tensor | None:
    """Which of the tokens of a step have an outcome that is needed, for `layers.run`."""
    if record or count == 1:
        return None
    return torch.full((rows,), count - 1, device=device)
