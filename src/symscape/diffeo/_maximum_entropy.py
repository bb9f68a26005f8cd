"""The maximum-entropy ensemble of displacement fields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from symscape.diffeo._modes import Modes, amplitudes, check_cutoff, sines
from symscape.diffeo._normals import scaled_normals
from symscape.diffeo._temperature import check_acceptable, temperature
from symscape.diffeo._warp import Interpolation, at_least_single, check_images, warp

__all__ = ["MaximumEntropy", "field", "field_gradient", "gradient_norm"]


@dataclass(frozen=True)
class MaximumEntropy:
    r"""Random smooth displacement fields that vanish on the frame of an image.

    With :math:`u` to the right and :math:`v` down the unit square,

    .. math::
        \tau_u = \sum_{ij} C_{ij}\sin(i\pi u)\sin(j\pi v), \qquad
        \tau_v = \sum_{ij} D_{ij}\sin(i\pi u)\sin(j\pi v),

    with independent coefficients of variance :math:`T/(i^2+j^2)`. Among all ensembles with the
    same mean of :math:`\|\nabla\tau\|^2` it has the largest entropy.

    Args:
        T: temperature, >= 0.
        c: cut-off, see :func:`mode_mask`.
        modes: rule of the cut-off.
        outside: what to do where T is outside the acceptable region of the image's size (see
            :func:`acceptable_range`): ``"raise"``, or ``"allow"``, for fields that cannot be
            seen or that fold over.

    Raises:
        ValueError: a value out of these bounds.

    Source: Ch. 4, Section 2.1, Eq. 2 and App. A.
    """

    T: float
    c: int
    modes: Modes = "rounded"
    outside: Literal["raise", "allow"] = "raise"

    def __post_init__(self) -> None:
        if not 0 <= self.T < math.inf:
            raise ValueError(f"T: {self.T!r} given; allowed: a finite number >= 0")
        check_cutoff(self.c, self.modes)
        if self.outside not in ("raise", "allow"):
            raise ValueError(f"outside: {self.outside!r} given; allowed: 'raise' or 'allow'")

    @classmethod
    def from_displacement(
        cls,
        delta: float,
        c: int,
        n: int,
        *,
        modes: Modes = "rounded",
        outside: Literal["raise", "allow"] = "raise",
    ) -> MaximumEntropy:
        """The ensemble of a nominal displacement ``delta`` on images of n pixels.

        Raises:
            ValueError: a value out of its bounds (see :func:`temperature`).
        """
        return cls(temperature(delta, c, n), c, modes, outside)

    def coefficients(self, seeds: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """Coefficients C, D of one field per seed.

        Args:
            seeds: int64, any shape, on any device (see :func:`sample_seeds`).
            dtype: of the result.

        Returns:
            (..., 2, c, c); entry [..., 0, i - 1, j - 1] is C of mode i along u and j along v. The
            numbers of a mode do not depend on the other seeds, nor on c.

        Raises:
            ValueError: seeds that are not int64.
        """
        values = scaled_normals(seeds.reshape(-1), self._scale(), dtype)
        return values.reshape(*seeds.shape, 2, self.c, self.c)

    def fields(self, n: int, seeds: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """One displacement field per seed.

        Args:
            n: pixels along the side.
            seeds: int64, any shape, on any device.
            dtype: of the result.

        Returns:
            (..., 2, n, n), in pixels: along x (the last axis of an image), along y.

        Raises:
            ValueError: T is outside the acceptable region of n, unless that is allowed.
        """
        if self.outside == "raise":
            check_acceptable(self.T, self.c, n)
        if seeds.device.type == "cpu" and dtype in (torch.float32, torch.float64):
            from symscape.diffeo._sampling import sampled_fields

            values = sampled_fields(seeds.reshape(-1), self._scale(), n, dtype)
            return values.reshape(*seeds.shape, 2, n, n)
        return field(self.coefficients(seeds, dtype), n)

    def _scale(self) -> Tensor:
        """Deviations of the coefficients, (c, c), float64."""
        return amplitudes(self.c, self.modes) * math.sqrt(self.T)

    def deform(
        self, images: Tensor, seeds: Tensor, interpolation: Interpolation = "bilinear"
    ) -> Tensor:
        """Deform images, each by a field of its own.

        Args:
            images: (..., channels, n, n), floating point.
            seeds: int64, of a shape that broadcasts with the leading one of ``images``: (B,) for
                a batch of B, (S, B) for S deformations of each of them.
            interpolation: see :func:`warp`.

        Returns:
            The deformed images.

        Raises:
            ValueError: images that are not square or not floating point; T outside the
                acceptable region.
        """
        check_images(images)
        precise = at_least_single(images.dtype)
        fields = self.fields(images.shape[-1], seeds, precise)
        return warp(images.to(precise), fields, interpolation).to(images.dtype)


def field(coefficients: Tensor, n: int) -> Tensor:
    r"""Displacement fields from their coefficients, by separable sine transforms.

    Differentiable; :math:`S C S^T` costs :math:`O(n^2c)` a field.

    Args:
        coefficients: (..., 2, c, c), see :meth:`MaximumEntropy.coefficients`.
        n: pixels along the side.

    Returns:
        (..., 2, n, n), in pixels: [..., 0, y, x] along x, [..., 1, y, x] along y.

    Source: Ch. 4, Eq. 2.
    """
    table = _on(sines(n, _cutoff(coefficients)), coefficients)
    return _transform(table, coefficients, n * table)


def field_gradient(coefficients: Tensor, n: int) -> Tensor:
    r"""The Jacobian of fields in units of the image's side, on the pixels.

    Args:
        coefficients: (..., 2, c, c).
        n: pixels along the side.

    Returns:
        (..., 2, 2, n, n); [..., a, b, y, x] is :math:`\partial_b\tau_a` with 0 for u and 1 for v.
    """
    c = _cutoff(coefficients)
    sine = _on(sines(n, c), coefficients)
    slope = _on(sines(n, c, derivative=True), coefficients)
    along_u = _transform(sine, coefficients, slope)
    along_v = _transform(slope, coefficients, sine)
    return torch.stack([along_u, along_v], dim=-3)


def gradient_norm(coefficients: Tensor) -> Tensor:
    r""":math:`\|\nabla\tau\|^2 = \frac{\pi^2}4\sum_{ij}(C_{ij}^2+D_{ij}^2)(i^2+j^2)`, exact.

    Args:
        coefficients: (..., 2, c, c).

    Returns:
        (...).

    Source: Ch. 4, Eq. 1 and 7.
    """
    i = torch.arange(1, _cutoff(coefficients) + 1, device=coefficients.device)
    squared = i[:, None] ** 2 + i[None, :] ** 2
    return math.pi**2 / 4 * (coefficients.square() * squared).sum((-1, -2, -3))


def _transform(rows: Tensor, coefficients: Tensor, columns: Tensor) -> Tensor:
    """Sum of C_ij columns[x, i] rows[y, j], (..., y, x)."""
    return rows @ (coefficients.mT @ columns.mT)


def _on(table: Tensor, like: Tensor) -> Tensor:
    return table.to(like.device, like.dtype)


def _cutoff(coefficients: Tensor) -> int:
    c = coefficients.shape[-1]
    if coefficients.ndim < 3 or coefficients.shape[-3:] != (2, c, c):
        raise ValueError(
            f"coefficients: shape {tuple(coefficients.shape)} given; allowed: (..., 2, c, c)"
        )
    return c
