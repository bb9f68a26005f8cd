"""Networks on points: message passing over spherical harmonics of the edges."""

from __future__ import annotations

from typing import Any

from symscape.nn.models import _point_networks as base
from symscape.nn.models._graph import radius_graph, scatter
from symscape.nn.models.v2103.gate_points_message_passing import MessagePassing
from symscape.o3 import Irreps

__all__ = [
    "MessagePassing",
    "NetworkForAGraphWithAttributes",
    "SimpleNetwork",
    "radius_graph",
    "scatter",
]


class _Version(base.PointNetwork):
    _basis = "cosine"

    def _messages(
        self, irreps_in: Irreps, hidden: list[Irreps], irreps_out: Irreps, **options: Any
    ) -> MessagePassing:
        wanted = hidden[0] if hidden else Irreps("")
        return MessagePassing(irreps_in, wanted, irreps_out, layers=len(hidden), **options)


class SimpleNetwork(_Version, base.SimpleNetwork):
    __doc__ = base.SimpleNetwork.__doc__


class NetworkForAGraphWithAttributes(_Version, base.NetworkWithAttributes):
    __doc__ = base.NetworkWithAttributes.__doc__

    _inputs = ("node_input",)
