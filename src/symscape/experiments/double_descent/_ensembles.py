"""Means of more and more nets: error and distance of the boundaries (Figs. 4 and 10)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from symscape import lab, scaling
from symscape.experiments.double_descent._parity_nets import (
    Depth,
    Dimension,
    Patterns,
    Width,
    network,
    pinned,
    split,
    trained,
    training_cost,
)
from symscape.lab import Axis, Claim, Estimate, Figure, Row, Table, Tolerance

Array = NDArray[np.float64]


class EnsemblesParameters(lab.Parameters):
    source: str = Field(default="auto", description="digits: auto, mnist, mnist-sample")
    nets: tuple[tuple[Dimension, Width, Depth, Patterns], ...] = Field(
        min_length=1, description="d, h, L and P of each panel"
    )
    pool: int = Field(ge=4, description="nets of which ensembles are drawn")
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        min_length=3, default=(1, 2, 3, 4, 5, 8, 10), description="nets in an ensemble"
    )
    draws: int = Field(ge=1, default=60, description="ensembles of each size")
    seeds: int = Field(ge=1, description="pools, each with its own draw of the digits")
    steps: int = Field(ge=1, default=8000, description="ADAM steps, unless fitted before")
    rate: float = Field(gt=0, le=1, default=1e-3, description="largest ADAM rate")
    n_test: int = Field(ge=50, description="test digits")

    @model_validator(mode="after")
    def _smaller_than_pool(self) -> EnsemblesParameters:
        if max(self.sizes) >= self.pool:
            raise ValueError("the largest ensemble must be smaller than the pool")
        return self


def limit(row: Row) -> tuple[float, float]:
    """Error of infinitely many nets, from the fit of eps + b/n, and the R^2 of the fit."""
    fit = scaling.fit_fixed_powers(row["sizes"], row["error"], (-1.0,), resamples=0)
    return float(fit.constant), float(fit.r_squared)


def excess(row: Row) -> Array:
    """Error of an ensemble of n less that of infinitely many nets."""
    found: Array = np.asarray(row["error"]) - limit(row)[0]
    return found


def whole(name: str) -> Callable[[Row], Array]:
    r"""A distance from the mean of infinitely many nets, where that of the pool was measured.

    The mean of n of the m nets of a pool lies :math:`s^2(1 - n/m)/n` in the square from that of the
    pool, and :math:`s^2/n` from that of infinitely many.
    """

    def value(row: Row) -> Array:
        n = np.asarray(row["sizes"], float)
        found: Array = np.asarray(row[name]) / np.sqrt(1 - n / row["pool"])
        return found

    return value


Value = Callable[[Row], Array]


def _exponent(x: Value, y: Value) -> Callable[[Table, Any], dict[str, Estimate]]:
    """Slope of log y against log x, a number for each pool; panels are nets."""

    def slope(row: Row) -> float:
        xs, ys = x(row), y(row)
        if not (xs > 0).all() or not (ys > 0).all():
            return float("nan")
        return float(np.polyfit(np.log(xs), np.log(ys), 1)[0])

    return lambda table, p: {
        name: scaling.mean(rows.per_seed(slope)) for name, rows in _panels(table)
    }


def _panels(table: Table) -> Iterator[tuple[str, Table]]:
    for (d, h, L, P), rows in table.groups("d", "h", "L", "P"):
        yield f"d = {d}, h = {h:g}, L = {L}, P = {P}", rows


def _n(row: Row) -> Array:
    return np.asarray(row["sizes"], float)


def _fit(table: Table, p: Any) -> dict[str, Estimate]:
    return {
        name: scaling.mean(rows.per_seed(lambda row: limit(row)[1]))
        for name, rows in _panels(table)
    }


CLAIMS = (
    Claim(
        "ch2.b.fig4a.inverse",
        "Ch. 2b, Fig. 4 left",
        "The error of the mean of n nets is that of infinitely many plus b/n.",
        "R^2 = 1",
        Tolerance.at_least(0.98, "R^2 of the fit"),
        _fit,
    ),
    Claim(
        "ch2.b.fig4a.exponent",
        "Ch. 2b, Fig. 4 left",
        "What is left of the error above that of infinitely many nets falls as 1/n.",
        -1.0,
        Tolerance(-1.2, -0.8, "-1 +- 0.2"),
        _exponent(_n, excess),
    ),
    Claim(
        "ch2.b.fig4b.exponent",
        "Ch. 2b, Fig. 4 center",
        "The distance of the boundaries falls as n^(-1/2).",
        -0.5,
        Tolerance(-0.55, -0.35, "-0.45 +- 0.1: single nets are not yet in the linear regime"),
        _exponent(_n, whole("delta")),
    ),
    Claim(
        "ch2.b.fig4c.exponent",
        "Ch. 2b, Fig. 4 right, Eq. 5",
        "The excess of the error is the square of the distance of the boundaries.",
        2.0,
        Tolerance(1.8, 2.8, "2.3 +- 0.5: what 1/n over n^(-0.45) gives"),
        _exponent(whole("delta"), excess),
    ),
    Claim(
        "ch2.b.fig10.proportional",
        "Ch. 2b, Fig. 10",
        "The distance is proportional to its estimate from norms on the whole test set.",
        "1 (1.1 with a free exponent)",
        Tolerance(0.8, 1.15, "exponent of the distance against its estimate, n up to 10"),
        _exponent(whole("delta_hat"), whole("delta")),
    ),
)


@lab.register
class DoubleDescentEnsembles(lab.Experiment):
    """Ch. 2b, Figs. 4 and 10."""

    name = "double-descent-ensembles"
    chapter = "2"
    title = "The mean output of n networks"
    summary = (
        "Many nets of one width learn the same digits from different initializations. The mean "
        "output of n of them errs less, by 1/n of what their fluctuations cost; the boundary of "
        "its classes moves closer to that of infinitely many nets, as 1/sqrt(n)."
    )
    sources = ("Ch. 2b, Fig. 4", "Ch. 2b, Fig. 10")
    version = 1
    Parameters = EnsemblesParameters
    profiles = {  # noqa: RUF012
        "smoke": EnsemblesParameters(
            source="mnist-sample",
            nets=((10, 8, 2, 60),),
            pool=8,
            sizes=(1, 2, 4),
            draws=20,
            seeds=2,
            steps=300,
            rate=3e-3,
            n_test=300,
        ),
        "quick": EnsemblesParameters(nets=((10, 20, 3, 500),), pool=24, seeds=3, n_test=5000),
        "overnight": EnsemblesParameters(
            nets=((10, 20, 3, 500), (30, 60, 5, 1000)), pool=40, seeds=5, n_test=20_000
        ),
        "paper": EnsemblesParameters(
            source="mnist",
            nets=((30, 60, 5, 10_000),),
            pool=100,
            sizes=(1, 2, 3, 4, 5, 8, 10, 15, 20),
            seeds=5,
            steps=2_000_000,
            rate=1e-4,
            n_test=50_000,
        ),
    }
    claims = CLAIMS

    def points(self, p: EnsemblesParameters) -> Iterator[dict[str, Any]]:
        data = pinned(p.source, p.n_test + max(P for *_, P in p.nets))
        nets = [{"d": d, "h": h, "L": L, "P": P} for d, h, L, P in p.nets]
        return lab.grid(
            p.seeds,
            net=nets,
            data=data,
            pool=p.pool,
            sizes=[list(p.sizes)],
            draws=p.draws,
            steps=p.steps,
            rate=p.rate,
            n_test=p.n_test,
        )

    def cost(self, point: dict[str, Any]) -> float:
        drawn = point["draws"] * sum(point["sizes"]) * point["n_test"] * point["d"]
        return point["pool"] * training_cost(point, 1.6 * point["P"] ** 0.75) + 4e-10 * drawn

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.dynamics import boundary_distance, input_gradients, misclassified

        x, y, x_test, y_test, _ = split(point, point["seed"])
        net, pool = network(point), point["pool"]
        runs = [trained(point, x, y, point["seed"] * pool + member) for member in range(pool)]
        f = torch.stack([net(run.w, x_test) for run in runs])
        gradients = torch.stack([input_gradients(net, run.w, x_test) for run in runs])
        bar = f.mean(0)
        random = np.random.default_rng(point["seed"])

        def of(members: NDArray[np.int_]) -> tuple[float, float, float]:
            """Error of the mean of some nets, and the distance of its boundary from the pool's."""
            mean, slope = f[members].mean(0), gradients[members].mean(0).norm(dim=-1)
            error = float(misclassified(mean, y_test).double().mean())
            return error, *boundary_distance(mean, bar, slope)

        drawn = np.array(
            [
                np.mean(
                    [of(random.choice(pool, size, replace=False)) for _ in range(point["draws"])],
                    axis=0,
                )
                for size in point["sizes"]
            ]
        )
        return {
            "n_weights": net.n_weights,
            "n_fitted": sum(run.status == "converged" for run in runs),
            "error": drawn[:, 0],
            "delta": drawn[:, 1],
            "delta_hat": drawn[:, 2],
            "error_of_pool": float(misclassified(bar, y_test).double().mean()),
        }

    def figures(self, table: Table, p: EnsemblesParameters) -> list[Figure]:
        count, delta = Axis("nets n", log=True), Axis("delta", log=True)
        above = Axis("test error above that of infinitely many nets", log=True)
        return [
            _figure(
                table, "error", "Test error of the mean of n nets",
                "The error of infinitely many nets is from a fit of 1/n, as in the thesis. "
                "Dashed: 1/n.",
                (count, above), (_n, excess, -1.0),
                ("ch2.b.fig4a.inverse", "ch2.b.fig4a.exponent"),
            ),
            _figure(
                table, "distance", "Distance of the boundaries",
                "Mean distance of the boundary of the mean of n nets from that of infinitely many "
                "(Eq. 3). Dashed: 1/sqrt(n).",
                (count, delta), (_n, whole("delta"), -0.5), ("ch2.b.fig4b.exponent",),
            ),
            _figure(
                table, "error-of-distance", "Test error and distance of the boundaries",
                "Dashed: the square of the distance.",
                (delta, above), (whole("delta"), excess, 2.0), ("ch2.b.fig4c.exponent",),
            ),
            _figure(
                table, "estimate-of-distance", "Distance of the boundaries and its estimate",
                "The estimate is the norm of the difference over that of the gradient, on the "
                "whole test set. Each point is n nets of one pool. Dashed: proportional.",
                (Axis("estimate of delta", log=True), delta),
                (whole("delta_hat"), whole("delta"), 1.0), ("ch2.b.fig10.proportional",),
            ),
        ]  # fmt: skip


def _figure(
    table: Table,
    name: str,
    title: str,
    caption: str,
    axes: tuple[Axis, Axis],
    law: tuple[Value, Value, float],
    claims: tuple[str, ...],
) -> Figure:
    """Values of every pool, their mean over pools by size, and the thesis's power through it."""
    x, y, exponent = law
    figure = Figure(name, title, caption, *axes, claims=claims)
    for place, (label, rows) in enumerate(_panels(table)):
        xs, ys = (np.array([value(row) for row in rows]) for value in (x, y))
        middle, found = xs.mean(0), [scaling.mean(column) for column in ys.T]
        figure.estimates(label, dict(zip(middle.tolist(), found)), "markers", place)
        height = np.array([e.value for e in found])
        if (height > 0).all():
            scale = np.exp(np.mean(np.log(height) - exponent * np.log(middle)))
            ends = middle[[0, -1]]
            figure.thesis(f"power {exponent:g}, {label}", ends, scale * ends**exponent)
    return figure
