"""Downloading data sets: several mirrors, resumed, checked, and never half in place."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from symscape.datasets._catalogue import data_set
from symscape.datasets._sources import DataSource, content_sha256, describe, user_data_folder

Progress = Callable[[str, int, int | None], None]
"""Called with the name of the file, the bytes that are here, and the size where it is known."""

_CHUNK = 1 << 16
_ATTEMPTS = 4
_NETWORK_ERRORS = (
    urllib.error.URLError,
    http.client.HTTPException,
    TimeoutError,
    ConnectionError,
    ssl.SSLError,
)


class FetchError(OSError):
    """No mirror gave a file; the message holds the reason of each."""


def fetch(
    name: str = "mnist",
    folder: str | Path | None = None,
    *,
    mirrors: Sequence[str] | None = None,
    progress: Progress | None = None,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> DataSource:
    """Download a data set, unless its official files are there already.

    Each file is tried at one mirror after the other. A transfer that breaks off goes on where it
    stopped, also in a later call. A file counts once the sha256 of its decompressed content is the
    official one, and the data set appears under its name when all its files are complete.

    Args:
        name: A data set that has mirrors: `"mnist"`.
        folder: Where to put it: the files go to a folder named after the data set inside this one.
            Default: `user_data_folder()`, which is always searched.
        mirrors: Addresses (http or https) of folders that hold the files; default: the known ones.
        progress: Called after each block of a transfer.
        timeout: Seconds without an answer after which a transfer counts as broken.
        pause: Seconds before a broken transfer is taken up again, at most four times in all.

    Raises:
        FetchError: No mirror gave a file (no network, say).
        ValueError: Unknown data set, one without mirrors, or an address that is not http(s).
        OSError: The folder cannot be written.
    """
    item = data_set(name)
    mirrors = tuple(item.mirrors if mirrors is None else mirrors)
    if not item.mirrors:
        raise ValueError(f"name: {name} cannot be fetched; download it from {item.home}")
    for mirror in mirrors:
        if not mirror.startswith(("http://", "https://")):
            raise ValueError(f"mirrors: {mirror!r} is not an address starting with http(s)://")

    target = Path(folder or user_data_folder()) / item.folders[0]
    files = tuple(target / f"{file}.gz" for file, _ in item.checksums)
    if not all(_is(path, sha256) for path, (_, sha256) in zip(files, item.checksums, strict=True)):
        target = target.resolve()  # a link may lead to another disk: files are made ready there
        incoming = target.with_name(target.name + ".incoming")
        incoming.mkdir(parents=True, exist_ok=True)
        download = _Download(timeout, pause, progress or (lambda *_: None))
        for file, sha256 in item.checksums:
            if not _is(incoming / f"{file}.gz", sha256):
                _from_any(mirrors, incoming / f"{file}.gz", sha256, download)
        _move_in(incoming, target, files)
    return describe(name, files)


def _is(path: Path, sha256: str) -> bool:
    """Whether the file is there and has this content."""
    try:
        return path.is_file() and content_sha256(path) == sha256
    except ValueError:  # a damaged gzip stream
        return False


def _from_any(mirrors: Sequence[str], path: Path, sha256: str, download: _Download) -> None:
    reasons = []
    for mirror in mirrors:
        # Mirrors may compress differently: a transfer goes on only where it began.
        tag = hashlib.sha256(mirror.encode()).hexdigest()[:8]
        part = path.with_name(f"{path.name}.{tag}.part")
        try:
            if _checked(download, f"{mirror.rstrip('/')}/{path.name}", part, sha256):
                os.replace(part, path)
                return
            reasons.append(f"{mirror}: the file there is not the official one")
        except _NETWORK_ERRORS as error:
            reasons.append(f"{mirror}: {_reason(error)}")
    raise FetchError(
        f"could not fetch {path.name} ({'; '.join(reasons)}); a later call goes on from here"
    )


def _checked(download: _Download, url: str, part: Path, sha256: str) -> bool:
    """Download to `part` and compare; once more from nothing if it began with an old part."""
    for _ in range(2 if part.exists() else 1):
        download(url, part)
        if _is(part, sha256):
            return True
        part.unlink()
    return False


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"no connection ({error.reason})"
    return str(error) or type(error).__name__


def _move_in(incoming: Path, target: Path, files: Sequence[Path]) -> None:
    """Let the complete files appear in `target`, at one stroke where it does not exist yet."""
    for leftover in incoming.glob("*.part"):
        leftover.unlink()
    if not target.exists():
        os.replace(incoming, target)
        return
    for path in files:
        os.replace(incoming / path.name, path)
    shutil.rmtree(incoming)


class _Download:
    """Transfers of one call of `fetch`: they share patience and the report of progress."""

    def __init__(self, timeout: float, pause: float, progress: Progress) -> None:
        self.timeout = timeout
        self.pause = pause
        self.progress = progress

    def __call__(self, url: str, part: Path) -> None:
        """Complete `part` from `url`, taking a broken transfer up again a few times."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._resume(url, part)
            except _NETWORK_ERRORS as error:
                hopeless = isinstance(error, urllib.error.HTTPError) and error.code < 500
                if hopeless or attempt == _ATTEMPTS:
                    raise
                time.sleep(self.pause)
        return None

    def _resume(self, url: str, part: Path) -> None:
        done = part.stat().st_size if part.exists() else 0
        request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
        try:
            response = urllib.request.urlopen(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            if done and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                return  # nothing is left to fetch; the checksum decides
            raise
        with response:
            if done and not _continues(response, done):
                done = 0
            length = response.headers.get("Content-Length")
            total = None if length is None else done + int(length)
            with open(part, "ab" if done else "wb") as file:
                while block := response.read(_CHUNK):
                    file.write(block)
                    done += len(block)
                    self.progress(part.name.split(".")[0], done, total)
        if total is not None and done < total:
            raise ConnectionError(f"the connection broke off after {done} of {total} bytes")


def _continues(response: http.client.HTTPResponse, done: int) -> bool:
    """Whether the answer starts at byte `done` (a server may ignore the request for a range)."""
    if response.status != http.client.PARTIAL_CONTENT:
        return False
    start = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return start is not None and int(start[1]) == done
