"""What the tests share: the command as a user calls it."""

import gc
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import user

from plasticity.machine.threads import VARIABLES

# The tests compute with one thread, as a worker does; this has to be set before numpy is imported.
os.environ |= dict.fromkeys(VARIABLES, "1")
# The tests start hundreds of processes, which need not each compile the package.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from storm.season import small_disk
from warm import Fork, Warm

import plasticity
from plasticity.composition.compose import compose_settings, experiment
from plasticity.engines.kernel import build
from plasticity.store import RunFolder
from plasticity.training.session import Session
from plasticity.training.train import train

ROOT = Path(__file__).resolve().parent.parent

LONGEST = (
    "slurm",
    "publish",
    "own_parts",
    "hydra",
    "measuring",
    "compiled",
    "tracker",
    "launch",
    "storm",
    "unwatched",
    "publish_command",
    "native",
    "sweep",
    "methods",
    "disk",
    "native_build",
    "install",
    "replacement",
    "reference",
    "ruin",
)
"""The slowest test files, which come first so that no process is left waiting for another at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    names = [f"test_{name}.py" for name in LONGEST]
    items.sort(key=lambda item: names.index(item.path.name) if item.path.name in names else len(names))


def pytest_collection_finish() -> None:
    """What is imported by now stays: garbage is looked for among what the tests make."""
    gc.collect()
    gc.freeze()


def wait_for(condition: Callable[[], object], process: subprocess.Popen | Fork, seconds: float = 60) -> None:
    """Waits until something holds while a process runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended too early: {process.communicate()}"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def gone(process):
    """Whether a process has ended; one that nobody waits for yet is a zombie."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def ended(processes, seconds=30):
    deadline = time.monotonic() + seconds
    while not all(map(gone, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return all(map(gone, processes))


def kill_after_checkpoint(command: "Command", *arguments: str, pause: float) -> Path:
    """Starts a run, kills all of its processes a moment after its first checkpoint, and returns its folder."""
    process = command.fork(*arguments)
    wait_for(lambda: command.folders() and (command.folders()[0] / "checkpoint.npz").exists(), process)
    time.sleep(pause)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (folder,) = command.folders()
    return folder


@cache
def warm(*modules: str) -> Warm:
    """A process with some modules imported, from which commands are forked."""
    return Warm(*modules)


NEEDS = {
    r"^engine=(reference|compiled)$|^model=cnn$|^--config-dir$|(my_parts|mine)\.|"
    r"^diagnostics=full$|curvature|probing|missing_measures=compute$|"
    r"^(plasticity\.)?analysis": ("plasticity.engines.reference", "plasticity.analysis.runs"),
    r"wandb|^plasticity\.track": ("wandb", "wandb.sdk.launch"),
}
"""What a command imports that has such a part. Each takes seconds to import; the first two make forks no slower, so
they are imported together. W&B's client takes longer to start where they are; its second module is imported as its
first run starts."""


def needed(*command: str) -> tuple[str, ...]:
    """What the process has imported that a command is forked from."""
    found = (modules for text, modules in NEEDS.items() if any(re.search(text, part) for part in command))
    return tuple(chain.from_iterable(found))


def uninterrupted(directory: Path, *overrides: str) -> dict[str, bytes]:
    """The rows of a run that is computed in one go, in this process."""
    run, settings = plasticity.compose(*overrides), compose_settings(overrides)
    session = Session(
        engine=settings.engine.name,
        diagnostics=settings.diagnostics,
        snapshot_every=settings.snapshots.every,
    )
    folder = RunFolder.of(directory, run)
    assert train(run, folder, session).status == "finished"
    return {run.identity: (folder.path / "tasks.csv").read_bytes()}


composed = cache(experiment)
"""The runs of an experiment, composed once per process: they are a matter of its arguments."""


AS_ANYBODY = """
import ctypes

class Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]

libc, header, sets = ctypes.CDLL(None, use_errno=True), Header(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(ctypes.byref(header), sets) == 0
for number in range(3):  # effective, permitted, inheritable
    sets[number] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
assert libc.capset(ctypes.byref(header), sets) == 0
"""


def as_anybody(folder: Path) -> dict[str, str]:
    """An environment in which a command has to obey permissions, even one of root's. It writes to a new folder."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(AS_ANYBODY)
    return {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}


class Command:
    """launch.py and the analysis commands in processes of their own, and a directory of runs for one test."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.runs = directory / "runs"
        self.tree = ROOT
        self.folder: Path | None = None  # where it starts, if not in the tree
        self.environment: dict[str, str] = {}  # beyond that of the tests
        self.started: list[subprocess.Popen | Fork] = []

    def start(self, *arguments: str, module: str | None = None, **environment: str) -> subprocess.Popen:
        """Starts the command as a user does, in a process group of its own."""
        launch = [str(self.tree / "launch.py"), *self._in_runs(arguments)]
        process = subprocess.Popen(
            [sys.executable, *(["-m", module, *arguments] if module else launch)],
            cwd=self.folder or self.tree, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
            env=self._environment(environment),
            # As from a terminal, even where the tests themselves run in the background.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        self.started.append(process)
        return process

    def fork(self, *arguments: str, module: str | None = None, **environment: str) -> Fork:
        """Starts the command in a fork of `warm`, in a process group of its own."""
        process = warm(*needed(module or "", *arguments)).start(
            arguments if module else self._in_runs(arguments),
            self.folder or ROOT,
            self._environment(environment),
            module,
        )
        self.started.append(process)
        return process

    def __call__(self, *arguments: str, **options: str) -> subprocess.CompletedProcess:
        """Runs the command to its end; in a fork where a fresh interpreter would do the same."""
        fresh = self.tree != ROOT or options.get("HYDRA_FULL_ERROR") == "1"
        process = (self.start if fresh else self.fork)(*arguments, **options)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def _environment(self, own: dict[str, str]) -> dict[str, str]:
        """A user's environment, in which nothing says how many threads to use."""
        usual = {name: value for name, value in os.environ.items() if name not in VARIABLES}
        return usual | {"COLUMNS": "200"} | self.environment | own

    def _in_runs(self, arguments: tuple[str, ...]) -> list[str]:
        """The arguments, with the directory of runs if they accept one."""
        shown = {"--cfg", "--info", "--shell-completion", "-sc"} & set(arguments)
        return [*arguments] if shown else [*arguments, f"runs_dir={self.runs}"]

    def folders(self) -> list[Path]:
        """The folders of runs so far."""
        return sorted(path.parent for path in self.runs.glob("*/config.yaml"))

    def states(self) -> dict[str, dict]:
        """The state of every run."""
        files = [folder / "state.json" for folder in self.folders()]
        return {file.parent.name: json.loads(file.read_text()) for file in files if file.exists()}

    def running(self) -> list[dict]:
        """The states of the runs that say that they are being computed."""
        return [state for state in self.states().values() if state["status"] == "running"]

    def tables(self) -> dict[str, bytes]:
        """The rows of every run, as they are on disk."""
        return {folder.name: (folder / "tasks.csv").read_bytes() for folder in self.folders()}


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    for process in command.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def mine(command: Command, tmp_path: Path) -> Command:
    """The command, started in a folder with parts and a method of the user's own."""
    user.write(tmp_path)
    command.folder = tmp_path
    return command


@pytest.fixture
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the analysis, in this process, compose each experiment once for all tests."""
    monkeypatch.setattr("analysis.experiments.experiment", composed)


@pytest.fixture
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Command]]:
    """More commands, each with a directory of runs of its own."""
    yield lambda: Command(tmp_path_factory.mktemp("command"))


@pytest.fixture
def disk(command: Command) -> Iterator[Callable[[str], None]]:
    """Puts the command's directory of runs on a disk of its own, of a size such as "3m"."""
    with ExitStack() as mounted:

        def mount(size: str) -> None:
            command.runs.mkdir()
            if not mounted.enter_context(small_disk(command.runs, size)):
                pytest.skip("no file system can be mounted here")

        yield mount


READS_ONCE = """#!/bin/bash
# A compiler for programs of one's own: their header, which takes most of the time, is compiled once for them all.
[ "$(head -n 1 "${@: -3:1}" 2> /dev/null)" = '#include "functions.h"' ] || exec REAL "$@"
flags=("${@:1:$#-4}")
kept=FOLDER/functions.h.gch/$(cksum <<< "${flags[*]}" | tr ' ' -)
if [ ! -e "$kept" ]; then
    REAL "${flags[@]}" -x c-header SOURCES/functions.h -o "$kept.$$" && mv "$kept.$$" "$kept"
fi
exec REAL -IFOLDER "$@"
"""


@pytest.fixture(scope="module")
def header_read_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Has this process build programs of one's own by such a compiler, if it is gcc; they stay the same."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # which the tests' processes share
    (folder / "functions.h.gch").mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        if real := build.compiler():
            script, text = folder / f"cc-{os.getpid()}", READS_ONCE
            known = {
                "REAL": [str(shutil.which(real[0])), *real[1:]],
                "FOLDER": [str(folder)],
                "SOURCES": [str(build.SOURCES)],
            }
            for name, words in known.items():
                text = text.replace(name, shlex.join(words))
            script.write_text(text)
            script.chmod(0o755)
            patch.setenv("CC", shlex.quote(str(script)))
        yield
