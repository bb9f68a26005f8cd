"""What the package knows about each data set: its folders, its files, where it comes from."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

OFFICIAL_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

MNIST_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://azureopendatastorage.blob.core.windows.net/mnist/",
)


@dataclass(frozen=True)
class DataSet:
    """One data set: how it is called, where it may lie, which files make it up.

    `layouts` are the sets of files (without `.gz`) that are understood, each a complete one;
    `folders` are looked for inside every folder of the search path. `checksums` holds the
    official sha256 of the *decompressed* files, so that any way of compressing them is accepted.
    `classes` are the labels in the files, `transposed` says that these hold every image with rows
    and columns exchanged, and `wanted` what to take from `home`, where that is not obvious.
    """

    name: str
    title: str
    folders: tuple[str, ...]
    layouts: tuple[tuple[str, ...], ...]
    terms: str
    home: str
    checksums: tuple[tuple[str, str], ...] = ()
    mirrors: tuple[str, ...] = ()
    classes: range = range(10)
    transposed: bool = False
    wanted: str = "it"


# The md5 of the four decompressed files are the well-known official ones; a test recomputes
# them beside these sha256: train-images 6bbc9ace898e44ae57da46a324031adb,
# train-labels a25bea736e30d166cdddb491f175f624, t10k-images 2646ac647ad5339dbf082846283269ea,
# t10k-labels 27ae3e4e09519cfbb04c329615203637.
_MNIST_CHECKSUMS = (
    ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
)

_MNIST = DataSet(
    name="mnist",
    title="MNIST: 60,000 training and 10,000 test images of digits, 28 x 28",
    folders=("mnist", "MNIST/raw"),
    layouts=(OFFICIAL_FILES,),
    terms="made available by Y. LeCun and C. Cortes, usually quoted as CC BY-SA 3.0",
    home="http://yann.lecun.com/exdb/mnist/",
    checksums=_MNIST_CHECKSUMS,
    mirrors=MNIST_MIRRORS,
)

_FASHION_MNIST = DataSet(
    name="fashion-mnist",
    title="Fashion-MNIST: images of clothes in ten classes, 28 x 28",
    folders=("fashion_mnist", "FashionMNIST/raw"),
    layouts=(OFFICIAL_FILES, ("images-idx3-ubyte", "labels-idx1-ubyte")),
    terms="MIT licence",
    home="https://github.com/zalandoresearch/fashion-mnist",
)

_CIFAR10 = DataSet(
    name="cifar10",
    title="CIFAR-10: color images in ten classes, 32 x 32",
    folders=("cifar10", "cifar-10-batches-bin", "cifar-10-batches-py"),
    layouts=(
        ("cifar10.npz",),
        (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"),
        (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
    ),
    terms="no formal licence; free for research with citation of the technical report",
    home="https://www.cs.toronto.edu/~kriz/cifar.html",
)

_EMNIST_LETTERS = DataSet(
    name="emnist-letters",
    title="EMNIST letters: images of the 26 letters, upper and lower case together, 28 x 28",
    folders=("emnist", "EMNIST/raw"),
    layouts=(
        tuple(
            f"emnist-letters-{part}-{kind}"
            for part in ("train", "test")
            for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ),
    ),
    terms="made available by NIST and Western Sydney University, free of charge",
    home="https://www.nist.gov/itl/products-and-services/emnist-dataset",
    classes=range(1, 27),
    transposed=True,
    wanted="its files emnist-letters-{train,test}-{images-idx3,labels-idx1}-ubyte[.gz] (gzip.zip)",
)

_SAMPLE_CHECKSUMS = (
    ("train-images-idx3-ubyte", "96448e792027ae8c3d693bf7f6685beb422442276734ffe24b7860a3581dcb08"),
    ("train-labels-idx1-ubyte", "dfa6309ccbfc44ab3df730fa9d1b133e2baeb0fe7db8e4bbdcd05d3e5bd811ea"),
    ("t10k-images-idx3-ubyte", "780e99a56e963f3affe4791a03545a6ddbdc0904dd880c7f3c50753282177303"),
    ("t10k-labels-idx1-ubyte", "b547e409b08f1d55c77b7f0964dfb27202f97c41c014d9427a3acecfcf6a7129"),
)

_MNIST_SAMPLE = DataSet(
    name="mnist-sample",
    title="12,000 digits of MNIST that ship with the package, balanced over the classes",
    folders=("mnist",),
    layouts=(OFFICIAL_FILES,),
    terms=_MNIST.terms,
    home=_MNIST.home,
    checksums=_SAMPLE_CHECKSUMS,
)

CATALOGUE = {
    item.name: item for item in (_MNIST, _MNIST_SAMPLE, _FASHION_MNIST, _EMNIST_LETTERS, _CIFAR10)
}


def data_set(name: str) -> DataSet:
    """The catalogue's entry of that name.

    Raises:
        ValueError: No data set is called so; the message suggests the nearest name.
    """
    if name in CATALOGUE:
        return CATALOGUE[name]
    near = difflib.get_close_matches(name, CATALOGUE, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(f"name: unknown data set {name!r}; {hint}known: {', '.join(CATALOGUE)}")
