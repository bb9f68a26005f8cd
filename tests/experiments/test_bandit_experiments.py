"""The analyses of chapter 7 on made-up runs whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symscape import lab
from symscape.bandit import ccp_best_epsilon, ccp_q
from symscape.lab import Finding, Row, Table

lab.discover(["symscape.experiments"])


def findings(name: str, rows: list[Row], profile: str = "quick") -> dict[str, Finding]:
    experiment = lab.find(name)
    found = experiment.analyse(Table(rows), experiment.profiles[profile])
    return {finding.claim: finding for finding in found}


def column_run(M: int, mu: float, reset: float, factor: float) -> Row:
    epsilon = ccp_best_epsilon(M, mu, reset)
    q = (1 - reset) * ccp_q(M, epsilon, mu, reset) + reset / 2
    result = {"q": factor * q, "q_flow": factor * q, "q_column": q, "epsilon": epsilon}
    return Row({"M": M, "mu": mu, "reset": reset, "seed": 0}, result)


def test_laws_of_exploration_are_found_in_the_formula() -> None:
    rows = [column_run(5, 0.1, 10.0**-k, 1.0) for k in (3, 5, 6, 7)]
    found = findings("bandit-exploration", rows)
    assert found["ch7.eq6.square-root"].measured == pytest.approx(0.5, abs=2e-3)
    assert found["ch7.eq6.prefactor"].measured == pytest.approx(1.0, abs=2e-3)
    assert found["ch7.eq7.small-reset"].measured == pytest.approx(1.0, abs=2e-3)


def test_a_better_policy_than_the_column_would_be_seen() -> None:
    rows = [column_run(5, 0.1, 1e-2, 1.0), column_run(5, 0.1, 1e-3, 0.9)]
    found = findings("bandit-exploration", rows)
    assert found["ch7.fig2.nothing-better"].measured == pytest.approx(0.9)
    assert found["ch7.eq6.square-root"].measured is None


def dynamics_run(kind: str, size: int, start: str, q: list[float], reset: float = 1e-3) -> Row:
    point = {"kind": kind, "size": size, "start": start, "reset": reset, "mu": 0.1, "seed": 0}
    return Row(point, {"q": np.array(q), "oldest": np.linspace(1.0, 0.5, len(q))})


def test_ratios_are_those_of_the_medians_in_the_worst_panel() -> None:
    rows = []
    for M, scale in ((8, 1.0), (20, 0.5)):
        rows += [
            dynamics_run("ram", M, "random", [0.4, 0.3, 0.2]),
            dynamics_run("ram", M, "linear", [0.25 * scale, 0.2 * scale, 0.9]),
            dynamics_run("ram", M, "columns", [0.1, 0.1, 0.1]),
        ]
    found = findings("bandit-dynamics", rows)
    assert found["ch7.fig4ab.random-is-worst"].measured == pytest.approx(1.2)
    assert found["ch7.fig4ab.columns-help"].measured == pytest.approx(1.25)
    assert found["ch7.fig4ab.columns-do-not-reach"].measured is None


def test_the_best_memento_run_of_any_start_is_judged() -> None:
    rows = [
        dynamics_run("memento", 3, "random", [0.3, 0.1, 0.2]),  # oldest: 1, 0.75, 0.5
        dynamics_run("memento", 3, "cycles", [0.25, 0.2, 0.2]),
        dynamics_run("memento", 3, "necklace", [0.01]),
    ]
    assert findings("bandit-dynamics", rows)["ch7.sec6.necklaces"].measured == pytest.approx(0.75)


def optima_run(M: int, start: str, q: Any, **more: Any) -> Row:
    point = {"what": "ram", "size": M, "start": start, "mu": 0.2, "reset": 1e-3, "seed": 0}
    return Row(point, {"q": np.array(q), **more})


def test_shares_of_runs_and_the_search() -> None:
    best = {M: column_run(M, 0.2, 1e-3, 1.0)["q_column"] for M in (2, 3, 5)}
    rows = [
        optima_run(2, "random", [best[2], best[2], 0.4, 0.4]),
        optima_run(5, "random", [0.3, 0.4, 0.4, 0.4]),
        optima_run(2, "columns", [best[2]] * 4),
        optima_run(5, "columns", [best[5]] * 4),
        optima_run(2, "oracle", [1.5 * best[2]], bound=1.5 * best[2]),
    ]
    found = findings("bandit-optima", rows)
    assert found["ch7.sec5.random-gets-stuck"].measured == 0
    assert found["ch7.sec5.size-hurts"].measured == pytest.approx(0.5)
    assert found["ch7.sec5.structure-helps"].measured == pytest.approx(0.75)
    assert found["ch7.sec3.column-is-best"].measured == pytest.approx(1.0)
    assert found["ch7.sec1.deterministic"].measured == pytest.approx(1.5)
