import math

import numpy as np
import pytest
import torch

from symscape.datasets import random_sphere, teacher, uniform_sphere


@pytest.mark.parametrize("labels", ["alternating", "iid"])
@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize(("P", "d"), [(2, 2), (7, 3), (500, 62)])
def test_points_lie_on_the_sphere_of_radius_sqrt_d(P, d, labels, centered):
    x, y = random_sphere(P, d, seed=1, labels=labels, centered=centered)
    assert x.dtype == y.dtype == torch.float64
    assert x.shape == (P, d)
    torch.testing.assert_close((x**2).sum(1), torch.full((P,), float(d)).double())
    assert set(y.tolist()) <= {-1.0, 1.0}


@pytest.mark.parametrize("P", [2, 3, 10, 101])
def test_alternating_labels_are_balanced(P):
    _, y = random_sphere(P, 5, seed=0)
    assert y[0] == -1
    assert abs(y.sum()) <= 1
    assert torch.equal(y[:-1], -y[1:])


def test_iid_labels_are_fair_and_leave_the_points_alone():
    x, y = random_sphere(20_000, 3, seed=4, labels="iid")
    assert torch.equal(x, random_sphere(20_000, 3, seed=4)[0])
    assert abs(y.mean()) < 4 / math.sqrt(len(y))
    assert abs((y[:-1] * y[1:]).mean()) < 4 / math.sqrt(len(y))


def test_centering_takes_the_mean_away_before_the_rescaling():
    centered, raw = (random_sphere(200, 400, seed=2, centered=flag)[0] for flag in (True, False))
    # In high dimension all norms are nearly equal, so that the centered mean stays near zero.
    assert centered.mean(0).norm() < 0.1 * raw.mean(0).norm()


def test_same_seed_same_data_other_seed_other_data():
    x, y = random_sphere(50, 4, seed=3, labels="iid")
    again, other = (random_sphere(50, 4, seed=seed, labels="iid") for seed in (3, 4))
    assert torch.equal(x, again[0])
    assert torch.equal(y, again[1])
    assert not torch.equal(x, other[0])


@pytest.mark.parametrize("d", [1, 2, 5])
def test_uniform_sphere_has_the_moments_of_the_uniform_law(d):
    x = uniform_sphere(40_000, d, seed=0, radius=3.0)
    torch.testing.assert_close(x.norm(dim=1), torch.full((len(x),), 3.0).double())
    assert x.mean(0).norm() < 3 * 4 / math.sqrt(len(x))
    second = x.T @ x / len(x)
    torch.testing.assert_close(second, 9.0 / d * torch.eye(d).double(), atol=0.15, rtol=0)


def test_float32_is_the_rounding_of_float64():
    x, y = random_sphere(20, 4, seed=0, dtype=torch.float32)
    exact = random_sphere(20, 4, seed=0)
    assert x.dtype == y.dtype == torch.float32
    assert torch.equal(x, exact[0].float())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": 1}, "P: 1 given; allowed: an integer >= 2"),
        ({"d": 1}, "d: 1 given; allowed: an integer >= 2"),
        ({"P": 0, "centered": False}, "P: 0 given; allowed: an integer >= 1"),
        ({"seed": 0.0}, "seed: 0.0 given; allowed: an integer"),
        ({"seed": True}, "seed: True given"),
        ({"labels": "fair"}, "labels must be 'alternating' or 'iid', got 'fair'"),
    ],
)
def test_wrong_arguments_of_random_sphere(change, message):
    with pytest.raises(ValueError, match=message):
        random_sphere(**({"P": 5, "d": 3, "seed": 0} | change))


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8, torch.tensor])
def test_integers_of_numpy_and_torch_are_integers(integer):
    """Also as a seed, to which the streams of labels and teachers add large numbers."""
    P, d, seed = integer(20), integer(4), integer(7)
    for labels in ("alternating", "iid"):
        for given, plain in zip(random_sphere(P, d, seed, labels), random_sphere(20, 4, 7, labels)):
            assert torch.equal(given, plain)
    for given, plain in zip(teacher(P, d, seed, teacher_seed=seed), teacher(20, 4, 7)):
        assert torch.equal(given, plain)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.inf, math.nan])
def test_wrong_radius(radius):
    with pytest.raises(ValueError, match="radius must be positive"):
        uniform_sphere(3, 3, 0, radius=radius)


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.5, 1.0])
def test_teacher_flips_exactly_the_asked_fraction_of_training_labels(flip):
    clean, flipped = (teacher(300, 10, seed=1, flip=value) for value in (0.0, flip))
    assert torch.equal(clean.x_train, flipped.x_train)
    assert int((clean.y_train != flipped.y_train).sum()) == round(300 * flip)
    assert torch.equal(clean.y_test, flipped.y_test)


def test_teacher_labels_are_a_function_that_points_share():
    # The teacher is odd: mirrored points have opposite labels, so both classes are balanced.
    data = teacher(4000, 10, seed=5, flip=0.0, n_test=4000)
    assert abs(data.y_train.mean()) < 0.08
    # Near points mostly agree: the nearest training point predicts better than chance.
    nearest = torch.cdist(data.x_test, data.x_train).argmin(1)
    assert (data.y_train[nearest] == data.y_test).double().mean() > 0.7


def test_one_teacher_can_serve_several_draws():
    one = teacher(100, 4, seed=1, flip=0.0, teacher_seed=9, n_test=2000)
    two = teacher(3000, 4, seed=2, flip=0.0, teacher_seed=9, n_test=10)
    other = teacher(3000, 4, seed=2, flip=0.0, teacher_seed=8, n_test=10)
    nearest = torch.cdist(one.x_test, two.x_train).argmin(1)
    agreement = [(draw.y_train[nearest] == one.y_test).double().mean() for draw in (two, other)]
    assert agreement[0] > 0.85
    assert agreement[1] < 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flip": 1.5}, r"flip must be in \[0, 1\], got 1.5"),
        ({"flip": math.nan}, r"flip must be in \[0, 1\]"),
        ({"hidden": 0}, "hidden: 0 given"),
        ({"n_test": 0}, "n_test: 0 given"),
        ({"P": 0}, "P: 0 given"),
        ({"d": 0}, "d: 0 given"),
    ],
)
def test_wrong_arguments_of_teacher(change, message):
    with pytest.raises(ValueError, match=message):
        teacher(**({"P": 5, "d": 3, "seed": 0} | change))
