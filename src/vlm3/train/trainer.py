"""The loop: the same losses on any mesh, restartable at any moment.

The loss of a step is the mean over the answer tokens of all its samples, wherever they lie and
however many forward passes they take; what cannot be read is left out, counted and named.
"""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from vlm3 import partials
from vlm3.errors import InputError
from vlm3.lock import writing
from vlm3.tasks.depth import DEPTH
from vlm3.train import checkpoint, resume
from vlm3.train.collate import Collator
from vlm3.train.config import RunConfig
from vlm3.train.curriculum import Curriculum
from vlm3.train.dataloader import Stream
from vlm3.train.datasets import curriculum, kept_lines
from vlm3.train.loss_module import Start, begin, export, token_px_of
from vlm3.train.metrics import MetricsLogger, say
from vlm3.train.optim import optimizers, set_rates
from vlm3.train.parallel import Parallel, spread, start
from vlm3.train.plan import layers_to_keep
from vlm3.train.sizes import ModelSize
from vlm3.train.step import config_of, speed, take_step
from vlm3.train.stopping import until_asked_to_stop
from vlm3.train.validation import Check, delta1_of, held_out, measure


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
            raised before the model is loaded.
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
                    partials.restored(folder)
                resume.check(run)
            except InputError as error:
                wrong.append(str(error))
        for reason in parallel.gathered(wrong):
            raise InputError(reason)
        yield


@dataclass(frozen=True)
class _Prepared:
    """A run that is ready to go on.

    Attributes:
        run: what to do.
        parallel: on how many processes.
        made: the model.
        data: what it learns from.
        collator: makes batches of it.
        module: the model as it is spread over the processes.
        stepping: its optimisers.
        journal: of the first process.
        checks: of held-out samples.
        done: steps that were done before.
    """

    run: RunConfig
    parallel: Parallel
    made: Start
    data: Curriculum
    collator: Collator
    module: Any
    stepping: Sequence[torch.optim.Optimizer]
    journal: MetricsLogger | None
    checks: dict[str, Check]
    done: int


def _prepared(run: RunConfig, parallel: Parallel) -> _Prepared:
    """Loads the model, its state of a run that was stopped, and the data."""
    if parallel.first:
        say(f"{run.out}: preparing {run.model.source} and the data")
    device = str(parallel.device)
    made = begin(run.model, run.parallel, run.loader.packing, seed=run.seed, device=device)
    if parallel.first:
        say(made.attention)
        say(made.compiled)
    saved = checkpoint.latest(run.out)
    found = curriculum(
        run.data,
        run.prompt,
        seed=run.seed,
        multiple_px=made.spec.token_px,
        limits=made.spec.limits,
    )
    collator = Collator(made.tokenizer, made.spec, run.loader.packing)
    module = spread(made.trainee, made.blocks, parallel, bf16=run.parallel.bf16)
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
        left = "there is nothing left to do" if done == run.steps else "going on from there"
        say(f"{run.out} is at step {done} of {run.steps}: {left}")
    checks = held_out(
        run.validation.held_out,
        found,
        collator,
        parallel,
        budget=run.loader.budget,
        seed=run.seed,
    )
    return _Prepared(run, parallel, made, found, collator, module, stepping, journal, checks, done)


def _train(run: RunConfig, parallel: Parallel, stop_at: int | None) -> int:
    ready = _prepared(run, parallel)
    done = last_saved = ready.done
    steps, best, clock = run.steps, float("inf"), time.monotonic()
    stream = Stream(
        run.loader, ready.data, ready.collator, parallel.rank, parallel.world, seed=run.seed
    )
    with until_asked_to_stop() as asked:
        for item in stream.steps(done, steps):
            rate = run.optim.rate_at(done, steps)
            set_rates(ready.stepping, rate)
            entry = take_step(
                ready.module,
                ready.stepping,
                item,
                ready.collator,
                parallel,
                clip=run.optim.clip,
                bf16=run.parallel.bf16,
            )
            done += 1
            now = time.monotonic()
            seconds, clock = now - clock, now
            entry = {"step": done, "rate": rate} | entry
            entry |= speed(entry.pop("flops"), entry["tokens"], seconds, parallel)
            stopping = bool(parallel.sums([float(bool(asked))])[0]) or done == stop_at
            mean = float("inf")
            if done % run.validation.check_every == 0 or done == steps:
                checked, mean = _checked(ready)
                entry |= checked
            if ready.journal:
                _tell(ready.journal, entry)
            due = done % run.checkpoint.save_every == 0 or stopping or done == steps
            if (due or mean < best) and _save(ready, done, best=mean < best):
                last_saved, best = done, min(best, mean)
            if stopping:
                break
    if done == steps:
        _export(run, ready.made, parallel)
    if ready.journal:
        say(f"step {done} of {steps}, saved at {last_saved}: {run.out}")
    parallel.wait()
    if signal.SIGINT in asked and done < steps:
        raise KeyboardInterrupt(
            f"saved at step {last_saved} of {steps} in {run.out}; the same command goes on "
            "from there"
        )
    return done


def _save(ready: _Prepared, done: int, *, best: bool) -> bool:
    """Whether a checkpoint could be written; the best one so far is marked."""
    run, parallel = ready.run, ready.parallel
    written = checkpoint.save(
        run.out, done, ready.made.trainee, ready.stepping, parallel, keep=run.checkpoint.keep
    )
    if written and best and parallel.first:
        checkpoint.mark_best(run.out, done)
    return bool(written)


def _tell(journal: MetricsLogger, entry: dict[str, Any]) -> None:
    """A line of the log, one on the terminal, and what was left out."""
    journal.write(entry)
    journal.show(
        entry["step"], entry["loss"], 1 / entry["seconds"], entry["tokens_per_s"], entry["mfu"]
    )
    for name in entry["damaged"]:
        say(f"left out: {name}")


def _checked(ready: _Prepared) -> tuple[dict[str, float], float]:
    """What is told of the held-out samples, and their mean loss over the kinds of questions."""
    run, made, checks = ready.run, ready.made, ready.checks
    found: dict[str, float] = {}
    results = measure(ready.module, checks, ready.parallel, bf16=run.parallel.bf16)
    alone = ready.parallel.world == 1 and run.loader.packing == "independent"
    if alone and (distances := checks.get(DEPTH.name)):
        found |= delta1_of(made.trainee, made.tokenizer, distances, run.prompt.protocol)
    losses = [v for k, v in results.items() if k.endswith("_loss")]
    return found | results, sum(losses) / max(1, len(losses))


def _export(run: RunConfig, made: Start, parallel: Parallel) -> None:
    weights = checkpoint.whole_weights(made.trainee)
    if parallel.first:
        plain = replace(run.parallel, compile="off")
        fresh = begin(run.model, plain, run.loader.packing, seed=run.seed, device="cpu")
        export(fresh, weights, run.out / "export", model=run.model, prompt=run.prompt)


def _keep_layers(run: RunConfig, made: Start, parallel: Parallel) -> None:
    """Recomputes no more than a GPU's memory asks for."""
    if not run.parallel.recompute or parallel.device.type != "cuda":
        return
    size = ModelSize.of(config_of(made.trainee))
    shards = parallel.shape[1] if parallel.shape else 1
    capacity = torch.cuda.mem_get_info(parallel.device)[1]
    vision, text = layers_to_keep(
        size, run.model, run.parallel, run.loader.budget, shards=shards, capacity=capacity
    )
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


def _journal(run: RunConfig, parallel: Parallel, done: int) -> MetricsLogger | None:
    if not parallel.first:
        return None
    resume.keep(run)
    return MetricsLogger(run.out, done, run.steps, tensorboard=run.logging.tensorboard)
