"""Real files of real sets through curation; skipped where they are not at hand."""

from pathlib import Path

import numpy as np
import pytest

from vlm3.curation.integrity import check
from vlm3.curation.launch import curate
from vlm3.curation.units import Job
from vlm3.data.decoding import decode
from vlm3.data.shards import Shards

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    ("source", "folder", "pictures", "edges"),
    [
        ("ddad", "ddad_dgp", 27, True),
        ("kitti-object", "kitti_object_a", 7, True),
        ("nuscenes-mmdet3d", "nuscenes_sunrgbd_mmdet3d/nuscenes", 6, False),
        ("depthlm", "ibims1_a", 50, False),
    ],
)
def test_real_files(source: str, folder: str, pictures: int, edges: bool, tmp_path: Path) -> None:
    root = DATA / folder
    if not root.is_dir():
        pytest.skip(f"needs {folder} in shared/data")
    points = 4000 if edges else 100
    outcome = curate(Job(source, root, tmp_path / "out", points=points))
    assert outcome.joined is not None and outcome.joined.samples == pictures
    assert not [unit for unit in outcome.units if unit.failed or unit.skipped]
    assert not [line for line in check(tmp_path / "out") if isinstance(line, str)]
    if edges:
        shards = Shards(tmp_path / "out")
        here, off = zip(*(contrast(shards, k) for k in range(0, pictures, 3)), strict=True)
        # Depth jumps where the picture has edges, and less so when it is laid on askew.
        assert np.mean(here) > 1.03 * np.mean(off)


def contrast(shards: Shards, place: int) -> tuple[float, float]:
    """Edges between labels that lie far apart in depth; the same with labels moved sideways."""
    record = shards.record(place)
    grey = decode(shards.picture(place)).mean(axis=2)
    edge = np.hypot(*np.gradient(grey))
    xy, depth = record.xy_px, np.log(record.distance_m)
    order = np.lexsort((xy[:, 0], xy[:, 1].astype(int) // 4))
    one, two = xy[order[:-1]], xy[order[1:]]
    near = np.abs(two - one).max(axis=1) < 24
    jumps = near & (np.abs(np.diff(depth[order])) > 0.25)
    middle = (one[jumps] + two[jumps]) / 2

    def along(shift: float) -> float:
        x = np.clip(middle[:, 0] + shift, 0, edge.shape[1] - 1).astype(int)
        y = np.clip(middle[:, 1], 0, edge.shape[0] - 1).astype(int)
        columns = np.clip(x[:, None] + np.arange(-6, 7), 0, edge.shape[1] - 1)
        return float(edge[y[:, None], columns].max(axis=1).mean())

    return along(0), (along(40) + along(-40)) / 2
