"""Check whether a scene's poses and depths agree, and which other reading of the poses would.

What one picture's depth says of another must be what that one's own depth says: points of one are
moved into the other and compared. Poses written the other way round, transposed, in other axes or
another unit still look like poses; only depth decides. The stated reading is doubted when another
one fits much better in nearly all pairs, so that noise alone never refuses a scene.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3.geometry.pose import invert, transform_points
from vlm3.geometry.posed_depth import PosedDepth

Floats = NDArray[np.float64]

_RUNS = 6
_STEPS = (0, 1, 3, 6)
_POINTS = 400
# A relative difference of depth of this much and more does not fit at all.
_TOLERANCE = 0.04
# A reading must show this share of the points to count.
_LEAST_SEEN = 0.3
# A pair decides if one reading fits so well, and another one by so much less.
_LEAST_FIT = 0.3
_LEAST_SPREAD = 0.1
_LEAST_PAIRS = 2
# How much better another reading must fit, and in which share of the pairs.
_CLEAR = 0.15
_MOST_WINS = 0.75

_GL = np.diag([1.0, -1.0, -1.0, 1.0])
_NED = np.array([[0.0, 0, 1, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_BODY = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def _transposed(pose: Floats) -> Floats:
    turned = pose.copy()
    turned[:3, :3] = pose[:3, :3].T
    return turned


def _scaled(factor: float, pose: Floats) -> Floats:
    moved = pose.copy()
    moved[:3, 3] *= factor
    return moved


_READINGS: dict[str, Callable[[Floats], Floats]] = {
    "they are cam_from_world (world to camera): invert them": invert,
    "their rotations are transposed": _transposed,
    "their axes are OpenGL's (Y up, Z backward): multiply by diag(1, -1, -1, 1) on the right": (
        lambda pose: pose @ _GL
    ),
    "they are cam_from_world with OpenGL's axes: invert them, then multiply by "
    "diag(1, -1, -1, 1) on the right": lambda pose: invert(pose) @ _GL,
    "their axes are north-east-down (X forward, Z down)": lambda pose: pose @ _NED,
    "their axes are a robot's (X forward, Z up)": lambda pose: pose @ _BODY,
}
_FLIPS = {"the depth files are upside down": 0, "the depth files are mirrored, left for right": 1}
_FACTORS = (0.001, 0.01, 0.1, 0.2, 0.25, 0.5, 2.0, 4.0, 5.0, 10.0, 100.0, 1000.0)


@dataclass(frozen=True)
class Verdict:
    """What the survey came to.

    Attributes:
        pairs: pairs of pictures that decided between readings.
        fit: how well depths fit as the poses are stated, 0 to 1.
        better: the reading that fits much better; None if the stated one stands.
        better_fit: how well that one, or the best one, fits.
    """

    pairs: int
    fit: float
    better: str | None
    better_fit: float


def groups(count: int) -> list[list[int]]:
    """Places of pictures to look at: short runs, spread over a scene of `count` pictures."""
    found = []
    for start in np.unique(np.linspace(0, max(count - 1, 0), _RUNS).round().astype(int)).tolist():
        first = max(0, min(start, count - 1 - _STEPS[-1]))
        run = sorted({first + step for step in _STEPS if first + step < count})
        if run not in found:
            found.append(run)
    return found


def survey_poses(runs: Sequence[Sequence[PosedDepth]]) -> Verdict:
    """Compares all readings on the pairs within each run of neighbouring views."""
    fits: list[Floats] = []
    stated: list[float] = []
    names = ["", *_READINGS, *(_scale_name(f) for f in _FACTORS), *_FLIPS]
    for run in runs:
        clouds = [_cloud(view) for view in run]
        flipped = [[_flipped(view, axis) for view in run] for axis in _FLIPS.values()]
        for i in range(len(run)):
            for j in range(len(run)):
                if i != j and len(clouds[i]):
                    row = _compare(_readings, run[i], run[j], clouds[i])
                    flips = [_compare(_as_stated, f[i], f[j], _cloud(f[i])) for f in flipped]
                    row = np.concatenate([row, *flips])
                    stated += [row[0]] if np.isfinite(row[0]) else []
                    row = np.nan_to_num(row)
                    if row.max() >= _LEAST_FIT and np.ptp(row) > _LEAST_SPREAD:
                        fits.append(row)
    if len(fits) < _LEAST_PAIRS:
        fit = float(np.mean(stated)) if stated else float("nan")
        return Verdict(len(stated), fit, None, fit)
    table = np.array(fits)
    mean = table.mean(axis=0)
    best = int(mean.argmax())
    wins = float((table[:, best] > table[:, 0]).mean())
    clear = mean[best] > mean[0] + _CLEAR and wins >= _MOST_WINS
    return Verdict(
        len(fits), float(mean[0]), names[best] if best and clear else None, float(mean[best])
    )


def _scale_name(factor: float) -> str:
    if factor == 0.001:
        return "their translations are in millimetres while depth is read as metres"
    return f"their translations fit the depth when multiplied by about {factor:g}"


def _readings(pose: Floats) -> list[Floats]:
    return [pose, *(f(pose) for f in _READINGS.values()), *(_scaled(f, pose) for f in _FACTORS)]


def _cloud(view: PosedDepth) -> Floats:
    known = np.flatnonzero(np.isfinite(view.depth_z))
    if not len(known):
        return np.empty((0, 3))
    chosen = known[np.linspace(0, len(known) - 1, min(_POINTS, len(known))).astype(int)]
    row, column = np.divmod(chosen, view.depth_z.shape[1])
    rays = view.camera.unproject_z1(np.stack([column, row], axis=-1) + 0.5)
    points = rays * view.depth_z[row, column][:, None]
    return points[np.isfinite(points).all(axis=1)]


def _flipped(view: PosedDepth, axis: int) -> PosedDepth:
    return PosedDepth(view.camera, np.flip(view.depth_z, axis), view.world_from_cam)


def _as_stated(pose: Floats) -> list[Floats]:
    return [pose]


def _compare(
    readings: Callable[[Floats], list[Floats]], one: PosedDepth, two: PosedDepth, points: Floats
) -> Floats:
    """How well view one's points fit view two's depth by each reading; NaN where few are seen."""
    fits = []
    for pose1, pose2 in zip(
        readings(one.world_from_cam), readings(two.world_from_cam), strict=True
    ):
        moved = transform_points(invert(pose2) @ pose1, points)
        xy = two.camera.project(moved)
        inside = two.camera.contains(xy)
        column, row = np.where(inside[:, None], xy, 0).astype(np.intp).T
        there = np.where(inside, two.depth_z[row, column], np.nan)
        seen = np.isfinite(there)
        if seen.mean() < _LEAST_SEEN:
            fits.append(np.nan)
            continue
        off = np.abs(moved[seen, 2] - there[seen]) / there[seen]
        fits.append(float(1 - np.minimum(off / _TOLERANCE, 1).mean()))
    return np.array(fits)
