"""Claims: at most one living process computes a run.

A claim is a lock on a file (flock). The system releases it when the process ends, however it ends; on NFS
the server does, once it notices that the node is dead. The file's text says who holds it, for people to read.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from plasticity.errors import UserError

_PATIENCE = 5
"""Number of further attempts at a lock, since `holder` takes it for an instant."""


@contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Holds a claim while the block runs.

    Args:
        path: the file to lock, created if it is missing.

    Yields:
        True if the claim is ours, False if another living process holds it.

    Raises:
        UserError: if the file system has no locks, or the file is somebody else's.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError as error:
        raise UserError(
            f"{path} cannot be written to ({error.strerror}): everyone who shares a runs_dir must be able to "
            "write to everything in it."
        ) from error
    try:
        held = lock(descriptor, path)
        for _ in range(_PATIENCE):
            if held:
                break
            time.sleep(0.02)
            held = lock(descriptor, path)
        if held:
            with suppress(OSError):  # on a full disk, the file does not say who holds it
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{socket.gethostname()} {os.getpid()}\n".encode(), 0)
        yield held
    finally:
        os.close(descriptor)


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
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return None if lock(descriptor, path) else os.pread(descriptor, 200, 0).decode().strip()
    finally:
        os.close(descriptor)


def lock(descriptor: int, path: Path) -> bool:
    """Locks an open file until it is closed; returns False if somebody else holds the lock.

    Raises:
        UserError: when the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            return False
        raise UserError(
            f"{path} cannot be locked ({error.strerror}): runs_dir must be on a file system with locks."
        ) from error
    return True
