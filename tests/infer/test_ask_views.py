"""A question about several pictures: all of them, in order, opened once; and cameras of all."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.geometry.camera import Camera
from vlm3.geometry.pose import RelativePose
from vlm3.infer import loading
from vlm3.infer.engines.base import Scene
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.infer.engines.local import LocalEngine
from vlm3.infer.engines.naive import NaiveEngine
from vlm3.infer.predictor import Predictor
from vlm3.model import Checkpoint
from vlm3.tasks.object_reading import has_kind
from vlm3.tasks.protocol import PROTOCOLS, get_protocol
from vlm3.view import View

WORDS = [name for name, protocol in PROTOCOLS.items() if "objects" in protocol.tasks]
WORDS_SAID = "The second."
ANSWERS = {
    # joint
    "Rotation": "+030.0 -005.0 +002.0",
    "Direction": "-0.60 +0.00 +0.80",
    "Distance": "01.50",
    "The point": "1000 0500",
    # release-pose
    "Given these two images": "Rotation angle: 30.4 degrees",
    "Treating the first image": "Yaw=+30.0°, Pitch=-5.0°, Roll=+2.0°",
    "Where did the camera move": "Left and forward, unit vector (-0.60, +0.00, +0.80).",
    "Estimate the magnitude": "Translation distance: 1.50 meters",
}
GREY = {"a": 40, "b": 90, "c": 140, "d": 190}


class Watching(OracleEngine):
    """Keeps the grey of every picture it is shown, and every question."""

    def __init__(self, answer: Callable[[str], str] = lambda question: WORDS_SAID) -> None:
        super().__init__(answer)
        self.opened: list[list[int]] = []
        self.questions: list[str] = []

    def open(self, images: Sequence[NDArray[np.uint8]]) -> Scene:
        self.opened.append([round(float(image.mean())) for image in images])
        return super().open(images)

    def ask(self, scene: Scene, questions: Sequence[str], *, max_new_tokens: int) -> list[str]:
        self.questions += questions
        return super().ask(scene, questions, max_new_tokens=max_new_tokens)


def grey(value: int) -> View:
    return View(np.full((48, 64, 3), value, np.uint8), Camera(600, 600, 32, 24, 64, 48))


@pytest.mark.parametrize("protocol", WORDS)
@settings(max_examples=15, deadline=None)
@given(
    values=st.lists(st.integers(0, 255), min_size=1, max_size=7),
    question=st.text("Which door? 12(),", min_size=1).filter(str.strip),
)
def test_all_pictures_reach_the_engine_in_their_order_and_once(
    protocol: str, values: list[int], question: str
) -> None:
    engine = Watching()
    asked = Predictor(engine, get_protocol(protocol), multiple_px=16)
    answer = asked.ask_views([grey(value) for value in values], question)
    assert engine.opened == [values]
    assert engine.questions == [answer.prompt]
    assert (answer.text, answer.raw_text) == ("The second.", "The second.")
    assert answer.intrinsics == ("given",) * len(values)
    # However many the pictures: the question that `ask` puts about one, where it puts one.
    if protocol != "joint" or has_kind(question):
        assert answer.prompt == asked.ask(grey(values[0]), question).prompt


def test_what_no_question_can_be() -> None:
    asked = Predictor(Watching(), get_protocol("paper"), multiple_px=16)
    views = [grey(1), grey(2)]
    with pytest.raises(InputError, match="no pictures"):
        asked.ask_views([], "Which?")
    with pytest.raises(InputError, match="empty"):
        asked.ask_views(views, " ")
    with pytest.raises(InputError, match="has no box"):
        asked.ask_views(views, "How wide is {0}?")
    with pytest.raises(InputError, match=r"View\.open"):
        asked.ask_views([grey(1), "b.jpg"], "Which?")  # type: ignore[list-item]
    for name in set(PROTOCOLS) - set(WORDS):
        with pytest.raises(InputError, match="has no prompt for objects"):
            Predictor(Watching(), get_protocol(name), multiple_px=16).ask_views(views, "Which?")


def test_many_pictures_are_read_once_for_many_questions(
    qwen3: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real engine: pictures encoded in one pass, texts of the engine that shares nothing."""
    protocol = get_protocol("joint")
    protocol = replace(protocol, prep=replace(protocol.prep, target_px=125))
    asked = Predictor(LocalEngine(qwen3), protocol, multiple_px=16, naive=NaiveEngine(qwen3))
    rng = np.random.default_rng(0)
    views = [
        View(rng.integers(0, 256, (32, 48, 3), np.uint8), Camera(125, 125, 24, 16, 48, 32))
        for _ in range(4)
    ]
    encoded: list[int] = []
    encode = Checkpoint.encode

    def counting(self: Any, messages: Any, images: Sequence[Any]) -> Any:
        encoded.append(len(images))
        return encode(self, messages, images)

    monkeypatch.setattr(Checkpoint, "encode", counting)
    questions = ["Which picture?", "0880 0512", "assistant"]
    together = asked.texts("questions", views, questions)
    single = [asked.ask_views(views, question).raw_text for question in questions]
    assert encoded == [4]
    assert together == single and len(set(single)) > 1
    assert single == [asked.ask_views(views, q, engine="naive").raw_text for q in questions]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "walk"
    made.mkdir()
    for name, value in GREY.items():
        Image.fromarray(np.full((48, 64, 3), value, np.uint8)).save(made / f"{name}.png")
    return made


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Watching:
    made = Watching(
        lambda question: next((a for q, a in ANSWERS.items() if question.startswith(q)), WORDS_SAID)
    )

    def load(*, protocol: str | None, **_: Any) -> Predictor:
        return Predictor(made, get_protocol(protocol or "joint"), multiple_px=16)

    monkeypatch.setattr(loading, "load", load)
    return made


def run(folder: Path, line: str, *more: str) -> Result:
    """Runs a line in which F is the folder and _ a space, and more words as they are."""
    words = [
        f"{folder}{word[1:]}" if word[0] == "F" else word.replace("_", " ") for word in line.split()
    ]
    return CliRunner().invoke(main, [*words, *more])


@pytest.mark.parametrize(
    ("pictures", "shown"),
    [
        ("F/c.png F/a.png F/b.png", "cab"),
        ("F/a.png F/a.png", "aa"),
        ("F", "abcd"),
        ("F/[bc].png F/a.png", "bca"),
    ],
)
def test_pictures_are_shown_together_in_the_order_given(
    folder: Path, engine: Watching, pictures: str, shown: str
) -> None:
    done = run(folder, f"ask {pictures} Which_door? --protocol paper --f-px 600")
    assert done.exit_code == 0, done.output
    assert engine.opened == [[GREY[name] for name in shown]]
    assert engine.questions == ["Which door?"]
    assert done.stdout.splitlines()[-1] == "The second."
    record = json.loads(run(folder, f"ask {pictures} Which_door? --f-px 600 --json").stdout)
    assert (record["task"], record["text"]) == ("questions", "The second.")
    assert [Path(path).stem for path in record["images"]] == list(shown)
    assert len(record["cameras"]) == len(record["intrinsics"]) == len(shown)
    assert "never learned" in record["notes"][0]


def test_only_a_model_that_never_learned_it_is_cautioned_against(
    folder: Path, engine: Watching
) -> None:
    line = "ask F/a.png F/b.png Which? --f-px 600"
    assert "never learned" in run(folder, line).stdout
    assert "never learned" not in run(folder, f"{line} --protocol paper").stdout


def test_a_lens_for_each_picture(folder: Path, engine: Watching) -> None:
    line = "ask F/a.png F/b.png F/c.png Which? --json --f-px 50 --f-px 60 --f-px 70"
    record = json.loads(run(folder, line).stdout)
    assert [camera["fx_px"] for camera in record["cameras"]] == [50, 60, 70]


def test_a_video_is_its_frames_in_order(tmp_path: Path, engine: Watching) -> None:
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 4, (64, 48))
    for k in range(12):
        writer.write(np.full((48, 64, 3), 20 * k, np.uint8))
    writer.release()
    done = run(tmp_path, "ask F/walk.avi Left_or_right? --every 1 --f-px 600")
    assert done.exit_code == 0, done.output
    (greys,) = engine.opened
    assert np.abs(np.array(greys) - [0, 80, 160]).max() <= 4


def test_an_assumed_lens_is_told_once_of_all(folder: Path, engine: Watching) -> None:
    done = run(folder, "ask F Which? --protocol paper --json")
    assert "60 degrees" not in done.stderr
    record = json.loads(done.stdout)
    assert record["intrinsics"] == ["assumed"] * 4
    (note,) = record["notes"]
    assert "60 degrees" in note


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("ask F/a.png F/b.png How_wide? --box 1,2,30,40", "--box"),
        ("ask F/a.png F/b.png How_wide_is_{0}?", "for one picture"),
        ("ask F/a.png F/b.png Which? -o answer.html", "for one picture"),
        ("ask F/a.png F/b.png", "the last word is the QUESTION"),
        ("ask Which?", "the last word is the QUESTION"),
        ("ask F/a.png F/e.png Which?", "no file"),
        ("ask F/a.png F/b.png _", "empty"),
        ("ask F/a.png Which? --every 2", "no video"),
        ("ask F/a.png F/b.png Which? --every 2", "no video"),
        ("ask F/a.png F/b.png F/c.png Which? --f-px 50 --f-px 60", "once for all pictures"),
        ("ask F/a.png F/b.png Which? --protocol release-pose", "has no prompt for objects"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    folder: Path, engine: Watching, line: str, problem: str
) -> None:
    done = run(folder, line)
    assert done.exit_code == 2 and problem in done.stderr, done.output
    assert len(done.stderr.splitlines()) == 1 and not engine.opened


@pytest.mark.parametrize("protocol", ["joint", "release-pose"])
def test_every_camera_in_the_first_ones_frame(
    folder: Path, tmp_path: Path, engine: Watching, protocol: str
) -> None:
    out = tmp_path / "out"
    line = "pose F/c.png F/a.png F/d.png F/b.png --pairs first --f-px 600"
    done = run(folder, line, "-o", str(out), "--protocol", protocol)
    assert done.exit_code == 0, done.output
    with (out / "poses.csv").open() as file:
        rows = list(csv.DictReader(file))
    answers = [json.loads(line) for line in (out / "poses.jsonl").read_text().splitlines()]
    assert [Path(row["image_a"]).stem for row in rows] == ["c"] * 3
    assert [Path(row["image_b"]).stem for row in rows] == ["a", "d", "b"]
    assert all(GREY["c"] in shown for shown in engine.opened)
    # A table's angles and place are the whole pose, by its own formula.
    for row, answer in zip(rows, answers, strict=True):
        place = np.array([float(row[name]) for name in ("x_m", "y_m", "z_m")])
        angles = [float(row[name]) for name in ("yaw_deg", "pitch_deg", "roll_deg")]
        length = float(np.linalg.norm(place))
        assert length == pytest.approx(1.5, abs=1e-5)
        assert angles == [30, -5, 2]
        whole = RelativePose.from_ypr_direction(np.array(angles), place / length, length)
        assert np.allclose(whole.cam1_from_cam2, answer["cam1_from_cam2"], atol=1e-4)
