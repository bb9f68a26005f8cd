"""The propagator agrees with autograd, in both of its implementations."""

import itertools

import pytest
import torch

from symscape.networks import Activation, FullyConnected, Propagator
from symscape.networks._matmul_engine import MatmulEngine

NETS = [
    FullyConnected(5, 7, L, c, parametrization, name, bias, parametrization != "standard")
    for name, parametrization, L, c, bias in itertools.product(
        ["relu", "tanh", "softplus", "linear"],
        ["standard", "ntp", "mfp"],
        [0, 1, 3],
        [1, 3],
        [True, False],
    )
]
NETS += [
    # widths 8 7 7, and 5 4: layers that the loops unrolled four by four do not fill
    FullyConnected(5, h, L, c, parametrization="ntp", activation=name, bias=bias)
    for name, (h, L), c, bias in itertools.product(
        ["relu", "tanh", "softplus"], [(7.4, 3), (4.5, 2)], [1, 3], [True, False]
    )
]
NETS += [
    FullyConnected(5, 7, L, parametrization="ntp", activation=name, bias_factor=0.1)
    for name in ("relu", "softplus")
    for L in (0, 2)
]


def case(net, P=150, members=None, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(P, net.d, generator=generator, dtype=dtype)
    seeds = [0] if members is None else range(members)
    w = torch.stack([net.initial_weights(seed, "pytorch", dtype=dtype) for seed in seeds])
    w = w[0] if members is None else w
    shape = net(w, x).shape
    df = torch.randn(shape, generator=generator, dtype=dtype)
    return x, w, df


def by_autograd(net, w, x, df):
    w = w.clone().requires_grad_()
    f = net(w, x)
    (gradient,) = torch.autograd.grad(f, w, df)
    return f.detach(), gradient


def assert_agrees(engine, net, w, x, df, tolerance, active=None):
    f, gradient = by_autograd(net, w, x, df)
    torch.testing.assert_close(engine.forward(w), f, atol=tolerance, rtol=tolerance)
    scale = max(1.0, float(gradient.abs().max()))
    torch.testing.assert_close(
        engine.backward(df, active), gradient, atol=tolerance * scale, rtol=0
    )


def test_agrees_with_autograd_to_1e_14():
    for net in NETS:
        x, w, df = case(net)
        propagator = Propagator(net, x)
        assert propagator.engine == "compiled"
        assert_agrees(propagator, net, w, x, df, 1e-14)


@pytest.mark.parametrize("members", [None, 1, 3])
def test_matrix_products_agree_with_autograd(members):
    for net in NETS:
        x, w, df = case(net, members=members)
        assert_agrees(MatmulEngine(net, x, members), net, w, x, df, 1e-14)


@pytest.mark.parametrize("P", [1, 15, 16, 17, 128, 129, 300])
@pytest.mark.parametrize("h", [1, 3, 4, 9])
def test_any_number_of_patterns_and_neurons(P, h):
    net = FullyConnected(6, h, 2)
    x, w, df = case(net, P)
    assert_agrees(Propagator(net, x), net, w, x, df, 1e-14)


@pytest.mark.parametrize("fraction", [0.0, 0.02, 0.3, 0.7, 0.9, 1.0])
@pytest.mark.parametrize("name", ["relu", "softplus"])
def test_gradient_of_the_active_patterns(name, fraction):
    net = FullyConnected(5, 8, 2, activation=name)
    x, w, df = case(net, P=500)
    active = torch.rand(500, generator=torch.Generator().manual_seed(1)) < fraction
    masked = df * active
    index = active.nonzero().squeeze(1)
    for engine in (Propagator(net, x), MatmulEngine(net, x, None)):
        assert_agrees(engine, net, w, x, masked, 1e-14, None)
        engine.forward(w)
        full = engine.backward(masked, None).clone()
        torch.testing.assert_close(engine.backward(df, index), full, atol=1e-13, rtol=0)


def test_float32():
    net = FullyConnected(5, 8, 2, activation="softplus", parametrization="ntp", normalized=True)
    x, w, df = case(net, dtype=torch.float32)
    propagator = Propagator(net, x)
    assert propagator.engine == "compiled"
    assert propagator.forward(w).dtype == torch.float32
    assert_agrees(propagator, net, w, x, df, 2e-6)


@pytest.mark.parametrize("name", ["tanh", "softplus"])
def test_compiled_activations_over_the_whole_range(name):
    net = FullyConnected(1, 1, 1, activation=name, bias=False)
    x = torch.cat([torch.linspace(-300, 300, 4001), 10 ** torch.linspace(-12, 0, 200)])
    x = x.to(torch.float64).unsqueeze(1)
    w = torch.ones(2, dtype=torch.float64)
    propagator = Propagator(net, x)
    torch.testing.assert_close(propagator.forward(w), net(w, x), rtol=3e-15, atol=3e-16)


@pytest.mark.parametrize("name", ["relu", "tanh", "softplus"])
def test_nan_is_not_hidden(name):
    net = FullyConnected(3, 4, 2, activation=name)
    x, w, _ = case(net, P=20)
    w[0] = torch.nan
    for engine in (Propagator(net, x), MatmulEngine(net, x, None)):
        assert engine.forward(w).isnan().all()


def test_own_activation():
    cube = Activation("cube", lambda z: z**3, lambda z: 3 * z**2, lambda z: 6 * z)
    net = FullyConnected(3, 4, 2, parametrization="ntp", activation=cube)
    x, w, df = case(net)
    propagator = Propagator(net, x)
    assert propagator.engine == "matmul"
    assert_agrees(propagator, net, w, x, df, 1e-14)


@pytest.mark.parametrize("members", [None, 2])
def test_erf_has_no_compiled_loops_and_is_right(members):
    net = FullyConnected(
        5, 7, 3, parametrization="ntp", activation="erf", bias=True, normalized=True
    )
    x, w, df = case(net, members=members)
    propagator = Propagator(net, x, members=members)
    assert propagator.engine == "matmul"
    assert_agrees(propagator, net, w, x, df, 1e-14)


def test_wide_networks_use_matrix_products():
    net = FullyConnected(3, 300, 1)
    x, w, df = case(net, P=20)
    propagator = Propagator(net, x)
    assert propagator.engine == "matmul"
    assert_agrees(propagator, net, w, x, df, 1e-13)


def test_members_with_their_own_inputs():
    net = FullyConnected(3, 4, 2)
    x, w, df = case(net, members=2)
    x = torch.stack([x, -x])
    propagator = Propagator(net, x, members=2)
    f, gradient = by_autograd(net, w, x, df)
    torch.testing.assert_close(propagator.forward(w), f, atol=1e-14, rtol=0)
    torch.testing.assert_close(propagator.backward(df), gradient, atol=1e-12, rtol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gpu_agrees_with_the_cpu(dtype):
    net = FullyConnected(5, 8, 3, activation="softplus")
    x, w, df = case(net, members=4, dtype=dtype)
    propagator = Propagator(net, x.cuda(), members=4)
    f, gradient = by_autograd(net, w, x, df)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-4
    torch.testing.assert_close(
        propagator.forward(w.cuda()).cpu(), f, atol=tolerance, rtol=tolerance
    )
    torch.testing.assert_close(
        propagator.backward(df.cuda()).cpu(), gradient, atol=10 * tolerance, rtol=tolerance
    )


def test_wrong_arguments_are_named():
    net = FullyConnected(3, 4, 1)
    x = torch.zeros(5, 3)
    with pytest.raises(ValueError, match=r"x: shape \(5, 2\) given; allowed: \(P, 3\)"):
        Propagator(net, x[:, :2])
    with pytest.raises(ValueError, match="members: 0 given"):
        Propagator(net, x, members=0)
    with pytest.raises(ValueError, match="x: shape"):
        Propagator(net, x.expand(2, -1, -1), members=3)
    with pytest.raises(ValueError, match="active"):
        Propagator(net, x, members=2).backward(torch.zeros(2, 5), torch.tensor([0]))
