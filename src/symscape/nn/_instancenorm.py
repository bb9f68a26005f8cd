"""Instance normalization of irreps, of samples or of the graphs of a batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from symscape.nn._blocks import check_features
from symscape.nn._normalization import IrrepNormalization, widened

__all__ = ["InstanceNorm"]


class InstanceNorm(IrrepNormalization):
    r"""Normalization of each instance by its own statistics, with rotations and reflections.

    .. math:: x_{um} \mapsto \frac{x_{um} - \mu_u}{\sqrt{\sigma_u^2 + \epsilon}}\,w_u + b_u,
        \qquad \sigma_u^2 = \left\langle \frac{1}{2l+1}\sum_m (x_{um} - \mu_u)^2 \right\rangle

    The averages run over the positions of a sample, or over the nodes of a graph. The mean
    :math:`\mu_u` and the bias :math:`b_u` belong to invariant scalars (0e); for all other irreps
    they are 0. Training and evaluation do the same.

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

    def forward(
        self, input: Tensor, batch: Tensor | None = None, num_graphs: int | None = None
    ) -> Tensor:
        """Normalize.

        Args:
            input: samples ``(samples, positions..., irreps.dim)``, or, with ``batch``, the nodes of
                graphs ``(nodes, irreps.dim)``.
            batch: the graph to which each node belongs, ``(nodes,)``, integers from 0.
            num_graphs: the number of graphs; the largest entry of ``batch`` plus one if not given.

        Returns:
            The shape of ``input``.

        Raises:
            ValueError: shapes that do not fit, or a dtype that is not floating.
        """
        check_features(input, self._dim)
        x = widened(input)
        if batch is not None:
            return self._graphs(x, batch, num_graphs).to(input.dtype)
        if input.ndim < 3:
            raise ValueError(
                f"input: shape {tuple(input.shape)} given; allowed: (samples, positions..., "
                "irreps.dim), or (nodes, irreps.dim) together with batch"
            )
        if input.numel() == 0:
            return input
        out, _, _ = self._by_own_statistics(x.flatten(1, -2), per_sample=True)
        return out.reshape(input.shape).to(input.dtype)

    def _graphs(self, x: Tensor, batch: Tensor, num_graphs: int | None) -> Tensor:
        if x.ndim != 2 or batch.shape != x.shape[:1]:
            raise ValueError(
                f"batch: shape {tuple(batch.shape)} given with input {tuple(x.shape)}; allowed: "
                "(nodes,) with (nodes, irreps.dim)"
            )
        if num_graphs is None:
            num_graphs = int(batch.max()) + 1 if len(batch) else 0
        nodes = torch.zeros(num_graphs, 1, dtype=x.dtype, device=x.device)
        nodes = nodes.index_add(0, batch, x.new_ones(len(batch), 1)).clamp(min=1)

        def means(values: Tensor) -> Tensor:
            sums = values.new_zeros(num_graphs, values.shape[-1]).index_add(0, batch, values)
            return (sums / nodes).index_select(0, batch)

        centered = x - self._spread(means(self._scalars(x)))
        return self._rescale(centered, means(self._squares(centered)))

    def __repr__(self) -> str:
        return f"InstanceNorm ({self.irreps}, eps={self.eps})"
