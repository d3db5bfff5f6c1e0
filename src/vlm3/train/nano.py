"""The loop that makes nano: a small model, one process, restartable, on a CPU.

First pointing (mosaics), then worlds, all four tasks in one model, `joint` protocol. The rate is
constant after its warm-up and falls to zero only over the last steps: the state before that fall is
kept, so that a later run goes on from it as if it had never stopped.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vlm3.model import Settings, SmallSize, build_small, save_checkpoint, train_tokenizer
from vlm3.tasks.base import QA
from vlm3.tasks.protocol import get_protocol
from vlm3.train.batch import Collator, Lesson, TensorBatch, answer_loss
from vlm3.train.school import Kind, School, sentences

WORDS = 1024
"""Learnt vocabulary: every constant sentence of `joint` falls into whole words."""


CHECKED: tuple[Kind, ...] = ("color", "matching", "view", "objects", "pair")
"""Kinds of held-out lessons that a run is checked on."""


@dataclass(frozen=True)
class NanoRun:
    """One training run.

    Attributes:
        out: folder for checkpoints, the log and the exported model.
        steps: optimiser steps in all.
        pointing_steps: how many of them, from the start, are mosaics only.
        decay_steps: how many, at the end, the rate falls over.
        batch: lessons a step.
        adam_rate: for embeddings, norms and biases.
        muon_rate: for matrices.
        warmup_steps: over which the rates rise from zero.
        clip_norm: largest gradient norm.
        f_px: focal length of every picture.
        seed: of weights and lessons.
        check_every: steps between checks on held-out lessons and saves.
        workers: processes that make lessons.
    """

    out: Path
    steps: int
    pointing_steps: int = 750
    decay_steps: int = 1500
    batch: int = 8
    adam_rate: float = 1e-3
    muon_rate: float = 2e-2
    warmup_steps: int = 100
    clip_norm: float = 1.0
    f_px: float = 125.0
    seed: int = 0
    check_every: int = 250
    workers: int = 1

    def rate(self, step: int) -> float:
        """The share of the full rate at a step: up, level, down."""
        rise = (step + 1) / self.warmup_steps
        fall = (self.steps - step) / self.decay_steps
        return float(min(1.0, rise, fall))


class _Batches(torch.utils.data.Dataset[TensorBatch]):
    """Batch i is a function of (run, i) alone: any restart draws what would have come."""

    def __init__(self, run: NanoRun, collator: Collator) -> None:
        self.run, self.collator = run, collator
        self.school = School(get_protocol("joint"), f_px=run.f_px, seed=run.seed)

    def __getitem__(self, step: int) -> TensorBatch:
        torch.set_num_threads(1)
        pointing = step < self.run.pointing_steps
        return self.collator(self.school.lessons(step, self.run.batch, pointing=pointing))


def train_nano(run: NanoRun) -> Path:
    """Trains, saving as it goes; started again with the same folder it continues.

    Returns:
        The folder of the exported model.
    """
    run.out.mkdir(parents=True, exist_ok=True)
    size = SmallSize()
    tokenizer = train_tokenizer(sentences(get_protocol("joint")), words=WORDS)
    collator = Collator(tokenizer, size.picture_input)
    model = build_small(tokenizer, size, seed=run.seed)
    # At these sizes plain matrix products beat the fused kernel on a CPU (1.4 times, measured).
    model.set_attn_implementation({"text_config": "eager", "vision_config": "eager"})
    optimizers = _optimizers(model, run)
    start = _resume(run.out / "last.pt", model, optimizers)
    checks = _held_out(run, collator)
    log = (run.out / "log.jsonl").open("a")
    losses, clock = [], time.monotonic()
    for step, batch in enumerate(_stream(run, collator, start), start):
        for optimizer, base in zip(optimizers, (run.muon_rate, run.adam_rate), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = base * run.rate(step)
        model.train()
        loss = _loss(model, batch, size)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), run.clip_norm)
        for optimizer in optimizers:
            optimizer.step()
        losses.append((loss.item(), norm.item()))
        done = step + 1
        if done == run.steps - run.decay_steps:
            _save(run.out / "stable.pt", model, optimizers, done)
        if done % run.check_every == 0 or done == run.steps:
            seconds = (time.monotonic() - clock) / len(losses)
            entry = {"step": done, "loss": float(np.mean([value for value, _ in losses]))}
            entry |= {"grad_norm": float(np.mean([value for _, value in losses]))}
            entry |= {"seconds_per_step": seconds} | _check(model, checks, size)
            print(json.dumps({k: round(v, 4) for k, v in entry.items()}), file=log, flush=True)
            print(" ".join(f"{k}={v:.3f}" for k, v in entry.items()), flush=True)
            _save(run.out / "last.pt", model, optimizers, done)
            losses, clock = [], time.monotonic()
    export = run.out / "export"
    settings = Settings(protocol="joint", f_px=run.f_px, max_tokens=400)
    save_checkpoint(model, tokenizer, size.picture_input, export, settings=settings)
    (run.out / "run.json").write_text(json.dumps(asdict(run), indent=1, default=str))
    return export


def _optimizers(model: Any, run: NanoRun) -> list[torch.optim.Optimizer]:
    """Muon on the matrices inside, AdamW on embeddings, tables, norms and biases."""
    named = list(model.named_parameters())
    matrix = [p for n, p in named if p.ndim == 2 and "embed" not in n]
    chosen = {id(p) for p in matrix}
    rest = [p for _, p in named if id(p) not in chosen]
    return [
        torch.optim.Muon(matrix, lr=run.muon_rate, weight_decay=0.0),
        torch.optim.AdamW(rest, lr=run.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _loss(model: Any, batch: TensorBatch, size: SmallSize) -> torch.Tensor:
    mask = torch.zeros(batch["attention_mask"].shape, dtype=torch.bfloat16)
    mask.masked_fill_(~batch["attention_mask"], float("-inf"))
    with torch.autocast("cpu", torch.bfloat16):
        return answer_loss(model, batch | {"attention_mask": mask}, size.picture_input)


def _stream(run: NanoRun, collator: Collator, start: int) -> Iterator[TensorBatch]:
    loader = torch.utils.data.DataLoader(
        _Batches(run, collator),
        batch_size=None,
        sampler=range(start, run.steps),
        num_workers=run.workers,
        prefetch_factor=4 if run.workers else None,
        multiprocessing_context="spawn" if run.workers else None,
    )
    return iter(loader)


def _held_out(run: NanoRun, collator: Collator) -> dict[str, list[TensorBatch]]:
    """Held-out batches by name, each beside its two grounding controls.

    `answers` has the answers shuffled among a lesson's questions, which says the same as shuffled
    coordinates; `blank` has grey pictures. A loss no worse there means that the model ignores
    where the text points, or the picture.
    """
    school = School(get_protocol("joint"), f_px=run.f_px, seed=run.seed, split="heldout")
    out: dict[str, list[TensorBatch]] = {}
    for kind in CHECKED:
        lessons = school.lessons(0, 12, kind=kind)
        rng = np.random.default_rng(0)
        shuffled = [Lesson(lesson.images, _shuffle(lesson.qas, rng)) for lesson in lessons]
        grey = [
            Lesson(tuple(np.full_like(image, 128) for image in lesson.images), lesson.qas)
            for lesson in lessons
        ]
        out[kind] = [collator(chosen) for chosen in (lessons, shuffled, grey)]
    return out


def _shuffle(qas: tuple[QA, ...], rng: np.random.Generator) -> tuple[QA, ...]:
    """The same questions with the answers of another of their kind."""
    kinds = [qa.question.partition(":")[0] for qa in qas]
    answers = {
        kind: [qa.answer for qa, k in zip(qas, kinds, strict=True) if k == kind] for kind in kinds
    }
    for held in answers.values():
        rng.shuffle(held)
    return tuple(
        QA(qa.task, qa.question, answers[kind].pop()) for qa, kind in zip(qas, kinds, strict=True)
    )


@torch.no_grad()
def _check(model: Any, checks: dict[str, list[TensorBatch]], size: SmallSize) -> dict[str, float]:
    model.eval()
    out: dict[str, float] = {}
    for kind, batches in checks.items():
        plain, shuffled, blank = (float(_loss(model, batch, size)) for batch in batches)
        out |= {kind: plain, f"{kind}_gap_shuffled": shuffled - plain}
        out |= {f"{kind}_gap_blank": blank - plain}
    return out


def _save(path: Path, model: Any, optimizers: list[torch.optim.Optimizer], step: int) -> None:
    state = {
        "step": step,
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(path: Path, model: Any, optimizers: list[torch.optim.Optimizer]) -> int:
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return int(state["step"])
