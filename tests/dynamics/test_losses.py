"""Losses: values, derivatives, constraints."""

import math

import pytest
import torch

from symscape.dynamics import CrossEntropy, Hinge, MulticlassHinge, SoftHinge, Square

BINARY = [
    Hinge(),
    Hinge(power=1),
    Hinge(power=1.5),
    Hinge(power=3, margin=0.5),
    SoftHinge(),
    SoftHinge(beta=3, margin=2),
    CrossEntropy(),
    Square(),
]
MULTICLASS = [
    CrossEntropy(),
    MulticlassHinge(),
    MulticlassHinge(margin=0.5),
    MulticlassHinge(power=1),
    MulticlassHinge(power=3),
]


@pytest.fixture
def binary():
    generator = torch.Generator().manual_seed(0)
    f = 2 * torch.randn(200, generator=generator, dtype=torch.float64)
    y = torch.where(torch.rand(200, generator=generator) < 0.5, 1.0, -1.0).double()
    return f, y


@pytest.fixture
def multiclass():
    generator = torch.Generator().manual_seed(0)
    f = torch.randn(50, 4, generator=generator, dtype=torch.float64)
    return f, torch.randint(4, (50,), generator=generator)


@pytest.mark.parametrize("loss", BINARY, ids=str)
def test_binary_derivatives(loss, binary):
    f, y = binary
    f = f.requires_grad_()
    (first,) = torch.autograd.grad(loss.value(f, y).sum(), f, create_graph=True)
    torch.testing.assert_close(loss.derivative(f, y), first, atol=1e-13, rtol=1e-12)
    second = torch.zeros_like(f)
    if first.requires_grad:
        (second,) = torch.autograd.grad(first.sum(), f)
    torch.testing.assert_close(loss.second_derivative(f, y), second, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("loss", MULTICLASS, ids=str)
def test_multiclass_derivatives(loss, multiclass):
    f, y = multiclass
    value = loss.value(f, y)
    assert value.shape == (50,)
    first = torch.func.vmap(torch.func.jacrev(lambda f, y: loss.value(f[None], y[None])[0]))
    second = torch.func.vmap(torch.func.hessian(lambda f, y: loss.value(f[None], y[None])[0]))
    torch.testing.assert_close(loss.derivative(f, y), first(f, y), atol=1e-14, rtol=0)
    torch.testing.assert_close(loss.second_derivative(f, y), second(f, y), atol=1e-13, rtol=0)


@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_quadratic_hinge(margin, binary):
    f, y = binary
    loss = Hinge(margin=margin)
    zero, one = torch.zeros(1, dtype=f.dtype), torch.ones(1, dtype=f.dtype)
    assert loss.value(zero, one).item() == margin**2 / 2
    assert torch.equal(loss.value(f, y) == 0, y * f >= margin)
    assert torch.equal(loss.delta(f, y), margin - y * f)
    assert torch.equal(loss.unsatisfied(f, y), margin - y * f > 0)
    # unsatisfied, yet correct, between 0 and the margin
    between = (y * f > 0) & (y * f < margin)
    assert between.any()
    assert loss.unsatisfied(f, y)[between].all()
    assert not loss.misclassified(f, y)[between].any()


def test_hinge_scales_with_its_margin(binary):
    f, y = binary
    small, large = Hinge(margin=0.5), Hinge(margin=1.5)
    torch.testing.assert_close(large.value(3 * f, y), 9 * small.value(f, y))
    assert torch.equal(large.unsatisfied(3 * f, y), small.unsatisfied(f, y))


def test_binary_cross_entropy_is_the_two_class_one(binary):
    f, y = binary
    loss = CrossEntropy()
    two = torch.stack([-f / 2, f / 2], -1)
    torch.testing.assert_close(
        loss.value(f, y), loss.value(two, (y > 0).long()), atol=1e-14, rtol=1e-13
    )
    assert loss.value(torch.zeros(1), torch.ones(1)).item() == pytest.approx(math.log(2))


def test_soft_hinge_constants_of_the_thesis():
    loss, one = SoftHinge(), torch.ones(1, dtype=torch.float64)
    assert loss.value(one, one).item() == pytest.approx(0.0346573590279973, abs=1e-15)
    assert loss.value(0 * one, one).item() == pytest.approx(1.0000000001030576, abs=1e-15)


def test_soft_hinge_is_close_to_the_hinge(binary):
    f, y = binary
    difference = SoftHinge(beta=20).value(f, y) - Hinge(power=1).value(f, y)
    assert difference.min() >= -1e-15
    assert difference.max() <= math.log(2) / 20 + 1e-15


def test_multiclass_hinge_of_one_pattern():
    f = torch.tensor([[0.2, -3.0, 0.5]])
    loss = MulticlassHinge()
    # targets (1, -1, -1): Delta = (0.8, -2, 1.5)
    torch.testing.assert_close(loss.delta(f, torch.tensor([0])), torch.tensor([[0.8, -2.0, 1.5]]))
    assert loss.value(f, torch.tensor([0])).item() == pytest.approx((0.64 + 2.25) / 6)
    assert loss.misclassified(f, torch.tensor([0])).item()
    assert not loss.misclassified(f, torch.tensor([2])).item()


def test_ties_are_not_predictions():
    zero, one = torch.zeros(3), torch.ones(3)
    for loss in (Hinge(), SoftHinge(), CrossEntropy(), Square()):
        assert loss.misclassified(zero, one).all()
    assert CrossEntropy().unsatisfied(zero, one).all()
    classes = torch.zeros(3, dtype=torch.long)
    for loss in (CrossEntropy(), MulticlassHinge()):
        assert loss.misclassified(torch.zeros(3, 2), classes).all()


def test_nan_fits_nothing():
    nan, one = torch.full((3,), math.nan), torch.ones(3)
    for loss in (Hinge(), Hinge(power=1), SoftHinge(), CrossEntropy(), Square()):
        assert loss.misclassified(nan, one).all()
        assert loss.unsatisfied(nan, one).all()
        assert loss.value(nan, one).isnan().all()
    classes, outputs = torch.arange(3), torch.eye(3)
    outputs[0, 0] = outputs[1, 0] = math.nan  # the class's own output, or another one
    for loss in (CrossEntropy(), MulticlassHinge()):
        assert loss.misclassified(outputs, classes).tolist() == [True, True, False]
    assert MulticlassHinge().unsatisfied(outputs, classes)[:2, 0].all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hinge(power=0.5), "power: 0.5 given; allowed: a number >= 1"),
        (lambda: Hinge(margin=0), "margin: 0 given; allowed: a positive number"),
        (lambda: SoftHinge(beta=-1), "beta: -1 given"),
        (lambda: MulticlassHinge(margin=-1), "margin: -1 given"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
