"""The training loss of a combination of kernel functions, as a function of its coefficients."""

from __future__ import annotations

import math

from torch import Tensor

from symscape.dynamics._losses import Loss
from symscape.dynamics._objective import Objective

__all__ = ["FrozenObjective"]

# a negative square of a norm beyond this share of trace(K) |c|^2 is not rounding of the kernel
_ROUNDING = 1e-5


class FrozenObjective(Objective):
    r"""The :class:`Objective` of :math:`F = K c`, one member.

    A linearized network with parameters :math:`w = w_0 + J^T c/\alpha`, J the Jacobian of f at
    :math:`w_0`, has the outputs :math:`F = K c` with :math:`K = J J^T`, and its gradient flow is
    :math:`\dot c = -\ell'(F, y)/P`. Lengths are those of its weights:
    :math:`\|c\|^2 = c^T K c/\alpha^2`.

    Args:
        K: (P, P), or of a test set (P_test, P).
        y: labels, one per row of K.
        loss: the loss per pattern.
        alpha: None, or (1,).

    Raises:
        ValueError: from :meth:`norm` where K is seen not to be positive semidefinite.
    """

    def __init__(self, K: Tensor, y: Tensor, loss: Loss, alpha: Tensor | None) -> None:
        super().__init__(y, loss, alpha, 1)
        self._K = K
        self._alpha = 1.0 if alpha is None else float(alpha)
        if K.device.type == "cpu":
            self._compile_pass(None, 1.0)

    def outputs(self, predictor: Tensor) -> Tensor:
        """F itself."""
        return predictor

    def norm(self, v: Tensor) -> list[float]:
        """Length of the displacement of the linearized network's weights."""
        square = float(v[0] @ (self._K @ v[0]))
        if square < -_ROUNDING * float(self._K.trace() * (v[0] @ v[0])):
            raise ValueError(
                "K: a matrix that is not positive semidefinite given; allowed: kernels"
            )
        return [math.sqrt(max(square, 0.0)) / self._alpha if square == square else math.nan]

    def scale(self, w: Tensor) -> list[float]:
        """The length of weights that fit P labels +-1, if the patterns do not interact."""
        typical = float(self._K.trace()) / self.P
        return [math.sqrt(self.P / typical) / self._alpha if typical > 0 else 1.0]

    def select(self, members: list[int]) -> FrozenObjective:
        """Itself: there is one member."""
        return self

    def on(self, K: Tensor, y: Tensor) -> FrozenObjective:
        """The same objective on a test set, with its kernel rows (P_test, P)."""
        return FrozenObjective(K, y, self.loss, self.alpha)

    def _outputs(self, w: Tensor) -> Tensor:
        return (self._K @ w[0]).unsqueeze(0)

    def _predictor(self, outputs: Tensor) -> Tensor:
        return outputs

    def _gradient(self, df: Tensor) -> Tensor:
        return df / self.P
