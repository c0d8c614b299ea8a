"""What is on disk: only whole rows, even if the disk fills up, and all rows before a checkpoint promises them."""

import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from conftest import as_anybody
from storm.season import fill

import plasticity
from plasticity.store import RunFolder
from plasticity.store.rows import Rows, read
from plasticity.training.session import Session
from plasticity.training.train import train

SWEEP = [
    *("-m", "seed=range(5)", "diagnostics=none", "checkpoint_seconds=0.05"),
    *("model.width=20", "dataset.tasks=50", "dataset.examples_per_task=500"),
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
    assert last.returncode == 0 and "5 of 5 runs finished" in last.stdout
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


# --- File systems that refuse ---

SEEDS = ["-m", "seed=0,1", "launch.workers=2", "model.width=5", "dataset.tasks=2"]
SEEDS += ["dataset.examples_per_task=100", "diagnostics=none"]


@pytest.fixture
def refusing(tmp_path_factory, command):
    """Makes the folder of a command's runs one that refuses to be synced, and permissions in it."""
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc, which builds what refuses")
    library = tmp_path_factory.mktemp("shim") / "refusing.so"
    source = Path(__file__).with_name("refusing.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", source, "-o", library, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "REFUSING": str(command.directory)}


def test_a_file_system_that_refuses_to_sync_is_done_without_and_one_engine_computes_all_seeds(
    command, refusing
):
    quick = command.directory / "cc"
    quick.write_text('#!/bin/sh\nexec gcc "$@" -O0\n')  # the last -O of several is the one that counts
    quick.chmod(0o755)
    refusing |= {"PLASTICITY_CACHE": str(command.directory / "cache"), "CC": str(quick)}
    out, err = command.start(*SEEDS, **refusing).communicate(timeout=300)
    assert "2 of 2 runs finished" in out, (out, err)
    assert out.count(f"{command.runs} cannot say when files are on the disk (Invalid argument)") == 1
    assert out.count(f"{command.runs} cannot set permissions (Operation not permitted)") == 1
    assert [state["provenance"]["engine"] for state in command.states().values()] == ["native"] * 2
    assert list((command.directory / "cache" / "kernel").glob("*.so")), "the cache is there, too"


def test_a_file_system_without_locks_is_refused_once_before_anything_starts(command, refusing):
    process = command.start(*SEEDS, WITHOUT_LOCKS="1", **refusing)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 1 and out == ""
    said = (
        f"{command.runs} cannot be locked (No locks available): runs_dir must be on a file system with locks."
    )
    assert err == f"{said}\n" and list(command.runs.iterdir()) == []


# --- Folders that may not be looked into ---


def test_a_folder_that_may_not_be_looked_into_costs_its_run_alone_and_is_listed(command):
    assert command(*SEEDS).returncode == 0
    before = command.tables()
    closed = command.folders()[0]
    closed.chmod(0)
    anybody = as_anybody(command.directory / "anybody")
    try:
        again = command(*SEEDS, **anybody)
        listed = command("--runs", str(command.runs), module="analysis.runs", **anybody)
        diagnosed = command(str(command.runs), "diagnostics=rank", module="plasticity.diagnose", **anybody)
    finally:
        closed.chmod(0o755)
    assert again.returncode == 1 and again.stderr == "", again.stderr
    assert "1 of 2 runs finished, 1 failed" in again.stdout
    assert f"({closed.name}): {closed} cannot be read (Permission denied)" in again.stdout
    assert "computed again" not in again.stdout
    row = next(line for line in listed.stdout.splitlines() if line.startswith(closed.name))
    assert "unreadable" in row and "Permission denied" in row
    assert "2 runs: " in listed.stdout and "1 finished" in listed.stdout
    assert f"{closed}: config.yaml cannot be read ([Errno 13] Permission denied" in diagnosed.stdout
    assert command(*SEEDS).returncode == 0 and command.tables()[closed.name] == before[closed.name]
