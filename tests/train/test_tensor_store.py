"""Checkpoints of runs: tensors and JSON, exact, guarded, and never unpickled."""

import json
import pickle
import shutil
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3.cli.main import main
from vlm3.errors import CheckpointError
from vlm3.train import checkpoint, tensor_store
from vlm3.train.parallel import Parallel

ALONE = Parallel(0, 1, torch.device("cpu"), None)


def trained(seed: int, kind: type[torch.optim.Optimizer] = torch.optim.AdamW) -> tuple[Any, Any]:
    """Two tied layers and an optimiser that has moments."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Linear(6, 6), torch.nn.LayerNorm(6))
    model[1].weight = model[0].weight
    optimizer = kind(model.parameters(), lr=0.1 * (seed + 1))  # type: ignore[call-arg]
    for _ in range(seed + 1):
        model(torch.randn(4, 6)).square().sum().backward()
        optimizer.step()
    return model, optimizer


def saved(out: Path, seed: int = 1) -> tuple[Any, Any]:
    model, optimizer = trained(seed)
    assert checkpoint.save(out, 7, model, [optimizer], ALONE, keep=2)
    return model, optimizer


def load_fresh(path: Path) -> None:
    model, optimizer = trained(0)
    checkpoint.load(path, model, [optimizer])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint to copy."""
    out = tmp_path_factory.mktemp("kept")
    saved(out)
    return out / "checkpoints" / "step-00000007"


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    model, optimizer = saved(tmp_path)
    other, fresh = trained(0)
    folder = checkpoint.latest(tmp_path)
    assert folder is not None and checkpoint.load(folder, other, [fresh]) == 7
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        for key, value in optimizer.state[ours].items():
            assert torch.equal(value, fresh.state[theirs][key]), key
    assert fresh.param_groups[0]["lr"] == 0.1, "the rate is the run's own"
    names = {path.name for path in folder.iterdir()}
    assert names == {"index.json", "rank-00000-000.safetensors"}
    # The tied weight is written once.
    size = (folder / "rank-00000-000.safetensors").stat().st_size
    assert size < 4 * (36 * 3 + 24 * 3 + 40) + 3000


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(0, 9),
    columns=st.integers(1, 4),
    cuts=st.lists(st.integers(0, 9), max_size=4),
    wanted=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_any_rows_from_any_split(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    columns: int,
    cuts: list[int],
    wanted: tuple[int, int],
) -> None:
    """Law: however a tensor was split over processes, any block of it reads back the same."""
    folder = tmp_path_factory.mktemp("split")
    whole = torch.arange(rows * columns, dtype=torch.float32).reshape(rows, columns)
    edges = sorted({0, rows, *(min(cut, rows) for cut in cuts)})
    lines = []
    for rank, (first, last) in enumerate(pairwise(edges)):
        (part,) = tensor_store.write_parts(folder, {"t": whole[first:last].clone()}, rank=0)
        name = f"rank-{rank:05d}-001.safetensors"
        (folder / part.file).rename(folder / name)
        entry = json.loads(part.to_json()) | {"file": name, "offset": [first, 0]}
        lines.append(json.dumps(entry))
    tensor_store.write_index(folder, {"t": whole}, lines)
    first, last = sorted(min(w, rows) for w in wanted)
    block = torch.full((last - first, columns), -1.0)
    parts = tensor_store._listed(folder, {"t": whole})["t"]
    tensor_store.fill(folder, "t", block, (first, 0), parts, {})
    assert torch.equal(block, whole[first:last])


MUTATIONS = st.sampled_from([None, -1, 0, 3, 1e308, "x", "../x", [], {}, [1], {"a": 1}, True])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), value=MUTATIONS)
def test_a_changed_index_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kept: Path, data: st.DataObject, value: Any
) -> None:
    """Law: one value of the index changed gives a whole state or one line."""
    path = tmp_path_factory.mktemp("changed") / "step-00000007"
    shutil.copytree(kept, path)
    index = json.loads((path / "index.json").read_text())
    spot: Any = index
    while True:
        key = data.draw(
            st.sampled_from(sorted(spot) if isinstance(spot, dict) else [*range(len(spot))])
        )
        inner = spot[key]
        if not inner or not isinstance(inner, (dict, list)) or data.draw(st.booleans()):
            break
        spot = inner
    spot[key] = value
    (path / "index.json").write_text(json.dumps(index))
    try:
        load_fresh(path)
    except CheckpointError as error:
        assert "\n" not in str(error) and len(str(error)) < 900


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda p: (p / "index.json").unlink(), "index.json is not a file"),
        (lambda p: (p / "index.json").write_text("[" * 100_000), "nested too deeply"),
        (lambda p: (p / "index.json").write_text("[]"), "holds a list"),
        (lambda p: (p / "index.json").write_bytes(b"\xff\xfe"), "not UTF-8"),
        (lambda p: (p / "rank-00000-000.safetensors").unlink(), "cannot be read"),
        (lambda p: (p / "rank-00000-000.safetensors").write_bytes(b"\x80\x04x"), "cannot be read"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, kept: Path, damage: Any, says: str) -> None:
    path = tmp_path / "step-00000007"
    shutil.copytree(kept, path)
    damage(path)
    with pytest.raises(CheckpointError, match=says):
        load_fresh(path)


def test_another_model_or_optimiser_is_named(tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / "checkpoints" / "step-00000007"
    model = torch.nn.Sequential(torch.nn.Linear(6, 6))
    with pytest.raises(CheckpointError, match="another model or optimiser"):
        checkpoint.load(path, model, [torch.optim.AdamW(model.parameters())])
    model, _ = trained(0)
    model[2].weight = torch.nn.Parameter(torch.zeros(5))
    with pytest.raises(CheckpointError, match=r"shape \[5\] in the run"):
        checkpoint.load(path, model, [torch.optim.AdamW(model.parameters())])


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def old_run(out: Path) -> tuple[Any, Any]:
    """A run folder as older versions wrote it."""
    from torch.distributed.checkpoint.state_dict import get_state_dict
    from torch.distributed.checkpoint.state_dict_saver import save

    model, optimizer = trained(1)
    weights, moments = get_state_dict(model, [optimizer])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = out / "checkpoints" / "step-00000007"
        save({"model": weights, "optimizer": moments}, checkpoint_id=folder, no_dist=True)
    return model, optimizer


def test_an_old_run_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    model, optimizer = old_run(tmp_path)
    path = tmp_path / "checkpoints" / "step-00000007"
    other, fresh = trained(0)
    with pytest.raises(CheckpointError, match=f"vlm3 train convert-run {tmp_path}$"):
        checkpoint.load(path, other, [fresh])
    refused = CliRunner().invoke(main, ["train", "convert-run", str(tmp_path)], input="n\n")
    assert refused.exit_code == 2 and "left as it is" in refused.output
    assert (path / ".metadata").exists()
    done = CliRunner().invoke(main, ["train", "convert-run", str(tmp_path)], input="y\n")
    assert done.exit_code == 0 and "converted step-00000007" in done.output
    assert checkpoint.load(path, other, [fresh]) == 7
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert torch.equal(optimizer.state[ours]["exp_avg_sq"], fresh.state[theirs]["exp_avg_sq"])
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000007"]
    again = CliRunner().invoke(main, ["train", "convert-run", str(tmp_path), "--yes"])
    assert again.exit_code == 0 and "nothing to convert" in again.output


def test_a_planted_pickle_runs_in_no_run_folder(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    payload = pickle.dumps(Planted(mark))
    saved(tmp_path)
    path = tmp_path / "checkpoints" / "step-00000007"
    for name in ("index.json", "rank-00000-000.safetensors", ".metadata"):
        kept = (path / name).read_bytes() if (path / name).exists() else None
        (path / name).write_bytes(payload)
        with pytest.raises(CheckpointError):
            load_fresh(path)
        (path / name).unlink()
        if kept is not None:
            (path / name).write_bytes(kept)
    assert not mark.exists()
    np.asarray(pickle.loads(payload))  # The payload works: only nobody opened it.
    assert mark.exists()
