"""Reading and writing the idx format of MNIST, plain or gzip-compressed.

An idx file is a big-endian header (two zero bytes, a type byte, the number of dimensions, then one
32-bit size per dimension) followed by the raw values. Only unsigned bytes (type 0x08) occur here:
magic 2051 for images (three dimensions) and 2049 for labels (one).
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

IMAGE_SHAPE = (28, 28)
IMAGES_MAGIC = 2051
LABELS_MAGIC = 2049
_UNSIGNED_BYTE = 0x08
_GZIP_SIGNATURE = b"\x1f\x8b"


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """The content of `path`, decompressed if it is a gzip file, at most `limit` bytes of it.

    Whether a file is compressed is read from its first two bytes, not from its name.

    Raises:
        ValueError: The gzip stream is damaged or ends early.
    """
    size = -1 if limit is None else limit
    with open(path, "rb") as raw:
        compressed = raw.read(2) == _GZIP_SIGNATURE
        raw.seek(0)
        if not compressed:
            return raw.read(size)
        try:
            with gzip.GzipFile(fileobj=raw) as stream:
                return stream.read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged or truncated gzip file ({error})") from error


def idx_shape(header: bytes, path: Path) -> tuple[int, ...]:
    """Sizes announced by the first bytes of an idx file.

    Raises:
        ValueError: The bytes are not the start of an idx file of unsigned bytes.
    """
    if len(header) < 4:
        raise ValueError(f"{path}: {len(header)} bytes are too few for an idx file")
    (magic,) = struct.unpack(">I", header[:4])
    n_dimensions = magic & 0xFF
    if magic >> 8 != _UNSIGNED_BYTE or n_dimensions == 0:
        raise ValueError(
            f"{path}: magic number {magic} is not that of an idx file of unsigned bytes "
            f"(allowed: {LABELS_MAGIC} for labels, {IMAGES_MAGIC} for images); the file begins "
            f"with {header[:15]!r}"
        )
    end = 4 + 4 * n_dimensions
    if len(header) < end:
        raise ValueError(f"{path}: truncated inside its header ({len(header)} of {end} bytes)")
    return struct.unpack(f">{n_dimensions}I", header[4:end])


def parse_idx(content: bytes, path: Path) -> np.ndarray:
    """The array in the (decompressed) bytes of an idx file; `path` is for the messages.

    Raises:
        ValueError: Wrong magic number, or fewer or more bytes than the header announces.
    """
    shape = idx_shape(content[:1024], path)
    start = 4 + 4 * len(shape)
    expected, found = math.prod(shape), len(content) - start
    if found != expected:
        word = "truncated" if found < expected else "too long"
        raise ValueError(f"{path}: {word}, {found} bytes of data where {shape} needs {expected}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def read_idx(path: str | Path) -> np.ndarray:
    """Read an idx file of unsigned bytes, gzip-compressed or not.

    Returns:
        uint8, of the shape in the header: (n, 28, 28) for MNIST's images, (n,) for its labels.

    Raises:
        ValueError: Wrong magic number, truncated or over-long data, damaged gzip stream.
    """
    return parse_idx(read_bytes(Path(path)), Path(path))


def image_parts(
    files: Sequence[Path], contents: Iterable[bytes], classes: range = range(10)
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images (n, 28, 28) and labels (n,) of each part, from the decompressed bytes of its files.

    Args:
        files: In turn the file of a part's images and that of its labels.
        contents: Their bytes, in the same order.
        classes: The labels that are allowed.

    Raises:
        ValueError: A file is no idx file or truncated; a part has no images, images of another
            size, or other labels than one of `classes` for each image.
    """
    arrays = [parse_idx(content, path) for path, content in zip(files, contents, strict=True)]
    parts = list(zip(arrays[::2], arrays[1::2], strict=True))
    for path, (images, labels) in zip(files[::2], parts, strict=True):
        if images.ndim != 3 or images.shape[1:] != IMAGE_SHAPE or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{path}: shape {images.shape} beside labels of shape {labels.shape}; "
                f"allowed are (n, {IMAGE_SHAPE[0]}, {IMAGE_SHAPE[1]}) and (n,)"
            )
        check_labels(path, labels, classes)
    return parts


def check_labels(path: Path, labels: np.ndarray, classes: range = range(10)) -> None:
    """Raise a ValueError unless there are labels, and all are classes of that range."""
    first, last = classes[0], classes[-1]
    if len(labels) == 0 or labels.min() < first or labels.max() > last:
        found = f"from {labels.min()} to {labels.max()}" if len(labels) else "none"
        raise ValueError(
            f"{path}: its labels are {found}; allowed are classes from {first} to {last}"
        )


def idx_bytes(array: np.ndarray) -> bytes:
    """The idx encoding of a uint8 array.

    Raises:
        ValueError: `array` is not uint8 or has no dimension.
    """
    if array.dtype != np.uint8 or array.ndim == 0:
        raise ValueError(
            f"array must be uint8 with at least one dimension, got {array.dtype} {array.shape}"
        )
    header = struct.pack(f">{1 + array.ndim}I", (_UNSIGNED_BYTE << 8) | array.ndim, *array.shape)
    return header + array.tobytes()


def write_idx_gz(path: str | Path, array: np.ndarray) -> None:
    """Write a uint8 array as a gzip-compressed idx file, byte for byte reproducible.

    The gzip header carries neither a time nor a file name.
    """
    with (
        open(path, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as out,
    ):
        out.write(idx_bytes(array))
