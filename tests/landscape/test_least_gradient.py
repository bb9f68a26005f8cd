"""The shortest generalized gradient where relus sit at their kinks."""

from __future__ import annotations

import pytest
import torch

from symscape.dynamics import Hinge
from symscape.landscape import least_gradient
from symscape.networks import FullyConnected

X = torch.tensor([[1.0], [-1.0]], dtype=torch.float64)


def one_neuron(weight: float, bias: float, out: float, last: float) -> torch.Tensor:
    """f(x) = out relu(weight x + bias) + last."""
    return torch.tensor([weight, bias, out, last], dtype=torch.float64)


def test_is_the_norm_of_the_gradient_without_kinks():
    net = FullyConnected(4, 5, 2)
    for name in ("relu", "tanh"):
        net = FullyConnected(4, 5, 2, activation=name)
        w = net.initial_weights(0, "orthogonal").requires_grad_()
        x = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        y = torch.ones(20, dtype=torch.float64)
        (gradient,) = torch.autograd.grad(Hinge().value(net(w, x), y).mean(), w)
        found = least_gradient(net, w.detach(), x, y, Hinge(), cut=0.0)
        assert found.n_kinks == 0
        assert found.norm == pytest.approx(float(gradient.norm()), rel=1e-12)


def test_at_one_kink_it_is_the_minimum_over_the_slope():
    # pattern 1 sits at the kink: f = out relu(0) + last
    net, y = FullyConnected(1, 1, 1), torch.tensor([1.0, -1.0], dtype=torch.float64)
    w = one_neuron(1.0, -1.0, 0.5, 0.0)
    found = least_gradient(net, w, X, y, Hinge(), cut=1e-6)
    # by hand: Delta = (1, 1); pattern 2 is off and acts on the last bias only
    slopes = torch.linspace(0, 1, 1001, dtype=torch.float64)
    norms = []
    for s in slopes:
        first = -0.5 * y
        gradient = torch.stack([first[0] * 0.5 * s, first[0] * 0.5 * s, s * 0, first.sum()])
        norms.append(float(gradient.norm()))
    assert found.n_kinks == 1
    assert found.norm == pytest.approx(min(norms), abs=1e-9)


def test_finds_rest_that_neither_side_shows():
    # minimize |a| in effect: labels that pull the neuron on one side, and push it on the other
    net = FullyConnected(2, 1, 1)
    x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        w = torch.randn(net.n_parameters, dtype=torch.float64, generator=generator)
        w[2] = -w[0]  # a = 0 on the first two patterns
        found = least_gradient(net, w, x, y, Hinge(), cut=1e-9)
        one_sided = [
            least_gradient(net, w + shift * torch.eye(5, dtype=torch.float64)[2], x, y, Hinge(), 0)
            for shift in (-1e-7, 1e-7)
        ]
        assert found.norm <= min(side.norm for side in one_sided) + 1e-5


def test_two_layers_agree_with_a_search_over_slopes():
    net = FullyConnected(2, 2, 2)
    generator = torch.Generator().manual_seed(3)
    w = torch.randn(net.n_parameters, dtype=torch.float64, generator=generator)
    x = torch.randn(6, 2, dtype=torch.float64, generator=generator)
    y = torch.tensor([1.0, -1.0] * 3, dtype=torch.float64)
    layers = net.unpack(w)
    # put the first neuron of each layer at its kink, on patterns 0 and 1
    layers[0][1][0] -= net.preactivations(w, x)[0][0, 0]
    layers[1][1][0] -= net.preactivations(w, x)[1][1, 0]
    kinks = least_gradient(net, w, x, y, Hinge(), cut=1e-9)
    assert kinks.n_kinks >= 1
    sides = []
    for dx in (-1e-8, 1e-8):
        for dy in (-1e-8, 1e-8):
            moved = w.clone()
            parts = net.unpack(moved)
            parts[0][1][0] += dx
            parts[1][1][0] += dy
            sides.append(least_gradient(net, moved, x, y, Hinge(), cut=0.0).norm)
    assert kinks.norm <= min(sides) + 1e-6


@pytest.mark.parametrize("cut", [-1.0, float("nan"), float("inf")])
def test_a_wrong_cut_is_named(cut: float):
    net = FullyConnected(1, 1, 1)
    with pytest.raises(ValueError, match="cut"):
        least_gradient(
            net, one_neuron(1, 0, 1, 0), X, torch.ones(2, dtype=torch.float64), Hinge(), cut
        )


def test_nan_is_refused():
    net = FullyConnected(1, 1, 1)
    with pytest.raises(ValueError, match="finite"):
        least_gradient(
            net,
            one_neuron(float("nan"), 0, 1, 0),
            X,
            torch.ones(2, dtype=torch.float64),
            Hinge(),
            1e-3,
        )
