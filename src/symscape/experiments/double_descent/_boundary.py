"""How far the boundary of one net is from a point: the linear estimate (Figs. 3 and 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

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
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.dynamics import LineSearch

Array = NDArray[np.float64]

SHOWN = 20
"""Curves that are kept of each ensemble."""

DRAWN = np.linspace(0.0, 2.0, 41)
"""Where they are drawn, in units of the estimated distance: every second place of the search."""

TOY = 41
"""Places in each direction of the map of the toy plot."""


class BoundaryParameters(lab.Parameters):
    source: str = Field(default="auto", description="digits: auto, mnist, mnist-sample")
    d: Dimension = Field(default=10, description="input dimension (principal components)")
    L: Depth = Field(default=3, description="hidden layers")
    P: Patterns = Field(description="training digits")
    widths: Annotated[tuple[Width, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, description="widths h"
    )
    members: int = Field(ge=2, description="nets of which the mean output is taken")
    starts: int = Field(ge=10, default=200, description="test digits between the boundaries")
    seeds: int = Field(ge=1, description="ensembles, each with its own draw of the digits")
    steps: int = Field(ge=1, default=16_000, description="ADAM steps, unless fitted before")
    rate: float = Field(gt=0, le=1, default=1e-3, description="largest ADAM rate")
    n_test: int = Field(ge=50, default=10_000, description="test digits")
    toy_points: int = Field(ge=10, default=80, description="points of the plane in the toy plot")
    toy_width: Width = Field(default=12, description="width of its nets, of two hidden layers")


def _quartiles(row: Row, field: str = "crossings") -> Array:
    """Quartiles of the place of the first zero; a curve without one counts as infinity."""
    found: Array = np.percentile(row[field], [25, 50, 75], method="inverted_cdf")
    return found


def _quartile(field: str, place: int) -> Callable[[Row], float]:
    return lambda row: float(_quartiles(row, field)[place])


def _range(row: Row) -> float:
    low, _, high = _quartiles(row)
    return float(high - low)


def _medians(table: Table, p: BoundaryParameters) -> dict[str, Estimate]:
    return {
        f"h = {h:g}": scaling.mean(rows.per_seed(lambda row: _quartiles(row)[1]))
        for (h,), rows in table.where(role="digits").groups("h")
    }


def _narrowing(table: Table, p: BoundaryParameters) -> Estimate:
    digits = table.where(role="digits")
    narrow, wide = (digits.where(h=h).per_seed(_range) for h in (p.widths[0], p.widths[-1]))
    if len(narrow) != len(wide):
        raise NoEstimate("Not every ensemble is finished at both widths.")
    return scaling.geometric_mean(wide / narrow)


CLAIMS = (
    Claim(
        "ch2.b.fig9.centered",
        "Ch. 2b, App. B, Fig. 9",
        "The output vanishes along its gradient at the distance that the linear estimate says.",
        1.0,
        Tolerance(0.85, 1.15, "median place of the zero over the estimate: within 0.15 of 1"),
        _medians,
    ),
    Claim(
        "ch2.b.fig9.narrows",
        "Ch. 2b, App. B, Fig. 9",
        "The estimate becomes more accurate with N.",
        "spread shrinks with N",
        Tolerance.at_most(1.0, "interquartile range of the widest nets over that of the narrowest"),
        _narrowing,
    ),
)


@lab.register
class DoubleDescentBoundary(lab.Experiment):
    """Ch. 2b, Figs. 3 and 9."""

    name = "double-descent-boundary"
    chapter = "2"
    title = "The boundary of one net and that of the mean"
    summary = (
        "A net and the mean of many disagree on the test digits between their boundaries. From "
        "such digits the output of the net is followed along its gradient, down to zero: the "
        "linear estimate of the distance is good already for small nets and improves with N. A "
        "toy problem in the plane shows the two boundaries."
    )
    sources = ("Ch. 2b, Fig. 3", "Ch. 2b, Fig. 9 and App. B")
    version = 1
    Parameters = BoundaryParameters
    profiles = {  # noqa: RUF012
        "smoke": BoundaryParameters(
            source="mnist-sample", P=60, widths=(8, 16), members=3, seeds=2, steps=400, rate=3e-3,
            n_test=300,
        ),
        "quick": BoundaryParameters(P=500, widths=(14, 64), members=6, seeds=2),
        "overnight": BoundaryParameters(P=500, widths=(14, 30, 64), members=20, seeds=4),
        "paper": BoundaryParameters(
            source="mnist", L=5, P=10_000, widths=(14, 57, 1265), members=20, seeds=1,
            steps=2_000_000, rate=1e-4, n_test=50_000,
        ),
    }  # fmt: skip
    claims = CLAIMS

    def points(self, p: BoundaryParameters) -> Iterator[dict[str, Any]]:
        same = {"members": p.members, "steps": p.steps, "rate": p.rate}
        digits = {"data": pinned(p.source, p.P + p.n_test), "d": p.d, "L": p.L, "P": p.P}
        yield from lab.grid(
            p.seeds, role="digits", h=p.widths, **digits, **same, n_test=p.n_test, starts=p.starts
        )
        yield from lab.grid(1, role="toy", h=p.toy_width, d=2, L=2, P=p.toy_points, **same)

    def cost(self, point: dict[str, Any]) -> float:
        return 1.0 + point["members"] * training_cost(point, 1.6 * point["P"] ** 0.75)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        return _toy(point) if point["role"] == "toy" else _digits(point)

    def figures(self, table: Table, p: BoundaryParameters) -> list[Figure]:
        digits = table.where(role="digits") if table else table
        return [
            _toy_figure(table.where(role="toy") if table else table),
            *(_search_figure(digits, h) for h in (p.widths[0], p.widths[-1])),
            _quartiles_figure(digits),
        ]


def _digits(point: dict[str, Any]) -> dict[str, Any]:
    """The line search of Fig. 9 for every net of an ensemble."""
    import torch

    from symscape.dynamics import input_gradients, line_search

    x, y, x_test, _, _ = split(point, point["seed"])
    net, members = network(point), point["members"]
    seeds = [point["seed"] * members + member for member in range(members)]
    w = torch.stack([trained(point, x, y, seed).w for seed in seeds])
    outputs = net(w, x_test)
    mean = outputs.mean(0)
    found: dict[str, list[Tensor]] = {"crossings": [], "crossings_from_mean": [], "curves": []}
    for one, f in zip(w, outputs):
        between = torch.nonzero(f * mean < 0).flatten()[: -(-point["starts"] // members)]
        starts = x_test[between]

        def search(z: Tensor, one: Tensor = one) -> LineSearch:
            return line_search(lambda p: net(one, p), z, input_gradients(net, one, z))

        lines = search(starts)
        found["crossings"].append(lines.zeros)
        found["curves"].append(lines.values)
        # The literal reading of Fig. 9: start on the boundary of the mean.
        slope = input_gradients(net, w, starts).mean(0)
        of_mean = line_search(lambda p: net(w, p).mean(0), starts, slope)
        projected = of_mean.points[of_mean.zeros.isfinite()]
        found["crossings_from_mean"].append(search(projected).zeros)
    result = {name: torch.cat(values).numpy() for name, values in found.items()}
    return {
        **result,
        "curves": result["curves"][:SHOWN, ::2],
        "share_between": float((outputs * mean < 0).double().mean()),
    }


def _toy(point: dict[str, Any]) -> dict[str, Any]:
    """Points of the plane in two classes, and the outputs of nets on a grid (Fig. 3)."""
    import torch

    generator = torch.Generator().manual_seed(point["seed"])
    x = 2 * torch.rand(point["P"], 2, generator=generator) - 1
    y = (x[:, 1] - 0.6 * torch.sin(3 * x[:, 0])).sign()
    net = network(point)
    w = torch.stack([trained(point, x, y, seed).w for seed in range(point["members"])])
    axis = torch.linspace(-1, 1, TOY)
    outputs = net(w, torch.cartesian_prod(axis, axis))
    return {
        "x": x.numpy(),
        "y": y.numpy(),
        "one": outputs[0].numpy(),
        "mean": outputs.mean(0).numpy(),
    }


def _zeros(values: Array) -> tuple[Array, Array]:
    """Where a function on the grid of the toy plot changes sign, linear between neighbors."""
    axis = np.linspace(-1, 1, TOY)
    spacing = axis[1] - axis[0]
    places = []
    for along in (0, 1):
        f = np.moveaxis(values.reshape(TOY, TOY), along, 0)
        i, j = np.nonzero(f[:-1] * f[1:] < 0)
        crossing = axis[i] + spacing * f[i, j] / (f[i, j] - f[i + 1, j])
        places.append((crossing, axis[j]) if along == 0 else (axis[j], crossing))
    x, y = (np.concatenate([place[k] for place in places]) for k in (0, 1))
    return x, y


def _toy_figure(table: Table) -> Figure:
    figure = Figure(
        "toy",
        "One net and the mean of many in the plane",
        "Colors: the mean output. Between its boundary and that of one of the nets the two "
        "classify differently; the typical distance of the two is delta. The thesis has a sketch.",
        Axis("x_1", range=(-1, 1)),
        Axis("x_2", range=(-1, 1)),
    )
    for row in table:
        axis = np.linspace(-1, 1, TOY)
        grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
        figure.map("mean output", grid[:, 0], grid[:, 1], np.tanh(row["mean"]))
        for sign, name in ((1, "points +"), (-1, "points -")):
            figure.measured(name, *row["x"][row["y"] == sign].T)
        for name in ("mean", "one"):
            figure.measured(f"boundary of the {name}", *_zeros(np.array(row[name], float)))
    return figure


def _search_figure(table: Table, h: float) -> Figure:
    figure = Figure(
        f"search-{h:g}".replace(".", "-"),
        f"The output along its gradient, h = {h:g}",
        "One ensemble; each curve starts from a test digit between the two boundaries. If the "
        "linear estimate were exact, all would vanish at 1 (dashed).",
        Axis("distance over its estimate", range=(0, 2)),
        Axis("f over its value at the start", range=(-2, 1.5)),
        claims=("ch2.b.fig9.centered",),
    )
    for row in table.where(h=h, seed=0):
        for place, curve in enumerate(row["curves"]):
            figure.measured(f"digit {place + 1}", DRAWN, curve, mode="lines", group=0)
        figure.thesis("linear", [0.0, 2.0], [1.0, -1.0])
    return figure


def _quartiles_figure(table: Table) -> Figure:
    figure = Figure(
        "quartiles",
        "Where the output vanishes",
        "Quartiles of the distance over its estimate, means over ensembles; from a digit between "
        "the boundaries, and from the boundary of the mean (the thesis's wording, taken "
        "literally). Dashed: exact.",
        Axis("width h", log=True),
        Axis("distance over its estimate"),
        claims=("ch2.b.fig9.centered", "ch2.b.fig9.narrows"),
    )
    for group, (field, start) in enumerate(
        (("crossings", "from a digit"), ("crossings_from_mean", "from the mean's boundary"))
    ):
        for place, name in enumerate(("lower quartile", "median", "upper quartile")):
            label = f"{name}, {start}"
            figure.curves(table, "h", _quartile(field, place), name=label, group=group)
    if table:
        h = table.column("h")
        figure.thesis("linear estimate", [h.min(), h.max()], [1.0, 1.0])
    return figure
