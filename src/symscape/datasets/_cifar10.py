"""Reading CIFAR-10: one npz file, or the official binary or Python batches."""

from __future__ import annotations

import io
import pickle
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from symscape.datasets._idx import check_labels

_PARTS = ("train", "test")
_PIXELS = 3 * 32 * 32
_RECORD = 1 + _PIXELS


def cifar10_count(files: Sequence[Path], contents: Iterable[bytes]) -> int:
    """Number of images, training and test together, in the files of one layout, once checked.

    Args:
        files: `(cifar10.npz,)`, or the five training batches and the test batch, binary or Python.
        contents: Their decompressed bytes, in the same order.

    Raises:
        ValueError: A file is damaged, truncated, or not what its name says.
    """
    if _plain(files[0]).suffix == ".npz":
        (content,) = contents
        return _npz_count(content, files[0])
    return sum(len(labels) for _, labels in _batches(files, contents))


def cifar10_images(
    files: Sequence[Path], contents: Iterable[bytes]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Images (n, 32, 32, 3) and labels (n,), uint8, training part first, and its size.

    Arguments and errors are those of `cifar10_count`.
    """
    if _plain(files[0]).suffix == ".npz":
        (content,) = contents
        _npz_count(content, files[0])
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            images, labels = (
                np.concatenate([arrays[f"{part}_{kind}"] for part in _PARTS])
                for kind in ("images", "labels")
            )
            return images, labels.astype(np.uint8), len(arrays["train_labels"])
    batches = list(_batches(files, contents))
    images = np.concatenate([images for images, _ in batches])
    labels = np.concatenate([labels for _, labels in batches])
    planes = images.reshape(-1, 3, 32, 32)
    n_train = len(labels) - len(batches[-1][1])
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels, n_train


def _plain(path: Path) -> Path:
    """The path without the suffix of a compressed file."""
    return path.with_name(path.name.removesuffix(".gz"))


def _npz_count(content: bytes, path: Path) -> int:
    """Check the labels, and the headers of the images, which are not read."""
    n = 0
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = [f"{part}_{kind}" for kind in ("images", "labels") for part in _PARTS]
            missing = [name for name in names if name not in arrays]
            if missing:
                raise ValueError(f"no array called {', '.join(missing)}")
            for part in _PARTS:
                labels = arrays[f"{part}_labels"]
                with arrays.zip.open(f"{part}_images.npy") as file:
                    shape, dtype = _header(file)
                if dtype != np.uint8 or shape != (*labels.shape, 32, 32, 3) or labels.ndim != 1:
                    raise ValueError(
                        f"images are {dtype} {shape} beside labels of shape {labels.shape}, not "
                        f"uint8 (n, 32, 32, 3) and (n,)"
                    )
                check_labels(path, labels)
                n += len(labels)
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, TypeError) as error:
        raise ValueError(f"{path}: not CIFAR-10 as one npz file ({error})") from error
    return n


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    shape, _, dtype = read[np.lib.format.read_magic(file)[0]](file)
    return shape, dtype


def _batches(
    files: Sequence[Path], contents: Iterable[bytes]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    read = _binary_batch if _plain(files[0]).suffix == ".bin" else _python_batch
    size = 0
    for path, content in zip(files, contents, strict=True):
        images, labels = read(content, path)
        check_labels(path, labels)
        size = size or len(labels)
        if len(labels) != size:
            raise ValueError(f"{path}: {len(labels)} images, where {files[0].name} has {size}")
        yield images, labels


def _binary_batch(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    if len(content) == 0 or len(content) % _RECORD:
        raise ValueError(f"{path}: truncated, {len(content)} bytes is no multiple of {_RECORD}")
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, _RECORD)
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


def _python_batch(content: bytes, path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        images, labels = batch[b"data"], np.asarray(batch[b"labels"], dtype=np.uint8)
        shape, dtype = images.shape, images.dtype
    except Exception as error:  # bytes that are no pickle can raise anything
        raise ValueError(f"{path}: not a batch of CIFAR-10 ({error})") from error
    if dtype != np.uint8 or shape != (len(labels), _PIXELS):
        raise ValueError(f"{path}: images are {dtype} {shape}, not (n, {_PIXELS})")
    return images, labels
