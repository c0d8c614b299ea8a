"""Launches of sweeps that share runs, as processes that can be struck."""

import os
import random
import re
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SWEEPS = ("seed=range(0,3)", "seed=range(1,5)")
"""Two sweeps with runs in common."""

WHOLE = "seed=range(0,5)"
"""The runs of both of them."""

COMMON = (
    *("model.width=20", "model.depth=2", "replacement=all,layer_1", "checkpoint_seconds=0.1"),
    "diagnostics=dead_units",
)
LENGTHS = {
    "native": ("dataset.tasks=80", "dataset.examples_per_task=500"),
    "reference": ("dataset.tasks=12", "dataset.examples_per_task=40"),
}
"""Settings with which a run takes some tenths of a second, by engine."""

ORPHANED = re.compile(
    r'Traceback \(most recent call last\):\n  File "<string>", line 1, in <module>\n'
    r"(  .*\n)*    preparation_data = .*\n(  .*\n)*EOFError: Ran out of input\n"
)
"""What Python itself prints in a worker whose launcher is killed before it has told the worker what to do."""

OUTPUTS = ("kept", "kept", "full", "closed", "left")
"""Where a launch's output goes: a file that is kept, a full disk, a closed stream, a pipe whose reader leaves."""


def arguments(sweep: str, engine: str, runs_dir: Path) -> list[str]:
    """The command that launches a sweep."""
    where = [f"runs_dir={runs_dir}", f"engine={engine}"]
    return [sys.executable, "launch.py", "-m", *COMMON, *LENGTHS[engine], sweep, *where]


class Launch:
    """A launch in a session of its own, where its processes are found even after its launcher has died.

    Args:
        command: what to run.
        log: the file for its output, if that is kept.
        output: one of `OUTPUTS`.
        file_bytes: how large a file it may write; None for no limit.
    """

    def __init__(self, command: list[str], log: Path, output: str = "kept", file_bytes: int | None = None):
        self.log, self.output, self.file_bytes = log, output, file_bytes
        path = "/dev/full" if output == "full" else log
        with open(path, "ab") as stream:
            sink = subprocess.PIPE if output == "left" else stream
            self.process = subprocess.Popen(
                command, cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink,
                preexec_fn=self._prepare,
            )  # fmt: skip
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _prepare(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.file_bytes, self.file_bytes))
        if self.output == "closed":
            os.closerange(0, 3)

    @property
    def alive(self) -> bool:
        """Whether any of its processes is alive."""
        return self.process.poll() is None or bool(self.members())

    def said(self) -> str:
        """What it printed, if that was kept."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return ORPHANED.sub("", text) if (self.process.poll() or 0) < 0 else text

    def members(self) -> list[int]:
        """Its processes."""
        return [pid for pid, session in _processes() if session == self.process.pid]

    def workers(self) -> list[int]:
        """Those of its processes that compute runs."""
        return [pid for pid in self.members() if is_worker(pid)]

    def strike(self, target: str, sent: int, choices: random.Random) -> str | None:
        """Sends a signal to the whole launch ("group"), its "launcher" or a "worker".

        Returns:
            what was done; None if there was nothing to do it to
        """
        pids = {"group": self.members(), "launcher": [self.process.pid], "worker": self.workers()}[target]
        if target == "launcher" and self.process.poll() is not None:
            return None
        if target == "worker" and pids:
            pids = [choices.choice(pids)]
        struck = [pid for pid in pids if send(pid, sent)]
        return f"{name(sent)} to {target}" if struck else None

    def end(self) -> None:
        """Ends what is left of it."""
        for pid in self.members():
            send(pid, signal.SIGCONT)
            send(pid, signal.SIGKILL)
        self.process.wait()


def send(pid: int, sent: int) -> bool:
    """Sends a signal to a process, if it is there."""
    with suppress(ProcessLookupError):
        os.kill(pid, sent)
        return True
    return False


def name(sent: int) -> str:
    """The name of a signal."""
    with suppress(ValueError):
        return signal.Signals(sent).name
    return "a real-time signal"


def is_worker(pid: int) -> bool:
    """Whether a process is a worker of some launch."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _processes() -> list[tuple[int, int]]:
    """Every living process and its session."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if state not in "ZX":
                    found.append((int(folder.name), int(session)))
    return found
