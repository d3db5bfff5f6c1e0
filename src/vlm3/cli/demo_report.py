"""The demo's results as a page, a file of answers, and a table for the terminal.

Hides nothing: what could not be parsed is shown as such.
"""

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import vlm3
from vlm3 import disk, strict_json
from vlm3.assets import Example
from vlm3.cli.demo_tasks import DemoTask, TaskAnswers
from vlm3.cli.doctor import installed_version
from vlm3.output.results import read_as
from vlm3.tasks.answers import ObjectAnswer
from vlm3.viz.evidence import Evidence
from vlm3.viz.report import ReportPage, ReportSection

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor

NANO_NOTE = (
    "nano is a demonstration: 17.6 million parameters, trained from scratch on rendered rooms and "
    "streets, without one photograph. About half of its distances in rooms are within a factor "
    "1.25; roads it reads as too near. For real work load a released checkpoint, or your own."
)
_MOST_ROWS = 6


class ShownTask(NamedTuple):
    """A task of the demo with its answers and its figure."""

    shown: DemoTask
    result: TaskAnswers
    figure: Path


def notes(model: str) -> list[str]:
    """What a reader must know about the model."""
    return [NANO_NOTE] if model == "nano" else []


def facts(
    model: str, predictor: "Predictor", results: Sequence[TaskAnswers], seconds: float
) -> dict[str, str]:
    """Name -> value: what answered, and how."""
    prep = predictor.protocol.prep
    answers = [answer for result in results for answer, _ in result.answers]
    readouts = dict.fromkeys(a.readout for a in answers if not isinstance(a, ObjectAnswer))
    side = "long side" if prep.kind == "long_side" else "focal length"
    return {
        "model": model,
        "protocol": predictor.protocol.name,
        "pictures shown at": f"{side} {prep.target_px:g} px",
        **({"numbers": ", ".join(map(read_as, readouts))} if readouts else {}),
        "engine": predictor.engine.name,
        "loaded and answered in": f"{seconds:.1f} s",
        "vlm3": vlm3.__version__,
        **{name: installed_version(name) or "not installed" for name in ("torch", "transformers")},
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }


def demo_page(
    example: Example, shown: Sequence[ShownTask], cautions: Sequence[str], facts: dict[str, str]
) -> ReportPage:
    """The whole page."""
    return ReportPage(
        title="vlm3: 3D questions, answered in text",
        notes=(
            "Every number below was written by a vision language model as text. Each row shows "
            "the exact question, the raw answer, what was read from it, and the truth.",
            *cautions,
        ),
        facts=facts,
        sections=tuple(
            ReportSection(
                title=task.title,
                text=task.text,
                figures=((figure, f"{task.title}: the answers below, drawn"),),
                evidence=result.evidence,
            )
            for task, result, figure in shown
        ),
        credit=example.credit,
    )


def write_answers(shown: Sequence[ShownTask], path: Path, model: str) -> Path:
    """One JSON object a line: task, model, the answer's own fields, and the truth."""
    lines = [
        strict_json.dumps({"model": model, **answer.to_json(), "truth": truth}, ensure_ascii=False)
        for one in shown
        for answer, truth in one.result.answers
    ]
    return disk.write(path, "".join(f"{line}\n" for line in lines))


def summary(shown: Sequence[ShownTask]) -> list[str]:
    """The table for the terminal: a few rows a task; the page has all of them."""
    rows = [("", "predicted", "truth", "error")]
    for task, result, _ in shown:
        rows.append((task.title.upper(), "", "", ""))
        rows += [
            (f"  {line.what}", line.value or "not parsed", line.truth or "", _verdict(line))
            for line in result.evidence[:_MOST_ROWS]
        ]
        more = len(result.evidence) - _MOST_ROWS
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
