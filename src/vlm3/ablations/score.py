"""Answers of a trained arm on held-out worlds, as one value a question, and the loss of the truth.

The same pictures and pixels for every arm. Answers are the model's own digits, `checks.printed`.
The loss shows a difference long before digits are worth reading.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.eval.metrics import (
    auc_values,
    clock_success_values,
    delta_values,
    epe_values,
    length_success_values,
    pose_errors_deg,
)
from vlm3.geometry.pose import rotation_from_ypr_deg
from vlm3.tasks import correspondence, depth, pose
from vlm3.tasks.base import ParseFailure, Task
from vlm3.tasks.protocol import Protocol
from vlm3.train.collate import Collator, Lesson, MicroBatch
from vlm3.train.config import PromptConfig
from vlm3.train.datasets import protocol_of
from vlm3.train.loss_module import Start
from vlm3.train.parallel import precision
from vlm3.train.parallel import start as parallel
from vlm3.train.references import OtherAsker
from vlm3.train.validation import Printed, blanked, moved, printed

Floats = NDArray[np.float64]

HELD_OUT = ("held-rooms", "held-streets")
QUESTIONS = 4
_APART_PX = 4.0
"""Between two pixels asked of one picture: coarse coordinates tell them apart too."""

MEASURES: dict[Task, str] = {
    "depth": "delta1",
    "correspondence": "EPE",
    "pose": "AUC@30",
    "objects": "success",
}
LOSS = "loss"
"""The other measure of every task: nats a token of the true answer."""


@dataclass(frozen=True, eq=False)
class Scores:
    """By one measure: a value a question or token (n,), the picture of each, those of a floor.

    The floor answers without looking: the best constant distance, the middle of the picture, no
    turn and straight ahead, the most frequent text; of the loss, the same model on grey pictures.
    """

    values: Floats
    pictures: NDArray[np.str_]
    floor: Floats


def score(
    prompt: PromptConfig,
    start: Start,
    data: Path,
    tasks: Sequence[Task],
    *,
    budget: int,
    bf16: bool,
) -> dict[tuple[Task, str], Scores]:
    """Asks a trained model about all held-out worlds: by each task's measure, and by the loss.

    Args:
        prompt: how it was trained to be asked.
        start: the model.
        data: the studies' pictures.
        tasks: what to ask.
        budget: most places of one forward pass, in tokens.
        bf16: whether it computes in bfloat16 where the processor has it.
    """
    out: dict[tuple[Task, str], Scores] = {}
    for task in tasks:
        out[task, MEASURES[task]], out[task, LOSS] = _score(
            prompt, start, data, task, budget=budget, bf16=bf16
        )
    return out


def _score(
    prompt: PromptConfig, start: Start, data: Path, task: Task, *, budget: int, bf16: bool
) -> tuple[Scores, Scores]:
    protocol = protocol_of(prompt)
    asker = OtherAsker(
        protocol, (task,), start.spec.token_px, QUESTIONS, prompt.max_tokens, prompt.reference
    )
    lessons: dict[str, list[Lesson]] = {}
    for folder in HELD_OUT:
        shards = Shards(data / folder)
        for name, lesson in _lessons(asker, shards, task):
            lessons.setdefault(f"{folder} {name}", []).append(lesson)
    named = [(name, one) for name, several in lessons.items() for one in several]
    collator = Collator(start.tokenizer, start.spec, "independent")

    def batches(every: Sequence[tuple[str, Lesson]]) -> list[MicroBatch]:
        return collator.micro_batches([collator.encoder(one, name) for name, one in every], budget)

    plain = batches(named)
    blank = batches([(name, blanked(one)) for name, one in named])
    names = [name for b in plain for name in np.array(b.names)[b.owners]]
    here = parallel("none", ())
    start.trainee.to(here.device)
    with precision(here, bf16=bf16):
        loss = Scores(_losses(start, plain), np.array(names), _losses(start, blank))
        answers = printed(start.trainee, start.tokenizer, plain)
    if task == "correspondence":
        sizes = {name: several[0].images[1].shape[1::-1] for name, several in lessons.items()}
        return _matches(protocol, answers, sizes), loss
    if task == "pose":
        return _poses(protocol, answers, lessons), loss
    return (_distances(protocol, answers) if task == "depth" else _objects(answers)), loss


@torch.no_grad()
def _losses(start: Start, batches: Sequence[MicroBatch]) -> Floats:
    """Of each answer token, in the order of the batches."""
    start.trainee.eval()
    device = next(start.trainee.parameters()).device
    each = (start.trainee(moved(b.tensors, device)) for b in batches)
    return np.concatenate([losses.double().cpu().numpy() for losses in each])


def _lessons(asker: OtherAsker, shards: Shards, task: Task) -> list[tuple[str, Lesson]]:
    out = []
    paired = task in ("correspondence", "pose")
    for k in range(shards.pairs if paired else len(shards)):
        rng = np.random.default_rng((5, k))
        try:
            if paired:
                first, second, row = shards.pair(k)
                pictures = shards.picture(first), shards.picture(second)
                out.append((str(k), asker.pair(pictures, row, rng)))
                continue
            record, picture = shards.record(k), shards.picture(k)
            places = _spread(record.xy_px) if task == "depth" else []
            parts = [places] if asker.reference != "marker" else [[place] for place in places]
            for part in parts:
                chosen = replace(
                    record, xy_px=record.xy_px[part], distance_m=record.distance_m[part]
                )
                asked = chosen if task == "depth" else record
                out.append((str(k), asker.single(picture, asked, rng)))
        except InputError:  # Nothing to ask here, for every arm alike.
            continue
    return [(name, Lesson(tuple(v.image for v in c.views), c.turns)) for name, c in out]


def _spread(xy_px: Floats) -> list[int]:
    """Up to `QUESTIONS` places, in order, no two pixels close together."""
    chosen: list[int] = []
    for k, xy in enumerate(xy_px):
        if all(np.abs(xy - xy_px[j]).max() >= _APART_PX for j in chosen):
            chosen.append(k)
        if len(chosen) == QUESTIONS:
            break
    return chosen


def _names(answers: Sequence[Printed]) -> NDArray[np.str_]:
    return np.array([one.name for one in answers])


def _distances(protocol: Protocol, answers: Sequence[Printed]) -> Scores:
    said, truth = (
        np.array([_number(depth.parse(protocol, text)) for text in texts])
        for texts in ([one.said for one in answers], [one.truth for one in answers])
    )
    constants = [delta_values(np.full_like(truth, c), truth) for c in np.unique(truth)]
    floor = max(constants, key=lambda values: float(values.mean()))
    return Scores(delta_values(said, truth), _names(answers), floor)


def _number(found: float | ParseFailure) -> float:
    return found if isinstance(found, float) else float("nan")


def _matches(
    protocol: Protocol, answers: Sequence[Printed], sizes: dict[str, tuple[int, int]]
) -> Scores:
    size = np.array([sizes[one.name] for one in answers], float)

    def pixels(texts: Sequence[str]) -> Floats:
        read = [
            correspondence.parse(protocol, text, width_px=int(w), height_px=int(h))
            for text, (w, h) in zip(texts, size, strict=True)
        ]
        return np.array([(np.nan, np.nan) if isinstance(r, ParseFailure) else r for r in read])

    truth = pixels([one.truth for one in answers])
    values = epe_values(pixels([one.said for one in answers]), truth, size)
    return Scores(values, _names(answers), epe_values(size / 2, truth, size))


def _poses(
    protocol: Protocol, answers: Sequence[Printed], lessons: dict[str, list[Lesson]]
) -> Scores:
    found: dict[str, dict[str, Printed]] = {}
    for one in answers:
        questions = [qa.question for qa in lessons[one.name][0].qas]
        parts = found.setdefault(one.name, {})
        # A conversation's answers come in the order of its questions.
        asked = questions[len(parts)]
        parts[next(c for c in pose.components(protocol) if pose.ask(protocol, c) == asked)] = one
    whole = {
        name: parts for name, parts in found.items() if {"rotation", "direction"} <= set(parts)
    }

    def read(which: str, part: pose.Component) -> Floats:
        texts = [getattr(parts[part], which) for parts in whole.values()]
        values = [pose.parse(protocol, part, text) for text in texts]
        return np.array(
            [(np.nan,) * 3 if isinstance(v, ParseFailure) else np.asarray(v) for v in values]
        )

    turned, moved = read("truth", "rotation"), read("truth", "direction")
    said = read("said", "rotation"), read("said", "direction")

    def area(rotation: Floats, direction: Floats) -> Floats:
        errors = pose_errors_deg(
            rotation_from_ypr_deg(rotation), direction, rotation_from_ypr_deg(turned), moved
        )
        return auc_values(errors)

    ahead = np.tile((0.0, 0.0, 1.0), (len(turned), 1))
    return Scores(area(*said), np.array(list(whole)), area(np.zeros_like(turned), ahead))


def _objects(answers: Sequence[Printed]) -> Scores:
    usual = max({one.truth for one in answers}, key=[one.truth for one in answers].count)
    values = np.array([_right(one.said, one.truth) for one in answers])
    floor = np.array([_right(usual, one.truth) for one in answers])
    return Scores(values, _names(answers), floor)


def _right(said: str, truth: str) -> float:
    """1 for the same words, a length within a quarter, or a direction within an hour."""
    number = re.compile(r"(\d+(?:\.\d+)?) (m|o'clock)")
    right, guess = number.fullmatch(truth.strip()), number.fullmatch(said.strip())
    if right is None:
        return float(said.strip() == truth.strip())
    if guess is None or guess[2] != right[2]:
        return 0.0
    rule = length_success_values if right[2] == "m" else clock_success_values
    return float(rule([float(guess[1])], [float(right[1])])[0])
