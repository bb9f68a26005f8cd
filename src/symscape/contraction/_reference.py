"""The contraction in plain torch: any device, any floating dtype, any order of derivative."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from symscape.contraction._context import kept
from symscape.contraction._product import Mixing, Path, Product, Segment, Table

__all__ = ["contract_reference", "contract_right_reference", "convolve_reference", "mix_reference"]

_SUBSCRIPTS = {
    "uvw": ("zuvk,{z}uvw->zwk", "zuvk->zk"),
    "uvu": ("zuvk,{z}uv->zuk", "zuvk->zuk"),
    "uvv": ("zuvk,{z}uv->zvk", "zuvk->zvk"),
    "uvuv": ("zuvk,{z}uv->zuvk", "zuvk->zuvk"),
    "uuw": ("zuk,{z}uw->zwk", "zuk->zk"),
    "uuu": ("zuk,{z}u->zuk", "zuk->zuk"),
    "uvu<v": ("zuk,{z}u->zuk", "zuk->zuk"),
    "u<vw": ("zuk,{z}uw->zwk", "zuk->zk"),
}


def contract_reference(product: Product, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
    """`contract` for x (z, dim_in1), y (z, dim_in2); weight (weight_numel,) or with z rows."""
    pieces = []
    for path in product.paths:
        block1, block2 = _block(x, path.in1), _block(y, path.in2)
        table = _dense(path.table, (path.in1.dim, path.in2.dim, path.out.dim), x)
        if path.mode in ("uvu<v", "u<vw"):
            u, v = torch.triu_indices(path.in1.mul, path.in1.mul, 1, device=x.device)
            block1, block2 = block1[:, u], block2[:, v]
        pairs = "zui,zvj,ijk->zuvk" if path.mode[:2] == "uv" and path.mode != "uvu<v" else None
        joint = torch.einsum(pairs or "zui,zuj,ijk->zuk", block1, block2, table)
        piece = _weighted(path, joint, weight) * path.coefficient
        pieces.append((path.out, piece.reshape(x.shape[0], path.out.mul * path.out.dim)))
    return _assemble(pieces, product.dim_out, x)


def contract_right_reference(product: Product, y: Tensor, weight: Tensor | None) -> Tensor:
    """The matrix of ``x -> contract(product, x, y, weight)``, by columns, for y (z, dim_in2)."""
    z, n = y.shape[0], product.dim_in1
    unit = torch.eye(n, dtype=y.dtype, device=y.device)
    x = unit.expand(z, n, n).flatten(0, 1)
    rows = y[:, None].expand(z, n, product.dim_in2).flatten(0, 1)
    if weight is not None and weight.ndim == 2:
        weight = weight[:, None].expand(z, n, product.weight_numel).flatten(0, 1)
    return contract_reference(product, x, rows, weight).reshape(z, n, product.dim_out)


def convolve_reference(
    product: Product,
    x: Tensor,
    y: Tensor,
    weight: Tensor | None,
    source: Tensor,
    destination: Tensor,
    num_nodes: int,
) -> Tensor:
    """`convolve` by gathering, contracting and adding up; it stores the features of all edges."""
    messages = contract_reference(product, x[source], y, weight)
    out = messages.new_zeros((num_nodes, product.dim_out))
    return out.index_add(0, destination, messages)


def mix_reference(mixing: Mixing, x: Tensor, weight: Tensor) -> Tensor:
    """`mix` for x (z, dim_in1); weight (weight_numel,) or with z rows."""
    pieces = []
    z = "" if weight.ndim == 1 else "z"
    for path in mixing.paths:
        shape = (path.in1.mul, path.out.mul)
        matrix = _slice(weight, path.weight, shape)
        piece = torch.einsum(f"zuk,{z}uw->zwk", _block(x, path.in1), matrix) * path.coefficient
        pieces.append((path.out, piece.reshape(x.shape[0], path.out.mul * path.out.dim)))
    return _assemble(pieces, mixing.dim_out, x)


def _block(x: Tensor, segment: Segment) -> Tensor:
    return x[:, segment.offset : segment.end].reshape(x.shape[0], segment.mul, segment.dim)


def _slice(weight: Tensor, offset: int, shape: Sequence[int]) -> Tensor:
    return weight[..., offset : offset + math.prod(shape)].reshape(*weight.shape[:-1], *shape)


def _weighted(path: Path, joint: Tensor, weight: Tensor | None) -> Tensor:
    """Sum over the multiplicities that the mode does not keep, with the weights."""
    with_weight, without = _SUBSCRIPTS[path.mode]
    if path.weight is None or weight is None:
        summed = torch.einsum(without, joint)
        if summed.ndim == 2:  # every copy of the output is the same sum
            summed = summed[:, None].expand(-1, path.out.mul, -1)
        return summed
    z = "" if weight.ndim == 1 else "z"
    return torch.einsum(with_weight.format(z=z), joint, _slice(weight, path.weight, path.shape))


def _assemble(pieces: list[tuple[Segment, Tensor]], length: int, like: Tensor) -> Tensor:
    """The output axis, out of blocks (added up where they coincide) and zeros between them."""
    blocks: dict[Segment, Tensor] = {}
    for segment, piece in pieces:
        if not segment.mul:
            continue
        blocks[segment] = blocks[segment] + piece if segment in blocks else piece
    parts, position = [], 0
    for segment in sorted(blocks):
        if segment.offset > position:
            parts.append(like.new_zeros((like.shape[0], segment.offset - position)))
        parts.append(blocks[segment])
        position = segment.end
    if position < length or not parts:
        parts.append(like.new_zeros((like.shape[0], length - position)))
    return torch.cat(parts, dim=1)


def _dense(table: Table, dims: tuple[int, int, int], like: Tensor) -> Tensor:
    # a recorder's own kinds of tensors come with its own kinds of dtypes and devices
    plain = type(like) in (Tensor, torch.nn.Parameter)
    build = _dense_tensor if plain else _dense_tensor.__wrapped__
    return build(table, dims, like.dtype, like.device)


@kept(4096)
def _dense_tensor(
    table: Table, dims: tuple[int, int, int], dtype: torch.dtype, device: torch.device
) -> Tensor:
    values = [[[0.0] * dims[2] for _ in range(dims[1])] for _ in range(dims[0])]
    for i, j, k, value in table:
        values[i][j][k] += value
    return torch.tensor(values, dtype=dtype, device=device)
