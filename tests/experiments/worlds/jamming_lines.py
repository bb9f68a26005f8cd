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

WORLDS = [GENERALIZATION]
