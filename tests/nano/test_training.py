"""Runs: killed, stopped, refused; recorded passes; optimizers; what lies on disk."""

import ast
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import vlm3
from vlm3.cli.main import main
from vlm3.cli.train_nano import nano
from vlm3.errors import InputError
from vlm3.nano import losses
from vlm3.nano.batches import BatchMaker
from vlm3.nano.forward import Forward
from vlm3.nano.losses import Passes, batch_loss, tensors_of, with_tensors
from vlm3.nano.optim import Optimizers
from vlm3.nano.recipe import MINIATURE, NANO, continued
from vlm3.nano.run import Clock, NanoRun
from vlm3.nano.saving import load_state, save_state
from vlm3.nano.tower import DenseHeads
from vlm3.nano.trainer import train

SOURCE = Path(vlm3.__file__).parent / "nano"


def test_killed_three_times_it_ends_with_a_model(tmp_path: Path) -> None:
    """SIGKILL thrice, SIGTERM once, and a start shortly before the deadline."""
    script = Path(__file__).with_name("killed_run.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    folder = tmp_path / "run"
    report = json.loads(done.stdout.splitlines()[-1])
    # It went on where it had been saved, each time, and rendered on.
    assert report["killed_at"] == sorted(report["killed_at"]) and report["killed_at"][0] > 0
    assert report["last_step"] > report["killed_at"][-1] > 0
    assert report["worlds"] > 0 and report["workers_left"] == 0
    assert report["answer"] is not None
    # And nothing on disk is a pickle.
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds <= {".json", ".jsonl", ".txt", ".safetensors", ".jinja"}
    weights = load_state(folder)
    assert weights is not None and weights[1]["step"] == report["last_step"]


def test_nothing_here_pickles() -> None:
    """No module of nano names what does; a pair's file is its bytes (test_pairs.py)."""
    names = set()
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {node.module or "", *(alias.name for alias in node.names)}
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                names.add(f"{node.value.id}.{node.attr}")
    assert "torch" in names
    assert not names & {"pickle", "shelve", "marshal", "multiprocessing", "torch.save"}
    assert not names & {"torch.load", "torch.multiprocessing", "joblib"}


def test_workers_load_no_torch() -> None:
    code = "import sys, vlm3.nano.workers; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture
def parts(model: Any) -> tuple[Any, DenseHeads]:
    torch.manual_seed(0)
    size = MINIATURE.size
    return model, DenseHeads(size.text_hidden, 2, size.picture_input.token_px)


def test_a_replayed_pass_is_a_plain_one(
    monkeypatch: pytest.MonkeyPatch,
    maker: BatchMaker,
    forward: Forward,
    parts: tuple[Any, DenseHeads],
) -> None:
    """A graph is recorded once a kind and shape, and later batches are copied into it."""
    model, heads = parts
    recorded = []

    class Replayed:
        """Runs what would have been recorded, on the memory that would have been read."""

        def __init__(self, loss_of: Any, batch: Any, weight: float, pool: Any) -> None:
            self.tensors = [tensor.clone() for tensor in tensors_of(batch)]
            self.batch, self.loss_of = with_tensors(batch, self.tensors), loss_of
            self.weight = weight
            recorded.append(batch.kind)

        def replay(self, tensors: Any) -> dict[str, torch.Tensor]:
            torch._foreach_copy_(self.tensors, list(tensors))
            loss, found = self.loss_of(self.batch, self.weight)
            loss.backward()
            return {name: value.detach() for name, value in found.items()}

    monkeypatch.setattr(losses, "_Graph", Replayed)
    weights = [*model.parameters(), *heads.parameters()]

    def loss_of(batch: Any, weight: float) -> Any:
        return batch_loss(forward, heads, MINIATURE, batch, weight)

    said: list[str] = []
    plain, replayed = (Passes(loss_of, weights, said.append) for _ in range(2))
    assert "only a GPU" in replayed.try_replaying(maker.make("mosaic color", 2, 2), lambda: None)
    replayed.replayed = True
    monkeypatch.setattr(maker, "_shape", lambda: (maker.stores[0], (96, 80)))
    torch.manual_seed(1)
    for _ in range(4):
        batch = maker.make("pair", 2, 2)
        found = []
        for passes in (plain, replayed):
            for weight in weights:
                weight.grad = torch.zeros_like(weight)
            values = passes(batch, 0.7)
            found.append((values, [weight.grad.clone() for weight in weights]))
        assert found[0][0] == found[1][0]
        assert all(map(torch.equal, found[0][1], found[1][1]))
    assert recorded == ["pair"]

    def fails(*given: Any) -> None:
        raise RuntimeError("out of memory\nat great length")

    monkeypatch.setattr(losses, "_Graph", fails)
    for _ in range(2):
        assert replayed(maker.make("view", 2, 2), 1.0)
    assert said == ["passes are run one by one from here on: out of memory"]
    assert not replayed.replayed
    for weight in weights:
        weight.grad = None


def test_state_comes_back_by_name(tmp_path: Path, parts: tuple[Any, DenseHeads]) -> None:
    _, heads = parts
    named = {f"heads.{name}": weight for name, weight in heads.named_parameters()}
    named |= {"visual.qkv": torch.nn.Parameter(torch.randn(12, 4))}

    def stepped(optimizers: Optimizers, seed: int) -> None:
        torch.manual_seed(seed)
        for weight in named.values():
            weight.grad.copy_(torch.randn(weight.shape))  # type: ignore[union-attr]
        optimizers.step(1.0, 1.0)

    first = Optimizers(named, MINIATURE)
    stepped(first, 0)
    before = {name: weight.detach().clone() for name, weight in named.items()}
    save_state(tmp_path, first.tensors(), {"step": 1})
    stepped(first, 1)
    wanted = {name: weight.detach().clone() for name, weight in named.items()}
    with torch.no_grad():
        for name, weight in named.items():
            weight.copy_(before[name])
    again = Optimizers(named, MINIATURE)
    loaded = load_state(tmp_path)
    assert loaded is not None and loaded[1] == {"step": 1}
    again.load(loaded[0])
    stepped(again, 1)
    assert all(torch.equal(named[name], wanted[name]) for name in named)


def test_rates_rise_and_fall_to_zero_whatever_happened() -> None:
    assert NANO.rate_at(0.3, 0) == 1 / NANO.warmup_steps and NANO.rate_at(0.3, 1000) == 1
    assert NANO.rate_at(1.0, 1000) == NANO.rate_at(1.0, 0) == 0
    falling = [NANO.rate_at(share / 100, 1000) for share in range(101)]
    assert falling == sorted(falling, reverse=True) and falling[59] == 1 > falling[61]
    later = continued(NANO)
    assert [stage.until for stage in later.stages] == [0.02, 0.04, 1.0]
    assert later.rate_at(0.5, 1000) < NANO.rate_at(0.5, 1000)


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    run = NanoRun(tmp_path, MINIATURE, 5.0, device="cpu")
    began = Clock(run).began
    assert Clock(run).began == began
    assert 0 <= Clock(run).share < 0.5
    for change in ({"minutes": 6.0}, {"seed": 1}, {"recipe": NANO}, {"init": "nano"}):
        with pytest.raises(InputError, match=f"another {next(iter(change))}"):
            Clock(replace(run, **change))
    held = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(held | {"began": began - 3600}))
    assert Clock(run).share == 1.0


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="minutes is"):
        NanoRun(tmp_path, MINIATURE, 0.0)
    with pytest.raises(InputError, match="render device is 'gpu'"):
        NanoRun(tmp_path, MINIATURE, 1.0, render_device="gpu")
    with pytest.raises(InputError, match="does not fit this recipe"):
        train(NanoRun(tmp_path / "a", MINIATURE, 1.0, init="nano", device="cpu", workers=1))
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="give --device cpu"):
            train(NanoRun(tmp_path / "b", NANO, 1.0))


def test_dry_run_prints_the_recipe() -> None:
    said = CliRunner().invoke(nano, ["--dry-run", "--minutes", "12"])
    assert said.exit_code == 0
    recipe = json.loads(said.output)
    assert recipe["minutes"] == 12 and recipe["size"]["vision_hidden"] == 256
    assert [stage["name"] for stage in recipe["stages"]] == ["grounding", "tower", "worlds"]
    assert CliRunner().invoke(main, ["train", "nano", "--dry-run", "--tiny"]).exit_code == 0
    said = CliRunner().invoke(nano, ["--dry-run", "--init", "nano"])
    assert json.loads(said.output)["fall_from"] == continued(NANO).fall_from


@pytest.mark.slow
def test_the_miniature_learns_to_point(tmp_path: Path) -> None:
    """From random weights on a CPU: shuffled coordinates come to cost more than half a nat."""
    log, over = tmp_path / "log.jsonl", threading.Event()

    def gaps() -> list[float]:
        lines = log.read_text().splitlines() if log.is_file() else []
        entries = [json.loads(line) for line in lines]
        return [entry["gap"]["color gap"] for entry in entries if "gap" in entry]

    def stop_when_it_points() -> None:
        while not over.wait(2.0):
            if max(gaps(), default=0.0) > 0.5:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    watcher = threading.Thread(target=stop_when_it_points)
    watcher.start()
    try:
        train(NanoRun(tmp_path, MINIATURE, 60.0, device="cpu", workers=1))
    finally:
        over.set()
        watcher.join()
    print(log.with_name("log.txt").read_text())
    assert max(gaps()) > 0.5
