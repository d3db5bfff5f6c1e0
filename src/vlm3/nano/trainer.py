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
from vlm3.lock import writing
from vlm3.model import NANO_PATH, Settings
from vlm3.nano.learner import Learner
from vlm3.nano.metrics import ClockLogger, listed
from vlm3.nano.pairs import F_PX
from vlm3.nano.recipe import MAX_TOKENS, NEEDS_NO_PAIRS, NanoStage, StagePart
from vlm3.nano.run import Clock, NanoRun
from vlm3.nano.saving import load_state, save_model, save_state, write_json
from vlm3.nano.workers import RenderJob, Workers
from vlm3.train.stopping import until_asked_to_stop

Tensor = torch.Tensor
_REPORT_SECONDS = 10.0
_TAKEN = 64
"""Pairs taken from the workers between two steps."""
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
    losses: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))


class Trainer:
    """One run; `train` is what starts it."""

    def __init__(self, run: NanoRun) -> None:
        self.run, self.recipe = run, run.recipe
        self.clock = Clock(run)
        self.journal = ClockLogger(run.out)
        saved = load_state(run.out)
        facts: dict[str, Any] = saved[1] if saved else {"step": 0, "stage": 0, "next_world": 0}
        self.next_world: int = facts["next_world"]
        self.grounded, self._returns = False, 0
        # First of all: they render while the rest is built and compiled.
        self.workers = Workers(run.workers, self._job(), run.name)
        torch.manual_seed(run.seed + facts["step"])
        torch.set_float32_matmul_precision("high")
        try:
            self.learner = Learner(run, self.say)
            self._go_on_from(facts)
            if saved:
                self.learner.restore(saved[0])
                stage = self.recipe.stages[self.stage].name
                self.say(f"goes on at step {self.step}, stage {stage}")
        except BaseException:
            self.workers.stop()
            raise
        millions = self.learner.weights / 1e6
        self.say(f"{millions:.1f} million weights on {run.device}, {run.workers} workers")
        self.since = _Since()

    def _job(self) -> RenderJob:
        recipe = self.recipe
        return RenderJob(
            tokenizer_file=str(NANO_PATH / "tokenizer.json"),
            seed=self.run.seed,
            first=self.next_world,
            held_out=recipe.held_out,
            rendered_px=tuple(view.rendered_px for view in recipe.views),
            shares=tuple(view.share for view in recipe.views),
            room_share=recipe.room_share,
            most_waiting=recipe.most_waiting,
            device=self.run.render_device,
        )

    def _go_on_from(self, facts: dict[str, Any]) -> None:
        self.step: int = facts["step"]
        self.stage: int = facts["stage"]
        # The rate warms up again: the store is filled anew.
        self.stage_began = self.step

    def say(self, text: str) -> None:
        """Prints a line of progress."""
        self.journal.say(self.clock.seconds, text)

    # Each step.

    def learn(self) -> bool:
        """Trains until the deadline, or until a signal to stop; saves either way.

        Returns:
            Whether the run is done.

        Raises:
            KeyboardInterrupt: Ctrl-C; the message says what is kept.
        """
        recipe = self.recipe
        marks = dict.fromkeys(("report", "gap", "check", "save"), self.clock.seconds)

        def due(name: str, every: float) -> bool:
            if self.clock.seconds - marks[name] < every:
                return False
            marks[name] = self.clock.seconds
            return True

        with until_asked_to_stop() as asked:
            while self.clock.share < 1.0 and not asked:
                self._take_pairs()
                stage = self._current_stage()
                parts = self._parts(stage)
                if not parts:
                    self._await_pairs()
                    continue
                self._step(stage, parts)
                if due("report", _REPORT_SECONDS):
                    self._report()
                if stage.gap is not None and due("gap", recipe.gap_seconds):
                    self._look_at_gap(stage.gap)
                if due("check", recipe.check_seconds):
                    self._check()
                if due("save", recipe.save_seconds):
                    self._save()
            self._report()
            self._save()
            if asked and self.clock.share < 1.0:
                kept = f"saved at step {self.step} in {self.run.out}; the same command goes on"
                self.say(f"stop requested: {kept}")
                if signal.SIGINT in asked:
                    raise KeyboardInterrupt(kept)
                return False
        self.workers.stop()
        write_json(self.run.out / "result.json", self._check() | {"step": self.step})
        return True

    def _take_pairs(self) -> None:
        if self.stage == 0 and self.learner.full:
            return  # Nothing is learnt from them yet; untaken, they let the workers rest.
        pairs = self.workers.take(_TAKEN)
        self.since.pairs += len(pairs)
        learnt = [name.index + 1 for name, _ in pairs if name.split == "train"]
        self.next_world = max([self.next_world, *learnt])
        self.learner.add(pairs)

    def _await_pairs(self) -> None:
        if not self.workers.alive:
            raise NanoError("no worker renders any more, and nothing is left to learn from")
        time.sleep(0.05)

    def _current_stage(self) -> NanoStage:
        """The stage, or the next one where its time has come and there is something to show."""
        stages = self.recipe.stages
        stage = stages[self.stage]
        over = self.clock.share >= stage.until or (stage.gap is not None and self.grounded)
        if over and self.learner.ready and self.stage + 1 < len(stages):
            self.stage += 1
            self.stage_began = self.step
            stage = stages[self.stage]
            self.say(f"stage {stage.name} begins at step {self.step}")
        return stage

    def _parts(self, stage: NanoStage) -> list[StagePart]:
        """What this step learns."""
        turn = stage.turns[self.step % len(stage.turns)]
        return [part for part in turn if self.learner.ready or part.kind in NEEDS_NO_PAIRS]

    @property
    def _rate(self) -> float:
        return self.recipe.rate_at(self.clock.share, self.step - self.stage_began)

    def _step(self, stage: NanoStage, parts: list[StagePart]) -> None:
        found = self.learner.step(
            stage, parts, number=self.step, rate=self._rate, share=self.clock.share
        )
        for name, value in found:
            self.since.losses[name].append(value)
        self.step += 1
        self.since.steps += 1
        self.since.rows += sum(part.rows for part in parts)

    # What a person follows.

    def _report(self) -> None:
        since, self.since = self.since, _Since()
        if not since.steps:
            return
        means = {k: float(torch.stack(v).float().mean()) for k, v in since.losses.items()}
        seconds = max(self.since.time - since.time, 1e-6)
        entry = {
            "seconds": self.clock.seconds,
            "step": self.step,
            "stage": self.recipe.stages[self.stage].name,
            "rate": self._rate,
            "steps_per_s": since.steps / seconds,
            "rows_per_s": since.rows / seconds,
            "pairs_per_s": since.pairs / seconds,
            "pairs": self.learner.kept,
            "workers": self.workers.alive,
            "losses": means,
        }
        line = (
            "{stage} step {step}, rate {rate:.2f} | {steps_per_s:.2f} steps/s, {rows_per_s:.0f} "
            "rows/s | {pairs_per_s:.1f} pairs/s, {pairs} kept, {workers} workers | "
        )
        self.journal.write(entry, line.format(**entry) + listed(means))
        if not all(math.isfinite(value) for value in means.values()):
            self._return()

    def _look_at_gap(self, enough: float) -> None:
        found = self.learner.gaps(worlds=False)
        self._note("gap", found)
        self.grounded = self.grounded or found["color gap"] > enough

    def _check(self) -> dict[str, float]:
        worlds = self.learner.ready and self.stage + 1 == len(self.recipe.stages)
        found = self.learner.gaps(worlds=worlds)
        if worlds:
            found |= self.learner.measured()
        self._note("check", found)
        return found

    def _note(self, name: str, found: dict[str, float]) -> None:
        entry = {"seconds": self.clock.seconds, "step": self.step, name: found}
        self.journal.write(entry, f"{name} at step {self.step}: {listed(found)}")

    # Keeping, and coming back.

    def _save(self) -> None:
        """The state, and the averaged weights as a checkpoint; only if every weight is a number."""
        if not self.learner.finite():
            self._return()
            return
        facts = {"step": self.step, "stage": self.stage, "next_world": self.next_world}
        save_state(self.run.out, self.learner.tensors(), facts)
        save_model(
            self.run.out / "model",
            self.learner.averaged,
            self.learner.tokenizer,
            self.recipe.size.picture_input,
            Settings(protocol="joint", f_px=F_PX, max_tokens=MAX_TOKENS),
        )

    def _return(self) -> None:
        """Goes back to the last state that was whole."""
        self._returns += 1
        saved = load_state(self.run.out)
        if saved is None or self._returns > _MOST_RETURNS:
            raise NanoError(f"weights are no numbers at step {self.step}, {self._returns} times")
        tensors, facts = saved
        self.say(f"weights are no numbers at step {self.step}: back to step {facts['step']}")
        self.learner.restore(tensors)
        self._go_on_from(facts)
        # What led here is not drawn again.
        torch.manual_seed(self.run.seed + self.step + 1_000_003 * self._returns)


def train(run: NanoRun) -> bool:
    """Trains to the deadline, or until SIGTERM or Ctrl-C; the same run goes on where it was saved.

    Returns:
        Whether the run is done; its model is in `run.out / "model"`.

    Raises:
        InputError: other settings than the folder's, no such device, or weights that do not fit.
        NanoError: it cannot go on.
    """
    if run.device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda is not there; give --device cpu, with --tiny")
    with writing(run.out):
        if (run.out / "result.json").is_file():
            Clock(run)
            return True
        trainer = Trainer(run)
        try:
            return trainer.learn()
        finally:
            trainer.workers.stop()
