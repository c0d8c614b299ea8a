"""The jobs of a directory of runs: which were submitted, which are alive, and which runs they cover."""

import json
import os
import shutil
import subprocess
import time
import uuid
from pathlib import Path

from plasticity.errors import UserError
from plasticity.files import atomic_write

LIVING = {
    *("PENDING", "CONFIGURING", "POWER_UP_NODE", "RUNNING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING"),
    *("COMPLETING", "STAGE_OUT", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
}
"""States of a job that is still to compute something, or may be: one that is requeued is COMPLETING first."""


class Submission:
    """The folder of one submission: `code/`, frozen; `logs/`, with submitit's files; `jobs.json`.

    It is in `runs/.jobs/`.
    """

    def __init__(self, path: Path):
        self.path, self.logs, self.code = path, path / "logs", path / "code"
        self.recorded = path / "jobs.json"

    @classmethod
    def new(cls, runs_dir: Path) -> "Submission":
        """A folder for another submission, named by the time; only for the holder of the claim on submitting.

        Folders of submissions that SLURM refused, or whose launcher was killed, are removed: no job uses them.
        """
        for left in sorted((runs_dir / ".jobs").glob("*/")):
            if not Submission(left).recorded.exists() and not list(left.glob("logs/*_submitted.pkl")):
                shutil.rmtree(left, ignore_errors=True)
        submission = cls(runs_dir / ".jobs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:4]}")
        submission.logs.mkdir(parents=True)
        return submission

    def record(self, jobs: dict[str, list[str]]) -> None:
        """Notes the identities of the runs of each job, by the job's id."""
        atomic_write(self.recorded, json.dumps(jobs, indent=1))

    def jobs(self) -> dict[str, list[str]]:
        """The identities of the runs of each job, by the job's id."""
        try:
            jobs = json.loads(self.recorded.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return jobs if isinstance(jobs, dict) else {}


def covered(runs_dir: Path) -> dict[str, str]:
    """The runs that a living job is to compute: identity → job id.

    Raises:
        UserError: when SLURM does not answer.
    """
    recorded = [Submission(path).jobs() for path in sorted((runs_dir / ".jobs").glob("*/"))]
    jobs = {job: runs for submission in recorded for job, runs in submission.items()}
    living = living_jobs(runs_dir) if jobs else set()
    return {run: job for job, runs in jobs.items() if job in living for run in runs}


def living_jobs(runs_dir: Path) -> set[str]:
    """The ids of the jobs that are queued or running, of all who submit runs of a directory; "12_3" for a task."""
    users = {str(path.stat().st_uid) for path in (runs_dir / ".jobs").glob("*/")} | {str(os.getuid())}
    chosen = f"--user={','.join(sorted(users))}"
    listing = slurm("squeue", chosen, "--noheader", "--array", "--states=all", "--format=%i|%T")
    pairs = (line.split("|") for line in listing.splitlines())
    return {job for job, state in pairs if state in LIVING}


def max_array_size() -> int:
    """The most tasks that the cluster takes in one array: its indices run from 0 to MaxArraySize − 1."""
    for line in slurm("scontrol", "show", "config").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "MaxArraySize":
            return max(1, int(value))
    return 1001


def check_commands() -> None:
    """Makes sure that there are the commands that submitting takes.

    Raises:
        UserError: naming the first that is missing.
    """
    for command in ("sbatch", "srun", "squeue", "scontrol"):
        if shutil.which(command) is None:
            raise _missing(command)


def slurm(*command: str) -> str:
    """What one of SLURM's commands prints.

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
        raise UserError(f"SLURM refused {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _missing(command: str) -> UserError:
    return UserError(f"hydra/launcher=slurm needs SLURM's commands, but {command} was not found.")
