"""Runs batches of questions behind an encoded prefix, token by token, always the likeliest.

Knows the model's text part and token ids; not where the pictures or the questions came from.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vlm3.infer.decoding import layers
from vlm3.infer.decoding.grammar import Automaton, Grammar
from vlm3.infer.decoding.planner import Batch, Ids, Wave
from vlm3.infer.decoding.prefix_attention import Chain, Segment
from vlm3.infer.decoding.progress import Progress
from vlm3.infer.engines.base import SYMBOLS, Reply
from vlm3.model import Checkpoint
from vlm3.tasks.reading import CUT_OFF

# Beyond these, larger batches were not faster (CPU) or only cost memory (GPU).
_MOST_ROWS = {"cpu": 64, "cuda": 512}
_SHARE_OF_FREE_MEMORY = 0.5
# Answer tokens that buffers are made for at first; a longer answer makes them grow.
_FIRST_ANSWER = 32
# What a pass costs beside its tokens, in tokens: reading the weights, launching kernels. For the
# planner, which decides whether a shared beginning is worth a pass of its own.
_PASS_TOKENS = {"cpu": 16, "cuda": 256}
# Rows that have finished are dropped when they are more than this share of a batch.
_FINISHED_SHARE = 0.25
# Masks of tokens that a form allows, kept on the device: 80 MB at 150,000 tokens.
_MOST_MASKS = 512


class _Taken:
    """Distributions as they were taken, on the device until all are there."""

    def __init__(self) -> None:
        self._logps: list[torch.Tensor] = []
        self._owners: list[npt.NDArray[np.int64]] = []

    def add(self, rows: Sequence[int], logp: torch.Tensor) -> None:
        """(B, S, symbols) of the next S tokens of these rows."""
        self._logps.append(logp.flatten(0, 1))
        self._owners.append(np.repeat(rows, logp.shape[1]))

    def of(self, lengths: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        """For each row (length, symbols): its first ones, of as many tokens as it has written."""
        owners = np.concatenate(self._owners)
        table = torch.cat(self._logps).cpu().numpy()[np.argsort(owners, kind="stable")]
        starts = np.searchsorted(np.sort(owners), np.arange(len(lengths)))
        return [table[a : a + n] for a, n in zip(starts, lengths, strict=True)]


class Decoder:
    """The text part of a checkpoint, run in batches."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._model = checkpoint.model
        self._tokenizer = checkpoint.tokenizer
        self._device = checkpoint.device
        ends = self._model.generation_config.eos_token_id
        self._ends = tuple([ends] if isinstance(ends, int) else ends or ())
        self._pieces: dict[int, str] = {}
        self._texts: dict[Ids, str] = {}
        self._automata: dict[Grammar, Automaton] = {}
        self._masks: dict[tuple[Grammar, frozenset[Any]], torch.Tensor] = {}
        single = {text: self._one_token(text) for text in SYMBOLS if text}
        known = {text: token for text, token in single.items() if token is not None}
        self.symbols = (*known, "")
        self._symbol_ids = torch.tensor(list(known.values()), device=self._device)
        self._end_ids = torch.tensor(self._ends, dtype=torch.long, device=self._device)

    def _one_token(self, text: str) -> int | None:
        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids[0] if len(ids) == 1 else None

    def extend(self, segment: Segment, tokens: Ids, *, start: int) -> Segment:
        """Encodes more tokens that all rows share.

        Args:
            segment: what stands before them.
            tokens: their ids.
            start: M-RoPE position of the first.
        """
        chain = self._prefill((segment,), (Wave((tokens,), ()),), start, room=0)[0]
        return chain.segment()

    def _prefill(
        self, segments: tuple[Segment, ...], waves: Sequence[Wave], start: int, *, room: int
    ) -> tuple[Chain, torch.Tensor]:
        """Runs waves; the last one's chain, and the last hidden state (B, width) of its rows."""
        chain: Chain | None = None
        for wave in waves:
            lengths = [len(row) for row in wave.tokens]
            longest = max(lengths)
            ids = self._there([(*row, *(0,) * (longest - len(row))) for row in wave.tokens])
            final = wave is waves[-1]
            chain = Chain(
                segments,
                lengths,
                self._device,
                capacity=longest + room * final,
                parent=chain,
                rows=self._there(wave.parents) if wave.parents else None,
            )
            last = chain.lengths - chain.inherited - 1
            hidden = self._forward(ids, chain, start + chain.inherited, last)
        assert chain is not None
        return chain, hidden

    def _there(self, numbers: Sequence[Any]) -> torch.Tensor:
        """Whole numbers on the device; nothing waits for them to arrive."""
        return torch.tensor(numbers).to(self._device, non_blocking=True)

    def run(
        self,
        segments: tuple[Segment, ...],
        batch: Batch,
        *,
        start: int,
        max_new_tokens: int,
        grammar: Grammar | None,
        record: bool,
    ) -> list[Reply]:
        """Answers one batch.

        Args:
            segments: what all rows share, in order.
            batch: their own tokens.
            start: M-RoPE position of their first own token.
            max_new_tokens: limit of every answer.
            grammar: a form that answers must have.
            record: keep the distributions.
        """
        room = min(max_new_tokens, _FIRST_ANSWER)
        chain, last = self._prefill(segments, batch.waves, start, room=room)
        form = None if grammar is None else self._automaton(grammar)
        progress = Progress(len(batch.rows), self._ends, limit=max_new_tokens, form=form)
        hidden, taken = last[:, None], _Taken()
        while True:
            logits = self._model.lm_head(hidden).float()
            if record:
                taken.add(progress.rows, self._symbol_logp(logits))
            choice = logits[:, -1]
            if form and grammar:
                barred = self._barred(grammar, form, progress.states())
                choice = choice.masked_fill(barred, float("-inf"))
            # The only wait of a step: what was written decides what is to be computed next.
            picked = choice.argmax(-1)
            progress.take(picked.tolist())
            if progress.finished:
                break
            forced = progress.force()
            chunk = picked[:, None]
            if forced[0]:
                chunk = torch.cat([chunk, self._there(forced)], dim=1)
            if progress.finished:
                # Nothing follows what was forced: only its distributions are missing.
                if record and forced[0]:
                    hidden = self._more(chunk[:, :-1], chain, start)
                    logits = self._model.lm_head(hidden).float()
                    taken.add(progress.rows, self._symbol_logp(logits))
                break
            kept = progress.running
            if len(kept) < (1 - _FINISHED_SHARE) * len(chunk):
                places = self._there(kept)
                chain.keep(places)
                progress.keep(kept)
                chunk = chunk[places]
            hidden = self._more(chunk, chain, start)
        logps = taken.of([len(tokens) for tokens in progress.written]) if record else None
        return [
            Reply(
                self._text(tuple(tokens)) + (CUT_OFF if progress.cut_off(row) else ""),
                tuple(self._piece(token) for token in tokens),
                *((self.symbols, logps[row]) if logps is not None else ()),
            )
            for row, tokens in enumerate(progress.written)
        ]

    def _more(self, chunk: torch.Tensor, chain: Chain, start: int) -> torch.Tensor:
        """Runs the next tokens (B, S) of every row: (B, S, width)."""
        chain.step(chunk.shape[1])
        at = start + chain.lengths - chunk.shape[1]
        return self._forward(chunk, chain, at[:, None], None)

    def _barred(
        self, grammar: Grammar, form: Automaton, states: Sequence[frozenset[Any]]
    ) -> torch.Tensor:
        """(B, vocabulary) what may not come next, or (1, vocabulary) where that is one for all."""
        if len(self._masks) > _MOST_MASKS:
            self._masks.clear()
        distinct = {state: place for place, state in enumerate(dict.fromkeys(states))}
        for state in distinct:
            if (grammar, state) not in self._masks:
                mask = torch.from_numpy(~form.allowed(state))
                self._masks[grammar, state] = mask.to(self._device, non_blocking=True)
        table = torch.stack([self._masks[grammar, state] for state in distinct])
        return table if len(distinct) == 1 else table[self._there([distinct[s] for s in states])]

    def _forward(
        self,
        ids: torch.Tensor,
        chain: Chain,
        start: int | torch.Tensor,
        wanted: torch.Tensor | None,
    ) -> torch.Tensor:
        """One pass over the next tokens of a chain.

        Args:
            ids: (B, S).
            chain: what stands before them.
            start: M-RoPE position of each row's first token, one for all or (B, 1).
            wanted: (B,) which of the S tokens' outcome is needed; None for all.

        Returns:
            After the final norm, (B, width), or (B, S, width) of all.
        """
        places = (start + torch.arange(ids.shape[1], device=self._device)).expand(len(ids), -1)
        return layers.run(self._model.model.language_model, ids, places, chain, wanted)

    def _automaton(self, grammar: Grammar) -> Automaton:
        if grammar not in self._automata:
            size = self._model.lm_head.weight.shape[0]
            known = min(size, len(self._tokenizer))
            texts = self._tokenizer.batch_decode(
                [[token] for token in range(known)], skip_special_tokens=True
            )
            vocabulary = [*texts, *[""] * (size - known)]
            self._automata[grammar] = Automaton(grammar, vocabulary, self._ends)
        return self._automata[grammar]

    def _symbol_logp(self, logits: torch.Tensor) -> torch.Tensor:
        whole = logits.logsumexp(-1, keepdim=True)
        end = logits[..., self._end_ids].logsumexp(-1, keepdim=True)
        return torch.cat([logits[..., self._symbol_ids], end], dim=-1) - whole

    def _text(self, tokens: Ids) -> str:
        if tokens not in self._texts:
            if len(self._texts) > 100_000:
                self._texts.clear()
            text = self._tokenizer.decode(list(tokens), skip_special_tokens=True)
            self._texts[tokens] = str(text).strip()
        return self._texts[tokens]

    def _piece(self, token: int) -> str:
        if token not in self._pieces:
            whole = self._tokenizer.decode([token], skip_special_tokens=True)
            self._pieces[token] = "" if token in self._ends else str(whole)
        return self._pieces[token]

    @property
    def pass_tokens(self) -> int:
        """What a pass costs beside its tokens, in tokens."""
        return _PASS_TOKENS.get(self._device.type, 16)

    def rows_that_fit(self, tails: Sequence[Ids], max_new_tokens: int) -> int:
        """Questions that fit a batch, from their length and the memory that is free now."""
        config = self._model.config.text_config
        size = self._model.dtype.itemsize
        width = self._model.get_input_embeddings().weight.shape[1]
        heads = config.num_attention_heads
        head = getattr(config, "head_dim", None) or width // heads
        held = 2 * config.num_key_value_heads * head * config.num_hidden_layers * size
        # Hidden states, queries, two partial results in float32, and the gated product.
        passing = size * (4 * width + 3 * config.intermediate_size) + 12 * heads * head
        tokens = max(len(tail) for tail in tails)
        row = tokens * (held + passing) + min(max_new_tokens, 2 * _FIRST_ANSWER) * held
        row += 8 * config.vocab_size
        fit = int(_free_bytes(self._device) * _SHARE_OF_FREE_MEMORY / row)
        return max(1, min(fit, _MOST_ROWS.get(self._device.type, 64)))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        # What torch keeps for later is free too.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # Not every system reports it.
        return 2**30
