"""The sets of images from which streams are built: MNIST, and others in its file format (IDX).

Each has its own folder in the cache, is fetched into it if it is missing or damaged, and is checked on every load
against the MD5 sums in torchvision's `datasets/mnist.py`. The two EMNIST files come from an archive with such a
sum; they are checked by the checksum that each of them contains.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plasticity.datasets.fetching import ImageSet, obtain
from plasticity.datasets.image_files import Archive, GzippedFile, IdxFile
from plasticity.errors import UserError
from plasticity.machine import folders


@dataclass(frozen=True)
class LabelledImages:
    """The images of a set in their original order. Both arrays are read-only.

    Args:
        images: grey values 0 to 255, row by row, uint8 [images, 784].
        labels: digits 0 to 9, or other classes from 0, uint8 [images].
    """

    images: np.ndarray
    labels: np.ndarray


def _files(
    number: int, images_md5: str, labels_md5: str, prefix: str = ""
) -> tuple[GzippedFile, GzippedFile]:
    return (
        GzippedFile(f"{prefix}train-images-idx3-ubyte.gz", images_md5, (number, 28, 28)),
        GzippedFile(f"{prefix}train-labels-idx1-ubyte.gz", labels_md5, (number,)),
    )


IMAGE_SETS = {
    "mnist": ImageSet(
        "MNIST", 10,
        IdxFile("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", (60_000, 28, 28)),
        IdxFile("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", (60_000,)),
        ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist"),
        packaged=True,
    ),
    "fashion_mnist": ImageSet(
        "Fashion-MNIST", 10,
        *_files(60_000, "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe"),
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",),
    ),
    "kmnist": ImageSet(
        "KMNIST", 10,
        *_files(60_000, "bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344"),
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist",),
    ),
    "emnist_balanced": ImageSet(
        "EMNIST Balanced", 47, *_files(112_800, "", "", prefix="emnist-balanced-"),
        ("https://biometrics.nist.gov/cs_links/EMNIST", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST"),
        Archive("gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e", "gzip"),
    ),
}  # fmt: skip
"""The sets by name, as in `dataset.images`, which is also the name of their folder. Images are as in the files:
those of EMNIST lie on their side."""

MOST_IMAGES = max(each.number for each in IMAGE_SETS.values())


def load(name: str, root: str | Path | None = None) -> LabelledImages:
    """A set of images and their labels, from the cache directory or, if missing or damaged there, from a source.

    With the environment variable PLASTICITY_OFFLINE=1 nothing is fetched.

    Args:
        name: a key of `IMAGE_SETS`.
        root: the cache directory; None for the default one (see `folders.data`).

    Raises:
        UserError: the cache holds no good files and they cannot be fetched, or cannot be written there.
    """
    wanted, directory = IMAGE_SETS[name], folders.data(root) / name
    contents = obtain(wanted, directory)
    images, labels = (file.decode(contents[file]) for file in (wanted.images, wanted.labels))
    if labels.max(initial=0) >= wanted.classes:
        raise UserError(f"{directory}: a label is not below {wanted.classes}. Remove the files there.")
    return LabelledImages(images.reshape(len(images), -1), labels)
