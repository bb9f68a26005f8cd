"""Training from different starts: Fig. 4."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
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
from symscape.scaling import Estimate, bootstrap, mean, ratio

Evaluations = Annotated[int, Field(ge=1)]
States = Annotated[int, Field(ge=2)]
Events = Annotated[int, Field(ge=2, le=8)]


class DynamicsParameters(lab.Parameters):
    mu: float = Field(gt=0, le=1, default=0.1, description="difference mu of the arms")
    ram: dict[States, Evaluations] = Field(
        min_length=1, max_length=2, description="gradients of a flow for each M, panels A and B"
    )
    memento: dict[Events, Evaluations] = Field(
        min_length=1, max_length=2, description="gradients of a flow for each m, panels C to F"
    )
    reset: float = Field(gt=0, lt=1, default=1e-3, description="reset r of panels A to D")
    equal_reset: float = Field(gt=0, lt=1, default=1e-5, description="reset r of panels E and F")
    starts: int = Field(ge=3, description="seeds of each start, trained in one batch")
    near_starts: int = Field(ge=2, default=5, description="seeds near the policies of the text")
    newton_evaluations: int = Field(
        ge=10, default=3000, description="gradients of L-BFGS after it, at most"
    )


def _median(table: Table) -> Estimate:
    """Median over the starts of q at rest."""
    return bootstrap([q for row in table for q in at_rest(row).tolist()], np.median)


def _over(above: Table, below: Table) -> Estimate:
    """Ratio of the medians of two samples of starts."""
    return ratio(_median(above), _median(below)).noted(left_out(above), left_out(below))


def _starts(
    kind: str, over: str, under: str, table: Table, p: DynamicsParameters
) -> dict[str, Estimate]:
    """Two starts of a kind of memory, for each size."""
    panels = table.where(kind=kind, panels="A-D").groups("size")
    return {
        f"{'M' if kind == 'ram' else 'm'} = {size}": _over(
            rows.where(start=over), rows.where(start=under)
        )
        for (size,), rows in panels
    }


def _memories(table: Table, p: DynamicsParameters) -> dict[str, Estimate]:
    """RAM and Memento of equal effective memory."""
    random = table.where(panels="E-F")
    return {
        f"m = {m}": _over(
            random.where(kind="ram", size=4 ** (m - 1)), random.where(kind="memento", size=m)
        )
        for m in p.memento
    }


def _reached(table: Table, p: DynamicsParameters) -> dict[str, Estimate]:
    return {
        f"M = {row['size']}": mean(
            at_rest(row) / column_q(row["size"], row["mu"], row["reset"]), left_out(Table([row]))
        )
        for row in table.where(start="ccp")
    }


CLAIMS = (
    Claim(
        "ch7.fig4ab.random-is-worst",
        "Ch. 7, Fig. 4 A-B",
        "RAM: random starts end worse than linear ones.",
        "random above linear",
        Tolerance.at_least(1.0, "ratio of the medians of q at rest, random / linear"),
        partial(_starts, "ram", "random", "linear"),
    ),
    Claim(
        "ch7.fig4ab.columns-help",
        "Ch. 7, Fig. 4 A-B",
        "RAM: linear starts end worse than columns.",
        "linear above columns",
        Tolerance.at_least(1.0, "ratio of the medians of q at rest, linear / columns"),
        partial(_starts, "ram", "linear", "columns"),
    ),
    Claim(
        "ch7.fig4ab.columns-do-not-reach",
        "Ch. 7, Fig. 4 A-B",
        "RAM: even from columns, training does not reach the column of confidence.",
        "columns above CCP",
        Tolerance.at_least(1.02, "ratio of the medians at rest, columns / CCP start; over 2 %"),
        partial(_starts, "ram", "columns", "ccp"),
    ),
    Claim(
        "ch7.fig4ab.ccp-reached",
        "Ch. 7, Fig. 4 A-B",
        "RAM: runs that start close to the column of confidence reach its formula.",
        1.0,
        Tolerance(0.98, 1.02, "q at rest / q of the formula; 2 %"),
        _reached,
    ),
    Claim(
        "ch7.fig4cd.insensitive",
        "Ch. 7, Fig. 4 C-D",
        "Memento: random starts end close to cycles, slightly above.",
        "slightly above 1",
        Tolerance(1.0, 1.25, "ratio of the medians at rest, random / cycles; up to 25 %"),
        partial(_starts, "memento", "random", "cycles"),
    ),
    Claim(
        "ch7.fig4ef.memento-beats-ram",
        "Ch. 7, Fig. 4 E-F",
        "At equal effective memory, Memento trains to better policies than RAM from random starts.",
        "Memento below RAM",
        Tolerance.at_least(1.0, "ratio of the medians of q at rest, RAM / Memento"),
        _memories,
    ),
)


@lab.register
class Dynamics(lab.Experiment):
    """Ch. 7, Fig. 4."""

    name = "bandit-dynamics"
    chapter = "7"
    title = "Training an agent with a memory"
    summary = (
        "Gradient flow of the mean reward from 20 seeds of each start, and L-BFGS from its end "
        "until no gradient is left. With a random access memory the start decides: random policies "
        "get stuck far from the best, and every piece of structure helps. With a memory of the "
        "last m events the start hardly matters, and what is found from random starts is better "
        "than for a RAM of the same size."
    )
    sources = ("Ch. 7, Fig. 4", "Ch. 7, Sec. 5")
    version = 3
    Parameters = DynamicsParameters
    profiles = {  # noqa: RUF012
        "smoke": DynamicsParameters(
            ram={3: 50}, memento={2: 50}, starts=4, near_starts=2, newton_evaluations=200
        ),
        "quick": DynamicsParameters(ram={8: 1000, 20: 500}, memento={3: 1000, 4: 200}, starts=10),
        "overnight": DynamicsParameters(
            ram={8: 8000, 20: 6000}, memento={3: 6000, 4: 1200}, starts=20
        ),
        "paper": DynamicsParameters(
            ram={8: 200_000, 20: 200_000},
            memento={3: 200_000, 4: 100_000},
            starts=20,
            near_starts=20,
        ),
    }
    claims = CLAIMS

    def points(self, p: DynamicsParameters) -> Iterator[lab.Point]:
        shared = {"newton_evaluations": p.newton_evaluations, "mu": p.mu}
        far, near = {"starts": p.starts}, {"starts": p.near_starts}
        for kind, sizes, drawn, policy in (
            ("ram", p.ram, RAM_STARTS, "ccp"),
            ("memento", p.memento, MEMENTO_STARTS, "necklace"),
        ):
            start = [*({"start": name, **far} for name in drawn), {"start": policy, **near}]
            size = [{"size": size, "evaluations": n} for size, n in sizes.items()]
            panels = {"panels": "A-D", "reset": p.reset, "kind": kind}
            yield from lab.grid(1, size=size, start=start, **panels, **shared)
        for m, n in p.memento.items():
            memory = [{"kind": "memento", "size": m}, {"kind": "ram", "size": 4 ** (m - 1)}]
            panels = {"panels": "E-F", "reset": p.equal_reset, "start": "random"}
            yield from lab.grid(1, memory=memory, evaluations=n, **panels, **far, **shared)

    def cost(self, point: lab.Point) -> float:
        size, starts = point["size"], point["starts"]
        choices = 2 * size if point["kind"] == "ram" else 2 * (4**size - 1) // 3
        each = 3e-5 + 8e-9 * choices**2.5
        return float(point["evaluations"] * (8e-4 + starts * each) + starts * (0.06 + 150 * each))

    def measure(self, point: lab.Point) -> lab.Result:
        from symscape import bandit

        memory = memory_of(point["kind"], point["size"])
        world = bandit.Bandit(memory, bandit.two_hypotheses(point["mu"]), point["reset"])
        names = ("kind", "size", "start", "starts", "seed", "mu", "reset")
        flow, end = train(world, point, starting_logits(*(point[name] for name in names)))
        return {
            "times": flow.times.numpy(),
            "q_of_time": flow.q_of_time.numpy(),
            "q": end.q.numpy(),
            "gradient": end.gradient.numpy(),
        }

    def figures(self, table: Table, p: DynamicsParameters) -> list[Figure]:
        from symscape.bandit import necklace_q

        ordinary, random = table.where(panels="A-D"), table.where(panels="E-F")
        limits = {m: {"necklaces, r to 0": necklace_q(p.mu, m)} for m in p.memento}
        figures = []
        for letter, M in zip("ab", p.ram):
            rows, line = ordinary.where(kind="ram", size=M), {"CCP": column_q(M, p.mu, p.reset)}
            figures.append(_panel(letter, f"RAM, M = {M}", rows, "start", line))
        for letter, m in zip("cd", p.memento):
            rows = ordinary.where(kind="memento", size=m)
            figures.append(_panel(letter, f"Memento, m = {m}", rows, "start", limits[m]))
        for letter, m in zip("ef", p.memento):
            M = 4 ** (m - 1)
            both = (random.where(kind="memento", size=m), random.where(kind="ram", size=M))
            rows = Table(row for found in both for row in found)
            lines = {f"CCP, M = {M}": column_q(M, p.mu, p.equal_reset), **limits[m]}
            title = f"Memento m = {m} and RAM M = {M}, random starts"
            figures.append(_panel(letter, title, rows, "kind", lines))
        return figures


def _panel(letter: str, title: str, table: Table, by: str, lines: dict[str, float]) -> Figure:
    figure = Figure(
        f"fig4{letter}",
        title,
        "Median over the seeds of q against the time of the gradient flow, with the range of all "
        "seeds; the marker at its end is the median at rest, after L-BFGS. Dashed: what the "
        f"policies of the text reach. Ch. 7, Fig. 4{letter.upper()}.",
        Axis("time t", log=True),
        Axis("q", log=True),
        claims=tuple(c.id for c in CLAIMS if letter in c.id.split(".")[1].removeprefix("fig4")),
    )
    longest = 1.0
    for group, row in enumerate(table):
        complete = ~np.isnan(row["q_of_time"]).any(axis=0)
        if complete.any():
            name, times, q = row[by], row["times"][complete], row["q_of_time"][:, complete]
            longest = max(longest, float(times[-1]))
            figure.band(f"{name}, all seeds", times, q.min(axis=0), q.max(axis=0), group=group)
            figure.measured(name, times, np.median(q, axis=0), mode="lines", group=group)
            if len(at_rest(row)):
                rest = _median(Table([row]))
                figure.measured(f"{name}, at rest", times[-1:], rest.value, rest.error, group=group)
    for name, level in lines.items():
        figure.thesis(name, [1.0, longest], [level, level])
    return figure
