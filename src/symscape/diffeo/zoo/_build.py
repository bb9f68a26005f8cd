"""Networks by name, with a seed."""

from __future__ import annotations

import re

import torch
from torch import nn

from symscape._arguments import integer
from symscape.diffeo.zoo._efficientnet import EfficientNetB0
from symscape.diffeo.zoo._fully_connected import FullConn
from symscape.diffeo.zoo._resnet import ResNet
from symscape.diffeo.zoo._sequential import alexnet, lenet, vgg

__all__ = ["NAMES", "build", "n_parameters"]

NAMES = (
    "fc-l2",
    "fc-l4",
    "fc-l6",
    "lenet",
    "alexnet",
    "vgg11",
    "vgg16",
    "vgg19",
    "vgg11-bn",
    "vgg16-bn",
    "vgg19-bn",
    "resnet18",
    "resnet34",
    "resnet50",
    "efficientnet-b0",
)
"""The fifteen networks of Ch. 4, Fig. 5 (``resnet10`` is there too, for small machines)."""


def build(
    name: str,
    channels: int = 3,
    size: int = 32,
    classes: int = 10,
    *,
    width: float = 1.0,
    seed: int = 0,
) -> nn.Module:
    """A network of the chapter, freshly initialized.

    Args:
        name: one of :data:`NAMES`, or ``"resnet10"``.
        channels: of the images.
        size: pixels along the side, 16 to 32.
        classes: number of outputs.
        width: factor of the widths; 1 is the thesis's network. LeNet and the fully connected
            networks (64 wide) stay as they are.
        seed: of the initialization.

    Returns:
        A module from (B, channels, size, size) to (B, classes), in float32.

    Raises:
        ValueError: an unknown name or a value out of its bounds.

    Source: Ch. 4, Table 1 and App. E.
    """
    if name not in (*NAMES, "resnet10"):
        raise ValueError(f"name: {name!r} given; allowed: {', '.join(NAMES)}, resnet10")
    channels, size = integer("channels", channels, 1), integer("size", size, 16, 32)
    classes, seed = integer("classes", classes, 1), integer("seed", seed)
    if not 0 < width <= 4:
        raise ValueError(f"width: {width!r} given; allowed: above 0, up to 4")
    base = max(1, round(64 * width))
    family, number, norm = re.fullmatch(r"([a-z]+)-?[lb]?(\d*)(-bn)?", name).groups()  # type: ignore[union-attr]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if family == "fc":
            return FullConn(channels * size * size, classes, int(number), 64)
        if family == "lenet":
            return lenet(channels, size, classes)
        if family == "alexnet":
            return alexnet(channels, size, classes, base)
        if family == "vgg":
            return vgg(int(number), channels, size, classes, base, batch_norm=bool(norm))
        if family == "resnet":
            return ResNet(int(number), channels, classes, base)
        return EfficientNetB0(channels, classes, width)


def n_parameters(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in model.parameters())
