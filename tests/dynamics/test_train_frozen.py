"""Frozen kernels: linear networks, closed forms, the lazy limit, and wrong input."""

import dataclasses

import pytest
import torch

from symscape.dynamics import (
    SGD,
    Adam,
    Chebyshev,
    ErrorPerStep,
    EulerThesis,
    Fire,
    FixedStep,
    GradientDescent,
    Hinge,
    Record,
    RungeKutta,
    SoftHinge,
    Square,
    Stop,
    train,
    train_frozen,
)
from symscape.dynamics._frozen_objective import FrozenObjective
from symscape.networks import FullyConnected


def linearized(net, w, x):
    """The Jacobian of f at w, (P, n_parameters)."""
    return torch.func.jacrev(net)(w, x)


@pytest.fixture
def linear(smooth_problem):
    """A linearized network as a linear one: (net, w0, J, y), with the kernel J J^T."""
    net, w0, x, y = smooth_problem
    J = linearized(net, w0, x)
    linear = FullyConnected(J.shape[1], 1, 0, bias=False)
    return linear, torch.zeros(linear.n_parameters, dtype=torch.float64), J, y


@pytest.mark.parametrize(
    "integrator",
    [
        GradientDescent(0.3),
        RungeKutta(controller=FixedStep(0.3)),
        EulerThesis(max_dgrad=1e-3),
        EulerThesis(max_dgrad=1e-3, small=0.1),
        EulerThesis(tau=0.5),
    ],
    ids=["descent", "pair", "thesis", "tenth", "momentum"],
)
@pytest.mark.parametrize("alpha", [None, 30.0])
def test_steps_in_weight_space_are_steps_in_kernel_space(linear, integrator, alpha):
    net, w0, J, y = linear
    arguments = {"loss": SoftHinge(), "integrator": integrator, "stop": Stop(max_steps=40)}
    weights = train(net, w0, J, y, alpha=alpha, **arguments)
    kernel = train_frozen(J @ J.T, y, alpha=alpha, **arguments)
    assert kernel.steps == weights.steps == 40
    assert kernel.evaluations == weights.evaluations
    assert kernel.time == pytest.approx(weights.time, rel=1e-13)
    F = (alpha or 1.0) * net(weights.w, J)
    torch.testing.assert_close(J @ J.T @ kernel.w, F, atol=1e-12, rtol=0)
    assert kernel.loss == pytest.approx(weights.loss, rel=1e-11)
    assert kernel.n_delta == weights.n_delta
    assert kernel.grad_norm == pytest.approx(weights.grad_norm, rel=1e-8)


def test_lengths_are_those_of_the_weights(linear):
    _, _, J, y = linear
    alpha = torch.tensor([4.0], dtype=torch.float64)
    objective = FrozenObjective(J @ J.T, y, SoftHinge(), alpha)
    c = torch.randn(1, len(y), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert objective.norm(c)[0] == pytest.approx(float((J.T @ c[0]).norm()) / 4, rel=1e-12)
    unit = FrozenObjective(torch.eye(40).double(), y, SoftHinge(), None)
    # orthogonal patterns of length 1: the weights that fit the labels have this length
    assert unit.scale(c) == [pytest.approx(float(y.norm()))]


@pytest.mark.parametrize("integrator", [RungeKutta(), Chebyshev()], ids=["pair", "chebyshev"])
def test_square_loss_has_a_closed_form(linear, integrator):
    _, _, J, y = linear
    K, T = J @ J.T, 30.0
    tight = dataclasses.replace(integrator, controller=ErrorPerStep(1e-8))
    result = train_frozen(
        K, y, loss=Square(), integrator=tight, stop=Stop(max_time=T, zero_loss=False)
    )
    assert result.time == T
    expected = y - torch.linalg.matrix_exp(-K * T / len(y)) @ y
    torch.testing.assert_close(K @ result.w, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("loss", [SoftHinge(), Hinge()], ids=str)
def test_integrators_find_the_same_flow_and_end(linear, loss):
    _, _, J, y = linear
    K = J @ J.T
    runs = [
        train_frozen(K, y, loss=loss, integrator=integrator, stop=Stop(loss_below=1e-4))
        for integrator in (RungeKutta(), Chebyshev())
    ]
    assert all(run.status == "converged" for run in runs)
    assert runs[0].time == pytest.approx(runs[1].time, rel=0.05)
    scale = float((K @ runs[0].w).abs().max())
    torch.testing.assert_close(K @ runs[0].w, K @ runs[1].w, atol=0.05 * scale, rtol=0)


def test_it_is_the_limit_of_large_alpha(smooth_problem):
    """Outputs at fixed times: the distance falls as 1 / alpha."""
    net, w0, x, y = smooth_problem
    J = linearized(net, w0, x)
    same = {
        "loss": SoftHinge(),
        "integrator": RungeKutta(controller=FixedStep(0.1)),
        "stop": Stop(max_steps=60, zero_loss=False),
    }
    limit = J @ J.T @ train_frozen(J @ J.T, y, **same).w
    distances = []
    for alpha in (1e2, 1e3, 1e4):
        w = train(net, w0, x, y, alpha=alpha, **same).w
        distances.append(float((alpha * (net(w, x) - net(w0, x)) - limit).norm()))
    assert distances[0] < 0.1 * float(limit.norm())
    for near, far in zip(distances[1:], distances[:-1], strict=True):
        assert near == pytest.approx(far / 10, rel=0.1)


@pytest.mark.parametrize("integrator", [Chebyshev(), EulerThesis(1e-2)], ids=str)
def test_trained_networks_with_large_alpha_predict_as_the_kernel(smooth_problem, integrator):
    net, w0, x, y = smooth_problem
    new = torch.randn(30, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    J, on_new = linearized(net, w0, x), linearized(net, w0, new)
    test = (on_new @ J.T, torch.ones(30, dtype=torch.float64))
    same = {"loss": SoftHinge(), "integrator": integrator}
    frozen = train_frozen(J @ J.T, y, test=test, **same)
    lazy = train(net, w0, x, y, alpha=1e4, **same)
    assert frozen.status == lazy.status == "converged"
    F = 1e4 * (net(lazy.w, new) - net(w0, new))
    assert float((F - test[0] @ frozen.w).norm() / F.norm()) < 0.01
    assert frozen.test_error == pytest.approx(float((test[0] @ frozen.w <= 0).double().mean()))


def test_alpha_only_divides_the_losses(linear):
    _, _, J, y = linear
    K = J @ J.T
    runs = [
        train_frozen(K, y, loss=SoftHinge(), integrator=Chebyshev(), alpha=alpha)
        for alpha in (None, 1e-3, 1e5)
    ]
    for run, alpha in zip(runs, (1.0, 1e-3, 1e5), strict=True):
        torch.testing.assert_close(run.w, runs[0].w, atol=1e-6, rtol=1e-6)
        assert alpha**2 * run.loss == pytest.approx(runs[0].loss, rel=1e-4)


def test_observables_and_snapshots(linear):
    _, _, J, y = linear
    K = J @ J.T
    record = Record(every=1, loss_levels=(0.5,), observables=("output_norm", "predictor_norm"))
    result = train_frozen(
        K, y, loss=SoftHinge(), integrator=Chebyshev(), record=record, test=(K[:7], y[:7])
    )
    norm = float((K @ result.w).square().mean().sqrt())
    assert result.history["output_norm"][-1] == pytest.approx(norm, rel=1e-12)
    assert result.history["predictor_norm"][-1] == pytest.approx(norm, rel=1e-12)
    assert len(result.history["test_output_norm"]) == len(result.history["time"])
    assert result.snapshots[0].loss == pytest.approx(0.5, rel=1e-4)
    assert result.time_at_loss(0.5) == result.snapshots[0].time
    with pytest.raises(ValueError, match="observables: 'displacement' given"):
        train_frozen(
            K, y, loss=SoftHinge(), integrator=Chebyshev(),
            record=Record(observables=("displacement",)),
        )  # fmt: skip


def test_divergence_is_a_status(linear):
    _, _, J, y = linear
    result = train_frozen(J @ J.T, y, loss=Square(), integrator=GradientDescent(1e6))
    assert result.status == "diverged"
    with pytest.raises(FloatingPointError, match="diverged"):
        result.raise_if_diverged()


def test_float32(linear):
    _, _, J, y = linear
    K = J @ J.T
    single = train_frozen(K.float(), y.float(), loss=SoftHinge(), integrator=Chebyshev())
    double = train_frozen(K, y, loss=SoftHinge(), integrator=Chebyshev())
    assert single.w.dtype == torch.float32
    assert single.time == pytest.approx(double.time, rel=0.02)


def test_wrong_arguments_are_named(linear):
    _, _, J, y = linear
    K = J @ J.T

    def attempt(K=K, y=y, integrator=None, **others):
        integrator = integrator or Chebyshev()
        return train_frozen(K, y, loss=SoftHinge(), integrator=integrator, **others)

    for integrator in (Adam(), SGD(0.1, 2), Fire()):
        with pytest.raises(ValueError, match=r"integrator: .* given; allowed: a gradient flow"):
            attempt(integrator=integrator)
    cases = [
        ({"K": K[:3]}, r"K: shape \(3, 40\) given; allowed: \(P, P\)"),
        ({"K": K.half()}, "K: torch.float16 given"),
        ({"K": K + torch.arange(40).double()}, "K: a matrix that is not symmetric"),
        ({"K": K * torch.nan}, "K: entries that are not finite"),
        ({"K": K - 50 * torch.eye(40).double()}, "K: a matrix that is not positive semidefinite"),
        ({"y": y[:5]}, r"y: shape \(5,\) given; allowed: \(40,\)"),
        ({"y": 2 * y}, "y: values other than"),
        ({"alpha": 0.0}, "alpha: 0.0 given; allowed: positive"),
        ({"test": (K[:, :3], y)}, r"test kernel: shape \(40, 3\) given"),
        ({"test": (K[:3].float(), y[:3])}, "test kernel: torch.float32"),
        ({"test": (K[:3], y)}, "test labels: shape"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            attempt(**arguments)
