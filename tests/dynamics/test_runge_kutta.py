"""Gradient flow: order, dense output, the zero-loss event, what stays conserved."""

import itertools
import math

import pytest
import torch

from symscape.dynamics import (
    BOGACKI_SHAMPINE,
    ButcherTableau,
    Chebyshev,
    ErrorPerStep,
    FixedStep,
    Hinge,
    RungeKutta,
    SoftHinge,
    Square,
    Stop,
    train,
)
from symscape.dynamics._flow import first_satisfied, hermite
from symscape.networks import FullyConnected


def flow(problem, controller, max_time, loss=None, alpha=None):
    net, w, x, y = problem
    return train(
        net,
        w,
        x,
        y,
        loss=loss or SoftHinge(beta=2.0),
        integrator=RungeKutta(controller=controller),
        alpha=alpha,
        stop=Stop(max_time=max_time, zero_loss=False, loss_below=None),
    )


def test_tableau_satisfies_the_order_conditions():
    b, c = BOGACKI_SHAMPINE.b, [0.0, *(sum(row) for row in BOGACKI_SHAMPINE.a)]
    a = [(0.0,), *BOGACKI_SHAMPINE.a]
    for weights, order in ((b, 3), (BOGACKI_SHAMPINE.b_embedded, 2)):
        assert sum(weights) == pytest.approx(1)
        assert sum(w * x for w, x in zip(weights, c, strict=True)) == pytest.approx(1 / 2)
        squares = sum(w * x * x for w, x in zip(weights, c, strict=True))
        nested = sum(
            w * sum(p * q for p, q in zip(row, c, strict=False))
            for w, row in zip(weights, a, strict=True)
        )
        third = [squares == pytest.approx(1 / 3), nested == pytest.approx(1 / 6)]
        assert all(third) == (order == 3)
    assert sum(BOGACKI_SHAMPINE.error) == pytest.approx(0, abs=1e-16)


def test_flow_converges_at_third_order(smooth_problem):
    exact = flow(smooth_problem, FixedStep(1 / 512), 4.0).w
    errors = [float((flow(smooth_problem, FixedStep(dt), 4.0).w - exact).norm())
              for dt in (1 / 2, 1 / 4, 1 / 8, 1 / 16)]  # fmt: skip
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert orders[-1] == pytest.approx(3, abs=0.2)


@pytest.mark.parametrize("space", ["both", "weights", "outputs"])
def test_error_follows_the_tolerance(space, smooth_problem):
    exact = flow(smooth_problem, ErrorPerStep(1e-9), 4.0).w
    errors, evaluations = [], []
    for tol in (1e-4, 1e-5, 1e-6):
        result = flow(smooth_problem, ErrorPerStep(tol, space=space), 4.0)
        errors.append(float((result.w - exact).norm() / exact.norm()))
        evaluations.append(result.evaluations)
        assert result.time == 4.0
    assert errors == sorted(errors, reverse=True)
    assert evaluations == sorted(evaluations)
    assert errors[-1] < 1e-5


@pytest.mark.parametrize("integrator", [RungeKutta(), Chebyshev()], ids=["pair", "chebyshev"])
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e3, 1e6])
def test_default_follows_the_flow_from_feature_to_lazy(alpha, integrator, smooth_problem):
    net, w, x, y = smooth_problem
    tight = RungeKutta(controller=ErrorPerStep(1e-7))
    time = train(
        net, w, x, y, loss=SoftHinge(), integrator=tight, alpha=alpha, stop=Stop(max_steps=10**5)
    ).time
    predictors = []
    for method in (integrator, tight):
        stop = Stop(max_time=time / 2, zero_loss=False, loss_below=None)
        end = train(net, w, x, y, loss=SoftHinge(), integrator=method, alpha=alpha, stop=stop)
        predictors.append(alpha * (net(end.w, x) - net(w, x)))
    assert float((predictors[0] - predictors[1]).abs().max()) < 0.05


def test_square_loss_of_a_linear_map_is_the_closed_form():
    net = FullyConnected(d=4, h=1, L=0, bias=False)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    y = torch.randn(30, generator=generator, dtype=torch.float64)
    w0 = net.initial_weights(0)
    result = flow((net, w0, x, y), ErrorPerStep(1e-8), 3.0, Square())
    gram, target = x.T @ x / 30, x.T @ y / 30
    minimum = torch.linalg.solve(gram, target)
    expected = minimum + torch.linalg.matrix_exp(-3.0 * gram) @ (w0 - minimum)
    torch.testing.assert_close(result.w, expected, atol=1e-6, rtol=0)
    assert result.status == "out_of_budget"


def test_linear_model_does_not_depend_on_alpha():
    net = FullyConnected(d=4, h=1, L=0, bias=False)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    y = torch.sign(torch.randn(30, generator=generator, dtype=torch.float64))
    w0 = net.initial_weights(0)
    predictors = []
    for alpha in (0.1, 1.0, 10.0):
        result = flow((net, w0, x, y), FixedStep(0.01), 1.0, SoftHinge(), alpha)
        predictors.append(alpha * (net(result.w, x) - net(w0, x)))
    torch.testing.assert_close(predictors[0], predictors[1], atol=1e-12, rtol=0)
    torch.testing.assert_close(predictors[2], predictors[1], atol=1e-12, rtol=0)


def test_layer_norms_differ_by_a_constant():
    net = FullyConnected(6, 15, 2, parametrization="standard", bias=False)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(20, 6, generator=generator, dtype=torch.float64)
    y = torch.sign(x[:, 0])
    w0 = net.initial_weights(0, "orthogonal")
    result = flow((net, w0, x, y), ErrorPerStep(1e-6), 2.0, Hinge())

    def differences(w):
        norms = [float((matrix**2).sum()) for matrix, _ in net.unpack(w)]
        return torch.tensor([b - a for a, b in itertools.pairwise(norms)])

    assert float((result.w - w0).norm()) > 0.2
    torch.testing.assert_close(differences(result.w), differences(w0), atol=1e-4, rtol=0)


def test_code_and_article_scales_give_the_same_trajectory():
    # read-out divided by h instead of sqrt(h), with alpha -> sqrt(h) alpha and t -> h t
    h, alpha = 16, 0.7
    x = torch.randn(20, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.sign(x[:, 0])
    ntp = FullyConnected(5, h, 2, parametrization="ntp", bias=False, activation="tanh")
    mfp = FullyConnected(5, h, 2, parametrization="mfp", bias=False, activation="tanh")
    w0 = ntp.initial_weights(0)
    article = flow((ntp, w0, x, y), FixedStep(0.02), 1.0, SoftHinge(), alpha)
    code = flow((mfp, w0, x, y), FixedStep(0.02 * h), 1.0 * h, SoftHinge(), h**0.5 * alpha)
    torch.testing.assert_close(code.w, article.w, atol=1e-12, rtol=1e-12)


def test_reaches_zero_loss_at_the_kinks_of_relu_and_hinge(problem):
    net, w, x, y = problem
    for alpha in (None, 1.0):
        result = train(net, w, x, y, loss=Hinge(), integrator=RungeKutta(), alpha=alpha)
        assert result.status == "converged"
        assert result.n_delta == 0 or result.loss < 1e-12
        assert result.forced == 0


@pytest.mark.parametrize("tol", [1e-4, 1e-6])
def test_zero_loss_is_located_inside_the_step(tol, smooth_problem):
    net, w, x, y = smooth_problem
    loss = SoftHinge(beta=5.0)
    integrator = RungeKutta(controller=ErrorPerStep(tol))
    result = train(net, w, x, y, loss=loss, integrator=integrator, alpha=1.0)
    assert result.status == "converged"
    assert result.n_delta == 0
    predictor = net(result.w, x) - net(w, x)
    largest = float(loss.delta(predictor, y).max())
    # on the satisfied side of the crossing, and next to it
    assert -1e-4 < largest <= 0
    assert result.loss == pytest.approx(float(loss.value(predictor, y).mean()), rel=1e-12)
    assert result.history["time"][-1] == result.time
    assert result.history["time"][-2] < result.time


def test_time_of_zero_loss_does_not_depend_on_the_step(smooth_problem):
    net, w, x, y = smooth_problem
    times = []
    for tol in (1e-3, 1e-5, 1e-7):
        integrator = RungeKutta(controller=ErrorPerStep(tol))
        result = train(net, w, x, y, loss=SoftHinge(beta=5), integrator=integrator, alpha=1.0)
        times.append(result.time)
    assert times[1] == pytest.approx(times[2], rel=1e-3)
    assert times[0] == pytest.approx(times[2], rel=3e-2)


def test_hermite_interpolation_is_exact_for_cubics():
    length = 0.3

    def cubic(t):
        return torch.stack([t**3 - t, 2 * t**2 + 1, 0 * t + 5])

    def slope(t):
        return torch.stack([3 * t**2 - 1, 4 * t, 0 * t])

    start = torch.tensor(0.2, dtype=torch.float64)
    ends = (cubic(start), cubic(start + length))
    slopes = (slope(start), slope(start + length))
    for theta in (0.0, 0.25, 0.7, 1.0):
        point = hermite(theta, length, ends, slopes)
        torch.testing.assert_close(point, cubic(start + theta * length), atol=1e-14, rtol=0)


def test_crossing_is_bracketed():
    assert first_satisfied(lambda theta: 0.3 - theta) == pytest.approx(0.3, abs=2e-6)
    assert 0.3 - first_satisfied(lambda theta: 0.3 - theta) <= 0


def test_flow_time_limit_is_exact(smooth_problem):
    for limit in (1e-9, 0.123, 7.0):
        assert flow(smooth_problem, ErrorPerStep(1e-4), limit).time == limit
        assert flow(smooth_problem, FixedStep(0.05), limit).time == limit


def test_output_change_is_bounded(smooth_problem):
    net, w, x, y = smooth_problem
    bound = 0.05
    result = train(
        net,
        w,
        x,
        y,
        loss=SoftHinge(),
        integrator=RungeKutta(controller=ErrorPerStep(0.1, max_output_change=bound)),
        stop=Stop(max_steps=30),
        alpha=1.0,
    )
    # F starts at 0 and no step moved it by more than the bound
    moved = float((net(result.w, x) - net(w, x)).abs().max())
    assert 0 < moved <= 30 * bound


def test_smallest_step_is_kept_and_counted(smooth_problem):
    net, w, x, y = smooth_problem
    controller = ErrorPerStep(1e-12, min_step=0.1, first_step=0.1)
    stop = Stop(max_steps=10)
    integrator = RungeKutta(controller=controller)
    result = train(net, w, x, y, loss=SoftHinge(), integrator=integrator, stop=stop)
    assert result.forced == result.steps == 10
    assert result.time == pytest.approx(1.0)


def test_controller_decisions():
    controller = ErrorPerStep(1e-4)
    kept = controller.decide(1.0, error=0.5, previous=1.0, change=0.0, order=3)
    assert kept.accept
    assert kept.dt == pytest.approx(0.9 * 0.5 ** (-1 / 3))
    refused = controller.decide(1.0, error=8.0, previous=1.0, change=0.0, order=3)
    assert not refused.accept
    assert refused.dt == pytest.approx(0.45)
    assert controller.decide(1.0, 0.0, 1.0, 0.0, 3).dt == 5.0
    for bad in (math.nan, math.inf):
        assert controller.decide(1.0, bad, 1.0, 0.0, 3) == (False, 0.2, False)
    held = ErrorPerStep(1e-4, max_output_change=1.0).decide(1.0, 0.001, 1.0, 3.0, 3)
    assert not held.accept
    assert held.dt == pytest.approx(0.3)
    proportional = ErrorPerStep(1e-4, proportional=0.4).decide(1.0, 0.5, 0.25, 0.0, 3)
    assert proportional.dt == pytest.approx(0.9 * 0.5 ** (-0.6 / 3) * 0.5 ** (0.4 / 3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ErrorPerStep(0.0), "tol: 0.0 given; allowed: a positive finite number"),
        (lambda: ErrorPerStep(space="time"), "space: 'time' given"),
        (lambda: ErrorPerStep(growth=1.0), "growth"),
        (lambda: ErrorPerStep(shrink=1.0), "shrink"),
        (lambda: ErrorPerStep(proportional=1.0), "proportional"),
        (lambda: ErrorPerStep(min_step=-1.0), "min_step"),
        (lambda: FixedStep(0), "dt: 0 given"),
        (lambda: ButcherTableau("x", 1, ((1.0,),), (0.5, 0.5), (1.0, 0.0)), "last row"),
        (lambda: ButcherTableau("x", 1, ((1.0,),), (1.0, 0.0), (1.0,)), "b_embedded"),
        (lambda: ButcherTableau("x", 1, ((1.0, 0.0),), (1.0, 0.0), (1.0, 0.0)), "a: rows"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("integrator", [RungeKutta(), Chebyshev()])
def test_flow_from_zero_weights_has_an_absolute_error(integrator, problem):
    """Only the last bias b moves, by db/dt = m - b for labels of mean m."""
    net, w, x, y = problem
    y = torch.where(torch.arange(len(y)) < 45, 1.0, -1.0).double()  # m = 1/2
    stop = Stop(max_time=3.0, zero_loss=False, loss_below=None)
    result = train(net, w * 0, x, y, loss=Square(), integrator=integrator, stop=stop)
    assert result.steps < 100
    assert not result.w[:-1].any()
    assert float(result.w[-1]) == pytest.approx(0.5 * (1 - math.exp(-3.0)), abs=1e-3)
