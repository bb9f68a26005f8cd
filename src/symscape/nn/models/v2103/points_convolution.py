"""Convolution on points that learns how much of its neighbors a node takes in, as an angle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from symscape.nn.models._graph import scatter
from symscape.nn.models._point_convolution import PointConvolution
from symscape.o3 import FullyConnectedTensorProduct, Irreps

__all__ = ["Convolution", "scatter"]

# the angle starts small: the self-connection first
_ANGLE_SCALE = 0.1


class Convolution(PointConvolution):
    r"""Equivariant convolution on points.

    .. math:: \cos(\theta_n)\,s_n + \sin(\theta_n)\,c_n

    with the self-connection :math:`s_n` of a node, the sum :math:`c_n` over its neighbors, and an
    angle :math:`\theta_n` that is computed from that sum. Outputs to which no self-connection
    leads are :math:`c_n`.

    Args:
        irreps_node_input: features of the nodes.
        irreps_node_attr: attributes of the nodes.
        irreps_edge_attr: attributes of the edges.
        irreps_node_output: features of the nodes after it.
        fc_neurons: widths of the radial network, from the number of edge scalars to the last
            hidden layer.
        num_neighbors: typical number of neighbors of a node.

    Raises:
        ValueError: no path leads to the output.

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
        self.lin3 = FullyConnectedTensorProduct(self.tp.irreps_out, self.irreps_node_attr, "0e")

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
        angle = _ANGLE_SCALE * self.lin3(sums, node_attr)
        neighbors = self.lin2(sums, node_attr)
        return angle.cos() * itself + self._where_mixed(angle.sin()) * neighbors
