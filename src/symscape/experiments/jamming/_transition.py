"""Random data near the transition: the jump, the spectra, the gaps and the cusps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import Field

from symscape import lab
from symscape.experiments.jamming import _near_jamming as near
from symscape.experiments.jamming import _panels as panels
from symscape.experiments.jamming._parameters import Depth, HingeTraining, Ratio, Width
from symscape.lab import Claim, Table, Tolerance


class TransitionParameters(HingeTraining):
    relu_nets: tuple[tuple[Depth, Width], ...] = Field(
        description="relu nets as pairs (L, h), with d = h"
    )
    tanh_nets: tuple[tuple[Depth, Width], ...] = Field(
        description="tanh nets as pairs (L, h), with d = h"
    )
    relu_ratios: tuple[Ratio, ...] = Field(description="values of P / N for the relu nets")
    tanh_ratios: tuple[Ratio, ...] = Field(description="values of P / N for the tanh nets")


def _relu(answer: Callable[[Table], Any]) -> Any:
    """The answer of the relu nets."""
    return lambda table, p: answer(table.where(activation="relu"))


def _relu_depths(answer: near.Answer) -> Any:
    """The answers of the relu nets, depth by depth."""
    return _relu(lambda table: near.by_depth(table, answer))


def _tanh_depths(answer: near.Answer) -> Any:
    """The answers of the tanh nets, depth by depth."""
    return lambda table, p: near.by_depth(table.where(activation="tanh"), answer)


CLAIMS = (
    Claim(
        "ch1.fig6a.no-intermediate-state",
        "Paper A, Fig. 6a; paper B, Fig. 3B and App. B",
        "No run at rest has 0.02 < N_Delta/N < 0.4: the number of unsatisfied patterns jumps.",
        "0 of the converged runs",
        Tolerance.at_most(0.1, "the thesis reports none among its converged runs; 1 in 10 allowed"),
        _relu(lambda table: near.between(table, 0.02, 0.4, fitted=True)),
    ),
    Claim(
        "ch1.appB.few-in-between",
        "Paper B, App. B",
        "Of the runs that do not fit, most have N_Delta > 0.4 N: the others were stopped early, or "
        "have a few patterns left by rounding.",
        "19 of 93; 37 more fit",
        Tolerance.at_most(0.3, "0.2 + 0.1; the thesis's numbers add up to 130 of 128 runs"),
        _relu(lambda table: near.between(table, 0.0, 0.4, fitted=False)),
    ),
    Claim(
        "ch1.fig6a.location",
        "Paper A, Fig. 6a",
        "Random data stop being fitted at P/N between 2.8 and 2.9, at every depth.",
        "2.8 to 2.9",
        Tolerance(2.3, 3.3, "finite size and shorter training smear the transition; 20 % allowed"),
        _relu_depths(near.location),
    ),
    Claim(
        "ch1.fig6b.jump-height",
        "Paper A, Fig. 6b; paper B, Fig. 3B",
        "N_Delta/N tends to a finite limit, about 0.75, as the loss goes to zero.",
        0.75,
        Tolerance(0.65, 0.85, "the text gives 0.75, > 0.7 and 0.7: +- 0.1, at every depth"),
        _relu_depths(near.height),
    ),
    Claim(
        "ch1.fig6b.no-depth-dependence",
        "Paper A, Fig. 6b",
        "N_Delta/N as a function of the loss is one curve for all depths.",
        "one curve",
        Tolerance.at_most(0.1, "half the largest difference between depths at an equal loss"),
        _relu(near.depths_at_equal_loss),
    ),
    Claim(
        "ch1.fig6a.least-constraints",
        "Paper A, Eq. 11 and Sec. IV",
        "Jammed runs have N_Delta/N >= 0.25, close to the transition too.",
        ">= 0.25",
        Tolerance.at_least(0.25, "the bound (N_- - N_c)/N with C_0 = 1/2 and N_c/N = 1/4"),
        _relu_depths(near.close(near.unsatisfied, lambda losses, values: float(values.min()))),
    ),
    Claim(
        "ch1.fig6c.misclassified-vanish-first",
        "Paper A, Fig. 6c",
        "Misclassified patterns per unsatisfied pattern go to zero with the loss, slowly at first "
        "seen from the transition: as a power of it at least, where they can be counted.",
        "to 0, with a slow start",
        Tolerance.at_least(0.5, "0 for a share that stays finite; 1/2 is linear in the overlaps"),
        _relu(near.misclassified_exponent),
    ),
    Claim(
        "ch1.fig6d.tanh-jump",
        "Paper A, Fig. 6d",
        "tanh nets jump too: N_Delta/N of jammed runs stays finite as the loss goes to zero.",
        "finite",
        Tolerance.at_least(0.36, "N_Delta >= N_- = C_0 N with C_0 = 0.43, less its tolerance"),
        _tanh_depths(near.height),
    ),
    Claim(
        "ch1.fig7a.scale",
        "Paper A, Fig. 7a and Sec. V",
        "The eigenvalues of H_p grow as the square root of the loss.",
        0.5,
        Tolerance(0.4, 0.6, "+- 0.1, exponent of the median magnitude"),
        _relu_depths(near.close(near.median_magnitude, near.slope)),
    ),
    Claim(
        "ch1.fig7b.symmetric-spectrum",
        "Paper A, Fig. 7b and App. B",
        "The spectrum of H_p is symmetric for relu: |N_+ - N_-|/N is negligible.",
        0.0,
        Tolerance.at_most(0.05, "5 % of the modes"),
        _relu_depths(near.mean(near.asymmetry)),
    ),
    Claim(
        "ch1.fig7b.collapse",
        "Paper A, Fig. 7b",
        "The spectra of H_p collapse in lambda / sqrt(loss).",
        "one curve",
        Tolerance.at_most(0.3, "the scaled median scatters by 30 % over all runs near jamming"),
        _relu_depths(near.close(near.median_magnitude, near.scatter)),
    ),
    Claim(
        "ch1.fig7c.rank",
        "Paper A, Fig. 7c",
        "H_0 has N - N_Delta zero modes: its rank is min(N_Delta, N_eff).",
        "equal",
        Tolerance.at_least(0.98, "mean of rank / min(N_Delta, N_eff), up to a few zero modes"),
        _relu_depths(near.mean(near.rank)),
    ),
    Claim(
        "ch1.fig7c.gap",
        "Paper A, Fig. 7c",
        "Between the zero modes of H_0 and its continuous part there is a gap.",
        "a gap",
        Tolerance.at_least(3.0, "in spacings of the frequencies above it: 1 without a gap"),
        _relu_depths(near.mean(near.gap)),
    ),
    Claim(
        "ch1.fig7d.negative-modes",
        "Paper A, Fig. 7d",
        "For relu about 10 % of the modes of H are negative: cusps stabilize them.",
        0.10,
        Tolerance(0.01, 0.20, "about 10 %: between 1 and 20 %"),
        _relu_depths(near.mean(lambda row: near.negative_share(row, "h"))),
    ),
    Claim(
        "ch1.fig7e.tanh-c0",
        "Paper A, Fig. 7e",
        "For tanh the spectrum of H_p is not symmetric: C_0 = N_-/N is about 0.43.",
        0.43,
        Tolerance(0.36, 0.49, "+- 0.07, and below the symmetric 1/2"),
        _tanh_depths(near.mean(lambda row: near.negative_share(row, "hp"))),
    ),
    Claim(
        "ch1.fig7f.tanh-rank",
        "Paper A, Fig. 7f",
        "For tanh, too, H_0 has N - N_Delta zero modes.",
        "equal",
        Tolerance.at_least(0.98, "mean of rank / min(N_Delta, N_eff), up to a few zero modes"),
        _tanh_depths(near.mean(near.rank)),
    ),
    Claim(
        "ch1.fig7g.tanh-stable",
        "Paper A, Fig. 7g and Sec. V",
        "tanh nets reach minima: almost no mode of H is negative.",
        "11 of 2232",
        Tolerance.at_most(0.01, "less than 1 % of the modes"),
        _tanh_depths(near.mean(lambda row: near.negative_share(row, "h"))),
    ),
    Claim(
        "ch1.fig7g.tanh-range",
        "Paper A, Sec. V",
        "What negative modes of H are left for tanh are all but zero.",
        "from -5e-5 to -2e-8",
        Tolerance.at_most(0.1, "the most negative eigenvalue of H over that of H_p"),
        _tanh_depths(near.mean(near.depth_of_saddle)),
    ),
    Claim(
        "ch1.fig8a.theta",
        "Paper A, Fig. 8a",
        "Overlaps: P_+(z) ~ z^theta with theta about 0.3 for relu, at every depth.",
        0.3,
        Tolerance(0.2, 0.4, "+- 0.1, and below the value of spheres, 0.423"),
        _relu_depths(near.exponent("theta")),
    ),
    Claim(
        "ch1.fig8b.gamma",
        "Paper A, Fig. 8b",
        "Gaps: P_-(Delta) ~ |Delta|^-gamma with gamma about 0.2 for relu, at every depth.",
        0.2,
        Tolerance(0.1, 0.3, "+- 0.1, and below the value of spheres, 0.413"),
        _relu_depths(near.exponent("gamma")),
    ),
    Claim(
        "ch1.fig8.no-depth-dependence",
        "Paper A, Fig. 8a",
        "theta does not depend on the depth.",
        "no dependence",
        Tolerance.at_most(0.1, "half the largest difference between depths"),
        _relu(near.depths_of_theta),
    ),
    Claim(
        "ch1.fig8c.theta-tanh",
        "Paper A, Fig. 8c",
        "Overlaps: theta is about 0.2 for tanh.",
        0.2,
        Tolerance(0.1, 0.3, "+- 0.1, as for relu"),
        _tanh_depths(near.exponent("theta")),
    ),
    Claim(
        "ch1.fig8d.gamma-tanh",
        "Paper A, Fig. 8d",
        "Gaps: gamma is about 0.16 for tanh.",
        0.16,
        Tolerance(0.06, 0.26, "+- 0.1, as for relu"),
        _tanh_depths(near.exponent("gamma")),
    ),
    Claim(
        "ch1.fig12.cusps",
        "Paper A, Fig. 12 and App. C; paper B, Fig. A2",
        "A finite share of directions sits on cusps, at every depth: N_c/N is 0.21 to 0.25.",
        "0.21 to 0.25",
        Tolerance(0.15, 0.30, "the thesis's values with +- 0.05"),
        _relu_depths(near.cusps),
    ),
    Claim(
        "ch1.appC.cusps-2",
        "Paper A, App. C",
        "For L = 2 N_c/N is 0.25.",
        0.25,
        Tolerance(0.20, 0.30, "+- 0.05"),
        lambda table, p: near.cusps(table.where(activation="relu", L=2)),
    ),
    Claim(
        "ch1.appC.cusps-5",
        "Paper A, App. C",
        "For L = 5 N_c/N is 0.21.",
        0.21,
        Tolerance(0.16, 0.26, "+- 0.05"),
        lambda table, p: near.cusps(table.where(activation="relu", L=5)),
    ),
    Claim(
        "ch1.fig12.no-cusps-on-fresh-data",
        "Paper A, Fig. 12",
        "Fresh data have no peak of pre-activations at zero.",
        0.0,
        Tolerance.at_most(0.02, "N_c/N counted on fresh data of the same number"),
        _relu_depths(near.mean(lambda row: row["n_cusps_fresh"] / row["n_weights"])),
    ),
    Claim(
        "ch1.fig12.same-density-elsewhere",
        "Paper A, Fig. 12",
        "Outside the peak the pre-activations of training and fresh data are distributed alike.",
        "on top of each other",
        Tolerance.at_most(0.05, "largest difference of the distribution functions"),
        _relu_depths(near.mean(lambda row: row["ks_outside_peak"])),
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
            relu_nets=((2, 16), (3, 13), (5, 11)),
            tanh_nets=((2, 11), (3, 10)),
            relu_ratios=(2.0, 2.3, 2.45, 2.6, 2.7, 2.8, 2.9, 3.1),
            tanh_ratios=(3.8, 4.1, 4.4),
            seeds=5,
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
        from symscape.experiments.jamming._state import run_seconds

        return run_seconds(point)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.datasets import random_sphere
        from symscape.experiments.jamming._state import measure_run

        P, d, seed = point["P"], point["d"], point["seed"]
        x, y = random_sphere(P, d, seed=seed)
        fresh, _ = random_sphere(P, d, seed=seed + 10_000)
        return measure_run(point, x, y, fresh)

    def figures(self, table: Table, p: TransitionParameters) -> list[lab.Figure]:
        relu, tanh = table.where(activation="relu"), table.where(activation="tanh")
        claims = panels.naming(CLAIMS)
        return [
            *panels.jump(relu, "random data, relu", claims("6[abc]|appB"), 0.75, (2.8, 2.9)),
            panels.against_loss(tanh, "random data, tanh", claims("6d"), prefix="tanh-"),
            *panels.spectra(relu, "relu", claims("7[abcd]")),
            *panels.spectra(tanh, "tanh", claims("7[efg]"), prefix="tanh-"),
            *panels.gaps(relu, "relu", claims("8[ab.]"), 0.3, 0.2),
            *panels.gaps(tanh, "tanh", claims("8[cd]"), 0.2, 0.16, prefix="tanh-"),
            *panels.cusps(relu, claims("fig12|appC")),
        ]
