"""The one command for a GPU runs to its end anywhere, toys and all, and keeps what it found."""

import gc
import json
import sys
import weakref
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlm3.train import compiled, loss_module
from vlm3.train.parallel import Parallel

ROOT = Path(__file__).parents[1]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler without its own kernels, which take long to build."""
    plain = partial(compiled.compile_layers, backend="aot_eager")
    monkeypatch.setattr(loss_module, "compile_layers", plain)


def test_every_part_runs_on_a_cpu(
    traced: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert found["train depth, independent, compiled"]["value"] > 0
    assert found["train depth, independent: loss, compiled or not"]["value"] < 1e-5
    assert "attention: tree" in found["attention of independent"]["note"]
    kept = json.loads(path.read_text())
    assert kept["machine"]["torch"] == torch.__version__ and len(kept["rows"]) == len(rows)
    lines = compare.table(kept, kept)
    assert lines and all("x 1.000" in line or ": 0 -> 0" in line for line in lines)


def test_every_repeat_of_the_engine_sees_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the vision tower kept of the repeat before would leave its pass out of the figure."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_engine

    asker = gpu_engine._nano("cpu")
    seen: list[int] = []
    asker._checkpoint.model.model.visual.register_forward_hook(lambda *_: seen.append(1))
    image = np.zeros((32, 32, 3), np.uint8)
    gpu_engine._seconds(asker, image, ["Hello"], 2)
    assert len(seen) == 4


def test_memory_is_given_back_between_tasks(traced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where layers are compiled: neither they nor the compiler keep a model's weights."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import train_4b

    held: list[weakref.ref[torch.Tensor]] = []

    def begun(*args: Any, **settings: Any) -> loss_module.Start:
        made = loss_module.begin(*args, **settings)
        assert made.compiled.startswith("compile: on")
        held.extend(weakref.ref(weight) for weight in made.trainee.parameters())
        return made

    monkeypatch.setattr(train_4b, "begin", begun)
    given = Namespace(
        size="tiny", attention="sdpa", packing="chat", samples=1, passes=1, compile="on"
    )
    train_4b.measure("depth", given, Parallel(0, 1, torch.device("cpu"), None))
    gc.collect()
    assert held and not [weight for weight in held if weight() is not None]


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
