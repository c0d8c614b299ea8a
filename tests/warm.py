"""Commands in processes that need not import or load anything: each is forked from one that has done so.

A fork is a process of its own, with its own arguments, environment, folder, output and exit code, and so are its
workers, which it forks in turn. Only their start differs from that of a fresh interpreter, which takes longer than
a small sweep. The start itself, what may happen meanwhile, and jobs on a cluster are tested in processes started
like a user's: by `test_unwatched`, `test_storm` and `test_slurm`.
"""

import contextlib
import gc
import importlib
import json
import multiprocessing.context
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from plasticity.datasets.images import images_and_labels
from plasticity.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 300.0
"""The longest that a command may take, unless said otherwise."""

ALWAYS = ("plasticity.launch.command", "plasticity.launch.sweep", "plasticity.launch.local")


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

    Args:
        modules: what else it imports.
    """

    def __init__(self, *modules: str):
        self.socket, theirs = socket.socketpair()
        self.answers = self.socket.makefile("rb")
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        arguments = [sys.executable, __file__, str(theirs.fileno()), *ALWAYS, *modules]
        self.process = subprocess.Popen(arguments, env=environment, pass_fds=[theirs.fileno()])
        theirs.close()

    def start(self, arguments: list[str], folder: Path, environment: dict[str, str]) -> Fork:
        """Starts `launch.py` in a folder."""
        request = json.dumps([arguments, str(folder), environment]).encode()
        ours, theirs = zip(*(os.pipe() for _ in range(3)), strict=True)
        socket.send_fds(self.socket, [len(request).to_bytes(8, "big")], theirs)
        self.socket.sendall(request)
        for descriptor in theirs:
            os.close(descriptor)
        answer = self.answers.readline()
        assert answer, "the process that commands are forked from has died"
        return Fork(int(answer), *ours)

    def end(self) -> None:
        """Ends the process."""
        self.answers.close()
        self.socket.close()
        self.process.wait(timeout=SECONDS)


def _serve(connection: socket.socket) -> tuple[list[str], int, int] | None:
    """Forks a process for each request. Returns its arguments and output in the fork, and None at the end."""
    running: dict[int, tuple[int, int]] = {}  # by what tells its end: a process, and where its exit code goes
    while True:
        for ready in select.select([connection, *running], [], [])[0]:
            if ready is not connection:
                pid, ended = running.pop(ready)
                os.close(ready)
                with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
                    os.write(ended, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(ended)
                continue
            head, descriptors, *_ = socket.recv_fds(connection, 8, 3)
            if not head:
                return None
            *streams, ended = descriptors
            request = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
            arguments, folder, environment = json.loads(request)
            pid = os.fork()
            if pid == 0:
                os.setsid()
                connection.close()
                os.chdir(folder)
                os.environ.clear()
                os.environ.update(environment)
                return arguments, *streams
            for descriptor in streams:
                os.close(descriptor)
            running[os.pidfd_open(pid)] = pid, ended
            connection.sendall(b"%d\n" % pid)


class Forking:
    """Stands in for `multiprocessing` where processes start: they are forked, whatever method is asked for."""

    get_start_method = staticmethod(multiprocessing.get_start_method)

    @staticmethod
    def get_context(method: str) -> multiprocessing.context.BaseContext:
        return multiprocessing.get_context("fork")


if __name__ == "__main__":
    for module in sys.argv[2:]:
        importlib.import_module(module)
    with contextlib.suppress(UserError):
        images_and_labels("mnist", "unit", None)
    sys.modules["plasticity.machine.processes"].multiprocessing = Forking  # type: ignore[attr-defined]
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
