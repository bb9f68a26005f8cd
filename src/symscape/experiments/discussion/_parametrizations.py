"""abc-parametrizations: their symmetry, and which layers learn in wide networks (Sec. 8.2)."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.experiments.kernel_regression._estimates import increasing
from symscape.lab import Axis, Claim, Figure, Finding, Row, Table, Tolerance

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
    widths: Annotated[tuple[Width, ...], AfterValidator(increasing)] = Field(
        min_length=2, description="widths of the hidden layers"
    )
    thetas: tuple[float, ...] = Field(
        min_length=1, default=(-0.5, 0.3, 1.0), description="shifts of the symmetry"
    )
    steps: int = Field(ge=1, le=10_000, description="steps of SGD")
    seeds: int = Field(ge=1, description="draws of weights, data and batches")


CLAIMS = (
    Claim(
        "ch8.sec2.symmetry",
        "Sec. 8.2; Yang and Hu",
        "(a, b, c) and (a + theta, b - theta, c - 2 theta) are one network under SGD.",
        "identical",
        Tolerance(0, 1e-9, "largest difference of the outputs after SGD over their size; rounding"),
        profile="smoke",
    ),
    Claim(
        "ch8.sec2.mean-field-is-maximal-update",
        "Sec. 8.2",
        "The initialization MFP is equivalent to Maximal Update.",
        "equivalent",
        Tolerance(0, 1e-9, "as for the symmetry, of the two as they are defined"),
        profile="smoke",
    ),
    Claim(
        "ch8.sec2.all-layers-learn",
        "Sec. 8.2; Yang and Hu",
        "With Maximal Update all layers learn in the limit of infinite width.",
        0.0,
        Tolerance(
            -0.1, 0.1, "exponent of the width in the change of a layer, farthest off of all layers"
        ),
    ),
    Claim(
        "ch8.sec2.ntk-layers-stand-still",
        "Sec. 8.2 and 0.1",
        "With NTP the layers change as 1/sqrt(h): in the limit they do not learn.",
        -0.5,
        Tolerance(-0.6, -0.4, "-1/2 +- 0.1, farthest off of all layers"),
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
        names = "maximal-update", "ntk"
        return [
            {
                "name": name,
                "hidden": p.hidden,
                "width": width,
                # Twins of one width are enough: the symmetry holds for each.
                "thetas": list(p.thetas) if width == p.widths[0] else [],
                "steps": p.steps,
                "seed": seed,
            }
            for name, width, seed in product(names, p.widths, range(p.seeds))
        ]

    def cost(self, point: dict[str, Any]) -> float:
        runs = 1 + 2 * len(point["thetas"])
        return 0.02 + runs * point["steps"] * (1e-3 + 1e-8 * point["hidden"] * point["width"] ** 2)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        own = parametrization(point["name"], point["hidden"])
        output, change = _train(own, point)

        def difference(other: Parametrization) -> float:
            return float((_train(other, point)[0] - output).abs().max() / output.abs().max())

        result: dict[str, Any] = {
            "change": change,
            "difference": np.array([difference(own.shifted(t)) for t in point["thetas"]]),
            # What the exponent of the learning rate is for.
            "without_c": np.array([difference(own.shifted(t, c=False)) for t in point["thetas"]]),
        }
        if point["name"] == "maximal-update" and point["thetas"]:
            result["mean_field"] = difference(parametrization("mean-field", point["hidden"]))
        return result

    def analyse(self, table: Table, p: ParametrizationParameters) -> list[Finding]:
        twins = [row for row in table if row["thetas"]]
        return [
            _symmetry(twins),
            Finding(
                "ch8.sec2.mean-field-is-maximal-update",
                max((row["mean_field"] for row in twins if "mean_field" in row), default=None),
                note="" if twins else "No finished run.",
            ),
            _exponent("ch8.sec2.all-layers-learn", table.where(name="maximal-update"), 0.0),
            _exponent("ch8.sec2.ntk-layers-stand-still", table.where(name="ntk"), -0.5),
        ]

    def figures(self, table: Table, p: ParametrizationParameters) -> list[Figure]:
        figure = Figure(
            "change",
            "How much the layers change",
            f"Change of the preactivations in {p.steps} steps of SGD over their size at the start, "
            "root mean squares, means over seeds. Dashed: 1/sqrt(h).",
            Axis("width h", log=True),
            Axis("relative change", log=True),
        )
        for group, (name, label) in enumerate((("maximal-update", "MFP"), ("ntk", "NTP"))):
            rows = table.where(name=name)
            if not rows:
                continue
            for layer in range(p.hidden):
                found = [(w, of.column("change")) for (w,), of in rows.groups("width")]
                x = [w for w, _ in found]
                y = [float(np.mean([change[layer] for change in changes])) for _, changes in found]
                series = f"{label}, layer {layer + 1}"
                figure.measured(series, x, y, mode="lines+markers", group=group)
            if name == "ntk":
                ends = np.array([x[0], x[-1]], dtype=float)
                figure.thesis("1/sqrt(h)", ends, y[0] * (ends / ends[0]) ** -0.5)
        return [figure]


def _symmetry(twins: list[Row]) -> Finding:
    claim = "ch8.sec2.symmetry"
    if not twins:
        return Finding(claim, None, None, "No finished run.")
    without = min(float(row["without_c"].min()) for row in twins)
    note = f"Without the shift of c the outputs differ by {without:.2g} and more."
    return Finding(claim, max(float(row["difference"].max()) for row in twins), None, note)


def _exponent(claim: str, table: Table, expected: float) -> Finding:
    """The exponent of the width in the changes, of the layer that is farthest from expectation."""
    from symscape.scaling import fit_power_law

    widths = sorted({row["width"] for row in table})
    # (seeds, widths, layers)
    changes = np.array(
        [
            [of.rows[0]["change"] for _, of in rows.groups("width")]
            for _, rows in table.groups("seed")
            if len(rows) == len(widths)
        ]
    )
    if len(widths) < 2 or not len(changes):
        return Finding(claim, None, None, "Fewer than two widths are finished.")
    fits = [fit_power_law(widths, changes[:, :, layer]) for layer in range(changes.shape[2])]
    worst = max(fits, key=lambda fit: abs(fit.exponent - expected))
    said = ", ".join(f"{fit.exponent:.3f}" for fit in fits)
    note = f"Layers from the first to the last: {said}."
    return Finding(claim, worst.exponent, worst.error, note, table.keys)


def _train(of: Parametrization, point: dict[str, Any]) -> tuple[Tensor, np.ndarray]:
    """Outputs after SGD, and the relative change of the preactivations of every hidden layer.

    Weights, points and batches depend on the seed alone.
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

    def layers(x: Tensor) -> list[Tensor]:
        """Preactivations of all layers; the last one is the output."""
        z = [x @ (n ** -of.a[0] * w[0]) / math.sqrt(INPUTS)]
        for l in range(1, L + 1):
            z.append(z[-1].tanh() @ (n ** -of.a[l] * w[l]))
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
    change = [
        float((late - early).square().mean().sqrt() / early.square().mean().sqrt())
        for early, late in zip(before[:-1], after[:-1], strict=True)
    ]
    return after[-1], np.array(change)
