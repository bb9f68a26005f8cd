"""The relative stability of a classifier that is named, and its place among those of the thesis."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

from torch import Tensor, nn

from symscape._arguments import integer
from symscape.diffeo._maximum_entropy import MaximumEntropy
from symscape.diffeo._preparation import normalized_images
from symscape.diffeo._probing import probing
from symscape.diffeo._stability import Distances, Stability, measure_distances
from symscape.training import named_model

__all__ = ["ClassifierStability", "classifier_stability", "place"]

_FARTHEST = 1e150  # from 1, up or down: its square is a float64
_LEAST_IMAGES = 3  # so that D and G are defined, see Stability


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

    Images are normalized as those of the thesis, and have the dtype of the model's parameters.

    Args:
        model: the function returns a module; see :func:`symscape.training.named_model`.
        data: a name that :func:`symscape.datasets.load` knows.
        delta: nominal displacement in pixels.
        c: cut-off.
        count: number of test images, at least three.
        seed: of deformations and noise.

    Raises:
        ValueError: a model that cannot be loaded, does not fit the images, or whose output is
            constant, no number, or a class number; too few images; missing data; a deformation
            outside the acceptable region.

    Source: Ch. 4, Fig. 3 to 5.
    """
    count = integer("count", count, _LEAST_IMAGES)
    classifier = named_model(model, seed=seed)
    pinned, images = _test_images(data, count)
    images = _like_parameters(images, classifier)
    ensemble = MaximumEntropy.from_displacement(delta, c, images.shape[-2:])
    _try_out(classifier, images[:2], model)
    [distances] = measure_distances(classifier, images, ensemble, count=count, seed=seed)
    _check_defined(distances, model)
    found = distances.stability()
    expected = min(1.0, 0.24 * found.R**0.5)
    return ClassifierStability(model, pinned, delta, c, found, place(found.R), expected)


def _like_parameters(images: Tensor, classifier: nn.Module) -> Tensor:
    """Images of the dtype and on the device of the parameters."""
    floating = (p for p in classifier.parameters() if p.dtype.is_floating_point)
    first = next(floating, None)
    return images if first is None else images.to(first.device, first.dtype)


def _try_out(classifier: nn.Module, images: Tensor, name: str) -> None:
    """Raise ValueError where the model does not take the images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the measurement warns
        try:
            with probing(classifier, "running"):
                outputs = classifier(images)
        except Exception as error:  # the model runs whatever it contains
            raise ValueError(
                f"model: {name} does not take images of shape {tuple(images.shape[1:])} and "
                f"{images.dtype}: {_in_words(error)}"
            ) from error
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        return  # the measurement says so
    largest = float(outputs.abs().max())
    if _FARTHEST < largest < math.inf or 0 < largest < 1 / _FARTHEST:
        raise ValueError(
            f"model: {name} gives outputs of {largest:.1g}, whose squares leave the range of "
            f"numbers; allowed: {1 / _FARTHEST:.0e} to {_FARTHEST:.0e}"
        )


def _in_words(error: Exception) -> str:
    """Type and text on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def _check_defined(distances: Distances, name: str) -> None:
    """Raise ValueError where D, G or R of the output do not exist, with the reason."""
    numbers = (distances.deformed, distances.noisy, distances.between)
    if not all(bool(part.isfinite().all()) for part in numbers):
        reason = "outputs that are NaN or infinite; allowed: finite ones"
    elif not bool((distances.between > 0).any()):
        reason = "the same output for all images; allowed: one that depends on them"
    elif not math.isfinite(distances.stability().G):
        reason = "the same output for most pairs of images, so that distances have no scale"
    elif not distances.stability().R >= 0:
        reason = "outputs that noise does not change, so that there is no relative stability"
    else:
        return
    raise ValueError(f"model: {name} gives {reason}")


def place(R: float) -> str:
    """Where a relative stability stands among the networks of the thesis (c = 3, one pixel).

    Raises:
        ValueError: a relative stability that is NaN or negative.
    """
    if not R >= 0:
        raise ValueError(f"R: {R!r} given; allowed: a number >= 0")
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
