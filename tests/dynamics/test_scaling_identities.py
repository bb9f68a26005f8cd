"""Identities of flows under changes of scale, width and alpha (Ch. 2b and Ch. 3, paper I)."""

import itertools
import math

import pytest
import torch

from symscape.dynamics import (
    SGD,
    ErrorPerStep,
    EulerThesis,
    FixedStep,
    GradientDescent,
    Hinge,
    RungeKutta,
    SoftHinge,
    Stop,
    displacement,
    preactivation_speed,
    train,
    train_ensemble,
)
from symscape.dynamics._network_objective import NetworkObjective
from symscape.kernels import empirical_ntk, kernel_change
from symscape.networks import FullyConnected


def fixed(dt):
    return RungeKutta(controller=FixedStep(dt))


def softplus(h, L=2, parametrization="ntp"):
    return FullyConnected(
        8, h, L, parametrization=parametrization, activation="softplus", bias=False,
        normalized=True,
    )  # fmt: skip


@pytest.mark.parametrize("alpha", [0.3, 20.0])
def test_map_between_the_article_and_its_code(smooth_problem, alpha):
    """alpha_code = sqrt(h) alpha =: a, read-out over h, loss over a, t_code / h = t / a."""
    _, _, x, y = smooth_problem
    h, dt, steps = 20, 0.05, 40
    article, code = softplus(h), softplus(h, parametrization="mfp")
    w0 = article.initial_weights(0)
    same = {"loss": SoftHinge(), "stop": Stop(max_steps=steps, zero_loss=False)}
    expected = train(article, w0, x, y, integrator=fixed(dt), alpha=alpha, **same)
    alpha_code = math.sqrt(h) * alpha
    dt_code = h * dt / (math.sqrt(h) * alpha)
    # the code divides its loss by alpha_code, this library by its square: a factor of the time
    found = train(code, w0, x, y, integrator=fixed(alpha_code * dt_code), alpha=alpha_code, **same)
    torch.testing.assert_close(found.w, expected.w, atol=1e-11, rtol=0)
    F = alpha * (article(expected.w, x) - article(w0, x))
    F_code = alpha_code * (code(found.w, x) - code(w0, x))
    torch.testing.assert_close(F_code, F, atol=1e-10, rtol=0)
    assert found.time / alpha_code / h == pytest.approx(expected.time / alpha_code, rel=1e-12)


def test_mean_field_flow_does_not_see_copies_of_neurons(smooth_problem):
    """Every neuron twice, read-out over the width, time times the width: the same function."""
    _, _, x, y = smooth_problem
    narrow, wide = (softplus(h, 1, "mfp") for h in (6, 12))
    w = narrow.initial_weights(0)
    copies = wide.pack(
        [(matrix.repeat(*repeats), None) for (matrix, _), repeats in
         zip(narrow.unpack(w), ((2, 1), (1, 2)), strict=True)]
    )  # fmt: skip
    torch.testing.assert_close(wide(copies, x), narrow(w, x))
    same = {"loss": SoftHinge(), "alpha": 5.0, "stop": Stop(max_steps=30, zero_loss=False)}
    one = train(narrow, w, x, y, integrator=fixed(0.1 * 6), **same)
    two = train(wide, copies, x, y, integrator=fixed(0.1 * 12), **same)
    torch.testing.assert_close(wide(two.w, x), narrow(one.w, x), atol=1e-12, rtol=0)


def test_lazy_displacement_and_kernel_change_are_one_over_alpha(smooth_problem):
    net, w0, x, y = smooth_problem
    kernel = empirical_ntk(net, x, w=w0)
    moved, changed = [], []
    for alpha in (1e4, 1e5, 1e6):
        run = train(
            net, w0, x, y, loss=SoftHinge(), integrator=fixed(0.05), alpha=alpha,
            stop=Stop(max_steps=60, zero_loss=False),
        )  # fmt: skip
        moved.append(float(displacement(run.w, w0)))
        changed.append(kernel_change(empirical_ntk(net, x, w=run.w), kernel))
    for values in (moved, changed):
        slopes = [math.log10(b / a) for a, b in itertools.pairwise(values)]
        assert slopes == pytest.approx([-1.0, -1.0], abs=1e-3)


def test_relu_flow_conserves_the_differences_of_layer_norms():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(50, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(50, generator=generator, dtype=torch.float64).sign()
    net = FullyConnected(6, 10, 2, bias=False)
    w0 = net.initial_weights(0, "orthogonal_rows")

    def differences(w):
        norms = [float(matrix.square().sum()) for matrix, _ in net.unpack(w)]
        return torch.tensor([b - a for a, b in itertools.pairwise(norms)])

    drifts = []
    for tol in (1e-3, 2e-5):
        run = train(
            net, w0, x, y, loss=Hinge(), stop=Stop(max_time=10.0),
            integrator=RungeKutta(controller=ErrorPerStep(tol, space="weights")),
        )  # fmt: skip
        assert float((run.w - w0).norm()) > 0.5
        drifts.append(float((differences(run.w) - differences(w0)).abs().max()))
    assert drifts[1] < 1e-3
    assert drifts[1] < 0.2 * drifts[0]


def test_a_rejected_trial_restores_weights_velocity_and_time(smooth_problem):
    net, w0, x, y = smooth_problem
    alpha = torch.ones(1, dtype=torch.float64)
    objective = NetworkObjective(net, x, y, SoftHinge(), alpha, w0[None])
    stepper = EulerThesis(max_dgrad=1e-3, first_step=0.1, tau=3.0).start(
        objective, w0[None], math.inf
    )
    rejected = 0
    for _ in range(200):
        before = stepper.w.clone(), stepper._velocity.clone(), stepper.time[0], stepper.steps[0]
        measures = stepper.measures
        stepper.advance()
        if stepper.steps[0] == before[3]:
            rejected += 1
            assert torch.equal(stepper.w, before[0])
            assert torch.equal(stepper._velocity, before[1])
            assert stepper.time[0] == before[2]
            assert stepper.measures is measures
    assert rejected > 0
    assert stepper.steps[0] > 50


def test_a_constant_zero_is_wrong_everywhere():
    net = FullyConnected(6, 10, 2)
    x, y = torch.randn(30, 6).double(), torch.ones(30).double()
    w = torch.zeros(1, net.n_parameters, dtype=torch.float64)
    measures = NetworkObjective(net, x, y, Hinge(), None, w).evaluate(w)
    assert measures.loss == [0.5]
    assert measures.n_delta == measures.misclassified == [30]


def test_factor_of_the_biases_in_kernels_and_training(smooth_problem):
    """Biases s b learn as biases b whose rate is s^2."""
    _, _, x, y = smooth_problem
    net = FullyConnected(8, 12, 2, parametrization="ntp", activation="tanh", bias_factor=0.3)
    w = net.initial_weights(0) + 0.1
    jacobian = torch.func.jacrev(net)(w, x)
    torch.testing.assert_close(empirical_ntk(net, x, w=w), jacobian @ jacobian.T)
    speeds = preactivation_speed(net, w, x, y, loss=SoftHinge())
    step = train(
        net, w, x, y, loss=SoftHinge(), integrator=GradientDescent(1e-6), stop=Stop(max_steps=1)
    )
    for l, speed in enumerate(speeds.tolist()):
        moved = (net.preactivations(step.w, x)[l] - net.preactivations(w, x)[l]) / 1e-6
        assert speed == pytest.approx(float(moved.square().mean().sqrt()), rel=1e-4)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_factor_of_the_biases_in_batches(smooth_problem, batch_norm):
    """On the whole training set as one batch: the folded network has the loss of the batch."""
    _, _, x, y = smooth_problem
    runs = []
    for strategy in ("loop", "batched"):
        net = FullyConnected(8, 12, 2, activation="tanh", bias_factor=0.3)
        w0 = torch.stack([net.initial_weights(seed, "pytorch") for seed in range(2)])
        integrator = SGD(0.05, len(x), batch_norm=batch_norm)
        same = {"loss": SoftHinge(), "stop": Stop(max_steps=20)}
        runs.append(train_ensemble(net, w0, x, y, integrator=integrator, strategy=strategy, **same))
        if not batch_norm:
            descent = train(net, w0[0], x, y, integrator=GradientDescent(0.05), **same)
            torch.testing.assert_close(runs[-1][0].w, descent.w, atol=1e-12, rtol=0)
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one.w, other.w, atol=1e-10, rtol=0)
        assert one.loss < 1.0


def test_relu_networks_are_homogeneous_in_their_weights():
    L, factor = 3, 1.7
    net = FullyConnected(5, 9, L, bias=False, parametrization="ntp", normalized=True)
    x = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    w = net.initial_weights(0)
    torch.testing.assert_close(net(factor * w, x), factor ** (L + 1) * net(w, x))
    kernel, scaled = (empirical_ntk(net, x, w=v) for v in (w, factor * w))
    torch.testing.assert_close(scaled, factor ** (2 * L) * kernel)
    jacobian = torch.func.jacrev(net)(w, x)
    torch.testing.assert_close(jacobian @ w, (L + 1) * net(w, x))
