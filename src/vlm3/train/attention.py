"""Attention of a run's text: the configured one, or the fastest that works here.

One probe at the start: every candidate computes a small packed row and its gradients, is held
against plain attention with a mask, and on a GPU is timed. What differs or fails is left out, and
the line for the log says so.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from vlm3.errors import InputError, MissingDependencyError
from vlm3.train import forest, tree, varlen
from vlm3.train.config import Packing, ParallelConfig
from vlm3.train.packing import pack_independent
from vlm3.train.probe import TOLERANCE, difference, outcome

_ROUNDS = 5


def choose(
    parallel: ParallelConfig, packing: Packing, text: Any, device: torch.device
) -> tuple[str, str]:
    """The attention of a run's text, and a line that says which and why.

    Args:
        parallel: how the run computes.
        packing: of its rows.
        text: the config of the model's text part.
        device: where it is going to be trained.

    Raises:
        MissingDependencyError: an attention that is not installed.
        InputError: an attention that this machine cannot run.
    """
    name = parallel.attention
    heads = text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // heads
    kind = torch.bfloat16 if parallel.bf16 and device.type == "cuda" else torch.float32
    if name == varlen.NAME and not torch.cuda.is_available():
        raise InputError("attention varlen needs a GPU; give tree or sdpa")
    if name == "flash_attention_2" and find_spec("flash_attn") is None:
        raise MissingDependencyError(
            "attention flash_attention_2 needs the package flash-attn, which is built on the "
            "machine; give tree, which needs torch alone"
        )
    if name != "auto":
        return name, f"attention: {name}, as configured"
    if "sliding_attention" in (getattr(text, "layer_types", None) or ()):
        return "sdpa", "attention: sdpa, for layers that see a window only"
    if not tree.takes(device, kind, width):
        return "sdpa", f"attention: sdpa with a mask: no kernel for {kind} on {device.type}"
    return _fastest(packing, (heads, text.num_key_value_heads, width), kind, device)


def _fastest(
    packing: str, shape: tuple[int, int, int], kind: torch.dtype, device: torch.device
) -> tuple[str, str]:
    gpu = device.type == "cuda"
    until = _sample(packing, count=2 if gpu else 1, head=1200 if gpu else 60)
    trees = forest.forest(until)
    trees = trees.to(device)
    bounds = torch.tensor(np.cumsum([0, *trees.lengths]), dtype=torch.int32, device=device)
    scale = shape[2] ** -0.5

    def plain(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        q, k, v = (one.transpose(0, 1)[None] for one in (query, key, value))
        out = torch.nn.functional.scaled_dot_product_attention(
            q, k, v, attn_mask=trees.square, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
        )
        return out[0].transpose(0, 1)

    def by_parts(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return tree.attention(query, key, value, trees, scale)

    def kernel(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return varlen.attention(query, key, value, bounds, max(trees.lengths), scale)

    candidates: dict[str, Callable[..., torch.Tensor]] = {tree.NAME: by_parts}
    if packing == "chat" and gpu:
        candidates[varlen.NAME] = kernel
    made = torch.Generator().manual_seed(0)
    sizes = [(len(trees.until), n, shape[2]) for n in (shape[0], shape[1], shape[1])]
    given = [torch.randn(size, generator=made).to(device, kind) for size in sizes]
    # Held against plain attention in a finer type.
    finer = torch.float32 if gpu else torch.float64
    exact = outcome(plain, [one.to(finer) for one in given])
    seconds, told = {}, []
    for name, way in candidates.items():
        try:
            found = outcome(way, given)
        except (RuntimeError, ValueError, TypeError, ImportError) as error:
            # Kernels refuse cards, types and releases with whatever error they have.
            told.append(f"{name} fails here ({str(error).splitlines()[0][:120]})")
            continue
        worst = difference(found, exact)
        if not worst < TOLERANCE[kind]:
            told.append(f"{name} differs from plain attention by {worst:.2g} here")
            continue
        seconds[name] = _seconds(way, given, device) if gpu else 0.0
    if gpu:
        seconds["sdpa"] = _seconds(plain, given, device)
        told += [f"{name} {1e3 * one:.2f} ms" for name, one in seconds.items()]
    # The others run the library's own pass, which waits for the device dozens of times.
    rank = {name: one * (1.0 if name == tree.NAME else 1.1) for name, one in seconds.items()}
    best = min(rank, key=lambda name: rank[name], default="sdpa")
    told.insert(0, f"attention: {best}, of what works here" + (" the fastest" if gpu else ""))
    return best, "; ".join(told)


def _sample(packing: str, *, count: int, head: int) -> list[forest.Ints]:
    """A packed row of pictures with ten questions each."""
    if packing == "chat":
        return [np.full(head + 400, head + 400) for _ in range(count)]
    asked = [((*range(30), k % 3, k), [1, 2, 3, 4]) for k in range(10)]
    return [pack_independent(list(range(head)), asked).until for _ in range(count)]


def _seconds(
    way: Callable[..., torch.Tensor], given: list[torch.Tensor], device: torch.device
) -> float:
    """Of a pass forward and backward, the device idle before and after."""
    outcome(way, given)
    torch.cuda.synchronize(device)
    began = time.perf_counter()
    for _ in range(_ROUNDS):
        outcome(way, given)
    torch.cuda.synchronize(device)
    return (time.perf_counter() - began) / _ROUNDS
