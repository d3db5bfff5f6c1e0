"""Lessons to tensors: one row a lesson, its questions packed so that none sees another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from vlm3.model import PictureInput, mrope_positions, patchify, pixel_values
from vlm3.tasks.base import QA
from vlm3.train.pack import IGNORE, Ints, pack_independent

TensorBatch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Lesson:
    """Pictures at their final size, (H, W, 3) each, and answered questions about them."""

    images: tuple[npt.NDArray[np.uint8], ...]
    qas: tuple[QA, ...]


class Collator:
    """Makes a batch of lessons whose pictures have one size and number."""

    def __init__(self, tokenizer: Any, spec: PictureInput) -> None:
        self.tokenizer = tokenizer
        self.spec = spec
        self.image_token_id = tokenizer.convert_tokens_to_ids("<|image_pad|>")
        template = tokenizer.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "\0"}]}],
            tokenize=False,
            add_generation_prompt=True,
        )
        picture = "<|vision_start|><|image_pad|><|vision_end|>"
        # The cut falls behind a special token, so the halves tokenise as the whole does.
        self.opening, rest = template.split(picture)
        self.closing = rest.removeprefix("\0")

    def __call__(self, lessons: Sequence[Lesson]) -> TensorBatch:
        """Encodes and pads.

        Returns:
            input_ids and labels (B, T), position_ids (3, B, T), attention_mask (B, 1, T, T) bool,
            mm_token_type_ids (B, T), patches (N, 3 * patch**2) uint8, image_grid_thw (pictures, 3).
        """
        rows, patches, grids = [], [], []
        for lesson in lessons:
            pieces = [patchify(image, self.spec) for image in lesson.images]
            lesson_grids = [grid for _, grid in pieces]
            patches += [patch for patch, _ in pieces]
            grids += lesson_grids
            rows.append(self._row(lesson_grids, lesson.qas))
        longest = max(len(row[0]) for row in rows)
        count = len(rows)
        ids = np.full((count, longest), self.tokenizer.pad_token_id)
        labels = np.full((count, longest), IGNORE)
        positions = np.zeros((3, count, longest), np.int64)
        # A padding row sees itself: a row that sees nothing would divide by zero.
        sees = np.broadcast_to(np.eye(longest, dtype=bool), (count, longest, longest)).copy()
        for i, (row_ids, row_labels, row_positions, row_sees) in enumerate(rows):
            length = len(row_ids)
            ids[i, :length], labels[i, :length] = row_ids, row_labels
            positions[:, i, :length] = row_positions
            sees[i, :length, :length] = row_sees
        return {
            "input_ids": torch.from_numpy(ids),
            "labels": torch.from_numpy(labels),
            "position_ids": torch.from_numpy(positions),
            "attention_mask": torch.from_numpy(sees)[:, None],
            "mm_token_type_ids": torch.from_numpy((ids == self.image_token_id).astype(np.int64)),
            "patches": torch.from_numpy(np.concatenate(patches)),
            "image_grid_thw": torch.tensor(grids),
        }

    def _row(
        self, grids: Sequence[tuple[int, int, int]], qas: Sequence[QA]
    ) -> tuple[Ints, Ints, Ints, npt.NDArray[np.bool_]]:
        """Ids, labels, positions and who sees whom, of one lesson."""
        counts = [rows * columns // self.spec.merge**2 for _, rows, columns in grids]
        pictures = "".join(
            "<|vision_start|>" + "<|image_pad|>" * count + "<|vision_end|>" for count in counts
        )
        head = self._ids(self.opening + pictures)
        questions = [
            (self._ids(qa.question + self.closing), self._ids(f"{qa.answer}<|im_end|>"))
            for qa in qas
        ]
        packed = pack_independent(head, questions)
        start = mrope_positions(
            np.array(head), grids, image_token_id=self.image_token_id, merge=self.spec.merge
        )
        positions = np.broadcast_to(packed.depth, (3, len(packed.ids))).copy()
        positions += int(start[0, -1]) - (len(head) - 1)
        positions[:, : len(head)] = start
        return packed.ids, packed.labels, positions, packed.sees

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def answer_loss(model: Any, batch: TensorBatch, spec: PictureInput) -> torch.Tensor:
    """Mean cross entropy over the answers' tokens; the output layer runs at those alone."""
    inputs = {k: v for k, v in batch.items() if k not in ("labels", "patches")}
    # Without use_cache=False the library would drop the mask of a packed row, silently.
    hidden = model.model(
        **inputs, pixel_values=pixel_values(batch["patches"], spec), use_cache=False
    ).last_hidden_state
    wanted = batch["labels"] != IGNORE
    logits = model.lm_head(hidden[wanted]).float()
    return torch.nn.functional.cross_entropy(logits, batch["labels"][wanted])
