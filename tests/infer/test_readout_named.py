"""One read-out for points and maps, and its name in every output, by a model with probabilities."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vlm3.cli.main import main
from vlm3.cli.printing import lines
from vlm3.infer import loading
from vlm3.infer.answers import DEFAULT_READOUT
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.infer.engines.local import LocalEngine
from vlm3.infer.generation import READOUTS
from vlm3.infer.predictor import Predictor
from vlm3.model import Checkpoint
from vlm3.output.maps import save
from vlm3.tasks.protocol import PROTOCOLS
from vlm3.view import View


@pytest.fixture(scope="module")
def views() -> list[View]:
    rng = np.random.default_rng(2)
    shapes = ((96, 128, 3), (96, 160, 3))
    return [View.open(rng.integers(0, 256, s, dtype=np.uint8), f_px=60) for s in shapes]


class Written(LocalEngine):
    """A local model whose answers have the protocol's form, as a trained one's do."""

    def reply(self, scene: Any, questions: Any, **options: Any) -> Any:
        from vlm3.infer.decoding.answer_forms import answer_form

        forms = {
            "Distance in meters from the camera": "depth",
            "The point": "correspondence",
            "Rotation": "pose.rotation",
            "Direction": "pose.direction",
            "Distance in meters from camera 1": "pose.distance",
        }
        out = {}
        for start, form in forms.items():
            mine = [q for q in questions if q.startswith(start)]
            held = options | {"grammar": answer_form(PROTOCOLS["joint"], form)}
            out.update(zip(mine, super().reply(scene, mine, **held), strict=True))
        return [out[question] for question in questions]


@pytest.fixture
def asked(qwen3: Checkpoint) -> Predictor:
    return Predictor(Written(qwen3), PROTOCOLS["joint"].with_focal(50), 16)


@pytest.mark.parametrize("readout", [None, *READOUTS])
def test_a_pixel_has_one_number(asked: Predictor, views: list[View], readout: Any) -> None:
    """By its coordinates and as the cell of a map, whatever is asked beside it."""
    chart = asked.depth_map(views[0], grid=(8, 6), readout=readout)
    assert chart.readout == (readout or DEFAULT_READOUT)
    for row, column in ((0, 0), (3, 5), (5, 7)):
        point = asked.depth(views[0], chart.xy_px[row, column], readout=readout)
        assert point.readout == chart.readout
        np.testing.assert_allclose(point.distance_m[0], chart.distance_m[row, column], rtol=1e-4)
    found = asked.match_map(*views, grid=(4, 3), readout=readout)
    one = asked.match(*views, found.xy_a_px[1, 2], readout=readout)
    assert one.readout == found.readout == chart.readout
    np.testing.assert_allclose(one.xy_px[0], found.xy_px[1, 2], rtol=1e-4)


def test_texts_alone_are_digits(views: list[View]) -> None:
    asked = Predictor(OracleEngine(lambda question: "02.75"), PROTOCOLS["joint"], 16)
    assert asked.depth(views[0], [5, 5]).readout == "digits"
    assert asked.depth_map(views[0], grid=(2, 2)).readout == "digits"


@pytest.mark.parametrize("readout", READOUTS)
def test_files_name_it(asked: Predictor, views: list[View], readout: Any, tmp_path: Path) -> None:
    chart = asked.depth_map(views[0], grid=(4, 3), readout=readout)
    found = asked.match_map(*views, grid=(4, 3), readout=readout)
    for k, thing in enumerate((chart, chart.cloud(), found)):
        with np.load(save(thing, tmp_path / f"{k}.npz")) as arrays:
            assert str(arrays["readout"]) == readout
    # Random weights answer with kilometres, which 16 bits do not hold.
    near = replace(chart, distance_m=np.clip(chart.distance_m, 0.1, 60))
    with Image.open(save(near, tmp_path / "d.png")) as picture:
        assert picture.info["Comment"].endswith(f"read as {readout}")
    for ending in ("ply", "glb"):
        assert readout.encode() in save(chart, tmp_path / f"c.{ending}").read_bytes()


def test_the_terminal_shows_intervals_and_what_was_read(
    asked: Predictor, views: list[View]
) -> None:
    far = asked.depth(views[0], [[5, 5], [50, 60]])
    head, titles, row, *_ = list(lines(far, asked, views[:1]))[1:]
    assert head.endswith("numbers: median of the digits' probabilities") and "p10 to p90" in titles
    assert far.spread is not None
    assert f"{far.spread.p10[0]:.2f} to {far.spread.p90[0]:.2f} m" in row
    moved = asked.pose(*views, check=True)
    said = "\n".join(lines(moved, asked, views))
    assert moved.check is not None and moved.direction_cone_deg is not None
    assert f"confidence     {moved.check.confidence:.2f} of 1 ({moved.check.verdict})" in said
    assert f"within {moved.direction_cone_deg:.0f} degrees" in said and "; p10 to p90" in said


def test_the_command_line_names_it(
    asked: Predictor, views: list[View], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "load", lambda *args, **options: asked)
    photo = str(tmp_path / "a.png")
    Image.fromarray(views[0].image).save(photo)

    def run(*args: str) -> Any:
        result = CliRunner().invoke(main, [*args, "--f-px", "60", "--json"], prog_name="vlm3")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout.splitlines()[0])

    page = tmp_path / "m.html"
    point = run("depth", photo, "--at", "8,8")
    chart = run("depth", photo, "--grid", "8x6", "-o", str(tmp_path / "m.npz"), "-o", str(page))
    assert point["readout"] == chart["readout"] == DEFAULT_READOUT
    with np.load(tmp_path / "m.npz") as arrays:
        assert arrays["xy_px"][0, 0].tolist() == [8, 8]
        assert arrays["distance_m"][0, 0] == pytest.approx(point["distance_m"], rel=1e-4)
    assert "median of the digits&#x27; probabilities" in page.read_text()
    written = run("depth", photo, "--at", "8,8", "--readout", "digits")
    assert written["readout"] == "digits"
    assert written["distance_m"] == pytest.approx(float(written["raw_text"]))
