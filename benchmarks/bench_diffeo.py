"""Deforming images: the compiled warp against the scheme of the thesis's code and kornia.

The peer's scheme, written from its description: one field at a time, the sum over modes as a dense
einsum over (modes, modes, n, n), and bilinear interpolation out of four gathers. kornia's elastic
transform makes its fields from filtered noise, another law; it is timed at equal size where it is
installed. Medians of interleaved runs in one process; wall seconds.

    python benchmarks/bench_diffeo.py [THREADS]
"""

from __future__ import annotations

import importlib.util
import math
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from symscape.diffeo import MaximumEntropy, relative_stability, sample_seeds, warp, zoo
from symscape.diffeo._stability import measure_distances

REPEATS = 7
CASES = ((32, 256, 15.0), (224, 16, 5.0))


def medians(*functions: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Median seconds of each function, run in turns."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(repeats):
        for k, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[k].append(time.perf_counter() - start)
    return [statistics.median(t) for t in times]


def original(images: Tensor, T: float, c: int) -> Tensor:
    """The scheme of the thesis's code, image by image."""
    n = images.shape[-1]
    out = []
    for image in images:
        i = torch.arange(1, c + 1, dtype=image.dtype)
        u = torch.linspace(0, 1, n)
        sine = torch.sin(math.pi * u[:, None] * i)
        radius = (i[:, None] ** 2 + i**2).sqrt()
        scale = (radius < c + 0.5) / radius
        moved = [
            math.sqrt(T) * n * torch.einsum("ij,xi,yj->yx", torch.randn(c, c) * scale, sine, sine)
            for _ in range(2)
        ]
        y, x = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
        u, v = (x - moved[0]).clamp(0, n - 1), (y - moved[1]).clamp(0, n - 1)
        left, top = u.floor().long(), v.floor().long()
        right, low = u.ceil().long(), v.ceil().long()
        p, q = u - left, v - top
        out.append(
            (1 - p) * (1 - q) * image[..., top, left]
            + p * (1 - q) * image[..., top, right]
            + (1 - p) * q * image[..., low, left]
            + p * q * image[..., low, right]
        )
    return torch.stack(out)


def deforming(n: int, batch: int, goal: float) -> None:
    x, seeds = torch.rand(batch, 3, n, n), sample_seeds(0, batch)
    T = MaximumEntropy.from_displacement(1.0, 3, n).T
    for c in (3, n):
        ensemble = MaximumEntropy(T, c, outside="allow")
        few = x[: max(2, batch // 8)]

        def peer(few: Tensor = few, c: int = c) -> Tensor:
            return original(few, T, c)

        def ours(ensemble: MaximumEntropy = ensemble) -> Tensor:
            return ensemble.deform(x, seeds)

        slow, fast = medians(peer, ours)
        rates = len(few) / slow, batch / fast
        ratio = rates[1] / rates[0]
        print(
            f"{n}x{n}x3 c={c:3d}: peer {rates[0]:.0f}/s, ours {rates[1]:.0f}/s, "
            f"ratio {ratio:.1f} | goal {goal:g}: {'met' if ratio >= goal else 'MISSED'}",
            flush=True,
        )
    fields = ensemble.fields(n, seeds)
    sampling, warping = medians(lambda: ensemble.fields(n, seeds), lambda: warp(x, fields))
    verdict = "met" if sampling <= 0.3 * warping else "MISSED"
    print(f"{n}x{n}x3 c=n: sampling over warp {sampling / warping:.2f} | goal 0.3: {verdict}")
    if importlib.util.find_spec("kornia") is None:
        print(f"{n}x{n}x3 kornia: skipped, it is not installed")
        return
    import kornia

    elastic = kornia.augmentation.RandomElasticTransform(p=1.0)
    theirs, ours = medians(lambda: elastic(x), lambda: ensemble.deform(x, seeds), repeats=3)
    print(f"{n}x{n}x3 kornia elastic over ours: {theirs / ours:.1f} | goal 1")


def measuring() -> None:
    """Measuring R_f against the forward passes that it needs."""
    x = torch.rand(200, 3, 32, 32)
    ensemble = MaximumEntropy.from_displacement(1.0, 3, 32)
    for name, width in (("resnet18", 1 / 4), ("lenet", 1.0)):
        model = zoo.build(name, width=width).eval()

        def passes(model: torch.nn.Module = model) -> None:
            with torch.no_grad():
                for _ in range(3):
                    for part in x.split(100):
                        model(part)

        bare, full, distances = medians(
            passes,
            lambda model=model: relative_stability(model, x, ensemble),
            lambda model=model: measure_distances(model, x, ensemble),
            repeats=5,
        )
        verdict = "met" if full <= 1.1 * bare else "MISSED"
        print(
            f"R_f of {name}: {full / bare:.3f} of its forward passes "
            f"({distances / bare:.3f} without error bars) | goal 1.1: {verdict}",
            flush=True,
        )


def main() -> None:
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    print(f"{torch.get_num_threads()} threads, float32, a field per image")
    for case in CASES:
        deforming(*case)
    measuring()


if __name__ == "__main__":
    main()
