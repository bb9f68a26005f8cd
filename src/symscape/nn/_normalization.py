"""What the normalizations of irreps have in common: means, mean squares, scales and biases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.o3 import Irreps
from symscape.o3 import _irrepwise_kernels as kernels
from symscape.o3._irrepwise import (
    has_kernels,
    recorded,
    rows_of,
    runs_of,
    scale,
    shaped,
    squares,
)

_NORMALIZATIONS = ("component", "norm")


class IrrepNormalization(torch.nn.Module):
    r"""Base of the normalizations.

    .. math:: x_{um} \mapsto \frac{x_{um} - \mu_u}{\sqrt{\sigma_u^2 + \epsilon}}\,w_u + b_u

    The mean :math:`\mu_u` and the bias :math:`b_u` belong to invariant scalars (0e) only: to add
    to anything else would break the symmetry. What the mean and the mean square
    :math:`\sigma_u^2` are taken over is the subject of the derived classes.
    """

    weight: Tensor | None
    bias: Tensor | None
    _dims: Tensor

    def __init__(
        self, irreps: Any, eps: float, affine: bool, include_bias: bool, normalization: str
    ) -> None:
        super().__init__()
        if normalization not in _NORMALIZATIONS:
            raise ValueError(
                f"normalization: {normalization!r} given; allowed: {', '.join(_NORMALIZATIONS)}"
            )
        if not eps >= 0:
            raise ValueError(f"eps: {eps} given; allowed: a number >= 0")
        self.irreps = Irreps(irreps)
        self._dim = self.irreps.dim
        self.eps = eps
        self.affine = affine
        self.include_bias = include_bias
        self.normalization = normalization
        self._runs = runs_of(self.irreps)
        components, copies = [], []
        for block, (mul, ir) in zip(self.irreps.slices(), self.irreps):
            components += [ir.is_scalar()] * (block.stop - block.start)
            copies += [ir.is_scalar()] * mul
        self.num_scalars = sum(copies)
        self._scalar_components = _Places(components)
        self._scalar_irreps = _Places(copies)
        dims = [dim for mul, dim in self._runs for _ in range(mul)]
        self.register_buffer("_dims", torch.tensor(dims, dtype=torch.long), persistent=False)
        num_irreps = self.irreps.num_irreps
        weight = torch.nn.Parameter(torch.ones(num_irreps)) if affine else None
        bias = (
            torch.nn.Parameter(torch.zeros(self.num_scalars)) if affine and include_bias else None
        )
        self.register_parameter("weight", weight)
        self.register_parameter("bias", bias)

    def _scalars(self, x: Tensor) -> Tensor:
        """The invariant scalars of ``(..., dim)``: ``(..., num_scalars)``."""
        return self._scalar_components.of(x)

    def _spread(self, scalars: Tensor) -> Tensor:
        """Invariant scalars at their places, and zeros elsewhere: ``(..., dim)``."""
        return self._scalar_components.spread(scalars)

    def _squares(self, x: Tensor) -> Tensor:
        """Squared norm of each irrep, or its mean over the components: ``(..., num_irreps)``."""
        return self._over_components(squares(x, self._runs))

    def _over_components(self, sums: Tensor) -> Tensor:
        return sums if self.normalization == "norm" else sums / self._dims

    def _scale(self, variance: Tensor) -> Tensor:
        """What each irrep is multiplied by."""
        inverse = (variance + self.eps).rsqrt()
        return inverse if self.weight is None else inverse * self.weight

    def _rescale(self, centered: Tensor, variance: Tensor) -> Tensor:
        """Divide by the roots of the variances ``(..., num_irreps)``, apply weight and bias."""
        out = scale(self._scale(variance), centered, self._runs)
        return out if self.bias is None else out + self._spread(self.bias)

    def _with_statistics(self, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Normalize ``(..., dim)`` by a mean and variances that are the same for all."""
        factors = self._scale(variance)
        bias = -mean * self._scalar_irreps.of(factors)
        return scale(
            factors, x, self._runs, self._spread(bias if self.bias is None else bias + self.bias)
        )

    def _by_own_statistics(self, x: Tensor, per_sample: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize ``(samples, positions, dim)`` by its mean and mean squares.

        Args:
            x: the features.
            per_sample: each sample by its own.

        Returns:
            The result, the means ``(samples or 1, num_scalars)``, and the mean squares
            ``(samples or 1, num_irreps)``; only the result is for gradients.
        """
        parameters = [tensor for tensor in (self.weight, self.bias) if tensor is not None]
        if not has_kernels(x, *parameters):
            return self._in_operations(x, self.weight, self.bias, per_sample)
        if recorded(x, *parameters):
            return _Normalization.apply(x, self.weight, self.bias, self, per_sample)
        return _forward(x, self.weight, self.bias, self, per_sample)[:3]

    def _in_operations(
        self, x: Tensor, weight: Tensor | None, bias: Tensor | None, per_sample: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same in operations of torch."""
        over = (1,) if per_sample else (0, 1)
        mean = self._scalars(x).mean(over, keepdim=True)
        centered = x - self._spread(mean) if self.num_scalars else x
        variance = self._squares(centered).mean(over, keepdim=True)
        factors = (variance + self.eps).rsqrt()
        out = scale(factors if weight is None else factors * weight, centered, self._runs)
        out = out if bias is None else out + self._spread(bias)
        return out, mean.flatten(0, 1), variance.flatten(0, 1)


def widened(x: Tensor) -> Tensor:
    """Half precision as float32, in which sums of many squares are exact enough."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class _Places(torch.nn.Module):
    """Some places of an axis, those of a list of flags that are set.

    Where they follow each other, as mostly, they are one slice.
    """

    _index: Tensor

    def __init__(self, flags: Sequence[bool]) -> None:
        super().__init__()
        places = [place for place, flag in enumerate(flags) if flag]
        self._length = len(flags)
        self._count = len(places)
        self._start = places[0] if places else 0
        self._is_slice = places == list(range(self._start, self._start + self._count))
        index = torch.tensor(places, dtype=torch.long)
        self.register_buffer("_index", index, persistent=False)

    def of(self, x: Tensor) -> Tensor:
        """What ``(..., length)`` has there."""
        if self._is_slice:
            return x.narrow(-1, self._start, self._count)
        return x.index_select(-1, self._index)

    def spread(self, values: Tensor) -> Tensor:
        """The values there, and zeros elsewhere: ``(..., length)``."""
        if self._is_slice:
            after = self._length - self._start - self._count
            return torch.nn.functional.pad(values, (self._start, after))
        zeros = values.new_zeros(*values.shape[:-1], self._length)
        return zeros.index_copy(-1, self._index, values)


# As kernels

# rows whose squares are added up before the sums of these blocks are
_BLOCK = 64


def _sums(
    module: IrrepNormalization, group: int, x: Tensor, y: Tensor | None, mean: Tensor
) -> Tensor:
    """Inner products of x less its mean with y or itself, over each group of rows."""
    shift = module._spread(mean) if module.num_scalars else None
    if group < len(x):
        return kernels.inner(module._runs, group, x, y, shift)
    return kernels.inner(module._runs, min(_BLOCK, group), x, y, shift).sum(0, keepdim=True)


def _forward(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    module: IrrepNormalization,
    per_sample: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The result, means, mean squares, and the inverse roots of these."""
    rows = rows_of(x)
    group = x.shape[1] if per_sample else len(rows)
    mean = module._scalars(rows.view(-1, group, rows.shape[1])).mean(1)
    variance = module._over_components(_sums(module, group, rows, None, mean) / group)
    inverse = (variance + module.eps).rsqrt()
    factors = inverse if weight is None else inverse * weight
    shift = None
    if module.num_scalars:
        shift = -mean * module._scalar_irreps.of(factors)
        shift = module._spread(shift if bias is None else shift + bias)
    out = kernels.combine(module._runs, group, [(factors, rows)], shift)
    return shaped(out, x.shape[:-1]), mean, variance, inverse


class _Normalization(torch.autograd.Function):
    r"""With :math:`y = s\,(x - \mu) + b`, :math:`s = w r`, :math:`r = (\sigma^2+\epsilon)^{-1/2}`.

    .. math:: \bar x = s\,\bar y - \frac{s r^2 D}{n d}\,(x - \mu) - \frac{s}{n}\sum\bar y, \qquad
        D = \sum (x - \mu)\cdot\bar y, \qquad \bar w = r D

    where the last term of the first is that of the invariant scalars, and the sums run over the
    n positions of a group (and, in D, over the d components).
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        module: IrrepNormalization,
        per_sample: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        out, mean, variance, inverse = _forward(x, weight, bias, module, per_sample)
        ctx.save_for_backward(x, weight, bias, mean, inverse)
        ctx.module, ctx.per_sample = module, per_sample
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple:
        x, weight, bias, mean, inverse = ctx.saved_tensors
        module, per_sample = ctx.module, ctx.per_sample
        needed = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled() or not has_kernels(grad, x):
            return *_gradients(module, per_sample, (x, weight, bias), needed, grad), None, None
        rows, grads = rows_of(x), rows_of(grad)
        group = x.shape[1] if per_sample else len(rows)
        products = _sums(module, group, rows, grads, mean)
        of_x = of_weight = of_bias = None
        total = None
        if module.num_scalars:
            total = module._scalars(grads.view(-1, group, grads.shape[1])).sum(1)
        if needed[0]:
            factors = inverse if weight is None else inverse * weight
            second = module._over_components(-factors * inverse.square() * products / group)
            shift = None
            if total is not None:
                factor, other = map(module._scalar_irreps.of, (factors, second))
                shift = module._spread(-factor * total / group - other * mean)
            terms = [(factors, grads), (second, rows)]
            of_x = shaped(kernels.combine(module._runs, group, terms, shift), x.shape[:-1])
        if needed[1]:
            of_weight = (inverse * products).sum(0)
        if needed[2]:
            of_bias = total.sum(0) if total is not None else torch.zeros_like(bias)
        return of_x, of_weight, of_bias, None, None


def _gradients(
    module: IrrepNormalization,
    per_sample: bool,
    inputs: Sequence[Tensor | None],
    needed: Sequence[bool],
    grad: Tensor,
) -> list[Tensor | None]:
    """Gradients that can be differentiated again, of the same in operations of torch."""
    x, weight, bias = inputs
    assert x is not None
    with torch.enable_grad():
        out, _, _ = module._in_operations(x, weight, bias, per_sample)
    wanted = [tensor for tensor, needs in zip(inputs, needed) if needs and tensor is not None]
    found = iter(torch.autograd.grad(out, wanted, grad, create_graph=torch.is_grad_enabled()))
    return [next(found) if needs else None for needs in needed]
