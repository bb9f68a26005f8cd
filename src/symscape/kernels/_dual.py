r"""Dual activations: means over pairs of correlated Gaussian variables.

For an activation :math:`\phi` and Gaussian u, v of variances q, q' and covariance k,

.. math:: \hat\phi(k;q,q')=E\,\phi(u)\phi(v),\qquad \hat\phi'(k;q,q')=E\,\phi'(u)\phi'(v).

Both are needed by every kernel of infinite width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from symscape.networks import Activation, activation

__all__ = ["Dual", "diagonal", "dual"]

# Most terms of a Hermite expansion.
_TERMS = 1024

# What is left out of an expansion, relative to the whole: rounding.
_NEGLIGIBLE = 1e-16

# What rounding makes of such a sum.
_ROUNDING = 1e-13

_ULPS = 2e-15

# Largest table of a function of the correlation; a function that needs more is summed instead.
_LARGEST_TABLE = 2**17


class Dual(Protocol):
    """The dual activation and that of the derivative, for two sets of points.

    Attributes:
        error: bound of the error of both, relative to their values at correlation 1.
    """

    error: float

    def __call__(self, k: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Both functions of the covariances k (p, q) of some of the points, in float64."""
        ...


def dual(phi: Activation, q1: Tensor, q2: Tensor, tolerance: float) -> Dual:
    """The dual activation for points with the variances q1 (P1,) and q2 (P2,).

    Args:
        phi: the activation.
        q1: variances of the first points, float64.
        q2: of the second ones.
        tolerance: relative difference of variances that are taken for equal.
    """
    name = _closed_form(phi)
    if name == "relu":
        return _Relu(phi.scale, q1, q2)
    if name == "erf":
        return _Erf(phi.scale, q1, q2)
    if name == "linear":
        return _Linear()
    common = _common(torch.cat([q1, q2]), tolerance)
    table = None if common is None else _tabulated(phi, common)
    return table or _Expansion(phi, q1, q2)


def diagonal(phi: Activation, q: Tensor, tolerance: float) -> Tensor:
    r"""The variances :math:`E\,\phi(\sqrt q\,z)^2` behind an activation, (P,).

    Args:
        phi: the activation.
        q: variances before it.
        tolerance: of equal variances.
    """
    name = _closed_form(phi)
    if name == "relu":
        return q * (phi.scale**2 / 2)
    if name == "erf":
        return torch.asin(2 * q / (1 + 2 * q)) * (2 / math.pi * phi.scale**2)
    if name == "linear":
        return q
    common = _common(q, tolerance)
    if common is not None:
        one = _second_moments(phi, torch.tensor([common], dtype=q.dtype, device=q.device))
        return one.expand_as(q)
    return torch.cat([_second_moments(phi, part) for part in q.split(256)])


@lru_cache(maxsize=64)
def _closed_form(phi: Activation) -> str | None:
    """The name of an activation whose means are known, which computes what it says."""
    if phi.name not in ("relu", "erf", "linear"):
        return None
    z = torch.linspace(-5, 5, 41, dtype=torch.float64)
    known = activation(phi.name)
    same = torch.allclose(phi.f(z), phi.scale * known.f(z), rtol=1e-14, atol=0)
    same &= torch.allclose(phi.df(z), phi.scale * known.df(z), rtol=1e-14, atol=0)
    return phi.name if same else None


def _second_moments(phi: Activation, q: Tensor) -> Tensor:
    z, weights = (t.to(q.device) for t in _nodes())
    density = torch.exp(-z * z / 2) / (2 * math.pi) ** 0.5 * weights
    return (phi.f(q.sqrt()[:, None] * z) ** 2) @ density


def _common(q: Tensor, tolerance: float) -> float | None:
    """The one variance of all points, if they have one."""
    low, high = float(q.min()), float(q.max())
    return (low + high) / 2 if high - low <= tolerance * high else None


class _Linear:
    error = 0.0

    def __call__(self, k: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        return k, torch.ones_like(k)


class _Relu:
    """Arc-cosine kernels of order 1 and 0."""

    error = 0.0

    def __init__(self, scale: float, q1: Tensor, q2: Tensor) -> None:
        self._half = scale**2 / 2
        self._s1, self._s2 = q1.sqrt(), q2.sqrt()

    def __call__(self, k: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        norms = torch.outer(self._s1[rows], self._s2[columns])
        c = _correlation(k, norms)
        # the share of directions in which both are positive, doubled
        slope = torch.arccos(c).mul_(-1 / math.pi).add_(1)
        sine = torch.mul(c, c).neg_().add_(1).sqrt_().mul_(1 / math.pi)
        value = sine.addcmul_(slope, c).mul_(norms)
        slope.masked_fill_(norms == 0, 0.0)  # at 0 the derivative is 0
        return value.mul_(self._half), slope.mul_(self._half)


class _Erf:
    error = 0.0

    def __init__(self, scale: float, q1: Tensor, q2: Tensor) -> None:
        self._square = scale**2
        self._a, self._b = 1 + 2 * q1, 1 + 2 * q2

    def __call__(self, k: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        norms = torch.outer(self._a[rows], self._b[columns])
        double = 2 * k
        value = torch.asin(double / norms.sqrt()).mul_(2 / math.pi * self._square)
        slope = norms.addcmul_(double, double, value=-1).rsqrt_()
        return value, slope.mul_(4 / math.pi * self._square)


class _Series(NamedTuple):
    r"""A function's normalized Hermite coefficients, the part of a kink at 0 kept apart.

    Attributes:
        smooth: of :math:`\phi(\sqrt q\,z)` less its kink, (P, K).
        kink: of the kink, (P, K): of :math:`\max(0,z)` or of the step, times its jump.
        error: of the sums of squares, relative.
    """

    smooth: Tensor
    kink: Tensor
    error: float


class _Expansion:
    r"""Hermite expansions: :math:`\hat\phi=\sum_ka_k(q)a_k(q')c^k` with the correlation c.

    A kink at 0 would make the coefficients fall slowly; its own dual is known in closed form, so
    that only products with a smooth factor are summed. The sum of the squares is known (Parseval),
    hence so is the error.
    """

    def __init__(self, phi: Activation, q1: Tensor, q2: Tensor) -> None:
        self._s1, self._s2 = q1.sqrt(), q2.sqrt()
        self._jump = _jump(phi)
        roots = [self._s1] if q1 is q2 else [self._s1, self._s2]
        self._values = [_values_series(phi, s, self._jump) for s in roots]
        self._slopes = [_slopes_series(phi, s, self._jump) for s in roots]
        self.error = max(series.error for series in (*self._values, *self._slopes))

    def __call__(self, k: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        norms = torch.outer(self._s1[rows], self._s2[columns])
        c = _correlation(k, norms)
        value = _summed(self._values[0], self._values[-1], c, rows, columns)
        slope = _summed(self._slopes[0], self._slopes[-1], c, rows, columns)
        if self._jump:
            both, step = _relu_duals(c)
            value += both * norms * self._jump**2
            slope += step * self._jump**2
        return value, slope


def _summed(left: _Series, right: _Series, c: Tensor, rows: slice, columns: slice) -> Tensor:
    """The sum over all products of coefficients, less those of two kinks."""
    terms = min(left.smooth.shape[1], right.smooth.shape[1])
    a, b = left.smooth[rows, :terms], right.smooth[columns, :terms].T
    kink = left.kink[rows, :terms]
    total = torch.zeros_like(c)
    if not kink.any():
        _horner(a, b, c, total)
    else:
        _horner(a, b + right.kink[columns, :terms].T, c, total)
        _horner(kink, b, c, total)
    return total


def _horner(a: Tensor, b: Tensor, c: Tensor, total: Tensor) -> None:
    from symscape.kernels._horner import horner

    left, right, points = (t.cpu().contiguous().numpy() for t in (a, b, c))
    sums = total.cpu().numpy()
    horner(left, right, points, sums)
    total.copy_(torch.from_numpy(sums))


class _Table:
    """Cubic interpolation of both functions of the correlation, for points of one variance."""

    def __init__(self, q: float, value: Tensor, slope: Tensor, jump: float, error: float) -> None:
        self._q, self._value, self._slope, self._jump = q, value, slope, jump
        self.error = error

    def __call__(self, k: Tensor, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        c = (k * ((1 + _ULPS) / self._q)).clamp_(-1, 1)
        cells = self._value.shape[1]
        place = (c + 1).mul_(cells / 2)
        cell = place.to(torch.int32).clamp_(max=cells - 1)
        place -= cell
        value, slope = (_cubic(table, cell, place) for table in (self._value, self._slope))
        if self._jump:
            both, step = _relu_duals(c)
            value += both * (self._q * self._jump**2)
            slope += step * self._jump**2
        return value, slope


def _cubic(table: Tensor, cell: Tensor, place: Tensor) -> Tensor:
    flat = cell.flatten()
    result = table[3].index_select(0, flat).view_as(place)
    for row in (2, 1, 0):
        result.mul_(place).add_(table[row].index_select(0, flat).view_as(place))
    return result


@lru_cache(maxsize=64)
def _tabulated(phi: Activation, q: float) -> _Table | None:
    """The table of a smooth function; None if it would be too large."""
    s = torch.tensor([q], dtype=torch.float64).sqrt()
    jump = _jump(phi)
    values, slopes = _values_series(phi, s, jump), _slopes_series(phi, s, jump)
    powers, cells = [], 0
    for series in (values, slopes):
        smooth, kink = series.smooth[0], series.kink[0]
        a = smooth * (smooth + 2 * kink[: len(smooth)])
        n = torch.arange(len(a), dtype=torch.float64)
        # a cubic between nodes at distance h is off by h^4/384 times the fourth derivative
        fourth = float((a.abs() * n * (n - 1) * (n - 2) * (n - 3)).sum())
        needed = 2 * (fourth / (384 * 1e-14 * max(float(a.abs().sum()), 1e-300))) ** 0.25
        cells = max(cells, 64, 2 ** math.ceil(math.log2(max(needed, 1))))
        powers.append(a)
    if cells > _LARGEST_TABLE:
        return None
    tables = [_cubic_table(a, cells) for a in powers]
    error = max(values.error, slopes.error)
    return _Table(q, tables[0], tables[1], jump, error)


def _cubic_table(a: Tensor, cells: int) -> Tensor:
    r"""Cubics, (4, cells), that have the values and slopes of :math:`\sum a_kc^k` at the nodes."""
    nodes = torch.linspace(-1, 1, cells + 1, dtype=torch.float64)
    f, df = torch.zeros_like(nodes), torch.zeros_like(nodes)
    for coefficient in a.flip(0):
        df.mul_(nodes).add_(f)
        f.mul_(nodes).add_(coefficient)
    df *= 2 / cells
    rise = f[1:] - f[:-1]
    return torch.stack(
        [f[:-1], df[:-1], 3 * rise - 2 * df[:-1] - df[1:], df[:-1] + df[1:] - 2 * rise]
    )


def _values_series(phi: Activation, s: Tensor, jump: float) -> _Series:
    z, _ = _nodes()
    kink = torch.clamp(z, min=0) * jump
    return _series(phi.f, s, s[:, None] * kink if jump else None)


def _slopes_series(phi: Activation, s: Tensor, jump: float) -> _Series:
    z, _ = _nodes()
    kink = (z > 0).to(z) * jump
    return _series(phi.df, s, kink.expand(len(s), -1) if jump else None)


def _series(function: Callable[[Tensor], Tensor], s: Tensor, kink: Tensor | None) -> _Series:
    """Expand function(s z) with as many terms as it needs, up to the most."""
    z, weights = _nodes()
    root = torch.exp(-z * z / 4) / (2 * math.pi) ** 0.25 * weights
    smooth = function(s[:, None] * z)
    smooth = (smooth if kink is None else smooth - kink) * root
    whole = smooth**2 @ (1 / weights)
    scale = whole if kink is None else whole + (kink * root) ** 2 @ (1 / weights)
    for terms in (_TERMS // 8, _TERMS // 2, _TERMS):
        hermite = _hermite_functions()[:terms]
        coefficients = smooth @ hermite.T
        squares = coefficients**2
        missing = ((whole - squares.sum(1)).abs() / scale).max()
        if missing < _ROUNDING:
            break
    kinks = torch.zeros_like(coefficients) if kink is None else (kink * root) @ hermite.T
    rest = squares.flip(1).cumsum(1).flip(1) > _NEGLIGIBLE * scale[:, None]
    needed = int(rest.any(0).sum())
    # of products with a kink: Cauchy-Schwarz
    error = missing if kink is None or missing < _ROUNDING else 2 * missing.sqrt()
    return _Series(coefficients[:, :needed], kinks[:, :needed], max(float(error), _ROUNDING))


def _relu_duals(c: Tensor) -> tuple[Tensor, Tensor]:
    """Means of products of max(0, .) and of steps, of standard variables of correlation c."""
    step = (1 - torch.arccos(c) / math.pi) / 2
    return step * c + (1 - c * c).sqrt() / (2 * math.pi), step


def _correlation(k: Tensor, norms: Tensor) -> Tensor:
    """k / norms within [-1, 1]; 0 where a point is 0.

    What is 1 to rounding becomes 1: the slope of the arc cosine is infinite there.
    """
    return (k / norms.clamp_min(1e-300)).mul_(1 + _ULPS).clamp_(-1, 1)


def _jump(phi: Activation) -> float:
    """The jump of the derivative at 0."""
    sides = phi.df(torch.tensor([1e-9, -1e-9], dtype=torch.float64))
    jump = float(sides[0] - sides[1])
    return jump if abs(jump) > 1e-6 else 0.0


@lru_cache(maxsize=1)
def _nodes() -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre rules on short intervals from -13 to 13, cut at 0."""
    import numpy as np

    x, w = np.polynomial.legendre.leggauss(10)
    edges = np.linspace(-13, 13, 261)
    width = edges[1] - edges[0]
    z = (edges[:-1, None] + width * (x + 1) / 2).ravel()
    return torch.from_numpy(z), torch.from_numpy(np.tile(w * width / 2, len(edges) - 1))


@lru_cache(maxsize=1)
def _hermite_functions() -> Tensor:
    r"""Functions orthonormal in z, :math:`\mathrm{He}_n(z)e^{-z^2/4}/(\sqrt{n!}(2\pi)^{1/4})`."""
    z, _ = _nodes()
    rows = torch.empty(_TERMS, len(z), dtype=torch.float64)
    rows[0] = torch.exp(-z * z / 4) / (2 * math.pi) ** 0.25
    rows[1] = z * rows[0]
    for n in range(1, _TERMS - 1):
        rows[n + 1] = (z * rows[n] - n**0.5 * rows[n - 1]) / (n + 1) ** 0.5
    return rows
