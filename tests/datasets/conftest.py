"""Every test of the data sees only the sample: no outer folders, a cache of its own."""

import os
from pathlib import Path

import numpy as np
import pytest

from symscape.datasets._catalogue import OFFICIAL_FILES
from symscape.datasets._idx import write_idx_gz

OUTER_DATA = os.environ.get("SYMSCAPE_DATA", "")


@pytest.fixture(autouse=True)
def _no_outer_data(monkeypatch, tmp_path):
    monkeypatch.delenv("SYMSCAPE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def outer_data(monkeypatch):
    """The folders of the developer's own SYMSCAPE_DATA; skips where there are none."""

    def use(folder: str) -> Path:
        for entry in OUTER_DATA.split(os.pathsep):
            if entry and (Path(entry) / folder).is_dir():
                monkeypatch.setenv("SYMSCAPE_DATA", str(Path(entry).resolve()))
                return Path(entry).resolve() / folder
        pytest.skip(f"needs the larger data: no {folder}/ in SYMSCAPE_DATA")

    return use


@pytest.fixture
def small_digits():
    """A function that writes a set of 40 + 20 random digits in MNIST's format into a folder."""

    def write(folder: Path, seed: int = 0) -> Path:
        generator = np.random.default_rng(seed)
        folder.mkdir(parents=True)
        for images, labels, n in zip(OFFICIAL_FILES[::2], OFFICIAL_FILES[1::2], (40, 20)):
            pixels = generator.integers(0, 256, size=(n, 28, 28), dtype=np.uint8)
            write_idx_gz(folder / f"{images}.gz", pixels)
            write_idx_gz(folder / f"{labels}.gz", np.arange(n, dtype=np.uint8) % 10)
        return folder

    return write
