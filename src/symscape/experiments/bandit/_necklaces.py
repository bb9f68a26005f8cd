"""Necklaces and Table 1: what a memory of m events or of M states can reach without reset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.lab import Axis, Claim, Figure, Finding, Row, Table, Tolerance


def _better_first(arms: tuple[float, float]) -> tuple[float, float]:
    """Validate a pair of arms."""
    if not 0 < arms[1] < arms[0] < 1:
        raise ValueError("arms must be 0 < k_B < k_A < 1")
    return arms


Arms = Annotated[tuple[float, float], AfterValidator(_better_first)]
Events = Annotated[int, Field(ge=2, le=7)]
States = Annotated[int, Field(ge=2)]
Rate = Annotated[float, Field(gt=0, le=1)]

TINY = 1e-14
"""Exit rate of the necklaces that stands for the limit of small rates."""

TINIEST = 1e-60
"""Exit rate of the ends: small enough that nothing but the ends is seen, even where the worse one
has a probability of 1e-20."""


class NecklaceParameters(lab.Parameters):
    letters: int = Field(ge=3, le=13, description="largest m whose necklaces are put in order")
    memento_sizes: tuple[Events, ...] = Field(
        min_length=2, description="m of Table 1 and Theorem 4.3"
    )
    ram_sizes: tuple[States, ...] = Field(min_length=2, description="M of Table 1")
    mu: float = Field(gt=0, lt=1, default=0.1, description="difference mu of the two hypotheses")
    arms: tuple[Arms, ...] = Field(min_length=1, description="other pairs (k_A, k_B), k_A > k_B")
    rates: tuple[Rate, ...] = Field(
        min_length=1, description="exit rates epsilon_1 with finite effect, for Theorem 4.3"
    )


CLAIMS = (
    Claim(
        "ch7.sec3.hellman-cover",
        "Ch. 7, Sec. 3 and Fig. 1A",
        "A walk on 2M states that decide the arm alone is as good as the column of M states.",
        "alpha^(2M-1) / (1 + alpha^(2M-1))",
        Tolerance(0, 1e-9, "largest relative deviation of q from the formula, of both agents"),
        profile="quick",
    ),
    Claim(
        "ch7.def4.1.number",
        "Ch. 7, Def. 4.1",
        "N(m) = (1/m) sum of phi(d) 2^(m/d) is the number of binary necklaces.",
        "equal",
        Tolerance(0, 0, "largest difference from counting rotations, exact"),
        profile="quick",
    ),
    Claim(
        "ch7.def4.1.gray-order",
        "Ch. 7, Def. 4.1 (Degni & Drisko)",
        "For prime m there is a Gray order of all necklaces, n(m) = N(m).",
        "n(m) = N(m)",
        Tolerance(0, 0, "largest N(m) - n(m) over the prime m, exact"),
        profile="quick",
    ),
    Claim(
        "ch7.fig3.four-letters",
        "Ch. 7, Fig. 3",
        "For m = 4 the chain has 5 necklaces, 3 and the 2 ends.",
        5,
        Tolerance(5, 5, "exact"),
        profile="smoke",
    ),
    Claim(
        "ch7.theorem4.3.limit",
        "Ch. 7, Theorem 4.3",
        "The necklace policy converges to q* = (1 + alpha^(m (1 - n(m))))^(-1).",
        "q tends to q*",
        Tolerance(0, 1e-6, "largest q / q* - 1 at epsilon_1 = 1e-14, epsilon_0 = 1e-60"),
        profile="quick",
    ),
    Claim(
        "ch7.theorem4.3.bound",
        "Ch. 7, Theorem 4.3",
        "q* is a lower bound: q >= q* for every epsilon_0 and epsilon_1.",
        ">= 1",
        Tolerance(1 - 1e-12, math.inf, "smallest q / q* over all rates, up to rounding"),
        profile="quick",
    ),
    Claim(
        "ch7.table1.necklaces-any-arms",
        "Ch. 7, Table 1",
        "Odds of the better arm for any k_A > k_B, Memento with necklaces.",
        "formula",
        Tolerance(0, 1e-5, "largest relative deviation from the formula, small exit rates"),
        profile="quick",
    ),
    Claim(
        "ch7.table1.columns-any-arms",
        "Ch. 7, Table 1 and Eq. 41",
        "Odds of the better arm for any k_A > k_B, RAM with the column of confidence.",
        "formula",
        Tolerance(0, 1e-5, "largest relative deviation from the formula, small epsilon"),
        profile="quick",
    ),
    Claim(
        "ch7.table1.memento-growth",
        "Ch. 7, Table 1",
        "log(1/q - 1) grows like the square root of M_eff for Memento.",
        0.5,
        Tolerance(0.4, 0.6, "slope in log-log over the sizes, +- 0.1: the law is asymptotic"),
        profile="quick",
    ),
    Claim(
        "ch7.table1.ram-growth",
        "Ch. 7, Table 1",
        "log(1/q - 1) grows like M_eff / 2 for RAM.",
        0.5,
        Tolerance(0.499, 0.501, "slope of log(1/q - 1) / log(1/alpha) against M_eff: exact line"),
        profile="quick",
    ),
)


@lab.register
class Necklaces(lab.Experiment):
    """Ch. 7, Figs. 3 and 5, Theorem 4.3 and Table 1."""

    name = "bandit-necklaces"
    chapter = "7"
    title = "Necklaces: a memory of m events that counts to 2^m"
    summary = (
        "An agent that only sees its last m plays can write into that memory by what it plays: it "
        "repeats a cycle of m arms, and changes a letter of it when all rewards agree. The cycles "
        "form a chain on which it walks towards the better arm. Steady states are computed without "
        "reset by an elimination that keeps relative accuracy at exit rates of 1e-18."
    )
    sources = ("Ch. 7, Figs. 3 and 5", "Ch. 7, Theorem 4.3", "Ch. 7, Table 1")
    version = 1
    Parameters = NecklaceParameters
    profiles = {  # noqa: RUF012
        "smoke": NecklaceParameters(
            letters=5, memento_sizes=(2, 3), ram_sizes=(2, 3), arms=((0.7, 0.4),), rates=(0.1,)
        ),
        "quick": NecklaceParameters(
            letters=11,
            memento_sizes=(2, 3, 4),
            ram_sizes=(2, 3, 5, 8),
            arms=((0.7, 0.4), (0.9, 0.2)),
            rates=(0.5, 0.1, 1e-2, 1e-4),
        ),
        "overnight": NecklaceParameters(
            letters=13,
            memento_sizes=(2, 3, 4, 5),
            ram_sizes=(2, 3, 5, 8, 12, 16),
            arms=((0.7, 0.4), (0.9, 0.2), (0.6, 0.55)),
            rates=(0.9, 0.5, 0.2, 0.1, 1e-2, 1e-3, 1e-4, 1e-6),
        ),
        "paper": NecklaceParameters(
            letters=13,
            memento_sizes=(2, 3, 4, 5, 6),
            ram_sizes=(2, 3, 5, 8, 12, 16, 24, 32),
            arms=((0.7, 0.4), (0.9, 0.2), (0.6, 0.55)),
            rates=(0.9, 0.5, 0.2, 0.1, 1e-2, 1e-3, 1e-4, 1e-6),
        ),
    }
    claims = CLAIMS

    def points(self, p: NecklaceParameters) -> Iterator[dict[str, Any]]:
        for m in range(2, p.letters + 1):
            yield {"what": "order", "size": m, "seed": 0}
        both = [(0.5 + p.mu / 2, 0.5 - p.mu / 2), *p.arms]
        limit = (TINY, TINIEST)
        for m in p.memento_sizes:
            for k_best, k_worst in both:
                yield _point("memento", m, k_best, k_worst, *limit)
            for rate in p.rates:
                for end in (rate, rate**2, rate**3):
                    yield _point("memento", m, *both[0], rate, end)
        for M in p.ram_sizes:
            for k_best, k_worst in both:
                yield _point("ram", M, k_best, k_worst, TINIEST, TINIEST)
            yield _point("hellman-cover", 2 * M, *both[0], TINIEST, TINIEST)

    def cost(self, point: dict[str, Any]) -> float:
        if point["what"] == "order":
            return float(1e-5 * 2 ** point["size"])
        choices = 4 ** point["size"] if point["what"] == "memento" else 2 * point["size"]
        return 2e-2 + 1e-9 * float(choices) ** 3

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        if point["what"] == "order":
            return _order(point["size"])
        return _odds(point)

    def analyse(self, table: Table, p: NecklaceParameters) -> list[Finding]:
        orders = table.where(what="order").rows
        memento, ram = table.where(what="memento").rows, table.where(what="ram").rows
        limit = [row for row in memento if row["epsilon0"] == TINIEST]
        ours = [row for row in memento if _is_symmetric(row)]
        primes = [row for row in orders if all(row["size"] % d for d in range(2, row["size"]))]
        four = [row["length"] for row in orders if row["size"] == 4]
        walks = table.where(what="hellman-cover").rows
        return [
            Finding(
                "ch7.sec3.hellman-cover",
                _largest(
                    abs(row["q"] / row["q_formula"] - 1)
                    for row in (*walks, *filter(_is_symmetric, ram))
                ),
            ),
            Finding("ch7.def4.1.number", _largest(abs(r["number"] - r["counted"]) for r in orders)),
            Finding("ch7.def4.1.gray-order", _largest(r["number"] - r["length"] for r in primes)),
            Finding("ch7.fig3.four-letters", four[0] if four else None, note="" if four else NONE),
            Finding(
                "ch7.theorem4.3.limit",
                _largest(abs(r["q"] / r["q_formula"] - 1) for r in limit if _is_symmetric(r)),
            ),
            Finding(
                "ch7.theorem4.3.bound",
                min((row["q"] / row["q_formula"] for row in ours), default=None),
                note="" if ours else NONE,
            ),
            Finding("ch7.table1.necklaces-any-arms", _largest(map(_deviation, limit))),
            Finding("ch7.table1.columns-any-arms", _largest(map(_deviation, ram))),
            _growth("ch7.table1.memento-growth", [r for r in limit if _is_symmetric(r)], log=True),
            _growth("ch7.table1.ram-growth", [r for r in ram if _is_symmetric(r)], log=False),
        ]

    def figures(self, table: Table, p: NecklaceParameters) -> list[Figure]:
        return [_table1(table), _approach(table), _chain(table)]


NONE = "No such point is finished."


def _point(
    what: str, size: int, k_best: float, k_worst: float, rate: float, end: float
) -> dict[str, Any]:
    arms = {"k_best": k_best, "k_worst": k_worst}
    return {"what": what, "size": size, **arms, "epsilon1": rate, "epsilon0": end, "seed": 0}


def _order(m: int) -> dict[str, Any]:
    """The number of necklaces, counted and by the formula, and the length of the chain."""
    from symscape.bandit import gray_necklaces, n_necklaces

    low, seen, counted = 2**m - 1, np.zeros(2**m, dtype=bool), 0
    for word in range(2**m):
        if not seen[word]:
            counted += 1
            for shift in range(m):
                seen[((word << shift) | (word >> (m - shift))) & low] = True
    return {"number": n_necklaces(m), "counted": counted, "length": len(gray_necklaces(m))}


def _odds(point: dict[str, Any]) -> dict[str, Any]:
    """q without reset, and by the formula for small exit rates."""
    import torch

    from symscape.bandit import (
        RAM,
        Bandit,
        HellmanCover,
        Memento,
        ccp_odds,
        ccp_policy,
        hellman_cover_policy,
        hellman_cover_q,
        necklace_odds,
        necklace_policy,
    )

    size, k_best, k_worst = point["size"], point["k_best"], point["k_worst"]
    # One hypothesis, A is better: the policies treat both arms alike.
    arms = torch.tensor([[k_best, k_worst]], dtype=torch.float64)
    if point["what"] == "ram":
        bandit, odds = Bandit(RAM(size), arms, 0.0), ccp_odds(size, k_best, k_worst)
        policy = ccp_policy(size, point["epsilon1"])
    elif point["what"] == "hellman-cover":
        # With symmetric arms every reward changes the odds by the same alpha.
        q = hellman_cover_q(size, k_worst / k_best)
        bandit, odds = Bandit(HellmanCover(size), arms, 0.0), 1 / q - 1
        policy = hellman_cover_policy(size, point["epsilon1"])
    else:
        bandit, odds = Bandit(Memento(size), arms, 0.0), necklace_odds(size, k_best, k_worst)
        policy = necklace_policy(size, point["epsilon0"], point["epsilon1"])
    u = bandit.choices(policy)[0]
    right = float(u[bandit.memory.arms == 0].sum())
    wrong = float(u[bandit.memory.arms == 1].sum())
    found = {
        "q": wrong,
        "odds": right / wrong,
        "odds_formula": odds,
        "q_formula": 1 / (1 + odds),
        "effective_size": bandit.memory.effective_size,
    }
    return found | {"necklaces": _shares(bandit, u) if point["what"] == "memento" else np.zeros(0)}


def _shares(bandit: Any, u: Any) -> Any:
    """Probability of each necklace of the chain."""
    from symscape.bandit import gray_necklaces, necklace_of

    m = bandit.memory.m
    place = {word: i for i, word in enumerate(gray_necklaces(m))}
    shares = np.zeros(len(place))
    for c in range(4**m // 2):
        word = necklace_of(bandit.memory.history(2 * c)[0])
        if word in place:
            shares[place[word]] += float(u[c])
    return shares


def _is_symmetric(row: Row) -> bool:
    return bool(abs(row["k_best"] + row["k_worst"] - 1) < 1e-12)


def _deviation(row: Row) -> float:
    return float(abs(row["odds"] / row["odds_formula"] - 1))


def _largest(values: Any) -> float | None:
    return max(values, default=None)


def _growth(claim: str, rows: list[Row], *, log: bool) -> Finding:
    """How log(1/q - 1), in units of log(1/alpha), grows with the effective memory."""
    if len({row["size"] for row in rows}) < 2:
        return Finding(claim, None, note=NONE)
    size = np.array([row["effective_size"] for row in rows], dtype=float)
    exponent = np.array(
        [math.log(row["odds"]) / math.log(row["k_best"] / row["k_worst"]) for row in rows]
    )
    x, y = (np.log(size), np.log(exponent)) if log else (size, exponent)
    return Finding(claim, float(np.polyfit(x, y, 1)[0]), note=f"{len(rows)} sizes.")


def _table1(table: Table) -> Figure:
    figure = Figure(
        "table1",
        "What a memory can do without reset",
        "Exponent of the odds of the better arm, log(1/q - 1) / log(1/alpha), against the "
        "effective memory: 4^m for the last m events, 4 M for M states. Lines: Table 1.",
        Axis("effective memory M_eff", log=True),
        Axis("log(1/q - 1) / log(1/alpha)", log=True),
    )
    names = {"ram": "RAM, column of confidence", "memento": "Memento, necklaces"}
    for what, name in names.items():
        rows = [
            row for row in table.where(what=what) if row["epsilon1"] == TINY and _is_symmetric(row)
        ]
        if rows:
            x = [row["effective_size"] for row in rows]
            alpha = [math.log(row["k_best"] / row["k_worst"]) for row in rows]
            figure.measured(name, x, [math.log(r["odds"]) / a for r, a in zip(rows, alpha)])
            formula = [math.log(r["odds_formula"]) / a for r, a in zip(rows, alpha)]
            figure.thesis(f"{name}, formula", x, formula)
    sizes = np.geomspace(16, 1024, 20)
    figure.guide("square root of M_eff", sizes, np.sqrt(sizes))
    return figure


def _approach(table: Table) -> Figure:
    figure = Figure(
        "approach",
        "How the necklace policy approaches its bound",
        "q / q* - 1 against the exit rate of the necklaces, for exit rates of the ends equal to "
        "its square: it vanishes linearly. Theorem 4.3.",
        Axis("epsilon_1", log=True),
        Axis("q / q* - 1", log=True),
    )
    for (m,), found in Table(table.where(what="memento").rows).groups("size"):
        rows = [
            row
            for row in found
            if _is_symmetric(row) and math.isclose(row["epsilon0"], row["epsilon1"] ** 2)
        ]
        rows.sort(key=lambda row: row["epsilon1"])
        if rows:
            excess = [row["q"] / row["q_formula"] - 1 for row in rows]
            figure.measured(f"m = {m}", [row["epsilon1"] for row in rows], excess)
    return figure


def _chain(table: Table) -> Figure:
    figure = Figure(
        "chain",
        "The chain of necklaces",
        "Probability of each necklace, from A..A (1) to B..B (n), where A is the better arm: the "
        "two ends hold nearly everything. Ch. 7, Figs. 3 and 5.",
        Axis("position in the chain"),
        Axis("probability", log=True),
    )
    for (m,), found in table.where(what="memento").groups("size"):
        rows = [
            row
            for row in found
            if _is_symmetric(row) and math.isclose(row["epsilon0"], row["epsilon1"] ** 2)
        ]
        if rows:
            shares = min(rows, key=lambda row: abs(math.log10(row["epsilon1"]) + 1))["necklaces"]
            figure.measured(f"m = {m}", np.arange(1, len(shares) + 1), shares, mode="lines+markers")
    return figure
