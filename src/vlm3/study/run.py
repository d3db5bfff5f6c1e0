"""Runs a study: pictures, starts, arms, answers, one table. What is done is not done again."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vlm3 import disk, strict_json
from vlm3.eval.resample import Difference, Interval, Sums, difference, interval
from vlm3.study.arms import ARMS, Arm, Study, base, start_run, study
from vlm3.study.data import prepare
from vlm3.study.score import LOSS, MEASURES, Scores, score
from vlm3.tasks.base import Task
from vlm3.train.loop import train
from vlm3.train.trainee import begin

Say = Callable[[str], None]


@dataclass(frozen=True)
class Line:
    """One arm, measured by one task: its value, a seed each, and what it is against the first.

    Attributes:
        arm: its name.
        says: what is particular about it.
        task: what it was asked.
        measure: how answers were scored.
        value: over all seeds.
        seeds: of each.
        interval: where 95 % of resampled values lie: pictures are drawn, not seeds.
        against: the first arm of the study minus... none for itself.
        floor: what answering without looking reaches.
        samples: that each run trained on.
        questions: in all.
    """

    arm: str
    says: str
    task: Task
    measure: str
    value: float
    seeds: tuple[float, ...]
    interval: Interval | None
    against: Difference | None
    floor: float
    samples: int
    questions: int


def run_study(
    name: str, folder: Path, *, samples: int, pointing: int, seeds: int, say: Say
) -> tuple[Line, ...]:
    """Trains and measures a study's arms; the same call again goes on.

    Args:
        name: of the study.
        folder: shared by all studies: `data`, `starts`, `arms`, and a table each.
        samples: of the base run.
        pointing: mosaics of a start.
        seeds: runs of each arm.
        say: takes a line about what is going on.

    Raises:
        InputError: no such study.
    """
    chosen = study(name)
    prepare(folder / "data", say)
    found: dict[tuple[str, Task, str], list[Scores]] = {}
    for seed in range(seeds):
        for arm in chosen.arms:
            for measured, scores in _measured(
                arm, folder, samples=samples, pointing=pointing, seed=seed, say=say
            ).items():
                found.setdefault((arm, *measured), []).append(scores)
    lines = _lines(chosen, found, samples)
    disk.write(
        folder / f"{name}.json",
        strict_json.dumps(
            {"study": name} | asdict(chosen) | {"lines": [asdict(x) for x in lines]}, indent=1
        ),
    )
    disk.write(folder / f"{name}.md", table(name, lines))
    return lines


def _measured(
    name: str, folder: Path, *, samples: int, pointing: int, seed: int, say: Say
) -> dict[tuple[Task, str], Scores]:
    arm = ARMS[name]
    count = round(samples * arm.times)
    out = folder / "arms" / f"{name}-{count}-{pointing}-{seed}"
    tasks = _tasks(arm)
    answers = {
        (task, measure): out / f"{task}-{measure}.npz"
        for task in tasks
        for measure in (MEASURES[task], LOSS)
    }
    if not all(path.is_file() for path in answers.values()):
        start = _started(arm.start, folder, pointing=pointing, seed=seed, say=say)
        run = arm.change(base(out, name, samples=count, seed=seed, start=str(start)))
        run = replace(run, data=str(folder / "data"))
        if not (out / "export").is_dir():
            say(f"training {name}, seed {seed}: {run.samples} samples")
            train(run)
        trained = begin(replace(run, model=str(out / "export")))
        for (task, measure), scores in score(run, trained, folder / "data", tasks).items():
            with disk.whole(answers[task, measure]) as partial, partial.open("wb") as file:
                np.savez(file, **vars(scores))
            say(f"{name}, seed {seed}: {task} {measure} {scores.values.mean():.3f}")
    loaded = {measured: np.load(path) for measured, path in answers.items()}
    return {
        measured: Scores(one["values"], one["pictures"], one["floor"])
        for measured, one in loaded.items()
    }


def _started(name: str, folder: Path, *, pointing: int, seed: int, say: Say) -> Path:
    """The exported start of that name, made if it is not there."""
    out = folder / "starts" / f"{name}-{pointing}-{seed}"
    if not (out / "export").is_dir():
        run = start_run(out, name, samples=pointing, seed=seed)
        say(f"start {name}, seed {seed}: {run.samples} mosaics")
        train(run)
    return out / "export"


def _tasks(arm: Arm) -> tuple[Task, ...]:
    """What an arm learns, and so is asked."""
    parts = arm.change(base(Path(), "", samples=1, seed=0, start="")).parts
    return tuple(dict.fromkeys(task for part in parts for task in part.tasks))


def _lines(
    chosen: Study, found: dict[tuple[str, Task, str], list[Scores]], samples: int
) -> tuple[Line, ...]:
    lines = []
    reference = chosen.arms[0]
    for (arm, task, measure), several in found.items():
        if chosen.task not in (None, task):
            continue
        against = None
        if arm != reference and (reference, task, measure) in found:
            against = difference(_sums(several), _sums(found[reference, task, measure]))
        lines.append(
            Line(
                arm=arm,
                says=ARMS[arm].says,
                task=task,
                measure=measure,
                value=float(np.concatenate([s.values for s in several]).mean()),
                seeds=tuple(float(s.values.mean()) for s in several),
                interval=interval(_sums(several)),
                against=against,
                floor=float(several[0].floor.mean()),
                samples=round(samples * ARMS[arm].times),
                questions=len(several[0].values),
            )
        )
    return tuple(lines)


def _sums(several: Sequence[Scores]) -> Sums:
    return Sums.of(
        np.concatenate([s.values for s in several]), np.concatenate([s.pictures for s in several])
    )


def table(name: str, lines: Sequence[Line]) -> str:
    """A study as a Markdown table, with what is asked above it."""
    chosen = study(name)
    rows = [
        f"**{name}**: {chosen.asks} Alike: {chosen.equal}. Paper: {chosen.paper}.",
        "",
        f"| arm | samples | measure | value [95 %] | minus `{chosen.arms[0]}` [95 %] | floor |",
        "|---|---|---|---|---|---|",
    ]
    for line in lines:
        value = f"{_short(line.value)}{_span(line.interval)}"
        if len(line.seeds) > 1:
            value += f" ({', '.join(map(_short, line.seeds))})"
        apart = line.against
        against = "" if apart is None else f"{_short(apart.value, '+')}{_span(apart.interval, '+')}"
        rows.append(
            f"| `{line.arm}`: {line.says} | {line.samples} | {line.task} {line.measure} "
            f"| {value} | {against} | {_short(line.floor)} |"
        )
    return "\n".join(rows) + "\n"


def _short(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}" if abs(value) < 2 else f"{value:{sign}.1f}"


def _span(found: Any, sign: str = "") -> str:
    return "" if found is None else f" [{_short(found.low, sign)}, {_short(found.high, sign)}]"
