"""Runs beside the published rows, section by section, ready to be written in any form.

A section is one task of one benchmark. Its rows are the runs, the floors on the very same samples,
and the published models; its notes say how failures count and what is wrong with published cells.
Knows no HTML and no LaTeX: see `render` and `page`.
"""

from collections.abc import Sequence

from vlm3.errors import InputError
from vlm3.eval.benchmark import WHOLE_SET, Benchmark
from vlm3.eval.benchmarks import benchmarks
from vlm3.eval.report.published import flags, table
from vlm3.eval.report.rows import Cell, Kind, ResultSection, Row, RunReport, cell_of, digits_of
from vlm3.eval.resample import Difference
from vlm3.eval.score import Score, Scored, TaskScores, compare
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.questions import QUESTIONS
from vlm3.tasks.registry import TASKS

_PICTURES = (
    "The first column is the mean over pictures of each one's delta1, z against z, as the "
    "benchmark has it; a distance that was answered is turned into z by the focal length."
)
_LABELS = {
    "z": "The published label is depth along the axis (z): the first column compares with it, "
    "the others with the true distance.",
    "0.8 distance": "The published label is 0.8 times the distance: the first column compares with "
    "it, the others with the true distance.",
    "scannetpp": "The published label is the norm of (x/z, y/z, z): the first column compares with "
    "it, the others with the true distance.",
}


def build(runs: Sequence[Scored]) -> RunReport:
    """A report of scored runs; runs of the same benchmark share their tables.

    Raises:
        InputError: no run was given.
    """
    if not runs:
        raise InputError("a report needs at least one run; give the folder of one")
    names = _names(runs)
    by_section: dict[tuple[str, str, str], list[tuple[str, Scored, TaskScores]]] = {}
    for name, scored in zip(names, runs, strict=True):
        for part in scored.tasks:
            config = scored.run.config
            key = (str(config.get("benchmark")), str(config.get("data")), part.task)
            by_section.setdefault(key, []).append((name, scored, part))
    return RunReport(
        tuple(_section(parts) for parts in by_section.values()),
        tuple((name, _origin(scored)) for name, scored in zip(names, runs, strict=True)),
    )


def _section(parts: list[tuple[str, Scored, TaskScores]]) -> ResultSection:
    _, first, scores = parts[0]
    benchmark = benchmarks().get(str(first.run.config.get("benchmark")))
    # Runs of other samples of the same benchmark may lack a category.
    shown = {score.name: score for _, _, part in reversed(parts) for score in part.scores}
    order = [s.name for s in scores.scores] + list(shown)
    columns = [shown[name] for name in dict.fromkeys(order)]
    rows = [_run_row(name, scored, part, columns) for name, scored, part in parts]
    rows += [
        Row(name, "floor", _cells(values, columns), len(first.run.rows[scores.task]), 0)
        for name, values in scores.floors.items()
    ]
    rows += _published(columns, benchmark)
    title = benchmark.title if benchmark else str(first.run.config.get("benchmark"))
    data = first.run.config.get("data")
    where = f" ({data})" if data else ""
    return ResultSection(
        title=f"{title}{where}: {scores.task}",
        columns=tuple(score.name for score in columns),
        better=tuple(score.better for score in columns),
        rows=tuple(rows),
        notes=tuple(_notes(parts, columns, benchmark)),
        differences=tuple(_differences(parts)),
    )


def _run_row(name: str, scored: Scored, part: TaskScores, columns: list[Score]) -> Row:
    return Row(
        name=name,
        kind="run",
        cells=_cells(part.scores, columns),
        samples=len(scored.run.rows[part.task]),
        failures=sum(score.failures for score in _disjoint(part)),
        seconds=part.seconds,
        cost_usd=part.cost_usd,
        protocol=str(scored.run.config.get("protocol") or ""),
    )


def _disjoint(part: TaskScores) -> list[Score]:
    """Scores that count every query once: the primary one, or the categories of objects."""
    by_column = [s for s in part.scores if s.column is not None and s.name == s.column]
    return by_column or [part.scores[0]]


def _cells(scores: Sequence[Score], columns: Sequence[Score]) -> tuple[Cell, ...]:
    found = {score.name: score for score in scores}
    return tuple(cell_of(found.get(column.name)) for column in columns)


def _published(columns: list[Score], benchmark: Benchmark | None) -> list[Row]:
    if benchmark is None or benchmark.column is None:
        return []
    named: dict[str, tuple[Kind, dict[int, float]]] = {}
    for place, score in enumerate(columns):
        if score.table is None:
            continue
        for row in table(score.table).rows:
            value = row.values.get(score.column or benchmark.column)
            if value is not None:
                kind: Kind = "expert" if row.kind == "expert" else "published"
                named.setdefault(row.name, (kind, {}))[1][place] = value
    return [
        Row(
            name,
            kind,
            tuple(Cell(values.get(i), digits=digits_of(s.unit)) for i, s in enumerate(columns)),
        )
        for name, (kind, values) in named.items()
    ]


def _notes(
    parts: list[tuple[str, Scored, TaskScores]],
    columns: list[Score],
    benchmark: Benchmark | None,
) -> list[str]:
    task = parts[0][2].task
    notes = [TASKS[task].failure]
    if any(s.low is not None for s in columns):
        notes.append(
            "Intervals hold 95 % of 1000 resamples of whole pictures or pairs "
            f"({columns[0].clusters} here)."
        )
    notes.append("Floors see no picture; an oracle floor knows part of the truth.")
    if benchmark and benchmark.scoring is not None:
        notes.append(_PICTURES)
    elif benchmark and benchmark.label in _LABELS and task == DEPTH.name:
        notes.append(_LABELS[benchmark.label])
    for name, scored, _ in parts:
        if not scored.run.complete:
            notes.append(f"{name} is unfinished: what it answered so far is scored.")
        for line, why in scored.run.damaged:
            notes.append(f"{name}: line {line} of its predictions was left out ({why}).")
        for line, why in scored.run.environment.get("joined_damaged", []):
            notes.append(f"{name}: line {line} of the joined file was not used ({why}).")
    if benchmark and benchmark.column:
        if not benchmark.published_samples:
            notes.append(
                "Published values are of the whole set, other samples than these: for orientation."
            )
        elif any(s.run.config.get("count") != benchmark.count for _, s, _ in parts):
            most = "all" if benchmark.count == WHOLE_SET else f"up to {benchmark.count}"
            notes.append(
                f"The published values are of {most} samples of the whole set, "
                "these are not all of them."
            )
        for score in columns:
            if score.table:
                rows = [r.name for r in table(score.table).rows]
                if task == QUESTIONS.name or benchmark.scoring:
                    notes.append(f"Published rows: {table(score.table).source}.")
                notes += flags(score.table, rows, [score.column or benchmark.column])
    return list(dict.fromkeys(notes))


def _differences(
    parts: list[tuple[str, Scored, TaskScores]],
) -> list[tuple[str, str, str, Difference]]:
    found = []
    name_a, a, part = parts[0]
    for name_b, b, _ in parts[1:]:
        between = compare(a.run, b.run).get(part.task, {})
        for measure, value in list(between.items())[:1]:
            found.append((name_a, name_b, measure, _in_units(value, part.scores[0])))
    return found


def _in_units(value: Difference, score: Score) -> Difference:
    if score.unit != "percent":
        return value
    between = value.interval
    scaled = between and type(between)(between.low * 100, between.high * 100)
    return Difference(value.value * 100, scaled, value.samples, value.clusters)


def _names(runs: Sequence[Scored]) -> list[str]:
    """Each run's name; the folder's name is added where two of the same data share one."""
    keys = [(s.run.name, s.run.config.get("benchmark"), s.run.config.get("data")) for s in runs]
    return [
        key[0] if keys.count(key) == 1 else f"{key[0]} ({scored.run.path.parent.name})"
        for key, scored in zip(keys, runs, strict=True)
    ]


def _origin(scored: Scored) -> str:
    config, environment = scored.run.config, scored.run.environment
    packages = ", ".join(f"{k} {v}" for k, v in environment.get("packages", {}).items())
    settings = ", ".join(f"{k} {v}" for k, v in config.items() if v not in (None, "", []))
    return (
        f"{settings}; vlm3 {environment.get('vlm3')}, commit {environment.get('commit')}, "
        f"Python {environment.get('python')}, {packages}; {environment.get('started')}"
    )
