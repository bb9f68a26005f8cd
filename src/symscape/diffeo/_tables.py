"""Tables that are computed once and kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

__all__ = ["kept"]

P = ParamSpec("P")
R = TypeVar("R")


def kept(maxsize: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Keep the results of a function, as ``lru_cache`` does.

    They are ordinary tensors on the CPU whatever the mode and the default device of the first
    caller, since later ones get the same. Who asks for them must not write to them.
    """

    def decorate(build: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(build)
        def anywhere(*args: P.args, **kwargs: P.kwargs) -> R:
            with torch.inference_mode(False), torch.device("cpu"):
                return build(*args, **kwargs)

        return functools.lru_cache(maxsize=maxsize)(anywhere)  # type: ignore[return-value]

    return decorate
