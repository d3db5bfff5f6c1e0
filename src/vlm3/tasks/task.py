"""What a task is: one kind of question about pictures, from every side.

A task writes its questions and the answers that labels give them, reads what a model wrote, and
measures it. Training, inference and evaluation all go through these methods, so a prompt cannot
differ between them; a new task is a file like `vlm3.tasks.depth` and a line in
`vlm3.tasks.registry`.

A user's question (a *query*) is plain JSON: `ask` is the question, in pixels of the
picture as it is given, `truth` what is right; a prediction has the form of a truth.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from vlm3.geometry.camera import Camera
from vlm3.tasks.base import QA
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.sample import Rng, Sample
from vlm3.tasks.scoring import Floats, Floor, Measure, Rows

Json = dict[str, Any]
Words = str | dict[str, str]
"""One text, or one for each part of a question in parts."""
Cameras = Sequence[Camera]


class Task(ABC):
    """One kind of question.

    Attributes:
        name: as protocols, files and the command line name it.
        mark: as ids of queries name it.
        pictures: how many a question is about.
        protocol_task: what a protocol must have prompts for; mostly the same task.
        once: whether a sample has one question of the kind.
        columns: numbers of a prediction and of a truth in `Rows`.
        asked_columns: how many numbers a query has.
        fields: what a prediction from elsewhere may hold.
        failure: how an answer that could not be read counts, for the reader of a table.
        headline: the name of its one number.
        higher_is_better: of that number.
        typical_tokens: visual tokens of a picture and tokens of text in a sample of the paper's
            training; None where it has none.
        answer_bounds: slot of its answers -> least and largest number, where they are not those of
            every task.
    """

    name: ClassVar[str]
    mark: ClassVar[str]
    pictures: ClassVar[Literal[1, 2]]
    once: ClassVar[bool] = False
    protocol_task: ClassVar[str]
    columns: ClassVar[int]
    asked_columns: ClassVar[int]
    fields: ClassVar[tuple[str, ...]]
    failure: ClassVar[str]
    headline: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    typical_tokens: ClassVar[tuple[int, int] | None] = None
    answer_bounds: ClassVar[Mapping[str, tuple[float, float]]] = MappingProxyType({})

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "name" in vars(cls) and "protocol_task" not in vars(cls):
            cls.protocol_task = cls.name

    @abstractmethod
    def queries(self, sample: Sample, most: int, rng: Rng = None) -> list[tuple[Json, Json]]:
        """The queries that a sample allows: (ask, truth) of up to `most` of its labels."""

    def examples(
        self, sample: Sample, protocol: Protocol, rng: np.random.Generator, most: int
    ) -> list[QA]:
        """Up to `most` questions about a sample with their answers; none where it has no label."""
        return [
            qa
            for ask, truth in self.queries(sample, most, rng)
            for qa in self.examples_of(protocol, sample.cameras, ask, truth).values()
        ]

    def examples_of(
        self, protocol: Protocol, cameras: Cameras, ask: Json, truth: Json
    ) -> dict[str, QA]:
        """Part -> question and answer of one query; without parts that have no answer.

        Raises:
            InputError: see `prompts`.
        """
        prompts = self.prompts(protocol, cameras, ask)
        answers = self.answers(protocol, cameras, ask, truth)
        return {part: QA(self.name, prompts[part], answer) for part, answer in answers.items()}

    @abstractmethod
    def prompts(self, protocol: Protocol, cameras: Cameras, ask: Json) -> dict[str, str]:
        """Part -> question; the only part of a question without parts has the task's name.

        Raises:
            InputError: the protocol has no prompt for it, or the query lies outside the picture.
        """

    @abstractmethod
    def answers(
        self, protocol: Protocol, cameras: Cameras, ask: Json, truth: Json
    ) -> dict[str, str]:
        """Part -> the answer that a model is trained to give; without parts that have none."""

    @abstractmethod
    def read(self, protocol: Protocol, ask: Json, prompt: Words, text: Words) -> Json | None:
        """What a model wrote, as a prediction; None where no answer stands in it."""

    def judged(self, ask: Json, truth: Json, prediction: Json) -> Json:
        """A prediction with what only its truth can say about it, where a task has that."""
        return prediction

    @abstractmethod
    def numbers(self, values: Json) -> list[float]:
        """A prediction or a truth as `columns` numbers, NaN where it says nothing."""

    @abstractmethod
    def values(self, numbers: Sequence[float]) -> Json:
        """The inverse of `numbers`."""

    def asked(self, ask: Json) -> list[float]:
        """A query as `asked_columns` numbers."""
        return []

    def check_truth(self, numbers: Sequence[float]) -> None:
        """Refuses a truth that nothing can be measured against.

        Raises:
            ValueError: says why.
        """
        if not np.isfinite(numbers[0]):
            raise ValueError("the truth is not complete")

    def predicted(self, ask: Json, record: Json, *, label: str) -> Json:
        """A prediction in a line from elsewhere.

        Args:
            ask: the query.
            record: the line.
            label: what the benchmark's depth label is, see `vlm3.tasks.depth_labels`.

        Raises:
            ValueError: no usable answer stands there.
        """
        return {name: record[name] for name in self.fields if name in record}

    @abstractmethod
    def measures(self, rows: Rows, *, label: str = "distance") -> list[Measure]:
        """All measures, the primary one first; `label` is what the published depth label is."""

    def headline_values(self, rows: Rows) -> Floats:
        """(n,) of each row; their mean is the task in one number, that of its first measure."""
        return self.measures(rows)[0].values

    @abstractmethod
    def floors(self, rows: Rows) -> list[Floor]:
        """What scores without looking at a picture, made from the rows' own truths."""

    def words(self, parts: dict[str, str]) -> Words:
        """The texts of all parts as files hold them: one text where there is only one part."""
        return parts[self.name] if list(parts) == [self.name] else parts

    def parts(self, words: Words) -> dict[str, str]:
        """The inverse of `words`."""
        return words if isinstance(words, dict) else {self.name: words}


def one_text(words: Words) -> str:
    """The text of a question without parts.

    Raises:
        TypeError: it is none, as in a file that somebody changed.
    """
    if not isinstance(words, str):
        raise TypeError(f"a text was expected, {type(words).__name__} came")
    return words


def floats(values: ArrayLike) -> list[float]:
    """Numbers as JSON has them, in one list."""
    flat: list[float] = np.asarray(values, dtype=np.float64).ravel().tolist()
    return flat


def size_of(camera: Camera) -> dict[str, int]:
    """Width and height as keyword arguments."""
    return {"width_px": camera.width_px, "height_px": camera.height_px}
