"""Does a layer keep the scale of its input at initialization?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from symscape.testing._signature import input_kinds, make_generator, output_kinds, random_arguments

__all__ = ["assert_normalized"]

_INPUTS_PER_WEIGHT = 10


def assert_normalized(
    func: torch.nn.Module,
    irreps_in: Any = None,
    irreps_out: Any = None,
    normalization: str = "component",
    n_input: int = 10_000,
    n_weight: int | None = None,
    weights: Iterable[torch.nn.Parameter] | None = None,
    atol: float = 0.1,
    *,
    generator: torch.Generator | int = 0,
) -> None:
    r"""Refuse a layer whose output is not normalized.

    With components of the inputs and weights drawn from :math:`\mathcal N(0, 1)`, every component
    of the output must have

    .. math:: \left|\langle x_i^2 \rangle - 1\right| \le \text{atol}

    for ``"component"``; for ``"norm"`` the inputs are drawn with :math:`\langle\|x\|^2\rangle = 1`
    for each irrep, and :math:`(2l+1)\langle x_i^2\rangle` is compared with 1. The parameters are
    restored afterwards. The statistical error of an output that is a sum of n terms is about
    :math:`\sqrt{2/n_\text{input} + (2 + 6/n)/n_\text{weight}}`.

    Args:
        func: the layer.
        irreps_in: irreps of each argument; ``func.irreps_in``, or ``func.irreps_in1`` and
            ``func.irreps_in2``, if not given.
        irreps_out: irreps of each output; ``func.irreps_out`` if not given.
        normalization: ``"component"`` or ``"norm"``.
        n_input: number of inputs altogether.
        n_weight: number of draws of the weights; a tenth of ``n_input`` if not given.
        weights: the parameters that are drawn; all of ``func`` if not given.
        atol: the largest deviation.
        generator: of inputs and weights, or its seed.

    Raises:
        AssertionError: a component deviates more.
        ValueError: unknown ``normalization``, or irreps that are missing.
    """
    if normalization not in ("component", "norm"):
        raise ValueError(f"normalization: {normalization!r} given; allowed: component, norm")
    generator = make_generator(generator)
    kinds_in, kinds_out = input_kinds(func, irreps_in), output_kinds(func, irreps_out)
    parameters = list(func.parameters() if weights is None else weights)
    draws = max(1, n_input // _INPUTS_PER_WEIGHT if n_weight is None else n_weight)
    squares = [torch.zeros(kind.dim, dtype=torch.float64) for kind in kinds_out]
    before = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for _ in range(draws if parameters else 1):
            for parameter in parameters:
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
            batch = -(-n_input // draws) if parameters else n_input
            args = random_arguments(kinds_in, generator, batch)
            if normalization == "norm":
                args = [x * _component_scale(kind, x) for x, kind in zip(args, kinds_in)]
            out = func(*args)
            for sums, x in zip(squares, [out] if isinstance(out, Tensor) else out):
                sums += x.double().square().mean(0)
        for parameter, old in zip(parameters, before):
            parameter.copy_(old)
    for index, (sums, kind) in enumerate(zip(squares, kinds_out)):
        mean = sums / (draws if parameters else 1)
        if normalization == "norm":
            mean = mean / _component_scale(kind, mean) ** 2
        deviation = (mean - 1.0).abs()
        for block, mul_ir in zip(kind.slices(), kind):
            worst = float(deviation[block].max()) if mul_ir.dim else 0.0
            if not worst <= atol:
                raise AssertionError(
                    f"<x_i^2> deviates from 1 by {worst:.3f} > {atol} in {mul_ir} of output {index}"
                )


def _component_scale(irreps: Any, like: Tensor) -> Tensor:
    """1/sqrt(2l+1) for each component."""
    return like.new_tensor([ir.dim**-0.5 for mul, ir in irreps for _ in range(mul * ir.dim)])
