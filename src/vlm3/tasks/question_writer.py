"""Samples to conversations: the one resize, then every task's questions about what is labelled.

The one writer of training's questions; inference and evaluation write theirs by the same tasks.
Knows no model and no files.
"""

from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.focal import ResizePlan
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.sample import Sample


class Asks(Interface):
    """What can ask about a sample: a task, or questions that no user asks, as of mosaics."""

    @property
    def name(self) -> str:
        """What it is called."""

    def examples(
        self, sample: Sample, protocol: Protocol, rng: np.random.Generator, most: int
    ) -> list[QA]:
        """Up to `most` questions with their answers; see `vlm3.tasks.task.Task`."""


@dataclass(frozen=True)
class QuestionWriter:
    """How questions about samples are drawn and worded.

    Attributes:
        protocol: whose words and picture size.
        tasks: what to ask, in this order, where labels allow.
        multiple_px: picture sides are whole multiples of it.
        per_picture: questions a task at most: ten in the paper.
        max_tokens: most tokens a picture may take.
    """

    protocol: Protocol
    tasks: tuple[Asks, ...]
    multiple_px: int
    per_picture: int = 10
    max_tokens: int | None = None

    def plan(self, camera: Camera) -> ResizePlan:
        """The picture's one resize."""
        return self.protocol.plan(camera, multiple_px=self.multiple_px, max_tokens=self.max_tokens)

    def questions(self, sample: Sample, rng: np.random.Generator) -> list[QA]:
        """The questions about a sample, with answers; a question that comes twice is kept once."""
        qas = [
            qa
            for task in self.tasks
            for qa in task.examples(sample, self.protocol, rng, self.per_picture)
        ]
        return list({qa.question: qa for qa in qas}.values())

    def write(self, sample: Sample, rng: np.random.Generator) -> Conversation:
        """The sample's pictures at their final size, and questions about them.

        Raises:
            InputError: a damaged picture, or no label for any of the tasks.
        """
        qas = self.questions(sample, rng)
        if not qas:
            raise InputError(f"no label for {', '.join(task.name for task in self.tasks)}")
        return Conversation(self.images(sample), tuple(qas))

    def images(self, sample: Sample) -> tuple[NDArray[np.uint8], ...]:
        """A sample's pictures as the model sees them."""
        return tuple(view.resized(self.plan(view.camera)).image for view in sample.open())
