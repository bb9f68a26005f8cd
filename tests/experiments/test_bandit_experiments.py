"""The answers of chapter 7 on made-up runs whose numbers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from symscape import lab
from symscape.bandit import ccp_best_epsilon, ccp_q, necklace_q
from symscape.lab import InputError, Row, Table, Verdict

lab.discover(["symscape.experiments"])


def verdicts(name: str, rows: list[Row], profile: str = "quick") -> dict[str, Verdict]:
    experiment = lab.find(name)
    found = lab.verdicts(experiment, Table(rows), experiment.profiles[profile], profile)
    return {verdict.claim.id: verdict for verdict in found}


def value(verdict: Verdict) -> float:
    assert verdict.estimate is not None, verdict.reason
    return verdict.estimate.value


def column(M: int, mu: float, reset: float) -> float:
    q = ccp_q(M, ccp_best_epsilon(M, mu, reset), mu, reset)
    return (1 - reset) * q + reset / 2


def column_run(M: int, mu: float, reset: float, ratios: list[float], **more: Any) -> Row:
    q, n = column(M, mu, reset), len(ratios)
    result = {"q": q * np.array(ratios), "q_flow": np.full(n, 1.2 * q), "q_column": q}
    rates = {"epsilon": np.full(n, ccp_best_epsilon(M, mu, reset)), "gradient": np.zeros(n)}
    return Row({"M": M, "mu": mu, "reset": reset, "seed": 0}, {**result, **rates, **more})


def test_laws_of_exploration_are_found_in_the_formula() -> None:
    rows = [column_run(5, 0.1, 10.0**-k, [1.0, 1.0]) for k in (3, 5, 6, 7)]
    found = verdicts("bandit-exploration", rows)
    assert value(found["ch7.eq6.square-root"]) == pytest.approx(0.5, abs=2e-3)
    assert value(found["ch7.eq6.prefactor"]) == pytest.approx(1.0, abs=2e-3)
    assert value(found["ch7.eq7.small-reset"]) == pytest.approx(1.0, abs=2e-3)
    assert "drift" in found["ch7.eq7.small-reset"].note


def test_runs_that_are_not_at_rest_are_named_and_left_out() -> None:
    moving = {"gradient": np.array([1e-7, 1e-3, 1e-7])}
    rows = [
        column_run(5, 0.1, 1e-2, [1.0, 1.0]),
        column_run(5, 0.1, 1e-3, [0.9, 0.1, 0.92], **moving),
        column_run(5, 0.1, 1e-3, [0.1] * 3, gradient=np.full(3, np.nan)),
    ]
    better = verdicts("bandit-exploration", rows)["ch7.fig2.nothing-better"]
    assert value(better) == pytest.approx(0.91)
    assert "r = 0.001" in better.note
    assert "not at rest: 4 of M = 5" in better.note


def dynamics_run(kind: str, size: int, start: str, q: list[float], panels: str = "A-D") -> Row:
    point = {"panels": panels, "kind": kind, "size": size, "start": start, "reset": 1e-3}
    return Row({**point, "mu": 0.1, "seed": 0}, {"q": np.array(q), "gradient": np.zeros(len(q))})


def test_ratios_are_those_of_the_medians_in_the_worst_panel() -> None:
    rows = []
    for M, scale in ((8, 1.0), (20, 0.5)):
        rows += [
            dynamics_run("ram", M, "random", [0.4, 0.3, 0.2]),
            dynamics_run("ram", M, "linear", [0.25 * scale, 0.2 * scale, 0.9]),
            dynamics_run("ram", M, "columns", [0.1, 0.1, 0.1]),
        ]
    found = verdicts("bandit-dynamics", rows)
    assert value(found["ch7.fig4ab.random-is-worst"]) == pytest.approx(1.2)
    assert value(found["ch7.fig4ab.columns-help"]) == pytest.approx(1.25)
    assert found["ch7.fig4ab.columns-do-not-reach"].estimate is None


def test_panels_of_equal_memory_and_reset_are_not_mixed_up() -> None:
    rows = [
        dynamics_run("memento", 3, "random", [0.3, 0.3, 0.3]),
        dynamics_run("memento", 3, "cycles", [0.2, 0.2, 0.2]),
        dynamics_run("memento", 3, "random", [0.9, 0.9, 0.9], panels="E-F"),
    ]
    found = verdicts("bandit-dynamics", rows)
    assert value(found["ch7.fig4cd.insensitive"]) == pytest.approx(1.5)


def test_the_best_run_at_rest_is_compared_with_the_necklaces() -> None:
    limit = necklace_q(0.1, 4)
    result = {
        "q": limit * np.array([[3.0, 1.2], [2.0, 0.7], [2.0, 0.1], [4.0, 1.4]]),
        "gradient": np.array([[0.0, 1e-6], [0.1, 1e-6], [0.0, 1e-3], [0.0, 0.0]]),
        "oldest": np.ones(4),
        "oldest_mixed": np.array([0.99, 0.84, 0.5, 0.3]),
        "informed_exits": np.array([1.0, 0.2, 0.1, 0.1]),
    }
    point = {"size": 4, "start": "random", "mu": 0.1, "resets": [0.1, 1e-7], "seed": 0}
    found = verdicts("bandit-memento", [Row(point, result)])
    assert value(found["ch7.sec6.conjecture"]) == pytest.approx(0.7)
    assert value(found["ch7.sec6.necklaces"]) == pytest.approx(0.84)
    assert value(found["ch7.sec6.exits"]) == pytest.approx(0.2)
    assert "not at rest: 1 of 4" in found["ch7.sec6.necklaces"].note


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("bandit-optima", {"ram_sizes": [1, 2]}),
        ("bandit-optima", {"resets": [0.0]}),
        ("bandit-exploration", {"left_sizes": [1]}),
        ("bandit-exploration", {"right_resets": [1.0]}),
        ("bandit-exploration", {"mus": [1.5]}),
        ("bandit-memento", {"sizes": [9]}),
        ("bandit-necklaces", {"ram_sizes": [1, 2]}),
        ("bandit-necklaces", {"arms": [[0.4, 0.7]]}),
    ],
)
def test_parameters_out_of_the_range_of_the_formulas_are_refused(
    name: str, overrides: dict[str, Any]
) -> None:
    (parameter,) = overrides
    with pytest.raises(InputError, match=rf"parameter '{parameter}\.0'"):
        lab.find(name).parameters("smoke", overrides)


def test_every_memory_has_its_number_of_gradients() -> None:
    experiment = lab.find("bandit-dynamics")
    for wrong in ({"ram": {1: 10}}, {"memento": {9: 10}}, {"ram": {2: 0}}):
        with pytest.raises(InputError, match="parameter"):
            experiment.parameters("smoke", wrong)
    points = experiment.points(experiment.parameters("smoke", {"ram": {"2": 10, "3": 20}}))
    ordinary = [q for q in points if q["panels"] == "A-D" and q["kind"] == "ram"]
    assert {(q["size"], q["evaluations"]) for q in ordinary} == {(2, 10), (3, 20)}


def optima_run(M: int, start: str, q: Any, **more: Any) -> Row:
    point = {"what": "ram", "size": M, "start": start, "mu": 0.2, "reset": 1e-3, "seed": 0}
    return Row(point, {"q": np.array(q), "gradient": np.zeros(len(q)), **more})


def test_shares_of_runs_and_the_search() -> None:
    best = {M: column(M, 0.2, 1e-3) for M in (2, 3, 5)}
    rows = [
        optima_run(2, "random", [best[2], best[2], 0.4, 0.4, 0.3]),
        optima_run(5, "random", [0.3, 0.4, 0.4, 0.4, 0.5]),
        optima_run(2, "columns", [best[2]] * 5),
        optima_run(5, "columns", [0.1] * 5),
        optima_run(2, "oracle", [1.5 * best[2]], bound=1.5 * best[2]),
    ]
    found = verdicts("bandit-optima", rows)
    assert value(found["ch7.sec5.random-gets-stuck"]) == 0
    assert value(found["ch7.sec5.structure-helps"]) == pytest.approx(0.3 / best[2])
    assert value(found["ch7.sec5.size-hurts"]) == pytest.approx(0.4 / best[5] / (0.3 / best[2]))
    assert value(found["ch7.sec3.column-is-best"]) == pytest.approx(1.0)
    assert value(found["ch7.sec1.deterministic"]) == pytest.approx(1.5)
    assert "all deterministic policies" in found["ch7.sec1.deterministic"].note


def test_walk_and_column_are_compared_with_their_formula() -> None:
    experiment = lab.find("bandit-necklaces")
    p = experiment.parameters("smoke", {"ram_sizes": [2, 4]})
    points = [q for q in experiment.points(p) if q["what"] in ("ram", "hellman-cover")]
    rows = [Row(q, experiment.measure(q), key=str(i)) for i, q in enumerate(points)]
    assert {q["size"] for q in points if q["what"] == "hellman-cover"} == {4, 8}
    assert value(verdicts("bandit-necklaces", rows)["ch7.sec3.hellman-cover"]) < 1e-12
    for wrong, expected in ((1.5, 0.5), (np.nan, np.nan)):
        worse = [
            Row(row.point, {**row.result, "q": row["q"] * wrong}) if "cover" in row["what"] else row
            for row in rows
        ]
        found = verdicts("bandit-necklaces", worse)["ch7.sec3.hellman-cover"]
        assert found.status != "reproduced"
        assert value(found) == pytest.approx(expected, nan_ok=True)
