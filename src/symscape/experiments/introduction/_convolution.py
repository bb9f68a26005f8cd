"""A convolution as a constrained fully connected layer: Fig. 2 and Eq. 13 of the introduction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Table, Tolerance

KERNEL = 3
"""Neurons of the layer below that a neuron of Fig. 2 is connected to."""


class ConvolutionParameters(lab.Parameters):
    sizes: tuple[Annotated[int, Field(ge=8, le=4096)], ...] = Field(
        min_length=2, description="neurons of the first layer n"
    )
    seeds: int = Field(ge=1, le=1000, description="draws of weights and inputs")


def largest(name: str, table: Table, stride: int | None = None) -> Estimate:
    """The largest deviation of all rows, or of those of one stride."""
    rows = table if stride is None else table.where(stride=stride)
    if not rows:
        raise NoEstimate(f"No layer with stride {stride} was made.")
    return Estimate(float(max(rows.column(name))))


CLAIMS = (
    Claim(
        "ch0.fig2.constrained-layer",
        "Introduction, Fig. 2 and Sec. 0.3",
        "A convolution is a fully connected layer with identical weights and zeros.",
        "identical",
        Tolerance.at_most(
            1e-12, "largest deviation of its matrix from shifted copies of 3 weights; rounding"
        ),
        lambda table, p: largest("matrix_deviation", table),
        kind="exact",
        profile="smoke",
    ),
    Claim(
        "ch0.eq13.equivariance",
        "Introduction, Eq. 13",
        "The output of a convolution of a translated input is the translated output.",
        "identical",
        Tolerance.at_most(
            1e-12, "largest deviation where the translation is a multiple of the stride; rounding"
        ),
        lambda table, p: largest("equivariance_deviation", table),
        kind="exact",
        profile="smoke",
    ),
    Claim(
        "ch0.fig2.receptive-field",
        "Introduction, Fig. 2",
        "It takes many layers to get from one side to the other: each adds two neurons.",
        "3, 5, 7, ...",
        Tolerance.at_most(0.0, "largest deviation of the receptive field from 1 + 2 L, in neurons"),
        lambda table, p: largest("field_deviation", table, stride=1),
        kind="exact",
        profile="smoke",
    ),
    Claim(
        "ch0.fig2.stride",
        "Introduction, Fig. 2",
        "With stride 2 each layer doubles the receptive field and halves the resolution.",
        "3, 7, 15, ...",
        Tolerance.at_most(0.0, "largest deviation of the field from 2^(L + 1) - 1, in neurons"),
        lambda table, p: largest("field_deviation", table, stride=2),
        kind="exact",
        profile="smoke",
    ),
)


@lab.register
class Convolution(lab.Experiment):
    """Introduction, Fig. 2 and Eq. 13."""

    name = "introduction-convolution"
    chapter = "0"
    title = "A convolution in one dimension"
    summary = (
        "A convolution is a fully connected layer in which each neuron sees its neighbors only, "
        "through the same weights everywhere. It is equivariant to translations, and information "
        "needs many layers to cross the input, fewer where layers skip neurons (stride)."
    )
    sources = ("Introduction, Fig. 2", "Introduction, Eq. 13")
    version = 1
    Parameters = ConvolutionParameters
    profiles = {  # noqa: RUF012
        "smoke": ConvolutionParameters(sizes=(16, 32), seeds=1),
        "quick": ConvolutionParameters(sizes=(16, 32, 64, 128), seeds=2),
        "overnight": ConvolutionParameters(sizes=(16, 32, 64, 128, 256), seeds=3),
        "paper": ConvolutionParameters(sizes=(16, 32, 64, 128, 256, 512, 1024), seeds=10),
    }
    claims = CLAIMS

    def points(self, p: ConvolutionParameters) -> Iterable[dict[str, Any]]:
        return lab.grid(p.seeds, n=p.sizes, stride=(1, 2))

    def cost(self, point: dict[str, Any]) -> float:
        return 0.02

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch
        from torch.nn.functional import conv1d, pad

        n, stride = point["n"], point["stride"]
        generator = torch.Generator().manual_seed(point["seed"])
        weight = torch.randn(1, 1, KERNEL, generator=generator, dtype=torch.float64)
        z = torch.randn(1, 1, n, generator=generator, dtype=torch.float64)

        def layer(z: torch.Tensor, weight: torch.Tensor = weight) -> torch.Tensor:
            """On a ring, so that there is no border."""
            ring = pad(z, (KERNEL // 2, KERNEL // 2), mode="circular")
            return conv1d(ring, weight, stride=stride)

        matrix = layer(torch.eye(n, dtype=torch.float64).unsqueeze(1)).squeeze(1).T
        shared = torch.zeros_like(matrix)
        for i in range(len(matrix)):
            for j in range(KERNEL):
                shared[i, (stride * i + j - KERNEL // 2) % n] = weight[0, 0, j]
        moved = layer(z.roll(stride, -1)) - layer(z).roll(1, -1)
        fields = _receptive_fields(n, stride, lambda z: layer(z, torch.ones_like(weight)))
        layers = np.arange(1, len(fields) + 1)
        law = 1 + (KERNEL - 1) * (layers if stride == 1 else 2**layers - 1)
        return {
            "matrix_deviation": float((matrix - shared).abs().max()),
            "equivariance_deviation": float(moved.abs().max()),
            "fields": fields,
            "field_deviation": float(np.abs(fields - np.minimum(law, n)).max()),
        }

    def figures(self, table: Table, p: ConvolutionParameters) -> list[Figure]:
        figure = Figure(
            "receptive-field",
            "How far a neuron sees",
            "Neurons of the first layer on which one neuron of a later layer depends, until it "
            "sees all of them. Fig. 2 draws the first layers.",
            Axis("layer"),
            Axis("receptive field (neurons)", log=True),
            claims=("ch0.fig2.receptive-field", "ch0.fig2.stride"),
        )
        widest = table.where(n=max(p.sizes))
        figure.curves(widest, lambda row: np.arange(1, len(row["fields"]) + 1), "fields", "stride")
        layers = np.arange(1, max([1, *(len(row["fields"]) for row in widest)]) + 1)
        figure.thesis("1 + 2 L", layers, 1 + 2 * layers)
        return [figure]


def _receptive_fields(n: int, stride: int, layer: Any) -> np.ndarray:
    """How many neurons of the first layer the middle neuron of each later layer depends on.

    The layers follow until one sees all of the first one, or has no middle left.
    """
    import torch

    inputs = torch.zeros(1, 1, n, dtype=torch.float64, requires_grad=True)
    z, fields = inputs, [1]
    while fields[-1] < n and z.shape[-1] >= KERNEL and z.shape[-1] % stride == 0:
        z = layer(z)
        (gradient,) = torch.autograd.grad(z[0, 0, z.shape[-1] // 2], inputs, retain_graph=True)
        fields.append(int((gradient != 0).sum()))
    return np.array(fields[1:])
