"""The empirical neural tangent kernel of any network (chapter 3)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from symscape._arguments import integer, refused
from symscape.kernels._ntk_blocks import Source, gram
from symscape.kernels._ntk_module import ModuleSource
from symscape.kernels._ntk_network import NetworkSource
from symscape.networks import FullyConnected, FullyConnectedModule

__all__ = ["empirical_ntk"]

Outputs = Literal["trace", "full"]


def empirical_ntk(
    model: FullyConnected | torch.nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    w: Tensor | None = None,
    outputs: Outputs = "trace",
    memory: int = 2**32,
) -> Tensor:
    r"""The Gram matrix :math:`\Theta(x,x')=\nabla_wf(w,x)\cdot\nabla_wf(w,x')` of weight gradients.

    It is the kernel of f, not of :math:`\alpha f`, over all parameters (biases too).

    No Jacobian of the network is stored. The layers of a ``FullyConnected`` contribute
    :math:`(\delta\cdot\delta')(z\cdot z')` each, from activations and backward signals. Of a torch
    module, these layers are taken in the same way, one after another: ``Linear``, ``Conv1d/2d/3d``,
    ``Embedding``, and scales and shifts of ``LayerNorm``, ``RMSNorm``, ``GroupNorm``,
    ``InstanceNorm`` and ``BatchNorm`` (in evaluation mode); inputs with more dimensions, layers
    that are used several times and parameters that several layers of a kind share are included.
    A convolution goes by gradients of its weights point by point or by products of pairs of
    positions, whichever takes fewer operations. All other parameters (and whatever fails a
    comparison with autograd at one point: parameters that are used outside of their layer, tables
    that are also matrices, layers whose inputs do not have the points as first dimension) go by
    the Jacobian of ``torch.func``, or by autograd point by point where that fails.

    Args:
        model: a :class:`symscape.networks.FullyConnected` (give its parameters ``w``), or any
            torch module: the parameters that require a gradient count. It maps a batch (P, ...)
            to (P,) or (P, c), one point independently of the others.
        x1: inputs, (P1, ...).
        x2: inputs, (P2, ...); None for ``x1`` again, which takes half the time and gives a matrix
            that is symmetric to the last bit.
        w: parameters of a ``FullyConnected``, (n_parameters,), or (E, n_parameters) for an
            ensemble, whose members come as a leading dimension of the result.
        outputs: ``"trace"`` sums :math:`\Theta_{kk}` over the outputs k; ``"full"`` gives all
            pairs of outputs.
        memory: bytes that may be used beside the result, for the arrays of a block of pairs; the
            work space of the BLAS, a few tens of megabytes, comes on top.

    Returns:
        (P1, P2), or (P1, P2, c, c) with ``outputs="full"``; dtype and device of the parameters.

    Raises:
        ValueError: an argument that does not fit; a budget that not even one block fits; a module
            without a parameter that requires a gradient, in which points interact, whose forward
            pass is random or changes buffers (batch normalization or dropout in training mode),
            or with outputs of another shape.

    Source: Ch. 3, paper I, Eq. 5; Ch. 2, paper 2, Eq. 6 and 15.
    """
    if outputs not in ("trace", "full"):
        raise refused("outputs", outputs, '"trace" or "full"')
    memory = integer("memory", memory, 1, allowed="a positive number of bytes")
    if isinstance(model, torch.nn.Module):
        if w is not None:
            raise refused("w", "parameters", "None with a torch module, which has its own")
        return _of_module(model, x1, x2, outputs, memory)
    if not isinstance(model, FullyConnected):
        raise refused("model", type(model).__name__, "a FullyConnected or a torch.nn.Module")
    if w is None:
        raise refused("w", None, f"the parameters of the network, (..., {model.n_parameters})")
    _check_network_inputs(model, w, x1, x2)
    if w.ndim == 1:
        return _kernel(NetworkSource(model, w, outputs == "full"), x1, x2, w, outputs, memory)
    members = [empirical_ntk(model, x1, x2, w=v, outputs=outputs, memory=memory) for v in w]
    return torch.stack(members)


def _of_module(
    model: torch.nn.Module, x1: Tensor, x2: Tensor | None, outputs: Outputs, memory: int
) -> Tensor:
    model = getattr(model, "_orig_mod", model)  # what torch.compile wraps; its layers are seen
    parameters = list(model.parameters())
    trained = [p for p in parameters if p.requires_grad]
    if isinstance(model, FullyConnectedModule) and len(trained) == len(parameters):
        return empirical_ntk(model.net, x1, x2, w=model.flat(), outputs=outputs, memory=memory)
    _check_module_inputs(trained, x1, x2)
    # derivatives are recorded, whatever the caller has switched off
    with torch.inference_mode(False), torch.enable_grad():
        x1 = x1.clone() if x1.is_inference() else x1
        x2 = x2.clone() if x2 is not None and x2.is_inference() else x2
        source = ModuleSource(model, x1, outputs == "full", memory)
        return _kernel(source, x1, x2, trained[0], outputs, memory)


def _kernel(
    source: Source, x1: Tensor, x2: Tensor | None, like: Tensor, outputs: Outputs, memory: int
) -> Tensor:
    K = gram(source, x1.detach(), None if x2 is None else x2.detach(), like.detach(), memory)
    if outputs == "trace":
        return K
    P1, P2 = len(x1), len(x1 if x2 is None else x2)
    return K.view(P1, source.r, P2, source.r).transpose(1, 2)


def _check_network_inputs(net: FullyConnected, w: Tensor, x1: Tensor, x2: Tensor | None) -> None:
    if w.ndim not in (1, 2) or w.shape[-1] != net.n_parameters:
        raise refused("w", tuple(w.shape), f"({net.n_parameters},) or (E, {net.n_parameters})")
    if w.dtype not in (torch.float32, torch.float64):
        raise refused("w", w.dtype, "torch.float32 or torch.float64")
    for name, x in (("x1", x1), ("x2", x2)):
        if x is None:
            continue
        if x.ndim != 2 or x.shape[1] != net.d:
            raise refused(name, tuple(x.shape), f"(P, {net.d})")
        if x.dtype != w.dtype or x.device != w.device:
            raise refused(name, f"{x.dtype} on {x.device}", f"as w, {w.dtype} on {w.device}")


def _check_module_inputs(trained: list[torch.nn.Parameter], x1: Tensor, x2: Tensor | None) -> None:
    if not trained:
        raise refused("model", "no parameter that requires a gradient", "at least one")
    for p in trained:
        if isinstance(p, torch.nn.parameter.UninitializedParameter):
            raise refused("model", "parameters without a size", "a module that was run once")
        if p.dtype not in (torch.float32, torch.float64):
            raise refused("model", f"parameters of {p.dtype}", "torch.float32 or torch.float64")
        if (p.dtype, p.device) != (trained[0].dtype, trained[0].device):
            raise refused("model", f"{p.dtype} on {p.device}", "one dtype, one device")
    for name, x in (("x1", x1), ("x2", x2)):
        if x is None:
            continue
        if x.ndim < 1 or len(x) == 0:
            raise refused(name, tuple(x.shape), "(P, ...) with at least one point")
        like = trained[0]
        if x.device != like.device or (x.is_floating_point() and x.dtype != like.dtype):
            allowed = f"as the parameters, {like.dtype} on {like.device}"
            raise refused(name, f"{x.dtype} on {x.device}", allowed)
    if x2 is not None and (x1.shape[1:] != x2.shape[1:] or x1.dtype != x2.dtype):
        raise refused("x2", f"{tuple(x2.shape)}", f"points like those of x1, {tuple(x1.shape)}")
