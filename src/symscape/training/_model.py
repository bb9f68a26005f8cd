"""What training asks of a torch module."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["all_outputs", "one_line", "outputs", "trial_outputs"]

_CHUNK = 500  # points of one forward pass without gradients


def outputs(model: nn.Module, x: Tensor) -> Tensor:
    """The outputs of a classifier: (P,) for one output, which the module may give as (P, 1), or
    (P, c).

    Raises:
        ValueError: something else came out.
    """
    f = model(x)
    if not isinstance(f, Tensor) or f.ndim not in (1, 2) or len(f) != len(x) or not f.numel():
        given = f"shape {tuple(f.shape)}" if isinstance(f, Tensor) else type(f).__name__
        raise ValueError(
            f"model: gives {given} for {len(x)} points; allowed: ({len(x)},), ({len(x)}, 1) or "
            f"({len(x)}, c)"
        )
    if not f.is_floating_point():
        raise ValueError(f"model: gives {f.dtype}; allowed: floating point")
    return f.squeeze(1) if f.ndim == 2 and f.shape[1] == 1 else f


@torch.no_grad()
def all_outputs(model: nn.Module, x: Tensor) -> Tensor:
    """:func:`outputs` of many points, some at a time, without gradients."""
    return torch.cat([outputs(model, some) for some in x.split(_CHUNK)])


@torch.no_grad()
def trial_outputs(model: nn.Module, x: Tensor) -> Tensor:
    """The outputs of a few points; whatever the module raises becomes a ValueError in words.

    Buffers and the global random numbers are afterwards what they were.

    Raises:
        ValueError: the module does not take the points, or see :func:`outputs`.
    """
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng(devices=[]):
            return outputs(model, x)
    except Exception as error:  # a module runs whatever it contains
        if isinstance(error, ValueError) and str(error).startswith("model: "):
            raise
        raise ValueError(
            f"model: does not take points of shape {tuple(x.shape[1:])} and {x.dtype}: "
            f"{one_line(error)}"
        ) from error
    finally:
        for buffer, value in kept:
            buffer.copy_(value)


def one_line(error: Exception) -> str:
    """Type and text of an error on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
