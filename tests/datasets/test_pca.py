import numpy as np
import pytest
from sklearn.decomposition import PCA

from symscape.datasets import load, pca, user_data_folder
from symscape.datasets._pca import remembered_pca


@pytest.fixture
def images():
    mixing = np.random.default_rng(0).normal(size=(12, 12))
    latent = np.random.default_rng(1).normal(size=(9000, 12))
    return np.clip(latent @ mixing * 8 + 128, 0, 255).astype(np.uint8).reshape(9000, 3, 4)


@pytest.mark.parametrize("whiten", [True, False])
def test_agrees_with_scikit_learn(images, whiten):
    flat = images.reshape(len(images), -1).astype(float)
    theirs = PCA(5, whiten=whiten, svd_solver="full").fit_transform(flat)
    if whiten:
        theirs *= np.sqrt(len(flat) / (len(flat) - 1))  # they divide the variance by n - 1
    ours = pca(images).project(images, 5, whiten=whiten)
    signs = np.sign((ours * theirs).sum(0))
    np.testing.assert_allclose(ours, theirs * signs, atol=1e-10 * np.abs(theirs).max())


def test_components_are_uncorrelated_with_the_eigenvalues_as_variances(images):
    components = pca(images)
    raw = components.project(images, 12, whiten=False)
    assert np.abs(raw.mean(0)).max() < 1e-10
    np.testing.assert_allclose(np.cov(raw.T, bias=True), np.diag(components.variances), atol=1e-8)
    white = components.project(images, 12, whiten=True)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(12), atol=1e-10)
    assert (np.diff(components.variances) <= 0).all()
    assert (components.vectors.max(0) >= -components.vectors.min(0)).all()


def test_mean_and_covariance_do_not_depend_on_the_blocks(images, monkeypatch):
    whole = pca(images)
    monkeypatch.setattr("symscape.datasets._pca._BLOCK", 37)
    blocks = pca(images)
    for name in ("mean", "variances", "vectors"):
        assert np.array_equal(getattr(whole, name), getattr(blocks, name))


def test_leading_components_of_digits_hold_the_known_share_of_the_variance():
    variances = pca(load("mnist-sample").images).variances
    assert variances[0] / variances.sum() == pytest.approx(0.097, abs=0.004)
    assert variances[:10].sum() / variances.sum() == pytest.approx(0.488, abs=0.01)


def test_remembered_components_are_the_computed_ones(images, monkeypatch):
    first = remembered_pca(images, "key")
    monkeypatch.setattr("symscape.datasets._pca.pca", None)  # a second call must not compute
    again = remembered_pca(images, "key")
    for name in ("mean", "variances", "vectors"):
        assert np.array_equal(getattr(first, name), getattr(again, name))


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 broken"])
def test_damaged_cache_is_computed_again(images, content):
    remembered_pca(images, "key")
    (path,) = (user_data_folder().parent / "pca").iterdir()
    path.write_bytes(content)
    assert np.array_equal(remembered_pca(images, "key").mean, pca(images).mean)
    assert path.stat().st_size > 1000


def test_cache_of_other_images_is_not_taken_for_these(images):
    remembered_pca(images[:, :2], "key")
    assert remembered_pca(images, "key").mean.shape == (12,)


def test_unwritable_cache_is_no_error(images, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert np.array_equal(remembered_pca(images, "key").mean, pca(images).mean)


def test_write_that_fails_leaves_nothing(images, monkeypatch):
    def full_disk(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    assert remembered_pca(images, "key").mean.shape == (12,)
    assert list((user_data_folder().parent / "pca").iterdir()) == []


def test_wrong_arguments(images):
    with pytest.raises(ValueError, match="images must be uint8 with 2 rows or more, got float64"):
        pca(images.astype(float))
    with pytest.raises(ValueError, match="2 rows or more"):
        pca(images[:1])
    components = pca(images)
    for d in (0, 13):
        with pytest.raises(ValueError, match=rf"d must be in 1\.\.12, got {d}"):
            components.project(images, d)
    with pytest.raises(ValueError, match="cannot be whitened"):
        pca(np.repeat(images[:, :, :1], 2, axis=2)).project(images[:, :, :2], 6)
