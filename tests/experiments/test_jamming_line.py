"""Searches of N*, and lines through them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from symscape import lab
from symscape.experiments.jamming import _lines
from symscape.experiments.jamming._line import Line, _at_rest
from symscape.experiments.jamming._lines import Line as SearchedLine
from symscape.lab import NoEstimate, Row, Table


def search(
    P: int, N: float, *, L: int = 2, seed: int = 0, data: str = "random", width: float = 0.1
) -> Row:
    """A search whose two nets lie symmetrically about N, in the logarithm."""
    half = math.exp(width / 2)
    result = {"N_star": N * half, "N_below": N / half, "N_largest": 3 * N, "closed": True}
    point = {"data": data, "L": L, "d": 10, "P": P, "seed": seed}
    return Row(point, result, key=f"{data}-{L}-{P}-{seed}")


def changed(row: Row, **result: Any) -> Row:
    return Row(row.point, {**row.result, **result}, row.key)


@pytest.mark.parametrize("slope", [0.75, 1.0])
def test_rounding_to_widths_is_in_the_error_of_a_slope(slope: float) -> None:
    sizes, width = (400, 800, 1600, 3200), 0.2
    rows = [search(P, 0.4 * P**slope, seed=s, width=width) for P in sizes for s in range(3)]
    found = SearchedLine.of(Table(rows)).slope()
    assert found.value == pytest.approx(slope)
    x = np.log(sizes) - np.log(sizes).mean()
    assert found.error == pytest.approx(width / math.sqrt(12) / np.linalg.norm(x))


def test_rounding_to_widths_is_in_the_error_of_a_level() -> None:
    rows = [search(400, 200.0, seed=s, width=0.2) for s in range(3)]
    found = SearchedLine.of(Table(rows)).level(400)
    assert found.value == pytest.approx(200)
    assert found.error == pytest.approx(200 * 0.2 / math.sqrt(12))


def test_open_searches_are_left_out_and_named() -> None:
    rows = [search(400, 200.0, seed=s) for s in range(4)]
    rows[0] = changed(rows[0], closed=False, N_below=0.0)
    found = SearchedLine.of(Table(rows)).level(400)
    assert found.value == pytest.approx(200)
    assert "1 searches at P = 400 are open" in found.note


def test_sizes_at_which_some_seed_has_no_net_that_fits_have_no_level() -> None:
    rows = [search(P, P / 2, seed=s) for P in (400, 800, 1600) for s in range(3)]
    rows[0] = changed(rows[0], N_star=math.inf)
    line = SearchedLine.of(Table(rows))
    with pytest.raises(NoEstimate, match="P = 400"):
        line.level(400)
    assert line.slope().value == pytest.approx(1.0)
    assert "from 800 to 1600" in line.slope().note


def test_ratios_of_lines_are_taken_seed_by_seed() -> None:
    above = [search(P, 2 * P * (1 + s), seed=s) for P in (100, 200) for s in range(3)]
    below = [search(P, P * (1 + s), seed=s) for P in (100, 200) for s in range(3)]
    ratio = SearchedLine.of(Table(above)).over(SearchedLine.of(Table(below)))
    found = ratio.level(100)
    assert found.value == pytest.approx(2.0)
    assert found.error == pytest.approx(2 * 0.1 * math.sqrt(2 / 12))  # the seeds agree


def test_a_search_without_a_net_that_fits_is_no_search_below_the_bound() -> None:
    rows = [search(400, 300.0, seed=s) for s in range(2)]
    found = _lines.bound(Table(rows))
    assert not isinstance(found, str)
    assert found.value == pytest.approx(300 * math.exp(0.05) / 1600)
    failed = changed(rows[0], N_star=math.inf, N_largest=0.5 * 4 * 400)
    assert isinstance(_lines.bound(Table([*rows, failed])), str)
    beyond = [changed(row, N_star=math.inf, N_largest=1.2 * 4 * 400) for row in rows]
    found = _lines.bound(Table(beyond))
    assert not isinstance(found, str)
    assert found.value == pytest.approx(1.2)


def test_each_depth_is_judged_and_the_worst_one_answers() -> None:
    amplitude = {2: 1.06, 3: 0.87, 5: 0.82}  # slopes that a pooled fit took for 0.92
    rows = [
        search(P, 0.4 * P**slope, L=L, seed=s, width=0.01)
        for L, slope in amplitude.items()
        for P in (500, 800, 1250, 2000)
        for s in range(3)
    ]
    p = Line.profiles["overnight"]
    found = {v.claim.id: v for v in lab.verdicts(Line(), Table(rows), p, "overnight")}
    assert found["ch1.fig5c.slope"].panel == "L = 5"
    assert found["ch1.fig5c.slope"].status == "not reproduced"


def test_a_net_is_at_rest_when_the_last_quarter_of_the_steps_took_little() -> None:
    class Result:
        def __init__(self, loss: np.ndarray) -> None:
            self.history = {"step": np.arange(101), "loss": loss}

    assert _at_rest(Result(np.full(101, 0.1)))
    assert _at_rest(Result(np.geomspace(1.0, 0.7, 101)))
    assert not _at_rest(Result(np.geomspace(1.0, 1e-3, 101)))


def test_a_search_ends_between_a_net_that_fits_and_one_that_is_jammed() -> None:
    point = {"data": "random", "L": 2, "d": 10, "P": 100, "seed": 0, "learning_rate": 5e-3}
    found = Line().measure({**point, "steps": 300, "iterations": 300, "final_rate": 1e-6})
    outcomes = dict(zip(found["trial_N"].tolist(), found["trial_outcome"].split(",")))
    assert found["closed"]
    assert outcomes[found["N_star"]] == "sat"
    assert outcomes[found["N_below"]] == "unsat"
    assert all(outcomes[N] != "sat" for N in outcomes if found["N_star"] > N)
    # what lies between the two is neither
    between = [N for N in outcomes if found["N_below"] < N < found["N_star"]]
    assert all(outcomes[N] in ("stuck", "censored") for N in between)
