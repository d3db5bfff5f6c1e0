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
from vlm3.infer.decoding.fixed_rows import FixedSteps
from vlm3.infer.decoding.grammar import Grammar
from vlm3.infer.decoding.planner import Batch, Ids, Wave
from vlm3.infer.decoding.prefix_attention import Chain, RowMemory, Segment
from vlm3.infer.decoding.progress import Progress
from vlm3.infer.decoding.replay import CudaGraphs, Recorder
from vlm3.infer.decoding.step_memory import rows_within
from vlm3.infer.decoding.steps import GrowingRows, Head, RunningRows
from vlm3.infer.decoding.vocabulary import Barred, Vocabulary
from vlm3.infer.engines.base import AnswerOptions, Reply
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
        # Copies: one that is kept would keep those of the whole batch.
        return [table[a : a + n].copy() for a, n in zip(starts, lengths, strict=True)]


class Decoder:
    """The text part of a checkpoint, run in batches by one thread at a time."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._model = checkpoint.model
        self._device = checkpoint.device
        ends = self._model.generation_config.eos_token_id
        ends = [ends] if isinstance(ends, int) else ends or ()
        self._vocabulary = Vocabulary(checkpoint.tokenizer, ends, self._device)
        self._head = Head(self._model.lm_head, self._vocabulary, self._device)
        on_gpu = self._device.type == "cuda"
        self._fixed = self.fixed_steps(CudaGraphs(self._device)) if on_gpu else None

    def fixed_steps(self, record: Recorder) -> FixedSteps:
        """Steps of fixed shapes, recorded by this: worth it where launches cost."""
        return FixedSteps(self._model.model.language_model, self._head, self._device, record)

    def extend(self, segment: Segment, tokens: Ids, *, start: int) -> Segment:
        """Encodes more tokens that all rows share.

        Args:
            segment: what stands before them.
            tokens: their ids.
            start: M-RoPE position of the first.
        """
        chain, _ = self._prefill((segment,), (Wave((tokens,), ()),), start, room=0)
        return chain.segment()

    def _prefill(
        self,
        segments: tuple[Segment, ...],
        waves: Sequence[Wave],
        start: int,
        *,
        room: int,
        fixed: FixedSteps | None = None,
        memory: RowMemory | None = None,
    ) -> tuple[Chain, torch.Tensor]:
        """Runs waves; the last one's chain, and the last hidden state (B, width) of its rows."""
        chain: Chain | None = None
        for wave in waves:
            lengths = [len(row) for row in wave.tokens]
            longest = max(lengths)
            ids = self._there([(*row, *(0,) * (longest - len(row))) for row in wave.tokens])
            own = None
            if fixed is not None and wave is waves[-1]:
                tokens = longest + room + (0 if chain is None else chain.longest)
                own = fixed.begin(segments, start=start, rows=len(lengths), tokens=tokens)
            chain = Chain(
                segments,
                lengths,
                self._device,
                capacity=longest + room * (wave is waves[-1]),
                parent=chain,
                rows=self._there(wave.parents) if wave.parents else None,
                own=own,
                memory=memory if wave is waves[-1] else None,
            )
            last = chain.lengths - chain.inherited - 1
            at = torch.arange(start + chain.inherited, start + chain.longest, device=self._device)
            text = self._model.model.language_model
            hidden = layers.run(text, ids, at.expand(ids.shape), chain, last)
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
        options: AnswerOptions,
        memory: RowMemory,
    ) -> list[Reply]:
        """Answers one batch.

        Args:
            segments: what all rows share, in order.
            batch: their own tokens.
            start: M-RoPE position of their first own token.
            options: how they are to be answered; its progress is not called.
            memory: of the batch before.
        """
        grammar, record, limit = options.grammar, options.record, options.max_new_tokens
        size = self._model.lm_head.weight.shape[0]
        form = None if grammar is None else self._vocabulary.automaton(grammar, size)
        progress = Progress(len(batch.rows), self._vocabulary.ends, limit=limit, form=form)
        room, fixed = min(limit, _FIRST_ANSWER), self._fixed
        chain, last = self._prefill(
            segments, batch.waves, start, room=room, fixed=fixed, memory=memory
        )
        if fixed is None:
            text = self._model.model.language_model
            rows: RunningRows = GrowingRows(text, self._head, chain, start, record=record)
        else:
            rows = fixed.rows(chain, record=record)
        taken = self._write(rows, last, progress, grammar, record=record)
        logps = taken.of([len(tokens) for tokens in progress.written]) if record else None
        vocabulary = self._vocabulary
        return [
            Reply(
                vocabulary.text(tuple(tokens)) + (CUT_OFF if progress.cut_off(row) else ""),
                tuple(vocabulary.piece(token) for token in tokens),
                *((vocabulary.symbols, logps[row]) if logps is not None else ()),
            )
            for row, tokens in enumerate(progress.written)
        ]

    def _write(
        self,
        rows: RunningRows,
        hidden: torch.Tensor,
        progress: Progress,
        grammar: Grammar | None,
        *,
        record: bool,
    ) -> _Taken:
        """Writes the answers of a batch whose questions have run, their last states (B, width)."""
        taken = _Taken()

        def barred() -> Barred | None:
            if grammar is None:
                return None
            return self._vocabulary.barred(grammar, progress.states())

        choice = rows.first(hidden, barred())
        while True:
            if choice.logp is not None:
                taken.add(progress.rows, choice.logp)
            # The only wait of a step: what was written decides what is to be computed next.
            progress.take(choice.tokens.tolist())
            if progress.finished:
                return taken
            forced = progress.force()
            if progress.finished:
                # Nothing follows what was forced: only its distributions are missing.
                if record and forced[0]:
                    choice = rows.more([row[:-1] for row in forced], None)
                    assert choice.logp is not None
                    taken.add(progress.rows, choice.logp)
                return taken
            kept = progress.running
            if len(kept) < (1 - _FINISHED_SHARE) * len(progress.rows):
                rows.keep(kept)
                progress.keep(kept)
                forced = [forced[place] for place in kept]
            choice = rows.more(forced, barred())

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
        free, most = _free_bytes(self._device), _MOST_ROWS.get(self._device.type, 64)
        if self._fixed is None:
            return max(1, min(int(free * _SHARE_OF_FREE_MEMORY / row), most))
        # What the batch before had is there for the next, and rows are computed in a few numbers.
        return rows_within(min(int((free + self._fixed.bytes) * _SHARE_OF_FREE_MEMORY / row), most))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        # What torch keeps for later is free too.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # Not every system reports it.
        return 2**30
