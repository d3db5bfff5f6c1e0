"""The one command for a GPU runs to its end anywhere, toys and all, and keeps what it found."""

import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


def test_every_part_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import compare
    import gpu

    path = tmp_path / "gpu.json"
    rows = gpu.main(["--device", "cpu", "--tiny", "--json", str(path)])
    found = {row["what"]: row for row in rows}
    assert not [name for name in found if name.endswith("failed")], found
    assert found["losses, tree against sdpa"]["value"] < 1e-4
    assert found["nano's answers as on a CPU"]["value"] == 1
    assert found["engine 300 joint"]["value"] > 0
    assert found["train depth, independent"]["value"] > 0
    assert "attention: tree" in found["attention of independent"]["note"]
    kept = json.loads(path.read_text())
    assert kept["machine"]["torch"] == torch.__version__ and len(kept["rows"]) == len(rows)
    lines = compare.table(kept, kept)
    assert lines and all("x 1.000" in line or ": 0 -> 0" in line for line in lines)


def test_a_failing_part_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu

    def broken(device: torch.device, *, tiny: bool) -> None:
        raise RuntimeError("no kernel image is available")

    monkeypatch.setattr(gpu, "PARTS", {"broken": broken, "worlds": lambda *_, **__: iter([])})
    (row,) = gpu.main(["--device", "cpu", "--tiny", "--json", str(tmp_path / "gpu.json")])
    assert (
        row["value"] is None and row["what"] == "broken failed" and "no kernel image" in row["note"]
    )
    with pytest.raises(SystemExit):
        gpu.main(["--device", "cpu"])
    assert "gpu" in sys.modules
