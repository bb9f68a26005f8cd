"""Kernels of infinite width: closed forms, quadrature, and what finite networks converge to."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from symscape.kernels import empirical_ntk, infinite_kernels
from symscape.networks import Activation, FullyConnected, activation
from symscape.scaling import fit_power_law


def points(P, d, seed=0, sphere=True):
    x = torch.randn(P, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x * (d**0.5 / x.norm(dim=1, keepdim=True)) if sphere else x


def network(name, L, d=10, h=7, bias=False, c=1):
    phi = name if isinstance(name, Activation) else activation(name, 5.0, normalized=True)
    return FullyConnected(d, h, L, c, parametrization="ntp", activation=phi, bias=bias)


def leaky(slope):
    return Activation(
        "leaky",
        lambda z: F.leaky_relu(z, slope),
        lambda z: slope + (1 - slope) * (z > 0).to(z),
        torch.zeros_like,
    )


def brute_force(phi, S):
    """E phi(u) phi(v) and E phi'(u) phi'(v) for each entry of a covariance matrix.

    By the trapezium rule, which is exponentially accurate for analytic functions.
    """
    z = torch.linspace(-9, 9, 401, dtype=torch.float64)
    w = torch.exp(-z * z / 2) / (2 * math.pi) ** 0.5 * (z[1] - z[0])
    value, slope = torch.empty_like(S), torch.empty_like(S)
    for i in range(len(S)):
        for j in range(len(S)):
            a, b = S[i, i].sqrt(), S[j, j].sqrt()
            c = (S[i, j] / (a * b)).clamp(-1, 1)
            u = (a * z)[:, None]
            v = b * (c * z[:, None] + (1 - c * c).sqrt() * z)
            value[i, j] = w @ (phi(u) * phi(v)) @ w
            slope[i, j] = w @ (phi.df(u) * phi.df(v)) @ w
    return value, slope


@pytest.mark.parametrize("name", ["tanh", "softplus", "erf"])
@pytest.mark.parametrize("sphere", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_recursion_with_means_by_brute_force(name, sphere, bias):
    net = network(name, 2, d=4, bias=bias)
    x = points(5, 4, sphere=sphere)
    x = torch.cat([x, 1.3 * x[:1] if not sphere else -x[:1]])
    sigma = x @ x.T / 4
    theta = sigma + bias
    for _ in range(2):
        sigma, slope = brute_force(net.phi, sigma)
        theta = theta * slope + sigma + bias
    found = infinite_kernels(net, x)
    # a softplus of large inputs has slowly falling coefficients: the error that is stated grows
    assert found.error < (1e-12 if sphere else 1e-10)
    tolerance = max(20 * found.error, 1e-12)
    torch.testing.assert_close(found.nngp, sigma, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found.ntk, theta, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sphere", [True, False])
@pytest.mark.parametrize("name", ["relu", "erf"])
def test_expansions_agree_with_closed_forms(name, sphere):
    x = points(40, 10, sphere=sphere)
    x[1] = x[0] * 1.001 if not sphere else x[0]
    x[2] = -x[0]
    closed = infinite_kernels(network(name, 3, bias=True), x)
    own = replace(activation(name, normalized=True), name="own")  # nothing is known of it
    series = infinite_kernels(network(own, 3, bias=True), x)
    assert closed.error == 0
    assert series.error < 1e-11
    torch.testing.assert_close(series.nngp, closed.nngp, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(series.ntk, closed.ntk, rtol=1e-11, atol=1e-11)


def test_kink_of_any_size():
    # phi = s z + (1 - s) max(0, z), of which all means are known
    s, x = 0.2, points(20, 6, sphere=False)
    found = infinite_kernels(network(leaky(s), 1, d=6), x)
    k = x @ x.T / 6
    both = infinite_kernels(network(activation("relu"), 1, d=6), x)
    value = s * s * k + s * (1 - s) * k + (1 - s) ** 2 * both.nngp
    torch.testing.assert_close(found.nngp, value, rtol=1e-11, atol=1e-11)
    steps = (both.ntk - both.nngp) / k
    slope = s * s + s * (1 - s) + (1 - s) ** 2 * steps
    torch.testing.assert_close(found.ntk, value + k * slope, rtol=1e-10, atol=1e-10)


def test_accuracy_is_stated_where_it_is_limited():
    # kinks elsewhere than at 0: the expansion ends before it has converged, and says so
    hardtanh = Activation("hardtanh", F.hardtanh, lambda z: (z.abs() < 1).to(z), torch.zeros_like)
    x = points(6, 4)
    found = infinite_kernels(network(hardtanh, 1, d=4), x)
    assert 1e-4 < found.error < 0.1
    exact = math.erf(1 / math.sqrt(2))  # E phi'(z)^2 at the diagonal
    slope = (found.ntk - found.nngp).diagonal()
    assert torch.all((slope - exact).abs() < 1.001 * found.error * exact)


def test_constants_of_the_sheets():
    x = points(3, 10)
    for L, expected in ((2, 2.540080), (3, 3.128431), (5, 4.034539)):
        found = infinite_kernels(network("softplus", L), x)
        torch.testing.assert_close(
            found.ntk.diagonal(), torch.full((3,), expected, dtype=torch.float64), rtol=0, atol=5e-7
        )
        # <f^2> = 1
        assert found.nngp.diagonal().sub(1).abs().max() < 1e-11
        for bias, diagonal in ((True, 2 * (L + 1)), (False, L + 1)):
            found = infinite_kernels(network("relu", L, bias=bias), x)
            assert found.ntk.diagonal().sub(diagonal).abs().max() < 1e-12


def test_relu_recursion_as_the_sheet_writes_it():
    x = points(30, 5)
    c = x @ x.T / 5
    c.fill_diagonal_(1)
    theta = c + 1
    for _ in range(3):
        angle = torch.pi - torch.arccos(c.clamp(-1, 1))
        theta = theta * angle / torch.pi
        c = (c * angle + (1 - c * c).clamp(min=0).sqrt()) / torch.pi
        c.fill_diagonal_(1)
        theta = theta + c + 1
    found = infinite_kernels(network("relu", 3, d=5, bias=True), x)
    torch.testing.assert_close(found.ntk, theta, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["relu", "erf", "softplus", "linear"])
@pytest.mark.parametrize("sphere", [True, False])
def test_two_sets_of_points_and_blocks(name, sphere, monkeypatch):
    x = points(150, 6, sphere=sphere)
    net = network(name, 2, d=6, bias=True)
    whole = infinite_kernels(net, x)
    for K in (whole.nngp, whole.ntk):
        assert torch.equal(K, K.T)
        assert torch.linalg.eigvalsh(K)[0] > -1e-10 * K.diagonal().sum()
    cross = infinite_kernels(net, x[:70], x[60:])
    for K, part in ((whole.nngp, cross.nngp), (whole.ntk, cross.ntk)):
        torch.testing.assert_close(part, K[:70, 60:], rtol=1e-9, atol=1e-9)
    monkeypatch.setattr("symscape.kernels._infinite._ROWS", 7)
    monkeypatch.setattr("symscape.kernels._ntk_blocks._BLOCK", 11)
    again = infinite_kernels(net, x)
    torch.testing.assert_close(again.ntk, whole.ntk, rtol=1e-13, atol=1e-13)
    single = infinite_kernels(net, x.float())
    assert single.ntk.dtype == torch.float32
    torch.testing.assert_close(single.ntk.double(), whole.ntk, rtol=1e-5, atol=1e-5)


def test_factor_of_the_biases():
    # with one hidden layer the kernel is linear in its square
    x = points(6, 4)
    nets = [
        FullyConnected(4, 3, 1, parametrization="ntp", activation="erf", bias_factor=s)
        for s in (1.0, 0.1)
    ]
    none = infinite_kernels(network(activation("erf"), 1, d=4), x).ntk
    full, small = (infinite_kernels(net, x).ntk for net in nets)
    torch.testing.assert_close(small, none + 0.01 * (full - none), rtol=1e-12, atol=0)


def test_linear_networks_and_none():
    x = points(5, 4, sphere=False)
    k = x @ x.T / 4
    deep = infinite_kernels(network("linear", 3, d=4), x)
    torch.testing.assert_close(deep.nngp, k)
    torch.testing.assert_close(deep.ntk, 4 * k)
    none = infinite_kernels(network("relu", 0, d=4, bias=True), x)
    torch.testing.assert_close(none.ntk, k + 1)


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_one_hidden_layer_has_the_infinite_kernel_on_average_at_any_width(name):
    net = network(name, 1, d=4, h=3, bias=True)
    x = points(4, 4)
    w = torch.stack([net.initial_weights(seed) for seed in range(1500)])
    K = empirical_ntk(net, x, w=w)
    f = net(w, x)
    exact = infinite_kernels(net, x)
    for sample, expected in ((K, exact.ntk), (f[:, :, None] * f[:, None, :], exact.nngp)):
        error = sample.std(0) / 1500**0.5
        # 10 different entries: five standard errors are left by chance once in 10^5
        assert torch.all((sample.mean(0) - expected).abs() < 5 * error)


@pytest.mark.parametrize("name", ["relu", "erf", "softplus"])
def test_empirical_kernel_converges_as_one_over_the_root_of_the_width(name):
    # sheet 02, Eq. 8 and the NTK's central limit theorem: accept -0.5 +- 0.08
    x = points(8, 10)
    widths, seeds = (32, 64, 128, 256, 512), range(24)
    exact = infinite_kernels(network(name, 3, bias=True), x).ntk
    deviations, means = [], []
    for h in widths:
        net = network(name, 3, h=h, bias=True)
        K = torch.stack([empirical_ntk(net, x, w=net.initial_weights(s)) for s in seeds])
        deviations.append((K - exact).square().sum((1, 2)).sqrt() / exact.norm())
        means.append(float((K.mean(0) - exact).norm() / exact.norm()))
    fit = fit_power_law(widths, torch.stack(deviations, 1).numpy(), window=(32, 512))
    assert fit.exponent == pytest.approx(-0.5, abs=0.08)
    assert means[-1] < 0.05
    # several outputs: the trace is c times the kernel of one
    net = network(name, 3, h=256, bias=True, c=4)
    K = torch.stack([empirical_ntk(net, x, w=net.initial_weights(s)) for s in range(4)]).mean(0)
    assert float((K - 4 * exact).norm() / (4 * exact).norm()) < 0.15


def test_mean_over_networks_is_within_one_percent():
    # sheet 02, check 5.9: 40 nets, h = 1000, L = 3
    net = network("relu", 3, h=1000, bias=True)
    x = points(6, 10)
    K = sum(empirical_ntk(net, x, w=net.initial_weights(seed)) for seed in range(40)) / 40
    exact = infinite_kernels(net, x).ntk
    assert float((K - exact).norm() / exact.norm()) < 0.01


def test_wrong_arguments_are_named():
    x = points(3, 10)
    standard = FullyConnected(10, 5, 2)
    with pytest.raises(ValueError, match=r"net: \"parametrization 'standard'\" given"):
        infinite_kernels(standard, x)
    net = network("relu", 2)
    with pytest.raises(ValueError, match=r"x1: \(3, 9\) given"):
        infinite_kernels(net, x[:, :9])
    with pytest.raises(ValueError, match=r"x2: torch\.float32 given"):
        infinite_kernels(net, x, x.float())
