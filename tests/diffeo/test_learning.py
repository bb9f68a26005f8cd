"""Networks of the chapter, their training, augmentation, the stripe model, correlations."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.utils.data import DataLoader

from symscape import diffeo
from symscape.diffeo import zoo
from symscape.diffeo._stripe import STRIPE, _gradient

PARAMETERS = {
    "fc-l2": 197_312,
    "fc-l4": 205_632,
    "fc-l6": 213_952,
    "lenet": 62_006,
    "alexnet": 23_272_266,
    "vgg11": 9_225_610,
    "vgg16": 14_719_818,
    "vgg19": 20_029_514,
    "vgg11-bn": 9_231_114,
    "vgg16-bn": 14_728_266,
    "vgg19-bn": 20_040_522,
    "resnet18": 11_173_962,
    "resnet34": 21_282_122,
    "resnet50": 23_520_842,
    # the thesis's code declares an expansion in the first block that it never uses: 1088 more
    "efficientnet-b0": 3_599_686 - 1088,
}


@pytest.mark.parametrize("name", zoo.NAMES)
def test_parameter_counts_of_the_thesis(name):
    assert zoo.n_parameters(zoo.build(name)) == PARAMETERS[name]


def test_the_table_of_the_chapter_is_that_of_the_networks():
    page = Path(__file__).parents[2] / "docs" / "chapters" / "diffeomorphisms.md"
    rows = [line.split("|") for line in page.read_text().splitlines() if line.startswith("| `")]
    table = {row[1].strip(" `"): row for row in rows}
    assert list(table) == list(zoo.NAMES)
    for name, row in table.items():
        assert int(row[3].replace(" ", "")) == PARAMETERS[name]
        modules = list(zoo.build(name, width=1 / 16).modules())
        for kind, cell in ((torch.nn.Dropout, row[6]), (torch.nn.BatchNorm2d, row[7])):
            assert any(isinstance(m, kind) for m in modules) == (cell.strip() == "yes")


@pytest.mark.parametrize("name", [*zoo.NAMES, "resnet10"])
def test_small_networks_map_images_to_classes_and_depend_on_the_seed(name):
    x = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    one, same, other = (zoo.build(name, 1, 28, 7, width=1 / 16, seed=s).eval() for s in (0, 0, 1))
    assert one(x).shape == (2, 7)
    assert torch.equal(one(x), same(x))
    assert not torch.equal(one(x), other(x))


def test_lenet_of_digits_and_unknown_networks():
    assert zoo.n_parameters(zoo.build("lenet", 1, 28)) == 44_426
    assert zoo.n_parameters(zoo.build("resnet18", width=1 / 8)) == 176_402
    with pytest.raises(ValueError, match="name: 'resnet19'"):
        zoo.build("resnet19")


@pytest.mark.parametrize(
    ("name", "value"),
    [("classes", 0), ("channels", 0), ("size", 20.5), ("size", 40), ("channels", True)],
)
def test_networks_that_cannot_be_built(name, value):
    with pytest.raises(ValueError, match=f"{name}: {value!r} given; allowed: an integer"):
        zoo.build("resnet18", width=1 / 8, **{name: value})


def blobs(count, seed):
    """Images whose class is the half that is bright."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(count, 1, 16, 16, generator=generator), torch.arange(count) % 2
    x[y == 0, :, :8] += 0.5
    x[y == 1, :, 8:] += 0.5
    return x, y


@pytest.mark.parametrize(("name", "optimizer"), [("lenet", "sgd"), ("fc-l2", "adam")])
def test_training_learns_is_reproducible_and_keeps_the_best(name, optimizer):
    x, y = blobs(200, 0)
    validation = blobs(100, 1)
    recipe = diffeo.Recipe(60, optimizer, 0.05, batch_size=20, evaluations=6)
    runs = []
    for _ in range(2):
        model = zoo.build(name, 1, 16, 2)
        result = diffeo.train_classifier(model, x, y, recipe, validation=validation)
        assert diffeo.error_rate(model, *validation) == result.validation_error < 0.1
        runs.append((result, model.state_dict()))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(runs[0][1][key], runs[1][1][key]) for key in runs[0][1])
    with pytest.raises(ValueError, match="x, y"):
        diffeo.train_classifier(model, x, y[:5], recipe, validation=validation)


def test_an_output_that_is_not_a_number_is_wrong():
    class Broken(torch.nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def forward(self, x):
            return torch.tensor([[0.0, 1.0], [1.0, 0.0], self.value]).repeat(len(x) // 3, 1)

    x, y = torch.zeros(6, 1, 4, 4), torch.tensor([1, 1, 0, 1, 0, 0])
    nan, inf = math.nan, math.inf
    # the third of every three images is of class 0, which the index of a NaN would name
    for value, wrong in (([nan, 0.0], 3), ([0.0, nan], 3), ([nan, nan], 3), ([inf, 0.0], 1)):
        assert diffeo.error_rate(Broken(value), x, y) == wrong / 6
    with pytest.raises(
        ValueError, match=r"model: gives shape \(6,\) for 6 images; allowed: \(B, c"
    ):
        diffeo.error_rate(torch.nn.Sequential(torch.nn.Flatten(0), torch.nn.Linear(96, 6)), x, y)


def test_a_transform_is_reproducible_and_gives_each_image_its_own_field():
    x = torch.rand(1, 1, 16, 16).expand(3, 1, 16, 16)
    transform = diffeo.RandomDiffeomorphism(T=(1e-3, 1e-2), c=(1, 4))
    y = transform(x, seed=4)
    assert torch.equal(y, transform(x, seed=4))
    assert not torch.equal(y[0], y[1])
    torch.manual_seed(0)
    one = transform(x)
    torch.manual_seed(0)
    assert torch.equal(one, transform(x))
    assert transform(x[0], seed=1).shape == (1, 16, 16)


def test_a_transform_passes_labels_through():
    x = torch.rand(1, 16, 16)
    transform = diffeo.RandomDiffeomorphism(T=1e-2, c=2)
    torch.manual_seed(3)
    alone = transform(x)
    torch.manual_seed(3)
    image, label, more = transform(x, 7, {"id": 1})
    assert torch.equal(image, alone)
    assert (label, more) == (7, {"id": 1})
    # a label is no seed: two images of a class are deformed differently
    assert not torch.equal(transform(x, 7)[0], transform(x, 7)[0])
    with pytest.raises(ValueError, match="images: ndarray given; allowed: a tensor"):
        transform(x.numpy())


@pytest.mark.parametrize("kind", [tuple, list])
def test_intervals_may_be_lists(kind):
    transform = diffeo.RandomDiffeomorphism(T=kind([1e-3, 1e-2]), c=kind([2, 5]))
    assert (transform.T, transform.c) == ((1e-3, 1e-2), (2, 5))
    assert transform(torch.rand(1, 16, 16), seed=0).shape == (1, 16, 16)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("c", 2.5),
        ("c", (2, 4.5)),
        ("c", "23"),
        ("T", (1e-2, 1e-3)),
        ("T", (1, 2, 3)),
        ("T", math.nan),
        ("T", True),
    ],
)
def test_intervals_that_are_none(name, value):
    with pytest.raises(ValueError, match=f"^{name}: "):
        diffeo.RandomDiffeomorphism(**{"T": 1e-3, "c": 3, name: value})


@pytest.mark.parametrize("workers", [0, 2])
def test_a_deformed_sample_does_not_depend_on_the_loader(workers):
    data = [(torch.rand(1, 16, 16), k) for k in range(6)]
    deformed = diffeo.DeformedDataset(data, diffeo.RandomDiffeomorphism(T=1e-2, c=2), seed=3)
    loader = DataLoader(deformed, 2, num_workers=workers, persistent_workers=workers > 0)
    epochs = []
    for epoch in range(2):
        deformed.set_epoch(epoch)
        epochs.append(torch.cat([x for x, _ in loader]))
        for k in range(6):
            assert torch.equal(epochs[-1][k], deformed[k][0])
    assert not torch.equal(*epochs)


def test_drawn_temperatures_follow_the_beta_law():
    transform = diffeo.RandomDiffeomorphism(T=(0.0, 1.0), c=(2, 5), concentration=8, ratio=3)
    drawn = [transform._drawn(32, np.random.default_rng(k)) for k in range(2000)]
    T = np.array([t for t, _ in drawn])
    assert T.mean() == pytest.approx(0.75, abs=0.02)
    assert T.var() == pytest.approx(0.75 * 0.25 / 9, rel=0.15)
    assert {c for _, c in drawn} <= {2, 3, 4, 5}
    low, high = diffeo.acceptable_range(3, 28)
    T, _ = diffeo.RandomDiffeomorphism(c=3)._drawn(28, np.random.default_rng(0))
    assert low <= T <= high
    with pytest.raises(ValueError, match="c: 1"):
        diffeo.RandomDiffeomorphism(c=1)


def test_the_stripe_holds_half_of_the_points():
    inside = norm.cdf(STRIPE[1]) - norm.cdf(STRIPE[0])
    assert inside == pytest.approx(0.49999954, abs=1e-7)


def linear_run(w):
    """A run whose predictor is w . x: two neurons that are active everywhere near the data."""
    d = len(w)
    zero = diffeo.StripeNetwork(
        torch.zeros(2, d).double(), torch.zeros(2).double(), torch.zeros(2).double()
    )
    omega = torch.stack([w, -w]) * math.sqrt(d) / math.sqrt(2)
    beta = torch.tensor([2.0, -2.0], dtype=torch.float64)
    network = diffeo.StripeNetwork(omega, torch.full((2,), 1e3).double(), beta)
    return diffeo.StripeRun(zero, network, 0, 0.0, 1.0, "steps")


@pytest.mark.parametrize("w", [[1.0, 0, 0, 0], [0.5, 1.0, -2.0, 0.3], [0, 1.0, 0, 0]])
def test_stability_of_a_linear_stripe_predictor(w):
    w = torch.tensor(w, dtype=torch.float64)
    x = torch.randn(20_000, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    run = linear_run(w)
    assert torch.allclose(run.network(x), 2 * x @ w, atol=1e-9)
    expected = 4 / 3 * float(w[1:].square().sum() / w.square().sum())
    assert diffeo.stripe_stability(run, x, 0.1, 0) == pytest.approx(expected, abs=0.03)


def test_stripe_gradient_is_that_of_autograd():
    x = torch.randn(30, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, network = diffeo.stripe_labels(x), diffeo.StripeNetwork.initial(5, 7, 0)
    parts = [p.clone().requires_grad_() for p in (network.omega, network.b, network.beta)]
    f = (2**0.5 * torch.relu(x @ parts[0].T / 5**0.5 + parts[1])) @ parts[2] / 7
    alpha = 0.5
    loss = (1 - y * alpha * f).clamp_min(0).sum() / (alpha * 30)
    found = _gradient(network, x, y, (alpha * f).detach())
    for ours, theirs in zip(found, torch.autograd.grad(loss, parts), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-14)
    assert all(g.abs().max() == 0 for g in _gradient(network, x, y, 2 * y))


def test_stripe_training_turns_the_weights_to_the_label():
    x = torch.randn(600, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    run = diffeo.train_stripe(x, 60, alpha=1e-3, seed=0, fraction=0.1)
    assert run.stopped == "fitted"
    assert run.fitted > 0.1
    assert run.network.amplification() > 3 * run.initial.amplification()
    assert diffeo.stripe_stability(run, x, 0.1, 0) < 0.3
    with pytest.raises(ValueError, match="fraction"):
        diffeo.train_stripe(x, 5, alpha=1.0, seed=0, fraction=0.0)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("seed", "alpha"), [(2, 1e-3), (0, 1e30)])
def test_stripe_training_ends_where_no_step_can_be_made(seed, alpha):
    # one neuron that is dead for all points; a predictor that the smallest step changes too much
    x = torch.randn(10, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    run = diffeo.train_stripe(x, 1, alpha=alpha, seed=seed, max_steps=10**9)
    assert run.stopped == "stuck"
    assert math.isfinite(run.loss)


@pytest.mark.parametrize(
    ("x", "h", "words"),
    [
        (torch.full((10, 3), math.nan).double(), 5, "x: NaN"),
        (torch.full((10, 3), math.inf).double(), 5, "x: NaN or infinite"),
        (torch.zeros(0, 3).double(), 5, "P >= 1"),
        (torch.zeros(10, 3).double(), 0, "h: 0"),
        (torch.zeros(10, 3).double(), 2.5, "h: 2.5"),
    ],
)
def test_stripes_that_cannot_be_trained(x, h, words):
    with pytest.raises(ValueError, match=words):
        diffeo.train_stripe(x, h, alpha=1e-3, seed=0)


class Watched(torch.nn.Module):
    """Notes the images of every training step; their pixels are their numbers."""

    def __init__(self):
        super().__init__()
        self.linear, self.seen = torch.nn.Linear(4, 2), []

    def forward(self, x):
        if self.training:
            self.seen.append(x[:, 0, 0, 0].long().tolist())
        return self.linear(x.flatten(1))


@pytest.mark.parametrize(("P", "batch"), [(10, 25), (10, 4), (7, 7), (10, 10)])
def test_every_batch_is_whole_and_every_epoch_has_every_image(P, batch):
    x, y = torch.arange(P).float()[:, None, None, None].expand(P, 1, 2, 2), torch.arange(P) % 2
    model = Watched()
    diffeo.train_classifier(model, x, y, diffeo.Recipe(20, batch_size=batch), validation=(x, y))
    assert {len(rows) for rows in model.seen} == {batch}
    stream = list(itertools.chain(*model.seen))
    for first in range(0, len(stream) - P, P):
        assert sorted(stream[first : first + P]) == list(range(P))


def test_trainings_that_cannot_be():
    x, y = torch.rand(10, 1, 2, 2), torch.arange(10) % 2
    recipe = diffeo.Recipe(2)
    for validation in ((x[:0], y[:0]), (x, y[:5])):
        with pytest.raises(ValueError, match="validation: "):
            diffeo.train_classifier(Watched(), x, y, recipe, validation=validation)
    with pytest.raises(ValueError, match="x, y: 0 images"):
        diffeo.error_rate(Watched(), x[:0], y[:0])
    for name in ("steps", "batch_size", "evaluations"):
        with pytest.raises(ValueError, match=f"{name}: 2.5 given; allowed: an integer >= 1"):
            diffeo.Recipe(**{"steps": 3, name: 2.5})


def test_correlation_and_law_of_exact_power_laws():
    R = np.array([0.01, 0.05, 0.3, 1.0, 4.0])
    assert diffeo.log_correlation(0.24 * R**0.5, R).rho == pytest.approx(1.0)
    assert diffeo.log_correlation(R**-2.0, R).rho == pytest.approx(-1.0)
    law = diffeo.fit_error_law(0.24 * np.sqrt(R), R)
    assert (law.prefactor, law.exponent) == pytest.approx((0.24, 0.5))
    assert diffeo.log_average([2.0, 8.0]) == pytest.approx(4.0)
    assert math.isnan(diffeo.log_average([1.0, 0.0]))
    with pytest.raises(ValueError, match="stability"):
        diffeo.log_correlation([0.1, 0.2, 0.3], [1.0, -1.0, 2.0])


def test_the_error_of_a_correlation_covers_its_scatter():
    random = np.random.default_rng(0)
    found = []
    for _ in range(40):
        R = np.exp(random.normal(size=30))
        found.append(diffeo.log_correlation(R * np.exp(random.normal(size=30)), R))
    scatter = np.std([f.rho for f in found])
    assert 0.6 < np.mean([f.error for f in found]) / scatter < 1.5
