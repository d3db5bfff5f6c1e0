"""Solvers: a vision language model, an oracle, or answers that were made before.

A solver is given an item and answers its queries. Experts are in `vlm3.eval.baselines`; floors
belong to the tasks. Knows no score.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vlm3.eval.items import Item, Query
from vlm3.eval.predictions import read_again
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks.base import TaskName
from vlm3.tasks.protocol import Protocol as Convention
from vlm3.tasks.registry import TASKS
from vlm3.tasks.task import Json, Words


@dataclass(frozen=True)
class Prediction:
    """What was answered to one query.

    Attributes:
        prompt: the question's text; for a pose one for each component. None without text.
        raw_text: what was answered, in words.
        prediction: the values in it; None where there are none.
        seconds: how long it took, where that is known better than by dividing the item's time.
        cost_usd: what it cost, where it cost something.
        intrinsics: where the camera of each picture came from, as in `View`, where it was given
            one.
    """

    prompt: Words | None = None
    raw_text: Words | None = None
    prediction: Json | None = None
    seconds: float | None = None
    cost_usd: float | None = None
    intrinsics: tuple[str, ...] | None = None


class Solver(Protocol):
    """Answers the queries of items."""

    @property
    def tasks(self) -> frozenset[TaskName]:
        """The tasks that it answers."""

    def solve(self, item: Item, queries: Sequence[Query]) -> list[Prediction]:
        """Answers to some of an item's queries, in their order."""


@dataclass(frozen=True)
class ModelSolver:
    """A vision language model under a protocol, whatever engine runs it."""

    predictor: Predictor

    @property
    def tasks(self) -> frozenset[TaskName]:
        """What the protocol has."""
        return able(self.predictor.protocol)

    def solve(self, item: Item, queries: Sequence[Query]) -> list[Prediction]:
        """Opens the pictures once and asks task by task."""
        views = [open_picture() for open_picture in item.pictures]
        cameras = [view.camera for view in views]
        lenses = tuple(view.intrinsics for view in views)
        protocol = self.predictor.protocol
        made: dict[str, Prediction] = {}
        for name, of_task in _by_task(queries):
            task = TASKS[name]
            start = time.perf_counter()
            prompts = [task.prompts(protocol, cameras, query.ask) for query in of_task]
            texts = iter(
                self.predictor.texts(name, views, [p for q in prompts for p in q.values()])
            )
            seconds = round((time.perf_counter() - start) / len(of_task), 6)
            for query, parts in zip(of_task, prompts, strict=True):
                prompt = task.words(parts)
                text = task.words({part: next(texts) for part in parts})
                record: Json = {"ask": query.ask, "truth": query.truth}
                record |= {"prompt": prompt, "raw_text": text}
                read = read_again(task, record, protocol)
                made[query.id] = Prediction(prompt, text, read, seconds, intrinsics=lenses)
        return [made[query.id] for query in queries]


def able(protocol: Convention) -> frozenset[TaskName]:
    """The tasks of a protocol."""
    return frozenset(n for n, task in TASKS.items() if task.protocol_task in protocol.tasks)


def _by_task(queries: Sequence[Query]) -> list[tuple[TaskName, list[Query]]]:
    """The queries of each task, in their order."""
    names = dict.fromkeys(query.task for query in queries)
    return [(name, [query for query in queries if query.task == name]) for name in names]


@dataclass(frozen=True)
class OracleSolver:
    """Writes the truth in the words of a protocol: its score is what rounding allows."""

    protocol: Convention
    multiple_px: int = 32

    @property
    def tasks(self) -> frozenset[TaskName]:
        """What the protocol has."""
        return able(self.protocol)

    def solve(self, item: Item, queries: Sequence[Query]) -> list[Prediction]:
        """Through the same predictor, prompts and parsers as any model."""
        cameras = [open_picture().camera for open_picture in item.pictures]
        texts = iter(
            [
                answers.get(part, "")
                for name, of_task in _by_task(queries)
                for query in of_task
                for answers in [TASKS[name].answers(self.protocol, cameras, query.ask, query.truth)]
                for part in TASKS[name].prompts(self.protocol, cameras, query.ask)
            ]
        )
        engine = OracleEngine(lambda question: next(texts))
        predictor = Predictor(engine, self.protocol, multiple_px=self.multiple_px)
        return ModelSolver(predictor).solve(item, queries)


@dataclass(frozen=True, eq=False)
class FixedSolver:
    """Answers that were made before: a floor's, or those in someone's file.

    A query without a prediction is a failure.
    """

    by_id: Callable[[str], Prediction | None]
    tasks: frozenset[TaskName]

    def solve(self, item: Item, queries: Sequence[Query]) -> list[Prediction]:
        """What stands there."""
        return [self.by_id(query.id) or Prediction() for query in queries]
