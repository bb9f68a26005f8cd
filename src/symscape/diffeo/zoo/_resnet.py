"""Residual networks for small images."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["ResNet"]

_BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Depth 10 is not in the thesis: ResNet18 with half of its blocks."""


class ResNet(nn.Module):
    """ResNet with a 3 x 3 stem of stride 1, without max pooling.

    Args:
        depth: 10, 18, 34, or 50 (bottleneck blocks).
        channels: of the images.
        classes: number of outputs.
        width: channels of the first stage, 64 in the thesis.

    Source: Ch. 4, Table 1.
    """

    def __init__(self, depth: int, channels: int, classes: int, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        fan_in, blocks = width, []
        for stage, count in enumerate(_BLOCKS[depth]):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                block = _Block(fan_in, width * 2**stage, stride, bottleneck=depth == 50)
                fan_in = block.out
                blocks.append(block)
        self.blocks = nn.Sequential(*blocks)
        self.linear = nn.Linear(fan_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The outputs, (B, classes)."""
        return self.linear(self.blocks(self.stem(x)).mean((2, 3)))


class _Block(nn.Module):
    """``relu(shortcut(x) + branch(x))``."""

    def __init__(self, fan_in: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        if bottleneck:
            self.out = 4 * width
            self.branch = nn.Sequential(
                *_normalized(fan_in, width, 1, 1),
                nn.ReLU(),
                *_normalized(width, width, 3, stride),
                nn.ReLU(),
                *_normalized(width, self.out, 1, 1),
            )
        else:
            self.out = width
            self.branch = nn.Sequential(
                *_normalized(fan_in, width, 3, stride),
                nn.ReLU(),
                *_normalized(width, width, 3, 1),
            )
        straight = fan_in == self.out and stride == 1
        self.shortcut = nn.Sequential(
            *(() if straight else _normalized(fan_in, self.out, 1, stride))
        )
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.shortcut(x) + self.branch(x))


def _normalized(fan_in: int, out: int, kernel: int, stride: int) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(fan_in, out, kernel, stride=stride, padding=kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(out)
