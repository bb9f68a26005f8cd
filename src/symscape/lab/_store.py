"""The store of results: every finished point, what was asked for, and where it came from."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from symscape.lab._codec import decode
from symscape.lab._errors import StoreError
from symscape.lab._experiment import Experiment
from symscape.lab._keys import canonical, key_of
from symscape.lab._provenance import provenance
from symscape.lab._schema import (
    display,
    open_engine,
    parse_url,
    provenances,
    results,
    runs,
    sentences,
    writing,
)
from symscape.lab._table import Point, Row, Table

DEFAULT_STORE = "sqlite:///symscape-store.sqlite"
"""One file in the current folder."""

_CHUNK = 500  # keys per query: databases limit the number of bound values


@dataclass(frozen=True)
class Failure:
    """A point whose last attempt failed."""

    point: Point
    key: str
    error: str
    attempts: int
    seconds: float
    host: str

    @property
    def line(self) -> str:
        """The last line of the traceback: the exception and its message."""
        lines = [line for line in self.error.splitlines() if line.strip()]
        return lines[-1].strip() if lines else "unknown error"


@dataclass(frozen=True)
class Run:
    """One call of a sweep: what was asked for, and how it ended."""

    id: int
    experiment: str
    version: int
    profile: str
    overrides: dict[str, Any]
    parameters: dict[str, Any]
    points: list[Point]
    executor: str
    status: str
    started: float
    ended: float | None
    done: int | None
    failed: int | None
    already: int | None
    provenance: dict[str, Any]


class Store:
    """Results in SQLite or PostgreSQL.

    Args:
        url: SQLAlchemy URL, for example ``sqlite:///runs.sqlite`` (relative to the current
            folder) or ``postgresql://user@host/database``.
        create: make the tables if the database is empty; False for readers, to which a store
            that does not exist is an error.

    Raises:
        InputError: if the URL cannot be understood.
        StoreError: if the database cannot be opened, is damaged or has a newer schema.
    """

    def __init__(self, url: str = DEFAULT_STORE, *, create: bool = True) -> None:
        self._url = parse_url(url)
        self.url = self._url.render_as_string(hide_password=True)
        self.engine = open_engine(self._url, create=create)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        return display(self._url)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    # -- reading -------------------------------------------------------------------------------

    def status(self, experiment: Experiment) -> dict[str, tuple[str, int]]:
        """Return ``{key: ("done" or "failed", attempts)}`` of all points of an experiment."""
        query = sa.select(results.c.key, results.c.status, results.c.attempts).where(
            results.c.experiment == experiment.name, results.c.version == experiment.version
        )
        return {row.key: (row.status, row.attempts) for row in self._read(query)}

    def table(self, experiment: Experiment, points: Sequence[Point]) -> Table:
        """Return the finished ones among ``points``, in their order."""
        keys = [key_of(experiment.name, experiment.version, point) for point in points]
        found = {row.key: row for row in self._rows(keys, "done")}
        rows = [
            self._result(found[key], point)
            for key, point in zip(keys, points, strict=True)
            if key in found
        ]
        return Table(rows, expected=len(keys))

    def failures(self, experiment: Experiment, points: Sequence[Point]) -> list[Failure]:
        """Return the failed ones among ``points``, in their order."""
        keys = [key_of(experiment.name, experiment.version, point) for point in points]
        found = {row.key: row for row in self._rows(keys, "failed")}
        return [
            Failure(point, key, str(row.error), row.attempts, row.seconds, row.host)
            for key, point in zip(keys, points, strict=True)
            if (row := found.get(key)) is not None
        ]

    def provenance(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Return where these results come from: each distinct provenance, with ``"points"`` in it.

        ``"points"`` counts the results of that provenance, ``"hosts"`` lists where they ran.
        """
        counts: dict[str, int] = {}
        hosts: dict[str, set[str]] = {}
        for row in self._rows(keys, None):
            counts[row.provenance] = counts.get(row.provenance, 0) + 1
            hosts.setdefault(row.provenance, set()).add(row.host)
        known = self._provenances()
        return [
            {**self._origin(name, known), "points": counts[name], "hosts": sorted(hosts[name])}
            for name in sorted(counts, key=lambda name: (-counts[name], name))
        ]

    def runs(self, experiment: str | None = None, profile: str | None = None) -> list[Run]:
        """Return the calls of sweeps, the newest first, of one experiment and profile or of all."""
        query = sa.select(runs).order_by(runs.c.id.desc())
        if experiment is not None:
            query = query.where(runs.c.experiment == experiment)
        if profile is not None:
            query = query.where(runs.c.profile == profile)
        known = self._provenances()
        return [self._run(row, known) for row in self._read(query)]

    def last_run(self, experiment: str, profile: str) -> Run | None:
        """Return the newest call of a sweep of this experiment and profile, if there is one."""
        found = self.runs(experiment, profile)
        return found[0] if found else None

    # -- writing: the scheduling process alone ---------------------------------------------------

    def record_provenance(self) -> str:
        """Write where this process's results come from, and return its id."""
        value = canonical(provenance())
        name = hashlib.sha256(value.encode()).hexdigest()
        with self.write() as connection:
            row = self.insert(provenances).values(id=name, json=value)
            mend = {"json": value}  # of a row that was damaged
            connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=mend))
        return name

    def begin_run(
        self,
        experiment: Experiment,
        profile: str,
        overrides: Mapping[str, Any],
        points: Sequence[Point],
        executor: str,
        provenance: str,
    ) -> int:
        """Log that a sweep was asked for, and return the number of the run.

        The points are kept with it: expanded again later, or elsewhere, the same parameters could
        mean other data.
        """
        parameters = experiment.parameters(profile, overrides)
        row = runs.insert().values(
            experiment=experiment.name,
            version=experiment.version,
            profile=profile,
            overrides=json.dumps(dict(overrides)),
            parameters=parameters.model_dump_json(),
            points=json.dumps(list(points)),
            executor=executor,
            status="running",
            started=time.time(),
            provenance=provenance,
        )
        with self.write() as connection:
            return int(connection.execute(row.returning(runs.c.id)).scalar_one())

    def end_run(self, run: int, status: str, *, done: int, failed: int, already: int) -> None:
        """Log how a run ended: ``finished`` or ``interrupted``, and its counts."""
        change = runs.update().where(runs.c.id == run)
        with self.write() as connection:
            connection.execute(
                change.values(
                    status=status, ended=time.time(), done=done, failed=failed, already=already
                )
            )

    @contextmanager
    def write(self, *, alone: bool = False) -> Iterator[sa.Connection]:
        """Open one write transaction; errors of the database come out as one sentence.

        Args:
            alone: wait for all others that ask for this, so that transactions which touch many
                rows cannot block each other; SQLite's are always alone.
        """
        with sentences(self._url), writing(self.engine) as connection:
            if alone and self.engine.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7365797)"))
            yield connection

    def insert(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        """Return the database's own INSERT, which knows ON CONFLICT."""
        if self.engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table)

    def _read(self, query: sa.Executable) -> Sequence[sa.Row[Any]]:
        with sentences(self._url), self.engine.connect() as connection:
            return connection.execute(query).all()

    def _rows(self, keys: Sequence[str], status: str | None) -> Iterator[sa.Row[Any]]:
        for start in range(0, len(keys), _CHUNK):
            query = sa.select(results).where(results.c.key.in_(keys[start : start + _CHUNK]))
            if status is not None:
                query = query.where(results.c.status == status)
            yield from self._read(query)

    def _provenances(self) -> dict[str, str]:
        return {row.id: row.json for row in self._read(sa.select(provenances))}

    def _result(self, row: sa.Row[Any], point: Point) -> Row:
        with self._sound(f"results with key = '{row.key}'", f"results WHERE key = '{row.key}'"):
            return Row(point, decode(row.scalars, row.arrays), row.key, float(row.seconds))

    def _run(self, row: sa.Row[Any], known: Mapping[str, str]) -> Run:
        values = row._asdict()
        with self._sound(f"runs with id = {row.id}", f"runs WHERE id = {row.id}"):
            for name, kind in (("overrides", dict), ("parameters", dict), ("points", list)):
                values[name] = kind(json.loads(values[name]))
        return Run(**{**values, "provenance": self._origin(row.provenance, known)})

    def _origin(self, name: str, known: Mapping[str, str]) -> dict[str, Any]:
        users = [f"{table} WHERE provenance = '{name}'" for table in ("results", "runs")]
        with self._sound(f"provenance with id = '{name}'", *users):
            return dict(json.loads(known[name]))

    @contextmanager
    def _sound(self, row: str, *useless: str) -> Iterator[None]:
        """Name a row that cannot be read in one sentence, and what is useless without it."""
        try:
            yield
        except Exception as error:  # bytes that were overwritten can raise anything
            remedy = "; ".join(f"DELETE FROM {rows}" for rows in useless)
            raise StoreError(
                f"A row of the store {self} is damaged, that of table {row} "
                f"({type(error).__name__}: {error}). Restore a copy of the store, or run this in "
                f"it and give the command that filled it again: {remedy}"
            ) from error
