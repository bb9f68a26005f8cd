"""Shifts and mirror images of training images."""

from __future__ import annotations

import pytest
import torch

from symscape.diffeo import augmented


def test_augmented_images_are_windows_of_the_padded_ones() -> None:
    x = 1 + torch.arange(2 * 3 * 6 * 6, dtype=torch.float32).reshape(2, 3, 6, 6)
    generator = torch.Generator().manual_seed(0)
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))
    for _ in range(5):
        moved = augmented(x, 2, False, generator)
        for image, source in zip(moved, padded, strict=True):
            windows = source.unfold(1, 6, 1).unfold(2, 6, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
            assert any(torch.equal(image, window) for window in windows)
    mirrored = augmented(x.repeat(10, 1, 1, 1), 0, True, generator)
    same = [
        torch.equal(a, b) or torch.equal(a, b.flip(2))
        for a, b in zip(mirrored, x.repeat(10, 1, 1, 1), strict=True)
    ]
    assert all(same)
    assert torch.equal(augmented(x, 0, False, generator), x)


def test_images_of_another_shape_and_negative_shifts_are_refused() -> None:
    generator = torch.Generator()
    with pytest.raises(ValueError, match="x: shape"):
        augmented(torch.zeros(3, 6, 6), 1, False, generator)
    with pytest.raises(ValueError, match="pad: -1 given"):
        augmented(torch.zeros(2, 3, 6, 6), -1, False, generator)
