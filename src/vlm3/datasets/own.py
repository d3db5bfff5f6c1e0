"""Checks of a user's own folder before it becomes labels.

The sets that others publish are right or wrong in known ways, and their adapters know them. A
folder of one's own may be wrong in any way, and the numbers stay plausible: so a few of its files
are read first, evenly spread, and what does not hold together is refused with the likely cause, or
remarked upon. What is right all the same is named in `format.json`: {"accept": ["range"]}.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3.datasets.base import READ_ERRORS, DepthMap, RawFrame
from vlm3.datasets.own_depth import DepthFile, check_shape, read_depth
from vlm3.datasets.own_format import Accepted, or_accept
from vlm3.datasets.pose_survey import groups, survey_poses
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.plausible import check_intrinsics, off_centre, pose_fault
from vlm3.geometry.posed_depth import PosedDepth

Floats = NDArray[np.float64]

_FILES = 12
# Medians of whole scenes: a street has 20 m, a close-up of a table 0.3 m.
NEAREST_M, FARTHEST_M = 0.05, 150.0
_USUAL_M = (0.3, 30.0)
# The most common first.
_UNITS = {0.001: "millimetres", 0.01: "centimetres", 1.0: "metres", 1e-4: "tenths of a millimetre"}
_8_BITS = 256
_FEW = 20
# Of the depth of some pictures, by poses that are right.
_LEAST_FIT = 0.5
_LEAST_PAIRS = 4
_MOST_OFF_SCALE = 1.25


def check_camera(camera: Camera, accept: frozenset[Accepted]) -> None:
    """Refuses a K that is probably not of pictures of this size.

    Raises:
        InputError: it is normalised, of another size, or has a field of view that nobody has.
    """
    check_intrinsics(
        camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px, camera.width_px, camera.height_px,
        fisheye=camera.model == "fisheye",
    )  # fmt: skip
    odd = off_centre(camera.cx_px, camera.cy_px, camera.width_px, camera.height_px)
    if odd is not None and "centre" not in accept:
        raise InputError(odd + or_accept("centre"))


def covering(depth: DepthFile, camera_size: tuple[int, int], accept: frozenset[Accepted]) -> Floats:
    """The values of a depth whose shape is that of its picture.

    Raises:
        InputError: it has another one.
    """
    if "aspect" not in accept:
        height, width = depth.values_m.shape
        try:
            check_shape((height, width), *camera_size)
        except InputError as error:
            raise InputError(f"{error}{or_accept('aspect')}") from error
    return depth.values_m


def check_poses(poses: Mapping[str, Floats]) -> None:
    """Refuses the poses of a scene if one of them can be none: they were written in one way.

    Raises:
        InputError: one is transposed, mirrored or scaled.
    """
    for name, pose in poses.items():
        # Lost frames are marked with NaN; they are left out one by one.
        if np.isfinite(pose).all() and (fault := pose_fault(pose)) is not None:
            raise InputError(f"{fault} (that of {name!r}); poses are world_from_cam, OpenCV axes")


def survey(
    frames: Sequence[RawFrame],
    depths: Mapping[str, Path],
    *,
    unit_m: float | None,
    metric: bool,
    accept: frozenset[Accepted],
) -> list[str]:
    """Looks at a few frames of a scene.

    Args:
        frames: of the scene, in its order.
        depths: their depth files, by the frames' keys.
        unit_m: metres of 1 in them, if the folder says.
        metric: whether lengths are metres.
        accept: checks that the folder's owner takes back.

    Returns:
        Remarks.

    Raises:
        InputError: depths that are no distances, have another unit, or that poses do not fit.
    """
    with_depth = [f for f in frames if f.key in depths]
    if not with_depth:
        return []
    places = np.unique(np.linspace(0, len(with_depth) - 1, _FILES).round().astype(int))
    files = []
    for place in places.tolist():
        try:
            files.append(read_depth(depths[with_depth[place].key], unit_m))
        except READ_ERRORS:
            continue  # That frame is left out by itself, with the reason.
    remarks = _marks(files)
    if "range" not in accept:
        _check_codes(files)
        if metric:
            _check_range(files)
    if "poses" not in accept:
        remarks += _check_poses_by_depth(with_depth)
    return remarks


def check_scale(ratios: Sequence[float], what: str) -> None:
    """Refuses dense depth that is a multiple of what a model's own points say.

    Args:
        ratios: dense over sparse depth at points, of some pictures.
        what: the model's name for messages.

    Raises:
        InputError: half of them are off by more than a quarter.
    """
    if len(ratios) < _REPEATS:
        return
    middle = float(np.median(ratios))
    if not 1 / _MOST_OFF_SCALE < middle < _MOST_OFF_SCALE:
        raise InputError(
            f"the depth files are {middle:.3g} times the depth of {what}'s own points: they have "
            f'another unit; {{"unit_m": ...}} in format.json is the model\'s length of 1 in them'
        )


_REPEATS = 20


def _marks(files: Sequence[DepthFile]) -> list[str]:
    counts: Counter[float] = Counter()
    seen: Counter[float] = Counter()
    for file in files:
        for value, count in file.marks:
            counts[value] += count
            seen[value] += 1
    cells = sum(file.values_m.size for file in files)
    bad = sum(int((np.isinf(f.raw) | (f.raw < 0)).sum()) for f in files)
    ends = sum(int((f.raw == np.iinfo(f.raw.dtype).max).sum()) for f in files if _whole(f))
    remarks = [
        f"{value:.6g} stands in {100 * count / cells:.3g} % of the depth ({seen[value]} of "
        f"{len(files)} files looked at): taken as unknown, not as a distance"
        for value, count in counts.most_common(3)
    ]
    if bad:
        remarks.append(
            f"{100 * bad / cells:.3g} % of the depth is negative or infinite: taken as unknown"
        )
    if ends:
        remarks.append(
            f"{100 * ends / cells:.3g} % of the depth is the largest number of its format (65535 "
            "of 16 bits): taken as unknown"
        )
    return remarks


def _whole(file: DepthFile) -> bool:
    return bool(file.raw.dtype.kind in "iu")


def _check_codes(files: Sequence[DepthFile]) -> None:
    """Refuses what was made for looking at: 8 bits in a wider file, each picture stretched."""
    whole = [f.raw for f in files if _whole(f)]
    for raw in whole:
        levels = np.unique(raw)
        levels = levels[levels > 0]
        if not _FEW < len(levels) <= _8_BITS:
            continue
        step = int(np.gcd.reduce(levels.astype(np.int64)))
        if levels.max() < _8_BITS or step in (256, 257):
            raise InputError(
                "the depth has no more than 256 levels: 8 bits, widened to 16; it was made to be "
                "looked at" + or_accept("range")
            )
    ends = [(int((raw == 65535).sum()), int((raw > 60000).sum())) for raw in whole]
    if len(ends) > 2 and all(0 < at_end < _REPEATS < near for at_end, near in ends):
        raise InputError(
            "every depth picture reaches just to 65535: each was stretched to its own range, so "
            "no unit fits them all" + or_accept("range")
        )
    tops = [float(np.nanmax(f.raw)) for f in files if f.raw.dtype.kind == "f" and f.raw.size]
    if len(tops) > 1 and np.allclose(tops, 1.0, atol=1e-5):
        raise InputError(
            "every depth file reaches just to 1: it is normalised, not in metres"
            + or_accept("range")
        )


def _check_range(files: Sequence[DepthFile]) -> None:
    values = [f.values_m[np.isfinite(f.values_m)] for f in files]
    known = np.concatenate([np.empty(0), *values])
    if not len(known):
        return
    low, middle, high = np.quantile(known, [0.05, 0.5, 0.95])
    if NEAREST_M <= middle <= FARTHEST_M:
        return
    raw = np.concatenate(
        [f.raw[np.isfinite(f.values_m)].astype(np.float64) for f in files if f.raw.size]
    )
    half = float(np.median(raw))
    fits = [unit for unit in _UNITS if _USUAL_M[0] <= half * unit <= _USUAL_M[1]]
    meant = "; what unit has it?"
    if fits:
        named = " or ".join(f"{_UNITS[unit]} ({half * unit:.2g} m)" for unit in fits)
        units = " or ".join(f"{unit:g}" for unit in fits)
        meant = f': is it in {named}? Then put {{"unit_m": {units}}} into format.json'
    raise InputError(
        f"half of the depth is {'beyond' if middle > 1 else 'within'} {middle:.4g} m (5 to 95 %: "
        f"{low:.3g} to {high:.3g} m){meant}" + or_accept("range")
    )


def _check_poses_by_depth(frames: Sequence[RawFrame]) -> list[str]:
    posed = [f for f in frames if f.world_from_cam is not None and f.camera is not None]
    if len(posed) < 2:
        return []
    poses = np.array([f.world_from_cam for f in posed])
    if len(posed) > 2 and np.ptp(poses, axis=0).max() == 0:
        return ["all poses are the same: the camera stood still, or they are missing"]
    runs = [
        [view for k in run if (view := _survey_view(posed[k])) is not None]
        for run in groups(len(posed))
    ]
    found = survey_poses(runs)
    if found.better is not None:
        raise InputError(
            f"poses and depth do not fit: moved by them as they stand, one picture's depth "
            f"agrees with another's to {found.fit:.0%}, but to {found.better_fit:.0%} if "
            f"{found.better}" + or_accept("poses")
        )
    if found.pairs >= _LEAST_PAIRS and found.fit < _LEAST_FIT:
        return [
            f"poses and depth fit badly ({found.fit:.0%}): K, poses, their order or the unit of "
            "depth may be wrong"
        ]
    return []


def _survey_view(frame: RawFrame) -> PosedDepth | None:
    try:
        depth = _depth_of(frame)
    except READ_ERRORS:
        return None
    pose = frame.world_from_cam
    if frame.camera is None or pose is None or not np.isfinite(pose).all():
        return None
    return PosedDepth(depth.grid(frame.camera), depth.along_axis(frame.camera), pose)


def _depth_of(frame: RawFrame) -> DepthMap:
    read: Callable[[], object] | None = frame.depth
    found = read() if read is not None else None
    if not isinstance(found, DepthMap):
        raise InputError(f"{frame.key} has no depth on a grid")
    return found
