"""Cartesian tensors with index symmetries, as features of irreps."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor

from symscape.o3 import Irreps, ReducedTensorProducts, reduced_basis

__all__ = ["CartesianTensor"]


class CartesianTensor(Irreps):
    """The irreps of a Cartesian tensor with a symmetry, and the way to them and back.

    ``CartesianTensor("ij=ji")``, a symmetric matrix, is ``1x0e+1x2e``. Each index transforms as
    a vector, ``1o``. The change of basis is computed once, when the object is made.

    Args:
        formula: the symmetry, as ``ij=-ji`` or ``ijkl=jikl=klij``.

    Attributes:
        formula: as given.
        indices: the names of the indices.

    Raises:
        ValueError: a formula that cannot be read.
    """

    formula: str
    indices: str
    _basis: Tensor

    def __new__(cls, formula: str) -> Self:
        indices = formula.split("=")[0].strip()
        _, irreps, basis = reduced_basis(formula, **_vectors(indices))
        self = tuple.__new__(cls, irreps)
        self.formula = formula
        self.indices = indices
        self._basis = basis
        return self

    def __reduce__(self) -> tuple:
        return type(self), (self.formula,)

    def from_cartesian(self, data: Tensor, rtp: ReducedTensorProducts | None = None) -> Tensor:
        """The irreps of a tensor; parts without the symmetry are projected out.

        Args:
            data: ``(..., 3, ..., 3)``.
            rtp: from `reduced_tensor_products`; it makes no difference.

        Returns:
            ``(..., dim)``.

        Raises:
            ValueError: data of another shape, or not floating.
        """
        shape = (3,) * len(self.indices)
        if tuple(data.shape[data.ndim - len(shape) :]) != shape:
            raise ValueError(
                f"data must have the shape {('...', *shape)}, one axis for each index of "
                f"{self.formula}; got {tuple(data.shape)}"
            )
        return data.flatten(-len(shape)) @ self._matrix(data, rtp).T

    def from_vectors(self, *xs: Tensor, rtp: ReducedTensorProducts | None = None) -> Tensor:
        """The irreps of the product of vectors.

        Args:
            *xs: one ``(..., 3)`` for each index; leading dimensions broadcast.
            rtp: from `reduced_tensor_products`; it makes no difference.

        Returns:
            ``(..., dim)``.

        Raises:
            ValueError: a number of vectors other than that of indices, or other shapes.
        """
        if len(xs) != len(self.indices):
            raise ValueError(
                f"xs must be one vector for each index of {self.formula}; got {len(xs)}"
            )
        outer = xs[0]
        for i, x in enumerate(xs):
            if x.ndim == 0 or x.shape[-1] != 3:
                raise ValueError(f"xs[{i}] must have the shape (..., 3); got {tuple(x.shape)}")
            if i:
                outer = (outer[..., :, None] * x[..., None, :]).flatten(-2)
        return outer @ self._matrix(outer, rtp).T

    def to_cartesian(self, data: Tensor, rtp: ReducedTensorProducts | None = None) -> Tensor:
        """The tensor with given irreps, which has the symmetry.

        Args:
            data: ``(..., dim)``.
            rtp: from `reduced_tensor_products`; it makes no difference.

        Returns:
            ``(..., 3, ..., 3)``.

        Raises:
            ValueError: data of another shape, or not floating.
        """
        if data.ndim == 0 or data.shape[-1] != self.dim:
            raise ValueError(
                f"data must have the shape (..., {self.dim}), of {self}; got {tuple(data.shape)}"
            )
        return (data @ self._matrix(data, rtp)).unflatten(-1, (3,) * len(self.indices))

    def reduced_tensor_products(self, data: Tensor | None = None) -> ReducedTensorProducts:
        """The module that maps vectors to the irreps.

        Args:
            data: a tensor whose dtype and device it shall have; None for the defaults of torch.
        """
        rtp = ReducedTensorProducts(self.formula, **_vectors(self.indices))
        if data is not None:
            rtp.change_of_basis = self._basis.to(data)
        return rtp

    def _matrix(self, data: Tensor, rtp: ReducedTensorProducts | None) -> Tensor:
        if not data.is_floating_point():
            raise ValueError(f"data must be of a floating dtype; got {data.dtype}")
        basis = self._basis if rtp is None else rtp.change_of_basis
        return basis.to(data).flatten(1)


def _vectors(indices: str) -> dict[str, Any]:
    """Each index is that of a vector."""
    return dict.fromkeys(indices, "1o")
