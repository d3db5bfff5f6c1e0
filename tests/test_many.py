"""Many pictures: names, order, pairs, resuming, damage, and several processes."""

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from joint_answers import answering
from PIL import Image

from vlm3.cli import card_workers, workers
from vlm3.cli.main import main
from vlm3.cli.pair_list import find_pairs
from vlm3.cli.picture_sources import find_sources
from vlm3.errors import InputError, Vlm3Error
from vlm3.infer import answers, loading
from vlm3.infer import predictor as predict
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.tasks.protocol import get_protocol


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    made.mkdir()
    for k, name in enumerate(("f10.png", "f9.png", "f9.bmp")):
        Image.fromarray(np.full((48, 64, 3), 90 + k, np.uint8)).save(made / name)
    (made / "note.txt").write_text("no picture")
    return made


class Asked(OracleEngine):
    """Counts how often it is asked, and is interrupted at one time."""

    def __init__(self) -> None:
        super().__init__(answering(rotation="+089.6 +002.6 -000.0"))
        self.count = 0
        self.stop_at = -1

    def ask(self, *args: Any, **how: Any) -> list[str]:
        self.count += 1
        if self.count == self.stop_at:
            raise KeyboardInterrupt
        return super().ask(*args, **how)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()

    def load(**_: Any) -> predict.Predictor:
        return predict.Predictor(made, get_protocol("joint"), multiple_px=16)

    monkeypatch.setattr(loading, "load", load)
    return made


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def contents(out: Path) -> dict[str, str]:
    """Digests of all files but the manifest, which tells seconds."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "manifest.jsonl"
    }


def test_names_are_one_each_and_numbers_count(folder: Path) -> None:
    found = find_sources([str(folder)], None)
    assert [Path(s.origin).name for s in found] == ["f9.bmp", "f9.png", "f10.png"]
    assert [s.name for s in found] == ["f9", "f9_png", "f10"]


def test_a_folder_is_resumed_and_damage_is_counted(
    folder: Path, tmp_path: Path, engine: Asked
) -> None:
    out = tmp_path / "out"
    line = ["depth", folder, "-o", out, "--grid", "4x3", "--fov-deg", "60"]
    first = run(*line)
    assert (first.exit_code, engine.count) == (0, 3), first.output
    assert (out / "contact_sheet.jpg").is_file()
    records = [json.loads(text) for text in (out / "manifest.jsonl").read_text().splitlines()]
    assert [r["distance_m"]["p50"] for r in records] == [2.75] * 3
    (out / "f10.png").unlink()
    with (out / "manifest.jsonl").open("a") as file:
        file.write('{"name": "torn')
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    again = run(*line, "--json")
    assert (again.exit_code, engine.count) == (1, 4), again.output
    assert "bad.jpg" in again.stderr and "1 skipped" in again.stderr
    # What was there already is told, too, and in the same order.
    told = [json.loads(text)["name"] for text in again.stdout.splitlines()]
    assert told == ["f9", "f9_png", "f10"]
    other = run(*line, "--readout", "digits")
    assert (other.exit_code, engine.count) == (1, 7)


@pytest.mark.parametrize("command", ["depth", "match", "pose"])
def test_a_run_that_was_stopped_and_resumed_gives_the_same_files(
    folder: Path, tmp_path: Path, engine: Asked, command: str
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    line = [command, folder, "--fov-deg", "60"]
    line += [] if command == "pose" else ["--grid", "4x3"]
    assert run(*line, "-o", whole).exit_code == 0
    needed, engine.count = engine.count, 0
    engine.stop_at = needed
    cut = run(*line, "-o", stopped)
    assert cut.exit_code == 130 and "the same command goes on" in cut.stderr, cut.output
    assert contents(stopped) != contents(whole)
    engine.stop_at = -1
    resumed = run(*line, "-o", stopped)
    assert resumed.exit_code == 0 and "there already" in resumed.stderr, resumed.output
    assert contents(stopped) == contents(whole)
    assert engine.count < 2 * needed


def test_motions_are_a_table_and_the_answers_of_a_single_pair(
    folder: Path, tmp_path: Path, engine: Asked
) -> None:
    out = tmp_path / "out"
    done = run("pose", folder, "-o", out, "--fov-deg", "60")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["f9__f9_png", "f9_png__f10"]
    with (out / "poses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["yaw_deg"]) for row in rows] == [89.6, 89.6]
    assert [float(row["distance_m"]) for row in rows] == [1.98, 1.98]
    assert all(row["lens_a"] == row["lens_b"] == "fov" for row in rows)
    single = run("pose", folder / "f9.bmp", folder / "f9.png", "--fov-deg", "60", "--json")
    first = (out / "poses.jsonl").read_text().splitlines()[0]
    assert json.loads(first) == json.loads(single.stdout)


def test_cones_of_one_table_are_alike(
    folder: Path, tmp_path: Path, engine: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder begun when cones were of another width is asked again, and not mixed."""
    line = ["pose", folder, "-o", tmp_path / "out", "--fov-deg", "60"]
    assert run(*line).exit_code == 0
    count = engine.count
    assert run(*line).exit_code == 0 and engine.count == count
    monkeypatch.setattr(answers, "CONE_WIDENING", 1.0)
    assert run(*line).exit_code == 0 and engine.count == 2 * count


def test_matches_of_pairs_are_files_and_a_table(
    folder: Path, tmp_path: Path, engine: Asked
) -> None:
    out = tmp_path / "out"
    line = ["match", folder, "--pairs", "exhaustive", "-o", out, "--grid", "4x3"]
    assert run(*line, "--fov-deg", "60").exit_code == 0
    with (out / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["matches"] for row in rows] == ["12"] * 3
    matches = np.load(out / rows[2]["file"])
    assert (matches["xy_px"] == (32, 12)).all() and matches["xy_a_px"].shape == (3, 4, 2)


@settings(deadline=None, max_examples=50)
@given(
    count=st.integers(0, 40),
    processes=st.integers(1, 5),
    order=st.lists(st.integers(0, 4), max_size=80),
)
def test_shares_give_every_number_once(count: int, processes: int, order: list[int]) -> None:
    shares = card_workers.Shares(count, processes)
    given_out = [shares.next(worker % processes) for worker in order]
    # A worker hears that nothing is left only when that is so.
    if None in given_out:
        assert given_out.index(None) == count
    while (number := shares.next(0)) is not None:
        given_out.append(number)
    assert sorted(n for n in given_out if n is not None) == list(range(count))


@settings(deadline=None, max_examples=50)
@given(count=st.integers(2, 12), overlap=st.integers(1, 14))
def test_pairs_are_each_once_and_wide_overlap_is_exhaustive(count: int, overlap: int) -> None:
    arguments = [f"{k}.png" for k in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "vlm3.cli.pair_list.find_sources",
            lambda names, every: [source(name) for name in names],
        )
        sequential = [p.pictures for p in find_pairs(arguments, None, "sequential", overlap)]
        exhaustive = [p.pictures for p in find_pairs(arguments, None, "exhaustive", 1)]
        first = [p.pictures for p in find_pairs(arguments, None, "first", 1)]
    assert first == exhaustive[: count - 1]
    assert len(set(exhaustive)) == len(exhaustive) == count * (count - 1) // 2
    steps = [int(b.name) - int(a.name) for a, b in sequential]
    assert all(1 <= step <= overlap for step in steps)
    assert len(steps) == sum(count - step for step in range(1, min(overlap, count - 1) + 1))
    if overlap >= count - 1:
        assert sequential == exhaustive


def source(name: str) -> Any:
    from vlm3.cli.picture_sources import PictureSource

    return PictureSource(Path(name).stem, name, name, Path(name))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f9.png f10.png\nf10.png f9.bmp\n", ["f9__f10", "f10__f9_bmp"]),
        ("# a comment\n\nf9.png\tf10.png\nf9.png f10.png\n", ["f9__f10"]),
        ("deep/a b.png\tf10.png\n", ["a b__f10"]),
        ("\ufefff9.png f10.png\r\n", ["f9__f10"]),
        ("f9.png f11.png", "names 'f11.png'"),
        ("f9.png", "two names"),
        ("f9.png f10.png 3", "two names"),
        ("f9.png f9.png", "with itself"),
        ("# nothing", "no pairs"),
    ],
)
def test_a_file_names_pairs(folder: Path, tmp_path: Path, text: str, expected: Any) -> None:
    (folder / "deep").mkdir()
    Image.new("RGB", (64, 48)).save(folder / "deep" / "a b.png")
    listed = tmp_path / "pairs.txt"
    listed.write_text(text, encoding="utf-8")
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            find_pairs([str(folder)], None, str(listed), 1)
        return
    assert [p.name for p in find_pairs([str(folder)], None, str(listed), 1)] == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("match F", "-o FOLDER"),
        ("match F -o out --at 1,1", "--at is for one pair"),
        ("match F -o out.npz", "without an ending"),
        ("pose F/f9.png", "A and B"),
        ("pose F -o out --pairs neighbours", "neither sequential nor exhaustive"),
        ("pose F -o out --pairs exhaustive --overlap 2", "--overlap goes with"),
        ("pose F -o out --every 2", "no video"),
        ("pose F/f9.png F/f10.png --every 2", "no video"),
        ("pose F/f9.png --pairs exhaustive -o out", "two pictures or more"),
    ],
)
def test_what_pairs_cannot_be_is_one_line(
    folder: Path, tmp_path: Path, engine: Asked, line: str, problem: str
) -> None:
    words = [w.replace("F", str(folder)) if w[0] == "F" else w for w in line.split()]
    words = [str(tmp_path / w) if w.startswith("out") else w for w in words]
    result = run(*words)
    assert result.exit_code == 2 and problem in result.stderr, result.output
    assert len(result.stderr.splitlines()) == 1 and engine.count == 0


def test_another_kind_needs_another_folder(folder: Path, tmp_path: Path, engine: Asked) -> None:
    out = tmp_path / "out"
    assert run("depth", folder, "-o", out, "--grid", "4x3", "--fov-deg", "60").exit_code == 0
    other = run("match", folder, "-o", out, "--grid", "4x3", "--fov-deg", "60")
    assert other.exit_code == 2 and "another folder" in other.stderr


def test_two_processes_make_what_one_makes(
    folder: Path, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a graphics card, both compute on the CPU: the split and the merge are the same."""
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    line = ["depth", folder, "--grid", "4x3", "--fov-deg", "60", "--model", tiny_folder]
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(*line, "-o", one).exit_code == 1
    monkeypatch.setattr(workers, "visible_cards", lambda settings: ["0", "1"])
    done = run(*line, "-o", two)
    assert done.exit_code == 1 and "bad.jpg" in done.stderr, done.output
    assert contents(one) == contents(two)
    (two / "f9.npz").unlink()
    monkeypatch.undo()
    # One process goes on where two were, and needs to make only what is missing.
    again = run(*line, "-o", two)
    assert "3 depth maps" in again.stderr and "2 of them there already" in again.stderr
    assert contents(one) == contents(two)


class Deadly:
    """A recipe that ends the process it comes to."""

    def __reduce__(self) -> Any:
        return os._exit, (9,)


def test_a_process_that_dies_is_told_and_ends_the_others() -> None:
    with pytest.raises(Vlm3Error, match=r"card 0 ended by itself \(exit code 9"):
        card_workers.Cards(Deadly(), {}, ["0", "1"])  # type: ignore[arg-type]


def test_cards_are_used_only_where_the_model_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    plain = {"model": "nano", "device": None, "int8": False}
    monkeypatch.delenv(card_workers.VISIBLE, raising=False)
    assert card_workers.visible_cards(plain) == ["0", "1"]
    monkeypatch.setenv(card_workers.VISIBLE, "3,GPU-5")
    assert card_workers.visible_cards(plain) == ["3", "GPU-5"]
    for other in ({"model": "openai:gpt"}, {"model": "vllm:x"}, {"device": "cuda:0"}):
        assert card_workers.visible_cards(plain | other) == []


@pytest.mark.parametrize("content", [b"", b"no video" * 500])
def test_what_is_no_video_is_one_line(tmp_path: Path, content: bytes) -> None:
    """In a process of its own: OpenCV's reader would print a line beside ours, not by Python."""
    pytest.importorskip("cv2")
    (tmp_path / "a.mp4").write_bytes(content)
    words = ["depth", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "out")]
    program = "import sys; from vlm3.cli.main import main; main(sys.argv[1:])"
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert ended.returncode == 2 and ended.stdout == "", ended
    assert len(ended.stderr.splitlines()) == 1 and "cannot be read as a video" in ended.stderr
