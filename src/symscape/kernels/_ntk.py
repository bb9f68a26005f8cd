"""The empirical neural tangent kernel of any network (chapter 3)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from symscape._arguments import integer, refused
from symscape.kernels._ntk_blocks import Source, gram
from symscape.kernels._ntk_network import NetworkSource
from symscape.networks import FullyConnected

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

    Args:
        model: a :class:`symscape.networks.FullyConnected` (give its parameters ``w``).
        x1: inputs, (P1, ...).
        x2: inputs, (P2, ...); None for ``x1`` again, which takes half the time and gives a matrix
            that is symmetric to the last bit.
        w: parameters of a ``FullyConnected``, (n_parameters,), or (E, n_parameters) for an
            ensemble, whose members come as a leading dimension of the result.
        outputs: ``"trace"`` sums :math:`\Theta_{kk}` over the outputs k; ``"full"`` gives all
            pairs of outputs.
        memory: bytes that may be used beside the result.

    Returns:
        (P1, P2), or (P1, P2, c, c) with ``outputs="full"``; dtype and device of the parameters.

    Raises:
        ValueError: an argument that does not fit, or a budget that not even one block fits.

    Source: Ch. 3, paper I, Eq. 5; Ch. 2, paper 2, Eq. 6 and 15.
    """
    if outputs not in ("trace", "full"):
        raise refused("outputs", outputs, '"trace" or "full"')
    memory = integer("memory", memory, 1, allowed="a positive number of bytes")
    if not isinstance(model, FullyConnected):
        raise refused("model", type(model).__name__, "a FullyConnected")
    if w is None:
        raise refused("w", None, f"the parameters of the network, (..., {model.n_parameters})")
    _check_network_inputs(model, w, x1, x2)
    if w.ndim == 1:
        return _kernel(NetworkSource(model, w, outputs == "full"), x1, x2, w, outputs, memory)
    members = [empirical_ntk(model, x1, x2, w=v, outputs=outputs, memory=memory) for v in w]
    return torch.stack(members)


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
