"""Message passing on a graph in one step."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.contraction import convolve
from symscape.o3 import TensorProduct

__all__ = ["FusedConvolution", "pass_messages"]


def pass_messages(
    product: TensorProduct,
    node_features: Tensor,
    edge_attr: Tensor,
    weight: Tensor | None,
    edge_src: Tensor,
    edge_dst: Tensor,
    num_nodes: int,
) -> Tensor:
    """What [symscape.nn.FusedConvolution][] computes, for modules that own the product."""
    return convolve(
        product._product,
        node_features,
        edge_attr,
        product._resolved(weight),
        edge_src,
        edge_dst,
        num_nodes,
    )


class FusedConvolution(torch.nn.Module):
    r"""Sums, at each node, the messages that arrive over its edges.

    .. math:: f'_n = \sum_{e:\ \text{dst}(e) = n} f_{\text{src}(e)} \otimes_{W_e} y_e

    with a tensor product :math:`\otimes_W`. The same as
    ``zeros.index_add(0, edge_dst, tp(f[edge_src], y, weight))``, but the messages, an array of
    edges times output features, are never stored. Deterministic, and differentiable to any order.

    Args:
        tensor_product: the product of node features and edge attributes. Its weights are shared by
            all edges, or, with ``shared_weights=False``, given for each edge. It becomes a
            submodule, so its weights and checkpoints stay as they are.

    Attributes:
        tensor_product: the product.
        irreps_in1: irreps of the node features.
        irreps_in2: irreps of the edge attributes.
        irreps_out: irreps of the output.

    Source: Ch. 5.3 (e3nn), point convolution.
    """

    def __init__(self, tensor_product: TensorProduct) -> None:
        super().__init__()
        self.tensor_product = tensor_product
        self.irreps_in1 = tensor_product.irreps_in1
        self.irreps_in2 = tensor_product.irreps_in2
        self.irreps_out = tensor_product.irreps_out

    def forward(
        self,
        node_features: Tensor,
        edge_attr: Tensor,
        weight: Tensor | None,
        edge_src: Tensor,
        edge_dst: Tensor,
        num_nodes: int,
    ) -> Tensor:
        """Pass the messages.

        Args:
            node_features: ``(nodes, irreps_in1.dim)``.
            edge_attr: ``(edges, irreps_in2.dim)``, for example spherical harmonics.
            weight: ``(edges, weight_numel)``, for example of a radial network;
                ``(weight_numel,)`` if the product shares its weights; None for its own.
            edge_src: the node at which each edge starts, ``(edges,)``.
            edge_dst: the node at which each edge ends, ``(edges,)``.
            num_nodes: number of nodes of the output.

        Returns:
            ``(num_nodes, irreps_out.dim)``; zero where no edge ends.

        Raises:
            ValueError: shapes, dtypes or devices that do not fit, weights missing, or nodes out of
                range.
        """
        return pass_messages(
            self.tensor_product, node_features, edge_attr, weight, edge_src, edge_dst, num_nodes
        )
