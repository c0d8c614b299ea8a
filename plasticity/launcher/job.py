"""A job on a cluster: computes its runs as the local launcher does, and leaves with checkpoints."""

import signal
import sys

from submitit.helpers import DelayedSubmission

from plasticity.config import RunConfig
from plasticity.cores import cores
from plasticity.launcher.labels import labels
from plasticity.launcher.local import Local
from plasticity.launcher.summary import states, summary
from plasticity.progress import Display
from plasticity.settings import Settings

TERMINATED = 143
"""Exit code of a job that was told to leave."""


class Job:
    """What submitit pickles and runs. After a requeue it runs again, and goes on from its runs' checkpoints.

    Args:
        configs: the runs, the longest first.
        settings: folders, engine, tracker; with absolute paths.
        engine: the engine's resolved name.
        anew_before: runs that were started before this time start anew.
    """

    def __init__(self, configs: list[RunConfig], settings: Settings, engine: str, anew_before: float = 0.0):
        self.configs, self.settings, self.engine = configs, settings, engine
        self.anew_before = anew_before
        self.local: Local | None = None

    def __call__(self) -> None:
        """Computes the runs.

        Raises:
            RuntimeError: naming the runs that failed, when all others are finished.
        """
        display = Display(self.configs, labels(self.configs))
        workers = min(cores(), len(self.configs))
        self.local = Local(self.settings, self.engine, workers, display, self.anew_before)
        outcome = self.local.compute(self.configs)
        print(summary(self.configs, outcome, self.settings), flush=True)
        if outcome.interrupted:
            self._name_unfinished()
            sys.exit(TERMINATED)  # no result: whoever ended the job may requeue it
        known = states(self.configs, outcome, self.settings)
        if failed := [identity for identity, state in known.items() if state.status != "finished"]:
            raise RuntimeError(f"not finished: {', '.join(failed)}")

    def checkpoint(self) -> DelayedSubmission:
        """Has every run write its checkpoint; submitit calls it when the job is preempted or out of time."""
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # it may be sent again, which would crash the job
        if self.local is not None:
            self.local.leave()
        self._name_unfinished()
        return DelayedSubmission(Job(self.configs, self.settings, self.engine, self.anew_before))

    def _name_unfinished(self) -> None:
        """Leaves in the log what goes on only if the job is requeued."""
        known = states(self.configs, self.local.outcome, self.settings) if self.local else {}
        left = [identity for identity, state in known.items() if state.status not in ("finished", "failed")]
        print(f"Leaving with checkpoints of {len(left)} unfinished runs: {', '.join(left)}", flush=True)
