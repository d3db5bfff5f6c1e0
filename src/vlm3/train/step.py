"""One optimiser step over any number of forward passes and processes.

The loss is the mean over the answer tokens of all samples of the step, wherever they lie.
"""

from collections.abc import Sequence
from typing import Any

import torch

from vlm3.errors import Vlm3Error
from vlm3.train.collate import Collator, MicroBatch
from vlm3.train.dataloader import RankStep
from vlm3.train.parallel import Parallel, last_of_several, precision
from vlm3.train.plan import batch_flops, peak_flops
from vlm3.train.validation import moved


class TrainingError(Vlm3Error):
    """Training cannot go on: the loss is no number, or a whole step could not be read."""


def take_step(
    module: Any,
    stepping: Sequence[torch.optim.Optimizer],
    item: RankStep,
    collator: Collator,
    parallel: Parallel,
    *,
    clip: float,
    bf16: bool,
) -> dict[str, Any]:
    """One optimiser step; what it says, for the log, is the same on every rank.

    Args:
        module: gives the losses of a batch.
        stepping: its optimisers, with their rates set.
        item: this rank's batches; the collator makes empty ones where others have more.
        collator: see `item`.
        parallel: on how many processes.
        clip: largest norm of the gradients.
        bf16: whether it computes in bfloat16.

    Raises:
        TrainingError: a loss or the gradients are no numbers, or nothing could be read.
    """
    samples, answers, lost = parallel.sums(
        [float(item.samples), float(item.answer_tokens), float(len(item.damaged))]
    )
    damaged = parallel.gathered(item.damaged) if lost else []
    if not answers:
        raise TrainingError(f"no sample of a whole step can be read, first {damaged[0]}")
    passes = int(parallel.largest(len(item.batches)))
    # Every rank runs as many passes as any other, or their collectives would not meet.
    batches = (*item.batches, *[collator.batch([])] * (passes - len(item.batches)))
    every = _backward(module, batches, parallel, answers, bf16=bf16)
    norm = _clipped_norm(stepping, clip)
    tokens = sum(batch.tokens for batch in batches)
    flops = sum(batch_flops(config_of(module), batch) for batch in batches)
    counts = [float(tokens), flops]
    size, total, told, work = _read(every, norm, batches, parallel, counts)
    for optimizer in stepping:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {
        "loss": total / answers,
        "grad_norm": size,
        "clipped": size > clip,
        "samples": int(samples),
        "answer_tokens": int(answers),
        "tokens": int(told),
        "flops": work,
        "damaged": damaged,
    }


def _read(
    every: Sequence[torch.Tensor],
    norm: torch.Tensor,
    batches: Sequence[MicroBatch],
    parallel: Parallel,
    counts: Sequence[float],
) -> list[float]:
    """The gradients' norm, then sums over all ranks: of the losses and of each of `counts`.

    The step's only wait for the device: all that is to be known of it, at once.

    Args:
        every: the losses (n,) of each pass of this rank, on the device.
        norm: of the gradients, on the device.
        batches: one a pass.
        parallel: on how many processes.
        counts: of this rank.

    Raises:
        TrainingError: a loss or the gradients are no numbers; names the samples.
    """
    losses = torch.cat(list(every)).double()
    lost = (~losses.isfinite()).sum()
    total, broken, size = torch.stack([losses.sum(), lost.double(), norm.double()]).tolist()
    bad, *sums = parallel.sums([broken, total, *counts])
    if bad:
        wrong = [n for b, one in zip(batches, every, strict=True) for n in _without_number(b, one)]
        names = parallel.gathered(wrong)
        raise TrainingError(f"the loss is no number, from {len(names)} samples: {'; '.join(names)}")
    if not size < float("inf"):
        names = parallel.gathered([n for b in batches for n in b.names if n])
        raise TrainingError(f"gradients are no numbers, in a step of: {'; '.join(names)[:2000]}")
    return [size, *sums]


def _backward(
    module: Any,
    batches: Sequence[MicroBatch],
    parallel: Parallel,
    answers: float,
    *,
    bf16: bool,
) -> list[torch.Tensor]:
    """Adds up the gradients of all passes; the losses (n,) of each, on the device.

    Args:
        module: gives the losses of a batch.
        batches: one a pass.
        parallel: on how many processes.
        answers: answer tokens of the step, on all processes.
        bf16: whether it computes in bfloat16.
    """
    every = []
    for number, batch in enumerate(batches, 1):
        with last_of_several(module, number == len(batches)):
            with precision(parallel, bf16=bf16):
                losses = module(moved(batch.tensors, parallel.device))
            # Gradients are averaged over ranks; this makes of it the mean over all answers.
            (losses.sum() * (parallel.world / answers)).backward()
        every.append(losses.detach())
    return every


def _clipped_norm(stepping: Sequence[torch.optim.Optimizer], clip: float) -> torch.Tensor:
    """Clips the gradients; their norm before that, still on the device."""
    parameters = [p for group in stepping for g in group.param_groups for p in g["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip)
    whole: torch.Tensor = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return whole


def config_of(module: Any) -> Any:
    """The config of the model inside whatever wraps it."""
    inner = getattr(module, "module", module)
    return inner.model.config


def _without_number(batch: MicroBatch, losses: torch.Tensor) -> list[str]:
    """The conversations that a loss which is no number came from."""
    wrong = ~losses.isfinite().cpu()
    # Losses stand in the order of the row, as `owners` does.
    return [batch.names[k] for k in sorted(set(batch.owners[wrong].tolist()))]


def speed(flops: float, tokens: int, seconds: float, parallel: Parallel) -> dict[str, float]:
    """Seconds, tokens a second and MFU of a step, for the log."""
    peak = peak_flops(parallel.device) * parallel.world
    return {
        "seconds": seconds,
        "tokens_per_s": tokens / seconds,
        "mfu": flops / seconds / peak if peak else 0.0,
    }
