"""Teacher and Student on random points of the sphere: Figs. 2, 6, 7 and 8."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.lab import Axis, Claim, Figure, Row, Table, Tolerance
from symscape.scaling import Estimate, NoEstimate, bootstrap, fit_power_law, scan, slope

Array = NDArray[np.float64]
Panels = dict[str, Estimate]
Dimension = Annotated[int, Field(ge=1, le=100)]
Size = Annotated[int, Field(ge=4, le=20_000)]
Sizes = Annotated[tuple[Size, ...], AfterValidator(lab.increasing)]
Order = Annotated[float, Field(gt=0, le=100)]
Ridge = Annotated[float, Field(gt=0)]

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


class TeacherStudentParameters(lab.Parameters):
    dimensions: tuple[Dimension, ...] = Field(min_length=1, description="d of Figs. 2 and 6")
    sizes: Sizes = Field(min_length=3, description="training points n, Figs. 2 and 6")
    laplace_sizes: Sizes = Field(
        min_length=3, description="training points n of Fig. 7 right, a pair of Laplace kernels"
    )
    gaussian_sizes: Sizes = Field(
        min_length=3, description="training points n of Fig. 7, a ridgeless Gaussian Student"
    )
    ridges: tuple[Ridge, ...] = Field(
        min_length=1, description="ridges of Fig. 7 left, of which the best is taken at each n"
    )
    ridge_sizes: Sizes = Field(min_length=3, description="training points n with a ridge")
    orders: tuple[Order, ...] = Field(min_length=1, description="nu of the Teachers of Fig. 8")
    circle_sizes: Sizes = Field(min_length=3, description="training points n of Fig. 8")
    n_test: int = Field(ge=10, description="test points")
    seeds: int = Field(ge=1, description="draws of the points")
    circle_seeds: int = Field(ge=1, description="draws of the points, Fig. 8")


def _beta(teacher: str, student: str, d: int) -> float:
    from symscape.kernels import exponent_of, named

    return exponent_of(named(teacher, 1.0), named(student, 1.0), d)


def _largest(sizes: Sequence[int], count: int = 4) -> tuple[float, float]:
    """The window of the largest sizes; three of four show its drift."""
    return float(sizes[-count:][0]), float(sizes[-1])


def _exact(row: Row) -> Array:
    """Errors that are not made of rounding: without jitter, and far above epsilon."""
    good = (row["jitter"] == 0) & (row["error"] > ROUNDING)
    return np.where(good, row["error"], np.nan)


def _exponent(rows: Table, window: tuple[float, float]) -> Estimate:
    """Exponent of the decay over that of Theorem 1."""
    first = rows.rows[0]
    beta = _beta(first["teacher"], first["student"], first["d"])
    found = -slope(first["sizes"], [_exact(row) for row in rows], window)
    said = f"Exponent {found.value:.4f}, {beta:.4f} in theory."
    return found.scaled(1 / beta).noted(said)


def _expected(row: Row) -> Array:
    """Errors of the self-consistent curve (App. I) with the harmonics of the sphere."""
    from symscape.kernels import named, self_consistent_curve, sphere_modes

    teacher, student = (named(row[who], row["sigma"]) for who in ("teacher", "student"))
    return self_consistent_curve(sphere_modes(teacher, student, row["d"]), row["sizes"])


def _by_dimension(table: Table, p: TeacherStudentParameters, **equal: str) -> Panels:
    groups = table.where(**equal, student="laplace").groups("d")
    return {f"d = {d}": _exponent(rows, _largest(rows.rows[0]["sizes"])) for (d,), rows in groups}


def _random_points(table: Table, p: TeacherStudentParameters) -> Panels:
    """Measured exponents over those of the self-consistent curve at the same n."""
    panels, window = {}, _largest(p.sizes)
    for (teacher, d), rows in table.where(figure="fig2").groups("teacher", "d"):
        expected = slope(p.sizes, _expected(rows.rows[0]), window).value
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
                    / _beta(row["teacher"], row["student"], d)
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
            gap = -slope(p.sizes, ratios, _largest(p.sizes))
            panels[f"{teacher}, d = {d}"] = gap.scaled(1 / _beta(teacher, "laplace", d))
    return panels


def _ridgeless(table: Table, p: TeacherStudentParameters) -> Estimate:
    rows = table.where(figure="fig7", teacher="laplace", student="gaussian", ridge=0.0)
    if not rows:
        raise NoEstimate("No run of a ridgeless Gaussian Student.")
    n = p.gaussian_sizes
    return _exponent(rows, (n[1], n[-1])).noted("Sizes whose matrix needs a jitter are left out.")


def _best_ridge(rows: Table) -> list[Array]:
    """The smallest error over the ridges, a curve for each seed."""
    return [np.min(some.column("error"), axis=0) for _, some in rows.groups("seed")]


def _with_ridge(table: Table, p: TeacherStudentParameters) -> Estimate:
    rows = table.where(figure="fig7", teacher="laplace", student="gaussian")
    curves = _best_ridge(rows.select(lambda row: row["ridge"] > 0))
    if not curves:
        raise NoEstimate("No run with a ridge.")
    beta = _beta("laplace", "gaussian", FIG7_D)
    return slope(p.ridge_sizes, curves, _largest(p.ridge_sizes)).scaled(-1 / beta)


def _growth(table: Table, p: TeacherStudentParameters) -> Estimate:
    """The power of n in which the log error of two Gaussians is a line, by correlation."""
    from scipy.optimize import minimize_scalar

    rows = table.where(figure="fig7", teacher="gaussian", student="gaussian").rows
    n = np.array(p.gaussian_sizes, dtype=float)

    def power(window: tuple[int, int], some: Sequence[Row]) -> float:
        log_error = np.mean(np.log([_exact(row) for row in some]), axis=0)
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
        f"nu = {nu:g}": _exponent(rows, _largest(p.circle_sizes))
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
            laplace_sizes=(16, 32, 64, 128),
            gaussian_sizes=(16, 23, 32, 45, 64),
            ridges=(1e-3, 1e-5),
            ridge_sizes=(16, 32, 64, 128),
            orders=(0.5, 3.0),
            circle_sizes=(16, 32, 64, 128),
            n_test=100,
            seeds=2,
            circle_seeds=3,
        ),
        "quick": TeacherStudentParameters(
            dimensions=(1, 2, 3, 5),
            sizes=(64, 128, 256, 512, 1024),
            laplace_sizes=(64, 128, 256, 512, 1024, 2048),
            gaussian_sizes=(32, 45, 64, 91, 128, 181, 256, 362, 512),
            ridges=(1e-3, 1e-4, 1e-5, 1e-6),
            ridge_sizes=(32, 64, 128, 256, 512),
            orders=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0),
            circle_sizes=(64, 128, 256, 512, 1024),
            n_test=300,
            seeds=3,
            circle_seeds=8,
        ),
        "overnight": TeacherStudentParameters(
            dimensions=(1, 2, 3, 5, 8),
            sizes=(64, 128, 256, 512, 1024, 2048),
            laplace_sizes=(64, 128, 256, 512, 1024, 2048, 4096),
            gaussian_sizes=(32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024),
            ridges=(1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
            ridge_sizes=(32, 64, 128, 256, 512, 1024, 2048),
            orders=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
            circle_sizes=(64, 128, 256, 512, 1024),
            n_test=500,
            seeds=10,
            circle_seeds=24,
        ),
        "paper": TeacherStudentParameters(
            dimensions=(1, 2, 3, 4, 5, 6, 8, 10, 15, 20),
            sizes=tuple(2**k for k in range(4, 15)),
            laplace_sizes=tuple(2**k for k in range(4, 15)),
            gaussian_sizes=(32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024),
            ridges=tuple(10.0**-k for k in range(2, 12)),
            ridge_sizes=tuple(2**k for k in range(5, 15)),
            orders=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
            circle_sizes=tuple(2**k for k in range(4, 14)),
            n_test=1000,
            seeds=20,
            circle_seeds=100,
        ),
    }
    claims = CLAIMS

    def points(self, p: TeacherStudentParameters) -> Iterator[lab.Point]:
        def over(seeds: int, sizes: Sequence[int], **axes: Any) -> Iterator[lab.Point]:
            return lab.grid(seeds, **axes, sizes=[list(sizes)], n_test=p.n_test)

        laplace = {"student": "laplace", "ridge": 0.0}
        for figure, sigma in (("fig2", None), ("fig6", WIDE_SIGMA)):
            at = [{"d": d, "sigma": sigma or float(d)} for d in p.dimensions]
            yield from over(p.seeds, p.sizes, figure=figure, teacher=TEACHERS, at=at, **laplace)
        fig7 = {"figure": "fig7", "d": FIG7_D, "sigma": float(FIG7_D)}
        for pair, ridges, sizes in (
            (("laplace", "gaussian"), (0.0,), p.gaussian_sizes),
            (("laplace", "gaussian"), p.ridges, p.ridge_sizes),
            (("gaussian", "gaussian"), (0.0,), p.gaussian_sizes),
            (("laplace", "laplace"), (0.0,), p.laplace_sizes),
        ):
            names = dict(zip(("teacher", "student"), pair))
            yield from over(p.seeds, sizes, **fig7, **names, ridge=ridges)
        teachers = [f"matern-{nu:g}" for nu in p.orders]
        fig8 = {"figure": "fig8", "d": 1, "sigma": FIG8_SIGMA, "teacher": teachers}
        yield from over(p.circle_seeds, p.circle_sizes, **fig8, **laplace)

    def cost(self, point: lab.Point) -> float:
        n = point["sizes"][-1]
        return 0.02 + 2e-10 * n**2 * (3 * point["n_test"] + n / 3 + 200)

    def measure(self, point: lab.Point) -> lab.Result:
        from symscape.kernels import named, random_points, teacher_errors

        sizes = point["sizes"]
        teacher, student = (named(point[who], point["sigma"]) for who in ("teacher", "student"))
        state = np.random.SeedSequence([point["seed"], point["d"]]).generate_state(2)
        x = random_points("sphere", sizes[-1], point["d"], int(state[0]))
        x_test = random_points("sphere", point["n_test"], point["d"], int(state[1]))
        # Jitter that the largest set of a smooth Student needs must not blur the smaller ones.
        apart = point["student"] == "gaussian" and point["ridge"] == 0
        parts = [[n] for n in sizes] if apart else [sizes]
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

    def figures(self, table: Table, p: TeacherStudentParameters) -> list[Figure]:
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
        beta = _beta(teacher, "laplace", d)
        _draw_slope(figure, f"slope {-beta:.3g}", some, beta)
        figure.guide(f"App. I, d = {d}", p.sizes, _expected(some.rows[0]))
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
    figure.thesis("Theorem 1", list(d_line), [_beta(teacher, "laplace", d) for d in d_line])
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
    figure.curves(table, "sizes", _exact, "ridge", name="ridge {ridge:g}", geometric=True)
    if ridgeless := table.where(ridge=0.0).rows:
        figure.guide("App. I, ridgeless", p.gaussian_sizes, _expected(ridgeless[0]))
    n = np.array(p.ridge_sizes, dtype=float)
    if curves := _best_ridge(table.select(lambda row: row["ridge"] > 0)):
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
        figure.curves(rows, x, _exact, name=f"{name} pair", geometric=True, group=group)
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
