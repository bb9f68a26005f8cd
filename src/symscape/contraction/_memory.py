"""Memory for large results, which is used again when they are gone.

A large tensor of torch on the CPU is fresh memory from the system, and goes back there when it is
freed. The system hands it out page by page, filled with zeros, which takes several times as long as
to write a product into it. A training step asks for the same sizes again and again; here the blocks
of the last step serve the next one.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import sys
import weakref
from collections import deque

import torch
from torch import Tensor

__all__ = ["empty", "idle_memory", "release_memory"]

_LARGE = 1 << 20  # bytes; smaller blocks are reused by the allocator of the C library
_HUGE_PAGE = 2 << 20
_LIMIT = int(os.environ.get("SYMSCAPE_IDLE_MEMORY", "1024")) << 20

# Tensors are freed by any thread, at any time. Each step below is one operation of a deque or a
# dictionary, which no other thread can interrupt.
_idle: dict[int, deque[mmap.mmap]] = {}


def empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """An uninitialized tensor on the CPU, of the dtype of another.

    Large ones get a block that an earlier result has left, or a new one on huge pages, where the
    system has them. Blocks return when nothing refers to a tensor's storage any more.
    """
    count = math.prod(shape)
    bytes_needed = count * like.element_size()
    if bytes_needed < _LARGE or not _LIMIT or not sys.platform.startswith("linux"):
        return like.new_empty(shape)
    size = _rounded(bytes_needed)
    block = _taken(size)
    if block is None:
        return like.new_empty(shape)
    view = (ctypes.c_char * len(block)).from_buffer(block)
    weakref.finalize(view, _give, size, block).atexit = False
    start = -ctypes.addressof(view) % _HUGE_PAGE
    # in place: a view that a function of autograd returns cannot be changed in place later
    return torch.frombuffer(view, dtype=like.dtype, count=count, offset=start).resize_(shape)


def idle_memory() -> int:
    """Bytes that wait for the next large result.

    At most `SYMSCAPE_IDLE_MEMORY` mebibytes, an environment variable read at import: 1024 if it is
    not set; with 0 every result is fresh memory.
    """
    return sum(size * len(blocks) for size, blocks in list(_idle.items()))


def release_memory() -> None:
    """Give idle memory back to the system."""
    _idle.clear()


def _rounded(size: int) -> int:
    """Sizes that differ by less than an eighth share their blocks."""
    step = 1 << (size.bit_length() - 4)
    return -(-size // step) * step


def _taken(size: int) -> mmap.mmap | None:
    """A block that is idle, or a new one; None if the system gives none."""
    try:
        return _idle[size].pop()
    except (KeyError, IndexError):
        block = _new(size)
    if block is None:  # idle blocks of other sizes may be what is missing
        release_memory()
        block = _new(size)
    return block


def _new(size: int) -> mmap.mmap | None:
    try:
        # private: after a fork a child must not write into its parent's results
        block = mmap.mmap(-1, size + _HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        return None
    with contextlib.suppress(OSError):  # systems without huge pages
        block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give(size: int, block: mmap.mmap) -> None:
    """Keep a block; blocks of sizes that were asked for longest ago make room for it."""
    for other in list(_idle):
        while idle_memory() + size > _LIMIT:
            try:
                _idle[other].popleft()
            except (KeyError, IndexError):
                break
    if idle_memory() + size <= _LIMIT:
        blocks = _idle.pop(size, deque())
        blocks.append(block)
        _idle[size] = blocks
