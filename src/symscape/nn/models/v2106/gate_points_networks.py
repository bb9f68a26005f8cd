"""Networks on points: message passing over spherical harmonics of the edges."""

from __future__ import annotations

from typing import Any

from symscape.nn.models import _point_networks as base
from symscape.nn.models._graph import radius_graph, scatter
from symscape.nn.models.v2106.gate_points_message_passing import MessagePassing
from symscape.o3 import Irreps

__all__ = [
    "MessagePassing",
    "NetworkForAGraphWithAttributes",
    "SimpleNetwork",
    "radius_graph",
    "scatter",
]


class _Version(base.PointNetwork):
    _basis = "smooth_finite"

    def _messages(
        self, irreps_in: Irreps, hidden: list[Irreps], irreps_out: Irreps, **options: Any
    ) -> MessagePassing:
        return MessagePassing([irreps_in, *hidden, irreps_out], **options)


class SimpleNetwork(_Version, base.SimpleNetwork):
    __doc__ = base.SimpleNetwork.__doc__


class NetworkForAGraphWithAttributes(_Version, base.NetworkWithAttributes):
    __doc__ = base.NetworkWithAttributes.__doc__
