"""Trains nano by the clock: workers render worlds, the device learns, nothing waits.

Three stages: grounding on mosaics while the store of pairs fills; the tower's dense labels;
worlds, four tasks in every few steps with the dense labels beside. The rates fall to zero over the
last part of the time, whatever happened before. Killed at any moment and started again, a run has
lost no more than what it did since its last save; the deadline stays.
"""

import math
import signal
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import torch

from vlm3.errors import InputError, Vlm3Error
from vlm3.model import NANO_PATH, Settings, build_small, load_checkpoint, nano_tokenizer
from vlm3.nano.batches import BatchMaker
from vlm3.nano.checks import HeldOut, gaps
from vlm3.nano.forward import Forward
from vlm3.nano.journal import Journal, listed
from vlm3.nano.losses import Passes, batch_loss
from vlm3.nano.optim import Average, Optimizers
from vlm3.nano.pairs import F_PX, Record, pair_dtype
from vlm3.nano.recipe import MAX_TOKENS, NEEDS_NO_PAIRS, Part, Stage
from vlm3.nano.run import Clock, Run
from vlm3.nano.saving import load_state, save_model, save_state, write_json
from vlm3.nano.store import Store
from vlm3.nano.tokens import TokenWriter
from vlm3.nano.tower import DenseHeads
from vlm3.nano.workers import RenderJob, Workers
from vlm3.train.stopping import until_asked_to_stop

Tensor = torch.Tensor
_REPORT_SECONDS = 10.0
_TAKEN = 64
"""Pairs taken from the workers between two steps."""
_TOGETHER = 16
"""Pairs that are copied to the device at once."""
_MOST_RETURNS = 3


class NanoError(Vlm3Error):
    """Training cannot go on: weights are no numbers again and again, or nothing renders."""


@dataclass
class _Since:
    """Counts since the last report."""

    time: float = field(default_factory=time.monotonic)
    steps: int = 0
    rows: int = 0
    pairs: int = 0
    sums: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))


class Trainer:
    """One run; `train` is what starts it."""

    def __init__(self, run: Run) -> None:
        self.run, self.recipe = run, run.recipe
        self.clock = Clock(run)
        self.journal = Journal(run.out)
        self.device = torch.device(run.device)
        on_gpu = self.device.type == "cuda"
        saved = load_state(run.out)
        facts: dict[str, Any] = saved[1] if saved else {}
        self.step: int = facts.get("step", 0)
        self.stage: int = facts.get("stage", 0)
        self.next_world: int = facts.get("next_world", 0)
        self.stage_began = self.step
        self.grounded, self._returns = False, 0
        job = RenderJob(
            tokenizer_file=str(NANO_PATH / "tokenizer.json"),
            seed=run.seed,
            first=self.next_world,
            held_out=self.recipe.held_out,
            rendered_px=tuple(view.rendered_px for view in self.recipe.views),
            shares=tuple(view.share for view in self.recipe.views),
            room_share=self.recipe.room_share,
            most_waiting=self.recipe.most_waiting,
            device=run.render_device,
        )
        # First of all: they render while the rest is built and compiled.
        self.workers = Workers(run.workers, job, run.name)
        torch.manual_seed(run.seed + self.step)
        torch.set_float32_matmul_precision("high")
        try:
            self._build(on_gpu)
            if saved:
                self._restore(*saved)
                stage = self.recipe.stages[self.stage].name
                self.say(f"goes on at step {self.step}, stage {stage}")
            else:
                self.average.restart()
        except BaseException:
            self.workers.stop()
            raise
        self.since = _Since()

    def _build(self, on_gpu: bool) -> None:
        run, recipe = self.run, self.recipe
        self.tokenizer = nano_tokenizer()
        self.model = build_small(self.tokenizer, recipe.size, seed=run.seed)
        if run.init is not None:
            _take_weights(self.model, run.init)
        self.averaged = build_small(self.tokenizer, recipe.size, seed=run.seed)
        self.averaged.requires_grad_(False)
        self.model.to(self.device)
        self.averaged.to(self.device)
        self.average = Average(self.model, self.averaged)
        self.heads = DenseHeads(
            recipe.size.text_hidden,
            1 + len(recipe.size.deepstack),
            recipe.size.picture_input.token_px,
        ).to(self.device)
        named = dict(self.model.named_parameters())
        named |= {f"heads.{name}": weight for name, weight in self.heads.named_parameters()}
        self.optimizers = Optimizers(named, recipe)
        self.stores = [
            Store(view.rendered_px, self._capacity(view.share, view.rendered_px), self.device)
            for view in recipe.views
        ]
        count = max(1, math.ceil(recipe.held_out / len(recipe.views)))
        self.held = [Store(view.rendered_px, count, self.device) for view in recipe.views]
        self.waiting: list[list[Record]] = [[] for _ in recipe.views]
        writer = TokenWriter(self.tokenizer, self.device)
        self.maker = BatchMaker(recipe, writer, self.stores)
        dtype = torch.bfloat16 if on_gpu else torch.float32
        self.forward = Forward(self.model, dtype)
        if on_gpu:
            self._compile(dtype)
        self.passes = Passes(
            lambda batch, weight: batch_loss(self.forward, self.heads, recipe, batch, weight),
            list(named.values()),
            self.say,
        )
        if on_gpu:
            why = self.passes.try_replaying(
                self.maker.make("mosaic color", 8, 8), self.optimizers.zero
            )
            self.say(f"passes are run one by one: {why}" if why else "passes are replayed")
        self.asked = Forward(self.averaged, dtype)
        self.held_out = HeldOut(self.maker, self.held, recipe.views, self.tokenizer)
        weights = sum(weight.numel() for weight in self.model.parameters())
        self.say(f"{weights / 1e6:.1f} million weights on {self.device}, {run.workers} workers")

    def _capacity(self, share: float, rendered_px: tuple[int, int]) -> int:
        views = self.recipe.views
        mean_bytes = sum(one.share * pair_dtype(one.rendered_px).itemsize for one in views)
        return max(1, int(share * self.recipe.store_gb * 1e9 / mean_bytes))

    def _compile(self, dtype: torch.dtype) -> None:
        """Fuses what lies between matrix products, if that works on this machine."""
        began = time.monotonic()
        plain = self.forward
        self.forward = Forward(self.model, dtype, compiled=True)
        try:
            torch._dynamo.config.recompile_limit = 64
            for rows in (8, 6):
                batch = self.maker.make("mosaic color", rows, 8)
                batch_loss(self.forward, self.heads, self.recipe, batch, 1.0)[0].backward()  # type: ignore[no-untyped-call]
            self.maker.compile()
        # Compilers fail in many ways, and none of them is worth the run.
        except Exception as error:
            self.forward = plain
            self.maker.plain()
            self.say(f"not compiled: {' '.join(str(error).split())[:200]}")
        else:
            self.say(f"compiled in {time.monotonic() - began:.0f} s")
        self.optimizers.zero()

    def say(self, text: str) -> None:
        """A line for whoever follows the run."""
        self.journal.say(self.clock.seconds, text)

    # Each step.

    def learn(self) -> bool:
        """Learns until the deadline, or until asked to stop; saves either way.

        Returns:
            Whether the run is done.
        """
        marks = dict.fromkeys(("report", "gap", "check", "save"), self.clock.seconds)

        def due(name: str, every: float) -> bool:
            if self.clock.seconds - marks[name] < every:
                return False
            marks[name] = self.clock.seconds
            return True

        with until_asked_to_stop(signal.SIGTERM, signal.SIGINT) as asked:
            while self.clock.share < 1.0 and not asked.is_set():
                self._take_pairs()
                stage = self._current_stage()
                parts = self._parts(stage)
                if not parts:
                    self._await_pairs()
                    continue
                self._step(stage, parts)
                if due("report", _REPORT_SECONDS):
                    self._report()
                if stage.gap is not None and due("gap", self.recipe.gap_seconds):
                    self._look_at_gap(stage.gap)
                if due("check", self.recipe.check_seconds):
                    self._check()
                if due("save", self.recipe.save_seconds):
                    self._save()
            self._report()
            self._save()
            if asked.is_set() and self.clock.share < 1.0:
                self.say(f"asked to stop: saved at step {self.step}; the same command goes on")
                return False
        self.workers.stop()
        write_json(self.run.out / "result.json", self._check() | {"step": self.step})
        return True

    def _take_pairs(self) -> None:
        if self.stage == 0 and all(store.count == store.capacity for store in self.stores):
            return  # Nothing is learnt from them yet; untaken, they let the workers rest.
        for ready in self.workers.take(_TAKEN):
            self.since.pairs += 1
            if ready.held_out:
                self.held[ready.view].add([ready.record])
                continue
            self.next_world = max(self.next_world, ready.index + 1)
            store, waiting = self.stores[ready.view], self.waiting[ready.view]
            waiting.append(ready.record)
            if len(waiting) >= min(_TOGETHER, store.capacity, self.recipe.enough_pairs):
                store.add(waiting)
                waiting.clear()

    def _await_pairs(self) -> None:
        if not self.workers.alive:
            raise NanoError("no worker renders any more, and nothing is left to learn from")
        time.sleep(0.05)

    @property
    def _ready(self) -> bool:
        """Whether there are pairs enough to learn from."""
        return self.stores[0].count >= min(self.recipe.enough_pairs, self.stores[0].capacity)

    def _current_stage(self) -> Stage:
        """The stage, or the next one where its time has come and there is something to show."""
        stages = self.recipe.stages
        stage = stages[self.stage]
        over = self.clock.share >= stage.until or (stage.gap is not None and self.grounded)
        if over and self._ready and self.stage + 1 < len(stages):
            self.stage += 1
            self.stage_began = self.step
            stage = stages[self.stage]
            self.say(f"stage {stage.name} begins at step {self.step}")
        return stage

    def _parts(self, stage: Stage) -> list[Part]:
        """What this step learns."""
        turn = stage.turns[self.step % len(stage.turns)]
        return [part for part in turn if self._ready or part.kind in NEEDS_NO_PAIRS]

    def _step(self, stage: Stage, parts: list[Part]) -> None:
        share = self.clock.share
        start, end = self.recipe.collages
        self.maker.collages = start + (end - start) * share
        for part in parts:
            batch = self.maker.make(part.kind, part.rows, part.questions)
            for name, value in self.passes(batch, part.weight).items():
                self.since.sums[name].append(value)
            self.since.rows += part.rows
        rate = self.recipe.rate_at(share, self.step - self.stage_began)
        self.since.sums["norm"].append(self.optimizers.step(rate, stage.tower_rate))
        self.step += 1
        self.since.steps += 1
        # At first the mean is over what there is.
        self.average.update(min(self.recipe.keep, (1 + self.step) / (10 + self.step)))

    # What a person follows.

    def _report(self) -> None:
        since, now = self.since, time.monotonic()
        if not since.steps:
            return
        means = {k: float(torch.stack(v).float().mean()) for k, v in since.sums.items()}
        seconds = max(now - since.time, 1e-6)
        stage = self.recipe.stages[self.stage].name
        rate = self.recipe.rate_at(self.clock.share, self.step - self.stage_began)
        speed = {
            "steps_per_s": since.steps / seconds,
            "rows_per_s": since.rows / seconds,
            "pairs_per_s": since.pairs / seconds,
        }
        kept = sum(store.count for store in self.stores)
        entry = {
            "seconds": self.clock.seconds,
            "step": self.step,
            "stage": stage,
            "rate": rate,
            **speed,
            "pairs": kept,
            "workers": self.workers.alive,
            "losses": means,
        }
        self.journal.write(
            entry,
            f"{stage} step {self.step}, rate {rate:.2f} | {speed['steps_per_s']:.2f} steps/s, "
            f"{speed['rows_per_s']:.0f} rows/s | {speed['pairs_per_s']:.1f} pairs/s, {kept} kept, "
            f"{self.workers.alive} workers | {listed(means)}",
        )
        self.since = _Since()
        if not all(math.isfinite(value) for value in means.values()):
            self._return()

    def _look_at_gap(self, enough: float) -> None:
        found = gaps(self.asked, self.maker, worlds=False)
        self._note("gap", found)
        self.grounded = self.grounded or found["color gap"] > enough

    def _check(self) -> dict[str, float]:
        worlds = self._ready and self.stage + 1 == len(self.recipe.stages)
        found = gaps(self.asked, self.maker, worlds=worlds)
        if worlds:
            found |= self.held_out(self.asked)
        self._note("check", found)
        return found

    def _note(self, name: str, found: dict[str, float]) -> None:
        entry = {"seconds": self.clock.seconds, "step": self.step, name: found}
        self.journal.write(entry, f"{name} at step {self.step}: {listed(found)}")

    # Keeping, and coming back.

    def _save(self) -> None:
        """The state, and the averaged weights as a checkpoint; only if every weight is a number."""
        weights = [*self.model.parameters(), *self.averaged.parameters()]
        if not bool(torch.isfinite(torch.stack(torch._foreach_norm(weights))).all()):
            self._return()
            return
        facts = {"step": self.step, "stage": self.stage, "next_world": self.next_world}
        save_state(self.run.out, self._tensors() | self.optimizers.tensors(), facts)
        save_model(
            self.run.out / "model",
            self.averaged,
            self.tokenizer,
            self.recipe.size.picture_input,
            Settings(protocol="joint", f_px=F_PX, max_tokens=MAX_TOKENS),
        )

    def _tensors(self) -> dict[str, Tensor]:
        parts = {"model": self.model, "averaged": self.averaged, "heads": self.heads}
        return {
            f"{part}/{name}": weight
            for part, module in parts.items()
            for name, weight in module.named_parameters()
        }

    @torch.no_grad()
    def _restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        for name, weight in self._tensors().items():
            weight.copy_(tensors[name])
        self.optimizers.load(tensors)
        self.step, self.stage = facts["step"], facts["stage"]
        # The rate warms up again: the store is filled anew.
        self.stage_began = self.step

    def _return(self) -> None:
        """Goes back to the last state that was whole."""
        self._returns += 1
        saved = load_state(self.run.out)
        if saved is None or self._returns > _MOST_RETURNS:
            raise NanoError(f"weights are no numbers at step {self.step}, {self._returns} times")
        self.say(f"weights are no numbers at step {self.step}: back to step {saved[1]['step']}")
        self.optimizers.zero()
        self._restore(*saved)
        torch.manual_seed(self.run.seed + self.step + 1_000_003 * self._returns)


def train(run: Run) -> bool:
    """Trains to the deadline, or until SIGTERM or Ctrl-C; the same run goes on where it was saved.

    Returns:
        Whether the run is done; its model is in `run.out / "model"`.

    Raises:
        InputError: other settings than the folder's, no such device, or weights that do not fit.
        NanoError: it cannot go on.
    """
    if run.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda is not there; give --device cpu, with --tiny")
    if (run.out / "result.json").is_file():
        Clock(run)
        return True
    trainer = Trainer(run)
    try:
        return trainer.learn()
    finally:
        trainer.workers.stop()


@torch.no_grad()
def _take_weights(model: Any, init: str) -> None:
    """Copies a checkpoint's weights into a model of the same size.

    Raises:
        InputError: it is of another size.
    """
    loaded = dict(load_checkpoint(init, device="cpu", dtype=torch.float32).model.named_parameters())
    for name, weight in model.named_parameters():
        other = loaded.get(name)
        if other is None or other.shape != weight.shape:
            shape = "missing" if other is None else "x".join(map(str, other.shape))
            raise InputError(
                f"{init} does not fit this recipe: {name} is {shape} there and "
                f"{'x'.join(map(str, weight.shape))} here; --tiny goes on from a tiny model"
            )
        weight.copy_(other)
