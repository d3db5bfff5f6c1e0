"""Workers for many results: this process, or one process a graphics card where there are several.

The parent alone writes the manifest.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from vlm3.cli.card_workers import Cards, visible_cards
from vlm3.cli.worker_jobs import Worker, WorkerJob, WorkerOutcome, WorkerRecipe


class Here:
    """This process makes everything."""

    def __init__(self, recipe: WorkerRecipe[Any], settings: Mapping[str, Any]) -> None:
        self._worker = Worker(recipe, settings)
        self.facts = self._worker.facts

    def run(self, jobs: Sequence[WorkerJob]) -> Iterator[WorkerOutcome]:
        """What came of every job, in their order."""
        for index, job in enumerate(jobs):
            yield WorkerOutcome(index, *self._worker.make(job))


@contextmanager
def makers(
    recipe: WorkerRecipe[Any], settings: Mapping[str, Any], jobs: int
) -> Iterator["Here | Cards"]:
    """The maker of results: with a model, ready to run jobs.

    Args:
        recipe: what is made.
        settings: of the command.
        jobs: how many there are at most; no more processes than that are started.
    """
    visible = visible_cards(settings)[:jobs]
    if len(visible) < 2:
        yield Here(recipe, settings)
        return
    made = Cards(recipe, settings, visible)
    try:
        yield made
    except BaseException:
        made.end(at_once=True)
        raise
    made.end(at_once=False)
