"""An attempt at a run: from its last checkpoint, or from the start, to its end, with a row for each record."""

import time
import traceback
from contextlib import ExitStack
from math import isfinite

from plasticity.engines import choose, confirmed, get, resuming
from plasticity.errors import EXPECTED, Damaged, UserError, reason
from plasticity.networks.network import Network, initial_network
from plasticity.run import Run
from plasticity.store import Row, RunFolder, RunState
from plasticity.store.checkpoint import Checkpoint
from plasticity.store.snapshot import Snapshot
from plasticity.training import ram
from plasticity.training.continuation import Outdated, check_code, other_machine
from plasticity.training.provenance import machine, provenance
from plasticity.training.record import learn_record
from plasticity.training.score import score
from plasticity.training.session import Session

SLOW_SECONDS = 1.0
"""A record that takes longer is checkpointed at once: losing it would cost more than the checkpoint."""


class Stopped(Exception):
    """Training was asked to stop; the run can be resumed."""


class Attempt:
    """One attempt at a run by this process, which holds its claim."""

    def __init__(self, run: Run, folder: RunFolder, session: Session, state: RunState, resources: ExitStack):
        self.run, self.folder, self.session, self.state = run, folder, session, state
        self.resources = resources
        state.describe(run)
        self.scores: list[float] = []

    def compute(self, restart: bool) -> None:
        """Computes the run from start to end."""
        try:
            self.start_or_resume(restart)
            for record in range(len(self.scores), self.run.dataset.records):
                row = self.learn(record)
                self.record(row)
                self.snapshot_if_due()
                self.checkpoint_if_due()
            self.finish()
        except BaseException as error:
            self.leave(error)
            if not isinstance(error, Exception):
                raise

    def start_or_resume(self, restart: bool) -> None:
        """Resumes from the checkpoint, without the rows that came after it; without one, begins at the start.

        A run that begins at the start first loses its checkpoint, since it must never resume from that again, then
        says that it is running, since a finished run must have all rows, and only then loses its rows.
        """
        self.began, self.seconds_before = time.monotonic(), self.state.seconds
        self.state.attempt += 1
        if self.state.is_ruined:
            self.state.notes.append(f"Before attempt {self.state.attempt}: {self.state.reason}.")
        self.state.reason = self.state.score = self.state.finished = None
        ram.check(self.run)
        decided = self.session.engines.get(self.run.identity)
        self.choice = confirmed(decided, self.run) if decided else choose(self.session.engine, self.run)
        network = None if restart else self._resumed()
        if network is None:
            self.folder.remove_checkpoint()
            self.state.started, self.seconds_before = time.time(), 0.0
            self.state.restarts += [self.session.restart] if self.session.restart else []
        self.state.begin(provenance(self.choice, self.run), self._tasks_done())
        self._note_diagnostics(network is None)
        self._write_state("running")
        if network is None:
            self.folder.remove_snapshots()
            self.folder.keep_rows(0, self.run)
            network = initial_network(self.run)
        self.rows = self.folder.open_rows()
        self.resources.callback(self.rows.close)
        steps = self._tasks_done() * self.run.dataset.steps_per_task
        self.session.observer.began(self.folder.identity, self._tasks_done(), steps)
        self.learner = get(self.choice.engine).learner(self.run, network)
        self.stream = self.run.dataset.open(self.run.seed, self.session.data_root)
        self.checkpointed = time.monotonic()

    def _note_diagnostics(self, fresh: bool) -> None:
        """Records which diagnostics all rows will have: those measured now, if the kept rows have them, too."""
        now = {one.name: one.values() for one in self.session.diagnostics}
        before = self.state.measured
        self.state.measured = {
            name: values for name, values in now.items() if fresh or before.get(name) == values
        }

    def _resumed(self) -> Network | None:
        """The checkpoint's network, after restoring its rows and its engine; None if there is none to resume from.

        One computed with other code for the run's parts does not count. Another PyTorch or processor is only noted.

        Raises:
            UserError: when the engine that began the run cannot compute it now. The checkpoint is kept.
        """
        try:
            found = self.folder.checkpoint()
            if found is None:
                return None
            found.check(self.run)
            check_code(self.state.provenance, self.run)
            kept = self.folder.keep_rows(found.rows, self.run)
        except (Damaged, Outdated) as problem:
            self.state.notes.append(f"Attempt {self.state.attempt} started over: {problem}.")
            return None
        self.scores = [float(row[self.state.score_name]) for row in kept]
        self.choice = resuming(found.engine, self.session.engine, self.choice, self.run)
        if difference := other_machine(self.state.provenance, machine(found.engine)):
            self.state.notes.append(
                f"Attempt {self.state.attempt} resumed {difference}: the numbers may differ from those of an "
                "uninterrupted run."
            )
        return found.network

    def learn(self, record: int) -> Row:
        """Learns the tasks of a record, with the diagnostics that are due."""
        self.record_began = time.monotonic()
        return learn_record(
            self.run, self.stream, self.learner, record, self.session.diagnostics, self._advance
        )

    def _advance(self, steps: int) -> None:
        """Reports progress within a task, and abandons a slow one when training is to stop."""
        self.session.observer.advanced(self.folder.identity, steps)
        if self.session.stop.is_set() and time.monotonic() - self.record_began > SLOW_SECONDS:
            raise Stopped

    def record(self, row: Row) -> None:
        """Stores a row.

        Raises:
            UserError: when its score is not a finite number, though the loss was.
        """
        name = self.state.score_name
        if not isfinite(row[name]):
            raise UserError(
                f"{name} of task {row['task']} is {row[name]}: dataset.objective gave no finite score"
            )
        self.rows.append(row)
        self.scores.append(float(row[name]))
        self.session.observer.learnt(self.folder.identity, self._tasks_done(), self.scores[-1])

    def snapshot_if_due(self) -> None:
        """Keeps the network at intervals and after the last task, before the checkpoint that would skip it."""
        done, every = self._tasks_done(), self.session.snapshot_every
        if done == self.run.dataset.tasks or (every and done % every == 0):
            self.folder.write_snapshot(Snapshot(done, self.choice.engine, self.learner.network()))

    def checkpoint_if_due(self) -> None:
        """Writes a checkpoint at intervals, after a slow record, and before training stops."""
        now = time.monotonic()
        slow = now - self.record_began > SLOW_SECONDS
        stopping = self.session.stop.is_set() and len(self.scores) < self.run.dataset.records
        due = slow or stopping or now - self.checkpointed > self.session.checkpoint_seconds
        if due and (network := self.learner.network()).is_finite():
            self.rows.sync()  # first: a checkpoint promises that the rows before it are kept
            self.folder.write_checkpoint(Checkpoint(len(self.scores), self.choice.engine, network))
            self._write_state("running")
            self.checkpointed = time.monotonic()
        if stopping:
            raise Stopped

    def finish(self) -> None:
        """Marks the run as finished, once its rows are on the disk."""
        self.rows.sync()
        self.state.score, self.state.finished = score(self.scores), time.time()
        self._write_state("finished")
        self.folder.remove_checkpoint()

    def leave(self, error: BaseException) -> None:
        """Records why a run ended early. This may fail too, if it is the disk that failed."""
        stopped = isinstance(error, (Stopped, KeyboardInterrupt, SystemExit))
        self.state.reason = None if stopped else reason(error)
        expected = stopped or isinstance(error, EXPECTED)
        try:
            self._write_state("stopped" if stopped else "failed")
            if not expected:
                self.folder.write_traceback("".join(traceback.format_exception(error)))
        except OSError:
            pass

    def _tasks_done(self) -> int:
        return len(self.scores) * self.run.dataset.tasks_per_record

    def _write_state(self, status: str) -> None:
        self.state.status, self.state.tasks_done = status, self._tasks_done()
        self.state.updated = time.time()
        self.state.seconds = self.seconds_before + time.monotonic() - self.began
        self.folder.write_state(self.state)
