import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from symscape.landscape import (
    constant_output_loss,
    constraints,
    delta,
    energy,
    misclassified,
    n_delta,
)


@pytest.mark.parametrize("seed", range(3))
def test_constraints_agree_with_the_loss(problem, seed):
    net, w, x, y, loss = problem(seed, margin=0.5)
    f = net(w, x)
    counted = constraints(f, y, margin=0.5)
    assert counted.n_delta == int(loss.unsatisfied(f, y).sum())
    assert counted.loss == pytest.approx(loss.value(f, y).mean().item(), rel=1e-14)
    assert counted.misclassified <= counted.n_delta <= counted.P == len(y)
    assert counted.energy_per_unsatisfied * counted.n_delta == pytest.approx(
        counted.loss * counted.P
    )


def test_nothing_is_unsatisfied_exactly_when_every_margin_is_kept():
    y = torch.tensor([1.0, -1.0])
    assert n_delta(delta(y, y)) == 0  # Delta = 0 is satisfied
    assert constraints(y, y).energy_per_unsatisfied == 0.0
    assert n_delta(delta(0.99 * y, y)) == 2
    assert misclassified(0.99 * y, y) == 0


@given(st.floats(0.1, 10), st.integers(0, 100))
def test_margin_and_outputs_scale_together(scale, seed):
    f = torch.randn(30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    y = torch.where(torch.arange(30) % 2 == 0, 1.0, -1.0).to(torch.float64)
    one, scaled = delta(f, y, 1.0), delta(scale * f, y, scale)
    torch.testing.assert_close(scaled, scale * one)
    assert energy(scaled) == pytest.approx(scale**2 * energy(one))
    assert n_delta(scaled) == n_delta(one)


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0.1, 3))
def test_constant_output_loss_is_the_least(n_plus, n_minus, margin):
    y = torch.cat([torch.ones(n_plus), -torch.ones(n_minus)]).double()
    least, at = constant_output_loss(n_plus, n_minus, margin)

    def total(value: float) -> float:
        return energy(delta(torch.full_like(y, value), y, margin)) * len(y)

    assert total(at) == pytest.approx(least)
    assert all(total(at + step) >= least * (1 - 1e-12) for step in (-0.1 * margin, 0.1 * margin))


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="y must have the shape of f"):
        delta(torch.zeros(3), torch.zeros(4))
    with pytest.raises(ValueError, match="margin"):
        delta(torch.zeros(3), torch.zeros(3), 0.0)
    with pytest.raises(ValueError, match="n_plus"):
        constant_output_loss(0, 3)
