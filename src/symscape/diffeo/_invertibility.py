"""Whether a displacement field can be undone: whether it folds the image over."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from symscape.diffeo._temperature import check_number, check_size

__all__ = ["fold", "jacobian_determinant", "typical_fold"]


def fold(gradient: Tensor) -> Tensor:
    r"""How close a field is to folding over: the largest stretch :math:`\Xi` at each pixel.

    A tangent u is pulled back to :math:`u' = u - (u\cdot\nabla)\tau`. With :math:`\Xi < 1`
    everywhere, :math:`u\cdot u' > 0` for every u, and the deformation is locally invertible:

    .. math::
        \Xi = \tfrac12\Big(\sqrt{(\partial_u\tau_u-\partial_v\tau_v)^2
        +(\partial_u\tau_v+\partial_v\tau_u)^2} + \operatorname{Tr}\nabla\tau\Big),

    the largest eigenvalue of the symmetric part of :math:`\nabla\tau`. (The thesis prints a minus
    before the trace; the law is the same, because :math:`-\tau` is as likely as :math:`\tau`.)

    Args:
        gradient: (..., 2, 2, rows, columns), see :func:`field_gradient`.

    Returns:
        (..., rows, columns).

    Source: Ch. 4, App. B, Eq. 9-12.
    """
    (uu, uv), (vu, vv) = _entries(gradient)
    return 0.5 * (torch.hypot(uu - vv, uv + vu) + uu + vv)


def jacobian_determinant(gradient: Tensor) -> Tensor:
    r""":math:`\det(1-\nabla\tau)` at each pixel: the deformation is locally invertible where it is
    positive, and folded over where it is negative.

    Args:
        gradient: (..., 2, 2, rows, columns), see :func:`field_gradient`.

    Returns:
        (..., rows, columns).
    """
    (uu, uv), (vu, vv) = _entries(gradient)
    return (1.0 - uu) * (1.0 - vv) - uv * vu


def typical_fold(T: float, c: int) -> float:
    r"""The thesis's estimate of the median over fields of the largest :math:`\Xi` of an image,
    :math:`\frac c2\sqrt{\pi^3T\ln c}`; it is 1 at T_max.

    Args:
        T: temperature, >= 0.
        c: cut-off, >= 2.

    Raises:
        ValueError: a value out of these bounds.

    Source: Ch. 4, App. B, Eq. 13.
    """
    c = check_size(c, 2)
    check_number("T", T)
    return 0.5 * c * math.sqrt(math.pi**3 * T * math.log(c))


def _entries(gradient: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    if gradient.ndim < 4 or gradient.shape[-4:-2] != (2, 2):
        raise ValueError(
            f"gradient: shape {tuple(gradient.shape)} given; allowed: (..., 2, 2, rows, columns)"
        )
    g = gradient
    return (g[..., 0, 0, :, :], g[..., 0, 1, :, :]), (g[..., 1, 0, :, :], g[..., 1, 1, :, :])
