"""The loss of a batch, and one forward and backward pass of it: step by step, or replayed.

On a GPU a pass is thousands of small kernels, whose launches cost more than they do. A pass of the
same kind and shape is the same kernels again: recorded once (CUDA graphs), it is one launch.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch.nn import functional

from vlm3.nano.batches import Batch
from vlm3.nano.forward import Forward
from vlm3.nano.recipe import NanoRecipe
from vlm3.nano.tokens import TokenizedQuestions
from vlm3.nano.tower import DenseHeads
from vlm3.train.packing import IGNORE

Tensor = torch.Tensor
LossOf = Callable[[Batch, float], tuple[Tensor, dict[str, Tensor]]]
_MOST_GRAPHS = 160
_TOLERANCE = 0.02
"""Relative, between a replayed and a plain pass, both in bfloat16."""


def answer_loss(forward: Forward, hidden: Tensor, questions: TokenizedQuestions) -> Tensor:
    """Weighted mean cross entropy of the answers' tokens; hidden (B, n, L, width)."""
    first = questions.first
    labels = questions.labels[..., first:]
    weights = questions.weights.expand(questions.labels.shape)[..., first:]
    logits = forward.logits(hidden[:, :, first:])
    each = functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE, reduction="none"
    )
    counted = weights.flatten() * (labels.flatten() != IGNORE)
    return (each * counted).sum() / counted.sum().clamp(min=1e-6)


def answer_losses(forward: Forward, batch: Batch, seen: list[Tensor]) -> dict[str, Tensor]:
    """`answer_loss` of each group by its kind."""
    hidden = forward.read(batch.layout, seen, [q.ids[..., :-1] for q in batch.questions])
    return {
        questions.kind: answer_loss(forward, one, questions)
        for questions, one in zip(batch.questions, hidden, strict=True)
    }


def batch_loss(
    forward: Forward, heads: DenseHeads, recipe: NanoRecipe, batch: Batch, weight: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """What goes down, and what it is made of by name."""
    seen = forward.see(batch.images)
    loss = torch.zeros((), device=batch.images.device)
    parts: dict[str, Tensor] = {}
    if batch.dense is not None:
        dense, found = heads.losses(seen, batch.dense, batch.layout.columns)
        loss = loss + (weight if batch.kind == "dense" else recipe.dense_weight) * dense
        parts = {f"tower {name}": value for name, value in found.items()}
    if batch.questions:
        for kind, value in answer_losses(forward, batch, seen).items():
            own = recipe.motion_weight if kind == "motion" else 1.0
            loss = loss + weight * own * value
            parts[batch.kind if kind != "motion" else kind] = value
    return loss, parts


class Passes:
    """Forward and backward passes that add to the weights' gradients.

    Args:
        loss_of: the loss of a batch.
        weights: whose gradients are there already, and stay where they are.
        say: takes a line where recording fails later on.
    """

    def __init__(
        self,
        loss_of: LossOf,
        weights: Sequence[torch.nn.Parameter],
        say: Callable[[str], None],
    ) -> None:
        self.loss_of, self.weights, self.say = loss_of, weights, say
        self.replayed = False
        self._graphs: dict[Any, _Graph | None] = {}
        self._pool: Any = None

    def __call__(self, batch: Batch, weight: float) -> dict[str, Tensor]:
        """One pass; its losses by name."""
        if not self.replayed:
            return self._plain(batch, weight)
        tensors = tensors_of(batch)
        key = (batch.kind, weight, batch.layout, *(tensor.shape for tensor in tensors))
        if key not in self._graphs:
            # The first pass of a kind and shape is plain: it also fills what is cached.
            self._graphs[key] = None
            return self._plain(batch, weight)
        graph = self._graphs[key]
        if graph is None:
            if sum(one is not None for one in self._graphs.values()) >= _MOST_GRAPHS:
                return self._plain(batch, weight)
            try:
                graph = _Graph(self.loss_of, batch, weight, self._pool)
            # Most likely there is no memory for it; nothing has been computed yet.
            except RuntimeError as error:
                self.replayed = False
                self._graphs.clear()
                self.say(f"passes are run one by one from here on: {_first_line(error)}")
                return self._plain(batch, weight)
            self._graphs[key] = graph
        return graph.replay(tensors)

    def try_replaying(self, batch: Batch, zero: Callable[[], None]) -> str:
        """Turns replaying on if a recorded pass gives what a plain one gives.

        Args:
            batch: to try with.
            zero: sets gradients to zero.

        Returns:
            Why it stays off; empty if it is on.
        """
        if batch.images.device.type != "cuda":
            return "only a GPU records passes"
        try:
            self._pool = torch.cuda.graph_pool_handle()
            found = []
            for replayed in (False, False, True):
                zero()
                if replayed:
                    graph = _Graph(self.loss_of, batch, 1.0, self._pool)
                    parts = graph.replay(tensors_of(batch))
                else:
                    parts = self._plain(batch, 1.0)
                gradients = [w.grad for w in self.weights if w.grad is not None]
                norm = torch.stack(torch._foreach_norm(gradients)).norm()
                found.append([float(norm), *(float(value) for value in parts.values())])
            _, plain, again = found
        # Drivers, capture and memory fail in their own ways; training goes on without.
        except RuntimeError as error:
            return f"recording failed: {_first_line(error)}"
        finally:
            zero()
        for a, b in zip(plain, again, strict=True):
            if not abs(a - b) <= _TOLERANCE * abs(a) + 1e-4:
                return f"a replayed pass gave {b:.4g} where a plain one gave {a:.4g}"
        self.replayed = True
        return ""

    def _plain(self, batch: Batch, weight: float) -> dict[str, Tensor]:
        loss, parts = self.loss_of(batch, weight)
        loss.backward()  # type: ignore[no-untyped-call]
        return {name: value.detach() for name, value in parts.items()}


def _first_line(error: RuntimeError) -> str:
    return (str(error).strip().splitlines() or ["no reason given"])[0][:200]


class _Graph:
    """A recorded forward and backward pass, and the memory that it reads and writes."""

    def __init__(self, loss_of: LossOf, batch: Batch, weight: float, pool: Any) -> None:
        self.tensors = [tensor.clone() for tensor in tensors_of(batch)]
        own = with_tensors(batch, self.tensors)
        self.graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(self.graph, pool=pool):
            loss, parts = loss_of(own, weight)
            loss.backward()  # type: ignore[no-untyped-call]
            self.parts = {name: value.detach() for name, value in parts.items()}

    def replay(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        torch._foreach_copy_(self.tensors, list(tensors))
        self.graph.replay()
        # The next graph writes into the same memory.
        return {name: value.clone() for name, value in self.parts.items()}


def tensors_of(batch: Any) -> list[Tensor]:
    """All tensors in a batch, in order of its fields."""
    if isinstance(batch, Tensor):
        return [batch]
    if isinstance(batch, tuple):
        return [tensor for one in batch for tensor in tensors_of(one)]
    if is_dataclass(batch):
        return [t for field in fields(batch) for t in tensors_of(getattr(batch, field.name))]
    return []


def with_tensors(batch: Batch, tensors: Sequence[Tensor]) -> Batch:
    """The batch with other tensors in place of those that `tensors_of` gives."""
    rest = iter(tensors)

    def put(value: Any) -> Any:
        if isinstance(value, Tensor):
            return next(rest)
        if isinstance(value, tuple):
            return tuple(put(one) for one in value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: put(getattr(value, f.name)) for f in fields(value)})
        return value

    made: Batch = put(batch)
    return made
