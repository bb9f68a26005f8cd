"""Rotations: angles, matrices, quaternions, axis and angle, and the maps between them.

Euler angles are Y-X-Y: ``R = R_y(alpha) R_x(beta) R_y(gamma)``, so a point of the sphere is
``(sin(beta) sin(alpha), cos(beta), sin(beta) cos(alpha))``. Where a map has no derivative (angles
at the poles, the axis at the identity) the gradient is 0, never NaN.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from symscape.contraction._context import is_eager

__all__ = [
    "angles_to_axis_angle",
    "angles_to_matrix",
    "angles_to_quaternion",
    "angles_to_xyz",
    "axis_angle_to_angles",
    "axis_angle_to_matrix",
    "axis_angle_to_quaternion",
    "compose_angles",
    "compose_axis_angle",
    "compose_quaternion",
    "from_thesis_axes",
    "identity_angles",
    "identity_quaternion",
    "inverse_angles",
    "inverse_quaternion",
    "matrix_to_angles",
    "matrix_to_axis_angle",
    "matrix_to_quaternion",
    "matrix_x",
    "matrix_y",
    "matrix_z",
    "quaternion_to_angles",
    "quaternion_to_axis_angle",
    "quaternion_to_matrix",
    "rand_angles",
    "rand_axis_angle",
    "rand_matrix",
    "rand_quaternion",
    "to_thesis_axes",
    "xyz_to_angles",
]

_ORTHOGONALITY_TOLERANCE = 1e-4
"""Many products of rotations in float32 stay below it."""


# Random elements and the identity


def rand_angles(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Euler angles of uniformly distributed (Haar) rotations.

    Args:
        *shape: of each of the three angles.
        requires_grad: as in ``torch.rand``.
        dtype: as in ``torch.rand``.
        device: as in ``torch.rand``.
        generator: source of randomness; None is torch's global one.

    Returns:
        ``alpha`` and ``gamma`` in [0, 2 pi), ``beta`` in [0, pi].
    """
    sizes = (3, *shape)
    alpha, gamma, u = torch.rand(sizes, dtype=dtype, device=device, generator=generator)
    alpha, gamma, beta = 2 * math.pi * alpha, 2 * math.pi * gamma, torch.acos(2 * u - 1)
    for angle in (alpha, beta, gamma):
        angle.requires_grad_(requires_grad)
    return alpha, beta, gamma


def rand_matrix(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Uniformly distributed rotation matrices; arguments as in ``rand_angles``.

    Returns:
        ``(*shape, 3, 3)``.
    """
    angles = rand_angles(*shape, dtype=dtype, device=device, generator=generator)
    return angles_to_matrix(*angles).requires_grad_(requires_grad)


def rand_quaternion(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Unit quaternions of uniformly distributed rotations; arguments as in ``rand_angles``.

    Returns:
        ``(*shape, 4)``, real part first.
    """
    angles = rand_angles(*shape, dtype=dtype, device=device, generator=generator)
    return angles_to_quaternion(*angles).requires_grad_(requires_grad)


def rand_axis_angle(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Axis and angle of uniformly distributed rotations; arguments as in ``rand_angles``.

    Returns:
        Unit vectors ``(*shape, 3)`` and angles ``(*shape)`` in [0, pi].
    """
    angles = rand_angles(*shape, dtype=dtype, device=device, generator=generator)
    axis, angle = angles_to_axis_angle(*angles)
    return axis.requires_grad_(requires_grad), angle.requires_grad_(requires_grad)


def identity_angles(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Euler angles of the identity: three tensors of zeros of the given shape."""
    zeros = torch.zeros(3, *shape, dtype=dtype, device=device)
    alpha, beta, gamma = (angle.requires_grad_(requires_grad) for angle in zeros)
    return alpha, beta, gamma


def identity_quaternion(
    *shape: int,
    requires_grad: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """The quaternion 1, ``(*shape, 4)``."""
    q = torch.zeros(*shape, 4, dtype=dtype, device=device)
    q[..., 0] = 1
    return q.requires_grad_(requires_grad)


# Composition and inverse


def compose_angles(
    a1: Tensor, b1: Tensor, c1: Tensor, a2: Tensor, b2: Tensor, c2: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Euler angles of ``R(a1, b1, c1) R(a2, b2, c2)``: the second acts first."""
    return matrix_to_angles(angles_to_matrix(a1, b1, c1) @ angles_to_matrix(a2, b2, c2))


def compose_quaternion(q1: Tensor, q2: Tensor) -> Tensor:
    """The product ``q1 q2``, ``(..., 4)``: the second acts first."""
    _check_last(q1, "q1", 4)
    _check_last(q2, "q2", 4)
    w1, x1, y1, z1 = q1.unbind(-1)
    w2, x2, y2, z2 = q2.unbind(-1)
    return torch.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        dim=-1,
    )


def compose_axis_angle(
    axis1: Tensor, angle1: Tensor, axis2: Tensor, angle2: Tensor
) -> tuple[Tensor, Tensor]:
    """Axis and angle, in [0, 2 pi], of the product; the second acts first."""
    q1 = axis_angle_to_quaternion(axis1, angle1)
    return quaternion_to_axis_angle(compose_quaternion(q1, axis_angle_to_quaternion(axis2, angle2)))


def inverse_angles(a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Euler angles of the inverse: ``(-c, -b, -a)``."""
    return -c, -b, -a


def inverse_quaternion(q: Tensor) -> Tensor:
    """The inverse of a unit quaternion, ``(..., 4)``."""
    _check_last(q, "q", 4)
    return torch.cat([q[..., :1], -q[..., 1:]], dim=-1)


# To matrices


def matrix_x(angle: Tensor) -> Tensor:
    """Rotation about x: ``(...)`` radians to ``(..., 3, 3)``."""
    return _turn(angle, 0)


def matrix_y(angle: Tensor) -> Tensor:
    """Rotation about y: ``(...)`` radians to ``(..., 3, 3)``."""
    return _turn(angle, 1)


def matrix_z(angle: Tensor) -> Tensor:
    """Rotation about z: ``(...)`` radians to ``(..., 3, 3)``."""
    return _turn(angle, 2)


def _turn(angle: Tensor, axis: int) -> Tensor:
    c, s = torch.cos(angle), torch.sin(angle)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    # the plane (y, z) for x, and cyclic: rolled into place
    rows = [one, zero, zero, zero, c, -s, zero, s, c]
    matrix = torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
    return matrix.roll((axis, axis), (-2, -1))


def angles_to_matrix(alpha: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """``R_y(alpha) R_x(beta) R_y(gamma)``.

    Args:
        alpha: radians; the shapes broadcast.
        beta: radians.
        gamma: radians.

    Returns:
        ``(..., 3, 3)``.
    """
    alpha, beta, gamma = torch.broadcast_tensors(alpha, beta, gamma)
    return matrix_y(alpha) @ matrix_x(beta) @ matrix_y(gamma)


def quaternion_to_matrix(q: Tensor) -> Tensor:
    """Rotation matrix of a quaternion, which need not have norm 1 but is not 0.

    Args:
        q: ``(..., 4)``, real part first.

    Returns:
        ``(..., 3, 3)``.
    """
    _check_last(q, "q", 4)
    w, v = q[..., 0, None, None], q[..., 1:]
    scale = q.square().sum(-1)[..., None, None]
    cross = _cross_matrix(v)
    identity = torch.eye(3, dtype=q.dtype, device=q.device)
    return identity + 2 * (w * cross + cross @ cross) / scale


def axis_angle_to_matrix(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotation about an axis (Rodrigues' formula).

    Args:
        axis: ``(..., 3)``, any length; an axis of length 0 gives the identity.
        angle: ``(...)``, radians.

    Returns:
        ``(..., 3, 3)``.
    """
    cross = _cross_matrix(direction(axis))
    sine = torch.sin(angle)[..., None, None]
    # 1 - cos without cancellation
    versine = 2 * torch.sin(angle / 2).square()[..., None, None]
    identity = torch.eye(3, dtype=axis.dtype, device=axis.device)
    return identity + sine * cross + versine * (cross @ cross)


def _cross_matrix(v: Tensor) -> Tensor:
    """``M`` with ``M u = v x u``."""
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


# To quaternions


def angles_to_quaternion(alpha: Tensor, beta: Tensor, gamma: Tensor) -> Tensor:
    """Unit quaternion of Euler angles.

    Args:
        alpha: radians; the shapes broadcast.
        beta: radians.
        gamma: radians.

    Returns:
        ``(..., 4)``, real part first.
    """
    half_sum, half_difference = (alpha + gamma) / 2, (alpha - gamma) / 2
    c, s = torch.cos(beta / 2), torch.sin(beta / 2)
    parts = (
        c * torch.cos(half_sum),
        s * torch.cos(half_difference),
        c * torch.sin(half_sum),
        -s * torch.sin(half_difference),
    )
    return torch.stack(torch.broadcast_tensors(*parts), dim=-1)


def axis_angle_to_quaternion(xyz: Tensor, angle: Tensor) -> Tensor:
    """Unit quaternion of a rotation about an axis.

    Args:
        xyz: the axis, ``(..., 3)``, any length but 0.
        angle: ``(...)``, radians.

    Returns:
        ``(..., 4)``, real part first.
    """
    half = angle[..., None] / 2
    imaginary = direction(xyz) * torch.sin(half)
    real = torch.cos(half).expand(*imaginary.shape[:-1], 1)
    return torch.cat([real, imaginary], dim=-1)


def matrix_to_quaternion(R: Tensor) -> Tensor:
    """Unit quaternion with non-negative real part.

    Args:
        R: rotations ``(..., 3, 3)``.

    Returns:
        ``(..., 4)``.

    Raises:
        ValueError: not orthogonal, determinant -1, or another shape.
    """
    _check_rotation(R)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in R.unbind(-2))
    # 4 q q^T; the row of the largest component is free of cancellation
    products = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, zy - yz, xz - zx, yx - xy], dim=-1),
            torch.stack([zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx], dim=-1),
            torch.stack([xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy], dim=-1),
            torch.stack([yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz], dim=-1),
        ],
        dim=-2,
    )
    largest = products.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    row = torch.take_along_dim(products, largest, dim=-2).squeeze(-2)
    q = row / row.norm(dim=-1, keepdim=True)
    return torch.where(q[..., :1] < 0, -q, q)


# To axis and angle


def quaternion_to_axis_angle(q: Tensor) -> tuple[Tensor, Tensor]:
    """Axis and angle of a unit quaternion.

    Args:
        q: ``(..., 4)``, real part first.

    Returns:
        Unit vectors ``(..., 3)`` (0 at the identity) and angles ``(...)`` in [0, 2 pi].
    """
    _check_last(q, "q", 4)
    sine = _length(q[..., 1:])
    return direction(q[..., 1:]), 2 * _atan2(sine, q[..., 0], 0.0)


def matrix_to_axis_angle(R: Tensor) -> tuple[Tensor, Tensor]:
    """Axis and angle of rotations, accurate for all angles, half turns too.

    Args:
        R: rotations ``(..., 3, 3)``.

    Returns:
        Unit vectors ``(..., 3)`` (0 at the identity) and angles ``(...)`` in [0, pi].

    Raises:
        ValueError: not orthogonal, determinant -1, or another shape.
    """
    return quaternion_to_axis_angle(matrix_to_quaternion(R))


def angles_to_axis_angle(alpha: Tensor, beta: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Axis and angle, in [0, pi], of Euler angles."""
    q = angles_to_quaternion(alpha, beta, gamma)
    return quaternion_to_axis_angle(torch.where(q[..., :1] < 0, -q, q))


# To angles


def matrix_to_angles(R: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Euler angles of rotations; at the poles (beta 0 or pi) alpha is 0.

    Args:
        R: rotations ``(..., 3, 3)``.

    Returns:
        ``alpha``, ``beta`` in [0, pi], ``gamma``, each ``(...)``.

    Raises:
        ValueError: not orthogonal, determinant -1, or another shape.
    """
    _check_rotation(R)
    alpha, beta = xyz_to_angles(R[..., :, 1])
    cosine, sine = torch.cos(alpha), torch.sin(alpha)
    # row x of R_x(-beta) R_y(-alpha) R = R_y(gamma)
    x = cosine[..., None] * R[..., 0, :] - sine[..., None] * R[..., 2, :]
    return alpha, beta, _atan2(x[..., 2], x[..., 0], 0.0)


def quaternion_to_angles(q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Euler angles of a unit quaternion ``(..., 4)``."""
    return matrix_to_angles(quaternion_to_matrix(q))


def axis_angle_to_angles(axis: Tensor, angle: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Euler angles of the rotation about ``axis``, ``(..., 3)``, by ``angle``, ``(...)``."""
    return matrix_to_angles(axis_angle_to_matrix(axis, angle))


# Points of the sphere


def angles_to_xyz(alpha: Tensor, beta: Tensor) -> Tensor:
    """The unit vector ``R_y(alpha) R_x(beta) (0, 1, 0)``.

    Args:
        alpha: radians; the shapes broadcast.
        beta: radians, from the polar axis y.

    Returns:
        ``(..., 3)``.
    """
    alpha, beta = torch.broadcast_tensors(alpha, beta)
    sine = torch.sin(beta)
    return torch.stack([sine * torch.sin(alpha), torch.cos(beta), sine * torch.cos(alpha)], dim=-1)


def xyz_to_angles(xyz: Tensor) -> tuple[Tensor, Tensor]:
    """Angles of the direction of a vector, accurate at the poles.

    Args:
        xyz: ``(..., 3)``, any length; ``alpha`` is 0 on the polar axis y, and ``beta`` is pi / 2
            for the vector 0.

    Returns:
        ``alpha`` in (-pi, pi] and ``beta`` in [0, pi], each ``(...)``.
    """
    _check_last(xyz, "xyz", 3)
    x, y, z = xyz.unbind(-1)
    distance = _length(torch.stack([x, z], dim=-1))
    return _atan2(x, z, 0.0), _atan2(distance, y, math.pi / 2)


# The axes of the thesis


def from_thesis_axes(xyz: Tensor) -> Tensor:
    """Vectors in the thesis's axes, polar axis z, to ours, polar axis y: a cyclic renaming.

    The thesis's rotation ``R_z(alpha) R_y(beta) R_z(gamma)`` becomes ours of the same angles,
    ``R_y(alpha) R_x(beta) R_y(gamma)`` (z -> y, y -> x, x -> z).

    Args:
        xyz: ``(..., 3)``.

    Returns:
        ``(..., 3)``: the thesis's ``(y, z, x)``.
    """
    _check_last(xyz, "xyz", 3)
    return xyz.roll(-1, -1)


def to_thesis_axes(xyz: Tensor) -> Tensor:
    """The inverse of ``from_thesis_axes``."""
    _check_last(xyz, "xyz", 3)
    return xyz.roll(1, -1)


# Functions with a finite derivative everywhere


def direction(x: Tensor) -> Tensor:
    """``x / |x|`` over the last axis; 0, with gradient 0, for the vector 0."""
    # the division by the largest component first, so that no square over- or underflows
    largest = x.detach().abs().amax(-1, keepdim=True)
    zero = largest == 0
    scaled = x / torch.where(zero, 1, largest)
    return torch.where(zero, 0, scaled / torch.where(zero, 1, _length(scaled)[..., None]))


def _length(x: Tensor) -> Tensor:
    square = x.square().sum(-1)
    zero = square == 0
    return torch.where(zero, 0, torch.sqrt(torch.where(zero, 1, square)))


def _atan2(y: Tensor, x: Tensor, at_zero: float) -> Tensor:
    zero = (x == 0) & (y == 0)
    return torch.where(zero, at_zero, torch.atan2(y, torch.where(zero, 1, x)))


def _check_last(x: Tensor, name: str, size: int) -> None:
    if x.ndim == 0 or x.shape[-1] != size:
        raise ValueError(f"{name} must have shape (..., {size}); got {tuple(x.shape)}")


def _check_rotation(R: Tensor) -> None:
    """Raise ValueError unless ``R`` holds rotations; see ``check_orthogonal``."""
    check_orthogonal(R)
    if _can_be_read(R) and not bool((torch.det(R.detach()) > 0).all()):
        raise ValueError("R: a matrix of determinant -1 given; allowed: rotations, determinant 1")


def check_orthogonal(R: Tensor) -> None:
    """Raise ValueError unless ``R`` holds orthogonal matrices ``(..., 3, 3)``.

    Their values are looked at only where they can be: not while a program is recorded, within a
    transform of ``torch.func``, or on the meta device.
    """
    if R.ndim < 2 or R.shape[-2:] != (3, 3):
        raise ValueError(f"R must have shape (..., 3, 3); got {tuple(R.shape)}")
    if not _can_be_read(R):
        return
    with torch.no_grad():
        off = (R @ R.mT - torch.eye(3, dtype=R.dtype, device=R.device)).abs().amax()
    # written so that NaN is refused, too
    if not bool(off <= _ORTHOGONALITY_TOLERANCE):
        raise ValueError(
            f"R: a matrix given that is not orthogonal, R R^T is off the identity by {off:.2g}; "
            f"allowed: up to {_ORTHOGONALITY_TOLERANCE:g}"
        )


def _can_be_read(R: Tensor) -> bool:
    transformed = torch._C._functorch.maybe_current_level() is not None
    return is_eager((R,)) and not transformed and not R.is_meta and R.numel() > 0
