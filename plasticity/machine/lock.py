"""One lock: flock, which the system releases when the process that holds it ends, however it ends."""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.02
PATIENCE = 60.0
"""Seconds to wait for another writer of a directory."""

TAKEN = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@dataclass(frozen=True)
class Lock:
    """What came of asking for a lock. It is true if the lock is ours.

    Attributes:
        descriptor: the open file or directory; the lock lasts until it is closed.
        held: whether the lock is ours.
        refusal: why the file system cannot lock; None if it can, and another process may hold the lock.
    """

    descriptor: int
    held: bool
    refusal: OSError | None = None

    def __bool__(self) -> bool:
        return self.held


@contextmanager
def lock(
    path: Path,
    patience: float | None = 0.0,
    waiting: Callable[[], object] | None = None,
    flags: int = os.O_RDWR | os.O_CREAT,
) -> Iterator[Lock]:
    """Locks a file or a directory while the block runs.

    Args:
        path: the file, created if it is missing; for a directory, `flags` must be os.O_RDONLY.
        patience: seconds to wait while another process holds the lock; None to wait until it is free.
        waiting: called once, when there is something to wait for.
        flags: how to open it, as for os.open.

    Raises:
        OSError: when it cannot be opened.
    """
    descriptor = os.open(path, flags, 0o666)
    try:
        yield acquire(descriptor, patience, waiting)
    finally:
        os.close(descriptor)


def alone(directory: Path, patience: float = PATIENCE) -> AbstractContextManager[Lock]:
    """Makes the writers of a directory take turns, if its file system has locks."""
    return lock(directory, patience, flags=os.O_RDONLY)


def acquire(
    descriptor: int, patience: float | None = 0.0, waiting: Callable[[], object] | None = None
) -> Lock:
    """Locks an open file until it is closed; the arguments are those of `lock`."""
    found = _attempt(descriptor, fcntl.LOCK_NB)
    if found.held or found.refusal or patience == 0:
        return found
    if waiting is not None:
        waiting()
    if patience is None:
        return _attempt(descriptor)
    deadline = time.monotonic() + patience
    while not found.held and not found.refusal and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        found = _attempt(descriptor, fcntl.LOCK_NB)
    return found


def _attempt(descriptor: int, how: int = 0) -> Lock:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
    except OSError as error:
        return Lock(descriptor, held=False, refusal=None if error.errno in TAKEN else error)
    return Lock(descriptor, held=True)
