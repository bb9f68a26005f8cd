"""Worlds of chapter 6: curves that decay with the thesis's exponents, or with others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from symscape import kernels
from symscape.experiments.kernel_regression import _dimension, _learning_curves, _spectra
from symscape.lab import Experiment, Point, Result
from worlds import Measure, World

Generator = np.random.Generator


def noisy(values: Any, random: Generator, size: float = 0.005) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    return values * np.exp(size * random.standard_normal(values.shape))


def on_both_image_sets(
    module: ModuleType, experiment: type[Experiment]
) -> Callable[[Any], Iterable[Point]]:
    """The points as they are where MNIST and CIFAR-10 are found."""
    found = {"mnist": "mnist@made-up", "cifar10": "cifar10@made-up"}

    def points(p: Any) -> Iterable[Point]:
        with mock.patch.object(module, "image_sets", return_value=found):
            return list(experiment().points(p))

    return points


def exponent(teacher: str, student: str, d: int, student_term: float = 2.0) -> float:
    """Theorem 1; with another factor of alpha_S it is a wrong theorem."""
    alpha_T, alpha_S = (kernels.named(name, 1.0).alpha(d) for name in (teacher, student))
    return min(alpha_T - d, student_term * alpha_S) / d


def theory(point: Point, random: Generator, *, student_term: float = 2.0) -> Result:
    """In the false world alpha_S limits, not 2 alpha_S, and two Gaussians learn as exp(-n)."""
    way = point["way"]
    if way == "lattice":
        n = np.array(point["sides"]) ** point["d"]
        beta = exponent(point["teacher"], point["student"], point["d"], student_term)
        return {"n": n, "error": n**-beta * (1 + 1.0 / np.array(point["sides"]) ** 2)}
    if way == "gaussians":
        n = np.array(point["sides"])
        return {"n": n, "error": np.exp(-(n**student_term) / 2 - n**0.5)}
    if way == "modes":
        (alpha_T, alpha_S), d = point["alphas"], point["d"]
        n = np.array(point["n"], dtype=float)
        return {"error": n ** -(min(alpha_T - d, student_term * alpha_S) / d) * (1 + n**-0.5)}
    if way == "field":
        return {"errors": noisy(np.ones(point["fields"]), random), "exact": 1.0}
    return {"agreement": 1.0, "pairs": 54}


def dimension(point: Point, random: Generator, *, more: int = 0) -> Result:
    """In the false world everything has more dimensions."""
    d = point["d"] or {"mnist": 15, "cifar10": 35}[point["family"]]
    d += more * (1 if point["d"] else d)
    return {"distance": noisy(50 * kernels.sphere_distance(point["sizes"], d), random, 0.002)}


def images(
    point: Point,
    random: Generator,
    *,
    beta: float | None = None,
    gaussian: float = 1.0,
    margin: float = 1.05,
    small: float = 1.3,
    wide: float = 1.0,
) -> Result:
    """Exponent of regression, and times which it is that of other kernels and of the margin."""
    n = np.array(point["sizes"], dtype=float)
    true = {"mnist": 0.4, "cifar10": 0.1}[point["family"]] if beta is None else beta
    errors = []
    for name, sigma in point["kernels"]:
        b = true * (gaussian if name == "gaussian" else 1.0) * (1.0 if sigma == 1000 else wide)
        errors.append(noisy((small if sigma == 10 else 1.0) * n**-b, random))
    two = np.array(errors[:2])
    return {"error": np.array(errors), "margin_error": noisy(0.3 * two**margin, random)}


def spectra(
    point: Point,
    random: Generator,
    *,
    tails: float = 1.0,
    eigenvalues: float = 1.0,
    drift: float = 0.0,
    learned: float = 1.0,
) -> Result:
    """Factors of the exponents of tail, eigenvalues and learning curve; eigenvalues that drift."""
    n, family = point["n"], point["family"]
    d = {"mnist": 15, "cifar10": 35, "sphere-2": 2, "sphere-3": 3}[family]
    beta = {"mnist": 0.36, "cifar10": 0.07, "sphere-2": 1.5, "sphere-3": 1 / 3}[family]
    ranks = np.unique(np.round(np.geomspace(1, n, 100)).astype(int))
    sizes = np.array([n // 16, n // 8, n // 4, n // 2, n])
    slope = eigenvalues * (d + 1) / d
    one = np.exp(0.002 * random.standard_normal())
    first = one * np.arange(1, 101.0) ** -slope * n**-drift
    if drift == 0:
        first *= 1 + 2 * np.arange(1, 101.0) / n
    return {
        "ranks": ranks,
        "eigenvalues": noisy(ranks**-slope, random, 0.0005),
        "first": first,
        "tail": noisy(ranks ** -(tails * beta), random),
        "sizes": sizes,
        "error": noisy(sizes ** -(1.1 * learned * beta), random),
    }


def teacher_student(
    point: Point,
    random: Generator,
    *,
    factor: float = 1.0,
    wide: float = 1.0,
    correction: float = 1.0,
    wide_correction: float = 2.0,
    power: float = 1 / 3,
    saturation: float = 2.0,
) -> Result:
    """Exponents with corrections that vanish, and more slowly at sigma = 10."""
    n = np.array(point["sizes"], dtype=float)
    teacher, student, d = point["teacher"], point["student"], point["d"]
    if (teacher, student) == ("gaussian", "gaussian"):
        error = np.exp(-3 * n**power) if power else 1e-4 * (n / 32) ** -5
    else:
        is_wide = point["figure"] == "fig6"
        beta = factor * exponent(teacher, student, d, saturation) * (wide if is_wide else 1.0)
        A = correction * beta * (wide_correction if is_wide else 1.0)
        error = (
            1e-9
            * (n / n[-1]) ** -beta
            * (1 + A * n**-0.5)
            * (1 + abs(np.log(point["ridge"] or 1)) / 1e3)
        )
    return {"error": noisy(error, random), "jitter": 0 * n, "condition": n}


def false(measure: Callable[..., Result], **claims: dict[str, float]) -> dict[str, Measure]:
    """One changed world for each claim, by the part of its id after the chapter."""
    return {
        "ch6." + name.replace("__", ".").replace("_", "-"): partial(measure, **changes)
        for name, changes in claims.items()
    }


WORLDS = [
    World("kernel-regression-theory", theory, partial(theory, student_term=1.0)),
    World(
        "kernel-regression-dimension",
        dimension,
        partial(dimension, more=1),
        points=on_both_image_sets(_dimension, _dimension.EffectiveDimensions),
    ),
    World(
        "kernel-regression-images",
        images,
        false(
            images,
            fig1__mnist_regression={"gaussian": 0.5},
            fig1__cifar10_regression={"gaussian": 2.0},
            fig1__mnist_classification={"margin": 0.5},
            fig1__cifar10_classification={"margin": 0.4},
            fig1__kernel_gap={"gaussian": 0.6},
            fig1__task_gap={"margin": 1.5},
            fig1__above_curse={"beta": 1 / 784},
            fig1__below_rkhs={"beta": 0.55},
            fig5__sigma={"wide": 0.5},
            fig5__small_sigma={"small": 1.0},
        ),
        points=on_both_image_sets(_learning_curves, _learning_curves.LearningCurves),
    ),
    World(
        "kernel-regression-spectra",
        spectra,
        false(
            spectra,
            fig3__mnist_tail={"tails": 1.5},
            fig3__cifar10_tail={"tails": 3.0},
            fig3__prediction={"learned": 2.0},
            fig3__spheres={"tails": 1.5},
            fig9__convergence={"drift": 0.2},
            fig9__shrinking={"drift": 0.1},
            fig9__density={"eigenvalues": 2.0},
            fig9__spheres={"eigenvalues": 1.25},
        ),
        points=on_both_image_sets(_spectra, _spectra.Spectra),
    ),
    World(
        "kernel-regression-teacher-student",
        teacher_student,
        false(
            teacher_student,
            fig2__laplace_teacher={"factor": 1.5},
            fig2__gaussian_teacher={"saturation": 1.0},
            fig2__convergence={"factor": 1.1, "correction": 0.0},
            appI__random_points={"factor": 1.2},
            fig6__exponent={"wide": 1.2},
            fig6__sooner_laplace={"wide_correction": 0.5},
            fig6__sooner_gaussian={"wide_correction": 0.5},
            fig7__left={"factor": 1.5},
            fig7__left_ridge={"factor": 1.5},
            fig7__exponential={"power": 0.0},
            fig7__right={"factor": 1.5},
            fig8__rough={"factor": 0.5},
            fig8__smooth={"saturation": 3.0},
        ),
        # In more dimensions such few points are far from the limit, where the thesis is true.
        overrides={"circle_seeds": 6, "dimensions": (1, 2, 3)},
    ),
]
