"""Teacher and Student on random points of the sphere: Figs. 2, 6, 7 and 8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.experiments.kernel_regression._teacher_student_claims import (
    CLAIMS,
    FIG7_D,
    FIG8_SIGMA,
    TEACHERS,
    WIDE_SIGMA,
)
from symscape.experiments.kernel_regression._teacher_student_figures import figures
from symscape.lab import Figure, Table

Dimension = Annotated[int, Field(ge=1, le=100)]
Size = Annotated[int, Field(ge=4, le=20_000)]
Sizes = Annotated[tuple[Size, ...], AfterValidator(lab.increasing)]
Order = Annotated[float, Field(gt=0, le=100)]
Ridge = Annotated[float, Field(gt=0)]


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
        return figures(table, p)
