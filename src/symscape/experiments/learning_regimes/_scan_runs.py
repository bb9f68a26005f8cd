"""The finished runs of the scan as curves: per seed, by scale or by width, and as ensembles."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from symscape import lab
from symscape.experiments.learning_regimes._observed_flow import LEVELS, SLAB, Array
from symscape.lab import NoEstimate, Row, Table

if TYPE_CHECKING:
    from symscape.dynamics import EnsembleStatistics


def finished(value: Callable[[Row], float]) -> Callable[[Row], float]:
    """A number of a run, NaN where it did not reach zero loss (the thesis leaves such runs out)."""
    return lambda row: value(row) if row["status"] == "converged" else math.nan


def time_at(level: float) -> Callable[[Row], float]:
    """When the rescaled loss passes a level, in units of sqrt(h) alpha."""
    place = LEVELS.index(level)
    return finished(lambda row: row["loss_times"][place] / row["scale"])


def plain_time_at(level: float) -> Callable[[Row], float]:
    """When the rescaled loss passes a level, in the units of the flow."""
    place = LEVELS.index(level)
    return finished(lambda row: row["loss_times"][place])


def _moved(row: Row) -> float:
    return math.sqrt(row["h"]) * row["displacement"]


KERNEL_CHANGE = finished(lambda row: row["kernel_change"])
DISPLACEMENT = finished(_moved)
"""sqrt(h) |w - w_0| / |w_0|, as in Fig. 9."""
HALF_TIME = time_at(0.5)
TEST_ERROR = finished(lambda row: row["test_error"])


def networks(table: Table, **where: Any) -> Table:
    """The runs of networks, not of frozen kernels."""
    return table.where(role="net", **where)


def name_of(data: str) -> str:
    """How a data set is called in figures: without its digest."""
    return data.partition("@")[0]


def curves(rows: Table, x: str, value: Callable[[Row], float]) -> tuple[Array, Array]:
    """One curve per seed, NaN where a run is missing: x (n,), increasing, and (seeds, n).

    Raises:
        NoEstimate: there are no rows.
    """
    if not rows:
        raise NoEstimate("No run gives this number.")
    xs = sorted({row[x] for row in rows})
    seeds = sorted({row["seed"] for row in rows})
    found = np.full((len(seeds), len(xs)), math.nan)
    for row in rows:
        found[seeds.index(row["seed"]), xs.index(row[x])] = value(row)
    return np.array(xs, float), found


def by_net(table: Table) -> Iterator[tuple[str, int, int, Table]]:
    """The runs on the slab of each network: a name for the panel, L, h, and the rows."""
    for (L, h), rows in networks(table, data=SLAB).groups("L", "h"):
        yield f"L = {L}, h = {h}", L, h, rows


def by_scale(rows: Table, low: float, high: float) -> Iterator[tuple[float, Table]]:
    """The runs at each sqrt(h) alpha of a window."""
    for (scale,), at in rows.groups("scale"):
        if low <= scale <= high:
            yield scale, at


@lab.once
def several_widths(table: Table) -> Table:
    """The runs on the slab at the depth that has most widths."""
    rows = networks(table, data=SLAB)
    widths = {L: len({row["h"] for row in some}) for (L,), some in rows.groups("L")}
    return rows.where(L=max(widths, key=lambda L: widths[L])) if widths else rows


Stack = Mapping[int, Array]
"""Margins (n_test,) of the members of an ensemble, by their seeds."""


@lab.once
def stacks(table: Table) -> Mapping[tuple[str, int, int, float], Stack]:
    """The ensembles by data, L, h and scale: margins y F of those members that fit."""
    found: dict[tuple[str, int, int, float], dict[int, Array]] = {}
    for row in networks(table):
        if row["status"] == "converged":
            key = row["data"], row["L"], row["h"], row["scale"]
            found.setdefault(key, {})[row["seed"]] = row["margins"].astype(np.float64)
    return found


def stack(table: Table, data: str, L: int, h: int, scale: float) -> Stack:
    """One of them.

    Raises:
        NoEstimate: fewer than two members fit.
    """
    found = stacks(table).get((data, L, h, scale), {})
    if len(found) < 2:
        raise NoEstimate(f"Fewer than two nets of h = {h} fit at {scale:g}.")
    return found


def common_seeds(of: Sequence[Stack]) -> list[int]:
    """The seeds that all of these ensembles have, so that they can be resampled together.

    Raises:
        NoEstimate: fewer than two.
    """
    seeds = sorted(set.intersection(*(set(members) for members in of))) if of else []
    if len(seeds) < 2:
        raise NoEstimate("Fewer than two seeds are there in all ensembles.")
    return seeds


def statistics(members: Stack, seeds: Sequence[int]) -> EnsembleStatistics:
    """Errors, variance and ensemble error of the members with these seeds (with repetition)."""
    import torch

    from symscape.dynamics import ensemble_statistics

    F = torch.from_numpy(np.stack([members[seed] for seed in seeds]))
    return ensemble_statistics(F, torch.ones(F.shape[1], dtype=F.dtype))
