"""Methods with one full gradient per step and no error control: gradient descent and Adam."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from symscape._arguments import integer_fields
from symscape.dynamics._objective import Objective
from symscape.dynamics._stepper import Stepper

__all__ = ["Adam", "GradientDescent"]


@dataclass(frozen=True)
class GradientDescent:
    r"""Full-batch gradient descent, :math:`w \leftarrow w - \eta\nabla\mathcal L(w)`.

    Args:
        lr: learning rate :math:`\eta > 0`; each step advances the flow time by it.
    """

    lr: float

    def __post_init__(self) -> None:
        check_positive("lr", self.lr)

    def start(self, objective: Objective, w: Tensor, max_time: float) -> Stepper:
        """See :class:`Integrator`."""
        return _DescentStepper(self, objective, w, max_time)

    def for_member(self, index: int) -> GradientDescent:
        """Every member is trained in the same way."""
        return self


class _DescentStepper(Stepper):
    def __init__(
        self, config: GradientDescent, objective: Objective, w: Tensor, max_time: float
    ) -> None:
        super().__init__(objective, w, max_time)
        self._lr = config.lr

    def advance(self) -> None:
        _ = self.measures
        self.gradient = self.objective.gradient()
        self.w.add_(self.gradient, alpha=-self._lr)
        self._measures = self.evaluate(self.w)
        count_step(self, self._lr)


@dataclass(frozen=True)
class Adam:
    r"""Full-batch Adam with a learning rate that is divided at regular steps.

    :math:`m \leftarrow \beta_1 m + (1-\beta_1) g`, :math:`v \leftarrow \beta_2 v + (1-\beta_2)
    g^2`, :math:`w \leftarrow w - \eta\,\hat m / (\sqrt{\hat v} + \varepsilon)`, with the usual
    corrections :math:`\hat m = m / (1 - \beta_1^k)`, :math:`\hat v = v / (1 - \beta_2^k)`, and
    :math:`\eta` = lr / decay_factor^floor((k - decay_start) / decay_every) once k exceeds
    ``decay_start``, not below ``floor``.

    Args:
        lr: initial learning rate > 0. A step adds its learning rate to the time.
        betas: decay rates in [0, 1).
        eps: added to the denominator, > 0.
        decay_every: steps between two divisions, or None for a constant learning rate.
        decay_factor: what the learning rate is divided by, >= 1.
        floor: smallest learning rate, or None.
        decay_start: steps before the first interval of ``decay_every`` begins, >= 0.

    Source: Ch. 1, paper B, App. B: lr 1e-4 divided by 10 every 250 000 steps.
    """

    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decay_every: int | None = None
    decay_factor: float = 10.0
    floor: float | None = None
    decay_start: int = 0

    def __post_init__(self) -> None:
        check_positive("lr", self.lr)
        check_positive("eps", self.eps)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: {self.betas!r} given; allowed: two numbers in [0, 1)")
        integer_fields(self, decay_start=0)
        if self.decay_every is not None:
            integer_fields(self, decay_every=1)
        if not 1 <= self.decay_factor < math.inf:
            raise ValueError(f"decay_factor: {self.decay_factor!r} given; allowed: a number >= 1")
        if self.floor is not None:
            check_positive("floor", self.floor)

    @classmethod
    def for_width(cls, h: float, cap: float = 1e-4) -> Adam:
        r"""Adam with the constant learning rate :math:`\min(h^{-3/2}/10,` ``cap`` :math:`)`.

        With it the number of steps to zero loss does not depend on the width h.

        Source: Ch. 2, paper B, Section 1.1 and App. A.
        """
        check_positive("h", h)
        return cls(lr=min(0.1 * h**-1.5, cap))

    def learning_rate(self, step: int) -> float:
        """The learning rate of the step that starts after ``step`` steps."""
        late = max(0, step - self.decay_start)
        decays = 0 if self.decay_every is None else late // self.decay_every
        lr = self.lr / self.decay_factor**decays
        return lr if self.floor is None else max(lr, min(self.floor, self.lr))

    def start(self, objective: Objective, w: Tensor, max_time: float) -> Stepper:
        """See :class:`Integrator`."""
        return _AdamStepper(self, objective, w, max_time)

    def for_member(self, index: int) -> Adam:
        """Every member is trained in the same way."""
        return self


class _AdamStepper(Stepper):
    def __init__(self, config: Adam, objective: Objective, w: Tensor, max_time: float) -> None:
        super().__init__(objective, w, max_time)
        self._config = config
        self._mean = torch.zeros_like(self.w)
        self._square = torch.zeros_like(self.w)
        self._k = 0
        self._arrays: tuple[np.ndarray, ...] | None = None
        if objective.members == 1 and w.device.type == "cpu":
            from symscape.dynamics._loss_kernels import adam_update

            self._update: Callable[..., None] = adam_update
            self._arrays = tuple(t.numpy()[0] for t in (self.w, self._mean, self._square))

    def advance(self) -> None:
        _ = self.measures
        config, (beta1, beta2) = self._config, self._config.betas
        gradient = self.objective.gradient()
        lr = config.learning_rate(self._k)
        self._k += 1
        rate, root = lr / (1.0 - beta1**self._k), math.sqrt(1.0 - beta2**self._k)
        if self._arrays is not None:
            self._update(*self._arrays, gradient.numpy()[0], beta1, beta2, rate, root, config.eps)
        else:
            self._mean.lerp_(gradient, 1.0 - beta1)
            self._square.mul_(beta2).addcmul_(gradient, gradient, value=1.0 - beta2)
            denominator = self._square.sqrt().div_(root).add_(config.eps)
            self.w.addcdiv_(self._mean, denominator, value=-rate)
        self.gradient = gradient
        self._measures = self.evaluate(self.w)
        count_step(self, lr)


def count_step(stepper: Stepper, duration: float) -> None:
    """All members made one step of that duration."""
    for member in range(len(stepper.steps)):
        stepper.steps[member] += 1
        stepper.time[member] += duration


def check_positive(name: str, value: float) -> None:
    """Raise ValueError unless ``value`` is a positive finite number."""
    if not 0 < value < math.inf:
        raise ValueError(f"{name}: {value!r} given; allowed: a positive finite number")
