"""The stabilized method: order, stability, cost, ends."""

import itertools
import math

import pytest
import torch

from symscape.dynamics import (
    Chebyshev,
    ErrorPerStep,
    FixedStep,
    Hinge,
    RungeKutta,
    SoftHinge,
    Square,
    Stop,
    train,
    train_ensemble,
)
from symscape.dynamics._chebyshev import _coefficients
from symscape.networks import FullyConnected


def flow(problem, controller, max_time, loss=None, **options):
    net, w, x, y = problem
    stop = Stop(max_time=max_time, zero_loss=False, loss_below=None)
    loss = loss or SoftHinge(beta=2.0)
    integrator = Chebyshev(controller=controller, **options)
    return train(net, w, x, y, loss=loss, integrator=integrator, stop=stop)


def amplification(s, z):
    """The factor of one step of dw/dt = (z/dt) w."""
    first, *others = _coefficients(s)
    before, last = 1.0, 1.0 + first.slope * z
    for c in others:
        fixed = 1.0 - c.last - c.before
        new = fixed + c.last * last + c.before * before + z * (c.slope * last + c.first_slope)
        before, last = last, new
    return last


@pytest.mark.parametrize("s", [2, 3, 5, 12, 40, 100])
def test_stability_polynomial(s):
    """Second order at 0, damped up to 0.65 (s^2 - 1)."""
    for z in (1e-2, 1e-3):
        expected = 1 + z + z * z / 2
        assert amplification(s, z) == pytest.approx(expected, abs=z**3)
    limit = 0.65 * (s * s - 1)
    inside = torch.linspace(-limit, -0.3, 2000, dtype=torch.float64).tolist()
    assert max(abs(amplification(s, z)) for z in inside) < 1
    assert abs(amplification(s, -1.1 * limit - 1)) > 1


def test_flow_converges_at_second_order(smooth_problem):
    exact = train(
        *smooth_problem,
        loss=SoftHinge(beta=2.0),
        integrator=RungeKutta(controller=ErrorPerStep(1e-9)),
        stop=Stop(max_time=4.0, zero_loss=False, loss_below=None),
    ).w
    errors = [
        float((flow(smooth_problem, FixedStep(dt), 4.0).w - exact).norm())
        for dt in (1 / 2, 1 / 4, 1 / 8, 1 / 16)
    ]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert orders[-1] == pytest.approx(2, abs=0.2)


def test_stiff_square_loss_is_the_closed_form():
    net = FullyConnected(d=4, h=1, L=0, bias=False)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    x = x * torch.tensor([15.0, 1.0, 0.3, 0.1], dtype=torch.float64)
    y = torch.randn(30, generator=generator, dtype=torch.float64)
    w0 = net.initial_weights(0)
    gram, target = x.T @ x / 30, x.T @ y / 30
    minimum = torch.linalg.solve(gram, target)
    expected = minimum + torch.linalg.matrix_exp(-100.0 * gram) @ (w0 - minimum)
    stiff = flow((net, w0, x, y), ErrorPerStep(1e-4), 100.0, Square())
    torch.testing.assert_close(stiff.w, expected, atol=5e-3, rtol=0)
    stop = Stop(max_time=100.0, zero_loss=False, loss_below=None)
    pair = RungeKutta(controller=ErrorPerStep(1e-4))
    explicit = train(net, w0, x, y, loss=Square(), integrator=pair, stop=stop)
    assert stiff.evaluations < explicit.evaluations / 10


def test_needs_fewer_evaluations_than_the_pair_for_the_same_error(smooth_problem):
    net, w, x, y = smooth_problem
    runs = {}
    for integrator in (
        Chebyshev(controller=ErrorPerStep(2e-4)),
        RungeKutta(controller=ErrorPerStep(1e-4)),
        RungeKutta(controller=ErrorPerStep(1e-8)),
    ):
        result = train(net, w, x, y, loss=SoftHinge(), integrator=integrator, alpha=1.0)
        assert result.status == "converged"
        runs[integrator] = result
    stabilized, pair, exact = runs.values()
    assert stabilized.evaluations < pair.evaluations / 2
    assert stabilized.time == pytest.approx(exact.time, rel=0.02)
    displacement = float((exact.w - w).norm())
    assert float((stabilized.w - exact.w).norm()) < 0.01 * displacement


def test_fits_at_the_kinks_of_relu_and_hinge(problem):
    net, w, x, y = problem
    for alpha in (None, 1.0):
        integrator = Chebyshev(controller=ErrorPerStep(3e-3))
        result = train(net, w, x, y, loss=Hinge(), integrator=integrator, alpha=alpha)
        assert result.status == "converged"
        assert result.loss < 1e-12
        assert math.isfinite(result.time)


def test_few_stages_shorten_the_steps(smooth_problem):
    result = flow(smooth_problem, FixedStep(50.0), 100.0, max_stages=3)
    assert result.steps > 2
    assert result.time == 100.0
    assert math.isfinite(result.loss)


def test_members_with_other_stages_get_what_they_get_alone():
    net = FullyConnected(6, 12, 2, parametrization="ntp", activation="softplus", normalized=True)
    w = torch.stack([net.initial_weights(seed) for seed in range(3)])
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.sign(x[:, 0] * x[:, 1])
    alpha = torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)
    loss = SoftHinge(beta=5.0)
    batched = train_ensemble(
        net, w, x, y, loss=loss, integrator=Chebyshev(), alpha=alpha, strategy="batched"
    )
    assert len({member.steps for member in batched}) > 1
    for i, member in enumerate(batched):
        alone = train(net, w[i], x, y, loss=loss, integrator=Chebyshev(), alpha=float(alpha[i]))
        assert (member.status, member.steps, member.n_delta) == ("converged", alone.steps, 0)
        torch.testing.assert_close(member.w, alone.w, atol=1e-6, rtol=1e-6)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="max_stages: 1 given; allowed: an integer >= 2"):
        Chebyshev(max_stages=1)
