"""The equivariant modules against e3nn, forward, forward + backward, and construction.

Everything in one process run, in random turns, float32; medians of wall-clock time in ms, with the
CPU time of the process in brackets (other jobs do not count there). e3nn runs eager, with its
products as TorchScript, and as a whole as TorchScript where it can, and the fastest one counts.

    python benchmarks/bench_nn.py [--quick] [--threads N] [--only modules,graph,...]
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import os
import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

warnings.filterwarnings("ignore")

PARTS = ("modules", "graph", "models", "construct")
ROWS = (64, 4096)
SILU, TANH, SIGMOID = torch.nn.functional.silu, torch.tanh, torch.sigmoid
IRREPS = "64x0e+64x1o+64x2e"
MIXED = "32x0e+16x0o+16x1e+32x1o+16x2e"


def cases(library: Any) -> dict[str, Callable[[], torch.nn.Module]]:
    """The modules of a library that has ``nn`` and ``o3``."""
    nn, o3 = library
    return {
        "Activation 64x0e": lambda: nn.Activation("64x0e", [SILU]),
        "Activation 64x0e+64x0o": lambda: nn.Activation("64x0e+64x0o", [SILU, TANH]),
        "Activation, 3 blocks + 64x1o": lambda: nn.Activation(
            "32x0e+32x0o+32x0e+64x1o", [SILU, TANH, torch.relu, None]
        ),
        "Gate 64x0e, 64x1o": lambda: nn.Gate("64x0e", [SILU], "64x0e", [SIGMOID], "64x1o"),
        "Gate 64x0e, 64x1o+64x2e": lambda: nn.Gate(
            "64x0e", [SILU], "128x0e", [SIGMOID], "64x1o+64x2e"
        ),
        "Gate, both parities": lambda: nn.Gate(
            "32x0e+32x0o",
            [SILU, TANH],
            "64x0e+32x0o",
            [SIGMOID, TANH],
            "32x1o+32x1e+32x2e",
        ),
        "NormActivation": lambda: nn.NormActivation(o3.Irreps(IRREPS), SIGMOID),
        "NormActivation, bias": lambda: nn.NormActivation(o3.Irreps(MIXED), SIGMOID, bias=True),
        "BatchNorm": lambda: nn.BatchNorm(IRREPS),
        "BatchNorm, 5 blocks": lambda: nn.BatchNorm(MIXED),
        "BatchNorm, evaluation": lambda: nn.BatchNorm(IRREPS).eval(),
        "BatchNorm, instance": lambda: nn.BatchNorm(IRREPS, instance=True),
        "Dropout": lambda: nn.Dropout(o3.Irreps(IRREPS), 0.3),
        "Extract": lambda: nn.Extract(IRREPS, ["64x1o", "64x2e+64x0e"], [(1,), (2, 0)]),
        "ExtractIr": lambda: nn.ExtractIr(o3.Irreps(MIXED), "1o"),
        "Identity": lambda: nn.Identity(IRREPS, IRREPS),
        "FullyConnectedNet 8-64-64-256": lambda: nn.FullyConnectedNet([8, 64, 64, 256], SILU),
        "Norm": lambda: o3.Norm(IRREPS),
        "S2Activation, l <= 4": lambda: nn.S2Activation(o3.Irreps.spherical_harmonics(4), TANH, 12),
        "SO3Activation, l <= 2, at most 512": lambda: nn.SO3Activation(2, 2, TANH, 4),
    }


def models(library: Any) -> dict[str, tuple[Callable[[], torch.nn.Module], str]]:
    """Models, and the kind of their data."""
    _, o3 = library
    name = f"{o3.__name__.split('.')[0]}.nn.models"
    import importlib

    def module(path: str) -> Any:
        return importlib.import_module(f"{name}.{path}")

    harmonics = o3.Irreps.spherical_harmonics(2)
    hidden = o3.Irreps("32x0e+32x0o+16x1o+16x1e+8x2e")
    return {
        "gate_points_2101.Network": (
            lambda: module("gate_points_2101").Network(
                "8x0e", hidden, "0e", None, harmonics, 2, 1.5, 10, 1, 64, 12.0, 100.0
            ),
            "points",
        ),
        "v2106.SimpleNetwork, mul 16": (
            lambda: module("v2106.gate_points_networks").SimpleNetwork(
                "8x0e", "0e", 1.5, 12.0, 100.0, mul=16
            ),
            "points",
        ),
        "v2104.Convolution": (
            lambda: module("v2104.voxel_convolution").Convolution(
                "8x0e+8x1o", "8x0e+8x1o", o3.Irreps.spherical_harmonics(2), 5, 3
            ),
            "volume",
        ),
    }


def libraries() -> tuple[Any, Any]:
    """symscape and e3nn, each as nn and o3."""
    import e3nn.nn
    import e3nn.nn.models
    import e3nn.o3

    import symscape.nn
    import symscape.o3

    return (symscape.nn, symscape.o3), (e3nn.nn, e3nn.o3)


def peers(build: Callable[[], Any]) -> dict[str, Any]:
    """e3nn's module: eager, with scripted products, and as a whole as TorchScript if it can."""
    import e3nn
    from e3nn.util.jit import script

    before = e3nn.get_optimization_defaults()["jit_mode"]
    found = {}
    for name, mode in (("eager", "eager"), ("script", "script")):
        e3nn.set_optimization_defaults(jit_mode=mode)
        found[name] = build()
    with contextlib.suppress(Exception):  # not every module can be compiled
        found["whole"] = script(copy.deepcopy(found["script"]))
    e3nn.set_optimization_defaults(jit_mode=before)
    return found


def medians(
    works: dict[str, Callable[[], object]], seconds: float
) -> dict[str, tuple[float, float]]:
    """Median wall-clock and CPU milliseconds of each, taken in random turns after a warm-up."""
    for work in works.values():
        for _ in range(3):  # TorchScript specializes in the second call
            work()
    once = time.perf_counter()
    for work in works.values():
        work()
    once = time.perf_counter() - once
    repeats = max(7, min(200, int(seconds / once)))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    names, order = list(works), random.Random(0)
    for _ in range(repeats):
        order.shuffle(names)  # what comes before decides what is in the caches
        for name in names:
            work = works[name]
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: tuple(1e3 * statistics.median(column) for column in zip(*rows))  # type: ignore[misc]
        for name, rows in times.items()
    }


def row(label: str, found: dict[str, tuple[float, float]]) -> float:
    """Print one comparison, ours against the fastest of the others; their ratio of CPU times."""
    ours = found.pop("ours")
    name = min(found, key=lambda name: found[name][1])
    best = found[name]
    print(
        f"{label:52s} ours {ours[0]:8.3f} ({ours[1]:8.3f}) | e3nn {name:6s} {best[0]:8.3f} "
        f"({best[1]:8.3f}) | {best[0] / ours[0]:5.2f}x ({best[1] / ours[1]:5.2f}x)",
        flush=True,
    )
    return best[1] / ours[1]


def first(out: Any) -> Tensor:
    """All outputs side by side."""
    return out if isinstance(out, Tensor) else torch.cat(list(out), -1)


def forward(module: Any, x: Any) -> Callable[[], object]:
    """Without gradients."""

    def work() -> object:
        with torch.no_grad():
            return module(x)

    return work


def backward(module: Any, x: Any, leaves: list[Tensor]) -> Callable[[], object]:
    """Forward, and backward to the inputs and the parameters."""
    leaves = [*leaves, *module.parameters()]
    ones = torch.ones_like(first(module(x)).detach())
    return lambda: torch.autograd.grad(first(module(x)), leaves, ones, allow_unused=True)


def compare(label: str, modules: dict[str, Any], x: Any, leaves: list[Tensor], s: float) -> None:
    """Check that all agree, then print forward and forward + backward."""
    state = {k: v.clone() for k, v in modules["eager"].state_dict().items() if "_compiled" not in k}
    results = {}
    for name, module in modules.items():
        module.load_state_dict(state, strict=False)
        torch.manual_seed(0)
        results[name] = first(module(x)).detach()
        module.load_state_dict(state, strict=False)  # a normalization has changed its averages
    for name, result in results.items():
        error = float((result - results["ours"]).abs().max() / result.abs().max())
        if not error < 1e-4:
            raise SystemExit(f"{label}: {name} differs by {error}")
    works = {name: forward(module, x) for name, module in modules.items()}
    row(f"{label} forward", medians(works, s))
    works = {name: backward(module, x, leaves) for name, module in modules.items()}
    row(f"{label} forward + backward", medians(works, s))


def input_dim(module: Any) -> int:
    """Length of the feature axis."""
    if hasattr(module, "hs"):
        return module.hs[0]
    irreps = getattr(module, "irreps_in", None) or getattr(module, "irreps", None)
    return irreps.dim if irreps is not None else sum((2 * l + 1) ** 2 for l in range(3))


def bench_modules(quick: bool) -> None:
    """Each module, for few and for many samples."""
    ours, theirs = libraries()
    others = cases(theirs)
    for rows in ROWS[1:] if quick else ROWS:
        print(f"\n## {rows} samples; ms wall (CPU)")
        for label, build in cases(ours).items():
            module = build()
            count = min(rows, 512) if label.startswith("SO3") else rows
            shape = (count // 16, 16) if "instance" in label else (count,)
            x = torch.randn(*shape, input_dim(module))
            modules = {"ours": module, **peers(others[label])}
            leaf = x.clone().requires_grad_()
            compare(label, modules, leaf, [leaf], 0.5 if quick else 1.0)


class Gathered(torch.nn.Module):
    """The graph convolution in three steps, as models on e3nn have it."""

    def __init__(self, product: Any, edges: list[Tensor], nodes: int) -> None:
        super().__init__()
        self.product, self.edges, self.nodes = product, edges, nodes

    def forward(self, x: Tensor) -> Tensor:
        source, destination, attributes, weight = self.edges
        messages = self.product(x[source], attributes, weight)
        return messages.new_zeros(self.nodes, messages.shape[1]).index_add(0, destination, messages)


class Fused(Gathered):
    """The same in one step."""

    def forward(self, x: Tensor) -> Tensor:
        source, destination, attributes, weight = self.edges
        return self.product(x, attributes, weight, source, destination, self.nodes)


def bench_graph(quick: bool) -> None:
    """FusedConvolution against gather, tensor product and index_add."""
    (nn, o3), (_, peer) = libraries()
    nodes, neighbors, mul = 500, 20, 32
    instructions = [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3)]

    def product(library: Any) -> Any:
        irreps = [
            library.Irreps(text)
            for text in (f"{mul}x0e+{mul}x1o", "0e+1o", f"{mul}x0e+{mul}x1o+{mul}x1o+{mul}x0e")
        ]
        paths = [(*path, "uvu", True) for path in instructions]
        return library.TensorProduct(*irreps, paths, shared_weights=False, internal_weights=False)

    print(f"\n## graph, {nodes} nodes, {neighbors} neighbors, {mul}(0e+1o); ms wall (CPU)")
    generator = torch.Generator().manual_seed(0)
    destination = torch.arange(nodes).repeat_interleave(neighbors)
    source = torch.randint(nodes, destination.shape, generator=generator)
    fused = nn.FusedConvolution(product(o3))
    attributes = torch.randn(len(source), 4, generator=generator)
    weight = torch.randn(len(source), 4 * mul, generator=generator)
    edges = [source, destination, attributes, weight]
    for tensor in edges[2:]:
        tensor.requires_grad_()
    modules = {"ours": Fused(fused, edges, nodes)}
    for name, module in peers(lambda: product(peer)).items():
        modules[name] = Gathered(module, edges, nodes)
    x = torch.randn(nodes, 4 * mul, generator=generator).requires_grad_()
    compare("FusedConvolution", modules, x, [x, *edges[2:]], 1.0 if quick else 3.0)


def sample(kind: str) -> tuple[Any, list[Tensor]]:
    """Data of a model, and what its gradients are taken of."""
    generator = torch.Generator().manual_seed(0)
    if kind == "volume":
        x = torch.randn(1, 32, 16, 16, 16, generator=generator).requires_grad_()
        return x, [x]
    # a grid with noise: e3nn's own neighbors would contain loops, from rounding errors
    grid = torch.cartesian_prod(*[torch.arange(5.0)] * 3) + 0.1 * torch.rand(
        125, 3, generator=generator
    )
    pos = (0.9 * grid).requires_grad_()
    return {"pos": pos, "x": torch.randn(125, 8, generator=generator)}, [pos]


def bench_models(quick: bool) -> None:
    """Whole models, energies and forces."""
    ours, theirs = libraries()
    print("\n## models; ms wall (CPU)")
    others = models(theirs)
    for label, (build, kind) in models(ours).items():
        x, leaves = sample(kind)
        modules = {"ours": build(), **peers(others[label][0])}
        modules.pop("whole", None)
        without_loops(modules)
        compare(label, modules, x, leaves, 2.0 if quick else 4.0)


def without_loops(modules: dict[str, Any]) -> None:
    """Give e3nn's networks our neighbors: theirs contain each point itself, from rounding."""
    from symscape.nn.models._graph import radius_graph

    for name, module in modules.items():
        if name != "ours":
            vars(sys.modules[type(module).__module__])["radius_graph"] = radius_graph


def bench_construct(quick: bool) -> None:
    """Time to make a module: the first of its kind in a process, and the next."""
    print("\n## construction, ms: first in a process / again; e3nn (products as TorchScript: +)")
    for label in cases(libraries()[0]):
        texts = []
        for library in ("symscape", "e3nn"):
            code = (
                "import sys; sys.path.insert(0, sys.argv[1]); import bench_nn; "
                "bench_nn.construct(sys.argv[2], sys.argv[3])"
            )
            command = [sys.executable, "-c", code, os.path.dirname(os.path.abspath(__file__))]
            runs = [
                subprocess.run(
                    [*command, library, label], capture_output=True, text=True, check=True
                ).stdout.split()
                for _ in range(1 if quick else 3)
            ]
            cold, again = (statistics.median(map(float, column)) for column in zip(*runs))
            texts.append(f"{library:8s} {cold:8.1f} / {again:8.2f}")
        print(f"{label:34s} {' | '.join(texts)} | 50 ms", flush=True)


def construct(library: str, label: str) -> None:
    """Print the milliseconds of the first module and of the next ones."""
    torch.set_num_threads(1)
    build = cases(libraries()[library == "e3nn"])[label]
    torch.randn(3)  # the first random numbers of a process
    times = []
    for _ in range(4):
        start = time.perf_counter()
        build()
        times.append(1e3 * (time.perf_counter() - start))
    print(times[0], statistics.median(times[1:]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one size, fewer repeats")
    parser.add_argument("--threads", type=int, default=1, help="default: 1")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"threads {options.threads}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    for part in options.only.split(","):
        globals()[f"bench_{part}"](options.quick)


if __name__ == "__main__":
    main()
