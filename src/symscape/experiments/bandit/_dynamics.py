"""Training from different starts: Fig. 4, and what the best Memento policies do (Sec. 6)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from symscape import lab
from symscape.experiments.bandit._starts import (
    MEMENTO_STARTS,
    RAM_STARTS,
    column_q,
    memory_of,
    starting_logits,
)
from symscape.lab import Axis, Claim, Figure, Finding, Row, Table, Tolerance

if TYPE_CHECKING:
    from symscape.bandit import Bandit, Memento, Policy

Array = NDArray[np.float64]
Evaluations = Annotated[int, Field(ge=1)]
States = Annotated[int, Field(ge=2)]
Events = Annotated[int, Field(ge=2, le=8)]

COLORS = {
    "random": 0,
    "linear": 1,
    "columns": 2,
    "ccp": 3,
    "cycles": 1,
    "necklace": 4,
    "Memento": 0,
    "RAM": 1,
}


class DynamicsParameters(lab.Parameters):
    mu: float = Field(gt=0, le=1, default=0.1, description="difference mu of the arms")
    ram_sizes: tuple[States, ...] = Field(
        min_length=1, max_length=2, description="M of panels A and B"
    )
    memento_sizes: tuple[Events, ...] = Field(
        min_length=1, max_length=2, description="m of panels C and D, and of E and F"
    )
    reset: float = Field(gt=0, lt=1, default=1e-3, description="reset r of panels A to D")
    equal_reset: float = Field(gt=0, lt=1, default=1e-5, description="reset r of panels E and F")
    starts: int = Field(ge=3, description="seeds of each start, trained in one batch")
    ram_evaluations: tuple[Evaluations, ...] = Field(description="gradients of a flow for each M")
    memento_evaluations: tuple[Evaluations, ...] = Field(
        description="gradients of a flow for each m"
    )
    equal_evaluations: tuple[Evaluations, ...] = Field(description="the same in panels E and F")

    @model_validator(mode="after")
    def _one_number_each(self) -> DynamicsParameters:
        for sizes, evaluations in (
            ("ram_sizes", "ram_evaluations"),
            ("memento_sizes", "memento_evaluations"),
            ("memento_sizes", "equal_evaluations"),
        ):
            n, needed = len(getattr(self, evaluations)), len(getattr(self, sizes))
            if n != needed:
                raise ValueError(
                    f"{evaluations} has {n} numbers; it needs {needed}, one for each of {sizes}"
                )
        return self


CLAIMS = (
    Claim(
        "ch7.fig4ab.random-is-worst",
        "Ch. 7, Fig. 4 A-B",
        "RAM: random starts end worse than linear ones.",
        "random above linear",
        Tolerance(1.0, math.inf, "smallest ratio of the medians of q, random / linear"),
    ),
    Claim(
        "ch7.fig4ab.columns-help",
        "Ch. 7, Fig. 4 A-B",
        "RAM: linear starts end worse than columns.",
        "linear above columns",
        Tolerance(1.0, math.inf, "smallest ratio of the medians of q, linear / columns"),
    ),
    Claim(
        "ch7.fig4ab.columns-do-not-reach",
        "Ch. 7, Fig. 4 A-B",
        "RAM: even from columns, training does not reach the column of confidence.",
        "columns above CCP",
        Tolerance(1.02, math.inf, "smallest ratio of the medians, columns / CCP start; over 2 %"),
    ),
    Claim(
        "ch7.fig4ab.ccp-reached",
        "Ch. 7, Fig. 4 A-B",
        "RAM: runs that start close to the column of confidence reach its formula.",
        1.0,
        Tolerance(0.98, 1.02, "q trained / q of the formula, the one that is farthest off; 2 %"),
    ),
    Claim(
        "ch7.fig4cd.insensitive",
        "Ch. 7, Fig. 4 C-D",
        "Memento: random starts end close to cycles, slightly above.",
        "slightly above 1",
        Tolerance(1.0, 1.25, "ratio of the medians, random / cycles, farthest off; up to 25 %"),
    ),
    Claim(
        "ch7.fig4ef.memento-beats-ram",
        "Ch. 7, Fig. 4 E-F",
        "At equal effective memory, Memento trains to better policies than RAM from random starts.",
        "Memento below RAM",
        Tolerance(1.0, math.inf, "smallest ratio of the medians of q, RAM / Memento"),
    ),
    Claim(
        "ch7.sec6.necklaces",
        "Ch. 7, Sec. 6",
        "The best trained Memento policies are necklace policies: they repeat the oldest arm.",
        "necklaces",
        Tolerance(
            0.9,
            1.0,
            "smallest probability to play the oldest arm where the memory holds both arms, best "
            "random start of each panel C to F; exits from a necklace are rare",
        ),
    ),
)


@lab.register
class Dynamics(lab.Experiment):
    """Ch. 7, Fig. 4 and Sec. 6."""

    name = "bandit-dynamics"
    chapter = "7"
    title = "Training an agent with a memory"
    summary = (
        "Gradient flow of the mean reward from 20 seeds of each start. With a random access memory "
        "the start decides: random policies get stuck far from the best, and every piece of "
        "structure helps. With a memory of the last m events the start hardly matters, and what is "
        "found from random starts is better than for a RAM of the same size."
    )
    sources = ("Ch. 7, Fig. 4", "Ch. 7, Sec. 5 and 6")
    version = 2
    Parameters = DynamicsParameters
    profiles = {  # noqa: RUF012
        "smoke": DynamicsParameters(
            ram_sizes=(3,),
            memento_sizes=(2,),
            starts=4,
            ram_evaluations=(150,),
            memento_evaluations=(150,),
            equal_evaluations=(150,),
        ),
        "quick": DynamicsParameters(
            ram_sizes=(8, 20),
            memento_sizes=(3, 4),
            starts=10,
            ram_evaluations=(2000, 800),
            memento_evaluations=(1500, 400),
            equal_evaluations=(1500, 400),
        ),
        "overnight": DynamicsParameters(
            ram_sizes=(8, 20),
            memento_sizes=(3, 4),
            starts=20,
            ram_evaluations=(8000, 6000),
            memento_evaluations=(6000, 2500),
            equal_evaluations=(6000, 2500),
        ),
        "paper": DynamicsParameters(
            ram_sizes=(8, 20),
            memento_sizes=(3, 4),
            starts=20,
            ram_evaluations=(200_000, 200_000),
            memento_evaluations=(200_000, 100_000),
            equal_evaluations=(200_000, 100_000),
        ),
    }
    claims = CLAIMS

    def points(self, p: DynamicsParameters) -> Iterator[dict[str, Any]]:
        shared = {"mu": p.mu, "starts": p.starts, "seed": 0}
        ordinary = {"panels": "A-D", "reset": p.reset}
        equal = {"panels": "E-F", "reset": p.equal_reset}
        for M, n in zip(p.ram_sizes, p.ram_evaluations, strict=True):
            for start in (*RAM_STARTS, "ccp"):
                what = {"kind": "ram", "size": M, "start": start, "evaluations": n}
                yield {**what, **ordinary, **shared}
        for m, n in zip(p.memento_sizes, p.memento_evaluations, strict=True):
            for start in (*MEMENTO_STARTS, "necklace"):
                what = {"kind": "memento", "size": m, "start": start, "evaluations": n}
                yield {**what, **ordinary, **shared}
        for m, n in zip(p.memento_sizes, p.equal_evaluations, strict=True):
            for kind, size in (("memento", m), ("ram", 4 ** (m - 1))):
                what = {"kind": kind, "size": size, "start": "random", "evaluations": n}
                yield {**what, **equal, **shared}

    def cost(self, point: dict[str, Any]) -> float:
        size, starts = point["size"], point["starts"]
        choices = 2 * size if point["kind"] == "ram" else 2 * (4**size - 1) // 3
        if point["start"] in ("ccp", "necklace"):
            starts = 1
        return float(point["evaluations"] * (5e-4 + starts * 5e-9 * choices**2.5))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.bandit import Bandit, Memento, gradient_flow, two_hypotheses

        memory = memory_of(point["kind"], point["size"])
        bandit = Bandit(memory, two_hypotheses(point["mu"]), point["reset"])
        names = ("kind", "size", "start", "starts", "seed", "mu", "reset")
        flow = gradient_flow(
            bandit,
            starting_logits(*(point[name] for name in names)),
            evaluations=point["evaluations"],
        )
        nan = np.full(len(flow.q), np.nan)
        shares = {"oldest": nan, "oldest_mixed": nan, "mixed": nan}
        if isinstance(memory, Memento):
            shares = _oldest_arm(bandit, memory, flow.policy)
        return {
            "times": flow.times.numpy(),
            "q_of_time": flow.q_of_time.numpy(),
            "q": flow.q.numpy(),
            "time": flow.t.numpy(),
            "steps": flow.steps.numpy(),
            **shares,
        }

    def analyse(self, table: Table, p: DynamicsParameters) -> list[Finding]:
        ordinary, random = table.where(panels="A-D"), table.where(panels="E-F")
        ram = {(row["size"], row["start"]): row for row in ordinary.where(kind="ram")}
        memento = {(row["size"], row["start"]): row for row in ordinary.where(kind="memento")}
        equal = {(row["kind"], row["size"]): row for row in random}
        pairs = [
            (equal.get(("ram", 4 ** (m - 1))), equal.get(("memento", m)), m)
            for m in p.memento_sizes
        ]

        def of(rows: dict[Any, Row], sizes: tuple[int, ...], over: str, under: str) -> Any:
            return [(rows.get((s, over)), rows.get((s, under)), s) for s in sizes]

        sensitivity = of(memento, p.memento_sizes, "random", "cycles")
        return [
            _ratio("ch7.fig4ab.random-is-worst", of(ram, p.ram_sizes, "random", "linear"), min),
            _ratio("ch7.fig4ab.columns-help", of(ram, p.ram_sizes, "linear", "columns"), min),
            _ratio("ch7.fig4ab.columns-do-not-reach", of(ram, p.ram_sizes, "columns", "ccp"), min),
            _reached("ch7.fig4ab.ccp-reached", [ram.get((M, "ccp")) for M in p.ram_sizes]),
            _ratio("ch7.fig4cd.insensitive", sensitivity, _farthest),
            _ratio("ch7.fig4ef.memento-beats-ram", pairs, min),
            _necklaces("ch7.sec6.necklaces", table.where(kind="memento")),
        ]

    def figures(self, table: Table, p: DynamicsParameters) -> list[Figure]:
        ordinary, random = table.where(panels="A-D"), table.where(panels="E-F")
        figures = []
        for letter, M in zip("ab", p.ram_sizes):
            rows = ordinary.where(kind="ram", size=M)
            lines = {"CCP": column_q(M, p.mu, p.reset)}
            figures.append(_panel(letter, f"RAM, M = {M}", _named(rows, "start"), lines))
        for letter, m in zip("cd", p.memento_sizes):
            rows = ordinary.where(kind="memento", size=m)
            figures.append(
                _panel(letter, f"Memento, m = {m}", _named(rows, "start"), _necklace_line(p.mu, m))
            )
        for letter, m in zip("ef", p.memento_sizes):
            M = 4 ** (m - 1)
            memento, ram = random.where(kind="memento", size=m), random.where(kind="ram", size=M)
            named = {
                name: found.rows[0]
                for name, found in (("Memento", memento), ("RAM", ram))
                if len(found)
            }
            lines = {f"CCP, M = {M}": column_q(M, p.mu, p.equal_reset)}
            title = f"Memento m = {m} and RAM M = {M}, random starts"
            figures.append(_panel(letter, title, named, lines | _necklace_line(p.mu, m)))
        return figures


def _named(rows: Table, field: str) -> dict[str, Row]:
    return {row[field]: row for row in rows}


def _necklace_line(mu: float, m: int) -> dict[str, float]:
    from symscape.bandit import necklace_q

    return {"necklaces, r to 0": necklace_q(mu, m)}


def _farthest(ratios: list[float]) -> float:
    return max(ratios, key=lambda ratio: abs(math.log(ratio)))


def _ratio(
    claim: str,
    pairs: list[tuple[Row | None, Row | None, int]],
    pick: Callable[[list[float]], float],
) -> Finding:
    """A ratio of medians of q, with the error of a bootstrap over the starts."""
    found = [(over, under, size) for over, under, size in pairs if over and under]
    if len(found) < len(pairs):
        return Finding(claim, None, note="The runs of a panel are not finished.")
    ratios = [float(np.median(over["q"]) / np.median(under["q"])) for over, under, _ in found]
    chosen = pick(ratios)
    over, under, _ = found[ratios.index(chosen)]
    generator = np.random.default_rng(0)
    again = [
        np.median(generator.choice(over["q"], len(over["q"])))
        / np.median(generator.choice(under["q"], len(under["q"])))
        for _ in range(400)
    ]
    said = ", ".join(f"{ratio:.4g} (size {size})" for ratio, (*_, size) in zip(ratios, found))
    return Finding(claim, chosen, float(np.std(again)), f"Ratios of the medians: {said}.")


def _reached(claim: str, rows: list[Row | None]) -> Finding:
    found = [row for row in rows if row is not None]
    if len(found) < len(rows):
        return Finding(claim, None, note="The runs of a panel are not finished.")
    ratios = [float(row["q"][0]) / column_q(row["size"], row["mu"], row["reset"]) for row in found]
    return Finding(claim, _farthest(ratios))


def _oldest_arm(bandit: Bandit, memory: Memento, policy: Policy) -> dict[str, Array]:
    """How often the oldest arm is played: of all full memories, and of those with both arms.

    A good agent mostly sits where its memory holds one arm alone, AAA or BBB, and stays there:
    there it plays the oldest arm whatever cycles it knows. Only mixed words tell necklaces apart.
    ``mixed`` is their weight in the steady state.
    """
    full = range(4**memory.m)
    mixed = [len(set(memory.history(o)[0])) > 1 for o in full]
    seen = bandit.observations(policy)[:, : len(full)]
    repeated = seen * policy.actions[:, full, memory.oldest_arm]
    return {
        "oldest": (repeated.sum(1) / seen.sum(1)).numpy(),
        "oldest_mixed": (repeated[:, mixed].sum(1) / seen[:, mixed].sum(1)).numpy(),
        "mixed": (seen[:, mixed].sum(1) / seen.sum(1)).numpy(),
    }


def _necklaces(claim: str, table: Table) -> Finding:
    """The share of the oldest arm in mixed words, in the best run of each panel.

    Cycles and necklaces start as what is asked for; the note has the necklaces beside.
    """
    said, shares = [], []
    for (_, reset, m), rows in table.groups("panels", "reset", "size"):
        found = {row["start"]: _best(row) for row in rows}
        if "random" not in found:
            continue
        best = found["random"]
        shares.append(best["oldest_mixed"])
        text = (
            f"m = {m}, r = {reset:g}: {best['oldest_mixed']:.3f} at q = {best['q']:.4g} "
            f"({best['oldest']:.3f} of all words, of which {best['mixed']:.2g} are mixed)"
        )
        if "necklace" in found:
            start = found["necklace"]
            text += f", from a necklace {start['oldest_mixed']:.3f} at q = {start['q']:.4g}"
        said.append(text)
    if not shares:
        return Finding(claim, None, note="No Memento run from random policies is finished.")
    return Finding(claim, min(shares), note="; ".join(said) + ".", runs=table.keys)


def _best(row: Row) -> dict[str, float]:
    """The numbers of the run with the smallest q."""
    i = int(np.argmin(row["q"]))
    return {name: float(row[name][i]) for name in ("q", "oldest", "oldest_mixed", "mixed")}


def _panel(letter: str, title: str, rows: dict[str, Row], lines: dict[str, float]) -> Figure:
    figure = Figure(
        f"fig4{letter}",
        title,
        "Median over the seeds of q against the time of the gradient flow, with the range of all "
        f"seeds. Dashed: what the policies of the text reach. Ch. 7, Fig. 4{letter.upper()}.",
        Axis("time t", log=True),
        Axis("q", log=True),
    )
    longest = 1.0
    for name, row in rows.items():
        times, q = row["times"], row["q_of_time"]
        complete = ~np.isnan(q).any(axis=0)
        if not complete.any():
            continue
        times, q = times[complete], q[:, complete]
        longest = max(longest, float(times[-1]))
        group = COLORS[name]
        if len(q) > 1:
            figure.band(f"{name}, all seeds", times, q.min(axis=0), q.max(axis=0), group=group)
        figure.measured(name, times, np.median(q, axis=0), mode="lines", group=group)
    for name, q in lines.items():
        figure.thesis(name, [1.0, longest], [q, q])
    return figure
