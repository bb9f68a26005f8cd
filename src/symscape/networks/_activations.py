"""Activation functions with their first and second derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["COMPILED", "Activation", "activation"]

_Function = Callable[[Tensor], Tensor]

_NAMES = ("relu", "tanh", "softplus", "erf", "linear")

# those that the compiled loops know
COMPILED = ("relu", "tanh", "softplus", "linear")

# torch's softplus turns into the identity above this value of beta*x; there log(1 + e^-40) is
# below the resolution of float64, so the switch is exact to rounding.
_SOFTPLUS_THRESHOLD = 40.0


@dataclass(frozen=True)
class Activation:
    r"""A scalar function applied to every preactivation, with two derivatives.

    Attributes:
        name: how the function is called in parameter tables, e.g. ``"relu"``.
        f: the value :math:`\phi(z)`, a function from tensor to tensor.
        df: the derivative :math:`\phi'(z)`; at a kink, the left derivative.
        d2f: the second derivative :math:`\phi''(z)`; at a kink, 0.
        scale: the constant that the base function is multiplied by (already inside ``f``, ``df``
            and ``d2f``).
        beta: inverse smoothing length of the softplus; without meaning for the others.
        derivative_from_value: :math:`\phi'` as a function of :math:`\phi` *of the base function*
            (``scale`` = 1), where there is one; it lets a backward pass do without the
            preactivations.

    All four functions work element by element on tensors of any shape and are differentiable by
    autograd.
    """

    name: str
    f: _Function
    df: _Function
    d2f: _Function
    scale: float = 1.0
    beta: float = 1.0
    derivative_from_value: _Function | None = None

    def __call__(self, z: Tensor) -> Tensor:
        """The value ``f(z)``."""
        return self.f(z)


def _relu(z: Tensor, scale: float) -> Tensor:
    return F.relu(z) * scale if scale != 1.0 else F.relu(z)


def _step(z: Tensor, scale: float) -> Tensor:
    return (z > 0).to(z.dtype) * scale


def _zeros(z: Tensor) -> Tensor:
    return torch.zeros_like(z)


def _tanh(z: Tensor, scale: float) -> Tensor:
    return torch.tanh(z) * scale


def _tanh_derivative(z: Tensor, scale: float) -> Tensor:
    return _tanh_slope(torch.tanh(z)) * scale


def _tanh_second(z: Tensor, scale: float) -> Tensor:
    value = torch.tanh(z)
    return -2.0 * scale * value * _tanh_slope(value)


def _tanh_slope(value: Tensor) -> Tensor:
    return 1.0 - value * value


def _softplus(z: Tensor, beta: float, scale: float) -> Tensor:
    return F.softplus(z, beta, _SOFTPLUS_THRESHOLD) * scale


def _softplus_derivative(z: Tensor, beta: float, scale: float) -> Tensor:
    return torch.sigmoid(beta * z) * scale


def _softplus_second(z: Tensor, beta: float, scale: float) -> Tensor:
    s = torch.sigmoid(beta * z)
    return beta * scale * s * (1.0 - s)


def _softplus_slope(value: Tensor, beta: float) -> Tensor:
    # sigmoid(beta z) = 1 - exp(-beta softplus(z))
    return -torch.expm1(-beta * value)


def _erf(z: Tensor, scale: float) -> Tensor:
    return torch.erf(z) * scale


def _erf_derivative(z: Tensor, scale: float) -> Tensor:
    return torch.exp(-z * z) * (2.0 / torch.pi**0.5 * scale)


def _erf_second(z: Tensor, scale: float) -> Tensor:
    return -2.0 * z * _erf_derivative(z, scale)


def _identity(z: Tensor, scale: float) -> Tensor:
    return z * scale


def _constant(z: Tensor, scale: float) -> Tensor:
    return torch.full_like(z, scale)


@lru_cache
def activation(name: str, beta: float = 5.0, normalized: bool = False) -> Activation:
    r"""The activation called ``name``.

    ========== ======================================== =============================
    name       base function                            scale when ``normalized``
    ========== ======================================== =============================
    relu       :math:`\max(0, z)`                       :math:`\sqrt2`
    tanh       :math:`\tanh z`                          1.5925...
    softplus   :math:`\beta^{-1}\ln(1 + e^{\beta z})`   1.4043... for :math:`\beta=5`
    erf        :math:`\operatorname{erf}z`                1.4664...
    linear     :math:`z`                                1
    ========== ======================================== =============================

    Args:
        name: one of the names above.
        beta: inverse smoothing length of the softplus, > 0; the others ignore it.
        normalized: multiply by the constant that makes :math:`E\,\phi(z)^2 = 1` for
            :math:`z\sim\mathcal N(0, 1)`.

    Raises:
        ValueError: unknown name, or ``beta`` not a positive finite number.

    Source: Introduction, Eq. 2 (the sqrt(2)-relu); Ch. 3, paper I, Section 2 (softplus).
    """
    if name not in _NAMES:
        raise ValueError(f"name: unknown activation {name!r}; allowed: {', '.join(_NAMES)}")
    if not 0 < beta < float("inf"):
        raise ValueError(f"beta: {beta!r} given; allowed: a positive finite number")
    if name == "relu":
        scale = 2.0**0.5 if normalized else 1.0
        step = partial(_step, scale=scale)
        # relu' from the value: z > 0 exactly where max(0, z) > 0
        slope = partial(_step, scale=1.0)
        return Activation(
            name, partial(_relu, scale=scale), step, _zeros, scale, derivative_from_value=slope
        )
    if name == "tanh":
        scale = _normalization(torch.tanh) if normalized else 1.0
        functions = (_tanh, _tanh_derivative, _tanh_second)
        f, df, d2f = (partial(function, scale=scale) for function in functions)
        return Activation(name, f, df, d2f, scale, derivative_from_value=_tanh_slope)
    if name == "softplus":
        scale = _normalization(partial(_softplus, beta=beta, scale=1.0)) if normalized else 1.0
        smooth = (_softplus, _softplus_derivative, _softplus_second)
        f, df, d2f = (partial(function, beta=beta, scale=scale) for function in smooth)
        slope = partial(_softplus_slope, beta=beta)
        return Activation(name, f, df, d2f, scale, beta, slope)
    if name == "erf":
        # E erf(z)^2 = (2/pi) arcsin(2/3)
        scale = (math.pi / 2.0 / math.asin(2.0 / 3.0)) ** 0.5 if normalized else 1.0
        error = (_erf, _erf_derivative, _erf_second)
        f, df, d2f = (partial(function, scale=scale) for function in error)
        return Activation(name, f, df, d2f, scale)
    linear, one = partial(_identity, scale=1.0), partial(_constant, scale=1.0)
    return Activation(name, linear, one, _zeros, derivative_from_value=torch.ones_like)


def _normalization(f: _Function) -> float:
    """1 / sqrt(E f(z)^2), z standard normal, by the trapezium rule (exponentially accurate)."""
    z = torch.linspace(-12.0, 12.0, 20001, dtype=torch.float64)
    density = torch.exp(-z * z / 2.0) / (2.0 * torch.pi) ** 0.5
    return float((f(z) ** 2 * density).sum() * (z[1] - z[0])) ** -0.5
