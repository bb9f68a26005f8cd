"""Layer normalization of irreps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from symscape.nn._blocks import check_features
from symscape.nn._normalization import IrrepNormalization, widened

__all__ = ["LayerNorm"]


class LayerNorm(IrrepNormalization):
    r"""Normalization of each sample over the copies of each irrep.

    .. math:: x_{um} \mapsto \frac{x_{um} - \mu}{\sqrt{\sigma^2 + \epsilon}}\,w_u + b_u,
        \qquad \sigma^2 = \frac{1}{\text{mul}}\sum_u \frac{1}{2l+1}\sum_m (x_{um} - \mu)^2

    for each block ``mul x ir`` of the irreps, with one mean :math:`\mu = \frac{1}{\text{mul}}
    \sum_u x_u` and one variance for all its copies. The mean and the bias :math:`b_u` belong to
    invariant scalars (0e); for all other irreps they are 0. The samples of a batch do not
    influence each other, and training and evaluation do the same. A block of one 0e is replaced
    by its bias, since the mean of one number is the number.

    Args:
        irreps: the features.
        eps: :math:`\epsilon`.
        affine: learn :math:`w_u` (initially 1) and :math:`b_u` (initially 0).
        include_bias: whether :math:`b_u` exists.
        normalization: ``"component"`` as in the formula, ``"norm"`` without the :math:`1/(2l+1)`.

    Raises:
        ValueError: unknown ``normalization``, or ``eps`` negative.
    """

    def __init__(
        self,
        irreps: Any,
        eps: float = 1e-5,
        affine: bool = True,
        include_bias: bool = True,
        normalization: str = "component",
    ) -> None:
        super().__init__(irreps, eps, affine, include_bias, normalization)
        self._muls = [mul for mul, _ in self.irreps]
        self._scalar_muls = [mul for mul, ir in self.irreps if ir.is_scalar()]

    def forward(self, input: Tensor) -> Tensor:
        """Normalize.

        Args:
            input: ``(..., irreps.dim)``.

        Returns:
            The shape of ``input``.

        Raises:
            ValueError: the last axis has another length, or the dtype is not floating.
        """
        check_features(input, self._dim)
        if input.numel() == 0:
            return input
        x = widened(input)
        if self.num_scalars:
            means = _block_means(self._scalars(x), self._scalar_muls)
            x = x - self._spread(means)
        return self._rescale(x, _block_means(self._squares(x), self._muls)).to(input.dtype)

    def __repr__(self) -> str:
        return f"LayerNorm ({self.irreps}, eps={self.eps})"


def _block_means(values: Tensor, muls: list[int]) -> Tensor:
    """Each value replaced by the mean of its block, ``(..., sum of muls)``."""
    means = [
        block.mean(-1, keepdim=True).expand_as(block)
        for block in values.split(muls, -1)
        if block.shape[-1]
    ]
    return torch.cat(means, -1)
