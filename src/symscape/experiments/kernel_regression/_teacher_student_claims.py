"""What random points say of Theorem 1: the claims of Figs. 2, 6, 7 and 8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from symscape.lab import Claim, Row, Table, Tolerance
from symscape.scaling import Estimate, NoEstimate, bootstrap, fit_power_law, scan, slope

if TYPE_CHECKING:
    from symscape.experiments.kernel_regression._teacher_student import TeacherStudentParameters

Array = NDArray[np.float64]
Panels = dict[str, Estimate]

TEACHERS = ("laplace", "gaussian")

FIG7_D = 6
"""Dimension and length scale of Fig. 7."""

FIG8_SIGMA = 2.0
WIDE_SIGMA = 10.0
"""The second length scale of Fig. 6."""

DEGENERATE = 2.0
"""Order of Fig. 8 with alpha_T - d = 2 alpha_S: both terms of Theorem 1 are equal there, and the
error is n^-4 with a logarithm. It is drawn, and tests no exponent."""

ROUNDING = 1e-12
"""Errors below are made of rounding, n times epsilon."""


def theorem(teacher: str, student: str, d: int) -> float:
    from symscape.kernels import exponent_of, named

    return exponent_of(named(teacher, 1.0), named(student, 1.0), d)


def largest(sizes: Sequence[int], count: int = 4) -> tuple[float, float]:
    """The window of the largest sizes; three of four show its drift."""
    return float(sizes[-count:][0]), float(sizes[-1])


def above_rounding(row: Row) -> Array:
    """Errors that are not made of rounding: without jitter, and far above epsilon."""
    good = (row["jitter"] == 0) & (row["error"] > ROUNDING)
    return np.where(good, row["error"], np.nan)


def _exponent(rows: Table, window: tuple[float, float]) -> Estimate:
    """Exponent of the decay over that of Theorem 1."""
    first = rows.rows[0]
    beta = theorem(first["teacher"], first["student"], first["d"])
    found = -slope(first["sizes"], [above_rounding(row) for row in rows], window)
    said = f"Exponent {found.value:.4f}, {beta:.4f} in theory."
    return found.scaled(1 / beta).noted(said)


def self_consistent(row: Row) -> Array:
    """Errors of the self-consistent curve (App. I) with the harmonics of the sphere."""
    from symscape.kernels import named, self_consistent_curve, sphere_modes

    teacher, student = (named(row[who], row["sigma"]) for who in ("teacher", "student"))
    return self_consistent_curve(sphere_modes(teacher, student, row["d"]), row["sizes"])


def _by_dimension(table: Table, p: TeacherStudentParameters, **equal: str) -> Panels:
    groups = table.where(**equal, student="laplace").groups("d")
    return {f"d = {d}": _exponent(rows, largest(rows.rows[0]["sizes"])) for (d,), rows in groups}


def _random_points(table: Table, p: TeacherStudentParameters) -> Panels:
    """Measured exponents over those of the self-consistent curve at the same n."""
    panels, window = {}, largest(p.sizes)
    for (teacher, d), rows in table.where(figure="fig2").groups("teacher", "d"):
        expected = slope(p.sizes, self_consistent(rows.rows[0]), window).value
        found = slope(p.sizes, rows.column("error"), window)
        said = f"Exponent {-found.value:.4f}, {-expected:.4f} in App. I."
        panels[f"{teacher}, d = {d}"] = found.scaled(1 / expected).noted(said)
    return panels


def _deviations(rows: Table, n_max: int, p: TeacherStudentParameters) -> dict[int, Array]:
    """By seed: exponent of the fit of all sizes up to n_max over the theorem's, less 1, by d."""
    found: dict[int, Array] = {}
    for (seed,), some in rows.groups("seed"):
        by_d = {row["d"]: row for row in some}
        if set(by_d) == set(p.dimensions):
            found[seed] = np.array(
                [
                    -fit_power_law(row["sizes"], row["error"], (0, n_max), resamples=2).exponent
                    / theorem(row["teacher"], row["student"], d)
                    - 1
                    for d, row in sorted(by_d.items())
                ]
            )
    return found


def _closer(above: dict[int, Array], below: dict[int, Array]) -> Estimate:
    """Mean over d of the deviations from theory, of one case over another one; seeds are paired."""

    def distance(cases: Sequence[Array]) -> Array:
        return np.abs(np.mean(cases, axis=0))

    def quotient(pairs: Sequence[tuple[Array, Array]]) -> float:
        above, below = (distance(cases).mean() for cases in zip(*pairs))
        return float(above / below)

    pairs = [(above[seed], below[seed]) for seed in above if seed in below]
    found = bootstrap(pairs, quotient)
    lists = (", ".join(f"{x:.3f}" for x in distance(cases)) for cases in zip(*pairs))
    return found.noted("Deviations by d: {} over {}.".format(*lists))


def _convergence(table: Table, p: TeacherStudentParameters) -> Panels:
    """Fits of all sizes against those of the smaller ones, half of them and one less."""
    half = len(p.sizes) // 2
    return {
        f"{teacher.capitalize()} Teacher, n up to {few}": _closer(
            _deviations(rows, p.sizes[-1], p), _deviations(rows, few, p)
        )
        for teacher in TEACHERS
        for rows in [table.where(figure="fig2", teacher=teacher)]
        for few in p.sizes[half - 1 : half + 1]
    }


def _sooner(teacher: str, table: Table, p: TeacherStudentParameters) -> Estimate:
    """Fits of all sizes, and of all but the largest."""
    wide, close = (table.where(figure=figure, teacher=teacher) for figure in ("fig6", "fig2"))
    return scan(
        lambda n_max: _closer(_deviations(wide, n_max, p), _deviations(close, n_max, p)),
        p.sizes[:-3:-1],
    )


def _same_limit(table: Table, p: TeacherStudentParameters) -> Panels:
    """Exponent at sigma = 10 less that at sigma = d, over theory; the points are the same."""
    panels = {}
    close = table.where(figure="fig2")
    for (teacher, d), wide in table.where(figure="fig6").groups("teacher", "d"):
        of = {row["seed"]: row["error"] for row in close.where(teacher=teacher, d=d)}
        ratios = [row["error"] / of[row["seed"]] for row in wide if row["seed"] in of]
        if ratios:
            gap = -slope(p.sizes, ratios, largest(p.sizes))
            panels[f"{teacher}, d = {d}"] = gap.scaled(1 / theorem(teacher, "laplace", d))
    return panels


def _ridgeless(table: Table, p: TeacherStudentParameters) -> Estimate:
    rows = table.where(figure="fig7", teacher="laplace", student="gaussian", ridge=0.0)
    if not rows:
        raise NoEstimate("No run of a ridgeless Gaussian Student.")
    n = p.gaussian_sizes
    return _exponent(rows, (n[1], n[-1])).noted("Sizes whose matrix needs a jitter are left out.")


def best_ridge(rows: Table) -> list[Array]:
    """The smallest error over the ridges, a curve for each seed."""
    return [np.min(some.column("error"), axis=0) for _, some in rows.groups("seed")]


def _with_ridge(table: Table, p: TeacherStudentParameters) -> Estimate:
    rows = table.where(figure="fig7", teacher="laplace", student="gaussian")
    curves = best_ridge(rows.select(lambda row: row["ridge"] > 0))
    if not curves:
        raise NoEstimate("No run with a ridge.")
    beta = theorem("laplace", "gaussian", FIG7_D)
    return slope(p.ridge_sizes, curves, largest(p.ridge_sizes)).scaled(-1 / beta)


def _growth(table: Table, p: TeacherStudentParameters) -> Estimate:
    """The power of n in which the log error of two Gaussians is a line, by correlation."""
    from scipy.optimize import minimize_scalar

    rows = table.where(figure="fig7", teacher="gaussian", student="gaussian").rows
    n = np.array(p.gaussian_sizes, dtype=float)

    def power(window: tuple[int, int], some: Sequence[Row]) -> float:
        log_error = np.mean(np.log([above_rounding(row) for row in some]), axis=0)
        chosen = np.isfinite(log_error) & (n >= window[0]) & (n <= window[1])
        if chosen.sum() < 4:
            raise NoEstimate("Fewer than four sizes have errors above the rounding.")

        def bend(power: float) -> float:
            x = np.expm1(power * np.log(n[chosen])) / power if power else np.log(n[chosen])
            return float(np.corrcoef(x, log_error[chosen])[0, 1])

        return float(minimize_scalar(bend, bounds=(-1.0, 2.0), method="bounded").x)

    sizes = p.gaussian_sizes
    windows = [(sizes[0], sizes[-1]), (sizes[2], sizes[-1]), (sizes[0], sizes[-4])]
    return scan(lambda window: bootstrap(rows, partial(power, window)), windows)


def _matern(chosen: Callable[[float], bool], table: Table, p: TeacherStudentParameters) -> Panels:
    return {
        f"nu = {nu:g}": _exponent(rows, largest(p.circle_sizes))
        for nu in p.orders
        if chosen(nu)
        for rows in [table.where(figure="fig8", teacher=f"matern-{nu:g}")]
        if rows
    }


CLAIMS = (
    Claim(
        "ch6.fig2.laplace-teacher",
        "Fig. 2a, c",
        "A Laplace Teacher and Student learn with beta = 1/d.",
        1.0,
        Tolerance(0.8, 1.2, "beta d, 20 %: what tells d = 5 from 6; four largest sizes"),
        partial(_by_dimension, figure="fig2", teacher="laplace"),
    ),
    Claim(
        "ch6.fig2.gaussian-teacher",
        "Fig. 2b, d",
        "A Gaussian Teacher and a Laplace Student learn with beta = 2 (1 + 1/d).",
        1.0,
        Tolerance(0.9, 1.1, "measured over theoretical exponent, 10 %; four largest sizes"),
        partial(_by_dimension, figure="fig2", teacher="gaussian"),
    ),
    Claim(
        "ch6.fig2.convergence",
        "Fig. 2c, d",
        "The fitted exponents come closer to the theory as more data are used.",
        "< 1",
        Tolerance.at_most(
            0.9, "deviation of fits of all sizes over that of the smaller half; 1 if they stay"
        ),
        _convergence,
    ),
    Claim(
        "ch6.appI.random-points",
        "Fig. 2, App. I",
        "At finite n, too, random points have the exponent of the self-consistent curve.",
        1.0,
        Tolerance(
            0.9, 1.1, "measured over its exponent with the harmonics of the sphere, same n; 10 %"
        ),
        _random_points,
    ),
    Claim(
        "ch6.fig6.exponent",
        "Fig. 6",
        "The limiting exponent is the same for sigma = d and sigma = 10.",
        0.0,
        Tolerance(-0.1, 0.1, "difference over the theoretical exponent, 10 %; four largest sizes"),
        _same_limit,
    ),
    *(
        Claim(
            f"ch6.fig6.sooner-{teacher}",
            "Fig. 6",
            f"With sigma = d the limit is reached sooner than with sigma = 10, "
            f"{teacher.capitalize()} Teacher.",
            "> 1",
            Tolerance.at_least(1.0, "deviation from theory at sigma = 10 over that at sigma = d"),
            partial(_sooner, teacher),
        )
        for teacher in TEACHERS
    ),
    Claim(
        "ch6.fig7.left",
        "Fig. 7, left",
        "A Laplace Teacher and a ridgeless Gaussian Student learn with beta = 1/d, d = 6.",
        1.0,
        Tolerance(0.8, 1.2, "beta d, 20 % as for Fig. 2; all sizes but the first"),
        _ridgeless,
    ),
    Claim(
        "ch6.fig7.left-ridge",
        "Fig. 7, left",
        "The same with the small ridge that is best at each n.",
        1.0,
        Tolerance(0.8, 1.2, "beta d, 20 % as for Fig. 2; four largest sizes"),
        _with_ridge,
    ),
    Claim(
        "ch6.fig7.exponential",
        "Fig. 7, center",
        "A Gaussian Teacher and Student learn exponentially, log error linear in n^(2/d).",
        2 / FIG7_D,
        Tolerance(
            1 / 6, 1 / 2, "power of n in which it is linear: nearer to 1/3 than to 0, a power law"
        ),
        _growth,
    ),
    Claim(
        "ch6.fig7.right",
        "Fig. 7, right",
        "A Laplace Teacher and Student, beside them, learn with the power law beta = 1/d, d = 6.",
        1.0,
        Tolerance(0.8, 1.2, "beta d, 20 % as for Fig. 2; four largest sizes"),
        partial(_by_dimension, figure="fig7", teacher="laplace"),
    ),
    Claim(
        "ch6.fig8.rough",
        "Fig. 8",
        "Matern Teachers of order nu < 2 on the circle give beta = min(2 nu, 4).",
        1.0,
        Tolerance(0.9, 1.1, "measured over theoretical exponent, 10 %; random gaps leave noise"),
        partial(_matern, lambda nu: nu < DEGENERATE),
    ),
    Claim(
        "ch6.fig8.smooth",
        "Fig. 8",
        "Matern Teachers of order nu > 2 on the circle give beta = min(2 nu, 4) = 4.",
        1.0,
        Tolerance(0.875, 1.125, "0.5 of 4; random gaps leave noise"),
        partial(_matern, lambda nu: nu > DEGENERATE),
    ),
)
