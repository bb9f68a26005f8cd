"""Signals on the sphere: closed forms, symmetry, and transforms against each other."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from symscape.io import SphericalTensor
from symscape.o3 import Irreps, rand_matrix, spherical_harmonics

F64 = torch.float64


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def test_irreps_and_copies() -> None:
    for lmax, p_val, p_arg, irreps in (
        (2, 1, -1, "0e+1o+2e"),
        (2, -1, 1, "0o+1o+2o"),
        (2, -1, -1, "0o+1e+2o"),
        (0, -1, 1, "0o"),
    ):
        tensor = SphericalTensor(lmax, p_val, p_arg)
        assert tensor == Irreps(irreps)
        for other in (copy.deepcopy(tensor), pickle.loads(pickle.dumps(tensor))):
            assert other == tensor
            assert type(other) is SphericalTensor
    with pytest.raises(ValueError, match="lmax"):
        SphericalTensor(-1, 1, 1)
    with pytest.raises(ValueError, match="p_arg: 2"):
        SphericalTensor(1, 1, 2)


def test_peaks_have_their_values_and_least_norm() -> None:
    tensor = SphericalTensor(3, 1, -1)
    vectors = randn(4, 3)
    signal = tensor.with_peaks_at(vectors)
    torch.testing.assert_close(tensor.signal_xyz(signal, vectors), vectors.norm(dim=-1))
    values = randn(4, seed=1)
    signal = tensor.with_peaks_at(
        torch.cat([vectors, torch.zeros(1, 3, dtype=F64)]), torch.cat([values, values[:1]])
    )
    torch.testing.assert_close(tensor.signal_xyz(signal, vectors), values)
    harmonics = spherical_harmonics([0, 1, 2, 3], vectors, True, normalization="integral")
    nullspace = torch.linalg.svd(harmonics, full_matrices=True).Vh[4:]
    assert (nullspace @ signal).abs().max() < 1e-12
    assert tensor.with_peaks_at(torch.empty(0, 3, dtype=F64)).count_nonzero() == 0
    with pytest.raises(ValueError, match="values"):
        tensor.with_peaks_at(vectors, values[:2])
    with pytest.raises(ValueError, match="vectors"):
        tensor.with_peaks_at(vectors[0])
    odd = SphericalTensor(3, -1, -1)
    with pytest.raises(ValueError, match="values: not given with p_val = -1"):
        odd.with_peaks_at(vectors)
    torch.testing.assert_close(odd.signal_xyz(odd.with_peaks_at(vectors, values), vectors), values)


def test_a_dirac_has_the_height_of_its_value_and_is_equivariant() -> None:
    tensor = SphericalTensor(5, 1, -1)
    positions, values = randn(2, 1, 3), randn(2, 1, seed=1)
    signal = tensor.sum_of_diracs(positions, values)
    for i in range(2):
        torch.testing.assert_close(tensor.signal_xyz(signal[i], positions[i]), values[i])
    torch.manual_seed(0)
    rotation = rand_matrix(dtype=F64)
    turned = tensor.sum_of_diracs(positions @ rotation.mT, values)
    torch.testing.assert_close(turned, signal @ tensor.D_from_matrix(rotation).mT)


def test_dense_samples_give_the_signal_back() -> None:
    tensor = SphericalTensor(2, 1, -1)
    signal = randn(9)
    positions = randn(4000, 3)
    found = tensor.from_samples_on_s2(positions, tensor.signal_xyz(signal, positions), 60)
    assert (found - signal).abs().max() < 0.05
    none = tensor.from_samples_on_s2(torch.empty(2, 0, 3), torch.empty(2, 0))
    assert none.shape == (2, 9)
    assert none.count_nonzero() == 0


def test_norms_are_those_of_the_degrees_and_invariant() -> None:
    tensor = SphericalTensor(3, 1, -1)
    signal = randn(2, 16)
    norms = tensor.norms(signal)
    assert norms.shape == (2, 4)
    torch.testing.assert_close(norms.square().sum(-1), signal.square().sum(-1))
    torch.manual_seed(0)
    turned = signal @ tensor.D_from_matrix(rand_matrix(dtype=F64)).mT
    torch.testing.assert_close(tensor.norms(turned), norms)


def test_values_on_the_grid_and_anywhere() -> None:
    tensor = SphericalTensor(3, 1, -1)
    signal = randn(2, 16)
    grid, values = tensor.signal_on_grid(signal, 10)
    assert grid.shape[:-1] == values.shape[1:]
    torch.testing.assert_close(values, tensor.signal_xyz(signal, grid))
    torch.testing.assert_close(tensor.signal_xyz(signal, grid[2, 3]), values[:, 2, 3])
    constant = torch.zeros(16, dtype=F64)
    constant[0] = 1.0
    _, values = tensor.signal_on_grid(constant, 10)
    torch.testing.assert_close(values, torch.full_like(values, (4 * math.pi) ** -0.5))


def test_surface_is_closed_and_has_the_radius_of_the_values() -> None:
    tensor = SphericalTensor(3, 1, -1)
    signal, center = randn(16), randn(3, seed=1)
    points, values = tensor.plot(signal, center, res=20)
    torch.testing.assert_close((points - center).norm(dim=-1), values.abs())
    torch.testing.assert_close(points[:, 0], points[:, -1])
    for end in (0, -1):
        assert (points[end] - points[end, :1]).abs().max() < 1e-15
    sphere, clipped = tensor.plot(signal, res=20, radius=False, relu=True)
    torch.testing.assert_close(sphere.norm(dim=-1), torch.ones_like(clipped))
    assert clipped.min() == 0.0
    tilted = torch.zeros(16, dtype=F64)
    tilted[1] = 1.0  # the coefficient of x: of both signs around each pole
    rings = tensor.signal_on_grid(tilted, 20)[1][[0, -1]].relu()
    _, clipped = tensor.plot(tilted, res=20, relu=True)
    # clipped before the mean, as in e3nn
    torch.testing.assert_close(clipped[[0, -1]], rings.mean(1, True).expand(2, clipped.shape[1]))
    assert clipped[0, 0] > 0
    with pytest.raises(ValueError, match="signal: shape"):
        tensor.plot(randn(2, 16))


def test_plotly_draws_the_surfaces() -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    tensor = SphericalTensor(2, 1, -1)
    traces = tensor.plotly_surface(randn(2, 9), centers=[torch.zeros(3), torch.ones(3)], res=10)
    figure = graph_objects.Figure([graph_objects.Surface(**trace) for trace in traces])
    assert len(figure.data) == 2
    assert len(tensor.plotly_surface(randn(9), res=10)) == 1
    with pytest.raises(ValueError, match="centers: 1"):
        tensor.plotly_surface(randn(2, 9), centers=[torch.zeros(3)], res=10)


def test_peaks_are_found_where_they_were_put() -> None:
    tensor = SphericalTensor(8, 1, -1)
    vectors = torch.tensor([[1.0, 0, 0], [0, 0.9, 0], [0, 0, 0.8], [0, -0.7, 0]], dtype=F64)
    signal = tensor.sum_of_diracs(vectors, vectors.norm(dim=-1))
    directions, heights = tensor.find_peaks(signal)
    order = heights.argsort(descending=True)[:4]
    cosines = (directions[order] * torch.nn.functional.normalize(vectors, dim=-1)).sum(-1)
    assert cosines.min() > math.cos(math.radians(6))
    torch.testing.assert_close(heights, tensor.signal_xyz(signal, directions))
