"""A predictions file -> scores with intervals; costs no model, so do it as often as you like."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3 import disk
from vlm3.errors import InputError
from vlm3.eval.benchmark import Benchmark
from vlm3.eval.benchmarks import benchmarks
from vlm3.eval.peer_measures import measures_of
from vlm3.eval.predictions import Run, read_run
from vlm3.eval.resample import Difference, Sums, difference, interval
from vlm3.tasks.base import TaskName
from vlm3.tasks.registry import TASKS
from vlm3.tasks.scoring import Measure, Rows
from vlm3.tasks.task import Json

FILE = "scores.json"


@dataclass(frozen=True)
class Score:
    """One number of one run, or of a floor.

    Attributes:
        name: the metric.
        value: failures counted against, but as the published script counts in columns that are
            compared with its own.
        low: lower end of the 95 % interval over pictures; None from one picture.
        high: upper end.
        valid_only: the value over what could be read; None where nothing could, and where `value`
            is that already.
        samples: how many.
        failures: how many of them could not be read.
        clusters: of how many pictures or pairs.
        unit: of the value.
        better: which direction is better.
        table: the published table it stands beside, if any.
        column: its column there; None for the benchmark's own.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    valid_only: float | None
    samples: int
    failures: int
    clusters: int
    unit: str
    better: str
    table: str | None = None
    column: str | None = None


@dataclass(frozen=True)
class TaskScores:
    """The scores of one task: the run's, and those of the floors on the same samples.

    Attributes:
        task: which.
        scores: in the order of the tables, the primary one first.
        floors: name -> its scores.
        seconds: mean time of a query; None where unknown.
        cost_usd: what all of them cost; None where unknown.
    """

    task: TaskName
    scores: tuple[Score, ...]
    floors: dict[str, tuple[Score, ...]]
    seconds: float | None
    cost_usd: float | None


@dataclass(frozen=True)
class Scored:
    """A run and its scores."""

    run: Run
    tasks: tuple[TaskScores, ...]

    def to_json(self) -> Json:
        """For scores.json: names its origin, NaN-free."""
        return {
            "config": self.run.config,
            "environment": self.run.environment,
            "complete": self.run.complete,
            "damaged_lines": [{"line": n, "why": why} for n, why in self.run.damaged],
            "tasks": [asdict(task) for task in self.tasks],
        }


def score(folder: str | Path) -> Scored:
    """Score a run's folder, or a predictions file.

    Raises:
        InputError: there is nothing to score.
    """
    run = read_run(folder)
    return Scored(run, tuple(_score_task(run, rows) for rows in run.rows.values()))


def write(scored: Scored) -> Path:
    """Writes scores.json beside the predictions."""
    path = scored.run.path.parent / FILE
    text = json.dumps(scored.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
    return disk.write(path, text + "\n")


def benchmark_of(run: Run) -> Benchmark | None:
    """A run's benchmark; None where it is none of ours."""
    return benchmarks().get(str(run.config.get("benchmark")))


def _score_task(run: Run, rows: Rows) -> TaskScores:
    benchmark = benchmark_of(run)
    return TaskScores(
        task=rows.task,
        scores=_scores(measures_of(rows, benchmark)),
        floors={
            floor.name: _scores(measures_of(floor.rows, benchmark))
            for floor in TASKS[rows.task].floors(rows)
        },
        seconds=_known_mean(rows.seconds),
        cost_usd=None if np.isnan(rows.cost_usd).all() else float(np.nansum(rows.cost_usd)),
    )


def _scores(found: Sequence[Measure]) -> tuple[Score, ...]:
    """Of those that have a value: what only answers count for has none where there is no answer."""
    return tuple(_score(measure) for measure in found if len(measure.counted()))


def _score(measure: Measure) -> Score:
    sums = _sums(measure, measure.counted())
    between = interval(sums, root=measure.root)
    return Score(
        name=measure.name,
        value=_value(sums, measure.root),
        low=between.low if between else None,
        high=between.high if between else None,
        valid_only=None if measure.answered else _valid_only(measure),
        samples=len(measure.values),
        failures=int((~measure.parsed).sum()),
        clusters=sums.counts.shape[1],
        unit=measure.unit,
        better=measure.better,
        table=measure.table,
        column=measure.column,
    )


def _valid_only(measure: Measure) -> float | None:
    keep = np.flatnonzero(measure.parsed)
    if not len(keep):
        return None
    return _value(_sums(measure, keep), measure.root)


def _sums(measure: Measure, keep: NDArray[np.intp]) -> Sums:
    """Of the samples at these places."""
    groups = None if measure.groups is None else [measure.groups[i] for i in keep.tolist()]
    values, clusters = measure.values[keep], measure.clusters[keep]
    return Sums.of(values, clusters, groups, over_clusters=measure.over_clusters)


def _value(sums: Sums, root: bool) -> float:
    value = float(sums.mean()[0])
    return value**0.5 if root else value


def _known_mean(values: Sequence[float] | np.ndarray) -> float | None:
    known = np.asarray(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def compare(a: Run, b: Run) -> dict[TaskName, dict[str, Difference]]:
    """Paired differences a - b of every measure, on the queries that both have.

    Raises:
        InputError: they have no query in common, or its truth differs.
    """
    found: dict[TaskName, dict[str, Difference]] = {}
    benchmark = benchmark_of(a)
    for task in a.rows.keys() & b.rows.keys():
        rows_a, rows_b = _common(a.rows[task], b.rows[task])
        if not len(rows_a):
            continue
        pairs = zip(measures_of(rows_a, benchmark), measures_of(rows_b, benchmark), strict=True)
        found[task] = {
            one.name: difference(
                *(_sums(measure, np.arange(len(measure.values))) for measure in (one, two)),
                root=one.root,
            )
            for one, two in pairs
            # Two runs did not answer the same questions.
            if not one.answered
        }
    if not found:
        raise InputError(
            f"{a.name} and {b.name} have no query in common; compare runs of one benchmark"
        )
    return found


def _common(a: Rows, b: Rows) -> tuple[Rows, Rows]:
    """The rows of both with the same ids, in the order of a."""
    place = {name: i for i, name in enumerate(b.ids)}
    shared = [(i, place[name]) for i, name in enumerate(a.ids) if name in place]
    left = _take(a, [i for i, _ in shared])
    # The same query is about the same picture, whatever number each run gave it.
    right = replace(_take(b, [j for _, j in shared]), clusters=left.clusters)
    if not np.allclose(left.truth, right.truth, rtol=1e-6, atol=1e-6, equal_nan=True):
        raise InputError("the runs disagree about the truth: they are not of the same data")
    return left, right


def _take(rows: Rows, index: list[int]) -> Rows:
    return Rows(
        rows.task,
        ids=tuple(rows.ids[i] for i in index),
        clusters=rows.clusters[index],
        groups=tuple(rows.groups[i] for i in index),
        predicted=rows.predicted[index],
        truth=rows.truth[index],
        ask=rows.ask[index],
        seconds=rows.seconds[index],
        cost_usd=rows.cost_usd[index],
    )
