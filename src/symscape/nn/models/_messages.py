"""Layers of message passing, as versions v2103 and v2106 have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from symscape.nn.models._gated_layers import Compose, gate_after
from symscape.nn.models._point_convolution import PointConvolution
from symscape.o3 import Irreps

__all__ = ["GatedMessages"]


class GatedMessages(torch.nn.Module):
    """Base of message passing: convolutions with gates between them.

    Args:
        convolution: makes a convolution of given input and output.
        irreps_node_input: features of the input.
        irreps_node_hidden: features wanted after each gate; those to which no path leads are
            left out.
        irreps_node_output: features of the output.
        irreps_node_attr: attributes of the nodes.
        irreps_edge_attr: attributes of the edges.
        num_neighbors: typical number of neighbors of a node.
        need_gates: refuse irreps for which there are no gates.
    """

    def __init__(
        self,
        convolution: Callable[[Irreps, Irreps], PointConvolution],
        irreps_node_input: Irreps,
        irreps_node_hidden: Sequence[Irreps],
        irreps_node_output: Irreps,
        irreps_node_attr: Irreps,
        irreps_edge_attr: Irreps,
        num_neighbors: float,
        need_gates: bool,
    ) -> None:
        super().__init__()
        self.num_neighbors = num_neighbors
        self.irreps_node_attr = irreps_node_attr
        self.irreps_edge_attr = irreps_edge_attr
        self.irreps_node_input = irreps_node_input
        self.irreps_node_output = irreps_node_output
        self.irreps_node_sequence = [irreps_node_input]
        self.layers = torch.nn.ModuleList()
        for hidden in irreps_node_hidden:
            irreps = self.irreps_node_sequence[-1]
            gate = gate_after(
                irreps, irreps_edge_attr, hidden, simplify=True, need_gates=need_gates
            )
            self.layers.append(Compose(convolution(irreps, gate.irreps_in), gate))
            self.irreps_node_sequence.append(gate.irreps_out)
        self.layers.append(convolution(self.irreps_node_sequence[-1], irreps_node_output))
        self.irreps_node_sequence.append(irreps_node_output)

    def forward(
        self,
        node_features: Tensor,
        node_attr: Tensor,
        edge_src: Tensor,
        edge_dst: Tensor,
        edge_attr: Tensor,
        edge_scalars: Tensor,
    ) -> Tensor:
        """Pass messages, layer after layer.

        Args:
            node_features: ``(nodes, irreps_node_input.dim)``.
            node_attr: ``(nodes, irreps_node_attr.dim)``.
            edge_src: the node at which each edge starts, ``(edges,)``.
            edge_dst: the node at which each edge ends, ``(edges,)``.
            edge_attr: ``(edges, irreps_edge_attr.dim)``.
            edge_scalars: ``(edges, fc_neurons[0])``.

        Returns:
            ``(nodes, irreps_node_output.dim)``.
        """
        for layer in self.layers:
            node_features = layer(
                node_features, node_attr, edge_src, edge_dst, edge_attr, edge_scalars
            )
        return node_features
