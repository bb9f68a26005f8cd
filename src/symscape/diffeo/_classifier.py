"""The relative stability of a classifier that is named, and its place among those of the thesis."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from torch import Tensor, nn

from symscape.diffeo._maximum_entropy import MaximumEntropy
from symscape.diffeo._preparation import normalized_images
from symscape.diffeo._stability import Stability, relative_stability

__all__ = ["ClassifierStability", "classifier_stability", "load_classifier", "place"]


@dataclass(frozen=True)
class ClassifierStability:
    """What `symscape stability` reports.

    Attributes:
        model: the name it was asked for by.
        data: the pinned name of the images.
        delta: nominal displacement in pixels.
        c: cut-off.
        stability: of the output.
        place: a sentence on where the thesis's networks are.
        expected_error: test error on CIFAR-10 by the thesis's law 0.24 sqrt(R).
    """

    model: str
    data: str
    delta: float
    c: int
    stability: Stability
    place: str
    expected_error: float


def classifier_stability(
    model: str, data: str, *, delta: float = 1.0, c: int = 3, count: int = 500, seed: int = 0
) -> ClassifierStability:
    """Measure R_f of a model given as ``module:function`` on the test part of a data set.

    Images are normalized as those of the thesis.

    Args:
        model: the function takes nothing and returns a module.
        data: a name that :func:`symscape.datasets.load` knows.
        delta: nominal displacement in pixels.
        c: cut-off.
        count: number of test images.
        seed: of deformations and noise.

    Raises:
        ValueError: a model that cannot be loaded or does not fit the images, missing data, or a
            deformation outside the acceptable region.

    Source: Ch. 4, Fig. 3 to 5.
    """
    classifier = load_classifier(model)
    pinned, images = _test_images(data, count)
    ensemble = MaximumEntropy.from_displacement(delta, c, images.shape[-1])
    try:
        [found] = relative_stability(classifier, images, ensemble, count=count, seed=seed)
    except RuntimeError as error:
        raise ValueError(
            f"model: {model} does not take images of shape {tuple(images.shape[1:])}: {error}"
        ) from error
    expected = min(1.0, 0.24 * found.R**0.5)
    return ClassifierStability(model, pinned, delta, c, found, place(found.R), expected)


def load_classifier(name: str) -> nn.Module:
    """Import ``module:function`` and call it.

    Raises:
        ValueError: no such module or function, or something else than a module came out.
    """
    module, colon, function = name.partition(":")
    if not (module and colon and function):
        raise ValueError(f"model: {name!r} given; allowed: module:function, as in nets:trained")
    try:
        factory = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"model: {name} cannot be imported: {error}") from error
    model = factory() if callable(factory) and not isinstance(factory, nn.Module) else factory
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"model: {name} gives a {type(model).__name__}; allowed: a torch.nn.Module"
        )
    return model


def place(R: float) -> str:
    """Where a relative stability stands among the networks of the thesis (c = 3, one pixel)."""
    if not R >= 0:
        return "the output does not change at all, so that there is no relative stability"
    if R < 0.01:
        return "below all networks of the thesis, whose trained modern ones have 0.01 to 0.1"
    if R <= 0.1:
        return "among the thesis's trained modern networks (ResNet, EfficientNet): 0.01 to 0.1"
    if R <= 0.4:
        return "between the thesis's trained modern networks (0.01 to 0.1) and LeNet (0.6)"
    if R <= 1.0:
        return "around the thesis's LeNet on CIFAR-10 (0.6), a little below untrained networks (1)"
    return "around untrained networks (1) and trained fully connected ones (above 1)"


def _test_images(data: str, count: int) -> tuple[str, Tensor]:
    from symscape.datasets import load

    loaded = load(data)
    first = loaded.n_train if loaded.n_train < len(loaded.labels) else -count
    images = normalized_images(loaded.images[first:][:count], loaded.source.name)
    return loaded.source.pinned, images
