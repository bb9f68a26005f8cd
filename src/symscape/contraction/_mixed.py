"""Products with sums over copies on the CPU: product of copies and mixing, block by block.

The product of copies is many times larger than the inputs and the output. It is therefore made for
a few rows at a time, which stay in the processor's cache, mixed at once, and never stored; the
backward passes make it again.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from symscape.contraction._cpu import kernel_of, row_function, work_of_row
from symscape.contraction._memory import empty
from symscape.contraction._mixing import (
    contiguous_rows,
    mixing_function,
    mixing_work,
    reversed_mixing,
    transposed_weight,
)
from symscape.contraction._product import Mixing, Product
from symscape.contraction._threads import in_slices, slices

__all__ = ["evaluate_mixed"]

_BLOCK = 3 << 18  # bytes of the product of copies: within the second-level cache of a core
_STEP = 12  # the kernels of the mixing go through so many rows at once

_Step = Callable[[int, int, int], None]  # number of the slice, first and last row of the block
_idle: deque[Tensor] = deque(maxlen=32)


def evaluate_mixed(
    product: Product, inputs: dict[str, Tensor], outputs: Sequence[str]
) -> list[Tensor]:
    """Derivatives of the form for rows of samples.

    Args:
        product: only of modes with a sum over copies.
        inputs: x and y, and of w, g, tx, ty, tw those that exist; w and tw flat.
        outputs: out of `out gx gy gw`.
    """
    rows = {name: contiguous_rows(t) for name, t in inputs.items() if name not in ("w", "tw")}
    moved = {"tx", "ty"} & rows.keys()
    parts = []
    if moved or "tw" not in inputs:
        parts.append(_linear(product, rows, _extended(product, inputs, "w"), outputs))
    if "tw" in inputs:  # the form is linear in the weights: their tangent takes their place
        plain = {name: t for name, t in rows.items() if name not in moved}
        others = [name for name in outputs if name != "gw"]
        parts.append(_linear(product, plain, _extended(product, inputs, "tw"), others))
    found = []
    for name in outputs:
        terms = [part[name] for part in parts if name in part]
        found.append(sum(terms[1:], terms[0]) if terms else torch.zeros_like(inputs["w"]))
    return found


def _extended(product: Product, inputs: dict[str, Tensor], name: str) -> Tensor:
    """Weights for all paths: those without have ones, which do not change."""
    ones = inputs["x"].new_full((product.parts.ones,), 1.0 if name == "w" else 0.0)
    return torch.cat([inputs[name], ones]) if name in inputs else ones


def _linear(
    product: Product, rows: dict[str, Tensor], weight: Tensor, outputs: Sequence[str]
) -> dict[str, Tensor]:
    """The derivatives of the form, or its variation along tx and ty, with these weights."""
    joint, mixing = product.parts.joint, product.parts.mixing
    assert joint is not None
    assert mixing is not None
    x = rows["x"]
    count, double = x.shape[0], x.dtype == torch.float64
    widths = {"out": product.dim_out, "gx": product.dim_in1, "gy": product.dim_in2}
    arrays = {name: empty((count, widths[name]), x) for name in outputs if name != "gw"}
    starts = slices(count, work_of_row(joint) + mixing_work(mixing))
    partial = x.new_zeros((max(1, len(starts) - 1), weight.shape[0])) if "gw" in outputs else None
    pulled = tuple(name for name in ("gx", "gy") if name in arrays)
    turned = transposed_weight(mixing, weight) if pulled else weight
    size = max(_STEP, _BLOCK // (joint.dim_out * x.element_size() + 1) // _STEP * _STEP)

    largest = max((b - a for a, b in itertools.pairwise(starts)), default=0)
    shape = min(size, largest), joint.dim_out
    made: dict[int, list[_Step]] = {}
    scratch: list[Tensor] = []

    def steps() -> list[_Step]:
        """What is done with each block, in the scratch memory of a thread."""
        memory = _scratch(shape, x)
        scratch.append(memory)
        copies = memory[: math.prod(shape) * x.element_size()].view(x.dtype).view(shape)
        found: list[_Step] = []
        if "out" in arrays or partial is not None:
            tensors = {**rows, "out": copies}
            step = row_function(joint, kernel_of(rows, ("out",)), tensors, {"out"})
            found.append(lambda _, first, last: step(first, last))
        if "out" in arrays:
            found.append(_mixes(mixing, double, copies, weight, arrays["out"]))
        if partial is not None:
            found.append(_sums_gradient(mixing, double, copies, partial, rows["g"]))
        if pulled:  # g mixed the other way is the gradient with respect to the product of copies
            found.append(_mixes_back(mixing, double, rows["g"], turned, copies))
            tensors = {**rows, **arrays, "g": copies}
            back = row_function(joint, kernel_of(rows, pulled), tensors, {"g"})
            found.append(lambda _, first, last: back(first, last))
        return found

    def run(index: int) -> None:
        thread = threading.get_ident()
        if thread not in made:
            made[thread] = steps()
        for start in range(starts[index], starts[index + 1], size):
            for step in made[thread]:
                step(index, start, min(start + size, starts[index + 1]))

    in_slices(run, len(starts) - 1)
    _idle.extend(scratch)
    if partial is not None:
        arrays["gw"] = partial[:, : product.weight_numel].sum(0)
    return arrays


def _scratch(shape: tuple[int, int], like: Tensor) -> Tensor:
    """Bytes for a block; those of earlier calls, whose pages are there already."""
    needed = math.prod(shape) * like.element_size()
    try:
        memory = _idle.pop()
    except IndexError:
        memory = torch.empty(0, dtype=torch.uint8)
    return memory if memory.shape[0] >= needed else torch.empty(needed, dtype=torch.uint8)


def _mixes(mixing: Mixing, double: bool, copies: Tensor, weight: Tensor, out: Tensor) -> _Step:
    function = mixing_function(mixing, double, False)
    return lambda _, first, last: function(
        first, last, *_block(copies, first), weight.data_ptr(), *_block(out)
    )


def _mixes_back(mixing: Mixing, double: bool, g: Tensor, weight: Tensor, copies: Tensor) -> _Step:
    function = mixing_function(reversed_mixing(mixing), double, False)
    return lambda _, first, last: function(
        first, last, *_block(g), weight.data_ptr(), *_block(copies, first)
    )


def _sums_gradient(
    mixing: Mixing, double: bool, copies: Tensor, partial: Tensor, g: Tensor
) -> _Step:
    function = mixing_function(mixing, double, True)
    return lambda index, first, last: function(
        first, last, *_block(copies, first), partial[index].data_ptr(), *_block(g)
    )


def _block(tensor: Tensor, first: int = 0) -> tuple[int, int]:
    """Pointer and stride; of a block that starts at some row, the pointer to row zero."""
    stride = tensor.stride(0)
    return tensor.data_ptr() - first * stride * tensor.element_size(), stride
