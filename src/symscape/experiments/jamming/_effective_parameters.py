"""How many parameters a net really has: N_eff against N_tot (paper A, App. A)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.experiments.jamming._parameters import Depth, Patterns, Width, pinned_digits
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.networks import FullyConnected

THESIS_DEPTH = 3
"""Hidden layers of the net in the thesis's figure."""

STAGES = {"initial": "at initialization", "trained": "after training"}


class RankParameters(lab.Parameters):
    source: str = Field(
        default="auto", description="data: auto (all of MNIST if found), mnist, mnist-sample"
    )
    d: int = Field(ge=1, le=784, default=10, description="principal components kept")
    P: Patterns = Field(default=500, description="digits")
    depths: tuple[Depth, ...] = Field(min_length=1, description="hidden layers L of the relu nets")
    widths: tuple[Width, ...] = Field(min_length=1, description="widths h")
    other_depth: Depth = Field(default=3, description="hidden layers of tanh and linear nets")
    other_widths: tuple[Width, ...] = Field(description="widths of the tanh and linear nets")
    seeds: int = Field(ge=1, description="independent choices of digits and initializations")
    steps: int = Field(ge=1, description="ADAM steps of the training")
    learning_rate: float = Field(gt=0, le=1, default=1e-3, description="ADAM rate, constant")


def _in_figure(table: Table) -> Table:
    """The relu nets of the thesis's depth."""
    return table.where(activation="relu", L=THESIS_DEPTH)


def _expected(row: Row) -> float:
    """``N_tot - L h``: all parameters but one for each relu neuron."""
    return float(row["n_parameters"] - row["n_neurons"])


def _rescalings(table: Table, p: RankParameters) -> Estimate:
    share = _in_figure(table).per_seed(lambda row: row["rank_initial"] / _expected(row))
    return scaling.mean(share).noted(
        _by_depth(table, lambda row, stage: row[f"rank_{stage}"] / _expected(row))
    )


def _rescalings_of_live(table: Table, p: RankParameters) -> Estimate:
    rows = _in_figure(table)
    share = rows.per_seed(lambda row: row["rank_initial"] / row["live_initial"])
    return scaling.mean(share).noted(
        _by_depth(table, lambda row, stage: row[f"rank_{stage}"] / row[f"live_{stage}"]),
        f"{sum(row['n_silent_initial'] for row in rows)} of "
        f"{sum(row['n_neurons'] for row in rows)} neurons are silent on all digits.",
    )


def _close_to_all(table: Table, p: RankParameters) -> Estimate:
    rows = _in_figure(table)
    largest = max((row["n_parameters"] for row in rows), default=0)
    share = rows.where(n_parameters=largest).per_seed(
        lambda row: row["rank_initial"] / row["n_parameters"]
    )
    return scaling.mean(share, f"L = {THESIS_DEPTH}, N_tot = {largest}.")


def _largest_difference(rows: Table, count: Callable[[Row], int]) -> Estimate:
    """Largest distance of the rank from a number of parameters."""
    if not rows:
        raise NoEstimate("No finished run of this kind.")
    later = max(abs(row["rank_trained"] - count(row)) for row in rows)
    gap = min(row["gap_initial"] for row in rows)
    note = (
        f"Largest difference in {len(rows)} nets at initialization; after training {later}. The "
        f"singular values drop by a factor {gap:.1e} or more at the rank."
    )
    return Estimate(float(max(abs(row["rank_initial"] - count(row)) for row in rows)), note=note)


def _by_depth(table: Table, value: Callable[[Row, str], float]) -> str:
    """The mean of relu nets at both stages, depth by depth."""
    said = []
    for (L,), rows in table.where(activation="relu").groups("L"):
        means = (np.mean([value(row, stage) for row in rows]) for stage in STAGES)
        said.append("L = {}: {:.3f}, {:.3f}".format(L, *means))
    return f"Means at initialization and after training: {'; '.join(said)}."


CLAIMS = (
    Claim(
        "ch1.fig11.relu",
        "Paper A, Fig. 11 and App. A; paper B, Fig. A1",
        "For relu N_eff = N_tot - L h: one parameter per neuron is lost to its rescaling.",
        "N_eff / (N_tot - L h) = 1",
        Tolerance.at_least(
            0.95, "no noticeable difference in the figure; neurons silent on all data lower it"
        ),
        _rescalings,
    ),
    Claim(
        "ch1.fig11.relu-live",
        "Paper A, App. A",
        "Once parameters that no digit feels are left out, nothing but the rescalings is lost.",
        "only the symmetries",
        Tolerance.at_least(
            0.99, "1 is exact; the finite number of linear regions lowers it a little"
        ),
        _rescalings_of_live,
    ),
    Claim(
        "ch1.fig11.close-to-all",
        "Paper A, Fig. 11",
        "N_eff and N_tot do not differ noticeably: in the figure's net, L = 3, N_eff is about N.",
        "no noticeable difference",
        Tolerance.at_least(
            0.9, "the largest net measured; (N_tot - L h) / N_tot tends to 1 as 1 - 1/h"
        ),
        _close_to_all,
    ),
    Claim(
        "ch1.secII.linear",
        "Paper A, Sec. II.B",
        "A linear net of any depth and width has N_eff = d + 1.",
        "d + 1",
        Tolerance.at_most(0.0, "exact: largest |N_eff - (d + 1)|"),
        lambda table, p: _largest_difference(
            table.where(activation="linear"), lambda r: r["d"] + 1
        ),
        "exact",
        profile="quick",
    ),
    Claim(
        "ch1.appA.tanh",
        "Paper A, App. A",
        "tanh has no continuous symmetry: N_eff = N_tot.",
        "N_eff = N_tot",
        Tolerance.at_most(0.0, "exact: largest |N_eff - N_tot| at initialization"),
        lambda table, p: _largest_difference(
            table.where(activation="tanh"), lambda row: row["n_parameters"]
        ),
        "exact",
        profile="quick",
    ),
)


@lab.register
class EffectiveParameters(lab.Experiment):
    """Paper A, Fig. 11; paper B, Fig. A1."""

    name = "jamming-effective-parameters"
    chapter = "1"
    title = "The effective number of parameters"
    summary = (
        "Constraints must be compared with the number of parameters that change the function. It "
        "is the rank of the weight gradients of the output at all digits and in small "
        "neighborhoods of them. A relu net loses one parameter per neuron, because a neuron's "
        "input and output can be rescaled against each other; a tanh net loses none; a linear net "
        "has d + 1."
    )
    sources = ("Paper A, Fig. 11 and App. A", "Paper B, Fig. A1")
    version = 1
    Parameters = RankParameters
    profiles = {  # noqa: RUF012
        "smoke": RankParameters(
            source="mnist-sample",
            P=120,
            depths=(2,),
            widths=(4, 6),
            other_depth=2,
            other_widths=(4,),
            seeds=1,
            steps=50,
        ),
        "quick": RankParameters(
            depths=(1, 3), widths=(5, 8, 12, 16), other_widths=(8,), seeds=2, steps=1000
        ),
        "overnight": RankParameters(
            depths=(1, 3, 5),
            widths=(5, 8, 12, 17),
            other_widths=(5, 10, 15),
            seeds=3,
            steps=1000,
        ),
        "paper": RankParameters(
            P=4000,
            depths=(1, 2, 3, 5),
            widths=(5, 10, 15, 20, 25, 30, 35, 40),
            other_widths=(10, 20, 30),
            seeds=3,
            steps=100_000,
            learning_rate=1e-4,
        ),
    }
    claims = CLAIMS

    def points(self, p: RankParameters) -> Iterator[dict[str, Any]]:
        data = {"data": pinned_digits(p.source, p.P)}
        rest = {"d": p.d, "P": p.P, "steps": p.steps, "learning_rate": p.learning_rate}
        yield from lab.grid(p.seeds, **data, activation="relu", L=p.depths, h=p.widths, **rest)
        yield from lab.grid(
            p.seeds,
            **data,
            activation=("tanh", "linear"),
            L=p.other_depth,
            h=p.other_widths,
            **rest,
        )

    def cost(self, point: dict[str, Any]) -> float:
        weights = point["d"] * point["h"] + point["L"] * point["h"] ** 2
        rank = 1e-10 * point["P"] * point["d"] * weights**2
        return float(2 * rank + point["steps"] * (1e-4 + 4e-10 * point["P"] * weights))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.datasets import mnist_parity
        from symscape.dynamics import Adam, Hinge, Stop, train
        from symscape.networks import FullyConnected

        data = mnist_parity(point["P"], point["d"], point["seed"], point["data"], n_test=0)
        x, y = data.x_train, data.y_train
        net = FullyConnected(point["d"], point["h"], point["L"], activation=point["activation"])
        w = net.initial_weights(point["seed"], "orthogonal")
        result = train(
            net,
            w,
            x,
            y,
            loss=Hinge(),
            integrator=Adam(lr=point["learning_rate"]),
            stop=Stop(max_steps=point["steps"]),
        )
        return {
            "n_parameters": net.n_parameters,
            "n_neurons": net.n_neurons,
            **_count(net, w, x, "initial"),
            **_count(net, result.w, x, "trained"),
        }

    def figures(self, table: Table, p: RankParameters) -> list[Figure]:
        return [_ranks_figure(table, stage) for stage in STAGES]


def _count(net: FullyConnected, w: Tensor, x: Tensor, stage: str) -> dict[str, Any]:
    """The rank with its gap, and what a relu net would have if only rescalings were lost.

    A parameter is live if it changes the output at some digit or next to it; a weight between two
    neurons that are never on together does not. The rescaling of every live neuron is lost.
    """
    from symscape.landscape import derivative_rows, effective_parameters

    found = effective_parameters(net, w, x)
    live = w.new_zeros(net.n_parameters)
    for some in x.split(100):
        live += (derivative_rows(net, w, some) != 0).sum(0)
    biases = [b for _, b in net.unpack((live > 0).to(w.dtype))[:-1] if b is not None]
    neurons = sum(int(b.sum()) for b in biases)
    return {
        f"rank_{stage}": found.rank,
        f"gap_{stage}": min(found.gap, 1e300),
        f"n_silent_{stage}": net.n_neurons - neurons,
        f"live_{stage}": int((live > 0).sum()) - neurons,
    }


def _ranks_figure(table: Table, stage: str) -> Figure:
    figure = Figure(
        f"effective-parameters-{stage}",
        f"Effective parameters, {STAGES[stage]}",
        "Rank of the gradients against the number of weights and biases. The thesis finds "
        "N_tot - L h for relu, the dashed line of the same depth.",
        Axis("N_tot", log=True),
        Axis("N_eff", log=True),
        claims=tuple(claim.id for claim in CLAIMS) if stage == "initial" else (),
    )
    for (activation, L), some in table.groups("activation", "L"):
        order = np.argsort(some.column("n_parameters"), kind="stable")
        total = some.column("n_parameters")[order]
        figure.measured(f"{activation}, L = {L}", total, some.column(f"rank_{stage}")[order])
        if activation == "relu":
            lines = np.unique(np.stack([total, some.column("n_neurons")[order]]), axis=1)
            figure.thesis(f"N_tot - L h, L = {L}", lines[0], lines[0] - lines[1])
    if table:
        span = np.array([table.column("n_parameters").min(), table.column("n_parameters").max()])
        figure.guide("N_eff = N_tot", span, span)
    return figure
