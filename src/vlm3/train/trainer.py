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
from vlm3.train.config import OptimConfig, RunConfig
from vlm3.train.dataloader import RankStep, Stream
from vlm3.train.datasets import curriculum, kept_lines
from vlm3.train.loss_module import Start, begin, export, token_px_of
from vlm3.train.metrics import Journal, say
from vlm3.train.optim import optimizers, set_rates
from vlm3.train.parallel import Parallel, last_of_several, precision, spread, start
from vlm3.train.plan import batch_flops, layers_to_keep, peak_flops
from vlm3.train.sizes import ModelSize
from vlm3.train.stopping import until_asked_to_stop
from vlm3.train.validation import Check, delta1_of, held_out, measure, moved


class TrainingError(Vlm3Error):
    """Training cannot go on: the loss is no number, or a whole step could not be read."""


def train(run: RunConfig, *, stop_at: int | None = None) -> int:
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
    curriculum(run.data, run.prompt, seed=run.seed, multiple_px=token_px_of(run.model.source))
    parallel = start(_mesh(run), run.parallel.mesh_shape())
    with _alone(run, parallel):
        return _train(run, parallel, stop_at)


@contextmanager
def _alone(run: RunConfig, parallel: Parallel) -> Iterator[None]:
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


def _train(run: RunConfig, parallel: Parallel, stop_at: int | None) -> int:
    if parallel.first:
        say(f"{run.out}: preparing {run.model.source} and the data")
    bf16, steps = run.parallel.bf16, run.steps
    made = begin(
        run.model,
        run.parallel,
        run.loader.packing,
        seed=run.seed,
        device=str(parallel.device),
    )
    if parallel.first:
        say(made.attention)
    saved = checkpoint.latest(run.out)
    found = curriculum(
        run.data,
        run.prompt,
        seed=run.seed,
        multiple_px=made.spec.token_px,
        limits=made.spec.limits,
    )
    collator = Collator(made.tokenizer, made.spec, run.loader.packing)
    module = spread(made.trainee, made.blocks, parallel, bf16=bf16)
    _keep_layers(run, made, parallel)
    stepping = optimizers(made.trainee, run.optim)
    done = checkpoint.load(saved, made.trainee, stepping) if saved else 0
    journal = _journal(run, parallel, done)
    if journal:
        for one in found.absent:
            say(f"absent: {one.name}: {one.absent}")
        for line in kept_lines(found):
            say(line)
    if journal and done:
        left = "there is nothing left to do" if done == steps else "going on from there"
        say(f"{run.out} is at step {done} of {steps}: {left}")
    checks = held_out(
        run.validation.held_out,
        found,
        collator,
        parallel,
        budget=run.loader.budget,
        seed=run.seed,
    )
    stream = Stream(run.loader, found, collator, parallel.rank, parallel.world, seed=run.seed)
    best, last_saved, clock = float("inf"), done, time.monotonic()
    with until_asked_to_stop() as asked:
        for item in stream.steps(done, steps):
            rate = run.optim.rate_at(done, steps)
            set_rates(stepping, rate)
            entry = _step(run.optim, module, stepping, item, parallel, collator, bf16=bf16)
            done += 1
            now = time.monotonic()
            seconds, clock = now - clock, now
            entry = {"step": done, "rate": rate} | entry
            entry |= _speed(entry.pop("flops"), entry["tokens"], seconds, parallel)
            stopping = bool(parallel.sums([float(bool(asked))])[0]) or done == stop_at
            at_end = stopping or done == steps
            mean = float("inf")
            if done % run.validation.check_every == 0 or done == steps:
                checked, mean = _checked(run, made, module, checks, parallel)
                entry |= checked
            if journal:
                journal.write(entry)
                journal.show(done, entry["loss"], 1 / seconds, entry["tokens_per_s"], entry["mfu"])
                for name in entry["damaged"]:
                    say(f"left out: {name}")
            if done % run.checkpoint.save_every == 0 or at_end or mean < best:
                written = checkpoint.save(
                    run.out, done, made.trainee, stepping, parallel, keep=run.checkpoint.keep
                )
                last_saved = done if written else last_saved
                if written and mean < best:
                    best = mean
                    if parallel.first:
                        checkpoint.mark_best(run.out, done)
            if stopping:
                break
    if done == steps:
        _export(run, made, parallel)
    if journal:
        say(f"step {done} of {steps}, saved at {last_saved}: {run.out}")
    parallel.wait()
    if signal.SIGINT in asked and done < steps:
        raise KeyboardInterrupt(
            f"saved at step {last_saved} of {steps} in {run.out}; the same command goes on "
            "from there"
        )
    return done


def _checked(
    run: RunConfig, made: Start, module: Any, checks: dict[str, Check], parallel: Parallel
) -> tuple[dict[str, float], float]:
    """What is told of the held-out samples, and their mean loss over the kinds of questions."""
    found: dict[str, float] = {}
    results = measure(module, checks, parallel, bf16=run.parallel.bf16)
    alone = parallel.world == 1 and run.loader.packing == "independent"
    if alone and "depth" in checks:
        found |= delta1_of(made.trainee, made.tokenizer, checks["depth"], run.prompt.protocol)
    losses = [v for k, v in results.items() if k.endswith("_loss")]
    return found | results, sum(losses) / max(1, len(losses))


def _export(run: RunConfig, made: Start, parallel: Parallel) -> None:
    weights = checkpoint.whole_weights(made.trainee)
    if parallel.first:
        fresh = begin(run.model, run.parallel, run.loader.packing, seed=run.seed, device="cpu")
        export(fresh, weights, run.out / "export", model=run.model, prompt=run.prompt)


def _keep_layers(run: RunConfig, made: Start, parallel: Parallel) -> None:
    """Recomputes no more than a GPU's memory asks for."""
    if not run.parallel.recompute or parallel.device.type != "cuda":
        return
    size = ModelSize.of(_config(made.trainee))
    shards = parallel.shape[1] if parallel.shape else 1
    capacity = torch.cuda.mem_get_info(parallel.device)[1]
    vision, text = layers_to_keep(size, run, shards=shards, capacity=capacity)
    made.keep(vision, text)
    if parallel.first:
        say(
            f"not recomputed: {text} of {size.text[0]} text layers, {vision} of {size.vision[0]} "
            "vision layers"
        )


def _mesh(run: RunConfig) -> str:
    """The mesh; Muon needs whole matrices, so for it models are copied and not sharded."""
    mesh = run.parallel.mesh
    if run.optim.optimizer != "muon":
        return mesh
    if run.parallel.mesh_shape():
        raise InputError(f"Muon cannot train shards: give mesh auto or ddp instead of {mesh}")
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    return ("ddp" if several else "none") if mesh == "auto" else mesh


def _journal(run: RunConfig, parallel: Parallel, done: int) -> Journal | None:
    if not parallel.first:
        return None
    resume.keep(run)
    return Journal(run.out, done, run.steps, tensorboard=run.logging.tensorboard)


def _step(
    config: OptimConfig,
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
    tokens, flops = 0, 0.0
    every: list[torch.Tensor] = []
    for number, batch in enumerate(batches, 1):
        with last_of_several(module, number == passes):
            with precision(parallel, bf16=bf16):
                losses = module(moved(batch.tensors, parallel.device))
            # Gradients are averaged over ranks; this makes of it the mean over all answers.
            (losses.sum() * (parallel.world / answers)).backward()
        every.append(losses.detach())
        tokens += batch.tokens
        flops += batch_flops(_config(module), batch)
    parameters = [p for group in stepping for g in group.param_groups for p in g["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, config.clip)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    # The step's only wait for the device: all that is to be known of it, at once.
    losses = torch.cat(every).double()
    lost_losses = (~losses.isfinite()).sum()
    total, broken, size = torch.stack([losses.sum(), lost_losses.double(), norm.double()]).tolist()
    total, told, work, bad = parallel.sums([total, float(tokens), flops, broken])
    if bad:
        wrong = [n for b, one in zip(batches, every, strict=True) for n in _without_number(b, one)]
        names = parallel.gathered(wrong)
        raise TrainingError(f"the loss is no number, from {len(names)} samples: {'; '.join(names)}")
    if not size < float("inf"):
        names = parallel.gathered([n for b in batches for n in b.names if n])
        raise TrainingError(f"gradients are no numbers, in a step of: {'; '.join(names)[:2000]}")
    for optimizer in stepping:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {
        "loss": total / answers,
        "grad_norm": size,
        "clipped": size > config.clip,
        "samples": int(samples),
        "answer_tokens": int(answers),
        "tokens": int(told),
        "flops": work,
        "damaged": damaged,
    }


def _config(module: Any) -> Any:
    """The config of the model inside whatever wraps it."""
    inner = getattr(module, "module", module)
    return inner.model.config


def _without_number(batch: MicroBatch, losses: torch.Tensor) -> list[str]:
    """The conversations that a loss which is no number came from."""
    wrong = ~losses.isfinite().cpu()
    # Losses stand in the order of the row, as `owners` does.
    return [batch.names[k] for k in sorted(set(batch.owners[wrong].tolist()))]


def _speed(flops: float, tokens: int, seconds: float, parallel: Parallel) -> dict[str, float]:
    peak = peak_flops(parallel.device) * parallel.world
    return {
        "seconds": seconds,
        "tokens_per_s": tokens / seconds,
        "mfu": flops / seconds / peak if peak else 0.0,
    }
