"""Spherical harmonics, Wigner matrices and sphere grids against e3nn and sphericart.

Everything in one process run, the candidates one after the other in each round, float32; medians
of wall-clock time. sphericart is left out where it is not installed (``pip install
sphericart-torch``).

    python benchmarks/bench_spherical_harmonics.py [--quick] [--threads N]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

warnings.filterwarnings("ignore")

Candidates = dict[str, Callable[[], Any]]


def medians(candidates: Candidates, rounds: int) -> dict[str, float]:
    """Milliseconds of each candidate; interleaved, so that load from outside falls on all."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for call in candidates.values():
        call()
    for _ in range(rounds):
        for name, call in candidates.items():
            call()  # or the first to run pays for the memory that another gave back to the system
            start = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def row(title: str, candidates: Candidates, rounds: int) -> None:
    """Print one line: times, and how many times faster symscape is than each peer."""
    found = medians(candidates, rounds)
    parts = [f"{name} {ms:8.3f} ms" for name, ms in found.items()]
    parts += [
        f"{ms / found['symscape']:6.2f}x {name}" for name, ms in found.items() if name != "symscape"
    ]
    print(f"{title:34s}", "   ".join(parts), flush=True)


def harmonics(points: int, rounds: int) -> None:
    """Values, and values with a backward pass, of all degrees up to lmax."""
    from e3nn import o3 as peer

    from symscape import o3

    try:
        import sphericart.torch as sphericart
    except ImportError:
        sphericart = None
        print("sphericart is not installed")
    x = torch.randn(points, 3, generator=torch.Generator().manual_seed(0))
    leaf = x.clone().requires_grad_()
    for lmax in (3, 6, 11):
        ls = list(range(lmax + 1))
        modules: dict[str, Callable] = {
            "symscape": o3.SphericalHarmonics(ls, True),
            "e3nn": peer.SphericalHarmonics(ls, True),
        }
        if sphericart is not None:
            modules["sphericart"] = sphericart.SphericalHarmonics(lmax)

        def train(module: Callable) -> None:
            leaf.grad = None
            module(leaf).sum().backward()

        row(f"lmax {lmax:2d}, forward", {n: lambda m=m: m(x) for n, m in modules.items()}, rounds)
        row(
            f"lmax {lmax:2d}, forward + backward",
            {n: lambda m=m: train(m) for n, m in modules.items()},
            rounds,
        )


def wigner(rounds: int) -> None:
    """Wigner D for 1000 rotations."""
    from e3nn import o3 as peer

    from symscape import o3

    angles = o3.rand_angles(1000, generator=torch.Generator().manual_seed(0))
    for l in (3, 6, 11):
        row(
            f"wigner_D, l = {l}, 1000 rotations",
            {
                "symscape": lambda l=l: o3.wigner_D(l, *angles),
                "e3nn": lambda l=l: peer.wigner_D(l, *angles),
            },
            rounds,
        )


def grids(rounds: int) -> None:
    """256 signals on the sphere, there and back."""
    from e3nn import o3 as peer

    from symscape import o3

    for lmax in (5, 11):
        x = torch.randn(256, (lmax + 1) ** 2)
        to = {"symscape": o3.ToS2Grid(lmax), "e3nn": peer.ToS2Grid(lmax)}
        res = (2 * lmax + 2, 2 * lmax + 1)
        back = {"symscape": o3.FromS2Grid(res, lmax), "e3nn": peer.FromS2Grid(res, lmax)}
        signal = to["symscape"](x)
        row(f"ToS2Grid lmax {lmax}", {n: lambda m=m, x=x: m(x) for n, m in to.items()}, rounds)
        row(
            f"FromS2Grid lmax {lmax}",
            {n: lambda m=m, s=signal: m(s) for n, m in back.items()},
            rounds,
        )


_COLD = """
import time, torch
start = time.perf_counter()
from symscape import o3
imported = time.perf_counter()
for l1 in range(12):
    for l2 in range(l1, 12):
        for l3 in range(l2, min(l1 + l2, 11) + 1):
            o3.wigner_3j(l1, l2, l3)
print(f"import symscape.o3 after torch {imported - start:.3f} s, "
      f"3j symbols of the 203 sorted triples up to 11 {time.perf_counter() - imported:.3f} s")
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rounds = 7 if arguments.quick else 41
    print(f"torch {torch.__version__}, threads {torch.get_num_threads()}, 20000 points, float32")
    harmonics(20_000, rounds)
    wigner(max(3, rounds // 4))
    grids(rounds)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", _COLD], check=True, env=environment)


if __name__ == "__main__":
    main()
