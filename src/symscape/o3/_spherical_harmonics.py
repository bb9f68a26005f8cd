"""Spherical harmonics of any degree as polynomials, with derivatives of any order."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from symscape._arguments import is_integer
from symscape.contraction._context import is_eager, is_traced, keeps_tensors
from symscape.o3 import _harmonics_kernels
from symscape.o3._harmonics_kernels import recursion, sectoral
from symscape.o3._irreps import Irrep, Irreps, IrrepsLike
from symscape.o3._rotation import direction

__all__ = ["SphericalHarmonics", "spherical_harmonics"]

NORMALIZATIONS = ("integral", "component", "norm")


class SphericalHarmonics(nn.Module):
    r"""Real spherical harmonics :math:`Y^l(x)`, homogeneous polynomials of degree ``l``.

    :math:`Y^l(R x) = D^l(R)\, Y^l(x)`. Normalization on the unit sphere:

    - ``"component"``: :math:`\|Y^l\|^2 = 2l+1`, so :math:`Y^1 = \sqrt 3\,(x, y, z)`;
    - ``"norm"``: :math:`\|Y^l\| = 1`;
    - ``"integral"``: :math:`\int (Y^l_m)^2 = 1`, the first divided by :math:`\sqrt{4\pi}`.

    All derivatives are finite everywhere: with ``normalize`` the direction of the vector 0 is 0,
    and its gradient too.

    Args:
        irreps_out: degree, list of degrees, or irreps; multiplicities repeat.
        normalize: evaluate at ``x / |x|``.
        normalization: see above.
        irreps_in: ``"1o"`` for vectors, ``"1e"`` for pseudovectors; None takes what suits
            ``irreps_out``, vectors in doubt.

    Attributes:
        irreps_in: as given or inferred.
        irreps_out: as given, simplified.

    Raises:
        ValueError: parities that do not belong together, negative degrees, an unknown
            normalization, at a call: another shape or dtype of x.
    """

    def __init__(
        self,
        irreps_out: int | Sequence[int] | IrrepsLike,
        normalize: bool,
        normalization: str = "integral",
        irreps_in: IrrepsLike | None = None,
    ) -> None:
        super().__init__()
        _check_normalization(normalization)
        degrees = is_integer(irreps_out) or _are_degrees(irreps_out)
        irreps = None if degrees else Irreps(irreps_out)  # type: ignore[arg-type]
        self.irreps_in = _input_irreps(irreps, irreps_in)
        p = self.irreps_in[0].ir.p
        if irreps is None:
            ls = [irreps_out] if is_integer(irreps_out) else list(irreps_out)
        else:
            for entry in irreps:
                if entry.ir.p != p**entry.ir.l:
                    raise ValueError(
                        f"irreps_out has {entry.ir}, but harmonics of degree {entry.ir.l} of "
                        f'irreps_in = "{self.irreps_in}" have parity {p**entry.ir.l}'
                    )
            ls = irreps.ls
        self.irreps_out = Irreps([(1, (l, p**l)) for l in ls]).simplify()
        self.normalize = normalize
        self.normalization = normalization
        self._ls = ls

    def forward(self, x: Tensor) -> Tensor:
        """The harmonics of the vectors.

        Args:
            x: ``(..., 3)``.

        Returns:
            ``(..., irreps_out.dim)``.
        """
        if x.ndim == 0 or x.shape[-1] != 3:
            raise ValueError(f"x must have shape (..., 3); got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise ValueError(f"x must be of floating point; got {x.dtype}")
        ls = self._ls
        if not ls:
            return x.new_empty((*x.shape[:-1], 0))
        y = _harmonics(max(ls), x, self.normalize, self.normalization)
        if ls == list(range(len(ls))):
            return y
        return torch.cat([y[..., l**2 : (l + 1) ** 2] for l in ls], dim=-1)

    def extra_repr(self) -> str:
        """What the printed module shows."""
        return (
            f"{self.irreps_in} -> {self.irreps_out}, normalize={self.normalize}, "
            f"normalization={self.normalization}"
        )


def spherical_harmonics(
    l: int | Sequence[int] | IrrepsLike,
    x: Tensor,
    normalize: bool,
    normalization: str = "integral",
) -> Tensor:
    """Real spherical harmonics, see ``SphericalHarmonics``.

    Args:
        l: degree, list of degrees, or irreps.
        x: ``(..., 3)``.
        normalize: evaluate at ``x / |x|``.
        normalization: ``"integral"``, ``"component"`` or ``"norm"``.

    Returns:
        ``(..., dim)``, the degrees in the order given.

    Raises:
        ValueError: as ``SphericalHarmonics``.
    """
    # a module takes longer to make than a few thousand harmonics; lists are the usual sequences
    degrees: Any = tuple(l) if isinstance(l, list) else int(l) if is_integer(l) else l
    simple = isinstance(degrees, (int, str, Irrep)) or all(type(d) is int for d in degrees)
    if not simple or torch.compiler.is_compiling():  # which does not look into caches
        return SphericalHarmonics(l, normalize, normalization)(x)
    return _module(degrees, normalize, normalization)(x)


@functools.lru_cache(maxsize=256, typed=True)
def _module(l: Any, normalize: bool, normalization: str) -> SphericalHarmonics:
    return SphericalHarmonics(l, normalize, normalization)


@functools.cache
def scales(lmax: int, normalization: str) -> tuple[float, ...]:
    """Ratio to component normalization, for each degree."""
    if normalization == "norm":
        return tuple(1 / math.sqrt(2 * l + 1) for l in range(lmax + 1))
    factor = 1.0 if normalization == "component" else 1 / math.sqrt(4 * math.pi)
    return (factor,) * (lmax + 1)


def polynomials(lmax: int, scale: Sequence[float], xyz: Tensor, square: Tensor) -> list[Tensor]:
    r"""The harmonics of each degree by the recursion in the degree, in plain torch.

    :math:`Y_{lm} = a\,y\,Y_{l-1,m} - b\,r^2\,Y_{l-2,m}`, and from the complex
    :math:`(z + i x)^l` for :math:`m = \pm l`.

    Args:
        lmax: largest degree.
        scale: ratio to component normalization, for each degree.
        xyz: ``(..., 3)``.
        square: :math:`r^2`, ``(..., 1)``.

    Returns:
        ``(..., 2l+1)`` for each degree.
    """
    x, y, z = xyz.split(1, dim=-1)
    found = [torch.full_like(x, scale[0])]
    for l in range(1, lmax + 1):
        below = found[l - 1]
        sine, cosine = below[..., :1], below[..., -1:]
        if l == 1:
            sine = torch.zeros_like(sine)
        factor = sectoral(l) * scale[l] / scale[l - 1]
        factors = [recursion(l, m) for m in range(-l + 1, l)]
        a = below.new_tensor([a * scale[l] / scale[l - 1] for a, _ in factors])
        middle = a * y * below
        if l > 1:
            b = below.new_tensor([b * scale[l] / scale[l - 2] for _, b in factors[1:-1]])
            # the outermost two have no term of degree l - 2
            middle = middle - nn.functional.pad(b * square * found[l - 2], (1, 1))
        first, last = factor * (z * sine + x * cosine), factor * (z * cosine - x * sine)
        found.append(torch.cat([first, middle, last], dim=-1))
    return found


def _harmonics(lmax: int, x: Tensor, normalize: bool, normalization: str) -> Tensor:
    scale = scales(lmax, normalization)
    if _has_kernel(lmax, x):
        rows = x.reshape(-1, 3)
        y = _form("values", lmax, scale, normalize, rows, None, None, None)
        return y.reshape(*x.shape[:-1], y.shape[-1])
    if normalize:
        x = direction(x)
    square = x.square().sum(-1, keepdim=True)
    return torch.cat(polynomials(lmax, scale, x, square), dim=-1)


def _has_kernel(lmax: int, x: Tensor) -> bool:
    """Forward-mode differentiation needs operations that torch itself can differentiate."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and lmax <= _harmonics_kernels.LMAX
        and torch.autograd.forward_ad._current_level < 0
    )


# The kernels as an operator of torch, closed under differentiation

_SLOTS = ("u", "g", "h")


@torch.library.custom_op("symscape::harmonic_form", mutates_args=())
def harmonic_form(
    target: str,
    lmax: int,
    scale: Sequence[float],
    normalize: bool,
    x: Tensor | None,
    u: Tensor | None,
    g: Tensor | None,
    h: Tensor | None,
) -> Tensor:
    """Spherical harmonics of the rows of x, or a derivative of the form of their gradient.

    Args:
        target: ``"values"``, or the argument of the form to differentiate for: u, g or h.
        lmax: largest degree.
        scale: ratio to component normalization, for each degree.
        normalize: harmonics of ``x / |x|``.
        x: points ``(rows, 3)``, of which u are the harmonics if u is not given.
        u: ``(rows, (lmax + 1)^2)``.
        g: ``(rows, (lmax + 1)^2)``.
        h: ``(rows, 3)``.
    """
    return _evaluate(target, lmax, scale, normalize, x, u, g, h)


def _evaluate(target: str, lmax: int, scale: Any, normalize: bool, *tensors: Any) -> Tensor:
    arrays = {n: t for n, t in zip(("x", *_SLOTS), tensors) if t is not None}
    return _harmonics_kernels.evaluate(target, lmax, scale, normalize, **arrays)


@harmonic_form.register_fake
def _(target: str, lmax: int, scale: Any, normalize: bool, *tensors: Any) -> Tensor:
    some = next(t for t in tensors if t is not None)
    return some.new_empty((some.shape[0], 3 if target == "h" else (lmax + 1) ** 2))


def _setup(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.target, ctx.lmax, ctx.scale, ctx.normalize = inputs[:4]
    ctx.save_for_backward(*inputs[4:])


def _backward(ctx: Any, grad: Tensor) -> tuple:
    """The form is linear in u, g, h: with the cotangent in place of the target, again the form."""
    x, *slots = ctx.saved_tensors
    lmax, scale = ctx.lmax, ctx.scale
    if ctx.target == "values":
        gradient = _gradient_of_points(lmax, scale, ctx.normalize, x, grad)
        return None, None, None, None, gradient, None, None, None
    given = dict(zip(_SLOTS, slots)) | {ctx.target: grad}

    def derivative(target: str) -> Tensor:
        arguments = [None if name == target else given[name] for name in _SLOTS]
        return _form(target, lmax, scale, False, None if target == "u" else x, *arguments)

    needed = dict(zip(("x", *_SLOTS), ctx.needs_input_grad[4:]))
    found = {name: derivative(name) for name in _SLOTS if needed[name]}
    if needed["x"]:
        found["x"] = _gradient_of_points(lmax, scale, False, x, derivative("u"))
    return None, None, None, None, *(found.get(name) for name in ("x", *_SLOTS))


def _gradient_of_points(
    lmax: int, scale: Sequence[float], normalize: bool, x: Tensor, grad: Tensor
) -> Tensor:
    if not normalize:
        return _form("h", lmax, scale, False, x, None, grad, None)
    if not torch.is_grad_enabled() and _is_eager(x, grad):
        return _evaluate("h", lmax, scale, True, x, None, grad, None)
    # nobody differentiates the fused kernel: the same again, in operations that have derivatives
    n = direction(x)
    inner = _form("h", lmax, scale, False, n, None, grad, None)
    tangential = inner - n * (n * inner).sum(-1, keepdim=True)
    # |x| = <n, x>: 0, like the gradient, at 0
    length = (n * x).sum(-1, keepdim=True)
    zero = length == 0
    return torch.where(zero, 0, tangential / torch.where(zero, 1, length))


def _vmap(info: Any, in_dims: tuple, *args: Any) -> tuple[Tensor, int]:
    """Fold the mapped dimension into the rows."""

    def fold(tensor: Tensor | None, dim: int | None) -> Tensor | None:
        if tensor is None:
            return None
        full = tensor.expand(info.batch_size, *tensor.shape)
        if dim is not None:
            full = tensor.movedim(dim, 0)
        return full.reshape(-1, full.shape[-1])

    y = _form(*args[:4], *(fold(t, d) for t, d in zip(args[4:], in_dims[4:])))
    return y.reshape(info.batch_size, -1, y.shape[-1]), 0


harmonic_form.register_autograd(_backward, setup_context=_setup)
harmonic_form.register_vmap(_vmap)


class _Form(torch.autograd.Function):
    """The operator in the shape that ``torch.func`` asks for, and faster to call."""

    @staticmethod
    def forward(*args: Any) -> Tensor:
        eager = _is_eager(*(t for t in args[4:] if t is not None))
        return (_evaluate if eager else harmonic_form)(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        _setup(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return _backward(ctx, grad)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *args: Any) -> tuple[Tensor, int]:
        return _vmap(info, in_dims, *args)


def _form(*args: Any) -> Tensor:
    if is_traced():
        return harmonic_form(*args)
    tensors = [t for t in args[4:] if t is not None]
    if not (torch.is_grad_enabled() and any(t.requires_grad for t in tensors)) and _is_eager(
        *tensors
    ):
        return _evaluate(*args)
    return _Form.apply(*args)


def _is_eager(*tensors: Tensor) -> bool:
    """Whether the tensors have memory and nobody records what is done with them."""
    return keeps_tensors() and is_eager(tensors)


# Arguments


def _are_degrees(value: object) -> bool:
    """Irrep is a tuple of integers too, but not a list of degrees."""
    if isinstance(value, (str, Irrep)) or not isinstance(value, Sequence):
        return False
    return all(is_integer(l) for l in value)


def _check_normalization(normalization: str) -> None:
    if normalization not in NORMALIZATIONS:
        raise ValueError(
            f"normalization must be one of {', '.join(NORMALIZATIONS)}; got {normalization!r}"
        )


def _input_irreps(irreps_out: Irreps | None, irreps_in: IrrepsLike | None) -> Irreps:
    if irreps_in is not None:
        irreps = Irreps(irreps_in)
        if irreps not in (Irreps("1o"), Irreps("1e")):
            raise ValueError(f'irreps_in must be one vector, "1o" or "1e"; got "{irreps}"')
        return irreps
    pseudo = any(ir.l % 2 == 1 and ir.p == 1 for _, ir in irreps_out or ())
    return Irreps("1e" if pseudo else "1o")
