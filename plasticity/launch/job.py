"""A job on a cluster: computes its runs as the local launcher does, and writes checkpoints when it is stopped."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from submitit.helpers import DelayedSubmission

from plasticity.composition.labels import labels
from plasticity.composition.settings import Settings
from plasticity.engines import Choice, decide
from plasticity.errors import UserError
from plasticity.launch.display import Display
from plasticity.launch.local import Local, finish
from plasticity.launch.summary import states, summary
from plasticity.machine.cores import cores
from plasticity.run import Run

FAILED, TERMINATED = 1, 143
"""Exit codes of a job some of whose runs failed, and of one that was told to stop."""


class Job:
    """What submitit pickles and runs. After a requeue it runs again, and resumes its runs from their checkpoints.

    Args:
        runs: the runs to compute, the longest first.
        settings: folders, engine, tracker; with absolute paths.
        restart: as in `Session`.
    """

    def __init__(self, runs: list[Run], settings: Settings, restart: str | None = None):
        self.runs, self.settings, self.restart = runs, settings, restart
        self.folder = Path.cwd()
        self.local: Local | None = None

    def __call__(self) -> None:
        """Computes the runs. Exits with `FAILED` if one of them failed, once all others are finished."""
        with suppress(OSError):  # on a file system that this node does not share
            os.chdir(self.folder)  # where the launch was, so that users' relative paths mean the same
        display = Display(self.runs, labels(self.runs))
        workers = min(cores(), len(self.runs))
        with self.settings.tracker.tracking(self.settings.runs_dir, self.runs) as tracking:
            self.local = Local(self.settings, workers, display, tracking, self.restart)
            outcome = self.local.compute(self.runs, self._engines())
            finish(tracking, outcome)
        print(summary(self.runs, self.runs, outcome, self.settings), flush=True)
        if outcome.interrupted:
            self._name_unfinished()
            sys.exit(TERMINATED)  # no result, so that the job can be requeued
        known = states(self.runs, outcome, self.settings)
        if not all(state.is_finished for state in known.values()):
            sys.exit(FAILED)  # an exception would end the log with a traceback, after the reasons

    def _engines(self) -> list[Choice]:
        """The engine of each run on this node, which may differ from that on the node of the launch."""
        try:
            return decide(self.settings.engine.name, self.runs)
        except UserError:
            return []  # each run that has none says so itself

    def checkpoint(self) -> DelayedSubmission:
        """Makes every run write its checkpoint; submitit calls it when the job is preempted or out of time."""
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # it may be sent again, which would crash the job
        if self.local is not None:
            self.local.leave()
        self._name_unfinished()
        return DelayedSubmission(Job(self.runs, self.settings, self.restart))

    def _name_unfinished(self) -> None:
        """Logs which runs are resumed only if the job is requeued."""
        known = states(self.runs, self.local.outcome, self.settings) if self.local else {}
        left = [identity for identity, state in known.items() if not state.is_over]
        runs = "1 unfinished run" if len(left) == 1 else f"{len(left)} unfinished runs"
        print(f"Stopping with checkpoints of {runs}: {', '.join(left)}", flush=True)
