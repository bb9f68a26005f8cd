"""Fixtures of the laboratory's tests: a private PostgreSQL, and the command line as a process."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the demo experiment is imported here and in worker processes


@pytest.fixture(scope="session", autouse=True)
def _installed() -> Iterator[None]:
    """Sweeps of the tests name no commit: that of a developer has changes, which is no matter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("symscape.lab._provenance._checkout", lambda: None)
        yield


def _program(name: str) -> str | None:
    found = shutil.which(name)
    if found is None:
        debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
        found = str(debian[-1]) if debian else None
    return found


class _Postgres:
    """A PostgreSQL server on a socket in a temporary folder, run by an unprivileged user."""

    def __init__(self) -> None:
        self.user = _unprivileged_user()
        self.folder = Path(tempfile.mkdtemp(prefix="symscape-pg-", dir="/tmp"))
        shutil.chown(self.folder, self.user.pw_uid, self.user.pw_gid)
        data = self.folder / "data"
        self._run("initdb", "-D", data, "--auth=trust", "--no-sync", "--encoding=UTF8", "-N")
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c max_connections=50"
        log = self.folder / "log"
        self._run("pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "-t", "60", "start")

    def _run(self, name: str, *arguments: object) -> None:
        program = _program(name)
        assert program is not None
        identity = {}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            identity = {
                "user": self.user.pw_uid,
                "group": self.user.pw_gid,
                "extra_groups": [],
            }
        subprocess.run(
            [program, *map(str, arguments)],
            check=True,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            **identity,
        )

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        import psycopg

        name = f"t{uuid.uuid4().hex}"
        where = f"host={self.folder} user={self.user.pw_name}"
        with psycopg.connect(f"{where} dbname=postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return f"postgresql://{self.user.pw_name}@/{name}?host={self.folder}"

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)


def _unprivileged_user() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())


@pytest.fixture(scope="session")
def postgres() -> Iterator[_Postgres]:
    """A private server, or a skip that says what is missing."""
    missing = [name for name in ("initdb", "pg_ctl") if _program(name) is None]
    if missing:
        pytest.skip(f"PostgreSQL is not installed: no {' and no '.join(missing)}")
    server = _Postgres()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, once SQLite and once PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    server = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Environment of a ``symscape`` process that knows the demo experiment and logs its calls."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        "SYMSCAPE_EXPERIMENTS": "demo_experiment",
        "DEMO_LOG": str(tmp_path / "calls.log"),
        "PYTHONWARNINGS": "",
    }


Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path, environment: dict[str, str]) -> Iterator[Command]:
    """Start ``symscape ARGUMENTS...`` in an empty folder; what still runs at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **changes: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "symscape.cli", *arguments],
            cwd=tmp_path,
            env={**environment, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=60)


@pytest.fixture
def symscape(start: Command) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``symscape ARGUMENTS...`` to its end."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        process = start(*arguments, **changes)
        out, err = process.communicate(timeout=240)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    return run
