"""Minima of the loss, bad ones and good ones: Fig. 3A of the introduction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

ALONG = np.linspace(-0.5, 1.5, 81)
"""Places on the line through two minima, which lie at 0 and 1."""


class LandscapeParameters(lab.Parameters):
    d: int = Field(ge=2, le=100, default=5, description="input dimension")
    P: int = Field(ge=4, le=10_000, default=60, description="patterns, with random labels")
    widths: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field(
        min_length=2, description="widths h of the hidden layer, the narrowest first"
    )
    starts: int = Field(ge=3, le=1000, description="random initializations in each landscape")
    seeds: int = Field(ge=1, le=1000, description="landscapes: sets of patterns")


def excess(row: Row) -> float:
    """Median loss of the minima that the starts end in, over the best of them."""
    losses = row["loss"][row["at_rest"]]
    if len(losses) < 2 or losses.min() == 0:
        raise NoEstimate(f"With h = {row['h']} fewer than two starts ended in a bad minimum.")
    return float(np.median(losses) / losses.min())


def bad_minima(table: Table, p: LandscapeParameters) -> Estimate:
    rows = table.where(h=p.widths[0])
    moving = sum(int((~row["at_rest"]).sum()) for row in rows)
    note = f"{moving} of {len(rows) * p.starts} starts did not come to rest and are left out."
    return scaling.geometric_mean([excess(row) for row in rows], note)


def fitted(table: Table, p: LandscapeParameters) -> Estimate:
    zero = [loss == 0 for row in table.where(h=p.widths[-1]) for loss in row["loss"]]
    return scaling.share(sum(zero), len(zero))


CLAIMS = (
    Claim(
        "ch0.fig3a.bad-minima",
        "Introduction, Fig. 3A and Sec. 0.4.1",
        "Underparametrized networks are glassy: from random starts the descent gets stuck in "
        "minima of which most are worse than the best.",
        "> 1",
        Tolerance.at_least(1.1, "median over best loss of the minima, where N is a third of P"),
        bad_minima,
    ),
    Claim(
        "ch0.fig3a.overparametrized",
        "Introduction, Sec. 0.4.1",
        "Overparametrized networks do not get stuck: every start ends with zero loss.",
        "all",
        Tolerance.at_least(0.95, "share of the starts, where N is larger than P"),
        fitted,
    ),
)


@lab.register
class Landscape(lab.Experiment):
    """Introduction, Fig. 3A."""

    name = "introduction-landscape"
    chapter = "0"
    title = "Bad minima of the loss"
    summary = (
        "Small networks learn random labels from many random starts. With few parameters each "
        "start ends in another minimum of the loss, a good one or a bad one, as the sketch of the "
        "introduction fears. With more parameters than patterns all of them find zero loss."
    )
    sources = ("Introduction, Fig. 3A", "Introduction, Sec. 0.4.1")
    version = 1
    Parameters = LandscapeParameters
    profiles = {  # noqa: RUF012
        "smoke": LandscapeParameters(widths=(3, 16), starts=4, seeds=2),
        "quick": LandscapeParameters(widths=(3, 4, 6, 8, 16), starts=10, seeds=4),
        "overnight": LandscapeParameters(widths=(3, 4, 6, 8, 12, 16), starts=10, seeds=10),
        "paper": LandscapeParameters(widths=(3, 4, 5, 6, 8, 10, 12, 16, 24), starts=40, seeds=30),
    }
    claims = CLAIMS

    def points(self, p: LandscapeParameters) -> Iterable[dict[str, Any]]:
        return lab.grid(p.seeds, d=p.d, P=p.P, h=p.widths, starts=p.starts)

    def cost(self, point: dict[str, Any]) -> float:
        return 1e-3 * point["starts"] * point["P"]

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.datasets import random_sphere
        from symscape.dynamics import Hinge, minimize
        from symscape.networks import FullyConnected

        net = FullyConnected(d=point["d"], h=point["h"], L=1, activation="tanh")
        loss = Hinge()
        x, y = random_sphere(point["P"], point["d"], point["seed"])
        state = np.random.SeedSequence([point["seed"], point["h"]]).generate_state(1)
        generator = torch.Generator().manual_seed(int(state[0]))
        runs = [
            minimize(net, net.initial_weights(generator, "orthogonal"), x, y, loss=loss)
            for _ in range(point["starts"])
        ]
        runs.sort(key=lambda run: run.loss)
        zero = np.array([run.status == "converged" for run in runs])
        good, bad = runs[0].w, runs[len(runs) // 2].w
        line = torch.stack([good + t * (bad - good) for t in ALONG])
        return {
            "N": net.n_weights,
            # the descent to zero loss is cut off somewhere below 1e-12
            "loss": np.where(zero, 0.0, [run.loss for run in runs]),
            "at_rest": np.array([run.status in ("converged", "stalled") for run in runs]),
            "line": loss.value(net(line, x), y).mean(-1).numpy(),
        }

    def figures(self, table: Table, p: LandscapeParameters) -> list[Figure]:
        section = Figure(
            "section",
            "A section through the landscape",
            "Loss on the straight line from the best minimum (at 0) to the one in the middle of "
            "the ranking (at 1), on one set of patterns; zero loss has no place on this axis. "
            "Fig. 3A sketches such a landscape.",
            Axis("place between the minima"),
            Axis("loss", log=True),
            claims=("ch0.fig3a.bad-minima",),
        )
        ends = Figure(
            "minima",
            "Where random starts end",
            "Loss at the end of the descent over its largest value, that of f = 0, for each start; "
            "the line is the share of the starts that find zero loss.",
            Axis("parameters over patterns, N/P", log=True),
            Axis("loss at the end; share of zero loss", range=(-0.02, 1.02)),
            claims=("ch0.fig3a.bad-minima", "ch0.fig3a.overparametrized"),
        )
        one = table.select(lambda row: row["seed"] == 0 and row["h"] in (p.widths[0], p.widths[-1]))
        section.curves(one, lambda row: ALONG, "line", "h", name="h = {h}", mode="lines")

        def ratio(row: Row) -> float:
            return float(row["N"]) / row["P"]

        where = [ratio(row) for row in table for _ in row["loss"]]
        losses = [2 * float(loss) for row in table for loss in row["loss"]]
        ends.measured("loss of each start", where, losses)
        ends.curves(table, ratio, _share, name="share of zero loss", group=1)
        return [section, ends]


def _share(row: Row) -> float:
    return float(np.mean(row["loss"] == 0))
