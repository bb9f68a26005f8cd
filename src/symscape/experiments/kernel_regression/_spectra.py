"""Kernel PCA: the spectrum of the Gram matrix and the target in it, Figs. 3 and 9."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from symscape import lab
from symscape.experiments.kernel_regression._estimates import (
    draw_curve,
    exponent_finding,
    increasing,
    kernel,
    largest_deviation,
    power_law,
)
from symscape.experiments.kernel_regression._images import (
    MISSING,
    Classes,
    Scale,
    image_sets,
    images,
)
from symscape.lab import Axis, Claim, Figure, Finding, Table, Tolerance

Size = Annotated[int, Field(ge=50, le=20_000)]

NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
TAIL = {"mnist": 0.36, "cifar10": 0.07}
"""beta = a - 1 of Fig. 3."""

EFFECTIVE = {"mnist": 15, "cifar10": 35}
"""Effective dimensions of Sec. 7, which the density of Fig. 9 is divided with."""

SPHERES = (("sphere-2", 2, "matern-1.5"), ("sphere-3", 3, "laplace"))
"""Synthetic stand-ins: name, dimension, Teacher; the Student is Laplace."""

FIRST = 100
"""Eigenvalues of Fig. 9 left, every tenth is drawn."""

SCALES = {"pixels": "pixels from 0 to 255", "norm": "images of norm sqrt(d)"}

DENSITY_RANKS = (20, 200)
"""Ranks between which the density of eigenvalues is compared, a decade."""


class SpectrumParameters(lab.Parameters):
    digits: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    colors: bool = Field(default=True, description="CIFAR-10 too, where it is found")
    classes: Classes = Field(
        default="parity", description="groups of CIFAR-10: parity, or halves (0-4 and 5-9)"
    )
    sizes: Annotated[tuple[Size, ...], AfterValidator(increasing)] = Field(
        min_length=2, description="sizes of the Gram matrices"
    )
    sigma: float = Field(gt=0, default=1000.0, description="length scale on images")
    scale: Scale = Field(
        default="pixels", description="images of Fig. 3: pixels (0 to 255) or norm (sqrt(d))"
    )
    eigenvalue_scale: Scale = Field(default="norm", description="images of Fig. 9, as scale")
    leading_size: int = Field(
        gt=FIRST,
        le=20_000,
        description="size of a larger matrix, of which the first hundred eigenvalues are found",
    )
    n_test: int = Field(ge=10, description="test points of the learning curve")
    seeds: int = Field(ge=1, description="draws of the points")

    @model_validator(mode="after")
    def _larger(self) -> SpectrumParameters:
        if self.leading_size <= self.sizes[-1]:
            raise ValueError(
                f"leading_size, {self.leading_size}, must be larger than all sizes "
                f"({self.sizes[-1]})"
            )
        return self


CLAIMS = (
    Claim(
        "ch6.fig3.mnist-tail",
        "Fig. 3, left",
        "The tail of MNIST's labels in the eigenbasis of the kernel decays as n^(1-a), a = 1.36.",
        0.36,
        Tolerance(0.28, 0.45, "0.36 +- 0.08; ranks from 30 to an eighth of the matrix"),
    ),
    Claim(
        "ch6.fig3.cifar10-tail",
        "Fig. 3, right",
        "The tail of CIFAR-10's labels decays with a = 1.07.",
        0.07,
        Tolerance(0.04, 0.13, "0.07, rounded; ranks from 30 to an eighth of the matrix"),
    ),
    Claim(
        "ch6.fig3.prediction",
        "Fig. 3, Sec. 6",
        "The decay of the tail predicts the learning curve, beta = a - 1.",
        0.0,
        Tolerance(0.0, 0.1, "largest difference from the fitted beta over the image sets"),
    ),
    Claim(
        "ch6.fig3.spheres",
        "Sec. 6",
        "For a Gaussian Teacher on a sphere the tail decays with the exponent of Theorem 1.",
        0.0,
        Tolerance(0.0, 0.15, "largest deviation on S^2 and S^3; a finite matrix bends the tail"),
    ),
    Claim(
        "ch6.fig9.convergence",
        "Fig. 9, left",
        "The first hundred eigenvalues converge as the Gram matrix grows.",
        1.0,
        Tolerance(
            0.9, 1.1, "most different ratio, of the second largest matrix to one of twice its size"
        ),
    ),
    Claim(
        "ch6.fig9.density",
        "Fig. 9, right",
        "The density of eigenvalues of images is a power law with the effective dimension.",
        1.0,
        Tolerance(1.0, 2.0, "largest variation of density over lambda^-theta in a decade of ranks"),
    ),
    Claim(
        "ch6.fig9.spheres",
        "App. I, eq. 57",
        "The eigenvalues of a Laplace kernel on S^d decay as rho^(-(d+1)/d).",
        0.0,
        Tolerance(
            0.0, 0.12, "largest deviation on S^2 and S^3; a finite matrix bends the spectrum"
        ),
    ),
)


@lab.register
class Spectra(lab.Experiment):
    """Ch. 6, Figs. 3 and 9."""

    name = "kernel-regression-spectra"
    chapter = "6"
    title = "What the spectrum of the Gram matrix predicts"
    summary = (
        "The Gram matrix of a Laplace kernel is diagonalized, and the labels are projected on its "
        "eigenvectors. The decay of the projections predicts how fast the labels are learned, "
        "without any learning."
    )
    sources = ("Ch. 6, Figs. 3, 9", "Ch. 6, App. I, J")
    version = 2
    Parameters = SpectrumParameters
    profiles = {  # noqa: RUF012
        "smoke": SpectrumParameters(sizes=(250, 500), leading_size=1000, n_test=100, seeds=2),
        "quick": SpectrumParameters(
            sizes=(500, 1000, 2000), leading_size=4000, n_test=500, seeds=2
        ),
        "overnight": SpectrumParameters(
            sizes=(500, 1000, 2000, 4000), leading_size=8000, n_test=2000, seeds=3
        ),
        "paper": SpectrumParameters(
            sizes=(500, 1000, 2000, 5000, 10_000), leading_size=20_000, n_test=10_000, seeds=20
        ),
    }
    claims = CLAIMS

    def points(self, p: SpectrumParameters) -> list[dict[str, Any]]:
        largest = max(p.sizes[-1] + p.n_test, p.leading_size)
        data = image_sets(p.digits, p.colors, largest)
        sets = [
            *(
                (family, pinned, "labels", p.sigma, scale)
                for family, pinned in data.items()
                for scale in dict.fromkeys((p.scale, p.eigenvalue_scale))
            ),
            *((name, f"S^{d}", teacher, float(d), "unit") for name, d, teacher in SPHERES),
        ]
        return [
            {
                "family": family,
                "data": source,
                "target": target,
                "sigma": sigma,
                "scale": scale,
                "classes": p.classes if family == "cifar10" else "parity",
                "n": n,
                "n_test": p.n_test if n in p.sizes else 0,
                "seed": seed,
            }
            for family, source, target, sigma, scale in sets
            for n in (*p.sizes, p.leading_size)
            for seed in range(p.seeds)
            if n in p.sizes or family in NAMES
        ]

    def cost(self, point: dict[str, Any]) -> float:
        if not point["n_test"]:
            return 0.5 + 3e-7 * point["n"] ** 2
        return 0.1 + 5e-10 * point["n"] ** 3

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.kernels import gram_spectrum, leading_eigenvalues, nested_predictions

        n = point["n"]
        student = kernel("laplace", point["sigma"])
        x, Z = _data(point)
        if not point["n_test"]:
            return {"first": leading_eigenvalues(student, x, FIRST)}
        spectrum = gram_spectrum(student, x[:n], Z[:n])
        ranks = np.unique(np.round(np.geomspace(1, n, 100)).astype(int))
        sizes = [n // 16, n // 8, n // 4, n // 2, n]
        found = nested_predictions(student, x[:n], Z[:n], x[n:], sizes)
        return {
            "ranks": ranks,
            "eigenvalues": spectrum.eigenvalues[ranks - 1],
            "first": spectrum.eigenvalues[: min(FIRST, n)],
            # Per point, so that matrices of different sizes can be compared.
            "tail": spectrum.tail[ranks - 1] / n,
            "sizes": np.array(sizes),
            "error": found.mean_square_error(Z[n:]),
        }

    def analyse(self, table: Table, p: SpectrumParameters) -> list[Finding]:
        large = table.where(n=p.sizes[-1])
        window = _window(p)
        findings, gaps = [], []
        for family in NAMES:
            rows = large.where(family=family, scale=p.scale)
            tail = power_law(rows, window, "tail", "ranks")
            missing = MISSING if family == "cifar10" else "No finished run."
            found = exponent_finding(f"ch6.fig3.{family}-tail", tail, rows, missing)
            for scale, other in _other_scales(large.where(family=family), p.scale):
                fit = power_law(other, window, "tail", "ranks")
                if fit is not None:
                    found.note += f" With {SCALES[scale]}: {-fit.exponent:.3f}."
            findings.append(found)
            curve = power_law(rows, (p.sizes[-1] / 10, p.sizes[-1]))
            if tail is not None and curve is not None:
                error = math.hypot(tail.statistical or 0.0, curve.statistical or 0.0)
                note = (
                    f"{NAMES[family]}: tail {-tail.exponent:.3f}, learning {-curve.exponent:.3f}."
                )
                gaps.append((abs(tail.exponent - curve.exponent), error, note))
        gap = max(gaps, default=(None, None, "No finished run."))
        return [
            *findings,
            Finding("ch6.fig3.prediction", gap[0], gap[1], gap[2], large.keys),
            *_sphere_findings(large, window),
            _both_scales(lambda rows: _convergence(rows, p), table, p.eigenvalue_scale),
            _both_scales(_density, large, p.eigenvalue_scale),
        ]

    def figures(self, table: Table, p: SpectrumParameters) -> list[Figure]:
        return [
            *(
                _tail_figure(table.where(family=family, scale=p.scale), family, p)
                for family in NAMES
            ),
            _sphere_figure(table.where(n=p.sizes[-1])),
            *(
                _ratio_figure(table.where(family=family, scale=p.eigenvalue_scale), family, p)
                for family in NAMES
            ),
            _density_figure(table.where(n=p.sizes[-1]), p.eigenvalue_scale),
        ]


def _data(point: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Training and test points one after the other, with labels or values of a random field."""
    total = point["n"] + point["n_test"]
    if point["target"] == "labels":
        return images(point["data"], total, point["seed"], point["scale"], point["classes"])
    from symscape.kernels import random_points, sample_field

    d = int(point["data"].removeprefix("S^"))
    state = [int(v) for v in np.random.SeedSequence([point["seed"], d]).generate_state(2)]
    x = random_points("sphere", total, d, state[0])
    field = sample_field(kernel(point["target"], point["sigma"]), x, 1, state[1])
    return x, field[:, 0]


def _other_scales(table: Table, judged: Scale) -> list[tuple[str, Table]]:
    """The rows of images on another scale than the one that is judged."""
    return [
        (scale, rows)
        for (scale,), rows in table.groups("scale")
        if scale in SCALES and scale != judged
    ]


def _both_scales(analyse: Callable[[Table], Finding], table: Table, judged: Scale) -> Finding:
    """The finding on one scale of the images, with the other one's number in its note."""
    finding = analyse(table.where(scale=judged))
    if finding.measured is not None:
        finding.note = f"{SCALES[judged].capitalize()}. {finding.note}"
    for scale, rows in _other_scales(table, judged):
        other = analyse(rows)
        if other.measured is not None:
            finding.note += f" With {SCALES[scale]}: {other.measured:.3f} ({other.note[:-1]})."
    return finding


def _window(p: SpectrumParameters) -> tuple[float, float]:
    return 30.0, p.sizes[-1] / 8


def _sphere_findings(large: Table, window: tuple[float, float]) -> list[Finding]:
    from symscape.kernels import exponent_of

    tails, spectra, keys = [], [], []
    for name, d, teacher in SPHERES:
        rows = large.where(family=name)
        beta = exponent_of(kernel(teacher, 1.0), kernel("laplace", 1.0), d)
        tails.append((f"S^{d}", power_law(rows, window, "tail", "ranks"), beta))
        spectra.append((f"S^{d}", power_law(rows, window, "eigenvalues", "ranks"), (d + 1) / d))
        keys += rows.keys
    return [
        largest_deviation("ch6.fig3.spheres", tails, keys, "No finished run."),
        largest_deviation("ch6.fig9.spheres", spectra, keys, "No finished run."),
    ]


def _first_ratios(table: Table, n: int, largest: int) -> np.ndarray | None:
    """Mean eigenvalues of matrices of size n over those of the largest size."""
    means = []
    for size in (n, largest):
        rows = table.where(n=size)
        if not rows:
            return None
        means.append(np.mean([row["first"] for row in rows], axis=0))
    count = min(len(mean) for mean in means)
    return means[0][:count] / means[1][:count]


def _convergence(table: Table, p: SpectrumParameters) -> Finding:
    claim = "ch6.fig9.convergence"
    worst = []
    for family in NAMES:
        ratios = _first_ratios(table.where(family=family), p.sizes[-1], p.leading_size)
        if ratios is not None:
            i = int(np.argmax(np.abs(np.log(ratios))))
            note = f"{NAMES[family]}, rank {i + 1}, {p.sizes[-1]} against {p.leading_size} images."
            worst.append((abs(math.log(ratios[i])), float(ratios[i]), note))
    if not worst:
        return Finding(claim, None, None, "No finished run.")
    _, ratio, note = max(worst)
    return Finding(claim, ratio, None, note, table.keys)


def _scaled_density(rows: Table, family: str) -> tuple[np.ndarray, np.ndarray]:
    r"""Eigenvalues and their density divided by lambda^-theta, up to a factor."""
    from symscape.kernels import density_exponent

    d = EFFECTIVE[family]
    theta = density_exponent(d + 1.0, d)
    ranks = np.array(rows.rows[0]["ranks"], dtype=float)
    lam = np.mean([row["eigenvalues"] for row in rows], axis=0)
    # Bins of a third of a decade in rank: the spectrum has steps.
    edges = np.geomspace(DENSITY_RANKS[0] / 2, min(ranks[-1], 4 * DENSITY_RANKS[1]), 9)
    at = np.exp(np.interp(np.log(edges), np.log(ranks), np.log(lam)))
    middle = np.sqrt(at[1:] * at[:-1])
    return middle, np.diff(edges) / -np.diff(at) * middle**theta


def _density(large: Table) -> Finding:
    claim = "ch6.fig9.density"
    variations = []
    for family in NAMES:
        rows = large.where(family=family)
        if rows and rows.rows[0]["n"] > 8 * DENSITY_RANKS[1]:
            lam, density = _scaled_density(rows, family)
            mean = np.mean([row["eigenvalues"] for row in rows], axis=0)
            low, high = np.exp(
                np.interp(np.log(DENSITY_RANKS), np.log(rows.rows[0]["ranks"]), np.log(mean))
            )
            inside = (lam <= low) & (lam >= high)
            values = density[inside]
            variations.append((float(values.max() / values.min()), NAMES[family]))
    if not variations:
        return Finding(
            claim, None, None, f"Matrices of more than {8 * DENSITY_RANKS[1]} are needed."
        )
    value, name = max(variations)
    return Finding(claim, value, None, f"Largest: {name}.", large.keys)


def _tail_figure(table: Table, family: str, p: SpectrumParameters) -> Figure:
    figure = Figure(
        f"tail-{family}",
        f"Labels of {NAMES[family]} in the eigenbasis of the kernel",
        "Colors: the tail of the squared projections, per point, for several sizes of the Gram "
        "matrix. The learning curve, in grey, is shifted to meet it. Dashed: the thesis's decay, "
        f"n^(-{TAIL[family]}). {SCALES[p.scale].capitalize()}.",
        Axis("rank, or training points n", log=True),
        Axis("tail of the projections T(n)", log=True, range=(1e-2, 1.2)),
        ordered=True,
    )
    for n in p.sizes:
        rows = table.where(n=n)
        draw_curve(figure, f"matrix of {n}", rows, "tail", "ranks")
    large = table.where(n=p.sizes[-1])
    tail, curve = power_law(large, _window(p), "tail", "ranks"), power_law(large, (2, math.inf))
    if tail is not None and curve is not None:
        size = np.array(large.rows[0]["sizes"], dtype=float)
        error = np.exp(np.log(np.array([row["error"] for row in large])).mean(axis=0))
        level = float(tail.predict([size[1]]).y[0])
        figure.guide("learning curve, shifted", size, error * level / error[1])
        window = np.array(_window(p))
        figure.thesis(
            f"n^(-{TAIL[family]})",
            window,
            float(tail.predict([window[0]]).y[0]) * (window / window[0]) ** -TAIL[family],
        )
    return figure


def _sphere_figure(large: Table) -> Figure:
    figure = Figure(
        "spheres",
        "Random fields on spheres",
        "Tails of random fields, S^2 with a Matern Teacher of order 3/2 and S^3 with a Laplace "
        "one, and the eigenvalues of the Laplace Student. Grey: Theorem 1, and rho^(-(d+1)/d).",
        Axis("rank", log=True),
        Axis("tail, eigenvalue", log=True),
    )
    from symscape.kernels import exponent_of

    for name, d, teacher in SPHERES:
        rows = large.where(family=name)
        beta = exponent_of(kernel(teacher, 1.0), kernel("laplace", 1.0), d)
        for what, slope in (("tail", beta), ("eigenvalues", (d + 1) / d)):
            draw_curve(figure, f"{what}, S^{d}", rows, what, "ranks")
            if rows:
                ranks = np.geomspace(30, rows.rows[0]["n"] / 8, 2)
                fit = power_law(rows, (ranks[0], ranks[1]), what, "ranks")
                if fit is not None:
                    level = float(fit.predict([ranks[0]]).y[0])
                    figure.guide(f"{what}, S^{d}", ranks, level * (ranks / ranks[0]) ** -slope)
    return figure


def _ratio_figure(table: Table, family: str, p: SpectrumParameters) -> Figure:
    figure = Figure(
        f"ratios-{family}",
        f"Convergence of the eigenvalues of {NAMES[family]}",
        "Every tenth of the first hundred eigenvalues, divided by that of the largest matrix and "
        "multiplied by the rank, so that the lines lie apart. "
        f"{SCALES[p.eigenvalue_scale].capitalize()}.",
        Axis("size of the Gram matrix", log=True),
        Axis("ratio times rank", log=True),
        ordered=True,
    )
    sizes = [n for (n,), _ in table.groups("n")]
    ratios = [_first_ratios(table, n, p.leading_size) for n in sizes]
    if not sizes or ratios[-1] is None:
        return figure
    for rank in range(10, FIRST + 1, 10):
        scaled = [
            math.nan if r is None or len(r) < rank else rank * float(r[rank - 1]) for r in ratios
        ]
        figure.measured(f"rank {rank}", sizes, scaled, mode="lines+markers")
    return figure


def _density_figure(large: Table, judged: Scale) -> Figure:
    figure = Figure(
        "density",
        "Density of eigenvalues",
        "Divided by lambda^(-theta), theta = 1 + d/(d + 1) with the effective dimensions 15 and 35 "
        "of the thesis, and normalized: flat where the power law holds. Ch. 6, Fig. 9 right, on "
        "both scales of the images.",
        Axis("eigenvalue", log=True),
        Axis("density / lambda^(-theta)", log=True),
    )
    for family, title in NAMES.items():
        for scale, rows in [
            (judged, large.where(family=family, scale=judged)),
            *_other_scales(large.where(family=family), judged),
        ]:
            if rows:
                lam, density = _scaled_density(rows, family)
                name = f"{title}, {SCALES[scale]}"
                figure.measured(name, lam, density / np.median(density), mode="lines+markers")
    return figure
