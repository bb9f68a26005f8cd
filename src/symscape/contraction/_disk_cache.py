"""The folder of compiled kernels: shared by processes, and kept under a size.

Files appear whole (written aside, then renamed) and carry a checksum. Reading a file marks it as
used; what was used longest ago is removed first. A process that loses a file to another one makes
its kernel again: a cache that cannot be read or written costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

import platformdirs

__all__ = ["cache_folder", "cache_limit", "read", "write"]

SIZE_VARIABLE = "SYMSCAPE_CACHE_MB"
DEFAULT_MB = 500.0

_CHECKSUM = 32
# Only what was written here is ever removed: a user may name a folder that holds other things.
_OURS = re.compile(r"[0-9a-f]{40}\.o|kernel-\w+\.part")
_written = math.inf  # bytes since this process last looked at the size of the folder


def cache_folder() -> Path:
    """Folder of the compiled kernels: `SYMSCAPE_CACHE`, or one in the user's cache."""
    chosen = os.environ.get("SYMSCAPE_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("symscape") / "kernels"


def cache_limit() -> float:
    """Bytes that the kernels may take: `SYMSCAPE_CACHE_MB` (0: none are kept), by default 500 MB.

    Raises:
        ValueError: The variable holds no number of megabytes.
    """
    chosen = os.environ.get(SIZE_VARIABLE) or DEFAULT_MB
    try:
        limit = 1e6 * float(chosen)
    except ValueError:
        limit = math.nan
    if not limit >= 0:
        raise ValueError(f"{SIZE_VARIABLE}: {chosen!r} given; allowed: megabytes, a number >= 0")
    return limit


def read(name: str) -> bytes | None:
    """The code of that name, or None where it is not there or is damaged."""
    path = cache_folder() / f"{name}.o"
    try:
        content = path.read_bytes()
    except OSError:
        return None
    with suppress(OSError):  # a folder that may only be read
        os.utime(path)
    checksum, code = content[:_CHECKSUM], content[_CHECKSUM:]
    return code if hashlib.sha256(code).digest() == checksum else None


def write(name: str, code: bytes) -> None:
    """Keep the code under that name, and the folder under its size."""
    limit = cache_limit()
    path = cache_folder() / f"{name}.o"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix="kernel-", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(code).digest() + code)
            os.replace(aside, path)
        except OSError:
            os.unlink(aside)
        _keep_under(limit, path.parent, len(code))


def _keep_under(limit: float, folder: Path, new: int) -> None:
    """Remove what was used longest ago where there is more than the limit, down to 9/10 of it.

    Looking costs a call for each file: it is done when this process has written 1/50 of the limit.
    """
    global _written
    _written += new
    if _written < limit / 50:
        return
    _written = 0
    files = []
    for entry in os.scandir(folder):
        with suppress(FileNotFoundError):  # another process has removed it
            if _OURS.fullmatch(entry.name):
                status = entry.stat()
                files.append((status.st_mtime_ns, status.st_size, entry.path))
    total = sum(size for _, size, _ in files)
    if total <= limit:
        return
    for _, size, path in sorted(files):
        if total <= 0.9 * limit:
            break
        with suppress(FileNotFoundError):
            os.unlink(path)
        total -= size
