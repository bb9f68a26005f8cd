"""Test error against stability: correlation of logarithms and the law between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape.scaling import Estimate, cluster_bootstrap

__all__ = [
    "Correlation",
    "ErrorLaw",
    "fit_error_law",
    "log_average",
    "log_correlation",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    r"""The correlation :math:`\rho` of two logarithms.

    Attributes:
        rho: its value; NaN where one of the two does not vary.
        error: one standard deviation, from resampling networks.
        n: number of networks.
    """

    rho: float
    error: float | None
    n: int


@dataclass(frozen=True)
class ErrorLaw:
    r"""The law :math:`\epsilon_t = k R_f^b` across networks.

    Attributes:
        prefactor: k with b = 1/2.
        exponent: b, fitted.
        prefactor_error, exponent_error: one standard deviation, from resampling networks.
    """

    prefactor: float
    prefactor_error: float | None
    exponent: float
    exponent_error: float | None


def log_average(values: ArrayLike) -> float:
    r"""The average over seeds :math:`\exp\overline{\ln R}`; NaN unless all are positive."""
    array = np.asarray(values, dtype=float)
    if array.size == 0 or not np.all(array > 0):
        return math.nan
    return float(np.exp(np.log(array).mean()))


def log_correlation(test_error: ArrayLike, stability: ArrayLike) -> Correlation:
    r"""The correlation of test error and a stability over networks,
    :math:`\rho = \mathrm{Cov}(\ln\epsilon_t, \ln R_f)/\sqrt{\mathrm{Var}\,\mathrm{Var}}`.

    Args:
        test_error: fractions, positive, one per network.
        stability: D, G or R of the same networks, positive.

    Raises:
        ValueError: fewer than 3 networks, lengths that differ, numbers that are not positive.

    Source: Ch. 4, footnote 3.
    """
    x, y = _logarithms(test_error, stability)
    found = _bootstrapped(_rho, x, y)
    return Correlation(found.value, found.error, len(x))


def fit_error_law(test_error: ArrayLike, stability: ArrayLike) -> ErrorLaw:
    r"""Fit :math:`\epsilon_t = k\sqrt{R_f}` and :math:`\epsilon_t\propto R_f^b`, in logarithms.

    Args:
        test_error: fractions, positive, one per network.
        stability: R of the same networks, positive.

    Raises:
        ValueError: see :func:`log_correlation`.

    Source: Ch. 4, Fig. 5 (k = 0.24).
    """
    x, y = _logarithms(test_error, stability)
    prefactor = cluster_bootstrap(lambda e, r: float(np.exp((e - 0.5 * r).mean())), x, y)
    exponent = _bootstrapped(_slope, x, y)
    return ErrorLaw(prefactor.value, prefactor.error, exponent.value, exponent.error)


def _logarithms(test_error: ArrayLike, stability: ArrayLike) -> tuple[Array, Array]:
    arrays = []
    for name, values in (("test_error", test_error), ("stability", stability)):
        array = np.asarray(values, dtype=float)
        if array.ndim != 1 or len(array) < 3 or not np.all((array > 0) & np.isfinite(array)):
            raise ValueError(f"{name}: {values!r} given; allowed: 3 or more positive numbers")
        arrays.append(np.log(array))
    if len(arrays[0]) != len(arrays[1]):
        raise ValueError(
            f"stability: {len(arrays[1])} numbers given; allowed: as many as test_error, "
            f"{len(arrays[0])}"
        )
    return arrays[0], arrays[1]


def _rho(x: Array, y: Array) -> float:
    x, y = x - x.mean(), y - y.mean()
    spread = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / spread if spread > 0 else math.nan


def _slope(x: Array, y: Array) -> float:
    y = y - y.mean()
    spread = float(y @ y)
    return float(y @ x) / spread if spread > 0 else math.nan


def _bootstrapped(statistic: Callable[[Array, Array], float], x: Array, y: Array) -> Estimate:
    """The statistic over networks; resamples in which one network fills all places count as it."""
    whole = statistic(x, y)

    def defined(*resample: Array) -> float:
        value = statistic(*resample)
        return whole if math.isnan(value) else value

    return cluster_bootstrap(defined, x, y)
