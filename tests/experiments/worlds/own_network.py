"""Worlds of the experiment on any network: how the change of its kernel depends on alpha."""

from __future__ import annotations

import math

import numpy as np

from symscape.experiments.learning_regimes._own_network import SIZES
from symscape.lab import Point, Result
from worlds import World


def _changed(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """The exponents of chapter 3; or 1/2 in lazy training, as where activations have kinks, and 1
    in feature training, as where weights do not inflate."""
    L, h = SIZES[point["model"]]
    lazy, feature, crossover = (1.0, 2 * L / (L + 1), 5.0) if thesis else (0.5, 1.0, 0.5)
    x = point["alpha"] * math.sqrt(h) / crossover
    change = x**-lazy * (1 + x**-4) ** ((feature - lazy) / 4)
    return {
        "change": change * math.exp(0.1 * generator.standard_normal()),
        "trained": True,
        "test_error": 0.1 + 0.01 * generator.random(),
        "best_test_error": 0.1,
    }


WORLDS = [
    World(
        "regimes-own-network",
        true=lambda point, generator: _changed(point, generator, thesis=True),
        false=lambda point, generator: _changed(point, generator, thesis=False),
    )
]
