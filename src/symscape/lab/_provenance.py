"""Where results come from: versions, commit, machine."""

from __future__ import annotations

import functools
import io
import os
import platform
import subprocess
import tarfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import symscape
from symscape.lab._code import content_digest, digest, edited, running_code

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "numba",
    "scikit-learn",
    "lightning-fabric",
    "pydantic",
    "sqlalchemy",
    "dask",
    "distributed",
    "plotly",
)


def provenance() -> dict[str, Any]:
    """Return version, commit, code, packages and machine of this process, as JSON values.

    ``code`` is the digest of the package's source files that this process runs.
    """
    return {
        "symscape": symscape.__version__,
        "commit": _commit(),
        "code": running_code()["symscape"],
        "python": platform.python_version(),
        "packages": package_versions(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "host": platform.node(),
    }


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Return the installed versions by name; a package that is missing is left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """Commit of the source tree, None outside a checkout.

    ``+changes`` follows where files of ``src`` differ from it, where Python files there are not
    tracked, and where this process runs what the files were before.
    """
    root = _checkout()
    if root is None:
        return None
    try:
        head = _git(root, "rev-parse", "HEAD").decode().strip()
        status = _git(root, "status", "--porcelain", "--untracked-files=all", "--", "src").decode()
    except (OSError, subprocess.SubprocessError):
        return None
    lines = [line.rstrip('"') for line in status.splitlines()]
    changed = any(not line.startswith("??") or line.endswith(".py") for line in lines)
    return f"{head}+changes" if changed or edited() else head


@functools.cache
def code_of_commit(commit: str) -> str | None:
    """Return the digest of the package's source files in a commit; None where nobody can tell.

    Raises:
        LookupError: if this is a checkout that does not hold the commit.
    """
    root = _checkout()
    if root is None:
        return None
    package = Path(symscape.__file__).parent.relative_to(root)
    try:
        archive = _git(root, "archive", "--format=tar", commit, "--", package.as_posix())
    except subprocess.CalledProcessError:
        raise LookupError(commit) from None
    except (OSError, subprocess.SubprocessError):
        return None
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name.endswith(".py") else None
            if content is not None:
                name = Path(member.name).relative_to(package).as_posix()
                files[name] = content_digest(content.read())
    return digest(files)


def _checkout() -> Path | None:
    """Root of the working tree that this package is imported from."""
    root = Path(symscape.__file__).parents[2]
    return root if (root / ".git").exists() else None


def _git(root: Path, *arguments: str) -> bytes:
    # Another program may be committing: git must not lock the index to refresh it.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, check=True, timeout=10).stdout


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
