"""The metrics of the published tables: arrays in, a number out.

What was not read comes in as NaN. By default such a failure counts against the model, in the way
each function states; `valid_only=True` leaves failures out, for the second figure. Nothing at all
to score raises. The `_values` functions give one number a sample whose plain mean is the metric:
that is what bootstrap and paired comparison resample.

Sources, with their traps: DepthLM utils/metrics.py (delta), the `benchmark` branch of UFM (EPE),
VGGT evaluation/test_co3d.py and Depth-Anything-3 bench/utils.py (AUC), AnjieCheng/SpatialRGPT
scripts/srgpt/eval (objects). Knows no text and no files.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vlm3.errors import InputError
from vlm3.geometry.pose import direction_error_deg, rotation_error_deg

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DELTA_BASE = 1.25
EPE_LONG_PX, EPE_SHORT_PX = 560.0, 420.0
"""The picture size in whose pixels the published EPEs are (UFM): 560x420, portrait 420x560."""
AUC_MAX_DEG = 30
POSE_FAILURE_DEG = 180.0
DIRECTION_SIGNS = Literal["free", "signed"]
DIRECTION_FRAME = Literal["camera 1", "camera 2"]


def delta(
    predicted_m: ArrayLike, truth_m: ArrayLike, *, power: int = 1, valid_only: bool = False
) -> float:
    """The share of samples with max(p/g, g/p) < 1.25 ** power; failures count as wrong.

    Over all samples of all pictures, no scale alignment. A prediction must be positive: the
    published script also takes negative ones for right.

    Args:
        predicted_m: (n,) metres, NaN where unread.
        truth_m: (n,) metres, positive.
        power: 1, 2 or 3.
        valid_only: leave out what was not read.

    Raises:
        InputError: nothing to score, shapes that differ, or a truth that is not positive.
    """
    return mean(delta_values(predicted_m, truth_m, power=power), predicted_m, valid_only)


def delta_bands(predicted_m: ArrayLike, truth_m: ArrayLike) -> NDArray[np.int64]:
    """(n,) 0 where δ1 counts the prediction, 1 where δ2 does and δ1 does not, ...; 3 where none."""
    within = [delta_values(predicted_m, truth_m, power=power) for power in (1, 2, 3)]
    return np.asarray(3 - np.sum(within, axis=0), dtype=np.int64)


def delta_values(predicted_m: ArrayLike, truth_m: ArrayLike, *, power: int = 1) -> Floats:
    """(n,) 1 where the prediction is within 1.25 ** power of the truth, else 0."""
    p, g = _lengths(predicted_m, truth_m)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(p / g, g / p)
    return ((p > 0) & (ratio < DELTA_BASE**power)).astype(np.float64)


def abs_rel(predicted_m: ArrayLike, truth_m: ArrayLike, *, valid_only: bool = False) -> float:
    """Mean of |p - g| / g; a failure counts as 0 m, an error of 1."""
    return mean(abs_rel_values(predicted_m, truth_m), predicted_m, valid_only)


def abs_rel_values(predicted_m: ArrayLike, truth_m: ArrayLike) -> Floats:
    """(n,) relative errors; 1 for a failure."""
    p, g = _lengths(predicted_m, truth_m)
    return np.abs(np.where(np.isfinite(p), p, 0.0) - g) / g


def rmse(predicted_m: ArrayLike, truth_m: ArrayLike, *, valid_only: bool = False) -> float:
    """Root of the mean squared error in metres; a failure counts as 0 m."""
    squares = squared_values(predicted_m, truth_m)
    return float(np.sqrt(mean(squares, predicted_m, valid_only)))


def squared_values(predicted_m: ArrayLike, truth_m: ArrayLike) -> Floats:
    """(n,) squared errors in square metres; a failure as 0 m."""
    p, g = _lengths(predicted_m, truth_m)
    squares: Floats = (np.where(np.isfinite(p), p, 0.0) - g) ** 2
    return squares


def epe_values(xy_px: ArrayLike, truth_xy_px: ArrayLike, size_px: ArrayLike) -> Floats:
    """(n,) end-point errors in the pixels of a 560x420 picture.

    The paper says only that its EPE is rescaled to UFM's range; here each axis is scaled by its own
    factor, which is exact for 4:3 pictures. A failure counts as the centre of the picture.

    Args:
        xy_px: (n, 2) predicted pixels of the second picture, NaN where unread.
        truth_xy_px: (n, 2) where they are.
        size_px: (n, 2) or (2,) width and height of the second picture.
    """
    xy, truth = _rows(xy_px, truth_xy_px, 2)
    size = np.broadcast_to(np.asarray(size_px, dtype=np.float64), xy.shape)
    if not (size > 0).all():
        raise InputError("a picture's width and height must be positive")
    found = np.where(np.isfinite(xy).all(axis=1, keepdims=True), xy, size / 2)
    landscape = size[:, :1] >= size[:, 1:]
    scale = np.where(landscape, (EPE_LONG_PX, EPE_SHORT_PX), (EPE_SHORT_PX, EPE_LONG_PX)) / size
    errors: Floats = np.linalg.norm((found - truth) * scale, axis=1)
    return errors


def epe_px(
    xy_px: ArrayLike, truth_xy_px: ArrayLike, size_px: ArrayLike, *, valid_only: bool = False
) -> float:
    """Mean end-point error over all samples of all pairs; see `epe_values`."""
    return mean(epe_values(xy_px, truth_xy_px, size_px), xy_px, valid_only)


def outliers(
    xy_px: ArrayLike,
    truth_xy_px: ArrayLike,
    size_px: ArrayLike,
    *,
    above_px: float,
    valid_only: bool = False,
) -> float:
    """The share of samples whose end-point error is more than 1, 2 or 5 px; failures count."""
    errors = outlier_values(xy_px, truth_xy_px, size_px, above_px=above_px)
    return mean(errors, xy_px, valid_only)


def outlier_values(
    xy_px: ArrayLike, truth_xy_px: ArrayLike, size_px: ArrayLike, *, above_px: float
) -> Floats:
    """(n,) 1 where the end-point error is above, or nothing was read, else 0."""
    errors = epe_values(xy_px, truth_xy_px, size_px)
    return (~read(xy_px) | (errors > above_px)).astype(np.float64)


def pose_errors_deg(
    rotation: ArrayLike,
    direction: ArrayLike,
    truth_rotation: ArrayLike,
    truth_direction: ArrayLike,
    *,
    signs: DIRECTION_SIGNS = "free",
    frame: DIRECTION_FRAME = "camera 1",
) -> Floats:
    """(n,) larger one of rotation and direction error; 180 where either was not read.

    Args:
        rotation: (n, 3, 3) predicted, NaN where unread.
        direction: (n, 3) predicted, NaN where unread.
        truth_rotation: (n, 3, 3).
        truth_direction: (n, 3); NaN where the camera did not move: the rotation alone counts.
        signs: "free" takes v and -v for the same, as the benchmarks do; "signed" does not.
        frame: in whose axes directions are compared, each pose's by its own rotation. "camera 1" is
            where camera 2 stands, as VGGT and MapAnything measure; "camera 2" is where camera 1
            stands seen from camera 2, the translation of the extrinsics, as Depth Anything 3 does
            (bench/utils.py): there an error of the rotation is one of the direction too.
    """
    R, true_R = (np.asarray(a, dtype=np.float64) for a in (rotation, truth_rotation))
    if R.shape != true_R.shape or R.shape[1:] != (3, 3):
        raise InputError(f"rotations have shapes {R.shape}, {true_R.shape}; give (n, 3, 3) twice")
    t, true_t = _rows(direction, truth_direction, 3)
    if len(t) != len(R):
        raise InputError(f"{len(R)} rotations but {len(t)} directions")
    if frame == "camera 2":
        t, true_t = (-np.einsum("nji,nj->ni", a, b) for a, b in ((R, t), (true_R, true_t)))
    turned = rotation_error_deg(R, true_R)
    moved = direction_error_deg(t, true_t, sign_free=signs == "free")
    moved = np.where(np.isnan(true_t).any(axis=1), 0.0, moved)
    both = np.maximum(turned, moved)
    return np.where(np.isnan(both), POSE_FAILURE_DEG, both)


def pose_auc(
    errors_deg: ArrayLike,
    *,
    max_deg: int = AUC_MAX_DEG,
    form: Literal["histogram", "exact"] = "histogram",
) -> float:
    """Area under the share of pairs within an error, from 0 to `max_deg` degrees, 0 to 1.

    Args:
        errors_deg: (n,) from `pose_errors_deg`; all stay in the denominator.
        max_deg: whole degrees.
        form: "histogram" sums whole-degree bins from above, as VGGT, DA3 and MapAnything do
            (which direction they compare differs: `pose_errors_deg`); "exact" is the integral, up
            to half a bin lower.
    """
    return mean(auc_values(errors_deg, max_deg=max_deg, form=form))


def auc_values(
    errors_deg: ArrayLike,
    *,
    max_deg: int = AUC_MAX_DEG,
    form: Literal["histogram", "exact"] = "histogram",
) -> Floats:
    """(n,) what each pair adds to the area; their mean is the AUC."""
    errors = np.asarray(errors_deg, dtype=np.float64)
    if np.isnan(errors).any() or (errors < 0).any():
        raise InputError("pose errors must be 0 or more; a failure is 180 degrees")
    if max_deg < 1:
        raise InputError(f"max_deg is {max_deg}; give 1 or more whole degrees")
    if form == "exact":
        return np.asarray(np.maximum(0.0, 1 - errors / max_deg))
    # The last bin holds its upper edge, as numpy.histogram's does.
    bins = np.where(errors == max_deg, max_deg - 1, np.floor(errors))
    return np.asarray(np.maximum(0.0, max_deg - bins) / max_deg)


def length_success_values(said_m: ArrayLike, truth_m: ArrayLike) -> Floats:
    """(n,) 1 where 0.75 g <= p <= 1.25 g, bounds included; failures 0. SpatialRGPT's rule."""
    p, g = _lengths(said_m, truth_m)
    with np.errstate(invalid="ignore"):
        within: Bools = (p >= 0.75 * g) & (p <= 1.25 * g)
    return within.astype(np.float64)


def clock_error_hours(predicted: ArrayLike, truth: ArrayLike) -> Floats:
    """(n,) hours between two directions on the clock, 0 to 6; NaN where unread."""
    gap = np.abs(np.asarray(predicted, dtype=np.float64) - np.asarray(truth, dtype=np.float64)) % 12
    return np.asarray(np.minimum(gap, 12 - gap))


def clock_success_values(predicted: ArrayLike, truth: ArrayLike) -> Floats:
    """(n,) 1 where at most one hour off; failures 0."""
    with np.errstate(invalid="ignore"):
        near: Bools = clock_error_hours(predicted, truth) <= 1
    return near.astype(np.float64)


def macro(values: ArrayLike, groups: ArrayLike) -> float:
    """The mean of each group's mean; the plain mean of all (micro) is `mean`."""
    flat, names = np.asarray(values, dtype=np.float64), np.asarray(groups)
    if flat.shape != names.shape:
        raise InputError(f"{flat.shape} values but {names.shape} groups")
    return mean([mean(flat[names == name]) for name in np.unique(names)])


def mean(
    values: ArrayLike, predictions: ArrayLike | None = None, valid_only: bool = False
) -> float:
    """The mean; with `valid_only`, of those whose prediction was read.

    Raises:
        InputError: there is nothing to average.
    """
    flat = np.asarray(values, dtype=np.float64)
    if valid_only:
        flat = flat[read(predictions if predictions is not None else values)]
    if flat.size == 0:
        what = "no answer could be read" if valid_only else "there are no samples"
        raise InputError(f"{what}, so there is nothing to score")
    return float(flat.mean())


def read(predictions: ArrayLike) -> Bools:
    """(n,) whether all numbers of each prediction (n, ...) are there."""
    p = np.asarray(predictions, dtype=np.float64)
    return np.asarray(np.isfinite(p).reshape(len(p), -1).all(axis=1), dtype=np.bool_)


def _lengths(predicted_m: ArrayLike, truth_m: ArrayLike) -> tuple[Floats, Floats]:
    p, g = (np.asarray(a, dtype=np.float64) for a in (predicted_m, truth_m))
    if p.shape != g.shape or p.ndim != 1:
        raise InputError(f"shapes {p.shape} and {g.shape}; give (n,) predictions and (n,) truths")
    if not (np.isfinite(g) & (g > 0)).all():
        raise InputError("every truth must be a positive length in metres")
    return p, g


def _rows(a: ArrayLike, b: ArrayLike, columns: int) -> tuple[Floats, Floats]:
    first, second = (np.asarray(v, dtype=np.float64) for v in (a, b))
    if first.shape != second.shape or first.ndim != 2 or first.shape[1] != columns:
        raise InputError(f"shapes {first.shape}, {second.shape}; give (n, {columns}) twice")
    return first, second
