"""A law over every command that writes: whole or not there, one line, nothing left over.

An audit hook sees every file that Python opens, every folder it makes and every renaming, whoever
asks for it. It refuses one of them, and all after it, as a full or a read-only disk does, or
presses Ctrl-C there. The same hook shows who writes around `vlm3.disk`.
"""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from watching import STREAMS, Watch, killed_at, watched
from writing import COMMANDS, IN_PLACE, Place, make_inputs, new_files

from vlm3 import lock, partials
from vlm3.cli.main import main

FAULTS = {"full": errno.ENOSPC, "read-only": errno.EROFS, "Ctrl-C": None}


def strays(folder: Path) -> list[str]:
    """Names that nothing that is whole has."""
    ends = (".partial", ".tmp", ".aside", ".old", ".part")
    begins = (".vlm3-", ".part", lock.NAME)
    return [
        str(path)
        for path in folder.rglob("*")
        if path.name.endswith(ends) or path.name.startswith(begins)
    ]


def one_line(result: Result, code: int, start: str) -> str:
    """What a command said on stderr, but for its progress and warnings."""
    assert result.exit_code == code, (result.output, result.exception)
    lines = [x for x in result.stderr.splitlines() if x and "warning:" not in x]
    told = ("worlds", "loading", "pictures", "written to", "focal lengths", "78 answers")
    lines = [x for x in lines if not x.startswith(told)]
    assert len(lines) == 1 and lines[0].startswith(start), result.stderr
    return lines[0]


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.mark.parametrize("name", COMMANDS)
def test_whole_or_not_there_whatever_fails(
    name: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.made(tmp_path / "good", inputs)
    with watched(Watch(place.folder)) as good:
        result = place.run(name, monkeypatch)
    assert result.exit_code == 0, (result.output, result.exception)
    files = new_files(place, inputs)
    assert files and not strays(place.folder)
    assert not good.around(files)
    count = len(good.steps)
    tries = (("full", 0), ("read-only", count // 2), ("full", count - 1),
             ("Ctrl-C", count // 2), ("Ctrl-C", count - 1))  # fmt: skip
    for number, (fault, step) in enumerate(tries):
        place = Place.made(tmp_path / str(number), inputs)
        partials.swept.clear()
        with watched(Watch(place.folder, step, FAULTS[fault])) as seen:
            result = place.run(name, monkeypatch)
        if fault == "Ctrl-C":
            one_line(result, 130, "vlm3: interrupted")
        else:
            one_line(result, 2, "vlm3: error: cannot write")
        assert not strays(place.folder), (fault, step)
        assert not seen.around(new_files(place, inputs)), (fault, step)
        # Drawing takes its time, and knows nothing of what was there before.
        if number == len(tries) - 1 or place.out.is_dir():
            again = place.run(name, monkeypatch)
            assert again.exit_code == 0, (fault, step, again.output)
            left = {path.relative_to(place.folder) for path in new_files(place, inputs)}
            assert left == {path.relative_to(tmp_path / "good") for path in files}, (fault, step)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow beyond that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_takes_no_more(
    name: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unlike the hook, the kernel refuses what is written, and by libraries that are not Python."""
    place = Place.made(tmp_path / "place", inputs)
    with files_of_at_most(100):
        result = place.run(name, monkeypatch)
    told = one_line(result, 2, "vlm3: error: cannot write")
    # Figures of pages and unpacked archives go to the folder for temporary files, full here, too.
    assert str(place.folder) in told or "figure.png" in told or "TMPDIR" in told
    assert "larger than a file may be here" in told
    assert not strays(place.folder)
    whole = ("label.txt", "shards.json", "worlds.json", "curation.json", "SHA256SUMS", ".lock")
    left = {path.name for path in new_files(place, inputs)}
    assert not left - {*STREAMS, *whole}, left


GO_ON = ("eval", "worlds render", "curate", "many")
"""What the same command goes on with; `train`, `study` and `convert-run` in their own tests."""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_second_of_two_in_one_folder(
    name: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who goes on with what is there is alone; others write files whole, and the last one wins."""
    place = Place.made(tmp_path / "place", inputs)
    with lock.writing(place.out):
        result = place.run(name, monkeypatch)
        if name in GO_ON:
            told = one_line(result, 2, "vlm3: error: ")
            assert f"is being written by process {os.getpid()} on " in told
            assert [path.name for path in place.out.iterdir()] == [lock.NAME]
        elif name.startswith("export"):
            assert "is not empty" in one_line(result, 2, "vlm3: error: ")
        else:
            assert result.exit_code == 0, result.output
    assert not strays(place.folder)


@pytest.mark.parametrize("name", GO_ON)
def test_killed_at_any_step_the_same_command_goes_on(
    name: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it gives is what an undisturbed one gives, and nothing is left over."""
    place = Place.made(tmp_path / "good", inputs)
    with watched(Watch(place.folder, removing=True)) as good:
        assert place.run(name, monkeypatch).exit_code == 0
    wanted = _contents(place, inputs)
    count = len(good.steps)
    for step in sorted({*range(0, count, 1 + count // 6), 1, 2, count - 1}):
        place = Place.made(tmp_path / str(step), inputs)
        partials.swept.clear()
        killed_at(step, place.folder, lambda place=place: place.run(name, monkeypatch))
        again = place.run(name, monkeypatch)
        assert again.exit_code == 0, (step, again.output)
        assert not strays(place.folder), step
        assert _contents(place, inputs) == wanted, step


def _contents(place: Place, inputs: Path) -> dict[str, bytes]:
    """Files by name; of those that hold clocks, only that they are there."""
    exact = (".tar", ".npy", ".npz", ".png", "SHA256SUMS")
    return {
        path.relative_to(place.folder).as_posix(): path.read_bytes()
        if path.name.endswith(exact)
        else b""
        for path in new_files(place, inputs)
    }


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in IN_PLACE])
def test_a_place_that_is_none(
    name: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place.made(tmp_path / "place", inputs)
    place.out.write_text("mine")
    told = one_line(place.run(name, monkeypatch), 2, "vlm3: error: ")
    assert str(place.out) in told
    assert place.out.read_text() == "mine" and new_files(place, inputs) == {place.out}


@pytest.mark.parametrize("name", [n for n, words in COMMANDS.items() if words[0] != "data"])
def test_ctrl_c_while_it_works(
    name: str, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*args: object, **more: object) -> str:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("still here")

    works = {
        "eval": ("eval.predict._ask",),
        "queries": ("worlds.world.World.view",),
        "lmms": ("worlds.world.World.view",),
        "worlds": ("worlds.world.World.view", "worlds.assets.load_model"),
        "score": ("eval.score.score",),
        "report": ("eval.score.score",),
        "figure": ("eval.report.figures.run_figures",),
    }
    for work in works.get(name, works.get(COMMANDS[name][0], ())):
        monkeypatch.setattr(f"vlm3.{work}", pressed)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = Place.made(tmp_path / "place", inputs)
    told = one_line(place.run(name, monkeypatch, pressed), 130, "vlm3: interrupted")
    if name in ("worlds render", "eval", "many"):
        assert "goes on" in told
    if name.startswith(("map", "cloud", "match", "scene")):
        assert "nothing was written" in told
    assert not strays(place.folder)
    left = {path.name for path in new_files(place, inputs)}
    assert not left - {"worlds.json", *STREAMS}, left


def test_every_command_that_writes_is_in_the_table() -> None:
    """A new command with an output is put into COMMANDS, or named here with where it is tested."""
    elsewhere = {
        "train": "tests/train/test_kills.py",
        "train nano": "tests/nano/test_training.py",
        "train convert-run": "tests/train/test_kills.py",
        "study": "tests/ablations/test_study.py",
    }
    tested = {" ".join(words) for words in COMMANDS.values()}

    def writes(command: Any, words: str) -> Iterator[str]:
        for name, inner in sorted(getattr(command, "commands", {}).items()):
            yield from writes(inner, f"{words} {name}".strip())
        options = {option for param in command.params for option in param.opts}
        if options & {"-o", "--output", "--out"}:
            yield words

    found = list(writes(main, ""))
    assert len(found) > 12
    missing = [
        words
        for words in found
        if words not in elsewhere and not any(line.startswith(words) for line in tested)
    ]
    assert not missing
