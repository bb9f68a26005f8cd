"""The column of confidence: Figs. 1 and 2, and how much the agent explores."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.experiments.bandit._starts import column_q, starting_logits
from symscape.lab import Axis, Claim, Figure, Finding, Row, Table, Tolerance

Reset = Annotated[float, Field(gt=0, lt=1)]
States = Annotated[int, Field(ge=2)]
Difference = Annotated[float, Field(gt=0, lt=1)]

SMALL_RESET = 1e-4
"""Below this reset the exploration rate follows its law for small resets."""


class ExplorationParameters(lab.Parameters):
    left_sizes: tuple[States, ...] = Field(
        min_length=1, description="memory sizes M of Fig. 2 left"
    )
    left_resets: tuple[Reset, ...] = Field(min_length=2, description="resets r of Fig. 2 left")
    right_sizes: tuple[States, ...] = Field(
        min_length=1, description="memory sizes of Fig. 2 right"
    )
    right_resets: tuple[Reset, ...] = Field(min_length=1, description="resets of Fig. 2 right")
    mus: tuple[Difference, ...] = Field(min_length=1, description="differences mu of the arms")
    evaluations: int = Field(ge=10, description="gradients of a flow, at most")
    newton_evaluations: int = Field(
        ge=10, default=2000, description="gradients of L-BFGS after it, at most"
    )


CLAIMS = (
    Claim(
        "ch7.fig2.nothing-better",
        "Ch. 7, Fig. 2 and Sec. 3",
        "Training from the best column of confidence finds no better policy, even at large r.",
        "the symbols are on the lines",
        Tolerance(0.99, 1.02, "smallest q after L-BFGS / q of the formula; 1 % for what is gained"),
        profile="quick",
    ),
    Claim(
        "ch7.fig2.training-stays",
        "Ch. 7, Fig. 2",
        "Started at the column of confidence plus 1e-4, training comes back to it.",
        "the symbols are on the lines",
        Tolerance(0.99, 1.02, "largest q of a flow / q of the formula; 2 % as the flow is cut"),
    ),
    Claim(
        "ch7.eq6.square-root",
        "Ch. 7, Eq. 6",
        "The exploration rate grows like the square root of r.",
        0.5,
        Tolerance(0.48, 0.52, "slope of log epsilon against log r below r = 1e-4, +- 0.02"),
    ),
    Claim(
        "ch7.eq6.prefactor",
        "Ch. 7, Eq. 6 and 22",
        "The rate that training finds has the prefactor of the formula.",
        1.0,
        Tolerance(0.97, 1.03, "trained / formula at the smallest r; corrections are O(sqrt r)"),
    ),
    Claim(
        "ch7.eq7.small-reset",
        "Ch. 7, Eq. 7 and 24",
        "For r to 0, q tends to alpha^(2M-1) / (1 + alpha^(2M-1)), with corrections O(sqrt r).",
        1.0,
        Tolerance(0.95, 1.05, "q at r = 0, extrapolated linearly in sqrt r, / formula"),
    ),
    Claim(
        "ch7.fig1c.states",
        "Ch. 7, Fig. 1C",
        "The two columns double the memory: M = 8 gives 16 distinct states in a line.",
        16,
        Tolerance(16, 16, "choices that the policy visits, exact"),
        profile="smoke",
    ),
)


@lab.register
class Exploration(lab.Experiment):
    """Ch. 7, Figs. 1 and 2."""

    name = "bandit-exploration"
    chapter = "7"
    title = "The column of confidence"
    summary = (
        "An agent with M memory states counts how much it trusts its arm: up with a reward, down "
        "without one, and at the bottom it changes the arm. At the top it looks down only with "
        "probability epsilon. Training that starts there finds nothing better, and the best "
        "epsilon is a balance between exploring and exploiting that grows like the square root of "
        "the reset probability."
    )
    sources = ("Ch. 7, Figs. 1 and 2", "Ch. 7, Eqs. 6, 7, 22-24")
    version = 2
    Parameters = ExplorationParameters
    profiles = {  # noqa: RUF012
        "smoke": ExplorationParameters(
            left_sizes=(2,),
            left_resets=(1e-3, 1e-1),
            right_sizes=(3,),
            right_resets=(1e-2,),
            mus=(0.2,),
            evaluations=100,
            newton_evaluations=100,
        ),
        "quick": ExplorationParameters(
            left_sizes=(5,),
            left_resets=(2.0**-18, 2.0**-15, 2.0**-11, 2.0**-6, 2.0**-2),
            right_sizes=(2, 3, 5, 9),
            right_resets=(1e-4,),
            mus=(0.1, 0.2),
            evaluations=1000,
        ),
        "overnight": ExplorationParameters(
            left_sizes=(5, 10, 20),
            left_resets=tuple(2.0**-k for k in (20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 1)),
            right_sizes=(2, 3, 5, 9, 14, 20, 29),
            right_resets=(1e-6, 1e-4, 1e-2),
            mus=(0.1, 0.2),
            evaluations=3000,
        ),
        "paper": ExplorationParameters(
            left_sizes=(5, 10, 20),
            left_resets=tuple(2.0**-k for k in range(20, 0, -1)),
            right_sizes=(2, 3, 4, 5, 7, 9, 11, 14, 17, 20, 23, 26, 29, 33, 37),
            right_resets=(1e-6, 1e-4, 1e-2),
            mus=(0.1, 0.2),
            evaluations=100_000,
        ),
    }
    claims = CLAIMS

    def points(self, p: ExplorationParameters) -> Iterator[dict[str, Any]]:
        left = product(p.left_sizes, p.mus, p.left_resets)
        right = product(p.right_sizes, p.mus, p.right_resets)
        for M, mu, reset in dict.fromkeys([*left, *right]):
            yield {
                "M": M,
                "mu": mu,
                "reset": reset,
                "evaluations": p.evaluations,
                "newton_evaluations": p.newton_evaluations,
                "seed": 0,
            }

    def cost(self, point: dict[str, Any]) -> float:
        evaluations = point["evaluations"] + point["newton_evaluations"]
        return float(evaluations * (4e-4 + 3e-7 * point["M"] ** 2))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.bandit import (
            RAM,
            Bandit,
            ccp_best_epsilon,
            gradient_flow,
            minimize,
            two_hypotheses,
        )

        M, mu, reset = point["M"], point["mu"], point["reset"]
        bandit = Bandit(RAM(M), two_hypotheses(mu), reset)
        flow = gradient_flow(
            bandit,
            starting_logits("ram", M, "ccp", 1, point["seed"], mu, reset),
            evaluations=point["evaluations"],
        )
        # The flow takes very long to get rid of the 1e-4 that it was started with.
        end = minimize(bandit, flow.logits, evaluations=point["newton_evaluations"])
        actions = end.policy.actions[0]
        # After - at the top (memory M, arm A or B): the probability to step down.
        down = [float(actions[4 * (M - 1) + 2 * arm + 1, 2 * (M - 2) + arm]) for arm in (0, 1)]
        return {
            "q": float(end.q[0]),
            "q_flow": float(flow.q[0]),
            "q_column": column_q(M, mu, reset),
            "epsilon": sum(down) / 2,
            "epsilon_column": ccp_best_epsilon(M, mu, reset),
            "time": float(flow.t[0]),
            "gradient": float(end.gradient[0]),
        }

    def analyse(self, table: Table, p: ExplorationParameters) -> list[Finding]:
        ratios = [row["q"] / row["q_column"] for row in table]
        flows = [row["q_flow"] / row["q_column"] for row in table]
        slopes, prefactors, limits = _laws(table)
        few = "No two resets below 1e-4 are finished."
        return [
            Finding("ch7.fig2.nothing-better", min(ratios, default=None)),
            Finding("ch7.fig2.training-stays", max(flows, default=None)),
            _spread("ch7.eq6.square-root", slopes, few),
            _spread("ch7.eq6.prefactor", prefactors, few),
            _spread("ch7.eq7.small-reset", limits, few),
            Finding("ch7.fig1c.states", len(_column_graph().labels) if len(table) else None),
        ]

    def figures(self, table: Table, p: ExplorationParameters) -> list[Figure]:
        return [*_fig2(table, p), _rates(table), _drawing(), _walk_drawing()]


def _laws(table: Table) -> tuple[list[float], list[float], list[float]]:
    """Per (M, mu): the slope of epsilon, its prefactor over the formula's, and the limit of q."""
    from symscape.bandit import ccp_epsilon_prefactor, ccp_q

    slopes, prefactors, limits = [], [], []
    for (M, mu), rows in table.groups("M", "mu"):
        small = sorted((r for r in rows if r["reset"] < SMALL_RESET), key=lambda r: r["reset"])
        # The law needs epsilon < 1 and the corrections, sqrt(r) over q, to be small.
        limit = ccp_q(M, 1e-9, mu, 0.0)
        if len(small) < 2 or small[0]["reset"] > (0.3 * limit) ** 2:
            continue
        root = [math.sqrt(row["reset"]) for row in small]
        epsilon = [row["epsilon"] for row in small]
        slopes.append(float(np.polyfit(np.log(root), np.log(epsilon), 1)[0]) / 2)
        prefactors.append(epsilon[0] / (ccp_epsilon_prefactor(M, mu) * root[0]))
        step = (small[1]["q"] - small[0]["q"]) / (root[1] - root[0])
        limits.append((small[0]["q"] - step * root[0]) / limit)
    return slopes, prefactors, limits


def _spread(claim: str, values: list[float], missing: str) -> Finding:
    """The mean over memories and differences, with its standard error."""
    if not values:
        return Finding(claim, None, note=missing)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return Finding(claim, float(np.mean(values)), error, f"Mean over {len(values)} pairs (M, mu).")


def _fig2(table: Table, p: ExplorationParameters) -> list[Figure]:
    left = Figure(
        "q-vs-reset",
        "Probability to play the worse arm against the reset probability",
        "Markers: gradient flow from the column of confidence plus 1e-4. Dashed: the formula. "
        "Ch. 7, Fig. 2 left.",
        Axis("reset probability r", log=True),
        Axis("q", log=True),
    )
    right = Figure(
        "q-vs-memory",
        "Probability to play the worse arm against the size of the memory",
        "Markers: gradient flow from the column of confidence plus 1e-4. Dashed: the formula. "
        "Ch. 7, Fig. 2 right.",
        Axis("memory states M"),
        Axis("q", log=True),
    )
    for (M, mu), rows in table.groups("M", "mu"):
        if M in p.left_sizes:
            _curve(left, f"M = {M}, mu = {mu:g}", "reset", rows.rows)
    for (reset, mu), rows in table.groups("reset", "mu"):
        if reset in p.right_resets:
            _curve(right, f"r = {reset:g}, mu = {mu:g}", "M", rows.rows)
    return [left, right]


def _curve(figure: Figure, name: str, x: str, rows: list[Row]) -> None:
    rows = sorted(rows, key=lambda row: row[x])
    figure.measured(name, [row[x] for row in rows], [row["q_flow"] for row in rows])
    figure.thesis(name, [row[x] for row in rows], [row["q_column"] for row in rows])


def _rates(table: Table) -> Figure:
    figure = Figure(
        "exploration-rate",
        "The exploration rate that training finds",
        "Probability to step down from the top after a lost play, trained by the flow and then "
        "L-BFGS. Dashed: the best rate in exact form; its limit for small r is Eq. 6.",
        Axis("reset probability r", log=True),
        Axis("epsilon", log=True),
    )
    for (M, mu), found in table.groups("M", "mu"):
        rows = sorted(found, key=lambda row: row["reset"])
        if len(rows) > 1:
            name, x = f"M = {M}, mu = {mu:g}", [row["reset"] for row in rows]
            figure.measured(name, x, [row["epsilon"] for row in rows])
            figure.thesis(name, x, [row["epsilon_column"] for row in rows])
    return figure


def _column_graph() -> Any:
    from symscape.bandit import (
        RAM,
        Bandit,
        ccp_best_epsilon,
        ccp_policy,
        policy_graph,
        two_hypotheses,
    )

    M, mu, reset = 8, 0.1, 1e-3
    bandit = Bandit(RAM(M), two_hypotheses(mu), reset)
    policy = ccp_policy(M, ccp_best_epsilon(M, mu, reset))
    return policy_graph(bandit, policy)


def _walk_drawing() -> Figure:
    """Fig. 1A: the walk of Hellman and Cover on as many states."""
    from symscape.bandit import (
        Bandit,
        HellmanCover,
        hellman_cover_policy,
        policy_graph,
        two_hypotheses,
    )

    bandit = Bandit(HellmanCover(16), two_hypotheses(0.1), 1e-3)
    graph = policy_graph(bandit, hellman_cover_policy(16, 0.05), 0.0)
    figure = Figure(
        "walk",
        "The walk of Hellman and Cover on 16 states",
        "The memory alone decides the arm: A in the first half, B in the second. A line leads from "
        "each state to the one that follows after a reward, or after none. The states are those of "
        "the column for M = 8, laid out in one line. Ch. 7, Fig. 1A.",
        Axis("memory state", range=(0.0, 17.0)),
        Axis("arm (A is 0, B is 1)", range=(-0.5, 1.5)),
    )
    state = [int(label[:-1]) for label in graph.labels]
    for sign, aside in (("+", 0.1), ("-", -0.1)):
        x: list[float] = []
        y: list[float] = []
        for edge in graph.edges:
            if edge.reward == sign and edge.source != edge.target:
                ends = edge.source, edge.target
                x += [*(float(state[node]) for node in ends), math.nan]
                # Lines rise from the state that they leave, so that their direction is seen.
                y += [graph.arms[ends[0]] + aside, float(graph.arms[ends[1]]), math.nan]
        figure.guide(f"after {sign}", x, y)
    for arm, letter in enumerate("AB"):
        at = [float(s) for s, a in zip(state, graph.arms) if a == arm]
        figure.measured(f"arm {letter}", at, [float(arm)] * len(at))
    return figure


def _drawing() -> Figure:
    """Fig. 1C: the columns, with what is reached after a reward and without one."""
    graph = _column_graph()
    figure = Figure(
        "column",
        "The column of confidence for M = 8",
        "Each marker is a memory state with an arm, numbered from the bottom. Lines join the "
        "states that follow each other; at the bottom the arms are exchanged. Ch. 7, Fig. 1C.",
        Axis("arm (A is 0, B is 1)", range=(-0.5, 1.5)),
        Axis("memory state", range=(0.0, 9.0)),
    )
    place = [(arm, int(label[:-1])) for arm, label in zip(graph.arms, graph.labels)]
    for sign, name in (("+", "after +"), ("-", "after -")):
        x: list[float] = []
        y: list[float] = []
        for edge in graph.edges:
            if edge.reward == sign and edge.source != edge.target:
                for node in (edge.source, edge.target):
                    # Lines after - are drawn a little aside, so that both can be seen.
                    x.append(place[node][0] + (0.05 if sign == "-" else 0.0))
                    y.append(place[node][1])
                x.append(math.nan)
                y.append(math.nan)
        figure.guide(name, x, y)
    for arm, letter in enumerate("AB"):
        states = [state for a, state in place if a == arm]
        figure.measured(f"arm {letter}", [float(arm)] * len(states), states)
    return figure
