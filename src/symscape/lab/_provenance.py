"""Where results come from: versions, commit, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import symscape

PACKAGES = (
    "torch",
    "numpy",
    "scipy",
    "numba",
    "scikit-learn",
    "pydantic",
    "sqlalchemy",
    "dask",
    "distributed",
    "plotly",
)


def provenance() -> dict[str, Any]:
    """Return version, commit, packages and machine of this process, as JSON values."""
    return {
        "symscape": symscape.__version__,
        "commit": _commit(),
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
    """Commit of the source tree, with ``+changes`` if files differ; None outside a checkout."""
    root = Path(symscape.__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", "src")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}+changes" if changed else head


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
