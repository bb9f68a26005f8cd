"""Lines N*(P), with the rounding of N* to widths that exist; shared by hinge and cross entropy.

The rows are searches: ``P``, ``seed``, ``N_star`` (smallest net that fits, infinite where none
does), ``N_below`` (largest smaller net that is known not to fit), ``N_largest`` (largest net
tried) and ``closed``, whether there is an ``N_below``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from symscape import scaling
from symscape.experiments.jamming._near_jamming import THESIS_RATIO
from symscape.lab import Estimate, Figure, NoEstimate, Row, Table

Array = NDArray[np.float64]

BETA = 0.25
"""N_c / N of relu nets with random data (Paper A, App. C), for the bound."""


def N_star(row: Row) -> float:
    """The geometric middle of the smallest net that fits and the largest one that does not.

    Infinite where no net fits; NaN where the search is not closed from below.
    """
    if not math.isfinite(row["N_star"]):
        return math.inf
    return math.sqrt(row["N_star"] * row["N_below"]) if row["closed"] else math.nan


@dataclass(frozen=True, eq=False)
class Line:
    """N* of one depth and dimension.

    Attributes:
        P: numbers of patterns, (n,).
        N: N*, (seeds, n); infinite where no net fits, NaN where the search is not closed.
        spacing: mean distance of log N between the two nets of a search, (n,).
    """

    P: Array
    N: Array
    spacing: Array

    @classmethod
    def of(cls, table: Table) -> Line:
        """The line of these searches."""
        found = {(row["seed"], row["P"]): N_star(row) for row in table}
        seeds, sizes = (sorted({key[i] for key in found}) for i in (0, 1))
        return cls(
            np.array(sizes, float),
            np.array([[found.get((seed, P), math.nan) for P in sizes] for seed in seeds]),
            np.array([_spacing(rows) for _, rows in table.groups("P")]),
        )

    def over(self, other: Line) -> Line:
        """The ratio of two lines of the same data, seed by seed."""
        ratio = np.full_like(self.N, math.inf)
        np.divide(self.N, other.N, out=ratio, where=~np.isinf(other.N))
        return Line(self.P, ratio, np.hypot(self.spacing, other.spacing))

    def level(self, P: float) -> Estimate:
        """N* at one P: geometric mean over the seeds whose search is closed."""
        place = int(np.searchsorted(self.P, P))
        if place == len(self.P) or self.P[place] != P:
            raise NoEstimate(f"P = {P:g} is not measured.")
        N = self.N[:, place]
        closed = N[~np.isnan(N)]
        if not np.isfinite(closed).all():
            raise NoEstimate(f"At P = {P:g} there are seeds for which no net fits.")
        found = scaling.geometric_mean(closed)
        missing = len(N) - len(closed)
        return rounded(found, found.value * self.spacing[place] / math.sqrt(12)).noted(
            f"Widths that exist are {self.spacing[place]:.0%} apart.",
            f"{missing} searches at P = {P:g} are open." if missing else "",
        )

    def levels(self) -> dict[str, Estimate | str]:
        """The level of every P, or the sentence why there is none."""
        found: dict[str, Estimate | str] = {}
        for P in self.P:
            try:
                found[f"P = {P:g}"] = self.level(P)
            except NoEstimate as reason:
                found[f"P = {P:g}"] = str(reason)
        return found

    def slope(self) -> Estimate:
        """Slope of log N* against log P, over the P at which every seed has a net that fits."""
        N = np.where(np.isinf(self.N).any(0), math.nan, self.N)
        found = scaling.slope(self.P, N)
        used = ~np.isnan(N).all(0)
        x = np.log(self.P[used]) - np.log(self.P[used]).mean()
        error = float(np.linalg.norm(x * self.spacing[used]) / (x @ x)) / math.sqrt(12)
        return rounded(found, error).noted(f"Rounding to widths that exist adds {error:.2g}.")


def _spacing(rows: Table) -> float:
    """Mean distance of log N between the smallest net that fits and the next one; 0 for none."""
    logs = [math.log(r["N_star"] / r["N_below"]) for r in rows if math.isfinite(N_star(r))]
    return float(np.mean(logs)) if logs else 0.0


def rounded(found: Estimate, rounding: float) -> Estimate:
    """The estimate with the error of rounding N* to widths that exist, alike for all seeds."""
    error = None if found.error is None else math.hypot(found.error, rounding)
    return dataclasses.replace(found, error=error)


def bound(table: Table) -> Estimate | str:
    """N* in units of the bound of stability ``P / (1/2 - N_c/N)``, at the P where it is largest.

    A search in which no net fits counts with the largest net tried, which lies below its N*; where
    that is below the bound, too, the question is open.
    """
    found = []
    for (P,), rows in table.groups("P"):
        scale = (0.5 - BETA) / P
        tried = [
            row["N_star"] if math.isfinite(row["N_star"]) else row["N_largest"] for row in rows
        ]
        fits = [math.isfinite(row["N_star"]) for row in rows]
        largest = max(tried) * scale
        if not all(fits) and largest <= 1:
            return f"At P = {P} no net fits, and the largest has {largest:.2f} of the bound."
        level = scaling.geometric_mean(np.array(tried) * scale, f"At P = {P}.")
        found.append(rounded(level, level.value * _spacing(rows) / math.sqrt(12)))
    return max(found, key=lambda estimate: estimate.value)


def draw(figure: Figure, table: Table, name: str, group: int = 0) -> None:
    """N* against P, a series per depth and dimension, where every seed has a net that fits.

    Args:
        figure: drawn in.
        table: searches.
        name: format string of L and d.
        group: colour of the first series.
    """
    shown = [rows for _, rows in table.groups("L", "d", "P") if max(map(N_star, rows)) < math.inf]
    rows = Table(row for some in shown for row in some)
    figure.curves(rows, "P", N_star, ("L", "d"), name=name, geometric=True, group=group)


def draw_guides(figure: Figure, table: Table) -> None:
    """The thesis's transition of random data, and the bound of stability."""
    from symscape.landscape import most_parameters

    if table:
        P = np.array([min(table.column("P")), max(table.column("P"))], dtype=float)
        figure.thesis("thesis, random data at N = 8000", P, P / THESIS_RATIO)
        N = [most_parameters(value, 0.5, BETA) for value in P]
        figure.guide(f"bound P / (1/2 - {BETA:g})", P, N)
