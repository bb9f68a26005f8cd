"""Random data near the transition: the jump, the spectra, the gaps and the cusps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from symscape import lab
from symscape.experiments.jamming import _near_jamming as near
from symscape.experiments.jamming._panels import (
    cusp_figures,
    gap_figures,
    jump_figures,
    spectrum_figures,
)
from symscape.experiments.jamming._parameters import Depth, HingeTraining, Ratio, Width
from symscape.lab import Claim, Finding, Row, Table, Tolerance


class TransitionParameters(HingeTraining):
    relu_nets: tuple[tuple[Depth, Width], ...] = Field(
        description="relu nets as pairs (L, h), with d = h"
    )
    tanh_nets: tuple[tuple[Depth, Width], ...] = Field(
        description="tanh nets as pairs (L, h), with d = h"
    )
    relu_ratios: tuple[Ratio, ...] = Field(description="values of P / N for the relu nets")
    tanh_ratios: tuple[Ratio, ...] = Field(description="values of P / N for the tanh nets")


CLAIMS = (
    Claim(
        "ch1.fig6a.no-intermediate-state",
        "Paper A, Fig. 6a; paper B, Fig. 3B and App. B",
        "No settled run has 0.02 < N_Delta/N < 0.4: the number of unsatisfied patterns jumps.",
        "0 of the converged runs",
        Tolerance(0, 0, "the thesis reports none among its converged runs"),
    ),
    Claim(
        "ch1.fig6a.location",
        "Paper A, Fig. 6a",
        "Random data stop being fitted at P/N between 2.8 and 2.9.",
        "2.8 to 2.9",
        Tolerance(2.3, 3.3, "finite size and shorter training smear the transition; 20 % allowed"),
    ),
    Claim(
        "ch1.fig6b.jump-height",
        "Paper A, Fig. 6b; paper B, Fig. 3B",
        "N_Delta/N tends to a finite limit, about 0.75, as the loss goes to zero.",
        0.75,
        Tolerance(0.65, 0.85, "the text gives 0.75, > 0.7 and 0.7: +- 0.1"),
    ),
    Claim(
        "ch1.fig6b.no-depth-dependence",
        "Paper A, Fig. 6b",
        "N_Delta/N as a function of the loss is one curve for all depths.",
        "one curve",
        Tolerance(0, 0.1, "half the largest difference between depths, within +- 0.1"),
    ),
    Claim(
        "ch1.fig6a.least-constraints",
        "Paper A, Eq. 11 and Sec. IV",
        "Jammed runs have N_Delta/N >= 0.25.",
        ">= 0.25",
        Tolerance(0.25, math.inf, "the bound (N_- - N_c)/N with C_0 = 1/2 and N_c/N = 1/4"),
    ),
    Claim(
        "ch1.fig6c.misclassified-vanish-first",
        "Paper A, Fig. 6c",
        "Misclassified patterns per unsatisfied pattern go to zero with the loss.",
        0.0,
        Tolerance(0, 0.02, "near zero, at the smallest losses reached"),
    ),
    Claim(
        "ch1.fig6d.tanh-jump",
        "Paper A, Fig. 6d",
        "tanh nets jump too: N_Delta/N of jammed runs stays finite as the loss goes to zero.",
        "finite",
        Tolerance(0.36, math.inf, "N_Delta >= N_- = C_0 N with C_0 = 0.43, less its tolerance"),
    ),
    Claim(
        "ch1.fig7b.symmetric-spectrum",
        "Paper A, Fig. 7b and App. B",
        "The spectrum of H_p is symmetric for relu: |N_+ - N_-|/N is negligible.",
        0.0,
        Tolerance(0, 0.05, "5 % of the modes"),
    ),
    Claim(
        "ch1.fig7b.collapse",
        "Paper A, Fig. 7b",
        "The spectra of H_p collapse in lambda / sqrt(loss).",
        "one curve",
        Tolerance(0, 0.3, "the scaled median stays within 30 % over the losses near jamming"),
    ),
    Claim(
        "ch1.fig7c.rank",
        "Paper A, Fig. 7c",
        "H_0 has N - N_Delta zero modes: its rank is min(N_Delta, N_eff).",
        "equal",
        Tolerance(0.99, 1.01, "mean of rank / min(N_Delta, N_eff), exact up to a few zero modes"),
    ),
    Claim(
        "ch1.fig7d.negative-modes",
        "Paper A, Fig. 7d",
        "For relu about 10 % of the modes of H are negative: cusps stabilize them.",
        0.10,
        Tolerance(0.01, 0.20, "about 10 %: between 1 and 20 %"),
    ),
    Claim(
        "ch1.fig7e.tanh-c0",
        "Paper A, Fig. 7e",
        "For tanh the spectrum of H_p is not symmetric: C_0 = N_-/N is about 0.43.",
        0.43,
        Tolerance(0.36, 0.49, "+- 0.07, and below the symmetric 1/2"),
    ),
    Claim(
        "ch1.fig7g.tanh-stable",
        "Paper A, Fig. 7g and Sec. V",
        "tanh nets reach minima: almost no mode of H is negative.",
        "11 of 2232",
        Tolerance(0, 0.01, "less than 1 % of the modes"),
    ),
    Claim(
        "ch1.fig8a.theta",
        "Paper A, Fig. 8a",
        "Overlaps: P_+(z) ~ z^theta with theta about 0.3 for relu.",
        0.3,
        Tolerance(0.2, 0.4, "+- 0.1, and below the value of spheres, 0.423"),
    ),
    Claim(
        "ch1.fig8b.gamma",
        "Paper A, Fig. 8b",
        "Gaps: P_-(Delta) ~ |Delta|^-gamma with gamma about 0.2 for relu.",
        0.2,
        Tolerance(0.1, 0.3, "+- 0.1, and below the value of spheres, 0.413"),
    ),
    Claim(
        "ch1.fig8.no-depth-dependence",
        "Paper A, Fig. 8a",
        "theta does not depend on the depth.",
        "no dependence",
        Tolerance(0, 0.1, "half the largest difference between depths, within +- 0.1"),
    ),
    Claim(
        "ch1.fig8c.theta-tanh",
        "Paper A, Fig. 8c",
        "Overlaps: theta is about 0.2 for tanh.",
        0.2,
        Tolerance(0.1, 0.3, "+- 0.1, as for relu"),
    ),
    Claim(
        "ch1.fig8d.gamma-tanh",
        "Paper A, Fig. 8d",
        "Gaps: gamma is about 0.16 for tanh.",
        0.16,
        Tolerance(0.06, 0.26, "+- 0.1, as for relu"),
    ),
    Claim(
        "ch1.fig12.cusps",
        "Paper A, Fig. 12 and App. C; paper B, Fig. A2",
        "A finite share of directions sits on cusps: N_c/N is 0.21 (L = 5) to 0.25 (L = 2).",
        "0.21 to 0.25",
        Tolerance(0.15, 0.30, "the thesis's values with +- 0.05"),
    ),
    Claim(
        "ch1.fig12.no-cusps-on-fresh-data",
        "Paper A, Fig. 12",
        "Fresh data have no peak of pre-activations at zero.",
        0.0,
        Tolerance(0, 0.02, "N_c/N counted on fresh data of the same number"),
    ),
    Claim(
        "ch1.fig12.same-density-elsewhere",
        "Paper A, Fig. 12",
        "Outside the peak the pre-activations of training and fresh data are distributed alike.",
        "on top of each other",
        Tolerance(0, 0.05, "largest difference of the distribution functions"),
    ),
)


@lab.register
class Transition(lab.Experiment):
    """Paper A, Figs. 6, 7, 8, 12; paper B, Figs. 3B, A2."""

    name = "jamming-transition"
    chapter = "1"
    title = "The jamming transition of random data"
    summary = (
        "Nets with N weights are trained on P random points with random labels, with the quadratic "
        "hinge loss. Where P/N is small every pattern is satisfied; beyond a sharp value the loss "
        "stays positive, and the number of unsatisfied patterns per parameter jumps to a finite "
        "value below one, as for ellipses. The Hessian, the gaps and the cusps are measured on the "
        "runs that ended just beyond the jump."
    )
    sources = (
        "Paper A, Figs. 6, 7, 8, 12",
        "Paper B, Figs. 3B, A2 and App. B",
    )
    version = 2
    Parameters = TransitionParameters
    profiles = {  # noqa: RUF012
        "smoke": TransitionParameters(
            relu_nets=((2, 5),),
            tanh_nets=((2, 5),),
            relu_ratios=(1.0, 5.0),
            tanh_ratios=(6.0,),
            seeds=1,
            steps=600,
            iterations=100,
            learning_rate=3e-3,
        ),
        "quick": TransitionParameters(
            relu_nets=((2, 12),),
            tanh_nets=((2, 9),),
            relu_ratios=(2.0, 2.6, 2.9, 3.2),
            tanh_ratios=(3.8, 4.4),
            seeds=2,
            steps=6000,
        ),
        "overnight": TransitionParameters(
            relu_nets=((2, 18), (3, 14), (5, 12)),
            tanh_nets=((2, 13), (3, 11)),
            relu_ratios=(2.3, 2.6, 2.8, 3.0, 3.2),
            tanh_ratios=(3.8, 4.1, 4.4),
            seeds=3,
            steps=6000,
        ),
        "paper": TransitionParameters(
            relu_nets=((2, 62), (3, 51), (5, 40)),
            tanh_nets=((2, 33), (3, 27)),
            relu_ratios=(2.0, *(round(2.5 + 0.02 * i, 2) for i in range(41)), 3.6),
            tanh_ratios=tuple(round(4.0 + 0.1 * i, 2) for i in range(13)),
            seeds=3,
            steps=2_000_000,
            iterations=20_000,
            learning_rate=1e-4,
        ),
    }
    claims = CLAIMS

    def points(self, p: TransitionParameters) -> Iterator[dict[str, Any]]:
        for activation, nets, ratios in (
            ("relu", p.relu_nets, p.relu_ratios),
            ("tanh", p.tanh_nets, p.tanh_ratios),
        ):
            net = [
                {"L": L, "h": h, "d": h, "P": round(ratio * (L * h * h + h)), "ratio": ratio}
                for L, h in nets
                for ratio in ratios
            ]
            yield from lab.grid(p.seeds, activation=activation, net=net, **p.training)

    def cost(self, point: dict[str, Any]) -> float:
        weights = point["L"] * point["h"] ** 2
        steps = 2 * point["steps"] + 4 * point["iterations"]
        return float(steps * (1e-4 + 4e-10 * point["P"] * weights))

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.datasets import random_sphere
        from symscape.experiments.jamming._state import measure_run

        P, d, seed = point["P"], point["d"], point["seed"]
        x, y = random_sphere(P, d, seed=seed)
        fresh, _ = random_sphere(P, d, seed=seed + 10_000)
        return measure_run(point, x, y, fresh)

    def analyse(self, table: Table, p: TransitionParameters) -> list[Finding]:
        relu, tanh = table.where(activation="relu"), table.where(activation="tanh")
        return [
            *_jump(relu, tanh),
            *_spectra(near.close(relu), near.close(tanh)),
            *_exponents(near.close(relu), near.close(tanh)),
            *_cusps(near.close(relu)),
        ]

    def figures(self, table: Table, p: TransitionParameters) -> list[lab.Figure]:
        relu, tanh = table.where(activation="relu"), table.where(activation="tanh")
        return [
            *jump_figures(relu, "random data, relu", height=0.75, edge=(2.8, 2.9)),
            *jump_figures(tanh, "random data, tanh", prefix="tanh-")[1:2],
            *spectrum_figures(near.close(relu), "relu"),
            *spectrum_figures(near.close(tanh), "tanh", prefix="tanh-")[1:],
            *gap_figures(near.close(relu), "relu", theta=0.3, gamma=0.2),
            *gap_figures(near.close(tanh), "tanh", theta=0.2, gamma=0.16, prefix="tanh-"),
            *cusp_figures(near.close(relu)),
        ]


def _jump(relu: Table, tanh: Table) -> list[Finding]:
    settled = [row for row in near.alive(relu) if near.is_settled(row)]
    close, close_tanh = near.close(relu), near.close(tanh)
    stuck = [row for row in settled if not near.is_fitted(row)]
    between = sum(0.02 < near.constraints_per_parameter(row) < 0.4 for row in stuck)
    smallest = sorted(close, key=lambda row: row["loss"])[: max(1, len(close) // 3)]
    per_depth = _per_depth(close, near.mean_of(near.constraints_per_parameter))
    return [
        Finding(
            "ch1.fig6a.no-intermediate-state",
            float(between) if settled else None,
            None,
            f"{len(settled)} of {len(relu)} runs settled; "
            f"{len(relu) - len(near.alive(relu))} were stuck on silent inputs and left out."
            if settled
            else "No run settled in this profile.",
            [row.key for row in settled],
        ),
        _location(near.alive(relu)),
        near.finding(
            "ch1.fig6b.jump-height",
            close,
            near.mean_of(near.constraints_per_parameter),
            missing=near.NONE_CLOSE,
            note=f"Mean over runs that ended near the transition. {near.moving(close)}",
        ),
        _difference("ch1.fig6b.no-depth-dependence", per_depth, close),
        near.finding(
            "ch1.fig6a.least-constraints",
            near.alive(near.jammed(relu)),
            lambda rows: min(near.constraints_per_parameter(row) for row in rows),
            missing="No jammed run.",
            note=f"The smallest value among runs at rest. {near.moving(near.alive(relu))}",
        ),
        near.finding(
            "ch1.fig6c.misclassified-vanish-first",
            smallest,
            near.mean_of(near.misclassified_share),
            missing=near.NONE_CLOSE,
            note="Mean over the third of the near runs with the smallest loss.",
        ),
        near.finding(
            "ch1.fig6d.tanh-jump",
            close_tanh,
            near.mean_of(near.constraints_per_parameter),
            missing=near.NONE_CLOSE,
            note=f"Mean over tanh runs near the transition. {near.moving(close_tanh)}",
        ),
    ]


def _location(rows: Sequence[Row]) -> Finding:
    """The transition of the depth that is farthest from the thesis's."""
    claim = "ch1.fig6a.location"
    found = {L: near.location([r for r in rows if r["L"] == L]) for L in _depths(rows)}
    open_ended = [str(L) for L, (middle, _) in found.items() if not math.isfinite(middle)]
    if not found or open_ended:
        note = f"L = {', '.join(open_ended)}: no fitted run, or none at rest with a positive loss."
        return Finding(claim, None, None, note if found else "No finished run.")
    said = ", ".join(f"L = {L}: {middle:.2f} ± {e:.2f}" for L, (middle, e) in found.items())
    middle, error = max(found.values(), key=lambda pair: abs(pair[0] - near.THESIS_RATIO))
    note = f"Where half of the runs fit, of the depth farthest from the thesis ({said}). "
    return Finding(claim, middle, error, note + near.moving(rows), [row.key for row in rows])


def _depths(rows: Sequence[Row]) -> list[int]:
    return sorted({row["L"] for row in rows})


def _per_depth(rows: Sequence[Row], statistic: near.Statistic) -> dict[int, float]:
    return {L: statistic([row for row in rows if row["L"] == L]) for L in _depths(rows)}


def _difference(claim: str, per_depth: dict[int, float], rows: Sequence[Row]) -> Finding:
    if len(per_depth) < 2:
        return Finding(claim, None, None, "Fewer than two depths have runs near the transition.")
    values = list(per_depth.values())
    said = ", ".join(f"L = {L}: {value:.3f}" for L, value in per_depth.items())
    return Finding(claim, (max(values) - min(values)) / 2, None, said, [r.key for r in rows])


def _spectra(relu: Sequence[Row], tanh: Sequence[Row]) -> list[Finding]:
    evenly = near.even(relu)
    scaled = [near.scaled_median(row) for row in evenly]
    losses = [row["loss"] for row in evenly]
    wide = len(evenly) > 1 and max(losses) > 10 * min(losses)
    return [
        near.finding(
            "ch1.fig7b.symmetric-spectrum",
            relu,
            near.mean_of(near.asymmetry),
            missing=near.NONE_CLOSE,
        ),
        Finding(
            "ch1.fig7b.collapse",
            near.half_spread([np.quantile(scaled, 0.1), np.quantile(scaled, 0.9)])
            if wide
            else None,
            None,
            f"Losses from {min(losses):.1g} to {max(losses):.1g}; 10 % to 90 % of the runs."
            if wide
            else "The evenly jammed runs near the transition span less than a decade of the loss.",
            [row.key for row in evenly],
        ),
        near.finding(
            "ch1.fig7c.rank",
            relu,
            near.mean_of(lambda row: row["rank_h0"] / min(row["n_delta"], row["n_effective"])),
            missing=near.NONE_CLOSE,
        ),
        near.finding(
            "ch1.fig7d.negative-modes",
            relu,
            near.mean_of(lambda row: near.negative_share(row["eigenvalues_h"])),
            missing=near.NONE_CLOSE,
        ),
        near.finding(
            "ch1.fig7e.tanh-c0",
            tanh,
            near.mean_of(lambda row: near.negative_share(row["eigenvalues_hp"])),
            missing=near.NONE_CLOSE,
        ),
        near.finding(
            "ch1.fig7g.tanh-stable",
            tanh,
            near.mean_of(lambda row: near.negative_share(row["eigenvalues_h"])),
            missing=near.NONE_CLOSE,
        ),
    ]


def _exponents(relu: Sequence[Row], tanh: Sequence[Row]) -> list[Finding]:
    evenly = near.even(relu)
    theta = {
        L: near.exponent("theta", [r for r in evenly if r["L"] == L], near.THETA_WINDOW)
        for L in _depths(evenly)
    }
    return [
        near.exponent_finding("ch1.fig8a.theta", "theta", relu, near.THETA_WINDOW),
        near.exponent_finding("ch1.fig8b.gamma", "gamma", relu, near.GAMMA_WINDOW),
        _difference(
            "ch1.fig8.no-depth-dependence",
            {L: fit.exponent for L, fit in theta.items() if fit is not None},
            evenly,
        ),
        near.exponent_finding("ch1.fig8c.theta-tanh", "theta", tanh, near.THETA_WINDOW),
        near.exponent_finding("ch1.fig8d.gamma-tanh", "gamma", tanh, near.GAMMA_WINDOW),
    ]


def _cusps(relu: Sequence[Row]) -> list[Finding]:
    return [
        near.finding(
            "ch1.fig12.cusps",
            relu,
            near.mean_of(lambda row: row["n_cusps"] / row["n_weights"]),
            missing=near.NONE_CLOSE,
            note="Pre-activations below the cut in the empty gap, runs near the transition.",
        ),
        near.finding(
            "ch1.fig12.no-cusps-on-fresh-data",
            relu,
            near.mean_of(lambda row: row["n_cusps_fresh"] / row["n_weights"]),
            missing=near.NONE_CLOSE,
        ),
        near.finding(
            "ch1.fig12.same-density-elsewhere",
            relu,
            near.mean_of(lambda row: row["ks_outside_peak"]),
            missing=near.NONE_CLOSE,
        ),
    ]
