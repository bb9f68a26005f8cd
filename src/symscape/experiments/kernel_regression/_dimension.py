"""Distances between neighbors and the effective dimension of images: Fig. 4."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.experiments.kernel_regression._estimates import (
    draw_curve,
    increasing,
    largest_deviation,
    power_law,
)
from symscape.experiments.kernel_regression._images import MISSING, image_sets, images
from symscape.lab import Axis, Claim, Figure, Finding, Table, Tolerance

Dimension = Annotated[int, Field(ge=1, le=100)]
Size = Annotated[int, Field(ge=10, le=10**6)]
Sizes = Annotated[tuple[Size, ...], AfterValidator(increasing)]

NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
THESIS = {"mnist": 15, "cifar10": 35}


class DimensionParameters(lab.Parameters):
    digits: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    colors: bool = Field(default=True, description="CIFAR-10 too, where it is found")
    dimensions: tuple[Dimension, ...] = Field(min_length=1, description="d of the spheres")
    sizes: Sizes = Field(min_length=3, description="numbers of points on the spheres")
    image_sizes: Sizes = Field(min_length=3, description="numbers of images")
    queries: int = Field(ge=10, description="points from which the distance is taken")
    seeds: int = Field(ge=1, description="draws of the images")
    sphere_seeds: int = Field(ge=1, description="draws of the points on the spheres")


CLAIMS = (
    Claim(
        "ch6.fig4.slope",
        "Fig. 4, left",
        "On the sphere S^d the distance to the nearest neighbor decays as n^(-1/d).",
        0.0,
        Tolerance(0.0, 0.01, "largest |slope + 1/d| over d, all sizes"),
    ),
    Claim(
        "ch6.fig4.mnist",
        "Fig. 4, right; eq. 16",
        "MNIST has an effective dimension of about 15.",
        15,
        Tolerance(12.0, 18.0, "15 +- 3; the sphere of the same curve at equal n"),
    ),
    Claim(
        "ch6.fig4.cifar10",
        "Fig. 4, right; eq. 17",
        "CIFAR-10 has an effective dimension of about 35.",
        35,
        Tolerance(28.0, 45.0, "35, -7, +10; the sphere of the same curve at equal n"),
    ),
)


@lab.register
class EffectiveDimensions(lab.Experiment):
    """Ch. 6, Fig. 4."""

    name = "kernel-regression-dimension"
    chapter = "6"
    title = "The effective dimension of images"
    summary = (
        "How fast do neighbors come closer as points are added? On a sphere of d dimensions as "
        "n^(-1/d). Images behave like a sphere of far fewer dimensions than they have pixels."
    )
    sources = ("Ch. 6, Fig. 4", "Ch. 6, Sec. 7")
    version = 1
    Parameters = DimensionParameters
    profiles = {  # noqa: RUF012
        "smoke": DimensionParameters(
            dimensions=(1, 2),
            sizes=(500, 1000, 2000),
            image_sizes=(100, 200, 400),
            queries=100,
            seeds=2,
            sphere_seeds=3,
        ),
        "quick": DimensionParameters(
            dimensions=(1, 2, 3, 5),
            sizes=(1000, 2000, 4000, 8000),
            image_sizes=(500, 1000, 2000, 4000),
            queries=500,
            seeds=3,
            sphere_seeds=10,
        ),
        "overnight": DimensionParameters(
            dimensions=(1, 2, 3, 5, 8),
            sizes=(1000, 2000, 4000, 8000, 16_000),
            image_sizes=(625, 1250, 2500, 5000, 10_000),
            queries=1000,
            seeds=10,
            sphere_seeds=40,
        ),
        "paper": DimensionParameters(
            dimensions=(1, 2, 3, 5, 8, 10, 15, 20, 35),
            sizes=(10, 100, 1000, 6000, 10_000, 30_000, 100_000),
            image_sizes=(10, 100, 1000, 6000, 10_000, 30_000, 50_000),
            queries=10_000,
            seeds=20,
            sphere_seeds=20,
        ),
    }
    claims = CLAIMS

    def points(self, p: DimensionParameters) -> list[dict[str, Any]]:
        data = image_sets(p.digits, p.colors, p.image_sizes[-1])
        sets = [
            *(("sphere", f"S^{d}", d, p.sizes) for d in p.dimensions),
            *((family, pinned, 0, p.image_sizes) for family, pinned in data.items()),
        ]
        return [
            {
                "family": family,
                "data": source,
                "d": d,
                "sizes": list(sizes),
                "queries": p.queries,
                "seed": seed,
            }
            for family, source, d, sizes in sets
            for seed in range(p.sphere_seeds if family == "sphere" else p.seeds)
        ]

    def cost(self, point: dict[str, Any]) -> float:
        d = point["d"] or 1000
        return 0.05 + 1e-10 * point["queries"] * point["sizes"][-1] * (d + 50)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        from symscape.kernels import nearest_distances, random_points

        n, seed = point["sizes"][-1], point["seed"]
        if point["family"] == "sphere":
            state = np.random.SeedSequence([seed, point["d"]]).generate_state(1)
            x = random_points("sphere", n, point["d"], int(state[0]))
        else:
            x = images(point["data"], n, seed, "pixels").x
        distance = nearest_distances(x, point["sizes"], point["queries"], seed)
        return {"distance": distance}

    def analyse(self, table: Table, p: DimensionParameters) -> list[Finding]:
        spheres = table.where(family="sphere")
        cases = [
            (f"S^{d}", power_law(rows, (0.0, math.inf), "distance"), 1 / d)
            for (d,), rows in spheres.groups("d")
        ]
        return [
            largest_deviation("ch6.fig4.slope", cases, spheres.keys, "No finished run."),
            *(_effective(table.where(family=family), family) for family in NAMES),
        ]

    def figures(self, table: Table, p: DimensionParameters) -> list[Figure]:
        return [_sphere_figure(table.where(family="sphere")), _image_figure(table)]


def _effective(rows: Table, family: str) -> Finding:
    claim = f"ch6.fig4.{family}"
    if not rows:
        return Finding(claim, None, None, MISSING if family == "cifar10" else "No finished run.")
    from symscape.kernels import effective_dimension

    sizes = rows.rows[0]["sizes"]
    found = effective_dimension(sizes, [row["distance"] for row in rows])
    note = f"n from {sizes[0]} to {sizes[-1]}; distances differ by {found.misfit:.1%} from it."
    return Finding(claim, found.d.value, found.d.error, note, rows.keys)


def _sphere_figure(table: Table) -> Figure:
    figure = Figure(
        "spheres",
        "Distance to the nearest neighbor on spheres",
        "Mean over points of the unit sphere S^d. Grey: the exact mean, by quadrature. Dashed: "
        "n^(-1/d), through the last point.",
        Axis("points n", log=True),
        Axis("mean distance to the nearest", log=True),
        ordered=True,
    )
    from symscape.kernels import sphere_distance

    for (d,), rows in table.groups("d"):
        draw_curve(figure, f"d = {d}", rows, "distance")
        n = np.array(rows.rows[0]["sizes"], dtype=float)
        exact = sphere_distance(n, d)
        figure.guide(f"exact, d = {d}", n, exact)
        figure.thesis(f"n^(-1/{d})", n, exact[-1] * (n / n[-1]) ** (-1 / d))
    return figure


def _image_figure(table: Table) -> Figure:
    figure = Figure(
        "images",
        "Distance to the nearest image",
        "In units of the pixels, from 0 to 255. Dashed: the exact curves of spheres of 15 and 35 "
        "dimensions, the thesis's choice for MNIST and CIFAR-10, shifted vertically to meet the "
        "images at the largest n.",
        Axis("images n", log=True),
        Axis("mean distance to the nearest", log=True),
    )
    from symscape.kernels import sphere_distance

    for family, title in NAMES.items():
        rows = table.where(family=family)
        draw_curve(figure, title, rows, "distance")
        if rows:
            n = np.array(rows.rows[0]["sizes"], dtype=float)
            curve = sphere_distance(n, THESIS[family])
            last = float(np.mean([row["distance"][-1] for row in rows]))
            figure.thesis(f"S^{THESIS[family]}", n, curve * last / curve[-1])
    return figure
