"""The engine's part of `gpu.py`: against a CPU and plain steps, and how fast."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import ask
import numpy as np
import torch
from results import Row, row

from vlm3.infer.decoding import kernels
from vlm3.infer.engines.base import Reply
from vlm3.infer.engines.local import LocalEngine
from vlm3.model import Checkpoint, Settings, load_checkpoint
from vlm3.tasks import depth
from vlm3.tasks.protocol import PROTOCOLS
from vlm3.train.sizes import random_4b


def checks(device: torch.device, *, tiny: bool) -> Iterator[Row]:
    """Forms of the attention kernel, nano against a CPU, replayed steps against plain ones."""
    for form in ("lengths", "groups"):
        try:
            differs = kernels.difference_from_plain(form, device, torch.bfloat16, 128)
            yield row(f"attention with {form}, against plain", differs, "of values about 1")
        except (RuntimeError, TypeError) as error:
            reason = str(error).splitlines()[0][:120]
            yield row(f"attention with {form}, against plain", None, "", f"plain here: {reason}")
    count = 8 if tiny else 64
    here, there = (_nano(kind) for kind in (str(device), "cpu"))
    plain = _replies(there, count)
    found = _replies(here, count)
    same = np.mean([a.text == b.text for a, b in zip(found, plain, strict=True)])
    yield row("nano's log-probabilities against a CPU", _worst(found, plain), "nats")
    yield row("nano's answers as on a CPU", same, "share")
    fixed = here._decoder._fixed
    if fixed is None:
        return
    # The second time that a shape comes it is recorded, from the third on replayed.
    for _ in range(2):
        _replies(here, count)
    replayed = _replies(here, count)
    recorded = sum(map(bool, fixed._replays._recorded.values()))
    yield row("steps recorded as CUDA graphs", recorded, "number")
    few, many = (_waits(here, count, tokens) for tokens in (2, 6))
    yield row("waits of a decoded token", (many - few) / 4, "number", "as torch counts them")
    here._decoder._fixed = None
    yield row("replayed against plain steps", _worst(replayed, _replies(here, count)), "nats")


def _nano(kind: str) -> LocalEngine:
    return LocalEngine(load_checkpoint("nano", device=kind, dtype="float32"))


def _replies(engine: LocalEngine, count: int, tokens: int = 6) -> list[Reply]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (192, 256, 3), dtype=np.uint8)
    questions = _questions("joint", rng.uniform(1, 190, (count, 2)), 256, 192)
    with engine.open([image]) as scene:
        return engine.reply(scene, questions, max_new_tokens=tokens)


def _worst(found: Sequence[Reply], expected: Sequence[Reply]) -> float:
    """Largest difference of log probabilities, up to where the answers part."""
    worst = 0.0
    for a, b in zip(found, expected, strict=True):
        assert a.logp is not None and b.logp is not None
        pairs = zip(a.pieces, b.pieces, strict=False)
        alike = next((i for i, (x, y) in enumerate(pairs) if x != y), len(a.pieces)) + 1
        size = min(alike, len(a.pieces), len(b.pieces))
        worst = max(worst, float(np.abs(a.logp[:size] - b.logp[:size]).max()))
    return worst


def _waits(engine: LocalEngine, count: int, tokens: int) -> int:
    _replies(engine, count, tokens)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        _replies(engine, count, tokens)
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in seen)


def _questions(name: str, points: Any, width_px: int, height_px: int) -> list[str]:
    size = {"width_px": width_px, "height_px": height_px}
    return [depth.ask(PROTOCOLS[name], point, **size) for point in points]


def engine(device: torch.device, *, tiny: bool) -> Iterator[Row]:
    """Questions a second about one picture, and how long one question takes."""
    checkpoint = _checkpoint(device, tiny=tiny)
    prefix, count, repeats = (300, 4, 1) if tiny else (1492, 1024, 3)
    width_px, height_px = ask.PICTURES[prefix]
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    asker = LocalEngine(checkpoint)
    side = int(count**0.5)
    x, y = np.meshgrid(np.linspace(1, width_px - 1, side), np.linspace(1, height_px - 1, side))
    cells = np.stack([x, y], -1).reshape(-1, 2)
    points = rng.uniform(0.05, 1, (count, 2)) * (width_px, height_px)
    joint = f"engine {prefix} joint"
    sets = {
        joint: _questions("joint", points, width_px, height_px),
        f"{joint}, a grid": _questions("joint", cells, width_px, height_px),
        f"engine {prefix} paper": _questions("paper", points, width_px, height_px),
    }
    for what, questions in sets.items():
        seconds = _seconds(asker, image, questions, repeats)
        yield row(what, len(questions) / seconds, "questions/s")
    alone = [_questions("joint", points[i : i + 1], width_px, height_px) for i in range(count)]
    seconds = [ask.timed(asker, image, one)[0] for one in alone[: repeats + 3]][2:]
    yield row("engine, one more question about a picture", 1e3 * median(seconds), "ms")
    if asker._decoder._fixed is not None:
        asker._decoder._fixed = None
        seconds_plain = _seconds(asker, image, sets[joint], repeats)
        yield row(f"{joint}, without CUDA graphs", count / seconds_plain, "questions/s")


def _seconds(engine: LocalEngine, image: Any, questions: Sequence[str], repeats: int) -> float:
    """Median, the picture's own pass included, after two runs that set up and record."""
    seconds = []
    for _ in range(repeats + 2):
        engine._held.clear()
        engine._tower._held.clear()
        seconds.append(ask.timed(engine, image, questions)[0])
    return median(seconds[2:])


def _checkpoint(device: torch.device, *, tiny: bool) -> Checkpoint:
    if tiny:
        checkpoint = ask.make_checkpoint()
        checkpoint.model.to(device)
        return checkpoint
    model, tokenizer, spec = random_4b(0, str(device))
    model = model.to(torch.bfloat16).eval()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return Checkpoint(model, tokenizer, spec, Settings(), "4b-random", Path())
