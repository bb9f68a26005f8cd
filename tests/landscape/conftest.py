"""Random networks on random patterns, near enough to jamming to have both kinds of patterns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import hypothesis
import pytest
import torch
from torch import Tensor

from symscape.dynamics import Hinge
from symscape.networks import FullyConnected

# timings on a loaded machine say nothing about the code
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")


class Problem(NamedTuple):
    net: FullyConnected
    w: Tensor
    x: Tensor
    y: Tensor
    loss: Hinge


def _problem(seed: int, *, P: int = 24, margin: float = 1.0, **options: Any) -> Problem:
    net = FullyConnected(**{"d": 4, "h": 5, "L": 2, **options})
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(net.n_parameters, generator=generator, dtype=torch.float64)
    x = torch.randn(P, net.d, generator=generator, dtype=torch.float64)
    y = torch.randint(2, (P,), generator=generator).to(torch.float64) * 2 - 1
    return Problem(net, w, x, y, Hinge(margin=margin))


@pytest.fixture(scope="session")
def problem() -> Callable[..., Problem]:
    """Factory: seed and the options of the network to net, w, x, y, loss."""
    return _problem
