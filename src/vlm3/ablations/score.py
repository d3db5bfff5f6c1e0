"""Answers of a trained arm on held-out worlds, as one value a question, and the loss of the truth.

The same pictures and labels for every arm; written, read and measured as `vlm3 eval` does, with the
model's own digits (`vlm3.train.validation.printed`). The loss shows a difference long before digits
are worth reading.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vlm3.data.dataset import ShardDataset
from vlm3.data.shards import Shards
from vlm3.errors import InputError
from vlm3.eval.predictions import pack
from vlm3.tasks.base import QA, TaskName
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.question_writer import QuestionWriter
from vlm3.tasks.references import MarkingWriter, question_writer
from vlm3.tasks.registry import TASKS, paired
from vlm3.tasks.sample import Points, Sample
from vlm3.tasks.task import Json, Task
from vlm3.train.collate import Collator, MicroBatch
from vlm3.train.config import PromptConfig
from vlm3.train.datasets import protocol_of
from vlm3.train.loss_module import Start
from vlm3.train.parallel import precision
from vlm3.train.parallel import start as parallel
from vlm3.train.validation import Printed, blanked, moved, printed

Floats = NDArray[np.float64]

HELD_OUT = ("held-rooms", "held-streets")
QUESTIONS = 4
_APART_PX = 4.0
"""Distance between two queried pixels: coarse coordinates still differ."""

LOSS = "loss"
"""The other measure of every task: nats a token of the true answer."""


@dataclass(frozen=True, eq=False)
class Scores:
    """By one measure: a value a question or token (n,), the picture of each, those of a floor.

    The floor answers without looking: the first of the task's; of the loss, the same model on grey
    pictures.
    """

    values: Floats
    pictures: NDArray[np.str_]
    floor: Floats


@dataclass(frozen=True, eq=False)
class _Asked:
    """One conversation and the queries behind its turns.

    Attributes:
        picture: what intervals are clustered by.
        conversation: what the model is shown.
        turns: (query, part) of each turn.
        queries: (ask, truth) of each, with its prompts by part.
    """

    picture: str
    conversation: Conversation
    turns: tuple[tuple[int, str], ...]
    queries: tuple[tuple[Json, Json, dict[str, str]], ...]


def score(
    prompt: PromptConfig,
    start: Start,
    data: Path,
    tasks: Sequence[TaskName],
    *,
    budget: int,
    bf16: bool,
) -> dict[tuple[TaskName, str], Scores]:
    """Asks a trained model about all held-out worlds: by each task's measure, and by the loss.

    Args:
        prompt: the prompts it was trained with.
        start: the model.
        data: the studies' pictures.
        tasks: what to ask.
        budget: most places of one forward pass, in tokens.
        bf16: whether it computes in bfloat16 where the processor has it.
    """
    out: dict[tuple[TaskName, str], Scores] = {}
    for name in tasks:
        task = TASKS[name]
        out[name, task.headline], out[name, LOSS] = _score(
            prompt, start, data, task, budget=budget, bf16=bf16
        )
    return out


def _score(
    prompt: PromptConfig, start: Start, data: Path, task: Task, *, budget: int, bf16: bool
) -> tuple[Scores, Scores]:
    protocol = protocol_of(prompt)
    writer = question_writer(
        prompt.reference, protocol, (task.name,), start.spec.token_px, QUESTIONS, prompt.max_tokens
    )
    test_samples = [one for folder in HELD_OUT for one in _asked(writer, task, data, folder)]
    collator = Collator(start.tokenizer, start.spec, "independent")

    def batches(conversations: Sequence[Conversation]) -> list[MicroBatch]:
        encoded = [collator.encoder(one, str(k)) for k, one in enumerate(conversations)]
        return collator.micro_batches(encoded, budget)

    plain = batches([one.conversation for one in test_samples])
    blank = batches([blanked(one.conversation) for one in test_samples])
    owners = [int(name) for b in plain for name in np.array(b.names)[b.owners]]
    here = parallel("none", ())
    start.trainee.to(here.device)
    with precision(here, bf16=bf16):
        pictures = np.array([test_samples[k].picture for k in owners])
        loss = Scores(_losses(start, plain), pictures, _losses(start, blank))
        answers = printed(start.trainee, start.tokenizer, plain)
    rows = pack(_records(task, test_samples, answers), protocol)[task.name]
    floor = task.floors(rows)[0].rows
    names = np.array([ident.partition("#")[0] for ident in rows.ids])
    return Scores(task.headline_values(rows), names, task.headline_values(floor)), loss


@torch.no_grad()
def _losses(start: Start, batches: Sequence[MicroBatch]) -> Floats:
    """Of each answer token, in the order of the batches."""
    start.trainee.eval()
    device = next(start.trainee.parameters()).device
    each = (start.trainee(moved(b.tensors, device)) for b in batches)
    return np.concatenate([losses.double().cpu().numpy() for losses in each])


def _asked(writer: QuestionWriter, task: Task, data: Path, folder: str) -> Iterator[_Asked]:
    """Conversations about every picture or pair of a folder."""
    dataset = ShardDataset(folder, Shards(data / folder), pairs=paired((task.name,)))
    for k in range(dataset.count):
        rng = np.random.default_rng((5, k))
        try:
            for sample in _chosen(dataset.sample(k, rng), writer):
                yield _one(writer, sample, f"{folder} {k}", rng)
        except InputError:  # Nothing to ask here, for every arm alike.
            continue


def _chosen(sample: Sample, writer: QuestionWriter) -> list[Sample]:
    """The sample with its query points; one a point where each is drawn on it."""
    if not isinstance(sample.points, Points):
        return [sample]
    places = _spread(sample.points.xy_px)
    parts = [[place] for place in places] if isinstance(writer, MarkingWriter) else [places]
    chosen = (Points(sample.points.xy_px[part], sample.points.distance_m[part]) for part in parts)
    return [replace(sample, points=points) for points in chosen]


def _one(writer: QuestionWriter, sample: Sample, picture: str, rng: np.random.Generator) -> _Asked:
    """A conversation of a sample's queries, each prompt once.

    Raises:
        InputError: it has none.
    """
    # The writer's own, which may name pixels in another way.
    (named,) = writer.tasks
    assert isinstance(named, Task)
    protocol, cameras = writer.protocol, sample.cameras
    turns: dict[str, tuple[QA, tuple[int, str]]] = {}
    queries: list[tuple[Json, Json, dict[str, str]]] = []
    for ask, truth in named.queries(sample, QUESTIONS, rng):
        prompts = named.prompts(protocol, cameras, ask)
        asked = named.examples_of(protocol, cameras, ask, truth)
        if set(prompts.values()) & set(turns) or not set(prompts) <= set(asked):
            continue
        for part, prompt in prompts.items():
            turns[prompt] = asked[part], (len(queries), part)
        queries.append((ask, truth, prompts))
    images = writer.images(sample)
    qas = tuple(qa for qa, _ in turns.values())
    return _Asked(
        picture,
        Conversation(images, qas),
        tuple(turn for _, turn in turns.values()),
        tuple(queries),
    )


def _records(
    task: Task, test_samples: Sequence[_Asked], answers: Sequence[Printed]
) -> Iterator[Json]:
    """Queries and the model's texts, as a predictions file holds them."""
    texts: dict[str, list[str]] = {}
    for answer in answers:
        # A conversation's answers come in the order of its questions.
        texts.setdefault(answer.name, []).append(answer.said)
    for k, one in enumerate(test_samples):
        parts: list[dict[str, str]] = [{} for _ in one.queries]
        for (query, part), text in zip(one.turns, texts[str(k)], strict=True):
            parts[query][part] = text
        for number, ((ask, truth, prompts), found) in enumerate(
            zip(one.queries, parts, strict=True)
        ):
            yield {
                "id": f"{one.picture}#{k}-{number}",
                "cluster": one.picture,
                "task": task.name,
                "ask": ask,
                "truth": truth,
                "prompt": task.words(prompts),
                "raw_text": task.words(found),
            }


def _spread(xy_px: Floats) -> list[int]:
    """Up to `QUESTIONS` places, in order, no two pixels close together."""
    chosen: list[int] = []
    for k, xy in enumerate(xy_px):
        if all(np.abs(xy - xy_px[j]).max() >= _APART_PX for j in chosen):
            chosen.append(k)
        if len(chosen) == QUESTIONS:
            break
    return chosen
