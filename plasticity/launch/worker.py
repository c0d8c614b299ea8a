"""A worker: a separate process that computes the runs that it receives, one after the other.

A run that takes its process down (out of memory, killed) therefore takes down no other.
"""

import atexit
import logging.config
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

from plasticity.composition.settings import Settings
from plasticity.engines import Choice
from plasticity.launch.display import Message
from plasticity.machine.output import expect_no_reader
from plasticity.machine.processes import unblock
from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.training.session import Session
from plasticity.training.train import train

MESSAGE_SECONDS = 0.1
"""Least time between two messages about progress."""

LATE = 75
"""Exit code of a worker that was to leave its run, and did not in time."""


class Reporter:
    """An observer that sends progress through a pipe, no more often than a display can use."""

    def __init__(self, connection: Connection, stop: threading.Event):
        self.connection, self.stop = connection, stop
        self.tasks_done, self.steps, self.sent = 0, 0, 0.0
        self.score: float | None = None

    def began(self, identity: str, tasks_done: int, steps_done: int) -> None:
        self.tasks_done, self.steps, self.score = tasks_done, 0, None
        self._send(Message("began", identity, tasks_done, steps_done))

    def advanced(self, identity: str, steps: int) -> None:
        self.steps += steps
        self._progress(identity)

    def learnt(self, identity: str, tasks_done: int, score: float) -> None:
        self.tasks_done, self.score = tasks_done, score
        self._progress(identity)

    def ended(self, identity: str, state: RunState) -> None:
        self._send(Message("ended", identity, self.tasks_done, self.steps, self.score, state))

    def _progress(self, identity: str) -> None:
        now = time.monotonic()
        if now - self.sent > MESSAGE_SECONDS:
            self._send(Message("progress", identity, self.tasks_done, self.steps, self.score))
            self.steps, self.sent = 0, now

    def _send(self, message: Message) -> None:
        try:
            self.connection.send(message)
        except OSError:  # the launcher is gone
            self.stop.set()


def work(
    connection: Connection,
    settings: Settings,
    restart: str | None,
    engines: Mapping[str, Choice],
    seconds: float,
) -> None:
    """Computes the runs that come through a pipe, until None comes or the other end closes.

    On SIGTERM, or when the launcher dies, the current run is checkpointed and left. SIGINT goes to the
    launcher, which decides.

    Args:
        connection: our end of the pipe.
        settings: folders, engine and so on.
        restart: identity of the launch, if it starts its runs over; see `Session`.
        engines: the engine of each run that is not resumed, by its identity.
        seconds: the time that leaving a run may take; then the worker ends, whatever a part is doing.
    """
    stop = threading.Event()
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def leave(*_: object) -> None:
        stop.set()
        inbox.put(None)

    expect_no_reader()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, leave)
    unblock()
    threading.Thread(target=_listen, args=(connection, inbox, leave), daemon=True).start()
    threading.Thread(target=_end_late, args=(stop, seconds), daemon=True).start()
    if settings.logging:
        logging.config.dictConfig(settings.logging)
    session = Session(
        observer=Reporter(connection, stop),
        engine=settings.engine.name,
        engines=engines,
        diagnostics=settings.diagnostics,
        measure_finished=settings.launch.missing_measures == "compute",
        snapshot_every=settings.snapshots.every,
        stop=stop,
        checkpoint_seconds=settings.checkpoint_seconds,
        data_root=settings.data_root,
        restart=restart,
    )

    run: Run | None
    while (run := inbox.get()) is not None:
        _compute(run, RunFolder.of(settings.runs, run), session)
    atexit._run_exitfuncs()  # such as those that remove temporary files
    os._exit(0)  # without waiting for the listener


def _compute(run: Run, folder: RunFolder, session: Session) -> None:
    """Computes a run. It has failed if a part raises KeyboardInterrupt, which no signal does here, or exits."""
    try:
        train(run, folder, session)
    except (KeyboardInterrupt, SystemExit) as error:
        folder.write_traceback("".join(traceback.format_exception(error)))
        why = f"a part raised {type(error).__name__} (see traceback.txt)"
        state = folder.mark_failed(run, why)
        if state.is_finished:  # it was to be measured
            state = replace(state, status="failed", reason=why)
        session.observer.ended(folder.identity, state)


def _end_late(stop: threading.Event, seconds: float) -> None:
    """Ends this process some time after it was told to stop; its run is resumed from the last checkpoint."""
    stop.wait()
    time.sleep(seconds)
    os._exit(LATE)


def _listen(connection: Connection, inbox: "queue.SimpleQueue[Any]", leave: Callable[[], None]) -> None:
    """Passes on the runs that arrive; calls `leave` on "stop", or when the launcher is gone."""
    while True:
        try:
            message = connection.recv()
        except (EOFError, OSError):
            message = "stop"
        if message == "stop":
            leave()
            return
        inbox.put(message)
