"""Layers by torch.compile: what lies between matrix products and attention is fused.

Norms, rotary positions, SwiGLU and residuals become a kernel each. A class of layers is compiled
once, for all its layers and all lengths of rows: sizes are symbols from the first pass on, and
weights are arguments. Attention that depends on the row (`tree`, `varlen`) stays as it is, between
compiled pieces. What is compiled is the layer's forward function alone: recomputation and the hooks
of sharding lie around it, so that a layer may be sharded before or after. Evaluation, and whatever
keeps keys and values, runs as it did.

A copy of the first layer of each class is tried at the start, forward and backward, and held
against the plain layer: what fails or differs leaves a run as it was, with a line that says so.
"""

import inspect
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from types import MethodType
from typing import Any

import numpy as np
import torch

from vlm3.train import forest, tree
from vlm3.train.config import ParallelConfig
from vlm3.train.forward import attends_together
from vlm3.train.metrics import say
from vlm3.train.probe import TOLERANCE, difference, outcome

_LENGTHS = (38, 23)
"""Tokens of the two conversations that a layer is tried with: as large as nothing else, or the
compiler would take two sizes for one."""
_PATCHES = (36, 16)
"""Of two pictures, likewise."""


def compile_layers(
    model: Any, parallel: ParallelConfig, device: torch.device, *, backend: str = "inductor"
) -> str:
    """Compiles a stock model's layers in place, where that is wanted and works.

    Args:
        model: with its attention set and in training mode.
        parallel: how the run computes.
        device: where it is going to be trained.
        backend: of torch.compile.

    Returns:
        A line for the log: what was compiled and in how long, or why nothing was.
    """
    if parallel.compile == "off" or (parallel.compile == "auto" and device.type != "cuda"):
        return f"compile: off, {_why_off(parallel, device)}"
    if device.type == "cuda" and find_spec("triton") is None:
        return "compile: off, there is no Triton here, which writes the kernels"
    kind = torch.bfloat16 if parallel.bf16 and device.type == "cuda" else torch.float32
    began = time.monotonic()
    ready: list[tuple[Sequence[Any], FusedForward]] = []
    told = []
    for name, layers, example in _regions(model.model, device, kind):
        forward = FusedForward(type(layers[0]), backend)
        try:
            apart = _apart(layers[0], forward, example, device, kind)
        # Compilers fail in many ways, and none of them is worth the run.
        except (RuntimeError, OSError, ImportError, ValueError, TypeError) as error:
            told.append(f"{name} fail here ({_short(error)})")
            continue
        if not apart < TOLERANCE[kind]:
            told.append(f"{name} differ from plain ones by {apart:.2g} here")
            continue
        ready.append((layers, forward))
        told.append(f"{len(layers)} {name}")
    for layers, forward in ready:
        for layer in layers:
            # A bound method: a copy of the layer calls itself, and not this one.
            layer.forward = MethodType(forward, layer)
    if device.type == "cuda":
        # What the copies took: a layer's gradients in float64, twice.
        torch.cuda.empty_cache()
    seconds = f" in {time.monotonic() - began:.0f} s" if ready else ""
    return f"compile: {'on' if ready else 'off'}{seconds}: {'; '.join(told)}"


def _why_off(parallel: ParallelConfig, device: torch.device) -> str:
    if parallel.compile == "off":
        return "as configured"
    return f"as usual on {device.type}: it pays where launches cost"


class FusedForward:
    """The forward function of a class of stock layers, compiled, its recomputation around it.

    Args:
        kind: the class.
        backend: of torch.compile.
    """

    def __init__(self, kind: type, backend: str) -> None:
        self._stock = kind.forward  # type: ignore[attr-defined]
        plain = inspect.unwrap(self._stock)
        self._fused: Callable[..., Any] = torch.compile(plain, dynamic=True, backend=backend)
        # Some releases of transformers wrap recomputation around `forward`, others around the call.
        self._wrapped = plain is not self._stock
        self._failed = False

    def __call__(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """As the stock layer's; where compiling fails after all, that layer's from then on."""
        if self._failed or not layer.training:
            return self._stock(layer, *args, **kwargs)
        try:
            return self.compiled(layer, *args, **kwargs)
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            self._failed = True
            say(f"compile: off from here on for {type(layer).__name__}: {_short(error)}")
            return self._stock(layer, *args, **kwargs)

    def compiled(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """As the stock layer's in training.

        Raises:
            RuntimeError: whatever a compiler fails with.
        """
        if self._wrapped and layer.gradient_checkpointing:
            once = partial(self._fused, layer, **kwargs)
            return layer._gradient_checkpointing_func(once, *args)
        return self._fused(layer, *args, **kwargs)


def _short(error: Exception) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())[:160]


Example = tuple[torch.Tensor, dict[str, Any]]


def _regions(
    model: Any, device: torch.device, kind: torch.dtype
) -> list[tuple[str, Sequence[Any], Example]]:
    """Layers that are compiled alike, what they are called, and what one of them may be given."""
    text, visual = model.language_model, model.visual
    found = [("text layers", text.layers, _text_example(text, device, kind))]
    # Pictures one by one are a loop as long as their number: every other number would be compiled.
    if attends_together(visual, torch.empty(0, device=device, dtype=kind)):
        example = _vision_example(visual, device, kind)
        found.append(("vision layers", visual.blocks, example))
    return found


def _text_example(text: Any, device: torch.device, kind: torch.dtype) -> Example:
    """Two conversations in a row, or in two with a mask, as the text's attention takes them."""
    name = text.config._attn_implementation
    rows = 1 if name in (tree.NAME, "varlen", "flash_attention_2") else 2
    length = sum(_LENGTHS) if rows == 1 else max(_LENGTHS)
    hidden = _noise((rows, length, text.config.hidden_size), device, kind)
    places = torch.cat([torch.arange(one) for one in _LENGTHS])[None]
    places = places.to(device) if rows == 1 else torch.arange(length, device=device).expand(2, -1)
    config = text.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    # Two tensors, and further down no view: the compiler would tell those cases apart.
    turns = tuple(_noise((rows, length, width), device, kind) for _ in range(2))
    given: dict[str, Any] = {"attention_mask": None, "position_embeddings": turns}
    if name == tree.NAME:
        until = [np.full(one, one) for one in _LENGTHS]
        return hidden, given | {"tree": forest.forest(until).to(device)}
    given |= {"position_ids": places if rows == 1 else None, "past_key_values": None}
    if rows == 2:
        sees = torch.ones((2, 1, length, length), dtype=torch.bool, device=device).tril()
        added = torch.zeros_like(sees, dtype=torch.bfloat16).masked_fill_(~sees, -torch.inf)
        given["attention_mask"] = added if name == "eager" else sees
    return hidden, given | {"use_cache": False}


def _vision_example(visual: Any, device: torch.device, kind: torch.dtype) -> Example:
    """Two pictures."""
    count, config = sum(_PATCHES), visual.config
    width = config.hidden_size // config.num_heads
    turns = tuple(_noise((count, width), device, torch.float32) for _ in range(2))
    return _noise((count, config.hidden_size), device, kind), {
        "cu_seqlens": torch.tensor([0, count], dtype=torch.int32),
        "max_seqlen": None,
        "position_embeddings": turns,
        "tree": forest.apart(_PATCHES).to(device),
    }


def _noise(shape: tuple[int, ...], device: torch.device, kind: torch.dtype) -> torch.Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=made).to(device, kind)


def _apart(
    layer: Any,
    forward: FusedForward,
    example: Example,
    device: torch.device,
    kind: torch.dtype,
) -> float:
    """How far a copy of the layer, compiled, is from plain: outcome and gradients."""
    copy = deepcopy(layer).to(device, kind)
    weights = [one for one in copy.parameters() if one.requires_grad]
    hidden, given = example
    plain = outcome(lambda one: copy(one, **given), [hidden], weights)
    copy.forward = partial(forward.compiled, copy)
    return difference(outcome(lambda one: copy(one, **given), [hidden], weights), plain)
