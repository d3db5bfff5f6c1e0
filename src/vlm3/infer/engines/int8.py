"""Whole-number weights for a CPU: about half the time a token, if the answers stay what they were.

The linear layers of the text part hold their weights in 8 bits, one scale an output; what comes in
is rounded to 8 bits too, on one scale a pass, so that answers depend a bit on what is batched with
them. What that does to a model only the model can show: it answers the same questions before and
after, and everything is taken back when they are not answered alike.
"""

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from vlm3.assets import load_example
from vlm3.errors import InputError
from vlm3.infer.engines.local import LocalEngine
from vlm3.infer.probe import probe_texts
from vlm3.model import Checkpoint

if TYPE_CHECKING:
    from vlm3.infer.predictor import Predictor

LEAST_AGREEMENT = 0.9
"""Share of the answers that must stay."""

# Numbers that differ by less than this part are the same answer.
_SAME = 0.05
_NUMBER = re.compile(r"[-+]?[0-9]+(?:\.[0-9]+)?")
_SIDE = 8
"""Points a side of the grid of questions; see `vlm3.infer.probe`."""


class Int8Linear(torch.nn.Module):
    """What a linear layer does, in whole numbers."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scale = weight.abs().amax(1).clamp_min(1e-12).double() / 127
        zero = torch.zeros(len(scale), dtype=torch.long)
        with warnings.catch_warnings():
            # PyTorch moves quantised tensors to a package of their own; until then they are here.
            warnings.simplefilter("ignore", UserWarning)
            rounded = torch.quantize_per_channel(weight, scale, zero, 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self._packed = torch.ops.quantized.linear_prepack(rounded, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(..., in) -> (..., out)."""
        # Seven bits of what comes in: without VNNI, sums of eight would overflow.
        out: torch.Tensor = torch.ops.quantized.linear_dynamic(x.float(), self._packed, True)
        return out.to(x.dtype)


def in_int8(predictor: "Predictor", checkpoint: Checkpoint) -> "Predictor":
    """A predictor whose model computes in whole numbers, if it still answers alike.

    Args:
        predictor: asks that checkpoint by its fast engine.
        checkpoint: its text part is changed in place; the slow engine would no longer be an oracle.

    Raises:
        InputError: the model is on a GPU, or too few answers stayed; then nothing is changed.
    """
    if checkpoint.device.type != "cpu":
        raise InputError("int8 computes on a CPU only: leave int8 out, or give device cpu")
    with warnings.catch_warnings():
        # Warnings about a picture's size come with the user's own questions.
        warnings.simplefilter("ignore")
        before = probe_texts(predictor, load_example().views, side=_SIDE)
    replaced = [
        (parent, name, child)
        for parent in list(checkpoint.model.model.language_model.layers.modules())
        for name, child in parent.named_children()
        if isinstance(child, torch.nn.Linear)
    ]
    for parent, name, child in replaced:
        setattr(parent, name, Int8Linear(child))
    changed = replace(checkpoint, name=f"{checkpoint.name} int8")
    whole = replace(predictor, engine=LocalEngine(changed), naive=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after = probe_texts(whole, load_example().views, side=_SIDE)
    agreement = sum(_alike(a, b) for a, b in zip(before, after, strict=True)) / len(before)
    if agreement < LEAST_AGREEMENT:
        for parent, name, child in replaced:
            setattr(parent, name, child)
        raise InputError(
            f"int8 changes {1 - agreement:.0%} of {checkpoint.name}'s answers, more than "
            f"{1 - LEAST_AGREEMENT:.0%}: ask it without int8"
        )
    return whole


def _alike(a: str, b: str) -> bool:
    """The same words, and numbers within a twentieth."""
    first, second = ([float(n) for n in _NUMBER.findall(text)] for text in (a, b))
    return _NUMBER.sub("", a) == _NUMBER.sub("", b) and np.allclose(first, second, rtol=_SAME)
