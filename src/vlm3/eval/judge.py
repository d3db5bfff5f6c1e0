"""The judge of answers about objects: SpatialRGPT-Bench's marks without a language model.

An answer is read by `tasks.objects.parse`; here it meets the truth. Agreement and choice are right
or wrong, lengths and numbers within a quarter of the truth, hours within one. What was not read is
wrong.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3.eval.metrics import clock_error_hours, clock_success_values, length_success_values
from vlm3.eval.predictions import OBJECT_VALUES
from vlm3.tasks.base import ParseFailure
from vlm3.tasks.objects import ObjectValue

Floats = NDArray[np.float64]

QUALITATIVE = {
    "below_above": "Below/Above",
    "left_right": "Left/Right",
    "big_small": "Big/Small",
    "tall_short": "Tall/Short",
    "wide_thin": "Wide/Thin",
    "behind_front": "Behind/Front",
}
QUANTITATIVE = {
    "direct_distance": "Direct Distance",
    "horizontal_distance": "Horizontal Distance",
    "vertical_distance": "Vertical Distance",
    "width": "Width",
    "height": "Height",
    "direction": "Direction",
}
"""Category -> the column of the published tables."""
OWN_QUALITATIVE = {"yes or no": "Yes or No", "which": "Which"}
OWN_QUANTITATIVE = {"length": "Length"}
"""The same for one's own questions, whose records name no category: by the kind of the answer."""


@dataclass(frozen=True, eq=False)
class Marks:
    """Of n answers.

    Attributes:
        right: (n,) 1 or 0.
        relative_error: (n,) of lengths, 1 for a failure; NaN for other kinds.
        clock_error_deg: (n,) of hours, 180 for a failure; NaN for other kinds.
        parsed: (n,) whether an answer of the wanted kind was read.
    """

    right: Floats
    relative_error: Floats
    clock_error_deg: Floats
    parsed: NDArray[np.bool_]


def judge(said: Floats, truth: Floats) -> Marks:
    """Marks for answers (n, k) against truths (n, k), columns as `predictions.OBJECT_VALUES`."""
    n = len(truth)
    right, relative = np.zeros(n), np.full(n, np.nan)
    clock_deg, parsed = np.full(n, np.nan), np.zeros(n, dtype=np.bool_)
    for column, name in enumerate(OBJECT_VALUES[: truth.shape[1]]):
        rows = np.isfinite(truth[:, column])
        p, g = said[rows, column], truth[rows, column]
        parsed[rows] = np.isfinite(p)
        if name == "value_m":
            right[rows] = length_success_values(p, g)
            relative[rows] = np.abs(np.where(np.isfinite(p), p, 0.0) - g) / g
        elif name == "clock_hour":
            right[rows] = clock_success_values(p, g)
            off = clock_error_hours(p, g) * 30
            clock_deg[rows] = np.where(np.isfinite(off), off, 180.0)
        elif name == "number":
            # Angles may be 0, so this is no length.
            right[rows] = np.abs(p - g) <= 0.25 * np.abs(g)
        elif name == "hit":
            # Judged when it was read; the truth's column says how many blind answers hit.
            right[rows] = np.where(np.isfinite(p), p, 0.0)
        else:
            right[rows] = p == g
    return Marks(right, relative, clock_deg, parsed)


def judge_one(said: ObjectValue | ParseFailure, truth: ObjectValue) -> bool:
    """Whether one answer is right."""
    return bool(judge(_row(said), _row(truth)).right[0])


def _row(value: ObjectValue | ParseFailure) -> Floats:
    given = [getattr(value, name, None) for name in OBJECT_VALUES]
    return np.array([[np.nan if v is None else float(v) for v in given]])
