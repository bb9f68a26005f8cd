"""What the command `symscape data` shows: which data sets are here, and whether they are sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from symscape.datasets._catalogue import CATALOGUE, data_set
from symscape.datasets._images import load
from symscape.datasets._sources import content_sha256, find, resolve, search_path


@dataclass(frozen=True)
class SourceRecord:
    """One known data set and its state on this machine.

    `status` is `"found"`, `"not found"`, or `"damaged"` with the reason in `note`. `path`, `n` and
    `sha256` (see `DataSource`) are None unless it is found.
    """

    name: str
    title: str
    status: Literal["found", "not found", "damaged"]
    path: str | None
    n: int | None
    sha256: str | None
    fetchable: bool
    terms: str
    home: str
    note: str


@dataclass(frozen=True)
class FileRecord:
    """One file of a data set and the outcome of its check.

    `status` is `"official"` (its decompressed content has the known sha256), `"readable"` (no
    checksum is known, but the data set loads) or `"damaged"`, with the reason in `note`.
    """

    name: str
    file: str
    n_bytes: int
    sha256: str | None
    status: Literal["official", "readable", "damaged"]
    note: str


def list_sources() -> list[SourceRecord]:
    """One record for each known data set, found or not.

    Raises:
        ValueError: A folder in `SYMSCAPE_DATA` does not exist.
    """
    search_path()  # a folder that does not exist is no fault of any one data set
    return [_source_record(name) for name in CATALOGUE]


def _source_record(name: str) -> SourceRecord:
    item = data_set(name)
    status: Literal["found", "not found", "damaged"] = "not found"
    source, note = None, ""
    try:
        if find(name):
            source, status = resolve(name), "found"
    except ValueError as error:
        status, note = "damaged", str(error)
    return SourceRecord(
        name=name,
        title=item.title,
        status=status,
        path=str(source.path) if source else None,
        n=source.n if source else None,
        sha256=source.sha256 if source else None,
        fetchable=bool(item.mirrors),
        terms=item.terms,
        home=item.home,
        note=note,
    )


def verify(name: str | None = None) -> list[FileRecord]:
    """Check every file of a data set, or of all that are found.

    Raises:
        DataNotFoundError: `name` is given and is not on this machine.
        ValueError: Unknown name, or a folder with only a part of the files.
    """
    if name is not None and find(name) is None:
        resolve(name)  # says where it was looked for
    names = [name] if name is not None else [known for known in CATALOGUE if find(known)]
    return [record for known in names for record in _file_records(known)]


def _file_records(name: str) -> list[FileRecord]:
    checksums = dict(data_set(name).checksums)
    trouble = "" if checksums else _trouble(name)
    records = []
    for path in find(name) or ():
        status: Literal["official", "readable", "damaged"]
        sha256, note = None, trouble
        try:
            sha256 = content_sha256(path)
        except (ValueError, OSError) as error:
            note = str(error)
        expected = checksums.get(path.name.removesuffix(".gz"))
        if sha256 and expected and sha256 != expected:
            note = f"its content has the sha256 {sha256}, the official one is {expected}"
        status = "damaged" if note else "official" if expected else "readable"
        records.append(FileRecord(name, str(path), path.stat().st_size, sha256, status, note))
    return records


def _trouble(name: str) -> str:
    """Why the data set does not load, or nothing."""
    try:
        load(name)
    except ValueError as error:
        return str(error)
    return ""
