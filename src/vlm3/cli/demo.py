"""The demo: all four tasks on the photographs in the package, as figures, a page and a file.

Asks the model through the calls that users make, puts every answer beside its question and the
truth, and hides nothing: what could not be parsed is shown as such. Knows no model internals.
"""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vlm3
from vlm3 import disk, strict_json
from vlm3.assets import Example, ExampleQuestion, load_example
from vlm3.errors import InputError
from vlm3.output.results import read_as
from vlm3.tasks.answers import Answer, ObjectAnswer
from vlm3.tasks.base import TaskName
from vlm3.tasks.truth import all_fields
from vlm3.viz import figures
from vlm3.viz.evidence import (
    Evidence,
    depth_evidence,
    match_evidence,
    object_evidence,
    pose_evidence,
)
from vlm3.viz.report import Report, Section, write_report
from vlm3.viz.style import require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vlm3.infer.predictor import Predictor

REPORT = "report.html"
ANSWERS = "answers.jsonl"
FIGURES: dict[TaskName, str] = {
    "depth": "depth.png",
    "correspondence": "match.png",
    "pose": "pose.png",
    "objects": "objects.png",
}
NANO_NOTE = (
    "nano is a demonstration: 17.6 million parameters, trained from scratch on rendered rooms and "
    "streets, without one photograph. About half of its distances in rooms are within a factor "
    "1.25; roads it reads as too near. For real work load a released checkpoint, or your own."
)
_TITLES: dict[TaskName, str] = {
    "depth": "Distance at pixels",
    "correspondence": "Pixel correspondence",
    "pose": "Camera motion",
    "objects": "Objects",
}
_TEXTS: dict[TaskName, str] = {
    "depth": "How far is the point at a pixel from the camera? The truth was measured by a depth "
    "camera. An answer counts as right within a factor 1.25 of it (δ1, the paper's score).",
    "correspondence": "Where is a pixel of picture 1 seen in picture 2? Lines with dotted ends "
    "are the predictions, crosses the truth.",
    "pose": "How did the camera move and turn from picture 1 to picture 2? Both are drawn in "
    "camera 1's frame: x right, y down, z forward.",
    "objects": "Questions about regions, which are named by their corners in text. The boxes are "
    "drawn for you; the model sees the plain picture. A length counts as right within 25 %.",
}
_MOST_ROWS = 6


@dataclass(frozen=True)
class _Done:
    """One task's answers with their truths, the evidence, and what draws the figure."""

    task: TaskName
    answers: Sequence[tuple[Answer, dict[str, Any]]]
    evidence: tuple[Evidence, ...]
    draw: "Callable[[str], Figure]"


def run(
    out_dir: str | PathLike[str],
    *,
    model: str = "nano",
    protocol: str | None = None,
    device: str | None = None,
    base_url: str | None = None,
    predictor: "Predictor | None" = None,
    echo: Callable[[str], object] = print,
) -> dict[str, Path]:
    """Ask a model everything about the example pictures and write what came back.

    The folder is made when missing. Files of the demo's own names in it are replaced, nothing else
    is touched. A task that the model's protocol does not have is left out, and the summary says so.

    Args:
        out_dir: where the four figures, `report.html` and `answers.jsonl` go.
        model: what `vlm3.load` takes.
        protocol: likewise.
        device: likewise.
        base_url: likewise.
        predictor: used instead of loading `model`, which then only names it.
        echo: receives the lines of the summary.

    Returns:
        What was written: task, "report" and "answers" -> path.

    Raises:
        InputError: the folder cannot be made or written, or the model cannot be loaded.
        MissingDependencyError: matplotlib is not installed.
    """
    require_matplotlib()  # Before a model is loaded and answers, not after.
    folder = _folder(Path(out_dir))
    began = time.perf_counter()
    asked = predictor or vlm3.load(model, protocol=protocol, device=device, base_url=base_url)
    example = load_example()
    tasks = [task for task in _ASK if task in asked.protocol.tasks]
    done = [_ASK[task](asked, example) for task in tasks]
    seconds = time.perf_counter() - began
    facts = _facts(model, asked, done, seconds)
    source = f"model {model}  ·  protocol {asked.protocol.name}"
    paths: dict[str, Path] = {
        one.task: figures.save_figure(one.draw(source), folder / FIGURES[one.task]) for one in done
    }
    left_out = [
        f"Protocol {asked.protocol.name} does not have the task {task}, so it was left out."
        for task in _ASK
        if task not in tasks
    ]
    paths["report"] = write_report(
        _report(example, done, paths, [*_notes(model), *left_out], facts), folder / REPORT
    )
    paths["answers"] = _write_answers(done, folder / ANSWERS, model)
    for line in [*_summary(done), *_apart(_notes(model)), *_apart(left_out), *_where(paths)]:
        echo(line)
    return paths


def _folder(folder: Path) -> Path:
    """The folder, made if missing, in which every name of ours is free or a plain file."""
    disk.make_folder(folder)
    for name in (*FIGURES.values(), REPORT, ANSWERS):
        path = folder / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise InputError(f"{path} is not a file that the demo wrote: name another folder")
    return folder


# --- asking --------------------------------------------------------------------------------


def _ask_depth(asked: "Predictor", example: Example) -> _Done:
    view = example.views[0]
    answer = asked.depth(view, example.points_xy_px)
    truth_m, labels = example.points_distance_m, example.point_labels
    truth = {
        "labels": labels,
        "distance_m": truth_m.tolist(),
        "depth_z_m": example.points_depth_z_m.tolist(),
    }
    return _Done(
        "depth",
        [(answer, truth)],
        tuple(depth_evidence(answer, labels, truth_m)),
        lambda source: figures.depth_figure(
            view, answer, truth_distance_m=truth_m, labels=labels, source=source
        ),
    )


def _ask_match(asked: "Predictor", example: Example) -> _Done:
    answer = asked.match(*example.views, example.matches_xy_1_px)
    truth_px, labels = example.matches_xy_2_px, example.match_labels
    return _Done(
        "correspondence",
        [(answer, {"labels": labels, "xy_px": truth_px.tolist()})],
        tuple(match_evidence(answer, labels, truth_px)),
        lambda source: figures.match_figure(
            *example.views, answer, truth_xy_px=truth_px, source=source
        ),
    )


def _ask_pose(asked: "Predictor", example: Example) -> _Done:
    answer = asked.pose(*example.views)
    truth = {
        "yaw_pitch_roll_deg": example.pose.yaw_pitch_roll_deg.tolist(),
        "direction": None if example.pose.direction is None else example.pose.direction.tolist(),
        "distance_m": example.pose.distance_m,
        "cam1_from_cam2": example.pose.cam1_from_cam2.tolist(),
    }
    return _Done(
        "pose",
        [(answer, truth)],
        tuple(pose_evidence(answer, example.pose)),
        lambda source: figures.pose_figure(
            example.views, answer, truth=example.pose, source=source
        ),
    )


def _ask_objects(asked: "Predictor", example: Example) -> _Done:
    view = example.views[0]
    answers, items = [], []
    for question in example.questions:
        answer = asked.ask(view, question.question, question.boxes_xyxy_px)
        evidence = object_evidence(answer, _in_words(question), question.truth)
        answers.append((answer, all_fields(question.truth)))
        items.append(figures.ObjectItem(question.question, answer, evidence))
    return _Done(
        "objects",
        answers,
        tuple(item.evidence for item in items),
        lambda source: figures.object_figure(view, items, source=source),
    )


def _in_words(question: ExampleQuestion) -> str:
    """The question for people: with the objects' names, which the model does not see."""
    return question.question.format(*(f"the {label}" for label in question.labels))


_ASK: dict[TaskName, "Callable[[Predictor, Example], _Done]"] = {
    "depth": _ask_depth,
    "correspondence": _ask_match,
    "pose": _ask_pose,
    "objects": _ask_objects,
}


# --- telling -------------------------------------------------------------------------------


def _notes(model: str) -> list[str]:
    return [NANO_NOTE] if model == "nano" else []


def _facts(model: str, asked: "Predictor", done: Sequence[_Done], seconds: float) -> dict[str, str]:
    prep = asked.protocol.prep
    answers = [answer for one in done for answer, _ in one.answers]
    readouts = dict.fromkeys(a.readout for a in answers if not isinstance(a, ObjectAnswer))
    side = "long side" if prep.kind == "long_side" else "focal length"
    return {
        "model": model,
        "protocol": asked.protocol.name,
        "pictures shown at": f"{side} {prep.target_px:g} px",
        **({"numbers": ", ".join(map(read_as, readouts))} if readouts else {}),
        "engine": asked.engine.name,
        "loaded and answered in": f"{seconds:.1f} s",
        "vlm3": vlm3.__version__,
        "torch": _version("torch"),
        "transformers": _version("transformers"),
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _report(
    example: Example,
    done: Sequence[_Done],
    paths: dict[str, Path],
    notes: Sequence[str],
    facts: dict[str, str],
) -> Report:
    sections = tuple(
        Section(
            title=_TITLES[one.task],
            text=_TEXTS[one.task],
            figures=((paths[one.task], f"{_TITLES[one.task]}: the answers below, drawn"),),
            evidence=one.evidence,
        )
        for one in done
    )
    return Report(
        title="vlm3: 3D questions, answered in text",
        notes=(
            "Every number below was written by a vision language model as text. Each row shows "
            "the exact question, the raw answer, what was read from it, and the truth.",
            *notes,
        ),
        facts=facts,
        sections=sections,
        credit=example.credit,
    )


def _write_answers(done: Sequence[_Done], path: Path, model: str) -> Path:
    """One JSON object a line: task, model, the answer's own fields, and the truth."""
    lines = [
        strict_json.dumps({"model": model, **answer.to_json(), "truth": truth}, ensure_ascii=False)
        for one in done
        for answer, truth in one.answers
    ]
    return disk.write(path, "".join(f"{line}\n" for line in lines))


def _summary(done: Sequence[_Done]) -> list[str]:
    """The table for the terminal: a few rows a task; the page has all of them."""
    rows = [("", "predicted", "truth", "error")]
    for one in done:
        rows.append((_TITLES[one.task].upper(), "", "", ""))
        rows += [
            (f"  {line.what}", line.value or "not parsed", line.truth or "", _verdict(line))
            for line in one.evidence[:_MOST_ROWS]
        ]
        more = len(one.evidence) - _MOST_ROWS
        if more > 0:
            rows.append((f"  … and {more} more in the report", "", "", ""))
    widths = [max(len(row[k]) for row in rows) for k in range(4)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _verdict(line: Evidence) -> str:
    if line.error:
        return line.error
    return "" if line.good is None else ("right" if line.good else "wrong")


def _where(paths: dict[str, Path]) -> list[str]:
    return ["", "written:", *(f"  {path}" for path in paths.values())]


def _apart(lines: Sequence[str]) -> list[str]:
    return ["", *lines] if lines else []
