"""Rotations: definitions, round trips at regular and singular places, derivatives."""

import functools
import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from symscape import o3

F64 = torch.float64


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _special():
    """The identity, half turns, poles of the angles."""
    eye = torch.eye(3, dtype=F64)
    pi = torch.tensor(math.pi, dtype=F64)
    turns = [
        matrix(angle)
        for matrix in (o3.matrix_x, o3.matrix_y, o3.matrix_z)
        for angle in (pi, pi / 2, -pi / 2, pi / 1e4)
    ]
    return torch.stack([eye, *turns])


def _rotations():
    return torch.cat([o3.rand_matrix(50, dtype=F64, generator=_generator()), _special()])


def test_angles_are_turns_about_y_x_y():
    alpha, beta, gamma = o3.rand_angles(5, dtype=F64, generator=_generator())
    R = o3.matrix_y(alpha) @ o3.matrix_x(beta) @ o3.matrix_y(gamma)
    torch.testing.assert_close(o3.angles_to_matrix(alpha, beta, gamma), R)
    pole = torch.tensor([0.0, 1, 0], dtype=F64)
    torch.testing.assert_close(o3.angles_to_xyz(alpha, beta), R @ pole)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_quarter_turns_follow_the_right_hand(axis):
    turn = (o3.matrix_x, o3.matrix_y, o3.matrix_z)[axis](torch.tensor(math.pi / 2, dtype=F64))
    eye = torch.eye(3, dtype=F64)
    torch.testing.assert_close(turn @ eye[(axis + 1) % 3], eye[(axis + 2) % 3])


@pytest.mark.parametrize("form", ["angles", "quaternion", "axis_angle"])
def test_round_trips_at_regular_and_singular_rotations(form):
    R = _rotations()
    there = getattr(o3, f"matrix_to_{form}")(R)
    back = getattr(o3, f"{form}_to_matrix")
    torch.testing.assert_close(
        back(*there) if isinstance(there, tuple) else back(there), R, rtol=0, atol=1e-12
    )


def test_compositions_and_inverses_are_those_of_matrices():
    R1, R2 = o3.rand_matrix(2, 20, dtype=F64, generator=_generator())
    for form in ("angles", "quaternion", "axis_angle"):
        to, back = getattr(o3, f"matrix_to_{form}"), getattr(o3, f"{form}_to_matrix")
        pack = (lambda x: x) if form != "quaternion" else (lambda x: (x,))
        product = pack(getattr(o3, f"compose_{form}")(*pack(to(R1)), *pack(to(R2))))
        torch.testing.assert_close(back(*product), R1 @ R2, rtol=0, atol=1e-12)
        if form != "axis_angle":
            inverse = pack(getattr(o3, f"inverse_{form}")(*pack(to(R1))))
            torch.testing.assert_close(back(*inverse), R1.mT, rtol=0, atol=1e-12)


def test_small_and_half_turns_keep_all_digits():
    axis = torch.tensor([0.36, 0.48, 0.8], dtype=F64)
    for angle in (1e-9, 1e-4, math.pi - 1e-9, math.pi):
        R = o3.axis_angle_to_matrix(axis, torch.tensor(angle, dtype=F64))
        found_axis, found = o3.matrix_to_axis_angle(R)
        assert abs(float(found) - angle) < 1e-14
        assert abs(abs(float(found_axis @ axis)) - 1) < 1e-12


@pytest.mark.parametrize(
    "function",
    [
        lambda R: o3.matrix_to_angles(R),
        lambda R: o3.matrix_to_quaternion(R),
        lambda R: o3.matrix_to_axis_angle(R),
        lambda R: o3.xyz_to_angles(R[..., 0]),
        lambda R: o3.xyz_to_angles(0 * R[..., 0]),
    ],
)
def test_gradients_are_finite_at_singular_places(function):
    R = _special().requires_grad_()
    values = function(R)
    total = sum(v.sum() for v in values) if isinstance(values, tuple) else values.sum()
    (gradient,) = torch.autograd.grad(total, R)
    assert torch.isfinite(gradient).all()


def test_gradients_at_regular_places():
    q = o3.rand_quaternion(4, dtype=F64, generator=_generator(), requires_grad=True)
    assert torch.autograd.gradcheck(o3.quaternion_to_matrix, q)
    assert torch.autograd.gradcheck(o3.quaternion_to_axis_angle, q)
    xyz = torch.randn(4, 3, dtype=F64, generator=_generator()).requires_grad_()
    assert torch.autograd.gradcheck(o3.xyz_to_angles, xyz)
    angle = torch.rand(4, dtype=F64, generator=_generator()).requires_grad_()
    assert torch.autograd.gradcheck(o3.axis_angle_to_matrix, (xyz, angle))
    assert torch.autograd.gradgradcheck(o3.axis_angle_to_matrix, (xyz, angle))


def test_random_rotations_are_uniform():
    R = o3.rand_matrix(20000, dtype=F64, generator=_generator())
    # Haar: entries have mean 0 and variance 1/3, and are uncorrelated
    moments = R.flatten(1).T @ R.flatten(1) / len(R)
    torch.testing.assert_close(moments, torch.eye(9, dtype=F64) / 3, rtol=0, atol=0.02)
    assert R.mean(0).abs().max() < 0.02


def test_maps_under_vmap_and_compile():
    R = o3.rand_matrix(6, dtype=F64, generator=_generator())
    torch.testing.assert_close(
        torch.func.vmap(o3.matrix_to_quaternion)(R), o3.matrix_to_quaternion(R)
    )
    compiled = torch.compile(o3.matrix_to_angles, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(R), o3.matrix_to_angles(R))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="determinant 1"):
        o3.matrix_to_angles(-torch.eye(3))
    with pytest.raises(ValueError, match=r"R must have shape \(\.\.\., 3, 3\); got \(3, 2\)"):
        o3.matrix_to_quaternion(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="q must have shape"):
        o3.quaternion_to_matrix(torch.zeros(3))
    with pytest.raises(ValueError, match="xyz must have shape"):
        o3.xyz_to_angles(torch.zeros(4))


_MAPS = (
    o3.matrix_to_angles,
    o3.matrix_to_quaternion,
    o3.matrix_to_axis_angle,
    o3.Irrep("2e").D_from_matrix,
    o3.Irreps("0o+1o").D_from_matrix,
)


@pytest.mark.parametrize("of", _MAPS)
@pytest.mark.parametrize(
    "R",
    [
        2 * torch.eye(3),
        torch.ones(3, 3),
        torch.diag(torch.tensor([2.0, 0.5, 1.0])),
        torch.eye(3) / 0,
    ],
)
def test_only_orthogonal_matrices_have_a_representation(of, R):
    """Determinant 1 is not enough, one bad matrix in a batch is refused, and so is NaN."""
    with pytest.raises(ValueError, match="R: a matrix given that is not orthogonal"):
        of(torch.stack([torch.eye(3), R]))


@pytest.mark.parametrize("of", _MAPS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_rounding_is_no_deviation(of, dtype):
    R = o3.rand_matrix(1000, 20, dtype=dtype, generator=_generator())
    of(functools.reduce(torch.matmul, R.unbind(1)))
    of(torch.zeros(0, 3, 3, dtype=dtype))


@pytest.mark.parametrize("of", _MAPS[:3])
def test_mirrors_are_no_rotations(of):
    with pytest.raises(ValueError, match="R: a matrix of determinant -1 given"):
        of(-torch.eye(3))


@pytest.mark.parametrize("of", _MAPS)
def test_matrices_are_not_looked_at_where_they_have_no_values(of):
    R = o3.rand_matrix(5, dtype=F64, generator=_generator())
    of(R.to("meta"))
    with FakeTensorMode() as mode:
        of(mode.from_tensor(R))
    expected = of(R)
    for f in (torch.func.vmap(of), torch.compile(of, backend="eager", fullgraph=True)):
        torch.testing.assert_close(f(R), expected)


def test_axes_of_the_thesis():
    alpha, beta, gamma = o3.rand_angles(5, dtype=F64, generator=_generator())
    R = o3.matrix_z(alpha) @ o3.matrix_y(beta) @ o3.matrix_z(gamma)
    x = torch.randn(5, 3, dtype=F64, generator=_generator())
    turned = o3.to_thesis_axes(
        (o3.angles_to_matrix(alpha, beta, gamma) @ o3.from_thesis_axes(x)[..., None])[..., 0]
    )
    torch.testing.assert_close(turned, (R @ x[..., None])[..., 0])
