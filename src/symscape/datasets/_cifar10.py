"""Reading CIFAR-10: one npz file, or the official binary or Python batches."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

_PIXELS = 3 * 32 * 32
_RECORD = 1 + _PIXELS


def count(files: tuple[Path, ...]) -> int:
    """Number of images, training and test together, in the files of one layout."""
    if files[0].suffix == ".npz":
        with np.load(files[0], allow_pickle=False) as content:
            return len(content["train_labels"]) + len(content["test_labels"])
    if files[0].suffix == ".bin":
        return sum(path.stat().st_size // _RECORD for path in files)
    return sum(len(_read_python_batch(path)[1]) for path in files)


def read_cifar10(files: tuple[Path, ...]) -> tuple[np.ndarray, np.ndarray, int]:
    """Images (n, 32, 32, 3) and labels (n,), uint8, training part first, and its size.

    Args:
        files: `(cifar10.npz,)`, or the five training batches and the test batch, binary or Python.

    Raises:
        ValueError: A file is damaged, truncated, or not what its name says.
    """
    if files[0].suffix == ".npz":
        return _read_npz(files[0])
    read = _read_binary_batch if files[0].suffix == ".bin" else _read_python_batch
    batches = [read(path) for path in files]
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    planes = images.reshape(-1, 3, 32, 32)
    n_train = len(labels) - len(batches[-1][1])
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels, n_train


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    with np.load(path, allow_pickle=False) as content:
        names = ("train_images", "test_images", "train_labels", "test_labels")
        missing = [name for name in names if name not in content]
        if missing:
            raise ValueError(f"{path}: no array called {', '.join(missing)}")
        train_images, test_images, train_labels, test_labels = (content[name] for name in names)
    images = np.concatenate([train_images, test_images])
    labels = np.concatenate([train_labels, test_labels])
    return images, labels.astype(np.uint8), len(train_labels)


def _read_binary_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    if content.size == 0 or content.size % _RECORD:
        raise ValueError(f"{path}: truncated, {content.size} bytes is no multiple of {_RECORD}")
    records = content.reshape(-1, _RECORD)
    return records[:, 1:], records[:, 0]


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that can build numpy arrays and nothing else, so that no code can run."""

    _ALLOWED = frozenset(
        {
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a CIFAR-10 batch")
        if name == "_reconstruct":
            return np.ndarray.__reduce__(np.empty(0))[0]  # its module's name differs by version
        return getattr(np, name)


def _read_python_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        images, labels = batch[b"data"], np.asarray(batch[b"labels"], dtype=np.uint8)
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{path}: not a batch of CIFAR-10 ({error})") from error
    if images.dtype != np.uint8 or images.shape != (len(labels), _PIXELS):
        raise ValueError(f"{path}: images are {images.dtype} {images.shape}, not (n, {_PIXELS})")
    return images, labels
