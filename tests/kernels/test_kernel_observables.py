"""Norm, change, alignment, kernel PCA and mutual information."""

import numpy as np
import pytest
import torch

from symscape.kernels import (
    alignment,
    kernel_change,
    kernel_norm,
    kernel_pca,
    mutual_information,
)


def gram(P, rank, seed=0):
    features = np.random.default_rng(seed).standard_normal((P, rank))
    return features @ features.T


def labels(P, seed=1):
    return np.random.default_rng(seed).permutation(np.repeat([-1.0, 1.0], P // 2))


def test_norm_and_change():
    K = gram(7, 3)
    assert kernel_norm(K) == pytest.approx(np.sqrt((K**2).sum()), rel=1e-14)
    assert kernel_norm(torch.tensor(K)) == kernel_norm(K)
    assert kernel_change(K, K) == 0
    assert kernel_change(3 * K, K) == pytest.approx(2, rel=1e-14)
    assert kernel_change(torch.tensor(K, dtype=torch.float32), K) < 1e-6


def test_alignment():
    y = labels(20)
    assert alignment(np.outer(y, y), y) == pytest.approx(1, rel=1e-14)
    K = gram(20, 5)
    assert 0 < alignment(K, y) < 1
    assert alignment(4 * K, -2 * y) == pytest.approx(alignment(K, y), rel=1e-13)
    shifted = alignment(K + 10, y + 0.0, centered=True)
    assert shifted == pytest.approx(alignment(K, y, centered=True), rel=1e-11)
    assert alignment(K + 10, y) < 0.5 * alignment(K, y)
    # centering is the projection on what is orthogonal to the constant
    H = np.eye(20) - 1 / 20
    z = y + 0.3
    expected = (H @ z) @ (H @ K @ H) @ (H @ z) / np.linalg.norm(H @ K @ H) / (H @ z @ (H @ z))
    assert alignment(K, z, centered=True) == pytest.approx(expected, rel=1e-12)


def test_kernel_pca():
    K, y = gram(40, 60), labels(40)
    every = kernel_pca(K, y, k=40)
    np.testing.assert_allclose((every.vectors * every.eigenvalues) @ every.vectors.T, K, atol=1e-9)
    assert np.all(np.diff(every.eigenvalues) < 0)
    assert (every.projections**2).sum() == pytest.approx(1, rel=1e-12)
    some = kernel_pca(torch.tensor(K), torch.tensor(y), k=3)
    np.testing.assert_allclose(some.projections, every.projections[:3], atol=1e-10)
    np.testing.assert_allclose(some.mutual_information, every.mutual_information[:3], atol=1e-8)
    best = kernel_pca(K + 1e3 * np.outer(y, y), y, k=1)
    assert best.projections[0] == pytest.approx(1, abs=1e-3)
    assert best.mutual_information[0] > 0.95


def test_mutual_information_of_known_features():
    # uniform densities on [0, 2] and [1, 3]: nothing is known in the overlap, all outside: 1/2 bit
    rng, y = np.random.default_rng(0), labels(40_000)
    feature = rng.random(len(y)) * 2 + (y < 0)
    # bias of k = 60 neighbors: noise of the shares adds 1/(2 k ln 2) bits where they are 1/2; at u
    # from the edge of the overlap the distances are s/2 on both sides and u + s, s = 0.006
    s, u = 0.006, (np.arange(200_000) + 0.5) / 200_000
    q = (s / 2) / (u + 1.5 * s)
    expected = (
        0.5 + 0.5 / (120 * np.log(2)) + 0.5 * np.mean(q * np.log2(q) + (1 - q) * np.log2(1 - q))
    )
    assert mutual_information(feature, y, neighbors=60) == pytest.approx(expected, abs=0.01)
    assert expected == pytest.approx(0.5, abs=0.05)
    y = labels(4000)
    assert abs(mutual_information(rng.standard_normal(4000), y, neighbors=60)) < 0.03
    assert mutual_information(y + 0.01 * rng.standard_normal(4000), y) > 0.97


def test_mutual_information_is_that_of_the_sheet():
    # by hand, with k = 2: the distances within a label leave the point itself out
    phi, y = np.array([0.0, 1.0, 3.0, 4.0, 6.0, 9.0]), np.array([1.0, 1, -1, 1, -1, -1])
    q = []
    for i in range(6):
        r = {}
        for s in (1, -1):
            others = [abs(phi[i] - phi[j]) for j in range(6) if y[j] == s and j != i]
            r[s] = sorted(others)[1]
        q.append(1 / (1 + r[1] / r[-1]))
    q = np.array(q)
    expected = 1 + np.mean(q * np.log2(q) + (1 - q) * np.log2(1 - q))
    assert mutual_information(phi, y, neighbors=2) == pytest.approx(expected, rel=1e-12)
    # standardized: units do not matter
    assert mutual_information(1e-9 * phi + 5, y, neighbors=2) == pytest.approx(expected, rel=1e-6)
    two = np.stack([phi, phi], 1)
    assert mutual_information(two, y, neighbors=2) > expected


def test_wrong_arguments_are_named():
    K, y = gram(12, 3), labels(12)
    with pytest.raises(ValueError, match="K: "):
        kernel_change(K, K[:3, :3])
    with pytest.raises(ValueError, match="K0: 'a matrix of zeros' given"):
        kernel_change(K, 0 * K)
    with pytest.raises(ValueError, match=r"K: \(12, 12\) given; allowed: '?\(11, 11\)"):
        alignment(K, y[:11])
    with pytest.raises(ValueError, match="y: 'only zeros"):
        alignment(K, np.ones(12), centered=True)
    with pytest.raises(ValueError, match="k: 13 given"):
        kernel_pca(K, y, k=13)
    with pytest.raises(ValueError, match="K: 'a matrix that differs from its transpose"):
        kernel_pca(K + np.tri(12), y)
    with pytest.raises(ValueError, match="y: 'a label that occurs 0 times'"):
        mutual_information(np.arange(12.0), np.ones(12))
    with pytest.raises(ValueError, match="K: 'a NaN"):
        kernel_norm(K * np.nan)
