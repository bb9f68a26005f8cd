"""Kernel regression: nested training sets and many targets from one factorization, lattices by FFT.

    python benchmarks/bench_kernels.py

The peer is scikit-learn's KernelRidge: once per training set and target, as a loop over targets is
written, and once per training set with all targets together. Both see the same Laplace kernel; ours
computes its Gram matrix from distances, the peer gets it precomputed by the same function, so that
its time is that of its own work plus one Gram matrix per fit.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from sklearn.kernel_ridge import KernelRidge

from symscape.kernels import Lattice, laplace, nested_predictions, random_points

SIZES = (1000, 2000, 4000, 8000)
TARGETS = 10
TESTS = 1000
GOAL = 5.0


def elapsed(function: Callable[[], object]) -> tuple[float, object]:
    """Wall seconds of a call, and what it returned."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def peer(K: np.ndarray, k: np.ndarray, Z: np.ndarray, *, together: bool) -> np.ndarray:
    """Predictions (sizes, n_test, targets) of KernelRidge with precomputed kernels."""
    values = []
    for n in SIZES:
        block = np.ascontiguousarray(K[:n, :n])
        if together:
            fit = KernelRidge(alpha=0.0, kernel="precomputed").fit(block, Z[:n])
            values.append(fit.predict(k[:, :n]))
        else:
            columns = [
                KernelRidge(alpha=0.0, kernel="precomputed").fit(block, Z[:n, t]).predict(k[:, :n])
                for t in range(TARGETS)
            ]
            values.append(np.stack(columns, axis=1))
    return np.stack(values)


def learning_curve() -> None:
    kernel = laplace(1.0)
    x, x_test = random_points("sphere", SIZES[-1], 5, 0), random_points("sphere", TESTS, 5, 1)
    Z = np.random.default_rng(2).standard_normal((SIZES[-1], TARGETS))
    ours, found = elapsed(lambda: nested_predictions(kernel, x, Z, x_test, SIZES))
    gram, (K, k) = elapsed(lambda: (kernel(x), kernel(x_test, x)))
    loop, values = elapsed(lambda: peer(K, k, Z, together=False))
    once, _ = elapsed(lambda: peer(K, k, Z, together=True))
    again, _ = elapsed(lambda: nested_predictions(kernel, x, Z, x_test, SIZES))
    ours = (ours + again) / 2  # before and after, so that both see the same machine
    difference = float(np.abs(found.values - values).max() / np.abs(values).max())  # type: ignore[attr-defined]
    ratio, ratio_once = (loop + gram) / ours, (once + gram) / ours
    met = "met" if ratio >= GOAL and difference < 1e-6 else "MISSED"
    print(
        f"nested P = {SIZES}, {TARGETS} targets: ours {ours:.1f} s | loop {loop + gram:.1f} s, "
        f"ratio {ratio:.1f} | all targets per fit {once + gram:.1f} s, ratio {ratio_once:.1f} | "
        f"difference {difference:.0e} | goal {GOAL:g}: {met}",
        flush=True,
    )


def lattice() -> None:
    kernel = laplace(0.5)
    small = Lattice(64, 2)
    Z = small.sample(kernel, seed=0)
    dense_time, dense = elapsed(lambda: np.linalg.solve(kernel(small.points()), Z.ravel()))
    fast_time, fast = elapsed(lambda: small.solve(kernel, Z))
    difference = float(np.abs(fast.ravel() - dense).max() / np.abs(dense).max())  # type: ignore[attr-defined]
    large = Lattice(1024, 2)
    sample_time, field = elapsed(lambda: large.sample(kernel, seed=0))
    solve_time, a = elapsed(lambda: large.solve(kernel, field))
    residual = float(np.abs(large.predict(kernel, a) - field).max() / np.abs(field).max())
    met = "met" if solve_time < 2 and difference < 1e-9 else "MISSED"
    print(
        f"lattice, d = 2: 2^12 points {fast_time * 1e3:.1f} ms, dense {dense_time:.2f} s, "
        f"difference {difference:.0e} | 2^20 points: sampling {sample_time:.2f} s, regression "
        f"{solve_time:.2f} s, residual {residual:.0e} | goal 2 s and 1e-9: {met}"
    )


def main() -> None:
    learning_curve()
    lattice()


if __name__ == "__main__":
    main()
