"""The Hessian of a network, split into H_0 and H_p: layer formula against double backward.

The peer is the scheme of the thesis's own packages, through modules: H_p from the gradient with
``create_graph``, one backward pass per row of the upper triangle; H_0 from the gradient of every
unsatisfied pattern, one backward pass each, and their product. A single pass over the rows of
the sum H, which the peer can do without the split, is timed too. Rows are timed on an evenly
spaced sample and extrapolated to all of them; the sampled rows are compared with ours. One thread,
CPU seconds (other jobs do not count), medians of interleaved runs.

    python benchmarks/bench_hessian.py
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from symscape.dynamics import Hinge
from symscape.landscape import h0_spectrum, hessian
from symscape.networks import FullyConnected

P, D = 1000, 10
ROWS = 120
REPEATS = 5
GOAL = 15.0
LOSS = Hinge(margin=1.0)
CASES = [
    ("relu", 2, 40),
    ("relu", 5, 21),
    ("relu", 2, 64),
    ("relu", 3, 45),
    ("relu", 5, 33),
    ("tanh", 3, 30),
    ("tanh", 3, 45),
]


def seconds(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Median CPU seconds of a call."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def as_modules(net: FullyConnected, w: Tensor) -> torch.nn.Sequential:
    """The same network out of torch's modules, with one parameter tensor per matrix and bias."""
    modules: list[torch.nn.Module] = []
    for index, (matrix, b) in enumerate(net.unpack(w)):
        linear = torch.nn.Linear(matrix.shape[1], matrix.shape[0], dtype=w.dtype)
        linear.weight.data.copy_(matrix)
        linear.bias.data.copy_(b)
        modules.append(linear)
        if index < net.L:
            modules.append(torch.nn.ReLU() if net.activation == "relu" else torch.nn.Tanh())
    return torch.nn.Sequential(*modules)


def rows_by_double_backward(
    loss: Tensor, parameters: list[Tensor], rows: list[int], out: Tensor
) -> None:
    """Rows of the upper triangle of the Hessian, added to ``out`` and to its columns."""
    gradients = torch.autograd.grad(loss, parameters, create_graph=True)
    ends = torch.tensor([p.numel() for p in parameters]).cumsum(0).tolist()
    for row in rows:
        owner = next(i for i, end in enumerate(ends) if row < end)
        inside = row - (ends[owner] - parameters[owner].numel())
        others = parameters[owner:]
        entry = gradients[owner].flatten()[inside]
        if entry.requires_grad:
            parts = torch.autograd.grad(entry, others, retain_graph=True, allow_unused=True)
        else:
            parts = (None,) * len(others)
        flat = [
            torch.zeros_like(p).flatten() if part is None else part.flatten()
            for part, p in zip(parts, others, strict=True)
        ]
        values = torch.cat(flat)[inside:]
        out[row, row:] += values
        out[row + 1 :, row] += values[1:]


class Peer:
    """H_p row by row and H_0 from the gradients of the patterns, one backward pass each."""

    def __init__(self, net: FullyConnected, w: Tensor, x: Tensor, y: Tensor) -> None:
        self.N = net.n_parameters
        self.rows = torch.linspace(0, self.N - 1, ROWS).round().long().tolist()
        module = as_modules(net, w)
        self.parameters = list(module.parameters())
        unsatisfied = LOSS.unsatisfied(module(x)[:, 0], y)
        f = module(x[unsatisfied])[:, 0]
        self.overlaps = LOSS.delta(f, y[unsatisfied])

    def all_rows(self, *, frozen: bool) -> tuple[float, list[Tensor]]:
        """CPU seconds of all rows of H, or of H_p (frozen forces), extrapolated; the sample."""
        out = torch.zeros(self.N, self.N, dtype=torch.float64)
        forces = self.overlaps.detach() if frozen else 0.5 * self.overlaps
        loss = (forces * self.overlaps).sum() / P
        start = time.process_time()
        rows_by_double_backward(loss, self.parameters, self.rows, out)
        elapsed = (time.process_time() - start) * self.N / ROWS
        return elapsed, [out[row, row:].clone() for row in self.rows]

    def h0(self) -> float:
        """CPU seconds of H_0: a sample of the gradients, extrapolated, and their product."""
        count = len(self.overlaps)
        J = torch.empty(count, self.N, dtype=torch.float64)
        start = time.process_time()
        for index in range(ROWS):
            gradients = torch.autograd.grad(
                self.overlaps[index], self.parameters, retain_graph=True
            )
            torch.cat([g.flatten() for g in gradients], out=J[index])
        per_row = (time.process_time() - start) / ROWS
        J[ROWS:] = J[:ROWS].repeat(count // ROWS + 1, 1)[: count - ROWS]
        return per_row * count + seconds(lambda: J.T @ J / P, 2)


def worst_difference(ours: Tensor, rows: list[int], theirs: list[Tensor]) -> float:
    """Largest deviation of the sampled rows, relative to the largest entry of the matrix."""
    largest = max(
        float((ours[row, row:] - values).abs().max()) for row, values in zip(rows, theirs)
    )
    return largest / float(ours.abs().max())


def run(name: str, L: int, h: int) -> bool:
    net = FullyConnected(d=D, h=h, L=L, activation=name)
    w = net.initial_weights(0, "orthogonal")
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(P, D, generator=generator, dtype=torch.float64)
    y = torch.where(torch.arange(P) % 2 == 0, 1.0, -1.0).to(torch.float64)
    n_delta = int(LOSS.unsatisfied(net(w, x), y).sum())

    parts = hessian(net, w, x, y, LOSS)
    peer = Peer(net, w, x, y)
    ours, full, only_p, h0 = [], [], [], []
    error = 0.0
    for _ in range(REPEATS):  # in turns, so that both see the same machine
        ours.append(seconds(lambda: hessian(net, w, x, y, LOSS), 1))
        t_full, H_rows = peer.all_rows(frozen=False)
        t_p, Hp_rows = peer.all_rows(frozen=True)
        full.append(t_full)
        only_p.append(t_p)
        h0.append(peer.h0())
        error = max(error, worst_difference(parts.H, peer.rows, H_rows))
        error = max(error, worst_difference(parts.Hp, peer.rows, Hp_rows))
    t_ours, t_full = statistics.median(ours), statistics.median(full)
    t_split = statistics.median(only_p) + statistics.median(h0)
    ratio, ratio_sum = t_split / t_ours, t_full / t_ours
    gram = seconds(lambda: h0_spectrum(net, w, x, y, LOSS), 2)
    dense = seconds(lambda: torch.linalg.eigvalsh(parts.H0), 1)
    met = ratio >= GOAL and error < 1e-12
    print(
        f"{name:5s} L={L} h={h:2d} N={net.n_parameters:4d} N_delta={n_delta:4d} | "
        f"H_0 and H_p: ours {t_ours:5.2f} s, peer {t_split:5.1f} s, ratio {ratio:4.1f} | "
        f"H alone: peer {t_full:5.1f} s, ratio {ratio_sum:4.1f} | difference {error:.0e} | "
        f"sp(H_0): Gram {gram:.2f} s, dense {dense:.2f} s | {'met' if met else 'MISSED'}",
        flush=True,
    )
    return met


def main() -> None:
    torch.set_num_threads(1)
    print(f"P = {P}, d = {D}, float64, one thread; peer extrapolated from {ROWS} rows")
    print("memory of ours: 16 N^2 bytes for the results, at most about 300 MB beside them")
    met = [run(*case) for case in CASES]
    print(f"goal: {GOAL:g} times faster, difference < 1e-12; met in {sum(met)} of {len(met)}")


if __name__ == "__main__":
    main()
