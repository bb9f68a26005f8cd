"""Message passing on points, with gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symscape.nn.models._gated_layers import Compose, tp_path_exists
from symscape.nn.models._graph import radius_graph
from symscape.nn.models._messages import GatedMessages
from symscape.nn.models.v2106.points_convolution import Convolution
from symscape.o3 import Irreps

__all__ = ["Compose", "Convolution", "MessagePassing", "radius_graph", "tp_path_exists"]


class MessagePassing(GatedMessages):
    """Convolutions on points with gates between them.

    Args:
        irreps_node_sequence: features of the input, after each gate, and of the output. After a
            gate those to which no path leads are left out.
        irreps_node_attr: attributes of the nodes.
        irreps_edge_attr: attributes of the edges.
        fc_neurons: widths of the radial networks, from the number of edge scalars to the last
            hidden layer.
        num_neighbors: typical number of neighbors of a node.

    Attributes:
        layers: the layers.
        irreps_node_sequence: the features that there are.

    Raises:
        ValueError: fewer than two features, or irreps between which there is no path.

    Source: Ch. 5.3 (e3nn).
    """

    def __init__(
        self,
        irreps_node_sequence: Sequence[Any],
        irreps_node_attr: Any,
        irreps_edge_attr: Any,
        fc_neurons: Sequence[int],
        num_neighbors: float,
    ) -> None:
        sequence = [Irreps(irreps) for irreps in irreps_node_sequence]
        if len(sequence) < 2:
            raise ValueError(
                f"irreps_node_sequence: {len(sequence)} given; allowed: at least two, of the "
                "input and of the output"
            )
        attributes = (Irreps(irreps_node_attr), Irreps(irreps_edge_attr))
        super().__init__(
            lambda before, after: Convolution(
                before, *attributes, after, fc_neurons, num_neighbors
            ),
            sequence[0],
            sequence[1:-1],
            sequence[-1],
            *attributes,
            num_neighbors,
            need_gates=True,
        )
