"""The process in which W&B's client runs, forked from one that has imported the client."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from conftest import needed, warm

PROGRAM = """
import os, runpy, sys
os.dup2(os.open(sys.argv.pop(1), os.O_RDONLY), 0)
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
runpy.run_module("plasticity.track.sender", run_name="__main__", alter_sys=True)
"""
"""Runs the module with a named pipe as its input."""


class ForkedSender:
    """Stands in for `subprocess.Popen` of `[sys.executable, "-m", "plasticity.track.sender", folder]`."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], **options: object):
        with tempfile.TemporaryDirectory() as folder:
            program, requests = Path(folder) / "program.py", Path(folder) / "requests"
            program.write_text(PROGRAM)
            os.mkfifo(requests)
            arguments = [str(requests), *command[3:]]
            self._fork = warm(*needed("wandb")).start(arguments, Path.cwd(), env, str(program))
            self.stdin = open(requests, "wb")  # which waits until the process has opened it, too
        self.pid, self.stdout, self.wait = self._fork.pid, self._fork.stdout.buffer, self._fork.wait

    def kill(self) -> None:
        if self._fork.poll() is None:
            self._fork.send_signal(signal.SIGKILL)


class ForkingSenders:
    """Stands in for `subprocess` where such a process starts."""

    PIPE, DEVNULL, Popen = subprocess.PIPE, subprocess.DEVNULL, ForkedSender
