"""Worlds of chapter 3: data sets, the phase diagram, what kernels learn, invariant labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from symscape.experiments.learning_regimes._data_sets import SETUPS, _limits, _scales, _widths
from symscape.experiments.learning_regimes._kernels import EDGES, FIRST, SYSTEMS
from symscape.experiments.learning_regimes._stripe import LEVELS, lazy_exponent
from symscape.lab import Point, Result, grid
from worlds import World


def _diagram(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """A peak at jamming, a flat cross-over that bends up, and easier rules that jam sooner.

    In the false world the error only falls, the cross-over is at one alpha and bends down, and
    both ends of the scales are better than the middle, although they jam later.
    """
    noise = math.exp(0.02 * generator.standard_normal())
    if point["role"] == "crossover":
        h = point["h"]
        near = 1 + 3 * math.exp(-(h - 8) / 3)
        scale = 10 * near if thesis else 10 * math.sqrt(h) / near
        return {"scale": scale * noise**3, "trainings": 4}
    distance = (math.log10(point["tilde_alpha"]) / 3) ** 2  # of the best scale
    h_star = 9 * (1 + 0.4 * distance)
    if point["role"] == "jamming":
        found = [round(h_star * slow * noise) for slow in (1.5, 1.2, 1.0)]
        return {"h_star": np.array(found, float), "trainings": 8}
    ratio = point["h"] / h_star
    excess = 0.05 * math.exp(-(math.log(ratio) ** 2) * 4) if thesis else 0.05 / (1 + ratio)
    whole = 0.14 + (0.02 * distance if thesis else -0.02 * distance)
    part = 0.2 if thesis else 0.9
    return {
        "single": (whole + excess + 0.01) * noise,
        "ensemble": (whole + part * excess) * noise ** (1 / 4),
        "variance": 1.0,
        "fitted": float(ratio >= 1),
    }


def _all_setups(p: Any) -> Iterator[Point]:
    """The points with all data sets present."""
    for name, setup in SETUPS.items():
        yield from grid(
            p.seeds, setup=name, data=setup.data, width=_widths(p, name),
            tilde_alpha=(None,) if setup.algorithm == "frozen" else _scales(p, name),
            n_test=p.n_test, **_limits(p, setup),
        )  # fmt: skip


def _regimes(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """Errors that fall or rise from feature to lazy training, as the thesis says or against it."""
    setup = SETUPS[point["setup"]]
    scale = point["tilde_alpha"] or 1e6
    lazy = 1 / (1 + 10 / scale)
    better = {"lazy": -1.0, "feature": 1.0, "": 0.0}[setup.better] * (1 if thesis else -1)
    ensemble = 0.2 + 0.03 * better * lazy
    if point["setup"] == "cnn-fashion":
        ensemble = 0.1 - (0.12 if thesis else -0.12) * lazy * (1 - lazy)
    single = ensemble + 0.02
    if setup.L == 9:
        single += 0.03 if thesis else -0.03
        ensemble += 0.002 if thesis else 0.03
    if setup.algorithm == "frozen":
        single = 0.19 if thesis else 0.21
    if setup.algorithm == "alternative" and not thesis:
        ensemble += 0.05
    variance = 3.0 / point["h"] ** (1 if thesis else 0)
    noise = 0.001 * generator.standard_normal(2)
    return {
        "fitted": 1.0,
        "single": single + noise[0],
        "ensemble": ensemble + noise[1],
        "variance": variance * math.exp(0.05 * generator.standard_normal()),
    }


def _all_systems(p: Any) -> Iterator[Point]:
    same = {"source": "", "P": p.P, "n_test": p.n_test, "n_gram": p.n_gram, "tol": p.tol}
    return grid(p.seeds, system=list(SYSTEMS), h=p.h, steps=p.max_steps, **same)


def _kernels(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """The kernel takes on the classes; or training spoils it."""
    noise = 0.003 * generator.standard_normal(3)
    error = 0.1 + noise[0]
    start, end = (0.1, 0.4) if thesis else (0.4, 0.1)

    def described(when: str, level: float) -> Result:
        decay = 0.5 ** np.arange(FIRST) * math.exp(0.05 * generator.standard_normal())
        density = np.ones(len(EDGES) - 1) / (EDGES[-1] - EDGES[0])
        return {
            f"alignment_{when}": level + 0.01 * generator.standard_normal(),
            f"projections_{when}": level * decay,
            f"information_{when}": level * decay,
            f"same_{when}": density,
            f"other_{when}": density,
        }

    return {
        "error": error,
        "initial_error": error + 0.1 + noise[1],
        "final_error": error + (0.005 if thesis else 0.06) + noise[2],
        "inflation": (20.0 if thesis else 0.3) * math.exp(0.1 * generator.standard_normal()),
        "change": 10.0,
        **described("start", start),
        **described("end", end),
    }


def _invariants(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """Feature training finds the directions that matter; or it is like lazy training, or worse."""
    ratio = point["P"] / 64
    noise = np.exp(0.03 * generator.standard_normal(4))
    beta = lazy_exponent(point["d"])
    lazy = 0.2 * ratio ** -(beta if thesis else beta + 0.4)
    feature = 0.1 * ratio**-0.6 if thesis else 0.3 * ratio**-0.3
    compressed = feature * 1.1 if thesis else lazy
    Lambda = 10 * ratio ** (0.5 if thesis else 0.0)
    return {
        "ended": True,
        "feature_error": feature * noise[0],
        "lazy_error": lazy * noise[1],
        "compressed_error": compressed * noise[2],
        "amplification": Lambda * noise[3],
        "lazy_amplification": 1.0,
        "levels": np.array(LEVELS),
        "level_amplification": Lambda * np.linspace(0.3, 1, len(LEVELS)),
        "level_error": feature * np.ones(len(LEVELS)),
    }


def _similar(point: Point, generator: np.random.Generator) -> Result:
    """Feature training better by a factor, but compression does not explain it."""
    result = _invariants(point, generator, thesis=True)
    return result | {"compressed_error": result["lazy_error"] * 0.95}


def _cnn(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """Learning curves with the thesis's exponents, or exchanged ones."""
    steep = (point["regime"] == "feature") == thesis
    error = 0.1 * (point["P"] / 50) ** -(0.5 if steep else 1 / 3)
    noise = math.exp(0.03 * generator.standard_normal())
    return {"error": error * noise, "unsatisfied": 0.0, "taken": 100}


WORLDS = [
    World(
        "regimes-cnn-curves",
        true=lambda point, generator: _cnn(point, generator, thesis=True),
        false=lambda point, generator: _cnn(point, generator, thesis=False),
        overrides={"digits": "mnist-sample"},
    ),
    World(
        "regimes-phase-diagram",
        true=lambda point, generator: _diagram(point, generator, thesis=True),
        false=lambda point, generator: _diagram(point, generator, thesis=False),
        overrides={"colors": False, "digits": "mnist-sample", "seeds": 4},
    ),
    World(
        "regimes-data-sets",
        true=lambda point, generator: _regimes(point, generator, thesis=True),
        false=lambda point, generator: _regimes(point, generator, thesis=False),
        points=_all_setups,
    ),
    World(
        "regimes-kernels",
        true=lambda point, generator: _kernels(point, generator, thesis=True),
        false=lambda point, generator: _kernels(point, generator, thesis=False),
        points=_all_systems,
    ),
    World(
        "regimes-stripe",
        true=lambda point, generator: _invariants(point, generator, thesis=True),
        false=dict.fromkeys(
            (
                "ch3.ii.fig9.amplification",
                "ch3.ii.fig9.feature-better",
                "ch3.ii.sec5.exponents",
                "ch3.ii.sec5.lazy-exponent",
            ),
            lambda point, generator: _invariants(point, generator, thesis=False),
        )
        | {"ch3.ii.fig9.compression-explains-it": _similar},
    ),
]
