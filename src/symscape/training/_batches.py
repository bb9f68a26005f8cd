"""The order in which minibatches go through a training set."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["Batches"]


class Batches:
    """Each epoch is a fresh random partition of P points in batches; a remainder smaller than a
    batch sits out until the next epoch. It is the order of :class:`symscape.dynamics.SGD`.

    A batch of all points is taken in order, so that full-batch methods have no rounding of their
    own.
    """

    def __init__(self, P: int, size: int, seed: int) -> None:
        self._P, self._size = P, size
        self._generator = torch.Generator().manual_seed(seed)
        self._order, self._used = torch.arange(P), P

    def next(self) -> Tensor:
        """Indices of the following batch."""
        if self._size == self._P:
            return self._order
        if self._used + self._size > self._P:
            self._order = torch.randperm(self._P, generator=self._generator)
            self._used = 0
        start, self._used = self._used, self._used + self._size
        return self._order[start : self._used]

    def state_dict(self) -> dict[str, Any]:
        """All that the following batches depend on."""
        return {
            "generator": self._generator.get_state(),
            "order": self._order,
            "used": self._used,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._generator.set_state(state["generator"])
        self._order, self._used = state["order"], state["used"]
