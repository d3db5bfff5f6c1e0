"""Floors: what scores without looking at a picture, made from a run's own truths.

No table without them. The constant of each task is the best one there is for the very samples of
the run, so a model that does not beat it has not shown that it looks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vlm3.eval import metrics
from vlm3.eval.predictions import OBJECT_VALUES, Rows

Floats = NDArray[np.float64]

_CANDIDATES = 400


@dataclass(frozen=True, eq=False)
class Floor:
    """A row of a table that needs no model.

    Attributes:
        name: what it does, with the constant it found.
        rows: the run's rows with its answers in place of the model's.
        oracle: whether it knows truths that no predictor has.
    """

    name: str
    rows: Rows
    oracle: bool = False


def floors(rows: Rows) -> list[Floor]:
    """The floors of one task."""
    return _FLOORS[rows.task](rows)


def _depth(rows: Rows) -> list[Floor]:
    labels, distances = rows.truth[:, 1], rows.truth[:, 0]
    constant = best_constant_m(labels)
    mine = np.column_stack(
        [np.full(len(rows), best_constant_m(distances)), np.full(len(rows), constant)]
    )
    medians = np.empty_like(rows.truth)
    order = np.argsort(rows.clusters, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(rows.clusters[order])) + 1):
        medians[part] = np.median(rows.truth[part], axis=0)
    return [
        Floor(f"constant, the best: {constant:.2f} m", replace(rows, predicted=mine)),
        Floor("median of each picture (oracle)", replace(rows, predicted=medians), oracle=True),
    ]


def best_constant_m(truth_m: Floats) -> float:
    """The one length, to the centimetre, that most of the truths are within 1.25 times of."""
    low, high = np.quantile(truth_m, [0.01, 0.99])
    candidates = np.unique(np.round(np.geomspace(low, high, _CANDIDATES), 2))
    candidates = candidates[candidates > 0]
    ordered = np.sort(truth_m)
    # max(c/g, g/c) < 1.25 is an open interval of g around c.
    inside = np.searchsorted(ordered, candidates * metrics.DELTA_BASE, side="left")
    inside -= np.searchsorted(ordered, candidates / metrics.DELTA_BASE, side="right")
    # Of the best ones the middle: the least fitted of them.
    best = np.flatnonzero(inside == inside.max())
    return float(candidates[best[len(best) // 2]])


def _match(rows: Rows) -> list[Floor]:
    xy, size_a, size_b = rows.ask[:, :2], rows.ask[:, 2:4], rows.ask[:, 4:6]
    return [
        Floor("constant: the centre", replace(rows, predicted=size_b / 2)),
        Floor("identity: the same place", replace(rows, predicted=xy / size_a * size_b)),
    ]


def _pose(rows: Rows) -> list[Floor]:
    n = len(rows)
    true_R, true_t = rows.truth[:, :9].reshape(n, 3, 3), rows.truth[:, 9:12]
    R = np.broadcast_to(np.eye(3), (n, 3, 3))
    best: tuple[float, str, Floats] | None = None
    for name, axis in zip(("sideways", "up or down", "along the axis"), np.eye(3), strict=True):
        for sign in (1, -1):
            t = np.broadcast_to(sign * axis, (n, 3))
            scores = [
                metrics.pose_auc(metrics.pose_errors_deg(R, t, true_R, true_t, signs=signs))
                for signs in ("free", "signed")
            ]
            if best is None or sum(scores) > best[0]:
                best = (sum(scores), name, t)
    assert best is not None
    distance = np.full((n, 1), np.median(rows.truth[:, 12]))
    said = np.column_stack([R.reshape(n, 9), best[2], distance])
    return [Floor(f"identity: no turn, {best[1]}", replace(rows, predicted=said))]


def _objects(rows: Rows) -> list[Floor]:
    said = np.full_like(rows.truth, np.nan)
    groups = np.array(rows.groups)
    for group in np.unique(groups):
        for column in range(rows.truth.shape[1]):
            some = (groups == group) & np.isfinite(rows.truth[:, column])
            if some.any():
                truths = rows.truth[some, column]
                # A hit's truth is how many blind answers hit: nobody can guess better unseen.
                hit = OBJECT_VALUES[column] == "hit"
                said[some, column] = truths if hit else _majority(truths, OBJECT_VALUES[column])
    return [Floor("majority answer of each category", replace(rows, predicted=said))]


def _majority(truths: Floats, kind: str) -> float:
    if kind == "value_m" or (kind == "number" and (truths > 0).all()):
        return best_constant_m(truths)
    if kind == "number":
        return float(np.median(truths))
    values, counts = np.unique(truths, return_counts=True)
    return float(values[counts.argmax()])


_FLOORS: dict[str, Callable[[Rows], list[Floor]]] = {
    "depth": _depth,
    "correspondence": _match,
    "pose": _pose,
    "objects": _objects,
}
