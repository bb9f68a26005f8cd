"""What stands behind the scan: integrators, the subtraction of f_0, biases, speeds (paper I)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.experiments.learning_regimes import _details_figures, _observed_flow
from symscape.experiments.learning_regimes._details_claims import CLAIMS
from symscape.experiments.learning_regimes._flow import network
from symscape.lab import Figure, Point, Result, Table

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.dynamics import Integrator, TrainResult
    from symscape.experiments.learning_regimes._observed_flow import Problem
    from symscape.networks import FullyConnected

Scale = Annotated[float, Field(gt=0)]
Scales = Annotated[tuple[Scale, ...], Field(min_length=1), AfterValidator(lab.increasing)]
Width = Annotated[int, Field(ge=2, le=8192)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1), AfterValidator(lab.increasing)]
Sizes = Annotated[
    tuple[Annotated[int, Field(ge=10)], ...], Field(min_length=1), AfterValidator(lab.increasing)
]

BETAS = (1.0, 5.0, 20.0)
"""Inverse smoothing lengths of the losses of Fig. 1."""
SMOOTHING = tuple(np.linspace(-0.7, 1.5, 45).round(3).tolist())
"""Margins f y at which they are drawn."""


class DetailParameters(lab.Parameters):
    n: int = Field(ge=2, default=64, description="training points of the slab")
    n_test: int = Field(ge=2, default=1000, description="test points of the slab")
    scales: Scales = Field(default=(1e-2, 1.0, 1e2, 1e4), description="sqrt(h) alpha")
    speed_widths: Widths = Field(description="widths h of the speeds, L = 5")
    speed_seeds: int = Field(ge=1, default=5, description="initializations of the speeds")
    integrator_width: Width = Field(description="width h of the comparison of integrators")
    integrator_seeds: int = Field(ge=1, description="initializations of this comparison")
    fine: float = Field(
        gt=0, le=1e-4, default=1e-6, description="the smaller bound on the change of the gradient"
    )
    centered_widths: Widths = Field(description="widths h of the nets with and without f_0")
    centered_seeds: int = Field(ge=1, description="initializations of these nets")
    budget: int = Field(ge=1, default=5000, description="steps of the thesis's integrator there")
    bias_width: Width = Field(description="width h of the nets with and without biases")
    bias_factor: float = Field(
        gt=0, le=1, default=0.1, description="factor of the biases of these nets"
    )
    bias_seeds: int = Field(ge=1, description="initializations of these nets")
    source: str = Field(
        default="auto", description="images: fashion-mnist, mnist, ...; auto: the first found"
    )
    n_images: Sizes = Field(description="training images of the frozen kernels")
    n_test_images: int = Field(ge=10, default=1000, description="test images")
    frozen_widths: Widths = Field(description="widths h of the frozen kernels, L = 3")
    frozen_seeds: int = Field(ge=1, description="initializations of the frozen kernels")


@lab.register
class Details(lab.Experiment):
    """Paper I, Figs. 1, 11, 13, 14, 15, 16."""

    name = "regimes-details"
    chapter = "3"
    title = "Behind the two regimes: losses, speeds, integrators, f_0 and biases"
    summary = (
        "How the loss of the chapter compares with the hinge; how fast preactivations move at the "
        "start, layer by layer; how accurate the integrators are; what happens without the "
        "subtraction of f_0, and with biases; how the variance of lazy nets grows with the number "
        "of training points."
    )
    sources = ("Ch. 3, paper I, Figs. 1, 11 and 13 to 16",)
    version = 1
    Parameters = DetailParameters
    profiles = {  # noqa: RUF012
        "smoke": DetailParameters(
            n=12,
            n_test=50,
            scales=(1.0, 1e3),
            speed_widths=(8, 16, 32),
            speed_seeds=2,
            integrator_width=8,
            integrator_seeds=2,
            fine=5e-5,
            centered_widths=(8,),
            centered_seeds=2,
            budget=50,
            bias_width=8,
            bias_seeds=2,
            source="mnist-sample",
            n_images=(20, 30),
            n_test_images=50,
            frozen_widths=(8, 16, 32, 64),
            frozen_seeds=2,
        ),
        "quick": DetailParameters(
            speed_widths=(64, 128, 256, 512),
            integrator_width=8,
            integrator_seeds=2,
            fine=1e-5,
            centered_widths=(32,),
            centered_seeds=3,
            budget=1000,
            bias_width=32,
            bias_seeds=5,
            n_images=(100, 200),
            frozen_widths=(16, 32, 64, 128, 256),
            frozen_seeds=6,
        ),
        "overnight": DetailParameters(
            speed_widths=(64, 128, 256, 512, 1024),
            integrator_width=32,
            integrator_seeds=4,
            centered_widths=(32, 128),
            centered_seeds=6,
            bias_width=64,
            bias_seeds=8,
            n_images=(100, 200, 400),
            frozen_widths=(16, 32, 64, 128, 256, 512),
            frozen_seeds=12,
        ),
        "paper": DetailParameters(
            n=1000,
            speed_widths=(50, 100, 200, 400, 800, 1600, 3200),
            integrator_width=100,
            integrator_seeds=5,
            centered_widths=(100, 1000),
            centered_seeds=10,
            budget=100_000,
            bias_width=100,
            bias_seeds=20,
            n_images=(500, 1000, 2000, 4000),
            n_test_images=10_000,
            frozen_widths=(14, 27, 52, 100, 193, 373, 720, 1390),
            frozen_seeds=20,
        ),
    }
    claims = CLAIMS

    def points(self, p: DetailParameters) -> Iterator[Point]:
        slab = {"data": _observed_flow.SLAB, "n": p.n, "n_test": p.n_test}
        yield from lab.grid(1, role="losses")
        yield from lab.grid(p.speed_seeds, role="speed", **slab, L=5, h=p.speed_widths)
        yield from lab.grid(
            p.integrator_seeds,
            role="integrators",
            **slab,
            L=2,
            h=p.integrator_width,
            scale=p.scales,
            fine=p.fine,
        )
        yield from lab.grid(
            p.centered_seeds,
            role="centered",
            **slab,
            L=2,
            h=p.centered_widths,
            # the thesis's integrator is tried where f_0 matters most
            run=[{"scale": s, "budget": p.budget * (s == p.scales[-1])} for s in p.scales],
        )
        images = {"data": _observed_flow.pinned_images(p.source), "n_test": p.n_test_images}
        yield from lab.grid(
            p.frozen_seeds, role="frozen", **images, L=3, n=p.n_images, h=p.frozen_widths
        )
        yield from lab.grid(
            p.bias_seeds,
            role="bias",
            **images,
            n=max(p.n_images),
            L=2,
            h=p.bias_width,
            scale=p.scales,
            factor=p.bias_factor,
        )

    def cost(self, point: Point) -> float:
        role = point["role"]
        if role in ("losses", "speed"):
            return 0.1
        if role == "frozen":
            return 0.15 + 1e-6 * point["n"] * (point["n"] + point["n_test"])
        n, L, h, d = point["n"], point["L"], point["h"], 784 if role == "bias" else 8
        per_weight = 3.5e-10 if role == "bias" else 1.2e-9
        one = 1.2e-4 + n * (per_weight * (d * h + (L - 1) * h**2) + 4e-8 * L * h)
        evaluations = 250 + 60 / L * point["scale"] ** -0.5
        if role == "integrators":
            thesis = 1500 * (3 + (1e-4 / point["fine"]) ** 0.5)
            return (6 * evaluations + thesis) * one
        steps = point.get("budget", 0)
        runs = 2 if role == "bias" else 3
        return 0.1 + (runs * evaluations + steps) * one

    def measure(self, point: Point) -> Result:
        import torch

        with torch.no_grad():
            return _MEASURES[point["role"]](point)

    def figures(self, table: Table, p: DetailParameters) -> list[Figure]:
        return _details_figures.figures(table, p)


def _start(point: Point) -> tuple[Problem, FullyConnected, Tensor, float]:
    """Data, net, its initial weights, and alpha (1 where the point has no scale)."""
    data = _observed_flow.problem(point["data"], point["n"], point["n_test"])
    net = network(data.x.shape[1], point["h"], point["L"])
    alpha = point["scale"] / math.sqrt(net.h) if "scale" in point else 1.0
    return data, net, net.initial_weights(point["seed"]), alpha


def _losses(point: Point) -> Result:
    """The hinge and its smooth forms, and their distance at f y = 1, where it is largest."""
    import torch

    from symscape.dynamics import Hinge, SoftHinge

    f = torch.tensor(SMOOTHING, dtype=torch.float64)
    one = torch.ones_like(f)
    hinge = Hinge(power=1.0)
    fine = torch.linspace(-2, 3, 5001, dtype=torch.float64)
    result: Result = {"hinge": hinge.value(f, one).numpy()}
    for beta in BETAS:
        soft = SoftHinge(beta)
        apart = soft.value(fine, torch.ones_like(fine)) - hinge.value(fine, torch.ones_like(fine))
        result[f"soft_{beta:g}"] = soft.value(f, one).numpy()
        result[f"distance_{beta:g}"] = float(apart.abs().max())
        result[f"where_{beta:g}"] = float(fine[apart.abs().argmax()])
    return result


def _speed(point: Point) -> Result:
    from symscape.dynamics import SoftHinge, preactivation_speed

    data, net, w0, alpha = _start(point)
    speeds = preactivation_speed(net, w0, data.x, data.y, loss=SoftHinge(), alpha=alpha)
    return {"speeds": speeds.numpy()}


def _integrators(point: Point) -> Result:
    """Test outputs by each integrator, compared with an exact one, and what they cost."""
    from symscape.dynamics import EulerThesis

    data, net, w0, alpha = _start(point)
    # the thesis's memory time, in its own units, is this small number times min(scale, 1000)
    memory = min(point["scale"], 1e3)
    methods: dict[str, Integrator] = {
        "exact": _observed_flow.integrator(1e-6),
        "ours": _observed_flow.integrator(),
        "thesis": EulerThesis(),
        "thesis_fine": EulerThesis(max_dgrad=point["fine"]),
        "thesis_memory": EulerThesis(tau=1e-3 * memory),
        "thesis_short_memory": EulerThesis(tau=1e-7 * memory),
    }
    outputs: dict[str, Tensor] = {}
    result: Result = {}
    for name, method in methods.items():
        run = _observed_flow.follow(net, w0, data, alpha, method, 1_000_000)
        outputs[name] = _observed_flow.margins(net, run.w, w0, data, alpha)
        result[f"{name}_evaluations"] = run.evaluations
        result[f"{name}_n_delta"] = run.n_delta

    def apart(a: str, b: str) -> float:
        return float((outputs[a] - outputs[b]).norm() / outputs[b].norm())

    return {
        **result,
        "ours_error": apart("ours", "exact"),
        "thesis_error": apart("thesis", "exact"),
        "fine_difference": apart("thesis", "thesis_fine"),
        "memory_difference": apart("thesis_memory", "thesis_short_memory"),
    }


def _centered(point: Point) -> Result:
    """Two nets: F = alpha (f - f_0) and F = alpha f."""
    from symscape.dynamics import EulerThesis

    data, net, w0, alpha = _start(point)
    with_f0 = _observed_flow.follow(net, w0, data, alpha, _observed_flow.integrator())
    without = _follow_alpha_f(net, w0, data, alpha, _observed_flow.integrator(), 20_000)
    # the thesis's rules bound the change of alpha f
    thesis = EulerThesis(max_dout=0.1 / alpha)
    on_test = {
        "centered": _observed_flow.margins(net, with_f0.w, w0, data, alpha),
        "plain": data.y_test * alpha * net(without.w, data.x_test),
    }
    result: Result = {
        **{f"{name}_margins": F.numpy().astype(np.float32) for name, F in on_test.items()},
        **{f"{name}_error": _observed_flow.error_of(F) for name, F in on_test.items()},
        "centered_n_delta": with_f0.n_delta,
        "plain_n_delta": without.n_delta,
    }
    if point["budget"]:
        by_thesis = _follow_alpha_f(net, w0, data, alpha, thesis, point["budget"])
        result["plain_n_delta_thesis"] = by_thesis.n_delta
    return result


def _follow_alpha_f(
    net: FullyConnected, w0: Tensor, data: Problem, alpha: float, method: Integrator, max_steps: int
) -> TrainResult:
    r"""The flow of F = alpha f, as one of f with another unit of time.

    :math:`\frac1{\alpha^2}sp_\beta(1-\alpha fy)=\frac1\alpha sp_{\alpha\beta}(1/\alpha-fy)`.
    """
    from symscape.dynamics import SoftHinge

    loss = SoftHinge(beta=20.0 * alpha, margin=1.0 / alpha)
    return _observed_flow.follow(net, w0, data, None, method, max_steps, loss=loss)


def _bias(point: Point) -> Result:
    """Two nets of the same initial weights: without and with biases, which start at 0."""
    data, plain, w0, alpha = _start(point)
    biased = dataclasses.replace(plain, bias=True, bias_factor=point["factor"])
    result: Result = {}
    for name, net, start in (
        ("plain", plain, w0),
        ("biased", biased, biased.initial_weights(point["seed"])),
    ):
        run = _observed_flow.follow(net, start, data, alpha, _observed_flow.integrator())
        F = _observed_flow.margins(net, run.w, start, data, alpha)
        result[f"{name}_margins"] = F.numpy().astype(np.float32)
        result[f"{name}_error"] = _observed_flow.error_of(F)
        result[f"{name}_n_delta"] = run.n_delta
    return result


_MEASURES = {
    "losses": _losses,
    "speed": _speed,
    "integrators": _integrators,
    "centered": _centered,
    "bias": _bias,
    "frozen": _observed_flow.observe_frozen,
}
