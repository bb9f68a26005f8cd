"""Lines N*(P): their slopes with errors, and how they are drawn; shared by hinge and others."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symscape.lab import Figure, Finding, Row, Table

Array = NDArray[np.float64]


def transitions(table: Table) -> Iterator[tuple[int, Array, Array]]:
    """For each P: the found N* of all rows, and half the spacing to the next smaller net tried."""
    for (P,), rows in table.groups("P"):
        found = [row for row in rows if math.isfinite(row["N_star"])]
        if found:
            N = np.array([row["N_star"] for row in found], dtype=float)
            below = np.array([row["N_below"] for row in found], dtype=float)
            yield P, N, 0.5 * (N - below)


@dataclass(frozen=True)
class LineFit:
    """Slope of log N* against log P with its standard error over seeds; NaN without two P."""

    slope: float
    error: float
    note: str
    runs: list[str]

    def finding(self, claim: str) -> Finding:
        """The slope as a finding."""
        if not math.isfinite(self.slope):
            return Finding(claim, None, None, "A slope needs N* at two values of P or more.")
        return Finding(claim, self.slope, self.error, self.note, self.runs)


def fit_line(table: Table, resamples: int = 400) -> LineFit:
    """Common slope of log N* against log P, one intercept per depth.

    The error is a bootstrap over the runs of each depth, with the rounding of N* to the widths
    that exist drawn anew in every resample (uniform in the interval between the two widths).
    """
    found = [row for row in table if math.isfinite(row["N_star"])]
    keys = [row.key for row in found]
    if len({row["P"] for row in found}) < 2:
        return LineFit(math.nan, math.nan, "", keys)
    depth = np.array([row["L"] for row in found])
    log_P = np.log([row["P"] for row in found])
    N = np.array([row["N_star"] for row in found], dtype=float)
    below = np.maximum([row["N_below"] for row in found], 0.5 * N)
    slope = _slope(depth, log_P, np.log(N))
    random = np.random.default_rng(0)
    slopes = []
    for _ in range(resamples):
        chosen = random.integers(len(found), size=len(found))
        drawn = random.uniform(below, N)[chosen]
        value = _slope(depth[chosen], log_P[chosen], np.log(drawn))
        if math.isfinite(value):
            slopes.append(value)
    note = (
        f"{len(found)} searches, P from {math.exp(log_P.min()):.0f} to {math.exp(log_P.max()):.0f}."
    )
    return LineFit(slope, float(np.std(slopes, ddof=1)), note, keys)


def _slope(group: NDArray[np.int64], x: Array, y: Array) -> float:
    """Least-squares slope with one intercept per group."""
    x, y = x.copy(), y.copy()
    for value in np.unique(group):
        of = group == value
        x[of] -= x[of].mean()
        y[of] -= y[of].mean()
    spread = float(x @ x)
    return float(x @ y) / spread if spread > 0 else math.nan


def depth_ratio(claim: str, table: Table) -> Finding:
    """Ratio of N* between the two most different depths, geometric mean over the common P."""
    means: dict[int, dict[int, float]] = {}
    for (L,), rows in table.groups("L"):
        means[L] = {P: float(np.mean(np.log(N))) for P, N, _ in transitions(rows)}
    depths = [L for L, values in means.items() if values]
    common = set.intersection(*(set(means[L]) for L in depths)) if depths else set()
    if len(depths) < 2 or not common:
        return Finding(claim, None, None, "Fewer than two depths have N* at a common P.")
    level = {L: float(np.mean([means[L][P] for P in common])) for L in depths}
    low, high = min(level, key=lambda L: level[L]), max(level, key=lambda L: level[L])
    ratio = math.exp(level[high] - level[low])
    note = f"L = {high} over L = {low}, geometric mean over {len(common)} values of P."
    return Finding(claim, ratio, None, note, table.keys)


def bound_finding(claim: str, rows: Iterable[Row], beta: float) -> Finding:
    """The largest N* in units of the bound of stability, ``P / (1/2 - beta)``.

    A search in which no net fits violates the bound where the largest net tried lies above it,
    and leaves the claim open where it does not.

    Args:
        claim: id.
        rows: searches, with P, N_star (not finite where no net fits) and N_largest, the largest
            net tried.
        beta: N_c / N.
    """
    rows = list(rows)
    if not rows:
        return Finding(claim, None, None, "No finished search.")
    scale = 0.5 - beta
    found = [row["N_star"] * scale / row["P"] for row in rows if math.isfinite(row["N_star"])]
    failed = [r["N_largest"] * scale / r["P"] for r in rows if not math.isfinite(r["N_star"])]
    keys = [row.key for row in rows if row.key]
    if failed and max(failed) <= 1:
        note = (
            f"{len(failed)} of {len(rows)} searches have no net that fits; the largest of theirs "
            f"has {max(failed):.2f} of the bound."
        )
        return Finding(claim, None, None, note, keys)
    note = f"Largest of {len(rows)} searches."
    if failed:
        note = f"{len(failed)} of {len(rows)} searches have no net that fits, above the bound too."
    return Finding(claim, max(found + failed), None, note, keys)


def draw_line(figure: Figure, table: Table, name: str, first_group: int | None = None) -> None:
    """N* against P, one series per depth; ``name`` may hold ``{L}``."""
    group = len(figure.series) if first_group is None else first_group
    for (L,), rows in table.groups("L"):
        found = list(transitions(rows))
        if not found:
            continue
        P = [entry[0] for entry in found]
        N = [float(entry[1].mean()) for entry in found]
        error = [
            math.hypot(float(entry[1].std(ddof=1)) / math.sqrt(len(entry[1])), spacing)
            if len(entry[1]) > 1
            else spacing
            for entry in found
            for spacing in [float(entry[2].mean()) / math.sqrt(3)]
        ]
        figure.measured(name.format(L=L), P, N, y_error=error, mode="lines+markers", group=group)
        group += 1


def bound_guide(figure: Figure, P: Array, beta: float) -> None:
    """The bound of stability N* <= P / (1/2 - beta)."""
    from symscape.landscape import most_parameters

    N = [most_parameters(value, 0.5, beta) for value in P]
    figure.guide(f"bound P / (1/2 - {beta:g})", P, N)
