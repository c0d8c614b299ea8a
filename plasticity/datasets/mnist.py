"""The 60,000 MNIST training images and labels: cached on this machine, checked on every load."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plasticity.datasets import mnist_sources
from plasticity.datasets.mnist_sources import IMAGES, LABELS, TRAINING_FILES, Contents, IdxFile, Unavailable
from plasticity.errors import UserError
from plasticity.machine import folders
from plasticity.machine.files import atomic_write
from plasticity.machine.lock import lock

NOT_TRIED = "PLASTICITY_OFFLINE is set: nothing else was tried."


@dataclass(frozen=True)
class Mnist:
    """The MNIST training set, or one like it, in its original order. Both arrays are read-only.

    Args:
        images: grey values 0 to 255, row by row, uint8 [images, 784].
        labels: digits 0 to 9, or other classes from 0, uint8 [images].
    """

    images: np.ndarray
    labels: np.ndarray


def cache_directory(root: str | Path | None = None) -> Path:
    """Where data sets are kept: root, else $PLASTICITY_DATA, else `plasticity` in the user's cache folder."""
    chosen = root or os.environ.get("PLASTICITY_DATA")
    if chosen:
        return folders.expanded(chosen)
    return folders.cache()


def load(root: str | Path | None = None) -> Mnist:
    """MNIST from the folder `mnist` of the cache directory, fetched into it if it is missing or damaged.

    With the environment variable PLASTICITY_OFFLINE=1 nothing is fetched.

    Args:
        root: the cache directory; None for the default one (see `cache_directory`).

    Raises:
        UserError: the cache holds no good files and they cannot be fetched, or cannot be written there.
    """
    directory = cache_directory(root) / "mnist"
    try:
        contents = cached(directory, TRAINING_FILES)
    except Unavailable as fault:
        contents = _fetched(directory, fault)
    return Mnist(IMAGES.decode(contents[IMAGES]).reshape(-1, 784), LABELS.decode(contents[LABELS]))


def cached(directory: Path, files: tuple[IdxFile, ...]) -> Contents:
    """The cached files, checked. Raises Unavailable."""
    contents = {}
    for file in files:
        try:
            contents[file] = (directory / file.name).read_bytes()
        except OSError as error:
            raise Unavailable(f"{file.name}: {error.strerror}") from error
        file.check(contents[file])
    return contents


def _fetched(directory: Path, fault: Unavailable) -> Contents:
    """The files from the first source that has them, written to the cache. Raises UserError.

    Args:
        directory: the cache's folder.
        fault: what is wrong with the files there.
    """
    if offline():
        raise _refusal(directory, fault, NOT_TRIED)
    try:
        make_writable(directory)
        with only_one_process(directory, "MNIST"):
            with suppress(Unavailable):
                return cached(directory, TRAINING_FILES)  # another process was faster
            contents = mnist_sources.fetch()
            for file, content in contents.items():
                atomic_write(directory / file.name, content, mode=0o644)  # readable by all users
            return contents
    except Unavailable as reasons:
        raise _refusal(directory, fault, str(reasons)) from reasons
    except OSError as error:
        raise not_stored("MNIST", directory, fault, error) from error


def _refusal(directory: Path, fault: Unavailable, others: str) -> UserError:
    tried = [f"{directory}: {fault}", *others.splitlines()]
    files = [(file.name, file.md5) for file in TRAINING_FILES]
    return not_loaded("MNIST", directory, tried, f"store them decompressed in {directory} as", files)


def offline() -> bool:
    """Whether nothing may be fetched."""
    return os.environ.get("PLASTICITY_OFFLINE", "0") not in ("", "0")


def not_loaded(
    title: str, directory: Path, tried: Sequence[str], by_hand: str, files: Sequence[tuple[str, str]]
) -> UserError:
    """The error for data that cannot be loaded, with what the user can do.

    Args:
        title: the usual name of the data.
        directory: the folder that should hold it.
        tried: where it was looked for, and what was wrong there.
        by_hand: how to put the files in place.
        files: their names and MD5 sums.
    """
    return UserError(
        f"{title} cannot be loaded. Tried:\n  "
        + "\n  ".join(tried)
        + f"\nTo put the files in place by hand, {by_hand}\n  "
        + "\n  ".join(f"{name} (MD5 sum {md5})" for name, md5 in files)
        + "\nor set dataset.root or the environment variable PLASTICITY_DATA to the folder whose subfolder "
        f"{directory.name} holds them."
    )


def not_stored(title: str, directory: Path, fault: Unavailable, error: OSError) -> UserError:
    """The error for data that is not in the cache and cannot be stored there."""
    return UserError(
        f"{title} is not in {directory} ({fault}) and cannot be stored there ({error.strerror}): set "
        "dataset.root or the environment variable PLASTICITY_DATA to a writable folder."
    )


def make_writable(directory: Path) -> None:
    """Creates the folder, readable by all users, if it is missing. Raises OSError if no file can be made in it."""
    for folder in (directory.parent, directory):
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(folder.stat().st_mode | 0o555)  # despite the umask: the cache is for all users
    tempfile.TemporaryFile(dir=directory).close()


@contextmanager
def only_one_process(directory: Path, title: str) -> Iterator[None]:
    """Waits while another process fetches the data called `title` into this folder."""

    def waiting() -> None:
        print(f"Waiting for another process to fetch {title}", file=sys.stderr, flush=True)

    with ExitStack() as stack:
        # On a file system without locks, two may fetch; os.replace alone then keeps the cache intact.
        with suppress(OSError):
            stack.enter_context(lock(directory / ".lock", patience=None, waiting=waiting))
        yield
