"""Writers of whole folders, killed at every step: the old folder is there, or the new one."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from test_tensor_store import ALONE, load_fresh, old_run, trained
from watching import killed_at

from vlm3 import partials
from vlm3.nano import saving
from vlm3.train import checkpoint, loss_module
from vlm3.train.config import ModelConfig, PromptConfig
from vlm3.train.convert import convert, unconverted

Write = Callable[[Path], Any]
Check = Callable[[Path], int]
"""Which of the two a folder holds, 0 or 1; raises where it holds neither."""


def _weights(model: Any, tokenizer: Any, spec: Any, folder: Path, **more: Any) -> None:
    """In place of the library's, which takes a second: two files, the second names the first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights").write_text(model)
    (folder / "config").write_text(model)


def _whole(folder: Path) -> int:
    texts = {(folder / name).read_text() for name in ("weights", "config")}
    assert len(texts) == 1 and {path.name for path in folder.iterdir()} == {"weights", "config"}
    return ("old", "new").index(texts.pop())


def _save_model(out: Path, text: str) -> None:
    saving.save_model(out / "model", text, None, None, None)  # type: ignore[arg-type]


def _export(out: Path, text: str) -> None:
    trainee = SimpleNamespace(model=text, load_state_dict=lambda weights: None)
    made = SimpleNamespace(trainee=trainee, tokenizer=None, spec=None)
    loss_module.export(
        made,  # type: ignore[arg-type]
        {},
        out / "model",
        model=ModelConfig("tiny"),
        prompt=PromptConfig("joint"),
    )


def _save(out: Path, step: int) -> None:
    model, optimizer = trained(1)
    assert checkpoint.save(out, step, model, [optimizer], ALONE, keep=1)


def _saved(out: Path) -> int:
    found = checkpoint.latest(out)
    assert found is not None
    load_fresh(found)
    return checkpoint.step_of(found) - 7


def _converted(out: Path) -> int:
    path = out / "checkpoints" / "step-00000007"
    if unconverted(out):
        assert {".metadata", "__0_0.distcp"} <= {one.name for one in path.iterdir()}
        return 0
    load_fresh(path)
    return 1


WRITERS: dict[str, tuple[Write, Write, Check]] = {
    "nano's model": (
        lambda out: _save_model(out, "old"),
        lambda out: _save_model(out, "new"),
        lambda out: _whole(out / "model"),
    ),
    "export": (
        lambda out: _export(out, "old"),
        lambda out: _export(out, "new"),
        lambda out: _whole(out / "model"),
    ),
    "checkpoint": (lambda out: _save(out, 7), lambda out: _save(out, 8), _saved),
    "conversion": (old_run, lambda out: [convert(one) for one in unconverted(out)], _converted),
}


@pytest.mark.parametrize("exchanges", [True, False])
@pytest.mark.parametrize("name", WRITERS)
def test_the_old_or_the_new_one_and_the_next_run_finds_it(
    name: str, exchanges: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(saving, "save_checkpoint", _weights)
    monkeypatch.setattr(loss_module, "save_checkpoint", _weights)
    if not exchanges:
        monkeypatch.setattr(partials, "exchanged", lambda one, other: False)
    before, write, which = WRITERS[name]
    before(tmp_path / "before")
    seen, killed = [], True
    for step in range(60):
        out = tmp_path / str(step)
        shutil.copytree(tmp_path / "before", out)
        killed = killed_at(step, out, lambda out=out: write(out))
        # As the next run does, which holds the folder's lock by then.
        for folder in (out, out / "checkpoints"):
            partials.restored(folder)
        seen.append(which(out))
        partials.swept.clear()
        write(out)
        assert which(out) == 1, step
        left = [path for path in out.rglob("*") if path.name.startswith(".vlm3-")]
        assert not left, (step, left)
        if not killed:
            break
    # Old until some step, new from there on.
    assert not killed and len(seen) > 4 and seen == sorted(seen) and set(seen) == {0, 1}
