"""What is read off runs at the jamming transition, on tables with known answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from symscape.experiments.jamming import _near_jamming as near
from symscape.lab import Estimate, NoEstimate, Row, Table


def run(
    *,
    N: int = 400,
    ratio: float = 2.9,
    n_delta: int = 300,
    loss: float = 1e-2,
    seed: int = 0,
    L: int = 2,
    **result: Any,
) -> Row:
    """A finished run at rest, as ``measure_run`` returns it."""
    P = round(ratio * N)
    point = {"L": L, "P": P, "ratio": ratio, "seed": seed}
    measured = {
        "n_weights": N,
        "n_silent": 0,
        "n_delta": n_delta,
        "loss": loss,
        "misclassified": 0,
        "status": "stalled",
        "grad_norm": 1e-3 * math.sqrt(loss),
    }
    return Row(point, measured | result)


def fitted(**options: Any) -> Row:
    return run(n_delta=0, loss=0.0, status="converged", **options)


def moving(**options: Any) -> Row:
    return run(status="out_of_budget", **options)


def test_fitted_jammed_moving_and_broken_runs_are_told_apart() -> None:
    creeping, falling = moving(), moving(grad_norm=0.05)
    broken = run(n_silent=400)
    table = Table([fitted(), run(), creeping, falling, broken, run(loss=0.5)])
    assert [near.is_fitted(row) for row in table] == [True, *[False] * 5]
    assert near.is_fitted(run(n_delta=3, loss=1e-13))
    assert near.jammed(table).rows == [table.rows[1], table.rows[5]]
    assert near.near(table).rows == [table.rows[1], creeping]
    assert len(near.whole(table)) == 5


def test_silent_patterns_are_not_counted_among_the_patterns() -> None:
    assert near.patterns(run(ratio=3.0, n_silent=12)) == 1188


@pytest.mark.parametrize("middle", [2.6, 2.75])
def test_the_transition_lies_between_the_fitted_and_the_jammed_ratios(middle: float) -> None:
    ratios = np.round(np.arange(2.3, 3.2, 0.1), 2)
    rows = [
        run(ratio=r, seed=s) if r > middle else fitted(ratio=r, seed=s)
        for r in ratios
        for s in (0, 1)
    ]
    found = near.location(Table(rows))
    assert max(r for r in ratios if r <= middle) < found.value
    assert found.value < min(r for r in ratios if r > middle)
    assert found.error is not None
    assert 0.02 < found.error < 0.1


def test_censored_runs_widen_the_error_of_the_transition() -> None:
    ends = [
        row
        for seed in (0, 1)
        for row in (
            fitted(ratio=2.0, seed=seed),
            fitted(ratio=2.2, seed=seed),
            run(ratio=3.2, seed=seed),
            run(ratio=3.4, seed=seed),
        )
    ]
    inner = [row for s in (0, 1) for row in (fitted(ratio=2.6, seed=s), run(ratio=2.8, seed=s))]
    sharp = near.location(Table([*ends, *inner]))
    assert sharp.value == pytest.approx(2.7, abs=0.05)
    between = [moving(ratio=r, seed=s) for r in (2.4, 2.6, 2.8, 3.0) for s in (0, 1)]
    wide = near.location(Table([*ends, *between]))
    assert wide.value == pytest.approx(2.7, abs=0.05)
    assert wide.error is not None
    assert sharp.error is not None
    assert wide.error > 0.3 > sharp.error


@pytest.mark.parametrize("rows", [[run(), run(ratio=3.2)], [fitted(), moving(ratio=3.2)]])
def test_a_transition_needs_fitted_runs_and_runs_at_rest_beyond(rows: list[Row]) -> None:
    with pytest.raises(NoEstimate, match="alike"):
        near.location(Table(rows))


def test_height_is_the_limit_of_a_vanishing_loss() -> None:
    rows = [
        run(loss=loss, n_delta=round(400 * (0.75 + 5 * loss)), seed=seed)
        for loss in (0.005, 0.02, 0.04, 0.07, 0.1)
        for seed in range(3)
    ]
    found = near.height(Table(rows))
    assert found.value == pytest.approx(0.75, abs=0.01)
    assert found.error is not None


def test_drift_to_the_runs_at_rest_is_in_the_error() -> None:
    rows = [run(n_delta=300 + s, seed=s) for s in range(3)]
    rows += [moving(n_delta=100 + s, seed=s) for s in range(3)]
    found = near.mean(near.unsatisfied)(Table(rows))
    assert found.value == pytest.approx(0.5, abs=0.01)
    assert found.error is not None
    assert found.error >= 0.25 - 0.01


def test_an_intermediate_state_is_counted() -> None:
    rows = [fitted(), run(), run(n_delta=60), moving(n_delta=60)]
    assert near.between(Table(rows), 0.02, 0.4, fitted=True).value == pytest.approx(1 / 3)
    assert near.between(Table(rows), 0.0, 0.4, fitted=False).value == pytest.approx(2 / 3)


@pytest.mark.parametrize("power", [0.0, 1.5])
def test_the_power_of_misclassified_patterns(power: float) -> None:
    rows = [
        run(loss=loss, n_delta=10**6, misclassified=round(10**5 * loss**power), N=10**6, seed=seed)
        for loss in (0.01, 0.03, 0.1, 0.2)
        for seed in range(3)
    ]
    found = near.misclassified_exponent(Table(rows))
    assert found.value == pytest.approx(power, abs=0.05)


def test_losses_too_small_for_a_misclassified_pattern_do_not_count() -> None:
    rows = [run(loss=loss, misclassified=0, seed=s) for loss in (1e-4, 1e-3) for s in range(3)]
    with pytest.raises(NoEstimate):
        near.misclassified_exponent(Table(rows))


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_scale_and_scatter_of_hp(power: float) -> None:
    modes = np.r_[np.zeros(40), np.linspace(-1, 1, 360)]
    rows = [
        run(loss=loss, eigenvalues_hp=modes * loss**power, seed=seed)
        for loss in (1e-3, 5e-3, 2e-2, 4e-2)
        for seed in range(2)
    ]
    found = near.close(near.median_magnitude, near.slope)(Table(rows))
    assert found.value == pytest.approx(power, abs=1e-6)
    scatter = near.close(near.median_magnitude, near.scatter)(Table(rows))
    assert (scatter.value < 1e-6) == (power == 0.5)


def test_a_gap_is_told_from_a_plateau() -> None:
    plateau = np.linspace(0, 2, 201)[1:] ** 2
    gapped = np.linspace(0.5, 2, 200) ** 2
    values = [
        near.gap(run(eigenvalues_h0=np.r_[np.zeros(100), modes], rank_h0=200))
        for modes in (plateau, gapped)
    ]
    assert values[0] == pytest.approx(1.0, abs=0.01)
    assert values[1] > 50


def test_negative_modes_of_h_against_those_of_hp() -> None:
    row = run(
        eigenvalues_h=np.array([-0.01, 0.0, 1.0, 2.0]),
        eigenvalues_hp=np.array([-0.5, -0.1, 0.2, 0.4]),
    )
    assert near.negative_share(row, "h") == 0.25
    assert near.negative_share(row, "hp") == 0.5
    assert near.depth_of_saddle(row) == pytest.approx(0.02)
    assert near.asymmetry(row) == 0.0


def test_exponents_of_overlaps_and_gaps() -> None:
    random = np.random.default_rng(0)
    rows = []
    for seed in range(4):
        overlaps = np.r_[
            random.uniform(0, 1, 3000) ** (1 / 1.3), -(random.uniform(0, 2, 9000) ** 1.25)
        ]
        rows.append(run(overlaps=overlaps, seed=seed))
    theta = near.exponent("theta")(Table(rows))
    assert abs(theta.value - 0.3) < 3 * (theta.error or 0.0) < 0.4
    gamma = near.exponent("gamma")(Table(rows))
    assert abs(gamma.value - 0.2) < 3 * (gamma.error or 0.0) < 0.2
    with pytest.raises(NoEstimate):
        near.exponent("theta")(Table([run(overlaps=np.full(100, -1.0))]))


def test_depths_are_answered_each_by_itself() -> None:
    rows = [run(n_delta=300 + s, seed=s) for s in range(3)] + [fitted(L=3)]
    found = near.by_depth(Table(rows), near.mean(near.unsatisfied))
    assert isinstance(found["L = 2"], Estimate)
    assert isinstance(found["L = 3"], str)
    assert list(near.known(found)) == ["L = 2"]


def test_cusps_have_the_drift_between_two_counts_in_their_error() -> None:
    rows = [run(n_pinned=100 + s, n_cusps=60 + s, seed=s) for s in range(3)]
    found = near.cusps(Table(rows))
    assert found.value == pytest.approx(0.2525)
    assert found.error is not None
    assert found.error >= 0.1
