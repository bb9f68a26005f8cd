"""Kernels of fully connected networks of infinite width (chapters 2 and 3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from symscape._arguments import refused
from symscape.kernels._dual import diagonal, dual
from symscape.kernels._ntk_blocks import mirror
from symscape.networks import FullyConnected

__all__ = ["InfiniteKernels", "infinite_kernels", "variance_tolerance"]

# rows of a matrix that go through all layers at a time: they stay in the cache
_ROWS = 64


class InfiniteKernels(NamedTuple):
    r"""Kernels of a network of infinite width at initialization, of one output.

    Attributes:
        nngp: the covariance :math:`\langle f(x)f(x')\rangle` over initial weights, (P1, P2).
        ntk: :math:`\Theta_\infty(x,x')`, (P1, P2).
        error: bound of the error that the numeric means over Gaussian variables make in one layer,
            relative to the diagonal; 0 for closed forms.
    """

    nngp: Tensor
    ntk: Tensor
    error: float


def infinite_kernels(net: FullyConnected, x1: Tensor, x2: Tensor | None = None) -> InfiniteKernels:
    r"""The NNGP kernel and the NTK of a fully connected network as its width grows to infinity.

    With :math:`\Sigma^0=x\cdot x'/d`, :math:`\Theta^0=\Sigma^0+b` and b the square of the
    factor of the biases (1 unless set), or 0 without biases,

    .. math::
        \Sigma^{l+1}=E\,\phi(u)\phi(v),\qquad
        \Theta^{l+1}=\Theta^l\,E\,\phi'(u)\phi'(v)+\Sigma^{l+1}+b,\qquad (u,v)\sim\mathcal N(0,
        \Sigma^l),

    and the kernels are :math:`\Sigma^L` and :math:`\Theta^L`. The means are closed forms for relu
    (arc-cosine kernels), erf and the linear network. For every other activation they are Hermite
    expansions, interpolated as functions of the correlation where all points have the same norm;
    a kink at 0 is treated exactly. Points of different norms take longer.

    Args:
        net: the network, with ``parametrization="ntp"``; its width does not matter. Weights start
            as N(0, 1), biases at 0.
        x1: inputs, (P1, d).
        x2: inputs, (P2, d), or None for ``x1``.

    Returns:
        Kernels of the dtype of ``x1``; everything is computed in float64. Of a network with c
        outputs the NTK is this one times the identity, and ``empirical_ntk(outputs="trace")``
        tends to c times this one.

    Raises:
        ValueError: another parametrization, inputs of a wrong shape or dtype.

    Source: Ch. 2, paper 2, App. C and D; Ch. 3, paper I, Section 5; sheet 02, Section 2.
    """
    if net.parametrization != "ntp":
        raise refused("net", f"parametrization {net.parametrization!r}", '"ntp"')
    for name, x in (("x1", x1), ("x2", x1 if x2 is None else x2)):
        if x.ndim != 2 or x.shape[1] != net.d:
            raise refused(name, tuple(x.shape), f"(P, {net.d})")
        if x.dtype not in (torch.float32, torch.float64) or x.dtype != x1.dtype:
            raise refused(name, x.dtype, "torch.float32 or torch.float64, as x1")
    return _kernels(net, x1.detach(), None if x2 is None else x2.detach())


@torch.no_grad()
def _kernels(net: FullyConnected, x1: Tensor, x2: Tensor | None) -> InfiniteKernels:
    symmetric = x2 is None
    a = x1.double()
    b = a if x2 is None else x2.double()
    q1 = (a * a).sum(1) / net.d
    q2 = q1 if symmetric else (b * b).sum(1) / net.d
    tolerance = variance_tolerance(x1.dtype)
    duals = []
    for _ in range(net.L):
        duals.append(dual(net.phi, q1, q2, tolerance))
        q1 = diagonal(net.phi, q1, tolerance)
        q2 = q1 if symmetric else diagonal(net.phi, q2, tolerance)
    bias = net.bias_factor**2 if net.bias else 0.0
    nngp, ntk = a.new_empty(len(a), len(b)), a.new_empty(len(a), len(b))
    for start in range(0, len(a), _ROWS):
        rows = slice(start, min(start + _ROWS, len(a)))
        columns = slice(start if symmetric else 0, len(b))
        sigma = (a[rows] @ b[columns].T).div_(net.d)
        if symmetric:
            sigma.diagonal().copy_((a[rows] * a[rows]).sum(1) / net.d)
        theta = sigma + bias
        for each in duals:
            sigma, slope = each(sigma, rows, columns)
            theta = theta.mul_(slope).add_(sigma)
            if bias:
                theta.add_(bias)
        nngp[rows, columns], ntk[rows, columns] = sigma, theta
    if symmetric:
        mirror(nngp)
        mirror(ntk)
    error = max((each.error for each in duals), default=0.0)
    return InfiniteKernels(nngp.to(x1.dtype), ntk.to(x1.dtype), error)


def variance_tolerance(dtype: torch.dtype) -> float:
    """Relative difference of squared norms that are equal up to the rounding of the inputs."""
    return 1e-12 if dtype == torch.float64 else 1e-6
