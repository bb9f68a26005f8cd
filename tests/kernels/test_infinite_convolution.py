"""Kernels of infinitely many channels against explicit covariances and against finite networks."""

import pytest
import torch
import torch.nn.functional as F

from symscape.kernels import empirical_ntk, infinite_convolution_kernels
from symscape.networks import PooledCNN, StridedCNN, WideResNet
from symscape.scaling import fit_power_law


def images(P, n, channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(P, channels, n, n, generator=generator, dtype=torch.float64)
    # smooth enough that positions are correlated
    return F.avg_pool2d(x, 3, 1, 1) * 3


def shifts(n, layer):
    """For each offset the matrix from positions before a convolution to those behind it."""
    eye = torch.eye(n * n, dtype=torch.float64).view(n * n, 1, n, n)
    k, s, p = layer
    return F.unfold(eye, k, 1, p, s).permute(1, 2, 0)  # (offsets, behind, before)


def moved(K, n, layer):
    """The mean over offsets of a kernel (2 n^2, 2 n^2) of two images."""
    S = shifts(n, layer)
    both = torch.stack([torch.block_diag(m, m) for m in S])
    return (both @ K @ both.mT).mean(0)


def relu_step(sigma, theta):
    d = sigma.diagonal().sqrt()
    c = (sigma / torch.outer(d, d)).clamp(-1, 1)
    c.fill_diagonal_(1)
    slope = 1 - torch.arccos(c) / torch.pi
    value = torch.outer(d, d) * (c * slope + (1 - c * c).sqrt() / torch.pi)
    return value, theta * slope


def averaged(K, n):
    return K.view(2, n * n, 2, n * n).mean((1, 3))


@pytest.mark.parametrize("bias", [True, False])
def test_strided_network_by_matrices_of_shifts(bias):
    x, n = images(2, 19), 19
    flat = x.flatten(2).mT.reshape(2 * n * n, 3)
    sigma = flat @ flat.T / 3
    theta = torch.zeros_like(sigma)
    for stride in (2, 1, 2, 1):
        layer = (5, stride, 1)
        sigma, theta = moved(sigma, n, layer), moved(theta, n, layer)
        theta = theta + sigma + bias
        sigma, theta = relu_step(sigma, theta)
        n = (n - 3) // stride + 1
    net = StridedCNN(3, 3, activation="relu", bias=bias)
    found = infinite_convolution_kernels(net, x)
    nngp, ntk = averaged(sigma, n), averaged(theta, n)
    torch.testing.assert_close(found.nngp, nngp, rtol=1e-7, atol=0)
    torch.testing.assert_close(found.ntk, ntk + nngp + bias, rtol=1e-7, atol=0)
    assert found.error == 0


def test_residual_network_by_matrices_of_shifts():
    x, n = images(2, 6), 6
    flat = x.flatten(2).mT.reshape(2 * n * n, 3)
    sigma = moved(flat @ flat.T / 3, n, (3, 1, 1))
    theta = sigma + 1
    for first, stride in enumerate((1, 2, 2)):
        branch = relu_step(sigma, theta)
        branch = [moved(K, n, (3, 1, 1)) for K in branch]
        branch[1] = branch[1] + branch[0] + 1
        branch = [moved(K, n, (3, stride, 1)) for K in relu_step(*branch)]
        branch[1] = branch[1] + branch[0] + 1
        shortcut = [moved(K, n, (1, stride, 0)) for K in (sigma, theta)]
        shortcut[1] = shortcut[1] + shortcut[0] + 1
        sigma, theta = ((a + b) / 2 for a, b in zip(shortcut, branch))
        n = (n - 1) // stride + 1
        assert first < 3
    sigma, theta = relu_step(sigma, theta)
    # with a widen factor above 1 every stage starts with a convolution in its shortcut
    found = infinite_convolution_kernels(WideResNet(2, 1, base=2), x)
    nngp, ntk = averaged(sigma, n), averaged(theta, n)
    torch.testing.assert_close(found.nngp, nngp, rtol=1e-7, atol=0)
    torch.testing.assert_close(found.ntk, ntk + nngp + 1, rtol=1e-7, atol=0)


@pytest.mark.parametrize("name", ["relu", "softplus"])
def test_blocks_and_two_sets_of_images(name):
    x = images(5, 19)
    net = StridedCNN(3, 3, activation=name)
    whole = infinite_convolution_kernels(net, x)
    assert torch.equal(whole.ntk, whole.ntk.T)
    assert torch.linalg.eigvalsh(whole.ntk)[0] > 0
    assert torch.linalg.eigvalsh(whole.nngp)[0] > 0
    small = infinite_convolution_kernels(net, x, memory=10 * 8 * 81**2 + 1)
    torch.testing.assert_close(small.ntk, whole.ntk, rtol=1e-10, atol=0)
    cross = infinite_convolution_kernels(net, x[:3], x[1:])
    torch.testing.assert_close(cross.nngp, whole.nngp[:3, 1:], rtol=1e-8, atol=0)
    torch.testing.assert_close(cross.ntk, whole.ntk[:3, 1:], rtol=1e-8, atol=0)


def kernels_of(make, widths, seeds, x):
    """(widths, seeds, P, P)."""
    return torch.stack(
        [torch.stack([empirical_ntk(make(h, seed), x) for seed in seeds]) for h in widths]
    )


def check_convergence(make, widths, seeds, x):
    """Deviations fall with the root of the width, and the mean kernel tends to the infinite one."""
    exact = infinite_convolution_kernels(make(widths[0], 0), x).ntk
    found = kernels_of(make, widths, range(seeds), x)
    deviation = (found - exact).norm(dim=(2, 3)) / exact.norm()
    fit = fit_power_law(widths, deviation.T.numpy(), window=(widths[0], widths[-1]))
    # few seeds, whose deviations differ by factors: within the error over seeds
    assert fit.error < 0.2
    assert abs(fit.exponent + 0.5) < 2.5 * fit.error
    mean = float((found[-1].mean(0) - exact).norm() / exact.norm())
    # the fluctuations of the mean, and its own deviation of order 1/h
    assert mean < 3 * float(deviation[-1].mean()) / seeds**0.5


@pytest.mark.parametrize("name", ["relu", pytest.param("softplus", marks=pytest.mark.slow)])
def test_strided_network_converges_as_one_over_the_root_of_the_width(name):
    check_convergence(
        lambda h, seed: StridedCNN(h, 3, activation=name, seed=seed, dtype=torch.float64),
        (12, 24, 48),
        24,
        images(3, 23),
    )


def test_residual_network_converges_as_one_over_the_root_of_the_width():
    check_convergence(  # all layers grow with the base
        lambda base, seed: WideResNet(2, 1, base=base, seed=seed, dtype=torch.float64),
        (3, 6, 12),
        16,
        images(3, 8),
    )


def test_wrong_arguments_are_named():
    x = images(2, 19)
    with pytest.raises(ValueError, match="net: 'PooledCNN' given"):
        infinite_convolution_kernels(PooledCNN(2), x)
    with pytest.raises(ValueError, match="parametrization 'mfp'"):
        infinite_convolution_kernels(StridedCNN(2, 3, parametrization="mfp"), x)
    net = StridedCNN(2, 3)
    with pytest.raises(ValueError, match=r"x1: \(2, 19, 19\) given"):
        infinite_convolution_kernels(net, x[:, 0])
    with pytest.raises(ValueError, match=r"x2: \(2, 3, 19, 18\) given"):
        infinite_convolution_kernels(net, x, x[..., 1:])
    with pytest.raises(ValueError, match="memory: 1000 bytes given; allowed: at least 524880"):
        infinite_convolution_kernels(net, x, memory=1000)
