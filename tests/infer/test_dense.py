"""Maps of a world that is known, by an engine that answers from labels; files read back."""

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.infer.engines.local import LocalEngine
from vlm3.infer.maps import DepthMap, PointCloud, grid_px
from vlm3.infer.predictor import Predictor
from vlm3.model import Checkpoint
from vlm3.output.maps import endings, save
from vlm3.tasks.protocol import PROTOCOLS
from vlm3.view import View

CAMERA = Camera(150, 150, 80, 60, 160, 120)
IMAGE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def wall_and_step(question: str) -> str:
    """A wall at 4 m; left of the middle something at 2 m."""
    x, _ = (int(n) / 2000 for n in re.findall(r"[0-9]{4}", question)[-2:])
    return "02.00" if x < 0.5 else "04.00"


class Counting(OracleEngine):
    asked = 0

    def ask(self, scene: Any, questions: Any, *, max_new_tokens: int) -> list[str]:
        self.asked += len(questions)
        return super().ask(scene, questions, max_new_tokens=max_new_tokens)


@pytest.fixture
def view() -> View:
    return View(IMAGE, CAMERA)


@pytest.fixture
def predictor() -> Predictor:
    return Predictor(Counting(wall_and_step), PROTOCOLS["joint"].with_focal(100), 16)


@pytest.fixture
def depth(predictor: Predictor, view: View) -> DepthMap:
    return predictor.depth_map(view, grid=(16, 12))


def test_a_grid_covers_the_picture_evenly() -> None:
    xy = grid_px(CAMERA, 16, 12)
    assert xy.shape == (12, 16, 2)
    np.testing.assert_allclose(xy[0, 0], (5, 5))
    np.testing.assert_allclose(xy[-1, -1], (155, 115))
    for wrong in ((0, 3), (161, 3), (3, 121)):
        with pytest.raises(InputError, match="does not fit"):
            grid_px(CAMERA, *wrong)


def test_a_map_holds_what_was_answered(depth: DepthMap) -> None:
    assert depth.asked.all()
    np.testing.assert_array_equal(depth.distance_m[:, :8], 2)
    np.testing.assert_array_equal(depth.distance_m[:, 8:], 4)
    assert (depth.depth_z_m < depth.distance_m).all()
    assert np.isnan(depth.p10_m).all()


def test_refinement_asks_where_neighbours_disagree(predictor: Predictor, view: View) -> None:
    engine = predictor.engine
    assert isinstance(engine, Counting)
    told: list[int] = []
    fine = predictor.depth_map(view, grid=(32, 24), refine=True, progress=told.append)
    assert engine.asked == fine.asked.sum() == sum(told) < 0.45 * 32 * 24
    np.testing.assert_array_equal(fine.distance_m[:, :16], 2)
    np.testing.assert_array_equal(fine.distance_m[:, 16:], 4)
    assert fine.asked[:, 15].all(), "between two sides of the step nothing is guessed"


def test_upsampling_keeps_edges_that_can_be_seen(predictor: Predictor) -> None:
    two_colors = np.zeros((120, 160, 3), np.uint8)
    two_colors[:, 80:] = 255
    fine = predictor.depth_map(View(two_colors, CAMERA), grid=(8, 6)).upsampled(64, 48)
    assert not fine.asked.any()
    np.testing.assert_allclose(fine.distance_m[:, :32], 2, atol=0.05)
    np.testing.assert_allclose(fine.distance_m[:, 32:], 4, atol=0.05)


def test_clouds_project_back(depth: DepthMap) -> None:
    cloud = depth.cloud()
    np.testing.assert_allclose(CAMERA.project(cloud.points_m), depth.xy_px.reshape(-1, 2))
    np.testing.assert_allclose(np.linalg.norm(cloud.points_m, axis=1), depth.distance_m.ravel())
    np.testing.assert_array_equal(cloud.rgb[0], IMAGE[5, 5])


def test_what_was_not_read_is_no_point(view: View) -> None:
    silent = Predictor(OracleEngine(lambda question: "?"), PROTOCOLS["joint"].with_focal(100), 16)
    nothing = silent.depth_map(view, grid=(2, 2))
    assert len(nothing.cloud().points_m) == 0


def test_npz(depth: DepthMap, tmp_path: Path) -> None:
    with np.load(save(depth, tmp_path / "a" / "map.npz")) as read:
        np.testing.assert_array_equal(read["distance_m"], depth.distance_m)
        np.testing.assert_array_equal(read["depth_z_m"], depth.depth_z_m)
        np.testing.assert_array_equal(read["K"], CAMERA.K)
        assert read["asked"].all() and str(read["readout"]) == "digits"


def test_png_is_millimetres_along_the_axis(depth: DepthMap, tmp_path: Path) -> None:
    with Image.open(save(depth, tmp_path / "map.png")) as read:
        assert read.mode == "I;16" and "millimetres" in read.info["Comment"]
        np.testing.assert_allclose(np.asarray(read) / 1000, depth.depth_z_m, atol=5.1e-4)


def test_ply_and_glb_are_read_by_trimesh(depth: DepthMap, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    cloud = depth.cloud()
    ply = trimesh.load(save(cloud, tmp_path / "c.ply"))
    np.testing.assert_allclose(ply.vertices, cloud.points_m, rtol=1e-6)
    np.testing.assert_array_equal(ply.colors[:, :3], cloud.rgb)
    (glb,) = trimesh.load(save(depth, tmp_path / "c.glb")).geometry.values()
    np.testing.assert_allclose(glb.vertices * (1, -1, -1), cloud.points_m, rtol=1e-6)
    np.testing.assert_array_equal(glb.colors[:, :3], cloud.rgb)


def test_glb_chunks_are_whole(depth: DepthMap, tmp_path: Path) -> None:
    data = save(depth, tmp_path / "c.glb").read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    (json_length,) = struct.unpack_from("<I", data, 12)
    assert json_length % 4 == 0
    assert data[20 + json_length + 4 : 20 + json_length + 8] == b"BIN\0"


def test_endings_are_named(depth: DepthMap, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.npz or \.png or \.ply or \.glb"):
        save(depth, tmp_path / "map.jpg")
    for ending in endings(PointCloud):
        assert save(depth.cloud(), tmp_path / f"c{ending}").is_file()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        save(depth, tmp_path / "file" / "map.npz")


def test_matches(view: View, tmp_path: Path) -> None:
    same = Predictor(
        OracleEngine(lambda question: question[-9:]), PROTOCOLS["joint"].with_focal(100), 16
    )
    found = same.match_map(view, view, grid=(8, 6))
    np.testing.assert_allclose(found.xy_px, found.xy_a_px, atol=0.1)
    with np.load(save(found, tmp_path / "m.npz")) as read:
        np.testing.assert_array_equal(read["xy_px"], found.xy_px)


def test_a_local_model_gives_medians_and_their_bounds(qwen3: Checkpoint, view: View) -> None:
    predictor = Predictor(LocalEngine(qwen3), PROTOCOLS["joint"].with_focal(100), 16)
    found = predictor.depth_map(view, grid=(8, 6), grammar=True)
    assert found.readout == "median"
    assert (found.p10_m <= found.distance_m).all() and (found.distance_m <= found.p90_m).all()
    plain = predictor.depth(view, found.xy_px.reshape(-1, 2), grammar=True, readout="median")
    np.testing.assert_allclose(found.distance_m.ravel(), plain.distance_m)
