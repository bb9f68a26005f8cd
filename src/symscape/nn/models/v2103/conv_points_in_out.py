"""Convolution on points whose input and output nodes differ."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from symscape.nn.models._point_convolution import PointConvolution
from symscape.o3 import Irreps

__all__ = ["Convolution"]


class Convolution(PointConvolution):
    """Equivariant convolution from some points to others, without self-connection.

    Args:
        irreps_node_input: features of the input nodes.
        irreps_node_output: features of the output nodes.
        irreps_node_attr_input: attributes of the input nodes.
        irreps_node_attr_output: attributes of the output nodes.
        irreps_edge_attr: attributes of the edges.
        num_edge_scalar_attr: number of scalars of each edge, from which the weights follow.
        radial_layers: number of hidden layers of the radial network.
        radial_neurons: their width.
        num_neighbors: typical number of edges that end at a node.

    Raises:
        ValueError: no path leads to the output.

    Source: Ch. 5.3 (e3nn), point convolution.
    """

    def __init__(
        self,
        irreps_node_input: Any,
        irreps_node_output: Any,
        irreps_node_attr_input: Any,
        irreps_node_attr_output: Any,
        irreps_edge_attr: Any,
        num_edge_scalar_attr: int,
        radial_layers: int,
        radial_neurons: int,
        num_neighbors: float,
    ) -> None:
        super().__init__(
            irreps_node_input,
            irreps_node_attr_input,
            irreps_edge_attr,
            irreps_node_output,
            irreps_node_attr_output,
            [num_edge_scalar_attr] + radial_layers * [radial_neurons],
            num_neighbors,
            self_connection=False,
        )
        self.irreps_node_input = self.irreps_in
        self.irreps_node_output = self.irreps_out
        self.irreps_node_attr_input = Irreps(irreps_node_attr_input)
        self.irreps_node_attr_output = Irreps(irreps_node_attr_output)

    def forward(
        self,
        node_input: Tensor,
        node_attr_input: Tensor,
        node_attr_output: Tensor,
        edge_src: Tensor,
        edge_dst: Tensor,
        edge_attr: Tensor,
        edge_scalar_attr: Tensor,
    ) -> Tensor:
        """Convolve.

        Args:
            node_input: ``(input nodes, irreps_node_input.dim)``.
            node_attr_input: ``(input nodes, irreps_node_attr_input.dim)``.
            node_attr_output: ``(output nodes, irreps_node_attr_output.dim)``.
            edge_src: the input node at which each edge starts, ``(edges,)``.
            edge_dst: the output node at which each edge ends, ``(edges,)``.
            edge_attr: ``(edges, irreps_edge_attr.dim)``.
            edge_scalar_attr: ``(edges, num_edge_scalar_attr)``.

        Returns:
            ``(output nodes, irreps_node_output.dim)``.
        """
        features = self.lin1(node_input, node_attr_input)
        sums = self._sums(
            features, edge_src, edge_dst, edge_attr, edge_scalar_attr, len(node_attr_output)
        )
        return self.lin2(sums, node_attr_output)
