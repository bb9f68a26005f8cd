"""Runs at the jamming transition: which of them count, and what is read off them.

Tables hold finished runs, with the fields of :func:`._state.measure_run`. Losses are in units of
the squared margin. Errors are bootstraps over seeds, with the drift over what the analysis chose:
the loss below which a run is close to the transition, and windows of fits.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from symscape import scaling
from symscape.lab import Estimate, NoEstimate, Row, Table

FITTED_LOSS = 1e-12
"""Below this loss a run counts as fitted: unsatisfied patterns that are left are rounding."""

SILENT = 0.02
"""Largest share of silent patterns: a net that lost more of them has broken, not jammed."""

BALANCED = 0.1
"""Gradient over the square root of the loss below which forces count as balanced: a run may still
creep down, as most do near the transition, but from one nearly stationary state to the next."""

CLOSE = (0.05, 0.02, 0.15)
"""Loss below which a run counts as close to the transition: overlaps of a third of the margin. The
number is that of the first, and its drift over the others is in the error."""

HEIGHT = (0.15, 0.08, 0.25)
"""The same for the line N_Delta/N(loss) that is extrapolated to the transition."""

COUNTABLE = (20, 10, 40)
"""Misclassified patterns that a loss must allow for their share to be fitted: one adds at least
1/(2P) to it, so that below 2 P loss = 1 there is none by arithmetic."""

WINDOWS = ((1e-2, 1.0), (1e-2, 0.3), (3e-2, 1.0))
"""Windows of overlaps and gaps in which their exponents are fitted."""

THESIS_RATIO = 2.85
"""P / N of random data at the transition: between 2.8 and 2.9 (Paper A, Fig. 6a)."""

ROUNDING = 1e-9
"""Eigenvalues below this times the largest count as zero."""

Array = NDArray[np.float64]
Value = Callable[[Row], float]
Statistic = Callable[[Array, Array], float]
"""A number of the losses of runs and of one value of each."""
Answer = Callable[[Table], Estimate]


def is_fitted(row: Row) -> bool:
    """Whether the run ended at zero loss."""
    return bool(row["n_delta"] == 0 or row["loss"] < FITTED_LOSS)


def is_jammed(row: Row) -> bool:
    """Whether the run came to rest at a positive loss; one that did not is censored."""
    return row["status"] == "stalled" and not is_fitted(row)


def patterns(row: Row) -> int:
    """Patterns that are not silent: those that all numbers of the run are about."""
    return int(row["P"] - row["n_silent"])


def whole(table: Table) -> Table:
    """The runs whose nets did not break: few patterns are silent, if any."""
    return table.select(lambda row: row["n_silent"] <= SILENT * row["P"])


def jammed(table: Table) -> Table:
    """The jammed runs."""
    return whole(table).select(is_jammed)


def near(table: Table, below: float = CLOSE[0]) -> Table:
    """The runs of a positive loss below some value in which the forces are balanced."""
    return whole(table).select(
        lambda row: (
            not is_fitted(row)
            and row["loss"] < below
            and (is_jammed(row) or row["grad_norm"] <= BALANCED * math.sqrt(row["loss"]))
        )
    )


def by_depth(table: Table, answer: Answer) -> dict[str, Estimate | str]:
    """An answer for each depth, or the sentence why there is none."""
    found: dict[str, Estimate | str] = {}
    for (L,), rows in table.groups("L"):
        try:
            found[f"L = {L}"] = answer(rows)
        except NoEstimate as reason:
            found[f"L = {L}"] = str(reason)
    return found


def known(panels: dict[str, Estimate | str]) -> dict[str, Estimate]:
    """The panels that have a number."""
    return {name: found for name, found in panels.items() if isinstance(found, Estimate)}


def close(value: Value, statistic: Statistic, below: tuple[float, ...] = CLOSE) -> Answer:
    """The answer that is a statistic of the runs close to the transition.

    Its error holds the drift over the loss that counts as close, and that to the runs at rest
    among them.
    """
    choices: dict[str, Callable[[Table], Table]] = {
        f"loss < {cut:g}": lambda table, cut=cut: near(table, cut)  # type: ignore[misc]
        for cut in below
    }
    choices["at rest"] = lambda table: jammed(near(table, below[0]))

    def answer(table: Table) -> Estimate:
        return scaling.scan(
            lambda choice: _over_seeds(choices[choice](table), value, statistic),
            list(choices),
            _counted(table, below[0]),
        )

    return answer


def mean(value: Value) -> Answer:
    """The mean of a number of each run close to the transition."""
    return close(value, lambda losses, values: float(values.mean()))


def _over_seeds(table: Table, value: Value, statistic: Statistic) -> Estimate:
    items = [(row["seed"], row["loss"], value(row)) for row in table]
    return scaling.bootstrap(
        items, lambda some: statistic(*np.array(some, float).T[1:]), by=lambda item: item[0]
    )


def _counted(table: Table, below: float = CLOSE[0]) -> str:
    runs, fitted, resting = near(table, below), sum(map(is_fitted, table)), jammed(table)
    return (
        f"Of {len(table)} runs {fitted} fitted and {len(resting)} are at rest at a positive loss; "
        f"{len(runs)} are close to the transition, {len(jammed(runs))} of them at rest."
    )


def unsatisfied(row: Row) -> float:
    """``N_Delta / N`` at the end, N the number of weights; 0 where the run fitted."""
    return 0.0 if is_fitted(row) else float(row["n_delta"] / row["n_weights"])


def between(table: Table, low: float, high: float, *, fitted: bool) -> Estimate:
    """Share of runs with ``low < N_Delta/N < high``.

    Args:
        table: the runs.
        low: of the interval.
        high: of the interval.
        fitted: of the runs that fitted or came to rest; else of those that did not fit.
    """
    runs = whole(table)
    rows = runs.select(lambda r: is_fitted(r) or is_jammed(r) if fitted else not is_fitted(r))
    k = sum(low < unsatisfied(row) < high for row in rows)
    broken = len(table) - len(runs)
    return scaling.share(k, len(rows), f"{k} of {len(rows)} runs; {broken} nets broke.")


def height(table: Table) -> Estimate:
    """``N_Delta / N`` at the transition, extrapolated to it linearly in the loss."""
    return _at(0.0)(table)


def _at(loss: float) -> Answer:
    """``N_Delta / N`` at some loss, on the line through the runs close to the transition."""

    def statistic(losses: Array, values: Array) -> float:
        if len(np.unique(losses)) < 3 or losses.max() < 1.5 * losses.min():
            raise NoEstimate("Fewer than three losses, or too close to one another.")
        return float(np.polyval(np.polyfit(losses, values, 1), loss))

    return close(unsatisfied, statistic, HEIGHT)


def depths_at_equal_loss(table: Table) -> Estimate:
    """Half the largest difference of ``N_Delta / N`` between depths, at the middle loss."""
    runs = near(table, HEIGHT[0])
    if not runs:
        raise NoEstimate("No run is close to the transition.")
    middle = float(np.median(runs.column("loss")))
    found = scaling.spread(known(by_depth(table, _at(middle))))
    return found.scaled(0.5).noted(f"At a loss of {middle:.2g}.")


def location(table: Table) -> Estimate:
    """``P / N`` at which half of the runs fit.

    Censored runs count as half fitted; the error holds what changes if they are all jammed or all
    fitted, and the rounding to the ratios measured.
    """
    runs = whole(table)

    def of(censored: float) -> Estimate:
        return scaling.bootstrap(
            runs.rows,
            lambda rows: _midpoint(rows, censored),
            by=lambda row: row["seed"],
            resamples=100 if censored == 0.5 else 1,
        )

    found, ends = of(0.5), [of(0.0).value, of(1.0).value]
    drift = max(abs(end - found.value) for end in ends)
    ratios = np.unique([row["ratio"] for row in runs])
    spacing = np.diff(ratios)[np.clip(np.searchsorted(ratios, found.value) - 1, 0, None)]
    rounding = float(spacing) / math.sqrt(12)
    error = None if found.error is None else math.hypot(found.error, drift, rounding)
    return dataclasses.replace(found, error=error).noted(
        f"From {min(ends):.2f} to {max(ends):.2f} as runs that did not come to rest are counted; "
        f"the spacing of P/N adds {rounding:.2g} to the error.",
        _counted(table),
    )


def _midpoint(rows: list[Row], censored: float) -> float:
    """Logistic fit of fitted against ``P / N``, its slope within [1, 100].

    So that perfectly separated runs have a finite answer, the middle of the gap between the last
    fitted and the first unfitted ratio.
    """
    from scipy.optimize import minimize

    ratio = np.array([patterns(row) / row["n_weights"] for row in rows])
    fits = np.array([1.0 if is_fitted(r) else 0.0 if is_jammed(r) else censored for r in rows])
    if fits.min() > 0.5 or fits.max() < 0.5 or fits.min() == fits.max():
        raise NoEstimate("All runs end alike: none fits, or none is at rest at a positive loss.")

    def loss(parameters: Array) -> float:
        z = np.exp(parameters[1]) * (ratio - parameters[0])
        return float((fits * np.logaddexp(0.0, z) + (1 - fits) * np.logaddexp(0.0, -z)).sum())

    bounds = [(float(ratio.min()), float(ratio.max())), (0.0, math.log(100.0))]
    start = np.array([ratio.mean(), math.log(10.0)])
    return float(minimize(loss, start, method="L-BFGS-B", bounds=bounds).x[0])


def misclassified_exponent(table: Table) -> Estimate:
    """Power of the loss with which misclassified patterns per unsatisfied one vanish.

    Over runs of positive loss, at rest or not, whose loss allows for enough of them.
    """

    def of(countable: float) -> Estimate:
        runs = whole(table).select(
            lambda row: not is_fitted(row) and 2 * patterns(row) * row["loss"] >= countable
        )
        return _over_seeds(runs, lambda r: (r["misclassified"] + 0.5) / r["n_delta"], slope)

    return scaling.scan(of, COUNTABLE, "Windows: misclassified patterns that the loss allows for.")


def slope(losses: Array, values: Array) -> float:
    """Slope of the logarithm of a number by that of the loss."""
    if len(losses) < 3 or losses.max() < 2 * losses.min():
        raise NoEstimate("The losses differ by less than a factor of two.")
    return float(np.polyfit(np.log(losses), np.log(values), 1)[0])


def scatter(losses: Array, values: Array) -> float:
    """Standard deviation over runs of the logarithm of ``value / sqrt(loss)``."""
    if len(losses) < 3:
        raise NoEstimate("Fewer than three runs are close to the transition.")
    return float(np.std(np.log(values / np.sqrt(losses)), ddof=1))


def median_magnitude(row: Row) -> float:
    """Median of the non-zero ``|lambda|`` of H_p."""
    values = np.abs(np.asarray(row["eigenvalues_hp"], dtype=float))
    return float(np.median(values[values > ROUNDING * values.max()]))


def asymmetry(row: Row) -> float:
    """``|N_+ - N_-| / N_tot`` of the spectrum of H_p."""
    from symscape.landscape import inertia

    return inertia(row["eigenvalues_hp"], relative=ROUNDING).asymmetry


def negative_share(row: Row, of: Literal["h", "hp"]) -> float:
    """Share of eigenvalues of H or H_p that are negative beyond rounding."""
    from symscape.landscape import inertia

    return inertia(row[f"eigenvalues_{of}"], relative=ROUNDING).C0


def depth_of_saddle(row: Row) -> float:
    """The most negative eigenvalue of H over that of H_p: how much of it H_0 has not lifted."""
    least = float(np.min(row["eigenvalues_h"]))
    return max(0.0, least / float(np.min(row["eigenvalues_hp"])))


def rank(row: Row) -> float:
    """Rank of H_0 over ``min(N_Delta, N_eff)``."""
    return float(row["rank_h0"] / min(row["n_delta"], row["n_effective"]))


def gap(row: Row) -> float:
    """Smallest non-zero frequency ``sqrt(lambda)`` of H_0 over the spacing of those above it.

    About 1 where the density of frequencies is finite down to zero (for spheres), and large where
    there is a gap. The spacing is the mean of the lowest tenth.
    """
    values = np.sort(np.asarray(row["eigenvalues_h0"], dtype=float))[-row["rank_h0"] :]
    frequencies = np.sqrt(values)
    tenth = max(2, len(values) // 10)
    return float(frequencies[0] / ((frequencies[tenth] - frequencies[0]) / tenth))


def cusps(table: Table) -> Estimate:
    """``N_c / N``: pre-activations below the fixed cut, and the drift to those below the gap."""
    pinned = mean(lambda row: row["n_pinned"] / row["n_weights"])(table)
    peak = mean(lambda row: row["n_cusps"] / row["n_weights"])(table)
    drift = abs(pinned.value - peak.value)
    error = None if pinned.error is None else math.hypot(pinned.error, drift)
    return dataclasses.replace(pinned, error=error).noted(
        f"Counted below the emptiest gap of each run it is {peak.value:.3g}."
    )


def overlaps_of(table: Table, part: Callable[[Any], Array]) -> list[Array]:
    """Overlaps or gaps of the runs close to the transition, one array for each seed."""
    samples = [
        np.concatenate([part(np.asarray(row["overlaps"], dtype=float)) for row in rows])
        for _, rows in near(table).groups("seed")
    ]
    return [sample for sample in samples if sample.size]


def exponent(which: Literal["theta", "gamma"]) -> Answer:
    """The answer that is theta (overlaps) or gamma (gaps), with the drift over windows."""

    def answer(table: Table) -> Estimate:
        from symscape.landscape import fit_exponent, p_minus, p_plus

        samples = overlaps_of(table, p_plus if which == "theta" else p_minus)
        sign = 1.0 if which == "theta" else -1.0

        def of(window: tuple[float, float]) -> Estimate:
            try:
                fit = fit_exponent(samples, window)
            except ValueError as reason:
                raise NoEstimate(f"No exponent: {reason}.") from reason
            S = fit.n_runs
            error = fit.error * math.sqrt(S / (S - 1)) * scaling.student(S) if S > 1 else None
            return Estimate(sign * fit.exponent, error, f"{fit.n_values} values.", S)

        return scaling.scan(of, WINDOWS, _counted(table))

    return answer


def depths_of_theta(table: Table) -> Estimate:
    """Half the largest difference of theta between depths."""
    return scaling.spread(known(by_depth(table, exponent("theta")))).scaled(0.5)
