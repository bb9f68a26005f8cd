"""Fully connected networks as functions of one flat vector of parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from symscape._arguments import integer, integer_fields, is_integer, refused
from symscape.networks._activations import Activation, activation
from symscape.networks._initialization import Scheme, initial_layers

__all__ = ["FullyConnected", "Layer", "Parametrization", "width_from_weights"]

Parametrization = Literal["standard", "ntp", "mfp"]
Layer = tuple[Tensor, Tensor | None]

_PARAMETRIZATIONS = ("standard", "ntp", "mfp")


@dataclass(frozen=True)
class FullyConnected:
    r"""A fully connected network with ``L`` hidden layers of width ``h``.

    .. math::
        \tilde z^{1} &= \lambda_1 W^1 x + s b^1, \qquad z^l = \phi(\tilde z^l), \\
        \tilde z^{l+1} &= \lambda_{l+1} W^{l+1} z^l + s b^{l+1}, \qquad f = \tilde z^{L+1},

    with the prefactors :math:`\lambda_l` = {fan-in of layer l} :math:`^{-a_l}`:

    ============ ==================== ====================
    name         :math:`a_1 .. a_L`   :math:`a_{L+1}`
    ============ ==================== ====================
    standard     0                    0
    ntp          1/2                  1/2
    mfp          1/2                  1
    ============ ==================== ====================

    The network holds no numbers: its parameters are one flat vector ``w`` of
    ``n_parameters`` entries in the order W1, b1, W2, b2, ... (each matrix row by row, of shape
    (out, in)), so that flows, Hessians and kernels are plain linear algebra. Biases are *added*,
    outside the prefactor; the jamming net of the thesis, written with :math:`-B`, is this one
    with :math:`B = -b`.

    Args:
        d: input dimension, >= 1.
        h: width of the hidden layers, >= 1. A width that is not an integer stands between two
            networks: hidden layer i = 1..L has :math:`\lfloor h + 1 - i/L \rfloor` neurons (11, 11,
            10, 10, 10 for h = 10.5 and L = 5), so that N grows in small steps.
        L: number of hidden layers, >= 0; with L = 0 the network is the linear map from d to c.
        c: number of outputs, >= 1.
        parametrization: ``"standard"``, ``"ntp"`` or ``"mfp"``.
        activation: a name known to :func:`symscape.networks.activation`, or an
            :class:`Activation`.
        bias: whether every layer has a bias.
        normalized: give the named activation unit second moment (the sqrt(2)-relu).
        bias_factor: the factor s of the biases, > 0: the smaller, the slower they learn.

    Raises:
        ValueError: a size out of range, an unknown name, or ``normalized`` together with an
            :class:`Activation` object (which carries its own scale).

    Source: Introduction, Eq. 2 and Table 1; Ch. 1, Eq. 6-8; Ch. 2, paper B, code (widths that are
    not integers); Ch. 3, paper I, App. J (bias_factor 0.1).
    """

    d: int
    h: float
    L: int
    c: int = 1
    parametrization: Parametrization = "standard"
    activation: Activation | str = "relu"
    bias: bool = True
    normalized: bool = False
    bias_factor: float = 1.0

    def __post_init__(self) -> None:
        integer_fields(self, d=1, L=0, c=1)
        object.__setattr__(self, "h", _width(self.h))
        if not 0 < self.bias_factor < math.inf:
            raise refused("bias_factor", self.bias_factor, "a positive number")
        if self.parametrization not in _PARAMETRIZATIONS:
            allowed = ", ".join(_PARAMETRIZATIONS)
            raise ValueError(f"parametrization: {self.parametrization!r} given; allowed: {allowed}")
        if isinstance(self.activation, Activation) and self.normalized:
            raise ValueError(
                "normalized: True given with an Activation object; allowed: with a name only"
            )
        _ = self.phi

    @cached_property
    def phi(self) -> Activation:
        """The activation function."""
        if isinstance(self.activation, Activation):
            return self.activation
        return activation(self.activation, normalized=self.normalized)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """Numbers of neurons of the L hidden layers, the first of which is the widest."""
        # the small number makes up for the rounding of i / L
        return tuple(math.floor(self.h + 1 - i / self.L + 1e-9) for i in range(1, self.L + 1))

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Shapes (out, in) of the L + 1 weight matrices."""
        sizes = [self.d, *self.widths, self.c]
        return tuple((sizes[i + 1], sizes[i]) for i in range(self.L + 1))

    @cached_property
    def prefactors(self) -> tuple[float, ...]:
        """The L + 1 prefactors of the weight matrices."""
        if self.parametrization == "standard":
            return (1.0,) * (self.L + 1)
        powers = [0.5] * self.L + [0.5 if self.parametrization == "ntp" else 1.0]
        return tuple(fan_in**-a for (_, fan_in), a in zip(self.shapes, powers, strict=True))

    @property
    def n_weights(self) -> int:
        """Number of weights without biases, the thesis's N.

        d h + (L - 1) h^2 + h c for an integer h.
        """
        return sum(out * fan_in for out, fan_in in self.shapes)

    @property
    def n_biases(self) -> int:
        """Number of biases, L h + c (0 without bias)."""
        return sum(out for out, _ in self.shapes) if self.bias else 0

    @property
    def n_parameters(self) -> int:
        """Number of weights and biases, N_tot: the length of ``w``."""
        return self.n_weights + self.n_biases

    @property
    def n_neurons(self) -> int:
        """Number of hidden neurons, L h for an integer h."""
        return sum(self.widths)

    def unpack(self, w: Tensor) -> list[Layer]:
        """The layers of ``w`` as views.

        Args:
            w: parameters, (..., n_parameters).

        Returns:
            L + 1 pairs: the matrix (..., out, in) and the bias (..., out), or None without bias.
        """
        self._check_w(w)
        layers: list[Layer] = []
        start = 0
        for out, fan_in in self.shapes:
            end = start + out * fan_in
            matrix = w[..., start:end].unflatten(-1, (out, fan_in))
            start = end
            if self.bias:
                layers.append((matrix, w[..., start : start + out]))
                start += out
            else:
                layers.append((matrix, None))
        return layers

    def pack(self, layers: Sequence[Layer]) -> Tensor:
        """The flat vector (..., n_parameters) of the given layers; inverse of :meth:`unpack`."""
        if len(layers) != self.L + 1:
            raise ValueError(f"layers: {len(layers)} given; allowed: {self.L + 1}")
        parts: list[Tensor] = []
        for index, ((matrix, b), shape) in enumerate(zip(layers, self.shapes, strict=True)):
            if tuple(matrix.shape[-2:]) != shape:
                raise ValueError(
                    f"layers: matrix {index} of shape {tuple(matrix.shape)} given; "
                    f"allowed: (..., {shape[0]}, {shape[1]})"
                )
            if (b is not None) != self.bias:
                raise ValueError(
                    f"layers: layer {index} {'lacks its' if self.bias else 'has a'} bias; "
                    f"allowed: bias={self.bias} in every layer"
                )
            parts.append(matrix.flatten(-2))
            if b is not None:
                parts.append(b)
        return torch.cat(parts, dim=-1)

    def initial_weights(
        self,
        seed: int | torch.Generator,
        scheme: Scheme = "normal",
        *,
        gain: float = 1.0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        r"""Random initial parameters.

        =============== ================================================== =====================
        scheme          weights                                            biases
        =============== ================================================== =====================
        normal          i.i.d. :math:`\mathcal N(0, 1)`                    0
        orthogonal      QR of a Gaussian matrix, columns multiplied by the 0
                        sign of diag R; orthonormal along the shorter side
        orthogonal_rows the same for every block of fan-in rows, so that   0
                        every row has unit norm in tall matrices too
        pytorch         uniform in :math:`[-\sigma, \sigma]`,              the same uniform
                        :math:`\sigma^2` = 1 / fan-in
        =============== ================================================== =====================

        ``gain`` multiplies the weights of the last layer (a random unit row in the orthogonal
        schemes with c = 1). Numbers are always drawn on the CPU in float64 and then cast and
        moved, so one seed means the same network for every dtype and device.

        Returns:
            ``w`` of shape (n_parameters,).

        Raises:
            ValueError: unknown scheme, or a seed that is no integer.

        Source: Ch. 1, paper B, App. B (orthogonal and default initializations); Ch. 2, paper B,
        code (orthogonal rows); Introduction, Section 0.1 (normal).
        """
        generator = seed
        if not isinstance(generator, torch.Generator):
            generator = torch.Generator().manual_seed(integer("seed", seed))
        layers = initial_layers(self.shapes, self.bias, scheme, gain, generator)
        return self.pack(layers).to(device=device, dtype=dtype)

    def preactivations(self, w: Tensor, x: Tensor) -> list[Tensor]:
        r"""The preactivations :math:`\tilde z^1 .. \tilde z^L`.

        Args:
            w: parameters, (..., n_parameters).
            x: inputs, (P, d), or (..., P, d) with one set of inputs per member.

        Returns:
            L tensors of shape (..., P, number of neurons of the layer).
        """
        return [a.mT for a in self._layer_by_layer(w, x)[:-1]]

    def __call__(self, w: Tensor, x: Tensor) -> Tensor:
        """The outputs f(w, x), differentiable by autograd and by torch.func.

        Args:
            w: parameters, (..., n_parameters); leading dimensions are members of an ensemble.
            x: inputs, (P, d), or (..., P, d) with one set of inputs per member.

        Returns:
            (..., P) if c = 1, else (..., P, c).

        Raises:
            ValueError: ``w`` or ``x`` of a wrong shape, or of different dtypes.
        """
        f = self._layer_by_layer(w, x)[-1]
        return f.squeeze(-2) if self.c == 1 else f.mT

    def module(self, w: Tensor) -> torch.nn.Module:
        """A :class:`torch.nn.Module` that computes f(w, x) and owns a copy of ``w`` (1-d)."""
        from symscape.networks._module import FullyConnectedModule

        return FullyConnectedModule(self, w)

    @classmethod
    def width_for(cls, N: int, d: int | None, L: int) -> float:
        """Same as :func:`width_from_weights`."""
        return width_from_weights(N, d, L)

    def _layer_by_layer(self, w: Tensor, x: Tensor) -> list[Tensor]:
        """All L + 1 preactivations, feature-major: (..., out, P)."""
        if x.ndim < 2 or x.shape[-1] != self.d:
            raise ValueError(f"x: shape {tuple(x.shape)} given; allowed: (..., P, {self.d})")
        if x.dtype != w.dtype:
            raise ValueError(f"x: {x.dtype} given; allowed: the dtype of w, {w.dtype}")
        z = x.mT
        outputs: list[Tensor] = []
        for index, (matrix, b) in enumerate(self.unpack(w)):
            prefactor = self.prefactors[index]
            a = (matrix if prefactor == 1.0 else prefactor * matrix) @ z
            if b is not None:
                a = a + (b if self.bias_factor == 1.0 else self.bias_factor * b).unsqueeze(-1)
            outputs.append(a)
            if index < self.L:
                z = self.phi.f(a)
        return outputs

    def _check_w(self, w: Tensor) -> None:
        if w.ndim < 1 or w.shape[-1] != self.n_parameters:
            raise ValueError(
                f"w: shape {tuple(w.shape)} given; allowed: (..., {self.n_parameters})"
            )


def _width(h: float) -> float:
    """A width as an integer where it is one, else as a float."""
    if is_integer(h):
        return integer("h", h, 1)
    if not isinstance(h, float) or not 1 <= h < math.inf:
        raise refused("h", h, "a number >= 1")
    return int(h) if h.is_integer() else h


def width_from_weights(N: float, d: int | None, L: int) -> float:
    r"""The (real) width h at which a network with one output has ``N`` weights.

    Solves :math:`N = d h + (L-1) h^2 + h` for h; with ``d=None`` the input dimension follows the
    width, d = h, and :math:`N = L h^2 + h` is solved. Round the result to get equal
    layers.

    Args:
        N: number of weights, > 0.
        d: input dimension >= 1, or None for d = h.
        L: number of hidden layers, >= 1.

    Raises:
        ValueError: an argument out of range.

    Source: Ch. 1, paper B, App. B.
    """
    if not N > 0:
        raise ValueError(f"N: {N!r} given; allowed: a positive number")
    if d is not None:
        d = integer("d", d, 1, allowed="an integer >= 1, or None for d = h")
    L = integer("L", L, 1)
    quadratic, linear = (L, 1) if d is None else (L - 1, d + 1)
    if quadratic == 0:
        return N / linear
    return (math.sqrt(linear**2 + 4 * quadratic * N) - linear) / (2 * quadratic)
