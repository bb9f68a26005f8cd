"""Sweeps in this process and in local processes, called as a library."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from demo_experiment import Demo, DemoParameters
from sweeps import callers, calls, contents, undisturbed, wait_until

from symscape.lab import (
    InProcess,
    InputError,
    Job,
    LocalProcesses,
    Progress,
    Store,
    StoreError,
    expand,
    run_experiment,
    run_sweep,
)
from symscape.lab import _leases as leases_module


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMO_LOG", str(tmp_path / "calls.log"))
    return tmp_path / "calls.log"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


class Listener(Progress):
    """Remembers what it heard, and may interrupt."""

    def __init__(self, interrupt_after: int | None = None) -> None:
        self.heard: list[str] = []
        self.lines: list[str] = []
        self.interrupt_after = interrupt_after

    def begin(self, points: int, cost: float) -> None:
        self.heard.append(f"begin {points}")

    def advance(self, status: str, cost: float) -> None:
        self.heard.append(status)
        if self.heard.count("done") == self.interrupt_after:
            raise KeyboardInterrupt

    def failure(self, experiment: str, point: Any, error: str) -> None:
        self.lines.append(error.strip().splitlines()[-1])

    def end(self) -> None:
        self.heard.append("end")


def test_a_second_call_measures_nothing(store_url: str, log: Path) -> None:
    with Store(store_url) as store:
        first = run_experiment(Demo(), "quick", store, InProcess())
        second = run_experiment(Demo(), "quick", store, InProcess())
    assert (first.points, first.done, first.already) == (40, 40, 0)
    assert (second.points, second.done, second.already) == (40, 0, 40)
    assert len(calls(log)) == len(set(calls(log))) == 40


def test_profiles_share_their_common_points(url: str, log: Path) -> None:
    with Store(url) as store:
        run_experiment(Demo(), "smoke", store, InProcess())
        summary = run_experiment(Demo(), "quick", store, InProcess())
    assert (summary.already, summary.done) == (8, 32)
    assert contents(url) == undisturbed(log.parent)


def test_several_experiments_are_one_sweep(url: str, log: Path) -> None:
    class Other(Demo):
        name = "demo-other"

    listener = Listener()
    with Store(url) as store:
        jobs = [Job(Demo(), "smoke"), Job(Other(), "smoke"), Job(Demo(), "quick")]
        summaries = run_sweep(jobs, store, InProcess(), progress=listener)
    assert [summary.done for summary in summaries] == [8, 8, 40]
    assert len(calls(log)) == 48  # the smoke points of the third job are those of the first
    assert listener.heard == ["begin 48", *48 * ["done"], "end"]


def test_long_points_start_first(url: str, log: Path) -> None:
    class Rising(Demo):
        def cost(self, point: dict[str, Any]) -> float:
            return float(point["x"])

    with Store(url) as store:
        run_experiment(Rising(), "smoke", store, InProcess())
    assert [x for x, _ in calls(log)] == [4, 4, 3, 3, 2, 2, 1, 1]


def test_a_failure_is_stored_and_the_rest_goes_on(
    store_url: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_FAIL", "3/1")
    listener = Listener()
    points = list(expand(Demo(), "quick").values())
    with Store(store_url) as store:
        summary = run_experiment(Demo(), "quick", store, InProcess(), progress=listener)
        [failed] = store.failures(Demo(), points)
        assert (summary.done, summary.failed) == (39, 1)
        assert failed.point["x"] == 3.0
        assert failed.error.startswith("Traceback")
        assert failed.line == "FloatingPointError: demo failure at 3/1" == listener.lines[0]

        monkeypatch.delenv("DEMO_FAIL")
        again = run_experiment(Demo(), "quick", store, InProcess())
        assert (again.already, again.done, again.failed) == (39, 1, 0)
        assert store.failures(Demo(), points) == []
    assert contents(store_url) == undisturbed(log.parent)


def test_fail_fast_stops_at_the_first_failure(
    url: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_FAIL", "3/1")
    with Store(url) as store:
        summary = run_experiment(Demo(), "quick", store, InProcess(), fail_fast=True)
        run = store.last_run("demo-line", "quick")
    assert (summary.done, summary.failed, summary.complete) == (5, 1, False)
    assert run is not None
    assert run.status == "interrupted"
    assert len(calls(log)) == 6


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        ({"seed": 1}, "names of the point already"),
        ({"bad": [1, 2]}, "measure returned bad="),
        (None, "AttributeError"),
    ],
)
def test_results_that_cannot_be_stored_fail_their_point(
    url: str, returned: Any, sentence: str
) -> None:
    class Bad(Demo):
        def measure(self, point: dict[str, Any]) -> Any:
            return returned

    with Store(url) as store:
        assert run_experiment(Bad(), "smoke", store, InProcess()).failed == 8
        assert sentence in store.failures(Bad(), list(expand(Bad(), "smoke").values()))[0].error


def test_bad_parameters_are_refused_before_anything_is_measured(url: str, log: Path) -> None:
    with Store(url) as store:
        jobs = [Job(Demo(), "smoke"), Job(Demo(), "smoke", {"points": 0})]
        with pytest.raises(InputError):
            run_sweep(jobs, store, InProcess())
        assert store.runs() == []
    assert calls(log) == []


def test_an_interrupt_leaves_a_store_that_goes_on(store_url: str, log: Path) -> None:
    with Store(store_url) as store:
        with pytest.raises(KeyboardInterrupt):
            run_experiment(Demo(), "quick", store, InProcess(), progress=Listener(7))
        run = store.last_run("demo-line", "quick")
        assert run is not None
        assert (run.status, run.done) == ("interrupted", 7)
        assert run_experiment(Demo(), "quick", store, InProcess()).done == 33
    assert len(calls(log)) == 40
    assert contents(store_url) == undisturbed(log.parent)


def test_leases_that_could_not_be_given_up_do_not_block_this_process(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(url) as store:
        with monkeypatch.context() as patch:

            def broken(*_: object) -> None:
                leases_module._ACTIVE.clear()
                raise StoreError("no way to sign out")

            patch.setattr(leases_module.Scheduler, "__exit__", broken)
            with pytest.raises(StoreError):
                run_experiment(Demo(), "smoke", store, InProcess(), progress=Listener(2))
        assert run_experiment(Demo(), "smoke", store, InProcess()).done == 6


# -- local processes -----------------------------------------------------------------------------


def test_local_processes_give_the_same_table(store_url: str, log: Path) -> None:
    with Store(store_url) as store:
        summary = run_experiment(Demo(), "quick", store, LocalProcesses(2))
    assert summary.done == 40
    assert len(callers(log)) == 2  # processes
    assert contents(store_url) == undisturbed(log.parent)


class Threads(Demo):
    """Asks torch and the environment how many threads there are."""

    name = "demo-threads"

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        import torch

        variables = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        inherited = [int(os.environ[name]) for name in variables]
        return {"torch": torch.get_num_threads(), "inherited": np.array(inherited)}


def test_workers_have_one_thread_and_the_caller_keeps_its_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    points = list(expand(Threads(), "smoke").values())
    with Store(url) as store:
        run_experiment(Threads(), "smoke", store, LocalProcesses(1))
        table = store.table(Threads(), points)
    assert set(table.column("torch")) == {1}
    assert all(row["inherited"].tolist() == [1, 1, 1] for row in table)
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert "MKL_NUM_THREADS" not in os.environ


def test_a_killed_worker_loses_its_point_only_and_that_is_measured_again(
    store_url: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_KILL", "5/1")
    monkeypatch.setenv("DEMO_KILL_ONCE", str(log.parent / "killed"))
    with Store(store_url) as store:
        summary = run_experiment(Demo(), "quick", store, LocalProcesses(2))
    assert (log.parent / "killed").exists()
    assert (summary.done, summary.failed) == (40, 0)
    assert sorted(calls(log)) == sorted([*set(calls(log)), (5.0, 1)])  # that one twice
    assert contents(store_url) == undisturbed(log.parent)


def test_a_worker_killed_from_outside_while_it_measures(url: str, log: Path) -> None:
    def kill() -> None:
        wait_until(lambda: len(calls(log)) >= 4)
        os.kill(int(log.read_text().split()[2]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with Store(url) as store:
        summary = run_experiment(
            Demo(), "smoke", store, LocalProcesses(2), overrides={"sleep": 0.3}
        )
    killer.join()
    assert (summary.done, summary.failed) == (8, 0)
    assert len(calls(log)) <= 9
    assert contents(url, "smoke", sleep=0.3) == undisturbed(log.parent, "smoke", sleep=0.3)


def test_a_point_that_always_kills_its_worker_fails_with_a_clear_text(
    url: str, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEMO_KILL", "5/1")
    with Store(url) as store:
        summary = run_experiment(Demo(), "quick", store, LocalProcesses(2))
        [failed] = store.failures(Demo(), list(expand(Demo(), "quick").values()))
    assert (summary.done, summary.failed) == (39, 1)
    assert calls(log).count((5.0, 1)) == 3
    assert "killed 3 times" in failed.line


class Exits(Demo):
    """Calls sys.exit, as a careless script does."""

    name = "demo-exits"

    def measure(self, point: dict[str, Any]) -> dict[str, Any]:
        raise SystemExit("enough")


def test_sys_exit_in_measure_is_a_failed_point(url: str) -> None:
    with Store(url) as store:
        summary = run_experiment(Exits(), "smoke", store, LocalProcesses(1))
    assert (summary.done, summary.failed) == (0, 8)


def test_a_class_that_no_worker_can_import_fails_its_points_with_the_reason(url: str) -> None:
    class Local(Demo):
        def points(self, p: DemoParameters) -> list[dict[str, Any]]:
            return super().points(p)[:2]

    with Store(url) as store:
        summary = run_experiment(Local(), "smoke", store, LocalProcesses(1))
        failed = store.failures(Local(), list(expand(Local(), "smoke").values()))
    assert summary.failed == 2
    assert "could not reach a worker" in failed[0].line


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, whatever the runner of the tests has made of it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("after", [0.05, 3.0])
def test_an_interrupt_ends_workers_that_start_or_measure(
    url: str, log: Path, interruptible: None, after: float
) -> None:
    class Impatient(Progress):
        def begin(self, points: int, cost: float) -> None:
            threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)).start()

    begun = time.monotonic()
    others = {child.pid for child in living()}  # pools of other tests
    sweep = functools.partial(
        run_experiment, Demo(), "smoke", executor=LocalProcesses(2), overrides={"sleep": 60}
    )
    with Store(url) as store, pytest.raises(KeyboardInterrupt):
        sweep(store=store, progress=Impatient())
    wait_until(lambda: not any(is_worker(c) for c in living() if c.pid not in others), 10)
    assert time.monotonic() - begun < 30


def is_worker(process: Any) -> bool:
    """Whether it was spawned by multiprocessing to work (its resource tracker stays)."""
    import psutil

    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # it ended since it was listed
        return False


def living() -> list[Any]:
    """Child processes of this one that are not zombies."""
    import psutil

    living = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # ended since it was listed
            if child.status() != psutil.STATUS_ZOMBIE:
                living.append(child)
    return living


def test_a_process_that_ends_while_it_is_looked_at_is_not_living(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import psutil

    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(ended.pid)
    ended.communicate()
    monkeypatch.setattr(psutil.Process, "children", lambda *_, **__: [process])
    assert living() == []
    assert not is_worker(process)


def test_the_number_of_workers_must_be_positive() -> None:
    with pytest.raises(InputError, match="workers=0"):
        LocalProcesses(0)
