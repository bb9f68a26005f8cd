"""Network on points with self-interactions and gates, version of February 2021."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from symscape.math import soft_one_hot_linspace
from symscape.nn._extract import ExtractIr
from symscape.nn.models._gated_layers import Compose, gate_after, tp_path_exists
from symscape.nn.models._graph import batch_of, entry, pooled, radius_graph, scatter
from symscape.nn.models._point_convolution import PointConvolution
from symscape.o3 import Irreps, spherical_harmonics

__all__ = [
    "Compose",
    "Convolution",
    "Network",
    "radius_graph",
    "scatter",
    "smooth_cutoff",
    "tp_path_exists",
]

# weights of the self-connection and of the convolution, whose squares sum to one
_SELF, _NEIGHBORS = math.sin(math.pi / 8), math.cos(math.pi / 8)


def smooth_cutoff(x: Tensor) -> Tensor:
    r""":math:`(1 - \cos 2\pi x)/2` for :math:`1/2 < x < 1`, 1 below and 0 above."""
    inside = (1 - torch.cos(2 * math.pi * (x - 1))) / 2
    return torch.where(x > 1, 0.0, torch.where(x < 0.5, 1.0, inside))


class Convolution(PointConvolution):
    r"""Equivariant convolution on points.

    The self-connection of a node and the sum over its neighbors, each of unit variance, are mixed
    with the weights :math:`\sin\frac\pi8` and :math:`\cos\frac\pi8`.

    Args:
        irreps_in: features of the nodes.
        irreps_node_attr: attributes of the nodes.
        irreps_edge_attr: attributes of the edges.
        irreps_out: features of the nodes after it.
        number_of_edge_features: number of scalars of each edge, from which the weights follow.
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
        number_of_edge_features: int,
        radial_layers: int,
        radial_neurons: int,
        num_neighbors: float,
    ) -> None:
        super().__init__(
            irreps_in,
            irreps_node_attr,
            irreps_edge_attr,
            irreps_out,
            irreps_node_attr,
            [number_of_edge_features] + radial_layers * [radial_neurons],
            num_neighbors,
        )
        self.irreps_node_attr = Irreps(irreps_node_attr)

    def forward(
        self,
        node_input: Tensor,
        node_attr: Tensor,
        edge_src: Tensor,
        edge_dst: Tensor,
        edge_attr: Tensor,
        edge_features: Tensor,
    ) -> Tensor:
        """Convolve.

        Args:
            node_input: ``(nodes, irreps_in.dim)``.
            node_attr: ``(nodes, irreps_node_attr.dim)``.
            edge_src: the node at which each edge starts, ``(edges,)``.
            edge_dst: the node at which each edge ends, ``(edges,)``.
            edge_attr: ``(edges, irreps_edge_attr.dim)``.
            edge_features: ``(edges, number_of_edge_features)``.

        Returns:
            ``(nodes, irreps_out.dim)``.
        """
        itself = self.sc(node_input, node_attr)
        features = self.lin1(node_input, node_attr)
        sums = self._sums(features, edge_src, edge_dst, edge_attr, edge_features, len(features))
        neighbors = self.lin2(sums, node_attr)
        return _SELF * itself + self._where_mixed(_NEIGHBORS) * neighbors


class Network(torch.nn.Module):
    r"""Equivariant network on points: convolutions with gates between them.

    Edges connect points closer than ``max_radius``. Their attributes are
    :math:`h(r)\,Y(\hat r)`, with spherical harmonics and a smooth cutoff :math:`h`; their scalars,
    from which the weights of the convolutions follow, are Gaussians of the length and the scalar
    attributes of both nodes.

    Args:
        irreps_in: features of the nodes (``x``); None for none.
        irreps_hidden: features between the layers.
        irreps_out: features of the output.
        irreps_node_attr: attributes of the nodes (``z``); None for none.
        irreps_edge_attr: spherical harmonics of the edges.
        layers: number of gates; there is one more convolution.
        max_radius: radius of the neighborhood of a point.
        number_of_basis: number of functions of the length.
        radial_layers: number of hidden layers of the radial networks.
        radial_neurons: their width.
        num_neighbors: typical number of points within ``max_radius``.
        num_nodes: typical number of points of a graph.
        reduce_output: sum over the nodes of each graph.

    Attributes:
        irreps_in: as given.
        irreps_out: features of the output.

    Raises:
        ValueError: irreps between which there is no path.

    Source: Ch. 5.3 (e3nn).
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_hidden: Any,
        irreps_out: Any,
        irreps_node_attr: Any,
        irreps_edge_attr: Any,
        layers: int,
        max_radius: float,
        number_of_basis: int,
        radial_layers: int,
        radial_neurons: int,
        num_neighbors: float,
        num_nodes: float,
        reduce_output: bool = True,
    ) -> None:
        super().__init__()
        self.max_radius = max_radius
        self.number_of_basis = number_of_basis
        self.num_neighbors = num_neighbors
        self.num_nodes = num_nodes
        self.reduce_output = reduce_output
        self.irreps_in = None if irreps_in is None else Irreps(irreps_in)
        self.irreps_hidden = Irreps(irreps_hidden)
        self.irreps_out = Irreps(irreps_out)
        self.irreps_node_attr = Irreps("0e" if irreps_node_attr is None else irreps_node_attr)
        self.irreps_edge_attr = Irreps(irreps_edge_attr)
        self.input_has_node_in = irreps_in is not None
        self.input_has_node_attr = irreps_node_attr is not None
        self._has_trivial_attr = self.irreps_node_attr == Irreps("0e")
        radial = (self._number_of_edge_scalars(), radial_layers, radial_neurons, num_neighbors)

        def convolution(irreps: Irreps, irreps_out: Irreps) -> PointConvolution:
            attributes = (self.irreps_node_attr, self.irreps_edge_attr)
            return self._convolution(irreps, *attributes, irreps_out, *radial)

        irreps = Irreps("0e") if self.irreps_in is None else self.irreps_in
        self.layers = torch.nn.ModuleList()
        for _ in range(layers):
            gate = gate_after(
                irreps, self.irreps_edge_attr, self.irreps_hidden, simplify=False, need_gates=False
            )
            self.layers.append(Compose(convolution(irreps, gate.irreps_in), gate))
            irreps = gate.irreps_out
        self.layers.append(convolution(irreps, self.irreps_out))

    def _number_of_edge_scalars(self) -> int:
        self.ext_z = ExtractIr(self.irreps_node_attr, "0e")
        return self.number_of_basis + 2 * self.irreps_node_attr.count("0e")

    def _convolution(self, *arguments: Any) -> PointConvolution:
        return Convolution(*arguments)

    def _edge_scalars(self, embedded: Tensor, z: Tensor, src: Tensor, dst: Tensor) -> Tensor:
        scalar_z = self.ext_z(z)
        return torch.cat([embedded, scalar_z[src], scalar_z[dst]], 1)

    def forward(self, data: Mapping[str, Any]) -> Tensor:
        """Evaluate the network.

        Args:
            data: a mapping, or an object like one, with

                - ``pos``: the points, ``(nodes, 3)``;
                - ``x``: ``(nodes, irreps_in.dim)``, if ``irreps_in`` was given;
                - ``z``: ``(nodes, irreps_node_attr.dim)``, if ``irreps_node_attr`` was given;
                - ``batch``: the graph to which each node belongs, ``(nodes,)``; optional.

        Returns:
            ``(graphs, irreps_out.dim)``, or ``(nodes, irreps_out.dim)`` without
            ``reduce_output``.

        Raises:
            ValueError: features or attributes missing.
        """
        pos, batch = entry(data, "pos"), batch_of(data)
        src, dst = radius_graph(pos, self.max_radius, batch)
        vectors = pos[src] - pos[dst]
        lengths = vectors.norm(dim=1)
        embedded = soft_one_hot_linspace(
            lengths, 0.0, self.max_radius, self.number_of_basis, "gaussian", False
        ).mul(self.number_of_basis**0.5)
        harmonics = spherical_harmonics(
            self.irreps_edge_attr, vectors, True, normalization="component"
        )
        edge_attr = smooth_cutoff(lengths / self.max_radius)[:, None] * harmonics
        ones = pos.new_ones(len(pos), 1)
        x = entry(data, "x") if self.input_has_node_in else ones
        given = self.input_has_node_attr and not ("z" not in data and self._has_trivial_attr)
        z = entry(data, "z") if given else ones
        edge_scalars = self._edge_scalars(embedded, z, src, dst)
        for layer in self.layers:
            x = layer(x, z, src, dst, edge_attr, edge_scalars)
        return pooled(x, batch, self.num_nodes) if self.reduce_output else x
