"""Nonlinearity on the norm of irreps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from symscape.nn._blocks import ScaleIrreps, SquaredNorms, check_features
from symscape.o3 import Irreps

__all__ = ["NormActivation"]

_DEFAULT_EPSILON = 1e-8


class NormActivation(torch.nn.Module):
    r"""A scalar function of the norm of each irrep, times its direction.

    .. math:: x_u \mapsto \phi(\|x_u\| + b_u)\,\frac{x_u}{\|x_u\|}

    Args:
        irreps_in: input and output.
        scalar_nonlinearity: the function :math:`\phi`.
        normalize: divide by the norm; otherwise :math:`x_u \mapsto \phi(\|x_u\| + b_u)\,x_u`.
        epsilon: norms below it are replaced by it, also in the argument of :math:`\phi`. It keeps
            values and gradients at zero finite. 1e-8 if not given and ``normalize``; without
            ``normalize`` it may not be given.
        bias: learn the biases :math:`b_u`, initially 0; otherwise they are 0.

    Attributes:
        irreps_in: the input.
        irreps_out: the output, equal to it.
        biases: the biases, ``(num_irreps,)``, if there are any.

    Raises:
        ValueError: ``epsilon`` is not positive, or given without ``normalize``.

    Source: Ch. 5.2, Section 4.3 (norm nonlinearity); Ch. 5.3 (e3nn).
    """

    biases: Tensor

    def __init__(
        self,
        irreps_in: Any,
        scalar_nonlinearity: Callable[[Tensor], Tensor],
        normalize: bool = True,
        epsilon: float | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        if epsilon is None and normalize:
            epsilon = _DEFAULT_EPSILON
        elif epsilon is not None and not normalize:
            raise ValueError("epsilon: given with normalize=False; allowed: only with normalize")
        if epsilon is not None and not epsilon > 0:
            raise ValueError(f"epsilon: {epsilon} given; allowed: a positive number")
        self.irreps_in = Irreps(irreps_in)
        self.irreps_out = self.irreps_in
        self._dim = self.irreps_in.dim
        self.normalize = normalize
        self.epsilon = epsilon
        self.bias = bias
        self.scalar_nonlinearity = scalar_nonlinearity
        num_irreps = self.irreps_in.num_irreps
        if bias:
            self.biases = torch.nn.Parameter(torch.zeros(num_irreps))
        self.norm = SquaredNorms(self.irreps_in)
        self.scalar_multiplier = ScaleIrreps(Irreps([(num_irreps, (0, 1))]), self.irreps_in)

    def forward(self, features: Tensor) -> Tensor:
        """Apply the nonlinearity.

        Args:
            features: ``(..., irreps_in.dim)``.

        Returns:
            The shape of ``features``.

        Raises:
            ValueError: the last axis has another length, or the dtype is not floating.
        """
        check_features(features, self._dim)
        squares = self.norm(features)
        if self.epsilon is not None:
            norms = squares.clamp(min=self.epsilon**2).sqrt()
        else:
            # the root has no derivative at 0; there the norm counts as a constant
            zero = squares <= 0
            norms = torch.where(zero, 1.0, squares).sqrt().masked_fill(zero, 0.0)
        scale = self.scalar_nonlinearity(norms + self.biases if self.bias else norms)
        if self.normalize:
            scale = scale / norms
        return self.scalar_multiplier(scale, features)
