"""Answers as rows of numbers, and what a task makes of them: measures and floors.

A measure is a value a sample whose mean stands in a table; a floor is what scores without looking
at a picture. Knows no file, no text and no report.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.tasks.metrics import DELTA_BASE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Unit = Literal["share", "percent", "pixels", "degrees", "metres"]

LARGEST = 1e9
"""Numbers beyond are nobody's distances, pixels or seconds, and their squares overflow."""
SHORTEST_M = 1e-9
"""Of a true length: errors are relative to it."""
_CANDIDATES = 400


@dataclass(frozen=True, eq=False)
class Rows:
    """The answers of one task, packed.

    Attributes:
        task: its name.
        ids: (n,) query ids.
        clusters: (n,) number of the picture or pair of each.
        groups: (n,) category of each; empty strings where a task has none.
        predicted: (n, k) what the task's `numbers` makes of predictions, NaN where nothing was
            read.
        truth: (n, k) the same of truths.
        ask: (n, j) what its `asked` makes of the queries.
        seconds: (n,) NaN where unknown.
        cost_usd: (n,) NaN where unknown.
    """

    task: str
    ids: tuple[str, ...]
    clusters: NDArray[np.intp]
    groups: tuple[str, ...]
    predicted: Floats
    truth: Floats
    ask: Floats
    seconds: Floats
    cost_usd: Floats

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Floor:
    """A row of a table that needs no model.

    Attributes:
        name: what it does, with the constant that it chose.
        rows: the run's rows with its answers in place of the model's.
        oracle: whether it knows truths that no predictor has.
    """

    name: str
    rows: Rows
    oracle: bool = False


@dataclass(frozen=True, eq=False)
class Measure:
    """One metric of one task.

    Attributes:
        name: as in tables.
        values: (n,) what each sample adds; failures as the metric counts them.
        parsed: (n,) whether the sample's answer was read.
        rows: (n,) which rows of the run these are.
        clusters: (n,) number of the picture or pair of each.
        unit: of the mean; "percent" is shown as 100 times it.
        better: which direction is better.
        groups: (n,) for a macro mean; None for a plain one.
        over_clusters: whether it is the mean over pictures of each one's mean.
        root: whether the metric is the root of the mean.
        answered: whether only what was read counts, as the published script of the column counts.
        table: the published table it belongs beside, if any.
        column: its column there, or None for the benchmark's own column.
    """

    name: str
    values: Floats
    parsed: NDArray[np.bool_]
    rows: NDArray[np.intp]
    clusters: NDArray[np.intp]
    unit: Unit
    better: Literal["higher", "lower"]
    groups: tuple[str, ...] | None = None
    over_clusters: bool = False
    root: bool = False
    answered: bool = False
    table: str | None = None
    column: str | None = None

    def counted(self) -> NDArray[np.intp]:
        """Places of the samples that count."""
        return np.flatnonzero(self.parsed) if self.answered else np.arange(len(self.values))


@dataclass(frozen=True, eq=False)
class MeasureMaker:
    """Makes the measures of one task's rows; `parsed` (n,) says which answers were read."""

    rows: Rows
    parsed: NDArray[np.bool_]

    def __call__(
        self,
        name: str,
        values: Floats,
        some: NDArray[np.bool_] | None = None,
        *,
        unit: Unit = "share",
        better: Literal["higher", "lower"] = "higher",
        macro: bool = False,
        root: bool = False,
        answered: bool = False,
        table: str | None = None,
        column: str | None = None,
    ) -> Measure:
        """A measure of all rows, or of `some`; see `Measure`."""
        index = np.arange(len(values)) if some is None else np.flatnonzero(some)
        return Measure(
            name=name,
            values=values[index],
            parsed=self.parsed[index],
            rows=index,
            clusters=self.rows.clusters[index],
            unit=unit,
            better=better,
            groups=_pick(self.rows.groups, index) if macro else None,
            root=root,
            answered=answered,
            table=table,
            column=column,
        )


def _pick(names: Sequence[str], index: NDArray[np.intp]) -> tuple[str, ...]:
    if len(index) == len(names):
        return tuple(names)
    return tuple(names[i] for i in index.tolist())


def numbers(values: Sequence[float] | None, count: int) -> list[float]:
    """`count` numbers, all of them or none: half a pixel is no prediction.

    Raises:
        ValueError: there are more or fewer.
    """
    if values is None:
        return [math.nan] * count
    read = [number(v) for v in values]
    if len(read) != count:
        raise ValueError(f"{len(read)} numbers where {count} belong")
    return read if all(map(math.isfinite, read)) else [math.nan] * count


def number(value: Any) -> float:
    """A number somebody could mean; NaN for any other, and for none."""
    if value is None:
        return math.nan
    try:
        number = float(value)
    except OverflowError:
        return math.nan
    return number if abs(number) <= LARGEST else math.nan


def best_constant_m(truth_m: Floats) -> float:
    """The one length, to the centimetre, that most of the truths are within 1.25 times of."""
    low, high = np.quantile(truth_m, [0.01, 0.99])
    candidates = np.unique(np.round(np.geomspace(low, high, _CANDIDATES), 2))
    candidates = candidates[candidates > 0]
    ordered = np.sort(truth_m)
    # max(c/g, g/c) < 1.25 is an open interval of g around c.
    inside = np.searchsorted(ordered, candidates * DELTA_BASE, side="left")
    inside -= np.searchsorted(ordered, candidates / DELTA_BASE, side="right")
    # Of the best ones the middle: the least fitted of them.
    best = np.flatnonzero(inside == inside.max())
    return float(candidates[best[len(best) // 2]])
