"""Convolutional networks of the thesis: torch modules in the parametrizations of the library."""

from __future__ import annotations

import math
from typing import get_args

import torch
from torch import Tensor, nn

from symscape._arguments import integer
from symscape.networks._activations import Activation, activation
from symscape.networks._fully_connected import Parametrization

__all__ = ["Nonlinearity", "PooledCNN", "Scale", "StridedCNN", "WideResNet"]

_MIX = math.sqrt(0.5)  # cos 45° = sin 45°: shortcut and branch keep the second moment


class Scale(nn.Module):
    r"""Multiplication by a constant, :math:`x \mapsto \lambda x`: prefactor of the layer behind.

    With the prefactor on the input of a layer, :math:`\lambda W x + b = W(\lambda x) + b`, the
    layers themselves are torch's own, and whatever knows these (the layer-by-layer NTK, say) knows
    the networks of this module.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """The product."""
        return x * self.factor

    def extra_repr(self) -> str:
        """The factor."""
        return f"{self.factor:.6g}"


class Nonlinearity(nn.Module):
    """An :class:`symscape.networks.Activation` as a module."""

    def __init__(self, phi: Activation) -> None:
        super().__init__()
        self.phi = phi

    def forward(self, x: Tensor) -> Tensor:
        """The activation of every entry."""
        return self.phi(x)

    def extra_repr(self) -> str:
        """Its name."""
        return self.phi.name


class _Layers:
    """Makes convolutions and linear maps of one network, one after another, from one seed."""

    def __init__(
        self, parametrization: Parametrization, bias: bool, seed: int, dtype: torch.dtype | None
    ) -> None:
        if parametrization not in get_args(Parametrization):
            allowed = ", ".join(get_args(Parametrization))
            raise ValueError(f"parametrization: {parametrization!r} given; allowed: {allowed}")
        self.parametrization, self.bias = parametrization, bias
        self.generator = torch.Generator().manual_seed(integer("seed", seed))
        self.dtype = dtype or torch.get_default_dtype()

    def convolution(
        self, fan_in: int, out: int, side: int, stride: int = 1, padding: int = 0
    ) -> nn.Sequential:
        layer = nn.Conv2d(
            fan_in, out, side, stride, padding, bias=self.bias, device="meta", dtype=self.dtype
        )
        return self._started(layer, fan_in * side**2, last=False)

    def linear(self, fan_in: int, out: int) -> nn.Sequential:
        layer = nn.Linear(fan_in, out, bias=self.bias, device="meta", dtype=self.dtype)
        return self._started(layer, fan_in, last=True)

    def _started(self, layer: nn.Conv2d | nn.Linear, fan_in: int, last: bool) -> nn.Sequential:
        """The layer with its weights, behind its prefactor."""
        weight = torch.randn(layer.weight.shape, generator=self.generator, dtype=torch.float64)
        standard = self.parametrization == "standard"
        if standard:
            weight *= fan_in**-0.5
        _set(layer, weight)
        if standard:
            return nn.Sequential(layer)
        power = 1.0 if last and self.parametrization == "mfp" else 0.5
        return nn.Sequential(Scale(fan_in**-power), layer)


class StridedCNN(nn.Module):
    r"""The convolutional network of chapter 3: four strided convolutions, a mean over the image.

    .. math::
        \tilde z^1 = \lambda_1 W^1 * x, \quad
        \tilde z^{l+1} = \lambda_{l+1} W^{l+1} * \phi(\tilde z^l), \quad
        f = \lambda_5 W^5 \langle \phi(\tilde z^4) \rangle_\text{pixels},

    with filters of 5 x 5 pixels, padding 1, strides 2, 1, 2, 1 and h channels in every layer. The
    prefactors are fan-in :math:`^{-a_l}`, with the exponents of
    :class:`symscape.networks.FullyConnected` (1/2; for ``"mfp"`` 1 in the last layer; 0 for
    ``"standard"``) and a fan-in of 25 times the channels for convolutions. Weights start as
    :math:`\mathcal N(0, 1)`, and as :math:`\mathcal N(0, 1/\text{fan-in})` with ``"standard"``, so
    that it is the network of ``"ntp"`` at the start and another one in training; biases are 0.

    Without biases :math:`N = 25 c_0 h + 3 \cdot 25 h^2 + h c`: 191,300 for CIFAR-10 and h = 50.

    Args:
        h: channels of every layer, >= 1.
        channels: :math:`c_0`, of the images.
        c: number of outputs, >= 1.
        parametrization: ``"standard"``, ``"ntp"`` or ``"mfp"``.
        activation: a name or an :class:`Activation`; names are given unit second moment.
        bias: whether every layer has a bias.
        seed: of the weights, which are drawn on the CPU in float64 and then cast.
        dtype: torch's default one unless given.

    The layers are ``blocks`` (four, prefactor and convolution) and ``readout``; ``phi`` is the
    activation.

    Raises:
        ValueError: a size out of range, or an unknown name.

    Source: Ch. 3, paper I, Section 7 and App. J; sheet 03, A5.
    """

    STRIDES = (2, 1, 2, 1)
    SIDE = 5
    PADDING = 1
    LEAST = 19  # pixels, of which one is left

    def __init__(
        self,
        h: int,
        channels: int = 3,
        c: int = 1,
        *,
        parametrization: Parametrization = "ntp",
        activation: Activation | str = "softplus",
        bias: bool = False,
        seed: int = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        h, channels, c = (
            integer(*pair, 1) for pair in (("h", h), ("channels", channels), ("c", c))
        )
        make = _Layers(parametrization, bias, seed, dtype)
        self.h, self.c, self.parametrization = h, c, parametrization
        self.phi = _phi(activation)
        self.nonlinearity = Nonlinearity(self.phi)
        sizes = [channels, h, h, h]
        self.blocks = nn.ModuleList(
            make.convolution(fan_in, h, self.SIDE, stride, self.PADDING)
            for fan_in, stride in zip(sizes, self.STRIDES, strict=True)
        )
        self.readout = make.linear(h, c)

    def forward(self, x: Tensor) -> Tensor:
        """Images (P, channels, n, n), n >= 19, to (P,), or (P, c) if c > 1."""
        if x.ndim != 4 or min(x.shape[2:]) < self.LEAST:
            raise ValueError(
                f"x: shape {tuple(x.shape)} given; allowed: (P, channels, n, n), n >= {self.LEAST}"
            )
        for block in self.blocks:
            x = self.nonlinearity(block(x))
        return _outputs(self.readout(x.mean((2, 3))))


class WideResNet(nn.Module):
    r"""A wide residual network without normalization of batches.

    A convolution of 3 x 3 to 16 channels; three stages of 16 k, 32 k and 64 k channels (k the
    widen factor) with ``blocks`` pre-activation blocks each; activation, mean over the image,
    linear map. A block is

    .. math::
        x \mapsto \cos 45° \, S x
            + \sin 45° \, W^2 * \phi(W^1 * \phi(x)),

    with convolutions of 3 x 3, padding 1, and S the identity or, where the shape changes, a
    convolution of 1 x 1. The first block of a stage has stride 1, 2, 2 (in its second
    convolution). There are 6 ``blocks`` + 1 hidden convolutions on the main path: 25 in the
    thesis's 28 x 10 network, whose k is 10.

    Prefactors, initial weights and arguments are those of :class:`StridedCNN`; biases start at 0.

    Args:
        widen: k, >= 1.
        blocks: blocks of a stage, >= 1.
        channels: of the images.
        c: number of outputs, >= 1.
        base: channels of the first convolution, to which the stages are proportional.

    Raises:
        ValueError: a size out of range, or an unknown name.

    Source: Ch. 3, paper I, App. A; sheet 03, A6.
    """

    STRIDES = (1, 2, 2)

    def __init__(
        self,
        widen: int = 10,
        blocks: int = 4,
        channels: int = 3,
        c: int = 1,
        *,
        base: int = 16,
        parametrization: Parametrization = "ntp",
        activation: Activation | str = "relu",
        bias: bool = True,
        seed: int = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        widen, blocks = integer("widen", widen, 1), integer("blocks", blocks, 1)
        channels, c = integer("channels", channels, 1), integer("c", c, 1)
        base = integer("base", base, 1)
        make = _Layers(parametrization, bias, seed, dtype)
        self.c, self.parametrization = c, parametrization
        self.phi = _phi(activation)
        self.nonlinearity = Nonlinearity(self.phi)
        self.first = make.convolution(channels, base, 3, padding=1)
        self.blocks, fan_in = nn.ModuleList(), base
        for stage, first_stride in enumerate(self.STRIDES):
            out = base * widen * 2**stage
            for stride in [first_stride, *[1] * (blocks - 1)]:
                self.blocks.append(_Block(make, fan_in, out, stride, self.nonlinearity))
                fan_in = out
        self.readout = make.linear(fan_in, c)

    def forward(self, x: Tensor) -> Tensor:
        """Images (P, channels, n, n) to (P,), or (P, c) if c > 1."""
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return _outputs(self.readout(self.nonlinearity(x).mean((2, 3))))


class _Block(nn.Module):
    """A pre-activation block of a residual network."""

    def __init__(
        self, make: _Layers, fan_in: int, out: int, stride: int, nonlinearity: Nonlinearity
    ) -> None:
        super().__init__()
        self.nonlinearity = nonlinearity
        self.first = make.convolution(fan_in, out, 3, padding=1)
        self.second = make.convolution(out, out, 3, stride, padding=1)
        same = stride == 1 and fan_in == out
        self.shortcut = nn.Identity() if same else make.convolution(fan_in, out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.second(self.nonlinearity(self.first(self.nonlinearity(x))))
        return _MIX * self.shortcut(x) + _MIX * branch


class PooledCNN(nn.Module):
    r"""The convolutional network of the double-descent paper.

    Three convolutions of 3 x 3 with padding 1 and f channels, each with the activation and a
    maximum over 2 x 2 pixels behind; all that is left, flat, into a linear map. Weights start in
    Xavier's uniform distribution, of variance 2 / (fan-in + fan-out); biases at 0.

    On 32 x 32 images with three channels and ten outputs :math:`N = 18 f^2 + 187 f` without
    biases, :math:`18 f^2 + 190 f + 10` with.

    Args:
        f: channels of every layer, >= 1.
        channels: of the images.
        c: number of outputs, >= 1.
        size: pixels along the side of the images, >= 8.
        activation: a name or an :class:`Activation`.
        bias: whether every layer has a bias.
        seed: of the weights, which are drawn on the CPU in float64 and then cast.
        dtype: torch's default one unless given.

    Raises:
        ValueError: a size out of range, or an unknown name.

    Source: Ch. 2, double-descent paper, Section 6; sheet 02, 3.9.
    """

    def __init__(
        self,
        f: int,
        channels: int = 3,
        c: int = 10,
        *,
        size: int = 32,
        activation: Activation | str = "relu",
        bias: bool = True,
        seed: int = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        f, channels, c = (
            integer(*pair, 1) for pair in (("f", f), ("channels", channels), ("c", c))
        )
        size = integer("size", size, 8)
        generator = torch.Generator().manual_seed(integer("seed", seed))
        dtype = dtype or torch.get_default_dtype()
        self.f, self.c = f, c
        self.phi = _phi(activation, normalized=False)
        self.nonlinearity = Nonlinearity(self.phi)
        self.pool = nn.MaxPool2d(2)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(fan_in, f, 3, padding=1, bias=bias, device="meta", dtype=dtype)
            for fan_in in (channels, f, f)
        )
        self.readout = nn.Linear(f * (size // 8) ** 2, c, bias=bias, device="meta", dtype=dtype)
        for layer in (*self.convolutions, self.readout):
            weight = torch.empty(layer.weight.shape, dtype=torch.float64)
            _set(layer, nn.init.xavier_uniform_(weight, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """Images (P, channels, size, size) to (P,), or (P, c) if c > 1."""
        for convolution in self.convolutions:
            x = self.pool(self.nonlinearity(convolution(x)))
        return _outputs(self.readout(x.flatten(1)))


def _set(layer: nn.Module, weight: Tensor) -> None:
    """Give a layer on the meta device, which has no numbers, its weight, and biases of 0."""
    layer.to_empty(device="cpu")
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(weight if name == "weight" else torch.zeros_like(parameter))


def _phi(given: Activation | str, normalized: bool = True) -> Activation:
    return activation(given, normalized=normalized) if isinstance(given, str) else given


def _outputs(f: Tensor) -> Tensor:
    return f.squeeze(-1) if f.shape[-1] == 1 else f
