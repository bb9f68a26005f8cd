import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from symscape.datasets._idx import idx_bytes, parse_idx, read_idx, write_idx_gz

ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6))


@given(array=ARRAYS)
def test_encoding_and_decoding_are_inverse(array, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any"
    assert np.array_equal(parse_idx(idx_bytes(array), path), array)


def test_magic_numbers_are_those_of_mnist():
    images, labels = np.zeros((2, 28, 28), np.uint8), np.zeros(2, np.uint8)
    assert struct.unpack(">I", idx_bytes(images)[:4]) == (2051,)
    assert struct.unpack(">I", idx_bytes(labels)[:4]) == (2049,)
    assert len(idx_bytes(images)) == 16 + images.size
    assert len(idx_bytes(labels)) == 8 + labels.size


def test_compression_is_recognized_by_content_not_by_name(tmp_path):
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    write_idx_gz(tmp_path / "no-suffix", array)
    (tmp_path / "lying.gz").write_bytes(idx_bytes(array))
    assert np.array_equal(read_idx(tmp_path / "no-suffix"), array)
    assert np.array_equal(read_idx(tmp_path / "lying.gz"), array)


def test_compressed_file_is_reproducible_and_bears_no_time(tmp_path):
    array = np.arange(100, dtype=np.uint8)
    write_idx_gz(tmp_path / "a.gz", array)
    write_idx_gz(tmp_path / "b.gz", array)
    content = (tmp_path / "a.gz").read_bytes()
    assert content == (tmp_path / "b.gz").read_bytes()
    assert content[4:8] == b"\0\0\0\0"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=1, max_value=75))
def test_every_truncation_is_an_error(cut, tmp_path):
    content = idx_bytes(np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    path = tmp_path / "cut"
    path.write_bytes(content[:-cut])
    with pytest.raises(ValueError, match=r"cut: (truncated|\d+ bytes are too few)"):
        read_idx(path)


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_truncated_gzip_is_an_error(tmp_path, cut):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.arange(200, dtype=np.uint8)))[:-cut])
    with pytest.raises(ValueError, match=r"labels\.gz: damaged or truncated gzip file"):
        read_idx(path)


def test_flipped_bit_in_gzip_is_an_error(tmp_path):
    path = tmp_path / "labels.gz"
    content = bytearray(gzip.compress(idx_bytes(np.arange(200, dtype=np.uint8))))
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged or truncated gzip file"):
        read_idx(path)


@pytest.mark.parametrize("magic", [0, 1, 2048, 3331, 0x08030000])
def test_wrong_magic_number_is_named_with_what_is_allowed(tmp_path, magic):
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">I", magic) + bytes(100))
    with pytest.raises(ValueError, match=f"magic number {magic} .*2049.*2051"):
        read_idx(path)


def test_surplus_bytes_are_an_error(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(idx_bytes(np.zeros(5, np.uint8)) + b"x")
    with pytest.raises(ValueError, match=r"too long, 6 bytes of data where \(5,\) needs 5"):
        read_idx(path)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((), np.uint8)])
def test_only_arrays_of_bytes_can_be_written(array):
    with pytest.raises(ValueError, match="array must be uint8"):
        idx_bytes(array)
