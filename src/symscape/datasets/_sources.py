"""Finding data sets on this machine, and naming exactly which data a run used."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from symscape.datasets._catalogue import DataSet, data_set
from symscape.datasets._cifar10 import cifar10_count
from symscape.datasets._idx import image_parts, read_bytes

SEARCH_VARIABLE = "SYMSCAPE_DATA"
SAMPLE_FOLDER = Path(__file__).parent / "samples" / "mnist"
_DIGEST_CHARACTERS = 16


class DataNotFoundError(ValueError):
    """A data set is in none of the folders that were searched."""


@dataclass(frozen=True)
class DataSource:
    """Which data were read: enough to tell two runs on different data apart.

    Attributes:
        name: Name of the data set, e.g. `"mnist"` or `"mnist-sample"`.
        path: Folder that holds its files.
        sha256: Digest of the decompressed content of its files, in their fixed order; the same for
            the same data however they are compressed and wherever they lie.
        n: Number of samples, training and test together.
    """

    name: str
    path: Path
    sha256: str
    n: int

    @property
    def pinned(self) -> str:
        """`name@digest`: a name that loads only exactly these data (for the key of a run)."""
        return f"{self.name}@{self.sha256[:_DIGEST_CHARACTERS]}"


def search_path() -> list[Path]:
    """Folders in which data sets are looked for, in order.

    They are the folders in the environment variable `SYMSCAPE_DATA` (separated like `PATH`),
    `./data` and the user's cache (`user_data_folder()`).

    Raises:
        ValueError: A folder in `SYMSCAPE_DATA` does not exist.
    """
    named = [
        Path(entry) for entry in os.environ.get(SEARCH_VARIABLE, "").split(os.pathsep) if entry
    ]
    for folder in named:
        if not folder.is_dir():
            raise ValueError(f"{SEARCH_VARIABLE} names {folder}, which is not a folder")
    return [*named, Path("data"), user_data_folder()]


def user_data_folder() -> Path:
    """Folder of the user's cache into which `fetch` writes."""
    return platformdirs.user_cache_path("symscape") / "data"


def find(name: str) -> tuple[Path, ...] | None:
    """The files of a data set, or None where it is not on this machine.

    Raises:
        ValueError: Unknown name, or a folder that holds some but not all files of the data set.
    """
    item = data_set(name)
    bases = [SAMPLE_FOLDER.parent] if name == "mnist-sample" else search_path()
    for base in bases:
        for folder in item.folders:
            files = _files_in(base / folder, item)
            if files:
                return files
    return None


def _files_in(folder: Path, item: DataSet) -> tuple[Path, ...] | None:
    incomplete = None
    for layout in item.layouts:
        found = [_existing(folder, name) for name in layout]
        files = tuple(path for path in found if path is not None)
        if len(files) == len(layout):
            return files
        if files:
            missing = ", ".join(n for n, path in zip(layout, found, strict=True) if path is None)
            incomplete = f"{folder} holds only a part of {item.name}; missing: {missing}"
    if incomplete:
        raise ValueError(incomplete)
    return None


def _existing(folder: Path, name: str) -> Path | None:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    return None


def resolve(name: str = "auto", family: str = "mnist") -> DataSource:
    """Say which data a name stands for, once the headers and sizes of its files are checked.

    Args:
        name: A data set's name; `"auto"`: `family` where it is found, else its packaged sample; or
            a pinned name `name@digest` (see `DataSource.pinned`).
        family: What `"auto"` stands for. Only `"mnist"` has a packaged sample.

    Raises:
        DataNotFoundError: The data are not on this machine.
        ValueError: Unknown name, incomplete or damaged files, or files other than the pinned ones.
    """
    return locate(name, family)[0]


def available(names: Mapping[str, str]) -> dict[str, DataSource]:
    """Those of several data sets that are on this machine; the log says, once, what is left out.

    Args:
        names: what `resolve` understands, by the name under which it is returned.

    Raises:
        DataNotFoundError: None of them is.
        ValueError: Unknown name, incomplete or damaged files, or files other than the pinned ones.
    """
    found: dict[str, DataSource] = {}
    missing: list[DataNotFoundError] = []
    for key, name in names.items():
        try:
            found[key] = resolve(name)
        except DataNotFoundError as error:
            missing.append(error)
    if missing and not found:
        raise missing[-1]
    for reason in missing:
        _warn_left_out(str(reason))
    return found


@functools.cache
def _warn_left_out(reason: str) -> None:
    logging.getLogger("symscape").warning("Left out: %s.", reason)


def locate(name: str = "auto", family: str = "mnist") -> tuple[DataSource, tuple[Path, ...]]:
    """What `resolve` says, and the files it says it of."""
    if name == "auto":
        name = family if find(family) else f"{family}-sample"
    name, _, digest = name.partition("@")
    files = find(name)
    if files is None:
        raise DataNotFoundError(_not_found(data_set(name)))
    source = describe(name, files)
    if not source.sha256.startswith(digest):
        raise ValueError(
            f"name: {name}@{digest} was asked for, but {source.path} holds {source.pinned}"
        )
    return source, files


def _not_found(item: DataSet) -> str:
    looked = ", ".join(str(folder) for folder in search_path())
    remedy = f"download {item.wanted} from {item.home}"
    if item.mirrors:
        remedy = f"`symscape data fetch {item.name}`"
    return (
        f"{item.name} is not on this machine (looked for {' or '.join(item.folders)} in {looked}): "
        f"{remedy}, or set {SEARCH_VARIABLE} to the folder that holds {item.folders[0]}/"
    )


def describe(name: str, files: tuple[Path, ...]) -> DataSource:
    """The source made of these files (the answer is remembered until a file changes).

    Raises:
        ValueError: A file is damaged, truncated, or not what its name says.
    """
    return _describe(name, files, tuple(_stamp(path) for path in files))


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@functools.lru_cache(maxsize=32)
def _describe(
    name: str, files: tuple[Path, ...], stamps: tuple[tuple[int, int], ...]
) -> DataSource:
    digest = hashlib.sha256()

    def contents() -> Iterator[bytes]:
        for path in files:
            content = read_bytes(path)
            name_in_digest = path.name.removesuffix(".gz")
            digest.update(f"{name_in_digest} {hashlib.sha256(content).hexdigest()}\n".encode())
            yield content

    # Read once for both: the count, which checks headers, sizes and labels, and the digest.
    n = _count(name, files, contents())
    return DataSource(name, files[0].parent, digest.hexdigest(), n)


def content_sha256(path: Path) -> str:
    """sha256 (hexadecimal) of the decompressed content of a file."""
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _count(name: str, files: tuple[Path, ...], contents: Iterator[bytes]) -> int:
    if name == "cifar10":
        return cifar10_count(files, contents)
    return sum(len(labels) for _, labels in image_parts(files, contents, data_set(name).classes))
