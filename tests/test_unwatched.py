"""Unwatched launches: no run depends on its launch's output, nor on the moment at which Ctrl-C comes."""

import os
import pty
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, wait_for
from storm.season import fill

SWEEP = [
    *("-m", "seed=0,1", "model.width=20", "diagnostics=none", "launch.workers=1"),
    *("dataset.tasks=30", "dataset.examples_per_task=500"),
]


def launch(command, *overrides, **streams):
    return subprocess.Popen(
        [sys.executable, "launch.py", *SWEEP, *overrides, f"runs_dir={command.runs}"],
        cwd=ROOT, start_new_session=True, **streams,
    )  # fmt: skip


def all_finished(command):
    return [state["status"] for state in command.states().values()] == ["finished"] * 2


def test_output_to_a_full_disk_ends_no_run(command):
    with open("/dev/full", "w") as full:
        assert launch(command, stdout=full, stderr=full).wait(timeout=120) == 0
    assert all_finished(command)


def test_a_pipe_whose_reader_leaves_ends_no_run(command):
    process = command.fork(*SWEEP)
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=120) == 0 and all_finished(command)


def test_closed_output_ends_no_run(command):
    shell = f"exec {sys.executable} launch.py {' '.join(SWEEP)} runs_dir={command.runs} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", shell], cwd=ROOT, timeout=120).returncode == 0
    assert all_finished(command)
    assert not any(b"runs" in folder.joinpath("claim").read_bytes() for folder in command.folders())


def test_a_closed_terminal_ends_no_run(command):
    ours, theirs = pty.openpty()
    process = launch(
        command, "dataset.tasks=100", stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    deadline = time.monotonic() + 60
    while not command.running() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.close(ours)  # the terminal is gone; the system sends SIGHUP
    assert process.wait(timeout=120) == 0 and all_finished(command)


@pytest.mark.skipif(
    "COVERAGE_RUN" in os.environ, reason="Python ignores a Ctrl-C while it starts to count lines"
)
@pytest.mark.parametrize("seconds", [0.15, 0.5, 1.0, 1.7, 2.5])
def test_ctrl_c_at_any_moment_ends_a_launch_with_a_line_and_fails_nothing(command, seconds):
    process = command.start(*SWEEP, "dataset.tasks=30000")
    time.sleep(seconds + random.Random(time.time_ns()).uniform(0, 0.3))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)  # the latter: Python itself had not begun
    assert "Traceback" not in err and len(err.splitlines()) <= 2
    assert not [state for state in command.states().values() if state["status"] == "failed"]


def test_a_run_that_was_finished_when_its_worker_died_stays_finished(command, tmp_path):
    """Its reporter, which speaks after the last file is written, kills its own process."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\n"
        "from plasticity.launch.worker import Reporter\n"
        "Reporter.ended = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = command("dataset.tasks=2", "dataset.examples_per_task=50", PYTHONPATH=path)
    (state,) = command.states().values()
    assert state["status"] == "finished" and state["reason"] is None
    assert done.returncode == 0 and "Score" in done.stdout
    assert command("dataset.tasks=2", "dataset.examples_per_task=50").stdout.count("finished before") == 1


def test_a_worker_that_dies_on_a_full_disk_ends_neither_its_launch_nor_the_other_run(command, disk):
    disk("3m")
    process = command.fork(*SWEEP, "dataset.tasks=500", "launch.workers=2", "checkpoint_seconds=1000")
    wait_for(lambda: len(command.running()) == 2, process)
    victim, _ = command.running()
    ballast = command.runs / "ballast"
    fill(ballast, 4096)
    os.kill(victim["provenance"]["pid"], signal.SIGKILL)
    time.sleep(0.6)
    ballast.unlink()
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "Traceback" not in err
    assert "failed" in out and "its process was killed by SIGKILL" in out
    assert command(*SWEEP, "dataset.tasks=500").returncode == 0 and all_finished(command)
