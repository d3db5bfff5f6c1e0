"""Studies: the pictures, the ways to name a pixel, and a whole one of two steps."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from vlm3.data.record import Record
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.study import run as running
from vlm3.study.arms import ARMS, STUDIES, base, start_run
from vlm3.study.commands import study
from vlm3.study.data import WorldSet, prepare
from vlm3.study.score import _right, _spread
from vlm3.tasks.protocol import get_protocol
from vlm3.train.references import MARKED_DEPTH, OtherAsker, marked

SETS = (
    WorldSet("rooms", "room", 3, 0),
    WorldSet("streets", "street", 1, 0),
    WorldSet("few", "room", 1, 10_000),
    WorldSet("held-rooms", "room", 2, 0, held_out=True),
    WorldSet("held-streets", "street", 1, 0, held_out=True),
)


def jpeg(width_px: int, height_px: int) -> bytes:
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (width_px, height_px), (90, 120, 60)).save(out, "JPEG")
    return out.getvalue()


def asked(reference: Any) -> Any:
    camera = Camera(64.0, 64.0, 64.0, 48.0, 128, 96)
    record = Record(camera, np.array([[40.0, 24.0], [100.0, 90.0]]), np.array([2.5, 4.0]))
    protocol = get_protocol("joint").with_focal(32.0)
    asker = OtherAsker(protocol, ("depth",), 16, 8, None, reference)
    return asker.single(jpeg(128, 96), record, np.random.default_rng(0))


def test_the_same_pixel_named_three_ways() -> None:
    texts = {r: {qa.question[-9:] for qa in asked(r).turns} for r in ("normalised", "pixels")}
    # Half the size: 40 of 128 is 20 of 64, and 625 of 2000.
    assert texts["normalised"] == {"0625 0500", "1562 1875"}
    assert texts["pixels"] == {"0020 0012", "0050 0045"}
    plain, drawn = asked("normalised"), asked("marker")
    assert [qa.question for qa in drawn.turns] == [MARKED_DEPTH]
    ring = (drawn.views[0].image != plain.views[0].image).any(-1)
    rows, columns = np.nonzero(ring)
    right = {"02.50": (20, 12), "04.00": (50, 45)}[drawn.turns[0].answer]
    inside = np.hypot(columns + 0.5 - right[0], rows + 0.5 - right[1])
    assert ring.sum() > 10 and inside.max() < 6 and inside.min() > 1.5


def test_a_marker_at_the_edge_stays_inside() -> None:
    picture = np.zeros((10, 12, 3), np.uint8)
    assert marked(picture, (0.0, 10.0)).shape == picture.shape
    assert not picture.any()


def test_other_references_are_for_depth() -> None:
    with pytest.raises(InputError, match="depth alone"):
        OtherAsker(get_protocol("joint"), ("objects",), 16, 8, None, "marker")


@pytest.mark.parametrize(
    ("said", "truth", "right"),
    [
        ("yes", "yes", 1),
        ("no", "yes", 0),
        ("01.20 m", "01.00 m", 1),
        ("01.30 m", "01.00 m", 0),
        ("12 o'clock", "01 o'clock", 1),
        ("03 o'clock", "01 o'clock", 0),
        ("01 o'clock", "01.00 m", 0),
    ],
)
def test_what_counts_as_right(said: str, truth: str, right: float) -> None:
    assert _right(said, truth) == right


def test_pixels_asked_stand_apart() -> None:
    xy_px = np.random.default_rng(0).uniform(0, 60, (64, 2))
    chosen = xy_px[_spread(xy_px)]
    apart = np.abs(chosen[:, None] - chosen).max(-1) + 100 * np.eye(len(chosen))
    assert len(chosen) == 8 and apart.min() >= 4


def test_every_study_differs_from_its_first_arm_in_one_thing() -> None:
    for name, one in STUDIES.items():
        assert len(one.arms) > 1
        for arm in one.arms:
            plain = base(Path(), "", samples=64, seed=0, start="")
            changed = ARMS[arm].change(plain)
            same = ARMS[arm].start == "shared" and ARMS[arm].times == 1
            assert (changed != plain) or arm == "base" or not same, (name, arm)


def test_a_whole_study_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("warp")
    monkeypatch.setattr(running, "prepare", functools.partial(prepare, sets=SETS))
    short = ["joint", "-o", str(tmp_path), "--samples", "16", "--pointing", "16"]
    said = CliRunner().invoke(study, short)
    assert said.exit_code == 0, said.output
    assert "| `joint`: four tasks" in said.output
    table = json.loads((tmp_path / "joint.json").read_text())
    assert {(line["arm"], line["task"]) for line in table["lines"]} == {
        *(("joint", task) for task in ("depth", "objects", "correspondence", "pose")),
        ("base", "depth"),
        *((task, task) for task in ("objects", "correspondence", "pose")),
    }
    for line in table["lines"]:
        assert np.isfinite(line["value"]) and line["questions"] > 0
    monkeypatch.setattr(running, "train", lambda _: pytest.fail("it was trained again"))
    assert CliRunner().invoke(study, short).stdout == said.stdout


def test_lists_and_refuses() -> None:
    listed = CliRunner().invoke(study, ["--list"])
    assert all(name in listed.output for name in STUDIES)
    refused = CliRunner().invoke(study, ["colour"])
    assert isinstance(refused.exception, InputError) and "choose one of" in str(refused.exception)
    with pytest.raises(InputError, match="no start"):
        start_run(Path(), "nothing", samples=16, seed=0)
