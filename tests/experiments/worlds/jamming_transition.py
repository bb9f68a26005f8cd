"""Worlds of the jamming transition of random data, of digits, and of ellipses."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from symscape.experiments.jamming._mnist import CLAIMS
from symscape.lab import Point, Result
from worlds import Measure, World

Generator = np.random.Generator
Array = np.ndarray


@dataclass(frozen=True)
class Jamming:
    """What is true of networks at the transition."""

    ratio: float  # P / N at which they jam
    height: float  # N_Delta / N there
    steep: float = 0.1  # loss over the distance from it
    slope: float = 5.0  # how N_Delta / N grows with the loss
    power: float = 1.0
    by_depth: float = 0.0
    misclassified: float = 1.0  # power of the loss
    scale: float = 0.5  # power of the loss, of eigenvalues of H_p
    scatter: float = 0.02
    C0: float = 0.5
    rank: float = 1.0
    gap: float = 0.3
    negative: float = 0.1
    saddle: float = 0.02
    theta: float = 0.3
    gamma: float = 0.2
    theta_by_depth: float = 0.0
    cusps: dict[int, float] = dataclasses.field(default_factory=lambda: {2: 0.25, 3: 0.23, 5: 0.21})
    fresh: float = 0.001
    ks: float = 0.01
    accuracy: float = 0.94

    def __call__(self, point: Point, random: Generator) -> Result:
        L, h, d, P = point["L"], point["h"], point["d"], point["P"]
        N = d * h + (L - 1) * h * h + h
        above = P / N - self.ratio
        loss = self.steep * above * math.exp(0.1 * random.standard_normal()) if above > 0 else 0.0
        fits = loss == 0
        height = self.height + self.by_depth * (L - 2) + self.slope * loss**self.power
        n_delta = 0 if fits else round(N * height * (1 + 0.02 * random.standard_normal()))
        steps = np.array([0, 100, 1000, 6000, 7000])
        found: Result = {
            "n_weights": N,
            "n_parameters": N + L * h + 1,
            "status": "converged" if fits else "stalled",
            "steps_taken": 7000,
            "n_silent": 0,
            "n_delta": n_delta,
            "loss": loss,
            "misclassified": round(n_delta * min(1.0, 3 * loss**self.misclassified)),
            "grad_norm": 0.01 * math.sqrt(loss),
            "overlaps": self.overlaps(L, P, n_delta, loss, random),
            "test_error": 1 - self.accuracy + 0.003 * random.standard_normal(),
            "history_step": steps,
            "history_loss": np.linspace(1.0, loss, 5),
            "history_n_delta": np.linspace(P, n_delta, 5),
            "history_misclassified": np.linspace(P / 2, 0, 5),
        }
        return found if fits else {**found, **self.jammed(L, h, N, n_delta, loss, random)}

    def overlaps(self, L: int, P: int, n_delta: int, loss: float, random: Generator) -> Array:
        theta = self.theta + self.theta_by_depth * (L - 2)
        satisfied = -2 * random.uniform(size=P - min(n_delta, P)) ** (1 / (1 - self.gamma))
        unsatisfied = random.uniform(size=min(n_delta, P)) ** (1 / (1 + theta))
        return np.r_[satisfied, unsatisfied * math.sqrt(15 * loss)]

    def jammed(
        self, L: int, h: int, N: int, n_delta: int, loss: float, random: Generator
    ) -> Result:
        n = N + L * h + 1
        effective = n - L * h
        rank = round(min(n_delta, effective) * (self.rank - 0.005 * random.uniform()))
        size = loss**self.scale * math.exp(self.scatter * random.standard_normal())
        down, up = round(n * self.C0), n - round(n * self.C0)
        negative = round(n * max(0.0, self.negative * (1 + 0.1 * random.standard_normal())))
        noise = 1 + 0.05 * random.standard_normal(4)
        cusps = self.cusps.get(L, 0.2)
        return {
            "eigenvalues_hp": size * np.r_[-np.linspace(0.01, 1, down), np.linspace(0.01, 1, up)],
            "eigenvalues_h0": np.r_[
                np.zeros(n - rank), np.linspace(self.gap + 2 / rank, 1.5, rank) ** 2
            ],
            "eigenvalues_h": np.r_[
                -size * self.saddle * noise[3] * np.linspace(1, 0.1, negative),
                np.linspace(0.1, 2, n - negative),
            ],
            "rank_h0": rank,
            "n_effective": effective,
            "n_pinned": round(N * cusps * noise[0]),
            "n_cusps": round(N * cusps * noise[1]),
            "n_cusps_fresh": round(N * self.fresh + random.integers(3)),
            "ks_outside_peak": self.ks * noise[2],
            "cusp_cuts": np.full(L, 1e-4),
            "cusp_masses": np.full(L, 0.01),
            "preactivations": np.ones((L, 70)),
            "preactivations_fresh": np.ones((L, 70)),
        }


RELU = Jamming(2.85, 0.75)
TANH = Jamming(4.0, 0.75, C0=0.43, negative=0.004, theta=0.2, gamma=0.16)
CONTINUOUS = Jamming(
    2.15,
    0.0,
    slope=1.2,
    power=0.5,
    by_depth=0.1,
    misclassified=0.0,
    scale=1.0,
    scatter=0.6,
    C0=0.4,
    rank=0.8,
    gap=0.0,
    negative=0.4,
    saddle=0.5,
    theta=0.6,
    gamma=0.6,
    theta_by_depth=0.2,
    cusps={2: 0.02, 3: 0.02, 5: 0.02},
    fresh=0.1,
    ks=0.2,
    accuracy=0.8,
)
"""Nets that jam as a second-order transition would have it, with other spectra."""

DIGITS = Jamming(9.0, 0.5, steep=0.03, gamma=0.25, cusps={3: 0.19})
CONTINUOUS_DIGITS = dataclasses.replace(CONTINUOUS, ratio=6.3, steep=0.03, by_depth=0.0)
ISOSTATIC_DIGITS = dataclasses.replace(DIGITS, height=1.1)
"""Digits that jam like spheres, with as many constraints as parameters."""


def of_activation(relu: Measure, tanh: Measure) -> Measure:
    return lambda point, random: (relu if point["activation"] == "relu" else tanh)(point, random)


def digit_points(p: Any) -> list[Point]:
    """The points of the experiment, which would look for the digits."""
    net = [(p.h, P) for P in p.sizes] + list(p.many)
    return [
        {"L": p.L, "d": p.d, "h": h, "P": P, "seed": seed, "steps": p.steps}
        for h, P in net
        for seed in range(p.seeds)
    ]


def ellipses(contacts: float, gap: float, power: float, positive: float) -> Measure:
    """Soft modes that rise as a power of the energy, below a gap; or a plateau that does."""

    def measure(point: Point, random: Generator) -> Result:
        freedom = 3 * point["n"] - 2
        ratio = contacts + 0.01 * random.standard_normal()
        k = max(1, freedom - round(ratio * freedom))
        energy = np.r_[5e-9, 0.2 * np.square(point["compressions"])]
        energy *= np.exp(0.1 * random.standard_normal())
        noise = np.exp(0.05 * random.standard_normal((len(energy), k)))
        found: Result = {
            "energy": energy,
            "freedom": np.full(len(energy), freedom),
            "contacts": np.full(len(energy), freedom - k),
            "hp_positive": positive * (1 + 0.1 * random.standard_normal()),
        }
        for index, level in enumerate(energy**power):
            soft = 10 * level * np.linspace(0.5, 1, k) * noise[index]
            bulk = (math.sqrt(soft.max()) + gap + np.linspace(0.01, 3, freedom - k)) ** 2
            plateau = 10 * level * np.linspace(0.3, 3, freedom) ** 2 * noise[index, 0]
            found[f"eigenvalues_{index}"] = np.r_[0, 0, np.r_[soft, bulk] if gap else plateau]
        return found

    return measure


WORLDS = [
    World(
        "jamming-ellipses",
        ellipses(0.85, 0.3, 0.5, 0.3),
        ellipses(0.99, 0.0, 1.0, 0.0001),
        overrides={"seeds": 6},
    ),
    World(
        "jamming-transition",
        of_activation(RELU, TANH),
        of_activation(
            CONTINUOUS,
            dataclasses.replace(CONTINUOUS, ratio=3.4, C0=0.5, by_depth=0.0, negative=0.1),
        ),
        overrides={
            "relu_nets": ((2, 24), (3, 20), (5, 15)),
            "relu_ratios": (1.9, 2.0, 2.2, 2.3, 2.5, 2.7, 2.8, 2.9, 3.0, 3.1, 3.2, 3.4),
            "tanh_nets": ((2, 20), (3, 16)),
            "tanh_ratios": (3.3, 3.5, 3.7, 3.9, 4.1, 4.2, 4.3, 4.4, 4.5),
            "seeds": 12,
        },
    ),
    World(
        "jamming-mnist",
        DIGITS,
        {
            **dict.fromkeys((claim.id for claim in CLAIMS), CONTINUOUS_DIGITS),
            "ch1.fig9b.below-random": ISOSTATIC_DIGITS,
            "ch1.fig9g.zero-modes": ISOSTATIC_DIGITS,
        },
        overrides={
            "sizes": (2000, 2200, 2400, 2600, 2800, 2850, 2900, 3000, 3100, 3200, 3300, 3500),
            "seeds": 8,
        },
        points=digit_points,
    ),
]
