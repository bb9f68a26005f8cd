"""Network on points with self-interactions and gates, version of January 2021."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from symscape.nn.models import gate_points_2102
from symscape.nn.models._gated_layers import Compose, tp_path_exists
from symscape.nn.models._graph import radius_graph, scatter
from symscape.nn.models.gate_points_2102 import smooth_cutoff

__all__ = [
    "Compose",
    "Convolution",
    "Network",
    "radius_graph",
    "scatter",
    "smooth_cutoff",
    "tp_path_exists",
]


class Convolution(gate_points_2102.Convolution):
    """Equivariant convolution on points.

    The same as that of `symscape.nn.models.gate_points_2102`, with other names of arguments.

    Args:
        irreps_in: features of the nodes.
        irreps_node_attr: attributes of the nodes.
        irreps_edge_attr: attributes of the edges.
        irreps_out: features of the nodes after it.
        number_of_basis: number of functions of the length, from which the weights follow.
        radial_layers: number of hidden layers of the radial network.
        radial_neurons: their width.
        num_neighbors: typical number of neighbors of a node.

    Raises:
        ValueError: no path leads to the output.

    Source: Ch. 5.3 (e3nn), point convolution.
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_node_attr: Any,
        irreps_edge_attr: Any,
        irreps_out: Any,
        number_of_basis: int,
        radial_layers: int,
        radial_neurons: int,
        num_neighbors: float,
    ) -> None:
        super().__init__(
            irreps_in,
            irreps_node_attr,
            irreps_edge_attr,
            irreps_out,
            number_of_basis,
            radial_layers,
            radial_neurons,
            num_neighbors,
        )

    def forward(
        self,
        node_input: Tensor,
        node_attr: Tensor,
        edge_src: Tensor,
        edge_dst: Tensor,
        edge_attr: Tensor,
        edge_length_embedded: Tensor,
    ) -> Tensor:
        """Convolve.

        Args:
            node_input: ``(nodes, irreps_in.dim)``.
            node_attr: ``(nodes, irreps_node_attr.dim)``.
            edge_src: the node at which each edge starts, ``(edges,)``.
            edge_dst: the node at which each edge ends, ``(edges,)``.
            edge_attr: ``(edges, irreps_edge_attr.dim)``.
            edge_length_embedded: ``(edges, number_of_basis)``.

        Returns:
            ``(nodes, irreps_out.dim)``.
        """
        return super().forward(
            node_input, node_attr, edge_src, edge_dst, edge_attr, edge_length_embedded
        )


class Network(gate_points_2102.Network):
    """Equivariant network on points: convolutions with gates between them.

    As `symscape.nn.models.gate_points_2102`'s, but the weights of the convolutions depend on the
    lengths of the edges alone.
    """

    def _number_of_edge_scalars(self) -> int:
        return self.number_of_basis

    def _convolution(self, *arguments: Any) -> Convolution:
        return Convolution(*arguments)

    def _edge_scalars(self, embedded: Tensor, z: Tensor, src: Tensor, dst: Tensor) -> Tensor:
        return embedded
