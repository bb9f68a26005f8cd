"""Faults that really happen to the command: killed, doubled, no space, no permission."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from demo_experiment import Demo
from sweeps import (
    calls,
    contents,
    finished,
    one_sentence,
    undisturbed,
    wait_until,
)

from symscape.lab import Store
from symscape.lab._schema import SCHEMA, meta

Symscape = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]


# -- kill -9 -------------------------------------------------------------------------------------


def test_kill_9_of_the_main_process_and_the_same_command_again(
    store_url: str, start: Start, symscape: Symscape, tmp_path: Path
) -> None:
    log = tmp_path / "calls.log"
    command = ["run", "demo-line", "--set", "sleep=0.05", "--workers", "2", "--store", store_url]
    process = start(*command)
    wait_until(lambda: len(calls(log)) >= 15)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    # Workers end with their scheduler, or they would go on beside those of the next call.
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []

    before = finished(store_url)
    measured_before = calls(log)
    assert len(before) >= 10
    log.unlink()
    again = symscape(*command)
    assert again.returncode == 0, again.stderr

    with Store(store_url, create=False) as store:
        found = store.status(Demo())
        points = {
            row.key: (row["x"], row["seed"])
            for row in store.table(
                Demo(), Demo().points(Demo().parameters("quick", {"sleep": 0.05}))
            )
        }
    assert len(found) == len(points) == 40  # none lost, none doubled
    kept = {points[key] for key in before}
    assert not kept & set(calls(log))  # none measured again
    assert len(calls(log)) == 40 - len(before)
    # What was under way is all that was lost.
    assert len(measured_before) - len(before) <= 2 * 2 * 2
    assert contents(store_url, sleep=0.05) == undisturbed(tmp_path, sleep=0.05)


def test_the_report_after_a_kill_is_that_of_an_undisturbed_run(
    start: Start, symscape: Symscape, tmp_path: Path
) -> None:
    run = ["run", "demo-line", "--set", "sleep=0.02", "--workers", "2", "--store"]
    disturbed, calm = f"sqlite:///{tmp_path / 'a.sqlite'}", f"sqlite:///{tmp_path / 'b.sqlite'}"
    process = start(*run, disturbed)
    wait_until(lambda: len(calls(tmp_path / "calls.log")) >= 10)
    process.kill()
    process.communicate()
    for url, folder in ((disturbed, "a"), (calm, "b")):
        assert symscape(*run, url).returncode == 0
        done = symscape("report", "demo-line", "--store", url, "--out", folder)
        assert done.returncode == 0, done.stderr
    a, b = ((tmp_path / folder / "claims.json").read_text() for folder in "ab")
    assert a == b
    assert {claim["id"]: claim["verdict"] for claim in json.loads(a)} == {
        "ch99.fig1.slope": "reproduced",
        "ch99.fig1.curvature": "not reproduced",
    }
    data = {file.relative_to(tmp_path / "a") for file in (tmp_path / "a").rglob("*.csv")}
    assert data
    for file in data:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_kill_9_of_a_worker(start: Start, tmp_path: Path) -> None:
    url, log = f"sqlite:///{tmp_path / 'store.sqlite'}", tmp_path / "calls.log"
    command = ["run", "demo-line", "--set", "sleep=0.1", "--workers", "2", "--store", url]
    process = start(*command)
    wait_until(lambda: len(calls(log)) >= 8)
    os.kill(int(log.read_text().split()[-1]), signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert len(calls(log)) <= 41  # its own point and no other
    assert contents(url, sleep=0.1) == undisturbed(tmp_path, sleep=0.1)


# -- two at once ---------------------------------------------------------------------------------


def test_two_commands_at_once_share_the_work(store_url: str, start: Start, tmp_path: Path) -> None:
    command = ["run", "demo-line", "--set", "sleep=0.1", "--workers", "1", "--store", store_url]
    logs = [tmp_path / "1.log", tmp_path / "2.log"]
    processes = [start(*command, "--json", DEMO_LOG=str(log)) for log in logs]
    outputs = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    shares = [calls(log) for log in logs]
    assert len(shares[0]) + len(shares[1]) == len({*shares[0], *shares[1]}) == 40
    assert min(map(len, shares)) >= 5
    for out, _ in outputs:  # each saw the whole sweep to its end
        [summary] = json.loads(out)
        assert summary["already"] + summary["done"] + summary["elsewhere"] == 40
    assert contents(store_url, sleep=0.1) == undisturbed(tmp_path, sleep=0.1)


def test_when_one_of_two_is_killed_the_other_takes_its_points(
    store_url: str, start: Start, tmp_path: Path
) -> None:
    command = ["run", "demo-line", "--set", "sleep=0.1", "--workers", "2", "--store", store_url]
    logs = [tmp_path / "1.log", tmp_path / "2.log"]
    first, second = (start(*command, DEMO_LOG=str(log)) for log in logs)
    wait_until(lambda: all(len(calls(log)) >= 3 for log in logs))
    first.kill()
    _, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert contents(store_url, sleep=0.1) == undisturbed(tmp_path, sleep=0.1)


# -- Ctrl-C --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_resumable_store(
    start: Start, symscape: Symscape, tmp_path: Path, sign: signal.Signals
) -> None:
    url, log = f"sqlite:///{tmp_path / 'store.sqlite'}", tmp_path / "calls.log"
    command = ["run", "demo-line", "--set", "sleep=0.1", "--workers", "2", "--store", url]
    process = start(*command)
    wait_until(lambda: len(calls(log)) >= 8)
    # A terminal sends Ctrl-C to all processes of the command, workers included.
    os.killpg(process.pid, sign) if sign == signal.SIGINT else process.send_signal(sign)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    kept = finished(url)
    assert len(kept) >= 4
    again = symscape(*command, "--json")
    assert json.loads(again.stdout)[0]["already"] == len(kept)
    assert contents(url, sleep=0.1) == undisturbed(tmp_path, sleep=0.1)


def test_an_interrupt_does_not_reach_a_worker_that_starts(
    symscape: Symscape, tmp_path: Path
) -> None:
    """Workers interrupt themselves before their first import, as a terminal does by chance."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if '--multiprocessing-fork' in sys.orig_argv:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    open(f'interrupted-{os.getpid()}', 'w').close()\n"
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])
    command = ["run", "demo-line", "--profile", "smoke", "--workers", "2", "--json"]
    done = symscape(*command, PYTHONPATH=paths)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[0]["done"] == 8
    assert len(list(tmp_path.glob("interrupted-*"))) == 2


# -- disks ---------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_nothing_is_lost(
    small_disk: Path, symscape: Symscape, tmp_path: Path
) -> None:
    url = f"sqlite:///{small_disk / 'store.sqlite'}"
    command = ["run", "demo-line", "--set", "points=1000", "--in-process", "--store", url]
    one_sentence(symscape(*command), "full", "finished points are kept")

    # The same store on a larger disk has every point that was finished, and goes on.
    larger = tmp_path / "larger"
    shutil.copytree(small_disk, larger)
    moved = f"sqlite:///{larger / 'store.sqlite'}"
    kept = finished(moved)
    assert len(kept) > 50
    assert len(kept) >= len(calls(tmp_path / "calls.log")) - 1
    again = symscape(*command[:-1], moved, "--json")
    assert again.returncode == 0, again.stderr
    [summary] = json.loads(again.stdout)
    assert (summary["already"], summary["done"]) == (len(kept), 2000 - len(kept))


def test_a_read_only_folder_is_one_sentence(
    small_disk: Path, symscape: Symscape, tmp_path: Path
) -> None:
    old = f"sqlite:///{small_disk / 'store.sqlite'}"
    assert symscape("run", "demo-line", "--profile", "smoke", "--store", old).returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    one_sentence(symscape("run", "demo-line", "--store", old), "read-only")
    new = f"sqlite:///{small_disk / 'new.sqlite'}"
    one_sentence(symscape("run", "demo-line", "--store", new), "read-only")
    into = str(small_disk / "report")
    one_sentence(symscape("report", "--store", old, "--out", into), "Read-only")
    # Reading needs no permission to write.
    assert len(contents(old, "smoke")) == 8
    assert symscape("report", "demo-line", "--store", old, "--out", "r").returncode == 0


def test_a_read_only_folder_of_an_ordinary_user_is_one_sentence(
    symscape: Symscape, tmp_path: Path
) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere; the read-only mount is tested instead")
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    url = f"sqlite:///{folder / 'store.sqlite'}"
    one_sentence(symscape("run", "demo-line", "--store", url), "read-only")


# -- stores that cannot be used ------------------------------------------------------------------


def test_a_newer_schema_is_one_sentence(store_url: str, symscape: Symscape, tmp_path: Path) -> None:
    with Store(store_url) as store, store.write() as connection:
        connection.execute(meta.update().values(value=str(SCHEMA + 1)))
    for command in (["run", "demo-line"], ["report"], ["reproduce"]):
        one_sentence(symscape(*command, "--store", store_url), "newer symscape", "upgrade")
    assert calls(tmp_path / "calls.log") == []


def test_a_truncated_store_is_one_sentence(symscape: Symscape, tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    url = f"sqlite:///{file}"
    assert symscape("run", "demo-line", "--store", url).returncode == 0
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    for command in (["run", "demo-line"], ["report"], ["reproduce"]):
        one_sentence(symscape(*command, "--store", url), "damaged")
    assert file.read_bytes() == content[: len(content) // 2]


def test_a_missing_store_is_one_sentence_for_the_report(symscape: Symscape) -> None:
    one_sentence(symscape("report"), "There is no store", "symscape run")


def test_a_point_that_fails_gives_status_1_and_a_line_at_once(
    symscape: Symscape, tmp_path: Path
) -> None:
    done = symscape("run", "demo-line", DEMO_FAIL="3/1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "demo-line failed at x=3.0 slope=2.0 sleep=0.0 seed=1: "
        "FloatingPointError: demo failure at 3/1"
    ]
    assert "39 measured, 1 failed" in done.stdout
    page = symscape("report", "demo-line")
    assert page.returncode == 0
    html = (tmp_path / "symscape-report" / "experiments" / "demo-line.html").read_text()
    assert "demo failure at 3/1" in html

    again = symscape("run", "demo-line", "--json")
    assert again.returncode == 0
    assert [json.loads(again.stdout)[0][name] for name in ("already", "done")] == [39, 1]


def test_the_store_is_sound_after_all_this(symscape: Symscape, tmp_path: Path) -> None:
    assert symscape("run", "demo-line").returncode == 0
    url = f"sqlite:///{tmp_path / 'symscape-store.sqlite'}"
    with Store(url) as store, store.engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA integrity_check")).scalar() == "ok"
    assert len(finished(url)) == 40
