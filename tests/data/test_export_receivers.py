"""Exports in the packages that read them: one that is installed trains a step on its export."""

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import exports


@pytest.mark.parametrize(
    ("to", "module"), [("trl", "trl"), ("llama-factory", "llamafactory"), ("ms-swift", "swift")]
)
def test_one_step_in_the_receiving_trainer(
    to: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec(module) is None:
        pytest.skip(
            f"{exports.RECEIVERS[to].package} is not installed beside vlm3; in a Python of its "
            f"own: python benchmarks/exports.py {to}"
        )
    monkeypatch.setattr(sys, "argv", ["exports.py"])
    found = exports.run(to, tmp_path)
    assert found["rows"] == 11 and found["answers"] > 0
