"""What all that is written goes through; the commands themselves are in test_writing_law.py."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from watching import killed_at

from vlm3 import disk, partials
from vlm3.cli.main import main
from vlm3.errors import InputError


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
        partials.swept.clear()
        disk.write(tmp_path / "b", "text")
        assert theirs.exists() and mine.exists()
        other.kill()
        other.wait()
        assert theirs.exists()
        partials.swept.clear()
        disk.write(tmp_path / "b", "text")
        assert not theirs.exists() and mine.exists()


def _read(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir()}


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_is_the_old_or_the_new_one_whenever_it_is_killed(
    exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchanges:
        monkeypatch.setattr(partials, "exchanged", lambda one, other: False)
    elif not partials.exchanged(_folder(tmp_path / "a"), _folder(tmp_path / "b")):
        pytest.skip("this file system exchanges no names")
    old, new = {"a": "old", "only old": "x"}, {"a": "new", "b": "new"}

    def replace(path: Path) -> None:
        with disk.new_folder(path) as partial:
            for name, text in new.items():
                (partial / name).write_text(text)

    seen = set()
    for step in range(40):
        folder = tmp_path / str(step)
        path = folder / "model"
        _folder(path)
        for name, text in old.items():
            (path / name).write_text(text)
        killed = killed_at(step, folder, lambda path=path: replace(path))
        if exchanges:
            # Whoever reads finds one of the two, without any repair.
            assert _read(path) in (old, new), step
        partials.restored(folder)
        assert _read(path) in (old, new), step
        seen.add(_read(path)["a"])
        partials.swept.clear()
        replace(path)
        assert _read(path) == new and [p.name for p in folder.iterdir()] == ["model"], step
        if not killed:
            break
    assert not killed and step > 3 and seen == {"old", "new"}


def _folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


def _writes_second(path: Path) -> None:
    with disk.whole_folder(path) as partial:
        (partial / "a").write_text("second")
        (_folder(path) / "a").write_text("first")


def test_a_folder_stays_when_the_new_one_fails(tmp_path: Path) -> None:
    path = _folder(tmp_path / "model")
    (path / "a").write_text("old")
    for error in (OSError(errno.ENOSPC, "x"), KeyboardInterrupt(), ValueError("y")):
        expected = InputError if isinstance(error, OSError) else type(error)
        for writer in (disk.new_folder, disk.whole_folder):
            with pytest.raises(expected), writer(path) as partial:
                (partial / "a").write_text("half")
                raise error
            assert _read(path) == {"a": "old"} and [p.name for p in tmp_path.iterdir()] == ["model"]
    with pytest.raises(InputError, match="another process has written there meanwhile"):
        _writes_second(tmp_path / "both")
    assert _read(tmp_path / "both") == {"a": "first"}
    (tmp_path / "file").write_text("mine")
    for writer in (disk.new_folder, disk.whole_folder):
        with pytest.raises(InputError, match="is a file"), writer(tmp_path / "file"):
            pass
    with disk.whole_folder(path) as partial:
        (partial / "below").mkdir()
        (partial / "below" / "b").write_text("new")
    assert (path / "a").read_text() == "old" and (path / "below" / "b").read_text() == "new"
