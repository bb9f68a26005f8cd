"""nn, math and testing against the installed e3nn: same names, same numbers, same state dicts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F

from symscape import math, nn, testing
from symscape.o3 import Irreps

e3nn = pytest.importorskip("e3nn", reason="the peer e3nn is not installed")
peer_math = pytest.importorskip("e3nn.math")
peer_nn = pytest.importorskip("e3nn.nn")
peer_o3 = pytest.importorskip("e3nn.o3")

ODD_ACTS = (torch.tanh, torch.abs, None)
EVEN_ACTS = (torch.tanh, F.silu, torch.relu, None)


@pytest.fixture(autouse=True)
def double() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


class Draw:
    """Random irreps as strings."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def irreps(self, lmax: int = 3) -> str:
        return "+".join(
            f"{self.random.randint(1, 4)}x{self.random.randint(0, lmax)}{self.random.choice('eo')}"
            for _ in range(self.random.randint(1, 4))
        )

    def acts(self, irreps: str) -> list:
        return [
            self.random.choice(ODD_ACTS if ir.p == -1 else EVEN_ACTS) for _, ir in Irreps(irreps)
        ]

    def gated(self, n: int) -> str:
        blocks = []
        while n:
            mul = self.random.randint(1, n)
            blocks.append(f"{mul}x{self.random.randint(0, 2)}{self.random.choice('eo')}")
            n -= mul
        return "+".join(blocks)


def assert_same(ours: torch.nn.Module, theirs: torch.nn.Module, x: torch.Tensor) -> None:
    """With the peer's state: same keys and shapes, outputs and gradients to 1e-12."""
    state = {key: value for key, value in theirs.state_dict().items() if "_compiled" not in key}
    mine = ours.state_dict()
    assert {k: v.shape for k, v in mine.items()} == {k: v.shape for k, v in state.items()}
    ours.load_state_dict(theirs.state_dict())
    for name in ("irreps_in", "irreps_out"):
        if hasattr(theirs, name) and hasattr(ours, name):
            assert str(getattr(ours, name)) == str(getattr(theirs, name))
    x = x.requires_grad_(True)
    results = []
    for module in (ours, theirs):
        out = module(x)
        out = torch.cat(out, -1) if isinstance(out, tuple) else out
        cotangent = torch.linspace(1, 2, out.numel()).reshape(out.shape)
        results.append((out, torch.autograd.grad((out * cotangent).sum(), x)[0]))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def features(irreps: object, *shape: int) -> torch.Tensor:
    return Irreps(str(irreps)).randn(*shape, -1, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("seed", range(30))
def test_gate(seed: int) -> None:
    draw = Draw(seed)
    scalars, gates = draw.irreps(0), draw.irreps(0)
    gated = draw.gated(Irreps(gates).num_irreps)
    arguments = (scalars, draw.acts(scalars), gates, draw.acts(gates), gated)
    theirs = peer_nn.Gate(*arguments)
    assert_same(nn.Gate(*arguments), theirs, features(theirs.irreps_in, 3))


BATCH_NORMS = [
    {},
    {"affine": False},
    {"include_bias": False},
    {"instance": True},
    {"normalization": "norm"},
    {"reduce": "max"},
    {"reduce": "max", "instance": True},
    {"momentum": 0.3, "eps": 0.1},
]


@pytest.mark.parametrize(("seed", "options"), list(itertools.product(range(4), BATCH_NORMS)))
def test_batch_norm(seed: int, options: dict) -> None:
    irreps = Draw(seed).irreps()
    ours, theirs = nn.BatchNorm(irreps, **options), peer_nn.BatchNorm(irreps, **options)
    generator = torch.Generator().manual_seed(seed)
    state = theirs.state_dict()
    for key, value in state.items():
        state[key] = torch.rand(value.shape, generator=generator) + 0.5
    theirs.load_state_dict(state)
    x = features(irreps, 3, 4)
    assert_same(ours, theirs, x)
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[key], value, rtol=1e-12, atol=1e-12)
    assert_same(ours.eval(), theirs.eval(), x)


@pytest.mark.parametrize("seed", range(8))
def test_other_modules(seed: int) -> None:
    draw = Draw(seed)
    scalars, irreps = draw.irreps(0), draw.irreps()
    acts = draw.acts(scalars)
    assert_same(
        nn.Activation(scalars, acts), peer_nn.Activation(scalars, acts), features(scalars, 3)
    )
    peer_irreps = peer_o3.Irreps(irreps)
    for bias in (True, False):
        assert_same(
            nn.NormActivation(irreps, torch.sigmoid, True, 1e-4, bias),
            peer_nn.NormActivation(peer_irreps, torch.sigmoid, True, 1e-4, bias),
            features(irreps, 3),
        )
    blocks = [(len(peer_irreps) - 1, 0), (0,)]
    outs = ["+".join(str(peer_irreps[i]) for i in taken) for taken in blocks]
    assert_same(
        nn.Extract(irreps, outs, blocks),
        peer_nn.Extract(irreps, outs, blocks),
        features(irreps, 3),
    )
    ir = str(peer_irreps[0].ir)
    assert_same(nn.ExtractIr(irreps, ir), peer_nn.ExtractIr(irreps, ir), features(irreps, 3))
    assert_same(nn.Identity(irreps, irreps), peer_nn.Identity(irreps, irreps), features(irreps, 3))
    x = features(irreps, 4, 2)
    torch.manual_seed(seed)
    expected = peer_nn.Dropout(peer_irreps, 0.4)(x)
    torch.manual_seed(seed)
    assert torch.equal(nn.Dropout(irreps, 0.4)(x), expected)


@pytest.mark.parametrize("act", [None, torch.tanh])
@pytest.mark.parametrize("out_act", [False, True])
def test_fully_connected_net(act: object, out_act: bool) -> None:
    arguments = ([3, 5, 4, 2], act, 2, 3, out_act)
    x = torch.linspace(-1, 1, 12).reshape(4, 3)
    assert_same(nn.FullyConnectedNet(*arguments), peer_nn.FullyConnectedNet(*arguments), x)
    torch.manual_seed(0)
    ours = nn.FullyConnectedNet(*arguments)
    torch.manual_seed(0)
    assert torch.equal(ours.layer1.weight, peer_nn.FullyConnectedNet(*arguments).layer1.weight)


@pytest.mark.parametrize("f", [F.silu, torch.tanh, torch.sigmoid, F.gelu, torch.cos])
def test_constants_of_activations(f: object) -> None:
    theirs = peer_math.normalize2mom(f).cst
    assert math.normalize2mom(f).cst == pytest.approx(theirs, rel=1e-14)  # another power
    for n, dtype in ((2, None), (4, torch.float32)):
        assert torch.equal(math.moment(f, n, dtype), peer_math.moment(f, n, dtype))


@pytest.mark.parametrize("basis", ["gaussian", "cosine", "smooth_finite", "fourier", "bessel"])
@pytest.mark.parametrize("cutoff", [True, False])
def test_radial_functions(basis: str, cutoff: bool) -> None:
    x = torch.linspace(-0.5, 1.7, 101)
    arguments = (-0.2, 1.3, 4, basis, cutoff)
    ours = math.soft_one_hot_linspace(x, *arguments)
    theirs = peer_math.soft_one_hot_linspace(x, *arguments)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(math.soft_unit_step(x), peer_math.soft_unit_step(x))
    inside = x[x > 0]
    torch.testing.assert_close(math.bessel(inside, 3, 2.0), peer_math.bessel(inside, 3, 2.0))


def test_errors_of_equivariance_have_the_form_of_the_peer() -> None:
    from e3nn.util.test import equivariance_error

    def f(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x - x[:1], y.abs()

    args = [features("1o", 3), features("2x0e", 3)]
    kinds = (["cartesian_points", "2x0e"], ["1x1o", "2x0e"])
    ours = testing.equivariance_error(f, args, *kinds)
    theirs = equivariance_error(f, args, *kinds)
    assert set(ours) == set(theirs)
    assert all(ours[case].shape == theirs[case].shape for case in ours)
    assert all(float(ours[case].max()) < 1e-12 for case in ours)


@pytest.mark.parametrize("random_rot", [False, True])
@pytest.mark.parametrize(
    ("irreps", "act"), [("0o+1o+2o", torch.tanh), ("0o+1e+2o", torch.abs), ("0e+1o+2e", F.silu)]
)
def test_s2_activation(irreps: str, act: object, random_rot: bool) -> None:
    options = {"lmax_out": 3, "random_rot": random_rot}
    ours = nn.S2Activation(irreps, act, 12, **options)
    theirs = peer_nn.S2Activation(peer_o3.Irreps(irreps), act, 12, **options)
    if random_rot:
        x = features(irreps, 3)
        torch.manual_seed(0)
        expected = theirs(x)
        torch.manual_seed(0)
        torch.testing.assert_close(ours(x), expected, rtol=1e-12, atol=1e-12)
    else:
        assert_same(ours, theirs, features(irreps, 3))


def test_so3_activation() -> None:
    arguments = (1, 2, torch.tanh, 4)
    x = torch.linspace(-1, 1, 20).reshape(2, 10)
    assert_same(nn.SO3Activation(*arguments), peer_nn.SO3Activation(*arguments), x)


def test_spherical_tensor() -> None:
    peer_io = pytest.importorskip("e3nn.io")
    from symscape.io import SphericalTensor

    ours, theirs = SphericalTensor(3, 1, -1), peer_io.SphericalTensor(3, 1, -1)
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, 5, 3, generator=generator)
    values, signal = torch.rand(2, 5, generator=generator), torch.randn(16, generator=generator)
    center = torch.ones(3)
    calls = [
        lambda t: [t.with_peaks_at(vectors[0]), t.with_peaks_at(vectors[0], values[0])],
        lambda t: [t.sum_of_diracs(vectors, values), t.norms(signal)],
        lambda t: [t.from_samples_on_s2(vectors, values, 20), t.signal_xyz(signal, vectors)],
        lambda t: t.signal_on_grid(signal, 10, "component"),
        lambda t: t.plot(signal, center, 10),
        lambda t: t.plot(signal, center, 10, False, True),
    ]
    for call in calls:
        for a, b in zip(call(ours), call(theirs)):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
