r"""Fully connected nets of paper I, trained by gradient flow, and what is measured of each run.

Everything is in float64, as in the thesis: far on the lazy side
:math:`F = \alpha(f(w) - f(w_0))` is a small difference times a large number.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from symscape.experiments.learning_regimes._flow import network
from symscape.lab import Point, Result

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.dynamics import Chebyshev, Integrator, Loss, TrainResult
    from symscape.networks import FullyConnected

Array = NDArray[np.float64]

SLAB = "slab"
"""The data set without a file: points on a sphere in eight dimensions, labeled by a slab."""

LEVELS = (
    1 - 1e-6, 1 - 1e-5, 1 - 1e-4, 0.999, 0.99, 0.97, 0.9, 0.75, 0.5, 0.35, 0.2, 0.1, 0.05,
)  # fmt: skip
"""Rescaled losses at which a run notes the time and the size of its output.

Far below the cross-over the output has grown by most of its factor sqrt(h) when the loss has hardly
changed: hence the first ones.
"""

TOLERANCE = 1e-3
"""Error of a step of the flow, relative to the weights, or a hundredth of that in the outputs.

Test outputs at the end are then those of the exact flow within 1 %, a hundred times less than
what two initializations differ by; ``regimes-details`` measures it.
"""


KEPT = 10_000
"""Test patterns, at most, whose outputs are stored for ensembles."""


class Problem(NamedTuple):
    """Training and test set, inputs (P, d) and labels +-1."""

    x: Tensor
    y: Tensor
    x_test: Tensor
    y_test: Tensor


def pinned_images(source: str) -> str:
    """The pinned name of the images; ``auto``: Fashion-MNIST, or digits where it is not found."""
    from symscape.datasets import DataNotFoundError, resolve

    if source != "auto":
        return resolve(source).pinned
    try:
        return resolve("fashion-mnist").pinned
    except DataNotFoundError:
        return resolve("auto").pinned


@functools.lru_cache(maxsize=4)
def problem(data: str, n: int, n_test: int, components: int | None = None) -> Problem:
    """The one training set of size ``n`` that all nets of an ensemble share, and the test set."""
    from symscape.datasets import binary_images, slab

    if data == SLAB:
        return Problem(*slab(n, n_test=n_test))
    return Problem(*binary_images(data, n, n_test=n_test, components=components)[:4])


def integrator(tolerance: float = TOLERANCE) -> Chebyshev:
    """The flow of the nets: the fastest method for smooth losses and activations."""
    from symscape.dynamics import Chebyshev, ErrorPerStep

    return Chebyshev(ErrorPerStep(tol=tolerance))


def follow(
    net: FullyConnected,
    w0: Tensor,
    data: Problem,
    alpha: float | None,
    method: Integrator,
    max_steps: int = 20_000,
    levels: tuple[float, ...] = (),
    loss: Loss | None = None,
) -> TrainResult:
    """Follow the flow until every pattern has the margin of the loss, the soft hinge of paper I
    unless given; weights are kept at some losses. Without alpha the predictor is f itself."""
    from symscape.dynamics import Record, SoftHinge, Stop, train

    result = train(
        net,
        w0,
        data.x,
        data.y,
        loss=loss or SoftHinge(),
        integrator=method,
        stop=Stop(max_steps=max_steps),
        alpha=alpha,
        record=Record(per_decade=0, every=None, loss_levels=levels),
    )
    result.raise_if_diverged()
    return result


def margins(net: FullyConnected, w: Tensor, w0: Tensor, data: Problem, alpha: float) -> Tensor:
    """y F of the test patterns: negative where the net errs."""
    return data.y_test * alpha * (net(w, data.x_test) - net(w0, data.x_test))


def kernel_change(net: FullyConnected, w: Tensor, w0: Tensor, x: Tensor) -> float:
    """How far the NTK moved, relative to its norm at the start, on the patterns x."""
    from symscape import kernels

    before, after = (kernels.empirical_ntk(net, x, w=v) for v in (w0, w))
    return kernels.kernel_change(after, before)


def ended(result: TrainResult) -> Result:
    """How a run ended."""
    return {
        "status": result.status,
        "steps": result.steps,
        "evaluations": result.evaluations,
        "time": result.time,
        "n_delta": result.n_delta,
    }


def through_time(result: TrainResult, net: FullyConnected, w0: Tensor, x: Tensor) -> Result:
    """Time, growth and size of the output on the patterns x where the loss passes ``LEVELS``.

    NaN at levels that the run does not reach.
    """
    from symscape.dynamics import output_norm

    f0 = net(w0, x)
    kept = {snapshot.level: net(snapshot.w, x) for snapshot in result.snapshots}
    return {
        "loss_times": np.array([result.time_at_loss(level) for level in LEVELS]),
        "growth": _at_levels(kept, lambda f: float(output_norm(f - f0))),
        "norm": _at_levels(kept, lambda f: float(output_norm(f))),
        "initial_norm": float(output_norm(f0)),
    }


def _at_levels(kept: dict[float, Tensor], value: Callable[[Tensor], float]) -> Array:
    return np.array([value(kept[level]) if level in kept else math.nan for level in LEVELS])


def observe(point: Point) -> Result:
    """Train one net and measure everything that the figures of paper I show of it.

    The point holds ``data``, ``n``, ``n_test``, ``L``, ``h``, ``scale`` (sqrt(h) alpha), ``seed``
    and ``kernel_points``.
    """
    import torch

    from symscape.dynamics import displacement

    data = problem(point["data"], point["n"], point["n_test"])
    net = network(data.x.shape[1], point["h"], point["L"])
    alpha = point["scale"] / math.sqrt(net.h)
    w0 = net.initial_weights(point["seed"])
    with torch.no_grad():
        result = follow(net, w0, data, alpha, integrator(), levels=LEVELS)
        on_test = margins(net, result.w, w0, data, alpha)
        some = data.x_test[: point["kernel_points"]]
        return {
            **ended(result),
            **through_time(result, net, w0, some),
            "displacement": float(displacement(result.w, w0)),
            "kernel_change": kernel_change(net, result.w, w0, some),
            "test_error": error_of(on_test),
            "margins": on_test[:KEPT].numpy().astype(np.float32),
        }


def observe_frozen(point: Point) -> Result:
    """The run of :func:`observe` with the NTK of the initial weights, which stays as it is."""
    import torch

    from symscape.dynamics import Record, SoftHinge, Stop, train_frozen
    from symscape.kernels import empirical_ntk

    data = problem(point["data"], point["n"], point["n_test"])
    net = network(data.x.shape[1], point["h"], point["L"])
    w0 = net.initial_weights(point["seed"])
    with torch.no_grad():
        K = empirical_ntk(net, data.x, w=w0)
        K_test = empirical_ntk(net, data.x_test, data.x, w=w0)
        result = train_frozen(
            K,
            data.y,
            loss=SoftHinge(),
            integrator=integrator(),
            stop=Stop(max_steps=20_000),
            record=Record(per_decade=0, every=None),
        )
        result.raise_if_diverged()
        on_test = data.y_test * (K_test @ result.w)
        return {
            **ended(result),
            "test_error": error_of(on_test),
            "margins": on_test[:KEPT].numpy().astype(np.float32),
        }


def error_of(on_test: Tensor) -> float:
    """Share of the test patterns without y F > 0."""
    from symscape.dynamics import misclassified

    return float(misclassified(on_test, on_test.new_ones(())).double().mean())
