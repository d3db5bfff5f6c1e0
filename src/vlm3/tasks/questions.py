"""Questions in a publisher's own words, about all pictures of an item: choices, numbers, points.

The tasks of other benchmarks that are none of the paper's; `vlm3.tasks.free_questions` says what
may be answered, reads it and judges it. Nothing is trained on them here.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vlm3.tasks import free_questions
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.sample import Rng, Sample
from vlm3.tasks.scoring import (
    Bools,
    Floats,
    Floor,
    Measure,
    MeasureMaker,
    Rows,
    best_constant_m,
    number,
)
from vlm3.tasks.task import Cameras, Json, Task, Words, one_text


class Questions(Task):
    """A question in words.

    A query asks {"question": ..., "form": what may be answered, "category": the column of a table};
    its truth is {"option": k}, {"number": x}, or what a hit is judged by and, as "hit", the share
    of blind answers that hit.
    """

    name = mark = "questions"
    pictures = 1
    protocol_task = "objects"
    columns = 3
    asked_columns = 0
    fields = ("option", "number", "hit")
    failure = (
        "Answers in words are read by rule, without a language model. An answer that could not be "
        "read counts as wrong; the floor of a point is the share of the picture that is right."
    )
    headline = "accuracy"

    def queries(self, sample: Sample, most: int, rng: Rng = None) -> list[tuple[Json, Json]]:
        """None: no label has words of its own."""
        return []

    def prompts(self, protocol: Protocol, cameras: Cameras, ask: Json) -> dict[str, str]:
        """The question as it is."""
        return {self.name: ask["question"]}

    def answers(
        self, protocol: Protocol, cameras: Cameras, ask: Json, truth: Json
    ) -> dict[str, str]:
        """The shortest right answer."""
        return {self.name: free_questions.written(ask["form"], truth)}

    def read(self, protocol: Protocol, ask: Json, prompt: Words, text: Words) -> Json | None:
        """See `Task`."""
        found = free_questions.read(ask["form"], one_text(text))
        return None if isinstance(found, ParseFailure) else found

    def judged(self, ask: Json, truth: Json, prediction: Json) -> Json:
        """With whether it hits, where there is no single right value."""
        return free_questions.judged(ask["form"], truth, prediction)

    def predicted(self, ask: Json, record: Json, *, label: str) -> Json:
        """A "text" that is read, or the values in it."""
        if "text" in record:
            found = free_questions.read(ask["form"], str(record["text"]))
            if isinstance(found, ParseFailure):
                raise ValueError(f"its text holds no answer ({found.reason})")
            return found
        values = ("option", "number", "xy_px", "vector")
        return {name: record[name] for name in values if name in record}

    def numbers(self, values: Json) -> list[float]:
        """Option, number, whether it hits."""
        return [number(values.get(name)) for name in self.fields]

    def values(self, numbers: Sequence[float]) -> Json:
        """See `Task`."""
        named = zip(self.fields, numbers, strict=True)
        return {name: value for name, value in named if np.isfinite(value)}

    def check_truth(self, numbers: Sequence[float]) -> None:
        """See `Task`."""
        if np.isfinite(numbers).sum() != 1:
            raise ValueError("the truth is not complete")

    def marks(self, rows: Rows) -> tuple[Floats, Bools]:
        """(n,) 1 for a right answer, and whether one of the wanted kind was read."""
        p, g = rows.predicted, rows.truth
        known = np.isfinite(g)
        with np.errstate(invalid="ignore"):
            # Angles may be 0, so a number is no length.
            near = np.abs(p[:, 1] - g[:, 1]) <= 0.25 * np.abs(g[:, 1])
        right = np.select(
            [known[:, 0], known[:, 1], known[:, 2]],
            # A hit is judged when it is read; the truth says how many blind answers hit.
            [p[:, 0] == g[:, 0], near, np.where(np.isfinite(p[:, 2]), p[:, 2], 0.0)],
            0.0,
        )
        parsed: Bools = np.asarray((np.isfinite(p) & known).any(axis=1))
        return right.astype(np.float64), parsed

    def measures(self, rows: Rows, *, label: str = "distance") -> list[Measure]:
        """The share of right answers; benchmarks have columns of their own."""
        right, parsed = self.marks(rows)
        return [MeasureMaker(rows, parsed)("accuracy", right, unit="percent")]

    def floors(self, rows: Rows) -> list[Floor]:
        """The best constant answer of each category."""
        constant = np.full_like(rows.truth, np.nan)
        groups = np.array(rows.groups)
        for group in np.unique(groups):
            for column, name in enumerate(self.fields):
                some = (groups == group) & np.isfinite(rows.truth[:, column])
                if some.any():
                    constant[some, column] = _constant(name, rows.truth[some, column])
        return [Floor("majority answer of each category", replace(rows, predicted=constant))]


def _constant(name: str, truths: Floats) -> Floats | float:
    if name == "hit":
        # A hit's truth is how many blind answers hit: nobody can guess better unseen.
        return truths
    if name == "number":
        return best_constant_m(truths) if (truths > 0).all() else float(np.median(truths))
    values, counts = np.unique(truths, return_counts=True)
    return float(values[counts.argmax()])


QUESTIONS = Questions()
