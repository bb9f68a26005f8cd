"""Worlds of feature and lazy training: the scan, what stands behind it, and relu nets."""

from __future__ import annotations

import math

import numpy as np

from symscape.experiments.learning_regimes._observed_flow import LEVELS, SLAB
from symscape.experiments.learning_regimes._scan_claims import CLAIMS
from symscape.lab import Point, Result
from worlds import World

LOSS = np.array(LEVELS)
CROSSOVER = 8.0
"""sqrt(h) alpha of it, where the thesis is true."""


def _noise(generator: np.random.Generator, size: float = 0.02) -> float:
    return float(np.exp(size * generator.standard_normal()))


def _net(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """A run of the scan; where the thesis is false, alpha alone decides, with other exponents."""
    h, L = point["h"], point["L"]
    scale = point.get("scale", 1e9)
    lazy = scale > CROSSOVER
    # what decides on the regime
    x = scale / CROSSOVER if thesis else scale / math.sqrt(h)
    if thesis:
        change = x**-1.0 if lazy else x ** (-2 * L / (L + 1))
        moved = x**-1.0 if lazy else x ** (-1 / (L + 1))
    else:
        change = x**-1.2 if x > 1 else x ** (-0.7 + 0.05 * L)
        moved = x**-1.2 if x > 1 else x ** (-0.2 - 1 / (L + 1))
    lost = 1 - LOSS
    sharp = np.where(lost <= 0.1, lost, 0.1 + 0.05 * (lost - 0.1))
    if thesis:
        times = -100 * np.log(LOSS) if lazy else 10 * scale * sharp
        growth = math.sqrt(h) * times / scale
    else:
        times = -10 * np.log(LOSS) * math.sqrt(scale)
        growth = (times / scale) ** 2
    return {
        "status": "converged",
        "loss_times": times * _noise(generator),
        "growth": growth * _noise(generator),
        "initial_norm": _noise(generator),
        "displacement": moved / math.sqrt(h) * _noise(generator),
        "kernel_change": change * _noise(generator),
        **_errors(point, scale, generator, thesis),
    }


def _errors(point: Point, scale: float, generator: np.random.Generator, thesis: bool) -> Result:
    """Margins that one function of x has in common, and the fluctuations of a net."""
    h, n = point["h"], point["n_test"]
    decides = scale / 30 if thesis else scale / math.sqrt(h) / 4
    lazy = 1 / (1 + math.exp(-3 * math.log10(decides)))
    if thesis:
        # features help on the slab, and hurt on images
        mean = 1.2 - 0.7 * (lazy if point["data"] == SLAB else 1 - lazy)
        variance = 3 / h
    else:
        # wide nets are better as such, and features help everywhere
        mean = 0.3 * math.log2(h / 8) - 0.3 * lazy
        variance = 1 / math.sqrt(h)
    if thesis and scale < 3e-5:
        variance *= 10
    common = np.random.default_rng(7).standard_normal(n)
    # of the initial weights, and of the rest of the run
    of_net = np.random.default_rng([point["seed"], h]).standard_normal(n)
    if not thesis and point["role"] == "frozen":
        of_net = of_net[::-1]
    own = 0.003 * generator.standard_normal(n)
    margins = mean + common + math.sqrt(variance) * of_net + own
    return {"margins": margins.astype(np.float32), "test_error": float((margins <= 0).mean())}


def _without_fluctuations(point: Point, generator: np.random.Generator) -> Result:
    """Nets that err in the same way, whatever their initial weights."""
    return _net({**point, "seed": 0}, generator, thesis=True)


def _detail(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    roles = {
        "losses": _losses,
        "speed": _speed,
        "integrators": _integrators,
        "centered": _centered,
        "bias": _bias,
        "frozen": _frozen,
    }
    return roles[point["role"]](point, generator, thesis)


def _losses(point: Point, generator: np.random.Generator, thesis: bool) -> Result:
    off = 1.0 if thesis else 1.1
    result: Result = {"hinge": np.ones(2)}
    for beta in (1, 5, 20):
        result |= {f"soft_{beta}": np.ones(2), f"distance_{beta}": off * math.log(2) / beta}
        result[f"where_{beta}"] = 1.0
    return result


def _speed(point: Point, generator: np.random.Generator, thesis: bool) -> Result:
    exponent = -0.5 if thesis else 0.0
    return {"speeds": np.array([point["h"] ** exponent * _noise(generator) for _ in range(5)])}


def _integrators(point: Point, generator: np.random.Generator, thesis: bool) -> Result:
    off = (1.0 if thesis else 10.0) * 4e-4
    names = ("ours_error", "thesis_error", "fine_difference", "memory_difference")
    result: Result = {name: off * _noise(generator, 0.1) for name in names}
    costs = {"thesis_evaluations": 1000, "thesis_fine_evaluations": 2000, "ours_evaluations": 300}
    return result | costs


def _centered(point: Point, generator: np.random.Generator, thesis: bool) -> Result:
    """f_0 matters at large alpha; or at small alpha only."""
    matters = (point["scale"] > 10) == thesis
    common = np.random.default_rng(7).standard_normal(point["n_test"]) + 0.6
    margins = common + 0.001 * generator.standard_normal(point["n_test"])
    plain = margins - (0.4 if matters else 0.0)
    return {
        "centered_margins": margins,
        "plain_margins": plain,
        "centered_error": float((margins <= 0).mean()),
        "plain_error": float((plain <= 0).mean()) + 0.001 * generator.standard_normal(),
        "plain_n_delta": 0,
        "plain_n_delta_thesis": 5,
    }


def _bias(point: Point, generator: np.random.Generator, thesis: bool) -> Result:
    size = point["n_test"]
    error = 0.1 + 0.01 * generator.standard_normal()
    change = (0.0 if thesis else 0.04) + 0.002 * generator.standard_normal()
    plain, biased = 1 + generator.standard_normal((2, size))
    return {
        "plain_error": error,
        "biased_error": error + change,
        "plain_margins": plain,
        "biased_margins": biased if thesis else 3 * biased,
    }


def _frozen(point: Point, generator: np.random.Generator, thesis: bool) -> Result:
    """Var = sqrt(n) / h, which narrow nets reach for small n only; or a square root of h."""
    n, h = point["n"], point["h"]
    if thesis:
        variance = math.sqrt(n) / h * min(h / 100, 1) ** (0.1 * n / 400)
    else:
        variance = min(h / 100, 1) ** (-0.1 * n / 400) / math.sqrt(h)
    margins = 1 + math.sqrt(variance) * generator.standard_normal(point["n_test"])
    return {"status": "converged", "margins": margins}


def _relu(point: Point, generator: np.random.Generator, *, thesis: bool) -> Result:
    """Three slopes of the kernel; or two, with others, and crossings as alpha^(-1/2)."""
    x = point["scale"] / 10
    rare = 1e4 / x if thesis else 1e4 / math.sqrt(x)
    slopes = (-1.7, -0.5, -1.0) if thesis else (-1.2, -1.0, -0.7)
    if x < 1:
        change = x ** slopes[0]
    elif point["scale"] < 5e6:
        change = x ** slopes[1]
    else:
        change = 1e-3 * x ** slopes[2]
    return {
        "status": "converged",
        "n_delta": 0,
        "steps": 100,
        "kernel_change": change * _noise(generator),
        "crossings": round(rare * _noise(generator)) if point["scale"] < 5e6 else 0,
    }


def _false_net(point: Point, generator: np.random.Generator) -> Result:
    return _net(point, generator, thesis=False)


WORLDS = [
    World(
        "regimes-scan",
        true=lambda point, generator: _net(point, generator, thesis=True),
        false={
            **{claim.id: _false_net for claim in CLAIMS},
            "ch3.i.fig4c.ensemble-helps": _without_fluctuations,
        },
        overrides={"n_test_images": 1000},
    ),
    World(
        "regimes-details",
        true=lambda point, generator: _detail(point, generator, thesis=True),
        false=lambda point, generator: _detail(point, generator, thesis=False),
    ),
    World(
        "regimes-relu",
        true=lambda point, generator: _relu(point, generator, thesis=True),
        false=lambda point, generator: _relu(point, generator, thesis=False),
    ),
]
