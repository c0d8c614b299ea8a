"""A season: a directory of runs, launches over it, and what strikes them."""

import random
import resource
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser

import plasticity
from plasticity.composition.combinations import combinations
from plasticity.composition.compose import compose_settings
from plasticity.store import RunFolder, run_folders
from plasticity.training.session import Session
from plasticity.training.train import train

from . import cluster
from .launches import COMMON, LENGTHS, OUTPUTS, SWEEPS, WHOLE, Launch, arguments, send
from .ruins import ruin, ruin_whole

USUAL = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV)
STOPPING = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
PATIENCE = 240.0
"""Seconds after which whatever has not ended by itself counts as stuck."""


class Broken(Exception):
    """A season did not end as if nothing had happened. The text says what is different."""


class Season:
    """One directory of runs.

    Args:
        folder: an empty folder, for the runs and the logs.
        engine: the engine of all launches.
        expected: the rows that each run has to have.
        choices: decides what happens.
        on_cluster: whether there is a cluster to submit to.
    """

    def __init__(
        self, folder: Path, engine: str, expected: dict[str, bytes], choices: random.Random, on_cluster: bool
    ):
        self.runs, self.logs = folder / "runs", folder / "logs"
        self.engine, self.expected, self.choices, self.on_cluster = engine, expected, choices, on_cluster
        self.launches: list[Launch] = []
        self.counts = Counter[str]()
        self.finished: dict[str, bytes] = {}
        self.logs.mkdir(parents=True)
        self.runs.mkdir()

    def pass_over(self, kills: int) -> Counter[str]:
        """Strikes until there have been `kills` kills, or all runs are finished; then verifies the result.

        Returns:
            what was done, and how often

        Raises:
            Broken: when a run is stuck, was computed again, or has other rows.
        """
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would fill the small disk for ever
        with small_disk(self.runs) as self.disk:
            try:
                while self.counts.total() < kills and not self._over():
                    self._launch()
                    self._wait()
                    for _ in range(self.choices.choice([1, 2, 3, 4])):
                        if done := self._strike():
                            self.counts[done] += 1
                    self._look()
                self._calm()
                self._verify()
            except Broken:
                shutil.copytree(self.runs, self.logs.with_name("found"), ignore_dangling_symlinks=True)
                raise
            finally:
                for launch in self.launches:
                    launch.end()
        return self.counts

    def _over(self) -> bool:
        return len(self.finished) == len(self.expected) and not self._alive()

    def _alive(self) -> list[Launch]:
        return [launch for launch in self.launches if launch.alive]

    def _launch(self) -> None:
        """Starts a launch where there is none, and sometimes another."""
        alive = len(self._alive())
        if alive and (alive > 2 or self.choices.random() > 0.3):
            return
        command = arguments(self.choices.choice(SWEEPS), self.engine, self.runs)
        if self.on_cluster and self.choices.random() < 0.3:
            command += [*cluster.LAUNCHER, f"launch.freeze={self.choices.choice(['true', 'false'])}"]
        limit = 2 ** self.choices.randint(11, 18) if self.choices.random() < 0.1 else None
        output = self.choices.choice(OUTPUTS)
        if limit is not None:
            self.counts["files may not grow"] += 1
        elif output != "kept":
            self.counts[f"output {output}"] += 1
        log = self.logs / f"{len(self.launches)}.txt"
        self.launches.append(Launch(command, log, output, limit))

    def _wait(self) -> None:
        """Waits, mostly until runs are being computed, and then for a moment."""
        deadline = time.monotonic() + 8
        if self.choices.random() < 0.75:
            while self._alive() and time.monotonic() < deadline:
                if any(launch.workers() for launch in self.launches):
                    break
                time.sleep(0.05)
        if self.on_cluster:
            cluster.hurry()
        time.sleep(self.choices.uniform(0, 0.7))

    def _strike(self) -> str | None:
        """Does something bad; returns what, or None if it came too late."""
        kinds = ["group"] * 4 + ["launcher"] * 2 + ["worker"] * 5 + ["ruin"] * 3
        kinds += ["disk"] * 2 * self.disk + ["job"] * 5 * self.on_cluster
        kind, sent = self.choices.choice(kinds), self._signal()
        if kind == "disk":
            return self._fill_disk()
        if kind == "ruin":
            return self._ruin()
        if kind == "job":
            return cluster.strike(sent, self.choices)
        alive = self._alive()
        launch = self.choices.choice(alive) if alive else None
        done = launch.strike(kind, sent, self.choices) if launch else None
        if launch and sent in STOPPING:
            time.sleep(0.3)
            for pid in launch.members():
                send(pid, signal.SIGCONT)
        return done

    def _signal(self) -> int:
        if self.choices.random() < 0.5:
            return self.choices.choice(USUAL)
        return self.choices.choice(sorted(signal.valid_signals()))

    def _fill_disk(self) -> str:
        ballast = self.runs / "ballast"
        fill(ballast)
        time.sleep(self.choices.uniform(0, 0.5))
        for launch in self._alive()[: self.choices.randint(0, 1)]:
            launch.strike("worker", signal.SIGKILL, self.choices)
        ballast.unlink()
        return "full disk"

    def _ruin(self) -> str | None:
        quiet = not self._alive() and not (self.on_cluster and cluster.workers())
        folders = [folder.path for folder in run_folders(self.runs)]
        ruined = (ruin_whole if quiet and self.choices.random() < 0.2 else ruin)(folders, self.choices)
        if ruined is None:
            return None
        done, folder = ruined
        self.finished.pop(folder.name, None)
        return done

    def _look(self) -> None:
        """Checks that runs which were finished before, and not ruined since, are unchanged."""
        for folder in run_folders(self.runs):
            if folder.state().status == "finished":
                with suppress(OSError):
                    state = (folder.path / "state.json").read_bytes()
                    if self.finished.setdefault(folder.identity, state) != state:
                        raise Broken(f"{folder.identity} was finished, and was computed again")

    def _calm(self) -> None:
        """Lets everything that is left end by itself; jobs are cancelled."""
        if self.on_cluster and not cluster.clear(PATIENCE):
            raise Broken("a job does not end")
        self._await(self.launches)
        self._look()

    def _await(self, launches: list[Launch]) -> None:
        deadline = time.monotonic() + PATIENCE
        while any(launch.alive for launch in launches):
            if time.monotonic() > deadline:
                stuck = [launch.log.name for launch in launches if launch.alive]
                raise Broken(f"launches are stuck: {', '.join(stuck)}")
            time.sleep(0.2)

    def _verify(self) -> None:
        """Runs a last launch, undisturbed, and checks what there is afterwards."""
        last = Launch(arguments(WHOLE, self.engine, self.runs), self.logs / "last.txt")
        self.launches.append(last)
        self._await([last])
        said = last.said()
        if last.process.returncode != 0:
            raise Broken(f"the last launch ended with {last.process.returncode}:\n{said}")
        self._look()
        for identity, rows in self.expected.items():
            folder = RunFolder(self.runs / identity)
            if folder.state().status != "finished":
                raise Broken(f"{identity} is {folder.state()}")
            if (folder.path / "tasks.csv").read_bytes() != rows:
                raise Broken(f"{identity} has other rows")
            if left := list(folder.path.glob(".*")):
                raise Broken(f"{identity} has leftovers: {left}")
        others = {folder.identity for folder in run_folders(self.runs)} - self.expected.keys()
        if others:
            raise Broken(f"there are other runs: {others}")
        for launch in self.launches:
            text = launch.said()
            if "Traceback" in text:
                raise Broken(f"{launch.log} has a traceback:\n{text[-3000:]}")


def uninterrupted(folder: Path, engine: str) -> dict[str, bytes]:
    """The rows of every run, computed in this process in one go."""
    for each in combinations(OverridesParser.create(), [*COMMON, *LENGTHS[engine], WHOLE]):
        run, settings = plasticity.compose(*each), compose_settings(each)
        session = Session(engine=engine, diagnostics=settings.diagnostics)
        assert train(run, RunFolder.of(folder, run), session).status == "finished"
    return {run.identity: (run.path / "tasks.csv").read_bytes() for run in run_folders(folder)}


def fill(path: Path, piece: int = 65536) -> None:
    """Fills the rest of a disk with a file, in pieces of so many bytes."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * piece)


@contextmanager
def small_disk(folder: Path, size: str = "48m") -> Iterator[bool]:
    """Mounts a small disk at a folder, if this process may; yields whether it did."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = shutil.which("mount") is not None and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
