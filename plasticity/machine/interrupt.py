"""What ends a launch early: Ctrl-C, and SIGTERM from a cluster or a system that shuts down."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def nothing_to_keep(*_: object) -> None:
    """Ends the process at once: a signal handler for as long as there is nothing to save."""
    try:
        stderr = sys.__stderr__.fileno() if sys.__stderr__ else 2
        os.write(stderr, b"Interrupted. No run is affected.\n")
    except (OSError, ValueError):
        pass
    os._exit(INTERRUPTED)


@contextmanager
def interruptible() -> Iterator[None]:
    """Makes Ctrl-C end a command without a traceback, for commands whose work can be repeated."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


@contextmanager
def stopping() -> Iterator[Event]:
    """An event that Ctrl-C sets, so that a checkpoint is written first; only the main thread hears it."""
    stop = Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def interrupted(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Makes this process, and every command that it starts meanwhile, ignore interrupts; for moments only."""
    before = {
        sent: signal.signal(sent, signal.SIG_IGN) for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for sent, handler in before.items():
            signal.signal(sent, handler)


class Interrupts:
    """While in force, counts interrupts instead of raising them wherever the process happens to be.

    A closed terminal (SIGHUP) does not count: no run depends on anybody watching.
    """

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "Interrupts":
        self.before = {sent: signal.signal(sent, self._hear) for sent in (signal.SIGINT, signal.SIGTERM)}
        self.before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return self

    def __exit__(self, *error: object) -> None:
        for sent, handler in self.before.items():
            signal.signal(sent, handler)

    def wait(self, seconds: float) -> None:
        """Waits for some seconds, or until the next interrupt."""
        deadline, before = time.monotonic() + seconds, self.count
        while self.count == before and time.monotonic() < deadline:
            time.sleep(0.1)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
