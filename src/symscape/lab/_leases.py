"""Sharing a store: each scheduling process takes points on lease, so that none is measured twice.

A lease is a row whose insertion is the lock. Its owner is a scheduler: machine, process id and
start of the process, so that one that was killed is recognised at once on its own machine. Starts
are counted from the boot, and the machine's name holds the id of that boot, so that a clock that is
set makes nobody look dead. Elsewhere a scheduler is dead when its heartbeat has not moved for
:data:`EXPIRY` seconds of the observer's clock; clocks of different machines are never compared.
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from symscape.lab._errors import StoreError
from symscape.lab._keys import canonical
from symscape.lab._measure import Measured, Task
from symscape.lab._schema import leases, results, schedulers
from symscape.lab._store import Store

HEARTBEAT = 15.0
"""Seconds between two signs of life."""

EXPIRY = 90.0
"""Seconds without a sign of life after which a scheduler on another machine counts as dead."""

_PROC = "/proc"
_NAMESPACES = (f"{_PROC}/self/ns/pid", f"{_PROC}/self/ns/time")

_ACTIVE: set[str] = set()
"""Schedulers of this process: one that could not sign out (full disk) must not seem alive."""


@dataclass
class Claimed:
    """What became of the keys that a scheduler asked for."""

    taken: list[str] = field(default_factory=list)
    """Now leased to this scheduler."""
    finished: dict[str, str] = field(default_factory=dict)
    """Measured by another one in the meantime, with status ``done`` or ``failed``."""
    elsewhere: list[str] = field(default_factory=list)
    """Leased to another scheduler that is alive."""


class Scheduler:
    """This process's presence in a store while it runs a sweep; a context manager.

    Args:
        store: the store.
        provenance: id of the provenance of this process's results.
    """

    def __init__(self, store: Store, provenance: str) -> None:
        self.store = store
        self.provenance = provenance
        self.id = uuid.uuid4().hex
        self._stopped = threading.Event()
        self._beats: dict[str, tuple[int, float]] = {}
        self._put = _put(store)  # made once: building a statement costs more than executing it
        self._give_up = leases.delete().where(leases.c.key == sa.bindparam("given_up"))
        self._thread = threading.Thread(target=self._keep_beating, daemon=True)

    def __enter__(self) -> Scheduler:
        self._sign_in()
        _ACTIVE.add(self.id)
        self.bury()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        _ACTIVE.discard(self.id)
        with self.store.write() as connection:
            connection.execute(leases.delete().where(leases.c.scheduler == self.id))
            connection.execute(schedulers.delete().where(schedulers.c.id == self.id))

    def claim(self, keys: Sequence[str], limit: int, attempts: Mapping[str, int]) -> Claimed:
        """Lease up to ``limit`` of the keys.

        Args:
            keys: points that this scheduler would like to measure, the most urgent first.
            limit: how many it can use now.
            attempts: failed attempts by key when the sweep began; a point with more of them was
                tried by another scheduler since, and is not tried again.
        """
        if not keys:
            return Claimed()
        claimed = Claimed()
        with self.store.write(alone=True) as connection:
            held = set(connection.scalars(sa.select(leases.c.key).where(leases.c.key.in_(keys))))
            claimed.elsewhere = [key for key in keys if key in held]
            wanted = [key for key in keys if key not in held][:limit]
            if not wanted:
                return claimed
            # Results are read after the leases are ours: whoever measured a point committed its
            # result together with giving up the lease, so a finished point cannot be missed.
            insert = self.store.insert(leases).on_conflict_do_nothing().returning(leases.c.key)
            rows = [{"key": key, "scheduler": self.id} for key in wanted]
            ours = set(connection.scalars(insert, rows))
            claimed.elsewhere += [key for key in wanted if key not in ours]
            columns = (results.c.key, results.c.status, results.c.attempts)
            for key, status, tried in connection.execute(
                sa.select(*columns).where(results.c.key.in_(ours))
            ):
                if status == "done" or tried > attempts.get(key, 0):
                    claimed.finished[key] = status
            claimed.taken = [k for k in wanted if k in ours - claimed.finished.keys()]
            surplus = claimed.finished.keys()
            if surplus:
                connection.execute(leases.delete().where(leases.c.key.in_(surplus)))
        return claimed

    def commit(self, task: Task, measured: Measured) -> None:
        """Store a result and give up its lease, in one transaction.

        A point that is done is never changed: a second result of it is dropped. A failed one is
        replaced by the new attempt.
        """
        values = {
            "key": task.key,
            "experiment": task.experiment.name,
            "version": task.experiment.version,
            "point": canonical(task.point),
            "seed": task.point["seed"],
            "status": measured.status,
            "attempts": 1 if measured.status == "failed" else 0,
            "scalars": measured.scalars,
            "arrays": measured.arrays,
            "error": measured.error,
            "seconds": measured.seconds,
            "host": measured.host,
            "finished": time.time(),
            "provenance": self.provenance,
        }
        with self.store.write() as connection:
            connection.execute(self._put, values)
            connection.execute(self._give_up, {"given_up": task.key})

    def release(self, keys: Sequence[str]) -> None:
        """Give up leases without a result."""
        with self.store.write() as connection:
            connection.execute(leases.delete().where(leases.c.key.in_(keys)))

    def bury(self) -> None:
        """Remove schedulers that are dead, and free their leases."""
        with self.store.write(alone=True) as connection:
            others = connection.execute(schedulers.select().where(schedulers.c.id != self.id))
            dead = [row.id for row in others if not self._alive(row)]
            if dead:
                connection.execute(leases.delete().where(leases.c.scheduler.in_(dead)))
                connection.execute(schedulers.delete().where(schedulers.c.id.in_(dead)))

    def _alive(self, row: sa.Row) -> bool:
        if row.machine == this_machine():
            if row.pid == os.getpid():
                return row.id in _ACTIVE
            return process_start(row.pid) == row.started
        beat, since = self._beats.get(row.id, (None, 0.0))
        if beat != row.beat:
            self._beats[row.id] = (row.beat, time.monotonic())
            return True
        return time.monotonic() - since < EXPIRY

    def _sign_in(self) -> None:
        pid = os.getpid()
        with self.store.write() as connection:
            connection.execute(
                schedulers.insert().values(
                    id=self.id,
                    machine=this_machine(),
                    pid=pid,
                    started=process_start(pid),
                    beat=0,
                )
            )

    def _keep_beating(self) -> None:
        while not self._stopped.wait(HEARTBEAT):
            try:
                with self.store.write() as connection:
                    mine = schedulers.c.id == self.id
                    beat = schedulers.update().where(mine).values(beat=schedulers.c.beat + 1)
                    missing = connection.execute(beat).rowcount == 0
                if missing:  # another machine thought us dead, for example while we were suspended
                    self._sign_in()
            except StoreError:
                continue  # the scheduling thread meets the same error and reports it


def _put(store: Store) -> sa.Insert:
    """Return the statement that adds a result, or replaces a failed attempt at it."""
    insert = store.insert(results)
    replaced: dict[str, Any] = {
        column.name: insert.excluded[column.name] for column in results.c if not column.primary_key
    }
    replaced["attempts"] = results.c.attempts + insert.excluded["attempts"]
    return insert.on_conflict_do_update(
        index_elements=["key"], set_=replaced, where=results.c.status != "done"
    )


def this_machine() -> str:
    """Return a name of the processes whose ids and start times this process can look up.

    It holds the host, and on Linux the boot and the namespaces of process ids and of time.
    """
    parts = [platform.node()]
    for source in (f"{_PROC}/sys/kernel/random/boot_id", *_NAMESPACES):
        try:
            path = Path(source)
            parts.append(os.readlink(path) if path.is_symlink() else path.read_text().strip())
        except OSError:
            continue
    return " ".join(parts)[:200]


def process_start(pid: int) -> float | None:
    """Return when a process started, None if there is no such process or it is a zombie.

    On Linux in clock ticks since the boot. psutil's time of creation is that plus a time of boot,
    which moves when the clock is set. Where there is no /proc (macOS, BSD, Windows) it serves all
    the same, for there the system notes the time of the day once, when a process starts.
    """
    if Path(f"{_PROC}/self/stat").exists():
        try:
            # The name of the program, in parentheses, may hold anything.
            fields = Path(f"{_PROC}/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else float(fields[19])
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
