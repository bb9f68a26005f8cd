"""Convolution on points that learns how much of its neighbors a node takes in, as a factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.nn.models._graph import scatter
from symscape.nn.models._point_convolution import PointConvolution
from symscape.o3 import FullyConnectedTensorProduct, Irreps

__all__ = ["Convolution", "scatter"]


class Convolution(PointConvolution):
    r"""Equivariant convolution on points.

    .. math:: s_n + \alpha_n c_n

    with the self-connection :math:`s_n` of a node, the sum :math:`c_n` over its neighbors, and a
    factor :math:`\alpha_n` that is computed from that sum and zero at initialization, so that each
    node starts alone (the idea is that of arXiv:2002.10444). Outputs to which no self-connection
    leads have the factor 1.

    Args:
        irreps_node_input: features of the nodes.
        irreps_node_attr: attributes of the nodes.
        irreps_edge_attr: attributes of the edges.
        irreps_node_output: features of the nodes after it.
        fc_neurons: widths of the radial network, from the number of edge scalars to the last
            hidden layer.
        num_neighbors: typical number of neighbors of a node.

    Raises:
        ValueError: no path leads to the output, or to the factor.

    Source: Ch. 5.3 (e3nn), point convolution.
    """

    def __init__(
        self,
        irreps_node_input: Any,
        irreps_node_attr: Any,
        irreps_edge_attr: Any,
        irreps_node_output: Any,
        fc_neurons: Sequence[int],
        num_neighbors: float,
    ) -> None:
        super().__init__(
            irreps_node_input,
            irreps_node_attr,
            irreps_edge_attr,
            irreps_node_output,
            irreps_node_attr,
            fc_neurons,
            num_neighbors,
            with_scalars=True,
        )
        self.irreps_node_input = self.irreps_in
        self.irreps_node_attr = Irreps(irreps_node_attr)
        self.irreps_node_output = self.irreps_out
        self.alpha = FullyConnectedTensorProduct(self.tp.irreps_out, self.irreps_node_attr, "0e")
        torch.nn.init.zeros_(self.alpha.weight)
        if self.alpha.weight_numel == 0:
            raise ValueError(
                f"irreps_node_attr: {self.irreps_node_attr} times the sum over the neighbors, "
                f"{self.tp.irreps_out}, gives no scalar (0e); allowed: irreps with a path to it"
            )

    def forward(
        self,
        node_input: Tensor,
        node_attr: Tensor,
        edge_src: Tensor,
        edge_dst: Tensor,
        edge_attr: Tensor,
        edge_scalars: Tensor,
    ) -> Tensor:
        """Convolve.

        Args:
            node_input: ``(nodes, irreps_node_input.dim)``.
            node_attr: ``(nodes, irreps_node_attr.dim)``.
            edge_src: the node at which each edge starts, ``(edges,)``.
            edge_dst: the node at which each edge ends, ``(edges,)``.
            edge_attr: ``(edges, irreps_edge_attr.dim)``.
            edge_scalars: ``(edges, fc_neurons[0])``.

        Returns:
            ``(nodes, irreps_node_output.dim)``.
        """
        itself = self.sc(node_input, node_attr)
        features = self.lin1(node_input, node_attr)
        sums = self._sums(features, edge_src, edge_dst, edge_attr, edge_scalars, len(features))
        alpha = self._where_mixed(self.alpha(sums, node_attr))
        return itself + alpha * self.lin2(sums, node_attr)
