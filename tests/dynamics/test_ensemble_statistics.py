"""Statistics of ensembles: exact identities, and ensembles that have none."""

import itertools
import math

import pytest
import torch

from symscape.dynamics import ensemble_statistics, subset_errors


def outputs(members=7, n=50, seed=0):
    generator = torch.Generator().manual_seed(seed)
    F = torch.randn(members, n, generator=generator, dtype=torch.float64) + 0.3
    return F, torch.randn(n, generator=generator, dtype=torch.float64).sign()


def test_mean_square_error_splits_into_that_of_the_mean_and_the_variance():
    """Eq. 2 of Ch. 2b, with the variance of the ensemble itself, 1 / M."""
    F, y = outputs()
    found = ensemble_statistics(F, y)
    each = (F - y).square().mean()
    of_mean = (found.mean - y).square().mean()
    assert float(each - of_mean) == pytest.approx(found.variance * 6 / 7, rel=1e-13)
    assert found.error == pytest.approx(float((F * y <= 0).double().mean()))
    assert found.excess_error == pytest.approx(found.error - found.ensemble_error)
    torch.testing.assert_close(found.norms, F.square().mean(1).sqrt())


def test_finite_pools():
    """The mean over all subsets of size n is s^2 (1 - n / M) / n, exactly."""
    F, y = outputs(members=6)
    found = ensemble_statistics(F, y)
    for n in range(1, 7):
        distances = [
            float((F[list(chosen)].mean(0) - found.mean).square().mean())
            for chosen in itertools.combinations(range(6), n)
        ]
        expected = found.variance / n * (1 - n / 6)
        assert sum(distances) / len(distances) == pytest.approx(expected, abs=1e-15)


def test_equal_members_are_one_network_and_order_does_not_matter():
    F, y = outputs()
    same = ensemble_statistics(F[:1].expand(4, -1), y)
    assert same.variance == 0
    assert same.ensemble_error == same.error == float((F[0] * y <= 0).double().mean())
    turned = ensemble_statistics(F.flip(0), y)
    found = ensemble_statistics(F, y)
    assert turned.variance == pytest.approx(found.variance, rel=1e-14)
    assert turned.ensemble_error == found.ensemble_error


def test_errors_of_subsets():
    F, y = outputs(members=9, n=300)
    errors = subset_errors(F, y, (1, 3, 9), draws=40, seed=1)
    assert errors.shape == (3, 40)
    singles = ensemble_statistics(F, y).errors
    assert all(bool((singles == error).any()) for error in errors[0])
    assert bool((errors[2] == ensemble_statistics(F, y).ensemble_error).all())
    assert torch.equal(errors, subset_errors(F, y, (1, 3, 9), draws=40, seed=1))
    assert not torch.equal(errors, subset_errors(F, y, (1, 3, 9), draws=40, seed=2))
    # all pairs of the first three members, and nothing else
    pairs = [float((F[list(c)].mean(0) * y <= 0).double().mean()) for c in ([0, 1], [0, 2], [1, 2])]
    drawn = set(subset_errors(F[:3], y, (2,), draws=60)[0].tolist())
    assert drawn == set(pairs)


def test_classes():
    generator = torch.Generator().manual_seed(0)
    F = torch.randn(5, 60, 4, generator=generator)
    y = torch.randint(4, (60,), generator=generator)
    found = ensemble_statistics(F, y)
    assert found.ensemble_error == pytest.approx(float((F.mean(0).argmax(-1) != y).double().mean()))
    assert found.variance == pytest.approx(float(F.var(0).sum(-1).mean()), rel=1e-5)
    assert subset_errors(F, y, (5,), draws=1).item() == pytest.approx(found.ensemble_error)


def test_zero_is_no_prediction():
    y = torch.tensor([1.0, -1.0])
    F = torch.tensor([[1.0, 0.0], [-1.0, -2.0]])
    assert ensemble_statistics(F, y).errors.tolist() == [0.5, 0.5]
    assert ensemble_statistics(F, y).ensemble_error == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda F, y: (F[:1], y), "F: 1 member given; allowed: 2 or more"),
        (lambda F, y: (F[0], y), r"F: shape \(50,\) given"),
        (lambda F, y: (F, y[:3]), r"y: shape \(3,\) given; allowed: \(50,\)"),
        (lambda F, y: (F, y.long()), "y: torch.int64 given with outputs"),
        (lambda F, y: (F * math.nan, y), "F: outputs that are not finite"),
    ],
)
def test_wrong_ensembles_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ensemble_statistics(*change(*outputs()))


def test_wrong_sizes_are_named():
    F, y = outputs()
    for sizes in ((0,), (1, 8), (2.5,)):
        with pytest.raises(ValueError, match=r"sizes: .* given; allowed: an integer from 1 to 7"):
            subset_errors(F, y, sizes)
    with pytest.raises(ValueError, match="draws: 0 given"):
        subset_errors(F, y, (1,), draws=0)
