import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from symscape.dynamics import Adam, Hinge, Square, minimize, train
from symscape.landscape import (
    HessianOperator,
    constant_output_loss,
    constraints,
    delta,
    energy,
    h0_spectrum,
    hessian,
    hessian_by_autograd,
    least_gradient,
    misclassified,
    n_delta,
)
from symscape.networks import FullyConnected


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


def test_nan_fits_nothing():
    f = torch.tensor([math.nan, 2.0, math.nan, -2.0])
    y = torch.tensor([1.0, 1.0, -1.0, -1.0])
    counted = constraints(f, y)
    assert (counted.n_delta, counted.misclassified) == (2, 2)
    assert math.isnan(counted.loss)
    assert math.isnan(counted.energy_per_unsatisfied)


def test_an_output_of_zero_is_no_prediction():
    f, y = torch.tensor([0.0, -0.0, 1.0]), torch.tensor([1.0, -1.0, 1.0])
    assert misclassified(f, y) == 2 == int(Hinge().misclassified(f, y).sum())


@pytest.mark.parametrize("labels", [[0.0, 1.0, 1.0], [2.0, -1.0, 1.0], [math.nan, 1.0, 1.0]])
def test_labels_are_those_of_training(labels):
    """One check for all: the sentence is the same in both packages."""
    net = FullyConnected(d=2, h=3, L=1)
    w, x = net.initial_weights(0), torch.randn(3, 2, dtype=torch.float64)
    f, y = net(w, x), torch.tensor(labels, dtype=torch.float64)
    loss = Hinge()
    for refused in (
        lambda: delta(f, y),
        lambda: misclassified(f, y),
        lambda: constraints(f, y),
        lambda: hessian(net, w, x, y, loss),
        lambda: hessian_by_autograd(net, w, x, y, loss),
        lambda: h0_spectrum(net, w, x, y, loss),
        lambda: HessianOperator(net, w, x, y, loss),
        lambda: least_gradient(net, w, x, y, loss, 1e-4),
        lambda: train(net, w, x, y, loss=loss, integrator=Adam()),
        lambda: minimize(net, w, x, y, loss=loss),
    ):
        with pytest.raises(ValueError, match=r"y: values other than \+1 and -1 given"):
            refused()


def test_targets_of_the_square_loss_are_any_numbers():
    net = FullyConnected(d=2, h=3, L=1)
    w, x = net.initial_weights(0), torch.randn(3, 2, dtype=torch.float64)
    y = torch.tensor([0.0, 0.5, 3.0], dtype=torch.float64)
    assert hessian(net, w, x, y, Square()).H.isfinite().all()
    with pytest.raises(ValueError, match="y: targets that are not finite"):
        hessian(net, w, x, y / 0, Square())


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match=r"y: shape \(4,\) given; allowed: that of f, \(3,\)"):
        delta(torch.zeros(3), torch.ones(4))
    with pytest.raises(ValueError, match="margin"):
        delta(torch.zeros(3), torch.ones(3), 0.0)
    with pytest.raises(ValueError, match="n_plus"):
        constant_output_loss(0, 3)
