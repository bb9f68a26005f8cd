import gzip
import os
from dataclasses import asdict

import numpy as np
import pytest

from symscape.datasets import (
    DataNotFoundError,
    available,
    list_sources,
    load,
    resolve,
    search_path,
    user_data_folder,
    verify,
)
from symscape.datasets._catalogue import OFFICIAL_FILES
from symscape.datasets._idx import idx_bytes, write_idx_gz


def test_auto_is_the_sample_until_the_whole_set_is_found(tmp_path, small_digits):
    assert resolve("auto").name == "mnist-sample"
    small_digits(tmp_path / "data" / "mnist")
    assert resolve("auto").name == "mnist"
    assert resolve("auto") == resolve("mnist")
    assert resolve("auto").n == 60


def test_folders_are_searched_in_their_order(tmp_path, small_digits, monkeypatch):
    places = [tmp_path / "one", tmp_path / "two", tmp_path / "data", user_data_folder()]
    for seed, place in enumerate(places):
        small_digits(place / "mnist", seed)
    monkeypatch.setenv("SYMSCAPE_DATA", os.pathsep.join(map(str, places[:2])))
    for place in places:
        found = resolve("mnist")
        assert (
            found.path if found.path.is_absolute() else tmp_path / found.path
        ) == place / "mnist"
        for file in found.path.iterdir():
            file.unlink()
    assert resolve("auto").name == "mnist-sample"
    with pytest.raises(DataNotFoundError):
        resolve("mnist")


def test_layout_of_torchvision_is_found(tmp_path, small_digits):
    small_digits(tmp_path / "data" / "MNIST" / "raw")
    assert load("mnist").images.shape == (60, 28, 28)


def test_digest_names_the_content_not_the_compression_or_the_place(tmp_path, small_digits):
    small_digits(tmp_path / "data" / "mnist")
    before = resolve("mnist")
    other = user_data_folder() / "mnist"
    other.mkdir(parents=True)
    for name in OFFICIAL_FILES:
        compressed = before.path / f"{name}.gz"
        (other / name).write_bytes(gzip.decompress(compressed.read_bytes()))
        compressed.unlink()
    after = resolve("mnist")
    assert after.path == other
    assert after.sha256 == before.sha256
    assert after.pinned == before.pinned


def test_digest_follows_a_change_of_one_label(tmp_path, small_digits):
    folder = small_digits(tmp_path / "data" / "mnist")
    before = resolve("mnist")
    labels = np.arange(20, dtype=np.uint8)[::-1].copy() % 10
    write_idx_gz(folder / "t10k-labels-idx1-ubyte.gz", labels)
    assert resolve("mnist").sha256 != before.sha256
    with pytest.raises(ValueError, match=f"{before.pinned} was asked for"):
        resolve(before.pinned)


def test_pinned_name_loads_the_same_data():
    source = resolve("auto")
    assert resolve(source.pinned) == source
    assert source.pinned.startswith("mnist-sample@")
    assert load(source.pinned).source == source


def test_parts_are_concatenated_training_first(tmp_path, small_digits):
    small_digits(tmp_path / "data" / "mnist")
    digits = load("mnist")
    assert digits.n_train == 40
    assert digits.labels.tolist() == [i % 10 for i in range(40)] + [i % 10 for i in range(20)]
    assert digits.images.dtype == np.uint8


def test_missing_file_is_named(tmp_path, small_digits):
    folder = small_digits(tmp_path / "data" / "mnist")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    for name in ("mnist", "auto"):  # a broken set is never passed over in silence
        with pytest.raises(
            ValueError, match="only a part of mnist; missing: t10k-labels-idx1-ubyte"
        ):
            resolve(name)


def test_contradictory_files_are_an_error(tmp_path, small_digits):
    folder = small_digits(tmp_path / "data" / "mnist")
    write_idx_gz(folder / "train-labels-idx1-ubyte.gz", np.zeros(39, np.uint8))
    with pytest.raises(ValueError, match=r"shape \(40, 28, 28\) beside labels of shape \(39,\)"):
        load("mnist")
    write_idx_gz(folder / "train-labels-idx1-ubyte.gz", np.full(40, 10, np.uint8))
    with pytest.raises(ValueError, match="from 0 to 9"):
        load("mnist")


HTML = b"<!DOCTYPE html><html><body>Moved</body></html>"


def gzipped(content):
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("file", "change", "sentence"),
    [
        ("train-images-idx3", lambda _: HTML, r"magic number .* begins with b'<!DOCTYPE html>'"),
        ("t10k-images-idx3", lambda _: gzipped(HTML), "magic number"),
        ("train-labels-idx1", lambda _: HTML, "magic number"),
        ("train-images-idx3", lambda c: gzipped(gzip.decompress(c)[:-1]), "truncated"),
        ("t10k-labels-idx1", lambda c: gzipped(gzip.decompress(c) + b"0"), "too long"),
        ("t10k-images-idx3", lambda c: c[:-20], "damaged or truncated gzip file"),
        ("t10k-images-idx3", lambda _: b"", "0 bytes are too few"),
        (
            "train-images-idx3",
            lambda _: idx_bytes(np.zeros((40, 32, 32), np.uint8)),
            r"shape \(40, 32, 32\).*allowed are \(n, 28, 28\)",
        ),
        (
            "train-images-idx3",
            lambda _: idx_bytes(np.zeros(40, np.uint8)),
            r"shape \(40,\) beside labels",
        ),
        ("t10k-labels-idx1", lambda _: idx_bytes(np.full(20, 10, np.uint8)), "from 0 to 9"),
    ],
)
def test_files_are_checked_when_they_are_located(tmp_path, small_digits, file, change, sentence):
    """So that a sweep stops with a sentence before its first point."""
    path = small_digits(tmp_path / "data" / "mnist") / f"{file}-ubyte.gz"
    path.write_bytes(change(path.read_bytes()))
    for ask in (resolve, load):
        with pytest.raises(ValueError, match=f"{file[:5]}.*{sentence}"):
            ask("mnist")
    [record] = [record for record in list_sources() if record.name == "mnist"]
    assert (record.status, record.n) == ("damaged", None)
    assert file[:5] in record.note


def test_a_set_without_images_is_not_found(tmp_path):
    folder = tmp_path / "data" / "fashion_mnist"
    folder.mkdir(parents=True)
    (folder / "images-idx3-ubyte").write_bytes(idx_bytes(np.zeros((0, 28, 28), np.uint8)))
    (folder / "labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(0, np.uint8)))
    with pytest.raises(ValueError, match="labels are none"):
        resolve("fashion-mnist")


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="unknown data set 'minst'; did you mean 'mnist'"):
        resolve("minst")


def test_message_for_absent_data_says_where_and_what_to_do(tmp_path):
    with pytest.raises(DataNotFoundError) as caught:
        resolve("mnist")
    for part in ("mnist is not on this machine", "data", "symscape data fetch mnist"):
        assert part in str(caught.value)
    with pytest.raises(DataNotFoundError, match=r"download it from https://www\.cs\.toronto\.edu"):
        resolve("cifar10")


def test_what_is_left_out_is_said_once(tmp_path, caplog):
    for _ in range(2):
        found = available({"digits": "auto", "colors": "cifar10"})
        assert {key: source.name for key, source in found.items()} == {"digits": "mnist-sample"}
    [record] = caplog.records
    assert record.getMessage().startswith("Left out: cifar10 is not on this machine (looked for")
    with pytest.raises(DataNotFoundError, match="cifar10 is not on this machine"):
        available({"colors": "cifar10"})


def test_missing_folder_in_the_variable_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMSCAPE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"SYMSCAPE_DATA names .*nowhere, which is not a folder"):
        search_path()
    with pytest.raises(ValueError, match="which is not a folder"):
        list_sources()


def test_empty_entries_of_the_variable_are_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("SYMSCAPE_DATA", os.pathsep.join(["", str(tmp_path), ""]))
    assert search_path()[0] == tmp_path
    assert len(search_path()) == 3


def test_list_has_one_record_for_each_data_set(tmp_path, small_digits):
    records = {record.name: record for record in list_sources()}
    assert set(records) == {
        "mnist",
        "mnist-sample",
        "fashion-mnist",
        "emnist-letters",
        "cifar10",
    }
    assert records["mnist-sample"].status == "found"
    assert records["mnist-sample"].n == 12_000
    assert records["mnist"].status == "not found"
    assert [name for name, record in records.items() if record.fetchable] == ["mnist"]
    folder = small_digits(tmp_path / "data" / "mnist")
    (folder / "train-images-idx3-ubyte.gz").unlink()
    damaged = next(record for record in list_sources() if record.name == "mnist")
    assert damaged.status == "damaged"
    assert "missing: train-images-idx3-ubyte" in damaged.note
    assert asdict(damaged)["path"] is None


def test_verify_knows_the_official_content(tmp_path, small_digits):
    assert {record.status for record in verify("mnist-sample")} == {"official"}
    small_digits(tmp_path / "data" / "mnist")
    records = verify("mnist")
    assert [record.status for record in records] == ["damaged"] * 4
    assert "the official one is" in records[0].note
    assert len(verify()) == 8  # what is not here is not checked
    with pytest.raises(DataNotFoundError):
        verify("cifar10")


def test_verify_names_a_damaged_gzip_file(tmp_path, small_digits):
    folder = small_digits(tmp_path / "data" / "mnist")
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    record = verify("mnist")[0]
    assert record.status == "damaged"
    assert record.sha256 is None
    assert "truncated gzip file" in record.note


def test_verify_reads_what_has_no_known_checksum(tmp_path):
    folder = tmp_path / "data" / "fashion_mnist"
    folder.mkdir(parents=True)
    write_idx_gz(folder / "images-idx3-ubyte.gz", np.zeros((5, 28, 28), np.uint8))
    (folder / "labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(5, dtype=np.uint8)))
    assert [record.status for record in verify("fashion-mnist")] == ["readable"] * 2
    assert load("fashion-mnist").n_train == 5
    (folder / "labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(6, dtype=np.uint8)))
    assert [record.status for record in verify("fashion-mnist")] == ["damaged"] * 2
