"""Stochastic gradient descent, with or without batch normalization."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from symscape._arguments import integer_fields
from symscape.dynamics._batch_network import BatchNetwork, CompiledBatchNetwork
from symscape.dynamics._first_order import check_positive, count_step
from symscape.dynamics._network_objective import NetworkObjective
from symscape.dynamics._objective import Measures, Objective
from symscape.dynamics._stepper import Stepper
from symscape.networks._activations import COMPILED

__all__ = ["SGD"]


@dataclass(frozen=True)
class SGD:
    r"""Stochastic gradient descent, :math:`w \leftarrow w - \eta\nabla\mathcal L(\mathcal T_i)`.

    Each epoch is a fresh random partition of the training set in batches of ``batch`` patterns;
    a remainder smaller than a batch sits out until the next epoch.

    With ``batch_norm``, the preactivations of every hidden layer are normalized over the batch and
    given a trainable scale and shift (one each per neuron, not counted in N), before the
    activation. For the training loss, the test error and the result, the normalization is folded
    into weights and biases with the statistics of the whole training set, so that the result is a
    network like any other.

    The full training set is evaluated at every look, so set ``Stop(check_every=...)``.

    Args:
        lr: learning rate > 0. A step adds its learning rate to the time.
        batch: batch size, between 1 and P.
        seed: of the partitions; member i of an ensemble uses seed + i.
        decay_every: steps between two divisions of the learning rate, or None.
        decay_factor: what it is divided by, >= 1.
        batch_norm: normalize the preactivations; needs a network with biases.

    Source: Introduction, Section 0.2; Ch. 1, paper B, App. B (cross entropy: lr 1e-2 for 500 000
    steps, then 1e-3, batch min(P/2, 1024), batch normalization).
    """

    lr: float
    batch: int
    seed: int = 0
    decay_every: int | None = None
    decay_factor: float = 10.0
    batch_norm: bool = False

    def __post_init__(self) -> None:
        check_positive("lr", self.lr)
        integer_fields(self, batch=1, seed=None)
        if self.decay_every is not None:
            integer_fields(self, decay_every=1)
        if not self.decay_factor >= 1:
            raise ValueError(f"decay_factor: {self.decay_factor!r} given; allowed: >= 1")

    def learning_rate(self, step: int) -> float:
        """The learning rate of the step that starts after ``step`` steps."""
        decays = 0 if self.decay_every is None else step // self.decay_every
        return self.lr / self.decay_factor**decays

    def start(self, objective: Objective, w: Tensor, max_time: float) -> Stepper:
        """See :class:`Integrator`.

        Raises:
            ValueError: no network, a batch larger than the training set, or ``batch_norm`` without
                biases or with layers of different widths.
        """
        if not isinstance(objective, NetworkObjective):
            raise ValueError("SGD: given without a network; allowed: to train networks")
        if self.batch > objective.P:
            raise ValueError(f"batch: {self.batch} given; allowed: at most P = {objective.P}")
        if self.batch_norm and not objective.net.bias:
            raise ValueError("batch_norm: True given; allowed: with a network that has biases")
        if self.batch_norm and len(set(objective.net.widths)) > 1:
            raise ValueError(
                f"batch_norm: True given with hidden layers of {objective.net.widths} neurons; "
                "allowed: with an integer width h"
            )
        return _StochasticStepper(self, objective, w, max_time)

    def for_member(self, index: int) -> SGD:
        """The same method with the member's own seed."""
        return replace(self, seed=self.seed + index)


class _StochasticStepper(Stepper):
    objective: NetworkObjective

    def __init__(
        self, config: SGD, objective: NetworkObjective, w: Tensor, max_time: float
    ) -> None:
        self._network = _network(config, objective, w)
        super().__init__(objective, self._network.extend(w), max_time)
        self._config = config
        seeds = range(config.seed, config.seed + objective.members)
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._order = self._shuffled()
        self._k = self._used = 0

    def advance(self) -> None:
        config, objective = self._config, self.objective
        if self._used + config.batch > objective.P:
            self._order, self._used = self._shuffled(), 0
        batch = self._order[:, self._used : self._used + config.batch]
        self._used += config.batch
        lr = config.learning_rate(self._k)
        self._k += 1
        self.gradient = self._batch_gradient(batch)
        self.w.add_(self.gradient, alpha=-lr)
        self._measures = None
        count_step(self, lr)

    def network_weights(self) -> Tensor:
        return self._network.fold(self.w, self.objective.x)

    @property
    def measures(self) -> Measures:
        if self._measures is None:
            self._measures = self.evaluate(self.network_weights())
        return self._measures

    def _batch_gradient(self, batch: Tensor) -> Tensor:
        objective = self.objective
        x = objective.x[batch] if objective.x.ndim == 2 else _rows(objective.x, batch)
        y = objective.y[batch] if objective.y.ndim == 1 else _rows(objective.y, batch)
        f = self._network.forward(self.w, x)
        self.evaluations += 1
        size = batch.shape[1]
        if objective.alpha is None or objective.f0 is None:
            return self._network.backward(objective.loss.derivative(f, y) / size)
        alpha = objective.alpha.reshape(-1, *[1] * (f.ndim - 1))
        predictor = alpha * (f - _rows(objective.f0, batch))
        df = objective.loss.derivative(predictor, y) / (alpha * size)
        return self._network.backward(df)

    def _shuffled(self) -> Tensor:
        """A random order of the training set for each member, (E, P)."""
        orders = [torch.randperm(self.objective.P, generator=g) for g in self._generators]
        return torch.stack(orders).to(self.w.device)


def _network(config: SGD, objective: NetworkObjective, w: Tensor) -> BatchNetwork:
    net = objective.net
    compiled = net.activation in COMPILED and len(w) == 1 and w.device.type == "cpu"
    if compiled and w.dtype in (torch.float32, torch.float64):
        return CompiledBatchNetwork(net, config.batch_norm, config.batch, w)
    return BatchNetwork(net, config.batch_norm)


def _rows(values: Tensor, batch: Tensor) -> Tensor:
    """The rows (E, b, ...) of values (E, P, ...)."""
    members = torch.arange(len(values), device=values.device).unsqueeze(1)
    return values[members, batch]
