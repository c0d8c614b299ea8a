"""Files that are replaced atomically: a reader sees either the old contents or the new."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import BinaryIO

_UMASK = os.umask(0)
os.umask(_UMASK)

REFUSALS = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.EPERM}
"""The errors of a file system that cannot do something at all, as opposed to failing at it."""

Contents = str | bytes | Callable[[BinaryIO], object]
"""What a file is to hold, or a function that writes it."""


def atomic_write(path: Path, contents: Contents, durable: bool = True, mode: int = 0o666 & ~_UMASK) -> None:
    """Replaces a file, or creates it.

    Args:
        path: the file; until complete, the new contents are in a hidden file in the same folder.
        contents: what it is to hold.
        durable: return only once it is on the disk, so that it survives a power cut.
        mode: its permissions.

    On a file system that can neither tell what is on the disk nor set permissions, it does without.

    Raises:
        OSError: when it cannot be written; the old file is then kept.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            if callable(contents):
                contents(file)
            else:
                file.write(contents.encode() if isinstance(contents, str) else contents)
            file.flush()
            unless_refused(os.fchmod, file.fileno(), mode)
            if durable:
                unless_refused(os.fsync, file.fileno())
        os.replace(temporary, path)
        if durable:
            sync_directory(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def sweep(directory: Path, *names: str) -> None:
    """Removes what killed writers of some files left behind. The caller must be their only writer."""
    for name in names:
        for left in directory.glob(f".{name}.*"):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Renames whatever is in the way of one of our files or folders, and returns its new path."""
    aside = next(
        other
        for number in count(1)
        if not os.path.lexists(other := path.with_name(f"{path.name}.aside-{number}"))
    )
    path.rename(aside)
    return aside


def sync_directory(path: Path) -> str | None:
    """Waits until the entries of a directory are on the disk; returns why not, if its file system cannot."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return unless_refused(os.fsync, descriptor)
    finally:
        os.close(descriptor)


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; False where we may not look."""
    try:
        return path.exists()
    except OSError:
        return False


def unless_refused(operation: Callable[..., object], *arguments: object) -> str | None:
    """Does something that some file systems, such as CIFS, FUSE and FAT, cannot do, and that we can do without.

    Returns:
        why it was refused; None if it was done

    Raises:
        OSError: when the file system can do it, but failed.
    """
    try:
        operation(*arguments)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        return os.strerror(error.errno)
    return None
