"""A known room through the whole way: questions, texts, parsers, averaging, fusion, files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, rotation_error_deg, rotation_from_ypr_deg, transform_points
from vlm3.infer.predictor import Predictor
from vlm3.multiview.build import build_scene
from vlm3.multiview.fuse import fuse
from vlm3.multiview.oracle import SceneOracle
from vlm3.tasks.protocol import get_protocol
from vlm3.view import View

CAMERA = Camera.from_fov(80, width_px=64, height_px=48)
PROTOCOL = get_protocol("joint").with_focal(40)
COUNT = 6
Made = tuple[list[View], np.ndarray, list[np.ndarray]]


@pytest.fixture(scope="module")
def room() -> Made:
    """Six views in a box of 6 x 3 x 8 m, looking inwards; distances by hand."""
    rng = np.random.default_rng(0)
    half = np.array([3.0, 1.5, 4.0])
    poses = np.tile(np.eye(4), (COUNT, 1, 1))
    for k in range(COUNT):
        turn = 360 * k / COUNT
        poses[k, :3, :3] = rotation_from_ypr_deg([turn + 180, 6 * (-1) ** k, 2])
        poses[k, :3, 3] = 1.6 * np.sin(np.radians(turn)), 0.1, 1.6 * np.cos(np.radians(turn))
    y, x = np.mgrid[:48, :64] + 0.5
    rays = CAMERA.unproject(np.stack([x, y], -1))
    views, distances = [], []
    for pose in poses:
        ahead = rays @ pose[:3, :3].T
        with np.errstate(divide="ignore"):
            walls = np.maximum((half - pose[:3, 3]) / ahead, (-half - pose[:3, 3]) / ahead)
        distances.append(walls.min(-1))
        views.append(View(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8), CAMERA))
    return views, poses, distances


def predictor(room: Made, disturb: Callable[..., Any] = lambda a, b, T: T) -> Predictor:
    return Predictor(SceneOracle(*room, PROTOCOL, disturb=disturb), PROTOCOL, multiple_px=16)


def test_true_answers_give_the_true_scene(room: Made) -> None:
    views, poses, _ = room
    told: list[int] = []
    made = build_scene(predictor(room), views, grid=(16, 12), progress=told.append)
    truth = invert(poses[0]) @ poses
    # Texts hold a tenth of a degree and a hundredth of a direction and of a metre.
    found = made.cameras.world_from_cam
    assert rotation_error_deg(found[:, :3, :3], truth[:, :3, :3]).max() < 0.15
    assert np.abs(found[:, :3, 3] - truth[:, :3, 3]).max() < 0.03
    assert made.cameras.kept.all() and len(made.motions) == COUNT * (COUNT - 1)
    # Each pair: three questions each way, and 48 distances and matches.
    assert sum(told) == len(made.pairs) * (2 * 3 + 2 * 48) + COUNT * 16 * 12
    # Neighbours round the ring see the same things; pictures across it do not.
    assert {p for p, ok in made.trust.holds.items() if ok} >= {(k, k + 1) for k in range(5)}
    assert made.trust.joined.all() and made.trust.agree.all()
    assert made.trust.loop_deg is not None and made.trust.loop_deg < 0.5
    fused = fuse(made.maps, found)
    assert fused.seen_through == 0
    # Every fused point lies on a wall of the box, in camera 1's frame turned back to the room's.
    walls = np.abs(transform_points(poses[0], fused.cloud.points_m)) - [3.0, 1.5, 4.0]
    assert np.abs(walls.max(1)).max() < 0.12
    assert len(fused.cloud.points_m) < len(fused.points_m) == COUNT * 16 * 12


def test_wild_answers_are_let_go_of(room: Made) -> None:
    views, poses, _ = room
    rng = np.random.default_rng(4)
    wild: list[bool] = []

    def disturb(a: int, b: int, T: np.ndarray) -> np.ndarray:
        wild.append(bool(rng.random() < 0.25))
        out = T.copy()
        if wild[-1]:
            out[:3, :3], out[:3, 3] = Rotation.random(rng=rng).as_matrix(), rng.normal(0, 2, 3)
        return out

    made = build_scene(predictor(room, disturb), views, grid=(4, 3))
    assert 3 < sum(wild) < 15
    assert (made.cameras.kept == ~np.array(wild)).all()
    truth = invert(poses[0]) @ poses
    assert np.abs(made.cameras.world_from_cam[:, :3, 3] - truth[:, :3, 3]).max() < 0.05


def test_a_ghost_that_others_look_through_is_left_out(room: Made) -> None:
    views, poses, distances = room
    ghost = distances[0].copy()
    ghost[:, :32] *= 0.5
    made = build_scene(predictor((views, poses, [ghost, *distances[1:]])), views, grid=(16, 12))
    fused = fuse(made.maps, made.cameras.world_from_cam)
    assert fused.seen_through > 0.6 * 8 * 12
    walls = np.abs(transform_points(poses[0], fused.points_m)) - [3.0, 1.5, 4.0]
    left = np.abs(walls.max(1)) > 0.3
    assert left.sum() < 0.4 * 8 * 12
    kept_true = (fused.view != 0).sum() / ((COUNT - 1) * 16 * 12)
    assert kept_true > 0.95


def test_too_few_and_unread(room: Made) -> None:
    views, _, _ = room
    with pytest.raises(InputError, match="two pictures or more"):
        build_scene(predictor(room), views[:1])
    from vlm3.infer.engines.fakes import ConstantEngine

    silent = Predictor(ConstantEngine("I cannot tell"), PROTOCOL, multiple_px=16)
    with pytest.raises(InputError, match="no readable motion joins picture 2, 3"):
        build_scene(silent, views[:3])


def test_pictures_that_share_nothing_give_no_cloud(room: Made) -> None:
    """Motions without a truth between them: one line instead of maps, whatever averaging keeps."""
    views, _, _ = room
    rng = np.random.default_rng(1)

    def disturb(a: int, b: int, T: np.ndarray) -> np.ndarray:
        out = np.eye(4)
        out[:3, :3] = rotation_from_ypr_deg(rng.normal(0, 25, 3))
        out[:3, 3] = rng.normal(0, 1, 3)
        return out

    told: list[int] = []
    with pytest.raises(InputError, match="contradict each other: do not trust") as refused:
        build_scene(predictor(room, disturb), views[:3], grid=(16, 12), progress=told.append)
    assert "picture" in str(refused.value) and sum(told) == 3 * (6 + 96), "no map was asked for"


def test_one_strange_picture_is_named(room: Made) -> None:
    views, _, _ = room
    rng = np.random.default_rng(3)

    def disturb(a: int, b: int, T: np.ndarray) -> np.ndarray:
        out = T.copy()
        if 4 in (a, b):
            out[:3, :3], out[:3, 3] = Rotation.random(rng=rng).as_matrix(), rng.normal(0, 2, 3)
        return out

    with pytest.raises(InputError, match="none joins picture 5 to picture 1"):
        build_scene(predictor(room, disturb), views[:5], grid=(4, 3))


def test_motions_that_agree_with_each_other_and_not_with_the_matches(room: Made) -> None:
    """Two pictures, both answers alike and wrong: only what is seen can tell."""
    views = room[0]
    wrong = np.eye(4)
    wrong[:3, 3] = 3, 0, 0

    def disturb(a: int, b: int, T: np.ndarray) -> np.ndarray:
        return wrong if a < b else invert(wrong)

    with pytest.raises(InputError, match="0 of 1 pairs hold"):
        build_scene(predictor(room, disturb), views[:2], grid=(4, 3))


def test_every_form_of_a_scene(room: Made, tmp_path: Path) -> None:
    from vlm3.output.scenes import check, summary, write_scene

    trimesh = pytest.importorskip("trimesh")
    pycolmap = pytest.importorskip("pycolmap")
    made = build_scene(predictor(room), room[0], grid=(8, 6))
    names = [str(tmp_path / name) for name in ("s.glb", "s.ply", "s.npz", "s.html", "colmap")]
    check(names)
    fused, written = write_scene(made, names, model="oracle")
    assert [str(path) for path in written] == names
    (glb,) = trimesh.load(names[0]).geometry.values()
    np.testing.assert_allclose(glb.vertices * (1, -1, -1), fused.cloud.points_m, atol=1e-5)
    np.testing.assert_array_equal(glb.colors[:, :3], fused.cloud.rgb)
    with np.load(names[2]) as arrays:
        np.testing.assert_array_equal(arrays["world_from_cam"], made.cameras.world_from_cam)
        assert arrays["kept"].all() and arrays["a_from_b"].shape == (30, 4, 4)
    model = pycolmap.Reconstruction(str(tmp_path / "colmap" / "sparse" / "0"))
    assert model.num_points3D() == len(fused.points_m)
    for image_id, image in model.images.items():
        pose = made.cameras.world_from_cam[image_id - 1]
        np.testing.assert_allclose(image.projection_center(), pose[:3, 3], atol=1e-9)
    assert "picture 6" in Path(names[3]).read_text()
    said = summary(made, fused)
    assert said["motions kept"] == "30 of 30" and said["pairs that hold"].endswith(" of 15")
    for wrong, said in (
        ([], "where should"),
        (["a.jpg"], "cannot write"),
        (["a.ply"] * 2, "twice"),
    ):
        with pytest.raises(InputError, match=said):
            check(wrong)
