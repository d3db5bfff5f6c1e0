"""Pairs of real pictures: where depth and pose put a feature, it is found. Skips without them."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="no OpenCV")

import cv2

from vlm3.curation.launch import curate
from vlm3.curation.prepare import Size
from vlm3.curation.stored import StoredFrame
from vlm3.curation.units import Job
from vlm3.data.dataset import pair_sample
from vlm3.data.decoding import decode
from vlm3.data.shards import Shards
from vlm3.datasets import get_source
from vlm3.datasets.base import RawFrame
from vlm3.geometry.depth import points_from_z
from vlm3.geometry.pose import invert, transform_points

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.mark.parametrize(
    ("source", "name", "median_px", "share"),
    [
        ("folder", "rgbd_hololens_a", 1.8, 0.8),
        ("rgbd-log", "rgbd_open3d", 0.7, 0.9),
        # Its two cameras are not registered to each other; see docs/data_pairs.md.
        ("7scenes", "rgbd_7scenes_redkitchen", 6.0, 0.6),
    ],
)
def test_features_lie_where_depth_and_pose_say(
    tmp_path: Path, source: str, name: str, median_px: float, share: float
) -> None:
    if not (REAL / name).is_dir():
        pytest.skip(f"no ../shared/data/{name}: real pictures under research licences")
    curate(Job(source, REAL / name, tmp_path, size=Size(0.0), per_view=1))
    shards = Shards(tmp_path)
    reader = get_source(source).reader
    (scene,) = reader.scenes(REAL / name)
    raw = {f.key: f for f in reader.frames(REAL / name, scene) if isinstance(f, RawFrame)}
    off: list[float] = []
    for place in range(0, shards.pairs, max(1, shards.pairs // 20)):
        first, second = shards.places(place)
        pair = pair_sample(shards, place, "")
        one, two = (raw[str(shards.notes(k)["frame"])] for k in (first, second))
        xy1, xy2 = features(decode(shards.picture(first)), decode(shards.picture(second)))
        assert one.camera is not None and two.camera is not None
        z = StoredFrame(one, one.camera).depth_z()
        column, row = xy1.astype(int).T
        points = points_from_z(xy1, z[row, column], one.camera)
        found = two.camera.project(transform_points(invert(pair.motion.cam1_from_cam2), points))
        off += np.linalg.norm(found - xy2, axis=1).tolist()
    errors = np.array(off)
    errors = errors[np.isfinite(errors)]
    near = errors[errors < 20]
    assert len(errors) > 300 and len(near) > share * len(errors), (len(near), len(errors))
    assert np.median(near) < median_px, np.median(near)


def features(one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, 2) of features that look alike in both pictures."""
    finder = cv2.SIFT.create(3000)
    (k1, d1), (k2, d2) = (
        finder.detectAndCompute(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None)
        for image in (one, two)
    )
    if d1 is None or d2 is None or len(d2) < 2:
        return np.empty((0, 2)), np.empty((0, 2))
    alike = [m for m, n in cv2.BFMatcher().knnMatch(d1, d2, k=2) if m.distance < 0.7 * n.distance]
    xy1 = np.array([k1[m.queryIdx].pt for m in alike]).reshape(-1, 2) + 0.5
    return xy1, np.array([k2[m.trainIdx].pt for m in alike]).reshape(-1, 2) + 0.5
