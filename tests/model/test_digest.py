"""The digest of a checkpoint: of its content, not of its name, place or time."""

import os
import shutil
from pathlib import Path

import pytest

from vlm3.model import digest
from vlm3.model.digest import model_digest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VLM3_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "model"
    made.mkdir()
    (made / "model.safetensors").write_bytes(bytes(range(256)) * 8)
    (made / "config.json").write_text("{}")
    return made


def test_content_decides_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    first = model_digest(folder)
    assert len(first) == 16 and int(first, 16) >= 0
    (folder / "README.md").write_text("words")
    (folder / "vlm3.json").write_text('{"protocol": "paper"}')
    os.utime(folder / "config.json", (1, 1))
    assert model_digest(folder) == first
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    assert model_digest(copy) == first


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "chat_template.jinja", "adapter_model.safetensors"]
)
def test_what_decides_an_answer_changes_it(folder: Path, name: str) -> None:
    first = model_digest(folder)
    path = folder / name
    path.write_bytes((path.read_bytes()[:-1] if path.exists() else b"") + b"x")
    assert model_digest(folder) != first


def test_large_files_are_hashed_once_and_again_when_they_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "_WORTH_KEEPING_BYTES", 1024)
    monkeypatch.setattr(digest, "_SETTLED_S", -1.0)
    hashed: list[str] = []
    plain = digest._hashed
    monkeypatch.setattr(digest, "_hashed", lambda path: hashed.append(path.name) or plain(path))
    first = model_digest(folder)
    assert model_digest(folder) == first and hashed.count("model.safetensors") == 1
    # The same size and the same time of change, as a copy that keeps times has.
    path = folder / "model.safetensors"
    before = path.stat()
    path.write_bytes(bytes(reversed(range(256))) * 8)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert model_digest(folder) != first


def test_a_file_that_was_just_written_is_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "_WORTH_KEEPING_BYTES", 1024)
    model_digest(folder)
    assert not (folder.parent / "cache" / "digests.json").exists()


@pytest.mark.parametrize("notes", [b"[]", b"{", b'{"a": 1}', b"[" * 5000, b"\xff"])
def test_damaged_notes_are_left_alone(
    folder: Path, notes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = model_digest(folder)
    monkeypatch.setattr(digest, "_WORTH_KEEPING_BYTES", 1024)
    (folder.parent / "cache").mkdir(exist_ok=True)
    (folder.parent / "cache" / "digests.json").write_bytes(notes)
    assert model_digest(folder) == first
