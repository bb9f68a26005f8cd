"""Worlds of the transition line, of generalization at it, and of hinge against cross entropy."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from symscape.lab import Point, Result
from worlds import World

Generator = np.random.Generator
Height = Callable[[float], float]

N_STAR = {"teacher": 0.3, "digits": 0.25}
"""N* / P of the generalization curves."""


def weights(point: Point) -> int:
    """N of a network of the jamming chapter."""
    L, h, d = point["L"], point["h"], point["d"]
    return int(d * h + (L - 1) * h**2 + h)


def generalization(
    final: Height, best: Height, early_end: bool = True, accuracy: float = 0.94
) -> Any:
    """Test errors as functions of N/N*, at the end of the training and at its best moment."""

    def measure(point: Point, random: Generator) -> Result:
        N, data = weights(point), "teacher" if point["data"] == "teacher" else "digits"
        ratio = N / (N_STAR[data] * point["P"])
        fitted = ratio >= 1
        noise = 0.002 * random.standard_normal(2)
        if point["role"] != "curve":
            errors = (1 - accuracy + 0.1 * noise[0], 1 - accuracy)
        else:
            lowest = best(ratio) + noise[1]
            errors = (max(final(ratio) + noise[0], lowest), lowest)
        steps = point["steps"] / ratio**2 if fitted and early_end else point["steps"]
        return {
            "n_weights": N,
            "status": "converged" if fitted else "out_of_budget",
            "n_delta": 0 if fitted else N,
            "silent": False,
            "steps_taken": int(steps),
            "loss": 0.0 if fitted else 0.1,
            "test_error": float(errors[0]),
            "best_test_error": float(errors[1]),
            "history_step": np.array([0, 1, 10, 100]),
            "history_test_error": np.array([0.5, 0.3, errors[1], errors[0]]),
        }

    return measure


def falling(ratio: float) -> float:
    """An error that falls with the size and has no cusp."""
    return 0.14 * ratio**-0.1


def cusp(height: float, at: float = 1.0) -> Height:
    return lambda ratio: height * math.exp(-((math.log(ratio / at) / 0.35) ** 2))


def cusped(ratio: float) -> float:
    return falling(ratio) + cusp(0.06)(ratio)


def elsewhere(ratio: float) -> float:
    return falling(ratio) + cusp(0.06, at=3.0)(ratio)


def overfitting(ratio: float) -> float:
    return falling(ratio) + 0.03 * min(ratio, 1.0)


GENERALIZATION = World(
    "jamming-generalization",
    true=generalization(cusped, falling),
    false={
        "ch1.b.fig4c.cusp-at-transition": generalization(elsewhere, falling),
        "ch1.b.fig4c.cusp-for-teacher": generalization(elsewhere, falling),
        # classical statistics: the error grows with the number of parameters
        "ch1.b.fig4b.decrease-beyond": generalization(lambda r: 0.14 * r**0.05, falling),
        "ch1.b.fig4b.early-stopping-without-cusp": generalization(cusped, cusped),
        "ch1.b.fig4b.overfitting-at-transition": generalization(overfitting, falling),
        "ch1.b.fig4a.early-end": generalization(cusped, falling, early_end=False),
        # what the mean of both flanks took for a cusp
        "ch1.b.figB2.both-depths": generalization(falling, lambda r: 0.9 * falling(r)),
        "ch1.b.sec4.accuracy": generalization(cusped, falling, accuracy=0.88),
    },
)


def cross_entropy(
    late: Callable[[float], float],
    early: Callable[[float], float],
    factors: dict[tuple[int, int], float] | None = None,
) -> Any:
    """Times at which every point is classified.

    Args:
        late: N* of P at the end of the training.
        early: N* of P after a tenth of it.
        factors: of N*, by depth and dimension.
    """

    def measure(point: Point, random: Generator) -> Result:
        P, N = point["P"], weights(point)
        factor = (factors or {}).get((point["L"], point["d"]), 1.0)
        # one draw per data set: the widths of a search share it
        same = np.random.default_rng([P, point["L"], point["d"]])
        scale = factor * np.exp(0.04 * same.standard_normal(point["members"]))
        share = np.full(point["members"], math.inf)
        share[scale * late(P) <= N] = 0.9
        share[scale * early(P) <= N] = 0.05
        return {"n_weights": N, "first_fit": share * point["steps"]}

    return measure


CROSS_ENTROPY = World(
    "jamming-line-cross-entropy",
    true=cross_entropy(lambda P: 0.5 * P, lambda P: 0.7 * P * (P / 200) ** 0.5),
    false={
        # what structured labels give
        "ch1.fig5a.slope": cross_entropy(lambda P: 5 * P**0.7, lambda P: 10 * P**0.7),
        "ch1.fig5a.falls-with-time": cross_entropy(lambda P: 0.5 * P, lambda P: 0.5 * P),
        "ch1.fig5a.short-times-diverge": cross_entropy(
            lambda P: 0.5 * P, lambda P: 2 * P * (P / 200) ** -0.1
        ),
        "ch1.fig5b.little-dependence": cross_entropy(
            lambda P: 0.5 * P, lambda P: 0.7 * P, {(5, 10): 1.4}
        ),
        "ch1.fig5b.bound": cross_entropy(lambda P: 4.5 * P, lambda P: 5 * P),
    },
    overrides={"ratios": tuple(np.geomspace(0.3, 8, 34).round(3).tolist())},
)


def searches(
    random: Callable[[float], float],
    digits: Callable[[float], float],
    factors: dict[int, float] | None = None,
) -> Any:
    """N* of searches over whole widths.

    Args:
        random: N* of P, random data.
        digits: N* of P, digits.
        factors: of N*, by depth.
    """

    def measure(point: Point, generator: Generator) -> Result:
        line = random if point["data"] == "random" else digits
        scale = (factors or {}).get(point["L"], 1.0) * math.exp(0.03 * generator.standard_normal())
        N = [weights({**point, "h": h}) for h in range(1, 600)]
        place = int(np.searchsorted(N, scale * line(point["P"])))
        found = {"N_star": N[place], "N_below": N[place - 1], "N_largest": 2 * N[place]}
        return {**found, "closed": True}

    return measure


def proportional(P: float) -> float:
    return 0.4 * P


def slower(P: float) -> float:
    return 1.1 * P**0.75


LINE = World(
    "jamming-line",
    true=searches(proportional, slower),
    false={
        "ch1.fig5c.slope": searches(slower, slower),
        "ch1.fig5c.depth": searches(proportional, slower, {5: 1.5}),
        "ch1.fig5c.bound": searches(lambda P: 5 * P, slower),
        # labels that help nothing
        "ch1.fig10.below-random": searches(proportional, lambda P: 1.05 * proportional(P)),
        "ch1.fig10.ratio-falls": searches(proportional, lambda P: 0.5 * proportional(P)),
        "ch1.fig10.slope": searches(proportional, lambda P: 0.5 * proportional(P)),
        "ch1.fig10.depth": searches(proportional, slower, {5: 1.7}),
    },
    overrides={
        "random_sizes": (500, 2000, 8000, 32_000),
        "mnist_sizes": (500, 1000, 3000, 10_000),
        "source": "mnist-sample",
    },
)


def classifiers(hinge: float) -> Any:
    """Test errors, those of the hinge loss higher by some points."""

    def measure(point: Point, random: Generator) -> Result:
        error = 49 + random.standard_normal() + (hinge if point["loss"] == "hinge" else 0.0)
        return {
            "n_weights": 24_000,
            "n_train_used": point["n_train"],
            "n_test_used": point["n_test"],
            "test_error": error,
            "history_test_error": np.geomspace(90, error, point["epochs"]),
        }

    return measure


LOSSES = World(
    "jamming-hinge-or-cross-entropy",
    true=classifiers(0.0),
    false=classifiers(4.0),
    overrides={"source": "mnist-sample"},
)

WORLDS = [GENERALIZATION, CROSS_ENTROPY, LINE, LOSSES]
