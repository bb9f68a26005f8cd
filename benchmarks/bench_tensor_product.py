"""Tensor products, the graph convolution and the linear layer against e3nn.

Everything in one process run, interleaved, float32; medians of wall-clock time, with the CPU time
of the process in brackets (other jobs do not count there). e3nn runs eager and as TorchScript, and
the faster one counts. *Copies* are times in units of one ``out.copy_(other)`` of the output.

    python benchmarks/bench_tensor_product.py [--quick] [--threads N] [--only uvu,graph,...]
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

warnings.filterwarnings("ignore")

PARTS = ("uvu", "graph", "modes", "linear", "construct", "start")


def product_of(tp: Any) -> Any:
    """The contraction's description of an e3nn tensor product."""
    from e3nn.o3 import wigner_3j

    from symscape.contraction import Path as ProductPath
    from symscape.contraction import Product, Segment, path_shape

    tables: dict[tuple, tuple] = {}
    paths, weight = [], 0

    def segment(irreps: Any, index: int) -> Segment:
        mul, ir = irreps[index]
        return Segment(irreps.slices()[index].start, mul, ir.dim)

    for ins in tp.instructions:
        irs = (tp.irreps_in1[ins.i_in1], tp.irreps_in2[ins.i_in2], tp.irreps_out[ins.i_out])
        ls = tuple(ir.l for _, ir in irs)
        if ls not in tables:
            c = wigner_3j(*ls, dtype=torch.float64)
            tables[ls] = tuple((*index, float(c[*index])) for index in c.nonzero().tolist())
        blocks = [
            segment(tp.irreps_in1, ins.i_in1),
            segment(tp.irreps_in2, ins.i_in2),
            segment(tp.irreps_out, ins.i_out),
        ]
        mode = ins.connection_mode
        offset = weight if ins.has_weight else None
        paths.append(ProductPath(mode, *blocks, offset, ins.path_weight, tables[ls]))
        if ins.has_weight:
            numel = 1
            for size in path_shape(mode, *(block.mul for block in blocks)):
                numel *= size
            weight += numel
    dims = (tp.irreps_in1.dim, tp.irreps_in2.dim, tp.irreps_out.dim)
    return Product(*dims, weight, tuple(paths))


def uvu_product(mul: int, lmax: int, *, both: bool = False, **options: Any) -> Any:
    """e3nn's weighted product of features and spherical harmonics, as in NequIP."""
    from e3nn import o3

    features = [(mul, (l, p)) for l in range(lmax + 1) for p in ((1, -1) if both else ((-1) ** l,))]
    irreps_in = o3.Irreps(features)
    harmonics = o3.Irreps.spherical_harmonics(lmax)
    found, instructions = [], []
    for (i, (_, ir1)), (j, (_, ir2)) in itertools.product(
        enumerate(irreps_in), enumerate(harmonics)
    ):
        for ir in ir1 * ir2:
            if ir in irreps_in:
                instructions.append((i, j, len(found), "uvu", True))
                found.append((mul, ir))
    out, places, _ = o3.Irreps(found).sort()
    instructions = [(i, j, places[k], mode, train) for i, j, k, mode, train in instructions]
    return o3.TensorProduct(
        irreps_in,
        harmonics,
        out,
        instructions,
        shared_weights=False,
        internal_weights=False,
        **options,
    )


def peers(build: Callable[[], Any]) -> dict[str, Any]:
    """e3nn's module, eager and scripted."""
    from e3nn import get_optimization_defaults, set_optimization_defaults

    before = get_optimization_defaults()["jit_mode"]
    modules = {}
    for mode in ("eager", "script"):
        set_optimization_defaults(jit_mode=mode)
        modules[mode] = build()
    set_optimization_defaults(jit_mode=before)
    return modules


def medians(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median wall-clock and CPU milliseconds of each, taken in turns after a warm-up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for work in works.values():
        for _ in range(3):  # TorchScript specializes in the second call
            work()
    for _ in range(repeats):
        for name, work in works.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: tuple(1e3 * statistics.median(column) for column in zip(*rows))  # type: ignore[misc]
        for name, rows in times.items()
    }


def row(label: str, found: dict[str, tuple[float, float]], goal: str = "") -> None:
    """Print one comparison; `ours` against the fastest of the e3nn variants."""
    ours = found["ours"]
    text = f"{label:34s} ours {ours[0]:8.2f} ({ours[1]:8.2f})"
    others = {n: t for n, t in found.items() if n in ("eager", "script", "e3nn")}
    if others:
        name = min(others, key=lambda n: others[n][0])
        best = others[name]
        text += f" | e3nn {name:6s} {best[0]:8.1f} ({best[1]:8.1f})"
        text += f" | {best[0] / ours[0]:6.1f}x ({best[1] / ours[1]:6.1f}x)"
    for unit in ("copy", "matmul"):
        if unit in found:
            text += f" | {ours[0] / found[unit][0]:5.2f} {unit} ({ours[1] / found[unit][1]:5.2f})"
    print(f"{text} | {goal}", flush=True)


def gradients(
    function: Callable[..., Tensor], inputs: list[Tensor], g: Tensor
) -> Callable[[], object]:
    """Forward and backward."""
    return lambda: torch.autograd.grad(function(*inputs), inputs, g)


def double(
    function: Callable[..., Tensor], inputs: list[Tensor], g: Tensor
) -> Callable[[], object]:
    """Forward, backward, and backward through the squared norm of the gradients."""

    def work() -> object:
        first = torch.autograd.grad(function(*inputs), inputs, g, create_graph=True)
        return torch.autograd.grad(first, [*inputs, g], [t.detach() for t in first])

    return work


def compare(
    label: str,
    functions: dict[str, Callable[..., Tensor]],
    inputs: list[Tensor],
    goals: tuple[str, str, str],
    repeats: int,
    extra: dict[str, Callable[[], object]] | None = None,
    passes: int = 3,
) -> None:
    """Check that all agree, then print forward, forward + backward, and with double backward."""
    with torch.no_grad():
        results = {name: function(*inputs) for name, function in functions.items()}
    reference = next(iter(results.values()))
    for name, result in results.items():
        error = float((result - reference).abs().max() / reference.abs().max())
        if not error < 1e-5:
            raise SystemExit(f"{label}: {name} differs by {error}")
    g = torch.randn_like(reference).requires_grad_()
    del results
    extra = extra or {}

    def forward(function: Callable[..., Tensor]) -> Callable[[], object]:
        def work() -> object:
            with torch.no_grad():
                return function(*inputs)

        return work

    leaves = [t.detach().requires_grad_() for t in inputs]
    kinds = [("forward", forward), ("forward + backward", None), ("... + double backward", None)]
    for (kind, _), goal in list(zip(kinds, goals))[:passes]:
        if kind == "forward":
            works = {name: forward(f) for name, f in functions.items()}
        elif kind == "forward + backward":
            works = {name: gradients(f, leaves, g.detach()) for name, f in functions.items()}
        else:
            works = {name: double(f, leaves, g) for name, f in functions.items()}
        row(f"{label} {kind}", medians({**works, **extra}, repeats), goal)


def bench_uvu(quick: bool, repeats: int) -> None:
    """uvu product, 4096 edges."""
    from symscape.contraction import contract

    print("\n## uvu product, 4096 edges; ms wall (CPU)")
    cases = [(32, 1), (64, 2)] if quick else list(itertools.product((32, 64, 128), (1, 2, 3)))
    for mul, lmax in cases:
        modules = peers(lambda mul=mul, lmax=lmax: uvu_product(mul, lmax))  # type: ignore[misc]
        tp = modules["eager"]
        product = product_of(tp)
        edges = 4096
        x = tp.irreps_in1.randn(edges, -1)
        y = tp.irreps_in2.randn(edges, -1)
        w = torch.randn(edges, tp.weight_numel)
        functions = {
            **modules,
            "ours": lambda x, y, w, product=product: contract(product, x, y, w),
        }
        target, origin = (
            torch.empty(edges, tp.irreps_out.dim),
            torch.randn(edges, tp.irreps_out.dim),
        )
        copy = {"copy": lambda a=target, b=origin: a.copy_(b)}
        goals = ("20x, 2 copies", "20x, 5 copies", "15x")
        compare(f"mul {mul} lmax {lmax}", functions, [x, y, w], goals, repeats, copy)


def graph_layer(
    nodes: int, neighbors: int, mul: int, lmax: int
) -> tuple[Any, list[Tensor], Tensor, Tensor]:
    """Product, inputs, source and destination of a NequIP layer."""
    tp = uvu_product(mul, lmax)
    generator = torch.Generator().manual_seed(0)
    destination = torch.arange(nodes).repeat_interleave(neighbors)
    source = torch.randint(nodes, (nodes * neighbors,), generator=generator)
    x = torch.randn(nodes, tp.irreps_in1.dim, generator=generator)
    y = torch.randn(len(source), tp.irreps_in2.dim, generator=generator)
    w = torch.randn(len(source), tp.weight_numel, generator=generator)
    return tp, [x, y, w], source, destination


def graph_functions(
    tp: Any, source: Tensor, destination: Tensor, nodes: int
) -> dict[str, Callable[..., Tensor]]:
    """The convolution by e3nn and index_add, and ours."""
    from symscape.contraction import convolve

    product = product_of(tp)

    def peer(x: Tensor, y: Tensor, w: Tensor) -> Tensor:
        messages = tp(x[source], y, w)
        return messages.new_zeros((nodes, messages.shape[1])).index_add(0, destination, messages)

    return {
        "e3nn": peer,
        "ours": lambda x, y, w: convolve(product, x, y, w, source, destination, nodes),
    }


def bench_graph(quick: bool, repeats: int) -> None:
    """NequIP layer."""
    nodes, neighbors = (200, 30) if quick else (1000, 30)
    print(f"\n## graph convolution, {nodes} nodes, {neighbors} neighbors; ms wall (CPU)")
    for mul, lmax in [(32, 1), (64, 2)]:
        tp, inputs, source, destination = graph_layer(nodes, neighbors, mul, lmax)
        functions = graph_functions(tp, source, destination, nodes)
        goals = ("", "20x", "20x")
        compare(f"mul {mul} lmax {lmax}", functions, inputs, goals, max(3, repeats // 2))
        shuffled = torch.randperm(len(source), generator=torch.Generator().manual_seed(1))
        functions = graph_functions(tp, source[shuffled], destination[shuffled], nodes)
        label = f"mul {mul} lmax {lmax} unsorted"
        compare(label, functions, inputs, goals, max(3, repeats // 2), passes=2)
        peaks = {
            name: float(in_subprocess("--memory", name, str(nodes), str(mul), str(lmax)))
            for name in ("e3nn", "ours")
        }
        print(
            f"mul {mul} lmax {lmax} peak memory (MB)    ours {peaks['ours']:8.1f} | e3nn "
            f"{peaks['e3nn']:8.1f} | {peaks['e3nn'] / max(peaks['ours'], 0.1):6.1f}x | 5x"
        )


def memory(name: str, nodes: int, mul: int, lmax: int) -> None:
    """Print the peak of memory of forward + backward + double backward, above the inputs."""
    torch.set_num_threads(2)
    tp, inputs, source, destination = graph_layer(nodes, 30, mul, lmax)
    tiny = graph_layer(2, 2, mul, lmax)
    warm = graph_functions(tp, tiny[2], tiny[3], 2)[name]
    leaves = [t.requires_grad_() for t in tiny[1]]
    double(warm, leaves, torch.randn(2, tp.irreps_out.dim, requires_grad=True))()
    function = graph_functions(tp, source, destination, nodes)[name]
    leaves = [t.requires_grad_() for t in inputs]
    g = torch.randn(nodes, tp.irreps_out.dim, requires_grad=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = high_water()
    double(function, leaves, g)()
    print(high_water() - before)


def high_water() -> float:
    """Peak of resident memory, in MB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def bench_modes(quick: bool, repeats: int) -> None:
    """Fully connected product, elementwise product, uvv, TensorSquare."""
    from e3nn import o3

    from symscape.contraction import contract

    print("\n## other modes; ms wall (CPU)")
    batch = 256 if quick else 1024
    ir32, ir16 = o3.Irreps("32x0e+32x1o+32x2e"), o3.Irreps("16x0e+16x1o+16x2e")
    one = o3.Irreps("0e+1o+2e")

    def uvv() -> Any:
        instructions = [
            (i, j, k, "uvv", True)
            for (i, (_, a)), (j, (_, b)), (k, (_, c)) in itertools.product(
                enumerate(one), enumerate(ir32), enumerate(ir32)
            )
            if c in a * b
        ]
        return o3.TensorProduct(one, ir32, ir32, instructions, shared_weights=True)

    cases: list[tuple[str, Callable[[], Any], bool, str]] = [
        (
            "uvw 32(0e+1o+2e) x 0e+1o+2e",
            lambda: o3.FullyConnectedTensorProduct(ir32, one, ir32),
            True,
            "5x, 1.5 matmul",
        ),
        (
            "uvw 16(..) x 16(..) -> 16(..)",
            lambda: o3.FullyConnectedTensorProduct(ir16, ir16, ir16),
            True,
            "5x, 1.5 matmul",
        ),
        (
            "uuu 32(0e+1o+2e) elementwise",
            lambda: o3.ElementwiseTensorProduct(ir32, ir32),
            False,
            "5x",
        ),
        ("uvv 0e+1o+2e x 32(0e+1o+2e)", uvv, False, "5x"),
        ("TensorSquare 16(0e+1o+2e) -> same", lambda: o3.TensorSquare(ir16, ir16), False, "5x"),
        (
            "TensorSquare 8(0e+1o+2e), full",
            lambda: o3.TensorSquare(o3.Irreps("8x0e+8x1o+8x2e")),
            False,
            "5x",
        ),
    ]
    for label, build, with_matmul, goal in cases:
        square = label.startswith("TensorSquare")
        modules = peers(build)
        tp = modules["eager"]
        product = product_of(tp)
        inputs = [tp.irreps_in1.randn(batch, -1)]
        if not square:
            inputs.append(tp.irreps_in2.randn(batch, -1))
        weighted = tp.weight_numel > 0
        if weighted:
            inputs.append(torch.randn(tp.weight_numel))

        def ours(
            *args: Tensor, product: Any = product, square: bool = square, weighted: bool = weighted
        ) -> Tensor:
            x, y = (args[0], args[0]) if square else args[:2]
            return contract(product, x, y, args[-1] if weighted else None)

        functions = {name: (lambda *a, module=m: module(*a)) for name, m in modules.items()}
        extra = matmul_of_equal_flops(product, batch) if with_matmul else {}
        compare(
            label,
            {**functions, "ours": ours},
            inputs,
            (goal, goal.split(",")[0], ""),
            repeats,
            extra,
        )


def matmul_of_equal_flops(product: Any, batch: int) -> dict[str, Callable[[], object]]:
    """The sums over u, v of all paths as plain matrix products, without the coupling."""
    pairs = []
    for path in product.paths:
        rows = batch * path.out.dim
        inner = path.in1.mul * path.in2.mul
        pairs.append((torch.randn(rows, inner), torch.randn(inner, path.out.mul)))
    return {"matmul": lambda: [a @ b for a, b in pairs]}


def bench_linear(quick: bool, repeats: int) -> None:
    """Linear layer."""
    from e3nn import o3

    from symscape.contraction import Mixing, MixingPath, Segment, mix

    print("\n## Linear, 4096 x m(0e+1o+2e); ms wall (CPU)")
    for mul in (32,) if quick else (32, 64, 128):
        irreps = o3.Irreps(f"{mul}x0e+{mul}x1o+{mul}x2e")
        modules = peers(lambda irreps=irreps: o3.Linear(irreps, irreps))  # type: ignore[misc]
        blocks = [Segment(s.start, mul, ir.dim) for s, (_, ir) in zip(irreps.slices(), irreps)]
        paths = tuple(
            MixingPath(block, block, i * mul * mul, mul**-0.5) for i, block in enumerate(blocks)
        )
        mixing = Mixing(irreps.dim, irreps.dim, 3 * mul * mul, paths)
        functions = {**modules, "ours": lambda x, w, mixing=mixing: mix(mixing, x, w)}
        pairs = [(torch.randn(4096 * block.dim, mul), torch.randn(mul, mul)) for block in blocks]
        extra = {"matmul": lambda pairs=pairs: [a @ b for a, b in pairs]}
        inputs = [irreps.randn(4096, -1), torch.randn(3 * mul * mul)]
        goals = ("5x, 1.2 matmul", "5x", "")
        compare(f"mul {mul}", functions, inputs, goals, repeats, extra)


def bench_construct(quick: bool, repeats: int) -> None:
    """Time to make a product."""
    from symscape.contraction import Product

    print("\n## construction, ms")
    for mul, lmax, both in [(64, 2, False), (64, 3, False), (64, 3, True)]:
        start = time.perf_counter()
        tp = uvu_product(mul, lmax, both=both)
        peer = time.perf_counter() - start
        product = product_of(tp)
        fields = (product.dim_in1, product.dim_in2, product.dim_out, product.weight_numel)
        times = []
        for _ in range(5):
            start = time.perf_counter()
            Product(*fields, product.paths)
            times.append(time.perf_counter() - start)
        ours = statistics.median(times)
        print(
            f"mul {mul} lmax {lmax} {len(product.paths):3d} paths   ours {1e3 * ours:8.2f} | "
            f"e3nn (with its symbols) {1e3 * peer:8.1f} | 50 ms"
        )


def bench_start(quick: bool, repeats: int) -> None:
    """First forward + backward (+ double backward), with and without the disk cache."""
    print("\n## first forward + backward, fresh process, s: compiling / from the disk cache")
    for mul, lmax, both in [(64, 2, False), (64, 3, False), (64, 3, True)][: 2 if quick else 3]:
        with tempfile.TemporaryDirectory() as folder:
            arguments = ("--first", str(mul), str(lmax), str(int(both)))
            cold, warm = (
                [float(t) for t in in_subprocess(*arguments, SYMSCAPE_CACHE=folder).split()]
                for _ in range(2)
            )
        goal = {2: "5 s / 0.2 s", 3: "15 s / 0.2 s"}[lmax]
        parity = "both parities" if both else "natural parity"
        print(
            f"mul {mul} lmax {lmax} {parity:14s} fwd + bwd {cold[0]:6.2f} / {warm[0]:6.3f} | "
            f"double backward {cold[1]:6.2f} / {warm[1]:6.3f} | {goal}",
            flush=True,
        )


def first(mul: int, lmax: int, both: bool) -> None:
    """Print the seconds of the first forward + backward, and of the first double backward."""
    from symscape.contraction import contract

    product = product_of(uvu_product(mul, lmax, both=both))
    x = torch.randn(64, product.dim_in1, requires_grad=True)
    y = torch.randn(64, product.dim_in2, requires_grad=True)
    w = torch.randn(64, product.weight_numel, requires_grad=True)
    start = time.perf_counter()
    out = contract(product, x, y, w)
    g = torch.randn_like(out)
    once = torch.autograd.grad(out, (x, y, w), g, create_graph=True)
    middle = time.perf_counter()
    torch.autograd.grad(once, (x, y, w), [t.detach() for t in once])
    print(middle - start, time.perf_counter() - middle)


def in_subprocess(*arguments: str, **environment: str) -> str:
    """What this script prints when called like that."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip().splitlines()[-1]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few cases, small sizes")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: all cores")
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    repeats = 5 if options.quick else 7
    print(
        f"threads {options.threads}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}, "
        f"medians of {repeats}"
    )
    for part in options.only.split(","):
        globals()[f"bench_{part}"](options.quick, repeats)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        memory(sys.argv[2], *(int(value) for value in sys.argv[3:]))
    elif sys.argv[1:2] == ["--first"]:
        first(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
    else:
        main()
