"""COLMAP models read back by COLMAP itself (pycolmap): cameras, poses, points, colours, tracks."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import invert, transform_points
from vlm3.output.colmap import Tracked, write_colmap
from vlm3.view import View

pycolmap = pytest.importorskip("pycolmap")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[View], np.ndarray, Tracked]:
    rng = np.random.default_rng(0)
    camera = Camera(150, 152, 81, 59, 160, 120)
    views = [
        View(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8), camera, path=f"some/{name}")
        for name in ("a.jpg", "b c.jpg", "a.png")
    ]
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, :3] = Rotation.random(3, rng=rng).as_matrix()
    # A half turn has w = 0, where other formulas divide by it.
    poses[2, :3, :3] = np.diag([1.0, -1.0, -1.0])
    poses[:, :3, 3] = rng.normal(0, 2, (3, 3))
    view = np.array([0, 1, 0, 2, 1])
    xy_px = rng.uniform(5, 100, (5, 2))
    local = camera.unproject(xy_px) * rng.uniform(1, 4, (5, 1))
    points = np.stack([transform_points(poses[v], p) for v, p in zip(view, local, strict=True)])
    rgb = rng.integers(0, 256, (5, 3), dtype=np.uint8)
    tracked = Tracked(points, rgb, view, xy_px)
    folder = tmp_path_factory.mktemp("colmap") / "model"
    return write_colmap(views, list(poses), folder, tracked), views, poses, tracked


@pytest.mark.parametrize("kind", ["binary", "text"])
def test_colmap_reads_it(made: tuple[Path, list[View], np.ndarray, Tracked], kind: str) -> None:
    folder, views, poses, tracked = made
    model = pycolmap.Reconstruction()
    getattr(model, f"read_{kind}")(str(folder / "sparse" / "0"))
    assert model.num_images() == 3 and model.num_points3D() == 5
    names = {image.name: image for image in model.images.values()}
    assert sorted(names) == ["a.png", "a_3.png", "b_c.png"]
    for k, name in enumerate(("a.png", "b_c.png", "a_3.png")):
        image = names[name]
        matrix = np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]])
        np.testing.assert_allclose(matrix, invert(poses[k]), atol=1e-12)
        camera = model.cameras[image.camera_id]
        assert camera.model.name == "PINHOLE" and (camera.width, camera.height) == (160, 120)
        np.testing.assert_allclose(camera.params, [150, 152, 81, 59])
        with Image.open(folder / "images" / name) as picture:
            np.testing.assert_array_equal(np.asarray(picture), views[k].image)
    for number, point in model.points3D.items():
        row = number - 1
        np.testing.assert_allclose(point.xyz, tracked.points_m[row], atol=1e-12)
        np.testing.assert_array_equal(point.color, tracked.rgb[row])
        (element,) = point.track.elements
        seen = model.images[element.image_id].points2D[element.point2D_idx]
        np.testing.assert_allclose(seen.xy, tracked.xy_px[row])
        assert seen.point3D_id == number
        # COLMAP's own projection agrees: pixels, axes and pose mean the same.
        shown = model.images[element.image_id]
        lens = model.cameras[shown.camera_id]
        again = lens.img_from_cam(shown.cam_from_world() * point.xyz)
        np.testing.assert_allclose(np.ravel(again), tracked.xy_px[row], atol=1e-6)


def test_a_pair_without_points(
    made: tuple[Path, list[View], np.ndarray, Tracked], tmp_path: Path
) -> None:
    _, views, poses, _ = made
    write_colmap(views[:2], list(poses[:2]), tmp_path / "pair")
    model = pycolmap.Reconstruction(str(tmp_path / "pair" / "sparse" / "0"))
    assert (model.num_images(), model.num_points3D()) == (2, 0)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        write_colmap(views[:2], list(poses[:2]), tmp_path / "file")
