"""Making the sample of MNIST that ships inside the package.

    python -m symscape.datasets._sample FOLDER_WITH_THE_OFFICIAL_FILES [OUTPUT_FOLDER]

The sample keeps, in the official order, the first 1,000 images of each class of the training
files and the first 200 of each class of the test files: 12,000 digits. The same input gives the
same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from symscape.datasets._catalogue import OFFICIAL_FILES, data_set
from symscape.datasets._idx import read_idx, write_idx_gz
from symscape.datasets._sources import SAMPLE_FOLDER, content_sha256

N_PER_CLASS = {"train": 1000, "t10k": 200}


def first_of_each_class(labels: np.ndarray, n: int) -> np.ndarray:
    """Increasing indices of the first `n` entries of each class 0..9.

    Raises:
        ValueError: A class has fewer than `n` entries.
    """
    chosen = [np.flatnonzero(labels == digit)[:n] for digit in range(10)]
    short = [digit for digit, index in enumerate(chosen) if len(index) < n]
    if short:
        raise ValueError(f"labels: fewer than {n} entries of the classes {short}")
    return np.sort(np.concatenate(chosen))


def write_sample(official: Path, output: Path) -> None:
    """Write the four files of the sample, from the four official ones.

    Raises:
        ValueError: A file in `official` is missing or is not the official one.
    """
    output.mkdir(parents=True, exist_ok=True)
    paths = {name: _official_file(official, name) for name in OFFICIAL_FILES}
    for part, n in N_PER_CLASS.items():
        names = (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
        images, labels = (read_idx(paths[name]) for name in names)
        index = first_of_each_class(labels, n)
        for name, array in zip(names, (images[index], labels[index]), strict=True):
            write_idx_gz(output / f"{name}.gz", array)


def _official_file(folder: Path, name: str) -> Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            if content_sha256(path) != dict(data_set("mnist").checksums)[name]:
                raise ValueError(f"{path} is not the official file")
            return path
    raise ValueError(f"{folder} holds no {name}[.gz]")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    write_sample(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else SAMPLE_FOLDER)
