"""Code of a user's own that dies, hangs or exits: it costs its own run, and leaves no process behind."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, Command, ended, gone, wait_for

DIAGNOSTICS = """
import os
import signal

from plasticity import Diagnostic


class Exits(Diagnostic):
    def __call__(self, view):
        if view.run.seed == 1 and view.task.number == 1:
            os._exit(7)
        return {"seen": 1.0}

class Crashes(Diagnostic):
    def __call__(self, view):
        if view.run.seed == 1:
            os.kill(os.getpid(), signal.SIGSEGV)
        return {"seen": 1.0}

class Interrupts(Diagnostic):
    def __call__(self, view):
        if view.run.seed == 1:
            raise KeyboardInterrupt
        return {"seen": 1.0}

class Divides(Diagnostic):
    def __call__(self, view):
        return {"seen": 1 / 0}

class Hangs(Diagnostic):
    def __call__(self, view):
        open(f"pid-{os.getpid()}", "w").close()
        while True:
            pass
"""

TINY = ["dataset.tasks=2", "dataset.examples_per_task=60", "model.width=6", "model.depth=2"]
BOTH = ["-m", "seed=0,1", *TINY]
MEASURED = "launch.missing_measures=compute"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two finished runs without measures, with snapshots."""
    command = Command(tmp_path_factory.mktemp("finished"))
    done = command(*BOTH, "diagnostics=none", "snapshots.every=1")
    assert done.returncode == 0, done.stderr
    return command.runs


@pytest.fixture
def mine(command, tmp_path):
    """The command in a folder with diagnostics of the user's own."""
    (tmp_path / "mine.py").write_text(DIAGNOSTICS)
    command.folder = tmp_path
    return command


@pytest.fixture
def again(mine, finished):
    """The same, with the two finished runs."""
    shutil.copytree(finished, mine.runs)
    return mine


def hanging(folder):
    """The processes that hang in `Hangs`."""
    return [int(path.name.removeprefix("pid-")) for path in folder.glob("pid-*")]


@pytest.mark.parametrize(
    ("diagnostic", "said", "number"),
    [
        ("Exits", "its process ended with exit code 7", 1),
        ("Interrupts", "a part raised KeyboardInterrupt (see traceback.txt)", 1),
        ("Divides", "ZeroDivisionError: division by zero (see traceback.txt)", 2),
    ],
)
def test_a_finished_run_that_cannot_be_measured_has_failed_and_keeps_its_result(
    again, diagnostic, said, number
):
    before = again.tables()
    done = again(*BOTH, f"diagnostics=mine.{diagnostic}", MEASURED)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{2 - number} of 2 runs finished, {number} failed" in done.stdout
    failed = [line for line in done.stdout.splitlines() if line.startswith("  failed: ")]
    assert len(failed) == number and all(line.endswith(said) for line in failed)
    assert {state["status"] for state in again.states().values()} == {"finished"}
    changed = [name for name, table in again.tables().items() if table != before[name]]
    assert len(changed) == 2 - number


def test_a_part_that_raises_keyboardinterrupt_costs_its_own_run(mine):
    done = mine(*BOTH, "diagnostics=mine.Interrupts")
    assert done.returncode == 1 and "1 of 2 runs finished, 1 failed" in done.stdout
    assert (
        "a part raised KeyboardInterrupt (see traceback.txt)" in done.stdout
        and "Traceback" not in done.stderr
    )
    (failed,) = [state for state in mine.states().values() if state["status"] == "failed"]
    assert failed["reason"] == "a part raised KeyboardInterrupt (see traceback.txt)"


def test_a_run_that_cannot_be_started_over_fails_the_sweep(again):
    """As when its folder is somebody else's."""
    before = again.tables()
    for folder in again.folders():
        (folder / "claim").unlink()
        (folder / "claim").symlink_to("/missing/claim")  # which cannot be opened, not even by root
    done = again(*BOTH, "diagnostics=none", "force=true")
    assert done.returncode == 1 and "0 of 2 runs finished, 2 failed" in done.stdout
    assert again.tables() == before


@pytest.mark.parametrize(
    ("diagnostic", "said"),
    [("Crashes", "its process was killed by SIGSEGV."), ("Interrupts", "KeyboardInterrupt.")],
)
def test_a_crash_in_the_measuring_command_costs_its_own_run(again, diagnostic, said):
    done = again("runs", f"diagnostics=mine.{diagnostic}", module="plasticity.diagnose")
    assert done.returncode == 1 and done.stderr == ""
    failed, counted = done.stdout.splitlines()
    assert failed.endswith(said) and counted == "1 of 2 runs measured, from 2 snapshots."
    measured = [name for name, table in again.tables().items() if b"seen" in table]
    assert len(measured) == 1 and measured[0] not in failed


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_the_workers_of_the_measuring_command_end_with_it(again, sent):
    process = again.fork("runs", "diagnostics=mine.Hangs", module="plasticity.diagnose")
    wait_for(lambda: hanging(again.folder), process)
    process.send_signal(sent)
    process.wait(timeout=30)
    assert ended(hanging(again.folder))
    process.communicate(timeout=30)  # nobody holds its output


def test_a_reader_that_leaves_does_not_end_the_measuring_command(again):
    process = again.fork("runs", "diagnostics=dead_units", module="plasticity.diagnose")
    process.stdout.close()
    assert (process.wait(timeout=60), process.stderr.read()) == (0, "")
    assert all(b"dead_units" in table for table in again.tables().values())


def test_a_relaunch_says_who_holds_a_run_and_takes_it_over_when_that_hangs(again):
    (again.folder / "sitecustomize.py").write_text(
        "import plasticity.launch.local as local\nlocal.LEAVE_SECONDS = 1.0\n"
    )
    run = [*TINY, MEASURED]
    path = os.pathsep.join([str(again.folder), str(ROOT)])
    first = again.start(*run, "diagnostics=mine.Hangs", PYTHONPATH=path)
    wait_for(lambda: hanging(again.folder), first)
    (worker,) = hanging(again.folder)
    second = again.fork(*run, "diagnostics=dead_units")
    told = second.stderr.readline()
    assert told.startswith("Waiting for ") and f": it is being computed by process {worker} on " in told
    first.kill()
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0, out
    assert gone(worker)


def test_one_ctrl_c_ends_a_launch_whose_part_hangs(again):
    (again.folder / "sitecustomize.py").write_text(
        "import plasticity.launch.local as local\nlocal.LEAVE_SECONDS = 1.0\n"
    )
    path = os.pathsep.join([str(again.folder), str(ROOT)])
    process = again.fork(*TINY, MEASURED, "diagnostics=mine.Hangs", PYTHONPATH=path)
    wait_for(lambda: hanging(again.folder), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert "it did not stop within 1 s" in out


def test_too_few_open_files_are_named_in_a_sentence(again):
    launched = f"{ROOT / 'launch.py'} runs_dir=fresh {' '.join(TINY)}"
    for command in (launched, "-m plasticity.diagnose runs diagnostics=dead_units"):
        done = subprocess.run(
            ["bash", "-c", f"ulimit -n 9; exec {sys.executable} {command}"],
            cwd=again.folder, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
        assert "(Too many open files): each needs some 16 open files (ulimit -n)" in done.stderr
