"""The line N*(P) with the cross entropy: its answers on tables with known ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from symscape import lab
from symscape.experiments.jamming._line_cross_entropy import (
    LineCrossEntropy,
    LineCrossEntropyParameters,
    searches,
)
from symscape.lab import Row, Table, Verdict

STEPS = 10_000
SIZES = (1000, 2000, 4000, 8000)
P = LineCrossEntropyParameters(
    main=(2, 10),
    sizes=SIZES,
    others=((3, 10), (2, 20)),
    other_sizes=(4000,),
    ratios=(1.0,),
    seeds=3,
    steps=STEPS,
)


def run(size: int, N: float, first_fit: Sequence[float], L: int = 2, d: int = 10) -> Row:
    point = {"L": L, "d": d, "P": size, "h": 1, "steps": STEPS, "members": len(first_fit)}
    point["seed"] = 0
    return Row(point, {"n_weights": N, "first_fit": np.array(first_fit)}, key=f"{L}{d}{size}{N}")


def table(
    time_to_fit: Callable[[int, float], float], factors: dict[tuple[int, int], float]
) -> Table:
    """Nets of N weights fit P points at ``time_to_fit(P, N / factor)``, or never."""
    rows = []
    for (L, d), factor in factors.items():
        for size in SIZES:
            for ratio in np.geomspace(0.05, 20, 121):
                time = time_to_fit(size, ratio * size / factor)
                time = time if time <= STEPS else math.inf
                rows.append(run(size, ratio * size, [time] * 3, L, d))
    return Table(rows)


def verdicts(rows: Table) -> dict[str, Verdict]:
    found = lab.verdicts(LineCrossEntropy(), rows, P, "overnight")
    return {verdict.claim.id.removeprefix("ch1."): verdict for verdict in found}


def number(verdict: Verdict) -> float:
    assert verdict.estimate is not None, verdict.reason
    return verdict.estimate.value


def proportional(size: int, N: float) -> float:
    """N*(t) = 0.5 P (t / T)^(-1/2): proportional to P, and falling with time."""
    return STEPS * (0.5 * size / N) ** 2


def test_a_line_of_slope_one_is_found_at_all_times() -> None:
    found = verdicts(table(proportional, {(2, 10): 1.0}))
    assert number(found["fig5a.slope"]) == pytest.approx(1.0, abs=0.03)
    assert number(found["fig5a.falls-with-time"]) == pytest.approx(0.1**0.5, rel=0.06)
    assert number(found["fig5a.short-times-diverge"]) == pytest.approx(0.0, abs=0.05)
    assert number(found["fig5b.bound"]) == pytest.approx(0.5 / 4, rel=0.06)
    assert found["fig5b.little-dependence"].estimate is None


def test_lines_that_are_steep_at_short_times_are_told_from_straight_ones() -> None:
    # Late: N* = 0.5 P. After a tenth of the steps: N* ~ P^1.5.
    def time_to_fit(size: int, N: float) -> float:
        late, early = 0.5 * size, 0.5 * size * (size / 500) ** 0.5
        return STEPS * 0.1 ** (math.log(N / late) / math.log(early / late))

    found = verdicts(table(time_to_fit, {(2, 10): 1.0}))
    assert number(found["fig5a.slope"]) == pytest.approx(1.0, abs=0.03)
    assert number(found["fig5a.short-times-diverge"]) == pytest.approx(0.5, abs=0.05)
    assert found["fig5a.falls-with-time"].panel == "P = 1000"


def test_the_most_different_depth_or_dimension_answers() -> None:
    factors = {(2, 10): 1.0, (3, 10): 1.1, (2, 20): 0.6}
    found = verdicts(table(proportional, factors))["fig5b.little-dependence"]
    assert number(found) == pytest.approx(0.6, rel=0.06)
    assert found.panel == "L = 2, d = 20, P = 4000"
    assert "1.1" in found.note


def test_the_width_is_lowered_until_the_first_failure() -> None:
    # Seed 0 fits at 10, 20, 40; seed 1 fails at 20 and, by luck, fits again at 10.
    rows = [
        run(100, 40.0, [10, 10, math.inf]),
        run(100, 20.0, [100, math.inf, 10]),
        run(100, 10.0, [1000, 1000, 10]),
    ]
    found = searches(Table(rows), 1.0)
    assert found.column("N_star").tolist() == [10.0, 40.0, math.inf]
    assert found.column("N_below").tolist() == [0.0, 20.0, 40.0]
    assert found.column("closed").tolist() == [False, True, True]
    early = searches(Table(rows), 0.05)
    assert early.column("N_star").tolist()[:2] == [20.0, 40.0]


def test_sizes_without_a_transition_yet_are_named() -> None:
    def time_to_fit(size: int, N: float) -> float:
        time = proportional(size, N)
        return time if size < 8000 else max(time, 0.5 * STEPS)

    note = verdicts(table(time_to_fit, {(2, 10): 1.0}))["fig5a.falls-with-time"].note
    assert "no transition yet at P = 8000" in note


def test_every_member_is_the_net_trained_alone() -> None:
    point = {"L": 2, "d": 5, "P": 20, "h": 6, "seed": 1, "steps": 60, "learning_rate": 0.2}
    together = LineCrossEntropy().measure({**point, "members": 3})
    alone = LineCrossEntropy().measure({**point, "members": 1})
    assert together["loss"][0] == pytest.approx(alone["loss"][0], rel=1e-9)
    assert together["first_fit"][0] == alone["first_fit"][0]
    assert len(set(together["loss"])) == 3
