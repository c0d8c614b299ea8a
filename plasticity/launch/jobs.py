"""The jobs of a directory of runs: which were submitted, which are alive, and which runs they cover."""

import json
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from plasticity.errors import UserError
from plasticity.machine.files import atomic_write

LIVING = {
    *("PENDING", "CONFIGURING", "POWER_UP_NODE", "RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING"),
    *("COMPLETING", "STAGE_OUT", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
}
"""States of a job that will, or may, still compute something: one that is requeued is COMPLETING first."""


class Submission:
    """One submission's folder in `runs/.jobs/`: `code/`, frozen; `logs/`, with submitit's files; `jobs.json`."""

    def __init__(self, path: Path):
        self.path, self.logs, self.code = path, path / "logs", path / "code"
        self.recorded = path / "jobs.json"

    @classmethod
    def new(cls, runs_dir: Path) -> "Submission":
        """Creates the folder of a submission, named after the time; only for the holder of the claim on submitting.

        Folders of submissions that SLURM refused, or whose launcher was killed, are removed: no job uses them.
        """
        for left in sorted((runs_dir / ".jobs").glob("*/")):
            if not Submission(left).recorded.exists() and not list(left.glob("logs/*_submitted.pkl")):
                shutil.rmtree(left, ignore_errors=True)
        submission = cls(runs_dir / ".jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}")
        submission.logs.mkdir(parents=True)
        return submission

    def record(self, jobs: dict[str, list[str]]) -> None:
        """Stores the identities of the runs of each job, by the job's id."""
        atomic_write(self.recorded, json.dumps(jobs, indent=1))

    def jobs(self) -> dict[str, list[str]]:
        """The identities of the runs of each job, by the job's id."""
        try:
            jobs = json.loads(self.recorded.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return jobs if isinstance(jobs, dict) else {}


def submissions(runs_dir: Path) -> list[Submission]:
    """All that are known, the oldest first."""
    return [Submission(path) for path in sorted((runs_dir / ".jobs").glob("*/"))]


def covered(runs_dir: Path) -> dict[str, str]:
    """The runs that a living job is to compute: identity → job id.

    Raises:
        UserError: when SLURM does not answer.
    """
    jobs = {job: runs for submission in submissions(runs_dir) for job, runs in submission.jobs().items()}
    living = living_jobs(runs_dir) if jobs else set()
    return {run: job for job, runs in jobs.items() if job in living for run in runs}


def living_jobs(runs_dir: Path) -> set[str]:
    """The ids of the queued and running jobs of all who submit runs of a directory; "12_3" for an array's task."""
    users = {str(path.stat().st_uid) for path in (runs_dir / ".jobs").glob("*/")} | {str(os.getuid())}
    chosen = f"--user={','.join(sorted(users))}"
    listing = slurm("squeue", chosen, "--noheader", "--array", "--states=all", "--format=%i|%T")
    pairs = (line.split("|") for line in listing.splitlines())
    return {job for job, state in pairs if state in LIVING}


def max_array_size() -> int:
    """The most tasks that the cluster accepts in one array: its indices run from 0 to MaxArraySize − 1."""
    for line in slurm("scontrol", "show", "config").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "MaxArraySize":
            return max(1, int(value))
    return 1001


def check_commands() -> None:
    """Makes sure that the commands needed for submitting are there.

    Raises:
        UserError: naming the first that is missing.
    """
    for command in ("sbatch", "srun", "squeue", "scontrol"):
        if shutil.which(command) is None:
            raise _missing(command)


def slurm(*command: str) -> str:
    """The output of one of SLURM's commands.

    Raises:
        UserError: with SLURM's own message, when it fails.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise _missing(command[0]) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(f"SLURM did not answer {command[0]} within a minute.") from error
    if done.returncode != 0:
        raise UserError(f"SLURM's {command[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _missing(command: str) -> UserError:
    return UserError(f"hydra/launcher=slurm needs SLURM's commands, but {command} was not found.")
