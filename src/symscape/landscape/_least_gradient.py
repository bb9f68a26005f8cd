"""How far a state is from rest where relus sit at their kinks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import lsq_linear
from torch import Tensor

from symscape.landscape._hessian import active_patterns
from symscape.landscape._propagation import PatternLoss, Propagation
from symscape.networks import FullyConnected

__all__ = ["LeastGradient", "least_gradient"]

_ROUNDS = 3

_Kinks = list[tuple[int, Tensor, Tensor]]


@dataclass(frozen=True)
class LeastGradient:
    """The shortest generalized gradient at a state.

    Attributes:
        norm: its length; 0 at a stationary point.
        n_kinks: pairs of an unsatisfied pattern and a neuron that sit at a kink.
    """

    norm: float
    n_kinks: int


def least_gradient(
    net: FullyConnected, w: Tensor, x: Tensor, y: Tensor, loss: PatternLoss, cut: float
) -> LeastGradient:
    r"""The shortest generalized gradient of the loss, over the slopes of the relus at their kinks.

    Descent pins preactivations of relu to zero (see :func:`cusps`). There the gradient jumps, and
    it does not vanish on either side of a minimum. What vanishes is an element of Clarke's
    generalized gradient, in which every relu at its kink has a slope of its own between 0 and 1:
    the slopes are forces of constraint, as those of contacts between particles,

    .. math:: \min_{0\le s_k\le1} |\nabla\mathcal L(s)|, \qquad \nabla\mathcal L(s) =
        \nabla\mathcal L(0) + \sum_k s_k\,\ell'_{\mu_k}\,\frac{\partial f}{\partial z_k}
        \nabla a_k .

    This is linear in the slopes but for patterns with kinks in two layers; the bounded least
    squares is solved three times, linearized anew. Without kinks, and for smooth activations, it
    is the norm of the gradient.

    Args:
        net: network with one output.
        w: parameters, ``(N_tot,)``.
        x: inputs, ``(P, d)``.
        y: labels, ``(P,)``.
        loss: a loss of ``symscape.dynamics``.
        cut: magnitude of the preactivations below which a relu counts as at its kink, >= 0.

    Raises:
        ValueError: more than one output, wrong shapes, a negative cut, or a gradient that is not
            finite.
    """
    if not 0 <= cut < math.inf:
        raise ValueError(f"cut: {cut!r} given; allowed: a finite number >= 0")
    patterns = active_patterns(net, w, x, y, loss)
    state, first = patterns.state, patterns.first
    if not bool(torch.isfinite(first).all()):
        raise ValueError("w: outputs that are not finite; allowed: parameters with finite outputs")
    kinks: _Kinks = []
    if net.phi.name == "relu" and state.P > 0:
        kinks = _find(net, w, state.inputs[0].T, cut)
    n_kinks = sum(len(units) for _, units, _ in kinks)
    slopes = np.full(n_kinks, 0.5)
    for _ in range(_ROUNDS if n_kinks else 0):
        bent, pulls = _with_slopes(state, kinks, slopes)
        columns = _columns(bent, pulls, kinks, first)
        base = _total(bent, first) - columns @ slopes
        slopes = lsq_linear(columns, -base, bounds=(0.0, 1.0)).x
    norm = float(np.linalg.norm(_total(_with_slopes(state, kinks, slopes)[0], first)))
    return LeastGradient(norm, n_kinks)


def _find(net: FullyConnected, w: Tensor, x: Tensor, cut: float) -> _Kinks:
    """Layer, neurons and patterns of the relus at their kinks, layer by layer."""
    found: _Kinks = []
    for layer, a in enumerate(net.preactivations(w.detach(), x)):
        patterns, units = (a.abs() < cut).nonzero(as_tuple=True)
        found.append((layer, units, patterns))
    return found


def _with_slopes(
    state: Propagation, kinks: _Kinks, slopes: np.ndarray
) -> tuple[Propagation, list[Tensor]]:
    """The backward pass with these slopes at the kinks, and ``df/dz_l`` of the hidden layers."""
    values, used = torch.from_numpy(slopes) * state.net.phi.scale, 0
    bent = [slope.clone() for slope in state.slopes]
    for layer, units, patterns in kinks:
        bent[layer][units, patterns] = values[used : used + len(units)].to(bent[layer].dtype)
        used += len(units)
    deltas = [state.deltas[-1]]
    pulls: list[Tensor] = []
    for layer in range(state.net.L - 1, -1, -1):
        pulls.insert(0, state.matrices[layer + 1].T @ deltas[0])
        deltas.insert(0, bent[layer] * pulls[0])
    return replace(state, slopes=bent, deltas=deltas), pulls


def _total(state: Propagation, first: Tensor) -> np.ndarray:
    """The gradient of the loss, ``(N_tot,)``."""
    return (state.gradients() @ first).numpy()


def _columns(state: Propagation, pulls: list[Tensor], kinks: _Kinks, first: Tensor) -> np.ndarray:
    """Derivative of the gradient of the loss by the slope of each kink, ``(N_tot, n_kinks)``."""
    columns = []
    for layer, units, patterns in kinks:
        # df/ds = scale a df/dz with a = 0: the parameters below feel it through a alone
        seed = state.deltas[layer].new_zeros(state.deltas[layer].shape[0], len(units))
        strength = state.net.phi.scale * first[patterns] * pulls[layer][units, patterns]
        seed[units, torch.arange(len(units))] = strength
        deltas = [seed]
        for below in range(layer - 1, -1, -1):
            pulled = state.matrices[below + 1].T @ deltas[0]
            deltas.insert(0, state.slopes[below][:, patterns] * pulled)
        above = [delta.new_zeros(delta.shape[0], len(units)) for delta in state.deltas[layer + 1 :]]
        inputs = [z[:, patterns] for z in state.inputs]
        columns.append(replace(state, inputs=inputs, deltas=deltas + above).gradients())
    return torch.cat(columns, 1).numpy()
