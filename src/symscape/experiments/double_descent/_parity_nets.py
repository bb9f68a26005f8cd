"""The nets of this chapter: the parity of digits, learned with the quadratic hinge and ADAM.

A point names its data (``data``, ``d``, ``P``, ``n_test``), its net (``L``, ``h``) and its training
(``steps``, ``rate``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

if TYPE_CHECKING:
    from torch import Tensor

    from symscape.datasets import ImageSplit
    from symscape.dynamics import Record, TrainResult
    from symscape.networks import FullyConnected

Depth = Annotated[int, Field(ge=2, le=100)]
"""Number of hidden layers L."""

Width = Annotated[float, Field(ge=1, le=100_000)]
"""Width h of the hidden layers; 10.5 stands for layers of 11 and of 10 neurons."""

Patterns = Annotated[int, Field(ge=10)]
"""Number of patterns P."""

Dimension = Annotated[int, Field(ge=1, le=784)]
"""Input dimension d: principal components."""


def pinned(source: str, largest: int) -> str:
    """The pinned name of the images that a sweep uses.

    Raises:
        DataNotFoundError: they are not on this machine.
        ValueError: they are fewer than ``largest``, or of an unknown name.
    """
    from symscape.datasets import resolve

    found = resolve(source)
    if largest > found.n:
        raise ValueError(
            f"{largest} images are asked for, training and test, and {found.name} holds {found.n}"
        )
    return found.pinned


def split(point: Mapping[str, Any], seed: int = 0) -> ImageSplit:
    """Training and test set of a point in float32; one seed is one draw of the images."""
    import torch

    from symscape.datasets import mnist_parity

    P, d, source, n_test = (point[name] for name in ("P", "d", "data", "n_test"))
    return mnist_parity(P, d, seed, source, n_test=n_test, dtype=torch.float32)


def network(point: Mapping[str, Any]) -> FullyConnected:
    """The net of a point."""
    from symscape.networks import FullyConnected

    return FullyConnected(point["d"], point["h"], point["L"])


def trained(
    point: Mapping[str, Any],
    x: Tensor,
    y: Tensor,
    seed: int,
    *,
    test: tuple[Tensor, Tensor] | None = None,
    record: Record | None = None,
) -> TrainResult:
    r"""The net of a point, trained from the orthogonal initialization of a seed.

    ADAM with the whole training set and the rate :math:`h^{-3/2}/10`, ``rate`` at most, until no
    pattern is unsatisfied or the loss is below 1e-12.

    Args:
        point: see the module.
        x: training inputs, (P, d).
        y: their labels.
        seed: of the initialization.
        test: of which the error is recorded.
        record: of :func:`symscape.dynamics.train`; nothing by default.

    Raises:
        FloatingPointError: the training diverged.
    """
    from symscape.dynamics import Adam, Hinge, Record, Stop, train

    net = network(point)
    result = train(
        net,
        net.initial_weights(seed, "orthogonal_rows", dtype=x.dtype),
        x,
        y,
        loss=Hinge(),
        integrator=Adam.for_width(point["h"], point["rate"]),
        stop=Stop(max_steps=point["steps"]),
        test=test,
        record=record or Record(per_decade=0, every=None),
    )
    result.raise_if_diverged()
    return result


def training_cost(point: Mapping[str, Any], threshold: float) -> float:
    """Seconds that one training takes: ``steps`` below the threshold N*, fewer beyond.

    Far beyond N* some two thousand steps fit, close to it many more.
    """
    d, h, L, P = (point[name] for name in ("d", "h", "L", "P"))
    weights = d * h + (L - 1) * h**2
    step = 1e-4 + P * (1.5e-10 * weights + 1e-9 * L * h)
    beyond = weights / threshold
    steps = point["steps"] if beyond < 1.1 else min(point["steps"], 1500 + 3e3 / (beyond - 1))
    return float(steps * step)
