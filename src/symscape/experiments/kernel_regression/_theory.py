"""Theorem 1 by sums over frequencies, by simulation and by the self-consistent curve."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.experiments.kernel_regression._estimates import (
    draw_curve,
    increasing,
    kernel,
    largest_deviation,
    power_law,
)
from symscape.lab import Axis, Claim, Figure, Finding, Table, Tolerance

Side = Annotated[int, Field(ge=4, le=4096)]
Sides = Annotated[tuple[Side, ...], AfterValidator(increasing)]
Sizes = Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(increasing)]

PAIRS = (
    ("laplace", "laplace"),
    ("gaussian", "laplace"),
    ("laplace", "gaussian"),
    ("matern-1.5", "laplace"),
    ("matern-2.5", "laplace"),
)
"""Teacher and Student of the lattice sums."""

SIGMA = {"laplace": 0.3, "gaussian": 0.15}
"""Length scales in units of the period."""

SPECTRA = ((2, 2, 1), (6, 2, 1), (4, 2, 1), (3, 3, 2), (7, 3, 2), (12, 4, 3), (8, 4, 3), (4, 4, 3))
"""alpha_T, alpha_S, d of App. I."""


class TheoryParameters(lab.Parameters):
    sides: Sides = Field(min_length=2, description="points of the lattice, d = 1")
    sides_2d: Sides = Field(min_length=2, description="points along an axis, d = 2")
    sides_3d: Sides = Field(default=(), description="points along an axis, d = 3")
    sizes: Sizes = Field(min_length=2, description="training points n of the self-consistent curve")
    field_side: Side = Field(description="points along an axis of simulated fields, d = 2")
    fields: int = Field(ge=2, description="simulated fields")


CLAIMS = (
    Claim(
        "ch6.thm1.line",
        "Theorem 1, App. F",
        "On the lattice in d = 1 the exact error decays with beta = min(alpha_T - d, 2 alpha_S)/d.",
        0.0,
        Tolerance(0.0, 0.02, "largest deviation of five pairs of kernels, two largest lattices"),
    ),
    Claim(
        "ch6.thm1.plane",
        "Theorem 1, App. F",
        "The same in two dimensions and, in the larger profiles, three.",
        0.0,
        Tolerance(0.0, 0.03, "largest deviation, two largest lattices, which are short"),
    ),
    Claim(
        "ch6.thm1.gaussian",
        "Theorem 1, App. F",
        "For two Gaussians beta is infinite: the log error falls as n^2 in d = 1.",
        2.0,
        Tolerance(1.9, 2.1, "exponent of -log error against n"),
    ),
    Claim(
        "ch6.thm1.simulation",
        "App. F",
        "Regression of simulated fields on the lattice has the error of the sum over frequencies.",
        1.0,
        Tolerance(0.95, 1.05, "ratio of the mean over fields and the exact average"),
    ),
    Claim(
        "ch6.appI.exponent",
        "App. I, eq. 62, 63",
        "The self-consistent learning curve has the exponent of Theorem 1.",
        0.0,
        Tolerance(0.0, 0.02, "largest deviation over spectra, two largest n"),
    ),
    Claim(
        "ch6.appH.rkhs",
        "App. H",
        "Fields of the Teacher are in the Student's RKHS if and only if alpha_T > alpha_S + d.",
        1.0,
        Tolerance(1.0, 1.0, "share of kernel pairs for which the integral of eq. 50 says so"),
    ),
)


@lab.register
class Theory(lab.Experiment):
    """Ch. 6, Theorem 1, App. F, H and I."""

    name = "kernel-regression-theory"
    chapter = "6"
    title = "Theorem 1, four ways"
    summary = (
        "The exponent beta = min(alpha_T - d, 2 alpha_S) / d from the exact error on a lattice, "
        "from simulated fields, from the self-consistent learning curve, and the condition under "
        "which the field is in the Student's RKHS from the integral that defines it."
    )
    sources = ("Ch. 6, Theorem 1", "Ch. 6, App. F, H, I")
    version = 1
    Parameters = TheoryParameters
    profiles = {  # noqa: RUF012
        "smoke": TheoryParameters(
            sides=(16, 32, 64), sides_2d=(4, 8), sizes=(100, 200), field_side=16, fields=4
        ),
        "quick": TheoryParameters(
            sides=(64, 128, 256, 512),
            sides_2d=(8, 16, 32),
            sizes=(1000, 10_000, 50_000, 100_000),
            field_side=64,
            fields=16,
        ),
        "overnight": TheoryParameters(
            sides=(64, 128, 256, 512, 1024),
            sides_2d=(8, 16, 32, 64, 128, 256),
            sides_3d=(4, 8, 16, 32),
            sizes=(1000, 10_000, 100_000, 500_000, 1_000_000),
            field_side=128,
            fields=64,
        ),
        "paper": TheoryParameters(
            sides=(64, 128, 256, 512, 1024, 2048, 4096),
            sides_2d=(8, 16, 32, 64, 128, 256, 512),
            sides_3d=(4, 8, 16, 32, 48),
            sizes=tuple(1000 * 10**k for k in range(6)),
            field_side=512,
            fields=100,
        ),
    }
    claims = CLAIMS

    def points(self, p: TheoryParameters) -> list[dict[str, Any]]:
        lattices = [
            (d, teacher, student, list(sides))
            for d, sides in ((1, p.sides), (2, p.sides_2d), (3, p.sides_3d))
            if sides
            for teacher, student in PAIRS
            # Lattices that are affordable in three dimensions are too coarse for smooth fields.
            if d < 3 or (teacher in ("laplace", "matern-1.5") and student == "laplace")
        ]
        return [
            *(
                {"way": "lattice", "d": d, "teacher": T, "student": S, "sides": sides, "seed": 0}
                for d, T, S, sides in lattices
            ),
            {"way": "gaussians", "d": 1, "sides": [4, 6, 8, 12, 16], "seed": 0},
            *(
                {
                    "way": "modes",
                    "alphas": [alpha_T, alpha_S],
                    "d": d,
                    "n": list(p.sizes),
                    "seed": 0,
                }
                for alpha_T, alpha_S, d in SPECTRA
            ),
            *(
                {
                    "way": "field",
                    "teacher": T,
                    "student": S,
                    "d": 2,
                    "side": p.field_side,
                    "fields": p.fields,
                    "seed": seed,
                }
                for seed, (T, S) in enumerate((("laplace", "laplace"), ("matern-1.5", "laplace")))
            ),
            {"way": "rkhs", "seed": 0},
        ]

    def cost(self, point: dict[str, Any]) -> float:
        if point["way"] == "lattice":
            reach = {1: 401, 2: 41**2, 3: 13**3}[point["d"]]
            return 0.05 + 1.5e-7 * reach * sum(side ** point["d"] for side in point["sides"])
        if point["way"] == "field":
            return 0.1 + 3e-6 * point["fields"] * point["side"] ** 2
        return 0.5

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        ways = {
            "lattice": _lattice,
            "gaussians": _gaussians,
            "modes": _modes,
            "field": _field,
            "rkhs": _rkhs,
        }
        return ways[point["way"]](point)

    def analyse(self, table: Table, p: TheoryParameters) -> list[Finding]:
        lattice = table.where(way="lattice")
        line, plane = lattice.where(d=1), Table(row for row in lattice if row["d"] > 1)
        modes = table.where(way="modes")
        return [
            largest_deviation("ch6.thm1.line", _cases(line), line.keys, "No finished run."),
            largest_deviation("ch6.thm1.plane", _cases(plane), plane.keys, "No finished run."),
            _one(table.where(way="gaussians"), "ch6.thm1.gaussian", "slope"),
            _ratio(table.where(way="field")),
            largest_deviation(
                "ch6.appI.exponent", _mode_cases(modes), modes.keys, "No finished run."
            ),
            _one(table.where(way="rkhs"), "ch6.appH.rkhs", "agreement"),
        ]

    def figures(self, table: Table, p: TheoryParameters) -> list[Figure]:
        lattice = table.where(way="lattice")
        return [*(_lattice_figure(lattice.where(d=d), d) for d in (1, 2)), _exponent_figure(table)]


def _kernel(name: str) -> Any:
    return kernel(name, SIGMA.get(name, 0.3))


def _lattice(point: dict[str, Any]) -> dict[str, Any]:
    from symscape.kernels import lattice_error

    teacher, student, d = _kernel(point["teacher"]), _kernel(point["student"]), point["d"]
    errors = [lattice_error(teacher, student, side, d) for side in point["sides"]]
    return {"n": np.array(point["sides"]) ** d, "error": np.array(errors)}


def _gaussians(point: dict[str, Any]) -> dict[str, Any]:
    from symscape.kernels import gaussian, lattice_error

    k = gaussian(0.3)
    errors = np.array([lattice_error(k, k, side, 1) for side in point["sides"]])
    n = np.array(point["sides"], dtype=float)
    slope = np.polyfit(np.log(n[1:]), np.log(-np.log(errors[1:])), 1)[0]
    return {"n": n, "error": errors, "slope": float(slope)}


def _modes(point: dict[str, Any]) -> dict[str, Any]:
    from symscape.kernels import power_law_modes, self_consistent_curve

    alpha_T, alpha_S = point["alphas"]
    modes = power_law_modes(alpha_T, alpha_S, point["d"], decades=16)
    return {"error": self_consistent_curve(modes, point["n"])}


def _field(point: dict[str, Any]) -> dict[str, Any]:
    """Mean error of simulated fields, on a lattice four times as fine as the training points."""
    from symscape.kernels import Lattice

    coarse, refine = Lattice(point["side"], 2), 4
    teacher, student = _kernel(point["teacher"]), _kernel(point["student"])
    fine = coarse.refined(refine)
    errors = []
    for i in range(point["fields"]):
        state = np.random.SeedSequence([point["seed"], i]).generate_state(1)
        Z = fine.sample(teacher, int(state[0]))
        a = coarse.solve(student, Z[::refine, ::refine])
        errors.append(float(np.square(coarse.predict(student, a, refine) - Z).mean()))
    return {
        "errors": np.array(errors),
        "exact": coarse.teacher_error(teacher, student, refine),
    }


def _rkhs(point: dict[str, Any]) -> dict[str, Any]:
    """Compare the closed form with the growth of the integral of eq. 50 with its cutoff."""
    from symscape.kernels import in_rkhs, matern

    agree = []
    for d in (1, 2, 3):
        for nu_T in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0):
            for nu_S in (0.5, 1.0, 1.5):
                teacher, student = matern(nu_T, 1.0), matern(nu_S, 1.0)
                w = np.geomspace(1e-3, 1e6, 4000)
                f = w**d * teacher.spectrum(w, d) / student.spectrum(w, d)  # d log w
                total = np.concatenate(
                    [[0], np.cumsum(0.5 * (f[1:] + f[:-1]) * np.diff(np.log(w)))]
                )
                # A convergent integral has nothing to gain in its last decade.
                last = np.interp(math.log(1e5), np.log(w), total)
                converges = (total[-1] - last) / total[-1] < 0.02
                agree.append(converges == in_rkhs(teacher.alpha(d), student.alpha(d), d))
    return {"agreement": float(np.mean(agree)), "pairs": len(agree)}


def _theorem(row: Any) -> float:
    from symscape.kernels import exponent_of

    return exponent_of(_kernel(row["teacher"]), _kernel(row["student"]), row["d"])


def _two_largest(table: Table, x: str) -> Any:
    sizes = table.rows[0][x]
    return power_law(table, (float(sizes[-2]), float(sizes[-1])), x=x)


def _cases(table: Table) -> list[Any]:
    return [
        (
            f"{row['teacher']}, {row['student']}, d = {row['d']}",
            _two_largest(Table([row]), "n"),
            beta,
        )
        for row in table
        for beta in [_theorem(row)]
    ]


def _mode_cases(table: Table) -> list[Any]:
    from symscape.kernels import learning_exponent

    return [
        (
            f"alpha_T, alpha_S = {alphas[0]}, {alphas[1]}, d = {row['d']}",
            _two_largest(Table([row]), "n"),
            beta,
        )
        for row in table
        for alphas in [row["alphas"]]
        for beta in [learning_exponent(alphas[0], alphas[1], row["d"])]
    ]


def _one(table: Table, claim: str, name: str) -> Finding:
    if not table:
        return Finding(claim, None, None, "No finished run.")
    return Finding(claim, float(table.rows[0][name]), None, "", table.keys)


def _ratio(table: Table) -> Finding:
    claim = "ch6.thm1.simulation"
    ratios = []
    for row in table:
        ratio = np.asarray(row["errors"]) / row["exact"]
        error = float(ratio.std(ddof=1)) / math.sqrt(len(ratio))
        ratios.append((abs(float(ratio.mean()) - 1), float(ratio.mean()), error, row["teacher"]))
    if not ratios:
        return Finding(claim, None, None, "No finished run.")
    _, ratio, error, teacher = max(ratios)
    return Finding(claim, ratio, error, f"The more different one: Teacher {teacher}.", table.keys)


def _lattice_figure(table: Table, d: int) -> Figure:
    figure = Figure(
        f"lattice-{d}d",
        f"Exact error on the lattice, d = {d}",
        "Sum over frequencies, period 1. Dashed: the slopes of Theorem 1.",
        Axis("points n of the lattice", log=True),
        Axis("mean squared error", log=True),
    )
    for row in table:
        label = f"Teacher {row['teacher']}, Student {row['student']}"
        draw_curve(figure, label, Table([row]), x="n")
        n, error = np.asarray(row["n"], dtype=float), np.asarray(row["error"])
        figure.thesis(label, n, error[-1] * (n / n[-1]) ** -_theorem(row))
    return figure


def _exponent_figure(table: Table) -> Figure:
    figure = Figure(
        "exponents",
        "Measured exponents against Theorem 1",
        "Two largest sizes of every pair of kernels. Dashed: equality.",
        Axis("exponent of Theorem 1", log=True),
        Axis("measured exponent", log=True),
    )
    for label, cases in (
        ("lattice sum", _cases(table.where(way="lattice"))),
        ("self-consistent curve", _mode_cases(table.where(way="modes"))),
    ):
        known = [(beta, -fit.exponent) for _, fit, beta in cases if fit is not None]
        if known:
            figure.measured(label, [beta for beta, _ in known], [found for _, found in known])
    figure.thesis("equality", [0.2, 10.0], [0.2, 10.0])
    return figure
