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


def _outputs(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """Outputs of order h^0 and h^(-1/2); or the two interchanged, and moments that halve."""
    orders = (0.0, -0.5) if thesis else (-0.5, 0.0)
    noise = np.exp(0.01 * generator.standard_normal(3))
    ntp, mfp = (point["h"] ** order for order in orders)
    return {
        "ntp_rms": ntp * noise[0],
        "mfp_rms": mfp * noise[1],
        "before": np.ones(3),
        "after": np.full(3, (1.0 if thesis else 0.5) * noise[2]),
        "n_weights": 243,
        "ratio_deviation": 0.0,
    }


def _minima(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """Narrow networks end in many minima and wide ones in none; or all end in the same one."""
    loss = np.full(point["starts"], 0.1)
    if thesis:
        narrow = point["h"] < 8
        loss = narrow * generator.uniform(0.05, 0.2, point["starts"])
    return {"N": 6 * point["h"], "loss": np.sort(loss), "at_rest": np.ones(len(loss), bool)}


def _errors(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """The linear error rises towards N = P and that of networks falls; or the other way round."""
    linear = point["model"] == "linear"
    N = point["d"] if linear else 12 * point["h"]
    slope = 0.5 if linear == thesis else -0.2
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
        ("introduction-networks", _outputs),
        ("introduction-landscape", _minima),
        ("introduction-overparametrization", _errors),
    )
]
