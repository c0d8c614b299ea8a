"""Commands in processes that need not import or load anything: each is forked from one that has done so.

A fork is a process of its own, with its own arguments, environment, folder, output and exit code, and so are its
workers, which it forks in turn. Only its start and its last moment differ from those of a fresh interpreter, which
takes longer for them than for a small sweep; `fork_server.py` says how. The start itself, what may happen
meanwhile, and jobs on a cluster are tested in processes started like a user's: by `test_unwatched`, `test_storm`
and `test_slurm`.
"""

import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER = Path(__file__).with_name("fork_server.py")
SECONDS = 300.0
"""The longest that a command may take, unless said otherwise."""


class Fork:
    """A process that another one forked, with those parts of `subprocess.Popen` that the tests need.

    Args:
        pid: of the process, which leads a group of its own.
        out: file descriptor of the end of a pipe from which its output comes.
        err: likewise.
        ended: likewise; its exit code comes from there.
    """

    def __init__(self, pid: int, out: int, err: int, ended: int):
        self.pid, self.returncode = pid, None
        self.stdout, self.stderr, self.ended = os.fdopen(out), os.fdopen(err), os.fdopen(ended)

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(timeout=0)
        return self.returncode

    def wait(self, timeout: float = SECONDS) -> int:
        """Its exit code, once it has one."""
        if self.returncode is None:
            if not select.select([self.ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            self.returncode = int(self.ended.readline())
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal to it."""
        os.kill(self.pid, number)

    def communicate(self, timeout: float = SECONDS) -> tuple[str, str]:
        """Its output and errors, in full; a process that takes longer is killed."""
        with ThreadPoolExecutor(2) as readers:
            texts = [readers.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                raise
            out, err = (text.result() for text in texts)
        return out, err


class Warm:
    """A process that has imported what `launch.py` needs, and is forked for every command.

    The processes of a test run share it, and it ends with the last of them.

    Args:
        modules: what else it imports.
    """

    def __init__(self, *modules: str):
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
        name = hashlib.sha256(" ".join([run, *modules]).encode()).hexdigest()
        self.socket = self._connected(f"\0{name}", modules)  # an address that is in no folder
        self.answers = self.socket.makefile("rb")

    @staticmethod
    def _connected(address: str, modules: Sequence[str]) -> socket.socket:
        while True:
            connection = socket.socket(socket.AF_UNIX)
            with contextlib.suppress(ConnectionRefusedError):
                connection.connect(address)
                return connection
            connection.close()
            with socket.socket(socket.AF_UNIX) as listener, contextlib.suppress(OSError):
                listener.bind(address)  # as only one process can
                listener.listen()
                environment = os.environ | {"PYTHONPATH": str(ROOT), "WANDB_ERROR_REPORTING": "false"}
                arguments = [sys.executable, str(SERVER), str(listener.fileno()), *modules]
                subprocess.Popen(arguments, env=environment, pass_fds=[listener.fileno()])

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        module: str | None = None,
    ) -> Fork:
        """Starts `launch.py`, a module of a package, or a file of Python code, in a folder."""
        request = json.dumps([module, [*arguments], str(folder), dict(environment)]).encode()
        ours, theirs = zip(*(os.pipe() for _ in range(3)), strict=True)
        socket.send_fds(self.socket, [len(request).to_bytes(8, "big")], theirs)
        self.socket.sendall(request)
        for descriptor in theirs:
            os.close(descriptor)
        answer = self.answers.readline()
        assert answer, "the process that commands are forked from has died"
        return Fork(int(answer), *ours)
