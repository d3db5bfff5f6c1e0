"""Runs a study: pictures, starts, arms, answers, one table. What is done is not done again."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vlm3 import disk, strict_json
from vlm3.ablations.arms import ARMS, STARTS, Arm, base, start_run
from vlm3.ablations.data import prepare
from vlm3.ablations.score import LOSS, Scores, score
from vlm3.ablations.studies import Study, study
from vlm3.errors import Vlm3Error
from vlm3.eval.resample import Difference, Interval, Sums, difference, interval
from vlm3.tasks.base import TaskName
from vlm3.tasks.registry import TASKS
from vlm3.train.config import RunConfig
from vlm3.train.loss_module import begin
from vlm3.train.mosaics import COLORS
from vlm3.train.trainer import train

Say = Callable[[str], None]


@dataclass(frozen=True)
class StudyLine:
    """One arm, measured by one task: its value, a seed each, and what it is against the first.

    Attributes:
        arm: its name.
        says: what is particular about it.
        task: what is measured.
        measure: how answers were scored.
        value: over all seeds.
        seeds: of each.
        interval: where 95 % of resampled values lie: pictures are drawn, not seeds.
        against: it minus the study's first arm, over all seeds; None for that arm itself.
        seeds_against: the same for each seed.
        floor: what answering without looking reaches.
        pointing: mosaics after which its start had learnt colour grounding; None where it never
            did, a seed each.
        samples: that each run trained on.
        questions: in all.
    """

    arm: str
    says: str
    task: TaskName
    measure: str
    value: float
    seeds: tuple[float, ...]
    interval: Interval | None
    against: Difference | None
    seeds_against: tuple[float, ...]
    floor: float
    pointing: tuple[int | None, ...]
    samples: int
    questions: int


def run_study(
    name: str,
    folder: Path,
    *,
    samples: int | None,
    mosaics: int | None,
    seeds: int,
    say: Say,
) -> tuple[StudyLine, ...]:
    """Trains and measures a study's arms; the same call again goes on.

    Args:
        name: of the study.
        folder: shared by all studies: `data`, `starts`, `arms`, and a table each.
        samples: of the base run; None for the study's own number.
        mosaics: of a start; None for the study's own number.
        seeds: runs of each arm.
        say: takes a line about what is going on.

    Raises:
        InputError: no such study.
    """
    chosen = study(name)
    samples = chosen.samples if samples is None else samples
    mosaics = chosen.mosaics if mosaics is None else mosaics
    prepare(folder / "data", say)
    found: dict[tuple[str, TaskName, str], list[Scores]] = {}
    for seed in range(seeds):
        for arm in chosen.arms:
            for measured, scores in _measured(
                arm, folder, samples=samples, mosaics=mosaics, seed=seed, say=say
            ).items():
                found.setdefault((arm, *measured), []).append(scores)
    pointing = {
        arm: tuple(
            _pointing(_start_folder(ARMS[arm].start, folder, mosaics=mosaics, seed=seed))
            for seed in range(seeds)
        )
        for arm in chosen.arms
        if ARMS[arm].times
    }
    lines = _lines(chosen, found, samples, pointing)
    disk.write(
        folder / f"{name}.json",
        strict_json.dumps(
            {"study": name} | asdict(chosen) | {"lines": [asdict(x) for x in lines]}, indent=1
        ),
    )
    disk.write(folder / f"{name}.md", table(name, lines))
    return lines


def _measured(
    name: str, folder: Path, *, samples: int, mosaics: int, seed: int, say: Say
) -> dict[tuple[TaskName, str], Scores]:
    arm = ARMS[name]
    count = round(samples * arm.times)
    # What is not trained is the same for all seeds.
    out = folder / "arms" / (f"{name}-{count}-{mosaics}-{seed}" if count else name)
    tasks = _tasks(arm)
    answers = {
        (task, measure): out / f"{task}-{measure}.npz"
        for task in tasks
        for measure in (TASKS[task].headline, LOSS)
    }
    if not all(path.is_file() for path in answers.values()):
        if count:
            run = _trained(name, out, folder, samples=count, mosaics=mosaics, seed=seed, say=say)
        else:
            disk.make_folder(out)
            run = arm.change(base(out, name, samples=1, seed=seed, start="nano", model="nano"))
        start = begin(run.model, run.parallel, run.loader.packing, seed=run.seed, device="cpu")
        scored = score(
            run.prompt,
            start,
            folder / "data",
            tasks,
            budget=run.loader.budget,
            bf16=run.parallel.bf16,
        )
        for (task, measure), scores in scored.items():
            with disk.whole(answers[task, measure]) as partial, partial.open("wb") as file:
                np.savez(file, **vars(scores))
            say(f"{name}, seed {seed}: {task} {measure} {scores.values.mean():.3f}")
    loaded = {measured: np.load(path) for measured, path in answers.items()}
    return {
        measured: Scores(one["values"], one["pictures"], one["floor"])
        for measured, one in loaded.items()
    }


def _trained(
    name: str, out: Path, folder: Path, *, samples: int, mosaics: int, seed: int, say: Say
) -> RunConfig:
    """Trains an arm if it is not there; the same run, with the trained model in it."""
    arm = ARMS[name]
    start = _started(arm.start, folder, mosaics=mosaics, seed=seed, say=say)
    model = STARTS[arm.start].model
    run = arm.change(base(out, name, samples=samples, seed=seed, start=str(start), model=model))
    run = replace(run, data=replace(run.data, root=str(folder / "data")))
    if not (out / "export").is_dir():
        say(f"training {name}, seed {seed}: {run.data.samples} samples")
        _train(run)
    return replace(run, model=replace(run.model, source=str(out / "export")))


def _train(run: RunConfig) -> None:
    if (done := train(run)) < run.steps:
        raise Vlm3Error(f"stopped at step {done} of {run.steps}; the same command goes on there")


def _started(name: str, folder: Path, *, mosaics: int, seed: int, say: Say) -> Path:
    """The exported start of that name, made if it is not there."""
    out = _start_folder(name, folder, mosaics=mosaics, seed=seed)
    if not (out / "export").is_dir():
        run = start_run(out, name, samples=mosaics, seed=seed)
        say(f"start {name}, seed {seed}: {run.data.samples} mosaics")
        _train(run)
    return out / "export"


def _start_folder(name: str, folder: Path, *, mosaics: int, seed: int) -> Path:
    return folder / "starts" / f"{name}-{mosaics}-{seed}"


def _pointing(start: Path) -> int | None:
    """Mosaics until the loss of held-out colours was half of what guessing one of eight costs."""
    for line in (start / "log.jsonl").read_text().splitlines():
        entry = json.loads(line)
        # An answer is two tokens, a name and the end, and the end is always the same.
        if entry.get("color_loss", math.inf) < math.log(len(COLORS)) / 2 / 2:
            return int(entry["step"] * entry["samples"])
    return None


def _tasks(arm: Arm) -> tuple[TaskName, ...]:
    """The tasks that an arm learns, and is scored on."""
    parts = arm.change(base(Path(), "", samples=1, seed=0, start="", model="")).data.parts
    return tuple(dict.fromkeys(task for part in parts for task in part.tasks))


def _lines(
    chosen: Study,
    found: dict[tuple[str, TaskName, str], list[Scores]],
    samples: int,
    pointing: dict[str, tuple[int | None, ...]],
) -> tuple[StudyLine, ...]:
    lines = []
    reference = chosen.arms[0]
    for (arm, task, measure), several in found.items():
        if chosen.task not in (None, task):
            continue
        against: Difference | None = None
        apart: tuple[float, ...] = ()
        first = found.get((reference, task, measure), [])
        if arm != reference and first:
            against = difference(_sums(several), _sums(first))
            apart = tuple(
                float(one.values.mean() - other.values.mean())
                for one, other in zip(several, first, strict=True)
            )
        lines.append(
            StudyLine(
                arm=arm,
                says=ARMS[arm].says,
                task=task,
                measure=measure,
                value=float(np.concatenate([s.values for s in several]).mean()),
                seeds=tuple(float(s.values.mean()) for s in several),
                interval=interval(_sums(several)),
                against=against,
                seeds_against=apart,
                floor=float(np.mean([s.floor.mean() for s in several])),
                pointing=pointing.get(arm, ()),
                samples=round(samples * ARMS[arm].times),
                questions=len(several[0].values),
            )
        )
    return tuple(lines)


def _sums(several: Sequence[Scores]) -> Sums:
    return Sums.of(
        np.concatenate([s.values for s in several]), np.concatenate([s.pictures for s in several])
    )


def table(name: str, lines: Sequence[StudyLine]) -> str:
    """A study as a Markdown table below its question."""
    chosen = study(name)
    rows = [
        f"**{name}**: {chosen.asks} Alike: {chosen.equal}. Paper: {chosen.paper}.",
        "",
        "| arm | mosaics until grounded | samples | measure | value [95 %] (each seed) "
        f"| minus `{chosen.arms[0]}` [95 %] (each seed) | floor |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in lines:
        value = f"{_short(line.value)}{_span(line.interval)}{_each(line.seeds)}"
        apart = line.against
        against = (
            ""
            if apart is None
            else f"{_short(apart.value, '+')}{_span(apart.interval, '+')}"
            f"{_each(line.seeds_against, '+')}"
        )
        pointing = ", ".join("never" if n is None else str(n) for n in line.pointing)
        rows.append(
            f"| `{line.arm}`: {line.says} | {pointing} | {line.samples} "
            f"| {line.task} {line.measure} | {value} | {against} | {_short(line.floor)} |"
        )
    return "\n".join(rows) + "\n"


def _each(values: Sequence[float], sign: str = "") -> str:
    """The seeds' own values, where there are several."""
    return f" ({', '.join(_short(v, sign) for v in values)})" if len(values) > 1 else ""


def _short(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3f}" if abs(value) < 2 else f"{value:{sign}.1f}"


def _span(found: Any, sign: str = "") -> str:
    return "" if found is None else f" [{_short(found.low, sign)}, {_short(found.high, sign)}]"
