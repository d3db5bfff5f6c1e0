"""The loop: the same losses on any mesh, restartable at any moment.

The loss of a step is the mean over the answer tokens of all its samples, wherever they lie and
however many forward passes they take; what cannot be read is left out, counted and named.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from vlm3 import disk
from vlm3.errors import InputError, Vlm3Error
from vlm3.lock import writing
from vlm3.train import checkpoint, resume
from vlm3.train.collate import Collator, MicroBatch
from vlm3.train.config import Run
from vlm3.train.dataloader import RankStep, Stream
from vlm3.train.datasets import curriculum
from vlm3.train.loss_module import begin, export, optimizers, set_rates, token_px_of
from vlm3.train.metrics import Journal, say
from vlm3.train.parallel import Parallel, last_of_several, precision, spread, start
from vlm3.train.plan import batch_flops, peak_flops
from vlm3.train.stopping import until_asked_to_stop
from vlm3.train.validation import delta1_of, held_out, measure, moved


class TrainingError(Vlm3Error):
    """Training cannot go on: the loss is no number, or a whole step could not be read."""


def train(run: Run, *, stop_at: int | None = None) -> int:
    """Trains to the end, or until SIGTERM; with the same folder it goes on where it was saved.

    Ctrl-C saves too; a second one ends at once.

    Args:
        run: what to do.
        stop_at: a step to save and stop at, for tests of resuming.

    Returns:
        The steps done.

    Raises:
        InputError: data or mesh cannot be used, or the folder is another run's or being written;
            said before the model is loaded.
        TrainingError: the offending samples are in the message.
        KeyboardInterrupt: after Ctrl-C, when all is saved; its text says where.
    """
    # What the model's pictures need is only known with the model; a first look costs little.
    curriculum(run, token_px_of(run))
    parallel = start(_mesh(run), run.mesh_shape())
    with _alone(run, parallel):
        return _train(run, parallel, stop_at)


@contextmanager
def _alone(run: Run, parallel: Parallel) -> Iterator[None]:
    """Holds the run's folder; what the first process finds wrong there, all of them raise."""
    with ExitStack() as held:
        wrong = []
        if parallel.first:
            try:
                held.enter_context(writing(run.out))
                for folder in (run.out, run.out / "checkpoints"):
                    disk.restored(folder)
                resume.check(run)
            except InputError as error:
                wrong.append(str(error))
        for reason in parallel.gathered(wrong):
            raise InputError(reason)
        yield


def _train(run: Run, parallel: Parallel, stop_at: int | None) -> int:
    if parallel.first:
        say(f"{run.out}: preparing {run.model} and the data")
    bf16 = run.precision == "bf16"
    made = begin(run, device=str(parallel.device))
    saved = checkpoint.latest(run.out)
    found = curriculum(run, made.spec.token_px, made.spec.limits)
    collator = Collator(made.tokenizer, made.spec, run.packing)
    module = spread(made.trainee, made.blocks, parallel, bf16=bf16)
    stepping = optimizers(made.trainee, run)
    done = checkpoint.load(saved, made.trainee, stepping) if saved else 0
    journal = _journal(run, parallel, done)
    if journal and found.absent:
        for one in found.absent:
            say(f"absent: {one.name}: {one.absent}")
    if journal and done:
        left = "there is nothing left to do" if done == run.steps else "going on from there"
        say(f"{run.out} is at step {done} of {run.steps}: {left}")
    checks = held_out(run, found, collator, parallel)
    stream = Stream(run, found, collator, parallel.rank, parallel.world)
    best, last_saved, clock = float("inf"), done, time.monotonic()
    with until_asked_to_stop() as asked:
        for item in stream.steps(done):
            set_rates(stepping, run.rate * run.rate_at(done))
            entry = _step(run, module, stepping, item, parallel, collator, bf16=bf16)
            done += 1
            now = time.monotonic()
            seconds, clock = now - clock, now
            entry = {"step": done, "rate": run.rate * run.rate_at(done - 1)} | entry
            entry |= _speed(entry.pop("flops"), entry["tokens"], seconds, parallel)
            stopping = bool(parallel.sums([float(bool(asked))])[0]) or done == stop_at
            at_end = stopping or done == run.steps
            if done % run.check_every == 0 or done == run.steps:
                results = measure(module, checks, parallel, bf16=bf16)
                if parallel.world == 1 and run.packing == "independent" and "depth" in checks:
                    entry |= delta1_of(made.trainee, made.tokenizer, checks["depth"], run.protocol)
                entry |= results
                losses = [v for k, v in results.items() if k.endswith("_loss")]
                mean = sum(losses) / max(1, len(losses))
            else:
                mean = float("inf")
            if journal:
                journal.write(entry)
                journal.show(done, entry["loss"], 1 / seconds, entry["tokens_per_s"], entry["mfu"])
                for name in entry["damaged"]:
                    say(f"left out: {name}")
            if done % run.save_every == 0 or at_end or mean < best:
                written = checkpoint.save(
                    run.out, done, made.trainee, stepping, parallel, keep=run.keep
                )
                last_saved = done if written else last_saved
                if written and mean < best:
                    best = mean
                    if parallel.first:
                        checkpoint.mark_best(run.out, done)
            if stopping:
                break
    if done == run.steps:
        weights = checkpoint.whole_weights(made.trainee)
        if parallel.first:
            export(run, weights, run.out / "export")
    if journal:
        say(f"step {done} of {run.steps}, saved at {last_saved}: {run.out}")
    parallel.wait()
    if signal.SIGINT in asked and done < run.steps:
        raise KeyboardInterrupt(
            f"saved at step {last_saved} of {run.steps} in {run.out}; the same command goes on "
            "from there"
        )
    return done


def _mesh(run: Run) -> str:
    """The mesh; Muon needs whole matrices, so for it models are copied and not sharded."""
    if run.optimizer != "muon":
        return run.mesh
    if run.mesh_shape():
        raise InputError(f"Muon cannot train shards: give mesh auto or ddp instead of {run.mesh}")
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    return ("ddp" if several else "none") if run.mesh == "auto" else run.mesh


def _journal(run: Run, parallel: Parallel, done: int) -> Journal | None:
    if not parallel.first:
        return None
    resume.keep(run)
    return Journal(run.out, done, run.steps, tensorboard=run.tensorboard)


def _step(
    run: Run,
    module: Any,
    stepping: Sequence[torch.optim.Optimizer],
    item: RankStep,
    parallel: Parallel,
    collator: Collator,
    *,
    bf16: bool,
) -> dict[str, Any]:
    """One optimiser step; what it says is the same on every rank."""
    samples, answers, lost = parallel.sums(
        [float(item.samples), float(item.answer_tokens), float(len(item.damaged))]
    )
    damaged = parallel.gathered(item.damaged) if lost else []
    if not answers:
        raise TrainingError(f"no sample of a whole step can be read, first {damaged[0]}")
    passes = int(parallel.largest(len(item.batches)))
    # Every rank runs as many passes as any other, or their collectives would not meet.
    batches = (*item.batches, *[collator.batch([])] * (passes - len(item.batches)))
    total, tokens, flops = 0.0, 0, 0.0
    wrong: list[str] = []
    for number, batch in enumerate(batches, 1):
        with last_of_several(module, number == passes):
            with precision(parallel, bf16=bf16):
                losses = module(moved(batch.tensors, parallel.device))
            # Gradients are averaged over ranks; this makes of it the mean over all answers.
            (losses.sum() * (parallel.world / answers)).backward()
        each = losses.detach().double()
        total += float(each.sum())
        tokens += batch.tokens
        flops += batch_flops(_config(module), batch)
        if not each.isfinite().all():
            wrong += _owners(batch, ~each.isfinite().cpu())
    total, every, work, bad = parallel.sums([total, float(tokens), flops, float(len(wrong))])
    if bad:
        names = parallel.gathered(wrong)
        raise TrainingError(f"the loss is no number, from {len(names)} samples: {'; '.join(names)}")
    parameters = [p for group in stepping for g in group.param_groups for p in g["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, run.clip)
    size = float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
    if not size < float("inf"):
        names = parallel.gathered([n for b in batches for n in b.names if n])
        raise TrainingError(f"gradients are no numbers, in a step of: {'; '.join(names)[:2000]}")
    for optimizer in stepping:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {
        "loss": total / answers,
        "grad_norm": size,
        "clipped": size > run.clip,
        "samples": int(samples),
        "answer_tokens": int(answers),
        "tokens": int(every),
        "flops": work,
        "damaged": damaged,
    }


def _config(module: Any) -> Any:
    """The config of the model inside whatever wraps it."""
    inner = getattr(module, "module", module)
    return inner.model.config


def _owners(batch: MicroBatch, wrong: torch.Tensor) -> list[str]:
    # Labels are read row by row, as `owners` is.
    return [batch.names[k] for k in sorted(set(batch.owners[wrong].tolist()))]


def _speed(flops: float, tokens: int, seconds: float, parallel: Parallel) -> dict[str, float]:
    peak = peak_flops(parallel.device) * parallel.world
    return {
        "seconds": seconds,
        "tokens_per_s": tokens / seconds,
        "mfu": flops / seconds / peak if peak else 0.0,
    }
