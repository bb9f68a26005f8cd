"""The training loss of networks, as a function of their weights."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.dynamics._losses import Loss
from symscape.dynamics._objective import Objective
from symscape.networks import FullyConnected, Propagator

__all__ = ["NetworkObjective"]


class NetworkObjective(Objective):
    r"""The :class:`Objective` of E networks of one architecture.

    The predictor is :math:`F = \alpha (f(w) - f(w_0))`, or f itself (and no :math:`\alpha`) when
    ``alpha`` is None.

    Args:
        net: the architecture.
        x: training inputs, (P, d) or (E, P, d).
        y: labels, (P,) or (E, P).
        loss: the loss per pattern.
        alpha: None, or (E,).
        w0: initial parameters, (E, n_parameters): where f_0 is taken.
        f0: outputs at w0 if they are known already (members of an ensemble); else None.
    """

    def __init__(
        self,
        net: FullyConnected,
        x: Tensor,
        y: Tensor,
        loss: Loss,
        alpha: Tensor | None,
        w0: Tensor,
        f0: Tensor | None = None,
    ) -> None:
        super().__init__(y, loss, alpha, w0.shape[0])
        self.net, self.x = net, x
        self._propagator = _propagator(net, x, self.members)
        self._batched = self._propagator.members is not None
        self.f0 = f0
        if alpha is not None and f0 is None:
            self.f0 = self._outputs(w0).clone()
        if not self._batched and net.c == 1 and x.device.type == "cpu":
            self._compile_pass(self.f0, 1.0 if alpha is None else float(alpha))

    def outputs(self, predictor: Tensor) -> Tensor:
        """f = F / alpha + f_0."""
        if self.alpha is None or self.f0 is None:
            return predictor
        return predictor / _column(self.alpha, predictor) + self.f0

    def norm(self, v: Tensor) -> list[float]:
        """Euclidean length of each member's parameters."""
        return torch.linalg.vector_norm(v, dim=-1).tolist()

    def scale(self, w: Tensor) -> list[float]:
        """The norm of w; 1 where all of it is zero, and errors count as they are."""
        return [norm or 1.0 for norm in self.norm(w)]

    def select(self, members: list[int]) -> NetworkObjective:
        """The objective of some of the members only."""
        return NetworkObjective(
            self.net,
            self.x[members] if self.x.ndim == 3 else self.x,
            self.y[members] if self.y.ndim == 2 else self.y,
            self.loss,
            None if self.alpha is None else self.alpha[members],
            self.x.new_empty((len(members), self.net.n_parameters)),
            None if self.f0 is None else self.f0[members],
        )

    def on(self, x: Tensor, y: Tensor, w0: Tensor) -> NetworkObjective:
        """The same objective on other data (a test set), with its own f_0."""
        return NetworkObjective(self.net, x, y, self.loss, self.alpha, w0)

    def _outputs(self, w: Tensor) -> Tensor:
        if self._batched:
            return self._propagator.forward(w.contiguous())
        return self._propagator.forward(w[0]).unsqueeze(0)

    def _predictor(self, outputs: Tensor) -> Tensor:
        if self.alpha is None or self.f0 is None:
            return outputs.clone()
        return _column(self.alpha, outputs) * (outputs - self.f0)

    def _gradient(self, df: Tensor) -> Tensor:
        gradient = self._propagator.backward(df if self._batched else df[0])
        if self.alpha is None:
            gradient.div_(self.P)
        elif self._batched:
            gradient.div_((self.alpha * self.P).unsqueeze(1))
        else:
            gradient.div_(float(self.alpha) * self.P)
        return gradient if self._batched else gradient.unsqueeze(0)


def _propagator(net: FullyConnected, x: Tensor, members: int) -> Propagator:
    if members == 1:
        # one member needs no leading dimension, and that is the fast path on the CPU
        return Propagator(net, x[0] if x.ndim == 3 else x)
    return Propagator(net, x, members=members)


def _column(alpha: Tensor, like: Tensor) -> Tensor:
    """alpha (E,) as a factor of (E, P) or (E, P, c)."""
    return alpha.reshape(-1, *[1] * (like.ndim - 1))
