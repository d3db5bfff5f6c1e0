"""What is tried before the first step is refused where it differs, or is no number."""

import math

import torch

from vlm3.train.probe import difference, outcome


def test_outcome_has_the_gradients_of_what_is_given_and_of_weights() -> None:
    weight = torch.tensor([2.0, -3.0], requires_grad=True)
    out, of_given, of_weight = outcome(lambda x: x * weight, [torch.tensor([[1.0, 5.0]])], [weight])
    fall = torch.sin(torch.arange(2.0)).double()
    assert out.tolist() == [[2.0, -15.0]] and out.dtype == torch.float64
    torch.testing.assert_close(of_given[0], weight.detach().double() * fall)
    torch.testing.assert_close(of_weight, torch.tensor([1.0, 5.0]).double() * fall)


def test_differences_are_shares_of_the_largest_value() -> None:
    exact = [torch.tensor([10.0, 1.0]), torch.tensor([4.0]), torch.tensor([1e-9])]
    assert difference(exact, exact) == 0
    assert math.isclose(difference([exact[0] + 0.1, *exact[1:]], exact), 0.01, rel_tol=1e-5)
    assert math.isclose(difference([exact[0], exact[1] + 0.4, exact[2]], exact), 0.1, rel_tol=1e-5)
    # A gradient that is zero but for rounding is held against a hundredth of the largest one.
    assert math.isclose(difference([*exact[:2], exact[2] + 4e-4], exact), 0.01, rel_tol=1e-3)
    for k in range(3):
        broken = [one * math.nan if k == j else one for j, one in enumerate(exact)]
        assert not difference(broken, exact) < 1
