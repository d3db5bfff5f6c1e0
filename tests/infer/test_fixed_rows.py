"""Steps of fixed shape give what growing ones give, plainly and replayed from recordings.

A recording is made by a stand-in for CUDA graphs (`recording`), which repeats operations on the
same memory; on a GPU: `pytest -m gpu tests/infer`.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from recording import FakeCuda, Recorder, kept_by, memory_of

from vlm3.infer.decoding import replay
from vlm3.infer.decoding.answer_forms import answer_form
from vlm3.infer.decoding.grammar import Grammar
from vlm3.infer.engines.base import AnswerOptions, Reply
from vlm3.infer.engines.local import LocalEngine
from vlm3.model import Checkpoint
from vlm3.tasks.protocol import PROTOCOLS

RAGGED = ["0880 0512", "7", "in picture 2: 1000 0001", "0881 0512", "", "0880 0512 " * 4]
GRID = [f"{x:04d} {y:04d}" for x in (1120, 1370, 1990) for y in (1000, 1250, 1500, 1875)]
FORM = answer_form(PROTOCOLS["joint"], "depth")


@pytest.fixture(params=["qwen3", "qwen25"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    found: Checkpoint = request.getfixturevalue(request.param)
    return found


def fixed(
    checkpoint: Checkpoint, record: Callable[..., Any] | None = None, **settings: Any
) -> tuple[LocalEngine, Recorder]:
    engine = LocalEngine(checkpoint, **settings)
    recorder = Recorder(lambda: kept_by(engine))
    engine._decoder._fixed = engine._decoder.fixed_steps(record or recorder)
    return engine, recorder


def ask(
    engine: LocalEngine,
    images: Sequence[Any],
    questions: Sequence[str],
    tokens: int = 8,
    grammar: Grammar | None = None,
    record: bool = True,
) -> list[Reply]:
    with engine.open(images) as scene:
        return engine._replies(scene, questions, AnswerOptions(tokens, grammar, record=record))


def same(found: Sequence[Reply], expected: Sequence[Reply]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert (a.text, a.pieces) == (b.text, b.pieces)
        assert (a.logp is None) == (b.logp is None)
        if a.logp is not None and b.logp is not None:
            assert np.abs(a.logp - b.logp).max() < 1e-4


@pytest.mark.parametrize("form", [None, FORM], ids=["free", "form"])
@pytest.mark.parametrize("most_rows", [2, 5, None])
def test_replayed_steps_equal_growing_ones(
    checkpoint: Checkpoint, pictures: list[Any], form: Grammar | None, most_rows: int | None
) -> None:
    plain = LocalEngine(checkpoint, most_rows=most_rows)
    engine, recorder = fixed(checkpoint, most_rows=most_rows)
    # Pictures and questions change, the recordings stay: what they hold is of neither.
    for images, questions in (
        (pictures[:1], RAGGED),
        (pictures[1:2], RAGGED[::-1]),
        (pictures[:2], GRID),
        (pictures[:1], GRID[:7]),
    ):
        for record in (True, False):
            given = (images, questions, 8, form, record)
            same(ask(engine, *given), ask(plain, *given))
    assert recorder.replayed > recorder.recorded > 0
    assert len({reply.text for reply in ask(engine, pictures[:1], RAGGED)}) > 1


@pytest.mark.parametrize("component", ["depth", "pose.direction"])
def test_forced_tokens_run_in_recordings_too(
    qwen3: Checkpoint, pictures: list[Any], component: str
) -> None:
    form = answer_form(PROTOCOLS["paper"], component)
    engine, recorder = fixed(qwen3)
    plain = LocalEngine(qwen3)
    for tokens in (40, 40, 7):
        given = (pictures[:1], RAGGED, tokens, form)
        same(ask(engine, *given), ask(plain, *given))
    assert recorder.replayed > 0


def test_long_answers_get_wider_rows(qwen3: Checkpoint, pictures: list[Any]) -> None:
    engine, recorder = fixed(qwen3)
    plain = LocalEngine(qwen3)
    for _ in range(2):
        same(ask(engine, pictures[:1], RAGGED, 80), ask(plain, pictures[:1], RAGGED, 80))
    assert recorder.recorded > 1


def test_what_is_recorded_stays_where_it_is(qwen3: Checkpoint, pictures: list[Any]) -> None:
    engine, recorder = fixed(qwen3)
    for _ in range(2):
        ask(engine, pictures[:1], RAGGED)
    before = [one.data_ptr() for one in memory_of(engine)]
    recorded, replayed = recorder.recorded, recorder.replayed
    ask(engine, pictures[1:2], RAGGED[::-1])
    assert [one.data_ptr() for one in memory_of(engine)] == before
    assert recorder.recorded == recorded and recorder.replayed > replayed


def test_threads_take_turns(qwen3: Checkpoint, pictures: list[Any]) -> None:
    """There is one memory of steps, whoever asks."""
    engine, _ = fixed(qwen3)
    expected = [ask(LocalEngine(qwen3), [picture], RAGGED) for picture in pictures]
    with ThreadPoolExecutor(3) as pool:
        for _ in range(2):
            found = pool.map(lambda picture: ask(engine, [picture], RAGGED), pictures)
            for a, b in zip(found, expected, strict=True):
                same(a, b)


def test_by_torchs_own_names(
    qwen3: Checkpoint, pictures: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, _ = fixed(qwen3, replay.CudaGraphs(qwen3.device))
    fake = FakeCuda(lambda: kept_by(engine))
    fake.patch(monkeypatch)
    for questions in (RAGGED, RAGGED[::-1]):
        same(ask(engine, pictures[:1], questions), ask(LocalEngine(qwen3), pictures[:1], questions))
    assert fake.replayed > 0 and len(set(map(id, fake.pools))) == 1
    assert fake.stream == "the usual"


@pytest.mark.parametrize("fault", ["refused", "wrong", "nothing"])
def test_what_cannot_be_recorded_is_computed_plainly(
    qwen3: Checkpoint, pictures: list[Any], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def record(step: Callable[[], None]) -> Callable[[], None]:
        calls.append(fault)
        if fault == "refused":
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        memory: Any = engine._decoder._fixed._memory  # type: ignore[union-attr]

        def wrong() -> None:
            step()
            memory.best.add_(1.0)
            memory.ids.fill_(3)
            memory.logp.zero_()

        return wrong if fault == "wrong" else lambda: None

    engine, _ = fixed(qwen3, record)
    with caplog.at_level(logging.WARNING):
        for images in (pictures[:1], pictures[1:2]):
            same(ask(engine, images, RAGGED), ask(LocalEngine(qwen3), images, RAGGED))
    assert len(calls) == 1
    (line,) = [one.getMessage() for one in caplog.records]
    assert line.startswith("answers are decoded without CUDA graphs from here on: ")
    assert "\n" not in line


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_graphs_on_a_gpu(qwen3: Checkpoint, pictures: list[Any]) -> None:
    import copy
    from dataclasses import replace

    there = replace(qwen3, model=copy.deepcopy(qwen3.model).cuda())
    engine, plain = LocalEngine(there), LocalEngine(there)
    assert engine._decoder._fixed is not None
    plain._decoder._fixed = None
    for questions in (RAGGED, RAGGED[::-1], GRID):
        same(ask(engine, pictures[:1], questions), ask(plain, pictures[:1], questions))
    assert any(engine._decoder._fixed._replays._recorded.values())
