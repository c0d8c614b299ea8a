"""Modules in processes of their own, forked from one that has imported what they need."""

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Sequence

from forked_program import enter


class ForkedModule:
    """Stands in for `subprocess.Popen` of `[sys.executable, "-m", module, …]`, which talks through pipes."""

    def __init__(self, command: Sequence[str], env: dict[str, str], **options: object):
        (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._run(command, env, theirs_in, theirs_out)
            finally:
                os._exit(1)  # whatever happens, this is no second copy of what started it
        os.close(theirs_in)
        os.close(theirs_out)
        self.stdin, self.stdout = os.fdopen(ours_in, "wb"), os.fdopen(ours_out, "rb")

    @staticmethod
    def _run(command: Sequence[str], env: dict[str, str], stdin: int, stdout: int) -> None:
        os.setsid()
        with open(os.devnull, "w") as nowhere:
            for descriptor, standard in ((stdin, 0), (stdout, 1), (nowhere.fileno(), 2)):
                os.dup2(descriptor, standard)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        enter(env)
        sys.argv[1:] = command[3:]
        sys.modules.pop(command[2])
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        return os.waitpid(self.pid, 0)[1]


class ForkingModules:
    """Stands in for `subprocess` where such a module starts."""

    PIPE, DEVNULL, Popen = subprocess.PIPE, subprocess.DEVNULL, ForkedModule
