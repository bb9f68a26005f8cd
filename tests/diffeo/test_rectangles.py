"""Images that are not square: the same ensemble on two sides."""

import math

import pytest
import torch

from symscape import diffeo
from symscape.diffeo._warp import bilinear

SIZE = (24, 40)


def ensemble(T=1.0, c=3, modes="rounded"):
    return diffeo.MaximumEntropy(T, c, modes, outside="allow")


def mean_square(fields):
    """The integral over the image of the squares of both components: the trapezoid rule is exact,
    and the frame is zero."""
    rows, columns = fields.shape[-2:]
    return fields.square().sum((-1, -2)) / ((rows - 1) * (columns - 1))


@pytest.mark.parametrize(("c", "modes"), [(2, "rounded"), (5, "rounded"), (4, "disc")])
def test_displacements_have_the_size_of_the_formula(c, modes):
    fields = ensemble(1e-3, c, modes).fields(SIZE, diffeo.sample_seeds(0, 6000), torch.float64)
    assert fields.shape == (6000, 2, *SIZE)
    squares = mean_square(fields).mean(0)
    expected = diffeo.rms_displacement(1e-3, c, SIZE, modes) ** 2
    assert float(squares.sum()) == pytest.approx(expected, rel=0.03)
    assert float(squares[0]) == pytest.approx(float(squares[1]), rel=0.05)  # along x and along y
    center = fields[..., 11:13, 19:21].mean((-1, -2)).square().sum(-1).mean().sqrt()
    assert float(center) == pytest.approx(
        diffeo.center_displacement(1e-3, c, SIZE, modes), rel=0.03
    )


def test_the_sum_over_the_modes_by_hand():
    total = 0.0
    for i in range(1, 40):
        for j in range(1, 40):
            k2 = i**2 * 24 / 40 + j**2 * 40 / 24
            total += 1 / k2 if math.sqrt(k2) < 5.5 else 0.0
    assert diffeo.inverse_square_sum(5, n=SIZE) == pytest.approx(total, rel=1e-14)
    assert diffeo.rms_displacement(2.0, 5, SIZE) == pytest.approx(math.sqrt(24 * 40 * total))
    assert diffeo.mode_mask(5, n=SIZE).shape == (7, 4)
    assert diffeo.mode_mask(5, "square", SIZE).shape == (6, 3)
    # with many modes the aspect does not matter
    many = [diffeo.inverse_square_sum(200, n=n) for n in (30, SIZE)]
    assert many[0] == pytest.approx(many[1], rel=0.02)


def test_the_norm_is_that_of_the_derivatives_in_pixels():
    coefficients = ensemble(c=5).coefficients(diffeo.sample_seeds(1, 4), n=SIZE)
    gradient = diffeo.field_gradient(coefficients, SIZE)
    weights = [torch.ones(n, dtype=torch.float64) for n in SIZE]
    for weight in weights:
        weight[[0, -1]] = 0.5
    integral = (gradient.square() * weights[0][:, None] * weights[1]).sum((-1, -2, -3, -4))
    norm = diffeo.gradient_norm(coefficients, SIZE)
    assert torch.allclose(integral / (23 * 39), norm, rtol=1e-12)
    modes = int(diffeo.mode_mask(5, n=SIZE).sum())
    many = ensemble(0.3, 5).coefficients(diffeo.sample_seeds(0, 4000), n=SIZE)
    mean = float(diffeo.gradient_norm(many, SIZE).mean())
    assert mean == pytest.approx(math.pi**2 / 2 * 0.3 * modes, rel=0.02)


def test_derivatives_are_those_of_the_displacement():
    size = (1201, 2001)
    coefficients = ensemble(c=3).coefficients(diffeo.sample_seeds(2, 1), n=size)
    fields, gradient = diffeo.field(coefficients, size), diffeo.field_gradient(coefficients, size)
    # the pixels of the grid are 1 / (n - 1) of a side apart
    along_x = (fields[..., 2:] - fields[..., :-2]) / 2 * 2000 / 2001
    assert torch.allclose(along_x, gradient[..., :, 0, :, 1:-1], atol=1e-4)
    along_y = (fields[..., 2:, :] - fields[..., :-2, :]) / 2 * 1200 / 1201
    assert torch.allclose(along_y, gradient[..., :, 1, 1:-1, :], atol=1e-4)


def test_a_turned_image_has_the_turned_ensemble():
    upright = ensemble(c=4).coefficients(diffeo.sample_seeds(0, 2), n=SIZE)
    turned = upright.mT.flip(1)
    fields = diffeo.field(turned, SIZE[::-1])
    assert torch.allclose(fields.mT.flip(1), diffeo.field(upright, SIZE), atol=1e-12)
    assert torch.equal(diffeo.mode_mask(4, n=SIZE), diffeo.mode_mask(4, n=SIZE[::-1]).T)


@pytest.mark.parametrize("size", [(24, 40), (150, 131), (140, 161)])
@pytest.mark.parametrize("c", [3, 135])
def test_sampled_fields_are_those_of_their_coefficients(size, c):
    seeds = diffeo.sample_seeds(3, 3)
    drawn = ensemble(c=c).coefficients(seeds, n=size)
    fields = ensemble(c=c).fields(size, seeds, torch.float64)
    assert torch.allclose(fields, diffeo.field(drawn, size), atol=1e-9)
    for edge in (fields[..., 0, :], fields[..., -1, :], fields[..., :, 0], fields[..., :, -1]):
        assert edge.abs().max() == 0


@pytest.mark.parametrize("c", [3, 140])
def test_a_square_of_two_equal_sides_is_the_square_to_the_bit(c):
    seeds = diffeo.sample_seeds(0, 4)
    assert torch.equal(ensemble(c=c).fields((150, 150), seeds), ensemble(c=c).fields(150, seeds))
    drawn = ensemble(c=c).coefficients(seeds)
    assert torch.equal(ensemble(c=c).coefficients(seeds, n=(9, 9)), drawn)
    for function in (diffeo.field, diffeo.field_gradient, diffeo.gradient_norm):
        assert torch.equal(function(drawn, (40, 40)), function(drawn, 40))
    for function in (diffeo.temperature, diffeo.displacement, diffeo.rms_displacement):
        assert function(0.7, c, (40, 40)) == function(0.7, c, 40)
    assert diffeo.acceptable_range(c, (40, 40)) == diffeo.acceptable_range(c, 40)


def test_bounds_are_those_of_the_square_of_as_many_pixels():
    assert diffeo.temperature(1.0, 3, (16, 36)) == pytest.approx(diffeo.temperature(1.0, 3, 24))
    assert diffeo.acceptable_range(3, (16, 36)) == pytest.approx(diffeo.acceptable_range(3, 24))
    gradient = diffeo.field_gradient(
        ensemble(c=5).coefficients(diffeo.sample_seeds(0, 300), n=(60, 100)), (60, 100)
    )
    fold = diffeo.fold(gradient).flatten(1).max(1).values.median()
    assert float(fold) == pytest.approx(diffeo.typical_fold(1.0, 5), rel=0.25)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_interpolation_is_that_of_plain_torch(dtype):
    x = torch.rand(3, 2, 9, 14, dtype=dtype, requires_grad=True)
    tau = (3 * torch.randn(3, 2, 9, 14, dtype=dtype)).requires_grad_()
    found, expected = diffeo.warp(x, tau), bilinear(x, tau)
    assert torch.allclose(found, expected, atol=1e-6)
    upstream = torch.randn(3, 2, 9, 14, dtype=dtype)
    gradients = [torch.autograd.grad(y, (x, tau), upstream) for y in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_whole_shifts_and_constants(interpolation):
    x = torch.rand(1, 8, 13, dtype=torch.float64)
    still = diffeo.warp(x, torch.zeros(2, 8, 13, dtype=torch.float64), interpolation)
    shift = torch.zeros(2, 8, 13, dtype=torch.float64)
    shift[0], shift[1] = 2.0, -1.0  # to the right by two, up by one
    moved = diffeo.warp(x, shift, interpolation)
    assert torch.allclose(moved[:, :-1, 2:], still[:, 1:, :-2], atol=1e-12)
    if interpolation == "bilinear":
        assert torch.equal(still, x)
    ones = torch.ones(1, 8, 13, dtype=torch.float64)
    tau = ensemble(1e-2, 2).fields((8, 13), diffeo.sample_seeds(0, 1), torch.float64)
    assert torch.allclose(diffeo.warp(ones, tau[0], interpolation), ones)


def test_stability_and_augmentation_take_them():
    x = torch.rand(30, 1, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(24 * 40, 400))
    deformations = diffeo.MaximumEntropy.from_displacement(1.0, 3, SIZE)
    [found] = diffeo.relative_stability(linear, x, deformations, average="mean")
    assert abs(found.R - 1.0) < 0.1  # random weights know nothing of images
    y = diffeo.RandomDiffeomorphism()(x, seed=1)
    assert y.shape == x.shape
    assert not torch.equal(y[0], x[0])
    still = diffeo.RandomDiffeomorphism(T=0.0)(x, seed=1)
    assert torch.equal(still, x)


@pytest.mark.parametrize("n", [(24,), (24, 1), (24, 40, 3), (24.0, 40), "28", 1, True])
def test_sizes_that_are_none(n):
    with pytest.raises(ValueError, match=r"n: .* given; allowed: an integer >= 2, or"):
        diffeo.temperature(1.0, 3, n)


def test_a_narrow_image_may_have_no_mode():
    with pytest.raises(ValueError, match="c: 2 leaves no mode on 2 x 40 pixels"):
        ensemble(c=2).fields((2, 40), diffeo.sample_seeds(0, 1))
    with pytest.raises(ValueError, match="acceptable for c = 3 and 24 x 40 pixels"):
        diffeo.MaximumEntropy(1.0, 3).fields(SIZE, diffeo.sample_seeds(0, 1))
