"""A token costs one wait for the device; what a form leaves no choice about costs no pass."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from recording import Recorder, kept_by

from vlm3.infer.decoding import layers
from vlm3.infer.decoding.answer_forms import answer_form
from vlm3.infer.decoding.grammar import Automaton, Grammar
from vlm3.infer.engines.base import AnswerOptions, Reply
from vlm3.infer.engines.local import LocalEngine
from vlm3.model import Checkpoint, load_checkpoint
from vlm3.tasks.protocol import PROTOCOLS

QUESTIONS = [f"{x:04d} {y:04d}" for x in (880, 1200, 31) for y in (512, 7)] + ["7", "1 2 3"]


@pytest.fixture(scope="module")
def counting() -> Iterator[ModuleType]:
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import counting

    yield counting
    sys.path.pop(0)


@pytest.fixture(scope="module")
def nano() -> Checkpoint:
    return load_checkpoint("nano", device="cpu", dtype=torch.float32)


def replies(
    checkpoint: Checkpoint, picture: Any, tokens: int, form: Grammar | None, record: bool = True
) -> list[Reply]:
    engine = LocalEngine(checkpoint)
    with engine.open([picture]) as scene:
        return engine._replies(scene, QUESTIONS, AnswerOptions(tokens, form, record=record))


@pytest.mark.parametrize("form", [None, answer_form(PROTOCOLS["joint"], "depth")], ids=["", "form"])
def test_a_token_waits_once(
    nano: Checkpoint, pictures: list[Any], counting: ModuleType, form: Grammar | None
) -> None:
    waits, launches = [], []
    for tokens in (1, 4):
        replies(nano, pictures[0], tokens, form)
        with counting.pretended(nano.model) as counts:
            found = replies(nano, pictures[0], tokens, form)
        assert max(len(reply.pieces) for reply in found) == tokens
        waits.append(sum(counts.waits.values()))
        launches.append(sum(counts.launches.values()))
    assert waits[1] - waits[0] == 3
    layers = len(nano.model.model.language_model.layers)
    assert launches[1] - launches[0] <= 3 * (32 * layers + 25)


@pytest.mark.parametrize("form", [None, answer_form(PROTOCOLS["joint"], "depth")], ids=["", "form"])
def test_a_replayed_token_is_one_launch_and_what_comes_and_goes(
    nano: Checkpoint, pictures: list[Any], counting: ModuleType, form: Grammar | None
) -> None:
    engine = LocalEngine(nano)
    recorder = Recorder(lambda: kept_by(engine))
    engine._decoder._fixed = engine._decoder.fixed_steps(recorder)
    waits, launches = [], []
    with engine.open([pictures[0]]) as scene:
        for tokens in (5, 5, 2, 5):
            before = recorder.replayed
            with counting.pretended(nano.model) as counts:
                counts.mark(*kept_by(engine))
                engine.reply(scene, QUESTIONS, max_new_tokens=tokens, grammar=form)
            launches.append(sum(counts.launches.values()) + recorder.replayed - before)
            waits.append(sum(counts.waits.values()))
    assert waits[3] - waits[2] == 3
    # The step; its distributions kept; where a form says so, the rows' places in it brought over.
    assert launches[3] - launches[2] == 3 * (2 if form is None else 3)


@pytest.mark.parametrize(
    ("protocol", "component"),
    [("paper", "depth"), ("paper", "pose.direction"), ("joint", "pose.rotation")],
)
@pytest.mark.parametrize("tokens", [40, 7])
def test_forced_tokens_run_together_and_change_nothing(
    nano: Checkpoint,
    pictures: list[Any],
    protocol: str,
    component: str,
    tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form = answer_form(PROTOCOLS[protocol], component)
    passes: list[int] = []
    run = layers.run

    def counted(text: Any, ids: torch.Tensor, *rest: Any) -> torch.Tensor:
        passes.append(ids.shape[1])
        return run(text, ids, *rest)

    monkeypatch.setattr(layers, "run", counted)
    together = replies(nano, pictures[0], tokens, form)
    few = len(passes)
    passes.clear()
    unrecorded = replies(nano, pictures[0], tokens, form, record=False)
    monkeypatch.setattr(Automaton, "forced", lambda *_: [])
    passes.clear()
    alone = replies(nano, pictures[0], tokens, form)
    assert few < len(passes) or (tokens == 7 and few == len(passes))
    for a, b, c in zip(together, alone, unrecorded, strict=True):
        assert (a.text, a.pieces) == (b.text, b.pieces) == (c.text, c.pieces)
        assert a.logp is not None and b.logp is not None
        assert a.logp.shape == b.logp.shape == (len(a.pieces), len(a.symbols))
        assert np.abs(np.exp(a.logp) - np.exp(b.logp)).max() < 1e-4
