"""Small products of every mode, their inputs, and their definition as loops."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random

import torch
from torch import Tensor

from symscape.contraction import Path, Product, Segment, path_shape

LIKE_MODES = ("uuw", "uuu", "uvu<v", "u<vw")


def sparse_table(dims: tuple[int, int, int], seed: int = 0) -> tuple:
    """About half of the elements, at random."""
    generator = random.Random(seed)
    return tuple(
        (i, j, k, generator.uniform(-1, 1))
        for i, j, k in itertools.product(*map(range, dims))
        if generator.random() < 0.5 or (i, j, k) == (0, 0, 0)
    )


def make_product(
    mode: str, mul1: int, mul2: int, *, weighted: bool = True, dims: tuple = (3, 2, 5)
) -> Product:
    """One path, with elements around its blocks that it does not touch."""
    if mode in LIKE_MODES:
        mul2 = mul1
    pairs = mul1 * (mul1 - 1) // 2
    kept = {"uvu": mul1, "uvv": mul2, "uuu": mul1, "uvuv": mul1 * mul2, "uvu<v": pairs}
    mul = kept.get(mode, 3)
    numel = math.prod(path_shape(mode, mul1, mul2, mul))
    path = Path(
        mode,
        Segment(1, mul1, dims[0]),
        Segment(0, mul2, dims[1]),
        Segment(2, mul, dims[2]),
        1 if weighted else None,
        0.7,
        sparse_table(dims),
    )
    lengths = (mul1 * dims[0] + 2, mul2 * dims[1] + 1, mul * dims[2] + 3)
    return Product(*lengths, numel + 2 if weighted else 0, (path,))


def partly_weighted(mode: str, mul1: int, mul2: int, *, dims: tuple = (3, 2, 5)) -> Product:
    """Two paths that differ in their output: one with weights, one without."""
    product = make_product(mode, mul1, mul2, dims=dims)
    (path,) = product.paths
    out = Segment(path.out.end, path.out.mul, path.out.dim)
    paths = (path, dataclasses.replace(path, out=out, weight=None, coefficient=1.3))
    return dataclasses.replace(product, dim_out=out.end + 1, paths=paths)


def random_inputs(
    product: Product, rows: int, weights: str = "shared", dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor | None]:
    """x, y, weight; weights are `none`, `shared` or `own` (of each row)."""
    generator = torch.Generator().manual_seed(rows)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    x, y = draw(rows, product.dim_in1), draw(rows, product.dim_in2)
    if weights == "none":
        return x, y, None
    shape = (product.weight_numel,) if weights == "shared" else (rows, product.weight_numel)
    return x, y, draw(*shape)


def brute_force(product: Product, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
    """The definition, by loops over copies and non-zeros, for rows of samples."""
    out = x.new_zeros(x.shape[0], product.dim_out)
    for path in product.paths:
        shape = path_shape(path.mode, path.in1.mul, path.in2.mul, path.out.mul)
        if path.weight is None or weight is None:
            w = x.new_ones(1, *shape)
        else:
            flat = weight.reshape(-1, product.weight_numel)
            size = math.prod(shape)
            w = flat[:, path.weight : path.weight + size].reshape(len(flat), *shape)
        for u, v in itertools.product(range(path.in1.mul), range(path.in2.mul)):
            if path.mode in ("uuw", "uuu") and u != v:
                continue
            if path.mode in ("uvu<v", "u<vw") and u >= v:
                continue
            pair = sum(path.in1.mul - 1 - a for a in range(u)) + v - u - 1
            for copy, factor in _targets(path, w, u, v, pair):
                for i, j, k, value in path.table:
                    term = x[:, path.in1.offset + u * path.in1.dim + i]
                    term = term * y[:, path.in2.offset + v * path.in2.dim + j] * factor
                    place = path.out.offset + copy * path.out.dim + k
                    out[:, place] = out[:, place] + path.coefficient * value * term
    return out


def _targets(path: Path, w: Tensor, u: int, v: int, pair: int) -> list[tuple[int, Tensor]]:
    """Copies of the output that get the product of copies u and v, with their weights."""
    if path.mode == "uvw":
        return [(n, w[:, u, v, n]) for n in range(path.out.mul)]
    if path.mode == "uuw":
        return [(n, w[:, u, n]) for n in range(path.out.mul)]
    if path.mode == "u<vw":
        return [(n, w[:, pair, n]) for n in range(path.out.mul)]
    if path.mode in ("uvu", "uvv"):
        return [(u if path.mode == "uvu" else v, w[:, u, v])]
    if path.mode == "uvuv":
        return [(u * path.in2.mul + v, w[:, u, v])]
    return [(u, w[:, u])] if path.mode == "uuu" else [(pair, w[:, pair])]
