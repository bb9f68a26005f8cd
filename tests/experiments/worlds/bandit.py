"""Worlds of the bandit: the column of confidence, training from several starts, and necklaces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from symscape.bandit import ccp_best_epsilon, ccp_epsilon_prefactor, ccp_q, necklace_q
from symscape.lab import Point, Result
from worlds import Measure, World

Generator = np.random.Generator


def column(M: int, mu: float, reset: float) -> float:
    q = ccp_q(M, ccp_best_epsilon(M, mu, reset), mu, reset)
    return (1 - reset) * q + reset / 2


def exploration(
    better: float = 1.0, worse: float = 1.0, exponent: float = 0.5, factor: float = 1.0,
    limit: float = 1.0,
) -> Measure:  # fmt: skip
    """Policies at rest near the column, but for a better or worse one at some of the points."""

    def measure(point: Point, random: Generator) -> Result:
        M, mu, reset = point["M"], point["mu"], point["reset"]
        noise = 1 + 1e-6 * random.standard_normal((3, point["starts"]))
        large = reset > 0.1
        law = factor * ccp_epsilon_prefactor(M, mu) * reset**exponent
        q = column(M, mu, reset) * limit
        return {
            "q": q * noise[0] * (better if large else worse),
            "q_flow": 1.1 * q * noise[1],
            "q_column": column(M, mu, reset),
            "epsilon": np.minimum(law * noise[2] * (1 + math.sqrt(reset)), 1.0),
            "epsilon_column": ccp_best_epsilon(M, mu, reset),
            "gradient": np.full(point["starts"], 1e-7),
        }

    return measure


EXPLORATION = World(
    "bandit-exploration",
    exploration(),
    {
        "ch7.fig2.nothing-better": exploration(better=0.95),
        "ch7.fig2.training-stays": exploration(worse=1.1),
        "ch7.eq6.square-root": exploration(exponent=1 / 3),
        "ch7.eq6.prefactor": exploration(factor=1.1),
        "ch7.eq7.small-reset": exploration(limit=1.15),
    },
)

LEVELS = {"random": 0.3, "linear": 0.23, "columns": 0.14, "cycles": 0.2, "ccp": 0.1}
"""Median q of the starts; those of Memento end within a few percent of each other."""


def dynamics(**levels: float) -> Measure:
    """Medians of q by start; of the RAM and Memento of panels E and F by memory."""
    chosen = {**LEVELS, "ram": 0.27, "memento": 0.19, "memento-random": 0.22, **levels}

    def measure(point: Point, random: Generator) -> Result:
        start, starts = point["start"], point["starts"]
        level = chosen.get(start, 0.2)
        if point["panels"] == "E-F":
            level = chosen[point["kind"]]
        elif start == "ccp":
            level = column(point["size"], point["mu"], point["reset"]) * chosen["ccp"] / 0.1
        elif start == "columns":
            level = column(point["size"], point["mu"], point["reset"]) * chosen["columns"] / 0.1
        elif start in ("random", "linear") and point["kind"] == "ram":
            level = column(point["size"], point["mu"], point["reset"]) * level / 0.1
        elif start == "random":
            level = chosen["memento-random"]
        spread = 1e-4 if start == "ccp" else 0.08
        q = level * np.exp(spread * random.standard_normal(starts))
        times = np.geomspace(1, 1e4, 5)
        return {
            "times": times,
            "q_of_time": np.linspace(0.5, 1, 5)[::-1] * q[:, None] + 0.0,
            "q": q,
            "gradient": np.full(starts, 1e-7),
        }

    return measure


DYNAMICS = World(
    "bandit-dynamics",
    dynamics(),
    {
        "ch7.fig4ab.random-is-worst": dynamics(random=0.22),
        "ch7.fig4ab.columns-help": dynamics(columns=0.24),
        "ch7.fig4ab.columns-do-not-reach": dynamics(columns=0.1),
        "ch7.fig4ab.ccp-reached": dynamics(ccp=0.115),
        "ch7.fig4cd.insensitive": dynamics(**{"memento-random": 0.4}),
        "ch7.fig4ef.memento-beats-ram": dynamics(memento=0.3),
    },
)


def optima(
    reached: float = 0.0,
    growth: float = 0.8,
    columns: float = 1.02,
    best: float = 1.0,
    deterministic: float = 1.27,
) -> Measure:
    """q over that of the column: of random policies it grows with M, of columns it does not."""

    def measure(point: Point, random: Generator) -> Result:
        M, starts = point["size"], point.get("starts", 1)
        level = column(max(M, 2), point["mu"], point["reset"])
        if point["start"] == "oracle":
            return {"q": np.array([deterministic * level]), "bound": deterministic * level}
        far = 1.3 * (M / 2) ** growth if point["start"] == "random" else columns
        ratio = far * np.exp(0.1 * abs(random.standard_normal(starts)))
        lucky = random.random(starts) < (reached if point["start"] == "random" else 0.3)
        ratio = np.where(lucky, 1 + 1e-5 * random.standard_normal(starts), ratio)
        return {"q": best * level * ratio, "gradient": np.full(starts, 1e-7)}

    return measure


OPTIMA = World(
    "bandit-optima",
    optima(),
    {
        "ch7.sec5.random-gets-stuck": optima(reached=0.4),
        "ch7.sec5.structure-helps": optima(columns=9.0),
        "ch7.sec5.size-hurts": optima(growth=-0.1),
        "ch7.sec3.column-is-best": optima(best=0.9),
        "ch7.sec1.deterministic": optima(deterministic=1.0),
    },
)


def memento(oldest: float = 0.99, informed: float = 0.99, best: float = 1.03) -> Measure:
    """A few of the random starts end on the best policy, the others on worse ones."""

    def measure(point: Point, random: Generator) -> Result:
        starts, resets = point["starts"], len(point["resets"])
        limit = necklace_q(point["mu"], point["size"])
        ends = best * limit * np.exp(abs(random.standard_normal(starts)))
        ends[: starts // 4] = best * limit * (1 + 1e-4 * random.random(starts // 4))
        like = 1e-3 * random.standard_normal((2, starts))
        return {
            "q": ends[:, None] * np.linspace(2, 1, resets),
            "gradient": np.full((starts, resets), 1e-7),
            "oldest": np.full(starts, 0.99),
            "oldest_mixed": oldest + like[0],
            "informed_exits": informed + like[1],
        }

    return measure


MEMENTO = World(
    "bandit-memento",
    memento(),
    {
        "ch7.sec6.necklaces": memento(oldest=0.8),
        "ch7.sec6.exits": memento(informed=0.4),
        "ch7.sec6.conjecture": memento(best=0.75),
    },
)


def plays(exponent: float, logarithm: float) -> Measure:
    """Plays of the worse arm that grow like m^exponent (ln m)^logarithm."""

    def measure(point: Point, random: Generator) -> Result:
        if point["what"] != "ucb":
            return {}
        times: Any = np.unique(np.geomspace(4, point["plays"], 40).astype(int))
        worse = 5 * times**exponent * np.log(times) ** logarithm
        return {"times": times, "worse": worse * (1 + 0.01 * random.standard_normal())}

    return measure


NECKLACES = World("bandit-necklaces", plays(0.0, 1.0), plays(0.5, 0.0))

WORLDS = [EXPLORATION, DYNAMICS, OPTIMA, MEMENTO, NECKLACES]
