"""The sets of images from which streams are built: MNIST, others in its file format (IDX), and CIFAR.

Each has its own folder in the cache, is fetched into it if it is missing or damaged, and is checked on every load
against the MD5 sums in torchvision's `datasets/mnist.py`. The files of EMNIST and CIFAR come from archives with
such sums (for CIFAR in `datasets/cifar.py`); they are checked by the checksum that each of them contains.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plasticity.datasets.archives import Archive, Batches, PickledArchive
from plasticity.datasets.fetching import ImageSet, obtain
from plasticity.datasets.image_files import GzippedFile, IdxFile
from plasticity.datasets.package_index import TRAINING
from plasticity.errors import UserError
from plasticity.machine import folders


@dataclass(frozen=True)
class LabelledImages:
    """The images of a set in their original order. Both arrays are read-only.

    Args:
        images: pixels from 0 to 255, uint8 [images, channels · height · width]: channel by channel, and row by row.
        labels: digits 0 to 9, or other classes from 0, uint8 [images].
    """

    images: np.ndarray
    labels: np.ndarray


def _files(
    number: int,
    images_md5: str = "",
    labels_md5: str = "",
    prefix: str = "train",
    shape: tuple[int, ...] = (28, 28),
) -> tuple[GzippedFile, GzippedFile]:
    return (
        GzippedFile(f"{prefix}-images-idx{len(shape) + 1}-ubyte.gz", images_md5, (number, *shape)),
        GzippedFile(f"{prefix}-labels-idx1-ubyte.gz", labels_md5, (number,)),
    )


def _cifar(
    classes: int, md5: str, folder: str, batches: tuple[str, ...], test: str, label_key: str
) -> ImageSet:
    """CIFAR-10 or CIFAR-100, in the form published for Python: gzipped tar files of pickles."""
    training = _files(50_000, shape=(3, 32, 32))
    testing = _files(10_000, prefix="test", shape=(3, 32, 32))
    where = (Batches(*training, batches, label_key), Batches(*testing, (test,), label_key))
    archive = PickledArchive(f"cifar-{classes}-python.tar.gz", md5, folder, where)
    mirrors = ("https://www.cs.toronto.edu/~kriz",)
    return ImageSet(f"CIFAR-{classes}", classes, *training, mirrors, archive, test=testing)


IMAGE_SETS = {
    "mnist": ImageSet(
        "MNIST", 10,
        IdxFile("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", (60_000, 28, 28)),
        IdxFile("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", (60_000,)),
        ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
        packaged=TRAINING,
        test=(
            IdxFile("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea", (10_000, 28, 28)),
            IdxFile("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637", (10_000,)),
        ),
        fewest=5_421,
    ),
    "fashion_mnist": ImageSet(
        "Fashion-MNIST", 10,
        *_files(60_000, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"),
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
        test=_files(10_000, "bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310", "t10k"),
    ),
    "kmnist": ImageSet(
        "KMNIST", 10,
        *_files(60_000, "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344"),
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist",),
        test=_files(10_000, "5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134", "t10k"),
    ),
    "emnist_balanced": ImageSet(
        "EMNIST Balanced", 47, *_files(112_800, prefix="emnist-balanced-train"),
        ("https://biometrics.nist.gov/cs_links/EMNIST", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST"),
        Archive("gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e", "gzip"),
        test=_files(18_800, prefix="emnist-balanced-test"),
    ),
    "cifar10": _cifar(
        10, "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py",
        tuple(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "labels",
    ),
    "cifar100": _cifar(
        100, "eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python", ("train",), "test", "fine_labels"
    ),
}  # fmt: skip
"""The sets by name, as in `dataset.images`, which is also the name of their folder. Images are as in the files:
those of EMNIST lie on their side."""

MOST_IMAGES = max(each.number for each in IMAGE_SETS.values())


def load(name: str, root: str | Path | None = None, test: bool = False) -> LabelledImages:
    """A set of images and their labels, from the cache directory or, if missing or damaged there, from a source.

    With the environment variable PLASTICITY_OFFLINE=1 nothing is fetched.

    Args:
        name: a key of `IMAGE_SETS`.
        root: the cache directory; None for the default one (see `folders.data`).
        test: whether to load the images for testing, not those for training.

    Raises:
        UserError: the cache holds no good files and they cannot be fetched, or cannot be written there.
    """
    whole, directory = IMAGE_SETS[name], folders.data(root) / name
    wanted = whole.for_testing if test else whole
    contents = obtain(wanted, directory)
    images, labels = (file.decode(contents[file]) for file in (wanted.images, wanted.labels))
    if labels.max(initial=0) >= wanted.classes:
        raise UserError(f"{directory}: a label is not below {wanted.classes}. Remove the files there.")
    return LabelledImages(images.reshape(len(images), -1), labels)
