"""Lazy or feature training: how far the kernel of any classifier moves (chapter 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from symscape import scaling
from symscape._arguments import integer
from symscape.dynamics import Loss, MulticlassHinge, MultiMargin, SoftHinge
from symscape.kernels._kernel_observables import kernel_change, kernel_norm
from symscape.kernels._ntk import empirical_ntk
from symscape.scaling import Estimate, NoEstimate, geometric_mean
from symscape.scaling import number as in_words
from symscape.training import (
    Fit,
    OptimizerName,
    check_stationary,
    first_step_rate,
    fit,
    outputs,
)

__all__ = [
    "CROSSOVER",
    "KernelMotion",
    "LearningRegime",
    "Regime",
    "Side",
    "kernel_motion",
    "learning_regime",
    "regime",
]

Array = NDArray[np.float64]
Side = Literal["lazy", "feature", "near"]

CROSSOVER = 1.0
"""The relative change of the kernel at which lazy training ends and feature training begins."""

_POINTS = 100
_STILL = 1e-12  # the change of a kernel that does not move, as of a model linear in its weights
_NEAR = 2.0  # a kernel that changes by 1/2 to 2 of its norm is on neither side
_SHARE = 0.04  # of unsatisfied constraints with which a training still counts, as in paper I
_STEP = 0.01  # of ADAM at most, in units of the weights' root mean square
_CHANGE = 0.3  # of the predictor in the first step


@dataclass(frozen=True)
class KernelMotion:
    r"""One training at one scale.

    Attributes:
        alpha: the scale of the predictor.
        change: :math:`\|\Theta - \Theta_0\|/\|\Theta_0\|` on test points; NaN if it diverged.
        growth: :math:`\|\Theta\|/\|\Theta_0\|`.
        lr: the learning rate.
        trained: whether the training set is fitted, but for 4 % of its constraints, which are
            its points, or with hinges of several classes the pairs of a point and a wrong class.
        fit: the training.
    """

    alpha: float
    change: float
    growth: float
    lr: float
    trained: bool
    fit: Fit


@dataclass(frozen=True)
class Regime:
    """On which side of the cross-over a network stands.

    Attributes:
        at: the scale alpha at which it stands.
        side: ``"lazy"`` or ``"feature"``, or ``"near"`` where the change of the kernel there is
            within a factor of 2, or two errors, of 1.
        change: of the kernel at that scale.
        crossover: the scale at which the kernel changes by its own norm, or None where that is
            outside the scales that were tried.
        sentence: all of that in words.
    """

    at: float
    side: Side
    change: Estimate
    crossover: Estimate | None
    sentence: str


@dataclass(frozen=True)
class LearningRegime:
    """A scan of scales.

    Attributes:
        alphas: the scales, (A,).
        change: of the kernel, (seeds, A).
        test_error: (seeds, A).
        trained: which trainings fitted their training set, (seeds, A); the others are left out
            of the verdict.
        regime: the verdict.
    """

    alphas: Array
    change: Array
    test_error: Array
    trained: NDArray[np.bool_]
    regime: Regime


def kernel_motion(
    model: torch.nn.Module,
    x: Tensor,
    y: Tensor,
    test: tuple[Tensor, Tensor],
    *,
    alpha: float,
    loss: Loss | None = None,
    optimizer: OptimizerName = "adam",
    lr: float | None = None,
    batch: int | None = 32,
    steps: int = 10_000,
    kernel_points: int | None = None,
    seed: int = 0,
) -> KernelMotion:
    r"""Train a classifier at one scale, in place, and say how far its tangent kernel moved.

    The predictor is :math:`F = \alpha\,[f(w) - f(w_0)]`, and training ends where all constraints of
    the loss are satisfied. The kernel is that of f.

    Args:
        model: from (P, ...) to (P,), (P, 1) or (P, c); its outputs are a function of its parameters
            and the point alone.
        x: training points.
        y: labels, +1 and -1 of the outputs' dtype for one output, int64 classes for several.
        test: points and labels for the test error; the kernel is measured on the first of them.
        alpha: > 0. 1 is the network as it is.
        loss: by default the soft hinge of chapter 3 for one output and the linear hinge of pairs
            of classes for several.
        optimizer: ``"adam"`` or ``"sgd"``.
        lr: by default the largest rate at which the first step moves F by 0.3 at most, see
            :func:`symscape.training.first_step_rate`, and for ADAM at most 1 % of the root mean
            square of the parameters.
        batch: points of a step, all of them if there are fewer; None for all.
        steps: largest number of steps.
        kernel_points: test points on which the kernel is compared; 100 unless there are fewer.
        seed: of the batches.

    Raises:
        ValueError: see :func:`symscape.training.fit` and :func:`empirical_ntk`.

    Source: Ch. 3, paper I, Section 5, Fig. 5.
    """
    if kernel_points is None:
        kernel_points = min(_POINTS, len(test[0]))
    count = integer("kernel_points", kernel_points, 1, len(test[0]))
    points = test[0][:count]
    size = None if batch is None else min(integer("batch", batch, 1), len(x))
    check_stationary(model, x)
    before = empirical_ntk(model, points)
    with torch.no_grad():
        f = outputs(model, points[:2])
    loss = loss or (SoftHinge() if f.ndim == 1 else MultiMargin())
    shared: dict[str, Any] = {
        "loss": loss,
        "optimizer": optimizer,
        "batch": size,
        "alpha": alpha,
        "seed": seed,
    }
    if lr is None:
        largest = _STEP * _root_mean_square(model) if optimizer == "adam" else 1e6
        lr = first_step_rate(model, x, y, largest=largest, change=_CHANGE, **shared)
    done = fit(model, x, y, lr=lr, steps=steps, test=test, **shared)
    change = growth = math.nan
    if done.status != "diverged":
        after = empirical_ntk(model, points)
        change = kernel_change(after, before)
        growth = kernel_norm(after) / kernel_norm(before)
    pairs = isinstance(loss, MultiMargin | MulticlassHinge)
    constraints = len(x) * (f.shape[1] - 1 if pairs else 1)
    trained = done.status != "diverged" and done.n_delta <= _SHARE * constraints
    return KernelMotion(alpha, change, growth, lr, trained, done)


def regime(alphas: ArrayLike, change: ArrayLike, *, at: float = 1.0) -> Regime:
    """On which side of the cross-over a network stands, from a scan of scales.

    Args:
        alphas: increasing scales, (A,), two or more.
        change: relative change of the kernel, (seeds, A); a scale at which one of them is NaN is
            left out.
        at: the scale at which the network stands, between the first and the last one.

    Raises:
        ValueError: scales that do not increase, or none on some side of ``at``; fewer than two
            scales that are left.

    Source: Ch. 3, paper I, Fig. 5a; paper II, Fig. 4.
    """
    x, curves = np.asarray(alphas, float), np.atleast_2d(np.asarray(change, float))
    if x.ndim != 1 or curves.shape[1] != len(x) or len(x) < 2:
        raise ValueError(
            f"change: shape {curves.shape} given with {x.size} scales; allowed: (seeds, A), A >= 2"
        )
    if not (x[0] > 0 and bool((np.diff(x) > 0).all())):
        raise ValueError("alphas: allowed: positive numbers that increase")
    known = np.isfinite(curves).all(0)
    x, curves = x[known], np.maximum(curves[:, known], _STILL)
    if len(x) < 2 or not x[0] <= at <= x[-1]:
        raise ValueError(
            f"at: {at:g} given; allowed: between two scales at which all trainings ended well, "
            f"which are {', '.join(f'{a:g}' for a in x) or 'none'}"
        )
    logs = [np.interp(math.log(at), np.log(x), np.log(curve)) for curve in curves]
    here = geometric_mean(np.exp(logs))
    crossover: Estimate | None
    try:
        crossover = scaling.crossing(x, curves, CROSSOVER)
    except NoEstimate:
        crossover = None
    away = abs(math.log(here.value / CROSSOVER))
    sure = 2.0 * (here.error or 0.0) / here.value
    side: Side = "near"
    if away > max(math.log(_NEAR), sure):
        side = "lazy" if here.value < CROSSOVER else "feature"
    return Regime(at, side, here, crossover, _sentence(at, side, here, crossover, x, curves))


def _sentence(
    at: float, side: Side, here: Estimate, crossover: Estimate | None, x: Array, curves: Array
) -> str:
    titles = {
        "lazy": "Lazy training",
        "feature": "Feature training",
        "near": "Near the cross-over of lazy and feature training",
    }
    said = (
        f"{titles[side]}: at alpha = {at:g} the kernel moves by {in_words(here)} of its norm "
        f"({len(curves)} seeds); "
    )
    if crossover is not None:
        return said + f"it moves by 1 at alpha* = {in_words(crossover)}."
    below = float(np.log(curves).mean()) < 0
    return said + (
        f"alpha*, where it would move by 1, is {'below' if below else 'above'} all scales tried "
        f"({x[0]:g} to {x[-1]:g})."
    )


def learning_regime(
    build: Callable[[int], torch.nn.Module],
    x: Tensor,
    y: Tensor,
    test: tuple[Tensor, Tensor],
    *,
    alphas: Sequence[float] = (0.1, 1.0, 10.0, 100.0),
    seeds: int = 3,
    at: float = 1.0,
    **recipe: Any,
) -> LearningRegime:
    """Train a classifier at several scales and say whether it learns features or is lazy.

    ``symscape regime`` does this for a module that is given by its name, resumable and on all
    cores.

    Args:
        build: makes the network of a seed.
        x: training points.
        y: labels, see :func:`kernel_motion`.
        test: points and labels.
        alphas: increasing scales.
        seeds: networks and orders of the batches per scale.
        at: the scale at which the network stands; 1 is the network as it is.
        **recipe: further arguments of :func:`kernel_motion`.

    Raises:
        ValueError: see :func:`kernel_motion` and :func:`regime`.

    Source: Ch. 3.
    """
    seeds = integer("seeds", seeds, 1)
    if not (len(alphas) > 1 and alphas[0] <= at <= alphas[-1]):
        raise ValueError(f"alphas: {tuple(alphas)} given; allowed: two or more around {at:g}")
    runs = [
        [kernel_motion(build(s), x, y, test, alpha=alpha, seed=s, **recipe) for alpha in alphas]
        for s in range(seeds)
    ]

    def field(value: Callable[[KernelMotion], Any]) -> NDArray[Any]:
        return np.array([[value(run) for run in row] for row in runs])

    change, trained = field(lambda run: run.change), field(lambda run: run.trained)
    return LearningRegime(
        np.asarray(alphas, float),
        change,
        field(lambda run: run.fit.test_error),
        trained,
        regime(alphas, np.where(trained, change, math.nan), at=at),
    )


def _root_mean_square(model: torch.nn.Module) -> float:
    """Of the parameters that are trained and do not start at zero."""
    trained = [p.detach().flatten() for p in model.parameters() if p.requires_grad]
    values = torch.cat(trained) if trained else torch.zeros(1)
    values = values[values != 0].double()
    return float(values.square().mean().sqrt()) if len(values) else 1.0
