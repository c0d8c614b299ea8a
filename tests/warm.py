"""Commands in processes that need not import or load anything: each is forked from one that has done so.

A fork is a process of its own, with its own arguments, environment, folder, output and end, and so are its workers,
which it forks in turn. Only their start is not that of a fresh interpreter, which takes longer than a small sweep.
What starts, stops or dies, on a cluster too, is tested in processes that are started as a user's are.
"""

import contextlib
import gc
import importlib
import json
import multiprocessing.context
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from plasticity.datasets.images import images_and_labels
from plasticity.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 300.0
"""Longest time that a command may take."""

ALWAYS = ("plasticity.launch.command", "plasticity.launch.sweep", "plasticity.launch.local")


class Warm:
    """A process that has imported what `launch.py` needs, and is forked for every command.

    Args:
        modules: what else it imports.
    """

    def __init__(self, *modules: str):
        self.socket, theirs = socket.socketpair()
        self.socket.settimeout(SECONDS)
        self.answers = self.socket.makefile("rb")
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        arguments = [sys.executable, __file__, str(theirs.fileno()), *ALWAYS, *modules]
        self.process = subprocess.Popen(arguments, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()

    def __call__(
        self, arguments: list[str], folder: Path, environment: dict[str, str]
    ) -> subprocess.CompletedProcess:
        """Runs `launch.py` in a folder, to its end."""
        request = json.dumps([arguments, str(folder), environment]).encode()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            socket.send_fds(self.socket, [len(request).to_bytes(8, "big")], [out.fileno(), err.fileno()])
            self.socket.sendall(request)
            pid, code = self._number(), None
            try:
                code = self._number()
            finally:
                if code is None:
                    os.killpg(pid, signal.SIGKILL)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, code, out.read().decode(), err.read().decode())

    def _number(self) -> int:
        line = self.answers.readline()
        assert line, "the process that commands are forked from has died"
        return int(line)

    def end(self) -> None:
        """Ends the process."""
        self.answers.close()
        self.socket.close()
        self.process.wait(timeout=SECONDS)


def _serve(connection: socket.socket) -> tuple[list[str], int, int] | None:
    """Forks a process for each request. In the fork, returns its arguments and its output; else None at the end."""
    while True:
        head, descriptors, *_ = socket.recv_fds(connection, 8, 2)
        if not head:
            return None
        request = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        arguments, folder, environment = json.loads(request)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            connection.close()
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(environment)
            return arguments, *descriptors
        for descriptor in descriptors:
            os.close(descriptor)
        connection.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


class Forking:
    """In place of `multiprocessing`, for the local launcher: workers are forked, whatever they are asked to be."""

    get_start_method = staticmethod(multiprocessing.get_start_method)

    @staticmethod
    def get_context(method: str) -> multiprocessing.context.BaseContext:
        return multiprocessing.get_context("fork")


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    with contextlib.suppress(UserError):
        images_and_labels("mnist", "unit", None)
    sys.modules["plasticity.launch.local"].multiprocessing = Forking  # type: ignore[attr-defined]
    gc.collect()
    gc.freeze()  # what is imported need not be looked at again in every fork
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    command = _serve(socket.socket(fileno=int(sys.argv[1])))
    if command is not None:  # in the fork, which ends as any interpreter does
        sys.argv[1:], out, err = command
        for descriptor, standard in ((out, 1), (err, 2)):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        sys.argv[0], sys.path[0] = str(ROOT / "launch.py"), str(ROOT)
        runpy.run_path(sys.argv[0], run_name="__main__")
