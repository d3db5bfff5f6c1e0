"""--calibrator where a picture is opened: what it says is used, and said in the output."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import vlm3.infer.loading
from vlm3.cli.main import main
from vlm3.geometry.camera import Camera
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks.protocol import get_protocol
from vlm3.view import AssumedCameraWarning, View

F_PX = 321.0
FAKE = "test_calibrator:Fixed"


class Fixed:
    """A calibrator that knows one camera."""

    def name(self) -> str:
        return "fixed"

    def camera(self, image: np.ndarray) -> Camera:
        height_px, width_px = image.shape[:2]
        return Camera(F_PX, F_PX, width_px / 2, height_px / 2, width_px, height_px)


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    def loaded(model: str, **rest: object) -> Predictor:
        return Predictor(ConstantEngine("02.75"), get_protocol("joint"), 32, max_tokens=64)

    monkeypatch.setattr(vlm3.infer.loading, "load", loaded)
    Image.new("RGB", (64, 48), (90, 120, 60)).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def test_what_is_known_comes_first(photo: str) -> None:
    calibrate = Fixed().camera
    assert View.open(photo, calibrate=calibrate).camera.fx_px == F_PX
    assert View.open(photo, calibrate=calibrate).intrinsics == "calibrator"
    assert View.open(photo, f_px=50.0, calibrate=calibrate).camera.fx_px == 50
    assert View.open(photo, fov_deg=50.0, calibrate=calibrate).intrinsics == "fov"
    with pytest.warns(AssumedCameraWarning):
        assert View.open(photo).intrinsics == "assumed"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("depth", ["--at", "20,20"]),
        ("match", ["PHOTO", "--at", "20,20"]),
        ("pose", ["PHOTO"]),
        ("ask", ["How wide is {0}?", "--box", "1,2,30,40"]),
    ],
)
def test_commands_use_it_and_say_so(photo: str, command: str, rest: list[str]) -> None:
    words = [command, photo, *(photo if word == "PHOTO" else word for word in rest), "--json"]
    used = CliRunner().invoke(main, [*words, "--calibrator", FAKE])
    assert used.exit_code == 0, used.output
    record = json.loads(used.stdout.splitlines()[0])
    assert set(record["intrinsics"]) == {"calibrator"}
    assert record["cameras"][0]["fx_px"] == F_PX
    without = CliRunner().invoke(main, [*words, "--calibrator", "none"])
    assert set(json.loads(without.stdout.splitlines()[0])["intrinsics"]) == {"assumed"}


def test_scene_and_cloud_take_it() -> None:
    for command in ("scene", "cloud"):
        assert "--calibrator" in CliRunner().invoke(main, [command, "--help"]).output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("anycalib", "anycalib is not installed: pip install"),
        ("nobody", "give anycalib or package.module:factory"),
        ("json:loads", "makes no calibrator|no calibrator"),
    ],
)
def test_a_calibrator_that_is_not_there_is_one_line(
    photo: str, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "anycalib", None)
    refused = CliRunner().invoke(main, ["depth", photo, "--at", "2,2", "--calibrator", name])
    assert refused.exit_code == 2, refused.output
    assert re.search(said, refused.output) and refused.output.count("\n") == 1


@pytest.mark.filterwarnings("ignore")
def test_spatialrgpt_is_calibrated_and_its_run_says_so(photo: str, tmp_path: Path) -> None:
    entry = {
        "id": "q1",
        "text_q": "What is the width of Region [0]?",
        "qa_info": {"type": "quantitative", "category": "width_data"},
        "image_info": {"file_path": "a.png", "width": 64, "height": 48},
        "bbox": [[1, 2, 30, 40]],
        "conversations": [
            {"from": "human", "value": "..."},
            {"from": "gpt", "value": "Region [0] is 1.2 meters wide."},
        ],
    }
    (tmp_path / "SpatialRGPT-Bench_v1.json").write_text(json.dumps([entry]))
    words = ["eval", "spatialrgpt", "--data", str(tmp_path), "--model", "says:01.20 m"]
    for name, origin in ((FAKE, "calibrator"), ("none", "assumed")):
        out = tmp_path / origin
        ran = CliRunner().invoke(main, [*words, "--calibrator", name, "-o", str(out)])
        assert ran.exit_code == 0, ran.output
        header, line = map(json.loads, (out / "predictions.jsonl").read_text().splitlines()[:2])
        assert header["config"]["calibrator"] == name
        assert line["intrinsics"] == [origin]
    refused = CliRunner().invoke(main, ["eval", "worlds", "--calibrator", FAKE, "-o", "x"])
    assert refused.exit_code == 2 and "leave --calibrator out" in refused.output
