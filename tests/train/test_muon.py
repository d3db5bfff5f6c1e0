"""Muon in float32 takes the steps of torch's own."""

import pytest
import torch

from vlm3.train.muon import Muon, orthogonal

SHAPES = [(24, 24), (24, 24), (48, 16), (16, 48), (8, 40)]


def matrices() -> list[torch.nn.Parameter]:
    torch.manual_seed(1)
    return [torch.nn.Parameter(torch.randn(shape) * 0.1) for shape in SHAPES]


def test_steps_are_those_of_torch() -> None:
    ours, theirs, first = matrices(), matrices(), matrices()
    optimizers = Muon(ours, lr=0.02), torch.optim.Muon(theirs, lr=0.02, weight_decay=0.0)
    for step in range(4):
        torch.manual_seed(step)
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn(a.shape)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b, start in zip(ours, theirs, first, strict=True):
        moved = (b - start).norm()
        # Theirs is rounded to bfloat16, eight bits, five times.
        assert moved > 0.1 and (a - b).norm() < 0.03 * moved


def test_a_matrix_without_gradient_stays() -> None:
    one, other = matrices()[:2]
    before = other.detach().clone()
    one.grad = torch.ones_like(one)
    Muon([one, other], lr=0.1).step()
    assert torch.equal(other, before)


def test_stacked_matrices_are_steps_of_each() -> None:
    """Query, key and value in one parameter; and decay takes its share of the weights."""
    torch.manual_seed(0)
    whole = torch.nn.Parameter(torch.randn(36, 12))
    parts = [torch.nn.Parameter(piece.clone()) for piece in whole.detach().split(12)]
    whole.grad = torch.randn(36, 12)
    for part, gradient in zip(parts, whole.grad.split(12), strict=True):
        part.grad = gradient.clone()
    for weights, blocks in (([whole], 3), (parts, 1)):
        Muon([{"params": weights, "blocks": blocks}], lr=0.1, decay=0.5).step()
    assert torch.cat([part.detach() for part in parts]) == pytest.approx(whole.detach(), abs=1e-5)
    still = torch.nn.Parameter(torch.ones(4, 4))
    still.grad = torch.zeros(4, 4)
    Muon([still], lr=0.1, decay=0.5).step()
    assert still.detach() == pytest.approx(torch.full((4, 4), 0.95))


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 20, 6), (2, 6, 20)])
def test_singular_values_come_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonal(torch.randn(shape) * 7))
    assert values.min() > 0.3 and values.max() < 1.3
