"""Studies: the pictures, the ways to name a pixel, and a whole one of two steps."""

import errno
import functools
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))

from watching import Watch, watched

from vlm3.ablations import arms
from vlm3.ablations import run as running
from vlm3.ablations.arms import ARMS, STARTS, base, start_run
from vlm3.ablations.data import WorldSet, prepare
from vlm3.ablations.score import LOSS, QUESTIONS, Scores, _spread, score
from vlm3.ablations.studies import STUDIES
from vlm3.cli.main import main
from vlm3.cli.study import study
from vlm3.data.record import Record
from vlm3.errors import InputError, Vlm3Error
from vlm3.geometry.camera import Camera
from vlm3.tasks.base import TaskName
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.references import MARKED_COLOR, MARKED_DEPTH, marked, question_writer
from vlm3.tasks.registry import TASKS
from vlm3.tasks.sample import Points, Sample
from vlm3.train.config import RunConfig
from vlm3.train.flat_settings import flat
from vlm3.train.loss_module import begin
from vlm3.train.mosaics import COLORS, Mosaics
from vlm3.view import View

SETS = (
    WorldSet("rooms", "room", 3, 0),
    WorldSet("streets", "street", 1, 0),
    WorldSet("few", "room", 1, 10_000),
    WorldSet("held-rooms", "room", 2, 0, held_out=True),
    WorldSet("held-streets", "street", 1, 0, held_out=True),
)


def asked(reference: Any) -> Any:
    camera = Camera(64.0, 64.0, 64.0, 48.0, 128, 96)
    record = Record(camera, np.array([[40.0, 24.0], [100.0, 90.0]]), np.array([2.5, 4.0]))
    protocol = get_protocol("joint").with_focal(32.0)
    sample = Sample(
        "one",
        (camera,),
        (lambda: View(np.full((96, 128, 3), 90, np.uint8), camera),),
        points=Points(record.xy_px, record.distance_m),
    )
    writer = question_writer(reference, protocol, ("depth",), 16, 8)
    return writer.write(sample, np.random.default_rng(0))


def test_the_same_pixel_named_four_ways() -> None:
    ways = ("normalised", "relative", "pixels")
    texts = {r: {qa.question[-9:] for qa in asked(r).turns} for r in ways}
    # Half the size: 40 of 128 is 20 of 64, 625 of 2000 and 312.5 of 1000.
    assert texts["normalised"] == {"0625 0500", "1562 1875"}
    assert texts["relative"] == {"0312 0250", "0781 0938"}
    assert texts["pixels"] == {"0200 0120", "0500 0450"}
    plain, drawn = asked("normalised"), asked("marker")
    assert [qa.question for qa in drawn.turns] == [MARKED_DEPTH]
    ring = (drawn.images[0] != plain.images[0]).any(-1)
    rows, columns = np.nonzero(ring)
    right = {"02.50": (20, 12), "04.00": (50, 45)}[drawn.turns[0].answer]
    inside = np.hypot(columns + 0.5 - right[0], rows + 0.5 - right[1])
    assert ring.sum() > 10 and inside.max() < 6 and inside.min() > 1.5


@given(
    st.integers(0, 10_000),
    st.sampled_from(("normalised", "relative", "pixels")),
    st.sampled_from(((64, 64), (112, 96), (160, 80))),
)
@settings(max_examples=20, deadline=None)
def test_a_mosaic_has_the_answer_where_the_question_points(
    place: int, reference: Any, size_px: tuple[int, int]
) -> None:
    made = Mosaics(get_protocol("joint"), size_px, 16, 12, 0, reference).conversation(place, (0, 0))
    height_px, width_px, _ = made.images[0].shape
    unit = {
        "normalised": (width_px / 2000, height_px / 2000),
        "relative": (width_px / 1000, height_px / 1000),
        "pixels": (0.1, 0.1),
    }[reference]
    for qa in made.turns:
        x, y = (int(int(part) * u) for part, u in zip(qa.question.split()[-2:], unit, strict=True))
        red, green, blue = made.images[0][y, x] >= 128
        assert qa.answer == COLORS[4 * red + 2 * green + blue]


def test_a_marked_mosaic_has_one_question_and_its_colour_within_the_ring() -> None:
    source = Mosaics(get_protocol("joint"), (64, 64), 16, 1, 0, "marker")
    for place in range(10):
        made = source.conversation(place, (0, place))
        assert [qa.question for qa in made.turns] == [MARKED_COLOR]
        ring = (made.images[0] == (255, 0, 255)).all(-1)
        rows, columns = np.nonzero(ring)
        # At an edge half of the ring is missing; then its middle cannot be told from its pixels.
        if ring.sum() < 16:
            continue
        y, x = (int((v.min() + v.max()) // 2) for v in (rows, columns))
        red, green, blue = made.images[0][y, x] >= 128
        assert made.turns[0].answer == COLORS[4 * red + 2 * green + blue]


def test_a_marker_at_the_edge_stays_inside() -> None:
    picture = np.zeros((10, 12, 3), np.uint8)
    assert marked(picture, (0.0, 10.0)).shape == picture.shape
    assert not picture.any()


def test_other_references_are_for_depth() -> None:
    with pytest.raises(InputError, match="depth alone"):
        question_writer("marker", get_protocol("joint"), ("objects",), 16, 8)


def test_pixels_asked_stand_apart() -> None:
    xy_px = np.random.default_rng(0).uniform(0, 60, (64, 2))
    chosen = xy_px[_spread(xy_px)]
    apart = np.abs(chosen[:, None] - chosen).max(-1) + 100 * np.eye(len(chosen))
    assert len(chosen) == QUESTIONS and apart.min() >= 4


def test_nothing_lies_idle() -> None:
    used = {arm for one in STUDIES.values() for arm in one.arms}
    assert used == set(ARMS)
    assert {arm.start for arm in ARMS.values()} == set(STARTS)


@pytest.mark.parametrize("name", STUDIES)
def test_every_arm_differs_from_the_first_in_one_thing(name: str) -> None:
    def run_of(arm: str) -> RunConfig:
        model = STARTS[ARMS[arm].start].model
        plain = base(Path(), "", samples=64, seed=0, start="", model=model)
        return ARMS[arm].change(plain)

    first, *others = STUDIES[name].arms
    for arm in others:
        one, other = ARMS[first], ARMS[arm]
        changed = {
            field
            for field, value in flat(run_of(arm)).items()
            if value != flat(run_of(first))[field]
        }
        differs = (bool(changed), one.times != other.times, one.start != other.start)
        assert any(differs), arm
        if name in ("reference", "coordinates") and other.times:
            assert changed == {"reference"} and one.times == other.times
            starts = [replace(STARTS[a.start], reference="normalised") for a in (one, other)]
            assert starts[0] == starts[1], "arms are grounded alike, but for their reference"


def test_starts_from_nano_train_gently() -> None:
    for name, start in STARTS.items():
        run = start_run(Path(), name, samples=64, seed=0)
        assert run.model.source == start.model and run.prompt.reference == start.reference
        assert run.data.samples == 64 and run.prompt.f_px == 125.0
        assert run.optim.optimizer == ("adamw" if start.model == "nano" else "muon")
        assert run.model.freeze_vision == (start.model == "nano" and start.questions > 1)


def test_when_a_start_began_to_point(tmp_path: Path) -> None:
    def log(losses: list[float | None]) -> Path:
        entries = [
            {"step": step, "samples": 8} | ({} if loss is None else {"color_loss": loss})
            for step, loss in enumerate(losses, 1)
        ]
        (tmp_path / "log.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
        return tmp_path

    # Guessing one of eight colours costs ln 8 for one of an answer's two tokens.
    assert running._pointing(log([None, 1.04, None, 0.53])) is None
    assert running._pointing(log([None, 1.04, 0.51, 0.2])) == 24


def test_four_tasks_are_scored(tmp_path: Path) -> None:
    pytest.importorskip("warp")
    prepare(tmp_path, lambda _: None, SETS)
    plain = base(tmp_path, "", samples=8, seed=0, start="tiny", model="tiny")
    tasks: tuple[TaskName, ...] = ("depth", "objects", "correspondence", "pose")
    start = begin(plain.model, plain.parallel, seed=0)
    found = score(plain.prompt, start, tmp_path, tasks, budget=4096, bf16=True)
    assert set(found) == {(task, m) for task in tasks for m in (TASKS[task].headline, LOSS)}
    for scores in found.values():
        assert len(scores.values) == len(scores.pictures) == len(scores.floor) > 0
        assert np.isfinite(scores.values).all() and np.isfinite(scores.floor).all()


def test_seeds_and_what_is_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("warp")
    monkeypatch.setattr(running, "prepare", functools.partial(prepare, sets=SETS))
    toys = {name: replace(start, model="tiny") for name, start in STARTS.items()}
    monkeypatch.setattr(arms, "STARTS", toys)
    monkeypatch.setattr(running, "STARTS", toys)
    short = ["coordinates", "-o", str(tmp_path), "--samples", "16", "--mosaics", "16"]
    short += ["--seeds", "2"]
    printed = CliRunner().invoke(study, short)
    assert printed.exit_code == 0, printed.output
    assert "| `pixels`: in tenths of a pixel | never, never | 16 |" in printed.stdout
    lines = [
        SimpleNamespace(**line)
        for line in json.loads((tmp_path / "coordinates.json").read_text())["lines"]
    ]
    by_name = {line.arm: line for line in lines if line.measure == "delta1"}
    assert set(by_name) == {"thousandths", "pixels", "untrained"}
    assert [len(line.seeds) for line in by_name.values()] == [2, 2, 2]
    apart = by_name["pixels"]
    assert apart.seeds_against == pytest.approx(
        np.subtract(apart.seeds, by_name["thousandths"].seeds)
    )
    assert apart.against is not None
    assert apart.against["value"] == pytest.approx(np.mean(apart.seeds_against))
    assert by_name["untrained"].samples == 0 and by_name["untrained"].pointing == []
    assert by_name["untrained"].seeds[0] == by_name["untrained"].seeds[1]
    # The weights in the package know these worlds; two steps of a toy do not.
    assert by_name["untrained"].value > by_name["thousandths"].value
    monkeypatch.setattr(running, "train", lambda _: pytest.fail("it was trained again"))
    assert CliRunner().invoke(study, short).stdout == printed.stdout
    shutil.rmtree(tmp_path / "arms" / "pixels-16-16-1")
    monkeypatch.setattr(running, "train", lambda run: run.steps - 1)
    stopped = CliRunner().invoke(study, short).exception
    assert isinstance(stopped, Vlm3Error) and "same command goes on" in str(stopped)


def test_lists_and_refuses() -> None:
    listed = CliRunner().invoke(study, ["--list"])
    assert all(name in listed.output for name in STUDIES)
    refused = CliRunner().invoke(study, ["colour"])
    assert isinstance(refused.exception, InputError) and "choose one of" in str(refused.exception)
    with pytest.raises(InputError, match="no start"):
        start_run(Path(), "nothing", samples=16, seed=0)


@pytest.mark.parametrize("fault", ["full", "read-only", "Ctrl-C"])
def test_whole_or_not_there_and_the_same_command_goes_on(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = {"full": errno.ENOSPC, "read-only": errno.EROFS, "Ctrl-C": None}[fault]
    rooms = (WorldSet("rooms", "room", 1, 0),)
    monkeypatch.setattr(running, "prepare", functools.partial(prepare, sets=rooms))
    # What is trained is written by `train`, whose own tests stop it.
    monkeypatch.setattr(
        running,
        "_trained",
        lambda name, out, folder, **more: base(
            out, name, start="tiny", model="tiny", samples=1, seed=0
        ),
    )
    monkeypatch.setattr(running, "begin", lambda *given, **more: None)
    monkeypatch.setattr(running, "_pointing", lambda start: 16)
    four = Scores(np.array([0.0, 1, 1, 0]), np.array(list("abcd")), np.full(4, 0.5))
    monkeypatch.setattr(
        running,
        "score",
        lambda prompt, start, data, tasks, **_: {
            (t, m): four for t in tasks for m in (TASKS[t].headline, LOSS)
        },
    )
    command = ["study", "coordinates", "--samples", "16", "--mosaics", "16", "-o"]
    with watched(Watch(tmp_path)) as good:
        done = CliRunner().invoke(main, [*command, str(tmp_path / "good")])
    assert done.exit_code == 0, (done.output, done.exception)
    files = {p.relative_to(tmp_path / "good") for p in (tmp_path / "good").rglob("*")}
    count = len(good.steps)
    for step in (1, count // 3, 2 * count // 3, count - 1):
        out = tmp_path / f"{step}"
        with watched(Watch(tmp_path, step, code)) as seen:
            stopped = CliRunner().invoke(main, [*command, str(out)])
        told = [line for line in stopped.stderr.splitlines() if line.startswith("vlm3:")]
        if fault == "Ctrl-C":
            assert stopped.exit_code == 130 and "goes on" in told[0], (step, stopped.output)
        else:
            assert stopped.exit_code == 2, (step, stopped.output, stopped.exception)
            assert told[0].startswith("vlm3: error: cannot write")
        assert len(told) == 1 and not [p for p in out.rglob("*") if p.name.startswith(".")], step
        assert not seen.around({p for p in out.rglob("*") if p.is_file()})
        assert CliRunner().invoke(main, [*command, str(out)]).exit_code == 0
        assert {p.relative_to(out) for p in out.rglob("*")} == files, step
