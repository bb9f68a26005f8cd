"""Stabilities of linear, constant and small networks against closed forms."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from symscape import diffeo
from symscape.diffeo._probing import probing
from symscape.diffeo._stability import _median

N = 12
ENSEMBLE = diffeo.MaximumEntropy.from_displacement(1.0, 3, N)


def images(count=40, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, N, N, generator=generator, dtype=torch.float64)


def linear(outputs=3, seed=0, bias=True):
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(N * N, outputs, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(outputs, N * N, generator=generator))
    return nn.Sequential(nn.Flatten(), layer)


def convolutional(seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(400, 5),
        ).double()


def test_r_is_d_over_g_and_all_three_are_the_definitions():
    x, model = images(), linear()
    seeds = diffeo.sample_seeds(0, 40)
    moved = ENSEMBLE.deform(x, seeds)
    noisy = x + diffeo.matched_noise(x, moved, seeds)
    f = model(x).detach()
    a, b = ((model(v).detach() - f).square().sum(1) for v in (moved, noisy))
    pairs = (f[:, None] - f[None]).square().sum(-1)
    for average in ("median", "mean"):
        [found] = diffeo.relative_stability(model, x, ENSEMBLE, average=average)
        if average == "mean":
            scale = pairs.sum() / (40 * 39)
            expected = a.mean() / scale, b.mean() / scale
        else:
            scale = pairs.flatten().median()
            expected = a.median() / scale, b.median() / scale
        assert pytest.approx([float(v) for v in expected], rel=1e-9) == (found.D, found.G)
        assert pytest.approx(found.D / found.G, rel=1e-14) == found.R
        assert found.images == 40


def test_averages_agree_for_one_output():
    [one] = diffeo.relative_stability(linear(1), images(41), ENSEMBLE)
    [other] = diffeo.relative_stability(
        linear(1), images(41), ENSEMBLE, average="median_componentwise"
    )
    assert pytest.approx(other.R, rel=1e-12) == one.R


@pytest.mark.parametrize("average", ["median", "mean"])
def test_scale_offset_and_rotation_of_the_output_do_not_matter(average):
    x, model = images(), linear()
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    [found] = diffeo.relative_stability(model, x, ENSEMBLE, average=average)
    turned = nn.Sequential(model, nn.Linear(3, 3, dtype=torch.float64))
    with torch.no_grad():
        turned[1].weight.copy_(-2.5 * rotation)
    [same] = diffeo.relative_stability(turned, x, ENSEMBLE, average=average)
    for name in ("D", "G", "R"):
        assert getattr(same, name) == pytest.approx(getattr(found, name), rel=1e-9)


def test_a_random_linear_map_is_as_stable_to_deformations_as_to_noise():
    [found] = diffeo.relative_stability(linear(4000), images(20), ENSEMBLE, average="mean")
    assert pytest.approx(1.0, abs=0.05) == found.R


def test_a_constant_network_has_no_stability():
    model = linear()
    with torch.no_grad():
        model[1].weight.zero_()
    [found] = diffeo.relative_stability(model, images(), ENSEMBLE)
    assert math.isnan(found.D)
    assert math.isnan(found.R)


def test_error_bars_cover_the_scatter_over_images():
    model = linear(2)
    found = [
        diffeo.relative_stability(model, images(60, seed=k), ENSEMBLE, average="mean", seed=k)[0]
        for k in range(30)
    ]
    scatter = torch.tensor([s.R for s in found]).std()
    bars = torch.tensor([s.R_error for s in found]).mean()
    assert 0.6 < float(bars / scatter) < 1.6


def test_loaders_and_batch_sizes_give_the_same_numbers():
    x, model = images(50), linear()
    [whole] = diffeo.relative_stability(model, x, ENSEMBLE, count=45)
    loader = DataLoader(TensorDataset(x, torch.zeros(50)), batch_size=8)
    [loaded] = diffeo.relative_stability(model, loader, ENSEMBLE, count=45, batch_size=7)
    assert pytest.approx(whole.R, rel=1e-9) == loaded.R
    assert loaded.images == 45


@pytest.mark.parametrize("match", ["image", "mean", "median"])
def test_the_norm_of_the_noise_does_not_depend_on_the_batch_size(match):
    x, model = images(30), linear()
    found = [
        diffeo.measure_distances(model, x, ENSEMBLE, match=match, batch_size=size)[0]
        for size in (30, 7)
    ]
    assert torch.allclose(found[0].noisy, found[1].noisy, rtol=1e-9)
    assert torch.allclose(found[0].deformed, found[1].deformed, rtol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_medians_are_those_of_torch(count):
    values = torch.randn(6, count, dtype=torch.float64)
    assert torch.equal(_median(values), values.median(-1).values)
    for place in range(count):
        values[place % 6, place] = math.nan
    assert torch.equal(_median(values).isnan(), values.isnan().any(-1))


def test_layers_come_in_the_order_of_execution():
    model = convolutional().eval()
    found = diffeo.relative_stability(model, images(), ENSEMBLE, layers="all")
    assert [s.layer for s in found] == ["0", "1", "2", "5", "output"]
    assert found[-1].R == found[-2].R
    [first, _] = diffeo.relative_stability(model, images(), ENSEMBLE, layers=["0"])
    assert first.R == found[0].R
    assert not any(m._forward_hooks for m in model.modules())
    with pytest.raises(ValueError, match="layers: 'nine'"):
        diffeo.relative_stability(model, images(), ENSEMBLE, layers=["nine"])


def test_dropout_warns_and_everything_is_as_before():
    model = convolutional().train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.warns(UserWarning, match="Dropout is on"):
        [one] = diffeo.relative_stability(model, images(), ENSEMBLE)
    assert model.training
    assert model[3].training
    assert not model[1].training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [other] = diffeo.relative_stability(model.eval(), images(), ENSEMBLE)
    assert one == other


def test_the_rule_at_initialization_normalizes_each_batch():
    model, x = convolutional(), images()
    model.eval()
    normal = []
    handle = model[1].register_forward_hook(lambda m, i, output: normal.append(output))
    with probing(model, "batch"):
        model(x)
    handle.remove()
    assert normal[0].mean((0, 2, 3)).abs().max() < 1e-6
    assert torch.allclose(normal[0].var((0, 2, 3), unbiased=False), torch.ones(4).double(), 1e-3)
    [one] = diffeo.relative_stability(model, x, ENSEMBLE, statistics="batch")
    model[1].running_mean.fill_(3.0)
    [other] = diffeo.relative_stability(model, x, ENSEMBLE, statistics="batch")
    assert one == other
    assert float(model[1].running_mean[0]) == 3.0


def test_noise_grows_quadratically_for_a_linear_map():
    model, x = linear(bias=False), images()
    found = diffeo.measure_distances(model, x, ENSEMBLE)[0]
    twice = diffeo.measure_distances(model, 2 * x, ENSEMBLE)[0]
    assert torch.allclose(twice.noisy, 4 * found.noisy, rtol=1e-9)
    assert pytest.approx(found.stability().G, rel=1e-9) == twice.stability().G


def test_gaussian_interpolation_compares_with_the_blurred_image():
    still = diffeo.MaximumEntropy(0.0, 3, outside="allow")
    [found] = diffeo.measure_distances(linear(), images(), still, interpolation="gaussian")
    assert found.deformed.max() == 0


class Dropping(nn.Module):
    """Dropout as a function, which no module shows."""

    def __init__(self, always=False):
        super().__init__()
        self.flat, self.always = linear(5), always

    def forward(self, x):
        return nn.functional.dropout(self.flat(x), 0.5, self.training or self.always)


def test_dropout_as_a_function_warns_too():
    with pytest.warns(UserWarning, match="dropout is on") as caught:
        [one] = diffeo.relative_stability(Dropping().train(), images(), ENSEMBLE)
    assert len(caught) == 1
    attentive = nn.Sequential(linear(4), Attention()).train()
    with pytest.warns(UserWarning, match="MultiheadAttention is on"):
        diffeo.relative_stability(attentive, images(), ENSEMBLE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [other] = diffeo.relative_stability(Dropping().eval(), images(), ENSEMBLE)
        frozen = convolutional().train()
        frozen[3].eval()
        diffeo.relative_stability(frozen, images(), ENSEMBLE)
    assert pytest.approx(one.R, rel=1e-9) == other.R


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 1, dropout=0.5, batch_first=True).double()

    def forward(self, x):
        return self.attend(x[:, None], x[:, None], x[:, None])[0][:, 0]


@pytest.mark.parametrize("statistics", ["running", "batch"])
@pytest.mark.filterwarnings("ignore:model. dropout is on")
def test_a_model_that_changes_is_refused_whatever_its_statistics(statistics):
    with pytest.raises(ValueError, match="changes between two calls"):
        diffeo.relative_stability(Dropping(True), images(), ENSEMBLE, statistics=statistics)


def test_modules_that_work_in_place_do_not_change_the_layers_before():
    def found(inplace):
        model = convolutional().eval()
        model[2] = nn.ReLU(inplace=inplace)
        return diffeo.relative_stability(model, images(), ENSEMBLE, layers="all")

    for one, other in zip(found(True), found(False), strict=True):
        assert pytest.approx(one.R, rel=1e-9) == other.R


def test_a_single_output_may_come_without_its_dimension():
    flat = nn.Sequential(linear(1), nn.Flatten(0))
    [one] = diffeo.relative_stability(flat, images(), ENSEMBLE)
    [other] = diffeo.relative_stability(linear(1), images(), ENSEMBLE)
    assert pytest.approx(one.R, rel=1e-9) == other.R
    with pytest.raises(ValueError, match="one row each"):
        diffeo.relative_stability(Total(), images(), ENSEMBLE)
    turned = nn.Sequential(nn.Flatten(), Turned(), Turned(), nn.Linear(N * N, 2).double())
    with pytest.raises(ValueError, match=r"layers: '1' gives shape \(144, 40\)"):
        diffeo.relative_stability(turned, images(), ENSEMBLE, layers=["1"])


class Total(nn.Module):
    def forward(self, x):
        return x.sum()


class Turned(nn.Module):
    def forward(self, x):
        return x.T


def test_a_module_named_output_is_not_the_output():
    model = nn.Sequential()
    for name, module in (("flat", nn.Flatten()), ("output", linear()[1]), ("act", nn.Tanh())):
        model.add_module(name, module)
    found = diffeo.relative_stability(model, images(), ENSEMBLE, layers="all")
    assert [s.layer for s in found] == ["output (module)", "act", "output"]
    [before] = diffeo.relative_stability(model[:2], images(), ENSEMBLE)
    assert pytest.approx(before.R, rel=1e-9) == found[0].R
    assert found[2].R == found[1].R


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_few_images_have_a_relative_stability_and_from_two_on_its_error(count):
    x, model = images(count), linear()
    [found] = diffeo.relative_stability(model, x, ENSEMBLE)
    measured = diffeo.measure_distances(model, x, ENSEMBLE)[0]
    middle = (count - 1) // 2
    parts = [float(part.sort().values[middle]) for part in (measured.deformed, measured.noisy)]
    assert pytest.approx(parts[0] / parts[1], rel=1e-12) == found.R
    assert math.isnan(found.R_error) == (count == 1)
    assert math.isnan(found.D) == math.isnan(found.G) == (count < 3)
    assert math.isnan(found.D_error) == math.isnan(found.G_error) == (count < 3)


@pytest.mark.parametrize("size", [0, -3, 2.0, True])
def test_batches_that_cannot_be(size):
    with pytest.raises(ValueError, match="batch_size"):
        diffeo.relative_stability(linear(), images(), ENSEMBLE, batch_size=size)


def test_no_batch_is_a_single_image_unless_all_are():
    model = nn.Sequential(linear(8), nn.BatchNorm1d(8).double(), nn.Linear(8, 3).double())
    options = {"statistics": "batch", "batch_size": 10}
    [found] = diffeo.relative_stability(model, images(21), ENSEMBLE, **options)
    assert found.images == 21
    for count, size in ((1, 10), (5, 1), (3, 2)):
        with pytest.raises(ValueError, match="batches of two images or more"):
            diffeo.relative_stability(
                model, images(count), ENSEMBLE, statistics="batch", batch_size=size
            )


def test_models_and_images_that_cannot_be_measured():
    class Restless(nn.Module):
        def forward(self, x):
            return torch.rand(len(x), 2)

    with pytest.raises(ValueError, match="changes between two calls"):
        diffeo.relative_stability(Restless(), images(), ENSEMBLE)
    with pytest.raises(ValueError, match="one row each"):
        diffeo.relative_stability(nn.Flatten(0), images(), ENSEMBLE)
    with pytest.raises(ValueError, match="floating point"):
        diffeo.relative_stability(linear(), images().to(torch.uint8), ENSEMBLE)
    with pytest.raises(ValueError, match="without batches"):
        diffeo.relative_stability(linear(), [], ENSEMBLE)
    with pytest.raises(ValueError, match="above T_max"):
        diffeo.relative_stability(linear(), images(), diffeo.MaximumEntropy(1.0, 3))


def test_progress_is_shown_on_stderr(capsys):
    diffeo.relative_stability(linear(), images(), ENSEMBLE, progress=True)
    assert "40/40 images" in capsys.readouterr().err


def test_the_response_to_noise_is_quadratic_and_does_not_touch_the_model():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 1, 6, 6, generator=generator)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 4))
    response = diffeo.noise_response(model, x, [1e-6, 1e-2, 10.0])
    np.testing.assert_allclose(response[1:] / response[0], [1e8, 1e14], rtol=1e-6)
    # the mean over directions of |W eta|^2 is |W|^2 |eta|^2 / 36
    wide = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 2000))
    f = wide(x).detach()
    scale = torch.cdist(f, f).square().median()
    expected = float(wide[1].weight.detach().square().sum() / 36 / scale)
    assert float(diffeo.noise_response(wide, x, [1.0])) == pytest.approx(expected, rel=0.05)
    assert model[1].weight.dtype == torch.float32
    for bad in ([0.0], [math.nan]):
        with pytest.raises(ValueError, match="norms: "):
            diffeo.noise_response(model, x, bad)
    with pytest.raises(ValueError, match="images: "):
        diffeo.noise_response(model, x[:1], [1.0])
