"""Networks on points as versions v2103 and v2106 have them, with different message passing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from symscape.math import soft_one_hot_linspace
from symscape.nn.models._graph import batch_of, entry, pooled, radius_graph
from symscape.nn.models._messages import GatedMessages
from symscape.o3 import Irreps, spherical_harmonics

__all__ = ["NetworkWithAttributes", "PointNetwork", "SimpleNetwork"]

_NUMBER_OF_BASIS = 10
_RADIAL_NEURONS = 100


class PointNetwork(torch.nn.Module):
    """Base of networks that pass messages over the spherical harmonics of edges.

    A version says which functions of the length it uses, and how it makes the message passing.
    """

    _basis: ClassVar[str]
    mp: GatedMessages

    def __init__(
        self,
        irreps_in: Any,
        irreps_node_attr: Any,
        irreps_edge_attr: Any,
        irreps_out: Any,
        max_radius: float,
        num_neighbors: float,
        num_nodes: float,
        mul: int,
        layers: int,
        lmax: int,
        pool_nodes: bool,
    ) -> None:
        super().__init__()
        self.lmax = lmax
        self.max_radius = max_radius
        self.number_of_basis = _NUMBER_OF_BASIS
        self.num_nodes = num_nodes
        self.pool_nodes = pool_nodes
        self.mp = self._messages(
            Irreps(irreps_in),
            layers * [Irreps([(mul, (l, p)) for l in range(lmax + 1) for p in (-1, 1)])],
            Irreps(irreps_out),
            irreps_node_attr=Irreps(irreps_node_attr),
            irreps_edge_attr=Irreps(irreps_edge_attr) + Irreps.spherical_harmonics(lmax),
            fc_neurons=[_NUMBER_OF_BASIS, _RADIAL_NEURONS],
            num_neighbors=num_neighbors,
        )

    def _messages(
        self, irreps_in: Irreps, hidden: list[Irreps], irreps_out: Irreps, **options: Any
    ) -> GatedMessages:
        raise NotImplementedError

    def _near(self, data: Mapping[str, Any], batch: Tensor) -> tuple[Tensor, Tensor]:
        src, dst = radius_graph(entry(data, "pos"), self.max_radius, batch)
        return src, dst

    def _pass(
        self,
        batch: Tensor,
        nodes: Tensor,
        node_attr: Tensor,
        edge_attr: Tensor | None,
        edge_src: Tensor,
        edge_dst: Tensor,
        edge_vec: Tensor,
    ) -> Tensor:
        harmonics = spherical_harmonics(
            list(range(self.lmax + 1)), edge_vec, True, normalization="component"
        )
        attributes = harmonics if edge_attr is None else torch.cat([edge_attr, harmonics], 1)
        # these functions vanish at max_radius, with no need of a cutoff
        embedded = soft_one_hot_linspace(
            edge_vec.norm(dim=1), 0.0, self.max_radius, self.number_of_basis, self._basis, True
        ).mul(self.number_of_basis**0.5)
        out = self.mp(nodes, node_attr, edge_src, edge_dst, attributes, embedded)
        return pooled(out, batch, self.num_nodes) if self.pool_nodes else out


class SimpleNetwork(PointNetwork):
    """Network on points with features.

    Edges connect points closer than ``max_radius``. Between the layers there are ``mul`` copies of
    all irreps up to ``lmax``, of both parities.

    Args:
        irreps_in: features of the points.
        irreps_out: features of the output.
        max_radius: radius of the neighborhood of a point.
        num_neighbors: typical number of points in it.
        num_nodes: typical number of points of a graph.
        mul: copies of each irrep between the layers.
        layers: number of gates; there is one more convolution.
        lmax: highest degree of the features and of the spherical harmonics.
        pool_nodes: sum over the points of each graph.

    Attributes:
        mp: the message passing.
        irreps_in: features of the points.
        irreps_out: features of the output.

    Raises:
        ValueError: irreps between which there is no path.

    Source: Ch. 5.3 (e3nn).
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_out: Any,
        max_radius: float,
        num_neighbors: float,
        num_nodes: float,
        mul: int = 50,
        layers: int = 3,
        lmax: int = 2,
        pool_nodes: bool = True,
    ) -> None:
        super().__init__(
            irreps_in,
            "0e",
            "",
            irreps_out,
            max_radius,
            num_neighbors,
            num_nodes,
            mul,
            layers,
            lmax,
            pool_nodes,
        )
        self.irreps_in = self.mp.irreps_node_input
        self.irreps_out = self.mp.irreps_node_output

    def preprocess(self, data: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The graph.

        Args:
            data: as in `forward`.

        Returns:
            The graph to which each node belongs, the features, the ends of the edges, and the
            vectors from their second to their first.

        Raises:
            ValueError: points or features missing.
        """
        pos, batch = entry(data, "pos"), batch_of(data)
        src, dst = self._near(data, batch)
        return batch, entry(data, "x"), src, dst, pos[src] - pos[dst]

    def forward(self, data: Mapping[str, Any]) -> Tensor:
        """Evaluate the network.

        Args:
            data: a mapping, or an object like one, with

                - ``pos``: the points, ``(nodes, 3)``;
                - ``x``: their features, ``(nodes, irreps_in.dim)``;
                - ``batch``: the graph to which each node belongs, ``(nodes,)``; optional.

        Returns:
            ``(graphs, irreps_out.dim)``, or ``(nodes, irreps_out.dim)`` without ``pool_nodes``.

        Raises:
            ValueError: points or features missing.
        """
        batch, x, src, dst, vectors = self.preprocess(data)
        return self._pass(batch, x, x.new_ones(len(x), 1), None, src, dst, vectors)


class NetworkWithAttributes(PointNetwork):
    """Network on a graph whose nodes and edges have attributes.

    Args:
        irreps_node_input: features of the nodes.
        irreps_node_attr: attributes of the nodes.
        irreps_edge_attr: attributes of the edges, beside their spherical harmonics.
        irreps_node_output: features of the output.
        max_radius: length at which the functions of the length of an edge vanish, and without
            given edges the radius of the neighborhood of a point.
        num_neighbors: typical number of edges that end at a node.
        num_nodes: typical number of nodes of a graph.
        mul: copies of each irrep between the layers.
        layers: number of gates; there is one more convolution.
        lmax: highest degree of the features and of the spherical harmonics.
        pool_nodes: sum over the nodes of each graph.

    Attributes:
        mp: the message passing.
        irreps_node_input: features of the nodes.
        irreps_node_attr: attributes of the nodes.
        irreps_edge_attr: attributes of the edges.
        irreps_node_output: features of the output.

    Raises:
        ValueError: irreps between which there is no path.

    Source: Ch. 5.3 (e3nn).
    """

    _inputs: ClassVar[tuple[str, ...]] = ("x", "node_input")

    def __init__(
        self,
        irreps_node_input: Any,
        irreps_node_attr: Any,
        irreps_edge_attr: Any,
        irreps_node_output: Any,
        max_radius: float,
        num_neighbors: float,
        num_nodes: float,
        mul: int = 50,
        layers: int = 3,
        lmax: int = 2,
        pool_nodes: bool = True,
    ) -> None:
        super().__init__(
            irreps_node_input,
            irreps_node_attr,
            irreps_edge_attr,
            irreps_node_output,
            max_radius,
            num_neighbors,
            num_nodes,
            mul,
            layers,
            lmax,
            pool_nodes,
        )
        self.irreps_edge_attr = Irreps(irreps_edge_attr)
        self.irreps_node_input = self.mp.irreps_node_input
        self.irreps_node_attr = self.mp.irreps_node_attr
        self.irreps_node_output = self.mp.irreps_node_output

    def preprocess(self, data: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """The graph.

        Args:
            data: as in `forward`.

        Returns:
            The graph to which each node belongs, features and attributes of the nodes, attributes
            of the edges, the ends of the edges, and the vectors from their second to their first.

        Raises:
            ValueError: something is missing.
        """
        pos, batch = entry(data, "pos"), batch_of(data)
        src, dst = data["edge_index"] if "edge_index" in data else self._near(data, batch)
        name = next((name for name in self._inputs if name in data), self._inputs[-1])
        nodes, attributes = entry(data, name), entry(data, "node_attr")
        return batch, nodes, attributes, entry(data, "edge_attr"), src, dst, pos[src] - pos[dst]

    def forward(self, data: Mapping[str, Any]) -> Tensor:
        """Evaluate the network.

        Args:
            data: a mapping, or an object like one, with

                - ``pos``: the points, ``(nodes, 3)``;
                - ``node_input``: their features, ``(nodes, irreps_node_input.dim)``;
                - ``node_attr``: their attributes, ``(nodes, irreps_node_attr.dim)``;
                - ``edge_attr``: ``(edges, irreps_edge_attr.dim)``;
                - ``edge_index``: the nodes at which each edge starts and ends, ``(2, edges)``;
                  without it, edges connect points closer than ``max_radius``, in the order of
                  `radius_graph`;
                - ``batch``: the graph to which each node belongs, ``(nodes,)``; optional.

        Returns:
            ``(graphs, irreps_node_output.dim)``, or ``(nodes, irreps_node_output.dim)`` without
            ``pool_nodes``.

        Raises:
            ValueError: something is missing.
        """
        return self._pass(*self.preprocess(data))
