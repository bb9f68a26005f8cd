"""The store and its leases, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from demo_experiment import Demo

from symscape.lab import (
    InProcess,
    InputError,
    Store,
    StoreError,
    expand,
    key_of,
    run_experiment,
)
from symscape.lab import _leases as leases_module
from symscape.lab._code import running_code
from symscape.lab._leases import Scheduler, process_start, this_machine
from symscape.lab._measure import Measured, Task, failure, measure
from symscape.lab._schema import SCHEMA, leases, meta, metadata, results, schedulers


@pytest.fixture
def store(store_url: str) -> Any:
    with Store(store_url) as store:
        yield store


def task(x: float = 1.0, seed: int = 0) -> Task:
    point = {"x": x, "slope": 2.0, "sleep": 0.0, "seed": seed}
    return task_of(point)


def task_of(point: dict[str, Any]) -> Task:
    return Task(key_of("demo-line", 1, point), Demo, point, running_code(Demo))


def failed(task: Task, error: str) -> Measured:
    return failure(error, task.code)


def scheduler(store: Store) -> Scheduler:
    return Scheduler(store, store.record_provenance())


def count(store: Store, table: sa.Table) -> int:
    with store.engine.connect() as connection:
        return connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()


def test_what_is_committed_is_found_by_a_new_connection(store: Store, store_url: str) -> None:
    tasks = [task(x) for x in (3.0, 1.0, 2.0)]
    with scheduler(store) as own:
        for t in tasks:
            own.commit(t, measure(t))
    with Store(store_url, create=False) as reader:
        table = reader.table(Demo(), [t.point for t in tasks] + [task(9.0).point])
        provenance = reader.provenance(table.keys)
    assert [row["x"] for row in table] == [3.0, 1.0, 2.0]
    assert table.expected == 4
    for row, t in zip(table, tasks, strict=True):
        expected = Demo().measure(t.point)
        assert row.key == t.key
        assert row["y"].tolist() == expected["y"].tolist()
        assert row["mean"] == expected["mean"]
    assert [(p["points"], p["symscape"]) for p in provenance] == [(3, "0.1.0")]


def test_a_finished_point_is_neither_doubled_nor_changed(store: Store) -> None:
    t = task()
    with scheduler(store) as own:
        own.commit(t, measure(t))
        own.commit(t, Measured("done", '{"mean": -1.0}', None, None, 0.0, "elsewhere", t.code))
        own.commit(t, failed(t, "too late"))
    assert count(store, results) == 1
    assert store.table(Demo(), [t.point]).rows[0]["mean"] > 0
    assert store.failures(Demo(), [t.point]) == []


def test_a_failed_point_keeps_its_last_traceback_until_it_succeeds(store: Store) -> None:
    t = task()
    with scheduler(store) as own:
        own.commit(t, failed(t, "Traceback ...\nValueError: first \0 \n"))
        own.commit(t, failed(t, "Traceback ...\nValueError: second\n"))
        [last] = store.failures(Demo(), [t.point])
        assert (last.line, last.attempts) == ("ValueError: second", 2)
        assert not store.table(Demo(), [t.point])
        own.commit(t, measure(t))
    assert store.failures(Demo(), [t.point]) == []
    assert len(store.table(Demo(), [t.point])) == 1


def test_a_lease_is_given_once_and_given_up_with_the_result(store: Store) -> None:
    a, b, c = (task(x) for x in (1.0, 2.0, 3.0))
    keys = [a.key, b.key, c.key]
    with scheduler(store) as first, scheduler(store) as second:
        assert first.claim(keys, 1, {}).taken == [a.key]
        claimed = second.claim(keys, 5, {})
        assert claimed.elsewhere == [a.key]
        assert claimed.taken == [b.key, c.key]
        first.commit(a, measure(a))
        assert second.claim([a.key], 5, {}).finished == {a.key: "done"}
        second.release([b.key])
        assert first.claim(keys, 5, {}).taken == [b.key]
    assert count(store, leases) == 0
    assert count(store, schedulers) == 0


def test_a_failed_point_is_tried_again_only_by_who_saw_it_fail_before(store: Store) -> None:
    t = task()
    with scheduler(store) as own:
        own.commit(t, failed(t, "once"))
        assert own.claim([t.key], 1, {t.key: 1}).taken == [t.key]
        own.commit(t, failed(t, "twice"))
        assert own.claim([t.key], 1, {t.key: 1}).finished == {t.key: "failed"}
    assert count(store, leases) == 0


def test_many_schedulers_at_once_never_hold_the_same_point(store_url: str) -> None:
    Store(store_url).close()
    keys = [task(float(x)).key for x in range(60)]
    taken: list[list[str]] = []

    def work() -> None:
        with Store(store_url) as own_store, scheduler(own_store) as own:
            mine: list[str] = []
            for _ in range(10):
                mine += own.claim([key for key in keys if key not in mine], 3, {}).taken
            taken.append(mine)
            barrier.wait(60)  # nobody signs out before everybody has claimed

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    together = [key for mine in taken for key in mine]
    assert len(taken) == 4
    assert sorted(together) == sorted(keys)


def test_a_killed_scheduler_of_this_machine_is_dead_at_once(store: Store) -> None:
    t = task()
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = process_start(process.pid)
    with store.write() as connection:
        row = {"machine": this_machine(), "pid": process.pid, "beat": 0}
        connection.execute(schedulers.insert(), [{"id": "other", "started": began, **row}])
        connection.execute(leases.insert(), [{"key": t.key, "scheduler": "other"}])
    with scheduler(store) as own:
        assert own.claim([t.key], 1, {}).elsewhere == [t.key]
        process.kill()
        process.communicate()
        own.bury()
        assert own.claim([t.key], 1, {}).taken == [t.key]


def test_a_reused_process_id_is_not_mistaken_for_the_owner(store: Store) -> None:
    t = task()
    with store.write() as connection:
        row = {"machine": this_machine(), "pid": os.getppid(), "started": 1.0, "beat": 0}
        connection.execute(schedulers.insert(), [{"id": "other", **row}])
        connection.execute(leases.insert(), [{"key": t.key, "scheduler": "other"}])
    with scheduler(store) as own:
        assert own.claim([t.key], 1, {}).taken == [t.key]


def test_a_clock_that_is_set_makes_nobody_look_dead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    t = task()
    row = {"machine": this_machine(), "pid": os.getppid(), "started": process_start(os.getppid())}
    with store.write() as connection:
        connection.execute(schedulers.insert(), [{"id": "other", "beat": 0, **row}])
        connection.execute(leases.insert(), [{"key": t.key, "scheduler": "other"}])
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    monkeypatch.setattr(leases_module.time, "time", lambda: 0.0)
    with scheduler(store) as own:
        assert own.claim([t.key], 1, {}).elsewhere == [t.key]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_the_start_of_a_process_is_in_ticks_since_the_boot(tmp_path: Path) -> None:
    program = tmp_path / "a) Z (b"  # the system repeats this name in the middle of its line
    shutil.copy("/bin/sleep", program)
    process = subprocess.Popen([program, "60"])
    try:
        _eventually(lambda: program.name in Path(f"/proc/{process.pid}/stat").read_text())
        began = process_start(process.pid)
        since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert began is not None
        assert 0 <= since_boot - began / os.sysconf("SC_CLK_TCK") < 60
        assert process_start(process.pid) == began
    finally:
        process.kill()
    _eventually(lambda: process_start(process.pid) is None)  # a zombie, until it is waited for
    process.wait()
    assert process_start(process.pid) is None


def test_without_proc_the_system_says_when_a_process_was_created(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases_module, "_PROC", "/nowhere")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert process_start(os.getpid()) == psutil.Process().create_time()
    assert process_start(ended.pid) is None


def test_a_scheduler_elsewhere_is_dead_when_its_heart_stands_still(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    t = task()
    clock = [1000.0]
    monkeypatch.setattr(leases_module.time, "monotonic", lambda: clock[0])
    with store.write() as connection:
        row = {"machine": "far away", "pid": 1, "started": 1.0, "beat": 7}
        connection.execute(schedulers.insert(), [{"id": "other", **row}])
        connection.execute(leases.insert(), [{"key": t.key, "scheduler": "other"}])
    with scheduler(store) as own:
        clock[0] += 0.9 * leases_module.EXPIRY
        with store.write() as connection:
            connection.execute(schedulers.update().values(beat=8))
        own.bury()
        clock[0] += 0.9 * leases_module.EXPIRY
        own.bury()
        assert own.claim([t.key], 1, {}).elsewhere == [t.key]
        clock[0] += 0.2 * leases_module.EXPIRY
        own.bury()
        assert own.claim([t.key], 1, {}).taken == [t.key]


def test_the_heart_beats_and_signs_in_again_when_thought_dead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_module, "HEARTBEAT", 0.02)

    def beat() -> int | None:
        with store.engine.connect() as connection:
            return connection.scalar(sa.select(schedulers.c.beat))

    def beats_on() -> bool:
        before = beat()
        return before is not None and _eventually(lambda: (beat() or 0) > before)

    with scheduler(store):
        assert beats_on()
        with store.write() as connection:
            connection.execute(schedulers.delete())
        assert _eventually(lambda: beat() is not None)
        assert beats_on()


def _eventually(true: Any) -> bool:
    from sweeps import wait_until

    wait_until(true, 20)
    return True


def test_the_log_of_runs_remembers_what_was_asked_for(store: Store) -> None:
    provenance = store.record_provenance()
    first = store.begin_run(Demo(), "smoke", {}, [], "in process", provenance)
    three = {"points": 3}
    second = store.begin_run(Demo(), "smoke", three, [{"seed": 0}], "in process", provenance)
    store.begin_run(Demo(), "quick", {}, [], "in process", provenance)
    store.end_run(second, "finished", done=5, failed=1, already=2)
    run = store.last_run("demo-line", "smoke")
    assert run is not None
    assert run.id == second > first
    assert (run.overrides, run.parameters["points"], run.parameters["seeds"]) == (
        {"points": 3},
        3,
        2,
    )
    assert (run.status, run.done, run.failed, run.already) == ("finished", 5, 1, 2)
    assert run.provenance["symscape"]
    assert store.last_run("demo-line", "paper") is None
    assert [r.profile for r in store.runs()] == ["quick", "smoke", "smoke"]


def test_more_points_than_one_query_can_name(store: Store) -> None:
    points = list(expand(Demo(), "smoke", {"points": 1300, "seeds": 1}).values())
    with scheduler(store) as own:
        for point in points[::100]:
            t = task_of(point)
            own.commit(t, measure(t))
    table = store.table(Demo(), points)
    assert [row["x"] for row in table] == [p["x"] for p in points[::100]]
    assert table.expected == 1300


def test_a_newer_schema_is_refused_and_left_alone(store: Store, store_url: str) -> None:
    with store.write() as connection:
        connection.execute(meta.update().values(value=str(SCHEMA + 1)))
    with pytest.raises(StoreError, match=f"has schema {SCHEMA + 1}.* up to {SCHEMA}.*upgrade"):
        Store(store_url)
    assert count(store, meta) == 1


def test_a_database_of_something_else_is_refused_and_left_alone(store_url: str) -> None:
    from symscape.lab._schema import parse_url

    engine = sa.create_engine(parse_url(store_url))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE customers (id INTEGER)"))
    with pytest.raises(StoreError, match="other tables"):
        Store(store_url)
    assert sa.inspect(engine).get_table_names() == ["customers"]
    engine.dispose()


def test_opening_an_empty_store_for_reading_is_an_error(store_url: str) -> None:
    with pytest.raises(StoreError, match="symscape run"):
        Store(store_url, create=False)


def test_two_processes_may_create_the_tables_at_once(store_url: str) -> None:
    code = f"from symscape.lab import Store; Store({store_url!r}).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("results", "scalars", "{"),
        ("results", "scalars", "3"),
        ("results", "arrays", b"PK and no more"),
        ("results", "arrays", b"no archive"),
        ("runs", "points", "[{"),
        ("runs", "parameters", "[1, 2]"),
        ("provenance", "json", "?"),
    ],
)
def test_a_damaged_row_is_named_and_can_be_measured_again(
    store: Store, table: str, column: str, value: Any
) -> None:
    points = list(expand(Demo(), "smoke").values())

    def read() -> int:
        store.provenance([key_of("demo-line", 1, point) for point in points])
        store.runs()
        return len(store.table(Demo(), points))

    run_experiment(Demo(), "smoke", store, InProcess())
    with store.write() as connection:
        damaged = metadata.tables[table].update().values({column: value})
        if table == "results":
            damaged = damaged.where(results.c.seed == 1, results.c.point.like('%"x":2.0%'))
        connection.execute(damaged)
    with pytest.raises(StoreError, match=f"A row of the store .* is damaged, .* {table}") as caught:
        read()
    assert "\n" not in str(caught.value)
    _, _, remedy = str(caught.value).partition("again: ")
    with store.write() as connection:
        for statement in remedy.split("; "):
            connection.execute(sa.text(statement))
    summary = run_experiment(Demo(), "smoke", store, InProcess())
    assert summary.done == {"results": 1, "runs": 0, "provenance": 8}[table]
    assert read() == 8


def test_a_row_of_no_known_status_is_measured_again(store: Store) -> None:
    t = task()
    with scheduler(store) as own:
        own.commit(t, measure(t))
        with store.write() as connection:
            connection.execute(results.update().values(status="d0ne"))
        own.commit(t, measure(t))
    assert len(store.table(Demo(), [t.point])) == 1


# -- SQLite alone --------------------------------------------------------------------------------


def journal(store: Store) -> str:
    with store.engine.connect() as connection:
        return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())


def test_sqlite_writes_ahead(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 's.sqlite'}") as store:
        assert journal(store) == "wal"
        with store.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000


def test_where_wal_is_refused_the_rollback_journal_serves(tmp_path: Path) -> None:
    # This VFS has no shared memory, like many network file systems.
    url = f"sqlite:///file:{tmp_path / 's.sqlite'}?vfs=unix-dotfile&uri=true"
    t = task()
    with Store(url) as store:
        assert journal(store) == "delete"
        with scheduler(store) as own:
            own.commit(t, measure(t))
        assert len(store.table(Demo(), [t.point])) == 1


@pytest.mark.parametrize("size", [50, 3000, 0.5])
def test_a_truncated_file_is_one_sentence_and_is_left_alone(tmp_path: Path, size: float) -> None:
    file = tmp_path / "s.sqlite"
    url = f"sqlite:///{file}"
    with Store(url) as store, scheduler(store) as own:
        for x in range(50):
            t = task(float(x))
            own.commit(t, measure(t))
    content = file.read_bytes()
    file.write_bytes(content[: int(size * len(content)) if size < 1 else int(size)])
    cut = file.read_bytes()
    for create in (True, False):
        with pytest.raises(StoreError, match="is damaged") as caught:
            Store(url, create=create)
        assert "\n" not in str(caught.value)
    assert file.read_bytes() == cut


def test_an_overwritten_page_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "s.sqlite"
    with Store(f"sqlite:///{file}") as store, scheduler(store) as own:
        points = [task(float(x)).point for x in range(200)]
        for x in range(200):
            t = task(float(x))
            own.commit(t, measure(t))
    content = bytearray(file.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    file.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"):
        Store(f"sqlite:///{file}", create=False).table(Demo(), points)


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="folder does not exist"):
        Store(f"sqlite:///{tmp_path / 'nowhere' / 's.sqlite'}")


def test_a_server_that_does_not_answer_is_one_sentence() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="cannot be used: ") as caught:
        Store("postgresql://nobody:secret@127.0.0.1:1/nothing")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["sqlite:///a?b.sqlite", "sqlite:///a?", "sqlite:///a?b=c", "sqlite:///a?timeot=3"]
)
def test_a_question_mark_does_not_cut_the_name_of_a_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"options .* those of SQLite are uri, vfs.*%3F"):
        Store(url)
    assert list(tmp_path.iterdir()) == []
    Store(url.replace("?", "%3F")).close()
    [file] = tmp_path.iterdir()
    assert file.name == url.removeprefix("sqlite:///")


def test_what_cannot_be_opened_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="it is a folder"):
        Store(f"sqlite:///{tmp_path}")
    with pytest.raises(StoreError, match="there is no such file"):
        Store(f"sqlite:///file:{tmp_path / 's.sqlite'}?uri=true&mode=rw")
    with pytest.raises(InputError, match="in memory would be lost"):
        Store("sqlite:///file:s?uri=true&mode=memory")


@pytest.mark.parametrize("url", ["runs.sqlite", "mysql://host/db", "sqlite://", ""])
def test_a_url_that_is_none_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError, match=r"sqlite|memory"):
        Store(url)
