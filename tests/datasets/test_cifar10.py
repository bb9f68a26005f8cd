import gzip
import pickle
import pickletools
import re
import subprocess
import sys

import numpy as np
import pytest

from symscape.datasets import load, resolve

N = 4  # images in a batch; the official ones have 10,000


@pytest.fixture
def cifar():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, size=(6 * N, 32, 32, 3), dtype=np.uint8)
    return images, np.arange(6 * N, dtype=np.uint8) % 10


def rows(images):
    """The official layout: 1024 red, then green, then blue values."""
    return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def batches(images, labels):
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for i, name in enumerate(names):
        part = slice(i * N, (i + 1) * N)
        yield name, rows(images[part]), labels[part]


def write_npz(folder, images, labels):
    folder = folder / "cifar10"
    folder.mkdir(parents=True)
    train = slice(None, 5 * N)
    test = slice(5 * N, None)
    np.savez(
        folder / "cifar10.npz",
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
    )


def write_binary(folder, images, labels):
    folder = folder / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for name, pixels, classes in batches(images, labels):
        np.concatenate([classes[:, None], pixels], axis=1).tofile(folder / f"{name}.bin")


def write_python(folder, images, labels):
    folder = folder / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name, pixels, classes in batches(images, labels):
        content = {b"data": pixels, b"labels": classes.tolist(), b"batch_label": b"a batch"}
        (folder / name).write_bytes(pickle.dumps(content, protocol=3))


@pytest.mark.parametrize("write", [write_npz, write_binary, write_python])
def test_all_layouts_give_the_same_images(cifar, tmp_path, write):
    write(tmp_path / "data", *cifar)
    assert resolve("cifar10").n == 6 * N
    found = load("cifar10")
    assert np.array_equal(found.images, cifar[0])
    assert np.array_equal(found.labels, cifar[1])
    assert found.labels.dtype == found.images.dtype == np.uint8
    assert found.n_train == 5 * N


def as_python_2(content):
    """The same pickle as Python 2 writes it: bytes and text are both plain strings."""
    plain = {"BINUNICODE": b"T", "BINBYTES": b"T", "SHORT_BINBYTES": b"U"}
    out, starts = b"", [position for *_, position in pickletools.genops(content)]
    for (code, _, start), end in zip(pickletools.genops(content), [*starts[1:], len(content)]):
        piece = content[start:end]
        out += plain[code.name] + piece[1:] if code.name in plain else piece
    return out.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def test_official_pickles_of_python_2_are_read(cifar, tmp_path):
    write_python(tmp_path / "data", *cifar)
    for path in (tmp_path / "data" / "cifar-10-batches-py").iterdir():
        content = as_python_2(path.read_bytes())
        assert b"numpy.core.multiarray" in content
        path.write_bytes(content)
    assert np.array_equal(load("cifar10").images, cifar[0])


class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (subprocess.call, ([sys.executable, "-c", f"open({str(self.path)!r}, 'w')"],))


def test_pickle_cannot_run_code(cifar, tmp_path):
    write_python(tmp_path / "data", *cifar)
    victim = tmp_path / "victim"
    (tmp_path / "data/cifar-10-batches-py/data_batch_3").write_bytes(
        pickle.dumps({b"data": Malice(victim), b"labels": []}, protocol=3)
    )
    with pytest.raises(ValueError, match=r"data_batch_3: not a batch of CIFAR-10 .*not allowed"):
        load("cifar10")
    assert not victim.exists()


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", pickle.dumps([1, 2]), pickle.dumps({b"a": 1})]
)
def test_damaged_pickle_is_an_error(cifar, tmp_path, content):
    write_python(tmp_path / "data", *cifar)
    (tmp_path / "data/cifar-10-batches-py/test_batch").write_bytes(content)
    with pytest.raises(ValueError, match="test_batch: not a batch of CIFAR-10"):
        load("cifar10")


def test_pickle_of_other_arrays_is_an_error(cifar, tmp_path):
    write_python(tmp_path / "data", *cifar)
    content = pickle.dumps({b"data": np.zeros((3, 5)), b"labels": [0, 1, 2]}, protocol=3)
    (tmp_path / "data/cifar-10-batches-py/test_batch").write_bytes(content)
    with pytest.raises(ValueError, match=r"images are float64 \(3, 5\), not \(n, 3072\)"):
        load("cifar10")


def test_truncated_binary_batch_is_an_error(cifar, tmp_path):
    write_binary(tmp_path / "data", *cifar)
    path = tmp_path / "data/cifar-10-batches-bin/data_batch_2.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"data_batch_2\.bin: truncated, .* no multiple of 3073"):
        load("cifar10")


@pytest.mark.parametrize("write", [write_npz, write_binary, write_python])
def test_compressed_files_are_read(cifar, tmp_path, write):
    write(tmp_path / "data", *cifar)
    for path in [path for path in (tmp_path / "data").rglob("*") if path.is_file()]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert np.array_equal(load("cifar10").images, cifar[0])


PAGE = b"<!DOCTYPE html><html><body>Moved</body></html>"


@pytest.mark.parametrize("write", [write_npz, write_binary, write_python])
@pytest.mark.parametrize("change", [lambda _: PAGE, lambda content: content[: len(content) // 2]])
def test_files_are_checked_when_they_are_located(cifar, tmp_path, write, change):
    write(tmp_path / "data", *cifar)
    path = max(path for path in (tmp_path / "data").rglob("*") if path.is_file())
    path.write_bytes(change(path.read_bytes()))
    for ask in (resolve, load):
        with pytest.raises(ValueError, match=re.escape(path.name)):
            ask("cifar10")


@pytest.mark.parametrize("write", [write_npz, write_binary, write_python])
def test_labels_are_classes(cifar, tmp_path, write):
    write(tmp_path / "data", cifar[0], cifar[1] + 1)
    for ask in (resolve, load):
        with pytest.raises(ValueError, match=r"labels are from \d to 10; allowed .* 0 to 9"):
            ask("cifar10")


@pytest.mark.parametrize(
    ("replaced", "sentence"),
    [
        ({"test_images": np.zeros((N, 3, 32, 32), np.uint8)}, r"uint8 \(4, 3, 32, 32\) beside"),
        ({"train_images": np.zeros((5 * N, 32, 32, 3))}, r"float64 \(20, 32, 32, 3\) beside"),
        ({"train_labels": np.zeros(5 * N - 1, np.uint8)}, r"labels of shape \(19,\)"),
    ],
)
def test_headers_of_the_npz_are_checked_when_it_is_located(cifar, tmp_path, replaced, sentence):
    write_npz(tmp_path / "data", *cifar)
    path = tmp_path / "data/cifar10/cifar10.npz"
    with np.load(path) as arrays:
        content = {**arrays, **replaced}
    np.savez_compressed(path, **content)
    for ask in (resolve, load):
        with pytest.raises(ValueError, match=sentence):
            ask("cifar10")


def test_npz_without_an_array_is_an_error(cifar, tmp_path):
    write_npz(tmp_path / "data", *cifar)
    np.savez(tmp_path / "data/cifar10/cifar10.npz", train_labels=cifar[1], test_labels=cifar[1])
    with pytest.raises(ValueError, match="no array called train_images, test_images"):
        load("cifar10")
