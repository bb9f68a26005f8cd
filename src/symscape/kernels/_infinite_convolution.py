"""Kernels of the thesis's convolutional networks with infinitely many channels (chapter 3)."""

from __future__ import annotations

import math
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from symscape._arguments import integer, refused
from symscape.kernels._dual import Dual, diagonal, dual
from symscape.kernels._infinite import InfiniteKernels, variance_tolerance
from symscape.kernels._ntk_blocks import mirror, ranges
from symscape.networks import Activation, StridedCNN, WideResNet

__all__ = ["infinite_convolution_kernels"]

# arrays of a pair of images that exist at a time: two kernels, their copies, what a mean needs
_ARRAYS = 10

# bytes for a block of pairs of images: more would only leave the cache
_BLOCK_BYTES = 2**26

Net = StridedCNN | WideResNet
State = TypeVar("State")


def infinite_convolution_kernels(
    net: Net,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    memory: int = 2**32,
) -> InfiniteKernels:
    r"""The NNGP kernel and the NTK of a convolutional network with infinitely many channels.

    They follow :math:`\Sigma(x,t;x',t')`, the covariance of the preactivations at the positions t
    and t' of two images, and :math:`\Theta(x,t;x',t')`, through the layers. An activation acts as
    in :func:`infinite_kernels`. A convolution with k x k pixels, the offsets :math:`\Delta` and
    stride s takes the mean

    .. math:: (C\Sigma)(t,t')=\frac1{k^2}\sum_\Delta\Sigma(st+\Delta,st'+\Delta),

    with zeros outside of the image, and :math:`\Theta\mapsto C\Theta+C\Sigma+b`. In a residual
    network shortcut and branch, with weights of their own, add up with the squares of their
    factors. At the end comes the mean over all pairs of positions, and a linear map.

    Args:
        net: the network, with ``parametrization="ntp"``; its number of channels does not matter.
        x1: images, (P1, channels, n, n).
        x2: images, (P2, channels, n, n), or None for ``x1``.
        memory: bytes that may be used beside the result. All pairs of positions are needed: a pair
            of images of 32 x 32 pixels takes 4 MB in a ``StridedCNN``, 84 MB in a ``WideResNet``
            (whose first layers keep all pixels).

    Returns:
        Kernels as those of :func:`infinite_kernels`.

    Raises:
        ValueError: another network or parametrization, images of a wrong shape or dtype, a budget
            that not even one pair of images fits.

    Source: Ch. 3, paper I, Section 7, App. A and J; sheet 03, A5 and A6.
    """
    if not isinstance(net, StridedCNN | WideResNet):
        raise refused("net", type(net).__name__, "a StridedCNN or a WideResNet")
    if net.parametrization != "ntp":
        raise refused("net", f"parametrization {net.parametrization!r}", '"ntp"')
    memory = integer("memory", memory, 1, allowed="a positive number of bytes")
    channels = _first_convolution(net).channels
    for name, x in (("x1", x1), ("x2", x1 if x2 is None else x2)):
        if x.ndim != 4 or x.shape[1] != channels or x.shape[1:] != x1.shape[1:] or len(x) == 0:
            raise refused(name, tuple(x.shape), f"(P, {channels}, n, n), all of one size")
        if x.dtype not in (torch.float32, torch.float64) or x.dtype != x1.dtype:
            raise refused(name, x.dtype, "torch.float32 or torch.float64, as x1")
    with torch.no_grad():
        return _kernels(net, x1, x2, memory)


def _kernels(net: Net, x1: Tensor, x2: Tensor | None, memory: int) -> InfiniteKernels:
    a = x1.double()
    b = a if x2 is None else x2.double()
    variances = _Variances(net.phi, variance_tolerance(x1.dtype))
    variances.run(net, (a, b))
    pair = _ARRAYS * 8 * variances.most_positions**2
    if pair > memory:
        raise ValueError(
            f"memory: {memory} bytes given; allowed: at least {pair}, what a pair of images takes"
        )
    side = max(1, math.isqrt(min(memory, _BLOCK_BYTES) // pair))
    nngp, ntk = a.new_empty(len(a), len(b)), a.new_empty(len(a), len(b))
    for i, i_end in ranges(len(a), side):
        for j, j_end in ranges(len(b), side):
            if x2 is None and j_end <= i:
                continue
            pairs = _Pairs(variances.duals, slice(i, i_end), slice(j, j_end))
            blocks = pairs.run(net, (a[i:i_end], b[j:j_end]))
            nngp[i:i_end, j:j_end], ntk[i:i_end, j:j_end] = blocks
    if x2 is None:
        mirror(nngp)
        mirror(ntk)
    error = max(each.error for each in variances.duals)
    return InfiniteKernels(nngp.to(x1.dtype), ntk.to(x1.dtype), error)


class _Convolution(NamedTuple):
    """A convolution with square kernels: what its width does not change."""

    channels: int
    side: int
    stride: int
    padding: int
    bias: float

    def positions(self, n: int) -> int:
        """Along the side of an image of n pixels."""
        return (n + 2 * self.padding - self.side) // self.stride + 1


class _Layers(Protocol, Generic[State]):
    """What layers do to a state: variances of all images, or kernels of a block of pairs."""

    def first(self, x: tuple[Tensor, Tensor], layer: _Convolution) -> State: ...

    def convolve(self, state: State, layer: _Convolution) -> State: ...

    def activate(self, state: State) -> State: ...

    def mean(self, a: State, b: State) -> State: ...


def _through(layers: _Layers[State], net: Net, x: tuple[Tensor, Tensor]) -> State:
    """The state behind the last activation."""
    state = layers.first(x, _first_convolution(net))
    if isinstance(net, StridedCNN):
        for block in net.blocks[1:]:
            state = layers.convolve(layers.activate(state), _convolution(block))
    else:
        for block in net.blocks:
            branch = layers.convolve(layers.activate(state), _convolution(block.first))
            branch = layers.convolve(layers.activate(branch), _convolution(block.second))
            same = isinstance(block.shortcut, nn.Identity)
            shortcut = state if same else layers.convolve(state, _convolution(block.shortcut))
            state = layers.mean(shortcut, branch)
    return layers.activate(state)


class _Variances:
    """The variances at all positions, (P1 + P2, n, n), and the duals made of them on the way."""

    def __init__(self, phi: Activation, tolerance: float) -> None:
        self._phi, self._tolerance = phi, tolerance
        self.duals: list[Dual] = []
        self.most_positions = 0

    def run(self, net: Net, x: tuple[Tensor, Tensor]) -> None:
        """Fill the list of duals."""
        self._same = x[0] is x[1]
        self._count = len(x[0])
        _through(self, net, x)

    def first(self, x: tuple[Tensor, Tensor], layer: _Convolution) -> Tensor:
        images = x[0] if self._same else torch.cat(x)
        return self.convolve((images * images).mean(1), layer)

    def convolve(self, state: Tensor, layer: _Convolution) -> Tensor:
        found = F.avg_pool2d(state.unsqueeze(1), layer.side, layer.stride, layer.padding)
        found = found.squeeze(1)
        self.most_positions = max(self.most_positions, found[0].numel())
        return found

    def activate(self, state: Tensor) -> Tensor:
        first, second = state[: self._count].flatten(), state[self._count :].flatten()
        second = first if self._same else second
        self.duals.append(dual(self._phi, first, second, self._tolerance))
        return diagonal(self._phi, state.flatten(), self._tolerance).view_as(state)

    def mean(self, a: Tensor, b: Tensor) -> Tensor:
        return (a + b) / 2


Kernels = tuple[Tensor, Tensor]


class _Pairs:
    r"""The kernels :math:`\Sigma` and :math:`\Theta` of a block of pairs, (p, n, n, q, n, n)."""

    def __init__(self, duals: list[Dual], rows: slice, columns: slice) -> None:
        self._duals = iter(duals)
        self._rows, self._columns = rows, columns

    def run(self, net: Net, x: tuple[Tensor, Tensor]) -> Kernels:
        """NNGP kernel and NTK of the outputs, (p, q)."""
        sigma, theta = (K.mean((1, 2, 4, 5)) for K in _through(self, net, x))
        return sigma, theta + sigma + (net.readout[-1].bias is not None)

    def first(self, x: tuple[Tensor, Tensor], layer: _Convolution) -> Kernels:
        patches = [F.unfold(t, layer.side, 1, layer.padding, layer.stride) for t in x]
        rows, columns = (p.mT.flatten(0, 1) for p in patches)
        sizes = [(len(t), *(layer.positions(n) for n in t.shape[2:])) for t in x]
        sigma = (rows @ columns.T).div_(rows.shape[1]).view(*sizes[0], *sizes[1])
        return sigma, sigma + layer.bias

    def convolve(self, state: Kernels, layer: _Convolution) -> Kernels:
        sigma, theta = (_shifted_mean(K, layer) for K in state)
        return sigma, theta.add_(sigma).add_(layer.bias)

    def activate(self, state: Kernels) -> Kernels:
        sigma, theta = state
        p, n, m, q = sigma.shape[:4]
        rows = slice(self._rows.start * n * m, self._rows.stop * n * m)
        columns = slice(self._columns.start * n * m, self._columns.stop * n * m)
        value, slope = next(self._duals)(sigma.reshape(p * n * m, q * n * m), rows, columns)
        return value.view_as(sigma), slope.view_as(theta) * theta

    def mean(self, a: Kernels, b: Kernels) -> Kernels:
        return (a[0] + b[0]) / 2, (a[1] + b[1]) / 2


def _shifted_mean(K: Tensor, layer: _Convolution) -> Tensor:
    """The mean of a kernel over offsets that are the same for both positions."""
    side, stride = layer.side, layer.stride
    for axes in ((1, 4), (2, 5)):
        size = layer.positions(K.shape[axes[0]])
        for axis in axes:
            K = _padded(K, axis, layer.padding)
        parts = []
        for offset in range(side):
            index = [slice(None)] * K.ndim
            for axis in axes:
                index[axis] = slice(offset, offset + stride * (size - 1) + 1, stride)
            parts.append(K[tuple(index)])
        total = parts[0].clone()
        for part in parts[1:]:
            total += part
        K = total.div_(side)
    return K


def _padded(K: Tensor, dimension: int, padding: int) -> Tensor:
    if padding == 0:
        return K
    behind = 2 * (K.ndim - 1 - dimension)
    return F.pad(K, (*[0] * behind, padding, padding))


def _first_convolution(net: Net) -> _Convolution:
    return _convolution(net.blocks[0] if isinstance(net, StridedCNN) else net.first)


def _convolution(block: object) -> _Convolution:
    """The convolution behind its prefactor."""
    layer = list(block.modules())[-1] if isinstance(block, nn.Module) else None
    if not isinstance(layer, nn.Conv2d) or isinstance(layer.padding, str):
        raise refused("net", f"a block that ends with {type(layer).__name__}", "with a Conv2d")
    side, stride, padding = layer.kernel_size[0], layer.stride[0], layer.padding[0]
    return _Convolution(layer.in_channels, side, stride, padding, float(layer.bias is not None))
