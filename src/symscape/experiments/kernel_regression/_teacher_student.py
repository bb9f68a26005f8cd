"""Teacher and Student on random points of the sphere: Figs. 2, 6, 7 and 8."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.experiments.kernel_regression._estimates import (
    draw_curve,
    draw_slope,
    exponent_finding,
    increasing,
    kernel,
    largest_deviation,
    power_law,
)
from symscape.lab import Axis, Claim, Figure, Finding, Table, Tolerance

Dimension = Annotated[int, Field(ge=1, le=100)]
Size = Annotated[int, Field(ge=4, le=20_000)]
Sizes = Annotated[tuple[Size, ...], AfterValidator(increasing)]
Order = Annotated[float, Field(gt=0, le=100)]

FIG7_D = 6
"""Dimension and length scale of Fig. 7."""

FIG8_SIGMA = 2.0
WIDE_SIGMA = 10.0
"""The second length scale of Fig. 6."""


class TeacherStudentParameters(lab.Parameters):
    dimensions: tuple[Dimension, ...] = Field(min_length=1, description="d of Figs. 2 and 6")
    sizes: Sizes = Field(min_length=3, description="training points n, Figs. 2 and 6")
    gaussian_sizes: Sizes = Field(
        min_length=3, description="training points n of Fig. 7, d = 6, a Gaussian Student"
    )
    ridge: float = Field(ge=0, default=1e-4, description="ridge of Fig. 7 left, beside 0")
    orders: tuple[Order, ...] = Field(min_length=1, description="nu of the Teachers of Fig. 8")
    circle_sizes: Sizes = Field(min_length=3, description="training points n of Fig. 8")
    n_test: int = Field(ge=10, description="test points")
    seeds: int = Field(ge=1, description="draws of the points")
    circle_seeds: int = Field(ge=1, description="draws of the points, Fig. 8")


def last(sizes: tuple[int, ...], count: int = 3) -> tuple[float, float]:
    """The window of the largest sizes."""
    return float(sizes[-count:][0]), float(sizes[-1])


CLAIMS = (
    Claim(
        "ch6.fig2.laplace-teacher",
        "Fig. 2a, c",
        "A Laplace Teacher and Student learn with beta = 1/d.",
        "1/d",
        Tolerance(0.0, 0.05, "largest |beta - 1/d| over d, three largest sizes"),
    ),
    Claim(
        "ch6.fig2.gaussian-teacher",
        "Fig. 2b, d",
        "A Gaussian Teacher and a Laplace Student learn with beta = 2 (1 + 1/d).",
        "2 (1 + 1/d)",
        Tolerance(0.0, 0.35, "largest |beta - 2 (1 + 1/d)| over d, three largest sizes"),
    ),
    Claim(
        "ch6.fig2.convergence",
        "Fig. 2c, d",
        "The fitted exponents come closer to the theory as more data are used.",
        "< 1",
        Tolerance(
            0.0, 1.0, "mean deviation of fits of all sizes, over that of the smaller half of sizes"
        ),
    ),
    Claim(
        "ch6.fig6.exponent",
        "Fig. 6",
        "The limiting exponent is the same for sigma = d and sigma = 10.",
        0.0,
        Tolerance(0.0, 0.1, "largest difference, Laplace Teacher, three largest sizes"),
    ),
    Claim(
        "ch6.fig6.sooner",
        "Fig. 6",
        "With sigma = d the limit is reached sooner than with sigma = 10.",
        "> 1",
        Tolerance(1.0, math.inf, "mean deviation from theory at sigma = 10 over that at sigma = d"),
    ),
    Claim(
        "ch6.fig7.left",
        "Fig. 7, left",
        "A Laplace Teacher and a ridgeless Gaussian Student learn with beta = 1/d, d = 6.",
        1 / 6,
        Tolerance(
            1 / 6 - 0.05, 1 / 6 + 0.05, "+- 0.05; all sizes but the first: the error has peaks"
        ),
    ),
    Claim(
        "ch6.fig7.left-ridge",
        "Fig. 7, left",
        "The same with a small ridge.",
        1 / 6,
        Tolerance(1 / 6 - 0.05, 1 / 6 + 0.05, "+- 0.05; ridge 1e-4 of the diagonal"),
    ),
    Claim(
        "ch6.fig7.exponential",
        "Fig. 7, center and right",
        "A Gaussian Teacher and Student learn exponentially, log error linear in n^(2/d).",
        "linear",
        Tolerance(0.98, 1.0, "squared correlation of log error and n^(2/d), above the rounding"),
    ),
    Claim(
        "ch6.fig8.rough",
        "Fig. 8",
        "Matern Teachers of order nu <= 2 on the circle give beta = min(2 nu, 4).",
        "2 nu",
        Tolerance(0.0, 0.2, "largest deviation, random gaps leave noise"),
    ),
    Claim(
        "ch6.fig8.smooth",
        "Fig. 8",
        "Matern Teachers of order nu >= 2 on the circle give beta = min(2 nu, 4) = 4.",
        4.0,
        Tolerance(0.0, 0.5, "largest deviation, random gaps leave noise"),
    ),
)


@lab.register
class TeacherStudent(lab.Experiment):
    """Ch. 6, Figs. 2, 6, 7 and 8."""

    name = "kernel-regression-teacher-student"
    chapter = "6"
    title = "Teacher and Student on random points"
    summary = (
        "A Gaussian random field with one kernel is learned with another one, at random points of "
        "the sphere. The average over fields is exact. The exponents are compared with Theorem 1, "
        "beta = min(alpha_T - d, 2 alpha_S) / d, which is proved for lattices."
    )
    sources = ("Ch. 6, Figs. 2, 6, 7, 8", "Ch. 6, App. C-E")
    version = 1
    Parameters = TeacherStudentParameters
    profiles = {  # noqa: RUF012
        "smoke": TeacherStudentParameters(
            dimensions=(1, 2),
            sizes=(16, 32, 64, 128),
            gaussian_sizes=(16, 32, 64),
            orders=(0.5, 2.0),
            circle_sizes=(16, 32, 64, 128),
            n_test=100,
            seeds=2,
            circle_seeds=3,
        ),
        "quick": TeacherStudentParameters(
            dimensions=(1, 2, 3, 5),
            sizes=(64, 128, 256, 512, 1024),
            gaussian_sizes=(32, 64, 128, 256, 512, 1024),
            orders=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0),
            circle_sizes=(64, 128, 256, 512, 1024),
            n_test=300,
            seeds=3,
            circle_seeds=8,
        ),
        "overnight": TeacherStudentParameters(
            dimensions=(1, 2, 3, 5, 8),
            sizes=(64, 128, 256, 512, 1024, 2048),
            gaussian_sizes=(32, 64, 128, 256, 512, 1024, 2048),
            orders=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0),
            circle_sizes=(64, 128, 256, 512, 1024),
            n_test=500,
            seeds=10,
            circle_seeds=24,
        ),
        "paper": TeacherStudentParameters(
            dimensions=(1, 2, 3, 4, 5, 6, 8, 10, 15, 20),
            sizes=tuple(2**k for k in range(4, 15)),
            gaussian_sizes=tuple(2**k for k in range(4, 12)),
            orders=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
            circle_sizes=tuple(2**k for k in range(4, 14)),
            n_test=1000,
            seeds=20,
            circle_seeds=100,
        ),
    }
    claims = CLAIMS

    def points(self, p: TeacherStudentParameters) -> list[dict[str, Any]]:
        names = ("figure", "teacher", "student", "sigma", "d", "ridge", "sizes", "seeds")
        return [
            {**point, "sizes": list(point["sizes"]), "n_test": p.n_test, "seed": seed}
            for point in (dict(zip(names, case)) for case in _cases(p))
            for seed in range(point.pop("seeds"))
        ]

    def cost(self, point: dict[str, Any]) -> float:
        n = point["sizes"][-1]
        return 0.02 + 1e-10 * n**2 * (3 * point["n_test"] + n / 3 + 200)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.kernels import random_points, teacher_errors

        sizes = point["sizes"]
        teacher, student = (kernel(point[who], point["sigma"]) for who in ("teacher", "student"))
        state = np.random.SeedSequence([point["seed"], point["d"]]).generate_state(2)
        x = random_points("sphere", sizes[-1], point["d"], int(state[0]))
        x_test = random_points("sphere", point["n_test"], point["d"], int(state[1]))
        # Jitter that the largest set of a smooth Student needs must not blur the smaller ones.
        parts = [sizes] if point["student"] == "laplace" else [[n] for n in sizes]
        found = [
            teacher_errors(teacher, student, x[: part[-1]], x_test, part, point["ridge"])
            for part in parts
        ]
        repeat = [len(part) for part in parts]
        return {
            "error": np.concatenate([each.values for each in found]),
            "jitter": np.repeat([each.factor.jitter for each in found], repeat),
            "condition": np.repeat([each.factor.condition for each in found], repeat),
        }

    def analyse(self, table: Table, p: TeacherStudentParameters) -> list[Finding]:
        close = table.where(figure="fig2")
        window = last(p.sizes)
        deviations = [
            largest_deviation(
                f"ch6.fig2.{teacher}-teacher",
                [
                    (f"d = {d}", power_law(rows, window), _beta(teacher, "laplace", d))
                    for (d,), rows in close.where(teacher=teacher).groups("d")
                ],
                close.keys,
                "No finished run.",
            )
            for teacher in ("laplace", "gaussian")
        ]
        return [
            *deviations,
            _convergence(close, p),
            *_length_scales(table, p),
            *_smooth_student(table, p),
            *_matern(table.where(figure="fig8"), p),
        ]

    def figures(self, table: Table, p: TeacherStudentParameters) -> list[Figure]:
        close = table.where(figure="fig2")
        wide = table.where(figure="fig6")
        return [
            *(_curves_figure(close, teacher, p) for teacher in ("laplace", "gaussian")),
            *(_exponents_figure(close, wide, teacher, p) for teacher in ("laplace", "gaussian")),
            _left_figure(table.where(figure="fig7", teacher="laplace", student="gaussian"), p),
            _exponential_figure(table.where(figure="fig7"), p),
            _matern_figure(table.where(figure="fig8"), p),
        ]


def _cases(p: TeacherStudentParameters) -> Iterator[tuple[Any, ...]]:
    for d in p.dimensions:
        for teacher in ("laplace", "gaussian"):
            yield "fig2", teacher, "laplace", float(d), d, 0.0, p.sizes, p.seeds
            yield "fig6", teacher, "laplace", WIDE_SIGMA, d, 0.0, p.sizes, p.seeds
    for teacher, student, ridge in (
        ("laplace", "gaussian", 0.0),
        ("laplace", "gaussian", p.ridge),
        ("gaussian", "gaussian", 0.0),
        ("laplace", "laplace", 0.0),
    ):
        sigma = float(FIG7_D)
        yield "fig7", teacher, student, sigma, FIG7_D, ridge, p.gaussian_sizes, p.seeds
    for nu in p.orders:
        teacher = f"matern-{nu:g}"
        yield "fig8", teacher, "laplace", FIG8_SIGMA, 1, 0.0, p.circle_sizes, p.circle_seeds


def _beta(teacher: str, student: str, d: int) -> float:
    from symscape.kernels import exponent_of

    return exponent_of(kernel(teacher, 1.0), kernel(student, 1.0), d)


def _mean_deviation(table: Table, window: tuple[float, float]) -> float | None:
    """Mean distance from Theorem 1 of the exponents of a Laplace Student, all d and Teachers."""
    distances = [
        abs(-fit.exponent - _beta(teacher, "laplace", d))
        for (teacher, d), rows in table.groups("teacher", "d")
        for fit in [power_law(rows, window)]
        if fit is not None
    ]
    return float(np.mean(distances)) if distances else None


def _convergence(table: Table, p: TeacherStudentParameters) -> Finding:
    claim = "ch6.fig2.convergence"
    few = _mean_deviation(table, (0.0, p.sizes[len(p.sizes) // 2]))
    all_sizes = _mean_deviation(table, (0.0, p.sizes[-1]))
    if few is None or all_sizes is None:
        return Finding(claim, None, None, "No finished run.")
    note = f"Mean deviation {few:.3f} of the smaller sizes, {all_sizes:.3f} of all."
    return Finding(claim, all_sizes / few, None, note, table.keys)


def _length_scales(table: Table, p: TeacherStudentParameters) -> list[Finding]:
    close, wide = table.where(figure="fig2"), table.where(figure="fig6")
    window = last(p.sizes)
    gaps = []
    for (d,), rows in close.where(teacher="laplace").groups("d"):
        pair = [power_law(each, window) for each in (rows, wide.where(teacher="laplace", d=d))]
        a, b = pair
        if a is not None and b is not None:
            error = math.hypot(a.statistical or 0.0, b.statistical or 0.0)
            gaps.append((abs(a.exponent - b.exponent), error, d))
    near, far = (_mean_deviation(each, (0.0, p.sizes[-1])) for each in (close, wide))
    if not gaps or near is None or far is None:
        empty = "Both length scales are needed."
        return [Finding(f"ch6.fig6.{name}", None, None, empty) for name in ("exponent", "sooner")]
    gap, error, d = max(gaps)
    keys = close.keys + wide.keys
    note = (
        f"Mean deviation {near:.3f} at sigma = d, {far:.3f} at sigma = {WIDE_SIGMA:g}, all sizes."
    )
    return [
        Finding("ch6.fig6.exponent", gap, error, f"Largest at d = {d}.", keys),
        Finding("ch6.fig6.sooner", far / near, None, note, keys),
    ]


def _smooth_student(table: Table, p: TeacherStudentParameters) -> list[Finding]:
    left = table.where(figure="fig7", teacher="laplace", student="gaussian")
    everything = (float(p.gaussian_sizes[1]), float(p.gaussian_sizes[-1]))
    findings = []
    for claim, rows in (("left", left.where(ridge=0.0)), ("left-ridge", left.where(ridge=p.ridge))):
        finding = exponent_finding(
            f"ch6.fig7.{claim}", power_law(rows, everything), rows, "No finished run."
        )
        if rows:
            jitter = max(float(row["jitter"].max()) for row in rows)
            finding.note += f" Largest jitter {jitter:.1e}."
        findings.append(finding)
    both = table.where(figure="fig7", teacher="gaussian", student="gaussian")
    squares = [value for value in map(_linearity, both) if value is not None]
    claim = "ch6.fig7.exponential"
    if not squares:
        return [*findings, Finding(claim, None, None, "No run has three errors above rounding.")]
    error = float(np.std(squares, ddof=1) / math.sqrt(len(squares))) if len(squares) > 1 else None
    return [*findings, Finding(claim, float(np.mean(squares)), error, "", both.keys)]


def _above_rounding(row: Any) -> np.ndarray:
    """Sizes whose error is not made of rounding: without jitter, and far above epsilon."""
    return (row["jitter"] == 0) & (row["error"] > 1e-13)


def _linearity(row: Any) -> float | None:
    """Squared correlation of the log error with n^(2/d)."""
    good = _above_rounding(row)
    if good.sum() < 3:
        return None
    n = np.array(row["sizes"], dtype=float)[good] ** (2 / FIG7_D)
    return float(np.corrcoef(n, np.log(row["error"][good]))[0, 1] ** 2)


def _matern(table: Table, p: TeacherStudentParameters) -> list[Finding]:
    window = last(p.circle_sizes)
    cases = {
        nu: (
            f"nu = {nu:g}",
            power_law(table.where(teacher=f"matern-{nu:g}"), window),
            min(2 * nu, 4),
        )
        for nu in p.orders
    }
    return [
        largest_deviation(
            f"ch6.fig8.{name}",
            [case for nu, case in cases.items() if chosen(nu)],
            table.keys,
            "No finished run with such an order.",
        )
        for name, chosen in (("rough", lambda nu: nu <= 2), ("smooth", lambda nu: nu > 2))
    ]


def _axes() -> tuple[Axis, Axis]:
    return Axis("training points n", log=True), Axis("mean squared error", log=True)


def _curves_figure(table: Table, teacher: str, p: TeacherStudentParameters) -> Figure:
    formula = "1/d" if teacher == "laplace" else "2 (1 + 1/d)"
    figure = Figure(
        f"curves-{teacher}",
        f"{teacher.capitalize()} Teacher, Laplace Student",
        f"Random points of the sphere S^d, sigma = d. Dashed: slope beta = {formula}, Theorem 1.",
        *_axes(),
        ordered=True,
    )
    for (d,), rows in table.where(teacher=teacher).groups("d"):
        draw_curve(figure, f"d = {d}", rows)
        beta = _beta(teacher, "laplace", d)
        draw_slope(figure, f"slope {-beta:.3g}", power_law(rows, last(p.sizes)), beta)
    return figure


def _exponents_figure(
    close: Table, wide: Table, teacher: str, p: TeacherStudentParameters
) -> Figure:
    figure = Figure(
        f"exponents-{teacher}",
        f"Exponents against dimension, {teacher.capitalize()} Teacher",
        "Exponents of fits to all sizes up to n_max, as in the thesis, for sigma = d and for "
        "sigma = 10. Dashed: Theorem 1.",
        Axis("dimension d"),
        Axis("exponent beta"),
    )
    for label, table in (("sigma = d", close), (f"sigma = {WIDE_SIGMA:g}", wide)):
        for n_max in p.sizes[2::2]:
            fits = [
                (d, power_law(rows, (0.0, n_max)))
                for (d,), rows in table.where(teacher=teacher).groups("d")
            ]
            known = [(d, -fit.exponent, fit.statistical or 0.0) for d, fit in fits if fit]
            if known:
                d, beta, error = (list(column) for column in zip(*known))
                figure.measured(
                    f"{label}, n up to {n_max}", d, beta, y_error=error, mode="lines+markers"
                )
    d_line = np.arange(1, max(p.dimensions) + 1)
    figure.thesis("Theorem 1", d_line, [_beta(teacher, "laplace", int(d)) for d in d_line])
    return figure


def _left_figure(table: Table, p: TeacherStudentParameters) -> Figure:
    figure = Figure(
        "smooth-student",
        "Laplace Teacher, Gaussian Student",
        f"d = sigma = {FIG7_D}. Ridgeless, the error peaks where all polynomials of a degree are "
        "fitted (n = 8, 35, 112, 294), and float64 ends soon after; a small ridge shows the slope "
        "of the thesis, -1/6 (dashed).",
        *_axes(),
    )
    for ridge, label in ((0.0, "ridgeless"), (p.ridge, f"ridge {p.ridge:g}")):
        draw_curve(figure, label, table.where(ridge=ridge))
    fit = power_law(table.where(ridge=p.ridge), (0.0, float(p.gaussian_sizes[-1])))
    draw_slope(figure, "slope -1/6", fit, 1 / 6)
    return figure


def _exponential_figure(table: Table, p: TeacherStudentParameters) -> Figure:
    figure = Figure(
        "exponential",
        "Gaussian Teacher and Student, and Laplace Teacher and Student",
        f"d = sigma = {FIG7_D}, against n^(2/d). The Gaussian pair falls on a line in this "
        "semi-logarithmic plot (errors above the rounding), the Laplace pair decays as n^(-1/6).",
        Axis("n^(1/3)"),
        Axis("mean squared error", log=True),
    )
    for name in ("gaussian", "laplace"):
        rows = table.where(teacher=name, student=name)
        if not rows:
            continue
        n = np.array(rows.rows[0]["sizes"], dtype=float)
        errors = np.array([np.where(_above_rounding(row), row["error"], math.nan) for row in rows])
        shown = ~np.isnan(errors).any(axis=0)
        figure.measured(
            f"{name} pair",
            n[shown] ** (2 / FIG7_D),
            np.exp(np.log(errors[:, shown]).mean(axis=0)),
            mode="lines+markers",
        )
        if name == "laplace" and shown.any():
            level = np.exp(np.log(errors[:, shown][:, -1]).mean()) * n[shown][-1] ** (1 / 6)
            figure.thesis("n^(-1/6)", n ** (2 / FIG7_D), level * n ** (-1 / 6))
    return figure


def _matern_figure(table: Table, p: TeacherStudentParameters) -> Figure:
    figure = Figure(
        "matern",
        "Matern Teachers on the circle",
        f"Laplace Student, d = 1, sigma = {FIG8_SIGMA:g}. Dashed: slopes -min(2 nu, 4).",
        *_axes(),
        ordered=True,
    )
    for nu in p.orders:
        rows = table.where(teacher=f"matern-{nu:g}")
        draw_curve(figure, f"nu = {nu:g}", rows)
        fit = power_law(rows, last(p.circle_sizes))
        draw_slope(figure, f"nu = {nu:g}", fit, min(2 * nu, 4))
    return figure
