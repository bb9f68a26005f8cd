"""Batch normalization of irreps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from symscape.nn._blocks import check_features
from symscape.nn._normalization import IrrepNormalization, widened

__all__ = ["BatchNorm"]

_REDUCTIONS = ("mean", "max")


class BatchNorm(IrrepNormalization):
    r"""Batch normalization that commutes with rotations and reflections.

    .. math:: x_{um} \mapsto \frac{x_{um} - \mu_u}{\sqrt{\sigma_u^2 + \epsilon}}\,w_u + b_u,
        \qquad \sigma_u^2 = \left\langle \frac{1}{2l+1}\sum_m (x_{um} - \mu_u)^2 \right\rangle

    The mean :math:`\mu_u` and the bias :math:`b_u` belong to invariant scalars (0e); for all other
    irreps they are 0. The averages run over the batch and the positions of each sample. In
    evaluation mode they are replaced by running averages,
    :math:`(1 - \text{momentum})\,\text{old} + \text{momentum}\,\text{new}`.

    Args:
        irreps: the features.
        eps: :math:`\epsilon`.
        momentum: weight of a batch in the running averages.
        affine: learn :math:`w_u` (initially 1) and :math:`b_u` (initially 0).
        reduce: how to reduce :math:`\sigma_u^2` over the positions of a sample: ``"mean"`` or
            ``"max"``. Over the batch it is averaged.
        instance: statistics of each sample alone, also in evaluation mode, without running
            averages; [symscape.nn.InstanceNorm][] does the same, also for graphs.
        include_bias: whether :math:`b_u` exists.
        normalization: ``"component"`` as in the formula, ``"norm"`` without the :math:`1/(2l+1)`.

    Attributes:
        running_mean: ``(number of invariant scalars,)``.
        running_var: ``(num_irreps,)``.

    Raises:
        ValueError: unknown ``reduce`` or ``normalization``, or ``eps`` negative.

    Source: Ch. 5.2, Supplement 1.2 (there ``"norm"``); Ch. 5.3 (e3nn).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self,
        irreps: Any,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        reduce: str = "mean",
        instance: bool = False,
        include_bias: bool = True,
        normalization: str = "component",
    ) -> None:
        super().__init__(irreps, eps, affine, include_bias, normalization)
        if reduce not in _REDUCTIONS:
            raise ValueError(f"reduce: {reduce!r} given; allowed: {', '.join(_REDUCTIONS)}")
        self.momentum = momentum
        self.reduce = reduce
        self.instance = instance
        if not instance:
            self.register_buffer("running_mean", torch.zeros(self.num_scalars))
            self.register_buffer("running_var", torch.ones(self.irreps.num_irreps))

    def forward(self, input: Tensor) -> Tensor:
        """Normalize.

        Args:
            input: ``(batch, ..., irreps.dim)``; the dimensions between are positions.

        Returns:
            The shape of ``input``. An empty input is returned as it is.

        Raises:
            ValueError: fewer than two dimensions, the last axis has another length, or the
                dtype is not floating.
        """
        check_features(input, self._dim)
        if input.ndim < 2:
            raise ValueError(
                f"input: shape {tuple(input.shape)} given; allowed: (batch, ..., irreps.dim)"
            )
        if input.numel() == 0:
            return input
        x = widened(input)
        if not (self.training or self.instance):
            out = self._with_statistics(x, self.running_mean, self.running_var)
            return out.to(input.dtype)
        x = x.flatten(1, -2) if x.ndim > 2 else x.unsqueeze(1)
        if self.reduce == "mean":
            out, mean, variance = self._by_own_statistics(x, self.instance)
        else:
            out, mean, variance = self._by_largest(x)
        if not self.instance:
            self._update(mean.flatten(), variance.flatten())
        return out.reshape(input.shape).to(input.dtype)

    def _by_largest(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize by the largest squares over the positions."""
        mean = self._scalars(x).mean(1 if self.instance else (0, 1), keepdim=True)
        centered = x - self._spread(mean)
        variance = self._squares(centered).amax(1, keepdim=True)
        if not self.instance:
            variance = variance.mean(0, keepdim=True)
        return self._rescale(centered, variance), mean, variance

    def _update(self, mean: Tensor, variance: Tensor) -> None:
        with torch.no_grad():
            for running, new in ((self.running_mean, mean), (self.running_var, variance)):
                running.lerp_(new.to(running.dtype), self.momentum)

    def __repr__(self) -> str:
        return f"BatchNorm ({self.irreps}, eps={self.eps}, momentum={self.momentum})"
