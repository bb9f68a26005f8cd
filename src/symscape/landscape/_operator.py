"""Products of the Hessian and its parts with vectors, for any number of parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from symscape.landscape._hessian import active_patterns
from symscape.landscape._propagation import PatternLoss
from symscape.networks import FullyConnected

__all__ = ["HessianOperator"]


class HessianOperator:
    r"""``H_0 v``, ``H_p v`` and ``H v`` without the matrices (definitions as in ``hessian``).

    ``H_0 v = (1/P) sum l'' grad f (grad f . v)`` is one forward derivative and one backward pass;
    ``H_p v = (1/P) sum l' (Hess f) v`` is the derivative of the backward pass along v. A product
    costs about ``4 N P_active`` multiply-adds (``H_0`` 2, ``H_p`` 4 to 6); memory: about
    ``6 L h P_active`` numbers.

    Args:
        net: network with one output.
        w: parameters, ``(N_tot,)``.
        x: inputs, ``(P, d)``.
        y: labels, ``(P,)``.
        loss: a loss of ``symscape.dynamics``; only its two derivatives are used.

    Raises:
        ValueError: more than one output, wrong shapes, dtypes or labels.
    """

    def __init__(
        self, net: FullyConnected, w: Tensor, x: Tensor, y: Tensor, loss: PatternLoss
    ) -> None:
        patterns = active_patterns(net, w, x, y, loss)
        self._net = net
        self._state = patterns.state
        self._first = patterns.first
        self._second = patterns.second
        self._like = w.detach()

    @property
    def size(self) -> int:
        """Number of parameters, ``N_tot``."""
        return self._net.n_parameters

    @property
    def n_active(self) -> int:
        """Number of patterns with non-zero ``l'`` or ``l''``; ``N_delta`` for the hinge."""
        return self._state.P

    @property
    def gradient(self) -> Tensor:
        """Gradient of the loss, ``(N_tot,)``; where it is not small, nothing is stationary."""
        return self._pull_back([delta * self._first for delta in self._state.deltas])

    def h0(self, v: Tensor) -> Tensor:
        """``H_0 v``, ``(N_tot,)``."""
        push = self._push_forward(v)[-1][0]
        weights = self._second * push
        return self._pull_back([delta * weights for delta in self._state.deltas])

    def hp(self, v: Tensor) -> Tensor:
        """``H_p v``, ``(N_tot,)``."""
        return self._along(v, self._push_forward(v), self._first)

    def h(self, v: Tensor) -> Tensor:
        """``H v = (H_0 + H_p) v``, ``(N_tot,)``."""
        pushes = self._push_forward(v)
        weights = self._second * pushes[-1][0]
        product = self._pull_back([delta * weights for delta in self._state.deltas])
        return product + self._along(v, pushes, self._first)

    def _directions(self, v: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """Layers of v, the matrices times their prefactors."""
        if v.shape != (self.size,):
            raise ValueError(f"v must have shape ({self.size},); got {tuple(v.shape)}")
        layers = self._net.unpack(v.to(self._like.dtype))
        return [(m * c, b) for (m, b), c in zip(layers, self._net.prefactors, strict=True)]

    def _push_forward(self, v: Tensor) -> list[Tensor]:
        """Derivatives of the preactivations ``a_1 .. a_{L+1}`` along v, each ``(n_l, P)``."""
        state = self._state
        pushes: list[Tensor] = []
        for index, (matrix, b) in enumerate(self._directions(v)):
            push = matrix @ state.inputs[index]
            if index:
                push += state.matrices[index] @ (state.slopes[index - 1] * pushes[-1])
            if b is not None:
                push += b[:, None]
            pushes.append(push)
        return pushes

    def _pull_back(self, deltas: list[Tensor]) -> Tensor:
        """``sum_mu`` of the outer products of deltas and inputs, as one vector ``(N_tot,)``."""
        parts: list[Tensor] = []
        for index, delta in enumerate(deltas):
            prefactor = self._net.prefactors[index]
            parts.append((prefactor * (delta @ self._state.inputs[index].T)).flatten())
            if self._net.bias:
                parts.append(delta.sum(1))
        return torch.cat(parts)

    def _along(self, v: Tensor, pushes: list[Tensor], weights: Tensor) -> Tensor:
        """Derivative along v of ``sum_mu weights_mu grad f_mu``."""
        state, directions = self._state, self._directions(v)
        turn = torch.zeros_like(state.deltas[-1])
        turns = [turn]
        for index in range(self._net.L - 1, -1, -1):
            # d_l = phi'(a_l) W_{l+1}^T d_{l+1}, differentiated factor by factor
            pulled = directions[index + 1][0].T @ state.deltas[index + 1]
            if index < self._net.L - 1:
                pulled += state.matrices[index + 1].T @ turn
            turn = state.slopes[index] * pulled
            if state.curved:
                turn += state.bends[index] * pushes[index]
            turns.insert(0, turn)
        product = self._pull_back([turn * weights for turn in turns])
        # and the inputs of each layer move along v too
        parts: list[Tensor] = []
        for index, delta in enumerate(state.deltas):
            moved = torch.zeros_like(state.matrices[index])
            if index:
                moved = (delta * weights) @ (state.slopes[index - 1] * pushes[index - 1]).T
            parts.append((self._net.prefactors[index] * moved).flatten())
            if self._net.bias:
                parts.append(delta.new_zeros(delta.shape[0]))
        return product + torch.cat(parts)
