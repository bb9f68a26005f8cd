"""The maximum-entropy ensemble of displacement fields."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from symscape.diffeo._modes import (
    Modes,
    Size,
    amplitudes,
    check_cutoff,
    side,
    sides,
    sines,
    wave_numbers,
)
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

    On an image of :math:`n_y` rows and :math:`n_x` columns, u and v run from 0 to 1 along its
    sides, the displacement in pixels is :math:`\sqrt{n_xn_y}\,\tau` both ways, and the variance
    is :math:`T/k_{ij}^2` with :math:`k_{ij}^2 = i^2n_y/n_x + j^2n_x/n_y`: the ensemble of largest
    entropy with a given mean of the squared gradient in pixels, averaged over the image. A field is
    thus as smooth along the long side as along the short one.

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
        object.__setattr__(self, "c", check_cutoff(self.c, self.modes))
        if self.outside not in ("raise", "allow"):
            raise ValueError(f"outside: {self.outside!r} given; allowed: 'raise' or 'allow'")

    @classmethod
    def from_displacement(
        cls,
        delta: float,
        c: int,
        n: Size,
        *,
        modes: Modes = "rounded",
        outside: Literal["raise", "allow"] = "raise",
    ) -> MaximumEntropy:
        """The ensemble of a nominal displacement ``delta`` on images of size n, which is the number
        of pixels along the side or (rows, columns).

        Raises:
            ValueError: a value out of its bounds (see :func:`temperature`).
        """
        return cls(temperature(delta, c, n), c, modes, outside)

    def coefficients(
        self, seeds: Tensor, dtype: torch.dtype = torch.float64, n: Size | None = None
    ) -> Tensor:
        """Coefficients C, D of one field per seed.

        Args:
            seeds: int64, any shape, on any device (see :func:`sample_seeds`).
            dtype: of the result.
            n: size of the image, of which the ratio of rows to columns counts; None for a square.

        Returns:
            (..., 2, c_x, c_y), which is (..., 2, c, c) for a square; entry [..., 0, i - 1, j - 1]
            is C of mode i along u and j along v. The normal number of a mode depends neither on the
            other seeds, nor on c, nor on n.

        Raises:
            ValueError: seeds that are not int64; a cut-off that leaves no mode on such an image.
        """
        scale = self._scale(n)
        values = scaled_normals(seeds.reshape(-1), scale, dtype)
        return values.reshape(*seeds.shape, 2, *scale.shape)

    def fields(self, n: Size, seeds: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """One displacement field per seed.

        Args:
            n: pixels along the side, or (rows, columns).
            seeds: int64, any shape, on any device.
            dtype: of the result.

        Returns:
            (..., 2, rows, columns), in pixels: along x (the last axis of an image), along y.

        Raises:
            ValueError: T is outside the acceptable region of n, unless that is allowed.
        """
        if self.outside == "raise":
            check_acceptable(self.T, self.c, n)
        if seeds.device.type == "cpu" and dtype in (torch.float32, torch.float64):
            from symscape.diffeo._sampling import sampled_fields

            values = sampled_fields(seeds.reshape(-1), self._scale(n), n, dtype)
            return values.reshape(*seeds.shape, *values.shape[1:])
        return field(self.coefficients(seeds, dtype, n), n)

    def _scale(self, n: Size | None) -> Tensor:
        """Deviations of the coefficients, (c_x, c_y), float64."""
        return amplitudes(self.c, self.modes, n) * math.sqrt(self.T)

    def deform(
        self, images: Tensor, seeds: Tensor, interpolation: Interpolation = "bilinear"
    ) -> Tensor:
        """Deform images, each by a field of its own.

        Args:
            images: (..., channels, rows, columns), floating point.
            seeds: int64, of a shape that broadcasts with the leading one of ``images``: (B,) for
                a batch of B, (S, B) for S deformations of each of them.
            interpolation: see :func:`warp`.

        Returns:
            The deformed images.

        Raises:
            ValueError: images that are not floating point; T outside the acceptable region.
        """
        check_images(images)
        precise = at_least_single(images.dtype)
        fields = self.fields(images.shape[-2:], seeds, precise)
        return warp(images.to(precise), fields, interpolation).to(images.dtype)


def field(coefficients: Tensor, n: Size) -> Tensor:
    r"""Displacement fields from their coefficients, by separable sine transforms.

    Differentiable; :math:`\sqrt{n_xn_y}\,S_y C^T S_x^T` costs :math:`O(n^2c)` a field.

    Args:
        coefficients: (..., 2, c_x, c_y), see :meth:`MaximumEntropy.coefficients`.
        n: pixels along the side, or (rows, columns).

    Returns:
        (..., 2, rows, columns), in pixels: [..., 0, y, x] along x, [..., 1, y, x] along y.

    Source: Ch. 4, Eq. 2.
    """
    c_x, c_y = _cutoffs(coefficients)
    rows, columns = sides(n)
    along_y, along_x = (_on(sines(*t), coefficients) for t in ((rows, c_y), (columns, c_x)))
    return _transform(along_y, coefficients, side(n) * along_x)


def field_gradient(coefficients: Tensor, n: Size) -> Tensor:
    r"""The Jacobian of fields on the pixels: the change of the displacement in pixels over one
    pixel, which for a square is :math:`\nabla\tau` in units of its side.

    Args:
        coefficients: (..., 2, c_x, c_y).
        n: pixels along the side, or (rows, columns).

    Returns:
        (..., 2, 2, rows, columns); [..., a, b, y, x] is the derivative along b of the displacement
        along a, with 0 for x and 1 for y.
    """
    c_x, c_y = _cutoffs(coefficients)
    rows, columns = sides(n)
    sine_x, slope_x = (_on(sines(columns, c_x, d), coefficients) for d in (False, True))
    sine_y, slope_y = (_on(sines(rows, c_y, d), coefficients) for d in (False, True))
    along_x = _transform(sine_y, coefficients, slope_x) * math.sqrt(rows / columns)
    along_y = _transform(slope_y, coefficients, sine_x) * math.sqrt(columns / rows)
    return torch.stack([along_x, along_y], dim=-3)


def gradient_norm(coefficients: Tensor, n: Size | None = None) -> Tensor:
    r""":math:`\|\nabla\tau\|^2 = \frac{\pi^2}4\sum_{ij}(C_{ij}^2+D_{ij}^2)k_{ij}^2`, exact.

    It is the mean over the image of the squares of :func:`field_gradient`; :math:`k_{ij}^2` is
    :math:`i^2n_y/n_x+j^2n_x/n_y`, and :math:`i^2+j^2` for a square.

    Args:
        coefficients: (..., 2, c_x, c_y).
        n: size of the image, of which the ratio of rows to columns counts; None for a square.

    Returns:
        (...).

    Source: Ch. 4, Eq. 1 and 7.
    """
    aspect = (1, 1) if n is None else sides(n)
    _cutoffs(coefficients)
    squared = _on(wave_numbers(coefficients, aspect), coefficients)
    return math.pi**2 / 4 * (coefficients.square() * squared).sum((-1, -2, -3))


def _transform(rows: Tensor, coefficients: Tensor, columns: Tensor) -> Tensor:
    """Sum of C_ij columns[x, i] rows[y, j], (..., y, x)."""
    return rows @ (coefficients.mT @ columns.mT)


def _on(table: Tensor, like: Tensor) -> Tensor:
    return table.to(like.device, like.dtype)


def _cutoffs(coefficients: Tensor) -> tuple[int, int]:
    """How many modes there are along x and along y."""
    if coefficients.ndim < 3 or coefficients.shape[-3] != 2:
        raise ValueError(
            f"coefficients: shape {tuple(coefficients.shape)} given; allowed: (..., 2, c_x, c_y)"
        )
    return coefficients.shape[-2], coefficients.shape[-1]
