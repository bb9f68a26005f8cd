"""The analyses of chapter 7 on made-up runs whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from symscape import lab
from symscape.bandit import ccp_best_epsilon, ccp_q
from symscape.lab import Finding, InputError, Row, Table

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
    point["panels"] = "A-D" if reset == 1e-3 else "E-F"
    mixed = np.linspace(1.0, 0.5, len(q))
    return Row(
        point,
        {"q": np.array(q), "oldest": 0 * mixed + 0.99, "oldest_mixed": mixed, "mixed": 0.1 * mixed},
    )


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


def test_necklaces_are_looked_for_in_mixed_words_of_random_starts() -> None:
    rows = [
        dynamics_run("memento", 3, "random", [0.3, 0.1, 0.2]),  # oldest_mixed: 1, 0.75, 0.5
        dynamics_run("memento", 3, "cycles", [0.25, 0.2, 0.05]),
        dynamics_run("memento", 3, "necklace", [0.01]),
        dynamics_run("memento", 3, "random", [0.1, 0.3, 0.3], reset=1e-5),
    ]
    found = findings("bandit-dynamics", rows)["ch7.sec6.necklaces"]
    assert found.measured == pytest.approx(0.75)
    assert "0.750 at q = 0.1 (0.990 of all words" in found.note
    assert "from a necklace 1.000 at q = 0.01" in found.note


def test_only_mixed_words_tell_a_necklace_policy_from_another() -> None:
    from symscape.bandit import Bandit, Memento, Policy, necklace_policy, two_hypotheses
    from symscape.experiments.bandit._dynamics import _oldest_arm

    memory = Memento(3)
    bandit = Bandit(memory, two_hypotheses(0.1), 1e-3)
    # Repeats the newest arm, and leaves it now and then where nothing was won.
    actions = torch.full((memory.n_observations, 2), 0.5, dtype=torch.float64)
    for o in range(memory.n_observations - 1):
        arms, rewards = memory.history(o)
        newest = "AB".index(arms[-1])
        actions[o, newest] = 0.95 if rewards == "---" else 1.0
        actions[o, 1 - newest] = 1 - actions[o, newest]
    start = torch.ones(1, 1, dtype=torch.float64)
    newest_arm = _oldest_arm(bandit, memory, Policy(actions[None], start))
    necklace = necklace_policy(3, 0.01, 0.05)
    cycles = _oldest_arm(bandit, memory, Policy(necklace.actions[None], start))
    assert newest_arm["oldest"][0] > 0.95
    assert newest_arm["oldest_mixed"][0] < 0.75
    assert cycles["oldest_mixed"][0] > 0.95


def test_every_memory_has_its_number_of_gradients() -> None:
    experiment = lab.find("bandit-dynamics")
    with pytest.raises(InputError, match="ram_evaluations has 1 numbers; it needs 2"):
        experiment.parameters("smoke", {"ram_sizes": [2, 3]})
    both = {"ram_sizes": [2, 3], "ram_evaluations": [10, 20]}
    points = experiment.points(experiment.parameters("smoke", both))
    assert {q["size"] for q in points if q["kind"] == "ram"} >= {2, 3}


def test_equal_resets_of_all_panels_are_not_mixed_up() -> None:
    rows = [
        dynamics_run("memento", 3, "random", [0.3, 0.3]),
        dynamics_run("memento", 3, "cycles", [0.2, 0.2]),
    ]
    other = dynamics_run("memento", 3, "random", [0.9, 0.9])
    rows.append(Row({**other.point, "panels": "E-F"}, other.result))
    experiment = lab.find("bandit-dynamics")
    p = experiment.parameters(
        "quick",
        {"memento_sizes": [3], "memento_evaluations": [9], "equal_evaluations": [9]},
    )
    found = {f.claim: f for f in experiment.analyse(Table(rows), p)}
    assert found["ch7.fig4cd.insensitive"].measured == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("bandit-dynamics", {"ram_sizes": [1]}),
        ("bandit-dynamics", {"memento_sizes": [9]}),
        ("bandit-optima", {"ram_sizes": [1, 2]}),
        ("bandit-optima", {"resets": [0.0]}),
        ("bandit-exploration", {"left_sizes": [1]}),
        ("bandit-exploration", {"right_resets": [1.0]}),
        ("bandit-exploration", {"mus": [1.5]}),
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


def test_walk_and_column_are_compared_with_their_formula() -> None:
    experiment = lab.find("bandit-necklaces")
    p = experiment.parameters("smoke", {"ram_sizes": [2, 4]})
    points = [q for q in experiment.points(p) if q["what"] in ("ram", "hellman-cover")]
    rows = [Row(q, experiment.measure(q), key=str(i)) for i, q in enumerate(points)]
    assert {q["size"] for q in points if q["what"] == "hellman-cover"} == {4, 8}
    found = {f.claim: f for f in experiment.analyse(Table(rows), p)}
    assert found["ch7.sec3.hellman-cover"].measured < 1e-12
    worse = [
        Row(row.point, {**row.result, "q": row["q"] * 1.5}) if "cover" in row["what"] else row
        for row in rows
    ]
    found = {f.claim: f for f in experiment.analyse(Table(worse), p)}
    assert found["ch7.sec3.hellman-cover"].measured == pytest.approx(0.5)
