"""The thesis's integrator: its rules, its momentum, and where it stalls."""

import math

import pytest
import torch

from symscape.dynamics import (
    ErrorPerStep,
    EulerThesis,
    GradientChange,
    GradientDescent,
    Hinge,
    RungeKutta,
    SoftHinge,
    Stop,
    train,
)


def run(problem, integrator, loss=None, alpha=1.0, **stop):
    net, w, x, y = problem
    loss = loss or SoftHinge()
    return train(net, w, x, y, loss=loss, integrator=integrator, alpha=alpha, stop=Stop(**stop))


def test_accept_and_reject_rules():
    controller = GradientChange(max_dgrad=1e-4, max_dout=0.1)
    assert controller.decide(1.0, 4e-5, 0.04) == (True, 1.1, False)
    assert controller.decide(1.0, 6e-5, 0.04) == (True, 1.0, False)
    assert controller.decide(1.0, 4e-5, 0.06) == (True, 1.0, False)
    assert controller.decide(1.0, 2e-4, 0.04) == (False, 0.1, False)
    assert controller.decide(1.0, 4e-5, 0.2) == (False, 0.1, False)
    assert not controller.decide(1.0, math.nan, 0.0).accept


def test_first_steps_follow_the_definition(smooth_problem):
    """Against a plain transcription of the rules with autograd."""
    net, w0, x, y = smooth_problem
    loss = SoftHinge()

    def evaluate(w):
        w = w.clone().requires_grad_()
        F = net(w, x) - net(w0, x)
        (g,) = torch.autograd.grad(loss.value(F, y).mean(), w)
        return F.detach(), g

    w, t, dt, steps = w0, 0.0, 1.0, 0
    F, g = evaluate(w)
    while steps < 25:
        trial = w - dt * g
        F_new, g_new = evaluate(trial)
        dout = float((F_new - F).abs().max())
        dgrad = float((g - g_new).norm() ** 2 / (g.norm() * g_new.norm()))
        if dout < 0.1 and dgrad < 1e-4:
            w, F, g, t, steps = trial, F_new, g_new, t + dt, steps + 1
            if dout < 0.05 and dgrad < 5e-5:
                dt *= 1.1
        else:
            dt /= 10
    result = run(smooth_problem, EulerThesis(), max_steps=25)
    assert result.time == pytest.approx(t, rel=1e-12)
    torch.testing.assert_close(result.w, w, atol=1e-13, rtol=1e-12)


def test_reaches_zero_loss_where_everything_is_smooth(smooth_problem):
    result = run(smooth_problem, EulerThesis())
    assert result.status == "converged"
    assert result.n_delta == 0
    exact = run(smooth_problem, RungeKutta(controller=ErrorPerStep(1e-6)))
    assert result.time == pytest.approx(exact.time, rel=0.05)


def test_stalls_at_kinks_where_the_embedded_pair_reaches_zero(problem):
    stalled = run(problem, EulerThesis(max_dgrad=1e-4), Hinge(), None, max_steps=5000)
    assert stalled.status == "stalled"
    assert stalled.n_delta > 0
    assert stalled.steps < 5000
    # the step has collapsed: many evaluations for few steps kept
    assert stalled.evaluations > stalled.steps + 10
    reached = run(problem, RungeKutta(), Hinge(), None)
    assert reached.status == "converged"


def test_rejected_trials_restore_the_state_bit_for_bit(problem):
    """After stalling, the state is exactly the one that the last step kept had led to."""
    net, _, x, y = problem
    stalled = run(problem, EulerThesis(), Hinge(), None, max_steps=5000)
    again = run(problem, EulerThesis(), Hinge(), None, max_steps=stalled.steps)
    assert torch.equal(again.w, stalled.w)
    assert again.time == stalled.time
    assert again.evaluations < stalled.evaluations
    assert stalled.loss == pytest.approx(float(Hinge().value(net(stalled.w, x), y).mean()))


@pytest.mark.parametrize("momentum", [{"tau": 1e-9}, {"memory_fraction": 1e-9}])
def test_short_memory_is_euler(momentum, smooth_problem):
    plain = run(smooth_problem, EulerThesis(), max_steps=60)
    short = run(smooth_problem, EulerThesis(**momentum), max_steps=60)
    torch.testing.assert_close(short.w, plain.w, atol=1e-12, rtol=0)
    assert short.time == pytest.approx(plain.time, rel=1e-12)


def test_momentum_steps_follow_the_definition(smooth_problem):
    net, w, x, y = smooth_problem
    tau, dt, time, v = 0.5, 0.01, 0.0, torch.zeros_like(w)
    for _ in range(5):
        leaf = w.clone().requires_grad_()
        (g,) = torch.autograd.grad(SoftHinge().value(net(leaf, x), y).mean(), leaf)
        v = math.exp(-dt / tau) * v - (1 - math.exp(-dt / tau)) * g
        w = w + dt * v
        # bounds so wide that every step is kept, and the next one 1.1 times longer
        time, dt = time + dt, 1.1 * dt
    wide = EulerThesis(max_dgrad=1e3, max_dout=1e3, first_step=0.01, tau=tau)
    result = run(smooth_problem, wide, alpha=None, max_steps=5)
    torch.testing.assert_close(result.w, w, atol=1e-13, rtol=0)
    assert result.time == pytest.approx(time)


def test_momentum_flow_tends_to_the_flow(smooth_problem):
    limit = 20.0
    exact = run(smooth_problem, RungeKutta(controller=ErrorPerStep(1e-7)), max_time=limit)
    distances = [
        float((run(smooth_problem, EulerThesis(1e-5, tau=tau), max_time=limit).w - exact.w).norm())
        for tau in (2.0, 0.2)
    ]
    assert distances[1] < 0.4 * distances[0]


def test_time_limit_is_exact(smooth_problem):
    assert run(smooth_problem, EulerThesis(), max_time=0.37).time == 0.37


def test_small_steps_agree_with_gradient_descent(smooth_problem):
    euler = run(smooth_problem, EulerThesis(1e3, 1e3, first_step=0.01), max_steps=1)
    descent = run(smooth_problem, GradientDescent(0.01), max_steps=1)
    torch.testing.assert_close(euler.w, descent.w, atol=1e-15, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_dgrad": 0}, "max_dgrad: 0 given"),
        ({"max_dout": -1}, "max_dout: -1 given"),
        ({"tau": 0}, "tau: 0 given"),
        ({"tau": 1.0, "memory_fraction": 0.1}, "memory_fraction: given together with tau"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        EulerThesis(**arguments)
