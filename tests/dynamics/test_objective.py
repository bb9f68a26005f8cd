"""The training loss and its gradient."""

import pytest
import torch

from symscape.dynamics import CrossEntropy, Hinge, MulticlassHinge, SoftHinge, Square
from symscape.dynamics._network_objective import NetworkObjective
from symscape.networks import FullyConnected

LOSSES = [Hinge(), Hinge(1), Hinge(1.5, 0.5), SoftHinge(), CrossEntropy(), Square()]


def data(P=70, d=5):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(P, d, generator=generator, dtype=torch.float64)
    return x, torch.where(torch.arange(P) % 2 == 0, 1.0, -1.0).double()


def reference(net, x, y, loss, alpha, w, w0):
    """The definition, by autograd."""
    w = w.clone().requires_grad_()
    F = net(w, x) if alpha is None else alpha * (net(w, x) - net(w0, x))
    value = loss.value(F, y).mean() / (1.0 if alpha is None else alpha**2)
    (gradient,) = torch.autograd.grad(value, w)
    return F.detach(), value.detach(), gradient


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("alpha", [None, 0.3, 50.0])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_loss_gradient_and_counts(loss, alpha, members):
    net = FullyConnected(5, 9, 2, activation="tanh")
    x, y = data()
    w0 = torch.stack([net.initial_weights(seed, "pytorch") for seed in range(members)])
    w = w0 + 0.1
    scale = None if alpha is None else torch.full((members,), alpha, dtype=torch.float64)
    objective = NetworkObjective(net, x, y, loss, scale, w0)
    measures = objective.evaluate(w)
    gradient = objective.gradient().clone()
    for i in range(members):
        F, value, expected = reference(net, x, y, loss, alpha, w[i], w0[i])
        torch.testing.assert_close(measures.predictor[i], F, atol=1e-12, rtol=1e-12)
        assert measures.loss[i] == pytest.approx(value.item(), rel=1e-12)
        assert measures.n_delta[i] == int(loss.unsatisfied(F, y).sum())
        assert measures.misclassified[i] == int(loss.misclassified(F, y).sum())
        torch.testing.assert_close(gradient[i], expected, atol=1e-13, rtol=1e-10)
    objective.propagate(w)
    torch.testing.assert_close(objective.gradient(), gradient, atol=0, rtol=0)


@pytest.mark.parametrize("loss", [CrossEntropy(), MulticlassHinge()], ids=str)
def test_multiclass(loss):
    net = FullyConnected(5, 9, 2, 3)
    x, _ = data()
    y = torch.arange(70) % 3
    w0 = net.initial_weights(0, "pytorch")
    objective = NetworkObjective(
        net, x, y, loss, torch.tensor([2.0], dtype=torch.float64), w0[None]
    )
    F, value, expected = reference(net, x, y, loss, 2.0, w0 + 0.1, w0)
    measures = objective.evaluate((w0 + 0.1)[None])
    assert measures.loss[0] == pytest.approx(value.item(), rel=1e-12)
    assert measures.n_delta[0] == int(loss.unsatisfied(F, y).sum())
    torch.testing.assert_close(objective.gradient()[0], expected, atol=1e-13, rtol=1e-10)


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e4])
def test_centered_predictor_starts_at_zero(alpha):
    net = FullyConnected(5, 9, 2, activation="softplus", parametrization="ntp", normalized=True)
    x, y = data()
    w0 = net.initial_weights(0)[None]
    objective = NetworkObjective(
        net, x, y, SoftHinge(), torch.tensor([alpha], dtype=torch.float64), w0
    )
    measures = objective.evaluate(w0)
    assert not measures.predictor.any()
    assert alpha**2 * measures.loss[0] == pytest.approx(1.0000000001030576, rel=1e-12)


def test_alpha_times_the_initial_gradient_does_not_depend_on_alpha():
    net = FullyConnected(5, 9, 2, activation="softplus", parametrization="ntp", normalized=True)
    x, y = data()
    w0 = net.initial_weights(0)[None]
    scaled = []
    for alpha in (1e-3, 1.0, 1e4):
        objective = NetworkObjective(
            net, x, y, SoftHinge(), torch.tensor([alpha], dtype=torch.float64), w0
        )
        objective.evaluate(w0)
        scaled.append(alpha * objective.gradient().clone())
    torch.testing.assert_close(scaled[0], scaled[1], rtol=1e-12, atol=0)
    torch.testing.assert_close(scaled[2], scaled[1], rtol=1e-12, atol=0)


def test_gradient_is_that_of_the_unsatisfied_patterns():
    net = FullyConnected(5, 9, 2)
    x, y = data()
    w = net.initial_weights(0, "pytorch", gain=5.0)[None]
    objective = NetworkObjective(net, x, y, Hinge(), None, w)
    measures = objective.evaluate(w)
    unsatisfied = Hinge().unsatisfied(measures.predictor[0], y)
    assert 0 < unsatisfied.sum() < 70
    part = NetworkObjective(net, x[unsatisfied], y[unsatisfied], Hinge(), None, w)
    part.evaluate(w)
    torch.testing.assert_close(
        objective.gradient() * 70, part.gradient() * int(unsatisfied.sum()), atol=1e-13, rtol=1e-11
    )


def test_margin_and_last_layer_scale_together():
    net = FullyConnected(5, 9, 2)
    x, y = data()
    w = net.initial_weights(0, "pytorch")
    scaled = w.clone()
    matrix, b = net.unpack(scaled)[-1]
    matrix *= 3
    b *= 3
    small = NetworkObjective(net, x, y, Hinge(margin=0.5), None, w[None]).evaluate(w[None])
    large = NetworkObjective(net, x, y, Hinge(margin=1.5), None, w[None]).evaluate(scaled[None])
    assert large.loss[0] == pytest.approx(9 * small.loss[0], rel=1e-13)
    assert large.n_delta == small.n_delta


def test_flow_of_the_outputs_is_the_kernel_flow():
    net = FullyConnected(5, 9, 2, activation="tanh", parametrization="ntp")
    x, y = data()
    alpha, w0 = 1.7, net.initial_weights(0)
    w = w0 + 0.05
    objective = NetworkObjective(
        net, x, y, SoftHinge(), torch.tensor([alpha], dtype=torch.float64), w0[None]
    )
    F = objective.evaluate(w[None]).predictor[0]
    jacobian = torch.func.jacrev(net)(w, x)
    dF = -alpha * jacobian @ objective.gradient()[0]
    kernel = jacobian @ jacobian.T
    expected = -kernel @ SoftHinge().derivative(F, y) / 70
    torch.testing.assert_close(dF, expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_nan_reaches_the_loss(loss, members):
    net = FullyConnected(5, 9, 2)
    x, y = data()
    w = torch.full((members, net.n_parameters), torch.nan, dtype=torch.float64)
    measures = NetworkObjective(net, x, y, loss, None, w).evaluate(w)
    assert all(value != value for value in measures.loss)
