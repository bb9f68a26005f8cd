"""Interpolation: identities, bounds, derivatives, agreement of independent implementations."""

import math

import pytest
import torch
import torch.nn.functional as F

from symscape import diffeo
from symscape.diffeo._warp import bilinear


def images(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def fields(count, n, size=2.0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(count, 2, n, n, generator=generator, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_displacement_is_the_identity_bit_for_bit(dtype):
    x = images(3, 2, 9, 9, dtype=dtype)
    assert torch.equal(diffeo.warp(x, torch.zeros(3, 2, 9, 9, dtype=dtype)), x)
    assert torch.equal(bilinear(x, torch.zeros(3, 2, 9, 9, dtype=dtype)), x)


@pytest.mark.parametrize(("n", "channels"), [(2, 1), (7, 3), (33, 5)])
def test_compiled_plain_and_grid_sample_agree(n, channels):
    x, tau = images(4, channels, n, n), fields(4, n)
    ours = diffeo.warp(x, tau)
    assert torch.allclose(ours, bilinear(x, tau), atol=1e-13)
    grid = torch.arange(n, dtype=torch.float64)
    source = torch.stack([grid - tau[:, 0], grid[:, None] - tau[:, 1]], -1) / (n - 1) * 2 - 1
    theirs = F.grid_sample(x, source, padding_mode="border", align_corners=True)
    assert torch.allclose(ours, theirs, atol=1e-12)


def test_bounds_constants_linearity_and_shared_fields():
    x, z, tau = images(2, 3, 12, 12), images(2, 3, 12, 12, seed=1), fields(2, 12)
    for interpolation in ("bilinear", "gaussian"):

        def warped(v, tau=tau, interpolation=interpolation):
            return diffeo.warp(v, tau, interpolation)

        y = warped(x)
        low, high = x.amin((-1, -2), keepdim=True), x.amax((-1, -2), keepdim=True)
        assert bool(((y >= low - 1e-15) & (y <= high + 1e-15)).all())
        assert torch.allclose(warped(torch.full_like(x, 0.7)), torch.full_like(x, 0.7), rtol=1e-14)
        assert torch.allclose(warped(2 * x - z), 2 * y - warped(z), atol=1e-13)
        one = x[:, :1].expand(-1, 3, -1, -1)
        assert torch.equal(warped(one)[:, 0], warped(one)[:, 2])


def test_ramps_integer_shifts_and_cell_centers_are_exact():
    n = 10
    grid = torch.arange(n, dtype=torch.float64)
    ramp = (3.0 + 2.0 * grid - 0.5 * grid[:, None])[None]
    tau = fields(1, n)[0]
    u = (grid - tau[0]).clamp(0, n - 1)
    v = (grid[:, None] - tau[1]).clamp(0, n - 1)
    assert torch.allclose(diffeo.warp(ramp, tau)[0], 3.0 + 2.0 * u - 0.5 * v, atol=1e-12)
    x = images(1, n, n)
    shift = torch.zeros(2, n, n, dtype=torch.float64)
    shift[0], shift[1] = 2.0, -1.0
    assert torch.equal(diffeo.warp(x, shift)[0, :-1, 2:], x[0, 1:, :-2])
    half = torch.full((2, n, n), -0.5, dtype=torch.float64)
    mean = F.avg_pool2d(x[None], 2, 1)[0]
    assert torch.allclose(diffeo.warp(x, half)[:, :-1, :-1], mean, atol=1e-15)


def test_a_diffeomorphism_leaves_the_frame_in_place():
    x = images(2, 3, 32, 32)
    ensemble = diffeo.MaximumEntropy.from_displacement(1.0, 3, 32)
    y = ensemble.deform(x, diffeo.sample_seeds(0, 2))
    for edge in ((..., 0, slice(None)), (..., -1, slice(None)), (..., 0), (..., -1)):
        assert torch.equal(y[edge], x[edge])
    assert not torch.equal(x, y)


def test_samples_broadcast_against_images():
    x = images(3, 2, 16, 16)
    ensemble = diffeo.MaximumEntropy.from_displacement(1.0, 2, 16, outside="allow")
    seeds = diffeo.sample_seeds(0, 12).reshape(4, 3)
    y = ensemble.deform(x, seeds)
    assert y.shape == (4, 3, 2, 16, 16)
    for s in range(4):
        assert torch.equal(y[s], ensemble.deform(x, seeds[s]))
    assert ensemble.deform(x[0], seeds[0]).shape == (3, 2, 16, 16)


def test_gaussian_weights():
    blurred = diffeo.warp(
        torch.eye(81, dtype=torch.float64).reshape(81, 1, 9, 9),
        torch.zeros(2, 9, 9, dtype=torch.float64),
        "gaussian",
    )[:, 0, 4, 4]
    weights = blurred.reshape(9, 9)
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-14)
    line = [float(weights[4, 4 + k] / weights[4].sum()) for k in range(3)]
    assert line == pytest.approx([0.825601, 0.087097, 1.0226e-4], rel=1e-4)
    assert float(weights[4, 4]) == pytest.approx(0.681618, abs=1e-6)
    assert torch.allclose(weights, torch.outer(weights.sum(1), weights.sum(0)), atol=1e-14)


def test_gaussian_is_the_sum_over_all_pixels():
    n = 8
    x, tau = images(1, n, n), fields(1, n)[0]
    grid = torch.arange(n, dtype=torch.float64)
    u = (grid - tau[0]).clamp(0, n - 1)[..., None, None]
    v = (grid[:, None] - tau[1]).clamp(0, n - 1)[..., None, None]
    weights = torch.exp(-((u - grid) ** 2 + (v - grid[:, None]) ** 2) / (2 * diffeo.SIGMA**2))
    expected = (weights * x[0]).sum((-1, -2)) / weights.sum((-1, -2))
    assert torch.allclose(diffeo.warp(x, tau, "gaussian")[0], expected, atol=1e-9)


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_derivatives(interpolation):
    x = images(1, 2, 4, 4).requires_grad_()
    tau = (0.37 + 0.2 * fields(1, 4, seed=3)).requires_grad_()

    def warped(a, b):
        return diffeo.warp(a, b, interpolation)

    assert torch.autograd.gradcheck(warped, (x, tau), fast_mode=True)
    assert torch.autograd.gradgradcheck(warped, (x, tau), fast_mode=True)


def test_derivatives_of_shared_images_and_clamped_sources():
    x, tau = images(3, 2, 9, 9), fields(6, 9, size=4.0).reshape(2, 3, 2, 9, 9)
    cotangent = images(2, 3, 2, 9, 9, seed=5)
    found = []
    for function in (diffeo.warp, bilinear):
        inputs = [part.clone().requires_grad_() for part in (x, tau)]
        found.append(torch.autograd.grad(function(*inputs), inputs, cotangent))
    for ours, plain in zip(*found, strict=True):
        assert torch.allclose(ours, plain, atol=1e-13)


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_second_derivatives_do_not_depend_on_what_else_is_differentiated(wanted):
    x, tau = images(1, 2, 5, 5), 0.37 + 0.2 * fields(1, 5, seed=3)
    found = []
    for function in (diffeo.warp, bilinear):
        inputs = [part.clone().requires_grad_(w) for part, w in zip((x, tau), wanted, strict=True)]
        asked = [part for part in inputs if part.requires_grad]
        # the cotangent of a sum has no gradient of its own
        for total in (function(*inputs).sum(), function(*inputs).square().sum()):
            first = torch.autograd.grad(total, asked, create_graph=True)
            penalty = sum((part**2).sum() for part in (*first, *asked))
            found.append(torch.autograd.grad(penalty, asked))
    for ours, plain in zip(found[:2], found[2:], strict=True):
        for a, b in zip(ours, plain, strict=True):
            assert torch.allclose(a, b, atol=1e-12)


def test_transforms_of_functions_see_through_the_compiled_warp():
    x, tau = images(3, 2, 6, 6), fields(3, 6, seed=1)
    assert torch.equal(torch.func.vmap(diffeo.warp)(x, tau), diffeo.warp(x, tau))
    shared = torch.func.vmap(diffeo.warp, in_dims=(None, 0))(x[0], tau)
    assert torch.equal(shared, diffeo.warp(x[0], tau))
    last = torch.func.vmap(diffeo.warp, in_dims=(-1, None), out_dims=-1)(x.movedim(0, -1), tau[0])
    assert torch.equal(last.movedim(-1, 0), diffeo.warp(x, tau[0]))

    def total(a, b):
        return diffeo.warp(a, b).square().sum()

    inputs = [part.clone().requires_grad_() for part in (x, tau)]
    expected = torch.autograd.grad(total(*inputs), inputs)
    whole = torch.func.grad(total, argnums=(0, 1))(x, tau)
    each = torch.func.vmap(torch.func.grad(total, argnums=(0, 1)))(x, tau)
    for one, other, true in zip(whole, each, expected, strict=True):
        assert torch.allclose(one, true, atol=1e-12)
        assert torch.allclose(other, true, atol=1e-12)


@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_displacements_that_are_not_numbers_show_where_they_are(interpolation):
    n = 40
    x, tau = images(1, 2, n, n), fields(1, n)[0]
    plain = diffeo.warp(x, tau, interpolation)
    tau[0, 5, 6] = tau[1, 30, 2] = math.nan
    bad = torch.zeros(n, n, dtype=torch.bool)
    bad[5, 6] = bad[30, 2] = True
    functions = [lambda a, b: diffeo.warp(a, b, interpolation)]
    functions += [bilinear] if interpolation == "bilinear" else []
    for function in functions:
        y = function(x, tau)
        assert torch.equal(y.isnan(), bad.expand_as(y))
        assert torch.allclose(y[:, :, ~bad], plain[:, :, ~bad], atol=1e-13)
        inputs = [part.clone().requires_grad_() for part in (x, tau)]
        function(*inputs).sum().backward()
        assert inputs[0].grad.isnan().any()
        assert inputs[1].grad[:, bad].isnan().any(0).all()
        assert not inputs[1].grad[:, ~bad].isnan().any()


def test_endless_displacements_end_at_the_frame():
    n = 6
    x = images(1, 1, n, n)
    far = torch.zeros(2, n, n, dtype=torch.float64)
    far[0], far[1] = math.inf, -math.inf
    for y in (diffeo.warp(x, far), bilinear(x, far)):
        assert torch.equal(y, x[..., -1:, :1].expand_as(x))
    everywhere = torch.full((2, n, n), math.nan, dtype=torch.float64)
    assert diffeo.warp(x, everywhere).isnan().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("interpolation", ["bilinear", "gaussian"])
def test_low_precision_rounds_the_result_alone(dtype, interpolation):
    n = 300
    x = images(1, 1, n, n, dtype=torch.float32).to(dtype)
    still = torch.zeros(2, n, n)
    expected = diffeo.warp(x.float(), still, interpolation).to(dtype)
    assert torch.equal(diffeo.warp(x, still.to(dtype), interpolation), expected)
    ensemble = diffeo.MaximumEntropy.from_displacement(1.0, 3, n)
    seeds = diffeo.sample_seeds(0, 1)
    deformed = ensemble.deform(x, seeds, interpolation)
    assert deformed.dtype == dtype
    assert torch.equal(deformed, ensemble.deform(x.float(), seeds, interpolation).to(dtype))


def test_gradient_reaches_the_coefficients():
    coefficients = 0.01 * fields(1, 3, size=1.0)
    x = images(1, 1, 7, 7)
    assert torch.autograd.gradcheck(
        lambda c: diffeo.warp(x, diffeo.field(c, 7) + 0.3), coefficients.requires_grad_()
    )


def test_many_rows_on_two_threads_are_those_on_one():
    x, tau = images(64, 3, 32, 32, dtype=torch.float32), fields(64, 32, dtype=torch.float32)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(diffeo.warp(x, tau))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


@pytest.mark.parametrize(
    ("shape", "dtype", "words"),
    [
        ((1, 8, 1), torch.float32, "two rows and two columns"),
        ((8, 8), torch.float32, "channels, rows, columns"),
        ((1, 8, 8), torch.uint8, r"images\.float\(\) / 255"),
    ],
)
def test_images_that_cannot_be_deformed(shape, dtype, words):
    ensemble = diffeo.MaximumEntropy(1e-2, 2, outside="allow")
    with pytest.raises(ValueError, match=words):
        ensemble.deform(torch.zeros(shape, dtype=dtype), diffeo.sample_seeds(0, 1))


def test_fields_that_do_not_fit():
    x = torch.zeros(2, 1, 8, 8)
    for tau, words in (
        (torch.zeros(2, 2, 8, 7), "fields: shape"),
        (torch.zeros(2, 2, 8, 8, dtype=torch.float64), "fields: torch.float64"),
        (torch.zeros(3, 2, 8, 8), "leading shape"),
    ):
        with pytest.raises(ValueError, match=words):
            diffeo.warp(x, tau)
    with pytest.raises(ValueError, match="interpolation"):
        diffeo.warp(x, torch.zeros(2, 2, 8, 8), "cubic")


@pytest.mark.parametrize("match", ["image", "mean", "median"])
def test_noise_has_the_norm_of_the_deformation(match):
    x, y = images(20, 3, 8, 8), images(20, 3, 8, 8, seed=1)
    eta = diffeo.matched_noise(x, y, diffeo.sample_seeds(0, 20), match)
    norms = [part.flatten(1).norm(dim=1) for part in (eta, y - x)]
    expected = {"image": norms[1], "mean": norms[1].mean(), "median": norms[1].median()}[match]
    assert torch.allclose(norms[0], expected.expand(20), rtol=1e-12)
    single = diffeo.matched_noise(x.float(), y.float(), diffeo.sample_seeds(0, 20), match)
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), eta, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8),) * 2 + (r"images\.float\(\) / 255",),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.float64), "deformed: "),
        (torch.zeros(2, 1, 4, 4), torch.zeros(1, 4, 4), "deformed: "),
    ],
)
def test_noise_that_cannot_be_matched(x, y, words):
    with pytest.raises(ValueError, match=words):
        diffeo.matched_noise(x, y, diffeo.sample_seeds(0, 2))


def test_noise_is_isotropic():
    eta = diffeo.noise((6,), torch.tensor(1.0), diffeo.sample_seeds(0, 40_000), torch.float64)
    assert eta.mean(0).abs().max() < 5 / math.sqrt(6 * 40_000)
    assert torch.allclose(eta.T @ eta / 40_000, torch.eye(6, dtype=torch.float64) / 6, atol=0.005)
