import math

import numpy as np
import pytest
import torch

from symscape.landscape import (
    SpherePacking,
    inertia,
    jam_spheres,
    minimize_packing,
    random_packing,
    sphere_hessian,
)


@pytest.fixture(scope="module")
def jammed():
    return jam_spheres(64, 2, seed=1)


def overlapping(seed=0, n=40, d=2, phi=1.0):
    return minimize_packing(random_packing(n, d, phi, seed=seed), tolerance=0.1)


def test_packing_fraction_is_the_volume():
    packing = random_packing(50, 3, 0.4)
    assert packing.packing_fraction == pytest.approx(0.4)
    assert packing.packing_fraction == pytest.approx(4 / 3 * math.pi * np.sum(packing.radii**3))
    assert packing.rescaled(0.3).packing_fraction == pytest.approx(0.3)
    assert packing.radii.max() / packing.radii.min() == pytest.approx(1.4)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_contacts_agree_with_all_pairs(d):
    packing = random_packing(60, d, 0.9, seed=d)
    contacts = packing.contacts()
    difference = packing.positions[:, None] - packing.positions
    difference -= np.round(difference)
    overlap = packing.radii[:, None] + packing.radii - np.sqrt((difference**2).sum(-1))
    i, j = np.nonzero(np.triu(overlap, 1) > 0)
    assert set(zip(i, j, strict=True)) == set(map(tuple, contacts.pairs.tolist()))
    assert packing.energy() == pytest.approx(0.5 * np.sum(overlap[i, j] ** 2))


@pytest.mark.parametrize("d", [2, 3])
def test_forces_and_hessian_are_derivatives_of_the_energy(d):
    packing = overlapping(d=d, phi=1.0 if d == 2 else 0.8)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=packing.positions.shape)

    def moved(step):
        return SpherePacking(packing.positions + step * direction, packing.radii)

    step = 1e-6
    slope = (moved(step).energy() - moved(-step).energy()) / (2 * step)
    assert -np.sum(packing.forces() * direction) == pytest.approx(slope, rel=1e-5)
    change = (moved(-step).forces() - moved(step).forces()) / (2 * step)
    product = sphere_hessian(packing).H.numpy() @ direction.ravel()
    np.testing.assert_allclose(product, change.ravel(), atol=1e-4 * np.abs(product).max())
    np.testing.assert_allclose(packing.forces().sum(0), 0, atol=1e-14)


@pytest.mark.parametrize("d", [2, 3])
def test_signs_of_the_two_parts_and_translations(d):
    packing = overlapping(d=d, phi=1.0 if d == 2 else 0.8, seed=3)
    parts = sphere_hessian(packing)
    scale = parts.H0.abs().max().item()
    assert torch.linalg.eigvalsh(parts.Hp).max() < 1e-12 * scale
    assert torch.linalg.eigvalsh(parts.H0).min() > -1e-12 * scale
    translations = torch.eye(d, dtype=torch.float64).repeat(packing.n, 1)
    for matrix in (parts.H0, parts.Hp):
        assert (matrix @ translations).abs().max() < 1e-12 * scale
    contacts = packing.contacts()
    assert np.linalg.matrix_rank(parts.H0.numpy()) <= len(contacts)


def test_jamming_is_isostatic(jammed):
    # one contact more than degrees of freedom: the state of self-stress that carries the pressure
    assert jammed.n_delta - jammed.degrees_of_freedom in (0, 1, 2)
    assert jammed.contacts_per_freedom == pytest.approx(1, abs=0.02)
    assert 0.81 < jammed.packing.packing_fraction < 0.87
    energies = jammed.path[:, 1]
    assert energies[-1] <= 1e-12
    assert (np.diff(energies) < 0).all()
    # contacts fall towards the isostatic number: the jump at jamming is to one
    assert jammed.path[0, 2] / jammed.path[0, 3] > 1.2
    # the energy vanishes as the square of the distance to jamming
    root, phi = np.sqrt(energies[-4:]), jammed.path[-4:, 0]
    slopes = np.diff(root) / np.diff(phi)
    assert slopes.max() / slopes.min() < 1.2


def test_jammed_packing_is_a_stable_minimum(jammed):
    packing = jammed.packing
    contacts = packing.contacts()
    assert np.abs(packing.forces()).max() < 1e-5 * contacts.overlaps.mean()
    backbone = ~packing.rattlers()
    assert backbone.sum() == packing.n - jammed.n_rattlers
    parts = sphere_hessian(packing, keep=backbone)
    counted = inertia(torch.linalg.eigvalsh(parts.H), relative=1e-9)
    assert counted.n_minus == 0
    assert counted.n_zero == packing.d
    assert counted.n_plus == jammed.degrees_of_freedom


def test_rattlers_have_too_few_contacts():
    # three disks in a row through the walls: each has two contacts, none is held in place
    positions = np.array([[0.05, 0.5], [0.38, 0.5], [0.71, 0.5]])
    packing = SpherePacking(positions, np.full(3, 0.175))
    assert len(packing.contacts()) == 3
    assert packing.rattlers().all()


def test_dilute_packing_unjams():
    packing = minimize_packing(random_packing(60, 2, 0.5, seed=2))
    assert packing.energy() / packing.n < 1e-20


def test_same_seed_same_packing():
    one, two = (jam_spheres(30, 2, seed=5, target=1e-6) for _ in range(2))
    np.testing.assert_array_equal(one.packing.positions, two.packing.positions)


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="radii"):
        random_packing(4, 2, 0.9)
    with pytest.raises(ValueError, match="positions and radii"):
        SpherePacking(np.zeros((3, 2)), np.ones(4) * 0.1)
    with pytest.raises(ValueError, match="not above jamming"):
        jam_spheres(40, 2, start=0.4)
