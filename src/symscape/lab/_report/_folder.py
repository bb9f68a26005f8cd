"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from symscape.lab._errors import InputError


@contextmanager
def replaced(target: Path, marker: str) -> Iterator[Path]:
    """Yield an empty folder that takes the place of ``target`` when the block ends without error.

    The new folder is filled beside the old one and renamed at the end; a crash leaves the old one
    as it was.  ``marker`` names a file by which an older version is recognized.  A link stays; the
    folder to which it leads is replaced.

    Raises:
        InputError: ``target`` is a file, or a folder with other things in it (nothing is deleted
            that was not written here), or contains the current folder, or its parent cannot be
            written.
    """
    target = Path(os.path.realpath(target.expanduser()))
    _check(target, marker)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise InputError(f"Folder {target} cannot be written: {error.strerror}.") from None
    try:
        yield fresh
        fresh.chmod(0o777 & ~_umask())
        _swap(fresh, target)
    except OSError as error:
        raise InputError(f"Folder {target} cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def write(path: Path, text: str) -> None:
    """Write a text file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _check(target: Path, marker: str) -> None:
    if target.is_dir():
        if any(target.iterdir()) and not (target / marker).is_file():
            raise InputError(
                f"Folder {target} holds other things than a report; give a new or an empty folder."
            )
        if Path.cwd().is_relative_to(target):  # whoever stands in it would be left in a void
            raise InputError(
                f"Folder {target} is replaced as a whole, but contains the current folder; give "
                f"the command from outside of it."
            )
    elif target.exists():
        raise InputError(f"{target} is a file; give a folder for the report.")


def _swap(fresh: Path, target: Path) -> None:
    if not target.exists():
        fresh.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    target.rename(old / target.name)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
