"""Distances to nearest neighbors and the effective dimension of data (Ch. 6, Sec. 7)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import betainc

from symscape._arguments import integer
from symscape.kernels._kernel import points, square_distances
from symscape.kernels._regression import checked_sizes
from symscape.scaling import Estimate, mean

Array = NDArray[np.float64]


class EffectiveDimension(NamedTuple):
    """The best-matching dimension, its error over draws, and what is left of log distance."""

    d: Estimate
    misfit: float


def nearest_distances(
    x: ArrayLike, sizes: Sequence[int], queries: int, seed: int, block: int = 500
) -> Array:
    r"""Mean distance :math:`\langle\delta_{\min}\rangle` to the nearest other of n random points.

    Args:
        x: points, (N, D).
        sizes: numbers n of points, increasing; each set contains the smaller ones.
        queries: points from which the distance is taken; at most the smallest size are used.
        seed: of the choice and order of the points.
        block: queries at a time.

    Returns:
        Means, (sizes,).

    Raises:
        ValueError: sizes below 2 or above N, queries below 1.
    """
    x = points(x, "x")
    chosen = checked_sizes(sizes, len(x))
    integer("sizes", chosen[0], 2)
    queries, block = integer("queries", queries, 1), integer("block", block, 1)
    order = np.random.default_rng(integer("seed", seed, 0)).permutation(len(x))[: chosen[-1]]
    x = x[order]
    asked = min(queries, chosen[0])
    totals = np.zeros(len(chosen))
    for start in range(0, asked, block):
        rows = np.arange(start, min(start + block, asked))
        s = square_distances(x[rows], x)
        s[np.arange(len(rows)), rows] = math.inf
        nearest = np.full(len(rows), math.inf)
        for i, (begin, end) in enumerate(zip((0, *chosen), chosen)):
            nearest = np.minimum(nearest, s[:, begin:end].min(axis=1))
            totals[i] += np.sqrt(nearest).sum()
    return totals / asked


def sphere_distance(n: ArrayLike, d: float) -> Array:
    r"""Mean distance to the nearest of n - 1 other points, uniform on the unit sphere :math:`S^d`.

    Exact: :math:`\int_0^2(1-F(r))^{n-1}dr` with the share F of the sphere within the chord r, by
    quadrature. It tends to :math:`\Gamma(1+\frac1d)(n\,c_d)^{-1/d}`,
    :math:`c_d=\frac{\Gamma((d+1)/2)}{\sqrt\pi\,d\,\Gamma(d/2)}`.

    Args:
        n: numbers of points, 2 or more.
        d: dimension, positive, not necessarily an integer.

    Raises:
        ValueError: n < 2 or d not positive.
    """
    sizes = np.asarray(n, dtype=float)
    if np.any(sizes < 2) or not d > 0:
        raise ValueError(f"n must be 2 or more and d positive; got {sizes} and {d}")
    share, r = _caps(float(d))
    log_outside = np.log1p(-np.minimum(share, 1.0 - 1e-16))
    values = np.exp((sizes.reshape(-1, 1) - 1) * log_outside)
    return np.trapezoid(values, r, axis=1).reshape(sizes.shape)


def effective_dimension(sizes: ArrayLike, distances: ArrayLike) -> EffectiveDimension:
    r"""The dimension d whose sphere has the same curve :math:`\langle\delta_{\min}\rangle(n)`.

    Curves are compared at equal n, up to a factor (Fig. 4 right): d minimizes the spread of
    :math:`\log\delta_{\rm data}-\log\delta_{S^d}`. The raw slope would be misleading, because
    spheres of high dimension reach :math:`n^{-1/d}` only at enormous n.

    Args:
        sizes: numbers of points, (k,), k >= 2.
        distances: what :func:`nearest_distances` returned, (draws, k) or (k,).

    Raises:
        ValueError: wrong shapes, or distances that are not positive.
    """
    n, curves = np.asarray(sizes, float), np.atleast_2d(np.asarray(distances, float))
    if n.ndim != 1 or len(n) < 2 or curves.shape[1:] != n.shape or not np.all(curves > 0):
        raise ValueError(f"distances must be positive, (draws, {n.size}); got {curves.shape}")

    def misfit(log_d: float, curve: Array) -> float:
        return float(np.var(np.log(curve) - np.log(sphere_distance(n, math.exp(log_d)))))

    def best(curve: Array) -> float:
        bounds = (math.log(0.5), math.log(500.0))
        found = minimize_scalar(misfit, args=(curve,), bounds=bounds, method="bounded")
        return math.exp(float(found.x))

    each = np.array([best(curve) for curve in curves])
    typical = np.exp(np.log(curves).mean(axis=0))
    d = best(typical)
    found = dataclasses.replace(mean(each), value=d)
    return EffectiveDimension(found, math.sqrt(misfit(math.log(d), typical)))


def _caps(d: float) -> tuple[Array, Array]:
    """Share of the sphere S^d within the chord r, and r, dense where distances are small."""
    r = np.concatenate([[0.0], np.geomspace(1e-12, 2.0, 9000)])
    sine2 = np.minimum(1.0, r**2 * (1 - r**2 / 4))
    half = 0.5 * betainc(d / 2, 0.5, sine2)
    return np.where(r**2 <= 2, half, 1 - half), r
