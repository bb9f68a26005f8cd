"""Worlds of double descent: nets of many widths, ensembles, boundaries, kernels, perceptrons."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from symscape.lab import Point, Result
from symscape.landscape import inverse_margin
from worlds import Measure, World

Generator = np.random.Generator
Array = np.ndarray

N_STAR = 150.0


@dataclass(frozen=True)
class Nets:
    """What is true of nets of many widths: powers of N/N* beyond N*, and a peak of some height.

    The output on test patterns is y f = scale * (m + noise), with the same m for all nets.
    """

    peak: float = 12.0
    """Rise of the output's scale at N*, and with it of the gradient's."""
    noise: float = -0.26
    """Exponent of the noise; its square is the excess error."""
    scale: float = -0.1
    gradient: float = -0.26
    near_boundary: float = 0.0
    """Exponent by which the gradient near the boundary differs from that elsewhere."""
    shared: float = 0.0
    """Part of the noise that is alike for all nets."""
    drift: float = 0.009
    """How the error of very many nets changes with N."""
    sharp: bool = True
    growing: float = 6.0
    """Growth of the squared norm near N* in 15/16 of the time, and far from it in 3/4."""
    growing_far: float = 1.0
    overfitting: float = 1.0

    def __call__(self, point: Point, random: Generator) -> Result:
        N = point["d"] * point["h"] + (point["L"] - 1) * point["h"] ** 2 + point["h"]
        seed = np.random.default_rng(point["seed"])
        ratio, threshold = N / N_STAR, math.exp(0.05 * seed.standard_normal())
        fitted = ratio >= threshold if self.sharp else random.uniform() < 0.6
        # Falls off on both sides of N*, faster beyond it.
        peak = self.peak / (1 + (4 * (max(ratio, 1 / ratio) - 1)) ** 2)
        level, r = 1 + peak, max(ratio, 1.0)
        n = point["n_test"]
        common = np.random.default_rng(7).standard_normal((2, n))
        bias = 1.25 - self.drift * math.log(r) - 0.4 * max(0.0, math.log(0.4 / ratio))
        own = random.standard_normal(n)
        noise = math.sqrt(self.shared) * common[1] + math.sqrt(1 - self.shared) * own
        size = 0.75 * r**self.noise * (1 + 0.08 * peak)
        scale = 2 * r**self.scale * level
        margin = bias + common[0] + size * noise
        gradient = np.full(n, 3 * r**self.gradient * level)
        gradient[np.abs(bias + common[0]) < 0.5] *= r**self.near_boundary
        gap = self.overfitting * (0.004 + 0.004 * peak)
        error = float((margin <= 0).mean())
        growth = self.growing if 1 / 1.4 < ratio < 2.2 else self.growing_far
        norm = scale**2 * (margin**2).mean() * np.array([0.2 / growth, 1 / growth, 1, 1])
        if growth == self.growing_far:
            norm[2] /= growth
        steps = point["steps"] if not fitted else 1500 + 3000 / max(ratio - 0.9, 0.2)
        return {
            "n_weights": int(N),
            "fitted": bool(fitted),
            "steps_taken": int(steps),
            "loss": 0.0 if fitted else 0.1,
            "n_delta": 0 if fitted else 10,
            "silent": False,
            "best_test_error": error - gap - 0.0005 * random.uniform(),
            "margin_test": (scale * margin).astype(np.float32),
            "margin_train": (scale * margin[:200]).astype(np.float32),
            "gradient_norm": gradient.astype(np.float32),
            "norm_test": norm * math.exp(0.02 * random.standard_normal()),
            "norm_train": 0.9 * norm * math.exp(0.02 * random.standard_normal()),
        }


def width_points(p: Any) -> list[Point]:
    """The points of the experiment, which would look for the digits."""
    times = [p.steps // divisor for divisor in (64, 16, 4, 1)]
    same = {"d": p.d, "steps": p.steps, "times": times, "rate": p.rate, "n_test": p.n_test}
    return [
        {"data": source, "L": L, "P": P, "h": h, "seed": seed, **same}
        for source, L, P in p.curves
        for h in p.widths
        for seed in range(p.seeds)
    ]


THESIS = Nets()
NO_PEAK = Nets(peak=0.0, growing=1.0)
NO_LAW = Nets(noise=0.0, scale=0.0, gradient=-0.6, drift=0.08, overfitting=4.0)
ALIKE = Nets(shared=0.999, drift=-0.05, growing_far=1.5)

WIDTH = World(
    "double-descent-width",
    THESIS,
    {
        "ch2.b.fig2b.zero-loss-beyond": Nets(sharp=False),
        "ch2.b.fig2a.cusp-at-transition": NO_PEAK,
        "ch2.b.fig2a.early-stopping-without-cusp": NO_PEAK,
        "ch2.b.fig2a.ensemble-without-cusp": ALIKE,
        "ch2.b.fig2a.ensemble-flat": ALIKE,
        "ch2.b.fig2a.leading-coefficient": NO_LAW,
        "ch2.b.fig5.peak": NO_PEAK,
        "ch2.b.fig5.exponent": NO_LAW,
        "ch2.b.fig6a.offset": Nets(gradient=-0.05),
        "ch2.b.fig6a.exponent": NO_LAW,
        "ch2.b.fig6b.quadratic": NO_LAW,
        "ch2.b.fig6c.proportional": Nets(near_boundary=-0.4),
        "ch2.b.fig6d.exponent": NO_LAW,
        "ch2.b.fig7a.norm-rises": NO_PEAK,
        "ch2.b.fig7b.grows-near": NO_PEAK,
        "ch2.b.fig7b.saturates-far": ALIKE,
        "ch2.b.sec7.ensemble-beats-width": ALIKE,
        "ch2.b.sec7.subleading": ALIKE,
        "ch2.b.sec7.envelope": ALIKE,
    },
    overrides={
        "curves": (("mnist", 3, 500),),
        "widths": (3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 20, 25, 34, 48, 66, 90),
        "n_test": 3000,
    },
    points=width_points,
)


def ensembles(excess: float, distance: float, estimate: float) -> Measure:
    """Powers of n in the excess error, in the distance of the boundaries, and in its estimate."""

    def measure(point: Point, random: Generator) -> Result:
        n = np.array(point["sizes"], float)
        finite = np.sqrt(1 - n / point["pool"])
        noise = np.exp(0.005 * random.standard_normal((3, len(n))))
        return {
            "n_weights": 1000,
            "n_fitted": point["pool"],
            "error": 0.115 + 0.0335 * n**excess * noise[0],
            "delta": 0.4 * n**distance * finite * noise[1],
            "delta_hat": 0.3 * n**estimate * finite * noise[2],
            "error_of_pool": 0.115,
        }

    return measure


def ensemble_points(p: Any) -> list[Point]:
    return [
        {
            "d": d, "h": h, "L": L, "P": P, "data": "mnist", "pool": p.pool,
            "sizes": list(p.sizes), "draws": p.draws, "steps": p.steps, "rate": p.rate,
            "n_test": p.n_test, "seed": seed,
        }
        for d, h, L, P in p.nets
        for seed in range(p.seeds)
    ]  # fmt: skip


def boundary(median: float, spread: float) -> Measure:
    """Zeros around a place, with a spread that changes with the width."""

    def measure(point: Point, random: Generator) -> Result:
        if point["role"] == "toy":
            grid = np.linspace(-1, 1, 41 * 41)
            x = random.uniform(-1, 1, (point["P"], 2))
            return {"x": x, "y": np.sign(x[:, 1]), "one": grid, "mean": grid + 0.1}
        width = 0.2 * (point["h"] / 14) ** spread
        zeros = median + width * random.standard_normal((2, point["starts"]))
        return {
            "crossings": zeros[0],
            "crossings_from_mean": zeros[1],
            "curves": 1 - np.linspace(0, 2, 41) / zeros[0, :20, None],
            "share_between": 0.1,
        }

    return measure


def boundary_points(p: Any) -> list[Point]:
    same = {"members": p.members, "steps": p.steps, "rate": p.rate}
    digits = {"data": "mnist", "d": p.d, "L": p.L, "P": p.P, "starts": p.starts, **same}
    return [
        {"role": "digits", "h": h, "seed": seed, **digits}
        for h in p.widths
        for seed in range(p.seeds)
    ] + [{"role": "toy", "h": p.toy_width, "d": 2, "L": 2, "P": p.toy_points, "seed": 0, **same}]


def kernel(fluctuation: float, motion: float, residual: float) -> Measure:
    """Powers of h in the fluctuations of the kernel, in its motion, and in the residual."""

    def measure(point: Point, random: Generator) -> Result:
        h, P = point["h"], point["P"]
        if point["role"] == "initial":
            noise = random.standard_normal((P, P))
            return {"kernel": np.eye(P) + 3 * h**fluctuation * (noise + noise.T) / 2}
        if point["role"] == "trained":
            noise = np.exp(0.1 * random.standard_normal(2))
            change, off_kernel = 20 * h**motion * noise
            return {
                "reached": True, "steps_taken": 150, "change": change, "off_kernel": off_kernel
            }  # fmt: skip
        return {
            "regression": 4 * h**fluctuation * random.standard_normal(100),
            "residual": 0.4 * h**residual * random.standard_normal(100),
        }

    return measure


def perceptron(power: float) -> Measure:
    """The closed form, or another power of the distance from N*."""

    def measure(point: Point, random: Generator) -> Result:
        ratio = point["N"] / point["P"]
        norm = inverse_margin(ratio) if power == -1 else 1.6 * (2 * ratio - 1) ** power
        return {"margin": math.exp(0.02 * random.standard_normal()) / norm}

    return measure


def convolutions(together: float, width: float) -> Measure:
    """Part of the noise that averaging removes, and the power of f in the errors."""

    def measure(point: Point, random: Generator) -> Result:
        n, shrink = point["n_test"], (point["f"] / 2) ** width
        common = np.random.default_rng(7)
        labels = common.integers(0, 10, n)
        own = random.standard_normal((n, 10))
        noise = math.sqrt(1 - together) * common.standard_normal((n, 10))
        outputs = 1.6 * np.eye(10)[labels] + 1.5 * shrink * (noise + math.sqrt(together) * own)
        error = float((outputs.argmax(-1) != labels).mean())
        return {
            "n_weights": 18 * point["f"] ** 2,
            "fitted": shrink < 0.7,
            "steps_taken": 1000,
            "train_loss": 0.0,
            "train_error": max(0.0, 0.7 * (shrink - 0.65)) + 0.01 * random.uniform(),
            "test_error": error,
            "best_test_error": error,
            "outputs": outputs.astype(np.float32),
            "labels": labels,
        }

    return measure


def convolution_points(p: Any) -> list[Point]:
    same = {"P": p.P, "pooled": p.pooled, "epochs": p.epochs, "batch": p.batch, "rate": p.rate}
    return [
        {"f": f, "data": "cifar10", "n_test": p.n_test, "seed": seed, **same}
        for f in p.filters
        for seed in range(p.seeds)
    ]


WORLDS = [
    WIDTH,
    World(
        "double-descent-ensembles",
        ensembles(-1.0, -0.45, -0.45),
        {
            "ch2.b.fig4a.inverse": ensembles(-0.2, -0.45, -0.45),
            "ch2.b.fig4a.exponent": ensembles(-0.5, -0.45, -0.45),
            "ch2.b.fig4b.exponent": ensembles(-1.0, -1.0, -1.0),
            "ch2.b.fig4c.exponent": ensembles(-1.0, -1.0, -1.0),
            "ch2.b.fig10.proportional": ensembles(-1.0, -0.45, -0.2),
        },
        points=ensemble_points,
    ),
    World(
        "double-descent-boundary",
        boundary(1.0, -0.3),
        boundary(1.4, 0.2),
        points=boundary_points,
    ),
    World("double-descent-kernel", kernel(-0.5, -1.0, 0.0), kernel(-0.25, -0.5, -0.5)),
    World("double-descent-margin", perceptron(-1), perceptron(-0.5)),
    World(
        "double-descent-convolutions",
        convolutions(0.7, -0.25),
        convolutions(0.0, 0.1),
        points=convolution_points,
    ),
]
