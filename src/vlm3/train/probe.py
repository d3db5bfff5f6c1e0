"""Whether another way to compute something computes the same here: outcome and gradients.

What a machine can run is tried before the first step, not guessed. Knows no model.
"""

from collections.abc import Callable, Sequence

import torch

TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.03, torch.float16: 0.01}
"""Largest difference, as a share of the largest value, of outcome and of each gradient; bfloat16
keeps three digits."""

_NEXT_TO_NOTHING = 0.01


def outcome(
    way: Callable[..., torch.Tensor],
    given: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor] = (),
) -> list[torch.Tensor]:
    """Of one pass: what came out, and the gradients of `given` and `weights`, all in float64."""
    with torch.enable_grad():
        leaves = [one.detach().clone().requires_grad_() for one in given]
        out = way(*leaves)
        weight = torch.sin(torch.arange(out.shape[-1], device=out.device)).expand_as(out)
        grads = torch.autograd.grad(out, [*leaves, *weights], weight.to(out.dtype))
    return [one.detach().double() for one in (out, *grads)]


def difference(found: Sequence[torch.Tensor], exact: Sequence[torch.Tensor]) -> float:
    """The largest difference of two outcomes, each tensor's as a share of its largest value.

    What is no number makes it no number.

    A gradient that is next to nothing beside the others (that of a bias of keys is zero but for
    rounding) is held against a hundredth of the largest of them.
    """
    largest = [float(one.abs().max()) for one in exact]
    least = _NEXT_TO_NOTHING * max(largest[1:])
    shares = [
        float((a - b).abs().max()) / max(size, least if k else 0.0)
        for k, (a, b, size) in enumerate(zip(found, exact, largest, strict=True))
    ]
    # Python's own max would lose what is no number.
    return float(torch.tensor(shares).max())
