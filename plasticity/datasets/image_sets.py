"""The sets of images from which streams are built: MNIST, and others in its file format (IDX).

Each has its own folder in the cache, is fetched into it if it is missing or damaged, and is checked on every load
against the MD5 sums in torchvision's `datasets/mnist.py`. The two EMNIST files come from an archive with such a
sum; they are checked by the checksum that each of them contains.
"""

import gzip
import hashlib
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np

from plasticity.datasets import mnist
from plasticity.datasets.mnist import Mnist, cache_directory, only_one_process
from plasticity.datasets.mnist_sources import IdxFile, Unavailable, announce, download
from plasticity.errors import UserError
from plasticity.machine.files import atomic_write


@dataclass(frozen=True)
class GzippedFile(IdxFile):
    """A file in IDX format that is kept as it is served, gzipped.

    Args:
        md5: MD5 sum of the gzipped file; empty if only its own checksum is known.
    """

    def check(self, content: bytes) -> None:
        if self.md5:
            super().check(content)
        self.decode(content)

    def decode(self, content: bytes) -> np.ndarray:
        """The items, as in `IdxFile`. Raises Unavailable if the file is truncated, altered or a different one."""
        try:
            plain = gzip.decompress(content)  # checks length and CRC-32
        except (OSError, EOFError, zlib.error) as error:
            raise Unavailable(f"{self.name} is truncated or altered ({error})") from error
        if not plain.startswith(self.header) or len(plain) != len(self.header) + int(np.prod(self.shape)):
            raise Unavailable(f"{self.name} does not hold unsigned bytes of shape {list(self.shape)}")
        return super().decode(plain)


@dataclass(frozen=True)
class Archive:
    """A zip file that holds the files of a set among others.

    Args:
        name: its name.
        md5: its MD5 sum.
        folder: the folder in it that holds the files.
    """

    name: str
    md5: str
    folder: str

    def extract(self, file: BinaryIO, wanted: tuple[IdxFile, ...]) -> dict[IdxFile, bytes]:
        """The files extracted from a copy of the archive. Raises Unavailable for any other archive."""
        digest = hashlib.md5(usedforsecurity=False)
        file.seek(0)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        if (found := digest.hexdigest()) != self.md5:
            raise Unavailable(f"{self.name} is truncated or altered (its MD5 sum is {found}, not {self.md5})")
        with zipfile.ZipFile(file) as archive:
            return {one: archive.read(f"{self.folder}/{one.name}") for one in wanted}


@dataclass(frozen=True)
class ImageSet:
    """A set of training images of 28 × 28 pixels with their labels.

    Args:
        title: its usual name.
        classes: number of classes.
        images, labels: its files.
        mirrors: addresses of folders that hold the files, or the archive.
        archive: the archive that the files come in, if any.
    """

    title: str
    classes: int
    images: IdxFile
    labels: IdxFile
    mirrors: tuple[str, ...]
    archive: Archive | None = None

    @property
    def number(self) -> int:
        """Number of images."""
        return self.images.shape[0]

    @property
    def files(self) -> tuple[IdxFile, IdxFile]:
        """Its files, the small one first, so that a mirror without them is noticed sooner."""
        return self.labels, self.images


def _files(
    number: int, images_md5: str, labels_md5: str, prefix: str = ""
) -> tuple[GzippedFile, GzippedFile]:
    return (
        GzippedFile(f"{prefix}train-images-idx3-ubyte.gz", images_md5, (number, 28, 28)),
        GzippedFile(f"{prefix}train-labels-idx1-ubyte.gz", labels_md5, (number,)),
    )


IMAGE_SETS = {
    "mnist": ImageSet("MNIST", 10, mnist.IMAGES, mnist.LABELS, mnist.mnist_sources.MIRRORS),
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


def load(name: str, root: str | Path | None = None) -> Mnist:
    """A set of images and their labels, from the cache directory or, if missing or damaged there, from a mirror.

    With the environment variable PLASTICITY_OFFLINE=1 nothing is fetched.

    Args:
        name: a key of `IMAGE_SETS`.
        root: the cache directory; None for the default one.

    Raises:
        UserError: the cache holds no good files and they cannot be fetched, or cannot be written there.
    """
    if name == "mnist":
        return mnist.load(root)
    wanted, directory = IMAGE_SETS[name], cache_directory(root) / name
    try:
        contents = mnist.cached(directory, wanted.files)
    except Unavailable as fault:
        contents = _fetched(wanted, directory, fault)
    images, labels = (
        wanted.images.decode(contents[wanted.images]),
        wanted.labels.decode(contents[wanted.labels]),
    )
    if labels.max(initial=0) >= wanted.classes:
        raise UserError(f"{directory}: a label is not below {wanted.classes}. Remove the files there.")
    return Mnist(images.reshape(len(images), -1), labels)


def _fetched(wanted: ImageSet, directory: Path, fault: Unavailable) -> dict[IdxFile, bytes]:
    """The files from an archive in their folder, or from the first mirror that has them, written to the cache.

    Raises UserError.
    """
    tried = [f"{directory}: {fault}"]
    try:
        with suppress(FileNotFoundError):
            if wanted.archive is not None:
                with open(directory / wanted.archive.name, "rb") as file:
                    return _kept(wanted, directory, wanted.archive.extract(file, wanted.files))
        if mnist.offline():
            raise _refusal(wanted, directory, [*tried, mnist.NOT_TRIED])
        mnist.make_writable(directory)
        with only_one_process(directory, wanted.title):
            with suppress(Unavailable):
                return mnist.cached(directory, wanted.files)  # another process was faster
            for mirror in wanted.mirrors:
                announce(wanted.title, mirror)
                try:
                    return _kept(wanted, directory, _from_mirror(wanted, mirror))
                except Unavailable as reason:
                    tried.append(f"{mirror}: {reason}")
    except Unavailable as reason:  # about the archive in the folder
        tried.append(str(reason))
    except OSError as error:
        raise mnist.not_stored(wanted.title, directory, fault, error) from error
    raise _refusal(wanted, directory, tried)


def _from_mirror(wanted: ImageSet, mirror: str) -> dict[IdxFile, bytes]:
    if wanted.archive is None:
        return {file: download(f"{mirror}/{file.name}") for file in wanted.files}
    with TemporaryFile() as archive:
        download(f"{mirror}/{wanted.archive.name}", archive)
        return wanted.archive.extract(archive, wanted.files)


def _kept(wanted: ImageSet, directory: Path, contents: dict[IdxFile, bytes]) -> dict[IdxFile, bytes]:
    """The files, checked and written to the cache."""
    for file in wanted.files:
        file.check(contents[file])
    for file, content in contents.items():
        atomic_write(directory / file.name, content, mode=0o644)  # readable by all users
    return contents


def _refusal(wanted: ImageSet, directory: Path, tried: list[str]) -> UserError:
    archive, by_hand = wanted.archive, f"download them from {wanted.mirrors[0]} to {directory}, as"
    files = wanted.files if archive is None else (archive,)
    return mnist.not_loaded(
        wanted.title, directory, tried, by_hand, [(file.name, file.md5) for file in files]
    )
