"""Faults of a scene's labels that its shards still show: units, marks for the sky, K, poses.

What curation asks about before it makes labels (`vlm3.datasets.own`), looked for in labels that
exist: shards may have been made elsewhere, or before these checks. Depth files are gone; a
hundred labels a picture are left, and they tell nearly as much.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vlm3.data.record import Record
from vlm3.data.shards import Shards
from vlm3.datasets.own import FARTHEST_M, NEAREST_M
from vlm3.datasets.pose_survey import groups, survey_poses
from vlm3.errors import InputError
from vlm3.geometry.pixels import pixel_centres
from vlm3.geometry.plausible import off_centre, pose_fault
from vlm3.geometry.posed_depth import PosedDepth

Floats = NDArray[np.float64]

_MOST_READ = 4000
# A depth along the axis that so many labels of a scene share and nothing comes near.
_REPEATED, _REPEATED_SHARE, _GAP = 20, 0.01, 1.5
# Labels laid out as a small depth map, each cell with the nearest label's.
_GRID = (24, 18)
_LEAST_LABELS = 40
# Cells of it that a label speaks for.
_NEAR = 2.0


@dataclass
class _Scene:
    records: list[Record] = field(default_factory=list)
    poses: list[Floats | None] = field(default_factory=list)


def label_faults(shards: Shards) -> Iterator[str]:
    """A line for each fault of a scene; up to 4000 records are read, whole scenes first."""
    scenes: dict[str, _Scene] = {}
    step = max(1, len(shards) // _MOST_READ)
    # Neighbours stay together, so that their poses can be compared.
    for start in range(0, len(shards), step * 64):
        for place in range(start, min(start + 64, len(shards))):
            try:
                record, notes = shards.record(place), shards.notes(place)
            except InputError:
                continue  # Named where every record is checked.
            scene = scenes.setdefault(str(notes.get("scene", "")), _Scene())
            scene.records.append(record)
            scene.poses.append(_pose(notes))
    for name, scene in scenes.items():
        where = f"scene {name}" if name else "labels"
        for text in (_range(scene), _marks(scene), _centre(scene), _poses(scene)):
            if text:
                yield f"{where}: {text}"


def _pose(notes: Mapping[str, object]) -> Floats | None:
    try:
        pose = np.array(notes.get("world_from_cam"), np.float64)
    except (TypeError, ValueError):
        return None
    return pose if pose.shape == (4, 4) and np.isfinite(pose).all() else None


def _range(scene: _Scene) -> str | None:
    known = [r.distance_m for r in scene.records if r.metric and len(r.distance_m)]
    if not known:
        return None
    middle = float(np.median(np.concatenate(known)))
    if NEAREST_M <= middle <= FARTHEST_M:
        return None
    return (
        f"half of the distances are {'beyond' if middle > 1 else 'within'} {middle:.4g} m: "
        "probably in another unit"
    )


def _marks(scene: _Scene) -> str | None:
    z = np.concatenate([np.empty(0), *(_depth_z(r) for r in scene.records)])
    z = z[np.isfinite(z)]
    if len(z) < _REPEATED:
        return None
    far = float(z.max())
    # Distances are rounded to a tenth of a millimetre, pixels to four digits.
    here = z > far * (1 - 1e-4)
    rest = z[~here]
    often = here.sum() >= max(_REPEATED, _REPEATED_SHARE * len(z))
    if often and len(rest) and far > _GAP * rest.max():
        return (
            f"{100 * here.mean():.2g} % of the labels have the depth {far:.5g} m and none comes "
            f"near: a mark for the sky or for unknown, not a distance"
        )
    return None


def _depth_z(record: Record) -> Floats:
    if not len(record.xy_px):
        return np.empty(0)
    z: Floats = record.distance_m * record.camera.unproject(record.xy_px)[:, 2]
    return z


def _centre(scene: _Scene) -> str | None:
    odd = [
        text
        for r in scene.records
        if (
            text := off_centre(
                r.camera.cx_px, r.camera.cy_px, r.camera.width_px, r.camera.height_px
            )
        )
    ]
    return Counter(odd).most_common(1)[0][0] if len(odd) > len(scene.records) / 2 else None


def _poses(scene: _Scene) -> str | None:
    posed = [
        (record, pose)
        for record, pose in zip(scene.records, scene.poses, strict=True)
        if pose is not None
    ]
    for _, pose in posed:
        if (fault := pose_fault(pose)) is not None:
            return fault
    known = [(r, pose) for r, pose in posed if len(r.xy_px) >= _LEAST_LABELS]
    runs = [[_view(*known[k]) for k in run] for run in groups(len(known))] if known else []
    found = survey_poses(runs)
    if found.better is None:
        return None
    return (
        f"poses and labels do not fit: {found.fit:.0%} as the poses stand, {found.better_fit:.0%} "
        f"if {found.better}"
    )


def _view(record: Record, pose: Floats) -> PosedDepth:
    """The labels of a picture as a coarse depth map: each cell has the nearest label's depth."""
    camera = record.camera.resized(*_GRID)
    xy = record.xy_px * [camera.width_px / record.camera.width_px,
                         camera.height_px / record.camera.height_px]  # fmt: skip
    centres = pixel_centres(*_GRID).reshape(-1, 2)
    off = np.linalg.norm(centres[:, None] - xy[None], axis=-1)
    nearest = off.argmin(axis=1)
    z = np.where(off.min(axis=1) < _NEAR, _depth_z(record)[nearest], np.nan)
    return PosedDepth(camera, z.reshape(_GRID[1], _GRID[0]), pose)
