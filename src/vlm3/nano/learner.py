"""The model in training and all that a step needs, on one device. Knows no clock and no files."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from vlm3.errors import InputError
from vlm3.model import build_small, load_checkpoint, nano_tokenizer
from vlm3.nano.batches import BatchMaker
from vlm3.nano.forward import Forward
from vlm3.nano.losses import Passes, batch_loss
from vlm3.nano.optim import Average, Optimizers
from vlm3.nano.pairs import PairName, Record, pair_dtype
from vlm3.nano.recipe import NanoRecipe, NanoStage, StagePart
from vlm3.nano.run import NanoRun
from vlm3.nano.store import Store
from vlm3.nano.tokens import TokenWriter
from vlm3.nano.tower import DenseHeads
from vlm3.nano.validation import HeldOut, gaps

Tensor = torch.Tensor
_TOGETHER = 16
"""Pairs that are copied to the device at once."""


class Learner:
    """Weights, averaged weights, heads, optimizers, stores, and passes over batches.

    Args:
        run: for the recipe, the device, the seed and the weights to begin from.
        say: takes a line for people.

    Raises:
        InputError: the weights to begin from are of another size.
    """

    def __init__(self, run: NanoRun, say: Callable[[str], None]) -> None:
        self.recipe, self.say = run.recipe, say
        self.device = torch.device(run.device)
        self.tokenizer = nano_tokenizer()
        size = self.recipe.size
        self.model = build_small(self.tokenizer, size, seed=run.seed)
        if run.init is not None:
            _take_weights(self.model, run.init)
        self.averaged = build_small(self.tokenizer, size, seed=run.seed)
        self.averaged.requires_grad_(False)
        self.model.to(self.device)
        self.averaged.to(self.device)
        self.average = Average(self.model, self.averaged)
        self.average.restart()
        token_px = size.picture_input.token_px
        self.heads = DenseHeads(size.text_hidden, 1 + len(size.deepstack), token_px)
        self.heads.to(self.device)
        named = dict(self.model.named_parameters())
        named |= {f"heads.{name}": weight for name, weight in self.heads.named_parameters()}
        self.optimizers = Optimizers(named, self.recipe)
        self.stores, self.held = _stores(self.recipe, self.device)
        self._waiting: list[list[Record]] = [[] for _ in self.stores]
        writer = TokenWriter(self.tokenizer, self.device)
        self.maker = BatchMaker(self.recipe, writer, self.stores)
        on_gpu = self.device.type == "cuda"
        dtype = torch.bfloat16 if on_gpu else torch.float32
        self.forward = Forward(self.model, dtype)
        self.passes = Passes(self._loss, list(named.values()), say)
        if on_gpu:
            self._compile(dtype)
            batch = self.maker.make("mosaic color", 8, 8)
            why = self.passes.try_replaying(batch, self.optimizers.zero)
            say(f"passes are run one by one: {why}" if why else "passes are replayed")
        # For checks: as it is, and of the averaged weights, which are what is kept.
        self.asked = Forward(self.averaged, dtype)
        self.held_out = HeldOut(self.maker, self.held, self.recipe.views, self.tokenizer)

    def _loss(self, batch: Any, weight: float) -> tuple[Tensor, dict[str, Tensor]]:
        return batch_loss(self.forward, self.heads, self.recipe, batch, weight)

    def _compile(self, dtype: torch.dtype) -> None:
        """Fuses what lies between matrix products, if that works on this machine."""
        began = time.monotonic()
        plain = self.forward
        self.forward = Forward(self.model, dtype, compiled=True)
        try:
            torch._dynamo.config.recompile_limit = 64
            for rows in (8, 6):
                loss, _ = self._loss(self.maker.make("mosaic color", rows, 8), 1.0)
                loss.backward()  # type: ignore[no-untyped-call]
            self.maker.compile()
        # Compilers fail in many ways, and none of them is worth the run.
        except Exception as error:
            self.forward = plain
            self.maker.plain()
            self.say(f"not compiled: {' '.join(str(error).split())[:200]}")
        else:
            self.say(f"compiled in {time.monotonic() - began:.0f} s")
        self.optimizers.zero()

    @property
    def weights(self) -> int:
        """How many the model has."""
        return sum(weight.numel() for weight in self.model.parameters())

    @property
    def kept(self) -> int:
        """Pairs in the stores."""
        return sum(store.count for store in self.stores)

    @property
    def full(self) -> bool:
        """Whether every new pair takes the place of another."""
        return all(store.count == store.capacity for store in self.stores)

    @property
    def ready(self) -> bool:
        """Whether there are pairs enough to learn from."""
        first = self.stores[0]
        return first.count >= min(self.recipe.enough_pairs, first.capacity)

    def add(self, pairs: Sequence[tuple[PairName, Record]]) -> None:
        """Takes rendered pairs into the stores, some at once."""
        for name, record in pairs:
            if name.split == "heldout":
                self.held[name.view].add([record])
                continue
            store, waiting = self.stores[name.view], self._waiting[name.view]
            waiting.append(record)
            if len(waiting) >= min(_TOGETHER, store.capacity, self.recipe.enough_pairs):
                store.add(waiting)
                waiting.clear()

    def step(
        self,
        stage: NanoStage,
        parts: Sequence[StagePart],
        *,
        number: int,
        rate: float,
        share: float,
    ) -> list[tuple[str, Tensor]]:
        """One optimiser step.

        Args:
            stage: of the recipe.
            parts: the batches it learns from.
            number: of the step, from 0.
            rate: share of the full rate.
            share: of the time that is gone.

        Returns:
            Losses of each batch with their names, and the norm of the gradient.
        """
        start, end = self.recipe.collages
        self.maker.collages = start + (end - start) * share
        found: list[tuple[str, Tensor]] = []
        for part in parts:
            batch = self.maker.make(part.kind, part.rows, part.questions)
            found += self.passes(batch, part.weight).items()
        found.append(("norm", self.optimizers.step(rate, stage.tower_rate)))
        # At first the mean is over what there is.
        self.average.update(min(self.recipe.keep, (2 + number) / (11 + number)))
        return found

    def gaps(self, *, worlds: bool) -> dict[str, float]:
        """See `nano.validation`."""
        return gaps(self.asked, self.maker, worlds=worlds)

    def measured(self) -> dict[str, float]:
        """Held-out pairs, answered by the averaged weights."""
        return self.held_out(self.asked)

    def finite(self) -> bool:
        """Whether every weight is a number."""
        weights = [*self.model.parameters(), *self.averaged.parameters()]
        return bool(torch.isfinite(torch.stack(torch._foreach_norm(weights))).all())

    def tensors(self) -> dict[str, Tensor]:
        """All that learning has made, by name."""
        return self._weights() | self.optimizers.tensors()

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over what `tensors` gave."""
        for name, weight in self._weights().items():
            weight.copy_(tensors[name])
        self.optimizers.load(tensors)
        self.optimizers.zero()

    def _weights(self) -> dict[str, Tensor]:
        parts = {"model": self.model, "averaged": self.averaged, "heads": self.heads}
        return {
            f"{part}/{name}": weight
            for part, module in parts.items()
            for name, weight in module.named_parameters()
        }


def _stores(recipe: NanoRecipe, device: torch.device) -> tuple[list[Store], list[Store]]:
    """Stores of pairs to learn from, and of held-out ones, for each size that is rendered."""
    mean_bytes = sum(view.share * pair_dtype(view.rendered_px).itemsize for view in recipe.views)
    pairs = recipe.store_gb * 1e9 / mean_bytes
    held = max(1, math.ceil(recipe.held_out / len(recipe.views)))
    return (
        [Store(v.rendered_px, max(1, int(v.share * pairs)), device) for v in recipe.views],
        [Store(view.rendered_px, held, device) for view in recipe.views],
    )


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
