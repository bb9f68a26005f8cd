"""Ensembles: every strategy gives each member what it gets alone."""

import multiprocessing
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest
import torch

from symscape.dynamics import (
    SGD,
    Adam,
    CrossEntropy,
    ErrorPerStep,
    EulerThesis,
    Fire,
    GradientDescent,
    Hinge,
    RungeKutta,
    SoftHinge,
    Stop,
    train,
    train_ensemble,
)
from symscape.dynamics._objective import Objective

INTEGRATORS = {
    "runge-kutta": RungeKutta(),
    "outputs": RungeKutta(controller=ErrorPerStep(1e-2, space="outputs", max_output_change=0.5)),
    "euler": EulerThesis(max_dgrad=1e-2),
    "momentum": EulerThesis(max_dgrad=1e-2, tau=0.1),
    "adam": Adam(5e-3, decay_every=150),
    "descent": GradientDescent(0.05),
    "fire": Fire(),
    "sgd": SGD(0.3, batch=20),
    "batch-norm": SGD(0.03, batch=20, batch_norm=True),
}


@pytest.fixture
def members():
    """Softplus networks of which some end long before others: (net, w0, x, y)."""
    from symscape.networks import FullyConnected

    net = FullyConnected(6, 12, 2, parametrization="ntp", activation="softplus", normalized=True)
    w = torch.stack([net.initial_weights(seed) for seed in range(4)])
    x = torch.randn(30, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return net, w, x, torch.sign(x[:, 0] * x[:, 1])


def ensemble(members, integrator, strategy, alpha=None, **options):
    net, w, x, y = members
    stop = options.pop("stop", Stop(max_steps=400))
    loss = options.pop("loss", SoftHinge(beta=5.0))
    return train_ensemble(
        net, w, x, y, loss=loss, integrator=integrator, stop=stop, alpha=alpha,
        strategy=strategy, **options,
    )  # fmt: skip


def assert_same(one, other, tolerance):
    assert one.status == other.status
    assert one.steps == other.steps
    assert one.evaluations == other.evaluations
    assert one.n_delta == other.n_delta
    assert one.time == pytest.approx(other.time, rel=tolerance)
    torch.testing.assert_close(one.w, other.w, atol=tolerance, rtol=tolerance)
    for name, column in one.history.items():
        assert column == pytest.approx(other.history[name], rel=1e-4, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", INTEGRATORS)
def test_batched_members_get_what_they_get_alone(name, members):
    net, w, x, y = members
    integrator = INTEGRATORS[name]
    alpha = torch.tensor([0.1, 1.0, 3.0, 30.0], dtype=torch.float64)
    test = (x + 0.1, y)
    batched = ensemble(members, integrator, "batched", alpha, test=test)
    assert (batched.strategy, batched.workers, len(batched)) == ("batched", 1, 4)
    for i, member in enumerate(batched):
        alone = train(
            net,
            w[i],
            x,
            y,
            loss=SoftHinge(beta=5.0),
            integrator=integrator.for_member(i),
            stop=Stop(max_steps=400),
            alpha=float(alpha[i]),
            test=test,
        )
        assert_same(member, alone, 1e-7)
        assert member.test_error == alone.test_error


def test_members_end_at_different_steps(members):
    batched = ensemble(members, RungeKutta(), "batched", torch.tensor([0.1, 1, 3, 30]), stop=Stop())
    assert {member.status for member in batched} == {"converged"}
    assert len({member.steps for member in batched}) > 2
    assert len({member.evaluations for member in batched}) > 2
    net, w, x, y = members
    for i, alpha in enumerate((0.1, 1.0, 3.0, 30.0)):
        delta = 1 - y * alpha * (net(batched[i].w, x) - net(w[i], x))
        assert -1e-4 < float(delta.max()) <= 1e-6


def test_finished_members_cost_nothing(members, monkeypatch):
    sizes = []
    evaluate = Objective.evaluate

    def spy(self, w):
        sizes.append(len(w))
        return evaluate(self, w)

    monkeypatch.setattr(Objective, "evaluate", spy)
    batched = ensemble(members, Fire(), "batched")
    assert sorted(sizes, reverse=True) == sizes
    assert sum(sizes) == sum(member.evaluations for member in batched)
    assert len(set(sizes)) > 1


@pytest.mark.parametrize("loss", [Hinge(), CrossEntropy()], ids=str)
def test_other_losses(loss, members):
    batched = ensemble(members, Adam(1e-2), "batched", loss=loss)
    loop = ensemble(members, Adam(1e-2), "loop", loss=loss)
    assert loop.strategy == "loop"
    for one, other in zip(batched, loop, strict=True):
        assert_same(one, other, 1e-9)


def test_members_with_their_own_data(members):
    net, w, x, y = members
    x, y = torch.stack([x, -x, x + 0.1, x.flip(0)]), torch.stack([y, y, -y, y.flip(0)])
    batched = ensemble((net, w, x, y), RungeKutta(), "batched", 1.0)
    for i, member in enumerate(batched):
        alone = train(
            net, w[i], x[i], y[i], loss=SoftHinge(5.0), integrator=RungeKutta(), alpha=1.0,
            stop=Stop(max_steps=400),
        )  # fmt: skip
        assert_same(member, alone, 1e-7)


def test_processes_give_the_same_numbers_bit_for_bit(members):
    loop = ensemble(members, INTEGRATORS["sgd"], "loop")
    processes = ensemble(members, INTEGRATORS["sgd"], "processes", workers=2)
    assert (processes.strategy, processes.workers) == ("processes", 2)
    for one, other in zip(loop, processes, strict=True):
        assert torch.equal(one.w, other.w)
        assert_same(one, other, 0.0)


def test_diverged_members_do_not_disturb_the_others(members):
    net, w, x, y = members
    broken = w.clone()
    broken[1] *= 1e200
    batched = ensemble((net, broken, x, y), GradientDescent(0.05), "batched")
    whole = ensemble(members, GradientDescent(0.05), "batched")
    assert batched[1].status == "diverged"
    assert batched[1].steps == 0
    for i in (0, 2, 3):
        assert_same(batched[i], whole[i], 1e-9)


KILLED = """
import os, signal, sys, torch
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from time import sleep
from symscape.dynamics import GradientDescent, Hinge, Stop, train_ensemble
from symscape.networks import FullyConnected

def main():
    net = FullyConnected(2, 3, 1)
    w, x, y = torch.zeros(4, net.n_parameters), torch.ones(5, 2), torch.ones(5)
    def train():
        train_ensemble(net, w, x, y, loss=Hinge(margin=9.0), integrator=GradientDescent(1e-30),
                       stop=Stop(max_steps=10**9), strategy="processes", workers=2)
    ThreadPoolExecutor(1).submit(train)
    while len(active_children()) < 2:
        sleep(0.05)
    sleep(4.0)
    print(*[child.pid for child in active_children()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    main()
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_workers_end_with_their_parent(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    run = subprocess.run([sys.executable, script], stdout=subprocess.PIPE, text=True, timeout=120)
    assert run.returncode == -signal.SIGKILL
    pids = run.stdout.split()
    assert len(pids) == 2
    deadline = monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert monotonic() < deadline, "the workers outlive their parent"
        sleep(0.1)


@pytest.mark.parametrize(("workers", "expected"), [(1, "loop"), (2, "processes")])
def test_strategy_follows_the_number_of_workers(workers, expected, members):
    result = ensemble(members, Adam(), "auto", stop=Stop(max_steps=2), workers=workers)
    assert result.strategy == expected


def test_daemonic_processes_start_no_others(members, monkeypatch):
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)
    result = ensemble(members, Adam(), "auto", stop=Stop(max_steps=2), workers=2)
    assert result.strategy == "loop"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_gpu_members_are_batched_and_agree_with_the_cpu(dtype, members):
    net, *tensors = members
    tensors = [t.to(dtype) for t in tensors]
    cpu = ensemble((net, *tensors), Adam(1e-2), "loop", 1.0, stop=Stop(max_steps=100))
    gpu = ensemble(
        (net, *[t.cuda() for t in tensors]), Adam(1e-2), "auto", 1.0, stop=Stop(max_steps=100)
    )
    assert gpu.strategy == "batched"
    tolerance = 1e-9 if dtype == torch.float64 else 1e-2
    for one, other in zip(cpu, gpu, strict=True):
        torch.testing.assert_close(one.w, other.w.cpu(), atol=tolerance, rtol=tolerance)


def test_wrong_arguments_are_named(members):
    net, w, x, y = members
    with pytest.raises(ValueError, match="strategy: 'threads' given; allowed: auto, loop"):
        ensemble(members, Adam(), "threads")
    for workers in (0, 1.5):
        with pytest.raises(ValueError, match=f"workers: {workers} given"):
            ensemble(members, Adam(), "loop", workers=workers)
    for strategy in ("auto", "loop", "batched", "processes"):
        with pytest.raises(ValueError, match=r"w0: shape \(0, \d+\) given; allowed: .* E >= 1"):
            ensemble((net, w[:0], x, y), Adam(), strategy)
    with pytest.raises(ValueError, match=r"alpha: shape \(3,\) given; allowed: a number or \(4,\)"):
        ensemble(members, Adam(), "loop", torch.ones(3))
    with pytest.raises(ValueError, match=r"w0: shape \(\d+,\) given|w0: shape"):
        ensemble((net, w[0], x, y), Adam(), "loop")
    with pytest.raises(ValueError, match=r"x: shape .* allowed: 4 members"):
        ensemble((net, w, x.expand(3, -1, -1), y), Adam(), "loop")
