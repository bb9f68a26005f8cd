"""The training loss as a function of the weights, for one or many members at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from symscape.dynamics._losses import CrossEntropy, Hinge, Loss, SoftHinge
from symscape.networks import FullyConnected, Propagator

__all__ = ["Measures", "Objective"]

_Kernel = Callable[..., tuple[float, int, int]]


@dataclass(frozen=True)
class Measures:
    """What one evaluation of the loss tells.

    Attributes:
        predictor: F, (E, P) or (E, P, c).
        loss: loss of each member.
        n_delta: number of unsatisfied constraints of each member.
        misclassified: number of misclassified patterns of each member.
    """

    predictor: Tensor
    loss: list[float]
    n_delta: list[int]
    misclassified: list[int]

    def select(self, members: list[int]) -> Measures:
        """Those of some members only."""
        return Measures(
            self.predictor[members],
            [self.loss[member] for member in members],
            [self.n_delta[member] for member in members],
            [self.misclassified[member] for member in members],
        )


class Objective:
    r""":math:`\mathcal L(w) = \frac1{\alpha^2 P}\sum_\mu \ell(F_\mu, y_\mu)` of E members.

    The predictor is :math:`F = \alpha (f(w) - f(w_0))`, or f itself (and no :math:`\alpha`) when
    ``alpha`` is None.

    One member with a margin loss on the CPU takes a compiled pass over the patterns for predictor,
    loss, derivative and counts together; everything else is tensor operations.

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
        self.net, self.x, self.y, self.loss, self.alpha = net, x, y, loss, alpha
        self.members = w0.shape[0]
        self.P = x.shape[-2]
        self._propagator = _propagator(net, x, self.members)
        self._batched = self._propagator.members is not None
        self.f0 = f0
        if alpha is not None and f0 is None:
            self.f0 = self._outputs(w0).clone()
        self._alpha_squared = None if alpha is None else (alpha**2).tolist()
        self._df: Tensor | None = None
        self._pass = self._compiled_pass()

    def evaluate(self, w: Tensor) -> Measures:
        """Predictor, loss and counts at ``w``, (E, n_parameters)."""
        f = self._outputs(w)
        if self._pass is not None:
            return self._pass(f)
        predictor = self._predictor(f)
        loss = self.loss.value(predictor, self.y).mean(-1)
        if self.alpha is not None:
            loss = loss / self.alpha**2
        self._df = self.loss.derivative(predictor, self.y)
        unsatisfied = self.loss.unsatisfied(predictor, self.y).flatten(1).sum(1)
        misclassified = self.loss.misclassified(predictor, self.y).flatten(1).sum(1)
        # one transfer to the host for the three
        counts = torch.stack([unsatisfied, misclassified]).to(torch.float64)
        rows = torch.cat([loss.to(torch.float64).unsqueeze(0), counts]).tolist()
        return Measures(predictor, rows[0], [int(n) for n in rows[1]], [int(n) for n in rows[2]])

    def propagate(self, w: Tensor) -> None:
        """Get ready for :meth:`gradient` at ``w``, without measuring anything."""
        f = self._outputs(w)
        if self._pass is not None:
            self._pass(f)
        else:
            self._df = self.loss.derivative(self._predictor(f), self.y)

    def gradient(self) -> Tensor:
        """The gradient at the ``w`` of the last :meth:`evaluate` or :meth:`propagate`.

        (E, n_parameters): a buffer that the next call overwrites.
        """
        if self._df is None:
            raise RuntimeError("gradient() needs a call of evaluate() or propagate() before it")
        df = self._df if self._batched else self._df[0]
        gradient = self._propagator.backward(df)
        if self.alpha is None:
            gradient.div_(self.P)
        elif self._batched:
            gradient.div_((self.alpha * self.P).unsqueeze(1))
        else:
            gradient.div_(float(self.alpha) * self.P)
        return gradient if self._batched else gradient.unsqueeze(0)

    def predictor(self, w: Tensor) -> Tensor:
        """F at ``w``, (E, P) or (E, P, c), freshly allocated."""
        return self._predictor(self._outputs(w))

    def per_pattern(self, measures: Measures) -> list[float]:
        r"""The mean of :math:`\ell` over the training set: :math:`\alpha^2` times the loss."""
        if self._alpha_squared is None:
            return measures.loss
        return [a * loss for a, loss in zip(self._alpha_squared, measures.loss, strict=True)]

    def select(self, members: list[int]) -> Objective:
        """The objective of some of the members only."""
        return Objective(
            self.net,
            self.x[members] if self.x.ndim == 3 else self.x,
            self.y[members] if self.y.ndim == 2 else self.y,
            self.loss,
            None if self.alpha is None else self.alpha[members],
            self.x.new_empty((len(members), self.net.n_parameters)),
            None if self.f0 is None else self.f0[members],
        )

    def on(self, x: Tensor, y: Tensor, w0: Tensor) -> Objective:
        """The same objective on other data (a test set), with its own f_0."""
        return Objective(self.net, x, y, self.loss, self.alpha, w0)

    def _outputs(self, w: Tensor) -> Tensor:
        if self._batched:
            return self._propagator.forward(w.contiguous())
        return self._propagator.forward(w[0]).unsqueeze(0)

    def _predictor(self, f: Tensor) -> Tensor:
        if self.alpha is None or self.f0 is None:
            return f.clone()
        alpha = self.alpha.reshape(-1, *[1] * (f.ndim - 1))
        return alpha * (f - self.f0)

    def _compiled_pass(self) -> Callable[[Tensor], Measures] | None:
        """Predictor, derivative, loss and counts from f in one pass, where there is one."""
        loss, net = self.loss, self.net
        if self._batched or net.c > 1 or self.x.device.type != "cpu":
            return None
        chosen = _kernel(loss)
        if chosen is None:
            return None
        kernel, settings = chosen
        y = np.ascontiguousarray(self.y.reshape(-1).numpy())
        f0 = np.empty(0, y.dtype) if self.f0 is None else self.f0[0].numpy()
        alpha = 1.0 if self.alpha is None else float(self.alpha)
        scale = 1.0 / (alpha * alpha * self.P)
        df = np.empty_like(y)
        self._df = torch.from_numpy(df).unsqueeze(0)

        def one_pass(f: Tensor) -> Measures:
            predictor = np.empty_like(y)
            total, n_delta, misclassified = kernel(
                f.numpy()[0], f0, alpha, y, *settings, predictor, df
            )
            tensor = torch.from_numpy(predictor).unsqueeze(0)
            return Measures(tensor, [total * scale], [n_delta], [misclassified])

        return one_pass


def _kernel(loss: Loss) -> tuple[_Kernel, tuple[float, ...]] | None:
    """The compiled pass of a loss and its settings."""
    if not isinstance(loss, Hinge | SoftHinge | CrossEntropy):
        return None
    from symscape.dynamics import _loss_kernels as kernels

    if isinstance(loss, Hinge):
        return kernels.hinge, (loss.margin, float(loss.power))
    if isinstance(loss, SoftHinge):
        return kernels.soft_hinge, (loss.margin, float(loss.beta), False)
    return kernels.soft_hinge, (0.0, 1.0, True)


def _propagator(net: FullyConnected, x: Tensor, members: int) -> Propagator:
    if members == 1:
        # one member needs no leading dimension, and that is the fast path on the CPU
        return Propagator(net, x[0] if x.ndim == 3 else x)
    return Propagator(net, x, members=members)
