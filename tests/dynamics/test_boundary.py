"""Gradients by the input, distances of boundaries, line searches."""

import itertools
import math

import pytest
import torch

from symscape.dynamics import (
    boundary_distance,
    input_gradient_norm,
    input_gradients,
    line_search,
)
from symscape.networks import FullyConnected


def points(P=40, d=5, seed=0):
    return torch.randn(P, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    ("activation", "L", "h", "bias"),
    [
        *itertools.product(["relu", "softplus", "tanh"], [0, 1, 3], [9], [True, False]),
        ("relu", 3, 8.4, True),
    ],
)
def test_input_gradients_are_those_of_autograd(activation, L, h, bias):
    net = FullyConnected(5, h, L, parametrization="ntp", activation=activation, bias=bias)
    w = torch.stack([net.initial_weights(seed, "pytorch") for seed in range(3)])
    x = points().requires_grad_()
    expected = torch.stack([torch.autograd.grad(net(one, x).sum(), x)[0] for one in w])
    found = input_gradients(net, w, x.detach())
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=0)
    torch.testing.assert_close(input_gradients(net, w[1], x.detach()), found[1])
    norms = input_gradient_norm(net, w, x.detach())
    torch.testing.assert_close(norms, expected.norm(dim=-1))


def test_many_points_go_in_blocks():
    net = FullyConnected(2, 4, 2)
    w, x = net.initial_weights(0, "orthogonal"), points(9000, 2)
    whole = input_gradients(net, w, x)
    torch.testing.assert_close(whole[8000:], input_gradients(net, w, x[8000:]))


def test_relu_networks_without_bias_are_homogeneous():
    net = FullyConnected(5, 12, 3, bias=False)
    w, x = net.initial_weights(0, "orthogonal_rows"), points()
    f, gradients = net(w, x), input_gradients(net, w, x)
    torch.testing.assert_close(net(w, 3 * x), 3 * f)
    torch.testing.assert_close((x * gradients).sum(-1), f)
    torch.testing.assert_close(net(2 * w, x), 2**4 * f)


def test_distances_do_not_depend_on_the_scale_of_the_outputs():
    net = FullyConnected(5, 12, 2)
    x = points(200)
    one, other = (net.initial_weights(seed, "pytorch") for seed in (0, 1))
    f, f_bar, norm = net(one, x), net(other, x), input_gradient_norm(net, one, x)
    found = boundary_distance(f, f_bar, norm)
    assert boundary_distance(7 * f, 7 * f_bar, 7 * norm) == pytest.approx(found, rel=1e-12)
    assert found.delta > 0
    assert found.delta_hat > 0


def test_parallel_planes_have_their_exact_distance():
    g = torch.tensor([3.0, 4.0], dtype=torch.float64)
    x = points(500, 2)
    f, f_bar = x @ g, x @ g + 1.7
    found = boundary_distance(f, f_bar, torch.full((500,), 5.0, dtype=torch.float64))
    assert found == pytest.approx((1.7 / 5, 1.7 / 5), rel=1e-13)


def test_points_without_a_gradient_are_left_out():
    f = torch.tensor([1.0, -2.0, 3.0])
    f_bar = torch.tensor([-1.0, 2.0, -3.0])
    found = boundary_distance(f, f_bar, torch.tensor([2.0, 0.0, 4.0]))
    assert found.delta == pytest.approx((2 / 2 + 6 / 4) / 2)
    assert found.delta_hat == pytest.approx(math.sqrt((4 + 36) / 2 / ((4 + 16) / 2)))
    nothing = boundary_distance(f, f, torch.ones(3))
    assert math.isnan(nothing.delta)
    assert nothing.delta_hat == 0
    assert all(map(math.isnan, boundary_distance(f, f_bar, torch.zeros(3))))


def test_line_search_of_a_plane_and_of_a_sphere():
    g = torch.tensor([3.0, 4.0], dtype=torch.float64)
    x = points(20, 2)
    plane = line_search(lambda z: z @ g + 1, x, g.expand(20, 2))
    torch.testing.assert_close(plane.zeros, torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close(plane.points @ g + 1, torch.zeros(20).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(plane.values[:, 0], torch.ones(20).double())
    # f = |z|^2 - 1 from |z| = 2: the boundary is at distance 1, the linear estimate is 3/4
    start = torch.tensor([[2.0, 0.0], [0.0, -2.0]], dtype=torch.float64)
    sphere = line_search(lambda z: z.square().sum(-1) - 1, start, 2 * start, places=2001)
    torch.testing.assert_close(sphere.zeros, torch.full((2,), 4 / 3).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(sphere.points, start / 2, rtol=1e-6, atol=1e-12)


def test_lines_that_do_not_reach_zero():
    x = points(3, 2)
    gradients = torch.ones(3, 2).double()
    gradients[2] = 0
    found = line_search(lambda z: 1 + 0 * z[:, 0], x, gradients)
    assert torch.isinf(found.zeros).all()
    assert torch.isnan(found.values[2]).all()


def test_wrong_arguments_are_named():
    x, one = points(4), torch.ones(4)
    with pytest.raises(ValueError, match="net: 2 outputs given"):
        input_gradients(FullyConnected(5, 3, 1, 2), points(1, 5), x)
    net = FullyConnected(3, 3, 1)
    with pytest.raises(ValueError, match=r"x: shape \(4, 5\) given; allowed: \(P, 3\)"):
        input_gradients(net, net.initial_weights(0), x)
    with pytest.raises(ValueError, match="gradient_norm: shape"):
        boundary_distance(one, one, one[:2])
    with pytest.raises(ValueError, match="gradient_norm: negative"):
        boundary_distance(one, one, -one)
    with pytest.raises(ValueError, match="gradients: shape"):
        line_search(lambda z: z[:, 0], x, x[:2])
    with pytest.raises(ValueError, match="reach: 0 given"):
        line_search(lambda z: z[:, 0], x, x, reach=0)
    with pytest.raises(ValueError, match="places: 1 given"):
        line_search(lambda z: z[:, 0], x, x, places=1)
