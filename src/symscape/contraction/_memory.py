"""Memory for large results."""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable

from torch import Tensor

__all__ = ["empty"]

_LARGE = 16 << 20  # bytes; smaller blocks are reused by the allocator, with their pages
_PAGE = 4096
_HUGE_PAGES = 14  # MADV_HUGEPAGE of Linux


def empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """An uninitialized tensor; a large one on huge pages, where the system has them.

    A large tensor is fresh memory, which the system hands out page by page as it is touched. With
    pages of 4 kB that takes several times as long as to write a product into it.
    """
    tensor = like.new_empty(shape)
    size = tensor.numel() * tensor.element_size()
    if size >= _LARGE:
        start = -(-tensor.data_ptr() // _PAGE) * _PAGE
        _advise()(start, tensor.data_ptr() + size - start)
    return tensor


@functools.cache
def _advise() -> Callable[[int, int], object]:
    if not sys.platform.startswith("linux"):
        return lambda start, size: None
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    # it is advice: a system that does not take it says so, and nothing changes
    return lambda start, size: madvise(start, size, _HUGE_PAGES)
