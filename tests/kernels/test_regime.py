"""How far the kernel of a classifier moves, and what is said of it."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from symscape.dynamics import Hinge
from symscape.kernels import empirical_ntk, kernel_change, kernel_motion, learning_regime, regime
from symscape.networks import FullyConnected

NET = FullyConnected(8, 40, 2, 1, "ntp", "softplus", bias=False, normalized=True)


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(72, 8, generator=generator, dtype=torch.float64)
    x *= math.sqrt(8) / x.norm(dim=1, keepdim=True)
    y = torch.where(x[:, 0].abs() > 0.7, 1.0, -1.0).double()
    return x[:32], y[:32], (x[32:], y[32:])


def build(seed):
    return NET.module(NET.initial_weights(seed))


def test_it_is_the_change_of_the_kernel_of_the_trained_model(data):
    x, y, test = data
    model, start = build(1), build(1)
    found = kernel_motion(model, x, y, test, alpha=2.0, kernel_points=10, seed=3)
    K, K0 = (empirical_ntk(net, test[0][:10]) for net in (model, start))
    assert found.change == kernel_change(K, K0)
    assert found.growth == pytest.approx(float(K.norm() / K0.norm()))
    assert (found.trained, found.fit.status, found.alpha) == (True, "converged", 2.0)
    assert found.fit.n_delta == 0


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_in_lazy_training_the_kernel_changes_as_one_over_alpha(data, optimizer):
    """And the test error, and the steps, do not depend on alpha."""
    x, y, test = data
    runs = [
        kernel_motion(build(0), x, y, test, alpha=alpha, optimizer=optimizer, batch=16)
        for alpha in (1e3, 1e4)
    ]
    assert runs[0].change / runs[1].change == pytest.approx(10, rel=0.02)
    assert runs[0].change < 0.1
    assert runs[0].fit.steps == runs[1].fit.steps
    assert runs[0].fit.test_error == pytest.approx(runs[1].fit.test_error, abs=0.03)


def test_in_feature_training_it_changes_by_more_than_its_norm(data):
    x, y, test = data
    assert kernel_motion(build(0), x, y, test, alpha=0.01, batch=16).change > 10


def test_a_model_that_is_linear_in_its_weights_is_lazy_at_any_scale(data):
    x, _, test = data
    y, test = torch.sign(x[:, 0]), (test[0], torch.sign(test[0][:, 0]))
    x = x.clone()
    x[:, 0] += 2 * y  # far apart

    def linear(seed):
        torch.manual_seed(seed)
        return nn.Linear(8, 1).double()

    found = learning_regime(linear, x, y, test, alphas=(1.0, 100.0), seeds=2)
    assert bool((found.change == 0).all())
    assert bool(found.trained.all())
    assert found.regime.side == "lazy"
    assert found.regime.crossover is None


def test_several_classes(data):
    x, _, test = data
    y, labels = x[:, :3].argmax(1), test[0][:, :3].argmax(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 30), nn.ReLU(), nn.Linear(30, 3)).double()
    found = kernel_motion(model, x, y, (test[0], labels), alpha=1.0)
    assert found.trained
    assert 0 < found.change < 10
    assert found.fit.test_error < 0.5


def test_a_training_that_diverges_or_does_not_fit_is_no_verdict(data):
    x, y, test = data
    diverged = kernel_motion(
        build(0), x, y, test, alpha=0.01, loss=Hinge(), optimizer="sgd", lr=1e6, steps=50
    )
    assert diverged.fit.status == "diverged"
    assert math.isnan(diverged.change)
    assert not diverged.trained
    short = kernel_motion(build(0), x, y, test, alpha=1.0, steps=1)
    assert short.fit.status == "out_of_budget"
    assert not short.trained


def test_a_scan_finds_both_sides(data):
    x, y, test = data
    found = learning_regime(build, x, y, test, alphas=(0.01, 1.0, 100.0), seeds=2, batch=16)
    assert found.change.shape == found.test_error.shape == (2, 3)
    assert bool((np.diff(found.change) < 0).all())
    assert found.regime.crossover is not None
    assert 0.01 < found.regime.crossover.value < 100
    for at, side in ((0.01, "feature"), (100.0, "lazy")):
        assert regime(found.alphas, found.change, at=at).side == side


ALPHAS = np.array([0.1, 1.0, 10.0, 100.0])


def curves(crossover, noise=0.02, seeds=4):
    random = np.random.default_rng(0)
    return crossover / ALPHAS * np.exp(noise * random.standard_normal((seeds, len(ALPHAS))))


@pytest.mark.parametrize(
    ("crossover", "side", "words"),
    [
        (0.2, "lazy", "Lazy training: at alpha = 1 the kernel moves by 0.1987 ± 0.0016 of its"),
        (5.0, "feature", "Feature training: at alpha = 1 the kernel moves by 4.969 ±"),
        (1.5, "near", "Near the cross-over"),
        (0.6, "near", "Near the cross-over"),
    ],
)
def test_sides(crossover, side, words):
    found = regime(ALPHAS, curves(crossover))
    assert found.side == side
    assert found.sentence.startswith(words)
    assert found.change.value == pytest.approx(crossover, rel=0.05)
    assert found.crossover.value == pytest.approx(crossover, rel=0.05)
    assert "(4 seeds)" in found.sentence
    assert "alpha* = " in found.sentence


def test_a_change_that_is_not_sure_is_near():
    """A factor of 3 from the cross-over, with an error of a factor of 3."""
    assert regime(ALPHAS, curves(3.0, noise=0.02)).side == "feature"
    assert regime(ALPHAS, curves(3.0, noise=2.0)).side == "near"


@pytest.mark.parametrize(("crossover", "where"), [(1e-3, "below"), (1e5, "above")])
def test_a_crossover_outside_of_the_scales(crossover, where):
    found = regime(ALPHAS, curves(crossover))
    assert found.crossover is None
    assert f"is {where} all scales tried (0.1 to 100)" in found.sentence


def test_the_network_may_stand_between_two_scales():
    found = regime(ALPHAS, curves(1.0, noise=0.0), at=math.sqrt(10))
    assert found.change.value == pytest.approx(10**-0.5)
    assert found.side == "lazy"


def test_a_scale_without_all_trainings_is_left_out():
    some = curves(0.2)
    some[1, 3] = math.nan
    found = regime(ALPHAS, some)
    assert found.crossover.value == pytest.approx(regime(ALPHAS[:3], some[:, :3]).crossover.value)
    some[1, 1:] = math.nan
    with pytest.raises(ValueError, match=r"at: 1 given; allowed: between two scales .* are 0.1"):
        regime(ALPHAS, some)


@pytest.mark.parametrize(
    ("alphas", "change", "at", "words"),
    [
        ([1.0], [[1.0]], 1.0, "A >= 2"),
        ([1.0, 2.0], [[1.0, 2.0, 3.0]], 1.0, r"shape \(1, 3\) given with 2 scales"),
        ([2.0, 1.0], [[1.0, 2.0]], 1.0, "positive numbers that increase"),
        ([0.0, 1.0], [[1.0, 2.0]], 1.0, "positive numbers that increase"),
        ([1.0, 2.0], [[1.0, 2.0]], 3.0, "at: 3 given"),
    ],
)
def test_scans_that_are_not_allowed(alphas, change, at, words):
    with pytest.raises(ValueError, match=words):
        regime(alphas, change, at=at)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": 0.0}, "alpha: 0.0 given; allowed: a positive number"),
        ({"kernel_points": 0}, "kernel_points: 0 given"),
        ({"kernel_points": 41}, "kernel_points: 41 given; allowed: an integer from 1 to 40"),
        ({"batch": 0}, "batch: 0 given"),
        ({"steps": -1}, "steps: -1 given"),
        ({"optimizer": "lion"}, "optimizer: 'lion' given"),
    ],
)
def test_motions_that_are_not_allowed(data, changes, words):
    x, y, test = data
    with pytest.raises(ValueError, match=words):
        kernel_motion(build(0), x, y, test, **({"alpha": 1.0, "kernel_points": 5} | changes))


def test_batch_normalization_has_no_kernel(data):
    x, y, test = data
    model = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()
    with pytest.raises(ValueError, match=r"BatchNorm1d '1' changes in a forward pass; .*eval\(\)"):
        kernel_motion(model, x, y, test, alpha=1.0)


def test_scans_need_the_scale_between_theirs(data):
    x, y, test = data
    with pytest.raises(ValueError, match=r"alphas: .* given; allowed: two or more around 1"):
        learning_regime(build, x, y, test, alphas=(2.0, 3.0))
