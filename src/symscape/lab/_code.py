"""Which code a process runs: digests of source files, as they were when the process began.

Python reads a file once, when its module is first imported, and much is imported late. So what a
process runs is what it found at its beginning, as long as no module came later from a file that
was edited in between; that is looked at whenever there are new modules, and costs nothing else.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

import symscape

Code = dict[str, str]
"""By top-level package: the digest of its source files."""


def digest(files: Mapping[str, str]) -> str:
    """Return the digest of a package, given the SHA-256 of its files by path inside it."""
    lines = "".join(f"{name} {files[name]}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def content_digest(content: bytes) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


class _Package:
    """The source files of a top-level package (or module) when this process first looked."""

    def __init__(self, name: str, root: Path) -> None:
        self.name, self.root = name, root
        self.files = self.read()
        self.seen = set(sys.modules)
        self.code = digest(self.files)

    def read(self) -> dict[str, str]:
        """Return the digests of the files that are there now."""
        if self.root.is_file():
            return {self.root.name: content_digest(self.root.read_bytes())}
        files = {file.relative_to(self.root): file for file in self.root.rglob("*.py")}
        return {name.as_posix(): content_digest(f.read_bytes()) for name, f in files.items()}

    def look(self) -> None:
        """Notice modules that came, since the last look, from files that had been edited."""
        for module in sys.modules.keys() - self.seen:
            self.seen.add(module)
            file = Path(getattr(sys.modules.get(module), "__file__", None) or "")
            if module.partition(".")[0] != self.name or file.suffix != ".py":
                continue
            name = file.name if file == self.root else file.relative_to(self.root).as_posix()
            if not file.exists() or self.files.get(name) != content_digest(file.read_bytes()):
                self.code += f" with {name} edited"


_PACKAGES = {"symscape": _Package("symscape", Path(symscape.__file__).parent)}


def running_code(experiment: type | None = None) -> Code:
    """Return the digests of the code that this process runs.

    Args:
        experiment: if it is defined outside symscape, its package is included. A class that
            travels to workers by value (of a script, or inside a function) brings its code along.
    """
    names = ["symscape"]
    if experiment is not None and "<locals>" not in experiment.__qualname__:
        names.append(experiment.__module__.partition(".")[0])
    return {name: package.code for name in names if (package := _package(name)) is not None}


def edited() -> bool:
    """Whether the source of symscape is no longer, on disk, what this process runs."""
    package = _PACKAGES["symscape"]
    return digest(package.read()) != running_code()["symscape"]


def difference(here: Code, there: Code) -> str:
    """Say in which packages two processes run different code; nothing if they run the same."""
    return "; ".join(
        f"{name} is {_short(there.get(name, 'not known'))} there and {_short(code)} here"
        for name, code in here.items()
        if there.get(name) != code
    )


def _short(code: str) -> str:
    value, _, rest = code.partition(" ")
    return f"{value[:12]} {rest}".strip()


def _package(name: str) -> _Package | None:
    if name not in _PACKAGES:
        module = sys.modules.get(name)
        place = getattr(module, "__file__", None)
        if name == "__main__" or place is None:
            return None
        root = Path(place).parent if hasattr(module, "__path__") else Path(place)
        _PACKAGES[name] = _Package(name, root)
    _PACKAGES[name].look()
    return _PACKAGES[name]
