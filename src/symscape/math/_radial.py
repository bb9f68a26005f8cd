r"""Functions of a distance: smooth steps, Bessel functions, and bases on an interval."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from symscape._arguments import integer

__all__ = ["bessel", "soft_one_hot_linspace", "soft_unit_step"]

_BASES = ("gaussian", "cosine", "smooth_finite", "fourier", "bessel")

# exp(-745.2) is below the smallest float64; cutting there changes no value, and keeps the
# derivatives, which contain powers of 1/x, from becoming 0 * inf.
_VANISHING = 1.0 / 745.2

# sin(t)/t for |t| < 1: the first term left out is 1/21!, below the resolution of float64.
_SERIES_TERMS = 9

# With these the sum over i of the squares is one inside the interval, on average.
_GAUSSIAN_SCALE = 1.12
_SMOOTH_FINITE_SCALE = 1.14136 * math.exp(2.0)


def soft_unit_step(x: Tensor) -> Tensor:
    r"""The smooth step :math:`u(x) = e^{-1/x}` for :math:`x > 0`, and 0 elsewhere.

    All derivatives exist everywhere, and are finite.

    Args:
        x: any shape.

    Source: Ch. 5.3 (e3nn), radial functions.
    """
    inside = x > _VANISHING
    return torch.where(inside, torch.exp(-1.0 / torch.where(inside, x, 1.0)), 0.0)


def bessel(x: Tensor, n: int, x_max: float = 1.0) -> Tensor:
    r"""Spherical Bessel functions of order 0 that vanish at ``x_max``.

    .. math:: B_k(x) = \sqrt{\frac{2}{x_\text{max}}}\,\frac{\sin(k\pi x/x_\text{max})}{x},
        \qquad k = 1, \dots, n

    They are orthonormal for the weight :math:`x^2` on :math:`[0, x_\text{max}]`, and finite at
    :math:`x = 0`, with their derivatives.

    Args:
        x: any shape ``(...)``.
        n: how many.
        x_max: the first zero of :math:`B_1`, > 0.

    Returns:
        Shape ``(..., n)``.

    Raises:
        ValueError: ``n`` is negative or ``x_max`` not positive.
    """
    n = integer("n", n, 0)
    if not x_max > 0:
        raise ValueError(f"x_max: {x_max} given; allowed: a positive number")
    k = torch.arange(1, n + 1, dtype=x.dtype, device=x.device) / x_max
    k = k * math.pi
    return math.sqrt(2.0 / x_max) * k * _sine_ratio(x[..., None] * k)


def _sine_ratio(t: Tensor) -> Tensor:
    """sin(t)/t, with all derivatives at 0 (torch.sinc has no second one)."""
    near = t.abs() < 1.0
    square = torch.where(near, t * t, 0.0)
    series = torch.ones_like(t)
    for n in range(_SERIES_TERMS, 0, -1):
        series = 1.0 - square * series / (2 * n * (2 * n + 1))
    away = torch.where(near, 1.0, t)
    return torch.where(near, series, torch.sin(away) / away)


def soft_one_hot_linspace(
    x: Tensor,
    start: float,
    end: float,
    number: int,
    basis: str | None = None,
    cutoff: bool | None = None,
) -> Tensor:
    r"""A basis of functions on the interval from ``start`` to ``end``.

    With centers :math:`c_i` spread evenly, their distance :math:`\Delta` and
    :math:`d_i = (x - c_i)/\Delta`, and with :math:`t = (x - \text{start})/
    (\text{end} - \text{start})`, :math:`a = (\text{number}/2 + 1/4)^{-1/2}`:

    ================= ===========================================================
    basis             function number :math:`i`
    ================= ===========================================================
    ``gaussian``      :math:`e^{-d_i^2}/1.12`
    ``cosine``        :math:`\cos(\pi d_i/2)` where :math:`|d_i| < 1`, else 0
    ``smooth_finite`` :math:`1.14136\,e^2\,u(d_i + 1)\,u(1 - d_i)`,
                      :math:`u` = [symscape.math.soft_unit_step][]
    ``fourier``       :math:`a\cos(\pi i t)`, :math:`i = 0, \dots`; with cutoff
                      :math:`a\sin(\pi i t)`, :math:`i = 1, \dots`, for :math:`0 < t < 1`
    ``bessel``        :math:`B_i(x - \text{start})`, :math:`i = 1, \dots`
                      ([symscape.math.bessel][]); with cutoff for :math:`0 < t < 1`
    ================= ===========================================================

    Args:
        x: any shape ``(...)``.
        start: where the interval begins.
        end: where it ends.
        number: how many functions.
        basis: one of the names of the table.
        cutoff: if true, the functions vanish at the ends: the centers are the inner ones of
            ``number + 2``. If false, the first center is ``start`` and the last one ``end``.

    Returns:
        Shape ``(..., number)``. For all but ``bessel`` the sum of the squares is 1 on average
        inside the interval, to 3 %. Gradients are finite everywhere.

    Raises:
        ValueError: ``basis`` or ``cutoff`` is missing or unknown, ``number`` is too small, or
            ``end`` does not lie above ``start``.

    Source: Ch. 5.3 (e3nn), radial functions.
    """
    if cutoff not in (True, False):
        raise ValueError(f"cutoff: {cutoff!r} given, but cutoff must be specified: True or False")
    if basis not in _BASES:
        raise ValueError(f"basis: {basis!r} given; allowed: {', '.join(_BASES)}")
    start, end = float(start), float(end)
    if not end > start:
        raise ValueError(f"end: {end} given; allowed: above start = {start}")
    centers = not cutoff and basis in ("gaussian", "cosine", "smooth_finite")
    allowed = "an integer >= 1, and >= 2 for centers without cutoff"
    number = integer("number", number, 2 if centers else 1, allowed=allowed)
    if basis == "fourier":
        return _fourier((x[..., None] - start) / (end - start), number, cutoff)
    if basis == "bessel":
        values = bessel(x - start, number, end - start)
        return torch.where(((start < x) & (x < end))[..., None], values, 0.0) if cutoff else values
    d = _distances_to_centers(x, start, end, number, cutoff)
    if basis == "gaussian":
        return torch.exp(-d * d) / _GAUSSIAN_SCALE
    if basis == "cosine":
        return torch.where(d.abs() < 1.0, torch.cos(math.pi / 2.0 * d), 0.0)
    return _SMOOTH_FINITE_SCALE * soft_unit_step(d + 1.0) * soft_unit_step(1.0 - d)


def _distances_to_centers(x: Tensor, start: float, end: float, number: int, cutoff: bool) -> Tensor:
    """(x - c_i) in units of the distance between centers, shape (..., number)."""
    intervals = number + 1 if cutoff else number - 1
    centers = torch.linspace(start, end, intervals + 1, dtype=x.dtype, device=x.device)
    if cutoff:
        centers = centers[1:-1]
    return (x[..., None] - centers) * (intervals / (end - start))


def _fourier(t: Tensor, number: int, cutoff: bool) -> Tensor:
    scale = (0.25 + number / 2.0) ** -0.5
    first = 1 if cutoff else 0
    i = torch.arange(first, first + number, dtype=t.dtype, device=t.device)
    if not cutoff:
        return scale * torch.cos(math.pi * i * t)
    return torch.where((t > 0.0) & (t < 1.0), scale * torch.sin(math.pi * i * t), 0.0)
