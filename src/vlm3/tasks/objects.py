"""Objects (paper, section 3.2): sizes, distances, directions, comparisons of boxes.

Example under `release-object` (facebookresearch/VLM3, sample_data/spatialrgpt_labels.json):

    Can you confirm if bounding box region (0, 39, 652, 999) is smaller than bounding box region
    (6, 380, 228, 562)?

    Incorrect, bounding box region (0, 39, 652, 999) is not smaller in size than bounding box
    region (6, 380, 228, 562).

The caller writes {0}, {1} for the boxes, in question and answer alike.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pixels import norm_from_px
from vlm3.tasks.base import QA, Floats, ParseFailure
from vlm3.tasks.object_judge import (
    OWN_QUALITATIVE,
    OWN_QUANTITATIVE,
    QUALITATIVE,
    QUANTITATIVE,
    judge,
)
from vlm3.tasks.object_reading import parse
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
    ClockHour,
    Length,
    ObjectTruth,
    Region,
    YesNo,
    all_fields,
    fields_of_truth,
    truth_of_fields,
)
from vlm3.tasks.writing import written_metres

_SLOT = re.compile(r"\{([0-9]{1,4})\}")


def ask(
    protocol: Protocol,
    question: str,
    boxes_xyxy_px: ArrayLike,
    *,
    width_px: int,
    height_px: int,
) -> str:
    """The question as the model reads it.

    Args:
        protocol: whose words to use.
        question: with {0}, {1}, ... where a box is meant.
        boxes_xyxy_px: (n, 4) x_min, y_min, x_max, y_max in a picture of that size.
        width_px: its width.
        height_px: its height.

    Raises:
        InputError: a box that is inverted or outside, a {k} without a box, a box never named, or
            the protocol has no objects.
    """
    template = protocol.template("objects.ask")
    boxes = written_boxes(protocol, boxes_xyxy_px, width_px=width_px, height_px=height_px)
    unnamed = set(range(len(boxes))) - {int(k) for k in _SLOT.findall(question)}
    if unnamed:
        raise InputError(
            f"box {min(unnamed)} is not in the question; write {{{min(unnamed)}}} where it is meant"
        )
    text = _with_regions(protocol, question, boxes)
    if not boxes:
        return text
    listed = protocol.templates.get("objects.box", "")
    return template.format(
        question=text, boxes="; ".join(listed.format(**_corners(box)) for box in boxes)
    )


def answer_text(
    protocol: Protocol, text: str, boxes_xyxy_px: ArrayLike, *, width_px: int, height_px: int
) -> str:
    """A free answer with {0}, {1}, ... written as the protocol writes regions; see `ask`."""
    protocol.template("objects.region")
    boxes = written_boxes(protocol, boxes_xyxy_px, width_px=width_px, height_px=height_px)
    return _with_regions(protocol, text, boxes)


def answer_length(protocol: Protocol, length_m: float) -> str:
    """A size or distance, in metres with two decimals."""
    return protocol.template("objects.length").format(metres=written_metres(length_m))


def answer_yes_no(protocol: Protocol, yes: bool) -> str:
    """Agreement or not."""
    return protocol.template("objects.yes" if yes else "objects.no")


def answer_region(
    protocol: Protocol,
    region: int,
    boxes_xyxy_px: ArrayLike,
    *,
    width_px: int,
    height_px: int,
) -> str:
    """The box that was chosen, by its index from 0; boxes and size as in `ask`."""
    return answer_text(
        protocol, f"{{{region}}}", boxes_xyxy_px, width_px=width_px, height_px=height_px
    )


def answer_clock(protocol: Protocol, hour: int) -> str:
    """A direction on the clock face, 12 ahead.

    Raises:
        InputError: not an hour from 1 to 12.
    """
    if not 1 <= hour <= 12:
        raise InputError(f"{hour} is not an hour on the clock; give 1 to 12")
    return protocol.template("objects.clock").format(hour=hour)


def answer(
    protocol: Protocol,
    truth: ObjectTruth,
    boxes_xyxy_px: ArrayLike,
    *,
    width_px: int,
    height_px: int,
) -> str:
    """The short answer; boxes and size as in `ask`."""
    match truth:
        case Length(metres):
            return answer_length(protocol, metres)
        case ClockHour(hour):
            return answer_clock(protocol, hour)
        case YesNo(yes):
            return answer_yes_no(protocol, yes)
        case Region(index):
            size = {"width_px": width_px, "height_px": height_px}
            return answer_region(protocol, index, boxes_xyxy_px, **size)


def written_boxes(
    protocol: Protocol, boxes_xyxy_px: ArrayLike, *, width_px: int, height_px: int
) -> list[list[int]]:
    """The boxes (n, 4) as the whole numbers that stand in the text.

    Raises:
        InputError: a box that is inverted, empty, or not inside the picture.
    """
    boxes = np.asarray(boxes_xyxy_px, dtype=np.float64)
    check_boxes(boxes, width_px=width_px, height_px=height_px)
    if boxes.size == 0:
        return []
    xy_norm = norm_from_px(
        boxes.reshape(-1, 2, 2),
        width_px,
        height_px,
        size=protocol.norm_size,
        half_open=protocol.half_open,
    )
    written: list[list[int]] = xy_norm.reshape(-1, 4).tolist()
    return written


def check_boxes(boxes: Floats, *, width_px: int, height_px: int) -> None:
    """Refuses boxes (n, 4) in pixels of a picture of that size.

    Raises:
        InputError: a box that is inverted, empty, or not inside the picture.
    """
    if boxes.size == 0:
        return
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"boxes are rows of x1, y1, x2, y2; got shape {boxes.shape}")
    for x1, y1, x2, y2 in boxes.tolist():
        if not (x1 < x2 and y1 < y2):
            raise InputError(
                f"the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) is empty or inverted; "
                "give x1,y1,x2,y2 with x1 < x2 and y1 < y2"
            )
        if not (x1 >= 0 and y1 >= 0 and x2 <= width_px and y2 <= height_px):
            raise InputError(
                f"the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) does not lie in the "
                f"{width_px}x{height_px} picture; cut it at the border"
            )


def _corners(box: list[int]) -> dict[str, int]:
    return dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))


def _with_regions(protocol: Protocol, text: str, boxes: list[list[int]]) -> str:
    template = protocol.template("objects.region")

    def region(slot: re.Match[str]) -> str:
        k = int(slot[1])
        if k >= len(boxes):
            raise InputError(f"{slot[0]} has no box: {len(boxes)} were given, counted from {{0}}")
        return template.format(k=k, **_corners(boxes[k]))

    return _SLOT.sub(region, text)


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
