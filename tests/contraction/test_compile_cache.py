"""The cache of compiled kernels: shared by processes, never in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from contraction_cases import brute_force, make_product, random_inputs

from symscape.contraction import _compile, contract
from symscape.contraction._compile import cache_folder

SCRIPT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
from contraction_cases import brute_force, make_product, random_inputs
from symscape.contraction import contract
product = make_product("uvu", 9, 2)
x, y, w = random_inputs(product, 5)
torch.testing.assert_close(contract(product, x, y, w), brute_force(product, x, y, w))
print("right")
"""


def start(folder: Path) -> subprocess.Popen:
    environment = {**os.environ, "SYMSCAPE_CACHE": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> None:
    out, error = process.communicate(timeout=120)
    assert out.strip() == "right", error


def test_processes_share_the_cache(tmp_path: Path) -> None:
    """Two compile the same kernel at once; a third finds it damaged and makes it again."""
    for process in [start(tmp_path), start(tmp_path)]:
        finish(process)
    (kernel,) = tmp_path.iterdir()
    content = kernel.read_bytes()
    kernel.write_bytes(content[:-100])
    finish(start(tmp_path))
    assert kernel.read_bytes() == content


def test_fork_while_a_kernel_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child has no half-made kernel, and no lock that nobody will release."""
    monkeypatch.setenv("SYMSCAPE_CACHE", str(tmp_path))
    begun = threading.Event()

    def slow() -> str:
        begun.set()
        time.sleep(0.3)  # the fork falls into this
        return "define void @nothing() { ret void }"

    thread = threading.Thread(target=_compile.compiled, args=("slow", "nothing", [], slow))
    thread.start()
    begun.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends a child that hangs
        _compile.compiled("fast", "nothing", [], lambda: "define void @nothing() { ret void }")()
        os._exit(0)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the place of the folder refuses writing to every user, root included."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("SYMSCAPE_CACHE", str(blocked / "kernels"))
    product = make_product("uvu", 5, 3)
    x, y, w = random_inputs(product, 5)
    torch.testing.assert_close(contract(product, x, y, w), brute_force(product, x, y, w))
    assert blocked.read_text() == ""


def test_folder_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYMSCAPE_CACHE")
    assert cache_folder().parts[-2:] == ("symscape", "kernels")


def test_light_import() -> None:
    """LLVM is loaded with the first kernel, not before."""
    code = (
        "import sys, symscape.contraction; "
        "print([m for m in ('llvmlite', 'numba', 'triton', 'torch._dynamo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
