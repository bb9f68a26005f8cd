"""The exponents of Yang and Hu's classification, on trained networks (Sec. 8.2, Fig. 8.2)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from symscape import lab, scaling
from symscape.experiments.discussion._parametrizations import (
    Parametrization,
    Width,
    parametrization,
    train,
)
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Row, Table, Tolerance

Array = NDArray[np.float64]

HIDDEN = 3
"""Hidden layers."""

BLOW_UP = 50.0
"""Exponent of the width that stands for numbers that are not finite."""


def slice_of(A: float, c: float) -> Parametrization:
    """Hidden layers as in NTP, prefactor :math:`n^{-A}` of the last one, rate :math:`n^{-c}`.

    A = 1/2, c = 0 is NTP, A = 1, c = -1 is Maximal Update.
    """
    of = parametrization("ntk", HIDDEN)
    return of._replace(a=(*of.a[:-1], A), c=c)


def boundary(A: float) -> float:
    r"""The c below which a network of the slice is unstable, :math:`\max(1-2A,-A)`."""
    return max(1 - 2 * A, -A)


NAMED: Mapping[str, Parametrization] = {
    "NTP": parametrization("ntk", HIDDEN),
    "between": slice_of(0.75, -0.5),
    "Maximal Update": parametrization("mean-field", HIDDEN),
    "trivial": slice_of(1.0, -0.5),
    "last layer alone": Parametrization((0.0, 0.5, 0.5, 0.5), (0.0, 0.0, 0.0, 0.5), 0.0),
    "last layer at rest": Parametrization((0.0, 0.5, 0.5, 1.25), (0.0, 0.0, 0.0, -0.25), -1.0),
    "first layer first": Parametrization((0.0, 0.75, 0.75, 1.0), (0.0, -0.25, -0.25, 0.0), -1.0),
}


def exponents(of: Parametrization) -> dict[str, float]:
    r"""Powers of the width, after Yang and Hu, of a stable parametrization.

    With :math:`m=\min(a_{L+1}+b_{L+1},2a_{L+1}+c)`, the size of the signal that comes back, the
    weights of hidden layer l change its preactivations by :math:`n^{-r_l}`,
    :math:`r_l=m+c-1+2a_l+\mathbb 1(l=1)`; those of the last layer change the output by
    :math:`n^{-(2a_{L+1}+c-1)}`, and all hidden ones together by
    :math:`n^{-(a_{L+1}+b_{L+1}+r-1)}`, :math:`r=\min_lr_l`. Features are learned where r = 0.
    """
    last, weight = 2 * of.a[-1] + of.c, of.a[-1] + of.b[-1]
    r = [min(weight, last) + of.c - 1 + 2 * a + (l == 0) for l, a in enumerate(of.a[:-1])]
    return {
        "output at the start": 0.5 - weight,
        **{f"layer {l + 1}": -of_layer for l, of_layer in enumerate(r)},
        "last layer": 1 - last,
        "change of the output": -min(last - 1, weight + min(r) - 1),
    }


class LimitsParameters(lab.Parameters):
    widths: Annotated[tuple[Width, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, description="widths of the hidden layers"
    )
    steps: int = Field(ge=2, le=10_000, description="steps of SGD")
    prefactors: tuple[float, ...] = Field(
        min_length=1, default=(0.5, 0.75, 1.0, 1.25), description="A of the slice"
    )
    offsets: Annotated[tuple[float, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, default=(-0.3, -0.15, 0.0, 0.15, 0.3), description="c minus the boundary's"
    )
    slice_widths: Annotated[tuple[Width, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, description="widths where stability is looked for"
    )
    slice_steps: int = Field(ge=2, default=4, description="steps of SGD there")
    seeds: int = Field(ge=1, description="draws of weights, data and batches")


CLAIMS: tuple[Claim, ...] = ()


@lab.register
class ParametrizationLimits(lab.Experiment):
    """Ch. 8, Sec. 8.2."""

    name = "discussion-parametrization-limits"
    chapter = "8"
    title = "The classification of initializations, measured"
    summary = (
        "Trained networks in parametrizations from every part of Yang and Hu's phase space: how "
        "their outputs at the start, the change of their outputs and what each layer contributes "
        "scale with the width, against the exponents of the classification; and the learning rate "
        "at which wide networks become unstable."
    )
    sources = ("Ch. 8, Sec. 8.2", "Ch. 8, Fig. 8.2")
    version = 1
    Parameters = LimitsParameters
    profiles = {  # noqa: RUF012
        "smoke": LimitsParameters(
            widths=(16, 64), steps=5, prefactors=(0.5, 1.0), slice_widths=(16, 64), seeds=2
        ),
        "quick": LimitsParameters(widths=(64, 128, 256), steps=20, slice_widths=(64, 256), seeds=3),
        "overnight": LimitsParameters(
            widths=(64, 128, 256, 512, 1024), steps=50, slice_widths=(64, 256, 1024), seeds=16
        ),
        "paper": LimitsParameters(
            widths=(64, 128, 256, 512, 1024, 2048, 4096),
            steps=100,
            slice_widths=(64, 256, 1024, 4096),
            seeds=20,
        ),
    }
    claims = CLAIMS

    def points(self, p: LimitsParameters) -> list[dict[str, Any]]:
        named = lab.grid(p.seeds, role="named", name=list(NAMED), width=p.widths, steps=p.steps)
        cuts = [
            {"A": A, "c": round(boundary(A) + offset, 9)}
            for A in p.prefactors
            for offset in p.offsets
        ]
        cut = lab.grid(p.seeds, role="slice", cut=cuts, width=p.slice_widths, steps=p.slice_steps)
        return [*named, *cut]

    def cost(self, point: dict[str, Any]) -> float:
        size = point["width"] ** 2
        return 0.01 + 1e-7 * size + point["steps"] * (1e-3 + 2e-8 * size)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        cut = point["role"] == "slice"
        of = slice_of(point["A"], point["c"]) if cut else NAMED[point["name"]]
        trained = train(of, {**point, "hidden": HIDDEN})
        start, moved = trained.start, trained.output - trained.start
        return {
            "start": float(start.square().mean().sqrt()),
            "moved": float(moved.square().mean().sqrt()),
            "change": trained.change,
            "own": trained.own,
        }
