"""torch's optimizers as the library uses them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn

__all__ = ["OptimizerName", "make_optimizer"]

OptimizerName = Literal["adam", "sgd"]

_EPS = 1e-8  # of ADAM, in units of the gradient of alpha times the loss


def make_optimizer(
    name: OptimizerName, parameters: Iterable[nn.Parameter], lr: float, alpha: float | None
) -> torch.optim.Optimizer:
    """ADAM or SGD; see :func:`symscape.training.fit` for ADAM's epsilon."""
    if name == "sgd":
        return torch.optim.SGD(parameters, lr)
    return torch.optim.Adam(parameters, lr, eps=_EPS if alpha is None else _EPS / alpha)
