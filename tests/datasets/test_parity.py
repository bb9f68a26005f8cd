import numpy as np
import pytest
import torch

from symscape.datasets import load, mnist_parity, pca
from symscape.datasets._draw import interleaved


@pytest.mark.parametrize(("P", "d", "n_test"), [(2, 10, 0), (101, 10, 40), (1000, 3, None)])
@pytest.mark.parametrize("whiten", [True, False])
def test_points_lie_on_the_sphere_with_balanced_labels(P, d, n_test, whiten):
    data = mnist_parity(P, d, seed=0, n_test=n_test, whiten=whiten)
    n_even, n_odd = np.bincount(load("mnist-sample").labels % 2)
    left = 2 * min(n_even, n_odd) - P
    for x, y, n in (
        (data.x_train, data.y_train, P),
        (data.x_test, data.y_test, left if n_test is None else n_test),
    ):
        assert x.shape == (n, d)
        assert x.dtype == y.dtype == torch.float64
        torch.testing.assert_close((x**2).sum(1), torch.full((n,), float(d)).double())
        assert abs(y.sum()) <= 1
        assert torch.equal(y[:-1], -y[1:])
    assert data.y_train[0] == -1
    assert data.source.name == "mnist-sample"


def test_interleaving_pairs_all_it_can_and_repeats_none():
    labels = np.random.default_rng(0).integers(0, 10, size=501)
    order = interleaved(labels % 2, 2, seed=3).numpy()
    assert len(order) == 2 * min(np.bincount(labels % 2))
    assert len(set(order.tolist())) == len(order)
    assert (labels[order] % 2 == np.arange(len(order)) % 2).all()


def test_each_set_is_centered_by_its_own_mean_before_the_rescaling():
    # Independent recomputation from the images.
    P, d = 60, 4
    data = mnist_parity(P, d, seed=7, n_test=50)
    digits = load("mnist-sample")
    order = interleaved(digits.labels % 2, 2, seed=7)[: P + 50]
    u = torch.from_numpy(pca(digits.images).project(digits.images, d))[order]
    for x, part in ((data.x_train, u[:P]), (data.x_test, u[P:])):
        part = part - part.mean(0)
        expected = d**0.5 * part / part.norm(dim=1, keepdim=True)
        torch.testing.assert_close(x, expected)


def test_larger_training_set_takes_the_next_images():
    small, large = (mnist_parity(P, 5, seed=1, n_test=0) for P in (200, 400))
    cosine = (small.x_train * large.x_train[:200]).sum(1) / 5
    assert cosine.min() > 0.9  # not 1: each set is centered by its own mean
    other = mnist_parity(200, 5, seed=2, n_test=0)
    assert ((small.x_train * other.x_train).sum(1) / 5).mean() < 0.5


def test_same_seed_same_data():
    one, two = (mnist_parity(50, 10, seed=5, n_test=20) for _ in range(2))
    for left, right in zip(one[:4], two[:4]):
        assert torch.equal(left, right)


def test_pool_changes_the_components_a_little():
    everything, train = (mnist_parity(300, 10, 0, pool=pool, n_test=0) for pool in ("all", "train"))
    distance = (everything.x_train - train.x_train).norm(dim=1) / 10**0.5
    assert distance.max() > 0
    assert distance.median() < 0.2


def test_parity_can_be_learned_from_ten_components():
    data = mnist_parity(4000, 10, seed=0)
    nearest = torch.cdist(data.x_test[:1000], data.x_train).argmin(1)
    error = (data.y_train[nearest] != data.y_test[:1000]).double().mean()
    assert 0.05 < error < 0.2  # chance is 0.5


def test_pinned_source_gives_the_same_data():
    data = mnist_parity(30, 5, seed=0, n_test=10)
    again = mnist_parity(30, 5, seed=0, n_test=10, source=data.source.pinned)
    assert torch.equal(data.x_train, again.x_train)
    assert again.source == data.source


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": 1}, r"P must be in 2\.\.\d+ for these data, got 1"),
        ({"P": 12_001}, r"P must be in 2\.\.12000 for these data, got 12001"),
        ({"n_test": 1}, r"n_test must be in 0 or 2\.\.\d+ for these data, got 1"),
        ({"n_test": 12_000}, "n_test must be in"),
        ({"n_test": -2}, "n_test must be in"),
        ({"d": 785}, r"d must be in 1\.\.784, got 785"),
        ({"pool": "test"}, "pool must be 'all' or 'train', got 'test'"),
        ({"source": "mnits"}, "unknown data set 'mnits'"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        mnist_parity(**({"P": 10, "d": 3, "seed": 0} | change))


@pytest.mark.data
def test_whole_mnist_pairs_68836_images(outer_data):
    outer_data("mnist")
    data = mnist_parity(30_000, 10, seed=0)
    assert data.source.name == "mnist"
    assert data.source.n == 70_000
    assert len(data.x_train) + len(data.x_test) == 68_836
