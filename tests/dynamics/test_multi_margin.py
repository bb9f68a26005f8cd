"""The hinge of pairs of outputs."""

import pytest
import torch
from torch.nn.functional import multi_margin_loss

from symscape.dynamics import MultiMargin


def case(seed=0):
    generator = torch.Generator().manual_seed(seed)
    f = 2 * torch.randn(20, 5, generator=generator, dtype=torch.float64)
    return f, torch.randint(5, (20,), generator=generator)


def test_is_torchs_own_times_the_number_of_classes():
    f, y = case()
    expected = 5 * multi_margin_loss(f, y, margin=0.7, reduction="none")
    torch.testing.assert_close(MultiMargin(0.7).value(f, y), expected)


def test_derivative_is_that_of_autograd():
    f, y = case(1)
    f.requires_grad_()
    (expected,) = torch.autograd.grad(MultiMargin().value(f, y).sum(), f)
    torch.testing.assert_close(MultiMargin().derivative(f.detach(), y), expected)
    assert not MultiMargin().second_derivative(f.detach(), y).any()


def test_no_loss_means_no_unsatisfied_pair():
    loss, y = MultiMargin(1.0), torch.tensor([2, 0])
    f = torch.tensor([[0.0, 0.5, 1.5], [3.0, 1.0, 2.5]])
    assert loss.value(f, y).tolist() == [0.0, 0.5]
    assert loss.unsatisfied(f, y).tolist() == [[False, False, False], [False, False, True]]
    assert loss.misclassified(f, y).tolist() == [False, False]
    assert loss.misclassified(torch.zeros(1, 3), y[:1]).all()
    assert loss.unsatisfied(torch.full((1, 3), torch.nan), y[:1]).sum() == 2


def test_a_margin_must_be_positive():
    with pytest.raises(ValueError, match="margin"):
        MultiMargin(0.0)
