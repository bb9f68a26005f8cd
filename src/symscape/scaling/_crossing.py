"""Where a curve crosses a level."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symscape.scaling._bootstrap import checked_curves, log_curves
from symscape.scaling._estimate import Estimate, NoEstimate, bootstrap, exponential

Array = NDArray[np.float64]


def crossing(
    x: ArrayLike,
    curves: ArrayLike,
    level: float,
    *,
    log: bool = True,
    resamples: int = 400,
    seed: int = 0,
    note: str = "",
) -> Estimate:
    r"""The x at which the mean curve over seeds crosses a level, with its error over seeds.

    The mean is geometric and the curve is interpolated between its points in log y and log x; with
    ``log=False`` the mean is arithmetic and the interpolation linear. Of several crossings the
    first is taken, and the note says so. A curve whose points lie on both sides of the level
    crosses it; one that only touches it does not.

    Args:
        x: (n,), in any order.
        curves: (seeds, n) or (n,), NaN where a value is missing; at each x the mean is over the
            seeds that have one.
        level: the level.
        log: see above; x, curves and level must then be positive.
        resamples: of the bootstrap over seeds.
        seed: of the bootstrap.
        note: of the estimate.

    Raises:
        NoEstimate: the mean curve does not cross the level, or fewer than half of the resamples do.
        ValueError: wrong shapes or signs.
    """
    if not math.isfinite(level) or (log and level <= 0):
        raise ValueError(f"level: {level!r} given; allowed: a finite number, positive with log")
    u, v = log_curves(x, curves) if log else checked_curves(x, curves)
    target = math.log(level) if log else level

    def place(seeds: list[int]) -> float:
        found = _crossings(u, _mean(v[seeds]), target)
        if len(found) == 0:
            ends = np.nanmin(v[seeds]), np.nanmax(v[seeds])
            low, high = np.exp(ends) if log else ends
            raise NoEstimate(
                f"The mean curve does not cross {level:.4g}; values are {low:.4g} to {high:.4g}."
            )
        return float(found[0])

    if np.isnan(v).all():
        raise NoEstimate("No run gives this number.")
    several = len(_crossings(u, _mean(v), target))
    found = bootstrap(range(len(v)), place, resamples=resamples, seed=seed)
    said = f"The mean curve crosses {several} times; the first is taken." if several > 1 else ""
    return (exponential(found) if log else found).noted(said, note)


def _mean(v: Array) -> Array:
    """Mean over seeds at each x, NaN where none has a value."""
    count = (~np.isnan(v)).sum(axis=0)
    mean: Array = np.where(count > 0, np.nansum(v, axis=0) / np.maximum(count, 1), np.nan)
    return mean


def _crossings(u: Array, v: Array, level: float) -> Array:
    """Where the line through the points crosses the level, in increasing order."""
    known = ~np.isnan(v)
    u, above = u[known], v[known] - level
    # points exactly on the level lie on no side: the line between their neighbors crosses there
    off = above != 0
    u, above = u[off], above[off]
    i = np.flatnonzero(above[:-1] * above[1:] < 0)
    places: Array = u[i] + (u[i + 1] - u[i]) * above[i] / (above[i] - above[i + 1])
    return places
