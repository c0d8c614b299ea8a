"""A worker: a process of its own that computes one run after the other, as it is handed them.

A run that takes its process down (out of memory, killed) so takes down no other run.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from plasticity.config import RunConfig
from plasticity.engines import make
from plasticity.settings import Settings
from plasticity.store import RunFolder, RunState
from plasticity.tracking import publisher
from plasticity.training import Session, Training

MESSAGE_SECONDS = 0.1
"""Least time between two messages about progress."""


@dataclass(frozen=True)
class Message:
    """What a worker tells its launcher.

    Attributes:
        kind: "began", "progress" or "ended".
        identity: the run.
        tasks_done: number of tasks learnt.
        examples: number of examples learnt since the last message; at "began", those of earlier attempts.
        accuracy: of the last task learnt.
        state: how the run ended.
    """

    kind: str
    identity: str
    tasks_done: int = 0
    examples: int = 0
    accuracy: float | None = None
    state: RunState | None = None


class Reporter:
    """An observer that sends what it hears through a pipe, not more often than anybody can see."""

    def __init__(self, connection: Connection, stop: threading.Event):
        self.connection, self.stop = connection, stop
        self.tasks_done, self.examples, self.sent = 0, 0, 0.0
        self.accuracy: float | None = None

    def began(self, identity: str, tasks_done: int, examples_done: int) -> None:
        self.tasks_done, self.examples, self.accuracy = tasks_done, 0, None
        self._send(Message("began", identity, tasks_done, examples_done))

    def advanced(self, identity: str, examples: int) -> None:
        self.examples += examples
        self._progress(identity)

    def learnt(self, identity: str, tasks_done: int, accuracy: float) -> None:
        self.tasks_done, self.accuracy = tasks_done, accuracy
        self._progress(identity)

    def ended(self, identity: str, state: RunState) -> None:
        self._send(Message("ended", identity, self.tasks_done, self.examples, self.accuracy, state))

    def _progress(self, identity: str) -> None:
        now = time.monotonic()
        if now - self.sent > MESSAGE_SECONDS:
            self._send(Message("progress", identity, self.tasks_done, self.examples, self.accuracy))
            self.examples, self.sent = 0, now

    def _send(self, message: Message) -> None:
        try:
            self.connection.send(message)
        except OSError:  # the launcher is gone: nobody to work for
            self.stop.set()


def work(connection: Connection, settings: Settings, engine: str, anew_before: float) -> None:
    """Computes the runs that come through a pipe, until None comes or the other end closes.

    SIGTERM, and the launcher's death, have the current run checkpointed and left. SIGINT goes to the
    launcher, which decides.
    """
    stop = threading.Event()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def leave(*_: object) -> None:
        stop.set()
        inbox.put(None)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2})
    signal.signal(signal.SIGTERM, leave)
    threading.Thread(target=_listen, args=(connection, inbox, leave), daemon=True).start()
    session = Session(
        engine=engine,
        observer=Reporter(connection, stop),
        stop=stop,
        checkpoint_seconds=settings.checkpoint_seconds,
        data_root=settings.data_root,
        anew_before=anew_before,
        publish=publisher(settings.tracker),
    )

    def runs() -> Iterator[Training]:
        config: RunConfig | None
        while (config := inbox.get()) is not None:
            yield Training(config, RunFolder.of(settings.runs, config), session)

    make(engine, threads=1).compute(runs())
    os._exit(0)  # not waiting for the listener


def _listen(connection: Connection, inbox: "queue.SimpleQueue[Any]", leave: Callable[[], None]) -> None:
    """Passes on the runs that come, and leaves when told to or when the launcher is gone."""
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            message = "stop"
        if message == "stop":
            leave()
            return
        inbox.put(message)
