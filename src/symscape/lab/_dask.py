"""Measuring on a Dask cluster, given by the address of its scheduler."""

from __future__ import annotations

import contextlib
import itertools
import logging
import pickle
import queue
import re
import time
from typing import TYPE_CHECKING, Any

from symscape import __version__
from symscape.lab._code import Code, difference, running_code
from symscape.lab._errors import ExecutorError, InputError
from symscape.lab._executors import DEATHS, Executor, died_message
from symscape.lab._measure import (
    Measured,
    Task,
    failure,
    measure_on_one_thread,
    misfit_message,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from distributed import Client, Future

CONNECT_SECONDS = 15
"""How long to wait for the scheduler's answer."""

_SCHEMES = ("tcp", "tls", "ws", "wss")
_ADDRESS = re.compile(r"((?P<scheme>\w*)://)?(\[[^\[\]/]+\]|[^\[\]:/\s]+):(?P<port>[0-9]+)")
_CLIENT_LOG = logging.getLogger("distributed.client")
_REFRESH = 2.0  # seconds between two looks at the number of workers
_NO_WORKERS_YET = 16  # points offered to a cluster that starts workers when there is work


class DaskCluster(Executor):
    """Measures on the workers of a Dask cluster, which need symscape installed and one thread each.

    Workers may come and go: each is looked at when it has joined, and looks at itself before it
    measures a point. Dask itself gives a task whose worker died to another one; when it
    gives up (its setting ``allowed-failures``), the point is submitted again, and fails the third
    time. A task that runs twice does no harm: the second result is dropped.

    Args:
        address: of the scheduler, for example ``tcp://10.0.0.1:8786``.

    Raises:
        InputError: if this is no address; on entering, if no scheduler answers, or its workers
            have more than one thread, or run other code of symscape than this process.
        ExecutorError: if such a worker joins later, or the scheduler is lost.
    """

    def __init__(self, address: str) -> None:
        self.address = _checked(address)
        self._client: Client | None = None
        self._tasks: dict[Future, Task] = {}
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._deaths: dict[str, int] = {}
        self._numbers = itertools.count()
        self._slots = (0, -_REFRESH)
        self._known: set[str] = set()
        self._log_level = logging.NOTSET

    def __str__(self) -> str:
        return f"Dask cluster at {self.address}"

    def __enter__(self) -> DaskCluster:
        from distributed import Client

        _check_certificates(self.address)
        # A lost connection is our sentence, not a traceback of the client.
        self._log_level = _CLIENT_LOG.level
        _CLIENT_LOG.setLevel(logging.CRITICAL + 1)
        try:
            self._client = Client(self.address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            _CLIENT_LOG.setLevel(self._log_level)
            raise InputError(
                f"No Dask scheduler answers at '{self.address}' ({error}); the address looks like "
                f"tcp://HOST:8786."
            ) from None
        try:
            if unfit := self._misfit(self._client.nthreads()):
                raise InputError(unfit)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        client = self._connected()
        if self._tasks and client.status == "running":
            with contextlib.suppress(OSError):  # a scheduler that is gone forgets them by itself
                client.cancel(list(self._tasks))
        self._tasks.clear()
        client.close()
        self._client = None
        _CLIENT_LOG.setLevel(self._log_level)

    @property
    def slots(self) -> int:
        """Two points per thread, so that a worker finds the next one where it is."""
        if time.monotonic() - self._slots[1] > _REFRESH:
            self._check_connection()
            with self._talking():
                threads = self._connected().nthreads()
                self._check_workers(threads)
            self._slots = (sum(threads.values()), time.monotonic())
        return 2 * self._slots[0] or _NO_WORKERS_YET

    def submit(self, task: Task) -> None:
        with self._talking():
            # A worker dies of a task that it cannot read, without a word: what it is given are
            # bytes, and reading them is the task.
            future = self._connected().submit(
                pickle.loads,
                pickle.dumps(_Measurement(task)),
                key=f"symscape-{task.key}-{next(self._numbers)}",
                pure=False,
            )
        self._tasks[future] = task
        future.add_done_callback(self._ended.put)

    def wait(self, seconds: float) -> list[tuple[Task, Measured]]:
        try:
            future = self._ended.get(timeout=seconds)
        except queue.Empty:
            self._check_connection()
            return []
        outcomes: list[tuple[Task, Measured]] = []
        while True:
            outcomes += self._outcome(future)
            try:
                future = self._ended.get_nowait()
            except queue.Empty:
                return outcomes

    def _outcome(self, future: Future) -> list[tuple[Task, Measured]]:
        from distributed import KilledWorker

        task = self._tasks.pop(future, None)
        if task is None:
            return []
        if future.status == "finished":
            with self._talking():
                return [(task, future.result())]
        if future.status in ("lost", "pending"):  # its worker died with the result: Dask asks again
            self._tasks[future] = task
            future.add_done_callback(self._ended.put)
            return []
        if future.status != "error":
            raise ExecutorError(self._lost())
        with self._talking():
            error = future.exception()
        if not isinstance(error, KilledWorker):
            with self._talking():  # a worker without our source fails all that it is given
                self._check_workers(self._connected().nthreads())
            if isinstance(error, ImportError):
                raise ExecutorError(misfit_message("A Dask worker", f"it has no {error.name}"))
            return [(task, failure(f"The point could not reach a worker: {error!r}", task.code))]
        self._deaths[task.key] = self._deaths.get(task.key, 0) + 1
        if self._deaths[task.key] >= DEATHS:
            message = f"{died_message(DEATHS)}; Dask says: {error}"
            return [(task, failure(message, task.code))]
        self.submit(task)
        return []

    def _check_workers(self, threads: Mapping[str, int]) -> None:
        if unfit := self._misfit(threads):
            raise ExecutorError(unfit)

    def _misfit(self, threads: Mapping[str, int]) -> str:
        """Look at workers that were not here before; say why one must not measure for us.

        Args:
            threads: number of threads by address of worker.
        """
        new = [worker for worker in threads if worker not in self._known]
        answers = self._connected().run(_identity, workers=new, on_error="return") if new else {}
        for worker, answer in answers.items():
            if isinstance(answer, OSError):  # it has gone again
                continue
            if reason := _unfit(threads[worker], answer):
                return misfit_message(f"Dask worker {worker}", reason)
            self._known.add(worker)
        return ""

    @contextlib.contextmanager
    def _talking(self) -> Iterator[None]:
        """A connection that closes while we talk is lost, as one that closed before."""
        try:
            yield
        except OSError as error:  # distributed's CommClosedError, and timeouts
            raise ExecutorError(self._lost()) from error

    def _check_connection(self) -> None:
        if self._connected().status != "running":
            raise ExecutorError(self._lost())

    def _lost(self) -> str:
        return (
            f"The connection to the Dask scheduler at '{self.address}' was lost; finished points "
            f"are in the store, and the same command goes on from there."
        )

    def _connected(self) -> Any:
        if self._client is None:
            raise ExecutorError("A DaskCluster is used inside a `with` statement.")
        return self._client


def _checked(address: str) -> str:
    """Refuse what is no address: a client that cannot parse it takes 30 seconds to go away."""
    match = _ADDRESS.fullmatch(address)
    scheme = match["scheme"] if match else None
    if not match or scheme not in (None, *_SCHEMES) or not 0 < int(match["port"]) < 2**16:
        raise InputError(
            f"'{address}' is not the address of a Dask scheduler, which looks like "
            f"tcp://HOST:8786: one of {', '.join(_SCHEMES)}, a host, and a port up to 65535."
        )
    return address


def _check_certificates(address: str) -> None:
    from distributed.security import Security

    encrypted = address.startswith(("tls://", "wss://"))
    if encrypted and Security().get_connection_args("client").get("ssl_context") is None:
        raise InputError(
            f"The Dask scheduler at '{address}' asks for certificates; name them in Dask's "
            f"setting distributed.comm.tls."
        )


def _identity() -> tuple[str, Code]:
    return __version__, running_code()


def _unfit(threads: int, answer: tuple[str, Code] | Exception) -> str:
    """Say why a worker must not measure, by its number of threads and its answer."""
    if threads != 1:
        return f"it has {threads} threads; start it with --nthreads 1"
    if isinstance(answer, Exception):
        return f"it has no symscape {__version__} ({answer!r})"
    version, code = answer
    if version != __version__:
        return f"it has symscape {version}, but here is {__version__}"
    return difference(running_code(), code)


class _Measurement:
    """A task whose unpickling is its measurement."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __reduce__(self) -> tuple[Callable[[Task], Measured], tuple[Task]]:
        return _measure, (self.task,)


def _measure(task: Task) -> Measured:
    """Measure a point in a worker, which may have joined a moment ago."""
    from distributed import get_worker

    threads = get_worker().state.nthreads
    if threads != 1:
        return refusal(_unfit(threads, _identity()))
    return measure_on_one_thread(task)
