"""Validation: losses on held-out samples, by task, with two controls for looking at the picture.

Beside each task's loss stand what it gains from the truth being in its place: `gap_shuffled` with
the answers shuffled among a sample's questions (as good as shuffled coordinates), `gap_blank` with
grey pictures. No gap: the model ignores where the text points, or the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from vlm3.errors import InputError
from vlm3.model import pixel_values
from vlm3.tasks.base import QA
from vlm3.tasks.conversation import Conversation
from vlm3.tasks.depth import DEPTH
from vlm3.tasks.metrics import delta
from vlm3.tasks.protocol import get_protocol
from vlm3.tasks.registry import TASKS
from vlm3.tasks.scoring import Floats, best_constant_m
from vlm3.train.collate import Collator, MicroBatch, TensorBatch, stock_rows
from vlm3.train.curriculum import Curriculum
from vlm3.train.loss_module import LossModule, masked_for, stock
from vlm3.train.mosaics import COLOR
from vlm3.train.packing import IGNORE
from vlm3.train.parallel import Parallel, precision

_KINDS = (*TASKS, COLOR)


@dataclass(frozen=True)
class Check:
    """Held-out batches of one kind of question of this rank: as they are, shuffled, blank."""

    plain: tuple[MicroBatch, ...]
    shuffled: tuple[MicroBatch, ...]
    blank: tuple[MicroBatch, ...]


def held_out(
    samples: int,
    found: Curriculum,
    collator: Collator,
    parallel: Parallel,
    *,
    budget: int,
    seed: int,
) -> dict[str, Check]:
    """Prepares a run's checks: some samples of every source that no training step draws.

    Args:
        samples: in all, shared by the sources; one of each at least.
        found: the sets that they come from.
        collator: makes the tensors.
        parallel: this rank takes its part of them.
        budget: most places of one forward pass, in tokens.
        seed: of the questions.
    """
    asked: dict[str, list[Conversation]] = {kind: [] for kind in _KINDS}
    for number, source in enumerate(found.sources):
        count = max(1, samples // len(found.sources))
        for k in range(count):
            try:
                made = source.conversation(
                    len(source) + k, (seed, 1_000_000_007 + 1000 * number + k)
                )
            except (InputError, OSError, IndexError):
                continue
            for kind in _KINDS:
                turns = tuple(qa for qa in made.turns if qa.task == kind)
                if turns:
                    asked[kind].append(Conversation(made.images, turns))
    rng = np.random.default_rng(0)

    def batches(chosen: Sequence[Conversation]) -> tuple[MicroBatch, ...]:
        mine = [collator.encoder(one) for one in chosen[parallel.rank :: parallel.world]]
        made = collator.micro_batches(mine, budget)
        # Every rank runs as many passes as any other: collectives must meet.
        most = int(parallel.largest(len(made)))
        return tuple(made + [collator.batch([])] * (most - len(made)))

    return {
        kind: Check(
            batches(every),
            batches([Conversation(one.images, _shuffled(one.turns, rng)) for one in every]),
            batches([blanked(one) for one in every]),
        )
        for kind, every in asked.items()
        if every
    }


def _shuffled(qas: tuple[QA, ...], rng: np.random.Generator) -> tuple[QA, ...]:
    order = rng.permutation(len(qas))
    return tuple(replace(qa, answer=qas[k].answer) for qa, k in zip(qas, order, strict=True))


def blanked(conversation: Conversation) -> Conversation:
    """The same questions about grey pictures."""
    grey = tuple(np.full_like(image, 128) for image in conversation.images)
    return Conversation(grey, conversation.turns)


@torch.no_grad()
def measure(
    module: Any, checks: dict[str, Check], parallel: Parallel, *, bf16: bool
) -> dict[str, float]:
    """Losses and gaps by name, the same on every rank."""
    module.eval()
    out: dict[str, float] = {}
    for kind, check in checks.items():
        losses = []
        for batches in (check.plain, check.shuffled, check.blank):
            total, count = 0.0, 0
            for batch in batches:
                with precision(parallel, bf16=bf16):
                    each = module(moved(batch.tensors, parallel.device))
                total, count = total + float(each.double().sum()), count + len(each)
            total, every = parallel.sums([total, float(count)])
            losses.append(total / max(1.0, every))
        plain, shuffled, blank = losses
        out |= {f"{kind}_loss": plain, f"{kind}_gap_shuffled": shuffled - plain}
        out |= {f"{kind}_gap_blank": blank - plain}
    module.train()
    return out


def moved(batch: TensorBatch, device: torch.device) -> TensorBatch:
    """A batch on a device; the pictures' sizes stay on the host, where they are read."""
    return {
        name: value if name == "image_grid_thw" else value.to(device, non_blocking=True)
        for name, value in batch.items()
    }


@dataclass(frozen=True)
class Printed:
    """What a model wrote where an answer of the truth's length was wanted.

    Attributes:
        name: of the conversation.
        said: the model's text.
        truth: the right one.
    """

    name: str
    said: str
    truth: str


@torch.no_grad()
def printed(trainee: LossModule, tokenizer: Any, batches: Sequence[MicroBatch]) -> list[Printed]:
    """The model's own answers, digit after digit, in the order of the rows.

    Every question of a packed row at once, a token a pass, with the keys and values of what stands
    before kept. No answer is longer than the truth; one that wanted to be is cut, and wrong. For
    one process, whole weights, and rows packed as trees.
    """
    device = next(trainee.parameters()).device
    trainee.eval()
    out: list[Printed] = []
    for batch in batches:
        rows = stock_rows(moved(batch.tensors, device), masked=True)
        tensors = masked_for(stock(trainee.model), rows)
        labels = tensors["labels"]
        wanted = labels != IGNORE
        owners = torch.full_like(labels, -1)
        owners[wanted] = batch.owners.to(device)
        places = _answers(wanted)
        written = _written(trainee, tensors, places)
        for row, column, length in places:
            said, truth = (
                tokenizer.decode(table[row, column : column + length], skip_special_tokens=True)
                for table in (written, labels)
            )
            out.append(Printed(batch.names[int(owners[row, column])], said, truth))
    trainee.train()
    return out


def _answers(wanted: torch.Tensor) -> list[tuple[int, int, int]]:
    """Row, first column and length of every run of places (B, T) that predict an answer."""
    edges = torch.nn.functional.pad(wanted.int(), (1, 1)).diff(dim=1)
    begins, ends = (edges == 1).nonzero().tolist(), (edges == -1).nonzero().tolist()
    return [(row, first, end - first) for (row, first), (_, end) in zip(begins, ends, strict=True)]


def _written(
    trainee: LossModule, tensors: TensorBatch, places: Sequence[tuple[int, int, int]]
) -> torch.Tensor:
    """The model's tokens (B, T), each where the label of the right one stands."""
    model = stock(trainee.model)
    inputs = {k: v for k, v in tensors.items() if k not in ("labels", "patches")}
    pixels = pixel_values(tensors["patches"], trainee.spec)
    read = model.model(**inputs, pixel_values=pixels, use_cache=True)
    # Questions of a row stand side by side; in a row with fewer of them, the rest of the slots
    # have no length, and nobody looks at what they write.
    rows = [[(c, n) for r, c, n in places if r == row] for row in range(len(tensors["labels"]))]
    most = max(map(len, rows))
    first, length = torch.tensor(
        [[*row, *[(0, 0)] * (most - len(row))] for row in rows], device=tensors["labels"].device
    ).unbind(-1)
    row = torch.arange(len(rows), device=first.device)[:, None].expand_as(first)
    hidden = read.last_hidden_state[row, first]
    mask = tensors["attention_mask"][row, 0, first]
    # Of the tokens of one step, a question sees its own.
    own = torch.eye(most, dtype=torch.bool, device=first.device).expand(len(rows), -1, -1)
    own = masked_for(model, {"attention_mask": own})["attention_mask"]
    written = torch.zeros_like(tensors["labels"])
    for step in range(int(length.max())):
        token, goes_on = model.lm_head(hidden).argmax(-1), step < length
        written[row[goes_on], first[goes_on] + step] = token[goes_on]
        mask = torch.cat([mask, own], dim=-1)
        read = model.model(
            input_ids=token,
            position_ids=tensors["position_ids"][:, row, first] + step + 1,
            attention_mask=mask[:, None],
            past_key_values=read.past_key_values,
            use_cache=True,
        )
        hidden = read.last_hidden_state
    return written


def delta1_of(
    trainee: LossModule, tokenizer: Any, check: Check, protocol_name: str
) -> dict[str, float]:
    """Held-out distances within a factor 1.25: printed, printed on grey pictures, best constant."""
    protocol = get_protocol(protocol_name)

    def metres(texts: Sequence[str]) -> Floats:
        read = (DEPTH.read(protocol, {}, "", text) or {} for text in texts)
        return np.array([DEPTH.numbers(one)[0] for one in read])

    seeing = printed(trainee, tokenizer, check.plain)
    blind = printed(trainee, tokenizer, check.blank)
    truth = metres([one.truth for one in seeing])
    constant = np.full_like(truth, best_constant_m(truth))
    return {
        "depth_delta1": delta(metres([one.said for one in seeing]), truth),
        "blind_delta1": delta(metres([one.said for one in blind]), truth),
        "constant_delta1": delta(constant, truth),
    }
