"""Displacements, norms and speeds, and the same through time."""

import math

import pytest
import torch

from symscape.dynamics import (
    SGD,
    Adam,
    Chebyshev,
    GradientDescent,
    Hinge,
    Record,
    RungeKutta,
    SoftHinge,
    Stop,
    displacement,
    output_norm,
    preactivation_speed,
    train,
    train_ensemble,
)
from symscape.networks import FullyConnected

EVERYTHING = ("displacement", "output_norm", "predictor_norm")


@pytest.mark.parametrize("alpha", [None, 3.0])
def test_speed_is_that_of_a_small_step(smooth_problem, alpha):
    net, w0, x, y = smooth_problem
    speeds = preactivation_speed(net, w0, x, y, loss=SoftHinge(), alpha=alpha)
    dt = 1e-5
    step = train(
        net, w0, x, y, loss=SoftHinge(), alpha=alpha, integrator=GradientDescent(dt),
        stop=Stop(max_steps=1),
    )  # fmt: skip
    for l in range(net.L):
        moved = (net.preactivations(step.w, x)[l] - net.preactivations(w0, x)[l]) / dt
        assert float(speeds[l]) == pytest.approx(float(moved.square().mean().sqrt()), rel=1e-3)


def test_speeds_fall_as_one_over_sqrt_h():
    """Eq. 22: the speed is 1 / (sqrt(h) alpha)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, 8, generator=generator, dtype=torch.float64)
    x = x * (8**0.5 / x.norm(dim=1, keepdim=True))
    y = x[:, 0].sign()
    widths, slopes = (32, 256), []
    for L in (2, 4):
        speeds = []
        for h in widths:
            net = FullyConnected(
                8, h, L, parametrization="ntp", activation="softplus", bias=False, normalized=True
            )
            found = [
                preactivation_speed(net, net.initial_weights(s), x, y, loss=SoftHinge(), alpha=1.0)
                for s in range(8)
            ]
            speeds.append(torch.stack(found).log().mean(0))
        slopes.extend(((speeds[1] - speeds[0]) / math.log(8)).tolist())
    # within 0.1 as in the sheet: corrections in 1 / h, and eight networks each
    assert slopes == pytest.approx([-0.5] * 6, abs=0.1)


def test_displacement_and_norm():
    w0 = torch.tensor([3.0, 4.0])
    w = torch.tensor([[3.0, 4.0], [3.0, 9.0]])
    assert displacement(w, w0).tolist() == [0.0, 1.0]
    assert float(output_norm(torch.tensor([1.0, -7.0]))) == 5.0


@pytest.mark.parametrize("alpha", [None, 3.0])
@pytest.mark.parametrize("integrator", [RungeKutta(), Adam(1e-2)], ids=["flow", "adam"])
def test_history_of_observables(smooth_problem, integrator, alpha):
    net, w0, x, y = smooth_problem
    test = (x[:9] + 0.1, y[:9])
    result = train(
        net, w0, x, y, loss=SoftHinge(), integrator=integrator, alpha=alpha, test=test,
        record=Record(observables=EVERYTHING), stop=Stop(max_steps=50),
    )  # fmt: skip
    history = result.history
    assert {len(column) for column in history.values()} == {len(history["step"])}
    assert history["displacement"][0] == 0
    assert history["displacement"][-1] == pytest.approx(float(displacement(result.w, w0)))
    for name, inputs in (("output_norm", x), ("test_output_norm", test[0])):
        assert history[name][0] == pytest.approx(float(output_norm(net(w0, inputs))))
        assert history[name][-1] == pytest.approx(float(output_norm(net(result.w, inputs))))
        F = net(result.w, inputs)
        F = F if alpha is None else alpha * (F - net(w0, inputs))
        predictor = name.replace("output", "predictor")
        assert history[predictor][-1] == pytest.approx(float(output_norm(F)))


def test_runs_that_do_not_ask_are_the_same(smooth_problem):
    net, w0, x, y = smooth_problem
    same = {"loss": SoftHinge(), "integrator": RungeKutta(), "alpha": 1.0}
    plain = train(net, w0, x, y, **same)
    observed = train(net, w0, x, y, **same, record=Record(observables=EVERYTHING))
    assert torch.equal(plain.w, observed.w)
    assert plain.evaluations == observed.evaluations
    assert not set(EVERYTHING) & set(plain.history)


def test_members_of_a_batch_have_their_own_columns(smooth_problem):
    net, _, x, y = smooth_problem
    w0 = torch.stack([net.initial_weights(seed) for seed in range(3)])
    alpha = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    runs = [
        train_ensemble(
            net, w0, x, y, loss=SoftHinge(), integrator=Chebyshev(), alpha=alpha,
            test=(x[:7], y[:7]), strategy=strategy,
            record=Record(observables=EVERYTHING, loss_levels=(0.5,)),
        )
        for strategy in ("loop", "batched")
    ]  # fmt: skip
    for alone, together, initial in zip(*runs, w0, strict=True):
        last = float(displacement(together.w, initial))
        assert together.history["displacement"][-1] == pytest.approx(last, rel=1e-9)
        for name in (*EVERYTHING, "test_output_norm", "test_error"):
            found, expected = together.history[name][-1], alone.history[name][-1]
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-12)
        assert together.time_at_loss() == pytest.approx(alone.time_at_loss(), rel=1e-4)


def test_batch_normalization_is_folded(problem):
    net, w0, x, y = problem
    result = train(
        net, w0, x, y, loss=Hinge(), integrator=SGD(1e-2, 20, batch_norm=True),
        record=Record(observables=("output_norm",)), stop=Stop(max_steps=20),
    )  # fmt: skip
    norm = float(output_norm(net(result.w, x)))
    assert result.history["output_norm"][-1] == pytest.approx(norm)


def test_snapshots_of_flows_are_located_inside_the_step(smooth_problem):
    net, w0, x, y = smooth_problem
    same = {"loss": SoftHinge(), "alpha": 0.5, "record": Record(loss_levels=(0.5, 0.1))}
    times = []
    for integrator in (RungeKutta(), Chebyshev()):
        result = train(net, w0, x, y, integrator=integrator, **same)
        assert [kept.level for kept in result.snapshots] == [0.5, 0.1]
        for kept in result.snapshots:
            assert kept.loss == pytest.approx(kept.level, rel=1e-4)
            F = 0.5 * (net(kept.w, x) - net(w0, x))
            assert float(SoftHinge().value(F, y).mean()) == pytest.approx(kept.loss, rel=1e-10)
        times.append([result.time_at_loss(level) for level in (0.5, 0.1)])
    assert times[0] == pytest.approx(times[1], rel=1e-3)


@pytest.mark.parametrize(
    "integrator", [Adam(1e-2), SGD(1e-2, 7), RungeKutta()], ids=["adam", "sgd", "flow"]
)
def test_weights_are_kept_at_chosen_steps(smooth_problem, integrator):
    net, w0, x, y = smooth_problem

    def run(**others):
        return train(net, w0, x, y, loss=SoftHinge(), integrator=integrator, **others)

    record = Record(keep_steps=(9, 0, 4, 10_000), loss_levels=(0.99,))
    result = run(record=record, stop=Stop(max_steps=30, check_every=30))
    kept = [snapshot for snapshot in result.snapshots if math.isnan(snapshot.level)]
    assert [snapshot.step for snapshot in kept] == [0, 4, 9]
    times = [snapshot.time for snapshot in result.snapshots]
    assert times == sorted(times)
    for snapshot in kept:
        again = run(stop=Stop(max_steps=snapshot.step))
        assert torch.equal(snapshot.w, again.w)
        assert (snapshot.time, snapshot.loss) == (again.time, again.loss)


def test_time_at_loss_of_runs_that_did_not_get_there(smooth_problem):
    net, w0, x, y = smooth_problem
    result = train(
        net, w0, x, y, loss=SoftHinge(), integrator=RungeKutta(), alpha=1.0,
        record=Record(loss_levels=(0.5,)), stop=Stop(max_steps=1),
    )  # fmt: skip
    assert math.isnan(result.time_at_loss())
    with pytest.raises(ValueError, match=r"level: 0.2 given; allowed: one of .* \(0.5\)"):
        result.time_at_loss(0.2)


def test_wrong_arguments_are_named(smooth_problem):
    net, w0, x, y = smooth_problem
    with pytest.raises(ValueError, match="observables: 'speed' given; allowed: displacement"):
        Record(observables=("speed",))
    with pytest.raises(ValueError, match="keep_steps: -1 given"):
        Record(keep_steps=(3, -1))
    with pytest.raises(ValueError, match=r"alpha: -1\.0 given"):
        preactivation_speed(net, w0, x, y, loss=SoftHinge(), alpha=-1.0)
    with pytest.raises(ValueError, match="w0: shape"):
        preactivation_speed(net, w0[None], x, y, loss=SoftHinge())
    linear = FullyConnected(8, 1, 0)
    with pytest.raises(ValueError, match="net: no hidden layer given"):
        preactivation_speed(linear, linear.initial_weights(0), x, y, loss=SoftHinge())
