"""Convolutional classifiers of images in plain torch: a small one, and the thesis's Shake-Shake."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Architecture = Literal["small", "shake-shake"]


def classifier(architecture: Architecture, channels: int, width: int, seed: int) -> nn.Module:
    """A network from images (n, channels, rows, columns) to ten outputs, in float32.

    Args:
        architecture: ``"small"``: three convolutions of stride 2 with batch normalization;
            ``"shake-shake"``: 26 layers, two residual branches (26 2x32d for ``width`` = 32).
        channels: of the images.
        width: channels of the first stage.
        seed: of the initialization, torch's default one, and of the branch weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if architecture == "small":
            return _small(channels, width)
        return _ShakeShake(channels, width)


def _small(channels: int, width: int) -> nn.Module:
    sizes = [channels, width, 2 * width, 4 * width]
    layers: list[nn.Module] = []
    for fan_in, out in pairwise(sizes):
        layers += [nn.Conv2d(fan_in, out, 3, stride=2, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(sizes[-1], 10))


class _ShakeShake(nn.Module):
    """Shake-Shake regularization with a random weight per image: ``26 2 x width d``, SSI."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        )
        blocks: list[nn.Module] = []
        fan_in = 16
        for stage in range(3):
            for block in range(4):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(_ShakeBlock(fan_in, width * 2**stage, stride))
                fan_in = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(fan_in, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The ten outputs."""
        x = F.relu(self.blocks(self.stem(x)))
        return self.head(x.mean((2, 3)))


class _ShakeBlock(nn.Module):
    """``skip(x) + alpha branch_1(x) + (1 - alpha) branch_2(x)``."""

    def __init__(self, fan_in: int, out: int, stride: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(_branch(fan_in, out, stride) for _ in range(2))
        self.skip = nn.Identity() if fan_in == out else _ShiftedSkip(fan_in, out, stride)

    def forward(self, x: Tensor) -> Tensor:
        first, second = (branch(x) for branch in self.branches)
        if not self.training:
            return self.skip(x) + 0.5 * (first + second)
        # The backward pass sees another random weight beta than the forward pass does.
        alpha, beta = torch.rand(2, len(x), 1, 1, 1, device=x.device, dtype=x.dtype)
        seen = beta * first + (1 - beta) * second
        shown = alpha * first + (1 - alpha) * second
        return self.skip(x) + seen + (shown - seen).detach()


def _branch(fan_in: int, out: int, stride: int) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(fan_in, out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out),
    )


class _ShiftedSkip(nn.Module):
    """Two strided 1 x 1 paths, one shifted by a pixel, side by side."""

    def __init__(self, fan_in: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.straight = nn.Conv2d(fan_in, out // 2, 1, bias=False)
        self.shifted = nn.Conv2d(fan_in, out - out // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        moved = F.pad(x, (-1, 1, -1, 1))
        straight, shifted = (F.avg_pool2d(a, 1, self.stride) for a in (x, moved))
        return self.norm(torch.cat([self.straight(straight), self.shifted(shifted)], 1))
