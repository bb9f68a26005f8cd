"""Local optima: how many there are, and how often training ends in the best (Sec. 5)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.experiments.bandit._starts import (
    MEMENTO_STARTS,
    RAM_STARTS,
    column_q,
    memory_of,
    starting_logits,
)
from symscape.lab import Axis, Claim, Figure, Finding, Row, Table, Tolerance

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
    ram_sizes: tuple[States, ...] = Field(min_length=2, description="memory states M")
    memento_sizes: tuple[Events, ...] = Field(min_length=1, description="events m")
    oracle_rams: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        description="M whose deterministic policies are searched"
    )
    oracle_mementos: tuple[Events, ...] = Field(description="m whose policies are searched")
    starts: int = Field(ge=4, description="runs of each start")
    flow_evaluations: int = Field(ge=10, description="gradients of the flow, at most")
    newton_evaluations: int = Field(ge=10, description="gradients of L-BFGS after it, at most")


CLAIMS = (
    Claim(
        "ch7.sec5.random-gets-stuck",
        "Ch. 7, Sec. 5",
        "RAM: training from random policies hardly ever finds the column of confidence.",
        "very poor results",
        Tolerance(0.0, 0.1, "share of runs within 1 % of it at the largest M, at most a tenth"),
    ),
    Claim(
        "ch7.sec5.structure-helps",
        "Ch. 7, Sec. 5",
        "RAM: columns reach the column of confidence more often than random policies.",
        "results improve",
        Tolerance(0.05, 1.0, "difference of the shares of runs, averaged over M; at least 5 %"),
    ),
    Claim(
        "ch7.sec5.size-hurts",
        "Ch. 7, Sec. 5",
        "RAM: the larger the memory, the more rarely random policies reach the best known.",
        "more acute when memory is large",
        Tolerance(0.3, 1.0, "share of runs at the smallest M less that at the largest"),
    ),
    Claim(
        "ch7.sec3.column-is-best",
        "Ch. 7, Sec. 3",
        "No policy that training finds from any start beats the column of confidence.",
        "nearly optimal",
        Tolerance(0.97, 1.1, "smallest q of all runs / q of the column, over M; 3 % for the best"),
    ),
    Claim(
        "ch7.sec1.deterministic",
        "Ch. 7, Sec. 1 and 3",
        "The best policies draw lots: the best deterministic policy, by exhaustive search, is "
        "worse than the best stochastic one for a small reset.",
        "the agent explores with probability epsilon",
        Tolerance(1.01, math.inf, "q of the best deterministic / best trained, largest searched"),
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
    version = 1
    Parameters = OptimaParameters
    profiles = {  # noqa: RUF012
        "smoke": OptimaParameters(
            resets=(1e-2,),
            ram_sizes=(2, 3),
            memento_sizes=(2,),
            oracle_rams=(1,),
            oracle_mementos=(1,),
            starts=4,
            flow_evaluations=100,
            newton_evaluations=50,
        ),
        "quick": OptimaParameters(
            resets=(1e-3,),
            ram_sizes=(2, 3, 5),
            memento_sizes=(2, 3),
            oracle_rams=(1, 2),
            oracle_mementos=(1, 2),
            starts=20,
            flow_evaluations=1000,
            newton_evaluations=300,
        ),
        "overnight": OptimaParameters(
            resets=(1e-3, 1e-2, 1e-4),
            ram_sizes=(2, 3, 4, 5, 6, 8),
            memento_sizes=(2, 3),
            oracle_rams=(1, 2),
            oracle_mementos=(1, 2),
            starts=60,
            flow_evaluations=3000,
            newton_evaluations=1000,
        ),
        "paper": OptimaParameters(
            resets=(1e-3, 1e-2, 1e-4, 1e-5),
            ram_sizes=(2, 3, 4, 5, 6, 8, 12, 16, 20),
            memento_sizes=(2, 3, 4),
            oracle_rams=(1, 2),
            oracle_mementos=(1, 2),
            starts=1000,
            flow_evaluations=50_000,
            newton_evaluations=5000,
        ),
    }
    claims = CLAIMS

    def points(self, p: OptimaParameters) -> Iterator[dict[str, Any]]:
        budget = {
            "flow_evaluations": p.flow_evaluations,
            "newton_evaluations": p.newton_evaluations,
            "starts": p.starts,
        }
        for reset in p.resets:
            shared = {"mu": p.mu, "reset": reset, "seed": 0}
            first = reset == p.resets[0]
            for M in p.ram_sizes:
                for start in RAM_STARTS if first else ("columns",):
                    yield {"what": "ram", "size": M, "start": start, **shared, **budget}
            for m in p.memento_sizes:
                for start in MEMENTO_STARTS if first else ("cycles",):
                    yield {"what": "memento", "size": m, "start": start, **shared, **budget}
        shared = {"mu": p.mu, "reset": p.resets[0], "seed": 0}
        for M in p.oracle_rams:
            yield {"what": "ram", "size": M, "start": "oracle", **shared}
        for m in p.oracle_mementos:
            yield {"what": "memento", "size": m, "start": "oracle", **shared}

    def cost(self, point: dict[str, Any]) -> float:
        size, ram = point["size"], point["what"] == "ram"
        if point["start"] == "oracle":
            return 0.1 * 20.0 ** (size - 1)
        choices = 2 * size if ram else 2 * (4**size - 1) // 3
        evaluations = point["flow_evaluations"] + 2 * point["newton_evaluations"]
        return float(evaluations * (5e-4 + point["starts"] * 5e-9 * choices**2.5))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.bandit import (
            Bandit,
            best_deterministic_policy,
            gradient_flow,
            minimize,
            two_hypotheses,
        )

        memory = memory_of(point["what"], point["size"])
        bandit = Bandit(memory, two_hypotheses(point["mu"]), point["reset"])
        if point["start"] == "oracle":
            found = best_deterministic_policy(bandit)
            return {"q": np.array([found.q]), "bound": found.bound, "nodes": found.nodes}
        names = ("what", "size", "start", "starts", "seed", "mu", "reset")
        flow = gradient_flow(
            bandit,
            starting_logits(*(point[name] for name in names)),
            evaluations=point["flow_evaluations"],
        )
        end = minimize(bandit, flow.logits, evaluations=point["newton_evaluations"])
        return {
            "q": end.q.numpy(),
            "q_flow": flow.q.numpy(),
            "gradient": end.gradient.numpy(),
            "converged": end.converged.numpy(),
        }

    def analyse(self, table: Table, p: OptimaParameters) -> list[Finding]:
        first = table.where(reset=p.resets[0])
        runs = {(row["size"], row["start"]): row for row in first.where(what="ram")}
        best = {
            M: min(
                [column_q(M, p.mu, p.resets[0])]
                + [float(row["q"].min()) for (size, _), row in runs.items() if size == M]
            )
            for M in p.ram_sizes
        }
        small, large = min(p.ram_sizes), max(p.ram_sizes)
        random = {M: _share(runs.get((M, "random")), best[M]) for M in p.ram_sizes}
        columns = {M: _share(runs.get((M, "columns")), best[M]) for M in p.ram_sizes}
        stuck = _share(runs.get((large, "random")), column_q(large, p.mu, p.resets[0]))
        gains = [
            more - less
            for more, less in zip(columns.values(), random.values())
            if more is not None and less is not None
        ]
        n = math.sqrt(p.starts)
        return [
            Finding("ch7.sec5.random-gets-stuck", stuck, _error(stuck, n)),
            Finding(
                "ch7.sec5.structure-helps",
                float(np.mean(gains)) if gains else None,
                0.7 / n / math.sqrt(len(gains)) if gains else None,
            ),
            Finding("ch7.sec5.size-hurts", *_drop(random[small], random[large], n)),
            _against_column(table),
            _against_oracle(first),
        ]

    def figures(self, table: Table, p: OptimaParameters) -> list[Figure]:
        first = table.where(reset=p.resets[0])
        return [_shares_figure(first, p), _levels_figure(first, p), _best_figure(table)]


def _share(row: Row | None, reference: float) -> float | None:
    """The share of runs within 1 % of a reference, or below."""
    if row is None:
        return None
    return float(np.mean(row["q"] <= (1 + CLOSE) * reference))


def _error(share: float | None, root: float) -> float | None:
    """Standard error of a share; that of one run in case of 0 or 1."""
    return None if share is None else max(math.sqrt(share * (1 - share)), 1 / root) / root


def _drop(
    small: float | None, large: float | None, root: float
) -> tuple[float | None, float | None]:
    if small is None or large is None:
        return None, None
    return small - large, math.hypot(_error(small, root) or 0.0, _error(large, root) or 0.0)


def _against_column(table: Table) -> Finding:
    ratios = [
        float(row["q"].min()) / column_q(row["size"], row["mu"], row["reset"])
        for row in table.where(what="ram")
        if row["size"] > 1 and row["start"] != "oracle"
    ]
    return Finding("ch7.sec3.column-is-best", min(ratios, default=None))


def _against_oracle(table: Table) -> Finding:
    claim = "ch7.sec1.deterministic"
    ratios, said = [], []
    for what in ("ram", "memento"):
        searched = list(table.where(what=what, start="oracle"))
        if not searched:
            continue
        oracle = max(searched, key=lambda row: row["size"])
        trained = [
            float(row["q"].min())
            for row in table.where(what=what, size=oracle["size"])
            if row["start"] != "oracle"
        ]
        if trained:
            ratios.append(float(oracle["q"][0]) / min(trained))
            state = "all" if oracle["bound"] >= oracle["q"][0] else "not all"
            said.append(f"{what} {oracle['size']}: {ratios[-1]:.4g}, {state} policies excluded")
    if not ratios:
        return Finding(claim, None, note="No memory has both a finished search and finished runs.")
    return Finding(claim, min(ratios), note="; ".join(said) + ".")


def _shares_figure(table: Table, p: OptimaParameters) -> Figure:
    figure = Figure(
        "success",
        "Share of runs that reach the column of confidence",
        "Runs that end within 1 % of its q or below, against the size of the memory, by start. "
        f"Bars are the errors of {p.starts} runs.",
        Axis("memory states M"),
        Axis("share of runs", range=(-0.05, 1.05)),
    )
    for group, start in enumerate(RAM_STARTS):
        rows = [row for row in table.where(what="ram", start=start) if row["size"] > 1]
        if not rows:
            continue
        shares = [_share(row, column_q(row["size"], row["mu"], row["reset"])) for row in rows]
        figure.measured(
            start,
            [row["size"] for row in rows],
            [share if share is not None else math.nan for share in shares],
            [_error(share, math.sqrt(p.starts)) or 0.0 for share in shares],
            mode="lines+markers",
            group=group,
        )
    return figure


def _levels_figure(table: Table, p: OptimaParameters) -> Figure:
    large = max(p.ram_sizes)
    figure = Figure(
        "levels",
        f"Where the runs end, M = {large} and the largest m",
        "All runs in order of q. Steps are levels on which several runs end. Dashed: the column of "
        "confidence for M states.",
        Axis("share of runs below"),
        Axis("q", log=True),
    )
    chosen = [("ram", large, start) for start in RAM_STARTS]
    chosen += [("memento", max(p.memento_sizes), start) for start in MEMENTO_STARTS]
    for what, size, start in chosen:
        for row in table.where(what=what, size=size, start=start):
            q = np.sort(row["q"])
            name = f"{'RAM' if what == 'ram' else 'Memento'}, {start}"
            figure.measured(name, (np.arange(len(q)) + 0.5) / len(q), q)
    level = column_q(large, p.mu, p.resets[0])
    figure.thesis("column of confidence", [0.0, 1.0], [level, level])
    return figure


def _best_figure(table: Table) -> Figure:
    figure = Figure(
        "best-vs-memory",
        "The best policy found, against the effective memory",
        "Smallest q over all runs. Dashed: the column of confidence. Lines of one reset "
        "probability r belong together.",
        Axis("effective memory M_eff", log=True),
        Axis("q", log=True),
    )
    for (reset, what), found in table.groups("reset", "what"):
        best: dict[int, float] = {}
        for row in found:
            if row["start"] != "oracle":
                best[row["size"]] = min(best.get(row["size"], 1.0), float(row["q"].min()))
        sizes = sorted(best)
        ram = what == "ram"
        name = f"{'RAM' if ram else 'Memento'}, r = {reset:g}"
        x = [4 * size if ram else 4**size for size in sizes]
        figure.measured(name, x, [best[size] for size in sizes], mode="lines+markers")
        if ram and sizes:
            mu = found.rows[0]["mu"]
            figure.thesis(name, x, [column_q(size, mu, reset) for size in sizes])
    return figure
