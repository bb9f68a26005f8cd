"""Integers as arguments: one function, all packages."""

from functools import partial

import numpy as np
import pytest
import torch

from symscape import diffeo, io, o3
from symscape._arguments import integer
from symscape.diffeo import zoo
from symscape.dynamics import SGD, Adam, Chebyshev, Plateau, Record, Stop
from symscape.math import bessel
from symscape.networks import FullyConnected, Propagator, width_from_weights


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)])
def test_an_integer_is_what_can_be_an_index(value):
    assert type(integer("n", value, 1, 3)) is int
    assert integer("n", value) == 3


@pytest.mark.parametrize("value", [True, np.bool_(True), 3.0, np.float64(3), "3", None, [3]])
def test_nothing_else_is_an_integer(value):
    with pytest.raises(ValueError, match=r"n: .* given; allowed: an integer >= 1"):
        integer("n", value, 1)


def test_bounds_are_named():
    with pytest.raises(ValueError, match="n: 0 given; allowed: an integer >= 1"):
        integer("n", 0, 1)
    with pytest.raises(ValueError, match=r"given; allowed: an integer from 1 to 4"):
        integer("n", np.int64(5), 1, 4)
    with pytest.raises(ValueError, match="n: 9 given; allowed: None or less"):
        integer("n", 9, most=8, allowed="None or less")


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (partial(FullyConnected, h=30), {"d": 10, "L": 3, "c": 2}),
        (Stop, {"max_steps": 10, "check_every": 2}),
        (Record, {"per_decade": 3, "every": 5}),
        (Plateau, {"steps": 4}),
        (lambda **numbers: SGD(lr=1.0, **numbers), {"batch": 3, "seed": 4, "decay_every": 5}),
        (Adam, {"decay_every": 3, "decay_start": 4}),
        (Chebyshev, {"max_stages": 9}),
    ],
)
def test_integers_of_numpy_are_kept_as_python_integers(make, fields):
    made = make(**{name: np.int64(value) for name, value in fields.items()})
    assert made == make(**fields)
    assert all(type(getattr(made, name)) is int for name in fields)
    for name in fields:
        with pytest.raises(ValueError, match=f"{name}: 1.5 given"):
            make(**(fields | {name: 1.5}))


def test_arguments_of_networks():
    net = FullyConnected(d=3, h=4, L=1)
    assert type(FullyConnected(d=3, h=np.int64(4), L=1).h) is int
    assert torch.equal(net.initial_weights(np.int64(1)), net.initial_weights(1))
    assert Propagator(net, torch.zeros(2, 3), members=np.int64(2)).members == 2
    assert width_from_weights(100, np.int64(4), np.int64(1)) == 20


def test_arguments_of_representations():
    one, two = np.int64(1), torch.tensor(2)
    assert o3.Irrep(two, np.int8(-1)) == o3.Irrep("2o")
    assert o3.Irreps([(np.int64(16), (one, -1)), (two, "0e")]) == o3.Irreps("16x1o+2x0e")
    assert repr(two * o3.Irrep("1o")) == "2x1o"
    assert all(type(n) is int for n in (*o3.Irrep(one, one), o3.Irreps([(two, "0e")]).dim))
    assert torch.equal(o3.wigner_3j(one, one, two), o3.wigner_3j(1, 1, 2))
    x = torch.randn(4, 3)
    for degrees in (np.int64(2), torch.tensor(2), [np.int64(0), 2]):
        plain = 2 if not isinstance(degrees, list) else [0, 2]
        expected = o3.spherical_harmonics(plain, x, True)
        assert torch.equal(o3.spherical_harmonics(degrees, x, True), expected)
        assert torch.equal(o3.SphericalHarmonics(degrees, True)(x), expected)
    signal = torch.randn(9)
    grid = o3.ToS2Grid(np.int64(2), np.int64(10))
    assert torch.equal(grid(signal), o3.ToS2Grid(2, 10)(signal))
    assert io.SphericalTensor(two, 1, -1) == io.SphericalTensor(2, 1, -1)
    r = torch.rand(5)
    assert torch.equal(bessel(r, two), bessel(r, 2))


def test_arguments_of_deformations():
    c, n, seed = np.int64(3), np.int32(12), np.int64(5)
    images = torch.rand(2, 1, 12, 12)
    plain = diffeo.MaximumEntropy(0.01, 3)
    ensemble = diffeo.MaximumEntropy(0.01, c)
    assert ensemble == plain
    assert type(ensemble.c) is int
    seeds = diffeo.sample_seeds(seed, np.int64(2))
    assert torch.equal(seeds, diffeo.sample_seeds(5, 2))
    assert torch.equal(ensemble.fields(n, seeds), plain.fields(12, seeds))
    assert torch.equal(ensemble.fields((n, n), seeds), plain.fields(12, seeds))
    assert diffeo.temperature(1.0, c, n) == diffeo.temperature(1.0, 3, 12)
    assert torch.equal(ensemble.deform(images, seeds), plain.deform(images, seeds))
    assert zoo.n_parameters(zoo.build("lenet", np.int64(1), np.int64(28), np.int64(2))) > 0
    for wrong in (3.0, True, np.float64(3)):
        with pytest.raises(ValueError, match=r"c: .* given; allowed"):
            diffeo.MaximumEntropy(0.01, wrong)
