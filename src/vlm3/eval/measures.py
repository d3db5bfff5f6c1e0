"""From packed answers to measures: named per-sample values whose mean is the number in a table.

What each task is measured by, in the order of the tables; the first is the primary one. Knows no
file and no report.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vlm3.eval import metrics
from vlm3.eval.judge import (
    OWN_QUALITATIVE,
    OWN_QUANTITATIVE,
    QUALITATIVE,
    QUANTITATIVE,
    judge,
)
from vlm3.eval.predictions import Rows

Floats = NDArray[np.float64]
Unit = Literal["share", "percent", "pixels", "degrees", "metres"]


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


def measures(rows: Rows, *, label: str = "distance") -> list[Measure]:
    """All measures of one task's answers; `label` is what the published depth label is."""
    if rows.task == "depth":
        return _depth(rows, label)
    return {"correspondence": _match, "pose": _pose, "objects": _objects}[rows.task](rows)


def _depth(rows: Rows, label: str) -> list[Measure]:
    p, g = rows.predicted[:, 0], rows.truth[:, 0]
    plain = _Maker(rows, metrics.read(rows.predicted[:, :1]))
    found = []
    if label != "distance":
        published = metrics.delta_values(rows.predicted[:, 1], rows.truth[:, 1])
        found.append(plain(f"delta1 (label: {label})", published, table="depth"))
    name = "delta1" if label == "distance" else "delta1 (true distance)"
    table = "depth" if label == "distance" else None
    found.append(plain(name, metrics.delta_values(p, g), table=table))
    found += [plain(f"delta{k}", metrics.delta_values(p, g, power=k)) for k in (2, 3)]
    found.append(plain("AbsRel", metrics.abs_rel_values(p, g), better="lower"))
    squares = metrics.squared_values(p, g)
    found.append(plain("RMSE", squares, unit="metres", better="lower", root=True))
    return found


def _match(rows: Rows) -> list[Measure]:
    size = rows.ask[:, 4:6]
    make = _Maker(rows, metrics.read(rows.predicted))
    errors = metrics.epe_values(rows.predicted, rows.truth, size)
    found = [make("EPE", errors, unit="pixels", better="lower", table="correspondence")]
    for above in (1, 2, 5):
        values = metrics.outlier_values(rows.predicted, rows.truth, size, above_px=above)
        found.append(make(f"> {above} px", values, unit="percent", better="lower"))
    return found


def _pose(rows: Rows) -> list[Measure]:
    n = len(rows)
    R, true_R = (a[:, :9].reshape(n, 3, 3) for a in (rows.predicted, rows.truth))
    t, true_t = (a[:, 9:12] for a in (rows.predicted, rows.truth))
    free = metrics.pose_errors_deg(R, t, true_R, true_t)
    signed = metrics.pose_errors_deg(R, t, true_R, true_t, signs="signed")
    da3 = metrics.pose_errors_deg(R, t, true_R, true_t, frame="camera 2")
    still = ~metrics.read(true_t)
    make = _Maker(rows, metrics.read(R) & (still | metrics.read(t)))
    return [
        make("AUC@30", metrics.auc_values(free), unit="percent", table="pose"),
        make("AUC@30 signed", metrics.auc_values(signed), unit="percent"),
        make("AUC@30 exact", metrics.auc_values(free, form="exact"), unit="percent"),
        make("AUC@30 DA3", metrics.auc_values(da3), unit="percent"),
        make("AUC@5", metrics.auc_values(free, max_deg=5), unit="percent"),
    ]


_QUALITATIVE = {**QUALITATIVE, **OWN_QUALITATIVE}
_QUANTITATIVE = {**QUANTITATIVE, **OWN_QUANTITATIVE}


def _objects(rows: Rows) -> list[Measure]:
    marks = judge(rows.predicted, rows.truth)
    make = _Maker(rows, marks.parsed)
    groups = np.array(rows.groups)
    found = []
    for title, kinds, table in (
        ("accuracy", _QUALITATIVE, "qualitative"),
        ("success", _QUANTITATIVE, "quantitative"),
    ):
        some = np.isin(groups, list(kinds))
        if some.any():
            macro = make(title, marks.right, some, unit="percent", macro=True, table=table)
            found.append(macro)
            found.append(make(f"{title}, micro", marks.right, some, unit="percent"))
    # SpatialRGPT's script averages what was answered; beside it a failure costs 1, or 180 degrees.
    lengths = np.isfinite(marks.relative_error)
    if lengths.any():
        errors = partial(make, values=marks.relative_error, some=lengths, better="lower")
        found.append(errors("relative error", macro=True, answered=True, table="relative_error"))
        found.append(errors("relative error, failures as 1", macro=True))
    hours = np.isfinite(marks.clock_error_deg)
    if hours.any():
        errors = partial(make, values=marks.clock_error_deg, some=hours, better="lower")
        found.append(
            errors(
                "clock error",
                unit="degrees",
                answered=True,
                table="clock_error",
                column="Direction",
            )
        )
        found.append(errors("clock error, failures as 180", unit="degrees"))
    for kinds, table in ((_QUALITATIVE, "qualitative"), (_QUANTITATIVE, "quantitative")):
        for kind, column in kinds.items():
            some = groups == kind
            if some.any():
                found.append(
                    make(column, marks.right, some, unit="percent", table=table, column=column)
                )
    return found


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes the measures of one task's rows."""

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
