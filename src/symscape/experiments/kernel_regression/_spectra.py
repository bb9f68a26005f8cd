"""Kernel PCA: the spectrum of the Gram matrix and the target in it, Figs. 3 and 9."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field, model_validator

from symscape import lab
from symscape.experiments.kernel_regression._images import (
    NAMES,
    SCALES,
    Classes,
    Scale,
    image_sets,
    images,
    on_one_scale,
)
from symscape.lab import Axis, Claim, Figure, Row, Table, Tolerance
from symscape.scaling import (
    Estimate,
    NoEstimate,
    bootstrap,
    exponential,
    mean,
    number,
    ratio,
    scan,
    slope,
)

Panels = dict[str, Estimate | str]

TAIL = {"mnist": 0.36, "cifar10": 0.07}
"""beta = a - 1 of Fig. 3."""

EFFECTIVE = {"mnist": 15, "cifar10": 35}
"""Effective dimensions of Sec. 7, which the density of Fig. 9 is divided with."""

SPHERES = (("sphere-2", 2, "matern-1.5"), ("sphere-3", 3, "laplace"))
"""Synthetic stand-ins: name, dimension, Teacher; the Student is Laplace."""

FIRST = 100
"""Eigenvalues of Fig. 9 left."""

Size = Annotated[int, Field(ge=FIRST, le=20_000)]

DRAWN = range(10, FIRST + 1, 10)
"""Those that are drawn and judged: every tenth."""

DENSITY_RANKS = (20, 200)
"""Ranks between which the density of eigenvalues is compared, a decade."""

BINS = (8, 6, 11)
"""Bins of the density: a third of a decade in rank, for the spectrum has steps; then others."""


class SpectrumParameters(lab.Parameters):
    digits: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    colors: bool = Field(default=True, description="CIFAR-10 too, where it is found")
    classes: Classes = Field(
        default="parity", description="groups of CIFAR-10: parity, or halves (0-4 and 5-9)"
    )
    sizes: Annotated[tuple[Size, ...], AfterValidator(lab.increasing)] = Field(
        min_length=2, description="sizes of the Gram matrices"
    )
    sigma: float = Field(gt=0, default=1000.0, description="length scale on images")
    scale: Scale = Field(
        default="norm", description="images that are judged: norm (sqrt(d)) or pixels (0 to 255)"
    )
    leading_size: int = Field(
        gt=FIRST,
        le=20_000,
        description="size of a larger matrix, of which the first hundred eigenvalues are found",
    )
    n_test: int = Field(ge=10, description="test points of the learning curve")
    seeds: int = Field(ge=1, description="draws of the points")

    @property
    def largest(self) -> tuple[int, int]:
        """The second largest matrix and one of twice its size."""
        return self.sizes[-1], self.leading_size

    @model_validator(mode="after")
    def _larger(self) -> SpectrumParameters:
        if self.leading_size <= self.sizes[-1]:
            raise ValueError(
                f"leading_size, {self.leading_size}, must be larger than all sizes "
                f"({self.sizes[-1]})"
            )
        return self


def _window(n: int) -> tuple[float, float]:
    """Ranks of the fits to a matrix of size n, which bends the tail beyond."""
    return 30.0, n / 8


def _exponent(rows: Table, y: str, p: SpectrumParameters) -> Estimate:
    """Exponent of the decay with the rank, for the largest matrix and that before it."""

    def of(n: int) -> Estimate:
        some = rows.where(n=n)
        if not some:
            raise NoEstimate(f"No matrix of {n}.")
        return -slope(some.rows[0]["ranks"], some.column(y), _window(n))

    return scan(of, p.sizes[:-3:-1], "Windows are sizes of the matrix.")


def _tail(family: str, table: Table, p: SpectrumParameters) -> Estimate | str:
    return on_one_scale(partial(_exponent, y="tail", p=p), table.where(family=family), p.scale)


def _prediction(table: Table, p: SpectrumParameters) -> Panels:
    """Exponent of the tail over that of the learning curve of the same images."""

    def of(rows: Table) -> Estimate:
        large = rows.where(n=p.sizes[-1])
        if not large:
            raise NoEstimate(f"No matrix of {p.sizes[-1]}.")
        n, tail = large.rows[0]["sizes"], _exponent(rows, "tail", p)
        curve = -slope(n, large.column("error"), (n[-1] / 10, n[-1]))
        said = f"Tail {number(tail)}, learning curve {number(curve)}."
        return ratio(tail, curve).noted(said)

    return {
        title: on_one_scale(of, table.where(family=family), p.scale)
        for family, title in NAMES.items()
    }


def _of_spheres(y: str, table: Table, p: SpectrumParameters) -> dict[str, Estimate]:
    """Measured over theoretical exponent of random fields and eigenvalues on spheres."""
    return {
        f"S^{d}": _exponent(rows, y, p).scaled(1 / _theory(y, d, teacher))
        for name, d, teacher in SPHERES
        for rows in [table.where(family=name)]
        if rows
    }


def _theory(y: str, d: int, teacher: str) -> float:
    """Exponent of the tail (Theorem 1) or of the eigenvalues of the Laplace Student (eq. 57)."""
    from symscape.kernels import exponent_of, laplace, named

    if y == "eigenvalues":
        return (d + 1) / d
    return exponent_of(named(teacher, 1.0), laplace(1.0), d)


def _change(table: Table, family: str, p: SpectrumParameters, sizes: Sequence[int]) -> np.ndarray:
    """Log ratios of the drawn eigenvalues of two sizes of nested matrices, (seeds, ranks)."""
    few, many = (
        {row["seed"]: row["first"] for row in rows}
        for n in sizes
        for rows in [table.where(n=n, family=family, scale=p.scale)]
    )
    chosen = np.array(DRAWN) - 1
    pairs = [np.log(few[seed][chosen] / many[seed][chosen]) for seed in few if seed in many]
    return np.array(pairs).reshape(-1, len(chosen))


def _convergence(table: Table, p: SpectrumParameters) -> Panels:
    """Eigenvalues of the second largest matrix over those of one of twice its size, by rank."""
    changes = {title: _change(table, family, p, p.largest) for family, title in NAMES.items()}
    return {
        f"{title}, rank {rank}": exponential(mean(change[:, i]))
        for title, change in changes.items()
        if len(change)
        for i, rank in enumerate(DRAWN)
    }


def _shrinking(table: Table, p: SpectrumParameters) -> Panels:
    """Mean change over the last doubling of the matrix, over that of the doubling before."""
    panels: Panels = {}
    for family, title in NAMES.items():
        late, early = (
            _change(table, family, p, sizes).mean(axis=1) for sizes in (p.largest, p.sizes[-2:])
        )
        if len(late):
            said = f"Mean change of the log {late.mean():.3g}, and {early.mean():.3g} before."
            panels[title] = ratio(mean(late), mean(early)).noted(said)
    return panels


def _scaled_density(
    rows: Sequence[Row], family: str, bins: int = BINS[0]
) -> tuple[np.ndarray, np.ndarray]:
    r"""Eigenvalues and their density divided by lambda^-theta, up to a factor."""
    from symscape.kernels import density_exponent

    d = EFFECTIVE[family]
    theta = density_exponent(d + 1.0, d)
    ranks = np.array(rows[0]["ranks"], dtype=float)
    lam = np.mean([row["eigenvalues"] for row in rows], axis=0)
    edges = np.geomspace(DENSITY_RANKS[0] / 2, min(ranks[-1], 4 * DENSITY_RANKS[1]), bins + 1)
    at = np.exp(np.interp(np.log(edges), np.log(ranks), np.log(lam)))
    middle = np.sqrt(at[1:] * at[:-1])
    return middle, np.diff(edges) / -np.diff(at) * middle**theta


def _density(table: Table, p: SpectrumParameters) -> Panels:
    """Largest over smallest density in a decade of ranks, for several numbers of bins."""
    if p.sizes[-1] <= 8 * DENSITY_RANKS[1]:
        raise NoEstimate(f"Matrices of more than {8 * DENSITY_RANKS[1]} are needed.")

    def variation(family: str, bins: int, rows: Sequence[Row]) -> float:
        lam, density = _scaled_density(rows, family, bins)
        mean_eigenvalues = np.mean([row["eigenvalues"] for row in rows], axis=0)
        log_ranks, log_lam = np.log(rows[0]["ranks"]), np.log(mean_eigenvalues)
        low, high = np.exp(np.interp(np.log(DENSITY_RANKS), log_ranks, log_lam))
        inside = density[(lam <= low) & (lam >= high)]
        return float(inside.max() / inside.min())

    def of(family: str, bins: int, rows: Table) -> Estimate:
        return bootstrap(rows.rows, partial(variation, family, bins))

    rows = table.where(n=p.sizes[-1])
    return {
        f"{title}, {bins} bins": on_one_scale(
            partial(of, family, bins), rows.where(family=family), p.scale
        )
        for family, title in NAMES.items()
        for bins in BINS
    }


CLAIMS = (
    Claim(
        "ch6.fig3.mnist-tail",
        "Fig. 3, left",
        "The tail of MNIST's labels in the eigenbasis of the kernel decays as n^(1-a), a = 1.36.",
        0.36,
        Tolerance(0.28, 0.45, "0.36 +- 0.08; ranks from 30 to an eighth of the matrix"),
        partial(_tail, "mnist"),
    ),
    Claim(
        "ch6.fig3.cifar10-tail",
        "Fig. 3, right",
        "The tail of CIFAR-10's labels decays with a = 1.07.",
        0.07,
        Tolerance(0.04, 0.13, "0.07, rounded; ranks from 30 to an eighth of the matrix"),
        partial(_tail, "cifar10"),
    ),
    Claim(
        "ch6.fig3.prediction",
        "Fig. 3, Sec. 6",
        "The decay of the tail predicts the learning curve, beta = a - 1.",
        1.0,
        Tolerance(
            0.6,
            1.4,
            "a - 1 over the fitted beta, +- 40 %: the thesis's own are 0.36/0.4 and 0.07/0.1",
        ),
        _prediction,
    ),
    Claim(
        "ch6.fig3.spheres",
        "Sec. 6",
        "For a Gaussian Teacher on a sphere the tail decays with the exponent of Theorem 1.",
        1.0,
        Tolerance(0.7, 1.3, "measured over theoretical exponent; a finite matrix bends the tail"),
        partial(_of_spheres, "tail"),
    ),
    Claim(
        "ch6.fig9.convergence",
        "Fig. 9, left",
        "The first hundred eigenvalues converge as the Gram matrix grows.",
        1.0,
        Tolerance(0.9, 1.1, "ratio of the second largest matrix to one of twice its size"),
        _convergence,
    ),
    Claim(
        "ch6.fig9.shrinking",
        "Fig. 9, left",
        "The eigenvalues change less and less from one doubling of the Gram matrix to the next.",
        "< 1",
        Tolerance.at_most(
            0.75, "last change over the one before: 1/2 where 1/n is left, 1 for a steady drift"
        ),
        _shrinking,
    ),
    Claim(
        "ch6.fig9.density",
        "Fig. 9, right",
        "The density of eigenvalues of images is a power law with the effective dimension.",
        1.0,
        Tolerance.at_most(2.0, "variation of density over lambda^-theta in a decade of ranks"),
        _density,
    ),
    Claim(
        "ch6.fig9.spheres",
        "App. I, eq. 57",
        "The eigenvalues of a Laplace kernel on S^d decay as rho^(-(d+1)/d).",
        1.0,
        Tolerance(
            0.9, 1.1, "measured over theoretical exponent; a finite matrix bends the spectrum"
        ),
        partial(_of_spheres, "eigenvalues"),
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

    def points(self, p: SpectrumParameters) -> Iterator[lab.Point]:
        data = image_sets(p.digits, p.colors, max(p.sizes[-1] + p.n_test, p.leading_size))
        sets = [
            {
                "family": family,
                "data": source,
                "target": "labels",
                "sigma": p.sigma,
                "scale": scale,
                "classes": p.classes if family == "cifar10" else "parity",
            }
            for family, source in data.items()
            for scale in SCALES
        ]
        spheres = [
            {
                "family": name,
                "data": f"S^{d}",
                "target": teacher,
                "sigma": float(d),
                "scale": "unit",
                "classes": "parity",
            }
            for name, d, teacher in SPHERES
        ]
        judged = [case for case in sets if case["scale"] == p.scale]
        yield from lab.grid(p.seeds, case=sets + spheres, n=p.sizes, n_test=p.n_test)
        yield from lab.grid(p.seeds, case=judged, n=p.leading_size, n_test=0)

    def cost(self, point: lab.Point) -> float:
        if not point["n_test"]:
            return 0.5 + 3e-7 * point["n"] ** 2
        return 0.1 + 5e-10 * point["n"] ** 3

    def measure(self, point: lab.Point) -> lab.Result:
        from symscape.kernels import gram_spectrum, laplace, leading_eigenvalues, nested_predictions

        n = point["n"]
        student = laplace(point["sigma"])
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

    def figures(self, table: Table, p: SpectrumParameters) -> list[Figure]:
        large = table.where(n=p.sizes[-1])
        return [
            *(_tail_figure(family, table.where(scale=p.scale), p) for family in NAMES),
            _sphere_figure(large, p),
            *(_ratio_figure(family, table, p) for family in NAMES),
            _density_figure(large),
        ]


def _data(point: lab.Point) -> tuple[np.ndarray, np.ndarray]:
    """Training and test points one after the other, with labels or values of a random field."""
    total = point["n"] + point["n_test"]
    if point["target"] == "labels":
        return images(point["data"], total, point["seed"], point["scale"], point["classes"])
    from symscape.kernels import named, random_points, sample_field

    d = int(point["data"].removeprefix("S^"))
    state = [int(v) for v in np.random.SeedSequence([point["seed"], d]).generate_state(2)]
    x = random_points("sphere", total, d, state[0])
    field = sample_field(named(point["target"], point["sigma"]), x, 1, state[1])
    return x, field[:, 0]


def _tail_figure(family: str, table: Table, p: SpectrumParameters) -> Figure:
    figure = Figure(
        f"tail-{family}",
        f"Labels of {NAMES[family]} in the eigenbasis of the kernel",
        "Colors: the tail of the squared projections, per point, for several sizes of the Gram "
        "matrix. The learning curve, in grey, is shifted to meet it. Dashed: the thesis's decay, "
        f"n^(-{TAIL[family]}). {SCALES[p.scale].capitalize()}.",
        Axis("rank, or training points n", log=True),
        Axis("tail of the projections T(n)", log=True, range=(1e-2, 1.2)),
        ordered=True,
        claims=(f"ch6.fig3.{family}-tail", "ch6.fig3.prediction"),
    )
    rows = table.where(family=family).select(lambda row: row["n_test"] > 0)
    figure.curves(rows, "ranks", "tail", "n", name="matrix of {n}", geometric=True)
    if large := rows.where(n=p.sizes[-1]):
        window, ranks = np.array(_window(p.sizes[-1])), large.rows[0]["ranks"]
        tail, size = np.mean(large.column("tail"), axis=0), large.rows[0]["sizes"]
        error = np.mean(large.column("error"), axis=0)
        first, meets = np.interp([window[0], size[1]], ranks, tail)
        figure.guide("learning curve, shifted", size, error * meets / error[1])
        decay = first * (window / window[0]) ** -TAIL[family]
        figure.thesis(f"n^(-{TAIL[family]})", window, decay)
    return figure


def _sphere_figure(large: Table, p: SpectrumParameters) -> Figure:
    figure = Figure(
        "spheres",
        "Random fields on spheres",
        "Tails of random fields, S^2 with a Matern Teacher of order 3/2 and S^3 with a Laplace "
        "one, and the eigenvalues of the Laplace Student. Grey: Theorem 1, and rho^(-(d+1)/d).",
        Axis("rank", log=True),
        Axis("tail, eigenvalue", log=True),
        claims=("ch6.fig3.spheres", "ch6.fig9.spheres"),
    )
    window = np.array(_window(p.sizes[-1]))
    for place, (name, d, teacher) in enumerate(SPHERES):
        rows = large.where(family=name)
        for group, y in enumerate(("tail", "eigenvalues"), 2 * place):
            figure.curves(rows, "ranks", y, name=f"{y}, S^{d}", geometric=True, group=group)
            if rows:
                first = np.interp(window[0], rows.rows[0]["ranks"], np.mean(rows.column(y), axis=0))
                decay = (window / window[0]) ** -_theory(y, d, teacher)
                figure.guide(f"{y}, S^{d}", window, first * decay)
    return figure


def _ratio_figure(family: str, table: Table, p: SpectrumParameters) -> Figure:
    figure = Figure(
        f"ratios-{family}",
        f"Convergence of the eigenvalues of {NAMES[family]}",
        "Every tenth of the first hundred eigenvalues, divided by that of the largest matrix and "
        f"multiplied by the rank, so that the lines lie apart. {SCALES[p.scale].capitalize()}.",
        Axis("size of the Gram matrix", log=True),
        Axis("ratio times rank", log=True),
        ordered=True,
        claims=("ch6.fig9.convergence", "ch6.fig9.shrinking"),
    )
    sizes = (*p.sizes, p.leading_size)
    changes = [_change(table, family, p, (n, p.leading_size)) for n in sizes]
    if all(len(change) for change in changes):
        for i, rank in enumerate(DRAWN):
            scaled = [exponential(mean(change[:, i])).scaled(rank) for change in changes]
            errors = [each.error or 0.0 for each in scaled]
            heights = [each.value for each in scaled]
            figure.measured(f"rank {rank}", sizes, heights, errors, mode="lines+markers")
    return figure


def _density_figure(large: Table) -> Figure:
    figure = Figure(
        "density",
        "Density of eigenvalues",
        "Divided by lambda^(-theta), theta = 1 + d/(d + 1) with the effective dimensions 15 and 35 "
        "of the thesis, and normalized: flat where the power law holds. Ch. 6, Fig. 9 right, on "
        "both scales of the images.",
        Axis("eigenvalue", log=True),
        Axis("density / lambda^(-theta)", log=True),
        claims=("ch6.fig9.density",),
    )
    for family, title in NAMES.items():
        for scale, said in SCALES.items():
            if rows := large.where(family=family, scale=scale).rows:
                lam, density = _scaled_density(rows, family)
                name = f"{title}, {said}"
                figure.measured(name, lam, density / np.median(density), mode="lines+markers")
    return figure
