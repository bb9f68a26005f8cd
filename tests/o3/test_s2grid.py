"""Grids on the sphere and on SO(3), and their transforms."""

import math
import re

import pytest
import torch

from symscape import o3
from symscape.o3._s2grid import quadrature_weights

F64 = torch.float64


@pytest.mark.parametrize("res", [1, 2, 5, 8, 15])
def test_quadrature_is_exact_below_its_number_of_points(res):
    beta, _ = o3.s2_grid(res, 1, F64)
    weights = quadrature_weights(res)
    for degree in range(res):
        exact = 0.0 if degree % 2 else 2 / (degree + 1)
        assert abs(float(weights @ torch.cos(beta) ** degree) - exact) < 1e-14


@pytest.mark.parametrize("normalization", ["component", "norm", "integral"])
@pytest.mark.parametrize(("lmax", "res"), [(0, None), (3, None), (3, 7), (4, (9, 12)), (5, 17)])
def test_round_trip_at_even_and_odd_resolutions(lmax, res, normalization):
    to = o3.ToS2Grid(lmax, res, normalization, dtype=F64)
    back = o3.FromS2Grid((to.res_beta, to.res_alpha), lmax, normalization, dtype=F64)
    eye = torch.eye((lmax + 1) ** 2, dtype=F64)
    torch.testing.assert_close(back(to(eye)), eye, rtol=0, atol=1e-13)


def test_signal_is_the_sum_of_harmonics():
    to = o3.ToS2Grid(3, (9, 10), "integral", dtype=F64)
    x = torch.randn(2, 16, dtype=F64)
    y = o3.spherical_harmonics(list(range(4)), to.grid, True)
    torch.testing.assert_close(to(x), torch.einsum("bai,zi->zba", y, x))


def test_large_grids_are_transformed_in_two_steps(monkeypatch):
    small = o3.ToS2Grid(3, dtype=F64), o3.FromS2Grid(8, 3, dtype=F64)
    monkeypatch.setattr("symscape.o3._s2grid._DENSE", 0)
    large = o3.ToS2Grid(3, dtype=F64), o3.FromS2Grid(8, 3, dtype=F64)
    x = torch.randn(5, 2, 16, dtype=F64)
    torch.testing.assert_close(large[0](x), small[0](x))
    torch.testing.assert_close(large[1](small[0](x)), x)


def test_state_and_dtype():
    to = o3.ToS2Grid(2)
    assert list(to.state_dict()) == ["alphas", "betas", "sha", "shb"]
    x = torch.randn(9, dtype=F64)
    assert to.to(F64)(x).dtype == F64


def test_fourier_transforms_are_inverse():
    x = torch.randn(3, 7, dtype=F64)
    torch.testing.assert_close(o3.irfft(o3.rfft(x, 3), 7), 7 * x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: o3.ToS2Grid(), "one of lmax and res must be given"),
        (lambda: o3.ToS2Grid(3, 6), "res must have at least 2 lmax + 1 = 7 points in beta"),
        (lambda: o3.FromS2Grid((8, 5), 3), "res must have at least 2 lmax + 1 = 7 points in alph"),
        (lambda: o3.ToS2Grid(3, normalization="x"), "normalization must be one of component"),
        (lambda: o3.ToS2Grid(1)(torch.zeros(5)), "x must have 4 coefficients for lmax = 1"),
        (lambda: o3.FromS2Grid(4)(torch.zeros(5, 5)), "x must have shape (..., 4, 3)"),
        (lambda: o3.rfft(torch.zeros(4), 2), "x must have at least 2 l + 1 = 5 angles; got 4"),
        (lambda: o3.irfft(torch.zeros(4), 2), "x must have an odd number of coefficients"),
        (lambda: o3.SO3Grid(2, 2).from_grid(torch.zeros(8, 4, 8)), "at least lmax + 1 = 3"),
        (lambda: o3.SO3Grid(1, 2, normalization="norm"), "normalization must be 'component'"),
        (lambda: o3.SO3Grid(1, 2).to_grid(torch.zeros(9)), "features must have 10 coefficients"),
    ],
)
def test_errors_name_the_resolution(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_rotation_grid():
    before = torch.get_default_dtype()
    torch.set_default_dtype(F64)
    try:
        grid = o3.SO3Grid(2, 3, aspect_ratio=1)
    finally:
        torch.set_default_dtype(before)
    x = torch.randn(4, 35, dtype=F64)
    signal = grid.to_grid(x)
    torch.testing.assert_close(grid.from_grid(signal), x)
    assert abs(float(grid.qw.sum()) * len(grid.alpha) * len(grid.gamma) - 1) < 1e-14
    alpha, beta, gamma = grid.alpha[1], grid.beta[2], grid.gamma[3]
    value = sum(
        math.sqrt(2 * l + 1) * (part.unflatten(-1, (2 * l + 1, -1)) * D).sum((-1, -2))
        for l, part in enumerate(x.split([1, 9, 25], -1))
        for D in [o3.wigner_D(l, alpha, beta, gamma)]
    )
    torch.testing.assert_close(signal[:, 1, 2, 3], value / math.sqrt(35))
