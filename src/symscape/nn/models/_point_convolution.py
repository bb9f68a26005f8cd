"""What the convolutions on points have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from symscape.nn._fc import FullyConnectedNet
from symscape.nn._fused_convolution import pass_messages
from symscape.o3 import FullyConnectedTensorProduct, Irrep, Irreps, TensorProduct

__all__ = ["PointConvolution", "depthwise_product"]

_SCALAR = Irrep("0e")


def depthwise_product(
    irreps_in: Irreps, irreps_edge_attr: Irreps, irreps_out: Irreps, with_scalars: bool = False
) -> TensorProduct:
    """Product of node features and edge attributes, one weight for each path, copy and edge.

    Args:
        irreps_in: features of the nodes.
        irreps_edge_attr: attributes of the edges.
        irreps_out: the irreps that the paths may lead to, with any multiplicity.
        with_scalars: allow paths to 0e too.

    Returns:
        The product, its output sorted; empty if no path exists.
    """
    found: list[tuple[int, Irrep]] = []
    paths: list[tuple[int, int, int]] = []
    for i, (mul, ir_in) in enumerate(irreps_in):
        for j, (_, ir_edge) in enumerate(irreps_edge_attr):
            for ir in ir_in * ir_edge:
                if ir in irreps_out or (with_scalars and ir == _SCALAR):
                    paths.append((i, j, len(found)))
                    found.append((mul, ir))
    irreps_mid, position, _ = Irreps(found).sort()
    return TensorProduct(
        irreps_in,
        irreps_edge_attr,
        irreps_mid,
        [(i, j, position[k], "uvu", True) for i, j, k in paths],
        internal_weights=False,
        shared_weights=False,
    )


class PointConvolution(torch.nn.Module):
    r"""Base of the convolutions on points.

    .. math:: x'_n = L_2\!\left(\frac{1}{\sqrt{\text{num\_neighbors}}}
        \sum_{e:\ \text{dst}(e) = n} L_1(x)_{\text{src}(e)} \otimes_{W_e} y_e\right)

    where :math:`L_1` and :math:`L_2` mix features with the attributes of the node, and a radial
    network gives the weights :math:`W_e`. What the derived classes add is how the result is
    mixed with the self-connection ``sc`` of the node. The messages are never stored.

    Args:
        irreps_in: features of the nodes where edges start.
        irreps_attr_in: their attributes.
        irreps_edge_attr: attributes of the edges.
        irreps_out: features of the nodes where edges end.
        irreps_attr_out: their attributes.
        fc_neurons: widths of the radial network without the last one; the first is the number of
            edge scalars.
        num_neighbors: typical number of edges that end at a node.
        self_connection: whether ``sc`` exists; both ends of the edges are the same nodes then.
        with_scalars: whether the sum over the edges has scalars that ``irreps_out`` lacks.
    """

    def __init__(
        self,
        irreps_in: Any,
        irreps_attr_in: Any,
        irreps_edge_attr: Any,
        irreps_out: Any,
        irreps_attr_out: Any,
        fc_neurons: Sequence[int],
        num_neighbors: float,
        *,
        self_connection: bool = True,
        with_scalars: bool = False,
    ) -> None:
        super().__init__()
        irreps_in, irreps_attr_in = Irreps(irreps_in), Irreps(irreps_attr_in)
        irreps_out, irreps_attr_out = Irreps(irreps_out), Irreps(irreps_attr_out)
        self.irreps_in = irreps_in
        self.irreps_edge_attr = Irreps(irreps_edge_attr)
        self.irreps_out = irreps_out
        self.num_neighbors = num_neighbors
        # in the order of e3nn, so that the same seed gives the same weights
        if self_connection:
            self.sc = FullyConnectedTensorProduct(irreps_in, irreps_attr_in, irreps_out)
        self.lin1 = FullyConnectedTensorProduct(irreps_in, irreps_attr_in, irreps_in)
        tp = depthwise_product(irreps_in, self.irreps_edge_attr, irreps_out, with_scalars)
        self.fc = FullyConnectedNet([*fc_neurons, tp.weight_numel], torch.nn.functional.silu)
        self.tp = tp
        self.lin2 = FullyConnectedTensorProduct(tp.irreps_out, irreps_attr_out, irreps_out)

    def _sums(
        self,
        features: Tensor,
        edge_src: Tensor,
        edge_dst: Tensor,
        edge_attr: Tensor,
        edge_scalars: Tensor,
        num_nodes: int,
    ) -> Tensor:
        """The sum over the edges that end at each node, ``(num_nodes, tp.irreps_out.dim)``."""
        weight = self.fc(edge_scalars)
        sums = pass_messages(self.tp, features, edge_attr, weight, edge_src, edge_dst, num_nodes)
        return sums / self.num_neighbors**0.5

    def _where_mixed(self, factor: Tensor | float) -> Tensor:
        """The factor where the self-connection reaches the output, 1 where it does not."""
        mask = self.sc.output_mask
        return (1 - mask) + factor * mask
