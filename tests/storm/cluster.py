"""A private SLURM of one node, and what happens to jobs on a cluster."""

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from .launches import ROOT, is_worker, name, send

LAUNCHER = (
    *("hydra/launcher=slurm", "hydra.launcher.cpus_per_job=2", "hydra.launcher.minutes=30"),
    "launch.runs_per_job=4",
)
"""Arguments that submit a sweep instead of computing it here."""


class Cluster:
    """A cluster to which this process, and whatever it starts, submits."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="storm-slurm-"))
        self.folder.chmod(0o755)  # munge insists on it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # jobs inherit it
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1] // 1000 * 1000 + 17
        subprocess.run(
            [ROOT / "tests/slurm/start.sh", self.folder], check=True, timeout=120,
            env=os.environ | {"SLURM_LAB_PORT": str(port), "SLURM_LAB_CPUS": "2"},
        )  # fmt: skip
        os.environ["SLURM_CONF"] = f"{self.folder}/etc/slurm.conf"
        os.environ["PATH"] = f"{self.folder}/bin:{os.environ['PATH']}:/usr/sbin"

    def stop(self) -> None:
        """Stops it."""
        subprocess.run([ROOT / "tests/slurm/stop.sh", self.folder], timeout=120)
        shutil.rmtree(self.folder, ignore_errors=True)


def jobs() -> list[str]:
    """The jobs that are queued or running."""
    return _slurm("squeue", "--noheader", "--array", "--format=%i").split()


def workers() -> list[int]:
    """The processes that compute runs in jobs."""
    conf = f"SLURM_CONF={os.environ.get('SLURM_CONF')}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            environment = path.read_bytes().split(b"\0")
            in_a_job = any(entry.startswith(b"SLURM_JOB_ID=") for entry in environment)
            if in_a_job and conf in environment and is_worker(int(path.parent.name)):
                found.append(int(path.parent.name))
    return found


def strike(sent: int, choices: random.Random) -> str | None:
    """Does to a job, or to one of its workers, one of the things that happen on a cluster.

    Args:
        sent: the signal, where one is sent.
        choices: decides the rest.

    Returns:
        what was done; None if there was nothing to do it to
    """
    queued, computing = jobs(), workers()
    if not queued:
        return None
    job = choices.choice(queued)
    how = choices.choice(["requeue", "cancel", "warn", "preempt", "worker", "worker"])
    if how == "worker":
        if not computing or not send(choices.choice(computing), sent):
            return None
        return f"{name(sent)} to a worker of a job"
    if how == "preempt":
        _slurm("sbatch", "--partition=high", "--cpus-per-task=2", "--output=/dev/null", "--wrap=sleep 0.5")
    elif how == "requeue":
        _slurm("scontrol", "requeue", job)
    elif how == "cancel":
        _slurm("scancel", job)
    else:
        _slurm("scancel", f"--signal={signal.SIGUSR2.name.removeprefix('SIG')}", job)
    return f"{how} a job"


def hurry() -> None:
    """Makes requeued jobs start at once, without SLURM's usual wait."""
    for job in jobs():
        _slurm("scontrol", "update", f"JobId={job}", "StartTime=now")


def clear(seconds: float) -> bool:
    """Cancels every job, and waits until none is left."""
    deadline = time.monotonic() + seconds
    while jobs() or workers():
        _slurm("scancel", "--user", "root")
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)
    return True


def _slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
