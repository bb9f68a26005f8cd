"""Small problems on which the integrators are tested."""

import pytest
import torch

from symscape.networks import FullyConnected


def sphere(P, d, seed=0):
    """Centered random points of norm sqrt(d) with alternating labels."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(P, d, generator=generator, dtype=torch.float64)
    x = x - x.mean(0)
    x = x * (d**0.5 / x.norm(dim=1, keepdim=True))
    y = torch.ones(P, dtype=torch.float64)
    y[::2] = -1
    return x, y


@pytest.fixture
def problem():
    """Random labels, relu, fittable: (net, w0, x, y)."""
    net = FullyConnected(d=8, h=12, L=2)
    return net, net.initial_weights(0, "orthogonal"), *sphere(60, 8)


@pytest.fixture
def smooth_problem():
    """A softplus network in the normalization of the thesis's third chapter."""
    net = FullyConnected(8, 20, 2, parametrization="ntp", activation="softplus", normalized=True)
    return net, net.initial_weights(1), *sphere(40, 8)
