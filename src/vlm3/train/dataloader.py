"""The samples of each step, prepared in workers: step s, rank r is a function of the run alone."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from vlm3.errors import InputError
from vlm3.train.collate import Collator, Encoded, MicroBatch
from vlm3.train.config import LoaderConfig
from vlm3.train.curriculum import Curriculum


@dataclass(frozen=True, eq=False)
class RankStep:
    """What one process does in one step.

    Attributes:
        batches: its forward passes.
        samples: conversations in them.
        answer_tokens: tokens the loss falls on.
        damaged: what was left out, and why.
    """

    batches: tuple[MicroBatch, ...]
    samples: int
    answer_tokens: int
    damaged: tuple[str, ...]

    def pin_memory(self) -> "RankStep":
        """The same in memory that copies to a GPU need not wait for; torch's loader calls it."""
        return replace(self, batches=tuple(batch.pin_memory() for batch in self.batches))


def _deaf(worker: int) -> None:
    """Lets the training process answer a SIGTERM that reaches its whole group, by saving."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Stream(torch.utils.data.Dataset[RankStep]):
    """Item s is step s of one rank; the global batch is counted in samples on any mesh.

    Args:
        config: batch, budget and workers.
        found: the sets to draw from.
        collator: makes the tensors.
        rank: of this process.
        world: number of processes.
        seed: of the questions.
    """

    def __init__(
        self,
        config: LoaderConfig,
        found: Curriculum,
        collator: Collator,
        rank: int,
        world: int,
        *,
        seed: int,
    ) -> None:
        self.config, self.found, self.collator = config, found, collator
        self.rank, self.world, self.seed = rank, world, seed

    def __getitem__(self, step: int) -> RankStep:
        torch.set_num_threads(1)
        encoded: list[Encoded] = []
        damaged: list[str] = []
        batch = self.config.batch
        first = step * batch
        for count in range(first + self.rank, first + batch, self.world):
            draw = self.found.draw(count)
            source = self.found.sources[draw.source]
            name = f"sample {count}, {source.describe(draw.place)}"
            try:
                made = source.conversation(draw.place, (self.seed, count))
                encoded.append(self.collator.encoder(made, name))
            except (InputError, OSError) as error:
                damaged.append(f"{name}: {error}")
        return RankStep(
            tuple(self.collator.micro_batches(encoded, self.config.budget)),
            len(encoded),
            sum(e.answer_tokens for e in encoded),
            tuple(damaged),
        )

    def steps(self, start: int, end: int) -> Iterator[RankStep]:
        """From one step to another, which is not among them."""
        workers = self.config.workers
        return iter(
            torch.utils.data.DataLoader(
                self,
                batch_size=None,
                sampler=range(start, end),
                num_workers=workers,
                prefetch_factor=2 if workers else None,
                multiprocessing_context="spawn" if workers else None,
                worker_init_fn=_deaf if workers else None,
                pin_memory=torch.cuda.is_available(),
            )
        )
