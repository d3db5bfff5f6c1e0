"""Runs batches of questions behind an encoded prefix, token by token, always the likeliest.

Knows the model's text part and token ids; not where the pictures or the questions came from.
"""

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from vlm3.infer.decoding.grammar import Automaton, Grammar
from vlm3.infer.decoding.planner import Batch, Ids, Wave
from vlm3.infer.decoding.prefix_attention import Chain, Segment
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


class Decoder:
    """The text part of a checkpoint, asked in batches."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._model = checkpoint.model
        self._tokenizer = checkpoint.tokenizer
        self._device = checkpoint.device
        ends = self._model.generation_config.eos_token_id
        self._ends = tuple([ends] if isinstance(ends, int) else ends or ())
        self._pieces: dict[int, str] = {}
        self._texts: dict[Ids, str] = {}
        self._automata: dict[Grammar, Automaton] = {}
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
        device = self._device
        chain: Chain | None = None
        for wave in waves:
            lengths = torch.tensor([len(row) for row in wave.tokens], device=device)
            longest = int(lengths.max())
            ids = torch.tensor([(*row, *(0,) * (longest - len(row))) for row in wave.tokens])
            parents = torch.tensor(wave.parents, device=device) if wave.parents else None
            final = wave is waves[-1]
            chain = Chain(
                segments,
                lengths,
                capacity=longest + room * final,
                parent=chain,
                rows=parents,
            )
            hidden = self._forward(ids.to(device), chain, start + chain.inherited, lengths - 1)
        assert chain is not None
        return chain, hidden

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
        device, rows = self._device, len(batch.rows)
        room = min(max_new_tokens, _FIRST_ANSWER)
        chain, hidden = self._prefill(segments, batch.waves, start, room=room)
        written: list[list[int]] = [[] for _ in batch.rows]
        logps: list[list[npt.NDArray[np.float32]]] = [[] for _ in batch.rows]
        alive = torch.arange(rows, device=device)
        ended = torch.zeros(rows, dtype=torch.bool, device=device)
        form = None if grammar is None else self._automaton(grammar)
        states = [form.start] * rows if form else []
        for place in range(max_new_tokens):
            logits = self._model.lm_head(hidden).float()
            token = logits.argmax(-1)
            if form:
                masks = np.stack([form.allowed(states[row]) for row in alive.tolist()])
                barred = torch.from_numpy(~masks).to(device)
                token = logits.masked_fill(barred, float("-inf")).argmax(-1)
            running = (~ended).tolist()
            said = token.tolist()
            if record:
                seen = self._symbol_logp(logits).cpu().numpy()
            for i, row in enumerate(alive.tolist()):
                if running[i]:
                    written[row].append(said[i])
                    if record:
                        logps[row].append(seen[i])
            ended |= torch.isin(token, self._end_ids)
            if form:
                for i, row in enumerate(alive.tolist()):
                    if not ended[i]:
                        states[row] = form.after(states[row], said[i])
                        ended[i] = form.only_end(states[row])
            left = int((~ended).sum())
            if not left or place == max_new_tokens - 1:
                break
            if left < (1 - _FINISHED_SHARE) * len(ended):
                kept = (~ended).nonzero()[:, 0]
                chain.keep(kept)
                alive, token, ended = alive[kept], token[kept], ended[kept]
            chain.step()
            at = start + chain.lengths - 1
            hidden = self._forward(token[:, None], chain, at[:, None], torch.zeros_like(at))
        # What has neither an end nor its whole form when the limit comes is cut off.
        cut = {row for row, whole in zip(alive.tolist(), ended.tolist(), strict=True) if not whole}
        return [
            Reply(
                self._text(tuple(tokens)) + (CUT_OFF if row in cut else ""),
                tuple(self._piece(token) for token in tokens),
                *((self.symbols, np.stack(logp)) if record else ()),
            )
            for row, (tokens, logp) in enumerate(zip(written, logps, strict=True))
        ]

    def _forward(
        self, ids: torch.Tensor, chain: Chain, start: int | torch.Tensor, wanted: torch.Tensor
    ) -> torch.Tensor:
        """One pass over the next tokens of a chain.

        The layers are the stock ones, called one by one: the last need not finish the tokens whose
        outcome nobody asks for, which are most.

        Args:
            ids: (B, S).
            chain: what stands before them.
            start: M-RoPE position of each row's first token.
            wanted: (B,) which of the S tokens' outcome is asked for.

        Returns:
            (B, width) after the final norm.
        """
        text = self._model.model.language_model
        hidden: torch.Tensor = text.embed_tokens(ids)
        places = (start + torch.arange(ids.shape[1], device=self._device)).expand(3, len(ids), -1)
        turns = text.rotary_emb(hidden, places)
        settings = {"position_embeddings": turns, "attention_mask": None, "chain": chain}
        for layer in text.layers[:-1]:
            hidden = layer(hidden, **settings)
        last = text.layers[-1]
        mixed, _ = last.self_attn(hidden_states=last.input_layernorm(hidden), **settings)
        at = torch.arange(len(ids), device=self._device), wanted
        chosen = hidden[at] + mixed[at]
        # With a batch of one: a layer of experts takes nothing else.
        chosen = chosen + last.mlp(last.post_attention_layernorm(chosen)[None])[0]
        out: torch.Tensor = text.norm(chosen)
        return out

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
        end = logits[:, self._end_ids].logsumexp(-1, keepdim=True)
        return torch.cat([logits[:, self._symbol_ids], end], dim=1) - whole

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
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # Not every system tells.
        return 2**30
