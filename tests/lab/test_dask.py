"""A real Dask cluster: a scheduler and two workers, each a process."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from demo_experiment import Demo
from sweeps import (
    callers,
    calls,
    contents,
    finished,
    one_sentence,
    undisturbed,
    wait_until,
)

import symscape
from symscape.lab import (
    DaskCluster,
    ExecutorError,
    InputError,
    Store,
    expand,
    run_experiment,
)

pytest.importorskip("distributed")


class Cluster:
    """``dask scheduler`` and ``dask worker`` processes."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {**environment, "DASK_DISTRIBUTED__SCHEDULER__WORK_STEALING": "True"}
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(self.file)
        )
        try:
            wait_until(self._written)
        except AssertionError:
            self.stop()
            raise
        self.address = json.loads(self.file.read_text())["address"]

    def _written(self) -> bool:
        """The scheduler makes its file empty first: what counts is a whole document."""
        try:
            return "address" in json.loads(self.file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return False

    def _start(self, *arguments: str, **changes: str) -> subprocess.Popen[bytes]:
        dask = shutil.which("dask", path=str(Path(sys.executable).parent)) or "dask"
        process = subprocess.Popen(
            [dask, *arguments, "--no-dashboard"],
            cwd=self.folder,
            env={**self.environment, **changes},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def add_worker(self, threads: int = 1, **changes: str) -> subprocess.Popen[bytes]:
        known = self.count()
        command = ["worker", self.address, "--nthreads", str(threads), "--no-nanny"]
        worker = self._start(*command, **changes)
        wait_until(lambda: self.count() > known)
        return worker

    def count(self) -> int:
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return len(client.nthreads())

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path, environment: dict[str, str]) -> Iterator[Cluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    cluster = Cluster(folder, environment)
    yield cluster
    cluster.stop()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.sqlite'}"


def test_a_worker_killed_in_mid_run_costs_nothing(
    cluster: Cluster, start: Callable[..., subprocess.Popen[str]], url: str, tmp_path: Path
) -> None:
    log = tmp_path / "calls.log"
    cluster.add_worker()
    doomed = cluster.add_worker()
    command = ["run", "demo-line", "--dask", cluster.address, "--store", url, "--json"]
    process = start(*command, "--set", "sleep=0.1")
    wait_until(lambda: len(calls(log)) >= 10 and doomed.pid in callers(log))
    assert len(callers(log)) == 2
    doomed.kill()
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    [summary] = json.loads(out)
    assert (summary["done"], summary["failed"]) == (40, 0)
    assert set(calls(log)) == {(float(x), seed) for x in range(1, 21) for seed in (0, 1)}
    assert contents(url, sleep=0.1) == undisturbed(tmp_path, sleep=0.1)


def test_failed_and_deadly_points_are_told_apart(
    tmp_path: Path, environment: dict[str, str], url: str
) -> None:
    # The cluster gives up a task at its first death here, so that three workers are enough.
    settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    interference = {"DEMO_KILL": "2/0", "DEMO_FAIL": "3/1"}
    folder = tmp_path / "dask"
    folder.mkdir()
    cluster = Cluster(folder, {**environment, **settings, **interference})
    try:
        for _ in range(4):
            cluster.add_worker()
        points = list(expand(Demo(), "smoke").values())
        with Store(url) as store:
            summary = run_experiment(Demo(), "smoke", store, DaskCluster(cluster.address))
            failures = store.failures(Demo(), points)
    finally:
        cluster.stop()
    assert (summary.done, summary.failed) == (6, 2)
    assert [(failed.point["x"], failed.point["seed"]) for failed in failures] == [(2, 0), (3, 1)]
    assert "killed 3 times" in failures[0].line
    assert failures[1].line == "FloatingPointError: demo failure at 3/1"


class LostFuture:
    """A future whose worker dies between the result and our asking for it."""

    status = "lost"
    callbacks = 0

    def add_done_callback(self, call: Callable[[LostFuture], None]) -> None:
        self.callbacks += 1
        self.status = "finished"  # another worker measures it
        call(self)

    def result(self) -> str:
        return "measured"


def test_a_result_that_is_lost_with_its_worker_is_waited_for_again() -> None:
    cluster, future = DaskCluster("tcp://127.0.0.1:1"), LostFuture()
    cluster._tasks[future] = "task"  # type: ignore[index, assignment]
    cluster._ended.put(future)  # type: ignore[arg-type]
    assert cluster.wait(1) == [("task", "measured")]
    assert future.callbacks == 1


def test_workers_that_come_later_are_waited_for(cluster: Cluster, url: str) -> None:
    later = threading.Timer(3.0, cluster.add_worker)
    later.start()
    with Store(url) as store:
        summary = run_experiment(Demo(), "smoke", store, DaskCluster(cluster.address))
    later.join()
    assert summary.done == 8


def test_a_worker_with_two_threads_is_refused(cluster: Cluster, url: str) -> None:
    cluster.add_worker(threads=2)
    with Store(url) as store, pytest.raises(InputError, match=r"has 2 threads.*--nthreads 1"):
        run_experiment(Demo(), "smoke", store, DaskCluster(cluster.address))


def old_source(folder: Path) -> str:
    """A symscape of before workers could be asked who they are."""
    (folder / "symscape").mkdir()
    (folder / "symscape" / "__init__.py").write_text("__version__ = '0.0.1'\n")
    return str(folder)


def other_source(folder: Path, file: str, old: str, new: str) -> str:
    """A copy of the package with one file changed."""
    source = Path(symscape.__file__).parent
    shutil.copytree(source, folder / "symscape", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "symscape" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    return str(folder)


@pytest.mark.parametrize("fault", ["threads", "code", "version", "age"])
def test_a_misfit_that_joins_later_ends_the_sweep_and_its_points_are_not_stored(
    cluster: Cluster, url: str, tmp_path: Path, fault: str
) -> None:
    log, source = tmp_path / "calls.log", tmp_path / "source"
    source.mkdir()
    paths, sentence = "", ""
    if fault == "threads":
        sentence = "it has 2 threads; start it with --nthreads 1"
    elif fault == "code":
        paths = other_source(source, "scaling/__init__.py", '"""', '"""Edited: ')
        sentence = "symscape is [0-9a-f]{12} there and [0-9a-f]{12} here"
    elif fault == "version":
        paths = other_source(source, "__init__.py", f'"{symscape.__version__}"', '"0.0.1"')
        # Whoever is first says it: the look at the worker, or the worker that is given a point.
        look = f"it has symscape 0.0.1, but here is {symscape.__version__}"
        sentence = f"({look}|symscape is [0-9a-f]{{12}} there and [0-9a-f]{{12}} here)"
    else:
        paths = old_source(source)
        sentence = rf"it has no symscape( {symscape.__version__}|\.lab)"
    misfits: list[subprocess.Popen[bytes]] = []

    def join() -> None:
        wait_until(lambda: len(calls(log)) >= 2)
        known = os.pathsep.join([paths, cluster.environment["PYTHONPATH"]]).strip(os.pathsep)
        misfits.append(cluster.add_worker(2 if fault == "threads" else 1, PYTHONPATH=known))

    cluster.add_worker()
    joining = threading.Thread(target=join)
    joining.start()
    with Store(url) as store:
        sweep = functools.partial(run_experiment, Demo(), "quick", store)
        with pytest.raises(ExecutorError, match=f"must not measure .*: {sentence}"):
            sweep(DaskCluster(cluster.address), overrides={"sleep": 1.0, "points": 200})
    joining.join()
    assert misfits[0].pid not in callers(log)
    with Store(url, create=False) as store:
        assert {status for status, _ in store.status(Demo()).values()} == {"done"}


def test_a_misfit_that_nobody_has_looked_at_yet_refuses_its_task(
    cluster: Cluster, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DaskCluster, "_misfit", lambda *_: "")
    for name in ("edited", "old"):
        (tmp_path / name).mkdir()
    edited = other_source(tmp_path / "edited", "scaling/__init__.py", '"""', '"""Edited: ')
    known = cluster.environment["PYTHONPATH"]

    def worker_of(source: str) -> Callable[[], subprocess.Popen[bytes]]:
        return functools.partial(cluster.add_worker, PYTHONPATH=os.pathsep.join([source, known]))

    for worker, sentence in (
        (functools.partial(cluster.add_worker, 2), "it has 2 threads"),
        (worker_of(edited), "symscape is .* there and"),
        (worker_of(old_source(tmp_path / "old")), "it has no symscape.lab"),
    ):
        process = worker()
        with Store(url) as store, pytest.raises(ExecutorError, match=sentence):
            run_experiment(Demo(), "smoke", store, DaskCluster(cluster.address))
        process.kill()
        wait_until(lambda: cluster.count() == 0)
    assert calls(tmp_path / "calls.log") == []
    assert finished(url) == set()


def test_a_lost_scheduler_is_one_sentence_and_the_store_goes_on(
    cluster: Cluster, start: Callable[..., subprocess.Popen[str]], url: str, tmp_path: Path
) -> None:
    cluster.add_worker()
    command = ["run", "demo-line", "--set", "sleep=0.2", "--store", url]
    process = start(*command, "--dask", cluster.address)
    wait_until(lambda: len(calls(tmp_path / "calls.log")) >= 5)
    cluster.scheduler.kill()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert err.startswith("symscape: The connection to the Dask scheduler")
    assert err.count("\n") == 1
    kept = len(finished(url))
    assert 1 <= kept < 40
    process = start(*command, "--in-process", "--json")
    out, err = process.communicate(timeout=120)
    assert json.loads(out)[0]["already"] == kept


def test_no_scheduler_is_one_sentence(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from symscape.lab import _dask

    monkeypatch.setattr(_dask, "CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:1", "127.0.0.1:1"):
        with Store(url) as store, pytest.raises(InputError, match="No Dask scheduler answers"):
            run_experiment(Demo(), "smoke", store, DaskCluster(address))


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "localhost", "tcp://localhost", "http://x:1", "tcp://:1", "tcp://x:0"],
)
def test_what_is_no_address_is_refused_before_a_client_starts(address: str) -> None:
    with pytest.raises(InputError, match=f"^'{address}' is not the address of a Dask scheduler"):
        DaskCluster(address)


def test_an_encrypted_connection_needs_certificates() -> None:
    with pytest.raises(InputError, match=r"distributed\.comm\.tls"), DaskCluster("tls://x:8786"):
        pass


@pytest.mark.parametrize("address", ["10.0.0.1:8786", "tcp://[::1]:8786", "wss://host.org:443"])
def test_addresses_that_dask_knows_are_accepted(address: str) -> None:
    assert DaskCluster(address).address == address


@pytest.mark.parametrize("address", ["nonsense", "localhost", "http://x:1", "tls://x:1", ""])
def test_a_malformed_address_is_one_sentence_of_the_command(
    symscape: Callable[..., subprocess.CompletedProcess[str]], address: str
) -> None:
    done = symscape("run", "demo-line", "--profile", "smoke", "--dask", address)
    one_sentence(done, f"'{address}'")
