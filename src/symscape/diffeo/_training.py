"""Training of the chapter's classifiers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from symscape._arguments import integer, integer_fields

__all__ = ["Recipe", "TrainedClassifier", "error_rate", "train_classifier"]

Augmentation = Callable[[Tensor, torch.Generator], Tensor]
"""A batch of images and a generator to the augmented batch."""


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Args:
        steps: gradient steps, the same for every size of the training set.
        optimizer: ``"sgd"``: momentum 0.9, weight decay 5e-4, cosine annealing that ends at 4/5
            of the steps and rises a little again, as in the thesis's code; ``"adam"``: constant
            rate, no weight decay, for the fully connected networks.
        learning_rate: at the start.
        batch_size: images per step.
        evaluations: how often the validation error is measured, evenly spaced; the network with
            the smallest is kept.

    Source: Ch. 4, App. E.1.
    """

    steps: int
    optimizer: Literal["sgd", "adam"] = "sgd"
    learning_rate: float = 0.1
    batch_size: int = 128
    evaluations: int = 10

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adam"):
            raise ValueError(f"optimizer: {self.optimizer!r} given; allowed: 'sgd' or 'adam'")
        integer_fields(self, steps=1, batch_size=1, evaluations=1)
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate: {self.learning_rate!r} given; allowed: > 0")


@dataclass(frozen=True)
class TrainedClassifier:
    """What came out of a training.

    Attributes:
        validation_error: fraction of wrong classes of the network that was kept.
        train_error: of the same network, on the training set.
        step: after which step it was kept.
        loss: mean cross entropy over the last tenth of the steps.
    """

    validation_error: float
    train_error: float
    step: int
    loss: float


def train_classifier(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    *,
    validation: tuple[Tensor, Tensor],
    seed: int = 0,
    augment: Augmentation | None = None,
) -> TrainedClassifier:
    """Train a classifier with the cross entropy, in place; the best network seen is kept.

    The thesis validates on its test set; pass a set of its own for an honest test error.

    Args:
        model: from (B, channels, n, n) to (B, classes).
        x: training images, (P, channels, n, n).
        y: their classes, int64, (P,).
        recipe: how.
        validation: images and classes on which the network to keep is chosen.
        seed: of the order of the images, the augmentation and the dropout.
        augment: applied to every batch.

    Raises:
        ValueError: images and classes that do not fit.
        FloatingPointError: the loss is not finite.

    Source: Ch. 4, App. E.1.
    """
    _check_labelled("x, y", x, y)
    _check_labelled("validation", *validation)
    seed = integer("seed", seed)
    generator = torch.Generator().manual_seed(seed)
    optimizer, schedule = _optimizer(model, recipe)
    checks = {recipe.steps * (k + 1) // recipe.evaluations for k in range(recipe.evaluations)}
    best, best_step = math.inf, 0
    kept = copy.deepcopy(model.state_dict())
    losses: list[Tensor] = []
    order, at = torch.randperm(len(x), generator=generator), 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout draws from the global generator
        for step in range(1, recipe.steps + 1):
            if at + recipe.batch_size > len(order):
                order, at = order[at:], 0
            while recipe.batch_size > len(order):
                order = torch.cat([order, torch.randperm(len(x), generator=generator)])
            rows = order[at : at + recipe.batch_size]
            at += recipe.batch_size
            images = x[rows] if augment is None else augment(x[rows], generator)
            model.train()
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(images), y[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
            if step in checks:
                error = error_rate(model, *validation)
                if not bool(torch.isfinite(losses[-1])):
                    raise FloatingPointError(f"the loss is {float(losses[-1])} after {step} steps")
                if error < best:
                    best, best_step = error, step
                    kept = copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    model.eval()
    recent = torch.stack(losses[-max(1, recipe.steps // 10) :]).mean()
    return TrainedClassifier(best, error_rate(model, x, y), best_step, float(recent))


def _check_labelled(name: str, x: Tensor, y: Tensor) -> None:
    if len(x) != len(y) or len(x) == 0 or y.dtype != torch.int64:
        raise ValueError(
            f"{name}: {len(x)} images and {len(y)} labels of {y.dtype} given; allowed: as many "
            "labels as images, one or more, torch.int64"
        )


def error_rate(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 500) -> float:
    """Fraction of wrong classes, in evaluation mode; the model is left in its own.

    An image of which some output is NaN is wrong.

    Raises:
        ValueError: images and classes that do not fit; a model that does not give one number per
            class.
    """
    _check_labelled("x, y", x, y)
    training = model.training
    model.eval()
    with torch.inference_mode():
        wrong = sum(
            int(_is_wrong(model(some), right).sum())
            for some, right in zip(x.split(batch_size), y.split(batch_size), strict=True)
        )
    model.train(training)
    return wrong / len(y)


def _is_wrong(outputs: Tensor, right: Tensor) -> Tensor:
    if outputs.ndim != 2 or len(outputs) != len(right):
        raise ValueError(
            f"model: gives shape {tuple(outputs.shape)} for {len(right)} images; allowed: "
            "(B, classes)"
        )
    return (outputs.argmax(1) != right) | outputs.isnan().any(1)


def _optimizer(
    model: nn.Module, recipe: Recipe
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    parameters = model.parameters()
    if recipe.optimizer == "adam":
        adam = torch.optim.Adam(parameters, lr=recipe.learning_rate)
        return adam, torch.optim.lr_scheduler.ConstantLR(adam, factor=1.0)
    sgd = torch.optim.SGD(parameters, lr=recipe.learning_rate, momentum=0.9, weight_decay=5e-4)
    turn = max(1, round(0.8 * recipe.steps))
    return sgd, torch.optim.lr_scheduler.LambdaLR(
        sgd, lambda step: 0.5 * (1.0 + math.cos(math.pi * step / turn))
    )
