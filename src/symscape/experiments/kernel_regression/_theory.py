"""Theorem 1 by sums over frequencies, by simulation and by the self-consistent curve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.lab import Axis, Claim, Figure, Row, Table, Tolerance
from symscape.scaling import Estimate, NoEstimate, mean

if TYPE_CHECKING:
    from symscape.kernels import Kernel

Side = Annotated[int, Field(ge=4, le=4096)]
Sides = Annotated[tuple[Side, ...], AfterValidator(lab.increasing)]
Sizes = Annotated[tuple[Annotated[int, Field(ge=1)], ...], AfterValidator(lab.increasing)]

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

GAUSSIAN_SIDES = [4, 8, 16, 32]
"""Points of the lattice for two Gaussians; the error of the next one is below all numbers."""


class TheoryParameters(lab.Parameters):
    sides: Sides = Field(min_length=2, description="points of the lattice, d = 1")
    sides_2d: Sides = Field(min_length=2, description="points along an axis, d = 2")
    sides_3d: Sides = Field(default=(), description="points along an axis, d = 3")
    sizes: Sizes = Field(min_length=2, description="training points n of the self-consistent curve")
    field_side: Side = Field(description="points along an axis of simulated fields, d = 2")
    fields: int = Field(ge=2, description="simulated fields")


def _limit(sizes: Any, error: Any, beta: float) -> Estimate:
    """The exponent for ever more points over that of the theorem.

    The last exponents between neighboring sizes, whose ratio is constant, are extrapolated as a
    geometric series (Aitken); the way from the last of them to the limit is the error.
    """
    exponents = -np.diff(np.log(error)) / np.diff(np.log(sizes)) / beta
    if len(exponents) < 3:
        raise NoEstimate("Four sizes are needed to extrapolate the exponent.")
    last, step, before = exponents[-1], exponents[-1] - exponents[-2], exponents[-2] - exponents[-3]
    # Where the steps do not shrink, the next one may be as large.
    rest = step * step / (before - step) if 0 < step / before < 1 else 0.0
    note = f"Exponent {last * beta:.4f} of the largest sizes, {beta:.4f} in theory."
    return Estimate(float(last + rest), float(abs(rest or step)), note)


def _theorem(row: Row) -> float:
    from symscape.kernels import exponent_of, learning_exponent

    if row["way"] == "modes":
        alpha_T, alpha_S = row["alphas"]
        return learning_exponent(alpha_T, alpha_S, row["d"])
    return exponent_of(_kernel(row["teacher"]), _kernel(row["student"]), row["d"])


def _exponents(rows: Table) -> dict[str, Estimate | str]:
    """Measured over theoretical exponent of each pair of kernels or spectra."""
    panels: dict[str, Estimate | str] = {}
    for row in rows:
        pair = row["alphas"] if row["way"] == "modes" else (row["teacher"], row["student"])
        try:
            found: Estimate | str = _limit(row["n"], row["error"], _theorem(row))
        except NoEstimate as none:
            found = str(none)
        panels[f"{pair[0]}, {pair[1]}, d = {row['d']}"] = found
    return panels


def _gaussian_pair(table: Table, p: TheoryParameters) -> dict[str, Estimate]:
    rows = table.where(way="gaussians")
    return {
        f"d = {row['d']}": _limit(row["n"], -1 / np.log(row["error"]), 2.0).scaled(2.0)
        for row in rows
    }


def _simulation(table: Table, p: TheoryParameters) -> dict[str, Estimate | str]:
    fields = table.where(way="field")
    return {f"Teacher {row['teacher']}": mean(row["errors"] / row["exact"]) for row in fields}


CLAIMS = (
    Claim(
        "ch6.thm1.line",
        "Theorem 1, App. F",
        "On the lattice in d = 1 the exact error decays with beta = min(alpha_T - d, 2 alpha_S)/d.",
        1.0,
        Tolerance(0.98, 1.02, "measured over theoretical exponent, 2 %, of five pairs of kernels"),
        lambda table, p: _exponents(table.where(way="lattice", d=1)),
    ),
    Claim(
        "ch6.thm1.plane",
        "Theorem 1, App. F",
        "The same in two dimensions and, in the larger profiles, three.",
        1.0,
        Tolerance(0.97, 1.03, "measured over theoretical exponent, 3 %: these lattices are short"),
        lambda table, p: _exponents(
            table.select(lambda row: row["way"] == "lattice" and row["d"] > 1)
        ),
    ),
    Claim(
        "ch6.thm1.gaussian",
        "Theorem 1, App. F",
        "For two Gaussians beta is infinite: the log error falls as n^2 in d = 1.",
        2.0,
        Tolerance(1.9, 2.1, "exponent of -log error against n, 5 %"),
        _gaussian_pair,
    ),
    Claim(
        "ch6.thm1.simulation",
        "App. F",
        "Regression of simulated fields on the lattice has the error of the sum over frequencies.",
        1.0,
        Tolerance(0.95, 1.05, "ratio of the mean over fields and the exact average"),
        _simulation,
        kind="check",
    ),
    Claim(
        "ch6.appI.exponent",
        "App. I, eq. 62, 63",
        "The self-consistent learning curve has the exponent of Theorem 1.",
        1.0,
        Tolerance(0.98, 1.02, "measured over theoretical exponent, 2 %, of eight pairs of spectra"),
        lambda table, p: _exponents(table.where(way="modes")),
    ),
    Claim(
        "ch6.appH.rkhs",
        "App. H",
        "Fields of the Teacher are in the Student's RKHS if and only if alpha_T > alpha_S + d.",
        1.0,
        Tolerance.at_least(1.0, "share of kernel pairs for which the integral of eq. 50 says so"),
        lambda table, p: mean(table.where(way="rkhs").column("agreement")),
        kind="exact",
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
    version = 2
    Parameters = TheoryParameters
    profiles = {  # noqa: RUF012
        "smoke": TheoryParameters(
            sides=(16, 32, 64), sides_2d=(4, 8), sizes=(100, 200), field_side=16, fields=4
        ),
        "quick": TheoryParameters(
            sides=(64, 128, 256, 512),
            sides_2d=(8, 16, 32),
            sizes=(100, 1000, 10_000, 100_000),
            field_side=64,
            fields=16,
        ),
        "overnight": TheoryParameters(
            sides=(64, 128, 256, 512, 1024),
            sides_2d=(8, 16, 32, 64, 128, 256),
            sides_3d=(4, 8, 16, 32),
            sizes=(1000, 10_000, 100_000, 1_000_000),
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

    def points(self, p: TheoryParameters) -> Iterator[lab.Point]:
        pairs = [{"teacher": teacher, "student": student} for teacher, student in PAIRS]
        # Lattices that are affordable in three dimensions are too coarse for smooth fields.
        rough = [pairs[0], pairs[3]]
        for d, sides in ((1, p.sides), (2, p.sides_2d), (3, p.sides_3d)):
            if sides:
                chosen = rough if d == 3 else pairs
                yield from lab.grid(1, way="lattice", d=d, pair=chosen, sides=[list(sides)])
        yield from lab.grid(1, way="gaussians", d=1, sides=[GAUSSIAN_SIDES])
        spectra = [{"alphas": [alpha_T, alpha_S], "d": d} for alpha_T, alpha_S, d in SPECTRA]
        yield from lab.grid(1, way="modes", spectrum=spectra, n=[list(p.sizes)])
        yield from lab.grid(1, way="field", pair=rough, d=2, side=p.field_side, fields=p.fields)
        yield from lab.grid(1, way="rkhs")

    def cost(self, point: lab.Point) -> float:
        if point["way"] == "lattice":
            reach = {1: 401, 2: 41**2, 3: 13**3}[point["d"]]
            return 0.05 + 1.5e-7 * reach * sum(side ** point["d"] for side in point["sides"])
        if point["way"] == "field":
            return 0.1 + 3e-6 * point["fields"] * point["side"] ** 2
        return 0.5

    def measure(self, point: lab.Point) -> lab.Result:
        ways = {
            "lattice": _lattice,
            "gaussians": _gaussians,
            "modes": _modes,
            "field": _field,
            "rkhs": _rkhs,
        }
        return ways[point["way"]](point)

    def figures(self, table: Table, p: TheoryParameters) -> list[Figure]:
        lattice = table.where(way="lattice")
        return [
            *(_lattice_figure(lattice.where(d=d), d) for d in (1, 2)),
            _gaussian_figure(table.where(way="gaussians")),
            _exponent_figure(table),
        ]


def _kernel(name: str) -> Kernel:
    from symscape.kernels import named

    return named(name, SIGMA.get(name, 0.3))


def _lattice(point: lab.Point) -> lab.Result:
    from symscape.kernels import lattice_error

    teacher, student, d = _kernel(point["teacher"]), _kernel(point["student"]), point["d"]
    errors = [lattice_error(teacher, student, side, d) for side in point["sides"]]
    return {"n": np.array(point["sides"]) ** d, "error": np.array(errors)}


def _gaussians(point: lab.Point) -> lab.Result:
    from symscape.kernels import gaussian, lattice_error

    k = gaussian(0.3)
    errors = [lattice_error(k, k, side, 1) for side in point["sides"]]
    return {"n": np.array(point["sides"]), "error": np.array(errors)}


def _modes(point: lab.Point) -> lab.Result:
    from symscape.kernels import power_law_modes, self_consistent_curve

    alpha_T, alpha_S = point["alphas"]
    modes = power_law_modes(alpha_T, alpha_S, point["d"], decades=16)
    return {"error": self_consistent_curve(modes, point["n"])}


def _field(point: lab.Point) -> lab.Result:
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


def _rkhs(point: lab.Point) -> lab.Result:
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


def _lattice_figure(table: Table, d: int) -> Figure:
    figure = Figure(
        f"lattice-{d}d",
        f"Exact error on the lattice, d = {d}",
        "Sum over frequencies, period 1. Dashed: the slopes of Theorem 1.",
        Axis("points n of the lattice", log=True),
        Axis("mean squared error", log=True),
        claims=("ch6.thm1.line",) if d == 1 else ("ch6.thm1.plane",),
    )
    pairs = ("teacher", "student")
    figure.curves(table, "n", "error", pairs, name="Teacher {teacher}, Student {student}")
    for row in table:
        n = row["n"].astype(float)
        line = row["error"][-1] * (n / n[-1]) ** -_theorem(row)
        figure.thesis(f"Teacher {row['teacher']}, Student {row['student']}", n, line)
    return figure


def _gaussian_figure(table: Table) -> Figure:
    figure = Figure(
        "gaussians",
        "Two Gaussians on the lattice, d = 1",
        "The error falls faster than any power: its logarithm grows as n^2 (dashed).",
        Axis("points n of the lattice", log=True),
        Axis("-log of the mean squared error", log=True),
        claims=("ch6.thm1.gaussian",),
    )
    figure.curves(table, "n", lambda row: -np.log(row["error"]), name="exact error")
    for row in table:
        n = row["n"].astype(float)
        figure.thesis("n^2", n, -np.log(row["error"][-1]) * (n / n[-1]) ** 2)
    return figure


def _exponent_figure(table: Table) -> Figure:
    figure = Figure(
        "exponents",
        "Measured exponents against Theorem 1",
        "Extrapolated from the largest sizes, for every pair of kernels. Dashed: equality.",
        Axis("exponent of Theorem 1", log=True),
        Axis("measured exponent", log=True),
        claims=("ch6.thm1.line", "ch6.thm1.plane", "ch6.appI.exponent"),
    )
    for label, way in (("lattice sum", "lattice"), ("self-consistent curve", "modes")):
        rows = table.where(way=way)
        theory = np.array([_theorem(row) for row in rows])
        found = _exponents(rows).values()
        ratio = [math.nan if isinstance(each, str) else each.value for each in found]
        figure.measured(label, theory, theory * ratio)
    return figure.thesis("equality", [0.2, 10.0], [0.2, 10.0])
