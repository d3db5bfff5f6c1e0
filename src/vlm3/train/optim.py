"""The optimisers of a run, and their rates step by step."""

from collections.abc import Sequence

import torch

from vlm3.train.config import OptimConfig
from vlm3.train.muon import Muon

MUON_FACTOR = 20.0
"""The rate of matrices under Muon over the rate of the rest under AdamW."""


def optimizers(trainee: torch.nn.Module, config: OptimConfig) -> list[torch.optim.Optimizer]:
    """AdamW with the defaults of transformers, or Muon on the matrices inside and AdamW beside.

    torch's own default would decay weights by 0.01; transformers' is 0.
    """
    named = [(n, p) for n, p in trainee.named_parameters() if p.requires_grad]
    fused = any(p.is_cuda for _, p in named)
    if config.optimizer == "adamw":
        return [
            torch.optim.AdamW(
                [p for _, p in named],
                lr=config.rate,
                betas=(0.9, 0.999),
                eps=1e-8,
                weight_decay=0.0,
                fused=fused,
            )
        ]
    inner = [p for n, p in named if p.ndim == 2 and "embed" not in n]
    chosen = {id(p) for p in inner}
    rest = [p for _, p in named if id(p) not in chosen]
    return [
        Muon(inner, lr=MUON_FACTOR * config.rate),
        torch.optim.AdamW(rest, lr=config.rate, betas=(0.9, 0.98), weight_decay=0.0, fused=fused),
    ]


def set_rates(optimizers: Sequence[torch.optim.Optimizer], rate: float) -> None:
    """The rate of a step, on every group; Muon's is a multiple of it."""
    for optimizer in optimizers:
        factor = MUON_FACTOR if isinstance(optimizer, Muon) else 1.0
        for group in optimizer.param_groups:
            group["lr"] = factor * rate
