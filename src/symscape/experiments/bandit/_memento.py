"""The best policies of a memory of the last m events: are they the necklaces? (Sec. 6)"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.experiments.bandit._starts import REST, starting_logits
from symscape.lab import Axis, Claim, Figure, Row, Table, Tolerance
from symscape.scaling import Estimate, bootstrap

Events = Annotated[int, Field(ge=2, le=8)]
Reset = Annotated[float, Field(gt=0, lt=1)]


class MementoParameters(lab.Parameters):
    mu: float = Field(gt=0, le=1, default=0.1, description="difference mu of the arms")
    sizes: tuple[Events, ...] = Field(min_length=1, description="remembered events m")
    resets: tuple[Reset, ...] = Field(
        min_length=1,
        default=(1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
        description="resets r, decreasing; at each one training starts where the last one ended",
    )
    starts: int = Field(ge=4, description="random policies")
    near_starts: int = Field(ge=2, default=3, description="policies near the necklaces")
    evaluations: int = Field(ge=1, default=100, description="gradients of the flow, at first")
    newton_evaluations: int = Field(
        ge=10, default=1000, description="gradients of L-BFGS at each reset, at most"
    )


def _best(number: str, table: Table, p: MementoParameters) -> dict[str, Estimate]:
    """A number of the best policy that was found from random starts, at the smallest reset."""
    return {f"m = {row['size']}": _of_best(row, number) for row in table.where(start="random")}


def _of_best(row: Row, number: str) -> Estimate:
    from symscape.bandit import necklace_q

    limit, rest = necklace_q(row["mu"], row["size"]), row["gradient"][:, -1] <= REST
    q = row["q"][rest, -1]
    values = q / limit if number == "q" else row[number][rest]
    best = bootstrap(range(len(q)), lambda runs: float(values[min(runs, key=lambda i: q[i])]))
    return best.noted(
        f"The best q is {q.min():.4g} where the necklaces' limit is {limit:.4g}.",
        f"Left out, not at rest: {len(rest) - len(q)} of {len(rest)}."
        if len(q) < len(rest)
        else "",
    )


CLAIMS = (
    Claim(
        "ch7.sec6.necklaces",
        "Ch. 7, Sec. 6 and Def. 4.1 (i)",
        "The best trained Memento policies are necklace policies: they repeat the oldest arm.",
        "necklaces",
        Tolerance.at_least(
            0.9,
            "probability to play the oldest arm where the memory holds both arms, best of all "
            "random starts at the smallest reset; exits from a necklace are rare",
        ),
        partial(_best, "oldest_mixed"),
    ),
    Claim(
        "ch7.sec6.exits",
        "Ch. 7, Sec. 6 and Def. 4.1 (iii)",
        "The best trained Memento policies leave a necklace only after maximally informative "
        "rewards.",
        "only then",
        Tolerance.at_least(
            0.9, "share of the exits from mixed words after rewards that all speak for one arm"
        ),
        partial(_best, "informed_exits"),
    ),
    Claim(
        "ch7.sec6.conjecture",
        "Ch. 7, Sec. 6",
        "No Memento policy is better than the necklace policy, for r to 0.",
        "conjectured",
        Tolerance.at_least(
            1.0, "smallest q of all random starts / q*, which no necklace policy can go below"
        ),
        partial(_best, "q"),
    ),
)


@lab.register
class MementoPolicies(lab.Experiment):
    """Ch. 7, Sec. 6: the best policies of Memento."""

    name = "bandit-memento"
    chapter = "7"
    title = "The best policies of a memory of m events"
    summary = (
        "Random policies are trained at a large reset, where the landscape is simple, and followed "
        "to resets so small that nothing but the steady state counts. For m = 3 the best of them "
        "is the necklace policy, exit for exit. For m = 4 a policy is found that is better than "
        "any necklace policy can be."
    )
    sources = ("Ch. 7, Sec. 6", "Ch. 7, Def. 4.1 and Theorem 4.3")
    version = 1
    Parameters = MementoParameters
    profiles = {  # noqa: RUF012
        "smoke": MementoParameters(
            sizes=(2,), resets=(1e-2, 1e-3), starts=4, near_starts=2, evaluations=20
        ),
        "quick": MementoParameters(sizes=(3,), starts=20),
        "overnight": MementoParameters(sizes=(3, 4), starts=40),
        "paper": MementoParameters(sizes=(3, 4, 5), starts=400, evaluations=10_000),
    }
    claims = CLAIMS

    def points(self, p: MementoParameters) -> Iterator[lab.Point]:
        budget = {"evaluations": p.evaluations, "newton_evaluations": p.newton_evaluations}
        shared = {"mu": p.mu, "resets": list(p.resets), **budget}
        for m in p.sizes:
            for start, starts in (("random", p.starts), ("necklace", p.near_starts)):
                yield {"size": m, "start": start, "starts": starts, **shared, "seed": 0}

    def cost(self, point: lab.Point) -> float:
        choices = 2 * (4 ** point["size"] - 1) // 3
        each = 8e-4 + 8e-9 * choices**2.5
        return float(point["starts"] * (100 * len(point["resets"]) + point["evaluations"]) * each)

    def measure(self, point: lab.Point) -> lab.Result:
        from symscape import bandit

        memory, arms = bandit.Memento(point["size"]), bandit.two_hypotheses(point["mu"])
        resets, names = point["resets"], ("size", "start", "starts", "seed", "mu")
        given = {name: point[name] for name in names}
        logits = starting_logits("memento", **given, reset=resets[0])
        if point["start"] == "random":
            first = bandit.Bandit(memory, arms, resets[0])
            logits = bandit.gradient_flow(first, logits, evaluations=point["evaluations"]).logits
        q, gradient = [], []
        for reset in resets:
            world = bandit.Bandit(memory, arms, reset)
            found = bandit.minimize(world, logits, evaluations=point["newton_evaluations"])
            q.append(found.q.numpy())
            gradient.append(found.gradient.numpy())
            # What is as good as zero at one reset may have to grow at the next.
            logits = found.policy.logits(floor=min(1e-4, reset))
        shares = bandit.necklace_shares(world, found.policy)
        return {
            "q": np.stack(q, 1),
            "gradient": np.stack(gradient, 1),
            "oldest": shares.oldest.numpy(),
            "oldest_mixed": shares.oldest_mixed.numpy(),
            "informed_exits": shares.informed_exits.numpy(),
        }

    def figures(self, table: Table, p: MementoParameters) -> list[Figure]:
        return [_against_reset(table), _structure(table)]


def _against_reset(table: Table) -> Figure:
    from symscape.bandit import necklace_q

    figure = Figure(
        "best-vs-reset",
        "The best policies of Memento, against the reset probability",
        "Smallest q over all starts, from random policies and from near the necklace policy. "
        "Dashed: q*, the limit of the necklace policy, below which none of its kind can go.",
        Axis("reset probability r", log=True),
        Axis("q", log=True),
        claims=("ch7.sec6.conjecture",),
    )
    for row in table:
        m, resets = row["size"], row["resets"]
        rest = np.where(row["gradient"] <= REST, row["q"], np.inf).min(axis=0)
        figure.measured(f"m = {m}, {row['start']}", resets, rest, mode="lines+markers")
        if row["start"] == "random":
            figure.thesis(f"m = {m}, q*", resets, np.full(len(resets), necklace_q(row["mu"], m)))
    return figure


def _structure(table: Table) -> Figure:
    from symscape.bandit import necklace_q

    figure = Figure(
        "structure",
        "Are good policies necklace policies?",
        "Each marker is the end of one run at the smallest reset: how often it plays the oldest "
        "arm where the memory holds both arms, against q / q*.",
        Axis("q / q*", log=True),
        Axis("share of the oldest arm in mixed words", range=(0.0, 1.05)),
        claims=("ch7.sec6.necklaces", "ch7.sec6.exits"),
    )
    for row in table:
        rest = row["gradient"][:, -1] <= REST
        ratios = row["q"][rest, -1] / necklace_q(row["mu"], row["size"])
        figure.measured(f"m = {row['size']}, {row['start']}", ratios, row["oldest_mixed"][rest])
    return figure
