"""Fixtures for Weights & Biases: the loopback server, and processes in which the real client talks to it.

A test module imports them: `from wandb_fixture import client, wandb_server, wandb_service`. One server serves a
module, and is emptied for each test.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import needed, warm
from wandb_server import KEY, WandbServer, serving
from warm import Fork

from plasticity.engines.kernel.build import cache_directory

ROOT = Path(__file__).resolve().parent.parent


def variables(server: WandbServer, directory: Path) -> dict[str, str]:
    """Variables that send W&B's client to a server, and keep it out of the user's own folders."""
    folders = {f"WANDB_{name}_DIR": str(directory / name.lower()) for name in ("CONFIG", "CACHE", "DATA")}
    return folders | {
        "WANDB_BASE_URL": server.address, "WANDB_API_KEY": KEY, "WANDB_DIR": str(directory),
        "WANDB_ERROR_REPORTING": "false", "no_proxy": "127.0.0.1",
    }  # fmt: skip


class Client:
    """W&B's client in processes of its own, with one server and one folder for all that they write."""

    def __init__(self, server: WandbServer, directory: Path):
        self.server = server
        self.directory = directory
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.environment = kept | variables(server, directory) | {
            "HOME": str(directory), "TMPDIR": str(directory), "PYTHONPATH": path, "WANDB_SILENT": "true",
            "PLASTICITY_CACHE": str(cache_directory().parent),  # where the kernel is already built
        }  # fmt: skip
        self.started: list[subprocess.Popen | Fork] = []

    def fork(self, module: str, *arguments: str | Path, **environment: str) -> Fork:
        """Starts a module in a fork of a process that has imported it, in a process group of its own."""
        given = [str(argument) for argument in arguments]
        process = warm(*needed(module, *given)).start(
            given, self.directory, self.environment | environment, module
        )
        self.started.append(process)
        return process

    def start(self, *command: str | Path, **environment: str) -> subprocess.Popen:
        """Starts a command in a process group of its own."""
        process = subprocess.Popen(
            command, cwd=self.directory, env=self.environment | environment, start_new_session=True,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        self.started.append(process)
        return process

    def call(self, *command: str | Path, seconds: float = 60, **environment: str) -> str:
        """Runs a command to its end and returns what it printed. It has to succeed. Modules run in forks."""
        if command[:2] == (sys.executable, "-m"):
            process = self.fork(*map(str, command[2:]), **environment)
        else:
            process = self.start(*command, **environment)
        return self._output(process, seconds)

    def _output(self, process: subprocess.Popen | Fork, seconds: float) -> str:
        out, err = process.communicate(timeout=seconds)
        assert process.returncode == 0, out + err
        return out

    def python(self, code: str, *arguments: object, **environment: str) -> str:
        """Runs Python code to its end and returns what it printed."""
        file = self.directory / "code_of_wandb.py"
        file.write_text(code)
        return self._output(self.fork(str(file), *map(str, arguments), **environment), 60)

    def wandb(self, *arguments: str | Path, seconds: float = 60, **environment: str) -> str:
        """Runs W&B's own command."""
        return self.call(sys.executable, "-m", "wandb", *arguments, seconds=seconds, **environment)

    def offline_runs(self) -> list[Path]:
        """The folders of offline runs."""
        return sorted(self.directory.glob("wandb/offline-run-*"))

    def close(self) -> None:
        """Ends what still runs, with all that it started."""
        for process in self.started:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


@pytest.fixture(scope="module")
def wandb_service() -> Iterator[WandbServer]:
    with serving() as server:
        yield server


@pytest.fixture
def wandb_server(wandb_service: WandbServer) -> Iterator[WandbServer]:
    wandb_service.reset()
    yield wandb_service
    assert not wandb_service.unknown, f"the W&B server does not know {wandb_service.unknown}"


def processes(server: WandbServer) -> list[str]:
    """The processes, other than this one, whose environment names a server, including W&B's own."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"WANDB_BASE_URL={server.address}".encode() in environment.read_bytes().split(b"\0"):
                found.append(environment.parent.name)
        except OSError:
            continue
    return [process for process in found if process != str(os.getpid())]


@pytest.fixture
def client(wandb_server: WandbServer, tmp_path: Path) -> Iterator[Client]:
    client = Client(wandb_server, tmp_path)
    yield client
    client.close()
