"""The error on a periodic lattice as a sum over frequencies (Ch. 6, App. F)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from symscape._arguments import integer, refused
from symscape.kernels._kernel import Kernel

Array = NDArray[np.float64]

_REACH = {1: 200, 2: 20, 3: 6}
"""Aliases summed one by one on each side, by dimension."""

_NODES = 24
_BLOCK = 1 << 22


class _Sums(NamedTuple):
    """Sums over aliases of T, S, S^2 and T S, or their logarithms."""

    T: Array
    S: Array
    S2: Array
    TS: Array


def lattice_error(teacher: Kernel, student: Kernel, side: int, d: int, L: float = 1.0) -> float:
    r"""Test error of a Student on the lattice of :math:`n=\text{side}^d` points of a torus.

    The exact average over the Teacher's fields and over a uniform test point, for kernels made
    periodic by summing their images (App. F):

    .. math::
        \mathbb E\,\mathrm{MSE}=L^{-d}\sum_{w\in\mathcal B}\Big[T_0\frac{S'^2+(S^2)'}{S^{*2}}
        +T'-2\frac{(TS)'}{S^*}+\frac{T'(S^2)^*}{S^{*2}}\Big],

    where * sums over all aliases :math:`w+2\pi m/\delta`, a prime leaves out :math:`m=0`, and T and
    S are the Fourier transforms. This is the thesis's formula without its cancellation, so that
    small errors are as accurate as large ones; S is divided by its value at w, because that of a
    Gaussian is soon smaller than any number. Aliases far away are integrated.

    Args:
        teacher: covariance of the field.
        student: kernel of the regression.
        side: points along one axis, 2 or more.
        d: dimension, 1 to 3.
        L: period.

    Raises:
        ValueError: side < 2, d outside of 1..3, L not positive.
    """
    # In more dimensions the sum over aliases grows too long.
    side, d = integer("side", side, 2), integer("d", d, 1, 3)
    if not L > 0:
        raise refused("L", L, "a positive number")
    # The spectra are even along each axis, so that one orthant of the zone stands for all.
    half = np.arange(side // 2 + 1)
    twice = np.where((half == 0) | (2 * half == side), 1.0, 2.0)
    index = np.stack(np.meshgrid(*[half] * d, indexing="ij"), axis=-1).reshape(-1, d)
    w = 2 * math.pi / L * index.astype(float)
    weight = twice[index].prod(axis=1)
    period = 2 * math.pi * side / L
    tails = _tails(teacher, student, d, period)
    total = 0.0
    step = max(1, _BLOCK // (2 * _REACH[d] + 1) ** d)
    for start in range(0, len(w), step):
        some = w[start : start + step]
        T0 = teacher.spectrum(np.linalg.norm(some, axis=1), d)
        errors = error_from_aliases(T0, *_alias_sums(teacher, student, some, period, tails))
        total += float(weight[start : start + step] @ errors)
    return total / L**d


def error_from_aliases(T0: Array, T: Array, S: Array, S2: Array, TS: Array) -> Array:
    """Error of each frequency: T there, and sums over its aliases with S in units of S there."""
    S_all = 1 + S
    square = S2 / S_all**2
    return T0 * ((S / S_all) ** 2 + square) + T - 2 * TS / S_all + T * (1 / S_all**2 + square)


def _alias_sums(teacher: Kernel, student: Kernel, w: Array, period: float, tails: _Sums) -> _Sums:
    d = w.shape[1]
    m = np.arange(-_REACH[d], _REACH[d] + 1)
    every = np.stack(np.meshgrid(*[m] * d, indexing="ij"), axis=-1).reshape(-1, d)
    shifts = period * every[np.any(every != 0, axis=1)]
    norm = np.linalg.norm(w[:, None] + shifts, axis=2)
    own = student.log_spectrum(np.linalg.norm(w, axis=1), d)
    T, S = teacher.spectrum(norm, d), np.exp(student.log_spectrum(norm, d) - own[:, None])
    near = _Sums(*(f.sum(axis=1) for f in (T, S, S**2, T * S)))
    return _Sums(
        near.T + np.exp(tails.T),
        near.S + np.exp(tails.S - own),
        near.S2 + np.exp(tails.S2 - 2 * own),
        near.TS + np.exp(tails.TS - own),
    )


def _tails(teacher: Kernel, student: Kernel, d: int, period: float) -> _Sums:
    r"""Logarithms of the sums over the aliases beyond the reach, as integrals outside of a cube.

    With half the side B the integral of a radial f is
    :math:`2d\int_B^\infty t^{d-1}\int_{[-1,1]^{d-1}}f(t\sqrt{1+|v|^2})\,dv\,dt`.
    """
    B = (_REACH[d] + 0.5) * period
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    s, ds = 0.5 * (node + 1), 0.5 * weight  # t = B / s
    v2, dv = np.zeros(1), np.ones(1)  # squares and weights of the d - 1 other axes
    for _ in range(d - 1):
        v2 = (v2[:, None] + np.square(node)).ravel()
        dv = (dv[:, None] * weight).ravel()
    radius = np.sqrt(1 + v2)
    t = B / s
    measure = 2 * d * (t ** (d - 1) * B / s**2 * ds)[:, None] * dv / period**d
    T, S = (kernel.log_spectrum(t[:, None] * radius, d) for kernel in (teacher, student))
    return _Sums(*(np.asarray(logsumexp(f, b=measure)) for f in (T, S, 2 * S, T + S)))
