"""Weight gradients of torch's layers that are linear in their weights.

They are made of what a layer is given, its activations, and of its signals: the derivatives of the
network's outputs with respect to the output of the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv1d_weight, conv2d_weight, conv3d_weight

from symscape.kernels._ntk_blocks import Dense, Features, Outer, Positions

__all__ = ["Gradient", "Vector", "gradient_of", "joined", "layer_parameters"]


@dataclass(frozen=True)
class Matrix:
    r"""The gradient :math:`\sum_t\delta_t\otimes a_t` of a matrix in each of several groups.

    Attributes:
        activations: a, (n, groups, f, T).
        signals: :math:`\delta`, (n, c, groups, o, T).
    """

    activations: Tensor
    signals: Tensor

    def dense(self) -> Tensor:
        """(n, c, groups o f): the gradient of each output, in the order of the weights."""
        n, c, groups, o, T = self.signals.shape
        left = self.signals.transpose(1, 2).reshape(n * groups, c * o, T)
        right = self.activations.reshape(n * groups, -1, T)
        product = torch.bmm(left, right.mT).view(n, groups, c, o, -1)
        return product.transpose(1, 2).reshape(n, c, -1)

    def features(self, each: bool, bias: bool = False) -> Features:
        """In the cheaper of its two forms, for each output or for their sum."""
        n, c, groups, o, T = self.signals.shape
        f = self.activations.shape[2]
        if not bias and _dense_is_cheaper(c, groups * f * o, groups * T**2, f, o, each):
            return Dense(_rows(self.dense(), each))
        if groups == T == 1:
            return Outer(
                _rows(self.signals[..., 0, :, 0], each), self.activations[:, 0, :, 0], bias
            )
        # (n, c, groups, o, T) -> (n, groups, r, T, o) with the outputs among r or among o
        if each:
            signals = self.signals.permute(0, 2, 1, 4, 3)
        else:
            signals = self.signals.permute(0, 2, 4, 1, 3).reshape(n, groups, 1, T, c * o)
        return Positions(signals.contiguous(), self.activations.mT.contiguous())

    def nbytes(self) -> int:
        """Of its tensors."""
        return self.activations.nbytes + self.signals.nbytes

    @property
    def at_one_position(self) -> bool:
        """Whether the gradient is an outer product."""
        return self.signals.shape[2] == self.signals.shape[4] == 1


@dataclass(frozen=True)
class Convolved:
    """The gradient of the weights of a convolution of a network with one output.

    Attributes:
        layer: the convolution.
        inputs: (n, channels, ...).
        signals: (n, 1, out, ...).
    """

    layer: Any
    inputs: Tensor
    signals: Tensor

    def matrix(self) -> Matrix:
        """The same from copies of what each position sees."""
        return _patched(self.layer, self.inputs, self.signals)

    def dense(self) -> Tensor:
        """(n, 1, weights): every point is a group of one convolution of all, without copies."""
        n, layer = len(self.inputs), self.layer
        out, *rest = layer.weight.shape
        gradients = _WEIGHT_GRADIENTS[len(layer.kernel_size)](
            self.inputs.reshape(1, -1, *self.inputs.shape[2:]),
            (n * out, *rest),
            self.signals.reshape(1, -1, *self.signals.shape[3:]),
            layer.stride,
            layer.padding,
            layer.dilation,
            n * layer.groups,
        )
        return gradients.reshape(n, 1, -1)

    def features(self, each: bool, bias: bool = False) -> Features:
        """In the cheaper of its two forms."""
        T = self.signals[0, 0, 0].numel()
        o, groups, f = len(self.layer.weight), self.layer.groups, self.layer.weight[0].numel()
        if T > 1 and _dense_is_cheaper(1, o * f, groups * T**2, f, o // groups, each):
            return Dense(self.dense())
        return self.matrix().features(each, bias)

    def nbytes(self) -> int:
        """Of its tensors."""
        return self.inputs.nbytes + self.signals.nbytes

    @property
    def at_one_position(self) -> bool:
        """Whether the gradient is an outer product."""
        return self.layer.groups == self.signals[0, 0, 0].numel() == 1


@dataclass(frozen=True)
class Lookup:
    r"""The gradient of a table of vectors: :math:`\delta_t` is added to the row looked up at t.

    Attributes:
        indices: rows of the table, (n, T).
        signals: (n, c, T, m).
        size: rows of the table.
    """

    indices: Tensor
    signals: Tensor
    size: int

    def dense(self) -> Tensor:
        """(n, c, size m)."""
        n, c, T, m = self.signals.shape
        table = self.signals.new_zeros(n, c, self.size, m)
        rows = self.indices[:, None, :, None].expand(n, c, T, m)
        return table.scatter_add_(2, rows, self.signals).flatten(2)

    def features(self, each: bool, bias: bool = False) -> Features:
        """In the cheaper of its two forms."""
        n, c, T, m = self.signals.shape
        if _dense_is_cheaper(c, self.size * m, T**2, 1, m, each):
            return Dense(_rows(self.dense(), each))
        together = self.signals.transpose(1, 2).reshape(n, 1, T, c * m)
        signals = self.signals if each else together
        return Positions(signals.unsqueeze(1).contiguous(), self.indices.unsqueeze(1))

    def nbytes(self) -> int:
        """Of its tensors."""
        return self.indices.nbytes + self.signals.nbytes

    at_one_position = False


@dataclass(frozen=True)
class Vector:
    """A gradient that is cheap to write down: ``gradients`` (n, c, m)."""

    gradients: Tensor

    def dense(self) -> Tensor:
        """(n, c, m)."""
        return self.gradients

    def features(self, each: bool, bias: bool = False) -> Features:
        """As they are."""
        return Dense(_rows(self.gradients, each))

    def nbytes(self) -> int:
        """Of its tensor."""
        return self.gradients.nbytes

    at_one_position = False


Gradient = Matrix | Convolved | Lookup | Vector


def joined(parts: Sequence[Gradient]) -> Gradient | None:
    """The gradient of a parameter from those of its several uses.

    None where there are none, or of different kinds (a table that is also a matrix).
    """
    if not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, Vector) for part in parts):
        return Vector(torch.stack([part.dense() for part in parts]).sum(0))
    parts = [part.matrix() if isinstance(part, Convolved) else part for part in parts]
    matrices = [part for part in parts if isinstance(part, Matrix)]
    if len(matrices) == len(parts):
        return Matrix(
            torch.cat([part.activations for part in matrices], -1),
            torch.cat([part.signals for part in matrices], -1),
        )
    tables = [part for part in parts if isinstance(part, Lookup)]
    if len(tables) == len(parts):
        indices = torch.cat([part.indices for part in tables], 1)
        return Lookup(indices, torch.cat([part.signals for part in tables], 2), tables[0].size)
    return None


def layer_parameters(module: nn.Module) -> tuple[str, ...]:
    """Names of the module's own parameters whose gradients :func:`gradient_of` knows."""
    known = _formulas(module)
    if isinstance(module, nn.Embedding) and (module.max_norm or module.scale_grad_by_freq):
        return ()
    return tuple(name for name in known if module._parameters.get(name) is not None)


def gradient_of(module: nn.Module, name: str, inputs: Tensor, signals: Tensor) -> Gradient:
    """The gradient of a parameter, for each point and output.

    Args:
        module: the layer.
        name: of its parameter.
        inputs: what the layer was given, (n, ...).
        signals: (n, c, ...), with the shape of the layer's output behind n and c.
    """
    return _formulas(module)[name](module, inputs, signals)


def _dense_is_cheaper(c: int, weights: int, squares: int, f: int, o: int, each: bool) -> bool:
    """Compare the operations for a pair of points of the two orders of contraction."""
    if each:
        return c**2 * weights <= squares * (f + c**2 * (o + _OVERHEAD))
    return c * weights <= squares * (f + c * o + _OVERHEAD)


_WEIGHT_GRADIENTS: dict[int, Callable[..., Tensor]] = {
    1: conv1d_weight,
    2: conv2d_weight,
    3: conv3d_weight,
}

# products and sums over pairs of positions, in units of the operations of a matrix product
_OVERHEAD = 16


def _rows(gradients: Tensor, each: bool) -> Tensor:
    """(n, c, m) as (n, r, .): with one row for each output, or one row for the sum over them."""
    return gradients if each else gradients.flatten(1).unsqueeze(1)


def _linear_weight(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    n, c = signals.shape[:2]
    activations = inputs.reshape(n, -1, inputs.shape[-1])
    signals = signals.reshape(n, c, -1, signals.shape[-1])
    return Matrix(activations.mT.unsqueeze(1), signals.mT.unsqueeze(2))


def _linear_bias(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    return Vector(signals.flatten(2, -2).sum(2) if signals.ndim > 3 else signals)


def _convolution_weight(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    # with several outputs they share the copies of what each position sees
    plain = module.padding_mode == "zeros" and not isinstance(module.padding, str)
    if signals.shape[1] == 1 and plain:
        return Convolved(module, inputs, signals)
    return _patched(module, inputs, signals)


def _patched(module: Any, inputs: Tensor, signals: Tensor) -> Matrix:
    n, c = signals.shape[:2]
    groups = module.groups
    patches = _patches(module, inputs).reshape(n, groups, -1, signals[0, 0, 0].numel())
    return Matrix(patches, signals.reshape(n, c, groups, -1, patches.shape[-1]))


def _patches(module: Any, x: Tensor) -> Tensor:
    """What each position of a convolution sees: (n, channels x kernel, positions)."""
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    if any(module._reversed_padding_repeated_twice):
        x = F.pad(x, module._reversed_padding_repeated_twice, mode=mode)
    dimensions = len(module.kernel_size)
    geometry = zip(module.kernel_size, module.stride, module.dilation, strict=True)
    for axis, (k, s, d) in enumerate(geometry):
        x = x.unfold(axis + 2, d * (k - 1) + 1, s)[..., ::d]
    positions = range(2, 2 + dimensions)
    offsets = range(2 + dimensions, 2 + 2 * dimensions)
    # copied by this view, which is faster than torch's unfold of two dimensions (measured)
    return x.permute(0, 1, *offsets, *positions).flatten(2 + dimensions).flatten(1, -2)


def _channel_sum(signals: Tensor) -> Gradient:
    return Vector(signals.flatten(3).sum(3) if signals.ndim > 3 else signals)


def _channel_bias(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    return _channel_sum(signals)


def _embedding_weight(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    n, c = signals.shape[:2]
    indices = inputs.reshape(n, -1)
    signals = signals.reshape(n, c, indices.shape[1], -1)
    if module.padding_idx is not None:
        signals = signals * (indices != module.padding_idx)[:, None, :, None]
    return Lookup(indices, signals, module.num_embeddings)


def _layer_norm_weight(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    normal = F.layer_norm(inputs, module.normalized_shape, eps=module.eps)
    return _trailing_sum(module, signals * normal.unsqueeze(1))


def _rms_norm_weight(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    normal = F.rms_norm(inputs, module.normalized_shape, eps=module.eps)
    return _trailing_sum(module, signals * normal.unsqueeze(1))


def _layer_norm_bias(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    return _trailing_sum(module, signals)


def _trailing_sum(module: Any, products: Tensor) -> Gradient:
    n, c = products.shape[:2]
    size = module.weight.numel()
    return Vector(products.reshape(n, c, -1, size).sum(2))


def _group_norm_weight(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    normal = F.group_norm(inputs, module.num_groups, eps=module.eps)
    return _channel_sum(signals * normal.unsqueeze(1))


def _batch_norm_weight(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    mean, variance = module.running_mean, module.running_var
    normal = F.batch_norm(inputs, mean, variance, training=mean is None, eps=module.eps)
    return _channel_sum(signals * normal.unsqueeze(1))


def _instance_norm_weight(module: Any, inputs: Tensor, signals: Tensor) -> Gradient:
    mean, variance = module.running_mean, module.running_var
    own = module.training or not module.track_running_stats
    normal = F.instance_norm(inputs, mean, variance, use_input_stats=own, eps=module.eps)
    return _channel_sum(signals * normal.unsqueeze(1))


_Formula = Callable[[Any, Tensor, Tensor], Gradient]

_LAYERS: dict[type[nn.Module], dict[str, _Formula]] = {
    nn.Linear: {"weight": _linear_weight, "bias": _linear_bias},
    nn.Conv1d: {"weight": _convolution_weight, "bias": _channel_bias},
    nn.Conv2d: {"weight": _convolution_weight, "bias": _channel_bias},
    nn.Conv3d: {"weight": _convolution_weight, "bias": _channel_bias},
    nn.Embedding: {"weight": _embedding_weight},
    nn.LayerNorm: {"weight": _layer_norm_weight, "bias": _layer_norm_bias},
    nn.RMSNorm: {"weight": _rms_norm_weight},
    nn.GroupNorm: {"weight": _group_norm_weight, "bias": _channel_bias},
    nn.BatchNorm1d: {"weight": _batch_norm_weight, "bias": _channel_bias},
    nn.BatchNorm2d: {"weight": _batch_norm_weight, "bias": _channel_bias},
    nn.BatchNorm3d: {"weight": _batch_norm_weight, "bias": _channel_bias},
    nn.InstanceNorm1d: {"weight": _instance_norm_weight, "bias": _channel_bias},
    nn.InstanceNorm2d: {"weight": _instance_norm_weight, "bias": _channel_bias},
    nn.InstanceNorm3d: {"weight": _instance_norm_weight, "bias": _channel_bias},
}


def _formulas(module: nn.Module) -> dict[str, _Formula]:
    """Formulas for a layer of torch, or of a class made of one that computes the same."""
    for base, formulas in _LAYERS.items():
        if isinstance(module, base) and type(module).forward is base.forward:
            return formulas
    return {}
