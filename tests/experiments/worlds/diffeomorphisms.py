"""Worlds of chapter 4: made-up networks, fields, stripes and augmentations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import numpy as np

from symscape import diffeo, lab
from symscape.experiments.diffeomorphisms import _augmentation, _initialization, _networks
from symscape.experiments.diffeomorphisms._measure import (
    CUTOFFS,
    DELTAS,
    NOISE_NORMS,
    THESIS_NETS,
    family,
)
from symscape.experiments.diffeomorphisms._network_claims import is_modern
from symscape.lab import Point, Result
from worlds import Measure, World

Change = Callable[[Point, Result, np.random.Generator], dict[str, Any]]
"""New results of a point, from those of the true world."""


def everywhere(name: str) -> Callable[[Any], Iterable[Point]]:
    """The points of an experiment as if all data sets were found."""

    def found(names: Iterable[str]) -> dict[str, str]:
        return {name: f"{name}@1" for name in names}

    def points(p: Any) -> Iterable[Point]:
        with ExitStack() as stack:
            for module in (_networks, _augmentation, _initialization):
                stack.enter_context(patch.object(module, "available", found))
            return list(lab.find(name).points(p))

    return points


def changed(true: Measure, change: Change) -> Measure:
    def measure(q: Point, random: np.random.Generator) -> Result:
        result = true(q, random)
        return result | change(q, result, random)

    return measure


def near(value: Any, random: np.random.Generator, size: float = 0.02) -> Any:
    """Numbers with relative noise."""
    return np.asarray(value) * np.exp(size * random.normal(size=np.shape(value)))


# --- trained networks ------------------------------------------------------------------------

RHO = {"mnist": (0.71, 0.43), "fashion-mnist": (0.72, 0.68), "cifar10": (0.62, 0.8)}
"""Correlations of the test error with D_f and with 1/G_f."""


def level(net: str, data: str = "cifar10@1") -> float:
    """R_f at the largest P."""
    if net == "lenet":
        return 0.6 if family(data) == "cifar10" else 1.6
    place = THESIS_NETS.index(net)
    if net.startswith("fc"):
        return 1.6 - 0.1 * place
    return float(np.geomspace(0.3, 0.02, len(THESIS_NETS))[place])


def across(data: str) -> tuple[np.ndarray, np.ndarray]:
    """ln R_f over networks, and as long a direction that is not correlated with it."""
    x = np.log([level(net, data) for net in THESIS_NETS])
    x -= x.mean()
    w = np.random.default_rng(0).normal(size=len(x))
    w -= w.mean()
    w -= x * (w @ x) / (x @ x)
    return x, w * np.sqrt((x @ x) / (w @ w))


def stabilities(q: Point, rho: tuple[float, float]) -> tuple[float, float]:
    """D_f and G_f with the given correlations of the test error with D_f and 1/G_f."""
    x, w = (part[THESIS_NETS.index(q["net"])] for part in across(q["data"]))
    along_D, along_G = (r / math.sqrt(1 - r**2) for r in rho)
    b = 1 / (along_D + along_G)
    return math.exp(b * (along_D * x + w)), math.exp(b * (w - along_G * x))


def network(q: Point, random: np.random.Generator) -> Result:
    """As in the thesis: R_f falls like 1/P, and the test error is 0.24 R_f^(1/2)."""
    modern = is_modern(q["net"])
    R = level(q["net"], q["data"]) * (8192 / q["P"] if modern else 1.0)
    D, G = stabilities(q, RHO[family(q["data"])])
    shape, norms = (2, len(CUTOFFS), len(DELTAS)), np.array(NOISE_NORMS)
    return {
        "loss": 0.1,
        "test_error": float(near(0.24 * math.sqrt(R), random)),
        "init_R": near(np.ones(3), random, 0.1),
        "R": near(np.full(3, R), random),
        "D": near(np.full(3, D), random),
        "G": near(np.full(3, G * (q["P"] / 8192)), random),
        "R_gaussian": float(near(R, random)),
        "init_R_layers": np.append(near(np.full(9, 1.1), random), math.nan),
        "R_layers": near(np.geomspace(1.0, 0.05, 10), random, 0.3),
        "R_grid": near(np.full(shape, R), random),
        "D_grid": near(np.full(shape, D), random),
        "G_grid": near(np.full(shape, G), random),
        "init_R_grid": np.ones((1, *shape[1:])),
        "G_noise": near(1e-3 * norms**2 / (1 + norms**2), random),
    }


def fixed(**values: Any) -> Change:
    """Results that do not depend on the point, with noise."""
    return lambda q, r, random: {name: near(value, random) for name, value in values.items()}


def of(net: str, R: float) -> Change:
    return lambda q, r, random: {"R": near(np.full(3, R), random)} if q["net"] == net else {}


def sizes_do_not_matter(q: Point, r: Result, random: np.random.Generator) -> dict[str, Any]:
    R, G = level(q["net"], q["data"]), stabilities(q, RHO["cifar10"])[1]
    return {"R": near(np.full(3, R), random), "G": near(np.full(3, G), random)}


def together_at_last(q: Point, r: Result, random: np.random.Generator) -> dict[str, Any]:
    return {"R": near(np.full(3, level(q["net"]) ** (1 - q["P"] / 16384)), random)}


def slow_in_P(q: Point, r: Result, random: np.random.Generator) -> dict[str, Any]:
    return {"R": near(np.full(3, 0.05 * (8192 / q["P"]) ** 0.3), random)}


def error_elsewhere(q: Point, r: Result, random: np.random.Generator) -> dict[str, Any]:
    """The test error has nothing to do with R_f, D_f or G_f."""
    place = THESIS_NETS.index(q["net"])
    return {"test_error": 0.1 * math.exp(np.random.default_rng(7).normal(size=15)[place])}


def D_tells(q: Point, r: Result, random: np.random.Generator) -> dict[str, Any]:
    """The test error goes with D_f, and with R_f weakly."""
    x, w = (part[THESIS_NETS.index(q["net"])] for part in across(q["data"]))
    numbers = {"D": x, "R": w + 0.2 * x, "G": 0.8 * x - w}
    found = {name: near(np.full(3, math.exp(v)), random) for name, v in numbers.items()}
    return {"test_error": 0.1 * math.exp(0.3 * x), **found}


def one_deformation_does_not_tell(q: Point, r: Result, random: np.random.Generator) -> Any:
    grid = r["R_grid"].copy()
    grid[1, 0, DELTAS.index(2.0)] = 1.0 / r["R"][0]
    return {"R_grid": grid}


NETWORK_BREAKS: dict[str, Change] = {
    "fig3.init": fixed(init_R=np.full(3, 0.2)),
    "fig3.trained fig4.fully-connected": lambda q, r, random: {"init_R": near(r["R"], random)},
    "fig3.range": fixed(R=np.full(3, 0.5)),
    "fig3.more-data fig6.noise fig6.relative": sizes_do_not_matter,
    "fig18.separation": together_at_last,
    "fig3.slope fig13.slope": slow_in_P,
    "fig3.interpolation": lambda q, r, random: {
        "R_grid": r["R_grid"] * np.array([1.0, 0.5])[:, None, None]
    },
    "fig4.lenet": of("lenet", 0.02),
    "fig4.lenet-cifar10": of("lenet", 2.55),
    "fig4.lenet-elsewhere": of("lenet", 0.6),
    "fig5.correlation fig15.deformations fig16.noise": error_elsewhere,
    "table2.mnist-relative table2.mnist-deformations table2.mnist-noise": error_elsewhere,
    "table2.fashion-relative table2.fashion-deformations table2.fashion-noise": error_elsewhere,
    "fig5.exponent": lambda q, r, random: {"test_error": 0.24 * r["R"][0]},
    "fig5.prefactor": lambda q, r, random: {"test_error": 0.05 * r["R"][0] ** 0.5},
    "fig5.better-than-deformations fig17.means": D_tells,
    "fig11.quadratic": fixed(G_noise=1e-3 * np.array(NOISE_NORMS)),
    "fig11.departure": fixed(
        G_noise=1e-3 * np.array(NOISE_NORMS) ** 2 / (1 + np.array(NOISE_NORMS) ** 2 / 900)
    ),
    "fig13.interpolation": lambda q, r, random: {"R_gaussian": 0.5 * r["R"][0]},
    "fig14.init": fixed(init_R_layers=np.array([1.0, 4.0, 0.25])),
    "fig14.depth": lambda q, r, random: {"R_layers": near(np.ones(10), random)},
    "fig21.robust": one_deformation_does_not_tell,
}


# --- the plane of temperature and cut-off ------------------------------------------------------


def plane(q: Point, random: np.random.Generator) -> Result:
    """The closed forms themselves, with half of the fields folded over at 1.4 T_max."""
    return folding_at(1.4)(q, random) | {
        "fold": near(np.full(q["draws"], diffeo.typical_fold(1.0, q["c"])), random, 0.3),
        "square": float(near(diffeo.displacement(1.0, q["c"], q["n"]) ** 2, random)),
    }


def folding_at(boundary: float) -> Measure:
    def measure(q: Point, random: np.random.Generator) -> Result:
        chance = 1 / (1 + (boundary / np.array(q["heats"])) ** 6)
        return {"folded": random.binomial(q["draws"], chance) / q["draws"]}

    return measure


def times(name: str, factor: float) -> Change:
    return lambda q, r, random: {name: factor * r[name]}


def folding(boundary: float) -> Change:
    return lambda q, r, random: folding_at(boundary)(q, random)


PLANE_BREAKS: dict[str, Change] = {
    "eq3.displacement": times("square", 2.0),
    "eq8.visible": times("square", 2.0),
    "eq13.fold": times("fold", 1.5),
    "eq14.bijective": folding(0.7),
    "fig1.boundary": folding(4.0),
    "fig9.folding-above": folding(30.0),
    "fig9.no-folding-below": folding(0.05),
}


# --- the stripe model, augmentation, initialization --------------------------------------------


def stripe(q: Point, random: np.random.Generator) -> Result:
    Lambda = float(near(q["P"] ** 0.5, random, 0.1))
    return {"R": float(near(Lambda**-2, random)), "amplification": Lambda, "stopped": "fitted"}


STRIPE_BREAKS: dict[str, Change] = {
    "fig7.slope": lambda q, r, random: {"R": float(near(q["P"] ** -0.5, random, 0.1))},
    "sec6.amplification": lambda q, r, random: {"amplification": near(q["P"] ** 0.2, random, 0.1)},
    "sec6.stability-from-alignment": lambda q, r, random: {"R": 1 / r["amplification"]},
}


def augmented(q: Point, random: np.random.Generator) -> Result:
    R = {"none": 0.2, "translation": 0.15, "diffeo": 0.08}[q["arm"]]
    return {"R": near(np.full(3, R), random, 0.2), "init_R": near(np.ones(3), random, 0.2)}


def arm(name: str, R: float) -> Change:
    return lambda q, r, random: {"R": near(np.full(3, R), random, 0.2)} if q["arm"] == name else {}


AUGMENTATION_BREAKS: dict[str, Change] = {
    "fig12.diffeo": arm("diffeo", 0.2),
    "fig12.translation": arm("translation", 0.01),
    "fig12.below-init": arm("translation", 1.0),
}


def initial(q: Point, random: np.random.Generator) -> Result:
    response = {"G_noise": near(1e-3 * np.array(NOISE_NORMS) ** 2, random)} if q["noise"] else {}
    return {"R": float(near(1.0, random, 0.2)), **response}


INITIAL_BREAKS: dict[str, Change] = {
    "fig3.init-full-width": lambda q, r, random: {"R": 0.3 * r["R"]},
    "fig11.init": fixed(G_noise=1e-3 * np.array(NOISE_NORMS)),
}


def world(name: str, true: Measure, breaks: dict[str, Change], **options: Any) -> World:
    false = {
        f"ch4.{claim}": changed(true, change)
        for claims, change in breaks.items()
        for claim in claims.split()
    }
    return World(name, true, false, **options)


WORLDS = [
    world(
        "diffeo-networks",
        network,
        NETWORK_BREAKS,
        profile="paper",
        overrides={
            "sizes": [512, 2048, 8192],
            "fashion_sizes": [512, 2048, 8192],
            "seeds": 3,
        },
        points=everywhere("diffeo-networks"),
    ),
    world("diffeo-phase-diagram", plane, PLANE_BREAKS),
    world("diffeo-stripe", stripe, STRIPE_BREAKS),
    world(
        "diffeo-augmentation",
        augmented,
        AUGMENTATION_BREAKS,
        points=everywhere("diffeo-augmentation"),
    ),
    world(
        "diffeo-initialization",
        initial,
        INITIAL_BREAKS,
        points=everywhere("diffeo-initialization"),
    ),
]
