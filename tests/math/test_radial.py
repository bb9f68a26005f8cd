"""Radial functions: closed forms, orthogonality, partition of unity, finite derivatives."""

import itertools
import math

import pytest
import torch

from symscape.math import bessel, soft_one_hot_linspace, soft_unit_step

BASES = ["gaussian", "cosine", "smooth_finite", "fourier", "bessel"]


def test_unit_step_has_its_closed_form() -> None:
    x = torch.tensor([-1.0, 0.0, 0.1, 1.0, 50.0], dtype=torch.float64)
    expected = [0.0, 0.0, math.exp(-10), math.exp(-1), math.exp(-0.02)]
    assert soft_unit_step(x).tolist() == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unit_step_has_finite_derivatives_at_its_foot(dtype: torch.dtype) -> None:
    x = torch.tensor([-1.0, 0.0, 1e-300, 1e-30, 1e-4, 1e-2], dtype=dtype, requires_grad=True)
    value = soft_unit_step(x)
    for _ in range(3):
        (value,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        assert torch.isfinite(value).all()


def test_unit_step_gradients() -> None:
    x = torch.tensor([-0.5, 0.1, 0.7, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(soft_unit_step, x)
    assert torch.autograd.gradgradcheck(soft_unit_step, x)


@pytest.mark.parametrize("x_max", [1.0, 2.5])
def test_bessel_functions_are_orthonormal_and_vanish_at_the_end(x_max: float) -> None:
    x = torch.linspace(0.0, x_max, 4001, dtype=torch.float64)
    values = bessel(x, 5, x_max)
    gram = torch.trapezoid(
        values[:, :, None] * values[:, None, :] * x[:, None, None] ** 2, x, dim=0
    )
    assert torch.allclose(gram, torch.eye(5, dtype=torch.float64), atol=1e-5)
    assert values[-1].abs().max() < 1e-13


def test_bessel_functions_and_derivatives_at_zero() -> None:
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    k = torch.arange(1, 4, dtype=torch.float64)
    assert torch.allclose(bessel(x, 3)[0], 2**0.5 * k * math.pi)
    (first,) = torch.autograd.grad(bessel(x, 3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first, x)
    # sin(qx)/x = q - q^3 x^2/6 + ...
    assert first.item() == 0.0
    assert second.item() == pytest.approx(
        float(-(2**0.5) * ((k * math.pi) ** 3).sum() / 3), rel=1e-9
    )


@pytest.mark.parametrize(
    ("basis", "spread"),
    [("gaussian", 0.02), ("cosine", 1e-12), ("smooth_finite", 0.33), ("fourier", 0.07)],
)
@pytest.mark.parametrize("cutoff", [True, False])
def test_squares_sum_to_one_on_average_inside(basis: str, spread: float, cutoff: bool) -> None:
    x = torch.linspace(0.3, 0.7, 401, dtype=torch.float64)
    squares = soft_one_hot_linspace(x, 0.0, 1.0, 10, basis, cutoff).pow(2).sum(-1)
    assert (squares - 1).abs().max() < spread
    assert (squares.mean() - 1).abs() < 0.03


@pytest.mark.parametrize("basis", ["cosine", "smooth_finite", "fourier", "bessel"])
def test_cutoff_functions_vanish_outside(basis: str) -> None:
    x = torch.tensor([-3.0, 0.5, 2.0, 7.0], dtype=torch.float64)
    values = soft_one_hot_linspace(x, 0.5, 2.0, 4, basis, True)
    assert values.abs().max() < 1e-14
    inside = soft_one_hot_linspace(
        torch.tensor([1.3], dtype=torch.float64), 0.5, 2.0, 4, basis, True
    )
    assert inside.abs().max() > 0.1


@pytest.mark.parametrize(("basis", "cutoff"), list(itertools.product(BASES, [True, False])))
def test_derivatives_are_finite_everywhere_and_right(basis: str, cutoff: bool) -> None:
    def f(x: torch.Tensor) -> torch.Tensor:
        return soft_one_hot_linspace(x, 0.0, 2.0, 3, basis, cutoff)

    special = torch.tensor(
        [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0], dtype=torch.float64, requires_grad=True
    )
    (first,) = torch.autograd.grad(f(special).sum(), special, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), special)
    assert torch.isfinite(f(special)).all()
    assert torch.isfinite(first).all()
    assert torch.isfinite(second).all()
    generic = torch.tensor([0.13, 0.61, 1.17, 1.83], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, generic)
    assert torch.autograd.gradgradcheck(f, generic)


def test_centers_with_and_without_cutoff() -> None:
    for cutoff, centers in ((True, [0.25, 0.5, 0.75]), (False, [0.0, 0.5, 1.0])):
        values = soft_one_hot_linspace(torch.tensor(centers), 0.0, 1.0, 3, "cosine", cutoff)
        assert torch.allclose(values, torch.eye(3), atol=1e-6)


def test_shapes_and_empty_input() -> None:
    assert soft_one_hot_linspace(torch.rand(2, 3), 0, 1, 4, "gaussian", True).shape == (2, 3, 4)
    assert soft_one_hot_linspace(torch.rand(0), 0, 1, 4, "fourier", False).shape == (0, 4)
    assert bessel(torch.rand(2, 0), 3).shape == (2, 0, 3)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"basis": "splines"}, "basis"),
        ({"basis": None}, "basis"),
        ({"cutoff": None}, "cutoff"),
        ({"number": 0}, "number"),
        ({"number": 1, "cutoff": False}, "number"),
        ({"end": 0.0}, "end"),
    ],
)
def test_wrong_arguments_are_named(change: dict, name: str) -> None:
    arguments = {"start": 0.0, "end": 1.0, "number": 3, "basis": "gaussian", "cutoff": True}
    with pytest.raises(ValueError, match=f"^{name}"):
        soft_one_hot_linspace(torch.rand(2), **(arguments | change))


def test_wrong_arguments_of_bessel() -> None:
    with pytest.raises(ValueError, match="x_max"):
        bessel(torch.rand(2), 3, 0.0)
    with pytest.raises(ValueError, match="n:"):
        bessel(torch.rand(2), -1)
