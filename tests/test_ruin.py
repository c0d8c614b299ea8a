"""Ruined folders: whatever happens to a run's files, it is computed again or resumed, and no other is affected."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
from conftest import Command

from plasticity.run import Run
from plasticity.store import RunFolder
from plasticity.training.observer import Silent
from plasticity.training.session import Session
from plasticity.training.train import train

SWEEP = [
    "-m",
    "launch.workers=1",
    "dataset.tasks=4",
    "dataset.examples_per_task=50",
    "model.width=10",
    "seed=0,1",
]


def replace(name, contents):
    return lambda folder: (folder / name).write_bytes(contents)


def edit(name, change):
    return lambda folder: (folder / name).write_bytes(change((folder / name).read_bytes()))


def directory(name):
    def ruin(folder):
        (folder / name).unlink()
        (folder / name).mkdir()
        (folder / name / "file").touch()

    return ruin


def a_file_in_its_place(folder):
    folder.rename(folder.with_name("elsewhere"))
    folder.write_text("notes")


def lines(change):
    return edit("tasks.csv", lambda text: b"".join(change(text.splitlines(keepends=True))))


def said(**values):
    return edit("state.json", lambda text: json.dumps(json.loads(text) | values).encode())


RUINED = {
    "state empty": replace("state.json", b""),
    "state truncated": edit("state.json", lambda text: text[:40]),
    "state null": replace("state.json", b"null"),
    "state no text": replace("state.json", b"\xff\xfe\x00"),
    "state a directory": directory("state.json"),
    "state of another kind": said(provenance=[], notes={}),
    "state counts below zero": said(tasks_done=-1),
    "state counts in halves": said(tasks_done=2.7),
    "state without a score": said(score=None),
    "state of fewer tasks": said(tasks_done=3),
    "rows deleted": lambda folder: (folder / "tasks.csv").unlink(),
    "rows empty": replace("tasks.csv", b""),
    "rows a directory": directory("tasks.csv"),
    "rows shortened": lines(lambda rows: rows[:-1]),
    "rows swapped": lines(lambda rows: [*rows[:1], rows[2], rows[1], *rows[3:]]),
    "a row doubled": lines(lambda rows: [*rows[:2], rows[1], *rows[3:]]),
    "a row torn": lines(lambda rows: [*rows[:2], rows[2][:9] + b"\n", *rows[3:]]),
    "two rows merged": lines(lambda rows: [*rows[:2], rows[2][:-1], *rows[3:]]),
    "header gone": lines(lambda rows: rows[1:]),
    "header without accuracy": lines(lambda rows: [rows[0].replace(b"accuracy", b"accurbcy"), *rows[1:]]),
    "header no text": lines(lambda rows: [rows[0].replace(b"loss", b"lo\x80s"), *rows[1:]]),
    "a name twice": lines(lambda rows: [rows[0].replace(b"loss", b"accuracy"), *rows[1:]]),
    "a bit flipped": lines(lambda rows: [*rows[:2], rows[2].replace(b".", b"n", 1), *rows[3:]]),
    "rows no text": replace("tasks.csv", bytes(range(256))),
    "the folder a file": a_file_in_its_place,
    "the claim a directory": lambda folder: (directory("claim")(folder), replace("state.json", b"")(folder)),
}  # fmt: skip


@dataclass
class Ruined:
    """A sweep whose runs were each ruined in another way, and which was launched again."""

    command: Command
    done: subprocess.CompletedProcess
    rows: dict[str, bytes]
    healthy: tuple[str, dict]

    def folder(self, seed: int) -> Path:
        return self.command.runs / run(seed).identity


TASKS = 14


def run(seed: int) -> Run:
    values = {"model": {"width": 10}, "dataset": {"tasks": TASKS, "examples_per_task": 50}, "seed": seed}
    return Run.of(values)


class StopAfter(Silent):
    """Stops training after a number of tasks."""

    def __init__(self, tasks: int):
        self.tasks, self.stop = tasks, Event()

    def learnt(self, identity, tasks_done, score):
        if tasks_done == self.tasks:
            self.stop.set()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The directory of the runs that are ruined, computed in one go."""
    whole = tmp_path_factory.mktemp("whole")
    for seed in range(len(CHECKPOINTED) + 1):
        train(run(seed), RunFolder.of(whole, run(seed)), Session())
    return whole


def ruined(directory: Path, whole: Path, ruins: dict, tasks: int = 0) -> Ruined:
    """A run for each way to ruin it, whole or computed up to `tasks`, and one more: ruins all but the last, and
    launches."""
    command = Command(directory)
    for seed in range(len(ruins) + 1):
        folder = RunFolder.of(command.runs, run(seed))
        if tasks:
            observer = StopAfter(tasks)
            train(run(seed), folder, Session(observer, stop=observer.stop))
        else:
            shutil.copytree(whole / folder.identity, folder.path)
    rows = {folder.name: (folder / "tasks.csv").read_bytes() for folder in whole.iterdir()}
    healthy = run(len(ruins)).identity
    state = command.states()[healthy]
    for seed, ruin in enumerate(ruins.values()):
        ruin(command.runs / run(seed).identity)
    tiny = ["model.width=10", f"dataset.tasks={TASKS}", "dataset.examples_per_task=50", "diagnostics=none"]
    done = command("-m", *tiny, f"seed=range({len(ruins) + 1})")
    return Ruined(command, done, rows, (healthy, state))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, whole):
    return ruined(tmp_path_factory.mktemp("finished"), whole, RUINED)


def test_a_launch_over_ruined_folders_computes_their_runs_and_no_other(finished):
    assert finished.done.returncode == 0 and "Traceback" not in finished.done.stderr
    number = len(RUINED)
    assert f"{number + 1} runs: 1 finished, 0 resumed, {number} new" in finished.done.stdout
    healthy, state = finished.healthy
    assert finished.command.states()[healthy] == state


@pytest.mark.parametrize("seed, ruin", list(enumerate(RUINED)))
def test_a_finished_run_whose_folder_is_ruined_is_computed_again_and_that_is_said_once(finished, seed, ruin):
    folder = finished.folder(seed)
    assert finished.done.stdout.count(f"{folder} is computed again: ") == 1
    assert (folder / "tasks.csv").read_bytes() == finished.rows[folder.name]
    state = RunFolder(folder).state(run(seed))
    assert state.status == "finished" and state.tasks_done == TASKS
    aside = [*folder.glob("*.aside-1"), *folder.parent.glob(f"{folder.name}.aside-1")]
    assert state.notes or aside, "what happened stays on record"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The directory of the runs of `SWEEP`, finished."""
    command = Command(tmp_path_factory.mktemp("two"))
    assert command(*SWEEP).returncode == 0
    return command.runs


def test_keys_of_a_later_version_are_ignored(command, two):
    shutil.copytree(two, command.runs)
    for folder in command.folders():
        said(colour="red")(folder)
    assert command(*SWEEP).stdout.startswith("2 runs: 2 finished")


def contents_of(directory):
    """The files below a directory, with what they hold and when they were written."""
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()
    }


def test_a_config_that_cannot_be_read_is_rewritten_for_the_folder_is_named_by_it(command):
    unreadable = [b"", b"model: [", b"3", b"\xff", b"model: {width: -3}\n", None]
    sweep = [*SWEEP[:-1], f"seed=range({len(unreadable) + 1})"]
    assert command(*sweep).returncode == 0
    configs = {folder: (folder / "config.yaml").read_bytes() for folder in command.folders()}
    healthy, *ruined = configs
    states = command.states()
    for folder, contents in zip(ruined, unreadable, strict=True):
        if contents is None:
            (folder / "config.yaml").unlink()
        else:
            (folder / "config.yaml").write_bytes(contents)
    (healthy / "checkpoint.npz").write_bytes(b"left by a process that was killed at its very end")
    there = contents_of(command.runs)
    assert "7 runs: 7 finished" in command(*sweep, "launch.dry_run=true").stdout
    assert contents_of(command.runs) == there
    again = command(*sweep)
    assert again.returncode == 0 and "7 runs: 7 finished" in again.stdout
    assert not (healthy / "checkpoint.npz").exists()
    assert str(healthy) not in again.stdout
    for folder in ruined:
        assert f"{folder}/config.yaml could not be read, and was rewritten." in again.stdout
    assert {folder: (folder / "config.yaml").read_bytes() for folder in configs} == configs
    assert command.states() == states


def test_a_config_of_another_run_is_refused_by_name(command, two):
    shutil.copytree(two, command.runs)
    folder, other = command.folders()
    (folder / "config.yaml").write_bytes((other / "config.yaml").read_bytes())
    again = command(*SWEEP)
    assert again.returncode == 1 and len(again.stderr.splitlines()) == 1
    assert (
        f"{folder} is refused: it must hold the requested run, but its config.yaml has seed=" in again.stderr
    )


CHECKPOINTED = RUINED | {
    "checkpoint empty": replace("checkpoint.npz", b""),
    "checkpoint truncated": edit("checkpoint.npz", lambda text: text[:-200]),
    "a bit of the checkpoint flipped": edit("checkpoint.npz", lambda text: text[:900] + b"~" + text[901:]),
    "checkpoint a directory": directory("checkpoint.npz"),
}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory, whole):
    return ruined(tmp_path_factory.mktemp("interrupted"), whole, CHECKPOINTED, tasks=10)


@pytest.mark.parametrize("seed, ruin", list(enumerate(CHECKPOINTED)))
def test_an_interrupted_run_whose_folder_is_ruined_ends_with_the_same_rows(interrupted, seed, ruin):
    assert interrupted.done.returncode == 0 and "Traceback" not in interrupted.done.stderr
    folder = interrupted.folder(seed)
    assert (folder / "tasks.csv").read_bytes() == interrupted.rows[folder.name]
    assert RunFolder(folder).state(run(seed)).status == "finished"


def test_what_killed_writers_left_is_swept_by_the_next_holder(command, two):
    shutil.copytree(two, command.runs)
    folder, _ = command.folders()
    left = [folder / f".{name}.x1y2" for name in ("checkpoint.npz", "state.json", "tasks.csv", "config.yaml")]
    for path in left:
        path.write_bytes(b"half")
    (folder / "notes.txt").write_text("my own")
    assert command(*SWEEP, "force=true").returncode == 0
    assert not any(path.exists() for path in left) and (folder / "notes.txt").exists()
