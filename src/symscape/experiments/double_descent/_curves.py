"""Nets of many sizes and seeds: what their outputs say together."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symscape import lab, scaling
from symscape.lab import Estimate, NoEstimate, Row, Table

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

RESAMPLES = 200
"""Of the seeds, for every error bar."""

ENSEMBLES = (2, 3, 5, 10, 20)
"""Sizes of the ensembles that are compared at equal cost."""


@dataclass(frozen=True, eq=False)
class Mean:
    """A curve averaged over seeds, by size; norms are over the patterns, squared ones averaged.

    Attributes:
        nets: how many there are of each size.
        N: number of weights.
        ratio: N over N*.
        fitted: share of the nets with zero loss.
        single: test error of one net.
        best: smallest test error on the way.
        ensemble: test error of the mean output of all nets.
        deviation_test: root mean square deviation of the output from its mean over nets.
        deviation_train: the same on training patterns.
        gradient: median of the norm of the gradient with respect to the input, test patterns.
        delta: distance of the boundaries of a net and of the mean (Eq. 3).
        delta_hat: its estimate from the whole test set.
        norm_test: squared norms of the output, by time and size.
        norm_train: the same on the training set.
        steps: steps until the end.
        of_members: test errors of ensembles of n nets, by size.
    """

    nets: int
    N: Array
    ratio: Array
    fitted: Array
    single: Array
    best: Array
    ensemble: Array
    deviation_test: Array
    deviation_train: Array
    gradient: Array
    delta: Array
    delta_hat: Array
    norm_test: Array
    norm_train: Array
    steps: Array
    of_members: Callable[[int], Array]

    def near(self, factor: float) -> Mask:
        """The sizes within a factor of N*."""
        return self._some(np.abs(np.log(self.ratio)) <= math.log(factor) + 1e-9, 1)

    def beyond(self, factor: float, least: int = 1) -> Mask:
        """The sizes from ``factor`` times N* on; there must be ``least`` of them."""
        return self._some(self.ratio >= factor * (1 - 1e-9), least)

    def below(self, factor: float) -> Mask:
        """The sizes below N* by a factor or more."""
        return self._some(self.ratio <= (1 + 1e-9) / factor, 1)

    def _some(self, chosen: Mask, least: int) -> Mask:
        if chosen.sum() < least:
            raise NoEstimate(
                f"Only {chosen.sum()} of the {len(self.N)} sizes lie where {least} are needed "
                f"(N/N* from {self.ratio[0]:.2g} to {self.ratio[-1]:.2g})."
            )
        return chosen


Statistic = Callable[[Mean, float], float]
"""A number of a mean curve, for a choice of the analysis such as a factor of N*."""


@dataclass(frozen=True, eq=False)
class Curve:
    """All nets of one data set, depth and P. Arrays are (seeds, sizes, ...).

    NaN stands for silent nets: some layer is off on all patterns, and the output is one constant.
    """

    name: str
    P: int
    d: int
    times: list[int]
    N: Array
    N_star: Array
    """By seed, the middle of the smallest size that fitted and the next one below; infinite
    where none did."""
    rows: dict[str, Array]
    margins: NDArray[np.float32]
    """y f on the test set, (seeds, sizes, n_test)."""

    @functools.cached_property
    def threshold(self) -> float:
        """N*, the median over seeds."""
        return float(np.median(self.N_star))

    @functools.cached_property
    def mean(self) -> Callable[[tuple[int, ...]], Mean]:
        """Function of some of the seeds, with repetition: their mean, computed once."""
        return functools.cache(self._mean)

    def _mean(self, seeds: tuple[int, ...]) -> Mean:
        some = list(seeds)
        N_star = float(np.median(self.N_star[some]))
        if not math.isfinite(N_star):
            raise NoEstimate(f"{self.name}: no net fits for half of the seeds.")
        alive = np.isfinite(self.rows["single"][some]).any(0)

        def average(name: str) -> Array:
            return _average(self.rows[name][some][:, alive])

        return Mean(
            nets=len(some),
            N=self.N[alive],
            ratio=self.N[alive] / N_star,
            fitted=average("fitted"),
            single=average("single"),
            best=average("best"),
            ensemble=self._error([some])[alive],
            deviation_test=np.sqrt(average("deviation_test")),
            deviation_train=np.sqrt(average("deviation_train")),
            gradient=np.nanmedian(self.rows["gradient"][some][:, alive], 0),
            delta=average("delta"),
            delta_hat=average("delta_hat"),
            norm_test=average("norm_test").T,
            norm_train=average("norm_train").T,
            steps=average("steps"),
            of_members=functools.cache(lambda n: self._error(_parts(some, n))[alive]),
        )

    def _error(self, ensembles: Sequence[Sequence[int]]) -> Array:
        """Test error of the mean outputs of ensembles, averaged over these, by size.

        Silent nets do not vote; neither the sum nor the mean of the others changes sign by that.
        """
        counts = np.zeros((len(ensembles), len(self.N_star)), np.float32)
        for row, seeds in zip(counts, ensembles):
            np.add.at(row, seeds, 1)
        wrong = ~(np.tensordot(counts, self.votes, 1) > 0)
        error: Array = wrong.mean((0, 2))
        return error

    @functools.cached_property
    def votes(self) -> NDArray[np.float32]:
        """The margins, 0 for silent nets."""
        return np.nan_to_num(self.margins)

    @property
    def everyone(self) -> Mean:
        """Mean over all seeds."""
        return self.mean(tuple(range(len(self.N_star))))

    def estimate(self, statistic: Statistic, choices: Sequence[float] = (0.0,)) -> Estimate:
        """A statistic of the mean curve: bootstrap over seeds, and drift over choices."""

        def of(choice: float) -> Estimate:
            return scaling.bootstrap(
                range(len(self.N_star)),
                lambda seeds: statistic(self.mean(tuple(sorted(seeds))), choice),
                resamples=RESAMPLES,
            )

        silent = int(np.isnan(self.rows["single"]).sum())
        note = f"N* = {self.threshold:.0f}."
        if silent:
            note += f" {silent} nets of constant output are left out."
        return of(choices[0]).noted(note) if len(choices) == 1 else scaling.scan(of, choices, note)


def _average(values: NDArray[Any]) -> NDArray[Any]:
    """Mean over seeds, the first axis, without those that are NaN; NaN where all are."""
    there = np.isfinite(values)
    count = there.sum(0)
    total = np.where(there, values, 0).sum(0) / np.maximum(count, 1)
    return np.where(count > 0, total, math.nan)


def _parts(seeds: Sequence[int], n: int) -> list[list[int]]:
    """Disjoint groups of n seeds, drawn at random."""
    order = np.random.default_rng(0).permutation(np.asarray(seeds)).tolist()
    groups = [order[i : i + n] for i in range(0, len(order) - n + 1, n)]
    if not groups:
        raise NoEstimate(f"There are fewer than {n} nets.")
    return groups


@lab.once
def curves(table: Table) -> list[Curve]:
    """The curves of a sweep; seeds that lack a size are left out."""
    return [_curve(rows) for _, rows in table.groups("data", "L", "P")]


def name_of(row: Row) -> str:
    """A curve's name: data, depth and P."""
    return f"{row['data'].partition('@')[0]}, L = {row['L']}, P = {row['P']}"


def _curve(table: Table) -> Curve:
    widths = sorted({row["h"] for row in table})
    seeds = [
        sorted(rows, key=lambda row: row["h"])
        for _, rows in table.groups("seed")
        if len(rows) == len(widths)
    ]
    first = table.rows[0]
    name = name_of(first)
    if len(seeds) < 2:
        raise NoEstimate(f"{name}: an ensemble needs two seeds that have all sizes.")
    silent = np.array([[row["silent"] for row in rows] for rows in seeds])

    def columns(field: str) -> Array:
        values = np.array([[row[field] for row in rows] for rows in seeds], float)
        values[silent] = math.nan
        return values

    margins, on_train = (columns(f"margin_{part}").astype(np.float32) for part in ("test", "train"))
    gradients = columns("gradient_norm")
    N = np.array([row["n_weights"] for row in seeds[0]], float)
    fitted = columns("fitted")
    middle = np.sqrt(N * np.r_[N[0], N[:-1]])
    squares = {f"deviation_{n}": _deviation(m) for n, m in (("test", margins), ("train", on_train))}
    delta, delta_hat = _distances(margins, gradients)
    rows = {
        "fitted": fitted,
        "single": np.where(silent, math.nan, (~(margins > 0)).mean(-1)),
        "best": columns("best_test_error"),
        "gradient": np.sqrt((gradients**2).mean(-1)),
        "delta": delta,
        "delta_hat": delta_hat,
        "norm_test": columns("norm_test"),
        "norm_train": columns("norm_train"),
        "steps": columns("steps_taken"),
        **squares,
    }
    N_star = np.where(fitted == 1, middle, math.inf).min(1)
    return Curve(name, first["P"], first["d"], first["times"], N, N_star, rows, margins)


def _deviation(outputs: NDArray[np.float32]) -> Array:
    """Mean square deviation of each net's output from the mean over nets, unbiased.

    The mean over nets of the result (seeds, sizes) is the unbiased variance of their outputs.
    """
    alive = np.isfinite(outputs[..., 0]).sum(0)
    deviation = np.square(outputs - _average(outputs)).mean(-1)
    return deviation * np.where(alive > 1, alive / np.maximum(alive - 1, 1), math.nan)


def _distances(margins: NDArray[np.float32], gradients: Array) -> tuple[Array, Array]:
    """Distances of every net's boundary from that of the mean: Eq. 3, and its estimate."""
    import torch

    from symscape.dynamics import boundary_distance

    found = np.full((2, *margins.shape[:2]), math.nan)
    for size in range(margins.shape[1]):
        bar = _average(margins[:, size])
        for seed, f in enumerate(margins[:, size]):
            if np.isfinite(f[0]):
                arrays = (f, bar, gradients[seed, size].astype(f.dtype))
                found[:, seed, size] = boundary_distance(*map(torch.from_numpy, arrays))
    return found[0], found[1]
