"""Ensembles of chapters 2 and 3: 20 seeds of a wide network, and a scan of alpha, on two cores.

    python benchmarks/bench_ensembles.py [--quick]

**20 seeds.** Gradient flow to zero training loss of 20 networks with three hidden layers of 100
neurons on 1000 digits (MNIST parity, 10 principal components, softplus and soft hinge,
F = f - f_0). The peer is the original's scheme of ``bench_gradient_flow.py``, one seed after
another, timed on one seed and cut after two minutes: its ratio is then a lower bound. What bounds
ours is said by the rate of floating-point operations, 6 N P for each evaluation of loss and
gradient, beside that of the matrix products of the BLAS at this width. Goal: 5 times faster.

**A scan of alpha.** 20 values of alpha and 10 seeds, 200 trainings of very different lengths, by
``train_ensemble`` in two processes. A core is busy while its process is at work on a training; the
share does not count what other jobs of the machine take from it. Goal: above 90 %.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import argparse
import time

import torch

from bench_gradient_flow import CHEBYSHEV, PEER_SECONDS, SEEDS, WORKERS, Case, warm_up
from symscape.datasets import mnist_parity
from symscape.dynamics import Chebyshev, SoftHinge, Stop, train_ensemble
from symscape.networks import FullyConnected

GOAL, BUSY_GOAL = 5.0, 0.9


def rate_of_products(h: int, P: int) -> float:
    """Floating-point operations per second of one thread in (h, h) x (h, P) products, float64."""
    a, b = torch.randn(h, h, dtype=torch.float64), torch.randn(h, P, dtype=torch.float64)
    out = torch.empty(h, P, dtype=torch.float64)
    rates = []
    for _ in range(5):
        start = time.process_time()
        for _ in range(100):
            torch.mm(a, b, out=out)
        rates.append(100 * 2 * h * h * P / (time.process_time() - start))
    return max(rates)


def twenty_seeds(L: int, h: int, P: int, peer_seconds: float) -> None:
    case = Case(L, h, P, smooth=True)
    ensemble, per_seed = case.ours(CHEBYSHEV, SEEDS)
    peer = case.peer(0, None, peer_seconds)
    done = sum(result.status == "converged" for result in ensemble)
    # a seed has one core for itself, and two seeds run side by side
    evaluations = sum(result.evaluations for result in ensemble) / SEEDS
    rate = 6 * case.net.n_weights * P * evaluations / (per_seed * WORKERS)
    peer_rate = 6 * case.net.n_weights * P * (peer.trials + 1) / peer.seconds
    products = rate_of_products(h, P)
    cut = "" if peer.n_delta == 0 else f", cut with N_delta = {peer.n_delta}: a lower bound"
    print(f"\n{SEEDS} seeds, L = {L}, h = {h}, P = {P} ({case.source.name}), seconds per seed")
    print(f"ours      {per_seed:8.2f}  {evaluations:8.0f} evaluations  {rate / 1e9:6.1f} Gflop/s"
          f"  {done}/{SEEDS} at zero loss")  # fmt: skip
    print(f"original  {peer.seconds:8.2f}  {peer.trials:8d} evaluations  {peer_rate / 1e9:6.1f}"
          f" Gflop/s{cut}")  # fmt: skip
    print(
        f"ratio {peer.seconds / per_seed:.1f} (goal {GOAL:.0f}): {peer.trials / evaluations:.1f} "
        f"times fewer evaluations, {rate / peer_rate:.1f} times the rate, {WORKERS} cores"
    )
    print(f"bound: matrix products of this size reach {products / 1e9:.1f} Gflop/s on one thread; "
          f"ours work at {rate / products:.0%} of it")  # fmt: skip


def alpha_scan(values: int, seeds: int, h: int, P: int) -> None:
    net = FullyConnected(
        10, h, 2, parametrization="ntp", activation="softplus", bias=False, normalized=True
    )
    split = mnist_parity(P, d=10, seed=0)
    scales = torch.logspace(-2, 4, values, dtype=torch.float64) / h**0.5
    w0 = torch.stack([net.initial_weights(seed) for _ in range(values) for seed in range(seeds)])
    ensemble = train_ensemble(
        net,
        w0,
        split.x_train,
        split.y_train,
        loss=SoftHinge(),
        integrator=Chebyshev(),
        alpha=scales.repeat_interleave(seeds),
        stop=Stop(max_steps=10**6),
        strategy="processes",
        workers=WORKERS,
    )
    times = [result.wall_seconds for result in ensemble]
    busy = sum(times) / (WORKERS * ensemble.wall_seconds)
    done = sum(result.status == "converged" for result in ensemble)
    print(f"\nscan of {values} alpha x {seeds} seeds, L = 2, h = {h}, P = {P}: {done} of "
          f"{len(times)} at zero loss")  # fmt: skip
    print(f"{ensemble.wall_seconds:.1f} s; trainings of {min(times):.2f} to {max(times):.2f} s")
    print(f"both cores busy: {busy:.1%} (goal {BUSY_GOAL:.0%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    warm_up(Case(2, 30, 500, True))
    if quick:
        twenty_seeds(3, 30, 200, 10.0)
        alpha_scan(6, 4, 12, 60)
    else:
        twenty_seeds(3, 100, 1000, PEER_SECONDS)
        alpha_scan(20, 10, 20, 100)


if __name__ == "__main__":
    main()
