"""Minibatch training of a torch module with the losses of the library."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from symscape._arguments import integer
from symscape.dynamics import Loss, Record
from symscape.training._batches import Batches
from symscape.training._checks import check_data, check_numbers, check_resolution, check_stationary
from symscape.training._model import all_outputs, outputs
from symscape.training._optimizer import OptimizerName, make_optimizer

__all__ = ["Fit", "FitStatus", "fit"]

FitStatus = Literal["converged", "out_of_budget", "diverged"]

_LOOKS = Record(per_decade=10, every=None)
_LEAST_BETWEEN_CHECKS = 10  # steps, so that checks cost less than the steps between them


@dataclass(frozen=True)
class Fit:
    """What came out of a training.

    Attributes:
        status: ``converged`` (no constraint of the training set is unsatisfied),
            ``out_of_budget`` (the steps are used up), or ``diverged`` (a number that is not finite,
            at step ``steps``).
        steps: steps of the optimizer.
        loss: mean loss over the training set at the end (with alpha: divided by alpha^2).
        n_delta: unsatisfied constraints at the end.
        misclassified: misclassified training points at the end.
        wall_seconds: computing time, that of the calls before included when a run was resumed.
        test_error: fraction of misclassified test points at the end; NaN without a test set.
        best_test_error: its minimum over the recorded steps (early stopping).
        best_step: the step of the minimum, -1 without a test set.
        test_outputs: the predictor F on the test set at the end, (P_test,) or (P_test, c), for
            averages over seeds; None without a test set.
        history: arrays of equal length: step, loss, n_delta, misclassified, and test_error where
            there is a test set.
    """

    status: FitStatus
    steps: int
    loss: float
    n_delta: int
    misclassified: int
    wall_seconds: float
    test_error: float = math.nan
    best_test_error: float = math.nan
    best_step: int = -1
    test_outputs: Tensor | None = None
    history: dict[str, np.ndarray] = field(default_factory=dict)

    def raise_if_diverged(self) -> None:
        """Raise FloatingPointError, naming the step, if the training diverged."""
        if self.status == "diverged":
            raise FloatingPointError(
                f"training diverged: the loss is {self.loss} at step {self.steps}; a smaller "
                "learning rate may help"
            )


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    loss: Loss,
    lr: float,
    steps: int,
    optimizer: OptimizerName = "adam",
    batch: int | None = None,
    alpha: float | None = None,
    seed: int = 0,
    stop_at_zero_loss: bool = True,
    check_every: int | None = None,
    test: tuple[Tensor, Tensor] | None = None,
    record: Record = _LOOKS,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 1000,
) -> Fit:
    r"""Train a module in place, in minibatches, on the loss

    .. math::
        \mathcal L(w) = \frac1{\alpha^2 P}\sum_\mu \ell(F(w, x_\mu), y_\mu), \qquad
        F(w, x) = \alpha\,[f(w, x) - f(w_0, x)],

    with :math:`w_0` the weights at the call; without ``alpha``, :math:`F = f` and the prefactor is
    1/P.

    **The learning rate and alpha.** With SGD a step of rate :math:`\eta` is a time :math:`\eta` of
    the flow :math:`\dot w = -\nabla\mathcal L`. There, lazy training (large alpha) moves F at a
    rate that does not depend on alpha, so that one rate fits all large alpha: it must stay below
    2 / (largest eigenvalue of the kernel over P, times the loss's curvature). In feature training
    the gradient is 1/alpha times that of f and the weights move in a time
    :math:`t_1 \sim \sqrt h\,\alpha`: the rate must shrink in proportion to alpha, and further as
    the kernel grows. With ADAM each step moves each weight by about :math:`\eta` whatever alpha is,
    so that F moves by :math:`\alpha\eta\sum|\partial f/\partial w|`: there it is for *large* alpha
    that the rate must shrink, as 1/alpha. :func:`first_step_rate` finds a rate for both. ADAM's
    epsilon (1e-8) is in units of the gradient of alpha times the loss, which does not vanish with
    alpha.

    Args:
        model: from (P, ...) to (P,), (P, 1) or (P, c); in the mode (training or evaluation) in
            which its steps are to be done. With ``alpha``, its outputs must be a function of the
            parameters and the point alone, see :func:`check_stationary`, and precise enough that F
            is resolved to a tenth; without, modules with
            dropout or batch normalization are looked at in evaluation mode.
        x: training points, (P, ...), of the model's dtype and on its device.
        y: labels as the loss takes them, (P,): +1 and -1 of the outputs' dtype, or int64 classes.
        loss: of :mod:`symscape.dynamics`.
        lr: learning rate, > 0.
        steps: largest number of steps, >= 0.
        optimizer: ``"adam"`` (:math:`\beta` = 0.9, 0.999) or ``"sgd"``, both without momentum or
            weight decay.
        batch: points of a step; None for all of them. Each epoch is a fresh random partition, a
            remainder smaller than a batch sits out.
        alpha: > 0, or None.
        seed: of the batches, and of dropout.
        stop_at_zero_loss: end as soon as a look at the whole training set finds no unsatisfied
            constraint.
        check_every: steps between two such looks; by default an epoch, and 10 steps at least.
        test: points and labels for the test error.
        record: steps at which history is written (and the test error measured), besides the first
            and the last.
        checkpoint: file in which the state is kept every ``checkpoint_every`` steps and at the
            end; where it exists, the training goes on from it, to the same numbers.
        checkpoint_every: steps between two checkpoints.

    Raises:
        ValueError: an argument out of its bounds, data that do not fit, a model without trainable
            parameters or one that ``alpha`` does not go with, a checkpoint of another training.

    Source: Ch. 3, paper I, Eq. 6-7; sheet 03, sections 2 and 6.
    """
    run = _Training(
        model,
        x,
        y,
        loss=loss,
        lr=lr,
        optimizer=optimizer,
        batch=len(x) if batch is None else batch,
        alpha=alpha,
        seed=seed,
        test=test,
    )
    steps = integer("steps", steps, 0)
    if check_every is None:
        check_every = max(run.epoch, _LEAST_BETWEEN_CHECKS)
    check_every = integer("check_every", check_every, 1)
    saver = None
    if checkpoint is not None:
        saver = _Saver(run, Path(checkpoint), integer("checkpoint_every", checkpoint_every, 1))
        saver.load()
    due = _Due(check_every, record, run.step)
    start = time.perf_counter() - run.seconds
    with run.seeded():
        while True:
            recorded, last = due.records(run.step), run.step >= steps
            if recorded or last or due.checks(run.step):
                look = run.look()
                fitted = stop_at_zero_loss and look.n_delta == 0
                ends = last or fitted or not math.isfinite(look.loss)
                if recorded or ends:
                    run.write(look)
                if ends:
                    break
            if saver is not None:
                saver.save_if_due(time.perf_counter() - start)
            run.advance()
    seconds = time.perf_counter() - start
    if saver is not None:
        saver.save(seconds)
    return run.result(look, fitted=fitted, seconds=seconds)


@dataclass(frozen=True)
class _Look:
    """The whole training set at one step."""

    loss: float
    n_delta: int
    misclassified: int


class _Due:
    """Which steps are recorded, and at which ones the training set is looked at."""

    def __init__(self, check_every: int, record: Record, step: int) -> None:
        self._every = check_every
        self._steps: Iterator[float] = record.steps()
        self._next = next(self._steps)
        while self._next < step:
            self._next = next(self._steps)

    def records(self, step: int) -> bool:
        due = step >= self._next
        while self._next <= step:
            self._next = next(self._steps)
        return due

    def checks(self, step: int) -> bool:
        return step % self._every == 0


class _Training:
    """One training: model, optimizer, data, and what was seen so far."""

    def __init__(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        *,
        loss: Loss,
        lr: float,
        optimizer: OptimizerName,
        batch: int,
        alpha: float | None,
        seed: int,
        test: tuple[Tensor, Tensor] | None,
    ) -> None:
        self.seed = integer("seed", seed)
        self.batch = integer("batch", batch, 1, len(x), f"an integer from 1 to P = {len(x)}")
        parameters = [p for p in model.parameters() if p.requires_grad]
        check_numbers(lr, alpha, optimizer)
        check_data(model, parameters, x, y, loss, test)
        if alpha is not None:
            check_stationary(model, x)
        self.plain, self.loss, self.alpha = model, loss, alpha
        self.scale = 1.0 if alpha is None else alpha
        self.x, self.y, self.test = x, y, test
        self.epoch = len(x) // self.batch
        self.lr, self.name = lr, optimizer
        self.fabric = _fabric(parameters[0].device)
        self.model, self.optimizer = self.fabric.setup(
            model, make_optimizer(optimizer, parameters, lr, alpha)
        )
        self.batches = Batches(len(x), self.batch, self.seed)
        self.f0: Tensor | None = None
        self.test_f0: Tensor | None = None
        if alpha is not None:
            self.f0 = all_outputs(self.model, x)
            check_resolution(alpha, self.f0)
            self.test_f0 = None if test is None else all_outputs(self.model, test[0])
        self.step = 0
        self.seconds = 0.0
        self.best_error, self.best_step = math.nan, -1
        self.history: dict[str, list[float]] = {}
        self._on_test: tuple[int, Tensor] | None = None

    def advance(self) -> None:
        """One step of the optimizer."""
        rows = self.batches.next().to(self.x.device)
        f = outputs(self.model, self.x[rows])
        centre = None if self.f0 is None else self.f0[rows]
        with torch.no_grad():
            # by the loss's own derivative, whose choice at a kink is the library's
            df = self.loss.derivative(self._predictor(f, centre), self.y[rows])
            df = df / (self.scale * len(rows))
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(f, df)
        self.optimizer.step()
        self.step += 1

    def _predictor(self, f: Tensor, f0: Tensor | None) -> Tensor:
        return f if f0 is None else self.scale * (f - f0)

    def look(self) -> _Look:
        """The state of the whole training set."""
        with self._looking():
            F = self._predictor(all_outputs(self.model, self.x), self.f0)
        return _Look(
            float(self.loss.value(F, self.y).mean()) / self.scale**2,
            int(self.loss.unsatisfied(F, self.y).sum()),
            int(self.loss.misclassified(F, self.y).sum()),
        )

    def write(self, look: _Look) -> None:
        """A line of the history; where a resumed training is at the line it ended with, no other
        one."""
        if self.history.get("step", [-1])[-1] == self.step:
            return
        line: dict[str, float] = {"step": self.step, **dataclasses.asdict(look)}
        if self.test is not None:
            error = self._test_error(self.test_predictor())
            line["test_error"] = error
            if not error >= self.best_error:
                self.best_error, self.best_step = error, self.step
        for name, value in line.items():
            self.history.setdefault(name, []).append(value)

    def test_predictor(self) -> Tensor:
        """F on the test set, computed once at a step."""
        assert self.test is not None
        if self._on_test is None or self._on_test[0] != self.step:
            with self._looking():
                F = self._predictor(all_outputs(self.model, self.test[0]), self.test_f0)
            self._on_test = self.step, F
        return self._on_test[1]

    def _test_error(self, F: Tensor) -> float:
        assert self.test is not None
        return float(self.loss.misclassified(F, self.test[1]).double().mean())

    def result(self, look: _Look, fitted: bool, seconds: float) -> Fit:
        """The end."""
        status: FitStatus = "converged" if fitted else "out_of_budget"
        if not math.isfinite(look.loss):
            status = "diverged"
        test: dict[str, Any] = {}
        if self.test is not None:
            F = self.test_predictor()
            test = {
                "test_error": self._test_error(F),
                "best_test_error": self.best_error,
                "best_step": self.best_step,
                "test_outputs": F,
            }
        return Fit(
            status,
            self.step,
            **dataclasses.asdict(look),
            wall_seconds=seconds,
            history={name: np.array(values) for name, values in self.history.items()},
            **test,
        )

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Evaluation mode without alpha, where dropout and batch normalization are allowed."""
        if self.alpha is not None:
            yield
            return
        modes = {module: module.training for module in self.plain.modules()}
        self.plain.eval()
        try:
            yield
        finally:
            for module, training in modes.items():
                module.training = training

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """Dropout draws from the global generator, which is put back."""
        with torch.random.fork_rng(devices=[]):
            if self.step == 0:
                torch.manual_seed(self.seed)
            else:
                torch.set_rng_state(self.random)
            yield

    # what a checkpoint holds, besides model and optimizer

    def identity(self) -> dict[str, Any]:
        """What two trainings that may share a checkpoint have in common."""
        return {
            "loss": repr(self.loss),
            "optimizer": self.name,
            "lr": self.lr,
            "batch": self.batch,
            "alpha": self.alpha,
            "seed": self.seed,
            "x": [*self.x.shape, float(self.x.double().sum())],
        }

    def state(self) -> dict[str, Any]:
        """All that the rest of the training depends on."""
        return {
            "step": self.step,
            "batches": self.batches.state_dict(),
            "random": torch.get_rng_state(),
            "f0": self.f0,
            "test_f0": self.test_f0,
            "best": [self.best_error, self.best_step],
            "history": self.history,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.step, self.history = state["step"], state["history"]
        self.batches.load_state_dict(state["batches"])
        self.random = state["random"]
        self.f0, self.test_f0 = state["f0"], state["test_f0"]
        self.best_error, self.best_step = state["best"]


class _Saver:
    """Keeps a training in a file, and takes it from there."""

    def __init__(self, run: _Training, path: Path, every: int) -> None:
        self._run, self._path, self._every = run, path, every
        self._saved = -1

    def load(self) -> None:
        if not self._path.exists():
            return
        run = self._run
        objects = {"model": run.model, "optimizer": run.optimizer}
        rest = run.fabric.load(self._path, objects, strict=True, weights_only=True)
        if rest["identity"] != run.identity():
            given, kept = run.identity(), rest["identity"]
            other = next(name for name in given if given[name] != kept.get(name))
            raise ValueError(
                f"checkpoint: {self._path} is of a training with {other} = {kept.get(other)}, not "
                f"{given[other]}; allowed: a file that does not exist yet, or of the same training"
            )
        run.restore(rest["state"])
        run.seconds = rest["seconds"]
        self._saved = run.step

    def save_if_due(self, seconds: float) -> None:
        if self._run.step % self._every == 0 and self._run.step not in (0, self._saved):
            self.save(seconds)

    def save(self, seconds: float) -> None:
        """Write the file anew, and then move it in place: a run that is killed leaves the old."""
        run, new = self._run, self._path.with_suffix(".new")
        content = {"model": run.model, "optimizer": run.optimizer}
        rest = {"identity": run.identity(), "state": run.state(), "seconds": seconds}
        run.fabric.save(new, content | rest)
        new.replace(self._path)
        self._saved = run.step


def _fabric(device: torch.device) -> Any:
    """One device, this process; a cluster's environment variables mean nothing to it."""
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments import LightningEnvironment

    devices: Any = 1 if device.index is None else [device.index]
    return Fabric(accelerator=device.type, devices=devices, plugins=[LightningEnvironment()])
