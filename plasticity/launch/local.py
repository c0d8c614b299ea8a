"""The local launcher: computes runs on this machine, one worker process per core."""

import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Timer
from typing import cast

from plasticity.composition.settings import Settings
from plasticity.diagnostics import lacking
from plasticity.engines import Choice
from plasticity.errors import UserError
from plasticity.launch.display import Display, Message
from plasticity.launch.worker import LATE, work
from plasticity.machine.interrupt import Interrupts
from plasticity.machine.processes import cause_of_death, start
from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.track.tracking import LEAVE_SECONDS as TRACKING_SECONDS
from plasticity.track.tracking import Tracking

POLL_SECONDS = 0.2
LEAVE_SECONDS = 30.0
"""Time for workers to write their checkpoints when they are to stop; those that take longer are cut short."""
HELD_SECONDS = 2.0
"""Time between two attempts at a run that another launch is computing."""
LONG_SECONDS = 3.0
"""Time after which people wonder what a launch is waiting for."""


@dataclass
class Outcome:
    """How a launch went: each run's final state, whether Ctrl-C ended it, and its tracker's closing lines."""

    states: dict[str, RunState] = field(default_factory=dict)
    interrupted: bool = False
    tracked: list[str] = field(default_factory=list)


@dataclass
class Worker:
    """A worker process, the pipe to it, and the run that it is computing."""

    process: BaseProcess
    connection: Connection
    run: Run | None = None
    idle: bool = True

    def hand(self, run: Run | None) -> None:
        """Sends the next run, or None when there are no more."""
        self.run, self.idle = run, False
        self.send(run)

    def send(self, message: object) -> None:
        try:
            self.connection.send(message)
        except OSError:
            pass  # it died; `_listen` notices when its pipe closes


class Local:
    """One launch on this machine.

    Args:
        settings: folders, engine and so on.
        workers: number of runs computed at the same time.
        display: receives all progress.
        tracking: is told when a run begins or ends.
        restart: as in `Session`.
    """

    def __init__(
        self,
        settings: Settings,
        workers: int,
        display: Display,
        tracking: Tracking,
        restart: str | None = None,
    ):
        self.settings, self.number, self.display = settings, workers, display
        self.tracking, self.restart = tracking, restart
        self.workers: list[Worker] = []
        self.outcome = Outcome()
        self.engines: dict[str, Choice] = {}
        self.held: list[Run] = []
        self.told: set[str] = set()
        self.tried = 0.0

    def compute(self, runs: Sequence[Run], engines: Sequence[Choice] = ()) -> Outcome:
        """Computes runs in the order given, as many at a time as there are workers.

        Args:
            runs: the runs.
            engines: the engine of each that is not resumed; if there are none, each worker chooses.
        """
        self.waiting = deque(runs)
        self.engines = {run.identity: choice for run, choice in zip(runs, engines, strict=False)}
        with Interrupts() as interrupts, self.display:
            if not interrupts.count:
                self._start_workers()
            while self.workers and interrupts.count < 2:
                if interrupts.count and not self.outcome.interrupted:
                    self._stop()
                self._listen()
            for worker in self.workers:  # Ctrl-C came again
                worker.process.kill()
            self.outcome.interrupted = interrupts.count > 0
        return self.outcome

    def leave(self) -> None:
        """Makes every worker write its checkpoint and exit, without reading from any; safe in a signal handler.

        The tracker is then told that they are stopped.
        """
        for worker in self.workers:
            worker.process.terminate()
        deadline = time.monotonic() + LEAVE_SECONDS
        for worker in self.workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        self.tracking.leave()

    def _start_workers(self) -> None:
        """Starts workers, as many as there are to be and the system allows.

        Raises:
            UserError: when it allows none.
        """
        try:
            while len(self.workers) < self.number:
                arguments = (self.settings, self.restart, self.engines, LEAVE_SECONDS)
                self.workers.append(Worker(*start(work, *arguments)))
        except UserError:
            if not self.workers:
                raise

    def _listen(self) -> None:
        """Hands out runs, and handles the workers' messages, waiting a moment for them."""
        self._feed()
        by_pipe = {worker.connection: worker for worker in self.workers}
        for connection in wait(list(by_pipe), timeout=POLL_SECONDS):
            worker = by_pipe[cast(Connection, connection)]
            try:
                self._handle(worker, worker.connection.recv())
            except (EOFError, OSError):
                self._note_death(worker)
        self.display.refresh()

    def _feed(self) -> None:
        """Gives every idle worker a run. Those that another launch held are retried now and then."""
        if self.held and time.monotonic() - self.tried > HELD_SECONDS:
            self.tried = time.monotonic()
            self.waiting.extend(self.held)
            self.held.clear()
        for worker in [worker for worker in self.workers if worker.idle]:
            if self.waiting:
                worker.hand(self.waiting.popleft())
            elif not self.held:
                worker.hand(None)
            else:
                self._say_who_holds()

    def _say_who_holds(self) -> None:
        """Says which runs this launch waits for, once each, and which process computes them."""
        for run in [run for run in self.held if run.identity not in self.told]:
            if (by := RunFolder.of(self.settings.runs, run).holder()) is not None:
                self.told.add(run.identity)
                self.display.say(f"Waiting for {self.display.name(run)}: it is being computed by {by}.")

    def _handle(self, worker: Worker, message: Message) -> None:
        self.display.hear(message)
        if message.kind == "began" and worker.run is not None:
            self.tracking.began(worker.run)
        if message.kind == "ended" and message.state is not None and worker.run is not None:
            if message.state.is_held:
                self.held.append(worker.run)
            else:
                self.outcome.states[message.identity] = message.state
                self.tracking.ended(worker.run, message.state)
            worker.run, worker.idle = None, True

    def _note_death(self, worker: Worker) -> None:
        """Records that a worker died: the run that it was computing has failed, the others continue."""
        worker.process.join(timeout=1)
        worker.process.kill()  # a part may have closed the pipe and live on
        worker.process.join()
        self.workers.remove(worker)
        if worker.run is None:
            return
        state = self._after_death(worker.run, self._cause(worker.process.exitcode))
        if state.is_held:
            self.held.append(worker.run)
        else:
            self.outcome.states[worker.run.identity] = state
            self.tracking.ended(worker.run, state)
        self.display.hear(Message("ended", worker.run.identity, state.tasks_done, state=state))
        if (self.waiting or self.held) and not self.outcome.interrupted:
            self._start_workers()

    def _cause(self, exit_code: int | None) -> str:
        if exit_code == LATE and self.outcome.interrupted:
            return f"it did not stop within {LEAVE_SECONDS:.0f} s, and was cut short without a further checkpoint"
        return cause_of_death(exit_code)

    def _after_death(self, run: Run, cause: str) -> RunState:
        """The state of a run whose worker died, perhaps because the disk failed."""
        try:
            state = RunFolder.of(self.settings.runs, run).mark_failed(run, cause)
        except (OSError, UserError):
            return RunState(status="failed", reason=cause)
        if state.is_finished and not self._done(state):
            return replace(state, status="failed", reason=cause)
        return state

    def _done(self, state: RunState) -> bool:
        """Whether a finished run is done for this launch: started over and measured, if that was its task."""
        measured = self.settings.launch.missing_measures == "leave" or not lacking(
            state.measured, self.settings.diagnostics
        )
        return measured and not state.starts_over(self.restart)

    def _stop(self) -> None:
        """Makes every worker write its checkpoint and end."""
        self.outcome.interrupted = True
        self.display.stopping()
        self.waiting.clear()
        self.held.clear()
        for worker in self.workers:
            worker.send("stop")


def finish(tracking: Tracking, outcome: Outcome) -> None:
    """Waits for the tracker, and records its closing lines in the outcome. Ctrl-C ends this."""
    with Interrupts() as interrupts, _says_what_takes_long():
        tracking.wait(lambda: interrupts.count, TRACKING_SECONDS if outcome.interrupted else None)
    outcome.interrupted |= interrupts.count > 0
    outcome.tracked = tracking.lines()


@contextmanager
def _says_what_takes_long() -> Iterator[None]:
    """Says that the tracker is being waited for, if that takes long."""
    end = " Ctrl-C ends this." if sys.stderr.isatty() else ""
    saying = Timer(
        LONG_SECONDS, partial(print, f"Waiting for the tracker.{end}", file=sys.stderr, flush=True)
    )
    saying.daemon = True
    saying.start()
    try:
        yield
    finally:
        saying.cancel()
