"""Coming to rest in a minimum of the loss."""

import math

import numpy as np
import pytest
import torch

from symscape.dynamics import (
    Adam,
    CrossEntropy,
    Hinge,
    Plateau,
    Record,
    Square,
    Stop,
    minimize,
    train,
)
from symscape.networks import FullyConnected


def random_labels(P, d, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(P, d, generator=generator, dtype=torch.float64)
    y = torch.ones(P, dtype=torch.float64)
    y[::2] = -1
    return x, y


def test_least_squares_of_a_linear_network():
    # f = (v w) x + ...: the minimum is that of the linear regression with an intercept
    net = FullyConnected(3, 4, 1, activation="linear")
    x, y = random_labels(30, 3, 0)
    result = minimize(net, net.initial_weights(0), x, y, loss=Square(), rest=1e-9)
    design = torch.cat([x, torch.ones(30, 1, dtype=torch.float64)], 1)
    residual = y - design @ torch.linalg.lstsq(design, y[:, None]).solution[:, 0]
    least = Square().value(torch.zeros_like(y), residual).mean().item()
    assert result.status == "stalled"
    assert result.loss == pytest.approx(least, rel=1e-9)
    assert result.grad_norm <= 1e-9 * math.sqrt(result.loss)


def test_contradictory_labels_leave_the_loss_of_a_constant():
    # one input with both labels: f = 0, and the quadratic hinge leaves 1/2 for each
    net = FullyConnected(2, 3, 1, activation="tanh")
    x = torch.ones(2, 2, dtype=torch.float64)
    y = torch.tensor([1.0, -1.0], dtype=torch.float64)
    result = minimize(net, net.initial_weights(1), x, y, loss=Hinge(), rest=1e-8)
    assert result.status == "stalled"
    assert result.n_delta == 2
    assert result.loss == pytest.approx(0.5, abs=1e-12)


def test_a_tanh_net_beyond_the_transition_comes_to_rest_below_the_end_of_adam():
    net = FullyConnected(3, 3, 1, activation="tanh")
    x, y = random_labels(60, 3, 2)
    w0 = net.initial_weights(0, "orthogonal")
    first = train(net, w0, x, y, loss=Hinge(), integrator=Adam(1e-3), stop=Stop(max_steps=500))
    result = minimize(net, first.w, x, y, loss=Hinge(), rest=1e-3)
    assert result.status == "stalled"
    assert result.loss < 0.99 * first.loss
    assert result.grad_norm <= 1e-3 * math.sqrt(result.loss)
    w = result.w.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(Hinge().value(net(w, x), y).mean(), w)
    assert float(gradient.norm()) == pytest.approx(result.grad_norm, rel=1e-9)


def test_fits_what_can_be_fitted(problem):
    net, w0, x, y = problem
    result = minimize(net, w0, x, y, loss=Hinge())
    assert result.status == "converged"
    assert result.n_delta == 0 or result.loss < 1e-12


def test_budget_history_and_counts():
    net = FullyConnected(4, 4, 2, activation="tanh")
    x, y = random_labels(200, 4, 2)
    w0 = net.initial_weights(0)
    none = minimize(net, w0, x, y, loss=Hinge(), max_iterations=0)
    assert torch.equal(none.w, w0)
    assert none.status == "out_of_budget"
    result = minimize(
        net, w0, x, y, loss=Hinge(), max_iterations=25, record=Record(per_decade=0, every=10)
    )
    assert result.status == "out_of_budget"
    assert result.steps == 25
    assert list(result.history["step"]) == [0, 10, 20, 25]
    assert np.all(np.diff(result.history["loss"]) < 0)
    assert result.evaluations >= 25
    assert result.loss == pytest.approx(Hinge().value(net(result.w, x), y).mean().item())


def test_a_plateau_is_rest():
    # the cross entropy of separable data has no minimum: it falls for ever, ever more slowly
    net = FullyConnected(2, 3, 1, activation="tanh")
    x = torch.eye(2, dtype=torch.float64)
    y = torch.tensor([1.0, -1.0], dtype=torch.float64)
    w = net.initial_weights(0)
    loss = CrossEntropy()
    free = minimize(net, w, x, y, loss=loss, rest=0, loss_below=0, max_iterations=40)
    halted = minimize(
        net,
        w,
        x,
        y,
        loss=loss,
        rest=0,
        loss_below=0,
        plateau=Plateau(steps=5, fraction=0.9999999),
        max_iterations=40,
    )
    assert halted.status in ("stalled", "converged")
    assert halted.steps <= free.steps


def test_nan_raises():
    net = FullyConnected(2, 3, 1)
    x, y = random_labels(4, 2, 0)
    w = net.initial_weights(0)
    with pytest.raises(ValueError, match="w0"):
        minimize(net, w * math.nan, x, y, loss=Hinge())
    with pytest.raises(FloatingPointError, match="loss"):
        minimize(net, w * 1e200, x, y, loss=Hinge())


@pytest.mark.parametrize(
    "wrong",
    [{"rest": -1.0}, {"rest": math.nan}, {"loss_below": -1}, {"max_iterations": -1}, {"memory": 0}],
)
def test_a_wrong_option_is_named(wrong):
    net = FullyConnected(2, 3, 1)
    x, y = random_labels(4, 2, 0)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        minimize(net, net.initial_weights(0), x, y, loss=Hinge(), **wrong)


def test_single_precision_is_refused():
    net = FullyConnected(2, 3, 1)
    x, y = random_labels(4, 2, 0)
    with pytest.raises(ValueError, match="float64"):
        minimize(net, net.initial_weights(0).float(), x.float(), y.float(), loss=Hinge())
