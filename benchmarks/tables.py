"""The measured tables of docs/evaluation.md, made again with the models you name.

    python benchmarks/tables.py --data DATA -o OUT --model nano --model sift

DATA holds the folders named in SETS; sets whose folder is absent are left out, and so are sets that
a model cannot answer. Each run is a folder of OUT: stopped, it goes on with the same command; made
before, it is only scored again. The oracle, which says what rounding allows, is always among them.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from vlm3.cli.main import main as vlm3
from vlm3.eval.predictions import FILE
from vlm3.eval.report.rows import Cell, cell_of
from vlm3.eval.score import Score, Scored, TaskScores, score


@dataclass(frozen=True)
class Set:
    """One data set: how tables call it, the benchmark, its folder in DATA, and how many samples."""

    title: str
    benchmark: str
    folder: str | None = None
    count: str | None = None


SETS = (
    Set("worlds, held out", "worlds", count="24"),
    Set("iBims-1", "ibims1", "ibims1_a", "all"),
    Set("KITTI object", "kitti-object", "kitti_object_a"),
    Set("DDAD", "ddad-dgp", "ddad_dgp"),
    Set("nuScenes", "nuscenes-mmdet3d", "nuscenes_sunrgbd_mmdet3d/nuscenes"),
    Set("7-Scenes RedKitchen", "rgbd-pairs", "rgbd_7scenes_redkitchen"),
    Set("HoloLens", "rgbd-pairs", "rgbd_hololens_a"),
)
ORACLE = "oracle"
# Heading -> how the floor's name begins.
FLOORS = {
    "depth": {"best constant": "constant", "own median (oracle)": "median"},
    "correspondence": {"identity": "identity", "centre": "constant"},
    "pose": {"identity": "identity"},
    "objects": {"majority": "majority"},
}
# Task -> beginnings of the names of the scores that make a row each.
ROWS = {
    "depth": ("delta1",),
    "correspondence": ("EPE",),
    "pose": ("AUC@30",),
    "objects": ("accuracy", "success"),
}


def run(one: Set, model: str, data: Path, out: Path) -> Path | None:
    """The folder of a model's run on a set; None where it cannot be made, which vlm3 has said."""
    folder = out / f"{Path(model).name}-{one.folder or one.benchmark}".replace("/", "-")
    command = ["eval", one.benchmark, "--model", model, "-o", str(folder)]
    if one.folder is not None:
        if not (data / one.folder).is_dir():
            print(f"{one.title}: no folder {one.folder}, left out", file=sys.stderr)
            return None
        command += ["--data", str(data / one.folder)]
    if one.count is not None:
        command += ["--count", one.count]
    print(f"{one.title}, {model}", file=sys.stderr)
    try:
        with redirect_stdout(sys.stderr):
            vlm3(command)
    except SystemExit as end:
        if end.code not in (0, 2):
            raise
    return folder if (folder / FILE).is_file() else None


def lines(task: str, runs: dict[str, dict[str, Scored]], models: Sequence[str]) -> Iterator[str]:
    """A table of one task: a line a set and metric, floors and models side by side."""
    shown = [model for model in models if any(part(one, task, model) for one in runs.values())]
    if not shown:
        return
    heads = [task, "metric", "n", *FLOORS[task], *shown]
    yield "| " + " | ".join(heads) + " |"
    yield "|---|---|" + "---:|" * (len(heads) - 2)
    for title, by_model in runs.items():
        found = {model: part(by_model, task, model) for model in shown}
        first = next((one for one in found.values() if one is not None), None)
        if first is None:
            continue
        for metric in (s.name for s in first.scores if is_shown(s.name, task)):
            floors = [floor(first, metric, begins) for begins in FLOORS[task].values()]
            told = [told_by(one, metric) for one in found.values()]
            row = (title, metric, str(n_of(first, metric)), *floors, *told)
            yield "| " + " | ".join(row) + " |"
    yield ""


def is_shown(metric: str, task: str) -> bool:
    """Macro means, and both of depth's labels; not micro, signed or exact forms."""
    return any(metric == name or metric.startswith(f"{name} (") for name in ROWS[task])


def part(by_model: dict[str, Scored], task: str, model: str) -> TaskScores | None:
    """A model's scores in one task, if it has some."""
    tasks = by_model[model].tasks if model in by_model else ()
    return next((one for one in tasks if one.task == task), None)


def told_by(scores: TaskScores | None, metric: str) -> str:
    """A model's cell; empty where it was not asked."""
    return "" if scores is None else cell(scores.scores, metric).whole()


def floor(scores: TaskScores, metric: str, begins: str) -> str:
    """The value of the floor whose name begins so."""
    named = (values for name, values in scores.floors.items() if name.startswith(begins))
    return cell(next(named), metric).text()


def n_of(scores: TaskScores, metric: str) -> int:
    """How many samples a metric is the mean of."""
    return next(s.samples for s in scores.scores if s.name == metric)


def cell(scores: Sequence[Score], metric: str) -> Cell:
    """A metric as reports show it."""
    return cell_of(next(s for s in scores if s.name == metric))


def main() -> None:
    """Runs what is missing, then prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DATA")
    parser.add_argument("--model", action="append", default=[], metavar="M")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="OUT")
    given = parser.parse_args()
    models = [*dict.fromkeys(given.model), ORACLE]
    runs: dict[str, dict[str, Scored]] = {one.title: {} for one in SETS}
    for one in SETS:
        for model in models:
            folder = run(one, model, given.data, given.out)
            if folder is not None:
                runs[one.title][model] = score(folder)
    for task in ROWS:
        print("\n".join(lines(task, runs, models)))


if __name__ == "__main__":
    main()
