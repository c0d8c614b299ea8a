"""What is on disk: only whole rows, even if the disk fills up, and all rows before a checkpoint promises them."""

import os
import random
import time
from pathlib import Path

from storm.season import fill

import plasticity
from plasticity.session import Session
from plasticity.store import RunFolder
from plasticity.store.rows import Rows, read
from plasticity.training import train

SWEEP = [
    *("-m", "seed=range(12)", "diagnostics=none", "checkpoint_seconds=0.05"),
    *("model.width=20", "dataset.tasks=100", "dataset.examples_per_task=500"),
]


def test_a_row_is_written_whole_or_not_at_all(command, disk):
    disk("8k")
    rows = Rows(command.runs / "tasks.csv")
    ballast = command.runs / "ballast"
    fill(ballast, 1)
    written = 0
    try:
        while True:
            rows.append({"task": written, "accuracy": 0.123456789, "loss": 1 / 3})
            written += 1
    except OSError:
        before = (command.runs / "tasks.csv").read_bytes()
    ballast.unlink()
    rows.append({"task": written, "accuracy": 0.5, "loss": 0.5})
    after = (command.runs / "tasks.csv").read_bytes()
    assert before.endswith(b"\n") or not before
    assert after.startswith(before) and len(read(command.runs / "tasks.csv")) == written + 1


def test_space_that_comes_and_goes_costs_no_row(command, fresh, disk):
    whole = fresh()
    assert whole(*SWEEP).returncode == 0
    disk("2m")
    ballast, choices = command.runs / "ballast", random.Random(time.time_ns())
    for _ in range(2):
        process = command.fork(*SWEEP)
        while process.poll() is None:
            fill(ballast, choices.choice([7, 1000]))
            time.sleep(choices.uniform(0, 0.2))
            ballast.unlink()
            time.sleep(choices.uniform(0, 0.3))
        assert "Traceback" not in process.communicate()[1]
    last = command(*SWEEP)
    assert last.returncode == 0 and "12 of 12 runs finished" in last.stdout
    assert command.tables() == whole.tables()


def test_what_a_checkpoint_promises_is_on_the_disk_before_it(tmp_path, monkeypatch):
    """As after a power cut: no name before its contents, and no checkpoint before its rows."""
    synced: dict[str, int] = {}
    sync, move = os.fsync, os.replace
    checkpoints = []

    def fsync(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced[str(path)] = path.stat().st_size
        sync(descriptor)

    def replace(old, new):
        old, new = Path(old), Path(new)
        assert synced[str(old)] == old.stat().st_size, f"{new} has its name before its contents"
        if new.name == "checkpoint.npz":
            rows = new.with_name("tasks.csv")
            assert synced[str(rows)] == rows.stat().st_size, "it promises rows that a power cut may take"
            checkpoints.append(new)
        move(old, new)
        synced.pop(str(new.parent), None)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    run = plasticity.compose("model.width=5", "dataset.tasks=4", "dataset.examples_per_task=20")
    folder = RunFolder.of(tmp_path, run)
    assert train(run, folder, Session(checkpoint_seconds=0.0)).status == "finished"
    assert len(checkpoints) >= 4
    assert str(folder.path) in synced, "nor is the last name on the disk"
    assert synced[str(folder.path / "tasks.csv")] == (folder.path / "tasks.csv").stat().st_size
