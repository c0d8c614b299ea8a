"""Jobs that ended and left something undone: which runs, and what their logs say."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from plasticity.composition.settings import Settings
from plasticity.launch import lacks
from plasticity.launch.jobs import submissions
from plasticity.run import Run
from plasticity.store import RunFolder, RunState
from plasticity.store.claim import holder

SUCCESS = "Job completed successfully"
"""What submitit writes into the log of a job that returned."""

OF_EVERY_JOB = "submitit INFO"
"""How the lines begin that submitit writes into the log of a job whatever becomes of it."""

TAIL_LINES, TAIL_BYTES = 5, 4096
MOST_KINDS, MOST_NAMED = 3, 3


@dataclass(frozen=True)
class Recorded:
    """A job that was submitted.

    Attributes:
        identity: its id, "12_3" for an array's task.
        logs: the folder with its log.
    """

    identity: str
    logs: Path

    @property
    def log(self) -> Path:
        """What it, SLURM and its set-up lines wrote."""
        return self.logs / f"{self.identity}_0_log.out"

    @property
    def submitted(self) -> float:
        """When it was submitted, in seconds since 1970; 0 if that is no longer known."""
        try:
            return (self.logs / f"{self.identity.partition('_')[0]}_submission.sh").stat().st_mtime
        except OSError:
            return 0.0

    def tail(self) -> str:
        """The last lines of its log; empty if there is none."""
        try:
            with self.log.open("rb") as file:
                file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        shown = ["".join(filter(str.isprintable, line)).rstrip() for line in lines]
        return "\n".join([line for line in shown if line][-TAIL_LINES:])


def ended(runs: Iterable[Run], runs_dir: Path, living: Iterable[str]) -> list[str]:
    """Says which jobs ended without computing their runs or saying why not.

    Args:
        runs: those that are still to be computed, or were when the jobs were submitted.
        runs_dir: the directory of runs.
        living: ids of the jobs that are queued or running.

    Returns:
        a paragraph for each kind of end, with the tail of a log and its path
    """
    last = _last_jobs(runs_dir)
    alive = set(living)
    kinds: dict[tuple[bool, str], list[Recorded]] = {}
    for job, its_runs in _by_job(runs, last).items():
        left = [] if job.identity in alive else [_left(RunFolder.of(runs_dir, run), job) for run in its_runs]
        if any(left) and SUCCESS not in job.tail():  # else its runs were removed later
            kind = set(left) == {"untouched"}, re.sub(r"\d+", "0", job.tail())
            kinds.setdefault(kind, []).append(job)
    said = [_sentence(jobs, untouched) for (untouched, _), jobs in kinds.items()]
    more = sum(map(len, list(kinds.values())[MOST_KINDS:]))
    rest = [f"{more} more jobs ended in other ways. Logs: {runs_dir / '.jobs'}"] if more else []
    return said[:MOST_KINDS] + rest


def undone(runs: Iterable[Run], restart: str | None, settings: Settings) -> dict[str, RunState]:
    """The runs that stay finished as they were, since their jobs neither measured them nor started them over.

    Args:
        runs: those that were to be measured or, if the launch starts its runs over, those in its own jobs; none of
            their jobs is alive.
        restart: as in `Session`.
        settings: what was asked for.

    Returns:
        for each, by identity, that this has failed
    """
    last, found = _last_jobs(settings.runs), {}
    for run in runs:
        folder = RunFolder.of(settings.runs, run)
        state = folder.state(run)
        if not state.is_finished or run.identity not in last:
            continue
        lacking = lacks.lack(folder, run, state, settings.diagnostics, settings.snapshots.every)
        if state.starts_over(restart) if restart else lacking:
            what = "started over" if restart else "measured"
            why = f"it was not {what}; the log of its job is {last[run.identity].log}"
            found[run.identity] = replace(state, status="failed", reason=why)
    return found


def _last_jobs(runs_dir: Path) -> dict[str, Recorded]:
    """The job that was submitted last for each run, by the run's identity."""
    last: dict[str, Recorded] = {}
    for submission in submissions(runs_dir):
        for its_id, identities in submission.jobs().items():
            last |= dict.fromkeys(identities, Recorded(its_id, submission.logs))
    return last


def _by_job(runs: Iterable[Run], last: Mapping[str, Recorded]) -> dict[Recorded, list[Run]]:
    found: dict[Recorded, list[Run]] = {}
    for run in runs:
        if run.identity in last:
            found.setdefault(last[run.identity], []).append(run)
    return found


def _left(folder: RunFolder, job: Recorded) -> str | None:
    """How a job that is over left a run: "untouched", "broken off", or None if the run's state says it all."""
    state = folder.stored_state()
    if (state.updated or 0.0) < job.submitted:
        return "untouched"
    if state.status != "running" or holder(folder.path / "claim"):  # held: another launch is computing it
        return None
    return "broken off"


def _sentence(jobs: list[Recorded], untouched: bool) -> str:
    named = ", ".join(job.identity for job in jobs[:MOST_NAMED]) + ", …" * (len(jobs) > MOST_NAMED)
    who = f"Job {named}" if len(jobs) == 1 else f"{len(jobs)} jobs ({named})"
    before = "before anything was computed" if untouched else "without finishing or stopping its runs"
    if not (tail := jobs[0].tail()):
        return (
            f"{who} ended {before}, and left no log: cancelled while queued, or run on a node that cannot write "
            f"to {jobs[0].logs}"
        )
    shown = [f"    {line}" for line in tail.splitlines() if not line.startswith(OF_EVERY_JOB)]
    if not shown:
        return f"{who} ended {before}, and its log does not say why; sacct --jobs={jobs[0].identity} may."
    return "\n".join([f"{who} ended {before}:", *shown, f"Log: {jobs[0].log}"])
