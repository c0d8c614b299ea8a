"""Training: takes a run from its last checkpoint to its end, task after task, into its folder."""

import errno
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import Protocol, Self

from plasticity.config import RunConfig
from plasticity.datasets.task import Task
from plasticity.engines.engine import Learner, TaskResult
from plasticity.errors import Diverged, UserError
from plasticity.network import State, initial_state
from plasticity.provenance import provenance
from plasticity.score import score
from plasticity.store import RunFolder, RunState

SLOW_TASK_SECONDS = 1.0
"""A task that takes longer is checkpointed at once: its loss would hurt more than the checkpoint costs."""


class Stopped(Exception):
    """Training was asked to stop; the run can be gone on with."""


class Observer(Protocol):
    """Who hears of a run's progress while it is computed."""

    def began(self, identity: str, tasks_done: int, examples_done: int) -> None: ...
    def advanced(self, identity: str, examples: int) -> None: ...
    def learnt(self, identity: str, tasks_done: int, accuracy: float) -> None: ...
    def ended(self, identity: str, state: RunState) -> None: ...


@dataclass(frozen=True)
class Session:
    """What the runs of a process share.

    Attributes:
        engine: name of the engine, for the record.
        observer: who hears of progress.
        stop: set it to have every run checkpointed and left at its next opportunity.
        checkpoint_seconds: time between two checkpoints of a run.
        data_root: where the data sets are kept; None for the usual place.
        anew_before: a run that was started before this time, in seconds since the epoch, starts anew. A time,
            since a job that is requeued must not start anew what it began itself.
        publish: called with the folder of every run that finishes.
    """

    engine: str
    observer: Observer
    stop: Event
    checkpoint_seconds: float = 60.0
    data_root: str | None = None
    anew_before: float = 0.0
    publish: Callable[[RunFolder], None] = lambda folder: None


class Training:
    """One run in training, as an engine sees it. Whatever goes wrong inside it ends this run and no other."""

    def __init__(self, config: RunConfig, folder: RunFolder, session: Session):
        self.config, self.folder, self.session = config, folder, session
        self.state = RunState()
        self.held = False

    def __enter__(self) -> Self:
        self.resources = ExitStack()
        return self

    def start(self) -> State | None:
        """Claims the run and gives the network to go on from, or None where there is nothing to do.

        There is nothing to do for a run that is finished or that another process is computing.
        """
        self.folder.create(self.config)
        self.held = self.resources.enter_context(self.folder.claim())
        self.state = self.folder.state() if self.held else RunState(status="held")
        anew = (self.state.started or 0.0) < self.session.anew_before
        if not self.held or (self.state.status == "finished" and not anew):
            return None
        return self._begin(anew)

    def _begin(self, anew: bool) -> State:
        """Goes on from the checkpoint, dropping the rows that came after it, or starts anew."""
        if anew:
            self.folder.remove_checkpoint()
        found = self.folder.checkpoint()
        self.first_task, network = found or (0, initial_state(self.config))
        kept = self.folder.keep_rows(self.first_task)
        self.accuracies = [float(row["accuracy"]) for row in kept]
        self.rows = self.folder.open_rows()
        self.resources.callback(self.rows.close)
        self.began = self.checkpointed = self.task_began = time.monotonic()
        self.state = RunState(
            status="running",
            attempt=self.state.attempt + 1,
            started=self.state.started if found else time.time(),
            seconds=self.state.seconds if found else 0.0,
            provenance=provenance(self.session.engine),
        )
        self.seconds_before = self.state.seconds
        self._write_state()
        examples = self.first_task * self.config.dataset.examples_per_task
        self.session.observer.began(self.folder.identity, self.first_task, examples)
        return network

    def tasks(self) -> Iterator[Task]:
        """The tasks still to be learnt, each as it comes."""
        stream = self.config.dataset.open(self.config.seed, self.session.data_root)
        for number in range(self.first_task, self.config.dataset.tasks):
            self.task_began = time.monotonic()
            yield stream.task(number)
            if self.session.stop.is_set() and number + 1 < self.config.dataset.tasks:
                self._checkpoint()
                raise Stopped
        self.state.score = score(self.accuracies)

    def advance(self, examples: int) -> None:
        """Tells of progress within a task, and abandons the task when training is to stop."""
        self.session.observer.advanced(self.folder.identity, examples)
        if self.session.stop.is_set() and time.monotonic() - self.task_began > SLOW_TASK_SECONDS:
            raise Stopped

    def record(self, task: Task, result: TaskResult, learner: Learner) -> None:
        """Appends a task's row, and now and then writes a checkpoint."""
        self.rows.append(_row(task.number, result))
        self.accuracies.append(result.accuracy)
        self.learner = learner
        now = time.monotonic()
        slow = now - self.task_began > SLOW_TASK_SECONDS
        if slow or now - self.checkpointed > self.session.checkpoint_seconds:
            self._checkpoint()
        self.session.observer.learnt(self.folder.identity, task.number + 1, result.accuracy)

    def _checkpoint(self) -> None:
        """Rows first: a checkpoint promises that the rows before it are kept."""
        self.rows.sync()
        self.folder.write_checkpoint(len(self.accuracies), self.learner.state())
        self._write_state()
        self.checkpointed = time.monotonic()

    def _write_state(self) -> None:
        self.state.tasks_done = len(self.accuracies)
        self.state.updated = time.time()
        self.state.seconds = self.seconds_before + time.monotonic() - self.began
        self.folder.write_state(self.state)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Ends the run as finished, stopped or failed, tells of it, and lets go of its claim."""
        with self.resources:
            if error is not None:
                self._leave(error)
            elif self.state.status == "running" and self.held:
                self._finish()
            self.session.observer.ended(self.folder.identity, self.state)
            return isinstance(error, Exception)

    def _finish(self) -> None:
        """Everything is learnt: the state says so once the rows are on the disk."""
        self.rows.sync()
        self.state.status, self.state.finished = "finished", time.time()
        self._write_state()
        self.folder.remove_checkpoint()
        self.session.publish(self.folder)

    def _leave(self, error: BaseException) -> None:
        """Notes why a run ended early. The disk may be what failed, so that this may fail too."""
        stopped = isinstance(error, (Stopped, KeyboardInterrupt, SystemExit))
        self.state.status = "stopped" if stopped else "failed"
        self.state.reason = None if stopped else reason(error)
        expected = stopped or isinstance(error, (Diverged, UserError, MemoryError, OSError))
        try:
            self.state.updated = time.time()
            self.folder.write_state(self.state)
            if not expected:
                (self.folder.path / "traceback.txt").write_text("".join(traceback.format_exception(error)))
        except OSError:
            pass


def reason(error: BaseException) -> str:
    """Why a run failed, in a sentence."""
    if isinstance(error, (Diverged, UserError)):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk that runs_dir is on is full; with more room, the same command goes on from there"
    if isinstance(error, OSError):
        return (
            f"{error.strerror or error}: {error.filename}" if error.filename else f"{error.strerror or error}"
        )
    return f"{type(error).__name__}: {error} (see traceback.txt)"


def _row(number: int, result: TaskResult) -> dict[str, float | int]:
    """A row of `tasks.csv`. Layers are numbered from 1; no units of the output layer are ever replaced."""
    depth = len(result.replaced)
    layers = [f"layer_{layer}" for layer in range(1, depth + 1)]
    magnitudes = [float(magnitude) for magnitude in result.weight_magnitude]
    return (
        {"task": number, "accuracy": float(result.accuracy), "loss": float(result.loss)}
        | {"weight_magnitude": sum(magnitudes)}
        | {f"weight_magnitude.{k}": v for k, v in zip([*layers, "output"], magnitudes, strict=True)}
        | {f"replaced.{k}": int(v) for k, v in zip(layers, result.replaced, strict=True)}
    )
