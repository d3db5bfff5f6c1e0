import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from vlm3.assets import load_example
from vlm3.cli import demo_run
from vlm3.cli.loading_options import loading
from vlm3.errors import InputError
from vlm3.infer.engines.fakes import ConstantEngine, OracleEngine
from vlm3.infer.predictor import Predictor
from vlm3.tasks import correspondence, depth, object_writing, pose
from vlm3.tasks.protocol import Protocol, get_protocol

FILES = {"depth.png", "match.png", "pose.png", "objects.png", "report.html", "answers.jsonl"}


def predictor(answer: str | Callable[[str], str], protocol: str = "joint") -> Predictor:
    engine = ConstantEngine(answer) if isinstance(answer, str) else OracleEngine(answer)
    return Predictor(engine=engine, protocol=get_protocol(protocol), multiple_px=16)


def truths(protocol: Protocol) -> dict[str, str]:
    """Every question of the demo with its true answer, as the protocol writes it."""
    example = load_example()
    size = {"width_px": 540, "height_px": 360}
    written = {}
    for xy, distance_m in zip(example.points_xy_px, example.points_distance_m, strict=True):
        written[depth.ask(protocol, xy, **size)] = depth.answer(protocol, distance_m)
    for xy_1, xy_2 in zip(example.matches_xy_1_px, example.matches_xy_2_px, strict=True):
        written[correspondence.ask(protocol, xy_1, **size)] = correspondence.answer(
            protocol, xy_2, **size
        )
    for component in pose.components(protocol):
        written[pose.ask(protocol, component)] = pose.answer(protocol, component, example.pose)
    for item in example.questions:
        boxes = item.boxes_xyxy_px
        text = object_writing.answer(protocol, item.truth, boxes, **size)
        written[object_writing.ask(protocol, item.question, boxes, **size)] = text
    return written


@pytest.mark.parametrize("protocol", ["joint", "paper"])
def test_the_truth_scores_full_marks(protocol: str, tmp_path: Path) -> None:
    lines: list[str] = []
    known = truths(get_protocol(protocol))
    asks = predictor(known.__getitem__, protocol)
    paths = demo_run.run(tmp_path / "new" / "out", model="truth", predictor=asks, echo=lines.append)
    assert {path.name for path in paths.values()} == FILES
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == FILES
    page = paths["report"].read_text()
    assert "<dt>numbers</dt><dd>as written</dd>" in page  # What "read as" reads.
    assert "✗" not in page
    assert "not parsed" not in page
    assert page.count("✓") == 12 + 4
    table = "\n".join(lines)
    assert re.search(r"door sign +1\.58 m +1\.58 m +[+-]0%", table)
    assert all(str(path) in table for path in paths.values())
    assert "demonstration" not in table


def test_answers_are_json_lines_with_truth_and_prompts(tmp_path: Path) -> None:
    asks = predictor(truths(get_protocol("joint")).__getitem__)
    paths = demo_run.run(tmp_path, model="truth", predictor=asks, echo=lambda line: None)
    records = [json.loads(line) for line in paths["answers"].read_text().splitlines()]
    assert [record["task"] for record in records] == [
        "depth",
        "correspondence",
        "pose",
        "objects",
        "objects",
        "objects",
        "objects",
    ]
    for record in records:
        assert {"model", "task", "protocol", "prompt", "raw_text", "parsed", "truth"} <= set(record)
        assert record["model"] == "truth"
    assert records[0]["distance_m"] == pytest.approx(records[0]["truth"]["distance_m"], abs=0.006)
    assert records[3]["value_m"] == records[3]["truth"]["value_m"]


def test_works_when_nothing_can_be_parsed(tmp_path: Path) -> None:
    lines: list[str] = []
    text = "<b>I cannot tell</b> & $x_{ \ud800"
    paths = demo_run.run(tmp_path, predictor=predictor(text), echo=lines.append)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert "not parsed" in "\n".join(lines)
    page = paths["report"].read_text()
    assert "<b>" not in page
    assert page.count("&lt;b&gt;I cannot tell&lt;/b&gt; &amp; $x_{") == 12 + 8 + 3 + 4


def test_nano_is_said_to_be_a_demonstration(tmp_path: Path) -> None:
    lines: list[str] = []
    paths = demo_run.run(tmp_path, predictor=predictor("02.00"), echo=lines.append)
    assert any("nano is a demonstration" in line for line in lines)
    page = paths["report"].read_text()
    for said in ("nano is a demonstration", "protocol", "joint", "transformers", "Arda Duzceker"):
        assert said in page


def test_a_protocol_with_one_task_does_that_task(tmp_path: Path) -> None:
    lines: list[str] = []
    asks = predictor("<answer> 2.00 </answer>", "release-depth")
    paths = demo_run.run(tmp_path, model="VLM3-depth", predictor=asks, echo=lines.append)
    assert set(paths) == {"depth", "report", "answers"}
    assert "release-depth does not have the task pose" in paths["report"].read_text()
    assert any("release-depth does not have the task objects" in line for line in lines)


def test_a_protocol_without_any_of_its_tasks_is_refused(tmp_path: Path) -> None:
    asks = predictor("60", "fov")
    with pytest.raises(InputError, match="'fov' has none of the demo's tasks"):
        demo_run.run(tmp_path / "out", predictor=asks)
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model"):
        demo_run.run(tmp_path / "out", model="nothere")
    assert not (tmp_path / "out").exists()


def test_replaces_its_own_files_and_touches_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.html").write_text("an older run")
    demo_run.run(tmp_path, predictor=predictor("02.00"), echo=lambda line: None)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert "older" not in (tmp_path / "report.html").read_text()
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"notes.txt"}


def test_refuses_what_it_did_not_write_before_any_question(tmp_path: Path) -> None:
    def never(question: str) -> str:
        raise AssertionError("asked")

    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(InputError, match="cannot write"):
        demo_run.run(taken, predictor=predictor(never))
    (tmp_path / "a" / "depth.png").mkdir(parents=True)
    with pytest.raises(InputError, match="not a file that the demo wrote"):
        demo_run.run(tmp_path / "a", predictor=predictor(never))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "report.html").symlink_to(taken)
    with pytest.raises(InputError, match="not a file that the demo wrote"):
        demo_run.run(tmp_path / "b", predictor=predictor(never))
    assert taken.read_text() == ""


def test_what_loads_a_model_is_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the command's options can give `vlm3.load`, which --int8 once did not survive."""
    given: dict[str, object] = {}

    def load(model: str, **how: object) -> Predictor:
        given.update(how)
        return predictor("02.00")

    monkeypatch.setattr("vlm3.load", load)
    options = loading(
        {"model": "nano", "protocol": None, "device": "cpu", "base_url": None}
        | {"int8": True, "no_cache": True}
    )
    demo_run.run(tmp_path, echo=lambda line: None, **options)
    assert given == {"protocol": None, "device": "cpu", "int8": True, "cache": False}
