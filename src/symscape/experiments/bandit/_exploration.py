"""The column of confidence: Figs. 1 and 2, and how much the agent explores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, product
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.experiments.bandit._starts import (
    REST,
    at_rest,
    column_q,
    left_out,
    starting_logits,
    train,
)
from symscape.lab import Axis, Claim, Figure, Row, Table, Tolerance
from symscape.scaling import Estimate, NoEstimate, difference, mean, scan, slope

if TYPE_CHECKING:
    from symscape.bandit import PolicyGraph

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
    starts: int = Field(ge=2, default=4, description="policies near the column, for each point")
    evaluations: int = Field(ge=10, description="gradients of a flow, at most")
    newton_evaluations: int = Field(
        ge=10, default=1000, description="gradients of L-BFGS after it, at most"
    )


def _extreme(pick: Any, table: Table, p: ExplorationParameters) -> Estimate:
    """Mean over starts of q at rest over q of the formula, at the point where it is extreme."""
    found = [(mean(at_rest(row) / row["q_column"]), row) for row in table if len(at_rest(row))]
    if not found:
        raise NoEstimate("No run came to rest.")
    ratio, row = pick(found, key=lambda pair: pair[0].value)
    flow = max(float(np.max(row["q_flow"] / row["q_column"])) for row in table)
    return ratio.noted(
        f"At M = {row['M']}, mu = {row['mu']:g}, r = {row['reset']:.2g}, of {len(found)} points. "
        f"Where the flows were cut, q was up to {flow:.4g} of the formula.",
        left_out(table),
    )


def _small_resets(table: Table) -> Iterator[tuple[str, float, list[Row]]]:
    """Panels (M, mu), the limit of q, and the rows of resets where the laws can be seen."""
    from symscape.bandit import ccp_q

    for (M, mu), rows in table.groups("M", "mu"):
        small = [row for row in rows if row["reset"] < SMALL_RESET and len(at_rest(row))]
        small.sort(key=lambda row: row["reset"])
        limit = ccp_q(M, 1e-9, mu, 0.0)
        # Corrections, sqrt(r) over q, have to be small: where q is tiny no reset is small enough.
        if len(small) >= 3 and small[0]["reset"] <= (0.3 * limit) ** 2:
            yield f"M = {M}, mu = {mu:g}", limit, small


def _square_root(table: Table, p: ExplorationParameters) -> dict[str, Estimate]:
    def of(rows: list[Row]) -> Estimate:
        rates = [np.where(row["gradient"] <= REST, row["epsilon"], np.nan) for row in rows]
        return slope([row["reset"] for row in rows], np.transpose(rates))

    return {panel: of(rows) for panel, _, rows in _small_resets(table)}


def _prefactor(table: Table, p: ExplorationParameters) -> dict[str, Estimate]:
    from symscape.bandit import ccp_epsilon_prefactor

    def at(rows: list[Row], place: int) -> Estimate:
        row = rows[place]
        law = ccp_epsilon_prefactor(row["M"], row["mu"]) * math.sqrt(row["reset"])
        return mean(at_rest(row, "epsilon") / law)

    return {
        panel: scan(partial(at, rows), [0, 1], "Numbers count resets.")
        for panel, _, rows in _small_resets(table)
    }


def _limit(table: Table, p: ExplorationParameters) -> dict[str, Estimate]:
    def extrapolated(rows: list[Row], limit: float, pair: tuple[int, int]) -> Estimate:
        low, high = (math.sqrt(rows[place]["reset"]) for place in pair)
        near, far = (mean(at_rest(rows[place]) / limit) for place in pair)
        weight = high / (high - low)
        return difference(near.scaled(weight), far.scaled(weight - 1))

    return {
        panel: scan(
            partial(extrapolated, rows, limit),
            list(combinations(range(3), 2)),
            "Pairs count the resets through which a line in sqrt(r) goes.",
        )
        for panel, limit, rows in _small_resets(table)
    }


def _states(table: Table, p: ExplorationParameters) -> Estimate | str:
    graph = _column_graph()
    # From the top of A down to the bottoms and up to the top of B.
    line = [(int(label[:-1]) - 0.5) * (2 * arm - 1) for label, arm in zip(graph.labels, graph.arms)]
    if any(abs(line[edge.source] - line[edge.target]) > 1 for edge in graph.edges):
        return "The states are not in a line."
    return Estimate(len(line))


CLAIMS = (
    Claim(
        "ch7.fig2.nothing-better",
        "Ch. 7, Fig. 2 and Sec. 3",
        "Training from the best column of confidence finds no better policy, even at large r.",
        "the symbols are on the lines",
        Tolerance.at_least(0.99, "smallest q at rest / q of the formula; 1 % for what is gained"),
        partial(_extreme, min),
        profile="quick",
    ),
    Claim(
        "ch7.fig2.training-stays",
        "Ch. 7, Fig. 2",
        "Started at the column of confidence plus 1e-4, training comes back to it.",
        "the symbols are on the lines",
        Tolerance.at_most(1.02, "largest q at rest / q of the formula; 2 %"),
        partial(_extreme, max),
    ),
    Claim(
        "ch7.eq6.square-root",
        "Ch. 7, Eq. 6",
        "The exploration rate grows like the square root of r.",
        0.5,
        Tolerance(0.48, 0.52, "slope of log epsilon against log r below r = 1e-4, +- 0.02"),
        _square_root,
    ),
    Claim(
        "ch7.eq6.prefactor",
        "Ch. 7, Eq. 6 and 22",
        "The rate that training finds has the prefactor of the formula.",
        1.0,
        Tolerance(0.97, 1.03, "trained / formula at the smallest r; corrections are O(sqrt r)"),
        _prefactor,
    ),
    Claim(
        "ch7.eq7.small-reset",
        "Ch. 7, Eq. 7 and 24",
        "For r to 0, q tends to alpha^(2M-1) / (1 + alpha^(2M-1)), with corrections O(sqrt r).",
        1.0,
        Tolerance(0.95, 1.05, "q at r = 0, extrapolated linearly in sqrt r, / formula"),
        _limit,
    ),
    Claim(
        "ch7.fig1c.states",
        "Ch. 7, Fig. 1C",
        "The two columns double the memory: M = 8 gives 16 distinct states in a line.",
        16,
        Tolerance(16, 16, "states that our policy visits, exact"),
        _states,
        kind="check",
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
    version = 3
    Parameters = ExplorationParameters
    profiles = {  # noqa: RUF012
        "smoke": ExplorationParameters(
            left_sizes=(2,),
            left_resets=(1e-3, 1e-1),
            right_sizes=(3,),
            right_resets=(1e-2,),
            mus=(0.2,),
            starts=2,
            evaluations=50,
            newton_evaluations=100,
        ),
        "quick": ExplorationParameters(
            left_sizes=(5,),
            left_resets=(2.0**-18, 2.0**-15, 2.0**-14, 2.0**-11, 2.0**-6, 2.0**-2),
            right_sizes=(2, 3, 5, 9),
            right_resets=(1e-4,),
            mus=(0.1, 0.2),
            evaluations=300,
        ),
        "overnight": ExplorationParameters(
            left_sizes=(5, 10, 20),
            left_resets=tuple(2.0**-k for k in (20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 1)),
            right_sizes=(2, 3, 5, 9, 14, 20, 29),
            right_resets=(1e-6, 1e-4, 1e-2),
            mus=(0.1, 0.2),
            evaluations=1000,
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

    def points(self, p: ExplorationParameters) -> Iterator[lab.Point]:
        left = product(p.left_sizes, p.mus, p.left_resets)
        right = product(p.right_sizes, p.mus, p.right_resets)
        budget = {"evaluations": p.evaluations, "newton_evaluations": p.newton_evaluations}
        for M, mu, reset in dict.fromkeys([*left, *right]):
            yield {"M": M, "mu": mu, "reset": reset, "starts": p.starts, **budget, "seed": 0}

    def cost(self, point: lab.Point) -> float:
        evaluations = point["evaluations"] + 100 * point["starts"]
        return float(evaluations * (8e-4 + 1.5e-6 * point["M"] ** 2))

    def measure(self, point: lab.Point) -> lab.Result:
        from symscape import bandit

        M, mu, reset = point["M"], point["mu"], point["reset"]
        world = bandit.Bandit(bandit.RAM(M), bandit.two_hypotheses(mu), reset)
        start = starting_logits("ram", M, "ccp", point["starts"], point["seed"], mu, reset)
        flow, end = train(world, point, start)
        # After - at the top (memory M, arm A or B): the probability to step down.
        top, below = 4 * (M - 1) + 1, 2 * (M - 2)
        down = [end.policy.actions[:, top + 2 * arm, below + arm] for arm in (0, 1)]
        return {
            "q": end.q.numpy(),
            "q_flow": flow.q.numpy(),
            "q_column": column_q(M, mu, reset),
            "epsilon": ((down[0] + down[1]) / 2).numpy(),
            "epsilon_column": bandit.ccp_best_epsilon(M, mu, reset),
            "gradient": end.gradient.numpy(),
        }

    def figures(self, table: Table, p: ExplorationParameters) -> list[Figure]:
        shown = "Markers: policies at rest, from the column of confidence plus 1e-4."
        against_reset = Figure(
            "q-vs-reset",
            "Probability to play the worse arm against the reset probability",
            f"{shown} Dashed: the formula. Ch. 7, Fig. 2 left.",
            Axis("reset probability r", log=True),
            Axis("q", log=True),
            claims=("ch7.fig2.nothing-better", "ch7.fig2.training-stays"),
        )
        against_memory = Figure(
            "q-vs-memory",
            "Probability to play the worse arm against the size of the memory",
            f"{shown} Dashed: the formula. Ch. 7, Fig. 2 right.",
            Axis("memory states M"),
            Axis("q", log=True),
            claims=("ch7.eq7.small-reset",),
        )
        rates = Figure(
            "exploration-rate",
            "The exploration rate that training finds",
            "Probability to step down from the top after a lost play, of policies at rest. Dashed: "
            "the best rate in exact form; its limit for small r is Eq. 6.",
            Axis("reset probability r", log=True),
            Axis("epsilon", log=True),
            claims=("ch7.eq6.square-root", "ch7.eq6.prefactor"),
        )
        left = table.select(lambda row: row["M"] in p.left_sizes)
        right = table.select(
            lambda row: row["M"] in p.right_sizes and row["reset"] in p.right_resets
        )
        _compared(against_reset, left, "reset", "q", ("M", "mu"))
        _compared(against_memory, right, "M", "q", ("reset", "mu"))
        _compared(rates, left, "reset", "epsilon", ("M", "mu"))
        return [against_reset, against_memory, rates, *_drawings()]


def _compared(figure: Figure, table: Table, x: str, y: str, by: tuple[str, str]) -> None:
    """Means over the starts and the formula's curve, a series for each pair of fields."""
    name = f"{by[0]} = {{{by[0]}:.3g}}, {by[1]} = {{{by[1]}:.3g}}"
    figure.curves(
        table,
        lambda row: np.full(len(at_rest(row)), row[x]),
        lambda row: at_rest(row, y),
        by,
        name=name,
        mode="markers",
    )
    for values, rows in table.groups(*by):
        line = sorted((row[x], row[f"{y}_column"]) for row in rows)
        figure.thesis(name.format(**dict(zip(by, values))), *np.transpose(line))


def _column_graph() -> PolicyGraph:
    from symscape import bandit

    M, mu, reset = 8, 0.1, 1e-3
    world = bandit.Bandit(bandit.RAM(M), bandit.two_hypotheses(mu), reset)
    column = bandit.ccp_policy(M, bandit.ccp_best_epsilon(M, mu, reset))
    return bandit.policy_graph(world, column)


def _drawings() -> list[Figure]:
    """Fig. 1C and 1A: the column, and the walk of Hellman and Cover on as many states."""
    from symscape import bandit

    line = "A line leads from each state to the one that follows after a reward, or after none"
    column = Figure(
        "column",
        "The column of confidence for M = 8",
        "Each marker is a memory state with an arm, numbered from the bottom. "
        f"{line}; at the bottom the arms are exchanged. Ch. 7, Fig. 1C.",
        Axis("arm (A is 0, B is 1)", range=(-0.5, 1.5)),
        Axis("memory state", range=(0.0, 9.0)),
        claims=("ch7.fig1c.states",),
    )
    walk = Figure(
        "walk",
        "The walk of Hellman and Cover on 16 states",
        "The memory alone decides the arm: A in the first half, B in the second. "
        f"{line}. The states are those of the column for M = 8 in one line. Ch. 7, Fig. 1A.",
        Axis("memory state", range=(0.0, 17.0)),
        Axis("arm (A is 0, B is 1)", range=(-0.5, 1.5)),
    )
    world = bandit.Bandit(bandit.HellmanCover(16), bandit.two_hypotheses(0.1), 1e-3)
    steps = bandit.policy_graph(world, bandit.hellman_cover_policy(16, 0.05), 0.0)
    _draw(column, _column_graph(), lambda state, arm: (arm, state))
    _draw(walk, steps, lambda state, arm: (state, arm))
    return [column, walk]


def _draw(
    figure: Figure, graph: PolicyGraph, place: Callable[[float, float], tuple[float, float]]
) -> None:
    """The states, and lines that begin beside them, so that their direction is seen."""
    nodes = [(float(label[:-1]), arm) for label, arm in zip(graph.labels, graph.arms)]
    for sign, aside in (("+", 0.1), ("-", -0.1)):
        lines: list[tuple[float, float]] = []
        for edge in graph.edges:
            if edge.reward == sign and edge.source != edge.target:
                state, arm = nodes[edge.source]
                lines += [place(state, arm + aside), place(*nodes[edge.target]), (np.nan, np.nan)]
        figure.guide(f"after {sign}", *np.transpose(lines))
    for played, letter in enumerate("AB"):
        x, y = np.transpose([place(state, arm) for state, arm in nodes if arm == played])
        figure.measured(f"arm {letter}", x, y)
