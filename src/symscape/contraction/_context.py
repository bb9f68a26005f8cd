"""What is going on around a call: eager code, or somebody who records what is done."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import torch
from torch import Tensor

__all__ = ["is_eager", "is_traced", "keeps_tensors", "kept"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class Kept(Protocol[P, R_co]):
    """A function whose results are kept; ``__wrapped__`` makes one anew."""

    __wrapped__: Any

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def cache_clear(self) -> None:
        """Forget them."""


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
    mode, which `kept` leaves.)
    """
    return not (
        is_traced()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._functorch.maybe_current_level() is not None
    )


def kept(maxsize: int) -> Callable[[Callable[P, R_co]], Kept[P, R_co]]:
    """Keep the tensors that a function makes, as ``lru_cache`` does; see `keeps_tensors`.

    They are ordinary tensors, on the CPU unless the function says where, whatever the modes and the
    default device of the first caller, since later ones get the same. Who asks for them must not
    write to them.
    """

    def decorate(build: Callable[P, R_co]) -> Kept[P, R_co]:
        @functools.wraps(build)
        def anywhere(*args: P.args, **kwargs: P.kwargs) -> R_co:
            with torch.inference_mode(False), torch.device("cpu"):
                return build(*args, **kwargs)

        cached = functools.lru_cache(maxsize=maxsize)(anywhere)

        @functools.wraps(build)
        def asked(*args: P.args, **kwargs: P.kwargs) -> R_co:
            ask: Any = cached if keeps_tensors() else anywhere
            return cast("R_co", ask(*args, **kwargs))

        result: Any = asked
        result.cache_clear = cached.cache_clear
        return cast("Kept[P, R_co]", result)

    return decorate
