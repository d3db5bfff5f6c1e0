"""Who answers: a vision language model, an oracle, or answers that were made before.

Whoever it is, it is given an item and says something to each query. Experts and floors are in
`experts` and `baselines`. Knows no score.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from vlm3.eval.items import Item, Json, Query
from vlm3.eval.predictions import read_again
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks import correspondence, depth, free_questions, objects, pose
from vlm3.tasks.base import Task
from vlm3.tasks.protocol import Protocol as Convention
from vlm3.view import View

Words = str | dict[str, str]


@dataclass(frozen=True)
class Said:
    """What was said to one query.

    Attributes:
        prompt: what was asked, in words; for a pose one for each component. None without words.
        raw_text: what was answered, in words.
        prediction: the values in it; None where there are none.
        seconds: how long it took, where that is known better than by dividing the item's time.
        cost_usd: what it cost, where it cost something.
        intrinsics: where the camera of each picture came from, as in `View`, where it was asked
            with one.
    """

    prompt: Words | None = None
    raw_text: Words | None = None
    prediction: Json | None = None
    seconds: float | None = None
    cost_usd: float | None = None
    intrinsics: tuple[str, ...] | None = None


class Answerer(Protocol):
    """Answers the queries of items."""

    @property
    def tasks(self) -> frozenset[Task]:
        """What it can be asked."""

    def answer(self, item: Item, queries: Sequence[Query]) -> list[Said]:
        """Answers to some of an item's queries, in their order."""


@dataclass(frozen=True)
class ModelAnswerer:
    """A vision language model under a protocol, whatever engine runs it."""

    predictor: Predictor

    @property
    def tasks(self) -> frozenset[Task]:
        """What the protocol has."""
        return self.predictor.protocol.tasks

    def answer(self, item: Item, queries: Sequence[Query]) -> list[Said]:
        """Opens the pictures once and asks task by task."""
        views = [open_picture() for open_picture in item.pictures]
        said: dict[str, Said] = {}
        for task in dict.fromkeys(query.task for query in queries):
            asked = [query for query in queries if query.task == task]
            start = time.perf_counter()
            told = self._ask(task, views, asked)
            each = round((time.perf_counter() - start) / len(asked), 6)
            for query, (prompt, text) in zip(asked, told, strict=True):
                read = self._read(query, prompt, text, each)
                said[query.id] = replace(read, intrinsics=tuple(v.intrinsics for v in views))
        return [said[query.id] for query in queries]

    def _ask(
        self, task: Task, views: list[View], queries: list[Query]
    ) -> list[tuple[Words, Words]]:
        """Prompt and text of each."""
        if task == "depth":
            far = self.predictor.depth(views[0], [query.ask["xy_px"] for query in queries])
            return list(zip(far.prompt, far.raw_text, strict=True))
        if task == "correspondence":
            points = [query.ask["xy_px"] for query in queries]
            found = self.predictor.match(views[0], views[1], points)
            return list(zip(found.prompt, found.raw_text, strict=True))
        if task == "pose":
            motion = self.predictor.pose(views[0], views[1])
            return [(motion.prompt, motion.raw_text)] * len(queries)
        if all("form" in query.ask for query in queries):
            questions = [query.ask["question"] for query in queries]
            return list(zip(questions, self.predictor.reply(views, questions), strict=True))
        told = [
            self.predictor.ask(views[0], query.ask["question"], query.ask["boxes_xyxy_px"])
            for query in queries
        ]
        return [(one.prompt, one.raw_text) for one in told]

    def _read(self, query: Query, prompt: Words, text: Words, seconds: float) -> Said:
        record: dict[str, Any] = {
            "ask": query.ask,
            "truth": query.truth,
            "prompt": prompt,
            "raw_text": text,
        }
        found = read_again(query.task, record, self.predictor.protocol)
        return Said(prompt, text, found, seconds)


@dataclass(frozen=True)
class OracleAnswerer:
    """Writes the truth in the words of a protocol: its score is what rounding allows."""

    protocol: Convention
    multiple_px: int = 32

    @property
    def tasks(self) -> frozenset[Task]:
        """What the protocol has."""
        return self.protocol.tasks

    def answer(self, item: Item, queries: Sequence[Query]) -> list[Said]:
        """Through the same predictor, prompts and parsers as any model."""
        camera = item.pictures[0]().camera
        texts: Iterator[str] = iter(
            [
                text
                for task in dict.fromkeys(query.task for query in queries)
                for query in queries
                if query.task == task
                for text in self._texts(query, camera)
            ]
        )
        engine = OracleEngine(lambda question: next(texts))
        predictor = Predictor(engine, self.protocol, multiple_px=self.multiple_px)
        return ModelAnswerer(predictor).answer(item, queries)

    def _texts(self, query: Query, camera: Camera) -> list[str]:
        truth, protocol = query.truth, self.protocol
        if query.task == "depth":
            return [depth.answer(protocol, truth["distance_m"])]
        if query.task == "correspondence":
            width, height = (int(v) for v in query.ask["size_b_px"])
            xy = truth["xy_px"]
            return [correspondence.answer(protocol, xy, width_px=width, height_px=height)]
        if query.task == "pose":
            motion = RelativePose.from_matrix(truth["cam1_from_cam2"])
            return [pose.answer(protocol, part, motion) for part in pose.components(protocol)]
        if (form := query.ask.get("form")) is not None:
            return [free_questions.written(form, truth)]
        told = objects.answer(
            protocol,
            query.ask["boxes_xyxy_px"],
            width_px=camera.width_px,
            height_px=camera.height_px,
            value_m=truth.get("value_m"),
            clock_hour=truth.get("clock_hour"),
            yes=truth.get("yes"),
            region=truth.get("region"),
        )
        return [told]


@dataclass(frozen=True, eq=False)
class FixedAnswerer:
    """Answers that were made before: a floor's, or those in someone's file.

    A query that nothing was said to is a failure.
    """

    by_id: Callable[[str], Said | None]
    tasks: frozenset[Task]

    def answer(self, item: Item, queries: Sequence[Query]) -> list[Said]:
        """What stands there."""
        return [self.by_id(query.id) or Said() for query in queries]
