"""Drawings of Teacher and Student on random points: Figs. 2, 6, 7 and 8."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from symscape.experiments.kernel_regression._teacher_student_claims import (
    FIG7_D,
    FIG8_SIGMA,
    TEACHERS,
    WIDE_SIGMA,
    Array,
    above_rounding,
    best_ridge,
    self_consistent,
    theorem,
)
from symscape.lab import Axis, Figure, Row, Table
from symscape.scaling import slope

if TYPE_CHECKING:
    from symscape.experiments.kernel_regression._teacher_student import TeacherStudentParameters


def figures(table: Table, p: TeacherStudentParameters) -> list[Figure]:
    """All figures of the experiment."""
    return [
        *(_curves_figure(teacher, table, p) for teacher in TEACHERS),
        *(_exponents_figure(teacher, table, p) for teacher in TEACHERS),
        _left_figure(table.where(figure="fig7", teacher="laplace", student="gaussian"), p),
        _exponential_figure(table.where(figure="fig7"), p),
        _matern_figure(table.where(figure="fig8"), p),
    ]


def _axes() -> tuple[Axis, Axis]:
    return Axis("training points n", log=True), Axis("mean squared error", log=True)


def _draw_slope(figure: Figure, label: str, rows: Table, beta: float) -> None:
    """The slope of the theorem through the error at the largest size."""
    if rows:
        n = np.array(rows.rows[0]["sizes"], dtype=float)
        last = np.exp(np.mean([np.log(row["error"][-1]) for row in rows]))
        figure.thesis(label, n[[0, -1]], last * (n[[0, -1]] / n[-1]) ** -beta)


def _curves_figure(teacher: str, table: Table, p: TeacherStudentParameters) -> Figure:
    formula = "1/d" if teacher == "laplace" else "2 (1 + 1/d)"
    figure = Figure(
        f"curves-{teacher}",
        f"{teacher.capitalize()} Teacher, Laplace Student",
        f"Random points of the sphere S^d, sigma = d. Dashed: slope beta = {formula}, Theorem 1. "
        "Grey: the self-consistent curve of App. I with the harmonics of the sphere.",
        *_axes(),
        ordered=True,
        claims=(f"ch6.fig2.{teacher}-teacher", "ch6.appI.random-points"),
    )
    rows = table.where(figure="fig2", teacher=teacher)
    figure.curves(rows, "sizes", "error", "d", geometric=True)
    for (d,), some in rows.groups("d"):
        beta = theorem(teacher, "laplace", d)
        _draw_slope(figure, f"slope {-beta:.3g}", some, beta)
        figure.guide(f"App. I, d = {d}", p.sizes, self_consistent(some.rows[0]))
    return figure


def _exponents_figure(teacher: str, table: Table, p: TeacherStudentParameters) -> Figure:
    figure = Figure(
        f"exponents-{teacher}",
        f"Exponents against dimension, {teacher.capitalize()} Teacher",
        "Exponents of fits to all sizes up to n_max, as in the thesis, for sigma = d and for "
        "sigma = 10. Dashed: Theorem 1.",
        Axis("dimension d"),
        Axis("exponent beta"),
        claims=("ch6.fig2.convergence", "ch6.fig6.exponent", f"ch6.fig6.sooner-{teacher}"),
    )
    for which, label in (("fig2", "sigma = d"), ("fig6", f"sigma = {WIDE_SIGMA:g}")):
        rows = table.where(figure=which, teacher=teacher)
        for n_max in p.sizes[2::2] if rows else ():
            fits = {
                d: slope(p.sizes, some.column("error"), (0, n_max))
                for (d,), some in rows.groups("d")
            }
            beta = [-fit.value for fit in fits.values()]
            error = [fit.error or 0.0 for fit in fits.values()]
            name = f"{label}, n up to {n_max}"
            figure.measured(name, list(fits), beta, error, mode="lines+markers")
    d_line = range(1, max(p.dimensions) + 1)
    figure.thesis("Theorem 1", list(d_line), [theorem(teacher, "laplace", d) for d in d_line])
    return figure


def _left_figure(table: Table, p: TeacherStudentParameters) -> Figure:
    figure = Figure(
        "smooth-student",
        "Laplace Teacher, Gaussian Student",
        f"d = sigma = {FIG7_D}. Ridgeless, the error peaks where all polynomials of a degree are "
        "fitted (n = 8, 35, 112, 294), as the self-consistent curve of App. I has it (grey), and "
        "float64 ends soon after; a ridge that becomes smaller as n grows, the best one at each n, "
        "shows the slope of the thesis, -1/6 (dashed).",
        *_axes(),
        claims=("ch6.fig7.left", "ch6.fig7.left-ridge"),
    )
    figure.curves(table, "sizes", above_rounding, "ridge", name="ridge {ridge:g}", geometric=True)
    if ridgeless := table.where(ridge=0.0).rows:
        figure.guide("App. I, ridgeless", p.gaussian_sizes, self_consistent(ridgeless[0]))
    n = np.array(p.ridge_sizes, dtype=float)
    if curves := best_ridge(table.select(lambda row: row["ridge"] > 0)):
        level = np.exp(np.mean(np.log(curves), axis=0))
        figure.guide("best ridge", n, level)
        figure.thesis("slope -1/6", n, level[0] * (n / n[0]) ** (-1 / FIG7_D))
    return figure


def _exponential_figure(table: Table, p: TeacherStudentParameters) -> Figure:
    figure = Figure(
        "exponential",
        "Gaussian Teacher and Student, and Laplace Teacher and Student",
        f"d = sigma = {FIG7_D}, against n^(2/d). The Gaussian pair falls on a line in this "
        "semi-logarithmic plot (errors above the rounding), the Laplace pair decays as n^(-1/6).",
        Axis("n^(1/3)"),
        Axis("mean squared error", log=True),
        claims=("ch6.fig7.exponential", "ch6.fig7.right"),
    )

    def x(row: Row) -> Array:
        return np.array(row["sizes"], dtype=float) ** (2 / FIG7_D)

    for group, name in enumerate(TEACHERS):
        rows = table.where(teacher=name, student=name)
        figure.curves(rows, x, above_rounding, name=f"{name} pair", geometric=True, group=group)
    if rows := table.where(teacher="laplace", student="laplace"):
        n, last = np.array(p.laplace_sizes), np.mean([row["error"][-1] for row in rows])
        figure.thesis("n^(-1/6)", n ** (2 / FIG7_D), last * (n / n[-1]) ** (-1 / FIG7_D))
    return figure


def _matern_figure(table: Table, p: TeacherStudentParameters) -> Figure:
    figure = Figure(
        "matern",
        "Matern Teachers on the circle",
        f"Laplace Student, d = 1, sigma = {FIG8_SIGMA:g}. Dashed: slopes -min(2 nu, 4). At nu = 2 "
        "both terms of Theorem 1 are equal, which adds a logarithm: it is no test of an exponent.",
        *_axes(),
        ordered=True,
        claims=("ch6.fig8.rough", "ch6.fig8.smooth"),
    )
    for group, nu in enumerate(p.orders):
        rows = table.where(teacher=f"matern-{nu:g}")
        figure.curves(rows, "sizes", "error", name=f"nu = {nu:g}", geometric=True, group=group)
        _draw_slope(figure, f"nu = {nu:g}", rows, min(2 * nu, 4))
    return figure
