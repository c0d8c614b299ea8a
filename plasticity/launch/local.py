"""The local launcher: computes runs on this machine, one worker process per core."""

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import cast

from plasticity.engines import Choice
from plasticity.errors import UserError
from plasticity.launch.interrupt import Interrupts
from plasticity.launch.worker import SIGNALS, work
from plasticity.progress import Display, Message
from plasticity.publish.publishing import LEAVE_SECONDS as PUBLISHING_SECONDS
from plasticity.publish.publishing import Publishing
from plasticity.run import Run
from plasticity.settings import Settings
from plasticity.store import RunFolder, RunState
from plasticity.threads import one_thread_each

POLL_SECONDS = 0.2
LEAVE_SECONDS = 30.0
"""Time for workers to write their checkpoints when a cluster preempts the job."""
HELD_SECONDS = 2.0
"""Time between two attempts at a run that another launch is computing."""


@dataclass
class Outcome:
    """How a launch went: each run's final state, whether Ctrl-C ended it, and lines about its publication."""

    states: dict[str, RunState] = field(default_factory=dict)
    interrupted: bool = False
    published: list[str] = field(default_factory=list)


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
        workers: number of runs computed at a time.
        display: receives all progress.
        publishing: is told when a run begins or ends.
        restart: as in `Session`.
    """

    def __init__(
        self,
        settings: Settings,
        workers: int,
        display: Display,
        publishing: Publishing,
        restart: str | None = None,
    ):
        self.settings, self.number, self.display = settings, workers, display
        self.publishing, self.restart = publishing, restart
        self.workers: list[Worker] = []
        self.outcome = Outcome()
        self.engines: dict[str, Choice] = {}
        self.held: list[Run] = []
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
            while len(self.workers) < self.number and not interrupts.count:
                self._start_worker()
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

        Runs that are shown live are then shown as preempted.
        """
        for worker in self.workers:
            worker.process.terminate()
        deadline = time.monotonic() + LEAVE_SECONDS
        for worker in self.workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
        self.publishing.leave()

    def _start_worker(self) -> None:
        if multiprocessing.get_start_method(allow_none=True) == "loky":
            # In joblib's processes: a new interpreter is told the method's name, and knows only Python's own.
            multiprocessing.set_start_method("spawn", force=True)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        arguments = (theirs, self.settings, self.restart, self.engines)
        process = context.Process(target=work, args=arguments, daemon=True)
        # A signal to every process of a job or a terminal must not end the worker before it is set up.
        resource_tracker.ensure_running()  # first, since it unblocks signals
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        with one_thread_each():
            process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        theirs.close()  # so that the worker's death closes the pipe
        self.workers.append(Worker(process, ours))

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

    def _handle(self, worker: Worker, message: Message) -> None:
        self.display.hear(message)
        if message.kind == "began" and worker.run is not None:
            self.publishing.began(worker.run)
        if message.kind == "ended" and message.state is not None and worker.run is not None:
            if message.state.status == "held":
                self.held.append(worker.run)
            else:
                self.outcome.states[message.identity] = message.state
                self.publishing.ended(worker.run, message.state)
            worker.run, worker.idle = None, True

    def _note_death(self, worker: Worker) -> None:
        """Records that a worker died: the run that it was computing has failed, the others continue."""
        worker.process.join()
        self.workers.remove(worker)
        if worker.run is None:
            return
        state = self._after_death(worker.run, cause_of_death(worker.process.exitcode))
        if state.status == "held":
            self.held.append(worker.run)
        else:
            self.outcome.states[worker.run.identity] = state
            self.publishing.ended(worker.run, state)
        self.display.hear(Message("ended", worker.run.identity, state.tasks_done, state=state))
        if (self.waiting or self.held) and not self.outcome.interrupted:
            self._start_worker()

    def _after_death(self, run: Run, cause: str) -> RunState:
        """The state of a run whose worker died, perhaps because the disk failed."""
        try:
            state = RunFolder.of(self.settings.runs, run).mark_failed(run, cause)
        except (OSError, UserError):
            return RunState(status="failed", reason=cause)
        if state.status == "finished" and state.starts_over(self.restart):
            # Finished by an earlier launch; this one was to start it over.
            return RunState(status="failed", reason=cause)
        return state

    def _stop(self) -> None:
        """Makes every worker write its checkpoint and end."""
        self.outcome.interrupted = True
        self.display.stopping()
        self.waiting.clear()
        self.held.clear()
        for worker in self.workers:
            worker.send("stop")


def finish(publishing: Publishing, outcome: Outcome) -> None:
    """Waits for what is still being published, and records in the outcome where everything is. Ctrl-C ends this."""
    with Interrupts() as interrupts:
        publishing.wait(lambda: interrupts.count, PUBLISHING_SECONDS if outcome.interrupted else None)
    outcome.interrupted |= interrupts.count > 0
    outcome.published = publishing.lines()


def cause_of_death(exit_code: int | None) -> str:
    """Why a worker ended without being told to, from the exit code of its process."""
    if exit_code is not None and exit_code < 0:
        hint = " (out of memory?)" if -exit_code == signal.SIGKILL else ""
        return f"its process was killed by {_name(-exit_code)}{hint}"
    return f"its process ended with exit code {exit_code}"


def _name(number: int) -> str:
    """A signal's name; most real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
