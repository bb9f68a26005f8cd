"""Cusps of a relu network: preactivations that training pinned at zero (paper A, App. C)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, ks_2samp

__all__ = ["Cusps", "LayerPeak", "cusps", "ks_outside_peak"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LayerPeak:
    """The peak at zero of the preactivations of one layer.

    Attributes:
        count: (pattern, neuron) pairs in the peak; 0 where there is none.
        mass: ``count`` divided by the number of pairs.
        cut: magnitude that separates the peak from the rest; None where there is no peak.
        gap: largest magnitude in the peak and smallest outside; None where there is no peak.
        stray: pairs in the half decade (or ``gap_decades``) above the peak: 0 for an empty gap.
        log10_p: logarithm of the probability that a density without peak looks like this.
    """

    count: int
    mass: float
    cut: float | None
    gap: tuple[float, float] | None
    stray: int
    log10_p: float


@dataclass(frozen=True)
class Cusps:
    """Cusps of all layers.

    Attributes:
        layers: the peak of each hidden layer, first layer first.
    """

    layers: tuple[LayerPeak, ...]

    @property
    def n_cusps(self) -> int:
        """``N_c``: pairs of a training pattern and a hidden neuron in the peak."""
        return sum(layer.count for layer in self.layers)

    @property
    def masses(self) -> tuple[float, ...]:
        """Mass of the peak in each layer (the numbers printed in paper A, Fig. 12)."""
        return tuple(layer.mass for layer in self.layers)


def cusps(
    preactivations: Sequence[ArrayLike],
    *,
    cut: float | None = None,
    gap_decades: float = 0.5,
    ceiling: float = 1e-2,
    significance: float = 1e-6,
) -> Cusps:
    r"""Find and count the delta peak at zero in each layer.

    Descent pins some preactivations of training patterns to the kink of relu; the others have a
    smooth density at 0. Where a density is flat, a fraction ``10^-w`` of the values below
    ``10^w c`` lies below c. The peak ends at the value c below which there are most improbably
    more (binomial tail, ``w = gap_decades``), that is below the emptiest gap; it counts as a
    peak where that probability, times the number of values tried, is less than ``significance``.
    No peak is found in fresh data.

    Args:
        preactivations: one array per hidden layer, ``(P, h)`` or any shape.
        cut: count all magnitudes below this value instead of searching; > 0.
        gap_decades: width of the gap to look for, in decades.
        ceiling: largest magnitude at which the gap may end, in units of the layer's rms.
        significance: see above.

    Raises:
        ValueError: no layers, an empty layer or values that are not finite, a wrong option.
    """
    if len(preactivations) == 0:
        raise ValueError("preactivations must hold at least one layer; got none")
    for name, value in (("cut", cut), ("gap_decades", gap_decades), ("ceiling", ceiling)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite; got {value}")
    if not 0 < significance < 1:
        raise ValueError(f"significance must be in (0, 1); got {significance}")
    layers = [_magnitudes(layer) for layer in preactivations]
    if cut is not None:
        return Cusps(tuple(_peak_below(layer, cut, gap_decades) for layer in layers))
    return Cusps(tuple(_search(layer, gap_decades, ceiling, significance) for layer in layers))


def ks_outside_peak(train: ArrayLike, fresh: ArrayLike, cut: float) -> float:
    """Kolmogorov-Smirnov distance of the signed preactivations with magnitude above ``cut``.

    Small where training changed nothing but the peak (paper A, Fig. 12).

    Args:
        train: preactivations of one layer on the training patterns, any shape.
        fresh: the same on fresh patterns.
        cut: magnitude below which values are left out on both sides, >= 0.

    Raises:
        ValueError: a negative cut, values that are not finite, or nothing left on one side.
    """
    if not cut >= 0:
        raise ValueError(f"cut must not be negative; got {cut}")
    sides = []
    for name, values in (("train", train), ("fresh", fresh)):
        array = np.asarray(values, dtype=np.float64).ravel()
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: values that are not finite given; allowed: finite numbers")
        array = array[np.abs(array) > cut]
        if array.size == 0:
            raise ValueError(f"{name} has no values of magnitude above cut = {cut}")
        sides.append(array)
    return float(ks_2samp(*sides, method="asymp").statistic)


def _magnitudes(layer: ArrayLike) -> Array:
    values = np.sort(np.abs(np.asarray(layer, dtype=np.float64)).ravel())
    if values.size == 0:
        raise ValueError("preactivations hold an empty layer")
    if not math.isfinite(values[-1]):
        raise ValueError("preactivations must be finite")
    return values


def _search(values: Array, decades: float, ceiling: float, significance: float) -> LayerPeak:
    """The most improbable accumulation at zero, if it is improbable enough."""
    rms = math.sqrt(float(np.mean(values**2)))
    factor = 10**decades
    tried = int(np.searchsorted(values, ceiling * rms / factor))
    if tried == 0 or rms == 0:
        return LayerPeak(0, 0.0, None, None, 0, 0.0)
    inside = np.arange(1, tried + 1)
    stray = np.searchsorted(values, values[:tried] * factor, side="right") - inside
    # the value that defines c is below c by construction, so it does not count as evidence
    log_p = binom.logsf(inside - 2, inside - 1 + stray, 1 / factor) / math.log(10)
    best = int(np.argmin(log_p))
    if log_p[best] + math.log10(tried) > math.log10(significance):
        return LayerPeak(0, 0.0, None, None, 0, float(log_p[best]))
    gap = float(values[best]), float(values[best + 1])
    cut = math.sqrt(gap[0] * gap[1]) if gap[0] > 0 else gap[1] / factor
    count = best + 1
    return LayerPeak(count, count / values.size, cut, gap, int(stray[best]), float(log_p[best]))


def _peak_below(values: Array, cut: float, decades: float) -> LayerPeak:
    """The values below a given cut, and how probable so many are in a flat density."""
    count = int(np.searchsorted(values, cut))
    stray = int(np.searchsorted(values, cut * 10**decades)) - count
    log_p = float(binom.logsf(count - 1, count + stray, 10**-decades)) / math.log(10)
    if count == 0:
        return LayerPeak(0, 0.0, cut, None, stray, 0.0)
    above = float(values[count]) if count < values.size else math.inf
    gap = (float(values[count - 1]), above)
    return LayerPeak(count, count / values.size, cut, gap, stray, log_p)
