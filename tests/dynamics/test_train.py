"""How runs end and what they write down."""

import itertools
import math

import numpy as np
import pytest
import torch

from symscape.datasets import random_sphere
from symscape.dynamics import (
    Adam,
    CrossEntropy,
    GradientDescent,
    Hinge,
    MulticlassHinge,
    Plateau,
    Record,
    RungeKutta,
    SoftHinge,
    Square,
    Stop,
    train,
)
from symscape.networks import FullyConnected


def run(problem, integrator=None, loss=None, record=None, test=None, **stop):
    net, w, x, y = problem
    return train(
        net,
        w,
        x,
        y,
        loss=loss or Hinge(),
        integrator=integrator or Adam(5e-3),
        record=record,
        test=test,
        stop=Stop(**stop),
    )


def test_converged_at_zero_loss(problem):
    result = run(problem, loss=SoftHinge())
    assert result.status == "converged"
    assert result.n_delta == 0
    assert result.history["n_delta"][-2] > 0 or result.history["step"][-2] < result.steps - 1
    before = run(problem, loss=SoftHinge(), max_steps=result.steps - 1)
    assert before.status == "out_of_budget"
    assert before.n_delta > 0


def test_converged_below_a_loss(problem):
    result = run(problem, loss_below=1e-3)
    assert result.status == "converged"
    assert result.loss < 1e-3
    assert run(problem, loss_below=1e-3, max_steps=result.steps - 1).loss >= 1e-3


@pytest.mark.parametrize("alpha", [1e-6, 1e8])
def test_limits_on_the_loss_do_not_depend_on_alpha(alpha, smooth_problem):
    net, w, x, y = smooth_problem
    result = train(
        net, w, x, y, loss=SoftHinge(), integrator=RungeKutta(), alpha=alpha,
        stop=Stop(max_steps=3, loss_below=1e-5), record=Record(loss_levels=(1e-3,)),
    )  # fmt: skip
    assert (result.status, result.steps) == ("out_of_budget", 3)
    assert not result.snapshots
    assert alpha**2 * result.loss > 0.5


def test_out_of_budget_in_steps_time_and_seconds(problem):
    steps = run(problem, max_steps=7)
    assert (steps.status, steps.steps) == ("out_of_budget", 7)
    time = run(problem, GradientDescent(0.1), max_time=0.55)
    assert time.status == "out_of_budget"
    assert time.time == pytest.approx(0.6)
    seconds = run(problem, GradientDescent(1e-9), max_steps=10**9, wall_time=0.2)
    assert seconds.status == "out_of_budget"
    assert 0.2 <= seconds.wall_seconds < 2


def test_plateau_is_stalled(problem):
    result = run(problem, GradientDescent(1e-9), plateau=Plateau(50, 1e-3))
    assert result.status == "stalled"
    assert result.steps == 100
    falling = run(problem, plateau=Plateau(50, 1e-3), max_steps=200)
    assert falling.status != "stalled"


def test_divergence_names_its_step(problem):
    with np.errstate(all="ignore"):
        result = run(problem, GradientDescent(1e3))
    assert result.status == "diverged"
    assert not math.isfinite(result.loss)
    before = run(problem, GradientDescent(1e3), max_steps=result.steps - 1)
    assert math.isfinite(before.loss)
    with pytest.raises(FloatingPointError, match=f"diverged.* at step {result.steps} "):
        result.raise_if_diverged()
    before.raise_if_diverged()


@pytest.mark.parametrize("loss", [Hinge(), SoftHinge(), CrossEntropy(), MulticlassHinge()])
def test_a_run_that_diverged_fits_nothing(loss):
    c = 2 if isinstance(loss, MulticlassHinge) else 1
    net = FullyConnected(d=10, h=30, L=3, c=c)
    x, y = random_sphere(200, 10, seed=0, dtype=torch.float32)
    y = (y > 0).long() if c > 1 else y
    result = train(
        net,
        net.initial_weights(0, dtype=torch.float32),
        x,
        y,
        loss=loss,
        integrator=GradientDescent(lr=1e30),
        test=(x, y),
    )
    assert result.status == "diverged"
    assert result.n_delta == 200 * c
    assert result.misclassified == 200
    assert result.test_error == 1.0
    assert result.history["test_error"][-1] == 1.0


def test_flow_survives_a_first_step_that_overflows(smooth_problem):
    from symscape.dynamics import ErrorPerStep

    integrator = RungeKutta(controller=ErrorPerStep(first_step=1e200))
    assert run(smooth_problem, integrator, SoftHinge()).status == "converged"


def test_a_fitted_start_takes_no_step(problem):
    net, _, x, y = problem
    fitted = run(problem, loss=SoftHinge())
    again = run((net, fitted.w, x, y), loss=SoftHinge())
    assert (again.status, again.steps) == ("converged", 0)
    assert torch.equal(again.w, fitted.w)


def test_looks_are_as_rare_as_asked(problem):
    every = run(problem, loss=SoftHinge())
    rare = run(problem, loss=SoftHinge(), check_every=64, record=Record(0, None))
    assert rare.steps == math.ceil(every.steps / 64) * 64
    assert run(problem, max_steps=100, check_every=64).steps == 100


def test_result_is_the_state_of_its_weights(problem):
    net, _, x, y = problem
    test = (x[:20] + 0.1, y[:20])
    result = run(problem, max_steps=300, loss_below=None, test=test)
    f = net(result.w, x)
    assert result.loss == pytest.approx(float(Hinge().value(f, y).mean()), rel=1e-12)
    assert result.n_delta == int(Hinge().unsatisfied(f, y).sum())
    assert result.misclassified == int((f * y <= 0).sum())
    error = float((net(result.w, test[0]) * test[1] <= 0).double().mean())
    assert result.test_error == result.history["test_error"][-1] == error
    assert result.best_test_error == result.history["test_error"].min()


def test_history_has_a_line_per_recorded_step(problem):
    result = run(problem, max_steps=2345, zero_loss=False, loss_below=None)
    schedule = itertools.takewhile(lambda step: step < 2345, Record().steps())
    assert result.history["step"].tolist() == [*schedule, 2345]
    assert {len(column) for column in result.history.values()} == {len(result.history["step"])}
    assert math.isnan(result.history["grad_norm"][0])
    assert (result.history["grad_norm"][1:10] > 0).all()
    assert "test_error" not in result.history


def test_recorded_steps():
    steps = list(itertools.takewhile(lambda step: step <= 3000, Record(2, 1000).steps()))
    assert steps == [0, 1, 3, 10, 32, 100, 316, 1000, 2000, 3000]
    assert list(itertools.islice(Record(0, 5).steps(), 4)) == [0, 5, 10, 15]
    assert list(itertools.islice(Record(1, None).steps(), 5)) == [0, 1, 10, 100, 1000]
    assert list(itertools.islice(Record(0, None).steps(), 2)) == [0, math.inf]
    dense = list(itertools.islice(Record(150, None).steps(), 400))
    assert dense == sorted(set(dense))


def test_weights_are_kept_at_loss_levels(problem):
    net, _, x, y = problem
    levels = (1e-3, 0.1, 1e-2)
    result = run(problem, record=Record(loss_levels=levels))
    assert [snapshot.level for snapshot in result.snapshots] == [0.1, 1e-2, 1e-3]
    for snapshot in result.snapshots:
        assert snapshot.loss <= snapshot.level
        at = float(Hinge().value(net(snapshot.w, x), y).mean())
        assert snapshot.loss == pytest.approx(at, rel=1e-12)
        before = run(problem, max_steps=snapshot.step - 1)
        assert before.loss > snapshot.level


def test_arguments_are_not_modified(problem):
    net, w, x, y = problem
    copies = [t.clone() for t in (w, x, y)]
    for integrator in (Adam(1e-2), GradientDescent(0.1), RungeKutta()):
        train(net, w, x, y, loss=Hinge(), integrator=integrator, stop=Stop(max_steps=5))
    assert all(torch.equal(a, b) for a, b in zip(copies, (w, x, y), strict=True))


def test_multiclass_training():
    net = FullyConnected(5, 20, 1, 3)
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.arange(40) % 3
    w = net.initial_weights(0, "pytorch")
    for loss in (CrossEntropy(), MulticlassHinge()):
        result = run((net, w, x, y), Adam(1e-2), loss)
        assert result.status == "converged"
        assert torch.equal(net(result.w, x).argmax(-1), y)
    with pytest.raises(ValueError, match=r"loss: Hinge.* given with 3 outputs"):
        run((net, w, x, y))


def test_square_loss_ends_by_its_loss(smooth_problem):
    result = run(smooth_problem, Adam(1e-2), Square(), loss_below=1e-4, max_steps=50_000)
    assert result.status == "converged"
    assert result.n_delta == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w0": torch.zeros(3)}, r"w0: shape \(1, 3\) given|w0: shape \(3,\) given"),
        ({"w0": torch.zeros(2, 277)}, "w0: shape"),
        (
            {"w0": torch.zeros(277).half(), "x": torch.zeros(60, 8).half()},
            "w0: torch.float16 given; allowed: torch.float32 and torch.float64",
        ),
        ({"x": torch.zeros(60, 3, dtype=torch.float64)}, r"x: shape \(60, 3\) given"),
        ({"x": torch.zeros(60, 8)}, "x: torch.float32 on cpu given"),
        ({"x": torch.full((60, 8), torch.nan, dtype=torch.float64)}, "x: entries"),
        ({"y": torch.ones(59, dtype=torch.float64)}, r"y: shape \(59,\) given; allowed: \(60,\)"),
        ({"y": torch.ones(60)}, "y: torch.float32 given"),
        ({"y": torch.zeros(60, dtype=torch.float64)}, "y: values other than"),
        ({"alpha": -1.0}, "alpha: -1.0 given; allowed: positive finite numbers"),
        ({"test": (torch.zeros(2, 3).double(), torch.ones(2).double())}, "test inputs: shape"),
    ],
)
def test_wrong_problems_are_named(change, message, problem):
    net, w, x, y = problem
    arguments = {"w0": w, "x": x, "y": y, "loss": Hinge(), "integrator": Adam()} | change
    with pytest.raises(ValueError, match=message):
        train(net, **arguments)


def test_weights_that_are_not_finite_are_refused(problem):
    net, w, x, y = problem
    with pytest.raises(ValueError, match="w0: entries that are not finite"):
        train(net, w * torch.nan, x, y, loss=Hinge(), integrator=Adam())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stop(max_steps=-1), "max_steps: -1 given"),
        (lambda: Stop(max_time=-1.0), "max_time"),
        (lambda: Stop(check_every=0), "check_every"),
        (lambda: Plateau(0), "steps: 0 given"),
        (lambda: Plateau(10, 1.5), "fraction: 1.5 given"),
        (lambda: Record(every=0), "every: 0 given"),
        (lambda: Record(per_decade=-1), "per_decade: -1 given"),
    ],
)
def test_wrong_limits_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
