"""Test error against size: the answers on curves whose cusp is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from symscape import lab
from symscape.experiments.jamming._generalization import Generalization, _widths_of_depth
from symscape.lab import Row, Table, Verdict

SIZES = [10, 20, 40, 60, 70, 80, 90, 112, 125, 140, 160, 300, 800]
N_STAR = math.sqrt(90 * 112)
Error = Callable[[float], float]


def bump(height: float, at: float = N_STAR) -> Error:
    return lambda N: height * math.exp(-((math.log(N / at) / 0.3) ** 2))


def falling(N: float) -> float:
    return 0.2 - 0.01 * math.log(N)


def cusped(N: float) -> float:
    return falling(N) + bump(0.1)(N)


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
                "silent": False,
                "test_error": final(N) + 1e-4 * seed,
                "best_test_error": best(N),
                "steps_taken": 1000 * N_STAR / N if fitted else 10_000,
                "history_step": np.array([0, 1, 10]),
                "history_test_error": np.array([0.5, 0.3, final(N)]),
            }
            rows.append(Row(point, result, key=f"{data}{L}{P}{h}{seed}"))
    return rows


def verdicts(rows: list[Row]) -> dict[str, Verdict]:
    parameters = Generalization.profiles["overnight"]
    found = lab.verdicts(Generalization(), Table(rows), parameters, "overnight")
    return {verdict.claim.id.removeprefix("ch1.b."): verdict for verdict in found}


def number(verdict: Verdict) -> float:
    assert verdict.estimate is not None, verdict.reason
    return verdict.estimate.value


def test_a_cusp_at_the_transition_is_found_there() -> None:
    found = verdicts(curve(cusped, falling) + curve(cusped, falling, L=5, P=2000))
    assert number(found["fig4c.cusp-at-transition"]) == pytest.approx(1.0, abs=0.04)
    # the slowest nets are those below the transition, and the largest one takes an eighth
    assert number(found["fig4a.early-end"]) < 0.03
    assert found["sec4.accuracy"].estimate is None
    assert found["fig4c.cusp-for-teacher"].estimate is None


def test_the_curve_farthest_from_the_transition_answers() -> None:
    def shifted(N: float) -> float:
        return falling(N) + bump(0.1, at=160)(N)

    found = verdicts(curve(cusped, falling) + curve(shifted, falling, P=2000))
    verdict = found["fig4c.cusp-at-transition"]
    assert verdict.panel == "L = 2, P = 2000"
    assert number(verdict) == pytest.approx(160 / N_STAR, rel=0.05)
    of_teacher = verdicts(curve(shifted, falling, data="teacher"))
    assert number(of_teacher["fig4c.cusp-for-teacher"]) == pytest.approx(160 / N_STAR, rel=0.05)
    assert of_teacher["fig4c.cusp-at-transition"].estimate is None


def test_errors_of_nets_too_small_to_learn_are_not_the_cusp() -> None:
    def underfitting(N: float) -> float:
        return cusped(N) + (0.4 if N <= 20 else 0.0)

    found = verdicts(curve(underfitting, falling))["fig4c.cusp-at-transition"]
    assert number(found) == pytest.approx(1.0, abs=0.04)
    assert "largest error is at N/N* = 0.1" in found.note


def test_a_cusp_is_above_both_of_its_sides() -> None:
    """A curve that falls, and falls faster beyond N*, lies above the mean of its two sides."""

    def bent(N: float) -> float:
        return 0.2 - 0.05 * max(math.log(N / N_STAR), 0.0)

    rows = [row for L in (2, 5) for row in curve(bent, lambda N: 0.9 * bent(N), L=L)]
    found = verdicts(rows)["figB2.both-depths"]
    assert found.status != "reproduced"
    assert found.panel.endswith("below")


def test_silent_nets_and_incomplete_seeds_are_left_out() -> None:
    rows = curve(cusped, falling)
    rows[1] = Row(rows[1].point, {**rows[1].result, "silent": True, "test_error": 1.0}, "x")
    rows.pop()
    found = verdicts(rows)["fig4c.cusp-at-transition"]
    assert number(found) == pytest.approx(1.0, abs=0.04)
    assert "1 runs of constant output" in found.note
    figures = Generalization().figures(Table(rows), Generalization.profiles["quick"])
    assert all(np.isfinite(series.y).all() for figure in figures for series in figure.series)


def test_without_a_transition_in_range_there_is_no_number_and_figures_are_drawn() -> None:
    rows = [
        Row(r.point, {**r.result, "status": "out_of_budget"}, r.key) for r in curve(cusped, falling)
    ]
    assert {verdict.estimate for verdict in verdicts(rows).values()} == {None}
    figures = Generalization().figures(Table(rows), Generalization.profiles["quick"])
    assert not figures[-1].is_empty


def test_deeper_nets_get_narrower_widths_of_about_the_same_size() -> None:
    widths = (5, 10, 20)
    assert _widths_of_depth(widths, 2) == [5, 10, 20]
    for shallow, deep in zip(widths, _widths_of_depth(widths, 5), strict=True):
        ratio = (4 * deep**2 + 11 * deep) / (shallow**2 + 11 * shallow)
        assert 0.5 < ratio < 2
