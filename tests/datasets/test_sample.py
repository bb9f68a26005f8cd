import hashlib
import re

import numpy as np
import pytest

from symscape.datasets import load
from symscape.datasets._catalogue import OFFICIAL_FILES, data_set
from symscape.datasets._idx import read_bytes, read_idx
from symscape.datasets._sample import first_of_each_class, write_sample
from symscape.datasets._sources import SAMPLE_FOLDER, content_sha256

OFFICIAL_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def test_sample_is_balanced():
    digits = load("mnist-sample")
    assert digits.images.shape == (12_000, 28, 28)
    assert digits.n_train == 10_000
    assert np.bincount(digits.labels[:10_000]).tolist() == [1000] * 10
    assert np.bincount(digits.labels[10_000:]).tolist() == [200] * 10


def test_sample_looks_like_mnist():
    pixels = load("mnist-sample").images / 255.0
    assert pixels.mean() == pytest.approx(0.1307, abs=0.003)
    assert pixels.std() == pytest.approx(0.3081, abs=0.003)


def test_sample_is_small_and_its_readme_tells_the_truth():
    text = (SAMPLE_FOLDER / "README.md").read_text()
    files = [SAMPLE_FOLDER / f"{name}.gz" for name in OFFICIAL_FILES]
    assert sum(path.stat().st_size for path in files) < 2_200_000
    for path in files:
        line = f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
        assert f"{line} ({path.stat().st_size} bytes)" in text
        assert f"{content_sha256(path)}  {path.stem}" in text
    assert set(re.findall(r"^    ([0-9a-f]{32})  ", text, flags=re.M)) == set(OFFICIAL_MD5.values())


@pytest.mark.parametrize("n", [0, 1, 3])
def test_first_of_each_class_keeps_the_order(n):
    labels = np.arange(100) * 7 % 10
    index = first_of_each_class(labels, n)
    assert (np.diff(index) > 0).all()
    for digit in range(10):
        mine = index[labels[index] == digit]
        assert mine.tolist() == np.flatnonzero(labels == digit)[:n].tolist()


def test_too_few_of_a_class_is_an_error():
    with pytest.raises(ValueError, match=r"fewer than 2 entries of the classes \[9\]"):
        first_of_each_class(np.array([*range(10), *range(9)]), 2)


def test_files_that_are_not_the_official_ones_make_no_sample(tmp_path, small_digits):
    with pytest.raises(ValueError, match="is not the official file"):
        write_sample(small_digits(tmp_path / "fake"), tmp_path / "out")
    with pytest.raises(ValueError, match="holds no train-images"):
        write_sample(tmp_path, tmp_path / "out")


@pytest.mark.data
def test_checksums_belong_to_the_files_with_the_well_known_md5(outer_data):
    folder = outer_data("mnist")
    checksums = dict(data_set("mnist").checksums)
    for name, md5 in OFFICIAL_MD5.items():
        content = read_bytes(folder / f"{name}.gz")
        assert hashlib.md5(content).hexdigest() == md5
        assert hashlib.sha256(content).hexdigest() == checksums[name]


@pytest.mark.data
def test_sample_is_made_again_from_the_official_files(outer_data, tmp_path):
    write_sample(outer_data("mnist"), tmp_path / "again")
    for name in OFFICIAL_FILES:
        made, shipped = (
            read_idx(place / f"{name}.gz") for place in (tmp_path / "again", SAMPLE_FOLDER)
        )
        assert np.array_equal(made, shipped)
