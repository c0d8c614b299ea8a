"""Commands in processes that need not import or load anything: each is forked from one that has done so.

A fork is a process of its own, with its own arguments, environment, folder, output and exit code, and so are its
workers, which it forks in turn. Only its start and its last moment differ from those of a fresh interpreter, which
takes longer for them than for a small sweep: modules are there, a config has been composed and the data set been
read, Hydra looks for its mode only where it may be set, and memory is not tidied up before it is given back. The
start itself, what may happen meanwhile, and jobs on a cluster are tested in processes started like a user's: by
`test_unwatched`, `test_storm` and `test_slurm`.
"""

import argparse
import atexit
import contextlib
import dataclasses
import gc
import hashlib
import importlib.util
import json
import multiprocessing.context
import os
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path

from hydra._internal.hydra import Hydra

import plasticity
from plasticity.datasets import images
from plasticity.errors import UserError
from plasticity.machine import folders

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 300.0
"""The longest that a command may take, unless said otherwise."""

ALWAYS = (
    "plasticity.launch.command",
    "plasticity.launch.sweep",
    "plasticity.launch.local",
    "plasticity.engines.native",
    "plasticity.track.sender",
    *("plasticity.launch.start", "plasticity.track.telling", "hydra._internal.logging_config"),
    *("numpy.ma", "numpy.random", "rich.progress", "rich.table", "safetensors.numpy"),
)
"""What every command imports, or every run."""


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
                arguments = [sys.executable, __file__, str(listener.fileno()), *ALWAYS, *modules]
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


@dataclasses.dataclass(frozen=True)
class Program:
    """What a fork is to run: `launch.py`, a module or another file; its arguments; where its output goes."""

    module: str | None
    arguments: list[str]
    out: int
    err: int

    def run(self) -> None:
        """Runs it as an interpreter would that had started with it."""
        for descriptor, standard in ((self.out, 1), (self.err, 2)):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        sys.argv[1:] = self.arguments
        sys.path[0] = str(Path.cwd() if self.module else ROOT)
        if given := os.environ.get("PYTHONPATH"):
            sys.path[1:1] = given.split(os.pathsep)
            with contextlib.suppress(ImportError):
                importlib.import_module("sitecustomize")
        if self.module and self.module.endswith(".py"):
            sys.argv[0] = self.module
            runpy.run_path(self.module, run_name="__main__")
        elif self.module:
            sys.modules.pop(self.module, None)
            try:
                importlib.util.find_spec(self.module)
            except ImportError as error:  # which `python -m` reports in a sentence, and `runpy` does not
                sys.exit(f"Error while finding module specification for {self.module!r} ({error})")
            runpy.run_module(self.module, run_name="__main__", alter_sys=True)
        else:
            sys.argv[0] = str(ROOT / "launch.py")
            runpy.run_path(sys.argv[0], run_name="__main__")


class Server:
    """Forks a process for each request.

    Args:
        listener: from which the connections come that requests come through.
    """

    def __init__(self, listener: socket.socket):
        self.listener = listener
        self.connections: set[socket.socket] = set()
        self.running: dict[int, tuple[int, int]] = {}  # by pidfd: a process, and where its exit code goes

    def serve(self) -> Program | None:
        """Returns a program in the fork that is to run it, and None once there is no connection any more."""
        patience: float | None = SECONDS
        while ready := select.select([self.listener, *self.connections, *self.running], [], [], patience)[0]:
            for source in ready:
                if source is self.listener:
                    self.connections.add(self.listener.accept()[0])
                elif source in self.running:
                    self._tell(source)
                elif program := self._answer(source):
                    return program
            patience = None if self.connections else 0
        return None

    def _tell(self, ended: int) -> None:
        pid, told = self.running.pop(ended)
        os.close(ended)
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(told, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os.close(told)

    def _answer(self, connection: socket.socket) -> Program | None:
        head, descriptors, *_ = socket.recv_fds(connection, 8, 3)
        if not head:
            self.connections.remove(connection)
            connection.close()
            return None
        *streams, told = descriptors
        request = connection.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        module, arguments, folder, environment = json.loads(request)
        pid = os.fork()
        if pid == 0:
            os.setsid()
            for inherited in (self.listener, *self.connections):
                inherited.close()
            os.chdir(folder)
            _enter(environment)
            return Program(module, arguments, *streams)
        for descriptor in streams:
            os.close(descriptor)
        self.running[os.pidfd_open(pid)] = pid, told
        connection.sendall(b"%d\n" % pid)
        return None


def _enter(environment: dict[str, str]) -> None:
    """Makes an environment that of this process."""
    usual = folders.data(None)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None
    if folders.data(None) != usual:
        for known in (images.labelled, images.images_and_labels):
            known.cache_clear()


def _leave(code: object) -> None:
    """Ends this process as an interpreter does that was told to exit, but leaves the memory to the system."""
    if not (code is None or isinstance(code, int)):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        code = 120  # as Python has it
    os._exit((code or 0) & 0xFF)


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
        _enter(env)
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


class Forking:
    """Stands in for `multiprocessing` where processes start: they are forked, whatever method is asked for."""

    get_start_method = staticmethod(multiprocessing.get_start_method)

    @staticmethod
    def get_context(method: str) -> multiprocessing.context.BaseContext:
        return multiprocessing.get_context("fork")


MAY_SET_A_MODE = re.compile(r"experiment|hydra\.(mode|searchpath)|--?c(onfig-)?[np]")
"""Arguments that set `hydra.mode`, or choose files that may: of ours, only experiments do."""


def _may_set_a_mode(arguments: Sequence[str]) -> bool:
    """Whether arguments may set `hydra.mode`, or files of a further directory of configs."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-dir", "-cd", type=Path)
    known, _ = parser.parse_known_args(arguments)
    files = known.config_dir.rglob("*.yaml") if known.config_dir else ()
    return any(map(MAY_SET_A_MODE.search, arguments)) or any("hydra" in file.read_text() for file in files)


def _unless_absent(mode: Callable[..., object]) -> Callable[..., object]:
    """How Hydra finds `hydra.mode`: it composes the config once more, ignoring errors; only where it may be set."""

    def get_mode(hydra: Hydra, config_name: str | None, overrides: list[str]) -> object:
        asked = _may_set_a_mode([*sys.argv[1:], *overrides])
        return mode(hydra, config_name, overrides) if asked else None

    return get_mode


def _warm_up(modules: Sequence[str]) -> None:
    """Imports modules, composes a config, reads the usual data set if it is here."""
    for module in modules:
        importlib.import_module(module)
    plasticity.compose()
    with contextlib.suppress(UserError):
        images.images_and_labels("mnist", "unit", None)
        images.labelled("mnist", None)
    resource_tracker.ensure_running()  # which is an interpreter of its own; the forks' too
    Hydra.get_mode = _unless_absent(Hydra.get_mode)  # type: ignore[method-assign]
    sys.modules["plasticity.machine.processes"].multiprocessing = Forking  # type: ignore[attr-defined]
    if "wandb" in sys.modules:
        sys.modules["plasticity.track.sender"].subprocess = ForkingModules  # type: ignore[attr-defined]
    gc.collect()
    gc.set_threshold(20_000)  # a command makes many objects, and lives for a moment
    gc.freeze()  # what is there need not be looked at again in every fork
    signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    _warm_up(sys.argv[2:])
    program = Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if program is not None:  # in the fork
        try:
            program.run()
        except SystemExit as exit:
            _leave(exit.code)
        _leave(None)
