"""A directory of runs: the folders in it, and whether it can be written to."""

import errno
import os
import re
import tempfile
from pathlib import Path

from plasticity.errors import Damaged, UserError
from plasticity.machine.files import sync_directory, unless_refused
from plasticity.machine.lock import acquire
from plasticity.run import Run
from plasticity.store.claim import check
from plasticity.store.folder import RunFolder

IDENTITY = re.compile("[0-9a-f]{12}")


def run_folders(runs_dir: Path) -> list[RunFolder]:
    """Every run in a directory of runs, in the order of their identities; none if there is no such directory.

    Raises:
        UserError: when the directory cannot be read.
    """
    try:
        return [RunFolder(path) for path in sorted(runs_dir.iterdir()) if _holds_run(path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise UserError(f"{runs_dir} cannot be read ({error.strerror}).") from error


def _holds_run(path: Path) -> bool:
    """Whether a folder holds a run; one that we may not look into does if it is named as a run is."""
    try:
        (path / "config.yaml").stat()
        return True
    except PermissionError:
        return IDENTITY.fullmatch(path.name) is not None
    except OSError:
        return False


def stored_run(folder: RunFolder) -> Run:
    """The run in a folder.

    Raises:
        UserError: when there is none, or its config cannot be read.
    """
    if not _holds_run(folder.path):
        raise UserError(f"{folder.path} holds no run.")
    try:
        return folder.run()
    except Damaged as error:
        raise UserError(f"{folder.path}: {error}.") from error


def prepare(runs_dir: Path, dry: bool = False) -> list[str]:
    """Makes sure that runs can be written and claimed.

    Args:
        runs_dir: the directory of runs, which is made if need be.
        dry: make and write nothing.

    Returns:
        sentences for the user about what its file system cannot do

    Raises:
        UserError: when the directory cannot be made or written to, or its file system has no locks.
    """
    try:
        if dry:
            there = next(path for path in (runs_dir, *runs_dir.parents) if path.exists())
            if not there.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not os.access(there, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return []
        runs_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=runs_dir) as file:
            file.write(b"x" * 4096)
            file.flush()
            check(acquire(file.fileno()), runs_dir)
            return _refused(runs_dir, file.fileno())
    except OSError as error:
        raise UserError(
            f"runs_dir={runs_dir} is refused: it must be a writable directory ({error.strerror})."
        ) from error


def _refused(runs_dir: Path, descriptor: int) -> list[str]:
    """What the file system of a directory cannot do, tried out on a file in it: sentences for the user."""
    unsynced = unless_refused(os.fsync, descriptor) or sync_directory(runs_dir)
    unchanged = unless_refused(os.fchmod, descriptor, 0o600)
    said = []
    if unsynced:
        said.append(
            f"The file system of {runs_dir} cannot say when files are on the disk ({unsynced}): a power cut may "
            "lose what was written last."
        )
    if unchanged:
        said.append(
            f"The file system of {runs_dir} cannot set permissions ({unchanged}): files keep those that "
            "it gives them."
        )
    return said
