"""The (width, sqrt(h) alpha) scan behind most figures of paper I."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from symscape import lab
from symscape.experiments.learning_regimes import _observed_flow, _scan_figures
from symscape.experiments.learning_regimes._scan_claims import CLAIMS
from symscape.lab import Figure, Table

Scale = Annotated[float, Field(gt=0)]
Scales = Annotated[tuple[Scale, ...], Field(min_length=1), AfterValidator(lab.increasing)]
Depth = Annotated[int, Field(ge=1, le=10)]
Width = Annotated[int, Field(ge=2, le=8192)]

ALL_SCALES = (
    1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2, 3.2e-2, 0.1, 0.32, 1.0, 3.2, 10.0, 32.0, 100.0, 1e3, 1e4,
    1e5, 1e6,
)  # fmt: skip
"""sqrt(h) alpha in half decades on the feature side and at the cross-over, in decades beyond."""

REGIMES = (1e-2, 1.0, 1e2, 1e4)
"""The four scales of Figs. 3b and 4a."""


class ScanParameters(lab.Parameters):
    nets: tuple[tuple[Depth, Width], ...] = Field(
        min_length=1, description="pairs (L, h) of the nets on the slab"
    )
    scales: Scales = Field(default=ALL_SCALES, description="sqrt(h) alpha of the slab")
    n: int = Field(ge=2, default=64, description="training points of the slab")
    n_test: int = Field(ge=2, default=1000, description="test points of the slab")
    seeds: int = Field(ge=1, description="initializations of each net on the slab")
    ensemble: int = Field(ge=1, description="initializations at the scales of ensembles, L = 2")
    ensemble_scales: Scales = Field(default=REGIMES, description="sqrt(h) alpha of ensembles")
    smallest_scale: Scale = Field(
        default=1e-5, description="one more sqrt(h) alpha, of the narrowest net with L = 2"
    )
    source: str = Field(
        default="auto", description="images: fashion-mnist, mnist, ...; auto: the first found"
    )
    n_images: int = Field(ge=10, default=500, description="training images")
    n_test_images: int = Field(ge=10, default=8000, description="test images")
    image_depth: Depth = Field(default=2, description="hidden layers L of the nets on images")
    image_widths: tuple[Width, ...] = Field(min_length=1, description="widths h on images")
    image_scales: Scales = Field(
        default=(*REGIMES[:2], 10.0, *REGIMES[2:]), description="on images"
    )
    image_seeds: int = Field(ge=1, description="initializations of each net on images")
    kernel_points: int = Field(ge=2, default=200, description="test points of the kernel")


@lab.register
class Scan(lab.Experiment):
    """Paper I, Figs. 3, 4, 5, 9, 10 and Table 2."""

    name = "regimes-scan"
    chapter = "3"
    title = "Feature and lazy training: one scan of width and scale"
    summary = (
        "Fully connected nets of many widths h learn with the predictor alpha (f - f_0), by "
        "gradient flow to zero loss. For large alpha the kernel stands still (lazy training), for "
        "small alpha it changes by orders of magnitude (feature training); what decides is "
        "sqrt(h) alpha. One set of runs gives the change of kernel, weights and output, the time "
        "that learning takes, test errors, and the fluctuations over initializations. Exponents "
        "are measured on points of a sphere labeled by a slab, errors on real images as well."
    )
    sources = ("Ch. 3, paper I, Figs. 3, 4, 5, 9 and 10", "Ch. 3, paper I, Table 2")
    version = 2
    Parameters = ScanParameters
    profiles = {  # noqa: RUF012
        "smoke": ScanParameters(
            nets=((2, 8), (2, 16)),
            scales=(1.0, 32.0, 1e4),
            n=12,
            n_test=100,
            seeds=2,
            ensemble=3,
            ensemble_scales=(1.0, 1e4),
            smallest_scale=0.5,
            source="mnist-sample",
            n_images=20,
            n_test_images=100,
            image_widths=(8,),
            image_scales=(1.0, 1e4),
            image_seeds=2,
            kernel_points=20,
        ),
        "quick": ScanParameters(
            nets=((1, 32), (2, 16), (2, 32), (2, 64), (3, 32)),
            scales=(1e-3, 1e-2, 0.1, 1.0, 3.2, 10.0, 32.0, 100.0, 1e3, 1e4, 1e6),
            seeds=3,
            ensemble=6,
            ensemble_scales=(1e-2, 1e4),
            smallest_scale=1e-4,
            image_widths=(16, 32),
            image_scales=(1e-2, 1.0, 1e4),
            image_seeds=2,
            n_images=200,
        ),
        "overnight": ScanParameters(
            nets=((1, 64), (2, 32), (2, 64), (2, 128), (2, 256), (3, 64), (5, 64)),
            seeds=6,
            ensemble=12,
            image_widths=(16, 32, 64, 128),
            image_seeds=8,
        ),
        "paper": ScanParameters(
            nets=(
                *((1, h) for h in (100, 300, 1000)),
                *((2, h) for h in (100, 300, 1000)),
                *((3, h) for h in (100, 300, 1000)),
                *((5, h) for h in (100, 300, 1000)),
            ),
            n=1000,
            seeds=10,
            ensemble=20,
            image_depth=3,
            n_images=10_000,
            n_test_images=50_000,
            image_widths=(10, 19, 37, 72, 139, 268, 518, 1000),
            image_scales=ALL_SCALES,
            image_seeds=20,
        ),
    }
    claims = CLAIMS

    def points(self, p: ScanParameters) -> Iterator[dict[str, Any]]:
        nets = [{"L": L, "h": h} for L, h in p.nets]
        slab = {
            "data": _observed_flow.SLAB,
            "n": p.n,
            "n_test": p.n_test,
            "kernel_points": p.kernel_points,
        }
        yield from lab.grid(p.seeds, role="net", **slab, net=nets, scale=p.scales)
        shallow = [net for net in nets if net["L"] == 2]
        more = range(p.seeds, p.ensemble)
        yield from lab.grid(more, role="net", **slab, net=shallow, scale=p.ensemble_scales)
        if shallow:
            yield from lab.grid(
                p.seeds, role="net", **slab, **min(shallow, key=_width), scale=p.smallest_scale
            )
        yield from lab.grid(p.seeds, role="frozen", **slab, net=shallow)
        images = {
            "data": _observed_flow.pinned_images(p.source),
            "n": p.n_images,
            "n_test": p.n_test_images,
            "kernel_points": p.kernel_points,
            "L": p.image_depth,
        }
        yield from lab.grid(
            p.image_seeds, role="net", **images, h=p.image_widths, scale=p.image_scales
        )
        yield from lab.grid(p.image_seeds, role="frozen", **images, h=p.image_widths)

    def cost(self, point: dict[str, Any]) -> float:
        images = point["data"] != _observed_flow.SLAB
        n, L, h = point["n"], point["L"], point["h"]
        if point["role"] == "frozen":
            return 0.15 + 2e-7 * n * (n + point["n_test"])
        weights = (784 if images else 8) * h + (L - 1) * h**2
        # wide products of matrices take a third of the time per weight
        one = 1.2e-4 + n * ((3.5e-10 if images else 1.2e-9) * weights + 4e-8 * L * h)
        return 0.1 + (250 + 60 / L * point["scale"] ** -0.5) * one

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        frozen = point["role"] == "frozen"
        return _observed_flow.observe_frozen(point) if frozen else _observed_flow.observe(point)

    def figures(self, table: Table, p: ScanParameters) -> list[Figure]:
        return _scan_figures.figures(table, p)


def _width(net: dict[str, int]) -> int:
    return net["h"]
