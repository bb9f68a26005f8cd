"""Worlds of the introduction."""

from __future__ import annotations

import numpy as np

from symscape.lab import Point, Result
from worlds import World


def _neighbors(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """Distances decay with 1 / dimension; or as in one dimension more, and neighbours are near."""
    P = np.array(point["sizes"], float)
    dimension = point["d"] - (point["cloud"] == "sphere") + (not thesis)
    noise = np.exp(0.002 * generator.standard_normal((2, len(P))))
    near = (0.9 if thesis else 0.1) + 0.001 * generator.standard_normal(len(P))
    distance, error = 0.5 * P ** (-1 / dimension) * noise
    return {"distance": distance, "error": error, "relative_distance": near}


def _minima(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """Narrow networks end in many minima and wide ones in none; or all end in about the same."""
    loss = generator.uniform(0.05, 0.2, point["starts"])
    if thesis:
        loss *= point["h"] < 8
    else:
        loss = 0.1 + 0.01 * loss
    return {"N": 6 * point["h"], "loss": np.sort(loss), "at_rest": np.ones(len(loss), bool)}


def _errors(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """The linear error rises towards N = P and that of networks falls; or the former stays and the
    latter rises."""
    linear = point["model"] == "linear"
    N = point["d"] if linear else 12 * point["h"]
    slope = (0.5 if linear else -0.2) if thesis else (0.0 if linear else 0.2)
    error = 0.05 * N**slope * np.exp(0.02 * generator.standard_normal())
    return {"N": N, "test_error": float(error), "fitted": bool(N > 100)}


WORLDS = [
    World(
        name,
        true=lambda point, generator, world=world: world(point, generator, thesis=True),
        false=lambda point, generator, world=world: world(point, generator, thesis=False),
    )
    for name, world in (
        ("introduction-curse-of-dimensionality", _neighbors),
        ("introduction-landscape", _minima),
        ("introduction-overparametrization", _errors),
    )
]
