import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from symscape.landscape import (
    HessianOperator,
    hessian,
    hutchinson_moment,
    lanczos,
    spectral_quadrature,
)


def random_symmetric(n, seed, eigenvalues=None):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, n, generator=generator, dtype=torch.float64)
    if eigenvalues is None:  # Gaussian orthogonal ensemble, semicircle of radius 2
        return (noise + noise.T) / (2 * n) ** 0.5
    vectors = torch.linalg.qr(noise).Q
    return (vectors * eigenvalues) @ vectors.T


@settings(max_examples=20)
@given(st.integers(2, 40), st.integers(1, 40), st.integers(0, 1000))
def test_lanczos_projects_onto_an_orthonormal_basis(n, steps, seed):
    A = random_symmetric(n, seed)
    start = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = lanczos(lambda v: A @ v, start, steps)
    size = len(found.diagonal)
    assert size == min(n, steps)
    Q = found.basis
    torch.testing.assert_close(Q @ Q.T, torch.eye(size).double(), rtol=0, atol=1e-12)
    off = found.off_diagonal
    T = np.diag(found.diagonal) + np.diag(off, 1) + np.diag(off, -1)
    np.testing.assert_allclose((Q @ A @ Q.T).numpy(), T, atol=1e-12)


def test_complete_lanczos_gives_the_spectrum():
    A = random_symmetric(50, 0)
    found = lanczos(lambda v: A @ v, torch.ones(50, dtype=torch.float64), 50)
    np.testing.assert_allclose(found.ritz()[0], torch.linalg.eigvalsh(A), atol=1e-12)
    assert found.ritz_residuals().max() < 1e-10


def test_orthogonality_survives_where_plain_lanczos_loses_it():
    # one far eigenvalue converges at once; without reorthogonalization it comes back as ghosts
    eigenvalues = torch.cat([torch.linspace(0, 1, 299), torch.tensor([1e4])]).double()
    A = random_symmetric(300, 1, eigenvalues)
    start = torch.randn(300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = lanczos(lambda v: A @ v, start, 120)
    gram = found.basis @ found.basis.T
    assert (gram - torch.eye(120).double()).abs().max() < 1e-12
    assert int((found.ritz()[0] > 100).sum()) == 1


def test_residuals_bound_the_distance_to_an_eigenvalue():
    A = random_symmetric(120, 2)
    exact = torch.linalg.eigvalsh(A).numpy()
    found = lanczos(lambda v: A @ v, torch.ones(120, dtype=torch.float64), 40)
    values = found.ritz()[0]
    distance = np.abs(values[:, None] - exact).min(1)
    assert (distance <= found.ritz_residuals() + 1e-12).all()
    assert distance[-1] < 1e-3  # the ends converge first


def test_stops_where_the_krylov_space_is_invariant():
    eigenvalues = torch.tensor([1.0, 2.0, 5.0]).repeat(20).double()
    A = random_symmetric(60, 3, eigenvalues)
    found = lanczos(lambda v: A @ v, torch.ones(60, dtype=torch.float64), 50)
    assert len(found.diagonal) == 3
    np.testing.assert_allclose(found.ritz()[0], [1, 2, 5], atol=1e-12)


def test_moments_equal_hutchinson_with_the_same_probes():
    A = random_symmetric(150, 4)
    quadrature = spectral_quadrature(lambda v: A @ v, 150, probes=12, steps=20, seed=7)
    for power in (1, 2, 3, 7):
        check = hutchinson_moment(lambda v: A @ v, 150, power, probes=12, seed=7)
        found = quadrature.moment(power)
        assert found.value == pytest.approx(check.value, rel=1e-10, abs=1e-12)
        assert found.error == pytest.approx(check.error, rel=1e-8)


def test_known_spectrum_is_found_within_its_error():
    eigenvalues = torch.cat([torch.zeros(200), torch.linspace(1, 3, 200), -torch.ones(100)])
    A = random_symmetric(500, 5, eigenvalues.double())
    quadrature = spectral_quadrature(lambda v: A @ v, 500, probes=20, steps=80)
    for low, high, exact in ((-2, -0.5, 0.2), (-0.5, 0.5, 0.4), (0.5, 4, 0.4)):
        found = quadrature.fraction(low, high)
        assert abs(found.value - exact) < 5 * found.error + 1e-3
    assert quadrature.fraction().value == pytest.approx(1)
    low, high = quadrature.extremes
    assert (low, high) == pytest.approx((-1, 3), abs=1e-3)


def test_density_of_the_gaussian_ensemble_is_the_semicircle():
    A = random_symmetric(1000, 6)
    quadrature = spectral_quadrature(lambda v: A @ v, 1000, probes=40, steps=80)
    grid = np.linspace(-1.7, 1.7, 60)
    semicircle = np.sqrt(4 - grid**2) / (2 * np.pi)
    density = quadrature.density(grid, 0.1)
    np.testing.assert_allclose(density, semicircle, atol=0.025)
    exact = 0.5 + (grid * np.sqrt(4 - grid**2) / 2 + 2 * np.arcsin(grid / 2)) / (2 * np.pi)
    np.testing.assert_allclose(quadrature.cumulative(grid, 0.02), exact, atol=0.01)
    wide = np.linspace(-4, 4, 2000)
    assert np.trapezoid(quadrature.density(wide, 0.1), wide) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("part", ["h0", "hp", "h"])
def test_spectra_of_a_network(problem, part):
    net, w, x, y, loss = problem(0, h=12, P=200)
    operator = HessianOperator(net, w, x, y, loss)
    parts = hessian(net, w, x, y, loss)
    exact = torch.linalg.eigvalsh({"h0": parts.H0, "hp": parts.Hp, "h": parts.H}[part]).numpy()
    quadrature = spectral_quadrature(getattr(operator, part), operator.size, probes=30, steps=80)
    for power in (1, 2):
        found = quadrature.moment(power)
        assert abs(found.value - np.mean(exact**power)) < 5 * found.error + 1e-12
    assert quadrature.extremes == pytest.approx(
        (exact[0], exact[-1]), abs=1e-4 * np.abs(exact).max()
    )


def test_same_seed_same_numbers():
    A = random_symmetric(30, 8)
    one, two = (spectral_quadrature(lambda v: A @ v, 30, steps=10, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.nodes, two.nodes)


def test_wrong_input_is_named():
    identity = lambda v: v  # noqa: E731
    with pytest.raises(ValueError, match="float64"):
        lanczos(identity, torch.ones(3, dtype=torch.float32), 2)
    with pytest.raises(ValueError, match="norm"):
        lanczos(identity, torch.zeros(3, dtype=torch.float64), 2)
    with pytest.raises(ValueError, match="not finite"):
        lanczos(lambda v: v * torch.nan, torch.ones(3, dtype=torch.float64), 2)
    with pytest.raises(ValueError, match="probes"):
        spectral_quadrature(identity, 3, probes=1)
    with pytest.raises(ValueError, match="power"):
        hutchinson_moment(identity, 3, 0)
