"""Activations of signals on the sphere and on SO(3)."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F

from symscape import nn
from symscape.math import normalize2mom
from symscape.o3 import rand_matrix, spherical_harmonics
from symscape.testing import equivariance_error


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_square_of_a_signal_is_exact_on_a_fine_grid() -> None:
    # the square of degree 2 has degree 4, which the grid holds
    activation = nn.S2Activation("0e+1o+2e", torch.square, 20, lmax_out=4, normalization="integral")
    signal, points = randn(3, 9), randn(7, 3)

    def values(coefficients: torch.Tensor, lmax: int) -> torch.Tensor:
        degrees = list(range(lmax + 1))
        return coefficients @ spherical_harmonics(degrees, points, True, "integral").mT

    expected = normalize2mom(torch.square)(values(signal, 2))
    torch.testing.assert_close(values(activation(signal), 4), expected)
    error = equivariance_error(activation, [signal])
    assert all(float(value) < 1e-10 for value in error.values())


def test_error_of_the_grid_falls_with_its_resolution() -> None:
    signal = randn(3, 9)
    errors = []
    for res in (10, 40):
        activation = nn.S2Activation("0e+1o+2e", F.silu, res)
        errors.append(float(equivariance_error(activation, [signal], do_parity=False)[0, False]))
    assert errors[1] < 1e-3 * max(errors[0], 1e-9) or errors[1] < 1e-8


def test_parities() -> None:
    cases = [
        ("0e+1o+2e", F.silu, "1x0e+1x1o+1x2e"),
        ("0o+1e+2o", torch.tanh, "1x0o+1x1e+1x2o"),
        ("0o+1e+2o", torch.abs, "1x0e+1x1o+1x2e"),
        ("0o", torch.cos, "1x0e"),
    ]
    for irreps, act, out in cases:
        activation = nn.S2Activation(irreps, act, 10)
        assert str(activation.irreps_out) == out
        errors = equivariance_error(activation, [randn(2, activation.irreps_in.dim)])
        assert float((errors[1, False] - errors[0, False]).abs()) < 0.1
    with pytest.raises(ValueError, match="parity is violated"):
        nn.S2Activation("0o+1e", F.silu, 10)
    with pytest.raises(ValueError, match="irreps: 2x0e"):
        nn.S2Activation("2x0e+1o", F.silu, 10)
    with pytest.raises(ValueError, match="irreps: 1x0e"):
        nn.S2Activation("0e+2e", F.silu, 10)


def test_random_rotation_changes_only_the_error_of_the_grid() -> None:
    torch.manual_seed(0)
    plain = nn.S2Activation("0e+1o+2e", F.silu, 30)
    turned = nn.S2Activation("0e+1o+2e", F.silu, 30, random_rot=True)
    signal = randn(3, 9)
    torch.testing.assert_close(turned(signal), plain(signal), rtol=1e-5, atol=1e-5)


def test_so3_activation_is_equivariant_on_both_sides() -> None:
    torch.manual_seed(0)
    activation = nn.SO3Activation(1, 2, torch.square, 5)
    features = randn(3, 10)
    left, right = rand_matrix(), rand_matrix()
    from symscape.o3 import Irrep

    def act(x: torch.Tensor, lmax: int) -> torch.Tensor:
        blocks, start = [], 0
        for l in range(lmax + 1):
            block = x[:, start : start + (2 * l + 1) ** 2].unflatten(-1, (2 * l + 1, 2 * l + 1))
            irrep = Irrep(l, 1)
            d_left, d_right = irrep.D_from_matrix(left), irrep.D_from_matrix(right)
            blocks.append((d_left @ block @ d_right.mT).flatten(1))
            start += (2 * l + 1) ** 2
        return torch.cat(blocks, 1)

    torch.testing.assert_close(activation(act(features, 1)), act(activation(features), 2))


def test_copies_and_derivatives() -> None:
    for activation, dim in (
        (nn.S2Activation("0e+1o", torch.tanh, 6), 4),
        (nn.SO3Activation(1, 1, torch.tanh, 2), 10),
    ):
        x = randn(2, dim).requires_grad_(True)
        for other in (copy.deepcopy(activation), pickle.loads(pickle.dumps(activation))):
            assert torch.equal(other(x), activation(x))
        assert torch.autograd.gradcheck(activation, x)
        assert activation(x[:0]).shape[0] == 0
        with pytest.raises(ValueError, match="features: shape"):
            activation(x[:, 1:])
