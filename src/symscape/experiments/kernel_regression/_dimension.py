"""Distances between neighbors and the effective dimension of images: Fig. 4."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, Field

from symscape import lab
from symscape.experiments.kernel_regression._images import (
    NAMES,
    SCALES,
    Scale,
    image_sets,
    images,
    on_one_scale,
)
from symscape.lab import Axis, Claim, Figure, Table, Tolerance
from symscape.scaling import Estimate, scan, slope

Dimension = Annotated[int, Field(ge=1, le=100)]
Size = Annotated[int, Field(ge=10, le=10**6)]
Sizes = Annotated[tuple[Size, ...], AfterValidator(lab.increasing)]

THESIS = {"mnist": 15, "cifar10": 35}


class DimensionParameters(lab.Parameters):
    digits: str = Field(
        default="auto", description="digits: auto (all of MNIST if found), mnist, mnist-sample"
    )
    colors: bool = Field(default=True, description="CIFAR-10 too, where it is found")
    dimensions: tuple[Dimension, ...] = Field(min_length=1, description="d of the spheres")
    sizes: Sizes = Field(min_length=3, description="numbers of points on the spheres")
    image_sizes: Sizes = Field(min_length=3, description="numbers of images")
    scale: Scale = Field(
        default="norm", description="images that are judged: norm (sqrt(d)) or pixels (0 to 255)"
    )
    queries: int = Field(ge=10, description="points from which the distance is taken")
    seeds: int = Field(ge=1, description="draws of the images")
    sphere_seeds: int = Field(ge=1, description="draws of the points on the spheres")


def _slopes(table: Table, p: DimensionParameters) -> dict[str, Estimate]:
    return {
        f"d = {d}": slope(p.sizes, rows.column("distance")).scaled(-d)
        for (d,), rows in table.where(family="sphere").groups("d")
    }


def _effective(family: str, table: Table, p: DimensionParameters) -> Estimate | str:
    def dimension(rows: Table) -> Estimate:
        from symscape.kernels import effective_dimension

        n, curves = np.array(p.image_sizes), np.array(rows.column("distance"))

        def within(window: tuple[int, int]) -> Estimate:
            inside = (n >= window[0]) & (n <= window[1])
            return effective_dimension(n[inside], curves[:, inside]).d

        return scan(within, [(n[0], n[-1]), (n[1], n[-1]), (n[0], n[-2])])

    return on_one_scale(dimension, table.where(family=family), p.scale)


CLAIMS = (
    Claim(
        "ch6.fig4.slope",
        "Fig. 4, left",
        "On the sphere S^d the distance to the nearest neighbor decays as n^(-1/d).",
        1.0,
        Tolerance(0.95, 1.05, "-d times the slope, all sizes; 5 %, for n is finite"),
        _slopes,
    ),
    Claim(
        "ch6.fig4.mnist",
        "Fig. 4, right; eq. 16",
        "MNIST has an effective dimension of about 15.",
        15,
        Tolerance(12.0, 18.0, "15 +- 3; the sphere of the same curve at equal n"),
        partial(_effective, "mnist"),
    ),
    Claim(
        "ch6.fig4.cifar10",
        "Fig. 4, right; eq. 17",
        "CIFAR-10 has an effective dimension of about 35.",
        35,
        Tolerance(28.0, 45.0, "35, -7, +10; the sphere of the same curve at equal n"),
        partial(_effective, "cifar10"),
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

    def points(self, p: DimensionParameters) -> Iterator[lab.Point]:
        spheres = [{"data": f"S^{d}", "d": d} for d in p.dimensions]
        yield from lab.grid(
            p.sphere_seeds,
            family="sphere",
            sphere=spheres,
            sizes=[list(p.sizes)],
            queries=p.queries,
        )
        found = image_sets(p.digits, p.colors, p.image_sizes[-1])
        yield from lab.grid(
            p.seeds,
            source=[{"family": family, "data": data} for family, data in found.items()],
            d=0,
            scale=list(SCALES),
            sizes=[list(p.image_sizes)],
            queries=p.queries,
        )

    def cost(self, point: lab.Point) -> float:
        d = point["d"] or 1000
        return 0.05 + 1e-10 * point["queries"] * point["sizes"][-1] * (d + 50)

    def measure(self, point: lab.Point) -> lab.Result:
        from symscape.kernels import nearest_distances, random_points

        n, seed = point["sizes"][-1], point["seed"]
        if point["family"] == "sphere":
            state = np.random.SeedSequence([seed, point["d"]]).generate_state(1)
            x = random_points("sphere", n, point["d"], int(state[0]))
        else:
            x = images(point["data"], n, seed, point["scale"]).x
        return {"distance": nearest_distances(x, point["sizes"], point["queries"], seed)}

    def figures(self, table: Table, p: DimensionParameters) -> list[Figure]:
        return [_sphere_figure(table.where(family="sphere"), p), _image_figure(table, p)]


def _sphere_figure(table: Table, p: DimensionParameters) -> Figure:
    from symscape.kernels import sphere_distance

    figure = Figure(
        "spheres",
        "Distance to the nearest neighbor on spheres",
        "Mean over points of the unit sphere S^d. Grey: the exact mean, by quadrature. Dashed: "
        "n^(-1/d), through the last point.",
        Axis("points n", log=True),
        Axis("mean distance to the nearest", log=True),
        ordered=True,
        claims=("ch6.fig4.slope",),
    )
    figure.curves(table, "sizes", "distance", "d", geometric=True)
    n = np.array(p.sizes, dtype=float)
    for d in p.dimensions:
        exact = sphere_distance(n, d)
        figure.guide(f"exact, d = {d}", n, exact)
        figure.thesis(f"n^(-1/{d})", n, exact[-1] * (n / n[-1]) ** (-1 / d))
    return figure


def _image_figure(table: Table, p: DimensionParameters) -> Figure:
    from symscape.kernels import sphere_distance

    figure = Figure(
        "images",
        "Distance to the nearest image",
        f"{SCALES[p.scale].capitalize()}. Dashed: the exact curves of spheres of 15 and 35 "
        "dimensions, the thesis's choice for MNIST and CIFAR-10, shifted vertically to meet the "
        "images at the largest n.",
        Axis("images n", log=True),
        Axis("mean distance to the nearest", log=True),
        claims=("ch6.fig4.mnist", "ch6.fig4.cifar10"),
    )
    n = np.array(p.image_sizes, dtype=float)
    for group, (family, title) in enumerate(NAMES.items()):
        rows = table.where(family=family).where(scale=p.scale)
        figure.curves(rows, "sizes", "distance", name=title, geometric=True, group=group)
        if rows:
            curve = sphere_distance(n, THESIS[family])
            last = np.mean([row["distance"][-1] for row in rows])
            figure.thesis(f"S^{THESIS[family]}", n, curve * last / curve[-1])
    return figure
