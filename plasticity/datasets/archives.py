"""Archives that sets of images are published in, and what is taken out of them."""

import hashlib
import pickle
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np

from plasticity.datasets.image_files import Contents, IdxFile, Unobtainable, check_sum
from plasticity.datasets.pickled_arrays import ArrayUnpickler


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

    def extract(self, file: BinaryIO, wanted: Sequence[IdxFile]) -> Contents:
        """The files extracted from a copy of the archive. Raises Unobtainable for any other archive."""
        digest = hashlib.md5(usedforsecurity=False)
        file.seek(0)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        check_sum(self.name, digest.hexdigest(), self.md5)
        file.seek(0)
        return self.extracted(file, wanted)

    def extracted(self, file: BinaryIO, wanted: Sequence[IdxFile]) -> Contents:
        """The same from a copy that has been checked."""
        with zipfile.ZipFile(file) as archive:
            return {one: archive.read(f"{self.folder}/{one.name}") for one in wanted}


@dataclass(frozen=True)
class Batches:
    """Where a pickled archive has the images and labels of two files.

    Args:
        images, labels: the files that they become.
        members: the names of the batches, in order. Each is a dictionary: its "data" are the pixels, uint8
            [images, channels · height · width], channel by channel.
        label_key: what it calls the labels, a list of whole numbers.
    """

    images: IdxFile
    labels: IdxFile
    members: tuple[str, ...]
    label_key: str


@dataclass(frozen=True)
class PickledArchive(Archive):
    """A gzipped tar file of the pickles in which CIFAR is published for Python. Its files become files of ours.

    Args:
        batches: of training, then of test images.
    """

    batches: tuple[Batches, ...]

    def extracted(self, file: BinaryIO, wanted: Sequence[IdxFile]) -> Contents:
        contents: Contents = {}
        try:
            with tarfile.open(fileobj=file, mode="r:gz") as archive:
                for each in self.batches:
                    if each.images in wanted or each.labels in wanted:
                        members = [archive.extractfile(f"{self.folder}/{name}") for name in each.members]
                        contents |= _encoded(each, [_unpickled(member) for member in members])
        except (KeyError, TypeError, ValueError, tarfile.TarError, pickle.UnpicklingError) as error:
            raise Unobtainable(f"{self.name} does not hold what is expected ({error})") from error
        return {one: contents[one] for one in wanted}


def _unpickled(member: IO[bytes] | None) -> Any:
    if member is None:
        raise ValueError("a folder in the place of a file")
    with member:
        return ArrayUnpickler(member).load()


def _encoded(where: Batches, found: Sequence[Any]) -> Contents:
    """Batches as two files. Raises ValueError if they are not of the declared shapes."""
    images = np.concatenate([one[b"data"] for one in found]).astype(np.uint8, casting="no")
    labels = np.concatenate([np.array(one[where.label_key.encode()], np.int64) for one in found])
    if labels.min(initial=0) < 0 or labels.max(initial=0) > 255:
        raise ValueError(f"labels from {labels.min()} to {labels.max()}")
    return {
        where.images: where.images.encode(images.reshape(where.images.shape)),
        where.labels: where.labels.encode(labels.reshape(where.labels.shape)),
    }
