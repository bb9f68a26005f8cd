"""The empirical NTK against per-sample gradients and torch.func; the NTK of infinite width.

    python benchmarks/bench_ntk.py [--quick]

Times are CPU seconds of one thread, which other work on the machine changes least; medians, and
ratios of medians that were taken in turns. Peers: gradients of one sample after another by autograd
with the product of the Jacobian (as the thesis's code does it), and ``vmap(jacrev)`` of torch.func
with the product parameter by parameter. Where the Jacobian would take gigabytes, the peer's time is
extrapolated from some of its samples and columns, and the line says so. Memory is the peak of a
process of its own, beyond what it held before.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from symscape.kernels import empirical_ntk, infinite_kernels
from symscape.networks import FullyConnected, StridedCNN

GOAL_NETWORK, GOAL_MODULE, GOAL_INFINITE, GOAL_MEMORY = 25.0, 10.0, 0.1, 4 * 2**30
SAMPLES = 20  # of a peer that is extrapolated
COLUMNS = 20_000  # of its Jacobian


def seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def medians(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    """Medians of times that were taken in turns."""
    times = [[seconds(function) for function in functions] for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*times)]


def peak_bytes() -> int:
    """The most memory that this process has held."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def product_seconds(P: int, n: int) -> float:
    """CPU seconds of the product of a Jacobian (P, n) with itself, from some of its columns."""
    J = torch.randn(P, min(n, COLUMNS))
    return statistics.median(seconds(lambda: J @ J.T) for _ in range(3)) * n / J.shape[1]


def by_functions(net: FullyConnected, w: Tensor, x: Tensor) -> Tensor:
    J = vmap(jacrev(lambda w, x: net(w, x[None])[0]), (None, 0))(w, x)
    return J @ J.T


def by_samples(net: FullyConnected, w: Tensor, x: Tensor) -> Tensor:
    w = w.clone().requires_grad_()
    rows = [torch.autograd.grad(net(w, point[None])[0], w)[0] for point in x]
    J = torch.stack(rows)
    return J @ J.T


def fully_connected(quick: bool) -> None:
    P = 1000
    x = torch.randn(P, 10, generator=torch.Generator().manual_seed(0))
    for h in (100, 300) if quick else (100, 300, 1000):
        net = FullyConnected(10, h, 3, parametrization="ntp", activation="relu", normalized=True)
        w = net.initial_weights(0, dtype=torch.float32)
        few = x[:SAMPLES]
        by_functions(net, w, few)  # the first call of torch.func is slower
        calls = [
            lambda net=net, w=w: empirical_ntk(net, x, w=w),
            lambda net=net, w=w, few=few: by_samples(net, w, few),
            lambda net=net, w=w, few=few: by_functions(net, w, few),
        ]
        ours, *peers = medians(calls, 3 if h < 1000 else 1)
        product = product_seconds(P, net.n_parameters)
        samples, functions = (peer * P / SAMPLES + product for peer in peers)
        w64, x64 = w.double(), few.double()
        expected = by_functions(net, w64, x64)
        found = empirical_ntk(net, few, w=w), empirical_ntk(net, x64, w=w64)
        errors = [float((K - expected).abs().max() / expected.max()) for K in found]
        difference, difference64 = errors
        worst = min(samples, functions) / ours
        good = worst >= GOAL_NETWORK and difference < 1e-6 and difference64 < 1e-12
        print(
            f"FC L = 3, h = {h}, P = {P}, float32: ours {ours:.3f} s | per sample {samples:.1f} s, "
            f"ratio {samples / ours:.0f} | torch.func {functions:.1f} s, ratio "
            f"{functions / ours:.0f} (both extrapolated from {SAMPLES} samples and {COLUMNS} "
            f"columns) | difference {difference:.0e}, float64 {difference64:.0e} | goal "
            f"{GOAL_NETWORK:g}: {verdict(good)}",
            flush=True,
        )


def user_network(c: int = 1) -> nn.Module:
    """A small convolutional network such as anyone writes it: 65,633 parameters."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, c),
    )


def thesis_network(c: int = 1) -> nn.Module:
    """The convolutional network of chapter 3 with 50 channels: 191,300 parameters."""
    return StridedCNN(50, c=c)


def module_by_functions(model: nn.Module, x: Tensor, chunk: int | None = None) -> Tensor:
    """The recipe of torch.func's tutorial: a Jacobian, and products parameter by parameter."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def f(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        return functional_call(model, parameters, (point[None],)).reshape(-1)

    J = vmap(jacrev(f), (None, 0), chunk_size=chunk)(parameters, x)
    rows = (part.flatten(1) for part in J.values())
    return torch.stack([part @ part.T for part in rows]).sum(0)


CHUNK = 20
CASES: dict[str, tuple[str, Callable[[], nn.Module], torch.dtype]] = {
    "user32": ("user's CNN (4 conv, 3x3)", user_network, torch.float32),
    "user64": ("user's CNN (4 conv, 3x3)", user_network, torch.float64),
    "classes32": ("user's CNN, 10 outputs", lambda: user_network(10), torch.float32),
    "thesis32": ("CNN of chapter 3 (h = 50)", thesis_network, torch.float32),
}


def module_case(name: str, P: int) -> tuple[nn.Module, Tensor]:
    _, make, dtype = CASES[name]
    x = torch.randn(P, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return make().to(dtype), x.to(dtype)


def child(name: str, method: str, P: int) -> None:
    """Print CPU seconds and megabytes of one run in this process."""
    model, x = module_case(name, P)
    methods = {
        "ours": lambda x: empirical_ntk(model, x, memory=2**32),
        "frugal": lambda x: empirical_ntk(model, x, memory=2**27),
        "torch.func": lambda x: module_by_functions(model, x),
        "chunked": lambda x: module_by_functions(model, x, CHUNK),
    }
    run = methods[method]
    run(x[:3])
    before = peak_bytes()
    taken = seconds(lambda: run(x))
    print(taken, (peak_bytes() - before) / 2**20)


def in_child(*words: str) -> tuple[float, float]:
    """CPU seconds and megabytes of one run in a process of its own."""
    command = [sys.executable, __file__, "--child", *words]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(answer[-2]), float(answer[-1])


def modules(quick: bool) -> None:
    P = 100 if quick else 500
    for name, (words, _, dtype) in CASES.items():
        # of ten outputs the peer's Jacobian has ten times the rows; float64 is slow for both
        small = P if name in ("user32", "thesis32") else 100
        found = {
            method: in_child(name, method, str(small))
            for method in ("ours", "frugal", "torch.func", "chunked")
        }
        time_, size = found["ours"]
        peer, peer_size = found["torch.func"]
        chunked, chunked_size = found["chunked"]
        frugal, frugal_size = found["frugal"]
        model, x = module_case(name, 12)
        expected = module_by_functions(model, x)
        difference = float((empirical_ntk(model, x) - expected).abs().max() / expected.max())
        best = min(peer, chunked) / time_
        good = best >= GOAL_MODULE and frugal_size <= peer_size / 10
        print(
            f"{words}, P = {small}, {str(dtype)[6:]}: ours {time_:.2f} s, {size:.0f} MB | with a "
            f"budget of 128 MB {frugal:.2f} s, {frugal_size:.0f} MB | torch.func {peer:.2f} s, "
            f"{peer_size:.0f} MB, ratio {peer / time_:.1f} | in chunks of {CHUNK} {chunked:.2f} s, "
            f"{chunked_size:.0f} MB, ratio {chunked / time_:.1f} | difference {difference:.0e} | "
            f"goal {GOAL_MODULE:g}, memory a tenth: {verdict(good)}",
            flush=True,
        )


def points_child(P: int, h: int, memory: int) -> None:
    """Print CPU seconds and megabytes beside the result of one kernel of many points."""
    net = FullyConnected(10, h, 3, parametrization="ntp", activation="relu", normalized=True)
    w = net.initial_weights(0, dtype=torch.float32)
    x = torch.randn(P, 10, generator=torch.Generator().manual_seed(0))
    empirical_ntk(net, x[:300], w=w)
    before, kernels = peak_bytes(), []
    taken = seconds(lambda: kernels.append(empirical_ntk(net, x, w=w, memory=memory)))
    beside = peak_bytes() - before - kernels[0].nbytes
    assert torch.equal(kernels[0], kernels[0].T)
    print(taken, beside / 2**20)


def many_points(quick: bool) -> None:
    P, h = (4000, 300) if quick else (10_000, 1000)
    for memory in (2**27, 2**32):
        taken, size = in_child("points", str(P), str(h), str(memory))
        print(
            f"FC L = 3, h = {h}, P = {P} in blocks, budget {memory / 2**30:.3g} GB: {taken:.1f} s, "
            f"{size / 1024:.2f} GB beside the result of {4 * P**2 / 2**30:.2f} GB | goal "
            f"{GOAL_MEMORY / 2**30:g} GB: {verdict(size * 2**20 <= GOAL_MEMORY)}",
            flush=True,
        )


def infinite(quick: bool) -> None:
    P = 1000
    x = torch.randn(P, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x *= 10**0.5 / x.norm(dim=1, keepdim=True)
    for name in ("relu", "erf", "softplus", "tanh"):
        net = FullyConnected(10, 1, 3, parametrization="ntp", activation=name, normalized=True)
        first = seconds(lambda net=net: infinite_kernels(net, x))
        (taken,) = medians([lambda net=net: infinite_kernels(net, x)], 5 if quick else 11)
        print(
            f"infinite width, FC L = 3, {name}, P = {P}, float64: {taken:.3f} s, first call "
            f"{first:.2f} s | goal {GOAL_INFINITE:g} s: {verdict(taken < GOAL_INFINITE)}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer sizes, in a minute")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.child:
        name, *rest = arguments.child
        if name == "points":
            points_child(*(int(number) for number in rest))
        else:
            child(name, rest[0], int(rest[1]))
        return
    fully_connected(arguments.quick)
    many_points(arguments.quick)
    infinite(arguments.quick)
    modules(arguments.quick)


if __name__ == "__main__":
    main()
