"""Modes, temperatures, fields and their invertibility against closed forms (spec, section 5)."""

import math

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from symscape import diffeo
from symscape.diffeo import _normal_loops, _sampling
from symscape.diffeo._modes import amplitudes
from symscape.diffeo._normals import mode_normals

FREE = {"outside": "allow"}


def ensemble(T=1e-3, c=3, **kw):
    return diffeo.MaximumEntropy(T, c, **{**FREE, **kw})


@pytest.mark.parametrize(
    ("c", "disc", "rounded"),
    [
        (2, (1, 0.5), (3, 0.9)),
        (3, (4, 1.025), (6, 1.225)),
        (5, (15, 1.732049), (19, 1.877937)),
        (10, (69, 2.719986), (77, 2.796235)),
        (15, (162, 3.321842), (172, 3.365176)),
        (30, (675, 4.374872), (703, 4.405479)),
    ],
)
def test_mode_counts_and_sums(c, disc, rounded):
    for rule, (count, total) in (("disc", disc), ("rounded", rounded)):
        assert int(diffeo.mode_mask(c, rule).sum()) == count
        assert diffeo.inverse_square_sum(c, rule) == pytest.approx(total, abs=1e-6)
    assert int(diffeo.mode_mask(c, "square").sum()) == c * c


def test_one_mode_under_the_rule_of_the_code_and_none_under_that_of_the_text():
    assert int(diffeo.mode_mask(1).sum()) == 1
    with pytest.raises(ValueError, match="c: 1 given"):
        diffeo.mode_mask(1, "disc")


@pytest.mark.parametrize(("n", "c"), [(28, 3), (32, 5), (32, 15), (320, 30)])
def test_temperature_and_displacement_are_inverse(n, c):
    low, high = diffeo.acceptable_range(c, n)
    assert diffeo.displacement(diffeo.temperature(1.7, c, n), c, n) == pytest.approx(1.7)
    assert diffeo.temperature(0.5, c, n) == pytest.approx(low)
    assert diffeo.displacement(high, c, n) == pytest.approx(n / (math.pi * c))
    assert high / low == pytest.approx(4 * n**2 / (math.pi * c) ** 2)
    assert diffeo.typical_fold(high, c) == pytest.approx(1.0)


def test_constants_of_the_chapter():
    assert diffeo.temperature(1.0, 3, 32) == pytest.approx(1.131789e-3, rel=1e-6)
    T = diffeo.temperature(1.0, 15, 32)
    assert diffeo.rms_displacement(T, 15, 32) == pytest.approx(0.889, abs=1e-3)
    T = diffeo.temperature(1.0, 3, 32)
    assert diffeo.center_displacement(T, 3, 32) == pytest.approx(1.274, abs=1e-3)


def test_the_acceptable_region_closes_at_two_n_over_pi():
    assert not diffeo.acceptable_range(20, 32).is_empty
    assert diffeo.acceptable_range(21, 32).is_empty


@pytest.mark.parametrize(
    ("T", "c", "words"),
    [
        (1e-6, 3, ("below T_min", "0.0002829", "0.01305")),
        (1.0, 3, ("above T_max", "0.0002829", "0.01305")),
        (1e-3, 30, ("c: 30", "2 n / pi")),
        (1e-3, 1, ("c: 1", "c = 2")),
    ],
)
def test_outside_the_acceptable_region_the_bound_is_named(T, c, words):
    with pytest.raises(ValueError) as raised:
        diffeo.MaximumEntropy(T, c).fields(32, diffeo.sample_seeds(0, 1))
    assert all(word in str(raised.value) for word in words)
    ensemble(T, c).fields(32, diffeo.sample_seeds(0, 1))


def test_variance_of_the_modes_and_their_independence():
    coefficients = ensemble(T=2.0, c=4).coefficients(diffeo.sample_seeds(0, 40_000))
    mask = diffeo.mode_mask(4)
    flat = coefficients[:, :, mask]
    expected = 2.0 * amplitudes(4, "rounded")[mask] ** 2
    assert torch.allclose(flat.var(0), expected.expand(2, -1), rtol=0.04)
    assert flat.mean(0).abs().max() < 5 * expected.max().sqrt() / 200
    correlation = torch.corrcoef(flat.flatten(1).T)
    assert (correlation - torch.eye(len(correlation))).abs().max() < 0.03
    kurtosis = flat.pow(4).mean(0) / flat.square().mean(0) ** 2
    assert torch.allclose(kurtosis, torch.full_like(kurtosis, 3.0), atol=0.2)
    assert coefficients[:, :, ~mask].abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_compiled_numbers_are_those_of_plain_torch(dtype):
    seeds = diffeo.sample_seeds(3, 50)
    reference = (mode_normals(seeds, 9, 9) * amplitudes(9, "rounded")).to(dtype)
    drawn = ensemble(T=1.0, c=9).coefficients(seeds, dtype)
    assert torch.allclose(drawn, reference, rtol=1e-6 if dtype == torch.float32 else 1e-12)


def test_single_precision_is_enough_for_every_word():
    ends = [0, 1, 2, 3, 1 << 22, 1 << 23, (1 << 24) + 1, 1 << 30, (1 << 31) - 1]
    root = round(math.sqrt(0.5) * 2**32)
    words = np.array([*ends, *(2**32 - 1 - k for k in ends), *range(root - 3, root + 4)])
    random = np.random.default_rng(0).integers(2**32, size=1000 - len(words))
    words = np.concatenate([words, random])
    bits = words.astype(np.uint32).view(np.int32)
    scale, near, power, radius = (np.ones(len(words), np.float32) for _ in range(4))
    _normal_loops._radii_single(bits, scale, near, power, radius)
    np.testing.assert_allclose(
        radius, np.sqrt(-2 * np.log((words + 0.5) * 2.0**-32)), rtol=4e-7, atol=0
    )
    # in quarters of a turn, which are exact, so that the zeros of the cosine are
    away = 0.25 - np.abs(bits.astype(float)) * 2.0**-32
    for word, expected in zip(bits, np.sin(2 * math.pi * away), strict=True):
        angle = np.float32(_normal_loops._from_quarter(word)) * _normal_loops._TURN_SINGLE
        assert _normal_loops._sine_single(angle) == pytest.approx(expected, rel=4e-7, abs=0)


@pytest.mark.parametrize("many", [1, 1000])
@pytest.mark.parametrize(("n", "c"), [(2, 1), (9, 4), (16, 16), (17, 5), (12, 23), (33, 33)])
def test_fields_of_seeds_are_those_of_the_coefficients(n, c, many, monkeypatch):
    # the odd and the even modes apart, or all together
    monkeypatch.setattr(_sampling, "_MANY_MODES", many)
    monkeypatch.setattr(_sampling, "_NUMBERS", 4 * c * c)  # two fields at a time
    seeds = diffeo.sample_seeds(4, 5)
    for dtype, error in ((torch.float64, 1e-13), (torch.float32, 1e-5)):
        expected = diffeo.field(ensemble(c=c).coefficients(seeds, torch.float64), n)
        found = ensemble(c=c).fields(n, seeds, dtype)
        assert found.dtype == dtype
        assert (found - expected).abs().max() <= error * expected.abs().max()
        for edge in (found[..., 0, :], found[..., -1, :], found[..., :, 0], found[..., :, -1]):
            assert edge.abs().max() == 0


@pytest.mark.parametrize(("n", "c"), [(20, 3), (32, 32), (64, 10), (33, 20), (140, 140)])
def test_fields_do_not_depend_on_batch_and_threads(n, c):
    seeds = diffeo.sample_seeds(6, 11)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        whole = ensemble(c=c).fields(n, seeds)
        torch.set_num_threads(1)
        for count in (1, 2, 3, 8):
            parts = [ensemble(c=c).fields(n, part) for part in seeds.split(count)]
            assert torch.equal(torch.cat(parts), whole)
    finally:
        torch.set_num_threads(before)


def test_a_sample_depends_on_its_seed_only():
    seeds = diffeo.sample_seeds(5, 7)
    together = ensemble().fields(20, seeds)
    parts = [ensemble().fields(20, diffeo.sample_seeds(5, k, first=f)) for f, k in ((0, 3), (3, 4))]
    assert torch.equal(torch.cat(parts), together)
    assert torch.equal(ensemble().fields(20, seeds.reshape(1, 7))[0], together)
    assert len(set(diffeo.sample_seeds(0, 1000).tolist())) == 1000


def test_a_smaller_cutoff_keeps_the_modes_that_remain():
    seeds = diffeo.sample_seeds(0, 3)
    small, large = (ensemble(c=c).coefficients(seeds) for c in (3, 8))
    mask = diffeo.mode_mask(3)
    assert torch.equal(large[..., :3, :3][..., mask], small[..., mask])


def test_generators_give_seeds_and_move_on():
    one, other = (torch.Generator().manual_seed(1) for _ in range(2))
    assert torch.equal(diffeo.sample_seeds(one, 4), diffeo.sample_seeds(other, 4))
    assert not torch.equal(diffeo.sample_seeds(one, 4), diffeo.sample_seeds(0, 4))


def test_fields_are_the_double_sum_and_vanish_on_the_frame():
    n, c = 11, 4
    seeds = diffeo.sample_seeds(0, 2)
    coefficients = ensemble(c=c).coefficients(seeds)
    fields = diffeo.field(coefficients, n)
    u = np.linspace(0, 1, n)
    for k in (0, 1):
        expected = n * sum(
            float(coefficients[1, k, i - 1, j - 1])
            * np.sin(i * math.pi * u)[None, :]
            * np.sin(j * math.pi * u)[:, None]
            for i in range(1, c + 1)
            for j in range(1, c + 1)
        )
        np.testing.assert_allclose(fields[1, k].numpy(), expected, atol=1e-13)
    for edge in (fields[..., 0, :], fields[..., -1, :], fields[..., :, 0], fields[..., :, -1]):
        assert edge.abs().max() == 0


def test_parseval_on_the_grid():
    n, c = 24, 6
    coefficients = ensemble(c=c).coefficients(diffeo.sample_seeds(1, 3))
    unit = diffeo.field(coefficients, n) / n
    # the trapezoid rule is exact; the edges are zero
    square = unit.square().sum((-1, -2)) / (n - 1) ** 2
    assert torch.allclose(square, coefficients.square().sum((-1, -2)) / 4, rtol=1e-12)
    gradient = diffeo.field_gradient(coefficients, n)
    weight = torch.ones(n, dtype=torch.float64)
    weight[[0, -1]] = 0.5
    integral = (gradient.square() * weight * weight[:, None]).sum((-1, -2, -3, -4)) / (n - 1) ** 2
    assert torch.allclose(integral, diffeo.gradient_norm(coefficients), rtol=1e-12)


def test_mean_norm_counts_the_modes():
    coefficients = ensemble(T=0.3, c=5).coefficients(diffeo.sample_seeds(0, 4000))
    expected = math.pi**2 / 2 * 0.3 * int(diffeo.mode_mask(5).sum())
    assert float(diffeo.gradient_norm(coefficients).mean()) == pytest.approx(expected, rel=0.02)


def test_everything_scales_with_the_root_of_the_temperature():
    seeds = diffeo.sample_seeds(0, 3)
    cold, warm = (ensemble(T=T).coefficients(seeds) for T in (1e-4, 4e-4))
    assert torch.allclose(warm, 2 * cold, rtol=1e-15)
    folds = [diffeo.fold(diffeo.field_gradient(part, 12)) for part in (cold, warm)]
    assert torch.allclose(folds[1], 2 * folds[0], rtol=1e-12)


def test_derivatives_are_those_of_the_field():
    coefficients = ensemble(c=3).coefficients(diffeo.sample_seeds(2, 1))
    n = 2001
    fields, gradient = diffeo.field(coefficients, n) / n, diffeo.field_gradient(coefficients, n)
    step = 1 / (n - 1)
    along_u = (fields[..., :, 2:] - fields[..., :, :-2]) / (2 * step)
    assert torch.allclose(along_u, gradient[..., :, 0, :, 1:-1], atol=1e-6)
    along_v = (fields[..., 2:, :] - fields[..., :-2, :]) / (2 * step)
    assert torch.allclose(along_v, gradient[..., :, 1, 1:-1, :], atol=1e-6)


def test_the_stretch_is_the_largest_eigenvalue_and_bounds_the_determinant():
    coefficients = ensemble(T=0.006, c=4).coefficients(diffeo.sample_seeds(0, 60))
    gradient = diffeo.field_gradient(coefficients, 24)
    xi = diffeo.fold(gradient)
    matrices = gradient.permute(0, 3, 4, 1, 2)
    largest = torch.linalg.eigvalsh((matrices + matrices.mT) / 2)[..., -1]
    assert torch.allclose(xi, largest, atol=1e-12)
    frobenius = matrices.square().sum((-1, -2)) - 2 * torch.linalg.det(matrices)
    trace = matrices.diagonal(dim1=-2, dim2=-1).sum(-1)
    assert torch.allclose(xi, (frobenius.clamp_min(0).sqrt() + trace) / 2, atol=1e-12)
    determinant = diffeo.jacobian_determinant(gradient)
    assert torch.allclose(
        determinant, torch.linalg.det(torch.eye(2, dtype=torch.float64) - matrices), atol=1e-12
    )
    safe = (xi < 1).flatten(1).all(1)
    assert 0 < int(safe.sum()) < 60
    assert determinant[safe].min() > 0


def test_wrong_input_is_refused():
    for arguments in ((-1.0, 3), (math.inf, 3), (1.0, 0), (1.0, 2.5)):
        with pytest.raises(ValueError):
            diffeo.MaximumEntropy(*arguments)
    with pytest.raises(ValueError, match=r"seeds: torch\.float32"):
        ensemble().coefficients(torch.zeros(3))
    with pytest.raises(ValueError, match="coefficients: shape"):
        diffeo.field(torch.zeros(3, 3), 8)
    with pytest.raises(ValueError, match="c: 1"):
        diffeo.temperature(1.0, 1, 32)


def test_kept_tables_cannot_be_changed_by_those_who_ask_for_them():
    before = diffeo.MaximumEntropy(1e-3, 3).fields(19, diffeo.sample_seeds(0, 1))
    for table in (diffeo.mode_mask(3), diffeo.sine_table(19, 3)):
        table.zero_()
    assert torch.equal(diffeo.MaximumEntropy(1e-3, 3).fields(19, diffeo.sample_seeds(0, 1)), before)
    assert bool(diffeo.mode_mask(3).any())
    assert bool(diffeo.sine_table(19, 3).any())


def test_tables_are_the_same_whoever_asks_first():
    """Inference mode and another default device of the first caller do not stick to them."""
    n, c = 53, 6  # of no other test
    seeds = diffeo.sample_seeds(0, 2)
    ensemble = diffeo.MaximumEntropy(1e-3, c, outside="allow")
    with torch.inference_mode(), torch.device("meta"):
        first = ensemble.fields(n, seeds)
        x = torch.rand(2, 1, n, n, device="cpu")
        deformed = ensemble.deform(x, seeds)
        diffeo.matched_noise(x, deformed, seeds)
        drawn = ensemble.coefficients(seeds)
        diffeo.field(drawn, n)
        diffeo.field_gradient(drawn, n)
    assert first.device.type == deformed.device.type == "cpu"
    assert torch.equal(ensemble.fields(n, seeds), first)
    coefficients = torch.randn(2, c, c, dtype=torch.float64, requires_grad=True)
    diffeo.field(coefficients, n).sum().backward()
    diffeo.field_gradient(coefficients, n).sum().backward()
    assert bool(coefficients.grad.isfinite().all())


def test_tables_asked_for_first_within_a_transform_or_mode_do_not_stay_in_it():
    sizes = iter((57, 58))  # of no other test
    for ask in (_within_a_transform, _within_fake_tensors):
        n = next(sizes)
        ask(n)
        coefficients = torch.randn(2, 5, 5, dtype=torch.float64, requires_grad=True)
        diffeo.field(coefficients, n).sum().backward()
        assert bool(coefficients.grad.isfinite().all())
        torch.func.grad(lambda c, n=n: (diffeo.field(c, n) ** 2).sum())(coefficients.detach())


def _within_a_transform(n):
    torch.func.hessian(lambda c: (diffeo.field(c, n) ** 2).sum())(torch.randn(2, 5, 5))


def _within_fake_tensors(n):
    with FakeTensorMode():
        diffeo.field(torch.randn(2, 5, 5), n)
