"""The plane of temperature and cut-off: Fig. 1, 2, 8, 9 and 10, App. A to C."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, Row, Table, Tolerance

Value = Callable[[Row], float]

Cutoff = Annotated[int, Field(ge=2, le=200)]


class PhaseDiagramParameters(lab.Parameters):
    n: int = Field(ge=8, le=1024, description="pixels along the side")
    cutoffs: tuple[Cutoff, ...] = Field(min_length=2, description="cut-offs c")
    heats: tuple[Annotated[float, Field(gt=0, le=1e4)], ...] = Field(
        default=(0.03, 0.3, 0.6, 1.0, 1.7, 3.0, 30.0), description="temperatures over T_max"
    )
    draws: int = Field(ge=10, le=10**5, description="fields per temperature, cut-off and seed")
    seeds: int = Field(ge=1, le=1000, description="repetitions, for the error bars")


def _over(formula: str) -> Value:
    """Mean square displacement over that of a function of the library, squared."""

    def ratio(row: Row) -> float:
        from symscape import diffeo

        return float(row["square"]) / getattr(diffeo, formula)(1.0, row["c"], row["n"]) ** 2

    return ratio


def _fold_ratio(row: Row) -> float:
    from symscape.diffeo import typical_fold

    return float(np.median(row["fold"])) / typical_fold(1.0, row["c"])


def _boundary(row: Row) -> float:
    """Temperature over T_max at which half of the fields fold over, between those measured."""
    order = np.argsort(row["heats"])
    share, heats = np.maximum.accumulate(row["folded"][order]), np.array(row["heats"])[order]
    inside = share[0] < 0.5 < share[-1]
    return float(np.exp(np.interp(0.5, share, np.log(heats)))) if inside else math.nan


def _by_cutoff(value: Value) -> Callable[[Table, Any], dict[str, Estimate]]:
    """The answer that is a mean over seeds for every cut-off."""
    return lambda table, p: {
        f"c = {c}": scaling.mean(rows.per_seed(value)) for (c,), rows in table.groups("c")
    }


def _share(heat: Callable[[Any], int], folded: bool) -> Callable[[Table, Any], dict[str, Estimate]]:
    """The answer that is a share of all fields for every cut-off, at one of the temperatures."""

    def shares(table: Table, p: PhaseDiagramParameters) -> dict[str, Estimate]:
        found = {}
        for (c,), rows in table.groups("c"):
            draws = [round(row["draws"] * row["folded"][heat(row["heats"])]) for row in rows]
            n, over = sum(row["draws"] for row in rows), sum(draws)
            found[f"c = {c}"] = scaling.share(over if folded else n - over, n)
        return found

    return shares


def _of_largest_cutoff(value: Value) -> Callable[[Table, Any], Estimate]:
    return lambda table, p: scaling.mean(table.where(c=max(p.cutoffs)).per_seed(value))


def _largest(name: str) -> Callable[[Table, Any], Estimate]:
    return lambda table, p: Estimate(max(float(row[name]) for row in table))


CLAIMS = (
    Claim(
        "ch4.eq3.displacement",
        "Ch. 4, Eq. 3 and Fig. 8 left",
        "delta^2 is about (pi/4) n^2 T ln c: the measured mean square over the formula, at the "
        "largest c.",
        1.0,
        Tolerance(0.75, 1.25, "the ratio tends to 1 only like 1/ln c; it is 0.82 at c = 30"),
        _of_largest_cutoff(_over("displacement")),
        profile="quick",
    ),
    Claim(
        "ch4.eq3.exact-sum",
        "Ch. 4, Eq. 3",
        "The mean square displacement is (T n^2 / 2) times the sum of 1/(i^2 + j^2).",
        1.0,
        Tolerance(0.95, 1.05, "5 %, for the finite number of fields"),
        _by_cutoff(_over("rms_displacement")),
        kind="check",
        profile="quick",
    ),
    Claim(
        "ch4.eq7.norm",
        "Ch. 4, Eq. 7 and Sec. 2.1",
        "The mean of |grad tau|^2 is (pi^2/2) T times the number of modes.",
        1.0,
        Tolerance(0.95, 1.05, "5 %, for the finite number of fields"),
        _by_cutoff(lambda row: row["norm"] / (math.pi**2 / 2 * len(row["mode"]))),
        kind="check",
        profile="quick",
    ),
    Claim(
        "ch4.appA.equipartition",
        "Ch. 4, App. A",
        "Every mode has the same share of |grad tau|^2: C_ij^2 (i^2 + j^2) has mean T.",
        0.0,
        Tolerance(-0.05, 0.05, "slope of the log of the share against log(i^2 + j^2)"),
        _of_largest_cutoff(lambda row: np.polyfit(np.log(row["mode"]), np.log(row["share"]), 1)[0]),
        kind="check",
        profile="quick",
    ),
    Claim(
        "ch4.eq8.visible",
        "Ch. 4, Eq. 8",
        "At T_min fields displace by half a pixel, at every cut-off.",
        0.5,
        Tolerance(0.375, 0.625, "+- 25 %: the formula is a limit of many modes"),
        _by_cutoff(lambda row: 0.5 * math.sqrt(_over("displacement")(row))),
        profile="quick",
    ),
    Claim(
        "ch4.eq13.fold",
        "Ch. 4, Eq. 13 and Fig. 8 right",
        "The median of the largest Xi is (c/2)(pi^3 T ln c)^(1/2), at every cut-off: their ratio.",
        1.0,
        Tolerance(0.75, 1.25, "an estimate of order one, hence 25 %"),
        _by_cutoff(_fold_ratio),
        profile="quick",
    ),
    Claim(
        "ch4.eq14.bijective",
        "Ch. 4, Eq. 14",
        "At T_max a field is bijective with probability of about one half or more, at every "
        "cut-off: the share of fields with det > 0 on all pixels.",
        "about 1/2",
        Tolerance.at_least(0.4, "about one half, minus 0.1; at 1.7 T_max it is a quarter"),
        _share(lambda heats: int(np.argmin(np.abs(np.log(heats)))), folded=False),
        profile="quick",
    ),
    Claim(
        "ch4.fig1.boundary",
        "Ch. 4, Fig. 1",
        "The region of diffeomorphisms ends at T_max, at every cut-off: the temperature at which "
        "half of the fields fold over, over T_max.",
        1.0,
        Tolerance(0.5, 2.0, "a factor of two, on a plane of several decades"),
        _by_cutoff(_boundary),
        profile="quick",
    ),
    Claim(
        "ch4.fig9.folding-above",
        "Ch. 4, Fig. 9",
        "Fields fold over far above T_max.",
        "always",
        Tolerance.at_least(0.99, "share of folded fields at the largest temperature, every c"),
        _share(lambda heats: int(np.argmax(heats)), folded=True),
        profile="quick",
    ),
    Claim(
        "ch4.fig9.no-folding-below",
        "Ch. 4, Fig. 9",
        "Fields do not fold over far below T_max.",
        "never",
        Tolerance.at_most(0.01, "share of folded fields at the smallest temperature, every c"),
        _share(lambda heats: int(np.argmin(heats)), folded=True),
        profile="quick",
    ),
    Claim(
        "ch4.fig2.norms",
        "Ch. 4, Sec. 3 and Fig. 2",
        "The noise that a deformation is compared with has its norm, image by image.",
        0.0,
        Tolerance.at_most(1e-12, "largest relative deviation; exact up to rounding"),
        _largest("norm_mismatch"),
        kind="check",
        profile="smoke",
    ),
    Claim(
        "ch4.fig10.participation",
        "Ch. 4, App. C, Eq. 17 and Fig. 10",
        "With sigma = 0.4715 four pixels take part in an interpolation at the center of a cell.",
        4.0,
        Tolerance(3.95, 4.05, "it is 4.002 at this sigma"),
        _largest("participation"),
        kind="exact",
        profile="smoke",
    ),
)


@lab.register
class PhaseDiagram(lab.Experiment):
    """Ch. 4, Fig. 1, 2, 8, 9 and 10."""

    name = "diffeo-phase-diagram"
    chapter = "4"
    title = "The phase diagram of deformations"
    summary = (
        "Random smooth deformations of an image have two numbers: a cut-off c on their modes and a "
        "temperature T. Between T_min, where nothing is seen to move, and T_max, where the image "
        "folds over, they are diffeomorphisms of the pixels. Measured here: their size, their "
        "norm, and how often they fold. The page of the library has one image under two sliders."
    )
    sources = ("Ch. 4, Fig. 1, 2, 8-10", "Ch. 4, Eq. 1-3, 7-17")
    version = 2
    Parameters = PhaseDiagramParameters
    profiles = {  # noqa: RUF012
        "smoke": PhaseDiagramParameters(n=32, cutoffs=(2, 5), draws=20, seeds=2),
        "quick": PhaseDiagramParameters(n=128, cutoffs=(2, 3, 5, 10, 15, 30), draws=300, seeds=4),
        "overnight": PhaseDiagramParameters(
            n=128, cutoffs=(2, 3, 5, 10, 15, 20, 30), draws=400, seeds=6
        ),
        "paper": PhaseDiagramParameters(
            n=320, cutoffs=(2, 3, 5, 10, 15, 20, 30, 50), draws=1000, seeds=10
        ),
    }
    claims = CLAIMS

    def points(self, p: PhaseDiagramParameters) -> Iterator[dict[str, Any]]:
        return lab.grid(p.seeds, n=p.n, c=p.cutoffs, heats=[list(p.heats)], draws=p.draws)

    def cost(self, point: dict[str, Any]) -> float:
        return 0.05 + 1.5e-7 * point["draws"] * point["n"] ** 2

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape import diffeo

        n, c = point["n"], point["c"]
        ensemble = diffeo.MaximumEntropy(1.0, c, outside="allow")
        seeds = diffeo.sample_seeds(point["seed"], point["draws"])
        unit = ensemble.coefficients(seeds)  # everything scales with the root of T
        fold, determinant = [], []
        roots = np.sqrt(np.array(point["heats"]) * diffeo.acceptable_range(c, n).high).tolist()
        for one in unit:
            gradient = diffeo.field_gradient(one, n)
            fold.append(float(diffeo.fold(gradient).max()))
            determinant.append(
                [float(diffeo.jacobian_determinant(root * gradient).min()) for root in roots]
            )
        share, modes = _shares(unit, c)
        fields = diffeo.field(unit, n)
        return {
            "fold": np.array(fold),
            "folded": (~(np.array(determinant) > 0)).mean(0),
            "square": float(fields.square().sum(-3)[..., 1:-1, 1:-1].mean())
            * ((n - 2) / (n - 1)) ** 2,
            "norm": float(diffeo.gradient_norm(unit).mean()),
            "share": share,
            "mode": modes,
            "norm_mismatch": _norm_mismatch(n, c, point["seed"]),
            "participation": _participation(),
        }

    def figures(self, table: Table, p: PhaseDiagramParameters) -> list[Figure]:
        return [
            _region_figure(table, p),
            _displacement_figure(table),
            _fold_figure(table),
            _folding_figure(table),
            _samples_figure(),
            *(_lattice_figure(heat) for heat in (0.3, 10.0)),
            _noise_figure(),
            _interpolation_figure(),
        ]


def _shares(unit: Any, c: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean share of the norm, C^2 (i^2 + j^2) averaged over C, D and fields, by mode."""
    from symscape.diffeo import mode_mask

    i = np.arange(1, c + 1)
    squared = i[:, None] ** 2 + i[None, :] ** 2
    mask = mode_mask(c).numpy()
    share = unit.square().mean((0, 1)).numpy() * squared
    return share[mask], squared[mask].astype(float)


def _norm_mismatch(n: int, c: int, seed: int) -> float:
    """Largest deviation of the norms of noise and deformation, for eight random images."""
    import torch

    from symscape import diffeo

    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(8, 3, n, n, generator=generator, dtype=torch.float64)
    ensemble = diffeo.MaximumEntropy.from_displacement(1.0, c, n, outside="allow")
    seeds = diffeo.sample_seeds(seed, 8)
    deformed = ensemble.deform(images, seeds)
    noise = diffeo.matched_noise(images, deformed, seeds)
    norms = [part.flatten(1).norm(dim=1) for part in (noise, deformed - images)]
    return float((norms[0] / norms[1] - 1).abs().max())


def _participation() -> float:
    """Participation ratio of the pixels' weights at the center of a cell."""
    import torch

    from symscape import diffeo

    n = 16
    pixels = torch.eye(n * n, dtype=torch.float64).reshape(n * n, 1, n, n)
    half = torch.full((2, n, n), -0.5, dtype=torch.float64)
    weights = diffeo.warp(pixels, half, "gaussian")[:, 0, n // 2, n // 2]
    return float(weights.square().sum() ** 2 / weights.pow(4).sum())


def _region_figure(table: Table, p: PhaseDiagramParameters) -> Figure:
    from symscape import diffeo

    figure = Figure(
        "region",
        "The acceptable region",
        f"Temperatures of visible diffeomorphisms of images of {p.n} x {p.n} pixels (Fig. 1): the "
        "band between T_min and T_max of Eq. 8 and 14, which closes at c = 2n/pi. Dashed: a "
        "nominal displacement of one pixel. Markers: where half of our fields fold over.",
        Axis("cut-off c", log=True),
        Axis("temperature T", log=True),
        claims=("ch4.fig1.boundary", "ch4.eq14.bijective"),
    )
    closing = 2 * p.n / math.pi
    cutoffs = np.unique(np.geomspace(2, closing, 40).astype(int))
    ranges = [diffeo.acceptable_range(int(c), p.n) for c in cutoffs]
    figure.band("acceptable", cutoffs, [r.low for r in ranges], [r.high for r in ranges])
    figure.thesis(
        "delta = 1 pixel", cutoffs, [diffeo.temperature(1.0, int(c), p.n) for c in cutoffs]
    )
    figure.guide("T_min", cutoffs, [r.low for r in ranges])
    figure.guide("T_max", cutoffs, [r.high for r in ranges])
    return figure.curves(
        table,
        "c",
        lambda row: _boundary(row) * diffeo.acceptable_range(row["c"], row["n"]).high,
        name="half of the fields fold over",
        mode="markers",
    )


def _displacement_figure(table: Table) -> Figure:
    from symscape import diffeo

    figure = Figure(
        "displacement",
        "Size of the displacements",
        "Mean square displacement over (pi/4) n^2 T ln c (Fig. 8, left). It tends to 1 slowly: the "
        "line is the exact sum over the modes.",
        Axis("cut-off c", log=True),
        Axis("delta^2 / ((pi/4) n^2 T ln c)", range=(0.0, 1.5)),
        claims=("ch4.eq3.displacement", "ch4.eq3.exact-sum", "ch4.eq8.visible"),
    )
    figure.curves(table, "c", _over("displacement"), mode="markers")
    every = np.arange(2, 101)
    exact = [
        (diffeo.rms_displacement(1.0, int(value), 100) / diffeo.displacement(1.0, int(value), 100))
        ** 2
        for value in every
    ]
    figure.guide("exact sum", every, exact)
    figure.thesis("Eq. 3", [2.0, 100.0], [1.0, 1.0])
    return figure


def _fold_figure(table: Table) -> Figure:
    figure = Figure(
        "largest-stretch",
        "The largest stretch of a field",
        "Median over fields of the largest Xi of the image, over (c/2)(pi^3 T ln c)^(1/2) (Fig. 8, "
        "right). Both sides grow like the root of T, so that one temperature tells all.",
        Axis("cut-off c", log=True),
        Axis("median of max Xi / Eq. 13", range=(0.0, 1.5)),
        claims=("ch4.eq13.fold",),
    )
    figure.curves(table, "c", _fold_ratio, mode="markers")
    figure.thesis("Eq. 13", [2.0, 100.0], [1.0, 1.0])
    return figure


def _folding_figure(table: Table) -> Figure:
    figure = Figure(
        "folding",
        "Fields that fold over",
        "Share of the fields with det(1 - grad tau) < 0 somewhere on the pixels (Fig. 9 draws one "
        "below and one above T_max).",
        Axis("T / T_max", log=True),
        Axis("share of folded fields", range=(-0.02, 1.02)),
        ordered=True,
        claims=("ch4.fig9.folding-above", "ch4.fig9.no-folding-below", "ch4.eq14.bijective"),
    )
    return figure.curves(table, "heats", "folded", "c")


def _digit() -> Any:
    import torch

    from symscape.datasets import load

    return torch.from_numpy(load("mnist-sample").images[:1]).double().div(255)


def _samples_figure() -> Figure:
    """Fig. 1 as points: one digit deformed over the plane of c and T."""
    from symscape import diffeo

    figure = Figure(
        "samples",
        "One digit over the plane of c and T",
        "Pixels that are more dark than bright of one digit (Fig. 1), deformed with c = 2, 4 and 8 "
        "from left to right, and with temperatures from a tenth of T_min (below) over the middle "
        "of the acceptable region to ten times T_max (above).",
        Axis("x", "pixels"),
        Axis("y", "pixels"),
    )
    digit, n = _digit(), 28
    for row, name in enumerate(("too small to be seen", "acceptable", "folded over")):
        points = []
        for column, c in enumerate((2, 4, 8)):
            low, high = diffeo.acceptable_range(c, n)
            T = (0.1 * low, math.sqrt(low * high), 10 * high)[row]
            ensemble = diffeo.MaximumEntropy(T, c, outside="allow")
            deformed = ensemble.deform(digit, diffeo.sample_seeds(0, 1).reshape(()))
            y, x = (deformed[0] > 0.5).nonzero().numpy().T
            points.append(np.stack([x + 1.2 * n * column, n - y + 1.2 * n * row]))
        figure.measured(name, *np.concatenate(points, axis=1))
    return figure


def _lattice_figure(heat: float) -> Figure:
    """Fig. 9 as lines: where the points of a lattice are read, s - tau(s), c = 3."""
    from symscape import diffeo

    n, step, c = 61, 5, 3
    T = heat * diffeo.acceptable_range(c, n).high
    field = diffeo.MaximumEntropy(T, c, outside="allow").fields(n, diffeo.sample_seeds(0, 1))[0]
    grid = np.arange(n)
    x, y = grid - field[0].numpy(), grid[:, None] - field[1].numpy()
    figure = Figure(
        f"lattice-{'above' if heat > 1 else 'below'}",
        f"A lattice at {heat:g} T_max",
        "Where the points of a lattice are read, s - tau(s), c = 3 (Fig. 9): the field folds over "
        "far above T_max, and does not below.",
        Axis("x", "pixels"),
        Axis("y", "pixels"),
    )
    for name, u, v in (("rows", x, y), ("columns", x.T, y.T)):
        figure.measured(name, _there_and_back(u[::step]), _there_and_back(v[::step]), mode="lines")
    return figure


def _there_and_back(lines: np.ndarray) -> np.ndarray:
    """Lines as one: every second one backward. Its turns lie on the frame, which does not move."""
    turned = lines.copy()
    turned[1::2] = lines[1::2, ::-1]
    return turned.ravel()


def _noise_figure() -> Figure:
    """Fig. 2 as numbers: deformed and noisy copies of one digit lie on the same sphere."""
    from symscape import diffeo

    figure = Figure(
        "sphere",
        "Deformations and noise on one sphere",
        "Distances of 60 deformed copies of one digit, and of as many noisy ones, from the digit "
        "itself (Fig. 2 is a sketch of this): every noise has the norm of a deformation.",
        Axis("|tau x - x|"),
        Axis("|eta|"),
        claims=("ch4.fig2.norms",),
    )
    digit, seeds = _digit(), diffeo.sample_seeds(0, 60)
    deformed = diffeo.MaximumEntropy.from_displacement(1.0, 3, 28).deform(digit, seeds)
    noise = diffeo.matched_noise(digit[None].expand(60, 1, 28, 28), deformed, seeds)
    norms = [part.flatten(1).norm(dim=1).numpy() for part in (deformed - digit, noise)]
    ends = [norms[0].min(), norms[0].max()]
    return figure.measured("60 copies", *norms).thesis("equal norms", ends, ends)


def _interpolation_figure() -> Figure:
    """Fig. 10 as numbers: one bright pixel seen through both interpolations."""
    import torch

    from symscape import diffeo

    figure = Figure(
        "interpolations",
        "Two ways to read between the pixels",
        "What is read at a distance from a single bright pixel, along its row (Fig. 10): a tent "
        "for bilinear interpolation; a Gaussian that keeps a part of the light apart on the "
        "neighbors, so that it blurs where nothing moves.",
        Axis("distance from the pixel", "pixels"),
        Axis("value", range=(-0.02, 1.05)),
        claims=("ch4.fig10.participation",),
    )
    image = torch.zeros(1, 15, 15, dtype=torch.float64)
    image[0, 7, 7] = 1.0
    shifts = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)
    fields = torch.zeros(len(shifts), 2, 15, 15, dtype=torch.float64)
    fields[:, 0] = -shifts[:, None, None]
    for name in ("bilinear", "gaussian"):
        values = diffeo.warp(image, fields, name)[:, 0, 7, 7]
        figure.measured(name, shifts.numpy(), values.numpy(), mode="lines")
    return figure
