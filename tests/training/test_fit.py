"""Training of torch modules: against the library's own nets, resumed, and on bad input."""

from __future__ import annotations

import copy
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from symscape import dynamics, training
from symscape.dynamics import CrossEntropy, Hinge, MulticlassHinge, Record, SoftHinge, Stop
from symscape.networks import FullyConnected, StridedCNN

P, D = 40, 6


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(P + 30, D, generator=generator, dtype=torch.float64)
    y = torch.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0).double()
    return x[:P], y[:P], x[P:], y[P:]


NET = FullyConnected(D, 12, 2, parametrization="ntp", activation="softplus", normalized=True)
STEPS = 60


def ours(optimizer, data, *, alpha, batch=None, lr=0.02, loss=None, **more):
    x, y, *test = data
    model = NET.module(NET.initial_weights(3))
    found = training.fit(
        model,
        x,
        y,
        loss=loss or SoftHinge(),
        optimizer=optimizer,
        lr=lr,
        batch=batch,
        steps=STEPS,
        alpha=alpha,
        seed=5,
        stop_at_zero_loss=False,
        test=tuple(test),
        **more,
    )
    return model.flat().detach(), found


def theirs(method, data, *, alpha, loss=None):
    x, y, *test = data
    return dynamics.train(
        NET,
        NET.initial_weights(3),
        x,
        y,
        loss=loss or SoftHinge(),
        integrator=method,
        stop=Stop(max_steps=STEPS, zero_loss=False, loss_below=None),
        alpha=alpha,
        test=tuple(test),
    )


@pytest.mark.parametrize("alpha", [None, 0.3, 10.0])
@pytest.mark.parametrize(
    ("optimizer", "batch", "method"),
    [
        ("sgd", None, lambda scale: dynamics.GradientDescent(lr=0.02)),
        ("sgd", 16, lambda scale: dynamics.SGD(lr=0.02, batch=16, seed=5)),
        ("adam", None, lambda scale: dynamics.Adam(lr=0.02, eps=1e-8 / scale)),
    ],
)
def test_it_trains_as_the_methods_of_dynamics_do(data, optimizer, batch, method, alpha):
    w, found = ours(optimizer, data, alpha=alpha, batch=batch)
    expected = theirs(method(alpha or 1.0), data, alpha=alpha)
    torch.testing.assert_close(w, expected.w, rtol=1e-7, atol=1e-9)
    assert found.loss == pytest.approx(expected.loss)
    assert found.test_error == expected.test_error
    assert found.n_delta == expected.n_delta
    assert found.steps == STEPS


@pytest.mark.parametrize("loss", [Hinge(), Hinge(power=1), CrossEntropy()])
def test_losses_are_the_library_s(data, loss):
    w, found = ours("sgd", data, alpha=2.0, loss=loss)
    expected = theirs(dynamics.GradientDescent(lr=0.02), data, alpha=2.0, loss=loss)
    torch.testing.assert_close(w, expected.w)
    assert found.loss == pytest.approx(expected.loss)


def test_the_first_step_does_not_depend_on_alpha(data):
    """alpha grad L(w_0) is independent of alpha; so is the first step of ADAM."""
    x, y, *_ = data

    def moved(optimizer, alpha, lr):
        model = NET.module(NET.initial_weights(3))
        training.fit(
            model, x, y, loss=SoftHinge(), optimizer=optimizer, lr=lr, steps=1, alpha=alpha
        )
        return model.flat().detach() - NET.initial_weights(3)

    one = moved("sgd", 1.0, 1.0)
    for alpha in (1e-3, 1e5):
        torch.testing.assert_close(moved("sgd", alpha, alpha), one)
        # epsilon does not show although the gradient is 1/alpha times that of f
        torch.testing.assert_close(moved("adam", alpha, 0.1), moved("adam", 1.0, 0.1))


def test_it_stops_at_zero_loss_and_tells_the_early_stopping_error(data):
    x, y, *test = data
    model = NET.module(NET.initial_weights(1))
    found = training.fit(
        model, x, y, loss=Hinge(), lr=0.02, batch=8, steps=5000, alpha=1.0, test=tuple(test)
    )
    assert found.status == "converged"
    assert found.steps < 5000
    assert (found.n_delta, found.loss, found.misclassified) == (0, 0.0, 0)
    history = found.history
    assert set(history) == {"step", "loss", "n_delta", "misclassified", "test_error"}
    assert history["step"][0] == 0
    assert history["step"][-1] == found.steps
    assert bool((np.diff(history["step"]) > 0).all())
    assert history["n_delta"][0] == P
    assert history["test_error"][0] == 1.0  # F = 0 is no prediction
    assert found.best_test_error == history["test_error"].min()
    assert found.best_step in history["step"][history["test_error"] == found.best_test_error]
    F = found.test_outputs
    assert found.test_error == pytest.approx(float((F * test[1] <= 0).double().mean()))


def test_out_of_budget_and_no_steps_at_all(data):
    x, y, *_ = data
    model = NET.module(NET.initial_weights(1))
    before = copy.deepcopy(model.state_dict())
    found = training.fit(model, x, y, loss=Hinge(), lr=0.1, steps=0, alpha=2.0)
    assert found.status == "out_of_budget"
    assert found.loss == pytest.approx(0.5 / 4)  # (1/2) / alpha^2 at F = 0
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert math.isnan(found.test_error)


def test_divergence_has_its_status(data):
    x, y, *_ = data
    found = training.fit(
        NET.module(NET.initial_weights(1)),
        x,
        y,
        loss=Hinge(),
        optimizer="sgd",
        lr=1e9,
        steps=200,
        alpha=1e-3,
    )
    assert found.status == "diverged"
    assert found.steps < 200
    with pytest.raises(FloatingPointError, match=r"diverged: the loss is .* smaller learning rate"):
        found.raise_if_diverged()


@pytest.mark.parametrize("loss", [CrossEntropy(), MulticlassHinge()])
def test_several_classes(loss):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(60, 4, generator=generator)
    y = x[:, :3].argmax(1)
    model = nn.Sequential(nn.Linear(4, 20), nn.ReLU(), nn.Linear(20, 3))
    found = training.fit(
        model, x, y, loss=loss, lr=0.03, batch=20, steps=2000, alpha=1.0, test=(x, y)
    )
    assert found.status == "converged"
    assert found.test_error == 0.0
    assert found.test_outputs.shape == (60, 3)


def test_one_output_may_be_a_column(data):
    x, y, *_ = data
    torch.manual_seed(0)
    column = nn.Linear(D, 1).double()
    flat = nn.Sequential(copy.deepcopy(column), nn.Flatten(0))
    for model in (column, flat):
        training.fit(model, x, y, loss=Hinge(), lr=0.01, steps=20, alpha=1.0)
    assert torch.equal(column.weight, flat[0].weight)


def test_seeds_are_batches_and_global_random_numbers_stay(data):
    x, y, *_ = data

    def weights(seed):
        model = NET.module(NET.initial_weights(3))
        state = torch.get_rng_state()
        training.fit(model, x, y, loss=Hinge(), lr=0.01, batch=7, steps=9, alpha=1.0, seed=seed)
        assert torch.equal(state, torch.get_rng_state())
        return model.flat().detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


class Dying(nn.Module):
    """A net that fails at a forward pass, as a killed process does."""

    def __init__(self, inner, after):
        super().__init__()
        self.inner, self.after = inner, after

    def forward(self, x):
        self.after -= 1
        if self.after < 0:
            raise KeyboardInterrupt
        return self.inner(x)


def test_a_training_that_was_killed_goes_on_to_the_same_numbers(data, tmp_path):
    x, y, *test = data
    path = tmp_path / "run.ckpt"

    def run(model, **more):
        return training.fit(
            model,
            x,
            y,
            loss=SoftHinge(),
            lr=0.02,
            batch=16,
            steps=90,
            alpha=3.0,
            seed=2,
            test=tuple(test),
            stop_at_zero_loss=False,
            **more,
        )

    build = lambda: Dying(NET.module(NET.initial_weights(3)), 10**6)  # noqa: E731
    whole = build()
    expected = run(whole)
    killed = build()
    killed.after = 120
    with pytest.raises(KeyboardInterrupt):
        run(killed, checkpoint=path, checkpoint_every=10)
    assert path.exists()
    resumed = build()
    found = run(resumed, checkpoint=path, checkpoint_every=10)
    assert 10**6 - resumed.after < 10**6 - whole.after  # some of the steps were not repeated
    assert torch.equal(resumed.inner.flat(), whole.inner.flat())
    assert torch.equal(found.test_outputs, expected.test_outputs)
    for name, values in expected.history.items():
        np.testing.assert_array_equal(found.history[name], values)
    assert found.best_step == expected.best_step
    # a finished one is only looked at, and goes on if it is given more steps
    again = run(build(), checkpoint=path)
    assert (again.steps, again.loss) == (found.steps, found.loss)
    np.testing.assert_array_equal(again.history["step"], found.history["step"])
    with pytest.raises(ValueError, match=r"checkpoint: .* seed = 2, not 4"):
        training.fit(
            build(),
            x,
            y,
            loss=SoftHinge(),
            lr=0.02,
            batch=16,
            steps=90,
            alpha=3.0,
            seed=4,
            checkpoint=path,
        )


def test_dropout_and_batch_norm_are_for_plain_training(data):
    x, y, *test = data

    def build():
        torch.manual_seed(0)
        layers = nn.Linear(D, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Dropout(0.2), nn.Linear(20, 1)
        return nn.Sequential(*layers).double()

    def run(model, **more):
        return training.fit(model, x, y, loss=Hinge(), lr=0.01, batch=20, steps=40, **more)

    one, two = build(), build()
    first, second = run(one, test=tuple(test)), run(two, test=tuple(test))
    assert torch.equal(first.test_outputs, second.test_outputs)
    assert bool((one[1].running_mean != 0).any())
    assert one.training
    with torch.no_grad():
        torch.testing.assert_close(one.eval()(test[0]).squeeze(1), first.test_outputs)
    before = copy.deepcopy(build().state_dict())
    refused = build()
    with pytest.raises(ValueError, match=r"running_mean of BatchNorm1d '1' changes .*GroupNorm"):
        run(refused, alpha=1.0)
    assert all(torch.equal(v, before[k]) for k, v in refused.state_dict().items())
    assert math.isfinite(run(build().eval(), alpha=1.0).loss)  # statistics that stay as they are


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (nn.Dropout(0.5), "changes between two calls on the same points, as dropout"),
        (nn.BatchNorm1d(D, track_running_stats=False), "depends on the other points"),
    ],
)
def test_what_has_no_centred_predictor(layer, words):
    model = nn.Sequential(layer, nn.Linear(D, 1))
    x = torch.randn(4, D, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=words):
        training.check_stationary(model, x)
    training.check_stationary(nn.Sequential(nn.LayerNorm(D), nn.Linear(D, 1)), x)


def test_a_module_may_hold_a_buffer_that_stays():
    model = StridedCNN(2, 1)
    model.register_buffer("mean", torch.zeros(3))
    training.check_stationary(model, torch.randn(2, 1, 20, 20))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": 0.0}, "alpha: 0.0 given; allowed: a positive number, or None"),
        ({"alpha": -1.0}, "alpha: -1.0 given"),
        ({"alpha": math.nan}, "alpha: nan given"),
        ({"lr": 0.0}, "lr: 0.0 given; allowed: a positive number"),
        ({"optimizer": "lbfgs"}, "optimizer: 'lbfgs' given; allowed: 'adam' or 'sgd'"),
        ({"batch": 0}, "batch: 0 given; allowed: an integer from 1 to P = 40"),
        ({"batch": 41}, "batch: 41 given"),
        ({"steps": -1}, "steps: -1 given"),
        ({"check_every": 0}, "check_every: 0 given"),
        ({"seed": "a"}, "seed: 'a' given"),
        ({"loss": MulticlassHinge()}, "given with 1 outputs; allowed: with c > 1"),
        ({"y": torch.ones(39, dtype=torch.float64)}, "x: 40 points and 39 labels given"),
        ({"y": torch.ones(40)}, "y: torch.float32 given; allowed: torch.float64"),
        ({"y": 2 * torch.ones(40, dtype=torch.float64)}, r"allowed: \+1 and -1"),
        ({"x": torch.zeros(40, 3, dtype=torch.float64)}, r"not take points of shape \(3,\) and"),
        ({"test": (torch.zeros(2, D).double(), torch.zeros(2).double())}, r"test: values other"),
        ({"model": nn.Flatten()}, "model: no parameters that require gradients"),
        ({"model": nn.Conv1d(1, 1, 1).double()}, "model: does not take points|model: gives shape"),
    ],
)
def test_bad_input_is_a_sentence(data, changes, words):
    x, y, *_ = data
    arguments = {
        "model": NET.module(NET.initial_weights(0)),
        "x": x,
        "y": y,
        "loss": Hinge(),
        "lr": 0.1,
        "steps": 2,
    } | changes
    with pytest.raises(ValueError, match=words) as caught:
        training.fit(arguments.pop("model"), arguments.pop("x"), arguments.pop("y"), **arguments)
    assert "\n" not in str(caught.value)


def test_a_scale_that_float32_does_not_resolve_is_refused(data):
    x, y, *_ = data
    single = NET.module(NET.initial_weights(0).float())
    more = {"loss": Hinge(), "lr": 1e-9, "steps": 1, "alpha": 1e8}
    with pytest.raises(
        ValueError, match=r"alpha: 1e\+08 given with outputs of torch.float32, .*float64"
    ):
        training.fit(single, x.float(), y.float(), **more)
    assert training.fit(NET.module(NET.initial_weights(0)), x, y, **more).steps == 1


def test_importing_training_loads_no_lightning():
    code = "import sys, symscape.training; print('lightning_fabric' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout == "False\n", run.stderr


def test_rates_follow_alpha(data):
    """ADAM: constant for small alpha, 1/alpha for large; SGD: constant for large alpha."""
    x, y, *_ = data
    model = NET.module(NET.initial_weights(3))
    before = model.flat().detach()

    def rate(optimizer, alpha, largest):
        return training.first_step_rate(
            model, x, y, loss=SoftHinge(), alpha=alpha, optimizer=optimizer, largest=largest
        )

    assert rate("adam", 1e-6, 0.25) == 0.25
    assert rate("adam", 1e5, 1.0) == pytest.approx(1e-2 * rate("adam", 1e3, 1.0), rel=1e-3)
    large = [rate("sgd", 10.0**k, 1e3) for k in (4, 5, 6)]
    assert large == pytest.approx([large[0]] * 3, rel=1e-3)
    assert rate("sgd", 1e-6, 1e3) < 1e-2 * large[0]
    assert torch.equal(model.flat(), before)
    # a first step of that rate moves F as promised, and one of twice that rate by more
    found = rate("adam", 3.0, 1.0)
    for factor, within in ((1, True), (2, False)):
        trial = NET.module(NET.initial_weights(3))
        training.fit(trial, x, y, loss=SoftHinge(), lr=factor * found, steps=1, alpha=3.0)
        with torch.no_grad():
            moved = 3.0 * (trial(x) - model(x))
        assert (float(moved.abs().max()) <= 0.101) == within


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"change": 0.0}, "change: 0.0 given"),
        ({"largest": -1.0}, "lr: -1.0 given"),
        ({"batch": 99}, "batch: 99 given"),
    ],
)
def test_rates_that_are_not_allowed(data, changes, words):
    x, y, *_ = data
    with pytest.raises(ValueError, match=words):
        training.first_step_rate(NET.module(NET.initial_weights(0)), x, y, loss=Hinge(), **changes)


def test_history_is_written_when_asked(data):
    _, found = ours("adam", data, alpha=1.0, record=Record(per_decade=0, every=25))
    assert list(found.history["step"]) == [0, 25, 50, 60]
