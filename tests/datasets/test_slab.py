import pytest
import torch
from scipy.stats import beta

from symscape.datasets import slab


def test_points_lie_on_the_sphere_and_labels_are_those_of_a_slab():
    data = slab(500, d=8, seed=3, n_test=4000)
    for x, n in ((data.x_train, 500), (data.x_test, 4000)):
        assert x.shape == (n, 8)
        torch.testing.assert_close((x**2).sum(1), torch.full((n,), 8.0).double())
    # |u.x| > w is a half-space in x x^T, so that its direction shows in the second moments.
    moments = data.x_test.T @ (data.y_test.unsqueeze(1) * data.x_test)
    u = torch.linalg.eigh(moments).eigenvectors[:, -1]
    for x, y in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        outside = (x @ u).abs() > 0.68
        assert (outside == (y > 0)).double().mean() > 0.95  # u is estimated


@pytest.mark.parametrize("d", [2, 8, 100])
def test_share_inside_is_that_of_the_uniform_distribution(d):
    y = slab(10, d=d, seed=0, n_test=20_000).y_test
    # (u.x)^2 / d has the distribution Beta(1/2, (d - 1)/2).
    inside = beta.cdf(0.68**2 / d, 0.5, (d - 1) / 2)
    assert (y < 0).double().mean().item() == pytest.approx(inside, abs=0.015)  # 4 sigma
    assert inside == pytest.approx({2: 0.32, 8: 0.47, 100: 0.50}[d], abs=0.005)


def test_seed_and_nesting():
    small, large, other = (slab(P, seed=seed, n_test=5) for P, seed in ((20, 1), (30, 1), (20, 2)))
    assert torch.equal(small.x_train, large.x_train[:20])
    assert torch.equal(small.y_train, large.y_train[:20])
    assert torch.equal(small.x_test, large.x_test)
    assert not torch.equal(small.x_train, other.x_train)
    assert slab(5, dtype=torch.float32).y_test.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": 0}, "P: 0 given; allowed: an integer >= 1"),
        ({"d": 1}, "d: 1 given; allowed: an integer >= 2"),
        ({"n_test": 0}, "n_test: 0 given"),
        ({"width": 3.0}, "width: 3.0 given; allowed: a number between 0 and"),
        ({"width": float("nan")}, "width: nan given"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        slab(**({"P": 10} | change))
