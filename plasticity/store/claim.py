"""Claims: at most one living process computes a run.

A claim is a lock on a file (flock). The system releases it when the process ends, however it ends; on NFS
the server does, once it notices that the node is dead. The file's text says who holds it, for people to read.
"""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from plasticity.errors import UserError
from plasticity.machine.lock import Lock, lock

_PATIENCE = 0.1
"""Seconds to wait for a lock, since `holder` takes it for an instant."""


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Holds a claim while the block runs.

    Args:
        path: the file to lock, created if it is missing.

    Yields:
        True if the claim is ours, False if another living process holds it.

    Raises:
        UserError: if the file system has no locks, or the file is another user's.
    """
    with ExitStack() as stack:
        try:
            ours = stack.enter_context(lock(path, _PATIENCE))
        except PermissionError as error:
            raise UserError(
                f"{path} cannot be written to ({error.strerror}): everyone who shares a runs_dir must be able to "
                "write to everything in it."
            ) from error
        check(ours, path)
        if ours.held:
            with suppress(OSError):  # on a full disk, the file does not say who holds it
                os.ftruncate(ours.descriptor, 0)
                os.pwrite(ours.descriptor, f"{socket.gethostname()} {os.getpid()}\n".encode(), 0)
        yield ours.held


def closed(folder: Path) -> str | None:
    """Why we may not look into a folder, as a sentence; None if we may, or there is none."""
    if not folder.is_dir() or os.access(folder, os.R_OK | os.X_OK):
        return None
    return (
        f"{folder} cannot be read ({os.strerror(errno.EACCES)}): everyone who shares a runs_dir must be able to "
        "read and write everything in it"
    )


def holder(path: Path) -> str | None:
    """The holder of a claim, as "host pid"; None if it is free."""
    with suppress(FileNotFoundError), lock(path, flags=os.O_RDWR) as free:
        check(free, path)
        return None if free else os.pread(free.descriptor, 200, 0).decode().strip()
    return None


def check(tried: Lock, path: Path) -> None:
    """Raises UserError if the file system of a path has no locks."""
    if tried.refusal is not None:
        raise UserError(
            f"{path} cannot be locked ({tried.refusal.strerror}): runs_dir must be on a file system with locks."
        ) from tried.refusal
