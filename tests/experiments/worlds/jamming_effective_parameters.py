"""Worlds of the effective number of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from symscape import lab
from symscape.lab import Point, Result
from worlds import World


def _points(p: Any) -> list[Point]:
    rest = {"d": p.d, "P": p.P}
    return [
        *lab.grid(p.seeds, activation="relu", L=p.depths, h=p.widths, **rest),
        *lab.grid(p.seeds, activation=("tanh", "linear"), L=3, h=p.other_widths, **rest),
    ]


def _ranks(lost: float) -> Any:
    """Relu nets lose a share of the parameters besides one per neuron, and a few by chance."""

    def measure(point: Point, generator: np.random.Generator) -> Result:
        neurons, d = point["L"] * point["h"], point["d"]
        total = d * point["h"] + (point["L"] - 1) * point["h"] ** 2 + point["h"] + neurons
        full = {"relu": total - neurons, "tanh": total, "linear": d + 1}[point["activation"]]
        silent = int(generator.integers(1, 3)) if point["activation"] == "relu" else 0
        rank = round((1 - lost) * full) - silent
        result: Result = {"n_parameters": total, "n_neurons": neurons}
        for stage in ("initial", "trained"):
            result |= {f"rank_{stage}": rank, f"live_{stage}": full - silent // 2}
            result |= {f"gap_{stage}": 1e9, f"n_silent_{stage}": silent}
        return result

    return measure


WORLDS = [
    World("jamming-effective-parameters", true=_ranks(0.0), false=_ranks(0.3), points=_points)
]
