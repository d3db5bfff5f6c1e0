"""Measures of other groups' benchmarks, where vlm3's own do not fit.

Three kinds: depth whose delta1 is a mean over pictures (DepthVLM-Bench), questions in words whose
categories are columns of someone's table, and the two signs that VRRPI-Bench takes from a pose.
Sources: hanxunyu/DepthVLM eval/eval.py, WangYipu2002/CrossPoint eval/calc_score.py,
kdeng03/lost-in-space src/dataset/base_eval.py, EvolvingLMMs-Lab/lmms-eval lmms_eval/tasks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.eval.benchmark import Benchmark
from vlm3.tasks.metrics import read
from vlm3.tasks.questions import QUESTIONS
from vlm3.tasks.registry import TASKS
from vlm3.tasks.scoring import Measure, Rows

Floats = NDArray[np.float64]

MRA_THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Of VSI-Bench's mean relative accuracy."""


@dataclass(frozen=True)
class Column:
    """A column of a table of answers in words.

    Attributes:
        title: as printed.
        categories: whose questions it is of.
        macro: whether it is the mean of the categories' means.
    """

    title: str
    categories: tuple[str, ...]
    macro: bool = False


@dataclass(frozen=True)
class QuestionSet:
    """How the questions in words of one benchmark are summed up.

    Attributes:
        columns: in the printed order; each category in one.
        overall: "micro" for all questions alike, "macro" for the mean of the categories' means.
        table: the published table, if any.
        column: the published column that this overall stands beside; None for none.
        numbers: right within a quarter, or VSI-Bench's mean relative accuracy.
        forms: whether a question may stand there in several forms, by its id.
    """

    columns: tuple[Column, ...]
    overall: Literal["micro", "macro"] = "micro"
    table: str | None = None
    column: str | None = "Overall"
    numbers: Literal["quarter", "MRA"] = "quarter"
    forms: bool = False


def _each(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, (name,)) for name in names)


_VSI_DIRECTIONS = tuple(f"object_rel_direction_{level}" for level in ("easy", "medium", "hard"))

QUESTION_SETS: Mapping[str, QuestionSet] = MappingProxyType(
    {
        "crosspoint": QuestionSet(
            _each(
                "Fine-grained Grounding",
                "Visibility Reasoning",
                "Correspondence-Judgement",
                "Correspondence-Pointing",
            )
        ),
        "vrrpi": QuestionSet(
            _each("15-20", "30-35", "45-50", "60-65"), table="vrrpi", column="Average"
        ),
        "multispa": QuestionSet(
            (
                Column("Depth, marked dot", ("depth_estimation_dot",)),
                Column("Correspondence, choice", ("visual_correspondence_multiple_choice",)),
                Column(
                    "Movement",
                    tuple(f"{axis}_movement" for axis in ("x", "y", "z", "yaw", "pitch")),
                    macro=True,
                ),
                Column("Distance moved", ("total_distance",)),
                Column("Angle", ("yaw_angle", "pitch_angle"), macro=True),
                Column("Displacement", ("displacement_vector",)),
            ),
            overall="macro",
            column=None,
        ),
        "vsibench": QuestionSet(
            (
                Column("Abs. Dist.", ("object_abs_distance",)),
                Column("Obj. Size", ("object_size_estimation",)),
                Column("Room Size", ("room_size_estimation",)),
                Column("Rel. Dist.", ("object_rel_distance",)),
                Column("Rel. Dir.", _VSI_DIRECTIONS, macro=True),
            ),
            overall="macro",
            table="vsibench",
            column=None,
            numbers="MRA",
        ),
        "3dsrbench": QuestionSet(
            (
                Column("Height", ("height_higher",)),
                Column(
                    "Location", ("location_above", "location_closer_to_camera", "location_next_to")
                ),
                Column(
                    "Orientation",
                    ("orientation_in_front_of", "orientation_on_the_left", "orientation_viewpoint"),
                ),
                Column(
                    "Multi-Object",
                    (
                        "multi_object_closer_to",
                        "multi_object_facing",
                        "multi_object_viewpoint_towards_object",
                        "multi_object_parallel",
                        "multi_object_same_direction",
                    ),
                ),
            ),
            forms=True,
        ),
        "viewspatial": QuestionSet(
            (
                Column("Camera, Rel. Dir.", ("Camera perspective - Relative Direction",)),
                Column("Camera, Obj. Ori.", ("Camera perspective - Object View Orientation",)),
                Column("Person, Obj. Ori.", ("Person perspective - Object View Orientation",)),
                Column("Person, Rel. Dir.", ("Person perspective - Relative Direction",)),
                Column(
                    "Person, Sce. Sim.",
                    ("Person perspective - Scene Simulation Relative Direction",),
                ),
            ),
            table="viewspatial",
        ),
        "omnispatial": QuestionSet(
            (
                Column("Dyn.", ("Manipulation", "Motion_Analysis")),
                Column("Interact", ("Traffic_Analysis", "Localization", "Geospatial_Strategy")),
                Column("Logic", ("Pattern_Recognition", "Geometric_Reasoning")),
                Column("Persp.", ("Egocentric", "Allocentric", "Hypothetical")),
            ),
            table="omnispatial",
        ),
    }
)
"""Benchmark -> how its questions are summed up."""


def measures_of(rows: Rows, benchmark: Benchmark | None) -> list[Measure]:
    """All measures of one task's answers, as the benchmark has them."""
    if benchmark is None:
        return TASKS[rows.task].measures(rows)
    if rows.task == QUESTIONS.name and benchmark.name in QUESTION_SETS:
        return _questions(rows, QUESTION_SETS[benchmark.name])
    found = TASKS[rows.task].measures(rows, label=benchmark.label)
    if benchmark.scoring is not None:
        return _over_pictures(rows, benchmark.scoring)
    if benchmark.name == "vrrpi":
        return [_two_signs(rows, found[0]), *(replace(m, table=None) for m in found)]
    return found


def _over_pictures(rows: Rows, table: str) -> list[Measure]:
    """The mean over pictures of each one's delta1, z against z, then vlm3's own measures.

    A distance and its truth are both turned into z by the same cosine, so their ratio stays.
    """
    own = [replace(m, table=None) for m in TASKS[rows.task].measures(rows)]
    first = replace(own[0], name="delta1, mean over pictures", over_clusters=True, table=table)
    return [first, *own]


def _two_signs(rows: Rows, like: Measure) -> Measure:
    """Whether the camera went to the right side and turned to the right side: cv_eval."""
    turned, true_turned = (-a[:, 6] for a in (rows.predicted, rows.truth))
    moved, true_moved = (a[:, 9] for a in (rows.predicted, rows.truth))
    with np.errstate(invalid="ignore"):
        right = (np.sign(turned) == np.sign(true_turned)) & (np.sign(moved) == np.sign(true_moved))
    return replace(
        like,
        name="side and yaw",
        values=right.astype(np.float64),
        parsed=read(rows.predicted[:, :9]) & read(rows.predicted[:, 9:12]),
        table="vrrpi",
        column="Average",
    )


def _questions(rows: Rows, questions: QuestionSet) -> list[Measure]:
    right, parsed = QUESTIONS.marks(rows)
    place = QUESTIONS.fields.index("number")
    numbers = np.isfinite(rows.truth[:, place])
    if questions.numbers == "MRA" and numbers.any():
        right = right.copy()
        right[numbers] = mra_values(rows.predicted[numbers, place], rows.truth[numbers, place])
    groups = np.array(rows.groups)

    def make(title: str, some: NDArray[np.intp], macro: bool, column: str | None) -> Measure:
        return Measure(
            name=title,
            values=right[some],
            parsed=parsed[some],
            rows=some,
            clusters=rows.clusters[some],
            unit="percent",
            better="higher",
            groups=tuple(groups[some].tolist()) if macro else None,
            table=questions.table if column else None,
            column=column,
        )

    def joined(title: str, keys: list[str]) -> Measure:
        """Of questions that stand there in several forms: right where all of them are."""
        _, group = np.unique(np.array(keys), return_inverse=True)
        whole, read_all = np.ones(group.max() + 1), np.ones(group.max() + 1, dtype=np.bool_)
        np.minimum.at(whole, group, right)
        np.logical_and.at(read_all, group, parsed)
        _, first = np.unique(group, return_index=True)
        found = make(title, first, False, None)
        return replace(found, values=whole, parsed=read_all)

    title = "accuracy" if questions.overall == "micro" else "mean of the categories"
    every = np.arange(len(rows))
    found = [make(title, every, questions.overall == "macro", questions.column)]
    for column in questions.columns:
        some = np.flatnonzero(np.isin(groups, column.categories))
        if len(some):
            found.append(make(column.title, some, column.macro, column.title))
    if questions.forms and any("-" in ident for ident in rows.ids):
        found += [joined(name, [key(i) for i in rows.ids]) for name, key in _FORMS.items()]
    return found


# lmms-eval's 3dsrbench/utils.py: NAME, NAME-1, NAME-flip and NAME-flip-1 are forms of one question.
_FORMS: dict[str, Callable[[str], str]] = {
    "flip": lambda ident: ident.replace("-flip", ""),
    "circular": lambda ident: ident[:13] if "-flip" in ident else ident[:8],
    "flip and circular": lambda ident: ident[:8],
}


def mra_values(predicted: Floats, truth: Floats) -> Floats:
    """(n,) the share of thresholds t for which |p - g| / g <= 1 - t; 0 for a failure."""
    with np.errstate(invalid="ignore"):
        off = np.abs(predicted - truth) / truth
        met: Floats = (off[:, None] <= 1 - MRA_THRESHOLDS).mean(axis=1)
    return met
