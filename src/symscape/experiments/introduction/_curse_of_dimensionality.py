"""Nearest neighbours in high dimension: Sec. 0.4.3, Fig. 3C and Table 2 of the introduction."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, Row, Table, Tolerance

TABLE_2 = (("language modeling", 1e4, 0.06, 0.09), ("image classification", 1e5, 0.3, 0.5))
"""Task, dimension, smallest and largest exponent (Hestness et al. 2017), where d is given."""


class CurseParameters(lab.Parameters):
    dimensions: tuple[Annotated[int, Field(ge=1, le=20)], ...] = Field(
        min_length=1, description="dimensions of the torus"
    )
    sphere_dimensions: tuple[Annotated[int, Field(ge=2, le=20)], ...] = Field(
        min_length=1, description="d of the spheres in R^d"
    )
    sizes: tuple[Annotated[int, Field(ge=2, le=10**7)], ...] = Field(
        min_length=2, description="numbers of points P"
    )
    far_dimensions: tuple[Annotated[int, Field(ge=2, le=10**5)], ...] = Field(
        min_length=1, description="d of the spheres of Fig. 3C"
    )
    far_size: int = Field(
        ge=2, le=10**7, default=1000, description="points on the spheres of Fig. 3C"
    )
    n_test: int = Field(ge=2, le=10**7, description="places from which the nearest point is sought")
    seeds: int = Field(ge=1, le=1000, description="repetitions, for the error bars")


def _dimension(row: Row) -> int:
    """Dimension of the set that the points fill."""
    return int(row["d"]) - (row["cloud"] == "sphere")


def _exponent(rows: Table, name: str) -> Estimate:
    """Decay exponent of a field with P, of the rows of one dimension."""
    return -scaling.slope(rows.rows[0]["sizes"], [row[name] for row in rows])


def _products(table: Table, name: str, *clouds: str) -> dict[str, Estimate]:
    """The exponent times the dimension, for every cloud and dimension."""
    return {
        f"{cloud}, d = {d}": _exponent(rows, name).scaled(_dimension(rows.rows[0]))
        for (cloud, d), rows in table.groups("cloud", "d")
        if cloud in clouds
    }


def _far_neighbors(table: Table, p: CurseParameters) -> Estimate:
    far = table.where(cloud="far", d=max(p.far_dimensions))
    return scaling.mean(far.per_seed(lambda row: row["relative_distance"][0]))


CLAIMS = (
    Claim(
        "ch0.sec4.distance-exponent",
        "Introduction, Sec. 0.4.3",
        "The distance to the nearest of P points decays as P^(-1/d): data that fill d dimensions.",
        1.0,
        Tolerance(0.95, 1.05, "exponent times d, for every d; 5 % for the finite range of P"),
        lambda table, p: _products(table, "distance", "torus"),
        profile="quick",
    ),
    Claim(
        "ch0.sec4.distance-exponent-sphere",
        "Introduction, Sec. 0.4.3",
        "On the sphere in R^d, whose surface has d - 1 dimensions, it decays as P^(-1/(d-1)).",
        1.0,
        Tolerance(0.95, 1.05, "exponent times d - 1, for every d; 5 % for the finite range of P"),
        lambda table, p: _products(table, "distance", "sphere"),
        profile="quick",
    ),
    Claim(
        "ch0.sec4.learning-exponent",
        "Introduction, Sec. 0.4.3",
        "A method based on distances alone learns a Lipschitz function with beta = 1/d.",
        1.0,
        Tolerance(0.9, 1.1, "exponent times dimension, for all; 10 % for the finite range of P"),
        lambda table, p: _products(table, "error", "torus", "sphere"),
        profile="quick",
    ),
    Claim(
        "ch0.fig3c.far-neighbors",
        "Introduction, Fig. 3C",
        "In high dimension every point lies far away from its neighbors.",
        "the nearest point is about as far as any other",
        Tolerance.at_least(
            0.75, "nearest over typical distance of 1000 points at the largest d, 100 or more"
        ),
        _far_neighbors,
        profile="smoke",
    ),
)


@lab.register
class CurseOfDimensionality(lab.Experiment):
    """Introduction, Sec. 0.4.3, Fig. 3C and Table 2."""

    name = "introduction-curse-of-dimensionality"
    chapter = "0"
    title = "The curse of dimensionality"
    summary = (
        "In d dimensions the nearest of P random points comes closer only as P^(-1/d), and so does "
        "the error of a prediction copied from it. Measured on the torus and on the sphere, and "
        "set beside the far larger exponents that networks reach on images and text (Table 2, "
        "quoted from Hestness et al., not run here)."
    )
    sources = ("Introduction, Fig. 3C", "Introduction, Sec. 0.4.3", "Introduction, Table 2")
    version = 1
    Parameters = CurseParameters
    profiles = {  # noqa: RUF012
        "smoke": CurseParameters(
            dimensions=(2, 3),
            sphere_dimensions=(3,),
            sizes=(256, 512, 1024),
            far_dimensions=(2, 100),
            n_test=200,
            seeds=2,
        ),
        "quick": CurseParameters(
            dimensions=(2, 3, 4, 6, 8),
            sphere_dimensions=(3, 4, 6),
            sizes=tuple(2**k for k in range(9, 15)),
            far_dimensions=(2, 3, 5, 10, 20, 50, 100),
            n_test=2000,
            seeds=4,
        ),
        "overnight": CurseParameters(
            dimensions=(2, 3, 4, 6, 8),
            sphere_dimensions=(3, 4, 6, 8),
            sizes=tuple(2**k for k in range(9, 16)),
            far_dimensions=(2, 3, 5, 10, 20, 50, 100, 200, 500),
            n_test=4000,
            seeds=6,
        ),
        "paper": CurseParameters(
            dimensions=(2, 3, 4, 6, 8, 10),
            sphere_dimensions=(3, 4, 6, 8, 10),
            sizes=tuple(2**k for k in range(9, 21)),
            far_dimensions=(2, 3, 5, 10, 20, 50, 100, 200, 500, 1000),
            n_test=10_000,
            seeds=10,
        ),
    }
    claims = CLAIMS

    def points(self, p: CurseParameters) -> list[dict[str, Any]]:
        clouds = [
            ("torus", p.dimensions, p.sizes),
            ("sphere", p.sphere_dimensions, p.sizes),
            ("far", p.far_dimensions, (p.far_size,)),
        ]
        return [
            point
            for cloud, d, sizes in clouds
            for point in lab.grid(p.seeds, cloud=cloud, d=d, sizes=[list(sizes)], n_test=p.n_test)
        ]

    def cost(self, point: dict[str, Any]) -> float:
        return 0.05 + 5e-10 * point["n_test"] * sum(point["sizes"]) * min(point["d"], 10)

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        each = [_neighbors(point, P) for P in point["sizes"]]
        return {name: np.array([entry[name] for entry in each]) for name in each[0]}

    def figures(self, table: Table, p: CurseParameters) -> list[Figure]:
        torus, sphere = table.where(cloud="torus"), table.where(cloud="sphere")
        return [
            _distance_figure(torus),
            _exponent_figure(torus, sphere),
            _far_figure(table.where(cloud="far"), p.far_size),
        ]


def _neighbors(point: dict[str, Any], P: int) -> dict[str, float]:
    """Distances from test points to the nearest of P points, and the error of copying from it.

    The target is a 1-Lipschitz function: the first coordinate on the unit sphere, a sine wave
    along the first axis on the torus of side 1.
    """
    from scipy.spatial import cKDTree

    torus = point["cloud"] == "torus"
    train, test = (
        _cloud(torus, n, point["d"], [point["seed"], P, part])
        for part, n in enumerate((P, point["n_test"]))
    )
    distance, index = cKDTree(train, boxsize=1.0 if torus else None).query(test)
    difference = test - train[np.arange(len(test)) % P]  # pairs taken at random
    if torus:
        difference -= np.round(difference)
    target = _wave if torus else _first_coordinate
    return {
        "distance": float(np.exp(np.log(distance).mean())),
        "error": float(np.abs(target(test) - target(train[index])).mean()),
        "relative_distance": float(distance.mean() / np.linalg.norm(difference, axis=1).mean()),
    }


def _cloud(torus: bool, n: int, d: int, seed: list[int]) -> np.ndarray:
    if torus:
        return np.random.default_rng([*seed, d]).random((n, d))
    from symscape.datasets import uniform_sphere

    state = np.random.SeedSequence([*seed, d]).generate_state(1)
    return uniform_sphere(n, d, int(state[0]), radius=1.0).numpy()


def _wave(x: np.ndarray) -> np.ndarray:
    return np.sin(2 * math.pi * x[:, 0]) / (2 * math.pi)


def _first_coordinate(x: np.ndarray) -> np.ndarray:
    return x[:, 0]


def _distance_figure(table: Table) -> Figure:
    figure = Figure(
        "distance",
        "Distance to the nearest point",
        "Geometric mean of the distance to the nearest of P points, uniform on the torus. Dashed: "
        "the decay P^(-1/d) of the thesis, through the point with the most data.",
        Axis("number of points P", log=True),
        Axis("distance to the nearest point", log=True),
        ordered=True,
        claims=("ch0.sec4.distance-exponent",),
    )
    figure.curves(table, "sizes", "distance", by="d", mode="markers")
    for drawn, ((d,), _) in zip(tuple(figure.series), table.groups("d")):
        P = drawn.x
        figure.thesis(f"P^(-1/{d})", P, drawn.y[-1] * (P / P[-1]) ** (-1 / d))
    return figure


def _exponent_figure(torus: Table, sphere: Table) -> Figure:
    figure = Figure(
        "exponents",
        "Exponents against dimension",
        "Exponents of the nearest distance and of the error of a prediction copied from the "
        "nearest point, against the dimension of the data, and 1/d. The diamonds are Table 2: what "
        "networks reach (bars: the quoted intervals), far above the curse. Translation (0.3-0.36) "
        "and speech recognition (0.3), for which the table gives no d, are not drawn.",
        Axis("dimension of the data", log=True),
        Axis("exponent of P", log=True),
        claims=tuple(claim.id for claim in CLAIMS if "exponent" in claim.id),
    )
    curves = (
        ("distance, torus", torus, "distance"),
        ("distance, sphere", sphere, "distance"),
        ("prediction error, torus", torus, "error"),
        ("prediction error, sphere", sphere, "error"),
    )
    for group, (label, table, name) in enumerate(curves):
        found = {_dimension(rows.rows[0]): _exponent(rows, name) for _, rows in table.groups("d")}
        figure.estimates(label, found, group=group)
    figure.guide("1/d", [1.0, 1e6], [1.0, 1e-6])
    tasks, d, low, high = (np.array(column) for column in zip(*TABLE_2, strict=True))
    figure.thesis(
        "Table 2: networks in practice",
        d.astype(float),
        (low + high) / 2,
        y_error=(high - low) / 2,
        mode="markers",
        text=tasks.tolist(),
    )
    return figure


def _far_figure(table: Table, P: int) -> Figure:
    figure = Figure(
        "far-neighbors",
        "Every point is far from its neighbors",
        f"Distance to the nearest of {P} points on the sphere, divided by the typical distance of "
        "two points. The thesis draws this as a sketch (Fig. 3C): in high dimension the nearest "
        "point is about as far as any other. Grey: (1 - (2 log P / d)^(1/2))^(1/2), its limit.",
        Axis("dimension d", log=True),
        Axis("nearest distance / typical distance", range=(0.0, 1.05)),
        claims=("ch0.fig3c.far-neighbors",),
    )
    ratio = "relative_distance"
    figure.curves(table, "d", lambda row: row[ratio][0], name="sphere", mode="markers")
    end = max([100, *table.column("d")])
    figure.thesis("the limit that Fig. 3C sketches", [2.0, end], [1.0, 1.0])
    high = np.geomspace(2.5 * math.log(P), end, 30)
    figure.guide("high-dimensional limit", high, np.sqrt(1 - np.sqrt(2 * math.log(P) / high)))
    return figure
