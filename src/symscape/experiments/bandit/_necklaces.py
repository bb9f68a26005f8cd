"""Necklaces and Table 1: what a memory of m events or of M states can reach without reset."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.lab import Axis, Claim, Figure, Row, Table, Tolerance
from symscape.scaling import Estimate, NoEstimate, slope

Array = NDArray[np.float64]


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
    walk_sites: tuple[States, ...] = Field(default=(2, 10, 30), description="n of Lemmas 4.1, 4.2")
    ucb_mu: float = Field(gt=0, lt=1, default=0.5, description="difference mu of UCB's arms")
    ucb_plays: int = Field(ge=10, description="plays of each UCB agent")
    ucb_agents: int = Field(ge=1, default=100, description="UCB agents of each seed")
    seeds: int = Field(ge=2, default=5, description="seeds of the walks and of the UCB agents")


def _largest(values: Iterable[float]) -> Estimate:
    """The largest of some deviations; NaN is larger than any."""
    found = list(values)
    if not found:
        raise NoEstimate("No run gives this number.")
    return Estimate(float(np.max(found)))


def _symmetric(table: Table, what: str) -> Table:
    """Runs of a memory in the two-hypothesis problem, k_A + k_B = 1."""
    return table.where(what=what).select(
        lambda row: bool(abs(row["k_best"] + row["k_worst"] - 1) < 1e-12)
    )


def _in_limit(table: Table) -> Table:
    """Memento with exit rates that stand for the limit of small ones."""
    return table.where(epsilon0=TINIEST)


def _exponent(row: Row) -> float:
    """log(1/q - 1) in units of log(1/alpha)."""
    return math.log(row["odds"]) / math.log(row["k_best"] / row["k_worst"])


def _largest_deviation(table: Table, number: str) -> Estimate:
    """Largest relative deviation of a number, or an array of them, from its formula."""
    return _largest(np.max(abs(r[number] / r[f"{number}_formula"] - 1)) for r in table)


def _hellman_cover(table: Table, p: NecklaceParameters) -> Estimate:
    both = [*table.where(what="hellman-cover"), *_symmetric(table, "ram")]
    return _largest_deviation(Table(both), "q")


def _gray_order(table: Table, p: NecklaceParameters) -> Estimate:
    orders = table.where(what="order")
    primes = [row for row in orders if all(row["size"] % d for d in range(2, row["size"]))]
    return _largest(row["number"] - row["length"] for row in primes)


def _memento_growth(table: Table, p: NecklaceParameters) -> Estimate:
    longest = table.where(what="order").rows[-2:]
    return _largest(abs(r["size"] * (r["length"] - 1) / 2 ** r["size"] - 1) for r in longest)


def _ram_growth(table: Table, p: NecklaceParameters) -> Estimate:
    rows = _symmetric(table, "ram")
    return _largest(abs(_exponent(row) - (row["effective_size"] / 2 - 1)) for row in rows)


def _ucb(table: Table, p: NecklaceParameters) -> Estimate:
    """Exponent of m q / ln m in the number m of plays."""
    rows = table.where(what="ucb").rows
    if not rows:
        raise NoEstimate("No run gives this number.")
    m = rows[0]["times"]
    curves = [row["worse"] / np.log(m) for row in rows]
    return slope(
        m,
        curves,
        (0.03 * m[-1], m[-1]),
        note=f"At the end m q / ln m = {np.mean(curves, 0)[-1]:.3g}.",
    )


def _beats_plays(table: Table, p: NecklaceParameters) -> Estimate:
    from symscape.bandit import bayes_q

    rows = _in_limit(_symmetric(table, "memento"))
    return _largest(row["q"] / bayes_q(p.mu, row["size"]) for row in rows)


_exact = partial(Claim, kind="exact", profile="quick")

CLAIMS = (
    _exact(
        "ch7.sec3.hellman-cover",
        "Ch. 7, Sec. 3 and Fig. 1A",
        "A walk on 2M states that decide the arm alone is as good as the column of M states.",
        "alpha^(2M-1) / (1 + alpha^(2M-1))",
        Tolerance.at_most(1e-9, "largest relative deviation of q from the formula, both agents"),
        _hellman_cover,
    ),
    _exact(
        "ch7.def4.1.number",
        "Ch. 7, Def. 4.1",
        "N(m) = (1/m) sum of phi(d) 2^(m/d) is the number of binary necklaces.",
        "equal",
        Tolerance.at_most(0, "largest difference from counting rotations, exact"),
        lambda table, p: _largest(
            abs(row["number"] - row["counted"]) for row in table.where(what="order")
        ),
    ),
    _exact(
        "ch7.def4.1.gray-order",
        "Ch. 7, Def. 4.1 (Degni & Drisko)",
        "For prime m there is a Gray order of all necklaces, n(m) = N(m).",
        "n(m) = N(m)",
        Tolerance.at_most(0, "largest N(m) - n(m) over the prime m, exact"),
        _gray_order,
    ),
    _exact(
        "ch7.fig3.four-letters",
        "Ch. 7, Fig. 3",
        "For m = 4 the chain has 5 necklaces, 3 and the 2 ends.",
        5,
        Tolerance(5, 5, "exact"),
        lambda table, p: _largest(r["length"] for r in table.where(what="order").where(size=4)),
        profile="smoke",
    ),
    _exact(
        "ch7.lemma4.1.crossing",
        "Ch. 7, Lemma 4.1 and Fig. 5",
        "A walk crosses a chain with probability (1 + l_1/r_1 + l_1 l_2/(r_1 r_2) + ...)^(-1).",
        "Eq. 8",
        Tolerance.at_most(1e-9, "largest relative deviation from the absorbing chain, solved"),
        lambda table, p: _largest_deviation(table.where(what="walk"), "crossing"),
        profile="smoke",
    ),
    _exact(
        "ch7.lemma4.2.ends",
        "Ch. 7, Lemma 4.2 and Fig. 5",
        "Ends that are hardly left are held with odds that are a product of all rates.",
        "Eq. 9",
        Tolerance.at_most(1e-9, "largest relative deviation from the steady state at 1e-60"),
        lambda table, p: _largest_deviation(table.where(what="walk"), "end"),
        profile="smoke",
    ),
    _exact(
        "ch7.theorem4.3.limit",
        "Ch. 7, Theorem 4.3",
        "The necklace policy converges to q* = (1 + alpha^(m (1 - n(m))))^(-1).",
        "q tends to q*",
        Tolerance.at_most(1e-6, "largest q / q* - 1 at epsilon_1 = 1e-14, epsilon_0 = 1e-60"),
        lambda table, p: _largest_deviation(_in_limit(_symmetric(table, "memento")), "q"),
    ),
    _exact(
        "ch7.theorem4.3.bound",
        "Ch. 7, Theorem 4.3",
        "q* is a lower bound: q >= q* for every epsilon_0 and epsilon_1.",
        ">= 1",
        Tolerance.at_least(1 - 1e-12, "smallest q / q* over all rates, up to rounding"),
        lambda table, p: (
            -_largest(-row["q"] / row["q_formula"] for row in _symmetric(table, "memento"))
        ),
    ),
    Claim(
        "ch7.sec4.plays",
        "Ch. 7, Sec. 1 and 4 (Auer et al.)",
        "An agent that only plays m times plays the worse arm with q = O(ln m / m).",
        "m q grows no faster than ln m",
        Tolerance.at_most(
            0.25, "exponent of m q / ln m in m, of UCB; 0 for ln m and 0.5 for sqrt(m), half-way"
        ),
        _ucb,
        profile="quick",
    ),
    _exact(
        "ch7.sec4.more-than-plays",
        "Ch. 7, Sec. 1 and 4",
        "A memory of m events is better than the best agent that only plays m times.",
        "considerably better",
        Tolerance.at_most(1.0, "largest q of necklaces / q of the best m plays, by Bayes' rule"),
        _beats_plays,
    ),
    _exact(
        "ch7.table1.necklaces-any-arms",
        "Ch. 7, Table 1",
        "Odds of the better arm for any k_A > k_B, Memento with necklaces.",
        "formula",
        Tolerance.at_most(1e-5, "largest relative deviation from the formula, small exit rates"),
        lambda table, p: _largest_deviation(_in_limit(table.where(what="memento")), "odds"),
    ),
    _exact(
        "ch7.table1.columns-any-arms",
        "Ch. 7, Table 1 and Eq. 41",
        "Odds of the better arm for any k_A > k_B, RAM with the column of confidence.",
        "formula",
        Tolerance.at_most(1e-5, "largest relative deviation from the formula, small epsilon"),
        lambda table, p: _largest_deviation(table.where(what="ram"), "odds"),
    ),
    _exact(
        "ch7.table1.memento-growth",
        "Ch. 7, Table 1",
        "The exponent m (n(m) - 1) of Memento is sqrt(M_eff) = 2^m to leading order.",
        "2^m",
        Tolerance.at_most(0.02, "largest deviation from 1 of their ratio, at the two largest m"),
        _memento_growth,
    ),
    _exact(
        "ch7.table1.ram-growth",
        "Ch. 7, Table 1",
        "The exponent log(1/q - 1) / log(1/alpha) of RAM is M_eff / 2 - 1.",
        "M_eff / 2 - 1",
        Tolerance.at_most(1e-6, "largest deviation of the exponent"),
        _ram_growth,
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
        "reset by an elimination that keeps relative accuracy at exit rates of 1e-60. Beside it: "
        "what an agent reaches that only plays m times."
    )
    sources = ("Ch. 7, Figs. 3 and 5", "Ch. 7, Sec. 4 and App. D", "Ch. 7, Table 1")
    version = 1
    Parameters = NecklaceParameters
    profiles = {  # noqa: RUF012
        "smoke": NecklaceParameters(
            letters=5,
            memento_sizes=(2, 3),
            ram_sizes=(2, 3),
            arms=((0.7, 0.4),),
            rates=(0.1,),
            ucb_plays=300,
            ucb_agents=10,
            seeds=2,
        ),
        "quick": NecklaceParameters(
            letters=11,
            memento_sizes=(2, 3, 4),
            ram_sizes=(2, 3, 5, 8),
            arms=((0.7, 0.4), (0.9, 0.2)),
            rates=(0.5, 0.1, 1e-2, 1e-4),
            ucb_plays=10_000,
        ),
        "overnight": NecklaceParameters(
            letters=13,
            memento_sizes=(2, 3, 4, 5),
            ram_sizes=(2, 3, 5, 8, 12, 16),
            arms=((0.7, 0.4), (0.9, 0.2), (0.6, 0.55)),
            rates=(0.9, 0.5, 0.2, 0.1, 1e-2, 1e-3, 1e-4, 1e-6),
            ucb_plays=30_000,
        ),
        "paper": NecklaceParameters(
            letters=13,
            memento_sizes=(2, 3, 4, 5, 6),
            ram_sizes=(2, 3, 5, 8, 12, 16, 24, 32),
            arms=((0.7, 0.4), (0.9, 0.2), (0.6, 0.55)),
            rates=(0.9, 0.5, 0.2, 0.1, 1e-2, 1e-3, 1e-4, 1e-6),
            ucb_plays=1_000_000,
            ucb_agents=1000,
        ),
    }
    claims = CLAIMS

    def points(self, p: NecklaceParameters) -> Iterator[lab.Point]:
        for m in range(2, p.letters + 1):
            yield {"what": "order", "size": m, "seed": 0}
        both = [(0.5 + p.mu / 2, 0.5 - p.mu / 2), *p.arms]
        for m in p.memento_sizes:
            for arms in both:
                yield _point("memento", m, arms, TINY, TINIEST)
            for rate in p.rates:
                for end in (rate, rate**2, rate**3):
                    yield _point("memento", m, both[0], rate, end)
        for M in p.ram_sizes:
            for arms in both:
                yield _point("ram", M, arms, TINIEST, TINIEST)
            yield _point("hellman-cover", 2 * M, both[0], TINIEST, TINIEST)
        yield from lab.grid(p.seeds, what="walk", size=p.walk_sites)
        yield from lab.grid(
            p.seeds, what="ucb", mu=p.ucb_mu, plays=p.ucb_plays, agents=p.ucb_agents
        )

    def cost(self, point: lab.Point) -> float:
        if point["what"] in ("order", "walk"):
            return float(1e-5 * 2 ** min(point["size"], 13))
        if point["what"] == "ucb":
            return float(point["plays"] * (3e-5 + 1e-7 * point["agents"]))
        choices = 4 ** point["size"] if point["what"] == "memento" else 2 * point["size"]
        return 2e-2 + 1e-9 * float(choices) ** 3

    def measure(self, point: lab.Point) -> lab.Result:
        found: dict[str, Callable[[lab.Point], lab.Result]] = {
            "order": _order,
            "walk": _random_walk,
            "ucb": _upper_confidence_bounds,
        }
        return found.get(point["what"], _odds)(point)

    def figures(self, table: Table, p: NecklaceParameters) -> list[Figure]:
        return [_table1(table), _approach(table), _chain(table), _plays(table, p), _crossing(table)]


def _point(what: str, size: int, arms: tuple[float, float], rate: float, end: float) -> lab.Point:
    both = {"k_best": arms[0], "k_worst": arms[1]}
    return {"what": what, "size": size, **both, "epsilon1": rate, "epsilon0": end, "seed": 0}


def _order(point: lab.Point) -> lab.Result:
    """The number of necklaces, counted and by the formula, and the length of the chain."""
    from symscape import bandit

    m = point["size"]
    words = (format(n, f"0{m}b").replace("0", "A").replace("1", "B") for n in range(2**m))
    return {
        "number": bandit.n_necklaces(m),
        "counted": len({bandit.necklace_of(word) for word in words}),
        "length": len(bandit.gray_necklaces(m)),
    }


def _random_walk(point: lab.Point) -> lab.Result:
    """A chain with random rates: crossing its first sites, and the odds of its two ends."""
    import torch

    from symscape import bandit

    n, random = point["size"], np.random.default_rng([point["seed"], point["size"]])
    left, right = random.uniform(0.05, 0.5, size=(2, n))
    walk = np.zeros((n + 2, n + 2))  # columns are sources
    inner = np.arange(1, n + 1)
    walk[inner - 1, inner], walk[inner + 1, inner] = left, right
    # In the rows of the sites, what is missing to 1 leads away or out: solved site by site.
    stay = np.diag(left + right) - walk[1:-1, 1:-1]
    solved = [np.linalg.solve(stay[:j, :j], np.eye(j)[0])[-1] * right[j - 1] for j in inner]
    walk[1, 0], walk[n, n + 1] = TINIEST * right[0], TINIEST * left[-1]
    p = bandit.steady_state_without_reset(torch.from_numpy(walk), torch.ones(n + 2))
    return {
        "crossing": np.array(solved),
        "crossing_formula": np.array([bandit.chain_crossing(left[:j], right[:j]) for j in inner]),
        "end": float(p[-1] / (p[0] + p[-1])),
        "end_formula": bandit.chain_end_probability(left, right, right[0], left[-1]),
    }


def _upper_confidence_bounds(point: lab.Point) -> lab.Result:
    from symscape.bandit import ucb_worse_plays

    times = np.unique(np.geomspace(4, point["plays"], 40).astype(int))
    worse = ucb_worse_plays(point["mu"], times, point["agents"], point["seed"])
    return {"times": times, "worse": worse}


def _odds(point: lab.Point) -> lab.Result:
    """q without reset, and by the formula for small exit rates."""
    import torch

    from symscape import bandit

    size, best, worst = point["size"], point["k_best"], point["k_worst"]
    ends, inner = point["epsilon0"], point["epsilon1"]
    memory: bandit.Memory
    if point["what"] == "ram":
        memory, odds = bandit.RAM(size), bandit.ccp_odds(size, best, worst)
        policy = bandit.ccp_policy(size, inner)
    elif point["what"] == "hellman-cover":
        # With symmetric arms every reward changes the odds by the same alpha.
        memory, odds = bandit.HellmanCover(size), 1 / bandit.hellman_cover_q(size, worst / best) - 1
        policy = bandit.hellman_cover_policy(size, inner)
    else:
        memory, odds = bandit.Memento(size), bandit.necklace_odds(size, best, worst)
        policy = bandit.necklace_policy(size, ends, inner)
    # One hypothesis, A is better: the policies treat both arms alike.
    world = bandit.Bandit(memory, torch.tensor([[best, worst]], dtype=torch.float64), 0.0)
    u = world.choices(policy)[0]
    right, wrong = (float(u[memory.arms == arm].sum()) for arm in (0, 1))
    found: lab.Result = {
        "q": wrong,
        "odds": right / wrong,
        "odds_formula": odds,
        "q_formula": 1 / (1 + odds),
        "effective_size": memory.effective_size,
    }
    if point["what"] == "memento":
        found["necklaces"] = bandit.necklace_shares(world, policy).chain.numpy()
    return found


def _table1(table: Table) -> Figure:
    figure = Figure(
        "table1",
        "What a memory can do without reset",
        "Exponent of the odds of the better arm, log(1/q - 1) / log(1/alpha), against the "
        "effective memory: 4^m for the last m events, 4 M for M states. Lines: Table 1.",
        Axis("effective memory M_eff", log=True),
        Axis("log(1/q - 1) / log(1/alpha)", log=True),
        claims=tuple(claim.id for claim in CLAIMS if ".table1." in claim.id),
    )
    memories = {
        "RAM, column of confidence": _symmetric(table, "ram"),
        "Memento, necklaces": _in_limit(_symmetric(table, "memento")),
    }
    for name, rows in memories.items():
        figure.curves(rows, "effective_size", _exponent, name=name, group=len(figure.series))
        x = [row["effective_size"] for row in rows]
        formula = [Row(row.point, {"odds": row["odds_formula"]}) for row in rows]
        figure.thesis(f"{name}, formula", x, [_exponent(row) for row in formula])
    sizes = np.geomspace(16, 1024, 20)
    return figure.guide("square root of M_eff", sizes, np.sqrt(sizes))


def _squared_ends(table: Table) -> Table:
    """Memento whose ends are left with the square of the other exit rates."""
    return _symmetric(table, "memento").select(
        lambda row: math.isclose(row["epsilon0"], row["epsilon1"] ** 2)
    )


def _approach(table: Table) -> Figure:
    figure = Figure(
        "approach",
        "How the necklace policy approaches its bound",
        "q / q* - 1 against the exit rate of the necklaces, for exit rates of the ends equal to "
        "its square: it vanishes linearly. Theorem 4.3.",
        Axis("epsilon_1", log=True),
        Axis("q / q* - 1", log=True),
        claims=("ch7.theorem4.3.limit", "ch7.theorem4.3.bound"),
    )
    rows, name = _squared_ends(table), "m = {size}"
    return figure.curves(
        rows, "epsilon1", lambda row: row["q"] / row["q_formula"] - 1, "size", name=name
    )


def _chain(table: Table) -> Figure:
    figure = Figure(
        "chain",
        "The chain of necklaces",
        "Probability of each necklace, from A..A (1) to B..B (n), where A is the better arm: the "
        "two ends hold nearly everything. Ch. 7, Fig. 3.",
        Axis("position in the chain"),
        Axis("probability", log=True),
        claims=("ch7.fig3.four-letters", "ch7.def4.1.gray-order"),
    )
    for (m,), rows in _squared_ends(table).groups("size"):
        shares = min(rows, key=lambda row: abs(math.log10(row["epsilon1"]) + 1))["necklaces"]
        figure.measured(f"m = {m}", np.arange(1, len(shares) + 1), shares, mode="lines+markers")
    return figure


def _plays(table: Table, p: NecklaceParameters) -> Figure:
    """q against the number m of plays, or of remembered events."""
    from symscape.bandit import bayes_q, necklace_q

    figure = Figure(
        "plays",
        "To remember m events, and to play m times",
        "q of agents that remember all of m plays: UCB, which knows nothing of the arms, and the "
        f"best agent that knows mu. Dashed: necklaces that remember m events, mu = {p.mu:g}.",
        Axis("m", log=True),
        Axis("q", log=True, range=(1e-5, 1.0)),
        claims=("ch7.sec4.plays", "ch7.sec4.more-than-plays"),
    )
    name = f"UCB, mu = {p.ucb_mu:g}"
    figure.curves(
        table.where(what="ucb"), "times", lambda row: row["worse"] / row["times"], name=name
    )
    for mu in (p.ucb_mu, p.mu):
        m = np.unique(np.geomspace(1, p.ucb_plays, 60).astype(int))
        figure.guide(f"best of m plays, mu = {mu:g}", m, [bayes_q(mu, k) for k in m])
    sizes = range(2, 8)
    return figure.thesis("necklaces", sizes, [necklace_q(p.mu, m) for m in sizes])


def _crossing(table: Table) -> Figure:
    figure = Figure(
        "crossing",
        "A walk on a chain",
        "Probability to cross the first j sites of a chain with random rates before going back. "
        "Dashed: Lemma 4.1. Ch. 7, Fig. 5.",
        Axis("sites j"),
        Axis("probability", log=True),
        claims=("ch7.lemma4.1.crossing", "ch7.lemma4.2.ends"),
    )
    walks = table.where(what="walk")
    for row in walks.select(lambda row: row["size"] == max(r["size"] for r in walks)):
        sites, name = np.arange(1, row["size"] + 1), f"chain {row['seed'] + 1}"
        figure.measured(name, sites, row["crossing"])
        figure.thesis(name, sites, row["crossing_formula"])
    return figure
