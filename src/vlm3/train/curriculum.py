"""What a run draws from: sources of conversations, mixed, in stages one after the other.

Knows neither folders nor how sources are found; that is `train.datasets`.
"""

from dataclasses import dataclass, replace
from typing import Protocol as Interface

import numpy as np

from vlm3.data.dataset import Dataset
from vlm3.data.mixture import Draw, Mixture
from vlm3.data.paper_tables import SetPlan
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.question_writer import QuestionWriter


class ConversationSource(Interface):
    """Conversations to train on, made from labelled pictures of one kind."""

    @property
    def name(self) -> str:
        """What reports call it."""

    def __len__(self) -> int:
        """Samples to train on."""

    def conversation(self, place: int, seed: tuple[int, ...]) -> Conversation:
        """Sample `place` with questions drawn by `seed`; from len() on they are held out.

        Raises:
            InputError: this sample is damaged, or has no label for a question.
        """

    def describe(self, place: int) -> str:
        """What messages call a sample."""


@dataclass(frozen=True)
class AskedDataset:
    """A data set and the questions that are written about it."""

    dataset: Dataset
    writer: QuestionWriter

    @property
    def name(self) -> str:
        """See `ConversationSource`."""
        return self.dataset.name

    def __len__(self) -> int:
        return len(self.dataset)

    def conversation(self, place: int, seed: tuple[int, ...]) -> Conversation:
        """See `ConversationSource`."""
        rng = np.random.default_rng(seed)
        return self.writer.write(self.dataset.sample(place, rng), rng)

    def describe(self, place: int) -> str:
        """See `ConversationSource`."""
        return self.dataset.describe(place)


@dataclass(frozen=True)
class OpeningStage:
    """A stage before the last.

    Attributes:
        samples: draws of it.
        first: which of the curriculum's sources is its first.
        mixture: over its sources; None for one endless source, which is shown in order.
    """

    samples: int
    first: int
    mixture: Mixture | None

    def draw(self, count: int) -> Draw:
        """Draw number `count` of the stage, from 0."""
        if self.mixture is None:
            return Draw(self.first, count, 0)
        made = self.mixture[count]
        return replace(made, source=self.first + made.source)


@dataclass(frozen=True)
class Curriculum:
    """What a run draws from.

    Attributes:
        sources: of the last stage; behind them those of the stages before it.
        mixture: over the sources of the last stage.
        absent: sets of Table 5 that are not there, and own folders without labels for a task.
        openings: the stages before the last.
    """

    sources: tuple[ConversationSource, ...]
    mixture: Mixture
    absent: tuple[SetPlan, ...]
    openings: tuple[OpeningStage, ...] = ()

    @property
    def opening_samples(self) -> int:
        """Draws before the last stage."""
        return sum(opening.samples for opening in self.openings)

    def draw(self, count: int) -> Draw:
        """Draw number `count` of the run, from 0."""
        for opening in self.openings:
            if count < opening.samples:
                return opening.draw(count)
            count -= opening.samples
        return self.mixture[count]
