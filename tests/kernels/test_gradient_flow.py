"""The closed form of the mean-square flow: identities of App. D of chapter 2b."""

import math

import numpy as np
import pytest
import torch

from symscape.dynamics import ErrorPerStep, RungeKutta, Square, Stop, train_frozen
from symscape.kernels import flow_outputs, infinite_kernels, residual_covariance
from symscape.networks import FullyConnected

P, n = 25, 9


@pytest.fixture(scope="module")
def problem():
    """Infinite-width kernels of train and test points, labels, initial outputs."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(P + n, 4, generator=generator, dtype=torch.float64)
    x = x * (2 / x.norm(dim=1, keepdim=True))
    net = FullyConnected(4, 8, 2, parametrization="ntp", normalized=True)
    kernels = infinite_kernels(net, x)
    ntk, nngp = kernels.ntk.numpy(), kernels.nngp.numpy()
    rng = np.random.default_rng(0)
    return ntk, nngp, rng.standard_normal(P), rng.standard_normal(P + n)


def test_training_interpolates_and_forgets_the_start_on_the_training_set(problem):
    ntk, _, y, f0 = problem
    found = flow_outputs(ntk[:P, :P], ntk[:P, :P], y, f0=f0[:P], f0_test=f0[:P])
    np.testing.assert_allclose(found.total, y, atol=1e-12)
    np.testing.assert_allclose(found.residual, 0, atol=1e-12)


def test_infinite_time_is_the_limit_of_the_linear_flow(problem):
    ntk, _, y, f0 = problem
    K, rows = ntk[:P, :P], ntk[P:, :P]
    found = flow_outputs(K, rows, y, f0=f0[:P], f0_test=f0[P:])
    solved = f0[P:] + rows @ np.linalg.solve(K, y - f0[:P])
    np.testing.assert_allclose(found.total, solved, atol=1e-12)
    late = flow_outputs(K, rows, y, f0=f0[:P], f0_test=f0[P:], time=1e7)
    np.testing.assert_allclose(late.total, found.total, atol=1e-12)
    early = flow_outputs(K, rows, y, f0=f0[:P], f0_test=f0[P:], time=0.0)
    np.testing.assert_array_equal(early.total, f0[P:])


@pytest.mark.parametrize("time", [0.3, 10.0, 300.0])
def test_finite_times_are_those_of_the_integrated_flow(problem, time):
    ntk, _, y, _ = problem
    K, rows = ntk[:P, :P], ntk[P:, :P]
    run = train_frozen(
        torch.from_numpy(K), torch.from_numpy(y), loss=Square(),
        integrator=RungeKutta(controller=ErrorPerStep(1e-9)), stop=Stop(max_time=time),
    )  # fmt: skip
    assert run.time == time
    np.testing.assert_allclose(
        flow_outputs(K, rows, y, time=time).total, rows @ run.w.numpy(), atol=1e-5
    )
    # the training set relaxes as exp(-K t / P)
    values, vectors = np.linalg.eigh(K)
    relaxed = vectors @ (np.exp(-values * time / P) * (vectors.T @ y))
    np.testing.assert_allclose(flow_outputs(K, K, y, time=time).total, y - relaxed, atol=1e-12)


def test_symmetries(problem):
    ntk, _, y, f0 = problem
    K, rows = ntk[:P, :P], ntk[P:, :P]

    def total(K=K, rows=rows, y=y, **others):
        return flow_outputs(K, rows, y, **others).total

    # linear in the labels, one target or several
    several = total(y=np.stack([y, y[::-1]], 1))
    np.testing.assert_allclose(several[:, 0], total(), atol=1e-12)
    np.testing.assert_allclose(
        total(y=2 * y - y[::-1]), 2 * several[:, 0] - several[:, 1], atol=1e-11
    )
    # the kernel's scale is one of time
    np.testing.assert_allclose(total(3 * K, 3 * rows), total(), atol=1e-11)
    np.testing.assert_allclose(total(3 * K, 3 * rows, time=5.0), total(time=15.0), atol=1e-12)
    # f - f_0 is what it is from f_0 = 0; tensors are taken
    from_f0 = total(y=y + f0[:P], f0=f0[:P], f0_test=f0[P:])
    np.testing.assert_allclose(from_f0 - f0[P:], total(), atol=1e-12)
    assert np.array_equal(total(torch.from_numpy(K), torch.from_numpy(rows)), total())


@pytest.mark.parametrize("time", [2.0, math.inf])
def test_covariance_of_the_residual(problem, time):
    """The residual is linear in f_0: a root of the covariance of f_0 gives one of its own."""
    ntk, nngp, _, _ = problem
    K, rows = ntk[:P, :P], ntk[P:, :P]
    root = np.linalg.cholesky(nngp + 1e-12 * np.eye(P + n))
    left = flow_outputs(
        K, rows, np.zeros((P, P + n)), f0=root[:P], f0_test=root[P:], time=time
    ).residual
    found = residual_covariance(K, rows, nngp[:P, :P], nngp[P:, :P], nngp[P:, P:], time=time)
    np.testing.assert_allclose(found, left @ left.T, atol=1e-9)
    assert np.linalg.eigvalsh(found)[0] > -1e-10
    on_train = residual_covariance(K, K, nngp[:P, :P], nngp[:P, :P], nngp[:P, :P])
    np.testing.assert_allclose(on_train, 0, atol=1e-9)


def test_wrong_input_is_named(problem):
    ntk, nngp, y, f0 = problem
    K, rows = ntk[:P, :P], ntk[P:, :P]
    cases = [
        ((K[:3], rows, y), {}, r"K: shape \(3, 25\)"),
        ((K, rows[:, :3], y), {}, r"K_test: shape \(9, 3\) given; allowed: \(n, 25\)"),
        ((K, rows, y[:3]), {}, r"y: shape \(3,\)"),
        ((K, rows, y), {"f0": f0[:P]}, "f0_test: given without f0, or f0 without it"),
        ((K, rows, y), {"f0": f0[:P], "f0_test": f0}, "f0_test: shape"),
        ((K, rows, y), {"time": -1.0}, r"time: -1\.0 given"),
        ((K * np.nan, rows, y), {}, "K: values that are not finite"),
        ((K + np.arange(P), rows, y), {}, "K: a matrix that is not symmetric"),
        ((K - 20 * np.eye(P), rows, y), {}, "K: a matrix that is not positive semidefinite"),
        ((np.ones((P, P)), rows, y), {}, "K: singular"),
    ]
    for arguments, others, message in cases:
        with pytest.raises(ValueError, match=message):
            flow_outputs(*arguments, **others)
    assert np.isfinite(flow_outputs(np.ones((P, P)), rows, y, time=3.0).total).all()
    with pytest.raises(ValueError, match="nngp_test: shape"):
        residual_covariance(K, rows, nngp[:P, :P], rows.T, nngp[P:, P:])
