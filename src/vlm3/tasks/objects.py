"""Objects (paper, section 3.2): sizes, distances, directions, comparisons of boxes.

Example under `release-object` (facebookresearch/VLM3, sample_data/spatialrgpt_labels.json):

    Can you confirm if bounding box region (0, 39, 652, 999) is smaller than bounding box region
    (6, 380, 228, 562)?

    Incorrect, bounding box region (0, 39, 652, 999) is not smaller in size than bounding box
    region (6, 380, 228, 562).

The caller writes {0}, {1} for the boxes, in question and answer alike. The words are written in
`object_writing`; what a model answers is read in `object_reading` and marked in `object_judge`.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.tasks.base import QA, Floats, ParseFailure
from vlm3.tasks.object_judge import (
    OWN_QUALITATIVE,
    OWN_QUANTITATIVE,
    QUALITATIVE,
    QUANTITATIVE,
    judge,
)
from vlm3.tasks.object_reading import parse
from vlm3.tasks.object_writing import answer, answer_text, ask
from vlm3.tasks.protocol import Protocol
from vlm3.tasks.sample import ObjectQuestion, Rng, Sample
from vlm3.tasks.scoring import (
    SHORTEST_M,
    Floor,
    Measure,
    MeasureMaker,
    Rows,
    best_constant_m,
    number,
)
from vlm3.tasks.task import Cameras, Json, Task, Words, one_text, size_of
from vlm3.tasks.truth import (
    FIELDS,
    Length,
    ObjectTruth,
    all_fields,
    fields_of_truth,
    truth_of_fields,
)


class Objects(Task):
    """A question in words about boxes of one picture.

    A query asks {"question": ..., "boxes_xyxy_px": [...], "category": the column of a table}; its
    truth is one of {"value_m": ...}, {"clock_hour": ...}, {"yes": ...} and {"region": ...}.
    """

    name = "objects"
    mark = "object"
    pictures = 1
    columns = len(FIELDS)
    asked_columns = 0
    fields = FIELDS
    headline = "success"
    typical_tokens = (40 * 30, 300)
    failure = (
        "Judged by rule, without a language model. An answer that could not be read counts as "
        "wrong. Relative and clock error are of the answers alone, as in SpatialRGPT's script; "
        "with failures as 1 or 180 degrees they stand beside. Accuracy, success and relative error "
        "are macro means of the categories."
    )

    def question(
        self, protocol: Protocol, camera: Camera, question: str, boxes_xyxy_px: ArrayLike
    ) -> str:
        """A question with {0}, {1} where boxes (n, 4) of the picture are meant; see `ask`.

        Raises:
            InputError: boxes and placeholders that do not pair, a box outside, or no objects there.
        """
        return ask(protocol, question, boxes_xyxy_px, **size_of(camera))

    def example(self, protocol: Protocol, camera: Camera, q: ObjectQuestion) -> QA:
        """A question with its answer: the short one where there is one, else the sentence.

        Raises:
            InputError: as `question`; or there is no answer.
        """
        ask, truth = self.query(q)
        (question,) = self.prompts(protocol, [camera], ask).values()
        (text,) = self.answers(protocol, [camera], ask, truth).values()
        return QA(self.name, question, text)

    def query(self, q: ObjectQuestion, truth: ObjectTruth | None = None) -> tuple[Json, Json]:
        """A question; `truth` where it is known otherwise than from the question itself.

        One that is answered in words alone has the truth {"sentence": ...}, to learn from.
        """
        value = truth or q.truth
        boxes = np.asarray(q.boxes_xyxy_px, dtype=np.float64).reshape(-1, 4).tolist()
        category = q.category or (value.category if value else "")
        ask = {"question": q.question, "boxes_xyxy_px": boxes, "category": category}
        return ask, fields_of_truth(value) if value else {"sentence": q.sentence}

    def queries(self, sample: Sample, most: int, rng: Rng = None) -> list[tuple[Json, Json]]:
        """Questions about the sample's objects."""
        if sample.objects is None:
            return []
        return [self.query(q) for q in sample.objects.draw(most, rng)]

    def prompts(self, protocol: Protocol, cameras: Cameras, ask: Json) -> dict[str, str]:
        """See `Task`."""
        question = self.question(protocol, cameras[0], ask["question"], ask["boxes_xyxy_px"])
        return {self.name: question}

    def answers(
        self, protocol: Protocol, cameras: Cameras, ask: Json, truth: Json
    ) -> dict[str, str]:
        """See `Task`."""
        value, boxes, size = truth_of_fields(truth), ask["boxes_xyxy_px"], size_of(cameras[0])
        if value is not None:
            return {self.name: answer(protocol, value, boxes, **size)}
        if truth.get("sentence") is None:
            raise InputError(f"{ask['question']!r} has no answer")
        return {self.name: answer_text(protocol, truth["sentence"], boxes, **size)}

    def read(self, protocol: Protocol, ask: Json, prompt: Words, text: Words) -> Json | None:
        """See `Task`."""
        value = parse(one_text(prompt), one_text(text), len(ask["boxes_xyxy_px"]))
        if isinstance(value, ParseFailure):
            return None
        return all_fields(value)

    def numbers(self, values: Json) -> list[float]:
        """A column for each kind of answer."""
        return [number(values.get(name)) for name in FIELDS]

    def values(self, numbers: Sequence[float]) -> Json:
        """See `Task`."""
        named = zip(FIELDS, (float, int, bool, int), numbers, strict=True)
        return {name: kind(value) for name, kind, value in named if np.isfinite(value)}

    def check_truth(self, numbers: Sequence[float]) -> None:
        """See `Task`."""
        if np.isfinite(numbers).sum() != 1:
            raise ValueError("the truth is not complete")
        if 0 < numbers[0] < SHORTEST_M:
            raise ValueError("the truth is no length")

    def measures(self, rows: Rows, *, label: str = "distance") -> list[Measure]:
        """Accuracy, success, relative and clock error, then a column a category."""
        marks = judge(rows.predicted, rows.truth)
        make = MeasureMaker(rows, marks.parsed)
        groups = np.array(rows.groups)
        found = []
        for title, kinds, table in (
            ("accuracy", _QUALITATIVE, "qualitative"),
            ("success", _QUANTITATIVE, "quantitative"),
        ):
            some = np.isin(groups, list(kinds))
            if some.any():
                macro = make(title, marks.right, some, unit="percent", macro=True, table=table)
                found.append(macro)
                found.append(make(f"{title}, micro", marks.right, some, unit="percent"))
        # SpatialRGPT's script averages what was answered; beside it a failure costs 1, or 180
        # degrees.
        lengths = np.isfinite(marks.relative_error)
        if lengths.any():
            errors = partial(make, values=marks.relative_error, some=lengths, better="lower")
            found.append(
                errors("relative error", macro=True, answered=True, table="relative_error")
            )
            found.append(errors("relative error, failures as 1", macro=True))
        hours = np.isfinite(marks.clock_error_deg)
        if hours.any():
            errors = partial(
                make, values=marks.clock_error_deg, some=hours, better="lower", unit="degrees"
            )
            found.append(
                errors("clock error", answered=True, table="clock_error", column="Direction")
            )
            found.append(errors("clock error, failures as 180"))
        for kinds, table in ((_QUALITATIVE, "qualitative"), (_QUANTITATIVE, "quantitative")):
            for kind, column in kinds.items():
                some = groups == kind
                if some.any():
                    found.append(
                        make(column, marks.right, some, unit="percent", table=table, column=column)
                    )
        return found

    def headline_values(self, rows: Rows) -> Floats:
        """(n,) whether each answer is right, of whatever kind it is."""
        return judge(rows.predicted, rows.truth).right

    def floors(self, rows: Rows) -> list[Floor]:
        """The majority answer of each category; of lengths the best constant."""
        constant = np.full_like(rows.truth, np.nan)
        groups = np.array(rows.groups)
        for group in np.unique(groups):
            for column, name in enumerate(FIELDS):
                some = (groups == group) & np.isfinite(rows.truth[:, column])
                if some.any():
                    truths = rows.truth[some, column]
                    of_lengths = name == Length.field
                    constant[some, column] = (
                        best_constant_m(truths) if of_lengths else _majority(truths)
                    )
        return [Floor("majority answer of each category", replace(rows, predicted=constant))]


_QUALITATIVE = {**QUALITATIVE, **OWN_QUALITATIVE}
_QUANTITATIVE = {**QUANTITATIVE, **OWN_QUANTITATIVE}


def _majority(truths: Floats) -> float:
    values, counts = np.unique(truths, return_counts=True)
    return float(values[counts.argmax()])


OBJECTS = Objects()
