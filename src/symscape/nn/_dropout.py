"""Dropout of whole irreps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from symscape.nn._blocks import check_features
from symscape.o3 import Irreps
from symscape.o3._irrepwise import runs_of, scale

__all__ = ["Dropout"]


class Dropout(torch.nn.Module):
    r"""Drops irreps as a whole, so that the layer stays equivariant.

    In training, each irrep of each sample is multiplied by 0 with probability ``p`` and by
    :math:`1/(1 - p)` otherwise; all its components, and all positions of the sample, share the
    draw. The draws are those of torch's global generator, as in ``torch.nn.Dropout``.

    Args:
        irreps: the features.
        p: the probability, from 0 to 1.

    Raises:
        ValueError: ``p`` is not a probability.

    Source: Ch. 5.2, Supplement 5.3 (capsule dropout); Ch. 5.3 (e3nn).
    """

    def __init__(self, irreps: Any, p: float) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p: {p} given; allowed: a probability, from 0 to 1")
        self.irreps = Irreps(irreps)
        self.p = p
        self._dim = self.irreps.dim
        self._muls = [mul for mul, _ in self.irreps]
        self._runs = runs_of(self.irreps)

    def forward(self, x: Tensor) -> Tensor:
        """Drop irreps in training mode, do nothing in evaluation mode.

        Args:
            x: one sample ``(irreps.dim,)``, or ``(batch, ..., irreps.dim)``.

        Returns:
            The shape of ``x``.

        Raises:
            ValueError: the last axis has another length, or the dtype is not floating.
        """
        check_features(x, self._dim)
        if not self.training or self.p == 0 or self._dim == 0:
            return x
        batch = x.shape[: min(1, x.ndim - 1)]
        keep = torch.cat([self._draw(x, batch, mul) for mul in self._muls], -1)
        if self.p < 1:
            keep.div_(1 - self.p)
        between = [1] * (x.ndim - 1 - len(batch))
        return scale(keep.reshape(*batch, *between, keep.shape[-1]), x, self._runs)

    def _draw(self, x: Tensor, batch: tuple[int, ...], mul: int) -> Tensor:
        # block by block, which gives the draws of e3nn from the same state of the generator
        if self.p == 1:
            return x.new_zeros(*batch, mul)
        return x.new_empty(*batch, mul).bernoulli_(1 - self.p)

    def __repr__(self) -> str:
        return f"Dropout ({self.irreps}, p={self.p})"
