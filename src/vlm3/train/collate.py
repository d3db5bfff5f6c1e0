"""Conversations to tensors, in two ways to pack a picture's questions.

`independent`: a conversation's questions as a tree in which none sees another: what is computed
when each stands alone. `chat` (the paper's): turns one after the other. In both, conversations
stand one after the other in a single row, kept apart by a `Forest` (or, for the stock attention, by
`stock_rows`), and loss falls on answers alone. Knows no model, no files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vlm3.model import PictureInput, mrope_positions, patchify
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation, messages
from vlm3.train.config import Packing
from vlm3.train.forest import Forest, dense, forest
from vlm3.train.packing import IGNORE, Ints, pack_independent

TensorBatch = dict[str, Any]
"""Names and tensors, and under `tree` a `Forest`: what `collate` returns."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """One conversation as numbers.

    Attributes:
        ids: (T,).
        labels: (T,) the token that follows, where it belongs to an answer; else `IGNORE`.
        positions: (3, T) M-RoPE.
        until: (T,) the place behind the last token that sees this one; T where each sees all before
            it.
        patches: (N, 3 * patch**2) uint8 of all its pictures.
        grids: one a picture.
        name: what messages call it.
    """

    ids: Ints
    labels: Ints
    positions: Ints
    until: Ints
    patches: npt.NDArray[np.uint8]
    grids: tuple[tuple[int, int, int], ...]
    name: str = ""

    @property
    def answer_tokens(self) -> int:
        """Tokens the loss falls on."""
        return int((self.labels != IGNORE).sum())


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """What one forward pass takes, and whose answers stand in it.

    Attributes:
        tensors: as `collate` returns them.
        owners: (answer tokens,) which of `names` each belongs to, in the order of the row.
        names: of the conversations.
        tokens: of the row.
    """

    tensors: TensorBatch
    owners: torch.Tensor
    names: tuple[str, ...]
    tokens: int

    def pin_memory(self) -> "MicroBatch":
        """The same in memory that copies to a GPU need not wait for."""
        pinned = {name: value.pin_memory() for name, value in self.tensors.items()}
        return replace(self, tensors=pinned)


class Encoder:
    """Turns conversations into numbers, as inference with this tokenizer does.

    Args:
        tokenizer: with its chat template.
        spec: how the model wants its pictures.
        packing: see the module.
    """

    def __init__(
        self, tokenizer: Any, spec: PictureInput, packing: Packing = "independent"
    ) -> None:
        self.tokenizer, self.spec, self.packing = tokenizer, spec, packing
        self.image_token_id = tokenizer.convert_tokens_to_ids("<|image_pad|>")
        turns = messages(1, [QA("", "\0", "\0"), QA("", "\0")])
        template = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        picture = "<|vision_start|><|image_pad|><|vision_end|>"
        # The cuts fall behind special tokens, so the parts tokenise as the whole does.
        self.opening, rest = template.split(picture)
        _, self.closing, between, _ = rest.split("\0")
        self.between = between.removeprefix("<|im_end|>")

    def __call__(self, conversation: Conversation, name: str = "") -> Encoded:
        """Encodes one conversation."""
        pieces = [patchify(image, self.spec) for image in conversation.images]
        grids = tuple(grid for _, grid in pieces)
        area = 3 * self.spec.patch_px**2
        patches = [patch for patch, _ in pieces] or [np.zeros((0, area), np.uint8)]
        pictures = "".join(
            "<|vision_start|>"
            + "<|image_pad|>" * (rows * columns // self.spec.merge**2)
            + "<|vision_end|>"
            for _, rows, columns in grids
        )
        make = self._tree if self.packing == "independent" else self._turns
        parts = make(self._ids(self.opening + pictures), conversation.turns, grids)
        return Encoded(*parts, np.concatenate(patches), grids, name)

    def dummy(self) -> Encoded:
        """A picture of one token and no answer: what keeps the vision tower of a rank without
        pictures, or without anything, in step with the other ranks.
        """  # noqa: D205
        side = self.spec.token_px
        blank = Conversation((np.zeros((side, side, 3), np.uint8),), (QA("depth", "0", "0"),))
        made = self(blank)
        labels = np.full_like(made.labels, IGNORE)
        return Encoded(made.ids, labels, made.positions, made.until, made.patches, made.grids)

    def _tree(
        self, head: list[int], qas: Sequence[QA], grids: Sequence[tuple[int, int, int]]
    ) -> tuple[Ints, Ints, Ints, Ints]:
        questions = [
            (self._ids(qa.question + self.closing), self._ids(f"{qa.answer}<|im_end|>"))
            for qa in qas
        ]
        packed = pack_independent(head, questions)
        start = self._positions(np.array(head), grids)
        positions = np.broadcast_to(packed.depth, (3, len(packed.ids))).copy()
        positions += int(start[0, -1]) - (len(head) - 1)
        positions[:, : len(head)] = start
        return packed.ids, packed.labels, positions, packed.until

    def _turns(
        self, head: list[int], qas: Sequence[QA], grids: Sequence[tuple[int, int, int]]
    ) -> tuple[Ints, Ints, Ints, Ints]:
        ids, labels = list(head), [IGNORE] * len(head)
        for turn, qa in enumerate(qas):
            prompt = self._ids((self.between if turn else "") + qa.question + self.closing)
            answer = self._ids(f"{qa.answer}<|im_end|>")
            ids += prompt + answer
            labels += [IGNORE] * (len(prompt) - 1) + answer + [IGNORE]
        array = np.array(ids)
        until = np.full(len(ids), len(ids))
        return array, np.array(labels), self._positions(array, grids), until

    def _positions(self, ids: Ints, grids: Sequence[tuple[int, int, int]]) -> Ints:
        merge = self.spec.merge
        return mrope_positions(ids, grids, image_token_id=self.image_token_id, merge=merge)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def collate(encoded: Sequence[Encoded], *, image_id: int) -> TensorBatch:
    """One forward pass of conversations, one behind the other in one row of T tokens.

    Returns:
        input_ids and labels (1, T); position_ids (3, 1, T) M-RoPE; patches (N, 3 * patch**2) uint8;
        image_grid_thw (pictures, 3), which stays on the host; `seen` (n,) the places of the
        pictures' tokens; `answers` (m,) the places whose next token the loss falls on; `tree`, who
        sees whom.
    """
    ids = torch.from_numpy(np.concatenate([e.ids for e in encoded]))
    labels = torch.from_numpy(np.concatenate([e.labels for e in encoded]))
    positions = np.concatenate([e.positions for e in encoded], axis=1)
    return {
        "input_ids": ids[None],
        "labels": labels[None],
        "position_ids": torch.from_numpy(positions)[:, None],
        "patches": torch.from_numpy(np.concatenate([e.patches for e in encoded])),
        "image_grid_thw": torch.tensor([grid for e in encoded for grid in e.grids]),
        "seen": (ids == image_id).nonzero()[:, 0],
        "answers": (labels != IGNORE).nonzero()[:, 0],
        "tree": forest([e.until for e in encoded]),
    }


def stock_rows(batch: TensorBatch, *, masked: bool = False) -> TensorBatch:
    """The batch as the stock model's forward pass takes it, where no `Forest` is understood.

    Conversations without a branch stay in their one row, which gets a first row of positions, text
    positions that start again with each: that is what keeps them apart in the library, and nothing
    else does. Others get rows of their own, and a mask (B, 1, L, L).

    Args:
        batch: from `collate`.
        masked: rows of their own in any case.
    """
    tree: Forest = batch["tree"]
    pictures = {name: batch[name] for name in ("patches", "image_grid_thw")}
    if not tree.above and not masked:
        text = torch.cat([torch.arange(length) for length in tree.lengths])
        text = text.to(batch["input_ids"].device)[None, None]
        positions = torch.cat([text, batch["position_ids"]])
        return pictures | {
            "input_ids": batch["input_ids"],
            "labels": batch["labels"],
            "position_ids": positions,
        }
    index, sees = dense(tree.until, tree.lengths)
    padding = sees.diagonal(dim1=1, dim2=2) & (index.diff(dim=1, prepend=index[:, :1] - 1) == 0)
    return pictures | {
        "input_ids": batch["input_ids"][0, index],
        "labels": batch["labels"][0, index].masked_fill(padding, IGNORE),
        "position_ids": batch["position_ids"][:, 0, index],
        "attention_mask": sees[:, None],
    }


class Collator:
    """Packs conversations into as few forward passes as a token budget allows."""

    def __init__(
        self, tokenizer: Any, spec: PictureInput, packing: Packing = "independent"
    ) -> None:
        self.encoder = Encoder(tokenizer, spec, packing)

    def __call__(self, conversations: Sequence[Conversation]) -> TensorBatch:
        """All conversations in one pass."""
        return self.batch([self.encoder(one) for one in conversations]).tensors

    def batch(self, encoded: Sequence[Encoded]) -> MicroBatch:
        """One pass; with a dummy picture where none is in it."""
        whole = [e for e in encoded if len(e.ids)]
        if not any(e.grids for e in whole):
            whole.append(self.encoder.dummy())
        tensors = collate(whole, image_id=self.encoder.image_token_id)
        owners = np.repeat(np.arange(len(whole)), [e.answer_tokens for e in whole])
        names = tuple(e.name for e in whole)
        return MicroBatch(tensors, torch.from_numpy(owners), names, tensors["labels"].numel())

    def micro_batches(self, encoded: Sequence[Encoded], budget: int) -> list[MicroBatch]:
        """Splits by size: similar lengths stand together, none is dropped, order is fixed."""
        out: list[list[Encoded]] = []
        # Attention with a mask has rows of their own, all as long as the longest, which came first.
        padded = self.encoder.packing == "independent"
        for e in sorted(encoded, key=lambda e: -len(e.ids)):
            rows = out[-1] if out else []
            filled = sum(len(rows[0].ids if padded else o.ids) for o in rows)
            if rows and filled + len(rows[0].ids if padded else e.ids) <= budget:
                rows.append(e)
            else:
                out.append([e])
        return [self.batch(rows) for rows in out]
