"""Grids on SO(3), and transforms between them and coefficients of Wigner matrices."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from symscape.contraction._arguments import check_floating
from symscape.o3._s2grid import quadrature_weights, s2_grid
from symscape.o3._wigner import wigner_D

__all__ = ["SO3Grid"]


class SO3Grid(nn.Module):
    r"""Signals on SO(3), :math:`f(R) = \sum_{l i j} \sqrt{2l+1}\, c^l_{ij} D^l_{ij}(R) / \sqrt n`.

    ``n`` is the number of coefficients, so those of unit variance give values of unit variance.
    The grid is that of the sphere in (alpha, beta), times the same angles for gamma.

    Args:
        lmax: largest degree.
        resolution: half the number of points in beta; more than ``lmax`` for ``from_grid``.
        normalization: only ``"component"``.
        aspect_ratio: points in alpha and in gamma, over those in beta.

    Attributes:
        alpha: ``(2 aspect_ratio resolution,)``, and gamma the same.
        beta: ``(2 resolution,)``.
        D: the functions, ``(alpha, beta, gamma, n)``.
        qw: weights of the quadrature, for each beta; they sum up to 1 over the grid.

    Raises:
        ValueError: another normalization, a resolution or ratio below 1.
    """

    alpha: Tensor
    beta: Tensor
    gamma: Tensor
    D: Tensor
    qw: Tensor

    def __init__(
        self,
        lmax: int,
        resolution: int,
        *,
        normalization: str = "component",
        aspect_ratio: int = 2,
    ) -> None:
        super().__init__()
        if normalization != "component":
            raise ValueError(f"normalization must be 'component'; got {normalization!r}")
        if resolution < 1 or aspect_ratio < 1:
            raise ValueError(
                "resolution and aspect_ratio must be at least 1; "
                f"got {resolution} and {aspect_ratio}"
            )
        self.lmax = lmax
        self.res_alpha = self.res_gamma = 2 * aspect_ratio * resolution
        self.res_beta = 2 * resolution
        beta, alpha = s2_grid(self.res_beta, self.res_alpha, torch.float64)
        angles = (alpha[:, None, None], beta[:, None], alpha)
        functions = [
            math.sqrt(2 * l + 1) * wigner_D(l, *angles).flatten(-2) for l in range(lmax + 1)
        ]
        weights = quadrature_weights(self.res_beta) / (2 * self.res_alpha * self.res_gamma)
        dtype = torch.get_default_dtype()
        for name, value in (
            ("D", torch.cat(functions, dim=-1)),
            ("qw", weights),
            ("alpha", alpha),
            ("beta", beta),
            ("gamma", alpha.clone()),
        ):
            self.register_buffer(name, value.to(dtype))

    def extra_repr(self) -> str:
        """What the printed module shows."""
        return f"lmax={self.lmax} res={self.res_alpha}x{self.res_beta}x{self.res_gamma}"

    def to_grid(self, features: Tensor) -> Tensor:
        """The signal.

        Args:
            features: coefficients ``(..., n)``, by degree, each block row by row.

        Returns:
            ``(..., alpha, beta, gamma)``.

        Raises:
            ValueError: another number of coefficients.
        """
        n = self.D.shape[-1]
        if features.shape[-1] != n:
            raise ValueError(
                f"features must have {n} coefficients for lmax = {self.lmax}; "
                f"got {features.shape[-1]}"
            )
        check_floating(features, "features")
        # the coefficients are fewer than the points
        signal = (features / math.sqrt(n)) @ self.D.flatten(0, 2).mT
        return signal.unflatten(-1, self.D.shape[:3])

    def from_grid(self, features: Tensor) -> Tensor:
        """The coefficients of a signal, by quadrature; the inverse of ``to_grid``.

        Args:
            features: signal ``(..., alpha, beta, gamma)``.

        Returns:
            ``(..., n)``.

        Raises:
            ValueError: another shape, or a resolution too low for ``lmax``.
        """
        if features.shape[-3:] != self.D.shape[:3]:
            raise ValueError(
                f"features must have shape (..., {', '.join(map(str, self.D.shape[:3]))}); "
                f"got {tuple(features.shape)}"
            )
        check_floating(features, "features")
        if self.res_beta < 2 * self.lmax + 1:
            raise ValueError(
                f"resolution must be at least lmax + 1 = {self.lmax + 1} for from_grid; "
                f"got {self.res_beta // 2}"
            )
        weights = self.qw[:, None, None] * math.sqrt(self.D.shape[-1])
        return features.flatten(-3) @ (self.D * weights).flatten(0, 2)
