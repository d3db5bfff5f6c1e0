"""Every command that writes: a full disk, a place that is none, Ctrl-C. One line, nothing half."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from vlm3 import disk
from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.infer import predictor as predict
from vlm3.infer.engines.fakes import OracleEngine
from vlm3.tasks.protocol import get_protocol

_AT = ("--at", "20,20")
_GRID = ("--grid", "24x18")
COMMANDS: dict[str, tuple[str, ...]] = {
    "points html": ("depth", "A", *_AT, "-o", "OUT/x.html"),
    "figure png": ("depth", "A", *_AT, "--figure", "OUT/x.png"),
    "figure svg": ("depth", "A", *_AT, "--figure", "OUT/x.svg"),
    "figure pdf": ("depth", "A", *_AT, "--figure", "OUT/x.pdf"),
    **{f"map {form}": ("depth", "A", *_GRID, "-o", f"OUT/x.{form}") for form in ("npz", "png")},
    **{f"cloud {form}": ("cloud", "A", *_GRID, "-o", f"OUT/x.{form}") for form in ("ply", "glb")},
    "cloud html": ("cloud", "A", *_GRID, "-o", "OUT/x.html"),
    "match npz": ("match", "A", "B", *_GRID, "-o", "OUT/x.npz"),
    "pose html": ("pose", "A", "B", "-o", "OUT/x.html"),
    "pose colmap": ("pose", "A", "B", "-o", "OUT/x"),
    "ask html": ("ask", "A", "How wide is {0}?", "--box", "9,9,50,50", "-o", "OUT/x.html"),
    "demo": ("demo", "-o", "OUT"),
    "worlds render": ("worlds", "render", "-o", "OUT", "--count", "1", "--size", "32x24"),
    "worlds look": ("worlds", "look", "-o", "OUT/x.png", "--count", "1", "--size", "32x24"),
    "eval": ("eval", "worlds", "--count", "1", "--model", "constant", "-o", "OUT"),
    "queries": ("eval", "worlds", "--count", "1", "--queries", "OUT/x.jsonl"),
}


def _said(prompt: str) -> str:
    if prompt.startswith("The point"):
        return "1000 0500"
    if prompt.startswith("Rotation"):
        return "+009.6 +002.6 -000.0"
    if prompt.startswith("Direction"):
        return "-0.69 +0.02 +0.72"
    if prompt.startswith("Distance in meters from"):
        return "02.75"
    return "01.98" if prompt.startswith("Distance") else "01.25 m"


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs one of COMMANDS into a folder, with an engine that answers at once."""
    # git would refresh the index of this checkout under the limit, and leave its lock behind.
    monkeypatch.setattr("vlm3.eval.predict._commit", lambda: None)
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    for name in "AB":
        Image.fromarray(noise).save(tmp_path / f"{name}.png")

    def go(command: tuple[str, ...], out: Path, answer: Callable[[str], str] = _said) -> Result:
        def load(model: str, **more: object) -> predict.Predictor:
            return predict.Predictor(OracleEngine(answer), get_protocol("joint"), multiple_px=16)

        monkeypatch.setattr(predict, "load", load)
        monkeypatch.setattr("vlm3.load", load)
        args = [
            str(tmp_path / f"{word}.png") if word in ("A", "B") else word.replace("OUT", str(out))
            for word in command
        ]
        return CliRunner().invoke(main, args, prog_name="vlm3")

    return go


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


def _one_line(result: Result, code: int, start: str) -> str:
    assert result.exit_code == code, (result.output, result.exception)
    lines = [x for x in result.stderr.splitlines() if x and "warning:" not in x]
    lines = [x for x in lines if not x.startswith(("worlds", "loading"))]
    assert len(lines) == 1 and lines[0].startswith(start), result.stderr
    return lines[0]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_takes_no_more(name: str, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    with files_of_at_most(300):
        result = run(COMMANDS[name], out)
    said = _one_line(result, 2, "vlm3: error: cannot write")
    # A page's figure is drawn in the folder for temporary files, which is full here, too.
    assert str(out) in said or "figure.png" in said
    assert "larger than a file may be here" in said
    left = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path]
    assert not [path for path in left if path.name not in ("predictions.jsonl", "worlds.json")]
    # What a stream keeps is usable: with room, the same command ends well.
    assert run(COMMANDS[name], out).exit_code == 0
    assert not list(tmp_path.rglob(disk.PARTIALS))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_place_that_is_none(name: str, tmp_path: Path, run: Run) -> None:
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    said = _one_line(run(COMMANDS[name], tmp_path / "file"), 2, "vlm3: error: ")
    assert str(tmp_path / "file") in said
    assert sorted(tmp_path.rglob("*")) == before and (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c(name: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(*args: object, **more: object) -> str:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("still here")

    if name == "eval":
        monkeypatch.setattr("vlm3.eval.predict._ask", pressed)
    elif COMMANDS[name][0] in ("worlds", "eval"):
        monkeypatch.setattr("vlm3.worlds.sample.World.view", pressed)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    result = run(COMMANDS[name], tmp_path / "out", pressed)
    said = _one_line(result, 130, "vlm3: interrupted")
    if name in ("worlds render", "eval"):
        assert "kept in" in said and "goes on" in said
    if name.startswith(("map", "cloud", "match")):
        assert "nothing was written" in said
    left = [p.name for p in tmp_path.rglob("*") if p.is_file() and p.parent != tmp_path]
    assert not set(left) - {"worlds.json", "predictions.jsonl"}


def test_a_file_that_ends_too_early_is_no_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*args: object) -> None:
        raise EOFError("no data left in file")

    monkeypatch.setattr("vlm3.cli.doctor.examine", short)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code != 130 and isinstance(result.exception, EOFError)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.ENAMETOOLONG, "too long"),
    ],
)
def test_whole_or_not_there(code: int, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    for error in (OSError(code, "x"), RuntimeError(f"Io error (os error {code})")):
        with pytest.raises(InputError, match=cause), disk.whole(path) as partial:
            partial.write_text("half")
            raise error
        with pytest.raises(KeyboardInterrupt), disk.whole(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt
        assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    # An error about what is read is not one about writing.
    with pytest.raises(FileNotFoundError), disk.whole(path):
        Path("/nowhere/else").read_text()
    path.chmod(0o640)
    disk.write(path, "new")
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o640


def test_devices_links_and_long_names(tmp_path: Path) -> None:
    full, link = tmp_path / "full", tmp_path / "link"
    full.symlink_to("/dev/full")
    with pytest.raises(InputError, match="the disk is full"):
        disk.write(full, "text")
    assert full.is_symlink()
    link.symlink_to(tmp_path / "real")
    disk.write(link, "text")
    assert link.is_symlink() and (tmp_path / "real").read_text() == "text"
    disk.write(tmp_path / ("n" * 255), "a name as long as may be")
    for check in (disk.check_place, lambda path: disk.write(path, "")):
        with pytest.raises(InputError, match="too long"):
            check(tmp_path / ("n" * 256))
        with pytest.raises(InputError, match="is a folder"):
            (tmp_path / "a.png").mkdir(exist_ok=True)
            check(tmp_path / "a.png")


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    code = (
        "import os, sys; from vlm3 import disk\n"
        "with disk.whole(sys.argv[1]) as partial:\n"
        "    partial.write_text('half'); print(partial, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a")]
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
        disk.whole(tmp_path / "mine") as mine,
    ):
        assert other.stdout is not None
        theirs = Path(os.fsdecode(other.stdout.readline().strip()))
        disk._swept.clear()
        disk.write(tmp_path / "b", "text")
        assert theirs.exists() and mine.exists()
        other.kill()
        other.wait()
        assert theirs.exists()
        disk._swept.clear()
        disk.write(tmp_path / "b", "text")
        assert not theirs.exists() and mine.exists()
