"""Worlds of the discussion: double descent of random features, and parametrizations."""

from __future__ import annotations

import numpy as np

from symscape.experiments.discussion._double_descent import _formula
from symscape.lab import Point, Result, Row
from worlds import World


def _descent(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """A peak at h = P and a flat ensemble; or one descent, which averaging does not change."""
    widths = np.array(point["widths"])
    ratio = widths / point["P"]
    if point["target"] == "linear":
        off = 1.0 if thesis else 0.8
        clean = {n: off * _formula(Row(point, {}), widths, n) for n in ("single", "together")}
    elif thesis:
        infinite = 0.4  # of very many networks
        single = infinite + 0.5 / (ratio * (0.01 + np.abs(np.log(ratio))))
        together = infinite + (single - infinite) / point["ensemble"]
        clean = {"single": single, "together": together}
    else:
        clean = {n: 1 + np.abs(np.log(ratio / 0.5)) for n in ("single", "together")}
    noise = np.exp(0.03 * generator.standard_normal(len(ratio)))
    return {name: values * noise for name, values in clean.items()}


def _layers(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """All layers learn, or stand still as 1/sqrt(h); in a false world the first does the other."""
    learns = (point["name"] == "maximal-update") * np.ones(point["hidden"])
    if not thesis:
        learns[0] = 1 - learns[0]
    noise = np.exp(0.02 * generator.standard_normal(point["hidden"]))
    return {"change": 0.1 * point["width"] ** (-0.5 * (1 - learns)) * noise}


WORLDS = [
    World(
        "discussion-double-descent",
        true=lambda point, generator: _descent(point, generator, thesis=True),
        false=lambda point, generator: _descent(point, generator, thesis=False),
        overrides={"d": 60},
    ),
    World(
        "discussion-parametrizations",
        true=lambda point, generator: _layers(point, generator, thesis=True),
        false=lambda point, generator: _layers(point, generator, thesis=False),
    ),
]
