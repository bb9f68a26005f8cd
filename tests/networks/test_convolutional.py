"""The convolutional networks: sizes, statistics at the start, prefactors, bad input."""

import math

import pytest
import torch
from torch import nn

from symscape.networks import FullyConnected, PooledCNN, Scale, StridedCNN, WideResNet


def count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def images(P: int, channels: int, size: int, seed: int = 0, dtype=None) -> torch.Tensor:
    """Random images with the norm of the thesis's, sum of squares = number of entries."""
    x = torch.randn(P, channels, size, size, generator=torch.Generator().manual_seed(seed))
    d = x[0].numel()
    x = x * math.sqrt(d) / x.flatten(1).norm(dim=1)[:, None, None, None]
    return x if dtype is None else x.to(dtype)


@pytest.mark.parametrize(("channels", "N"), [(3, 191_300), (1, 188_800)])
def test_the_strided_network_has_the_size_of_the_sheet(channels, N):
    assert count(StridedCNN(50, channels)) == N


@pytest.mark.parametrize(("size", "sides"), [(32, (15, 13, 6, 4)), (28, (13, 11, 5, 3))])
def test_feature_maps_have_the_sides_of_the_sheet(size, sides):
    net = StridedCNN(2, 1)
    x, found = images(1, 1, size), []
    for block in net.blocks:
        x = block(x)
        found.append(x.shape[-1])
    assert tuple(found) == sides


@pytest.mark.parametrize("f", [2, 24, 64])
@pytest.mark.parametrize("bias", [False, True])
def test_the_pooled_network_has_the_size_of_the_sheet(f, bias):
    expected = 18 * f**2 + (190 * f + 10 if bias else 187 * f)
    assert count(PooledCNN(f, bias=bias)) == expected


def test_the_wide_network_of_the_thesis():
    net = WideResNet(10, 4, 3)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    shortcuts = [m for m in convolutions if m.kernel_size == (1, 1)]
    assert len(convolutions) - len(shortcuts) == 25
    assert len(shortcuts) == 3
    assert [m.out_channels for m in shortcuts] == [160, 320, 640]
    strided = [m for m in convolutions if m.stride == (2, 2)]
    assert len(strided) == 4  # the second convolution and the shortcut of two stages
    # weights and biases of: first, blocks (3 x 3 twice and shortcuts), read-out
    sizes = [(16, 160), (160, 320), (320, 640)]
    N = 3 * 16 * 9 + 16 + 640 + 1
    for fan_in, out in sizes:
        N += fan_in * out * 10 + 9 * out**2 + 3 * out  # the first block: 3 x 3, 1 x 1, 3 x 3
        N += 3 * 2 * (9 * out**2 + out)
    assert count(net) == N


def test_the_wide_network_is_what_its_formula_says():
    """One block per stage, computed by hand from the weights."""
    net = WideResNet(2, 1, 1, base=3, activation="softplus", dtype=torch.float64, seed=4)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1)  # biases, too
    x = images(2, 1, 8, dtype=torch.float64)

    def layer(block, z, stride=1, padding=1):
        scale, conv = block
        fan_in = conv.weight[0].numel()
        assert scale.factor == pytest.approx(fan_in**-0.5)
        return nn.functional.conv2d(
            z, conv.weight * fan_in**-0.5, conv.bias, stride=stride, padding=padding
        )

    phi = net.phi
    z = layer(net.first, x)
    for block, stride in zip(net.blocks, (1, 2, 2), strict=True):
        branch = layer(block.second, phi(layer(block.first, phi(z))), stride)
        z = (layer(block.shortcut, z, stride, 0) + branch) / math.sqrt(2)
    scale, linear = net.readout
    mean = phi(z).mean((2, 3))
    f = (mean @ linear.weight.T * scale.factor + linear.bias).squeeze(1)
    torch.testing.assert_close(net(x), f)


@pytest.mark.parametrize("parametrization", ["ntp", "mfp", "standard"])
def test_parametrizations_differ_by_known_factors(parametrization):
    """The same numbers enter: mfp is ntp over sqrt(h), standard is ntp with the prefactor moved
    into the weights."""
    h, x = 7, images(4, 3, 20, dtype=torch.float64)
    ntp = StridedCNN(h, parametrization="ntp", seed=3, dtype=torch.float64)(x)
    other = StridedCNN(h, parametrization=parametrization, seed=3, dtype=torch.float64)(x)
    factor = h**-0.5 if parametrization == "mfp" else 1.0
    torch.testing.assert_close(other, factor * ntp)


def test_prefactors_are_those_of_the_fully_connected_network():
    """A 1 x 1 image: every filter has one pixel that counts; prefactors are of the whole fan-in."""
    for parametrization in ("standard", "ntp", "mfp"):
        net = StridedCNN(25, 1, parametrization=parametrization)
        factors = [
            [m.factor for m in s if isinstance(m, Scale)] for s in (*net.blocks, net.readout)
        ]
        dense = FullyConnected(25, 625, 4, parametrization=parametrization).prefactors
        expected = [[] if p == 1.0 else [p] for p in dense[:-1]]
        assert factors[:-1] == expected
        last = {"standard": [], "ntp": [0.2], "mfp": [0.04]}[parametrization]
        assert factors[-1] == pytest.approx(last)


def test_outputs_at_the_start_do_not_grow_with_the_width():
    """The second moment over seeds is of order one, at h = 8 and at h = 64."""
    x = images(8, 3, 28, dtype=torch.float64)
    moments = {}
    for h in (8, 64):
        with torch.no_grad():
            f = torch.stack([StridedCNN(h, seed=s, dtype=torch.float64)(x) for s in range(10)])
        moments[h] = float(f.square().mean())
    assert 0.5 < moments[8] / moments[64] < 2.0
    assert 0.2 < moments[64] < 2.0


def test_weights_are_standard_normal_and_biases_zero():
    net = StridedCNN(40, bias=True, seed=1)
    weights = torch.cat(
        [p.detach().flatten() for n, p in net.named_parameters() if n.endswith("weight")]
    )
    assert float(weights.mean()) == pytest.approx(0.0, abs=5 / math.sqrt(len(weights)))
    assert float(weights.var()) == pytest.approx(1.0, abs=5 * math.sqrt(2 / len(weights)))
    assert all(bool((p == 0).all()) for n, p in net.named_parameters() if n.endswith("bias"))


def test_xavier_bounds_of_the_pooled_network():
    net = PooledCNN(6, bias=True)
    fans = [(27, 54), (54, 54), (54, 54), (96, 10)]
    for layer, (fan_in, fan_out) in zip((*net.convolutions, net.readout), fans, strict=True):
        bound = math.sqrt(6 / (fan_in + fan_out))
        largest = float(layer.weight.detach().abs().max())
        assert 0.9 * bound < largest <= bound
        assert bool((layer.bias == 0).all())


NETS = [
    lambda **kw: StridedCNN(3, **kw),
    lambda **kw: WideResNet(1, 1, base=2, **kw),
    lambda **kw: PooledCNN(3, size=20, **kw),
]


@pytest.mark.parametrize("build", NETS)
def test_a_seed_is_a_network_and_dtype_only_rounds_it(build):
    state = torch.get_rng_state()
    one, same, other = build(seed=5), build(seed=5), build(seed=6)
    assert torch.equal(state, torch.get_rng_state())
    for (name, p), q, r in zip(
        one.named_parameters(), same.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(p, q)
        assert name.endswith("bias") or not torch.equal(p, r)
    double = build(seed=5, dtype=torch.float64)
    assert {p.dtype for p in double.parameters()} == {torch.float64}
    x = images(2, 3, 20)
    torch.testing.assert_close(double(x.double()).float(), one(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", NETS)
@pytest.mark.parametrize("c", [1, 4])
def test_shapes_of_outputs(build, c):
    assert build(c=c)(images(5, 3, 20)).shape == ((5,) if c == 1 else (5, c))


@pytest.mark.parametrize("build", NETS)
def test_all_parameters_have_gradients_and_nothing_else_is_kept(build):
    net = build(seed=1)
    net(images(3, 3, 20)).square().sum().backward()
    assert all(bool((p.grad != 0).any()) for p in net.parameters())
    assert list(net.buffers()) == []


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: StridedCNN(0), "h: 0 given; allowed: an integer >= 1"),
        (lambda: StridedCNN(2.5), "h: 2.5 given"),
        (
            lambda: StridedCNN(4, parametrization="ntk"),
            "parametrization: 'ntk' given; allowed: sta",
        ),
        (lambda: StridedCNN(4, activation="swish"), "unknown activation 'swish'"),
        (lambda: StridedCNN(4, seed=0.5), "seed: 0.5 given"),
        (lambda: WideResNet(0), "widen: 0 given"),
        (lambda: WideResNet(1, 0), "blocks: 0 given"),
        (lambda: PooledCNN(4, size=7), "size: 7 given; allowed: an integer >= 8"),
        (lambda: PooledCNN(4, c=0), "c: 0 given"),
        (lambda: StridedCNN(4)(images(1, 3, 18)), r"\(1, 3, 18, 18\) given; allowed: .* n >= 19"),
    ],
)
def test_what_is_not_allowed(build, words):
    with pytest.raises(ValueError, match=words):
        build()
