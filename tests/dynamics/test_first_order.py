"""Gradient descent, Adam and FIRE against their definitions."""

import pytest
import torch

from symscape.dynamics import Adam, Fire, GradientDescent, Hinge, Stop, train


def gradient(net, w, x, y):
    w = w.clone().requires_grad_()
    return torch.autograd.grad(Hinge().value(net(w, x), y).mean(), w)[0]


def run(problem, integrator, **stop):
    net, w, x, y = problem
    return train(net, w, x, y, loss=Hinge(), integrator=integrator, stop=Stop(**stop))


def test_adam_is_that_of_torch(problem):
    net, w0, x, y = problem
    w = w0.clone().requires_grad_()
    optimizer = torch.optim.Adam([w], lr=1e-2, betas=(0.8, 0.99), eps=1e-7)
    for _ in range(30):
        optimizer.zero_grad()
        Hinge().value(net(w, x), y).mean().backward()
        optimizer.step()
    result = run(problem, Adam(1e-2, (0.8, 0.99), 1e-7), max_steps=30)
    torch.testing.assert_close(result.w, w.detach(), atol=1e-12, rtol=0)
    assert result.steps == 30
    assert result.evaluations == 31


def test_adam_learning_rate_decays():
    adam = Adam(1e-4, decay_every=250, decay_factor=10, floor=1e-6)
    rates = [adam.learning_rate(step) for step in (0, 249, 250, 500, 750, 10_000)]
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-6, 1e-6, 1e-6])
    assert Adam(1e-4).learning_rate(10**9) == 1e-4


def test_adam_decay_is_applied(problem):
    result = run(problem, Adam(1e-3, decay_every=10), max_steps=25)
    assert result.time == pytest.approx(10 * 1e-3 + 10 * 1e-4 + 5 * 1e-5)


def test_gradient_descent_steps(problem):
    net, w, x, y = problem
    result = run(problem, GradientDescent(0.05), max_steps=4)
    for _ in range(4):
        w = w - 0.05 * gradient(net, w, x, y)
    torch.testing.assert_close(result.w, w, atol=1e-14, rtol=0)
    assert result.time == pytest.approx(0.2)


def test_fire_steps_follow_the_definition(problem):
    net, w, x, y = problem
    v, dt, mix, free = torch.zeros_like(w), 0.05, 0.1, 0
    for step in range(60):
        force = -gradient(net, w, x, y)
        if float(force @ v) > 0:
            free += 1
            if free > 5:
                dt, mix = min(1.1 * dt, 0.5), 0.99 * mix
            v = (1 - mix) * v + mix * v.norm() * force / force.norm()
        else:
            v, mix, free = 0 * v, 0.1, 0
            dt = dt if step == 0 else dt / 2
        v = v + dt * force
        w = w + dt * v
    result = run(problem, Fire(first_step=0.05, max_step=0.5), max_steps=60)
    torch.testing.assert_close(result.w, w, atol=1e-10, rtol=0)


@pytest.mark.parametrize("integrator", [Adam(5e-3), GradientDescent(0.2), Fire()])
def test_fits_a_small_training_set(integrator, problem):
    net, _, x, y = problem
    result = run(problem, integrator, max_steps=20_000)
    assert result.status == "converged"
    assert result.misclassified == 0
    loss = float(Hinge().value(net(result.w, x), y).mean())
    assert result.loss == pytest.approx(loss, abs=1e-15)


def test_same_seed_same_numbers(problem):
    for integrator in (Adam(1e-3), Fire()):
        first, second = (run(problem, integrator, max_steps=50) for _ in range(2))
        assert torch.equal(first.w, second.w)


def test_float32_stays_float32(problem):
    net, w, x, y = problem
    result = run((net, w.float(), x.float(), y.float()), Adam(1e-3), max_steps=20)
    exact = run(problem, Adam(1e-3), max_steps=20)
    assert result.w.dtype == torch.float32
    torch.testing.assert_close(result.w.double(), exact.w, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Adam(0), "lr: 0 given; allowed: a positive finite number"),
        (lambda: Adam(1e-3, (0.9, 1.0)), "betas"),
        (lambda: Adam(1e-3, decay_every=0), "decay_every"),
        (lambda: Adam(1e-3, decay_factor=0.5), "decay_factor"),
        (lambda: Adam(1e-3, floor=-1.0), "floor"),
        (lambda: GradientDescent(float("nan")), "lr: nan given"),
        (lambda: Fire(0.1, 0.01), "max_step"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_learning_rate_of_a_width():
    assert Adam.for_width(100).lr == pytest.approx(1e-4, rel=1e-14)
    assert Adam.for_width(7.5).lr == 1e-4
    assert Adam.for_width(1265).lr == pytest.approx(2.22261e-6, rel=1e-5)
    assert Adam.for_width(24, cap=1e-3).lr == pytest.approx(0.1 * 24**-1.5)
    with pytest.raises(ValueError, match="h: 0 given"):
        Adam.for_width(0)
