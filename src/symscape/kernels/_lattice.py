"""Fields and regression on periodic lattices, exact by FFT."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from symscape._arguments import integer, integer_fields, refused
from symscape.kernels._kernel import Kernel, check_ridge
from symscape.kernels._lattice_theory import error_from_aliases
from symscape.kernels._points import on_torus

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Lattice:
    r"""The regular lattice of :math:`\text{side}^d` points on the flat torus of period L.

    Distances are those of the torus in :math:`\mathbb R^{2d}`, see :func:`on_torus`, so that every
    kernel is positive definite and its Gram matrix circulant: the FFT diagonalizes it. Fields have
    the shape (side, ..., side), with further axes in front.

    Args:
        side: points along one axis.
        d: dimension.
        L: period.

    Raises:
        ValueError: side < 2, d < 1, L not positive.
    """

    side: int
    d: int
    L: float = 1.0

    def __post_init__(self) -> None:
        integer_fields(self, side=2, d=1)
        if not self.L > 0:
            raise refused("L", self.L, "a positive number")

    @property
    def shape(self) -> tuple[int, ...]:
        """(side, ..., side)."""
        return (self.side,) * self.d

    @property
    def n(self) -> int:
        """Number of points."""
        return self.side**self.d

    def coordinates(self) -> Array:
        """The points in :math:`[0, L)^d`, (n, d), in the order of a flattened field."""
        axis = self.L / self.side * np.arange(self.side)
        return np.stack(np.meshgrid(*[axis] * self.d, indexing="ij"), axis=-1).reshape(-1, self.d)

    def points(self) -> Array:
        """The points in :math:`\\mathbb R^{2d}`, (n, 2 d): on these the kernel is the same."""
        return on_torus(self.coordinates(), self.L)

    def eigenvalues(self, kernel: Kernel) -> Array:
        """Eigenvalues of the Gram matrix, ordered as by ``rfftn``: (side, ..., side//2 + 1)."""
        half = self.side // 2 + 1
        # One octant holds all distances; the others are its mirror images.
        chord = np.square(self.L / math.pi * np.sin(math.pi * np.arange(half) / self.side))
        s = np.zeros((half,) * self.d)
        for axis in range(self.d):
            s = s + chord.reshape([-1 if i == axis else 1 for i in range(self.d)])
        K = kernel.radial(np.sqrt(s))
        mirror = np.minimum(np.arange(self.side), self.side - np.arange(self.side))
        for axis in range(self.d):
            K = np.take(K, mirror, axis=axis)
        return fft.rfftn(K).real

    def sample(self, kernel: Kernel, seed: int, count: int | None = None) -> Array:
        r"""Gaussian random fields with the covariance of the kernel, exact.

        Args:
            kernel: the covariance.
            seed: of the drawing.
            count: number of fields; one without a leading axis if None.

        Raises:
            ValueError: eigenvalues are negative by more than rounding (cannot happen for the
                kernels of this package).
        """
        values = self._not_negative(self.eigenvalues(kernel))
        shape = self.shape if count is None else (count, *self.shape)
        noise = np.random.default_rng(seed).standard_normal(shape)
        return self._multiply(noise, np.sqrt(values))

    def solve(self, kernel: Kernel, Z: ArrayLike, ridge: float = 0.0) -> Array:
        r"""Coefficients :math:`a=(\mathbb K+\text{ridge}\,I)^{-1}Z` of the regression.

        Args:
            kernel: the Student's kernel.
            Z: values on the lattice, (..., side, ..., side).
            ridge: added to the eigenvalues.

        Raises:
            ValueError: wrong shape, values that are not finite, a negative ridge; a matrix that is
                singular in float64 (the smallest eigenvalue is named).
        """
        Z = self._field(Z)
        check_ridge(ridge)
        values = self.eigenvalues(kernel) + ridge
        self._refuse_singular(values, kernel)
        return self._multiply(Z, 1 / values)

    def predict(self, kernel: Kernel, a: ArrayLike, refine: int = 1) -> Array:
        """The prediction on a lattice that is ``refine`` times finer, from coefficients.

        Args:
            kernel: the Student's kernel.
            a: what :meth:`solve` returned.
            refine: integer factor; the points of this lattice are every ``refine``-th of the finer.

        Raises:
            ValueError: wrong shape, or refine below 1.
        """
        a, fine = self._field(a), self.refined(refine)
        spread = np.zeros((*a.shape[: -self.d], *fine.shape))
        coarse: tuple[Any, ...] = (Ellipsis, *[slice(None, None, refine)] * self.d)
        spread[coarse] = a
        return fine._multiply(spread, fine.eigenvalues(kernel))

    def refined(self, factor: int) -> Lattice:
        """The lattice with ``factor`` times as many points along each axis.

        Raises:
            ValueError: factor below 1.
        """
        return Lattice(self.side * integer("factor", factor, 1), self.d, self.L)

    def teacher_error(self, teacher: Kernel, student: Kernel, refine: int = 4) -> float:
        r"""Error of the Student, averaged exactly over the fields and over the finer lattice.

        The sum over aliases of :func:`lattice_error`, which is finite on a lattice.

        Args:
            teacher: covariance of the field.
            student: kernel of the regression.
            refine: how much finer the lattice of test points is, 2 or more; training points are
                among them.

        Raises:
            ValueError: refine below 2; a Student's matrix that is singular in float64, as for
                :meth:`solve` (:func:`lattice_error` has no such limit).
        """
        refine = integer("refine", refine, 2)
        self._refuse_singular(self.eigenvalues(student), student)
        fine = self.refined(refine)
        split = [refine, self.side] * self.d
        order = (*range(0, 2 * self.d, 2), *range(1, 2 * self.d, 2))
        T, S = (
            _full(fine, kernel).reshape(split).transpose(order).reshape(refine**self.d, self.n).T
            for kernel in (teacher, student)
        )
        # The alias of lowest frequency is the largest of a decaying spectrum.
        lowest = S.argmax(axis=1)[:, None]
        T0, S0 = (np.take_along_axis(a, lowest, axis=1)[:, 0] for a in (T, S))
        T, S = T.copy(), S / S0[:, None]
        for a in (T, S):
            np.put_along_axis(a, lowest, 0.0, axis=1)
        sums = T.sum(axis=1), S.sum(axis=1), np.square(S).sum(axis=1), (T * S).sum(axis=1)
        return float(error_from_aliases(T0, *sums).sum()) / fine.n

    def _multiply(self, field: Array, spectrum: Array) -> Array:
        axes = tuple(range(-self.d, 0))
        transformed = fft.rfftn(field, axes=axes)
        transformed *= spectrum
        return fft.irfftn(transformed, s=self.shape, axes=axes, overwrite_x=True)

    def _field(self, Z: ArrayLike) -> Array:
        field = np.asarray(Z, dtype=float)
        if field.shape[-self.d :] != self.shape:
            raise ValueError(f"fields must end in the shape {self.shape}; got {field.shape}")
        if not np.all(np.isfinite(field)):
            raise ValueError("fields must be finite")
        return field

    def _refuse_singular(self, values: Array, kernel: Kernel) -> None:
        low, high = float(values.min()), float(values.max())
        if low <= 4 * float(np.finfo(float).eps) * high:
            raise ValueError(
                f"kernel: the Gram matrix of {self.n} points with {kernel.name}, sigma = "
                f"{kernel.sigma:g} is singular in float64 (eigenvalues from {low:.1e} to "
                f"{high:.1e}); give a ridge"
            )

    def _not_negative(self, values: Array) -> Array:
        if values.min() < -1e-12 * values.max():
            raise ValueError(f"kernel: eigenvalues down to {values.min():.1e} are negative")
        return np.maximum(values, 0.0)


def _full(lattice: Lattice, kernel: Kernel) -> Array:
    """Eigenvalues at all frequencies, of ``fftn``, without negative ones."""
    half = np.maximum(lattice.eigenvalues(kernel), 0.0)
    index = np.arange(lattice.side)
    return np.take(half, np.minimum(index, lattice.side - index), axis=-1)
