"""Slices on several threads: each once, errors passed on, after a fork too."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
import torch
from contraction_cases import make_product, random_inputs

from symscape.contraction import _threads, contract


@pytest.fixture(params=["openmp", "pool"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    if request.param == "pool":
        monkeypatch.setattr(_threads, "_openmp", lambda: None)
    elif _threads._openmp() is None:
        pytest.skip("this torch has no GNU OpenMP")
    yield request.param
    torch.set_num_threads(before)


def test_each_slice_once(threads: str) -> None:
    for count in (0, 1, 2, 16):
        done: list[int] = []
        _threads.in_slices(done.append, count)
        assert sorted(done) == list(range(count))


def test_several_threads_take_part(threads: str) -> None:
    meeting = threading.Barrier(3, timeout=20)  # passed only by three threads at once
    seen: list[int] = []

    def function(index: int) -> None:
        meeting.wait()
        seen.append(threading.get_ident())

    _threads.in_slices(function, 3)
    assert len(set(seen)) == 3


@pytest.mark.parametrize("error", [ValueError("seven"), KeyboardInterrupt()])
def test_errors(threads: str, error: BaseException) -> None:
    def function(index: int) -> None:
        if index == 7:
            raise error

    with pytest.raises(type(error)):
        _threads.in_slices(function, 16)
    done: list[int] = []
    _threads.in_slices(done.append, 4)  # and the threads are still there
    assert len(done) == 4


def test_slices_in_slices(threads: str) -> None:
    done: list[tuple[int, int]] = []

    def function(outer: int) -> None:
        _threads.in_slices(lambda inner: done.append((outer, inner)), 4)

    _threads.in_slices(function, 3)
    assert len(set(done)) == len(done) == 12


def test_from_several_threads(threads: str) -> None:
    product = make_product("uvu", 32, 1)
    inputs = random_inputs(product, 3000, "own", torch.float32)
    expected, found = contract(product, *inputs), []

    def call() -> None:
        found.extend(contract(product, *inputs) for _ in range(10))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 30
    assert all(torch.equal(out, expected) for out in found)


def test_after_a_fork(threads: str) -> None:
    product = make_product("uvu", 32, 1)
    inputs = random_inputs(product, 3000, "own", torch.float32)
    expected = contract(product, *inputs)
    child = os.fork()
    if child == 0:
        same = contract(product, *inputs).numpy().tobytes() == expected.numpy().tobytes()
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
