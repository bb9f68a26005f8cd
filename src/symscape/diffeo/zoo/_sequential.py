"""The networks without skips: LeNet, AlexNet, VGG."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

__all__ = ["alexnet", "lenet", "vgg"]

_VGG = {11: (1, 1, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def lenet(channels: int, size: int, classes: int) -> nn.Sequential:
    """LeNet: two 5 x 5 convolutions with max pooling, three linear maps."""
    side = ((size - 4) // 2 - 4) // 2
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * side * side, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


def alexnet(channels: int, size: int, classes: int, width: int = 64) -> nn.Sequential:
    """AlexNet for small images; ``width`` is the number of channels of the first layer."""
    w = width
    side = ((size + 1) // 2) // 8
    hidden = 64 * w
    return nn.Sequential(
        nn.Conv2d(channels, w, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(w, 3 * w, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(3 * w, 6 * w, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6 * w, 4 * w, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(4 * w, 4 * w, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(4 * w * side * side, hidden),
        nn.ReLU(),
        nn.Dropout(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


def vgg(
    depth: int, channels: int, size: int, classes: int, width: int = 64, *, batch_norm: bool
) -> nn.Sequential:
    """VGG with a single linear map at its end; images below 32 pixels are padded with zeros.

    Args:
        depth: 11, 16 or 19 layers.
        channels: of the images.
        size: pixels along the side, at most 32.
        classes: number of outputs.
        width: channels of the first stage, 64 in the thesis.
        batch_norm: normalize after each convolution.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if size < 32:
        layers["pad"] = nn.ZeroPad2d(((32 - size) // 2, (33 - size) // 2) * 2)
    fan_in = channels
    for stage, count in enumerate(_VGG[depth]):
        out = width * min(2**stage, 8)
        for index in range(count):
            name = f"{stage + 1}_{index + 1}"
            layers[f"conv{name}"] = nn.Conv2d(fan_in, out, 3, padding=1)
            if batch_norm:
                layers[f"norm{name}"] = nn.BatchNorm2d(out)
            layers[f"relu{name}"] = nn.ReLU()
            fan_in = out
        layers[f"pool{stage + 1}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["linear"] = nn.Linear(fan_in, classes)
    return nn.Sequential(layers)
