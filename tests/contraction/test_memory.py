"""Memory of large results: used again when it is free, and not before."""

from __future__ import annotations

import ctypes
import errno
import gc
import mmap
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch
from contraction_cases import make_product, random_inputs

from symscape.contraction import _memory, contract, idle_memory, release_memory

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="memory is used again on Linux only"
)
LIKE = torch.empty(0)
SHAPE = (1000, 1000)  # 4 MB


@pytest.fixture(autouse=True)
def nothing_idle() -> Iterator[None]:
    # what lies in cycles of other tests must not be freed, and so become idle, during this one
    gc.collect()
    gc.disable()
    release_memory()
    yield
    release_memory()
    gc.enable()


def test_used_again() -> None:
    first = _memory.empty(SHAPE, LIKE)
    pointer = first.data_ptr()
    assert idle_memory() == 0
    view = first[10:]
    del first
    assert idle_memory() == 0  # the view still needs it
    del view
    assert idle_memory() >= 4_000_000
    second = _memory.empty((999, 1000), LIKE)  # nearly the same size
    assert second.data_ptr() == pointer
    assert second.shape == (999, 1000)
    assert second.dtype == torch.float32
    assert idle_memory() == 0


def test_never_shared() -> None:
    """Results that live at the same time, made and freed by several threads."""
    product = make_product("uvu", 64, 1)
    inputs = random_inputs(product, 4000, "own", torch.float32)
    expected = contract(product, *inputs, backend="reference")
    wrong = []

    def work() -> None:
        kept = []
        for _ in range(20):
            kept.append(contract(product, *inputs))
            kept = kept[-3:]
            wrong.extend(t for t in kept if not torch.allclose(t, expected, rtol=1e-4, atol=1e-4))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked for last is kept."""
    monkeypatch.setattr(_memory, "_LIMIT", 20 << 20)
    small = [_memory.empty(SHAPE, LIKE) for _ in range(10)]
    del small
    assert 12 << 20 <= idle_memory() <= 20 << 20
    large = _memory.empty((4000, 1000), LIKE)
    pointer = large.data_ptr()
    del large
    assert idle_memory() <= 20 << 20
    assert _memory.empty((4000, 1000), LIKE).data_ptr() == pointer
    monkeypatch.setattr(_memory, "_LIMIT", 0)
    release_memory()
    del_me = _memory.empty(SHAPE, LIKE)
    del del_me
    assert idle_memory() == 0


@pytest.mark.parametrize("mode", ["uvu", "uvw"])
def test_results_are_no_views(mode: str) -> None:
    """They can be changed in place while gradients are recorded, those of gradients too."""
    product = make_product(mode, 16, 1)
    for rows in (10, 10_000):
        leaves = [t.requires_grad_() for t in random_inputs(product, rows) if t is not None]
        out = contract(product, *leaves)
        expected = torch.autograd.grad(2 * out.sum(), leaves, retain_graph=True)
        out.mul_(2)[:0] = 0
        gradients = torch.autograd.grad(out.sum(), leaves, create_graph=True)
        for gradient, value in zip(gradients, expected):
            assert not gradient._is_view()
            torch.testing.assert_close(gradient, value)
            gradient.mul_(2)


class NoHugePages(mmap.mmap):
    """Memory of a system whose kernel has none."""

    def madvise(self, *_: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


def test_system_without_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "mmap", NoHugePages)
    out = _memory.empty(SHAPE, LIKE).fill_(2.0)
    assert out.sum() == 2_000_000
    del out
    assert idle_memory() > 0


@pytest.mark.parametrize("enough", [True, False])
def test_idle_memory_makes_room(monkeypatch: pytest.MonkeyPatch, enough: bool) -> None:
    """Where the system gives no more, idle blocks go back, or else torch has to find some."""

    def limited(*args: object, **options: object) -> mmap.mmap:
        if idle_memory() or not enough:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return original(*args, **options)  # type: ignore[call-overload]

    small, original = _memory.empty(SHAPE, LIKE), mmap.mmap
    del small
    assert idle_memory()
    monkeypatch.setattr(mmap, "mmap", limited)
    assert _memory.empty((4000, 1000), LIKE).fill_(1.0).sum() == 4_000_000
    assert bool(idle_memory()) is enough  # the large one, which is idle now


def test_results_are_ordinary_tensors() -> None:
    out = _memory.empty(SHAPE, LIKE).fill_(2.0)
    assert torch.equal(pickle.loads(pickle.dumps(out)), out)
    assert out.numpy().sum() == 2_000_000
    assert out.clone().share_memory_().is_shared()
    out.share_memory_()
    assert bool((out == 2).all())
    leaf = _memory.empty(SHAPE, LIKE).fill_(1.0).requires_grad_()
    leaf.square().sum().backward()
    assert bool((leaf.grad == 2).all())


def test_a_fork_has_its_own() -> None:
    out = _memory.empty(SHAPE, LIKE).fill_(1.0)
    child = os.fork()
    if child == 0:
        ctypes.memset(out.data_ptr(), 0, 4_000_000)  # torch's threads have not survived the fork
        os._exit(0)
    os.waitpid(child, 0)
    assert bool((out == 1).all())


def test_environment() -> None:
    code = (
        "import torch; from symscape.contraction import _memory, idle_memory\n"
        "_memory.empty((1000, 1000), torch.empty(0)); print(idle_memory())"
    )
    for value, idle in {"0": False, "64": True}.items():
        environment = {**os.environ, "SYMSCAPE_IDLE_MEMORY": value}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert bool(int(done.stdout)) is idle
