import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlm3 import View
from vlm3.assets import EXAMPLES_DIR, load_example
from vlm3.geometry.covisibility import correspond
from vlm3.geometry.pose import relative_pose, transform_points

SOURCE = Path(__file__).parents[2] / "shared" / "data" / "rgbd_hololens_a"
FRAMES = ("00035", "00039")
needs_source = pytest.mark.skipif(
    not SOURCE.is_dir(), reason="the source sequence (../shared/data/rgbd_hololens_a) is absent"
)


def source_depth_z_m(frame: str) -> np.ndarray:
    return np.asarray(Image.open(SOURCE / "depth" / f"{frame}.png")) / 1000.0


def test_the_pieces_agree_with_each_other() -> None:
    example = load_example()
    for view in example.views:
        assert view.image.shape == (360, 540, 3)
        assert view.intrinsics == "given"
    assert np.allclose(
        relative_pose(*example.world_from_cam), example.pose.cam1_from_cam2, atol=1e-12
    )
    assert 0.3 < example.pose.distance_m < 1.0
    assert 10 < example.pose.angle_deg < 30
    camera = example.views[0].camera
    rays = camera.unproject_z1(example.points_xy_px)
    distance_m = np.linalg.norm(rays, axis=1) * example.points_depth_z_m
    # Both are written with three decimals.
    assert np.allclose(distance_m, example.points_distance_m, atol=2e-3)
    assert len(example.point_labels) == len(example.points_xy_px) == 12
    assert len(example.match_labels) == len(example.matches_xy_2_px) == 8
    for question in example.questions:
        assert question.truth.problem(len(question.labels)) is None
        assert question.question.count("{") == len(question.boxes_xyxy_px) == len(question.labels)


def test_opened_without_a_camera_exif_gives_its_focal_length() -> None:
    for view in load_example().views:
        assert view.path is not None
        opened = View.open(view.path)
        assert opened.intrinsics == "exif"
        assert opened.camera.fx_px == pytest.approx(view.camera.fx_px, rel=0.005)


def test_is_small_and_carries_its_licence() -> None:
    assert sum(path.stat().st_size for path in EXAMPLES_DIR.iterdir()) < 300_000
    assert "Copyright (c) 2020 Arda Duzceker" in (EXAMPLES_DIR / "LICENSE").read_text()
    assert "Arda Duzceker" in load_example().credit
    for path in EXAMPLES_DIR.glob("*.jpg"):
        with Image.open(path) as picture:
            assert "Arda Duzceker" in picture.getexif()[0x8298]


@needs_source
def test_cameras_and_poses_are_the_source_s() -> None:
    K = np.loadtxt(SOURCE / "K.txt")
    rows = [line.split() for line in (SOURCE / "poses.txt").read_text().splitlines()]
    poses = {row[0][:5]: np.array(row[1:], dtype=float).reshape(4, 4) for row in rows}
    example = load_example()
    for frame, view, pose in zip(FRAMES, example.views, example.world_from_cam, strict=True):
        assert np.allclose(view.camera.K[:2, :2], K[:2, :2], atol=1e-9)
        assert np.allclose(view.camera.K[:2, 2], K[:2, 2] + 0.5, atol=1e-9)
        assert np.allclose(pose, poses[frame], atol=2e-5)
        assert np.allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)


@needs_source
def test_points_are_the_median_of_their_neighbourhood() -> None:
    example = load_example()
    depth_z_m = source_depth_z_m(FRAMES[0])
    for (x, y), z in zip(example.points_xy_px, example.points_depth_z_m, strict=True):
        window = depth_z_m[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4]
        valid = window[window > 0]
        assert valid.size >= window.size / 2
        low, high = np.percentile(valid, [10, 90])
        assert (high - low) / np.median(valid) < 0.045
        assert z == pytest.approx(np.median(valid), abs=6e-4)


@needs_source
def test_matches_reproject_and_are_seen_in_picture_2() -> None:
    example = load_example()
    first, second = (source_depth_z_m(frame) for frame in FRAMES)
    camera_1, camera_2 = (view.camera for view in example.views)
    world_1, world_2 = example.world_from_cam
    cam2_from_cam1 = relative_pose(world_2, world_1)
    for xy_1, xy_2 in zip(example.matches_xy_1_px, example.matches_xy_2_px, strict=True):
        col, row = int(xy_1[0]), int(xy_1[1])
        window = first[row - 2 : row + 3, col - 2 : col + 3]
        z = np.median(window[window > 0])
        point = transform_points(cam2_from_cam1, camera_1.unproject_z1(xy_1) * z)
        assert np.linalg.norm(camera_2.project(point) - xy_2) < 0.02
        near = second[int(xy_2[1]) - 2 : int(xy_2[1]) + 3, int(xy_2[0]) - 2 : int(xy_2[0]) + 3]
        assert np.median(near[near > 0]) == pytest.approx(point[2], rel=0.02)


@needs_source
def test_the_library_s_own_correspondences_say_the_same() -> None:
    example = load_example()
    first, second = (source_depth_z_m(frame) for frame in FRAMES)
    world_1, world_2 = example.world_from_cam
    xy_2, visible = correspond(
        example.matches_xy_1_px,
        first,
        example.views[0].camera,
        second,
        example.views[1].camera,
        relative_pose(world_2, world_1),
    )
    assert visible.sum() >= 6  # A single pixel of the sensor's depth may be missing or noisy.
    apart_px = np.linalg.norm(xy_2 - example.matches_xy_2_px, axis=1)[visible]
    assert np.max(apart_px) < 2


@needs_source
def test_object_truth_follows_from_depth() -> None:
    example = load_example()
    depth_z_m = source_depth_z_m(FRAMES[0])

    def surface(box_xyxy_px: np.ndarray) -> np.ndarray:
        x_min, y_min, x_max, y_max = box_xyxy_px.astype(int)
        patch = depth_z_m[y_min:y_max, x_min:x_max]
        rows, cols = np.nonzero(
            np.abs(patch - np.median(patch[patch > 0])) < 0.1 * np.median(patch[patch > 0])
        )
        xy_px = np.stack([cols + x_min, rows + y_min], axis=1) + 0.5
        rays = example.views[0].camera.unproject_z1(xy_px)
        return rays * patch[rows, cols][:, None]

    width, apart, closer, left = example.questions
    across_m = surface(width.boxes_xyxy_px[0])[:, 0]
    assert width.truth.value == pytest.approx(
        np.subtract(*np.percentile(across_m, [99, 1])), abs=0.01
    )
    centres = [np.median(surface(box), axis=0) for box in apart.boxes_xyxy_px]
    assert apart.truth.value == pytest.approx(np.linalg.norm(centres[0] - centres[1]), abs=0.01)
    far = [np.linalg.norm(np.median(surface(box), axis=0)) for box in closer.boxes_xyxy_px]
    assert closer.truth.value == int(np.argmin(far))
    middles_px = left.boxes_xyxy_px[:, [0, 2]].mean(axis=1)
    assert left.truth.value == (middles_px[0] < middles_px[1])


def test_example_json_says_how_truth_was_derived() -> None:
    doc = json.loads((EXAMPLES_DIR / "example.json").read_text())
    assert len(doc["truth"]) >= 5
    assert doc["source"]["licence"].startswith("MIT")
