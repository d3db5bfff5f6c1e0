"""Nano's optimizers: Muon on matrices, AdamW on the rest; the running average of its weights.

Their state goes into files by the names of the weights, as tensors.
"""

from collections.abc import Mapping
from typing import Any

import torch

from vlm3.nano.recipe import NanoRecipe
from vlm3.train.muon import Muon

Tensor = torch.Tensor
_DECAY = 0.02
_BETAS = (0.9, 0.98)


class Optimizers:
    """Steps of all weights.

    Args:
        named: weights by name; those with "visual" or "heads" in it are the tower's.
        recipe: for rates and clip.
    """

    def __init__(self, named: Mapping[str, torch.nn.Parameter], recipe: NanoRecipe) -> None:
        self.named, self.recipe = dict(named), recipe
        matrices: dict[tuple[str, int], list[torch.nn.Parameter]] = {}
        rest: dict[str, list[torch.nn.Parameter]] = {}
        for name, weight in self.named.items():
            side = "tower" if "visual" in name or name.startswith("heads") else "text"
            # Rows of an embedding and outputs of a head stand for themselves.
            if weight.ndim == 2 and "embed" not in name and not name.startswith("heads"):
                blocks = 3 if "qkv" in name else 1
                matrices.setdefault((side, blocks), []).append(weight)
            else:
                rest.setdefault(side, []).append(weight)
        groups = [
            {"params": weights, "side": side, "blocks": blocks}
            for (side, blocks), weights in matrices.items()
        ]
        self.muon = Muon(groups, lr=recipe.muon_rate, decay=_DECAY)
        self._on_gpu = next(iter(self.named.values())).is_cuda
        self.adam = torch.optim.AdamW(
            [{"params": weights, "side": side} for side, weights in rest.items()],
            lr=recipe.adam_rate,
            betas=_BETAS,
            weight_decay=0.0,
            fused=self._on_gpu,
        )
        # Kept and zeroed, never given back: a replayed graph adds to the same memory.
        for weight in self.named.values():
            weight.grad = torch.zeros_like(weight)

    @torch.no_grad()
    def step(self, rate: float, tower_rate: float) -> Tensor:
        """One update, gradients clipped before and zeroed after it.

        Args:
            rate: share of the recipe's rates.
            tower_rate: of the tower over that of the text.

        Returns:
            The norm of the gradient.
        """
        bases = ((self.muon, self.recipe.muon_rate), (self.adam, self.recipe.adam_rate))
        for optimizer, base in bases:
            for group in optimizer.param_groups:
                group["lr"] = base * rate * (tower_rate if group["side"] == "tower" else 1.0)
        gradients = self._gradients()
        norm: Tensor = torch.stack(torch._foreach_norm(gradients)).norm()
        torch._foreach_mul_(gradients, (self.recipe.clip / norm).clamp(max=1.0))
        self.muon.step()
        self.adam.step()
        self.zero()
        return norm

    def zero(self) -> None:
        """Sets all gradients to zero."""
        torch._foreach_zero_(self._gradients())

    def _gradients(self) -> list[Tensor]:
        return [weight.grad for weight in self.named.values() if weight.grad is not None]

    def tensors(self) -> dict[str, Tensor]:
        """The state of both, by name."""
        out = {}
        for optimizer in (self.muon, self.adam):
            for name, weight in self.named.items():
                for key, value in optimizer.state.get(weight, {}).items():
                    out[f"{name}/{key}"] = value
        return out

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes over what `tensors` gave."""
        for optimizer in (self.muon, self.adam):
            weights = {id(p) for group in optimizer.param_groups for p in group["params"]}
            for name, weight in self.named.items():
                if id(weight) not in weights:
                    continue
                state: dict[str, Any] = {}
                for key in ("momentum_buffer", "step", "exp_avg", "exp_avg_sq"):
                    value = tensors.get(f"{name}/{key}")
                    if value is not None:
                        on_cpu = key == "step" and not self._on_gpu
                        state[key] = value.to("cpu" if on_cpu else weight.device)
                optimizer.state[weight] = state


class Average:
    """The running mean of a model's weights, kept in a second model of the same kind."""

    def __init__(self, model: torch.nn.Module, averaged: torch.nn.Module) -> None:
        self.weights: list[Tensor] = list(model.parameters())
        self.means: list[Tensor] = list(averaged.parameters())

    @torch.no_grad()
    def restart(self) -> None:
        """From the weights as they are."""
        torch._foreach_copy_(self.means, self.weights)

    @torch.no_grad()
    def update(self, keep: float) -> None:
        """Moves the mean, `keep` of which stays."""
        torch._foreach_lerp_(self.means, self.weights, 1 - keep)
