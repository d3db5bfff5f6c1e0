"""One writer a folder: the second is told who holds it, and a killed one holds nobody up."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from vlm3.cli.main import main
from vlm3.errors import InputError
from vlm3.lock import NAME, writing


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with writing(folder):
        told = rf"process {os.getpid()} on .* since 20\d\d-"
        with pytest.raises(InputError, match=told), writing(folder):
            raise AssertionError
        with writing(tmp_path / "a"):
            assert (folder / NAME).is_file()
    assert list(folder.iterdir()) == [], "nothing stays"
    with writing(folder):
        pass


def test_an_error_inside_releases(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), writing(tmp_path):
            raise ZeroDivisionError
    assert not (tmp_path / NAME).exists()


def test_ranks_share_and_keep_out_one_who_wants_it_alone(tmp_path: Path) -> None:
    with writing(tmp_path, shared=True):
        both = writing(tmp_path, shared=True), pytest.raises(InputError, match="being written")
        with both[0], both[1], writing(tmp_path):
            raise AssertionError
        assert (tmp_path / NAME).exists(), "the first still holds it"
        with pytest.raises(InputError), writing(tmp_path):
            raise AssertionError
    with writing(tmp_path), pytest.raises(InputError), writing(tmp_path, shared=True):
        raise AssertionError
    assert not (tmp_path / NAME).exists()


@pytest.mark.parametrize("note", [b"", b"not json", b"[]", b'{"pid": "x"}', b"\xff\xfe"])
def test_a_file_that_was_left_behind_holds_nobody_up(tmp_path: Path, note: bytes) -> None:
    (tmp_path / NAME).write_bytes(note)
    with writing(tmp_path):
        pass
    with writing(tmp_path):
        # Whatever stands in it, the second is told something.
        (tmp_path / NAME).write_bytes(note)
        with pytest.raises(InputError, match="another process"), writing(tmp_path):
            raise AssertionError


_HOLDER = """
import os, sys, time
from pathlib import Path
from vlm3.lock import writing
with writing(Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_releases_at_once_though_its_child_lives(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        time.sleep(0.1)
        with pytest.raises(InputError, match=f"process {holder.pid} "), writing(tmp_path):
            raise AssertionError
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        os.kill(child, 0)
        with writing(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        holder.kill()


def test_a_file_or_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="is a file"), writing(wrong):
            raise AssertionError
    with pytest.raises(InputError, match="cannot write"), writing(Path("/proc/nothing")):
        raise AssertionError


@pytest.mark.parametrize(
    "command", [["worlds", "render", "--count", "1", "-o"], ["study", "focal", "-o"]], ids=str
)
def test_the_second_command_says_who_and_leaves_with_2(tmp_path: Path, command: list[str]) -> None:
    with writing(tmp_path / "out"):
        said = CliRunner().invoke(main, [*command, str(tmp_path / "out")])
    assert said.exit_code == 2 and said.output.count("\n") == 1
    assert f"being written by process {os.getpid()} on " in said.output
