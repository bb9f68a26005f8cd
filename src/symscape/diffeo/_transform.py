"""Deformations as data augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from symscape._arguments import integer
from symscape.diffeo._maximum_entropy import MaximumEntropy
from symscape.diffeo._modes import Modes, Size, in_words
from symscape.diffeo._normals import sample_seeds
from symscape.diffeo._temperature import acceptable_range
from symscape.diffeo._warp import Interpolation, check_images

__all__ = ["DeformedDataset", "RandomDiffeomorphism"]


class RandomDiffeomorphism(nn.Module):
    r"""A transform, in the manner of torchvision's v2, that deforms an image or a batch.

    In a batch each image gets a field of its own. Pass it after the conversion to floating point,
    and wrap the data set in :class:`DeformedDataset` where the deformation of a sample must not
    depend on the number of workers of its loader.

    Args:
        T: temperature; an interval (low, high) to draw from; or None for the acceptable region of
            the image and the cut-off.
        c: cut-off, or an interval of integers to draw from, bounds included.
        concentration: s, and
        ratio: r of the Beta law with :math:`\alpha+\beta=s`, :math:`\alpha/\beta=r` by which
            numbers are drawn from the intervals; the default is uniform.
        modes: rule of the cut-off, see :func:`mode_mask`.
        interpolation: see :func:`warp`.

    Temperatures that are given are taken as they are: augmentation may leave the acceptable
    region, as that of the thesis does (T = 1e-2 and c = 1).

    Raises:
        ValueError: a value out of its bounds.

    Source: Ch. 4, App. E.1 and Fig. 12.
    """

    def __init__(
        self,
        T: float | Sequence[float] | None = None,
        c: int | Sequence[int] = 3,
        *,
        concentration: float = 2.0,
        ratio: float = 1.0,
        modes: Modes = "rounded",
        interpolation: Interpolation = "bilinear",
    ) -> None:
        super().__init__()
        self.T = None if T is None else _interval("T", T)
        low, high = _interval("c", c)
        if not float(low).is_integer() or not float(high).is_integer():
            raise ValueError(f"c: {c!r} given; allowed: an integer or (low, high) of integers")
        self.c = (int(low), int(high))
        for name, value in (("concentration", concentration), ("ratio", ratio)):
            if not 0 < value < np.inf:
                raise ValueError(f"{name}: {value!r} given; allowed: a finite number > 0")
        beta = concentration / (1.0 + ratio)
        self._law = (concentration - beta, beta)
        self.modes = modes
        self.interpolation = interpolation
        for bound in self.c:
            MaximumEntropy(0.0, bound, modes)
        if self.T is None and self.c[0] < 2:
            raise ValueError(
                f"c: {c!r} given with T=None; allowed: c >= 2, where the acceptable region begins"
            )

    def forward(self, images: Tensor, *others: Any, seed: int | None = None) -> Any:
        """Deform one image (channels, rows, columns), or each of a batch of such.

        Args:
            images: floating point.
            *others: labels, for example; they are passed through, as ``Compose`` needs it.
            seed: of the deformation; None draws one from torch's global generator, as the
                transforms of torchvision do.

        Returns:
            The images; with others, a tuple of the images and these.

        Raises:
            ValueError: images that are no tensor or not floating point.
        """
        if not isinstance(images, Tensor):
            raise ValueError(
                f"images: {type(images).__name__} given; allowed: a tensor in floating point (put "
                "the conversion first, as torchvision.transforms.v2.ToImage and ToDtype do)"
            )
        check_images(images)
        if seed is None:
            seed = int(torch.randint(torch.iinfo(torch.int64).max, ()))
        seed = integer("seed", seed)
        batch = images if images.ndim > 3 else images.unsqueeze(0)
        seeds = sample_seeds(seed, len(batch), device=images.device)
        random = np.random.default_rng(seed % (1 << 64))
        T, c = self._drawn(images.shape[-2:], random)
        ensemble = MaximumEntropy(T, c, self.modes, outside="allow")
        deformed = ensemble.deform(batch, seeds, self.interpolation).reshape(images.shape)
        return (deformed, *others) if others else deformed

    def _drawn(self, n: Size, random: np.random.Generator) -> tuple[float, int]:
        """Temperature and cut-off of one call."""
        share_c, share_T = random.beta(*self._law, size=2)
        low, high = self.c
        c = min(low + int(share_c * (high - low + 1)), high)
        bounds = acceptable_range(c, n) if self.T is None else self.T
        if bounds[0] > bounds[1]:
            raise ValueError(
                f"c: no temperature is acceptable for c = {c} and {in_words(n)} pixels"
            )
        return float(bounds[0] + share_T * (bounds[1] - bounds[0])), c


class DeformedDataset(Dataset[Any]):
    """A data set whose images are deformed; sample i of an epoch is always deformed alike.

    The deformation depends on the seed, the epoch and the index only: not on the order, the batch
    or the worker of the loader.

    Args:
        dataset: gives images (channels, rows, columns), alone or first in a tuple, by index.
        transform: the deformation.
        seed: of all deformations.
    """

    def __init__(
        self, dataset: Sequence[Any] | Dataset[Any], transform: RandomDiffeomorphism, seed: int
    ) -> None:
        self.dataset, self.transform, self.seed = dataset, transform, seed
        # in shared memory, so that persistent workers see the next epoch begin
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Begin an epoch: other deformations of the same images."""
        self._epoch.fill_(integer("epoch", epoch, 0))

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        sample = self.dataset[index]
        of_epoch = int(sample_seeds(self.seed, 1, first=int(self._epoch)))
        seed = int(sample_seeds(of_epoch, 1, first=index))
        if isinstance(sample, tuple):
            return (self.transform(sample[0], seed=seed), *sample[1:])
        return self.transform(sample, seed=seed)


def _interval(name: str, value: float | Sequence[float]) -> tuple[float, float]:
    bounds = tuple(value) if isinstance(value, Sequence) else (value, value)
    numbers = all(isinstance(v, Real) and not isinstance(v, bool) for v in bounds)
    if len(bounds) != 2 or not numbers or not 0 <= bounds[0] <= bounds[1] < np.inf:
        raise ValueError(f"{name}: {value!r} given; allowed: a number >= 0 or (low, high)")
    return bounds[0], bounds[1]
