"""The demo: all four tasks on the photographs in the package, as figures, a page and a file.

Knows no model internals and no task.
"""

import time
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vlm3
from vlm3 import disk
from vlm3.assets import load_example
from vlm3.cli.demo_report import (
    ShownTask,
    demo_page,
    facts,
    notes,
    summary,
    write_answers,
)
from vlm3.cli.demo_tasks import DEMO_TASKS, DemoTask
from vlm3.errors import InputError
from vlm3.tasks.protocol import Protocol
from vlm3.viz.report import write_report
from vlm3.viz.style import require_matplotlib, save_figure

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor

REPORT = "report.html"
ANSWERS = "answers.jsonl"


def run(
    out_dir: str | PathLike[str],
    *,
    model: str = "nano",
    predictor: "Predictor | None" = None,
    echo: Callable[[str], object] = print,
    **loading: Any,
) -> dict[str, Path]:
    """Ask a model everything about the example pictures and write what came back.

    The folder is made when missing. Files of the demo's own names in it are replaced, nothing else
    is touched. A task that the model's protocol does not have is left out, and the summary says so.

    Args:
        out_dir: where the four figures, `report.html` and `answers.jsonl` go.
        model: what `vlm3.load` takes.
        predictor: used instead of loading `model`, which then only names it.
        echo: receives the lines of the summary.
        loading: everything else that `vlm3.load` takes.

    Returns:
        What was written: task, "report" and "answers" -> path.

    Raises:
        InputError: the folder cannot be made or written, the model cannot be loaded, or its
            protocol has none of the tasks.
        MissingDependencyError: matplotlib is not installed.
    """
    require_matplotlib()  # Before a model is loaded and answers, not after.
    folder = Path(out_dir)
    _check_folder(folder)
    began = time.perf_counter()
    predictor = predictor or vlm3.load(model, **loading)
    example = load_example()
    protocol = predictor.protocol
    tasks = _tasks_of(protocol)
    results = [one.ask(predictor, example) for one in tasks]
    about = facts(model, predictor, results, time.perf_counter() - began)
    source = f"model {model}  ·  protocol {protocol.name}"
    disk.make_folder(folder)
    shown = [
        ShownTask(one, result, save_figure(result.draw(source), folder / one.figure))
        for one, result in zip(tasks, results, strict=True)
    ]
    left_out = [
        f"Protocol {protocol.name} does not have the task {one.task.name}, so it was left out."
        for one in DEMO_TASKS
        if one not in tasks
    ]
    page = demo_page(example, shown, [*notes(model), *left_out], about)
    paths: dict[str, Path] = {
        **{one.shown.task.name: one.figure for one in shown},
        "report": write_report(page, folder / REPORT),
        "answers": write_answers(shown, folder / ANSWERS, model),
    }
    for line in [*summary(shown), *_apart(notes(model)), *_apart(left_out)]:
        echo(line)
    for line in ["", "written:", *(f"  {path}" for path in paths.values())]:
        echo(line)
    return paths


def _tasks_of(protocol: Protocol) -> list[DemoTask]:
    """The demo's tasks that a protocol has.

    Raises:
        InputError: there are none.
    """
    tasks = [one for one in DEMO_TASKS if one.task.name in protocol.tasks]
    if not tasks:
        raise InputError(
            f"protocol {protocol.name!r} has none of the demo's tasks, which are "
            f"{', '.join(one.task.name for one in DEMO_TASKS)}; give another --protocol or --model"
        )
    return tasks


def _check_folder(folder: Path) -> None:
    """Refuses a folder in which one of our names is not free or a plain file; makes nothing."""
    for name in (*(one.figure for one in DEMO_TASKS), REPORT, ANSWERS):
        path = folder / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise InputError(f"{path} is not a file that the demo wrote: name another folder")
        disk.check_place(path)


def _apart(lines: Sequence[str]) -> list[str]:
    return ["", *lines] if lines else []
