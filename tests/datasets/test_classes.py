import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from symscape.datasets import DataNotFoundError, binary_images, image_classes, load, pca
from symscape.datasets._classes import luminance
from symscape.datasets._draw import interleaved
from symscape.datasets._idx import write_idx_gz


def normalized(images):
    """The recipe of the sheet, recomputed: minus the mean image, then sum of squares = d."""
    x = images.reshape(len(images), -1).astype(float)
    x = x - x.mean(0)
    return x * (x.shape[1] / (x**2).sum(1, keepdims=True)) ** 0.5


@pytest.mark.parametrize("n_test", [0, 200])
def test_classes_alternate_and_images_lie_on_the_sphere(n_test):
    data = binary_images("mnist-sample", 300, seed=1, n_test=n_test)
    classes = image_classes("mnist-sample", 300, seed=1, n_test=n_test)
    for x, y, labels, n in (
        (data.x_train, data.y_train, classes.y_train, 300),
        (data.x_test, data.y_test, classes.y_test, n_test),
    ):
        assert x.shape == (n, 784)
        assert x.dtype == y.dtype == torch.float64
        assert labels.dtype == torch.int64
        assert labels.tolist() == [i % 10 for i in range(n)]
        assert y.tolist() == [2 * (i % 2) - 1 for i in range(n)]
        torch.testing.assert_close((x**2).sum(1), torch.full((n,), 784.0).double())
    assert data.source == classes.source == load("mnist-sample").source


def test_inputs_are_those_of_the_recipe():
    digits = load("mnist-sample")
    chosen = interleaved(digits.labels, 10, seed=3).numpy()[:70]
    expected = normalized(digits.images)[chosen]
    data = binary_images("mnist-sample", 50, seed=3, n_test=20)
    np.testing.assert_allclose(data.x_train, expected[:50], atol=1e-12)
    np.testing.assert_allclose(data.x_test, expected[50:], atol=1e-12)
    assert (digits.labels[chosen] == np.arange(70) % 10).all()


@pytest.mark.parametrize("whiten", [True, False])
def test_components_are_those_of_all_normalized_images(whiten):
    x = normalized(load("mnist-sample").images)
    theirs = PCA(5, whiten=whiten, svd_solver="full").fit_transform(x)
    if whiten:
        theirs *= (len(x) / (len(x) - 1)) ** 0.5  # they divide the variance by n - 1
    data = binary_images("mnist-sample", 400, seed=0, n_test=0, components=5, whiten=whiten)
    ours = data.x_train.numpy()
    theirs = theirs[interleaved(load("mnist-sample").labels, 10, seed=0).numpy()[:400]]
    signs = np.sign((ours * theirs).sum(0))
    np.testing.assert_allclose(ours, theirs * signs, atol=1e-8 * np.abs(theirs).max())


def test_components_of_normalized_rows_are_not_those_of_bytes():
    images = load("mnist-sample").images[:500]
    assert abs(pca(images, normalized=True).variances[0] / pca(images).variances[0] - 1) > 0.5
    # The mean of the normalized rows is not zero once they are rescaled.
    np.testing.assert_allclose(pca(images, normalized=True).mean, normalized(images).mean(0))


def test_training_sets_are_nested_and_follow_the_seed():
    small, large, other = (
        binary_images("mnist-sample", P, seed=seed, n_test=10).x_train
        for P, seed in ((40, 5), (80, 5), (40, 6))
    )
    assert torch.equal(small, large[:40])
    assert not torch.equal(small, other)


def test_images_have_channels_in_front():
    flat = binary_images("mnist-sample", 20, n_test=10)
    images = binary_images("mnist-sample", 20, n_test=10, as_images=True, dtype=torch.float32)
    assert images.x_test.shape == (10, 1, 28, 28)
    assert images.x_train.dtype == images.y_train.dtype == torch.float32
    torch.testing.assert_close(images.x_train.flatten(1), flat.x_train.float())


@pytest.fixture
def small_colors(tmp_path):
    """CIFAR-10 of 60 random images, in ./data."""
    generator = np.random.default_rng(0)
    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    arrays = {
        f"{part}_{kind}": value
        for part, n in (("train", 40), ("test", 20))
        for kind, value in (
            ("images", generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)),
            ("labels", np.arange(n, dtype=np.uint8) % 10),
        )
    }
    np.savez(tmp_path / "data" / "cifar10" / "cifar10.npz", **arrays)


def test_colors_are_kept_or_turned_into_luminance(small_colors):
    colors = binary_images("cifar10", 30, n_test=30)
    images = binary_images("cifar10", 30, n_test=30, as_images=True)
    assert colors.x_train.shape == (30, 3072)
    assert images.x_test.shape == (30, 3, 32, 32)
    torch.testing.assert_close(images.x_test.permute(0, 2, 3, 1).flatten(1), colors.x_test)
    grey = binary_images("cifar10", 30, n_test=30, grey=True)
    assert grey.x_train.shape == (30, 1024)
    torch.testing.assert_close((grey.x_train**2).sum(1), torch.full((30,), 1024.0).double())


def test_luminance_is_rounded_and_keeps_greys():
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [77, 77, 77]], dtype=np.uint8)
    assert luminance(colors).tolist() == [76, 150, 29, 77]
    assert luminance(colors).dtype == np.uint8


@pytest.fixture
def letters(tmp_path):
    """A function that writes 52 + 26 random letters in the files of EMNIST into a folder."""

    def write(folder="emnist", first=1):
        place = tmp_path / "data" / folder
        place.mkdir(parents=True)
        images = np.random.default_rng(1).integers(0, 256, (78, 28, 28), dtype=np.uint8)
        labels = np.arange(78, dtype=np.uint8) % 26 + first
        for part, own in (("train", slice(52)), ("test", slice(52, 78))):
            name = f"emnist-letters-{part}"
            write_idx_gz(place / f"{name}-images-idx3-ubyte.gz", images[own])
            write_idx_gz(place / f"{name}-labels-idx1-ubyte.gz", labels[own])
        return images

    return write


@pytest.mark.parametrize("folder", ["emnist", "EMNIST/raw"])
def test_letters_are_read_upright_and_counted_from_zero(letters, folder):
    images = letters(folder)
    found = load("emnist-letters")
    assert found.n_train == 52
    assert found.labels.tolist() == [i % 26 for i in range(78)]
    assert np.array_equal(found.images, images.transpose(0, 2, 1))
    data = image_classes("emnist-letters", 52, n_test=26)
    assert data.y_train.tolist() == [i % 26 for i in range(52)]
    assert binary_images("emnist-letters", 52, n_test=26).y_test.sum() == 0  # 13 against 13


def test_letters_that_are_no_letters(letters):
    letters(first=0)
    with pytest.raises(ValueError, match=r"labels are from 0 to 25; allowed .* from 1 to 26"):
        load("emnist-letters")


def test_message_for_absent_letters_says_where_and_what_to_fetch():
    with pytest.raises(DataNotFoundError) as caught:
        binary_images("emnist-letters", 10, n_test=0)
    for part in ("emnist or EMNIST/raw in data", "www.nist.gov", "emnist-letters-", "emnist/"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": 0}, r"P must be in 1\.\.12000 for these data, got 0"),
        ({"P": 12_001}, r"P must be in 1\.\.12000 for these data, got 12001"),
        ({"n_test": 12_000}, r"n_test must be in 0 or 1\.\.11990 for these data, got 12000"),
        ({"P": 1.5}, "P: 1.5 given"),
        ({"components": 0}, "components: 0 given; allowed: an integer >= 1"),
        ({"components": 785}, r"d must be in 1\.\.784, got 785"),
        ({"components": 5, "as_images": True}, "as_images: True given; allowed: False where"),
        ({"grey": True}, "grey: True given; allowed: True for images with colors only"),
        ({"name": "minst"}, "unknown data set 'minst'"),
    ],
)
def test_wrong_arguments(change, message):
    with pytest.raises(ValueError, match=message):
        binary_images(**({"name": "mnist-sample", "P": 10, "n_test": 0} | change))


@pytest.mark.data
def test_sizes_of_the_thesis(outer_data):
    """10,000 training and 50,000 test images, balanced over the classes."""
    outer_data("mnist")
    data = image_classes("mnist", 10_000, n_test=50_000, dtype=torch.float32)
    assert torch.bincount(data.y_train).tolist() == [1000] * 10
    assert torch.bincount(data.y_test).tolist() == [5000] * 10


@pytest.mark.data
def test_clothes_can_be_drawn(outer_data):
    outer_data("fashion_mnist")
    data = binary_images("fashion-mnist", 500, n_test=2000)
    torch.testing.assert_close((data.x_test**2).sum(1), torch.full((2000,), 784).double())
    assert data.y_train.sum() == 0
