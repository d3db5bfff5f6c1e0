"""Files of maps and poses, read back by readers that are not ours."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vlm3.cli.main import main
from vlm3.infer import loading
from vlm3.infer import predictor as predict
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.tasks.protocol import get_protocol

Run = Callable[..., Result]


def answers(prompt: str) -> str:
    if prompt.startswith("Distance in meters from the camera"):
        return f"{1 + int(prompt[-4:]) / 1000:05.2f}"
    if prompt.startswith("The point"):
        return "1000 0500"
    said = {"Rotation": "+010.0 +002.0 -003.0", "Direction": "-0.60 +0.00 +0.80"}
    return said.get(prompt.split()[0], "01.98 m" if "?" in prompt else "01.98")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def load(model: str, *, protocol: str | None, device: str | None) -> predict.Predictor:
        engine = OracleEngine(answers)
        return predict.Predictor(engine, get_protocol(protocol or "joint"), multiple_px=16)

    monkeypatch.setattr(loading, "load", load)
    return lambda *args: CliRunner().invoke(main, [*args, "--fov-deg", "70"], prog_name="vlm3")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    rng = np.random.default_rng(0)
    path = tmp_path / "a b.png"
    Image.fromarray(rng.integers(0, 256, (120, 160, 3), dtype=np.uint8)).save(path)
    return str(path)


def ok(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def test_one_question_round_every_form_and_they_agree(run: Run, photo: str, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    names = [tmp_path / f"m.{form}" for form in ("npz", "png", "ply", "glb", "rrd", "html")]
    outputs = [word for name in names for word in ("-o", str(name))]
    figures = ["--figure", str(tmp_path / "m.pdf"), "--figure", str(tmp_path / "m.svg")]
    said = ok(run("depth", photo, "--grid", "16x12", *outputs, *figures, "--json"))
    record = json.loads(said.stdout)
    assert record["questions"] == 192 and len(record["output"]) == 8
    with np.load(names[0]) as arrays:
        distance, z, K = arrays["distance_m"], arrays["depth_z_m"], arrays["K"]
        xy, rgb = arrays["xy_px"].reshape(-1, 2), arrays["rgb"].reshape(-1, 3)
    # Points by hand from K: x right, y down, z forward.
    points = np.column_stack([(xy - K[:2, 2]) / K[[0, 1], [0, 1]] * z.reshape(-1, 1), z.ravel()])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), distance.ravel())
    with Image.open(names[1]) as depth_png:
        np.testing.assert_allclose(np.asarray(depth_png) / 1000, z, atol=5.1e-4)
    ply = trimesh.load(names[2])
    np.testing.assert_allclose(ply.vertices, points, atol=1e-5)
    np.testing.assert_array_equal(ply.colors[:, :3], rgb)
    (glb,) = trimesh.load(names[3]).geometry.values()
    np.testing.assert_allclose(glb.vertices * (1, -1, -1), points, atol=1e-5)
    np.testing.assert_array_equal(glb.colors[:, :3], rgb)
    found, colors, camera = rerun_points(names[4])
    np.testing.assert_allclose(found, points, atol=1e-5)
    np.testing.assert_array_equal(colors, rgb)
    np.testing.assert_allclose(camera, K, atol=1e-4)
    assert b"%PDF" in (tmp_path / "m.pdf").read_bytes()[:9]
    assert "Distance in 16 × 12 cells" in (tmp_path / "m.svg").read_text()


def rerun_points(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, colours and K of the first camera, by rerun's own reader."""
    recording = pytest.importorskip("rerun.chunk").RrdReader(str(path)).stream()
    columns: dict[str, Any] = {}
    for chunk in recording.to_chunks():
        batch = chunk.to_record_batch()
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if len(column) and column[0].as_py() is not None:
                columns[f"{chunk.entity_path}|{name}"] = column[0].as_py()

    def one(entity: str, part: str) -> Any:
        (key,) = [k for k in columns if k.startswith(entity + "|") and part in k]
        return columns[key]

    points = np.array(one("/world/points_1", "positions"), dtype=float)
    packed = np.array(one("/world/points_1", "colors"), dtype=np.uint32)
    colors = np.stack([packed >> 24, packed >> 16 & 255, packed >> 8 & 255], axis=1)
    columns_first = np.array(one("/world/camera_1", "image_from_camera"), dtype=float).ravel()
    return points, colors.astype(np.uint8), columns_first.reshape(3, 3).T


def test_a_cloud_has_no_map_forms(run: Run, photo: str, tmp_path: Path) -> None:
    out = str(tmp_path / "c.html")
    assert "points 192" in ok(run("cloud", photo, "--grid", "16x12", "-o", out)).stdout
    refused = run("cloud", photo, "-o", str(tmp_path / "c.png"))
    assert refused.exit_code == 2 and "--figure" in refused.stderr
    twice = run("cloud", photo, "-o", out, "-o", out)
    assert twice.exit_code == 2 and "named twice" in twice.stderr


def test_a_pose_as_colmap_and_recording(run: Run, photo: str, tmp_path: Path) -> None:
    pycolmap = pytest.importorskip("pycolmap")
    folder = tmp_path / "colmap"
    ok(run("pose", photo, photo, "-o", str(folder), "-o", str(tmp_path / "p.rrd")))
    model = pycolmap.Reconstruction(str(folder / "sparse" / "0"))
    second = model.images[2]
    np.testing.assert_allclose(second.projection_center(), [-0.6 * 1.98, 0, 0.8 * 1.98], atol=1e-9)
    # Yaw of +10 degrees turns right: the second camera's axis leans to +x.
    axis = second.cam_from_world().rotation.matrix().T @ [0, 0, 1]
    assert axis[0] == pytest.approx(np.sin(np.radians(10)) * np.cos(np.radians(2)))
    assert (tmp_path / "p.rrd").stat().st_size > 1000


@pytest.mark.parametrize("task", ["depth", "match", "pose", "ask"])
def test_pages_and_figures_of_answers(run: Run, photo: str, tmp_path: Path, task: str) -> None:
    asked = {
        "depth": ["depth", photo, "--at", "80,60"],
        "match": ["match", photo, photo, "--at", "80,60"],
        "pose": ["pose", photo, photo],
        "ask": ["ask", photo, "How wide is {0}?", "--box", "10,10,60,60"],
    }[task]
    page, drawn = tmp_path / "a.html", tmp_path / "a.svg"
    said = ok(run(*asked, "-o", str(page), "--figure", str(drawn)))
    assert said.stderr.splitlines() == [f"written: {page}", f"written: {drawn}"]
    text = page.read_text()
    assert "question, word for word" in text and "data:image/png" in text
    assert "<svg" in drawn.read_text()


def test_a_map_of_matches_is_drawn(run: Run, photo: str, tmp_path: Path) -> None:
    drawn = tmp_path / "m.png"
    ok(run("match", photo, photo, "--grid", "8x6", "--figure", str(drawn)))
    with Image.open(drawn) as picture:
        assert picture.width > 1000


def test_figures_of_a_run(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("warp")
    invoke = CliRunner().invoke
    words = ["eval", "worlds", "--count", "1", "--model", "oracle", "-o", str(tmp_path / "run")]
    ok(invoke(main, words, prog_name="vlm3"))
    drawn = ok(
        invoke(main, ["figure", str(tmp_path / "run"), "-o", str(tmp_path / "figures")])
    ).stdout.splitlines()
    names = sorted(Path(name).name for name in drawn)
    assert names == [
        "world-00000-depth.png",
        "world-00000-objects.png",
        "world-00000-pair-correspondence.png",
        "world-00000-pair-pose.png",
    ]
    assert all(Path(name).stat().st_size > 20_000 for name in drawn)
    assert invoke(main, ["figure", str(tmp_path), "-o", "x"], prog_name="vlm3").exit_code == 2
