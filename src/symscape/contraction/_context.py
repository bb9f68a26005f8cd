"""What is going on around a call: eager code, or somebody who records what is done."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["is_eager", "is_traced", "keeps_tensors"]


def is_traced() -> bool:
    """Whether a compiler or a tracer turns the calls into a program.

    It records operators of torch, and nothing of what is written to memory behind its back.
    """
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def is_eager(tensors: Iterable[Tensor | None]) -> bool:
    """Whether the tensors have memory and nobody records what is done with them."""
    if is_traced() or torch._C._len_torch_dispatch_stack():
        return False
    for tensor in tensors:
        kind = type(tensor)
        if kind is not Tensor and kind is not torch.nn.Parameter and tensor is not None:
            return False
    return True


def keeps_tensors() -> bool:
    """Whether a tensor made now is an ordinary one, which a cache may keep for other calls.

    One made while a program is recorded, within a transform of ``torch.func``, or in a mode such
    as that of fake tensors belongs there, and is of no use outside. (So does one made in inference
    mode, which the makers of tensors for a cache can leave.)
    """
    return not (
        is_traced()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._functorch.maybe_current_level() is not None
    )
