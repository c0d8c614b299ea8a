"""The process that the tests' commands are forked from; see `warm.py`.

In its forks, modules are there already, a config has been composed and the data set been read; Hydra looks for its
mode only where it may be set, and memory is not tidied up before it is given back.
"""

import argparse
import contextlib
import gc
import importlib
import json
import multiprocessing.context
import os
import re
import select
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from multiprocessing import resource_tracker
from pathlib import Path

from forked_module import ForkingModules
from forked_program import Program, enter, leave
from hydra._internal.hydra import Hydra

import plasticity
from plasticity.datasets import images
from plasticity.errors import UserError

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

START = 60.0
"""For how long it waits for its first connection, in seconds."""


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
        patience: float | None = START
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
            enter(environment)
            return Program(module, arguments, *streams)
        for descriptor in streams:
            os.close(descriptor)
        self.running[os.pidfd_open(pid)] = pid, told
        connection.sendall(b"%d\n" % pid)
        return None


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
    _warm_up([*ALWAYS, *sys.argv[2:]])
    program = Server(socket.socket(fileno=int(sys.argv[1]))).serve()
    if program is not None:  # in the fork
        try:
            program.run()
        except SystemExit as exit:
            leave(exit.code)
        leave(None)
