"""Soft ellipses: contacts against geometry, derivatives, and one small packing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from symscape.landscape import EllipsePacking, jam_ellipses, minimize_ellipses


def pair(distance: float, angles: tuple[float, float], aspect: float = 2.0) -> EllipsePacking:
    """Two equal ellipses side by side along x."""
    centers = np.array([[0.3, 0.5], [0.3 + distance, 0.5]])
    return EllipsePacking(centers, np.array(angles), np.array([0.05, 0.05]), aspect)


def overlap(packing: EllipsePacking) -> float:
    _, values = packing.overlaps()
    return float(values.sum())


def test_disks_overlap_as_spheres_do() -> None:
    packing = pair(0.08, (0.3, 1.0), aspect=1.0)
    assert overlap(packing) == pytest.approx(1 - 0.08 / 0.1)
    assert overlap(pair(0.11, (0.3, 1.0), aspect=1.0)) == 0.0


@pytest.mark.parametrize(
    ("angles", "touching"),
    [
        ((0.0, 0.0), 0.2),  # tip to tip
        ((math.pi / 2, math.pi / 2), 0.1),  # side to side
        ((0.0, math.pi / 2), 0.15),  # tip to side
    ],
)
def test_overlap_along_an_axis(angles: tuple[float, float], touching: float) -> None:
    for share in (0.7, 0.95):
        packing = pair(share * touching, angles)
        # the long axis enters squared: ellipses may touch off the line of centers
        assert overlap(packing) == pytest.approx(1 - share, abs=1e-9)
    assert overlap(pair(1.05 * touching, angles)) == 0.0


def test_contact_agrees_with_the_boundaries_of_the_ellipses() -> None:
    random = np.random.default_rng(0)
    turn = np.linspace(0, 2 * math.pi, 4001)
    for _ in range(5):
        angles = tuple(random.uniform(0, math.pi, 2))
        packing = pair(0.12, angles)
        pairs = np.array([[0, 1]])
        delta = packing.delta(torch.from_numpy(packing.coordinates), pairs).item()
        scale = 1 - delta  # both ellipses scaled by this touch
        points = []
        for center, angle in zip(packing.centers, angles):
            c, s = math.cos(angle), math.sin(angle)
            along = 0.1 * np.cos(turn)[:, None] * [c, s] + 0.05 * np.sin(turn)[:, None] * [-s, c]
            points.append(center + scale * along)
        c, s = math.cos(angles[1]), math.sin(angles[1])
        relative = points[0] - packing.centers[1]
        inside = (relative @ [c, s] / 0.1) ** 2 + (relative @ [-s, c] / 0.05) ** 2
        assert inside.min() == pytest.approx(scale**2, rel=1e-4)


def test_gradient_agrees_with_autograd() -> None:
    packing = jammed_start()
    coordinates, pairs = packing.coordinates, packing.neighbors()
    at = torch.from_numpy(coordinates).requires_grad_()
    energy = 0.5 * packing.delta(at, pairs).clamp(min=0).square().sum()
    (gradient,) = torch.autograd.grad(energy, at)
    value, ours = packing.energy_and_gradient()
    assert value == pytest.approx(energy.item())
    assert np.abs(ours - gradient.numpy()).max() < 1e-9 * np.abs(ours).max()


def jammed_start(n: int = 12) -> EllipsePacking:
    """Random overlapping ellipses of two sizes."""
    random = np.random.default_rng(2)
    sizes = np.where(np.arange(n) < 6, 0.08, 0.1)
    return EllipsePacking(random.random((n, 2)), random.uniform(0, 3, n), sizes, 1.6)


def test_hessian_agrees_with_differences_of_the_energy() -> None:
    packing = pair(0.11, (0.4, 1.1))
    at, H, step = packing.coordinates, packing.hessian().H.numpy(), 1e-5

    def energy(x: np.ndarray) -> float:
        return packing.moved(x).energy()

    random = np.random.default_rng(1)
    for _ in range(3):
        v = random.standard_normal(6)
        second = (energy(at + step * v) - 2 * energy(at) + energy(at - step * v)) / step**2
        assert v @ H @ v == pytest.approx(second, rel=1e-4)


def test_a_small_packing_is_hypostatic() -> None:
    packing = jam_ellipses(14, 1.15, seed=1, target=1e-6)
    assert packing.energy() / 14 <= 1e-6
    bearing = ~packing.rattlers()
    pairs, _ = packing.overlaps()
    assert bearing[pairs].all(1).sum() < 3 * bearing.sum() - 2
    kept = torch.from_numpy(np.r_[np.repeat(bearing, 2), bearing])
    Hp = packing.hessian().Hp[kept][:, kept]
    assert torch.linalg.eigvalsh(Hp)[-1] > 0
    compressed = minimize_ellipses(packing.rescaled(1.02 * packing.packing_fraction))
    assert compressed.energy() > packing.energy()


@pytest.mark.parametrize("aspect", [0.9, float("nan"), float("inf")])
def test_a_wrong_aspect_is_named(aspect: float) -> None:
    with pytest.raises(ValueError, match="aspect"):
        pair(0.1, (0.0, 0.0), aspect)


def test_ellipses_too_large_for_the_box_are_refused() -> None:
    with pytest.raises(ValueError, match="sizes"):
        EllipsePacking(np.zeros((2, 2)), np.zeros(2), np.array([0.1, 0.2]), 2.0)
