"""One process a graphics card, each with its own model.

A worker gets one job at a time, makes its files, and sends back what to write down. Each begins at
its own part of the list, so that videos are read forwards; who has finished takes over half of the
longest rest.
"""

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from vlm3 import threads
from vlm3.cli.console import one_line_warnings
from vlm3.cli.worker_jobs import Worker, WorkerJob, WorkerOutcome, WorkerRecipe
from vlm3.errors import Vlm3Error

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

VISIBLE = "CUDA_VISIBLE_DEVICES"
_PATIENCE_S = 10.0


class Shares:
    """Numbers below `count`, given out to workers: each number once."""

    def __init__(self, count: int, workers: int) -> None:
        edges = [count * k // workers for k in range(workers + 1)]
        self._rest = [range(start, end) for start, end in pairwise(edges)]

    def next(self, worker: int) -> int | None:
        """The worker's next number; None where nothing is left for anybody."""
        if not self._rest[worker]:
            longest = max(range(len(self._rest)), key=lambda k: len(self._rest[k]))
            rest = self._rest[longest]
            middle = rest.start + len(rest) // 2
            self._rest[longest] = range(rest.start, middle)
            self._rest[worker] = range(middle, rest.stop)
        rest = self._rest[worker]
        if not rest:
            return None
        self._rest[worker] = rest[1:]
        return rest.start


class Cards:
    """One process a card, each with its own model.

    Attributes:
        facts: of the model, as the workers tell.
    """

    def __init__(
        self, recipe: WorkerRecipe[Any], settings: Mapping[str, Any], visible: Sequence[str]
    ) -> None:
        self._cards = list(visible)
        self._pipes: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        # A forked process could not use CUDA.
        context = multiprocessing.get_context("spawn")
        for card in self._cards:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_work,
                args=(theirs, recipe, dict(settings), card, len(self._cards), not self._pipes),
                daemon=True,
            )
            process.start()
            # With this copy closed, the pipe ends when the process does.
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        try:
            self.facts: dict[str, str] = [self._heard(k) for k in range(len(self._pipes))][-1]
        except BaseException:
            self.end(at_once=True)
            raise

    def run(self, jobs: Sequence[WorkerJob]) -> Iterator[WorkerOutcome]:
        """What came of every job, as they are done."""
        shares = Shares(len(jobs), len(self._pipes))
        busy: dict[Connection, tuple[int, int]] = {}

        def hand_to(worker: int) -> None:
            index = shares.next(worker)
            if index is not None:
                pipe = self._pipes[worker]
                # Of a worker that has died, the answer below says so.
                with suppress(BrokenPipeError):
                    pipe.send(jobs[index])
                busy[pipe] = worker, index

        for worker in range(len(self._pipes)):
            hand_to(worker)
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker, index = busy.pop(pipe)
                record, problem = self._heard(worker)
                hand_to(worker)
                yield WorkerOutcome(index, record, problem)

    def end(self, *, at_once: bool) -> None:
        """Ends the workers; what they were writing is then not there."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            if not at_once:
                process.join(_PATIENCE_S)
            process.terminate()
            process.join()

    def _heard(self, worker: int) -> Any:
        """What a worker says; what it raised is raised here.

        Raises:
            Vlm3Error: it has ended.
        """
        try:
            said = self._pipes[worker].recv()
        except (EOFError, ConnectionError):
            self._processes[worker].join(_PATIENCE_S)
            raise Vlm3Error(
                f"the process on card {self._cards[worker]} ended by itself (exit code "
                f"{self._processes[worker].exitcode}; -9 is often too little memory): what is "
                "done is kept; give the same command again, or one card with --device cuda:0"
            ) from None
        if isinstance(said, BaseException):
            raise said
        return said


def visible_cards(settings: Mapping[str, Any]) -> list[str]:
    """The visible graphics cards, as CUDA_VISIBLE_DEVICES names them, where a process each helps.

    None where the user names a device, and where the model does not run in this process.
    """
    elsewhere = str(settings["model"]).startswith(("openai:", "vllm:"))
    if settings["device"] is not None or elsewhere or settings["int8"]:
        return []
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    return named[:count] if len(named) >= count else [str(k) for k in range(count)]


def _work(
    pipe: Connection,
    recipe: WorkerRecipe[Any],
    settings: Mapping[str, Any],
    card: str,
    workers: int,
    first: bool,
) -> None:
    """A worker's life: a model, then jobs until nobody sends any."""
    # Ctrl-C reaches every process of a terminal; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Before torch is imported: the one card is then the default of everything in this process.
    os.environ[VISIBLE] = card
    share = max(1, threads.allowed_cores() // workers)
    counted = os.environ.get(threads.COUNT, "")
    if not counted.isdecimal() or int(counted) > share:
        os.environ[threads.COUNT] = str(share)
    try:
        with one_line_warnings():
            with warnings.catch_warnings():
                if not first:
                    # All would say the same about the model.
                    warnings.simplefilter("ignore")
                worker = Worker(recipe, settings)
            pipe.send(worker.facts)
            while True:
                pipe.send(worker.make(pipe.recv()))
    except (EOFError, ConnectionError):
        return
    except (Vlm3Error, OSError) as error:
        with suppress(ConnectionError):
            pipe.send(error)
