"""Questions about objects and boxes as rows of token ids: written from samples, by the task.

Questions that arithmetic can write (distances, matches, motions, colours) are made later, each time
others (`nano.tokens`); these are in many words, and are written while pairs are rendered. Knows no
worlds. Loads no torch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vlm3.geometry.camera import Camera
from vlm3.nano.pairs import BOX_QUESTIONS, LONGEST, OBJECT_QUESTIONS
from vlm3.tasks.base import QA
from vlm3.tasks.objects import OBJECTS
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.sample import ObjectQuestion, ObjectQuestions, Sample
from vlm3.worlds.questions import wall_questions

_BOX_GROUPS = 3
_OPPOSITES = 0.35
_EVERY = 1 << 30


class ObjectQuestionWriter:
    """Writes questions of protocol `joint` with a tokenizer's ids.

    Args:
        tokenizer_file: the model's tokenizer.json.
    """

    def __init__(self, tokenizer_file: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(tokenizer_file))
        self.protocol = get_protocol("joint")

    def about(self, sample: Sample, grouped: Sample, rng: np.random.Generator) -> list[QA]:
        """Questions about the objects of a sample, worded as in evaluation.

        Where there are few, also those of `grouped`, the same picture's in groups that begin alike.
        """
        qas = OBJECTS.examples(sample, self.protocol, rng, OBJECT_QUESTIONS)
        if len(qas) < OBJECT_QUESTIONS:
            qas += OBJECTS.examples(grouped, self.protocol, rng, _EVERY)
        return list({qa.question: qa for qa in qas}.values())

    def about_boxes(self, rng: np.random.Generator) -> list[QA]:
        """Questions of `box_sample`."""
        return OBJECTS.examples(box_sample(rng), self.protocol, rng, BOX_QUESTIONS)

    def write(self, qas: Sequence[QA], ids: NDArray[np.int16], spans: NDArray[np.int16]) -> None:
        """Fills (n, LONGEST) ids and (n, 2) spans with as many questions as fit."""
        row = 0
        for qa in qas:
            prompt = self._ids(f"{qa.question}<|im_end|>")
            whole = prompt + self._ids(f"{qa.answer}<|im_end|>")
            if row < len(ids) and len(whole) <= LONGEST:
                ids[row, : len(whole)], spans[row] = whole, (len(prompt), len(whole))
                row += 1

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)


def box_sample(
    rng: np.random.Generator, *, groups: int = _BOX_GROUPS, opposites: float = _OPPOSITES
) -> Sample:
    """How boxes compare, by their numbers alone: which lies further left, which is taller.

    Questions about the objects of rooms alone did not teach it in 40,000 of them; these did in
    hundreds of steps. In each group one box is compared with seven others. Any picture will do, so
    the sample has none.
    """
    width_px, height_px = 64, 48
    size = np.array([width_px, height_px])
    questions: list[ObjectQuestion] = []
    for _ in range(groups):
        sides = size * np.exp(rng.uniform(np.log(0.04), np.log(0.6), (8, 2)))
        corners = rng.uniform(0, size - sides)
        boxes = np.concatenate([corners, corners + sides], -1)
        questions += wall_questions(
            [tuple(box) for box in boxes.tolist()], rng, opposites=opposites
        )
    camera = Camera.from_fov(60.0, width_px=width_px, height_px=height_px)
    return Sample("boxes", (camera,), (), objects=ObjectQuestions(tuple(questions)))
