"""Conversations to tensors, in two ways to pack a picture's questions.

`independent`: a row a conversation, its questions as a tree in which none sees another: what is
computed when each is asked alone. `chat` (the paper's): turns one after the other, conversations
one after the other in a single row, kept apart by text positions that start again. In both, loss
falls on answers alone. Knows no model, no files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vlm3.model import PictureInput, mrope_positions, patchify, pixel_values
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation, messages
from vlm3.train.config import Packing
from vlm3.train.packing import IGNORE, Ints, pack_independent

TensorBatch = dict[str, torch.Tensor]


@dataclass(frozen=True, eq=False)
class Encoded:
    """One conversation as numbers.

    Attributes:
        ids: (T,).
        labels: (T,) the token that follows, where it belongs to an answer; else `IGNORE`.
        positions: (3, T) M-RoPE.
        sees: (T, T) bool, None when each sees all before it.
        patches: (N, 3 * patch**2) uint8 of all its pictures.
        grids: one a picture.
        name: what messages call it.
    """

    ids: Ints
    labels: Ints
    positions: Ints
    sees: npt.NDArray[np.bool_] | None
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
        owners: (answer tokens,) which of `names` each belongs to, in the order of the labels.
        names: of the conversations.
        tokens: places in the rows, filled or not.
    """

    tensors: TensorBatch
    owners: torch.Tensor
    names: tuple[str, ...]
    tokens: int


class Encoder:
    """Turns conversations into numbers, as a checkpoint with this tokenizer would be asked.

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
        return Encoded(made.ids, labels, made.positions, made.sees, made.patches, made.grids)

    def _tree(
        self, head: list[int], qas: Sequence[QA], grids: Sequence[tuple[int, int, int]]
    ) -> tuple[Ints, Ints, Ints, npt.NDArray[np.bool_] | None]:
        questions = [
            (self._ids(qa.question + self.closing), self._ids(f"{qa.answer}<|im_end|>"))
            for qa in qas
        ]
        packed = pack_independent(head, questions)
        start = self._positions(np.array(head), grids)
        positions = np.broadcast_to(packed.depth, (3, len(packed.ids))).copy()
        positions += int(start[0, -1]) - (len(head) - 1)
        positions[:, : len(head)] = start
        return packed.ids, packed.labels, positions, packed.sees

    def _turns(
        self, head: list[int], qas: Sequence[QA], grids: Sequence[tuple[int, int, int]]
    ) -> tuple[Ints, Ints, Ints, None]:
        ids, labels = list(head), [IGNORE] * len(head)
        for turn, qa in enumerate(qas):
            prompt = self._ids((self.between if turn else "") + qa.question + self.closing)
            answer = self._ids(f"{qa.answer}<|im_end|>")
            ids += prompt + answer
            labels += [IGNORE] * (len(prompt) - 1) + answer + [IGNORE]
        array = np.array(ids)
        return array, np.array(labels), self._positions(array, grids), None

    def _positions(self, ids: Ints, grids: Sequence[tuple[int, int, int]]) -> Ints:
        merge = self.spec.merge
        return mrope_positions(ids, grids, image_token_id=self.image_token_id, merge=merge)

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def collate(encoded: Sequence[Encoded], *, pad_id: int, image_id: int) -> TensorBatch:
    """One forward pass of conversations that are packed alike.

    Returns:
        input_ids and labels (B, T), patches (N, 3 * patch**2) uint8, image_grid_thw (pictures, 3);
        for rows of their own also position_ids (3, B, T), attention_mask (B, 1, T, T) bool and
        mm_token_type_ids (B, T); for one packed row position_ids (4, 1, T), whose first row starts
        again with each conversation: that is what keeps them apart, and nothing else does.
    """
    out: TensorBatch = {}
    if encoded[0].sees is None:
        text = np.concatenate([np.arange(len(e.ids)) for e in encoded])
        positions = np.concatenate([e.positions for e in encoded], axis=1)
        out["input_ids"] = torch.from_numpy(np.concatenate([e.ids for e in encoded]))[None]
        out["labels"] = torch.from_numpy(np.concatenate([e.labels for e in encoded]))[None]
        out["position_ids"] = torch.from_numpy(np.concatenate([text[None], positions]))[:, None]
    else:
        count, longest = len(encoded), max(len(e.ids) for e in encoded)
        ids, labels = np.full((count, longest), pad_id), np.full((count, longest), IGNORE)
        places = np.zeros((3, count, longest), np.int64)
        # A padding row sees itself: a row that sees nothing would divide by zero.
        sees = np.broadcast_to(np.eye(longest, dtype=bool), (count, longest, longest)).copy()
        for i, e in enumerate(encoded):
            length = len(e.ids)
            ids[i, :length], labels[i, :length] = e.ids, e.labels
            places[:, i, :length] = e.positions
            sees[i, :length, :length] = e.sees
        out["input_ids"], out["labels"] = torch.from_numpy(ids), torch.from_numpy(labels)
        out["position_ids"] = torch.from_numpy(places)
        out["attention_mask"] = torch.from_numpy(sees)[:, None]
        out["mm_token_type_ids"] = torch.from_numpy((ids == image_id).astype(np.int64))
    out["patches"] = torch.from_numpy(np.concatenate([e.patches for e in encoded]))
    out["image_grid_thw"] = torch.tensor([grid for e in encoded for grid in e.grids])
    return out


class Collator:
    """Packs conversations into as few forward passes as a token budget allows."""

    def __init__(
        self, tokenizer: Any, spec: PictureInput, packing: Packing = "independent"
    ) -> None:
        self.encoder = Encoder(tokenizer, spec, packing)
        self.pad_id = tokenizer.pad_token_id

    def __call__(self, conversations: Sequence[Conversation]) -> TensorBatch:
        """All conversations in one pass."""
        return self.batch([self.encoder(one) for one in conversations]).tensors

    def batch(self, encoded: Sequence[Encoded]) -> MicroBatch:
        """One pass; with a dummy picture where none is in it."""
        whole = [e for e in encoded if len(e.ids)]
        if not any(e.grids for e in whole):
            whole.append(self.encoder.dummy())
        tensors = collate(whole, pad_id=self.pad_id, image_id=self.encoder.image_token_id)
        owners = np.repeat(np.arange(len(whole)), [e.answer_tokens for e in whole])
        names = tuple(e.name for e in whole)
        return MicroBatch(tensors, torch.from_numpy(owners), names, tensors["labels"].numel())

    def micro_batches(self, encoded: Sequence[Encoded], budget: int) -> list[MicroBatch]:
        """Splits by size: similar lengths stand together, none is dropped, order is fixed."""
        out: list[list[Encoded]] = []
        for e in sorted(encoded, key=lambda e: -len(e.ids)):
            rows = out[-1] if out else []
            # Rows of their own are all as long as the longest, which came first.
            filled = sum(len(o.ids if e.sees is None else rows[0].ids) for o in rows)
            if rows and filled + len(e.ids if e.sees is None else rows[0].ids) <= budget:
                rows.append(e)
            else:
                out.append([e])
        return [self.batch(rows) for rows in out]


def answer_losses(model: Any, batch: TensorBatch, spec: PictureInput) -> torch.Tensor:
    """Cross entropy of each answer token (n,); the output layer runs at those alone."""
    inputs = {k: v for k, v in batch.items() if k not in ("labels", "patches")}
    # Without use_cache=False the library would drop the mask of a packed row, silently.
    hidden = model.model(
        **inputs, pixel_values=pixel_values(batch["patches"], spec), use_cache=False
    ).last_hidden_state
    wanted = batch["labels"] != IGNORE
    logits = model.lm_head(hidden[wanted]).float()
    return torch.nn.functional.cross_entropy(logits, batch["labels"][wanted], reduction="none")


def answer_loss(model: Any, batch: TensorBatch, spec: PictureInput) -> torch.Tensor:
    """Mean cross entropy over the answers' tokens."""
    return answer_losses(model, batch, spec).mean()
