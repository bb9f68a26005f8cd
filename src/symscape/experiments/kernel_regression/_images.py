"""Images as the kernel chapter uses them: two classes, vectors of pixels."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from symscape.lab import Table
from symscape.scaling import Estimate, NoEstimate, number

Array = NDArray[np.float64]

NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
SCALES = {"norm": "images of norm sqrt(d)", "pixels": "pixels from 0 to 255"}

Scale = Literal["norm", "pixels"]
"""Images of norm sqrt(d), or pixels from 0 to 255: the thesis does not say which."""

Classes = Literal["parity", "halves"]
"""Groups of classes: even against odd ones, or 0 to 4 against 5 to 9."""


def on_one_scale(answer: Callable[[Table], Estimate], rows: Table, judged: Scale) -> Estimate | str:
    """An answer from the images on one scale, with that from the other one in its note."""
    on_scale = {scale: rows.where(scale=scale) for scale in SCALES}
    if not on_scale[judged]:
        return "No run: are the images on this machine? See `symscape data list`."
    try:
        found = answer(on_scale.pop(judged)).noted(f"{SCALES[judged].capitalize()}.")
    except NoEstimate as none:
        return str(none)
    for scale, others in on_scale.items():
        with suppress(NoEstimate):
            if others:
                found = found.noted(f"With {SCALES[scale]}: {number(answer(others))}.")
    return found


class LabelledPoints(NamedTuple):
    """Points (n, d) and labels -1 or 1 (n,)."""

    x: Array
    Z: Array


def image_sets(digits: str, colors: bool, largest: int) -> dict[str, str]:
    """Pinned names of the data by family: ``mnist`` always, ``cifar10`` where it is found.

    Raises:
        ValueError: the data hold fewer images than ``largest``, or the digits are not found.
    """
    from symscape.datasets import available, resolve

    found = {"mnist": resolve(digits)}
    if colors:
        found |= available({"mnist": digits, "cifar10": "cifar10"})
    for source in found.values():
        if largest > source.n:
            raise ValueError(f"{largest} images are asked for, and {source.name} has {source.n}")
    return {family: source.pinned for family, source in found.items()}


def images(
    pinned: str, n: int, seed: int, scale: Scale, classes: Classes = "parity"
) -> LabelledPoints:
    """``n`` images drawn at random, in two groups of classes.

    Args:
        pinned: name of the data.
        n: number of images.
        seed: of the drawing.
        scale: ``"pixels"``, from 0 to 255, or ``"norm"``: rescaled to the norm sqrt(d).
        classes: the groups, ``"parity"`` (odd classes are 1) or ``"halves"`` (5 to 9 are 1).
    """
    pixels, labels = _loaded(pinned)
    chosen = np.random.default_rng(seed).permutation(len(labels))[:n]
    x = pixels[chosen].astype(float)
    if scale == "norm":
        x *= math.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True)
    drawn = labels[chosen]
    group = drawn % 2 == 1 if classes == "parity" else drawn >= 5
    return LabelledPoints(x, np.where(group, 1.0, -1.0))


@functools.lru_cache(maxsize=2)
def _loaded(pinned: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixels (n, d) and classes (n,), read once per process."""
    from symscape.datasets import load

    data = load(pinned)
    return data.images.reshape(len(data.labels), -1), data.labels.astype(int)
