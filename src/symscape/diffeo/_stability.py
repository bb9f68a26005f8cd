"""Stability of a network to deformations and to noise: D_f, G_f and R_f."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from symscape._arguments import integer
from symscape.diffeo._maximum_entropy import MaximumEntropy
from symscape.diffeo._noise import matched_noise
from symscape.diffeo._normals import sample_seeds
from symscape.diffeo._probing import LayerNames, Taps, check_repeatable, probing
from symscape.diffeo._warp import Interpolation, check_images, warp

__all__ = ["Average", "Distances", "Stability", "measure_distances", "relative_stability"]

Average = Literal["median", "median_componentwise", "mean"]
"""Average over images: of squared distances, or component by component and then summed."""

_RESAMPLES = 100
_PARTNERS = 8  # random partners of an image in a resample of the pairs


@dataclass(frozen=True)
class Stability:
    r"""The three stabilities of one layer, with errors of one standard deviation.

    Attributes:
        layer: name of the layer, ``"output"`` for the network's.
        D: to deformations, relative to the distance of two images.
        G: to noise, relative to the distance of two images.
        R: D / G, the relative stability: below 1 where deformations change less than noise.
        D_error, G_error, R_error: bootstrap over the images; NaN where there is a single image.
        images: how many images were averaged over.

    D and G are NaN where the distance of two images is zero: where f is the same for most pairs,
    and for one or two images, since the median counts each image with itself, too, as that of the
    thesis's code does. R does not need it, and is NaN only where noise does not change f.
    """

    layer: str
    D: float
    G: float
    R: float
    D_error: float
    G_error: float
    R_error: float
    images: int


@dataclass(frozen=True)
class Distances:
    """Squared distances of the activations of one layer.

    Attributes:
        layer: name of the layer.
        deformed: squared distance of f(tau x) and f(x), (B,).
        noisy: squared distance of f(x + eta) and f(x), (B,).
        between: squared distances of f(x) and f(z) for all pairs, (B, B).
        components: squared differences, component by component, for deformations and for noise,
            two of (B, features); None for hidden layers unless they were asked for.
    """

    layer: str
    deformed: Tensor
    noisy: Tensor
    between: Tensor
    components: tuple[Tensor, Tensor] | None = None

    def stability(self, average: Average = "median", seed: int = 0) -> Stability:
        """D, G and R, see :class:`Stability`.

        Args:
            average: over the images.
            seed: of the bootstrap.

        Raises:
            ValueError: an unknown average, or one that needs components that are not here.
        """
        if average not in get_args(Average):
            allowed = ", ".join(get_args(Average))
            raise ValueError(f"average: {average!r} given; allowed: {allowed}")
        if average == "median_componentwise" and self.components is None:
            raise ValueError(
                f"average: 'median_componentwise' given for layer {self.layer!r}, whose components "
                "were not kept; allowed: components=True in the measurement"
            )
        B = len(self.deformed)
        deformed, noisy = self._numerators(average, torch.arange(B)[None])
        scale = _all_pairs(self.between, average)
        generator = torch.Generator().manual_seed(integer("seed", seed))
        chosen = torch.randint(B, (_RESAMPLES, B), generator=generator)
        shift = torch.randint(1, max(B, 2), (_PARTNERS, 1, 1), generator=generator)
        # another place of the same resample
        place = (torch.arange(B) + shift).remainder(B).flatten()
        partner = chosen.index_select(1, place).unflatten(1, (_PARTNERS, B))
        pairs = self.between.take((chosen[:, None] * B + partner).flatten(1))
        deformed_drawn, noisy_drawn = self._numerators(average, chosen)
        scale_drawn = _averaged(pairs, average)
        return Stability(
            layer=self.layer,
            D=float(_ratio(deformed, scale)),
            G=float(_ratio(noisy, scale)),
            R=float(_ratio(deformed, noisy)),
            D_error=_deviation(_ratio(deformed_drawn, scale_drawn)),
            G_error=_deviation(_ratio(noisy_drawn, scale_drawn)),
            R_error=_deviation(_ratio(deformed_drawn, noisy_drawn)),
            images=B,
        )

    def _numerators(self, average: Average, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Averages for deformations and noise of every row of indices; the bootstrap of components
        goes row by row to save memory."""
        if average == "median_componentwise":
            assert self.components is not None
            deformed, noisy = (
                torch.stack([part[row].median(0).values.sum(dtype=torch.float64) for row in chosen])
                for part in self.components
            )
        else:
            deformed, noisy = (
                _averaged(part[chosen], average) for part in (self.deformed, self.noisy)
            )
        return deformed, noisy


def relative_stability(
    model: nn.Module,
    images: Tensor | Iterable[Any],
    ensemble: MaximumEntropy,
    *,
    average: Average = "median",
    count: int = 500,
    **options: Any,
) -> list[Stability]:
    r"""How much less a network is changed by a deformation than by noise of the same size,

    .. math::
        R_f = \frac{\langle\|f(\tau x)-f(x)\|^2\rangle}{\langle\|f(x+\eta)-f(x)\|^2\rangle}
        = \frac{D_f}{G_f}, \qquad \|\eta\| = \|\tau x - x\| .

    Args:
        model: from (B, channels, rows, columns) to (B, outputs).
        images: (B, channels, rows, columns), preprocessed as the model wants them; or a loader of
            batches, each such a tensor or a tuple that begins with one.
        ensemble: the deformations, for example ``MaximumEntropy.from_displacement(1, c=3, n=32)``.
        average: over the images.
        count: number of images, the first ones.
        **options: of :func:`measure_distances`.

    Returns:
        One entry per layer asked for, in the order of execution; the last is the output's.

    Raises:
        ValueError: see :func:`measure_distances`.

    Source: Ch. 4, Eq. 4 and 5.
    """
    found = measure_distances(
        model,
        images,
        ensemble,
        count=count,
        components=average == "median_componentwise",
        **options,
    )
    return [distances.stability(average) for distances in found]


def measure_distances(
    model: nn.Module,
    images: Tensor | Iterable[Any],
    ensemble: MaximumEntropy,
    *,
    count: int = 500,
    layers: LayerNames = None,
    statistics: Literal["running", "batch"] = "running",
    interpolation: Interpolation = "bilinear",
    match: Literal["image", "mean", "median"] = "image",
    batch_size: int = 100,
    seed: int = 0,
    components: bool = False,
    progress: bool = False,
) -> list[Distances]:
    r"""Measure the squared distances that the stabilities are averages of.

    Each image gets a deformation and a noise of its own. Three forward passes per image; 4 bytes
    per image and feature are kept of each layer.

    Args:
        model: from (B, channels, rows, columns) to (B, outputs). It is measured in evaluation mode
            and left as it was.
        images: a tensor, or a loader of batches.
        ensemble: the deformations.
        count: number of images, the first ones.
        layers: hidden layers to measure, too: names of modules, or ``"all"`` of those without
            children.
        statistics: ``"running"`` after training; ``"batch"`` for a network at initialization,
            whose batch normalization has not collected any.
        interpolation: with ``"gaussian"``, x is the image blurred by it without a deformation.
        match: how the norm of the noise follows that of the deformations, see
            :func:`matched_noise`.
        batch_size: images per forward pass, at most; the batches are as equal as possible.
        seed: of deformations and noise.
        components: keep the differences component by component, of all layers.
        progress: show a bar on stderr.

    Returns:
        One entry per layer, in the order of execution; the last is the output's.

    Raises:
        ValueError: images that are not floating point; a temperature outside the acceptable
            region; a model whose output changes between calls or is not floating point; an unknown
            layer;
            batches of a single image with ``statistics="batch"``.

    Warns:
        UserWarning: dropout is on; the model is measured in evaluation mode.
    """
    x = _collected(images, count)
    check_images(x)
    _check_batches(batch_size, len(x), statistics)
    seeds = sample_seeds(seed, len(x), device=x.device)
    # one norm for all images needs all deformations at once
    together = batch_size if match == "image" else len(x)
    with probing(model, statistics) as may_drop:
        check_repeatable(model, x[:2], may_drop)
        taps = Taps(model, layers)
        try:
            collected = _Collector(components)
            start, done = time.monotonic(), 0
            for part, some in zip(_parts(x, together), _parts(seeds, together), strict=True):
                triple = _perturbed(part, some, ensemble, interpolation, match)
                for batches in zip(*(_parts(each, batch_size) for each in triple), strict=True):
                    collected.add(*(taps.run(model, batch) for batch in batches))
                    done += len(batches[0])
                    if progress:
                        _show(done, len(x), start)
        finally:
            taps.close()
        return collected.distances()


def _parts(entries: Tensor, size: int) -> tuple[Tensor, ...]:
    """Parts of at most ``size`` entries, as equal as possible, so that none is a single image."""
    return entries.tensor_split(-(-len(entries) // size))


def _check_batches(batch_size: int, count: int, statistics: str) -> None:
    batch_size = integer("batch_size", batch_size, 1)
    if statistics == "batch" and count // -(-count // batch_size) < 2:
        raise ValueError(
            f"batch_size: {batch_size} given for {count} images; allowed with statistics='batch': "
            "batches of two images or more"
        )


def _perturbed(
    x: Tensor,
    seeds: Tensor,
    ensemble: MaximumEntropy,
    interpolation: Interpolation,
    match: Literal["image", "mean", "median"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Images, and the same deformed and with noise."""
    fields = ensemble.fields(x.shape[-2:], seeds, x.dtype)
    deformed = warp(x, fields, interpolation)
    if interpolation == "gaussian":
        x = warp(x, torch.zeros_like(fields[:1]), interpolation)
    return x, deformed, x + matched_noise(x, deformed, seeds, match)


class _Collector:
    """Distances batch by batch, and the activations that the pairs need."""

    def __init__(self, components: bool) -> None:
        self._components = components
        self._f: dict[str, list[Tensor]] = {}
        self._parts: dict[str, list[tuple[Tensor, ...]]] = {}

    def add(self, f: dict[str, Tensor], moved: dict[str, Tensor], noisy: dict[str, Tensor]) -> None:
        for name, value in f.items():
            pair = tuple(_wide(other[name] - value).square() for other in (moved, noisy))
            if not self._kept(name):
                pair = tuple(part.sum(1, dtype=torch.float64).cpu() for part in pair)
            self._f.setdefault(name, []).append(value)
            self._parts.setdefault(name, []).append(pair)

    def _kept(self, name: str) -> bool:
        return self._components or name == "output"

    def distances(self) -> list[Distances]:
        found = []
        for name, values in self._f.items():
            deformed, noisy = (torch.cat(part) for part in zip(*self._parts[name]))
            components = None
            if self._kept(name):
                components = (deformed.cpu(), noisy.cpu())
                deformed, noisy = (part.sum(1, dtype=torch.float64) for part in components)
            found.append(Distances(name, deformed, noisy, _between(torch.cat(values)), components))
        return found


def _wide(values: Tensor) -> Tensor:
    """The values in float64 where their squares would leave the range of their dtype: a network is
    as stable whatever the scale of its outputs."""
    info, largest = torch.finfo(values.dtype), float(values.abs().max())
    inside = info.tiny**0.25 < largest < info.max**0.25
    return values if inside or largest == 0 else values.double()


def _between(f: Tensor) -> Tensor:
    """Squared distances of all pairs, (B, B), float64; exactly 0 on the diagonal."""
    f = _wide(f)
    # around the mean, so that little is lost where the images are close to each other
    f = _wide(f - f.mean(0))
    gram = (f @ f.mT).to("cpu", torch.float64)
    squares = gram.diagonal()
    pairs = (squares[:, None] + squares[None, :] - 2.0 * gram).clamp_min(0.0)
    return pairs.fill_diagonal_(0.0)


def _all_pairs(between: Tensor, average: Average) -> Tensor:
    """Average over pairs of images, (1,): the mean of two different ones; the median of all."""
    B = len(between)
    if average == "mean":
        return (between.sum() / max(1, B * (B - 1)))[None]
    return _median(between.flatten()[None])


def _averaged(values: Tensor, average: Average) -> Tensor:
    return values.mean(-1) if average == "mean" else _median(values)


def _median(values: Tensor) -> Tensor:
    """The lower median along the last dimension, NaN where a value is.

    numpy's selection is vectorized, and several times faster than torch's.
    """
    middle = (values.shape[-1] - 1) // 2
    upper = np.partition(values.numpy(), middle, axis=-1)[..., middle:]
    undefined = np.isnan(upper).any(-1)  # NaNs come last
    return torch.from_numpy(np.where(undefined, np.nan, upper[..., 0]))


def _deviation(values: Tensor) -> float:
    """Standard deviation over the resamples that give a number (of few images, some have one image
    only); NaN where they cannot differ, with a single image."""
    defined = values[values.isfinite()]
    differ = len(defined) > 1 and bool(defined.max() > defined.min())
    return float(defined.std()) if differ else math.nan


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """NaN where the whole is not positive."""
    return torch.where(whole > 0, part / whole, math.nan)


def _collected(images: Tensor | Iterable[Any], count: int) -> Tensor:
    """The first images of a tensor or of a loader."""
    count = integer("count", count, 1)
    if isinstance(images, Tensor):
        if images.ndim != 4 or len(images) == 0:
            raise ValueError(
                f"images: shape {tuple(images.shape)} given; allowed: (B, channels, rows, columns) "
                "with B >= 1"
            )
        return images[:count]
    batches: list[Tensor] = []
    for batch in images:
        first = batch[0] if isinstance(batch, Sequence) else batch
        if not isinstance(first, Tensor) or first.ndim != 4:
            raise ValueError(
                f"images: a loader that gives {type(first).__name__}s; allowed: batches of shape "
                "(B, channels, rows, columns), alone or first in a tuple"
            )
        batches.append(first)
        if sum(map(len, batches)) >= count:
            break
    if not batches:
        raise ValueError("images: a loader without batches given; allowed: one image or more")
    return torch.cat(batches)[:count]


def _show(done: int, total: int, start: float) -> None:
    rate = done / max(time.monotonic() - start, 1e-9)
    filled = 30 * done // total
    bar = "#" * filled + "." * (30 - filled)
    end = "\n" if done == total else ""
    print(f"\r{bar} {done}/{total} images, {rate:.0f}/s", end=end, file=sys.stderr, flush=True)
