"""Message passing on points, with gates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from symscape.nn.models._gated_layers import Compose, tp_path_exists
from symscape.nn.models._messages import GatedMessages
from symscape.nn.models.v2103.points_convolution import Convolution
from symscape.o3 import Irreps

__all__ = ["Compose", "Convolution", "MessagePassing", "tp_path_exists"]


class MessagePassing(GatedMessages):
    """Convolutions on points with gates between them.

    Args:
        irreps_node_input: features of the input.
        irreps_node_hidden: features after each gate; those to which no path leads are left out.
        irreps_node_output: features of the output.
        irreps_node_attr: attributes of the nodes.
        irreps_edge_attr: attributes of the edges.
        layers: number of gates; there is one more convolution.
        fc_neurons: widths of the radial networks, from the number of edge scalars to the last
            hidden layer.
        num_neighbors: typical number of neighbors of a node.

    Attributes:
        layers: the layers.

    Raises:
        ValueError: irreps between which there is no path.

    Source: Ch. 5.3 (e3nn).
    """

    def __init__(
        self,
        irreps_node_input: Any,
        irreps_node_hidden: Any,
        irreps_node_output: Any,
        irreps_node_attr: Any,
        irreps_edge_attr: Any,
        layers: int,
        fc_neurons: Sequence[int],
        num_neighbors: float,
    ) -> None:
        attributes = (Irreps(irreps_node_attr), Irreps(irreps_edge_attr))
        super().__init__(
            lambda before, after: Convolution(
                before, *attributes, after, fc_neurons, num_neighbors
            ),
            Irreps(irreps_node_input),
            layers * [Irreps(irreps_node_hidden)],
            Irreps(irreps_node_output),
            *attributes,
            num_neighbors,
            need_gates=False,
        )
        self.irreps_node_hidden = Irreps(irreps_node_hidden)
