"""Fully connected networks at initialization: Fig. 1 and Table 1 of the introduction."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Table, Tolerance

DRAWN = {"d": 7, "h": 9, "L": 3, "c": 2}
"""The network drawn in Fig. 1 of the introduction."""


class NetworkParameters(lab.Parameters):
    d: int = Field(ge=1, le=10_000, default=10, description="input dimension")
    L: int = Field(ge=1, le=20, default=3, description="hidden layers")
    widths: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        min_length=2, description="widths h"
    )
    networks: int = Field(ge=2, le=10**6, description="networks drawn for each width and seed")
    patterns: int = Field(ge=1, le=10**6, default=20, description="inputs, uniform on the sphere")
    seeds: int = Field(ge=1, le=1000, description="repetitions, for the error bars")


def _weights(table: Table, p: NetworkParameters) -> Estimate:
    drawn = table.where(role="drawn").rows
    if not drawn:
        raise NoEstimate("The network of the figure was not made.")
    return Estimate(float(drawn[0]["n_weights"]))


def _exponent(table: Table, p: NetworkParameters, name: str) -> Estimate:
    """Exponent of the width in a field, from the narrowest networks to the widest."""
    narrow, wide = min(p.widths), max(p.widths)
    ends = [table.where(role="width", h=h).per_seed(name) for h in (narrow, wide)]
    if len(ends[0]) != len(ends[1]):
        raise NoEstimate("Some seeds are not finished.")
    return scaling.mean(np.log(ends[1] / ends[0]) / np.log(wide / narrow))


def _second_moment(table: Table, p: NetworkParameters) -> Estimate:
    widest = table.where(role="width", h=max(p.widths))
    return scaling.mean(widest.per_seed(lambda row: row["after"].sum() / row["before"].sum()))


CLAIMS = (
    Claim(
        "ch0.fig1.parameters",
        "Introduction, Fig. 1",
        "The network with d = 7, L = 3, h = 9 and two outputs has 243 weights.",
        243.0,
        Tolerance(243.0, 243.0, "exact: 7 x 9 + 2 x 9^2 + 9 x 2"),
        _weights,
        "exact",
        profile="smoke",
    ),
    Claim(
        "ch0.table1.ntp-output",
        "Introduction, Table 1",
        "In the NTP the output at initialization does not depend on the width: rms f ~ h^0.",
        0.0,
        Tolerance(-0.03, 0.03, "exact in expectation, for any two widths; the sampling noise"),
        lambda table, p: _exponent(table, p, "ntp_rms"),
        "check",
        profile="quick",
    ),
    Claim(
        "ch0.table1.mfp-output",
        "Introduction, Table 1",
        "In the MFP the output at initialization vanishes with the width: rms f ~ h^(-1/2).",
        -0.5,
        Tolerance(-0.53, -0.47, "exact in expectation, for any two widths; the sampling noise"),
        lambda table, p: _exponent(table, p, "mfp_rms"),
        "check",
        profile="quick",
    ),
    Claim(
        "ch0.table1.ratio",
        "Introduction, Table 1",
        "With the same weights the two outputs differ by the factor h^(-1/2) and nothing else.",
        "f_MFP = h^(-1/2) f_NTP",
        Tolerance.at_most(1e-12, "largest relative deviation; exact up to rounding"),
        lambda table, p: Estimate(float(table.column("ratio_deviation").max())),
        "exact",
        profile="smoke",
    ),
    Claim(
        "ch0.sec1.second-moment",
        "Introduction, footnote 1",
        "The factor sqrt(2) of the relu makes the second moments before and after it equal.",
        1.0,
        Tolerance(0.98, 1.02, "exact for a symmetric law; the sampling noise"),
        _second_moment,
        "check",
        profile="quick",
    ),
)


@lab.register
class Networks(lab.Experiment):
    """Introduction, Fig. 1 and Table 1."""

    name = "introduction-networks"
    chapter = "0"
    title = "Fully connected networks at initialization"
    summary = (
        "The two parametrizations of the thesis differ in one exponent, that of the last layer. "
        "With independent Gaussian weights the output of a wide network is of order one in the "
        "neural tangent parametrization (NTP) and of order h^(-1/2) in the mean field one (MFP), "
        "and the relu with its factor sqrt(2) hands the second moment on from layer to layer."
    )
    sources = ("Introduction, Fig. 1", "Introduction, Eq. 2", "Introduction, Table 1")
    version = 1
    Parameters = NetworkParameters
    profiles = {  # noqa: RUF012
        "smoke": NetworkParameters(widths=(8, 16, 32), networks=10, seeds=2),
        "quick": NetworkParameters(widths=(16, 32, 64, 128, 256), networks=100, seeds=8),
        "overnight": NetworkParameters(widths=(16, 32, 64, 128, 256, 512), networks=50, seeds=8),
        "paper": NetworkParameters(
            widths=(32, 64, 128, 256, 512, 1024, 2048), networks=500, seeds=20
        ),
    }
    claims = CLAIMS

    def points(self, p: NetworkParameters) -> list[dict[str, Any]]:
        sampling = {"networks": p.networks, "patterns": p.patterns}
        widths = lab.grid(p.seeds, role="width", d=p.d, h=p.widths, L=p.L, c=1, **sampling)
        return [*lab.grid(1, role="drawn", **DRAWN, **sampling), *widths]

    def cost(self, point: dict[str, Any]) -> float:
        return 0.01 * point["networks"] * (0.1 + point["L"] * (point["h"] / 512) ** 2)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape.datasets import uniform_sphere
        from symscape.networks import FullyConnected

        sizes = {name: point[name] for name in ("d", "h", "L", "c")}
        ntp = FullyConnected(**sizes, parametrization="ntp", normalized=True)
        mfp = FullyConnected(**sizes, parametrization="mfp", normalized=True)
        plain = FullyConnected(**sizes, parametrization="ntp", normalized=False)
        # One stream per width: with the seed alone, narrow and wide nets would share weights.
        state = np.random.SeedSequence([point["seed"], point["h"]]).generate_state(1)
        generator = torch.Generator().manual_seed(int(state[0]))
        x = uniform_sphere(point["patterns"], point["d"], point["seed"])

        outputs, moments, deviation = [], [], 0.0
        for _ in range(point["networks"]):
            w = ntp.initial_weights(generator)
            f, g = ntp(w, x), mfp(w, x)
            rescaled = point["h"] ** 0.5 * g
            deviation = max(deviation, float((f - rescaled).norm() / f.norm()))
            outputs.append([f.square().mean().item(), g.square().mean().item()])
            before, unscaled = ntp.preactivations(w, x), plain.preactivations(w, x)
            moments.append(
                [
                    [z.square().mean().item() for z in before],
                    [ntp.phi(z).square().mean().item() for z in before],
                    [z.square().mean().item() for z in unscaled],
                ]
            )
        before, after, unscaled = np.mean(moments, axis=0)
        ntp_rms, mfp_rms = np.sqrt(np.mean(outputs, axis=0))
        return {
            "n_weights": ntp.n_weights,
            "n_parameters": ntp.n_parameters,
            "ntp_rms": float(ntp_rms),
            "mfp_rms": float(mfp_rms),
            "ratio_deviation": deviation,
            "before": before,
            "after": after,
            "before_without_factor": unscaled,
        }

    def figures(self, table: Table, p: NetworkParameters) -> list[Figure]:
        widths = table.where(role="width")
        return [_output_figure(widths), _moment_figure(widths.where(h=max(p.widths)))]


def _output_figure(table: Table) -> Figure:
    figure = Figure(
        "output",
        "Output at initialization",
        "Root mean square of the output over random networks and inputs. Table 1 implies h^0 for "
        "the NTP and h^(-1/2) for the MFP.",
        Axis("width h", log=True),
        Axis("rms of the output f", log=True),
        claims=("ch0.table1.ntp-output", "ch0.table1.mfp-output", "ch0.table1.ratio"),
    )
    h = np.unique(table.column("h")).astype(float)
    laws = (("NTP", "ntp_rms", "h^0", 0.0), ("MFP", "mfp_rms", "h^(-1/2)", -0.5))
    for group, (name, field, law, power) in enumerate(laws):
        figure.curves(table, "h", field, name=name, mode="markers", group=group)
        figure.thesis(f"{name}: {law}", h, h**power)
    return figure


def _moment_figure(table: Table) -> Figure:
    figure = Figure(
        "second-moment",
        "Second moment from layer to layer",
        "Mean square of the pre-activations of the widest networks. With the factor sqrt(2) it "
        "stays what it is in the first layer; without it, every layer halves it.",
        Axis("layer"),
        Axis("mean square of the pre-activations", log=True),
        claims=("ch0.sec1.second-moment",),
    )
    if not table:
        return figure
    layers = np.arange(1, len(table.rows[0]["before"]) + 1)
    for group, (label, name) in enumerate(
        (("sqrt(2) relu", "before"), ("relu without the factor", "before_without_factor"))
    ):
        figure.curves(table, lambda row: layers, name, name=label, mode="markers", group=group)
    figure.thesis("equal in all layers (footnote 1)", layers, np.ones(len(layers)))
    figure.guide("2^(1 - layer)", layers, 0.5 ** (layers - 1.0))
    return figure
