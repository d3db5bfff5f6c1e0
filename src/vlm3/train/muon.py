"""Muon for small models: the momentum of each matrix, made orthogonal, is the step.

`torch.optim.Muon` iterates in bfloat16, which CPUs without such instructions emulate: there a step
took twenty times as long as the forward and backward pass. This one computes in float32 on a CPU,
and matrices of one shape together. Method and coefficients: Keller Jordan's Muon.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Steps matrices only: momentum with look-ahead, no weight decay.

    Args:
        parameters: two-dimensional ones.
        lr: rate; a step has spectral norm of about `lr`, more for tall matrices.
        momentum: of the gradient's running mean.
    """

    def __init__(
        self, parameters: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step from the gradients; `closure` is not used."""
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[torch.nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes[tuple(parameter.shape)].append(parameter)
            for (rows, columns), alike in shapes.items():
                aims = []
                for parameter in alike:
                    state = self.state[parameter]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(parameter)
                    mean = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                    aims.append(torch.lerp(parameter.grad, mean, group["momentum"]))
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(alike, orthogonal(torch.stack(aims)), strict=True):
                    parameter.add_(update.to(parameter.dtype), alpha=-rate)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """(n, rows, columns) with all singular values brought near 1 (between about 0.7 and 1.2)."""
    a, b, c = _COEFFICIENTS
    x = matrices if matrices.device.type == "cpu" else matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
