"""Local optima: how many there are, and how often training ends in the best (Sec. 5)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.experiments.bandit._starts import (
    MEMENTO_STARTS,
    RAM_STARTS,
    at_rest,
    column_q,
    left_out,
    memory_of,
    starting_logits,
    train,
)
from symscape.lab import Axis, Claim, Figure, Table, Tolerance
from symscape.scaling import Estimate, bootstrap, ratio, share

Reset = Annotated[float, Field(gt=0, lt=1)]
States = Annotated[int, Field(ge=2)]
Events = Annotated[int, Field(ge=1, le=8)]

CLOSE = 0.01
"""A run that ends within 1 % of a policy's q counts as having reached it."""


class OptimaParameters(lab.Parameters):
    mu: float = Field(gt=0, le=1, default=0.2, description="difference mu of the arms")
    resets: tuple[Reset, ...] = Field(
        min_length=1, description="resets r; the first has all starts"
    )
    ram_sizes: tuple[States, ...] = Field(min_length=2, description="memory states M, increasing")
    memento_sizes: tuple[Events, ...] = Field(min_length=1, description="events m")
    oracle_rams: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        description="M whose deterministic policies are searched"
    )
    oracle_mementos: tuple[Events, ...] = Field(description="m whose policies are searched")
    starts: int = Field(ge=4, description="runs of each start")
    evaluations: int = Field(ge=10, description="gradients of the flow, at most")
    newton_evaluations: int = Field(
        ge=10, default=3000, description="gradients of L-BFGS after it, at most"
    )


def _runs(table: Table) -> list[float]:
    """q of all runs at rest."""
    return [q for row in table for q in at_rest(row).tolist()]


def _rams(table: Table, p: OptimaParameters, start: str) -> dict[int, Table]:
    """Runs of a start by the number of memory states, at the reset that has all starts."""
    rows = table.where(what="ram", start=start, reset=p.resets[0])
    return {M: found for (M,), found in rows.groups("size")}


def _of_column(table: Table) -> list[float]:
    """q of all runs at rest over that of the column of confidence."""
    return [
        q / column_q(row["size"], row["mu"], row["reset"])
        for row in table
        for q in at_rest(row).tolist()
    ]


def _close(table: Table) -> Estimate:
    """The share of runs within 1 % of the column of confidence, or below."""
    ratios = _of_column(table)
    return share(sum(q <= 1 + CLOSE for q in ratios), len(ratios)).noted(left_out(table))


def _stuck(table: Table, p: OptimaParameters) -> Estimate:
    return _close(_rams(table, p, "random").get(max(p.ram_sizes), Table([])))


def _structure(table: Table, p: OptimaParameters) -> dict[str, Estimate]:
    random, columns = (_rams(table, p, start) for start in ("random", "columns"))
    return {
        f"M = {M}": ratio(
            bootstrap(_runs(random[M]), np.median), bootstrap(_runs(columns[M]), np.median)
        ).noted(left_out(random[M]), left_out(columns[M]))
        for M in sorted(random.keys() & columns.keys())
    }


def _growing(table: Table, p: OptimaParameters) -> dict[str, Estimate]:
    """How much farther from the column random policies end at each larger memory."""
    random = _rams(table, p, "random")
    far = {M: bootstrap(_of_column(rows), np.median) for M, rows in random.items()}
    return {f"M = {low} to {high}": ratio(far[high], far[low]) for low, high in pairwise(far)}


def _column_is_best(table: Table, p: OptimaParameters) -> dict[str, Estimate]:
    return {
        f"r = {reset:g}": bootstrap(_of_column(rows), min, note=left_out(rows))
        for (reset,), rows in _trained(table).where(what="ram").groups("reset")
    }


def _deterministic(table: Table, p: OptimaParameters) -> dict[str, Estimate]:
    """q of the best deterministic policy over the best trained one, of memories that have both."""
    panels = {}
    for oracle in table.where(start="oracle"):
        what, size, q = oracle["what"], oracle["size"], float(oracle["q"][0])
        runs = _runs(_trained(table).where(what=what, size=size, reset=oracle["reset"]))
        if runs:
            state = "all" if oracle["bound"] >= q else "not all"
            panels[f"{what} {size}"] = ratio(Estimate(q, 0.0), bootstrap(runs, min)).noted(
                f"The search excludes {state} deterministic policies with a smaller q."
            )
    return panels


def _trained(table: Table) -> Table:
    return table.select(lambda row: row["start"] != "oracle")


CLAIMS = (
    Claim(
        "ch7.sec5.random-gets-stuck",
        "Ch. 7, Sec. 5",
        "RAM: training from random policies hardly ever finds the column of confidence.",
        "very poor results",
        Tolerance.at_most(0.1, "share of runs within 1 % of it at the largest M; a tenth"),
        _stuck,
    ),
    Claim(
        "ch7.sec5.structure-helps",
        "Ch. 7, Sec. 5",
        "RAM: columns end on better policies than random starts.",
        "results improve",
        Tolerance.at_least(1.0, "ratio of the medians of q at rest, random / columns"),
        _structure,
    ),
    Claim(
        "ch7.sec5.size-hurts",
        "Ch. 7, Sec. 1 and 5",
        "RAM: the larger the memory, the farther from the best known random policies end.",
        "more acute when memory is large",
        Tolerance.at_least(
            1.0, "median q at rest over q of the column, that at an M over that at the M before"
        ),
        _growing,
    ),
    Claim(
        "ch7.sec3.column-is-best",
        "Ch. 7, Sec. 3",
        "No policy that training finds from any start beats the column of confidence.",
        "nearly optimal",
        Tolerance.at_least(0.97, "smallest q of all runs at rest / q of the column; 3 %"),
        _column_is_best,
    ),
    Claim(
        "ch7.sec1.deterministic",
        "Ch. 7, Sec. 1 and 3",
        "The best policies draw lots: the best deterministic policy, by exhaustive search, is "
        "worse than the best stochastic one for a small reset.",
        "the agent explores with probability epsilon",
        Tolerance.at_least(1.01, "q of the best deterministic / best trained; 1 %"),
        _deterministic,
    ),
)


@lab.register
class Optima(lab.Experiment):
    """Ch. 7, Sec. 5: the landscape of local optima."""

    name = "bandit-optima"
    chapter = "7"
    title = "Local optima of an agent with a memory"
    summary = (
        "Many runs from each start, by gradient flow and then L-BFGS, until no gradient is left: "
        "where they end, on how many different levels, and how many reach the best policy. For "
        "small memories a search of all deterministic policies, which uses no gradient, says what "
        "can be reached without drawing lots."
    )
    sources = ("Ch. 7, Sec. 5", "Ch. 7, Sec. 3")
    version = 2
    Parameters = OptimaParameters
    profiles = {  # noqa: RUF012
        "smoke": OptimaParameters(
            resets=(1e-2,),
            ram_sizes=(2, 3),
            memento_sizes=(2,),
            oracle_rams=(1,),
            oracle_mementos=(1,),
            starts=4,
            evaluations=100,
            newton_evaluations=200,
        ),
        "quick": OptimaParameters(
            resets=(1e-3,),
            ram_sizes=(2, 3, 5),
            memento_sizes=(2, 3),
            oracle_rams=(1, 2),
            oracle_mementos=(1, 2),
            starts=20,
            evaluations=500,
        ),
        "overnight": OptimaParameters(
            resets=(1e-3, 1e-2, 1e-4),
            ram_sizes=(2, 3, 4, 5, 6, 8),
            memento_sizes=(2, 3),
            oracle_rams=(1, 2),
            oracle_mementos=(1, 2),
            starts=60,
            evaluations=2000,
        ),
        "paper": OptimaParameters(
            resets=(1e-3, 1e-2, 1e-4, 1e-5),
            ram_sizes=(2, 3, 4, 5, 6, 8, 12, 16, 20),
            memento_sizes=(2, 3, 4),
            oracle_rams=(1, 2),
            oracle_mementos=(1, 2),
            starts=1000,
            evaluations=50_000,
        ),
    }
    claims = CLAIMS

    def points(self, p: OptimaParameters) -> Iterator[lab.Point]:
        budget = {
            "evaluations": p.evaluations,
            "newton_evaluations": p.newton_evaluations,
            "starts": p.starts,
        }
        memories = (("ram", p.ram_sizes, RAM_STARTS), ("memento", p.memento_sizes, MEMENTO_STARTS))
        for reset in p.resets:
            for what, sizes, starts in memories:
                # The last start is the one with most structure.
                some = starts if reset == p.resets[0] else starts[-1:]
                yield from lab.grid(
                    1, what=what, size=sizes, start=some, mu=p.mu, reset=reset, **budget
                )
        for what, sizes in (("ram", p.oracle_rams), ("memento", p.oracle_mementos)):
            yield from lab.grid(
                1, what=what, size=sizes, start="oracle", mu=p.mu, reset=p.resets[0]
            )

    def cost(self, point: lab.Point) -> float:
        size, ram = point["size"], point["what"] == "ram"
        if point["start"] == "oracle":
            return 0.1 * 20.0 ** (size - 1)
        choices = 2 * size if ram else 2 * (4**size - 1) // 3
        each = 3e-5 + 8e-9 * choices**2.5
        return float(
            point["evaluations"] * (8e-4 + point["starts"] * each)
            + point["starts"] * (0.06 + 120 * each)
        )

    def measure(self, point: lab.Point) -> lab.Result:
        from symscape import bandit

        memory = memory_of(point["what"], point["size"])
        world = bandit.Bandit(memory, bandit.two_hypotheses(point["mu"]), point["reset"])
        if point["start"] == "oracle":
            found = bandit.best_deterministic_policy(world)
            return {"q": np.array([found.q]), "bound": found.bound, "nodes": found.nodes}
        names = ("what", "size", "start", "starts", "seed", "mu", "reset")
        _, end = train(world, point, starting_logits(*(point[name] for name in names)))
        return {"q": end.q.numpy(), "gradient": end.gradient.numpy()}

    def figures(self, table: Table, p: OptimaParameters) -> list[Figure]:
        trained = _trained(table)
        return [
            _shares_figure(trained, p),
            _levels_figure(trained.where(reset=p.resets[0]), p),
            _best_figure(trained),
        ]


def _shares_figure(table: Table, p: OptimaParameters) -> Figure:
    figure = Figure(
        "success",
        "Share of runs that reach the column of confidence",
        "Runs that end within 1 % of its q or below, against the size of the memory, by start. "
        f"Bars are the errors of {p.starts} runs.",
        Axis("memory states M"),
        Axis("share of runs", range=(-0.05, 1.05)),
        claims=("ch7.sec5.random-gets-stuck",),
    )
    for group, start in enumerate(RAM_STARTS):
        shares = {M: _close(rows) for M, rows in _rams(table, p, start).items() if _runs(rows)}
        heights = [estimate.value for estimate in shares.values()]
        errors = [estimate.error or 0.0 for estimate in shares.values()]
        figure.measured(start, list(shares), heights, errors, mode="lines+markers", group=group)
    return figure


def _levels_figure(table: Table, p: OptimaParameters) -> Figure:
    large = {"ram": max(p.ram_sizes), "memento": max(p.memento_sizes)}
    figure = Figure(
        "levels",
        f"Where the runs end, M = {large['ram']} and m = {large['memento']}",
        "All runs at rest in order of q. Steps are levels on which several runs end. Dashed: the "
        "column of confidence for M states.",
        Axis("share of runs below"),
        Axis("q", log=True),
        claims=("ch7.sec5.structure-helps", "ch7.sec5.size-hurts"),
    )
    for row in table:
        if row["size"] == large[row["what"]]:
            q = np.sort(at_rest(row))
            name = f"{'RAM' if row['what'] == 'ram' else 'Memento'}, {row['start']}"
            figure.measured(name, (np.arange(len(q)) + 0.5) / len(q), q)
    level = column_q(large["ram"], p.mu, p.resets[0])
    return figure.thesis("column of confidence", [0.0, 1.0], [level, level])


def _best_figure(table: Table) -> Figure:
    figure = Figure(
        "best-vs-memory",
        "The best policy found, against the effective memory",
        "Smallest q over all runs. Dashed: the column of confidence. Lines of one reset "
        "probability r belong together.",
        Axis("effective memory M_eff", log=True),
        Axis("q", log=True),
        claims=("ch7.sec3.column-is-best",),
    )
    for (reset, what), found in table.groups("reset", "what"):
        best = {size: min(_runs(rows), default=np.nan) for (size,), rows in found.groups("size")}
        ram = what == "ram"
        name = f"{'RAM' if ram else 'Memento'}, r = {reset:g}"
        x = [4 * size if ram else 4**size for size in best]
        figure.measured(name, x, list(best.values()), mode="lines+markers")
        if ram:
            mu = found.rows[0]["mu"]
            figure.thesis(name, x, [column_q(size, mu, reset) for size in best])
    return figure
