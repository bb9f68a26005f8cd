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

from symscape.contraction import _compile, _disk_cache, contract
from symscape.contraction._disk_cache import cache_folder, cache_limit, read, write

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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of 0.1 MB whose size is looked at with every file."""
    monkeypatch.setenv("SYMSCAPE_CACHE", str(tmp_path))
    monkeypatch.setenv("SYMSCAPE_CACHE_MB", "0.1")
    monkeypatch.setattr(_disk_cache, "_written", float("inf"))
    return tmp_path


def name(i: int) -> str:
    return f"{i:040x}"


def put(cache: Path, i: int, size: int = 20_000) -> None:
    """Write a file, used `i` seconds after the others were."""
    write(name(i), bytes(size))
    os.utime(cache / f"{name(i)}.o", (i, i))


def kept(cache: Path) -> list[int]:
    return sorted(int(file.stem, 16) for file in cache.glob("*.o"))


def test_the_cache_keeps_its_size_and_what_was_used_last(cache: Path) -> None:
    for i in range(1, 5):
        put(cache, i)
    assert kept(cache) == [1, 2, 3, 4]
    assert read(name(1)) == bytes(20_000)  # used now
    put(cache, 5)
    assert kept(cache) == [1, 3, 4, 5]  # 0.08 MB: the fifth would have exceeded 0.1
    for i in range(6, 30):
        put(cache, i)
        assert sum(file.stat().st_size for file in cache.iterdir()) <= 100_000
    assert kept(cache) == [1, 27, 28, 29]


def test_only_files_of_the_cache_are_removed(cache: Path) -> None:
    others = {"main.o", "notes.txt", "abc.part", f"{name(1)}.txt"}
    for file in [*others, "kernel-abandoned.part"]:  # the process that wrote this was killed
        (cache / file).write_bytes(bytes(60_000))
        os.utime(cache / file, (1, 1))
    for i in range(2, 5):
        put(cache, i)
    assert {file.name for file in cache.iterdir()} == {
        *others,
        *(f"{name(i)}.o" for i in (2, 3, 4)),
    }


def test_no_size_keeps_nothing_and_computes_all_the_same(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYMSCAPE_CACHE_MB", "0")
    product = make_product("uvu", 7, 3)
    x, y, w = random_inputs(product, 5)
    torch.testing.assert_close(contract(product, x, y, w), brute_force(product, x, y, w))
    assert list(cache.iterdir()) == []


def test_the_size_is_looked_at_rarely(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looks.append(folder) or scan(folder))
    for i in range(100):
        put(cache, i, 100)
    assert 5 <= len(looks) <= 7  # 2 % of 0.1 MB is 20 files


@pytest.mark.parametrize("size", ["many", "-1", "nan", "500 MB"])
def test_a_size_that_is_none_is_named(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYMSCAPE_CACHE_MB", size)
    with pytest.raises(ValueError, match=f"SYMSCAPE_CACHE_MB: '{size}' given; allowed: megabytes"):
        cache_limit()


def test_the_size_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYMSCAPE_CACHE_MB", raising=False)
    assert cache_limit() == 500e6


def test_processes_that_write_and_remove_at_once_read_whole_files_or_none(cache: Path) -> None:
    code = (
        "import os\n"
        "from symscape.contraction._disk_cache import read, write\n"
        "for turn in range(300):\n"
        "    name = f'{turn % 40:040x}'\n"
        "    found = read(name)\n"
        "    assert found in (None, name.encode() * 250), 'not whole'\n"
        "    if found is None: write(name, name.encode() * 250)\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert 0 < sum(file.stat().st_size for file in cache.iterdir()) <= 110_000


def test_light_import() -> None:
    """LLVM is loaded with the first kernel, not before."""
    code = (
        "import sys, symscape.contraction; "
        "print([m for m in ('llvmlite', 'numba', 'triton', 'torch._dynamo') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
