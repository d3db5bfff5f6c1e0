"""Many pictures: names, order, resuming, damage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from vlm3.cli.main import main
from vlm3.cli.picture_sources import find_sources
from vlm3.infer import predictor as predict
from vlm3.infer.engines.fakes import ConstantEngine
from vlm3.tasks.protocol import get_protocol


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "photos"
    made.mkdir()
    for name in ("f10.png", "f9.png", "f9.bmp"):
        Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(made / name)
    (made / "note.txt").write_text("no picture")
    return made


def test_names_are_one_each_and_numbers_count(folder: Path) -> None:
    found = find_sources([str(folder)], None)
    assert [Path(s.origin).name for s in found] == ["f9.bmp", "f9.png", "f10.png"]
    assert [s.name for s in found] == ["f9", "f9_png", "f10"]


def test_a_folder_is_resumed_and_damage_is_counted(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Engine(ConstantEngine):
        def ask(self, *args: Any, **how: Any) -> list[str]:
            asked.append(args)
            return super().ask(*args, **how)

    def load(**_: Any) -> predict.Predictor:
        return predict.Predictor(Engine("02.75"), get_protocol("joint"), multiple_px=16)

    monkeypatch.setattr(predict, "load", load)
    out = tmp_path / "out"
    line = ["depth", str(folder), "-o", str(out), "--grid", "4x3", "--fov-deg", "60"]
    first = CliRunner().invoke(main, line)
    assert (first.exit_code, len(asked)) == (0, 3), first.output
    assert (out / "contact_sheet.jpg").is_file()
    records = [json.loads(text) for text in (out / "manifest.jsonl").read_text().splitlines()]
    assert [r["distance_m"]["p50"] for r in records] == [2.75] * 3
    (out / "f10.png").unlink()
    with (out / "manifest.jsonl").open("a") as file:
        file.write('{"name": "torn')
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    again = CliRunner().invoke(main, line)
    assert (again.exit_code, len(asked)) == (1, 4), again.output
    assert "bad.jpg" in again.stderr and "1 skipped" in again.stderr
    other = CliRunner().invoke(main, [*line, "--readout", "digits"])
    assert (other.exit_code, len(asked)) == (1, 7)
