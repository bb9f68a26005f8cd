"""Test error against size: the analysis on curves whose cusp is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from symscape.experiments.jamming._generalization import Generalization, _widths_of_depth
from symscape.lab import Finding, Row, Table

SIZES = [10, 20, 40, 60, 80, 100, 120, 160, 300, 800]
N_STAR = 100
Error = Callable[[float], float]


def bump(height: float, at: float = N_STAR) -> Error:
    return lambda N: height * math.exp(-((math.log(N / at) / 0.3) ** 2))


def falling(N: float) -> float:
    return 0.2 - 0.01 * math.log(N)


def curve(
    final: Error, best: Error, *, L: int = 2, P: int = 1000, data: str = "mnist@1", seeds: int = 3
) -> list[Row]:
    rows = []
    for h, N in enumerate(SIZES):
        for seed in range(seeds):
            fitted = N >= N_STAR
            point = {"role": "curve", "data": data, "L": L, "P": P, "h": h, "seed": seed}
            result = {
                "n_weights": N,
                "status": "converged" if fitted else "out_of_budget",
                "n_delta": 0 if fitted else N,
                "silent": False,
                "test_error": final(N) + 1e-4 * seed,
                "best_test_error": best(N),
                "steps_taken": 1000 * N_STAR / N if fitted else 10_000,
                "history_step": np.array([0, 1, 10]),
                "history_test_error": np.array([0.5, 0.3, final(N)]),
            }
            rows.append(Row(point, result, key=f"{data}{L}{P}{h}{seed}"))
    return rows


def answers(rows: list[Row]) -> dict[str, Finding]:
    experiment = Generalization()
    found = experiment.analyse(Table(rows), experiment.profiles["quick"])
    return {finding.claim.removeprefix("ch1.b."): finding for finding in found}


def cusped(N: float) -> float:
    return falling(N) + bump(0.1)(N)


def test_a_cusp_at_the_transition_answers_every_claim() -> None:
    found = answers(curve(cusped, falling) + curve(cusped, falling, L=5, P=2000))
    assert found["fig4c.cusp-at-transition"].measured == pytest.approx(1.0)
    assert found["fig4c.cusp-at-transition"].uncertainty == pytest.approx(0.0, abs=1e-9)
    expected = (falling(800) + 1e-4) / (falling(100) + 0.1 + 1e-4)
    assert found["fig4b.decrease-beyond"].measured == pytest.approx(expected)
    assert found["fig4b.early-stopping-without-cusp"].measured == pytest.approx(0.0, abs=0.1)
    assert found["fig4b.overfitting-at-transition"].measured > 100
    # The slowest net of those at the transition counts: the largest one takes an eighth of it.
    assert found["fig4a.early-end"].measured == pytest.approx(125 / 10_000)
    assert found["figB2.both-depths"].measured > 1.1
    assert found["sec4.accuracy"].measured is None
    assert found["fig4c.cusp-for-teacher"].measured is None


def test_a_cusp_elsewhere_is_found_where_it_is() -> None:
    def shifted(N: float) -> float:
        return falling(N) + bump(0.1, at=300)(N)

    assert answers(curve(shifted, falling))["fig4c.cusp-at-transition"].measured == 3.0
    of_teacher = answers(curve(shifted, falling, data="teacher"))
    assert of_teacher["fig4c.cusp-for-teacher"].measured == 3.0
    assert of_teacher["fig4c.cusp-at-transition"].measured is None


def test_the_curve_farthest_from_the_transition_counts() -> None:
    def shifted(N: float) -> float:
        return falling(N) + bump(0.1, at=60)(N)

    found = answers(curve(cusped, falling) + curve(shifted, falling, P=2000))
    assert found["fig4c.cusp-at-transition"].measured == pytest.approx(0.6)


def test_errors_of_nets_too_small_to_learn_are_not_the_cusp() -> None:
    def underfitting(N: float) -> float:
        return cusped(N) + (0.4 if N <= 20 else 0.0)

    found = answers(curve(underfitting, falling))
    assert found["fig4c.cusp-at-transition"].measured == pytest.approx(1.0)


def test_a_cusp_of_the_best_error_is_seen() -> None:
    def half(N: float) -> float:
        return falling(N) + bump(0.08)(N)

    found = answers(curve(cusped, half))["fig4b.early-stopping-without-cusp"]
    assert found.measured is not None
    assert found.measured > 0.7


def test_one_depth_cannot_show_two() -> None:
    assert answers(curve(cusped, falling))["figB2.both-depths"].measured is None


def test_silent_nets_and_incomplete_seeds_are_left_out() -> None:
    rows = curve(cusped, falling)
    rows[1] = Row(rows[1].point, {**rows[1].result, "silent": True, "test_error": 1.0}, "x")
    rows.pop()
    found = answers(rows)["fig4c.cusp-at-transition"]
    assert found.measured == pytest.approx(1.0)
    assert "1 runs of constant output" in found.note
    figures = Generalization().figures(Table(rows), Generalization.profiles["quick"])
    assert all(np.isfinite(series.y).all() for figure in figures for series in figure.series)


def test_no_transition_in_range_is_inconclusive() -> None:
    rows = [
        Row(r.point, {**r.result, "status": "out_of_budget"}, r.key) for r in curve(cusped, falling)
    ]
    assert {finding.measured for finding in answers(rows).values()} == {None}


def test_accuracy_is_the_mean_over_the_runs_with_much_data() -> None:
    def much(seed: int, error: float) -> Row:
        point: dict[str, Any] = {"role": "much data", "data": "mnist@1", "L": 2, "P": 5000}
        result = {"n_weights": 1, "test_error": error, "best_test_error": error}
        return Row({**point, "h": 1, "seed": seed, "steps": 1}, result)

    found = answers([much(0, 0.06), much(1, 0.08)])["sec4.accuracy"]
    assert found.measured == pytest.approx(0.93)
    assert found.uncertainty == pytest.approx(0.01)


def test_deeper_nets_get_narrower_widths_of_about_the_same_size() -> None:
    widths = (5, 10, 20)
    assert _widths_of_depth(widths, 2) == [5, 10, 20]
    for shallow, deep in zip(widths, _widths_of_depth(widths, 5), strict=True):
        ratio = (4 * deep**2 + 11 * deep) / (shallow**2 + 11 * shallow)
        assert 0.5 < ratio < 2
