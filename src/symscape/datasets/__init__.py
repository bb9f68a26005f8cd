"""Data of the thesis: random points, teachers, MNIST and other images.

Data sets are looked for in the folders of `SYMSCAPE_DATA`, in `./data` and in the user's cache;
12,000 digits of MNIST ship with the package, so that everything runs on real input at once.
"""

from symscape.datasets._classes import binary_images, image_classes
from symscape.datasets._draw import ImageSplit
from symscape.datasets._fetch import FetchError, fetch
from symscape.datasets._images import ImageSet, load
from symscape.datasets._parity import mnist_parity
from symscape.datasets._pca import PrincipalComponents, pca
from symscape.datasets._random import random_sphere, uniform_sphere
from symscape.datasets._records import FileRecord, SourceRecord, list_sources, verify
from symscape.datasets._slab import slab
from symscape.datasets._sources import (
    DataNotFoundError,
    DataSource,
    available,
    find,
    resolve,
    search_path,
    user_data_folder,
)
from symscape.datasets._teacher import Split, teacher

__all__ = [
    "DataNotFoundError",
    "DataSource",
    "FetchError",
    "FileRecord",
    "ImageSet",
    "ImageSplit",
    "PrincipalComponents",
    "SourceRecord",
    "Split",
    "available",
    "binary_images",
    "fetch",
    "find",
    "image_classes",
    "list_sources",
    "load",
    "mnist_parity",
    "pca",
    "random_sphere",
    "resolve",
    "search_path",
    "slab",
    "teacher",
    "uniform_sphere",
    "user_data_folder",
    "verify",
]
