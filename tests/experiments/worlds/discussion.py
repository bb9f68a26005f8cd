"""Worlds of the discussion: random features, parametrizations, and SGD."""

from __future__ import annotations

import numpy as np

from symscape.experiments.discussion._double_descent import _formula
from symscape.experiments.discussion._parametrization_limits import NAMED, boundary, exponents
from symscape.experiments.discussion._sgd import temperature
from symscape.experiments.discussion._sgd_jamming import n_weights
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


def _limits(point: Point, generator: np.random.Generator, *, off: float = 0.0) -> Result:
    """Powers of the width as in the classification, all off by a number in a false world."""

    def of_width(exponent: float) -> float:
        return float(point["width"] ** (exponent + off) * np.exp(0.03 * generator.normal()))

    if point["role"] == "slice":
        growth = boundary(point["A"]) - point["c"]
        return {
            "start": 1.0,
            "moved": of_width(growth),
            "change": np.array([of_width(growth - 0.3)] * 3),
            "own": np.ones(4),
        }
    found = {kind: of_width(e) for kind, e in exponents(NAMED[point["name"]]).items()}
    return {
        "start": found["output at the start"],
        "moved": found["change of the output"],
        "change": np.ones(3),
        "own": np.array([*(found[f"layer {i}"] for i in (1, 2, 3)), found["last layer"]]),
    }


def _noisy(
    generator: np.random.Generator, value: float, members: int, scale: float = 0.03
) -> np.ndarray:
    return value * np.exp(scale * generator.standard_normal(members))


def _shift(point: Point) -> float:
    """SGD moves the cross-over to smaller alpha, by lr/B alone."""
    T = temperature(point)
    return float(np.exp(-0.5 * T / (T + 0.1)))


def _plane(
    point: Point,
    generator: np.random.Generator,
    *,
    shift=_shift,
    gain: float = 0.9,
    width: float = 0.0,
    distance: float = 1.0,
    stable: float = 1.0,
) -> Result:
    """A plane with its cross-over at sqrt(h) alpha = 13 times ``shift``, and errors times ``gain``.

    ``width``, ``distance`` and ``stable`` are exponents: of h in the place of the cross-over, of
    the learning rate in the distance from gradient flow, of alpha in the largest stable rate.
    """
    M, alpha = point["members"], point["alpha"]
    place = 13.0 * shift(point) * (point["h"] / 32) ** width
    error = (0.14 if alpha > 100 else 0.16) * (gain if point["batch"] else 1.0)
    fitted = np.ones(M, bool)
    if point["role"] == "edge":
        fitted = point["rate"] <= _noisy(generator, 12.0 * (alpha / 3) ** stable, M)
    return {
        "fitted": fitted,
        "error": _noisy(generator, error, M),
        "kernel_change": _noisy(generator, (place / alpha) ** 1.5, M),
        "size": _noisy(generator, 3.0, M),
        "distance": _noisy(generator, 0.02 * point["rate"] ** distance, M),
        "ensemble_error": error,
        "fluctuation": 1.0,
    }


def _plane_with(**of: object):
    return lambda point, generator: _plane(point, generator, **of)


def _jamming(
    point: Point,
    generator: np.random.Generator,
    *,
    error: float = 0.9,
    peak: float = 0.5,
    place: float = 1.1,
    batch: float = 0.0,
) -> Result:
    """Error and outputs peak at N = 80; SGD changes error, peak and place by factors.

    In proportion to B^batch, too, in a world where not lr/B alone counts.
    """
    M, N = point["members"], n_weights(point["h"])
    T = min(temperature(point), 1.0)
    at = 80.0 * place**T
    bump = np.exp(-(np.log(N / at) ** 2))
    others = (point["batch"] / 4) ** batch if point["batch"] else 1.0
    return {
        "fitted": _noisy(generator, N, M, 0.1) > at,
        "error": _noisy(generator, (0.17 + 0.06 * bump) * error**T * others, M),
        "size": _noisy(generator, 3.0 + 10.0 * peak**T * bump, M),
        "ensemble_error": 0.17,
        "fluctuation": 1.0,
    }


def _jamming_with(**of: float):
    return lambda point, generator: _jamming(point, generator, **of)


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
    World(
        "discussion-parametrization-limits",
        true=_limits,
        false=lambda point, generator: _limits(point, generator, off=0.25),
        overrides={"seeds": 4},
    ),
    World(
        "discussion-sgd-plane",
        true=_plane,
        false={
            "ch8.sec3.flow-limit": _plane_with(distance=0.0),
            "ch8.sec3.cross-over-noise": _plane_with(shift=lambda point: 1.0),
            "ch8.sec3.cross-over-steps": _plane_with(shift=lambda point: 1.0),
            "ch8.sec3.cross-over-direction": _plane_with(shift=lambda point: 1 / _shift(point)),
            "ch8.sec3.one-temperature": _plane_with(shift=lambda point: 1 - point["rate"] / 100),
            "ch8.sec3.cross-over-width": _plane_with(width=0.5),
            "ch8.sec3.stable-rate": _plane_with(stable=0.0),
            "ch8.sec3.performance": _plane_with(gain=1.05),
            "ch8.sec3.feature-regime": _plane_with(gain=1.05),
        },
        overrides={"source": "mnist-sample", "alphas": (3.0, 6.0, 10.0, 16.0, 25.0, 40.0)},
    ),
    World(
        "discussion-sgd-jamming",
        true=_jamming,
        false={
            "ch8.sec3.jamming-error": _jamming_with(error=1.05),
            "ch8.sec3.jamming-divergence": _jamming_with(peak=1.5),
            "ch8.sec3.jamming-position": _jamming_with(place=3.0),
            "ch8.sec3.jamming-one-temperature": _jamming_with(batch=0.3),
        },
        overrides={"source": "mnist-sample"},
    ),
]
