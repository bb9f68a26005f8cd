"""The stripe model: Fig. 7 and Sec. 6."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from symscape import lab, scaling
from symscape.lab import Axis, Claim, Estimate, Figure, NoEstimate, Table, Tolerance


class StripeParameters(lab.Parameters):
    d: int = Field(ge=2, le=1000, default=10, description="dimension of the points")
    h: int = Field(ge=1, le=10**5, description="neurons")
    alpha: float = Field(gt=0, default=1e-6, description="scale of the predictor")
    max_dgrad: float = Field(
        gt=0, default=1e-2, description="change of the gradient that a step may make"
    )
    max_dout: float = Field(
        gt=0, default=0.3, description="change of the predictor that a step may make"
    )
    fraction: float = Field(
        gt=0, le=1, default=0.1, description="stop when more than this share has a margin above 1"
    )
    max_steps: int = Field(ge=10, default=5000, description="limit on the steps")
    sizes: tuple[Annotated[int, Field(ge=4)], ...] = Field(
        min_length=2, description="numbers of training points P"
    )
    n_test: int = Field(ge=10, default=2000, description="fresh points of the measurement")
    seeds: int = Field(ge=1, description="training sets and networks")


def _fitted(table: Table) -> tuple[Table, str]:
    """The runs that fitted as many points as they should, and a sentence about the others."""
    used = table.where(stopped="fitted")
    left = len(table) - len(used)
    return used, f"{left} runs met the limit of steps or got stuck first." if left else ""


def _curves(table: Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Sizes (n,), and one curve per seed, (seeds, n), NaN where a run is missing."""
    if not table:
        raise NoEstimate("No run fitted as many points as it should.")
    sizes = np.array(sorted({row["P"] for row in table}))
    seeds = [{row["P"]: float(row[name]) for row in rows} for _, rows in table.groups("seed")]
    return sizes, np.array([[found.get(P, math.nan) for P in sizes.tolist()] for found in seeds])


def _exponent(name: str) -> Callable[[Table, Any], Estimate]:
    """The answer that is an exponent against P."""

    def answer(table: Table, p: StripeParameters) -> Estimate:
        used, note = _fitted(table)
        return scaling.slope(*_curves(used, name), note=note)

    return answer


def _against_amplification(table: Table, p: StripeParameters) -> Estimate:
    """Exponent of the log-average of R against that of Lambda, of seeds fitted at every P."""
    used, note = _fitted(table)
    logs = np.log([_curves(used, name)[1] for name in ("amplification", "R")])
    complete = logs[:, ~np.isnan(logs).any(axis=(0, 2))]

    def exponent(seeds: list[np.ndarray], sizes: slice) -> float:
        x, y = np.mean(seeds, axis=0)[:, sizes]
        return float(np.polyfit(x, y, 1)[0]) if np.ptp(x) > 0 else math.nan

    n = logs.shape[2]
    windows = {"all sizes": slice(None), "all but the largest": slice(n - 1)}
    windows |= {"all but the smallest": slice(1, None)}
    return scaling.scan(
        lambda window: scaling.bootstrap(
            list(complete.swapaxes(0, 1)), lambda seeds: exponent(seeds, windows[window])
        ),
        list(windows),
        note,
    )


CLAIMS = (
    Claim(
        "ch4.fig7.slope",
        "Ch. 4, Fig. 7 and Sec. 6",
        "The relative stability of the stripe model falls like 1/P.",
        -1.0,
        Tolerance(-1.25, -0.75, "+- 0.25 for a small network, stopped before it fits every point"),
        _exponent("R"),
    ),
    Claim(
        "ch4.sec6.amplification",
        "Ch. 4, Sec. 6",
        "The weights along the direction that matters outgrow the others by Lambda ~ P^(1/2).",
        0.5,
        Tolerance(0.375, 0.625, "half of the tolerance of the slope of R_f ~ Lambda^-2"),
        _exponent("amplification"),
    ),
    Claim(
        "ch4.sec6.stability-from-alignment",
        "Ch. 4, Sec. 6",
        "R_f is the inverse square of the amplification: its exponent against Lambda.",
        -2.0,
        Tolerance(-2.4, -1.6, "+- 20 %"),
        _against_amplification,
    ),
)


@lab.register
class Stripe(lab.Experiment):
    """Ch. 4, Fig. 7."""

    name = "diffeo-stripe"
    chapter = "4"
    title = "The stripe model"
    summary = (
        "Points of a normal distribution are labeled by their first coordinate alone: one class "
        "is a slab between two planes. A network with one hidden layer that learns features turns "
        "its weights to that coordinate, and becomes insensitive to moves along the others. How "
        "much so grows with the number of training points, as relative stability does for images."
    )
    sources = ("Ch. 4, Fig. 7", "Ch. 4, Sec. 6, Eq. 6")
    version = 1
    Parameters = StripeParameters
    profiles = {  # noqa: RUF012
        "smoke": StripeParameters(h=50, sizes=(128, 512), seeds=2, n_test=200, max_steps=300),
        "quick": StripeParameters(h=200, sizes=(512, 1024, 2048), seeds=4),
        "overnight": StripeParameters(h=200, sizes=(512, 1024, 2048, 4096, 8192), seeds=12),
        "paper": StripeParameters(
            d=30,
            h=10_000,
            alpha=1e-6,
            max_dgrad=1e-4,
            max_dout=0.1,
            fraction=1.0,
            max_steps=10**6,
            sizes=(128, 256, 512, 1024, 2048, 4096, 8192),
            seeds=10,
        ),
    }
    claims = CLAIMS

    def points(self, p: StripeParameters) -> Iterator[dict[str, Any]]:
        return lab.grid(p.seeds, **p.model_dump(exclude={"sizes", "seeds"}), P=p.sizes)

    def cost(self, point: dict[str, Any]) -> float:
        steps = min(point["max_steps"], 3 / point["max_dgrad"] * (1 + 10 * point["fraction"]))
        return 3e-8 * steps * point["P"] * point["h"]

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        from symscape import diffeo

        generator = torch.Generator().manual_seed(1_000_003 * point["P"] + point["seed"])
        x, fresh = (
            torch.randn(count, point["d"], generator=generator, dtype=torch.float64)
            for count in (point["P"], point["n_test"])
        )
        names = ("h", "alpha", "seed", "max_dgrad", "max_dout", "fraction", "max_steps")
        run = diffeo.train_stripe(x, **{name: point[name] for name in names})
        wrong = run.predictor(fresh).sign() != diffeo.stripe_labels(fresh)
        return {
            "R": diffeo.stripe_stability(run, fresh, 0.1, point["seed"]),
            "amplification": run.network.amplification(),
            "test_error": float(wrong.double().mean()),
            "fitted": run.fitted,
            "loss": run.loss,
            "steps": run.steps,
            "stopped": run.stopped,
        }

    def figures(self, table: Table, p: StripeParameters) -> list[Figure]:
        return [
            _curve_figure(table, "R", "relative-stability", "R_f", -1.0, "ch4.fig7.slope"),
            _curve_figure(
                table, "amplification", "amplification", "Lambda", 0.5, "ch4.sec6.amplification"
            ),
            _alignment_figure(table),
            _stripe_figure(),
        ]


def _curve_figure(table: Table, name: str, id: str, label: str, slope: float, claim: str) -> Figure:
    figure = Figure(
        id,
        "Relative stability" if name == "R" else "Weights along the direction that matters",
        "Mean over seeds of the logarithm and its error. Dashed: the thesis's power "
        f"P^({slope:g}), through the largest P. Without lines: the runs one by one.",
        Axis("number of training points P", log=True),
        Axis(label, log=True),
        claims=(claim,),
    )
    used, _ = _fitted(table)
    figure.curves(used, "P", name, name="mean over seeds", geometric=True)
    if used:
        [mean] = figure.series
        figure.measured("runs", used.column("P"), used.column(name))
        figure.thesis(f"P^({slope:g})", mean.x, mean.y[-1] * (mean.x / mean.x[-1]) ** slope)
    return figure


def _alignment_figure(table: Table) -> Figure:
    figure = Figure(
        "alignment",
        "Stability from alignment",
        "R_f against the amplification Lambda of the weights along the direction that matters, run "
        "by run. Dashed: the thesis's power Lambda^(-2), through their log-averages.",
        Axis("Lambda", log=True),
        Axis("R_f", log=True),
        claims=("ch4.sec6.stability-from-alignment",),
        ordered=True,
    )
    used, _ = _fitted(table)
    for (P,), rows in used.groups("P"):
        figure.measured(f"P = {P}", rows.column("amplification"), rows.column("R"))
    if used:
        x, y = (np.log(used.column(name)) for name in ("amplification", "R"))
        ends = np.array([x.min(), x.max()])
        figure.thesis("Lambda^(-2)", np.exp(ends), np.exp(y.mean() - 2 * (ends - x.mean())))
    return figure


def _stripe_figure() -> Figure:
    """The drawing of the model, Fig. 7 left: labels along the first two directions."""
    import torch

    from symscape.diffeo import stripe_labels

    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    figure = Figure(
        "model",
        "The stripe model",
        "400 points and their labels (Fig. 7, left). Only the first coordinate matters; each "
        "class has half of the points.",
        Axis("x_1, the direction that matters"),
        Axis("x_2, one of the others"),
    )
    for label, name in ((1, "inside the stripe"), (-1, "outside")):
        some = x[stripe_labels(x) == label].numpy()
        figure.measured(name, some[:, 0], some[:, 1])
    return figure
