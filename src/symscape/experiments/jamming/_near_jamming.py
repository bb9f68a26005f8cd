"""Analysis of runs close to the jamming transition, shared by random data and images.

Every function takes a table of finished runs (see :mod:`._state` for the fields) and knows nothing
of how they were trained.  Losses are in units of the squared margin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from symscape.lab import Finding, Row

FITTED_LOSS = 1e-12
"""Below this loss a run counts as fitted: unsatisfied patterns that are left are rounding."""

CLOSE = (1e-6, 1e-2)
"""Final losses of the runs that count as near the transition (the rectangle of Fig. 6b)."""

NONE_CLOSE = f"No run ended at a loss between {CLOSE[0]:g} and {CLOSE[1]:g}."

THESIS_RATIO = 2.85
"""P / N of random data at the transition: between 2.8 and 2.9 (Paper A, Fig. 6a)."""

THETA_WINDOW = (1e-2, 1.0)
GAMMA_WINDOW = (1e-2, 1.0)

EVEN = 1 / 12
"""Participation ratio above which a state counts as jammed evenly: half that of an exponential."""

ROUNDING = 1e-9
"""Eigenvalues below this times the largest count as zero."""

Array = NDArray[np.float64]
Statistic = Callable[[Sequence[Row]], float]
Window = tuple[float, float]


def is_fitted(row: Row) -> bool:
    """Whether the run ended at zero loss."""
    return bool(row["n_delta"] == 0 or row["loss"] < FITTED_LOSS)


def is_settled(row: Row) -> bool:
    """Whether the run ended at zero loss, or at rest; one that did not is censored."""
    return is_fitted(row) or row["status"] == "stalled"


def unfitted(rows: Iterable[Row]) -> list[Row]:
    """The runs of positive loss, at rest or not."""
    return [row for row in rows if not is_fitted(row)]


def jammed(rows: Iterable[Row]) -> list[Row]:
    """The settled runs of positive loss."""
    return [row for row in unfitted(rows) if is_settled(row)]


def moving(rows: Iterable[Row]) -> str:
    """How many runs of positive loss were not at rest, for a note."""
    rows = unfitted(rows)
    still = sum(not is_settled(row) for row in rows)
    return f"{still} of {len(rows)} runs of positive loss did not come to rest."


def close(rows: Iterable[Row]) -> list[Row]:
    """The runs of positive loss near the transition that are not stuck on silent inputs."""
    low, high = CLOSE
    return alive(row for row in unfitted(rows) if low <= row["loss"] <= high)


def alive(rows: Iterable[Row]) -> list[Row]:
    """The runs that are not stuck on silent inputs.

    Where a narrow relu net has a layer that is off on some patterns, its output there is one
    constant, and the loss that is left says nothing of jamming.
    """
    return [row for row in rows if row["dead_share"] < 0.5]


def participation(row: Row) -> float:
    """Share of the unsatisfied patterns that carry the loss: ``(sum e)^2 / (N_Delta sum e^2)``.

    ``e = Delta^2``. It is 1 where all overlaps are equal, 1/6 where they are distributed as an
    exponential, and ``1 / N_Delta`` where one pattern has all of the loss.
    """
    energy = np.maximum(np.asarray(row["overlaps"], dtype=np.float64), 0.0) ** 2
    unsatisfied = int((energy > 0).sum())
    return float(energy.sum() ** 2 / (unsatisfied * (energy**2).sum())) if unsatisfied else 0.0


def even(rows: Iterable[Row]) -> list[Row]:
    """The runs whose loss is spread over the unsatisfied patterns as in a jammed state.

    Narrow and deep nets often freeze with a few isolated patterns far from satisfied. Those set
    the loss, and sqrt(loss) is then no scale of the other overlaps, nor of H_p.
    """
    return [row for row in rows if participation(row) > EVEN]


def constraints_per_parameter(row: Row) -> float:
    """``N_Delta / N`` at the end, N the number of weights."""
    return float(row["n_delta"] / row["n_weights"])


def bootstrap(rows: Sequence[Row], statistic: Statistic, resamples: int = 400) -> float | None:
    """Standard error of a statistic of runs, by resampling whole runs; None below two runs."""
    if len(rows) < 2:
        return None
    random = np.random.default_rng(0)
    values = []
    for _ in range(resamples):
        value = statistic([rows[i] for i in random.integers(len(rows), size=len(rows))])
        if math.isfinite(value):
            values.append(value)
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def finding(
    claim: str, rows: Sequence[Row], statistic: Statistic, *, missing: str, note: str = ""
) -> Finding:
    """A statistic of runs with its bootstrap error; ``missing`` is said where there are none."""
    if not rows:
        return Finding(claim, None, None, missing)
    keys = [row.key for row in rows]
    return Finding(claim, statistic(rows), bootstrap(rows, statistic), note, keys)


def mean_of(value: Callable[[Row], float]) -> Statistic:
    """The mean over runs of a number that each run gives."""
    return lambda rows: float(np.mean([value(row) for row in rows]))


def midpoint_of_fit(rows: Sequence[Row], fits: Callable[[Row], bool] = is_fitted) -> float:
    """``P / N`` at which half of the runs fit: logistic fit in P / N, NaN where all end alike.

    The slope is fitted too, within [1, 100] so that perfectly separated runs have a finite answer
    (the middle of the gap between the last fitted and the first unfitted ratio).
    """
    from scipy.optimize import minimize

    ratio = np.array([row["P"] / row["n_weights"] for row in rows])
    fitted = np.array([fits(row) for row in rows])
    if fitted.all() or not fitted.any():
        return math.nan

    def loss(parameters: Array) -> float:
        middle, log_slope = parameters
        z = np.exp(log_slope) * (ratio - middle)
        return float(np.logaddexp(0.0, np.where(fitted, z, -z)).sum())

    bounds = [(float(ratio.min()), float(ratio.max())), (0.0, math.log(100.0))]
    start = np.array([np.mean(ratio), math.log(10.0)])
    return float(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x[0])


def location(rows: Sequence[Row]) -> tuple[float, float]:
    """``P / N`` at which half of the runs fit, with the uncertainty that censored runs leave.

    They count as jammed for the lower end of an interval, and as fitted for its upper end. The
    error is half of that interval, and the bootstrap's over runs, in quadrature.

    Returns:
        The middle and its error; NaN where all runs end alike, be it for one end of the interval.
    """

    def ends(some: Sequence[Row]) -> tuple[float, float]:
        high = midpoint_of_fit(some, lambda row: is_fitted(row) or not is_settled(row))
        return midpoint_of_fit(some), high

    low, high = ends(rows)
    error = bootstrap(rows, lambda some: sum(ends(some)) / 2, resamples=100) or 0.0
    return (low + high) / 2, math.hypot((high - low) / 2, error)


def misclassified_share(row: Row) -> float:
    """Misclassified patterns per unsatisfied pattern."""
    return float(row["misclassified"] / max(row["n_delta"], 1))


def asymmetry(row: Row) -> float:
    """``|N_+ - N_-| / N_tot`` of the spectrum of H_p."""
    from symscape.landscape import inertia

    return inertia(row["eigenvalues_hp"], relative=ROUNDING).asymmetry


def negative_share(eigenvalues: Array) -> float:
    """Share of eigenvalues that are negative beyond rounding."""
    from symscape.landscape import inertia

    return inertia(eigenvalues, relative=ROUNDING).C0


def scaled_median(row: Row) -> float:
    """Median of the non-zero ``|lambda| / sqrt(loss)`` of H_p."""
    values = np.abs(np.asarray(row["eigenvalues_hp"]))
    values = values[values > ROUNDING * values.max()]
    return float(np.median(values) / math.sqrt(row["loss"]))


def half_spread(values: Sequence[float]) -> float:
    """(max - min) / (max + min): the relative half-width of a set of positive numbers."""
    return (max(values) - min(values)) / (max(values) + min(values))


def overlaps_of(rows: Iterable[Row]) -> list[Array]:
    """``Delta`` of every pattern, one array per run."""
    return [np.asarray(row["overlaps"], dtype=np.float64) for row in rows]


def exponent(which: Literal["theta", "gamma"], rows: Iterable[Row], window: Window) -> Any:
    """Fit of theta (overlaps) or gamma (gaps) over runs, or None where the window is too empty.

    Returns:
        A :class:`symscape.landscape.ExponentFit` whose ``exponent`` is theta, or minus gamma.
    """
    from symscape.landscape import fit_exponent, p_minus, p_plus

    positive_part = p_plus if which == "theta" else p_minus
    samples = [values for values in map(positive_part, overlaps_of(rows)) if values.size]
    inside = sum(int(((v >= window[0]) & (v <= window[1])).sum()) for v in samples)
    return fit_exponent(samples, window) if inside >= 50 else None


def exponent_finding(
    claim: str, which: Literal["theta", "gamma"], rows: Sequence[Row], window: Window
) -> Finding:
    """The exponent with its error and window as a finding; theta from evenly jammed runs alone."""
    given = len(rows)
    if which == "theta":
        rows = even(rows)
    fit = exponent(which, rows, window)
    if fit is None:
        reason = f"The {len(rows)} usable of {given} runs have fewer than 50 values in the window."
        return Finding(claim, None, None, reason)
    sign = 1.0 if which == "theta" else -1.0
    note = (
        f"Maximum likelihood in [{window[0]:g}, {window[1]:g}]: {fit.n_values} values of "
        f"{fit.n_runs} of {given} runs; error from the {fit.error_kind}."
    )
    return Finding(claim, sign * fit.exponent, fit.error, note, [row.key for row in rows])
