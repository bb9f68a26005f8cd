"""Activations: derivatives, normalization, closed forms."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from symscape.networks import Activation, activation

NAMES = ["relu", "tanh", "softplus", "erf", "linear"]


@pytest.fixture
def z():
    # away from the kink of the relu
    z = torch.linspace(-4, 4, 60, dtype=torch.float64)
    return z[z.abs() > 0.05]


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_derivatives_are_those_of_autograd(name, normalized, z):
    phi = activation(name, normalized=normalized)
    z = z.requires_grad_()
    (first,) = torch.autograd.grad(phi(z).sum(), z, create_graph=True)
    torch.testing.assert_close(phi.df(z), first, atol=1e-13, rtol=1e-12)
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.sum(), z)
        torch.testing.assert_close(phi.d2f(z), second, atol=1e-12, rtol=1e-12)
    assert gradcheck(phi.f, (z,))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "erf"])
def test_derivative_from_value(name, z):
    base = activation(name)
    torch.testing.assert_close(
        base.derivative_from_value(base(z)), base.df(z), atol=1e-13, rtol=1e-11
    )


@pytest.mark.parametrize("name", NAMES)
def test_normalized_second_moment_is_one(name):
    phi = activation(name, normalized=True)
    nodes = torch.linspace(-10, 10, 200_001, dtype=torch.float64)
    density = torch.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
    moment = torch.trapezoid(phi(nodes) ** 2 * density, nodes)
    assert moment.item() == pytest.approx(1, abs=1e-9)


def test_sqrt2_relu_keeps_the_second_moment_of_symmetric_samples():
    phi = activation("relu", normalized=True)
    half = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    sample = torch.cat([half, -half])
    assert (phi(sample) ** 2).mean().item() == pytest.approx((sample**2).mean().item(), rel=1e-14)


def test_softplus_constants_of_the_thesis():
    phi = activation("softplus", beta=5.0, normalized=True)
    assert phi.scale == pytest.approx(1.4043833476318726, abs=1e-12)
    nodes = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    density = torch.exp(-(nodes**2) / 2) / math.sqrt(2 * math.pi)
    chi = torch.trapezoid(phi.df(nodes) ** 2 * density, nodes).item()
    assert chi == pytest.approx(0.8379386542053882, abs=1e-10)
    sp = activation("softplus", beta=5.0)
    torch.testing.assert_close(sp(nodes) - sp(-nodes), nodes, atol=1e-12, rtol=0)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="name: unknown activation 'gelu'; allowed: relu"):
        activation("gelu")
    with pytest.raises(ValueError, match="beta"):
        activation("softplus", beta=-1.0)


def test_activation_is_callable():
    cube = Activation("cube", lambda z: z**3, lambda z: 3 * z**2, lambda z: 6 * z)
    assert cube(torch.tensor(2.0)) == 8
