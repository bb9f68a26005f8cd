"""abc-parametrizations: their symmetry, and which layers learn in wide networks (Sec. 8.2)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

if TYPE_CHECKING:
    from torch import Tensor

Width = Annotated[int, Field(ge=8, le=8192)]

INPUTS, POINTS, BATCH, RATE = 10, 32, 8, 0.5
"""Dimension of the inputs, training points, points in a step, and the learning rate eta."""


class Parametrization(NamedTuple):
    r"""Layer l of width n is :math:`n^{-a_l}w^l`, :math:`w^l\sim\mathcal N(0,n^{-2b_l})`; SGD has
    the learning rate :math:`\eta n^{-c}`."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    c: float

    def shifted(self, theta: float, c: bool = True) -> Parametrization:
        r""":math:`(a+\theta,b-\theta,c-2\theta)`; without ``c`` the last one is left as it is."""
        return Parametrization(
            tuple(a + theta for a in self.a),
            tuple(b - theta for b in self.b),
            self.c - 2 * theta * c,
        )


def parametrization(name: str, hidden: int) -> Parametrization:
    """``mean-field`` (MFP of Table 1), ``maximal-update`` (Yang and Hu) or ``ntk`` (NTP).

    The thesis trains by gradient flow; c of MFP is what lets its output change in a time of
    order 1.
    """
    between = hidden - 1
    zero = (0.0,) * (hidden + 1)
    if name == "mean-field":
        return Parametrization((0.0, *(0.5,) * between, 1.0), zero, -1.0)
    if name == "maximal-update":
        return Parametrization((-0.5, *(0.0,) * between, 0.5), (0.5,) * (hidden + 1), 0.0)
    if name == "ntk":
        return Parametrization((0.0, *(0.5,) * between, 0.5), zero, 0.0)
    raise ValueError(f"name: {name!r} given; allowed: mean-field, maximal-update, ntk")


class ParametrizationParameters(lab.Parameters):
    hidden: int = Field(ge=1, le=10, default=3, description="hidden layers L")
    widths: Annotated[tuple[Width, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, description="widths of the hidden layers"
    )
    thetas: tuple[float, ...] = Field(
        min_length=1, default=(-0.5, 0.3, 1.0), description="shifts of the symmetry"
    )
    steps: int = Field(ge=1, le=10_000, description="steps of SGD")
    seeds: int = Field(ge=1, description="draws of weights, data and batches")


def _twins(table: Table, field: str) -> float:
    """The largest entry of a field over the runs that have twins.

    Raises:
        NoEstimate: there are none.
    """
    found = [np.max(row[field]) for row in table if row["thetas"] and field in row]
    if not found:
        raise NoEstimate("No run with twins is finished.")
    return float(max(found))


def _symmetry(table: Table, p: ParametrizationParameters) -> Estimate:
    largest = _twins(table, "difference")
    without = min(float(row["without_c"].min()) for row in table if row["thetas"])
    note = f"Without the shift of c the outputs differ by {without:.2g} and more."
    return Estimate(largest, note=note)


def _mean_field(table: Table, p: ParametrizationParameters) -> Estimate:
    return Estimate(_twins(table, "mean_field"))


def _exponents(name: str) -> Callable[[Table, ParametrizationParameters], dict[str, Estimate]]:
    """Exponents of the width in the changes of each layer."""

    def answer(table: Table, p: ParametrizationParameters) -> dict[str, Estimate]:
        seeds = [rows for _, rows in table.where(name=name).groups("seed")]
        complete = [rows.column("change") for rows in seeds if len(rows) == len(p.widths)]
        if not complete:
            raise NoEstimate("No seed has finished at all widths.")
        changes = np.array(complete)  # (seeds, widths, layers)
        return {
            f"layer {layer + 1}": scaling.slope(p.widths, changes[:, :, layer])
            for layer in range(p.hidden)
        }

    return answer


CLAIMS = (
    Claim(
        "ch8.sec2.symmetry",
        "Sec. 8.2; Yang and Hu",
        "(a, b, c) and (a + theta, b - theta, c - 2 theta) are one network under SGD.",
        "identical",
        Tolerance.at_most(
            1e-9, "largest difference of the outputs after SGD over their size; rounding"
        ),
        _symmetry,
        "exact",
        profile="smoke",
    ),
    Claim(
        "ch8.sec2.mean-field-is-maximal-update",
        "Sec. 8.2",
        "The initialization MFP is equivalent to Maximal Update.",
        "equivalent",
        Tolerance.at_most(1e-9, "as for the symmetry, of the two as they are defined"),
        _mean_field,
        "exact",
        profile="smoke",
    ),
    Claim(
        "ch8.sec2.all-layers-learn",
        "Sec. 8.2; Yang and Hu",
        "With Maximal Update all layers learn in the limit of infinite width.",
        0.0,
        Tolerance(-0.1, 0.1, "exponent of the width in the change of a layer, of every layer"),
        _exponents("maximal-update"),
    ),
    Claim(
        "ch8.sec2.ntk-layers-stand-still",
        "Sec. 8.2 and 0.1",
        "With NTP the layers change as 1/sqrt(h): in the limit they do not learn.",
        -0.5,
        Tolerance(-0.6, -0.4, "-1/2 +- 0.1, of every layer"),
        _exponents("ntk"),
    ),
)


@lab.register
class Parametrizations(lab.Experiment):
    """Ch. 8, Sec. 8.2."""

    name = "discussion-parametrizations"
    chapter = "8"
    title = "Which initializations learn features"
    summary = (
        "Fully connected networks in which width enters by three exponents: of the prefactor of "
        "the weights, of their size at the start, and of the learning rate. Shifting all three "
        "leaves the network that SGD trains as it is. The mean-field initialization of the thesis "
        "is Maximal Update in this sense, and all its layers learn however wide they are."
    )
    sources = ("Ch. 8, Sec. 8.2",)
    version = 1
    Parameters = ParametrizationParameters
    profiles = {  # noqa: RUF012
        "smoke": ParametrizationParameters(widths=(16, 64), steps=10, seeds=2),
        "quick": ParametrizationParameters(widths=(64, 128, 256, 512), steps=50, seeds=3),
        "overnight": ParametrizationParameters(widths=(64, 128, 256, 512), steps=100, seeds=24),
        "paper": ParametrizationParameters(
            widths=(64, 128, 256, 512, 1024, 2048, 4096, 8192), steps=200, seeds=20
        ),
    }
    claims = CLAIMS

    def points(self, p: ParametrizationParameters) -> list[dict[str, Any]]:
        shift = list(p.thetas)
        # Twins of one width are enough: the symmetry holds for each.
        sizes = [{"width": w, "thetas": shift if w == p.widths[0] else []} for w in p.widths]
        names = ("maximal-update", "ntk")
        return list(lab.grid(p.seeds, name=names, hidden=p.hidden, size=sizes, steps=p.steps))

    def cost(self, point: dict[str, Any]) -> float:
        runs = 1 + 2 * len(point["thetas"])
        return 0.02 + runs * point["steps"] * (1e-3 + 1e-8 * point["hidden"] * point["width"] ** 2)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        own = parametrization(point["name"], point["hidden"])
        trained = train(own, point)
        output = trained.output

        def difference(other: Parametrization) -> float:
            return float((train(other, point).output - output).abs().max() / output.abs().max())

        result: dict[str, Any] = {
            "change": trained.change,
            "difference": np.array([difference(own.shifted(t)) for t in point["thetas"]]),
            # What the exponent of the learning rate is for.
            "without_c": np.array([difference(own.shifted(t, c=False)) for t in point["thetas"]]),
        }
        if point["name"] == "maximal-update" and point["thetas"]:
            result["mean_field"] = difference(parametrization("mean-field", point["hidden"]))
        return result

    def figures(self, table: Table, p: ParametrizationParameters) -> list[Figure]:
        figure = Figure(
            "change",
            "How much the layers change",
            f"Change of the preactivations in {p.steps} steps of SGD over their size at the start, "
            "root mean squares, means over seeds. Dashed: 1/sqrt(h).",
            Axis("width h", log=True),
            Axis("relative change", log=True),
            claims=("ch8.sec2.all-layers-learn", "ch8.sec2.ntk-layers-stand-still"),
        )
        for group, (name, label) in enumerate((("maximal-update", "MFP"), ("ntk", "NTP"))):
            rows = table.where(name=name)
            for layer in range(p.hidden if rows else 0):
                change = functools.partial(_change, layer)
                figure.curves(
                    rows, "width", change, name=f"{label}, layer {layer + 1}", group=group
                )
        if table.where(name="ntk"):
            drawn = figure.series[-p.hidden]
            ends = drawn.x[[0, -1]]
            figure.thesis("1/sqrt(h)", ends, drawn.y[0] * (ends / ends[0]) ** -0.5)
        return [figure]


def _change(layer: int, row: Row) -> float:
    return float(row["change"][layer])


class Trained(NamedTuple):
    """What SGD did to a network of L hidden layers.

    Attributes:
        start: outputs on the training points before, (POINTS, 1).
        output: outputs after.
        change: relative change of the preactivations of every hidden layer, (L,).
        own: what the change of its own weights adds to the preactivations of every layer, (L + 1,);
            relative to their size at the start, but for the output.
    """

    start: Tensor
    output: Tensor
    change: np.ndarray
    own: np.ndarray


def train(of: Parametrization, point: dict[str, Any]) -> Trained:
    """Train a network of ``width`` and ``hidden`` layers for ``steps`` steps.

    Weights, points and batches depend on the ``seed`` alone.
    """
    import torch

    n, L = point["width"], point["hidden"]
    generator = torch.Generator().manual_seed(point["seed"])

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = normal(POINTS, INPUTS)
    x *= math.sqrt(INPUTS) / x.norm(dim=1, keepdim=True)
    y = x[:, 0] * x[:, 1]
    batches = torch.randint(POINTS, (point["steps"], BATCH), generator=generator)
    sizes = [INPUTS, *(n,) * L, 1]
    w = [(n ** -of.b[l] * normal(sizes[l], sizes[l + 1])).requires_grad_() for l in range(L + 1)]
    at_start = [weight.detach().clone() for weight in w]
    factors = [n ** -of.a[0] / math.sqrt(INPUTS), *(n**-a for a in of.a[1:])]

    def layers(x: Tensor) -> list[Tensor]:
        """Preactivations of all layers; the last one is the output."""
        z = [x @ (factors[0] * w[0])]
        for l in range(1, L + 1):
            z.append(z[-1].tanh() @ (factors[l] * w[l]))
        return z

    with torch.no_grad():
        before = layers(x)
    for batch in batches:
        loss = (layers(x[batch])[-1].squeeze(1) - y[batch]).square().mean() / 2
        gradient = torch.autograd.grad(loss, w)
        with torch.no_grad():
            for weight, g in zip(w, gradient, strict=True):
                weight -= RATE * n**-of.c * g
    with torch.no_grad():
        after = layers(x)
        below = [x, *(z.tanh() for z in after[:-1])]
        own = [
            _size(below[l] @ (factors[l] * (w[l] - at_start[l])))
            / (_size(before[l]) if l < L else 1.0)
            for l in range(L + 1)
        ]
    change = [
        _size(late - early) / _size(early)
        for early, late in zip(before[:-1], after[:-1], strict=True)
    ]
    return Trained(before[-1], after[-1], np.array(change), np.array(own))


def _size(z: Tensor) -> float:
    return float(z.square().mean().sqrt())
