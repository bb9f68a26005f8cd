"""EfficientNetB0 for small images."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["EfficientNetB0"]

# expansion, channels, blocks, kernel, stride
_STAGES = (
    (1, 16, 1, 3, 1),
    (6, 24, 2, 3, 2),
    (6, 40, 2, 5, 2),
    (6, 80, 3, 3, 2),
    (6, 112, 3, 5, 1),
    (6, 192, 4, 5, 2),
    (6, 320, 1, 3, 1),
)


class EfficientNetB0(nn.Module):
    """EfficientNetB0 with a stem of stride 1 and without the last 1 x 1 convolution.

    Args:
        channels: of the images.
        classes: number of outputs.
        width: factor of all channels, 1 in the thesis.

    Source: Ch. 4, Table 1. The thesis's code never switches its drop-connect on, so there is none.
    """

    def __init__(self, channels: int, classes: int, width: float = 1.0) -> None:
        super().__init__()
        fan_in = _scaled(32, width)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, fan_in, 3, padding=1, bias=False), nn.BatchNorm2d(fan_in), nn.SiLU()
        )
        blocks: list[nn.Module] = []
        for expansion, base, count, kernel, stride in _STAGES:
            out = _scaled(base, width)
            for index in range(count):
                step = stride if index == 0 else 1
                blocks.append(_InvertedResidual(fan_in, out, expansion, kernel, step))
                fan_in = out
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(fan_in, classes)

    def forward(self, x: Tensor) -> Tensor:
        """The outputs, (B, classes)."""
        return self.linear(self.dropout(self.blocks(self.stem(x)).mean((2, 3))))


class _InvertedResidual(nn.Module):
    """Expand, convolve each channel, squeeze and excite, project; added to its input."""

    def __init__(self, fan_in: int, out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inside = expansion * fan_in
        self.expand = nn.Sequential(*(_unit(fan_in, inside, 1) if expansion > 1 else ()))
        self.depthwise = nn.Sequential(*_unit(inside, inside, kernel, stride, inside))
        self.excite = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inside, max(1, fan_in // 4), 1),
            nn.SiLU(),
            nn.Conv2d(max(1, fan_in // 4), inside, 1),
            nn.Sigmoid(),
        )
        self.project = nn.Sequential(nn.Conv2d(inside, out, 1, bias=False), nn.BatchNorm2d(out))
        self.skip = stride == 1 and fan_in == out

    def forward(self, x: Tensor) -> Tensor:
        z = self.depthwise(self.expand(x))
        z = self.project(z * self.excite(z))
        return x + z if self.skip else z


def _unit(fan_in: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(
        fan_in, out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
    )
    return [convolution, nn.BatchNorm2d(out), nn.SiLU()]


def _scaled(channels: int, width: float) -> int:
    return max(4, round(channels * width))
