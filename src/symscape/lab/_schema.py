"""The tables of a store, and opening a database as one."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Engine,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from symscape.lab._errors import InputError, StoreError

SCHEMA = 1
"""Version of the tables below; raise it with every change of them."""

BUSY_SECONDS = 30
"""How long a writer waits for another one."""

_SQLITE_OPTIONS = ("uri", "vfs", "mode", "cache", "nolock", "immutable", "psow", "timeout")
_IN_MEMORY = "A store must be a file: results in memory would be lost."

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)
provenances = Table(
    "provenance",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("json", Text, nullable=False),
)
results = Table(
    "results",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("experiment", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("point", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("status", String(10), nullable=False),  # done, failed
    Column("attempts", Integer, nullable=False),
    Column("scalars", Text),
    Column("arrays", LargeBinary),
    Column("error", Text),
    Column("seconds", Double, nullable=False),
    Column("host", String(200), nullable=False),
    Column("finished", Double, nullable=False),  # Unix time
    Column("provenance", String(64), nullable=False),
    Index("results_of_experiment", "experiment", "version"),
)
schedulers = Table(
    "schedulers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("machine", String(200), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", Double, nullable=False),
    Column("beat", Integer, nullable=False),
)
leases = Table(
    "leases",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("scheduler", String(64), nullable=False),
)
runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("experiment", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("profile", String(20), nullable=False),
    Column("overrides", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("points", Text, nullable=False),  # the points that the parameters meant then
    Column("executor", Text, nullable=False),
    Column("status", String(12), nullable=False),  # running, finished, interrupted
    Column("started", Double, nullable=False),
    Column("ended", Double),
    Column("done", Integer),
    Column("failed", Integer),
    Column("already", Integer),
    Column("provenance", String(64), nullable=False),
)


def parse_url(url: str | URL) -> URL:
    """Return the SQLAlchemy URL of a store, PostgreSQL by psycopg 3.

    Raises:
        InputError: if it is no URL, or of a database other than SQLite and PostgreSQL.
    """
    example = "sqlite:///runs.sqlite or postgresql://user@host/database"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise InputError(f"The store '{url}' is not a database URL; examples: {example}.") from None
    backend = parsed.drivername.partition("+")[0]
    if backend == "sqlite":
        _check_options(str(url))
        if not parsed.database or ":memory:" in parsed.database:
            raise InputError(_IN_MEMORY)
        return parsed
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    raise InputError(f"A store in '{backend}' is not supported; use {example}.")


def _check_options(url: str) -> None:
    """Refuse options that SQLite does not have: most likely they are the end of a file's name."""
    _, mark, text = url.partition("?")
    options = dict(parse_qsl(text, keep_blank_values=True))
    if mark and (not options or not options.keys() <= set(_SQLITE_OPTIONS)):
        raise InputError(
            f"The store '{url}' asks for the options '{text}', but those of SQLite are "
            f"{', '.join(_SQLITE_OPTIONS)}; a '?' in the name of a file is written %3F."
        )
    if options.get("mode") == "memory":
        raise InputError(_IN_MEMORY)


def sqlite_file(url: URL) -> Path | None:
    """Return the path of a SQLite store, None for PostgreSQL."""
    if url.get_backend_name() != "sqlite" or url.database is None:
        return None
    return Path(url.database.removeprefix("file:"))


def open_engine(url: URL, *, create: bool) -> Engine:
    """Connect to a database and make sure that it is a store of this schema.

    Args:
        url: from :func:`parse_url`.
        create: make the tables in an empty database; otherwise an empty one is an error.

    Raises:
        StoreError: if it cannot be opened, is damaged, is no store, or has a newer schema.
    """
    name = display(url)
    file = sqlite_file(url)
    if file is not None and not create and not file.exists():
        raise StoreError(f"There is no store {name}; `symscape run` makes one.")
    try:
        engine = create_engine(url if create or file is None else _readable(url, file))
    except (NoSuchModuleError, ImportError) as error:
        raise InputError(f"The driver of store {name} is missing: {error}.") from None
    if file is not None:
        _set_up_sqlite(engine)
    try:
        with sentences(url):
            if file is not None:
                _prefer_wal(engine)
            _check_schema(engine, name, create=create)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _readable(url: URL, file: Path) -> URL:
    """Return a URL that works in a read-only folder, where WAL cannot make its side files."""
    file = Path(os.path.realpath(file))  # SQLite, too, makes them beside what a link leads to
    if os.access(file.parent, os.W_OK) or Path(f"{file}-wal").exists():
        return url
    query = {"uri": "true", "mode": "ro", "immutable": "1"}
    return url.set(database=f"file:{quote(str(file))}").update_query_dict(query)


def display(url: URL) -> str:
    """Return the URL as a person may see it, without the password."""
    return f"'{url.render_as_string(hide_password=True)}'"


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open one write transaction, committed at the end; SQLite takes its lock at once."""
    with engine.connect().execution_options(symscape_write=True) as connection, connection.begin():
        yield connection


def _set_up_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        connection.execute(f"PRAGMA busy_timeout = {1000 * BUSY_SECONDS}")
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        # In WAL mode NORMAL is safe against a killed process, and no commit waits for the disk.
        level = "NORMAL" if mode == "wal" else "FULL"
        connection.execute(f"PRAGMA synchronous = {level}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later could fail with "locked" at once.
        write = connection.get_execution_options().get("symscape_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _prefer_wal(engine: Engine) -> None:
    """Switch to write-ahead logging; a file system that refuses it keeps the rollback journal."""
    connection = engine.raw_connection()
    try:
        mode = _journal_mode(connection, "")
        if mode != "wal":
            deadline = time.monotonic() + BUSY_SECONDS
            while True:
                try:
                    _journal_mode(connection, "= WAL")
                    break
                except sqlite3.OperationalError as error:
                    # Changing the mode does not wait for other connections by itself.
                    if "locked" not in str(error) or time.monotonic() > deadline:
                        break
                    time.sleep(0.05)
    finally:
        connection.close()
    engine.dispose()  # connections set their synchronous level when they are made


def _journal_mode(connection: Any, change: str) -> str:
    cursor = connection.cursor()
    try:
        return str(cursor.execute(f"PRAGMA journal_mode {change}").fetchone()[0])
    finally:
        cursor.close()


def _check_schema(engine: Engine, name: str, *, create: bool) -> None:
    with engine.begin() as connection:
        tables = set(inspect(connection).get_table_names())
        version = _schema_version(connection) if "meta" in tables else None
    if version is None:
        if tables:
            raise StoreError(
                f"The database {name} holds other tables and is not a store of symscape; nothing "
                f"was changed in it."
            )
        if not create:
            raise StoreError(f"The store {name} is empty; `symscape run` fills one.")
        _create(engine)
    elif version > SCHEMA:
        raise StoreError(
            f"The store {name} has schema {version}, written by a newer symscape; this one knows "
            f"schemas up to {SCHEMA}: please upgrade it. Nothing was changed in the store."
        )


def _schema_version(connection: Connection) -> int | None:
    columns = {column["name"] for column in inspect(connection).get_columns("meta")}
    if not {"name", "value"} <= columns:
        return None
    value = connection.execute(select(meta.c.value).where(meta.c.name == "schema")).scalar()
    return None if value is None else int(value)


def _create(engine: Engine) -> None:
    with writing(engine) as connection:
        if engine.dialect.name == "postgresql":  # two schedulers may create the tables at once
            connection.execute(text("SELECT pg_advisory_xact_lock(7365796)"))
        metadata.create_all(connection)
        if _schema_version(connection) is None:
            connection.execute(meta.insert().values(name="schema", value=str(SCHEMA)))


_SENTENCES = (
    (
        ("disk is full", "disk full", "No space left"),
        "The disk of store {name} is full: all finished points are kept; free some space and give "
        "the same command again.",
    ),
    (
        ("readonly database", "read-only", "permission denied"),
        "The store {name} cannot be written: the file or its folder is read-only.",
    ),
    (
        ("malformed", "not a database", "invalid page", "Could not decode"),
        "The store {name} is damaged (truncated or overwritten) and was left as it is; restore a "
        "copy, or rescue its rows with `sqlite3 FILE .recover`.",
    ),
    (
        ("database is locked",),
        "The store {name} was locked by another program for more than {busy} s; give the same "
        "command again when that has ended.",
    ),
)


@contextmanager
def sentences(url: URL) -> Iterator[None]:
    """Turn errors of the database into one sentence each.

    Raises:
        StoreError: for any error of the database.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise StoreError(_sentence(url, str(getattr(error, "orig", error)))) from error


def _sentence(url: URL, problem: str) -> str:
    for signs, sentence in _SENTENCES:
        if any(sign in problem for sign in signs):
            return sentence.format(name=display(url), busy=BUSY_SECONDS)
    if "unable to open database file" in problem:
        return f"The store {display(url)} cannot be opened: {_obstacle(url)}."
    if "disk I/O error" in problem:
        return (
            f"The disk of store {display(url)} refused a read or a write; all finished points are "
            f"kept. Is it full, or gone?"
        )
    first = problem.strip().splitlines()[0] if problem.strip() else "unknown error"
    return f"The store {display(url)} cannot be used: {first}."


def _obstacle(url: URL) -> str:
    file = (sqlite_file(url) or Path()).absolute()
    if file.is_dir():
        return "it is a folder"
    if not file.parent.is_dir():
        return "its folder does not exist"
    if not os.access(file.parent, os.W_OK):
        return "its folder may not be written (read-only)"
    return "the file may not be read" if file.exists() else "there is no such file"
