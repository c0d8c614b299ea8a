import errno
import json
import os
import signal
import threading
import time
import warnings
from threading import Event

import numpy as np
import pytest
from conftest import kill_after_checkpoint

from analysis import load_runs, summarise
from plasticity.datasets import PermutedMnist
from plasticity.engines import get
from plasticity.errors import UserError
from plasticity.launch.plan import plan
from plasticity.machine.lock import lock
from plasticity.networks.mlp import Mlp
from plasticity.run import Run
from plasticity.store import RunFolder, RunState, rows
from plasticity.store.claim import claim
from plasticity.store.rows import MOST_BYTES_PER_ROW
from plasticity.training.observer import Silent
from plasticity.training.session import Session
from plasticity.training.train import train


def test_the_last_row_is_read_from_the_end(tmp_path):
    folder, path = RunFolder(tmp_path), tmp_path / "tasks.csv"
    assert folder.last_row() is None
    rows = folder.open_rows()
    assert folder.last_row() is None  # an empty file
    written = 0
    for task in range(8000):
        rows.append({"task": task, "accuracy": task / 8000, "loss": 0.125})
        written = path.stat().st_size
        if task in (0, 1, 7999):
            assert folder.last_row() == folder.rows()[-1]
            assert folder.last_row() == {"task": str(task), "accuracy": repr(task / 8000), "loss": "0.125"}
    assert written > 2 * MOST_BYTES_PER_ROW
    with open(path, "a") as file:
        file.write("8000,0.")  # its writer was killed
    assert folder.last_row() == {"task": "7999", "accuracy": repr(7999 / 8000), "loss": "0.125"}
    rows.close()


def test_columns_may_appear_from_some_task_on_in_every_reader(tmp_path):
    run = Run(dataset=PermutedMnist(tasks=4))
    folder = RunFolder.of(tmp_path, run)
    folder.create(run)
    folder.write_state(RunState(status="finished", tasks_done=4, score=0.5))
    rows = folder.open_rows()
    measured = [{}, {"dead_units.layer_1": 3.0}, {}, {"dead_units.layer_1": 4.0, "rank.layer_1": 7.0}]
    for task, more in enumerate(measured):
        rows.append({"task": task, "accuracy": 0.5, "loss": 1.0} | more)
        last = {"task": str(task), "accuracy": "0.5", "loss": "1.0"} | {k: repr(v) for k, v in more.items()}
        assert folder.last_row() == last == folder.rows()[-1]
    rows.close()

    frame = load_runs(tmp_path)
    assert frame["dead_units.layer_1"].fillna(-1).tolist() == [-1, 3, -1, 4]
    assert frame["rank.layer_1"].fillna(-1).tolist() == [-1, -1, -1, 7]
    assert summarise(tmp_path)["status"].item() == "finished"

    text = (folder.path / "tasks.csv").read_bytes()
    for number in range(5):
        assert len(folder.keep_rows(number, run)) == number
        resumed = folder.open_rows()
        for task, more in list(enumerate(measured))[number:]:
            resumed.append({"task": task, "accuracy": 0.5, "loss": 1.0} | more)
        resumed.close()
        assert (folder.path / "tasks.csv").read_bytes() == text


class StopAfter(Silent):
    """Stops training after a row."""

    def __init__(self, stop: Event):
        self.stop = stop

    def learnt(self, *_: object) -> None:
        self.stop.set()


@pytest.mark.parametrize(("began", "then"), [("reference", "native"), ("native", "reference")])
def test_a_run_is_computed_by_one_engine_from_its_start_to_its_end(tmp_path, began, then):
    run = Run(model=Mlp(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
    folder, stop = RunFolder.of(tmp_path, run), Event()
    assert train(run, folder, Session(StopAfter(stop), engine=began, stop=stop)).status == "stopped"
    refused = train(run, folder, Session(engine=then))
    assert refused.status == "failed" and refused.tasks_done == 1 and folder.has_checkpoint()
    assert refused.reason == (
        f"it was begun by engine={began}, whose checkpoint engine={then} cannot resume; force=true starts it over"
    )
    state = train(run, folder, Session(engine="auto"))
    assert state.status == "finished" and state.provenance["engine"] == began and not state.notes
    whole = RunFolder.of(tmp_path / "whole", run)
    train(run, whole, Session(engine=began))
    assert folder.rows() == whole.rows()


def test_a_run_waits_for_the_engine_that_began_it(tmp_path, monkeypatch):
    run = Run(model=Mlp(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
    folder, stop = RunFolder.of(tmp_path, run), Event()
    assert train(run, folder, Session(StopAfter(stop), stop=stop)).status == "stopped"
    kept = (folder.path / "checkpoint.npz").read_bytes()
    monkeypatch.setattr(type(get("native")), "unsupported", lambda engine, run: "there is no compiler")
    state = train(run, folder, Session())
    assert state.status == "failed" and "begun by engine=native (there is no compiler)" in (
        state.reason or ""
    )
    assert (folder.path / "checkpoint.npz").read_bytes() == kept and len(folder.rows()) == 1


def test_the_last_row_is_found_far_below_its_header(tmp_path):
    path = tmp_path / "tasks.csv"
    rest = "".join(f"{task},0.5,1\n" for task in range(1, 9_000))
    path.write_text(f"task,accuracy\n0,0.25\ntask,accuracy,more\n{rest}")
    assert path.stat().st_size > MOST_BYTES_PER_ROW
    assert rows.last(path) == {"task": "8999", "accuracy": "0.5", "more": "1"}


def test_a_folder_that_holds_another_run_is_refused_and_left_as_it_is(tmp_path):
    run, other = Run(seed=1), Run(seed=2)
    folder = RunFolder.of(tmp_path, run)
    folder.create(run)
    folder.path.rename(RunFolder.of(tmp_path, other).path)
    state = train(other, RunFolder.of(tmp_path, other), Session())
    assert state.status == "failed" and "seed=1 instead of 2" in (state.reason or "")
    left = {path.name for path in RunFolder.of(tmp_path, other).path.iterdir()}
    assert left == {"config.yaml", "claim"}


def without(name):
    def change(arrays):
        del arrays[name]

    return change


def with_value(name, value):
    def change(arrays):
        arrays[name] = np.array(value)

    return change


@pytest.mark.parametrize(("change", "said"), {
    without("weights.1"): "its checkpoint is invalid (weights.1 is missing or has another shape)",
    without("age.0"): "age.0 is missing or has another shape",
    with_value("biases.0", [1.0, 2.0]): "biases.0 is missing or has another shape",
    with_value("biases.1", np.array([0] * 9 + [np.nan], np.float32)): "weights or biases are not finite",
    with_value("biases.2", np.array([0] * 9 + [np.inf], np.float32)): "weights or biases are not finite",
    without("rows"): "checkpoint.npz cannot be read",
    with_value("rows", 99): "it comes after 99 rows",
    with_value("rows", -1): "it comes after -1 rows",
}.items())  # fmt: skip
def test_a_checkpoint_that_is_not_the_runs_own_is_not_resumed(tmp_path, change, said):
    run = Run(model=Mlp(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
    folder, stop = RunFolder.of(tmp_path, run), Event()
    assert train(run, folder, Session(StopAfter(stop), stop=stop)).status == "stopped"
    path = folder.path / "checkpoint.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    change(arrays)
    np.savez(path, **arrays)
    state = train(run, folder, Session())
    assert state.status == "finished" and len(folder.rows()) == 3
    (note,) = state.notes
    assert note.startswith("Attempt 2 started over: ") and said in note
    whole = RunFolder.of(tmp_path / "whole", run)
    train(run, whole, Session())
    assert folder.rows() == whole.rows()


def test_a_run_that_starts_over_says_so_before_its_rows_go(tmp_path, monkeypatch):
    """Killed in between, it must not pass for a finished run without rows."""
    run = Run(model=Mlp(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
    folder = RunFolder.of(tmp_path, run)
    assert train(run, folder, Session()).status == "finished"
    keep, seen = RunFolder.keep_rows, []

    def kept(self, *arguments):
        seen.append((self.state().status, len(self.rows())))
        return keep(self, *arguments)

    monkeypatch.setattr(RunFolder, "keep_rows", kept)
    assert train(run, folder, Session(restart="a launch")).status == "finished"
    assert seen == [("running", 3)]


def interrupted(tmp_path):
    """A tiny run that was stopped after its first task, with its folder."""
    run = Run(model=Mlp(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
    folder, stop = RunFolder.of(tmp_path, run), Event()
    assert train(run, folder, Session(StopAfter(stop), stop=stop)).status == "stopped"
    return run, folder


def with_cell(column, text):
    """Replaces a cell of the last row of a file."""

    def change(lines):
        header, row = lines[0].split(","), lines[-1].split(",")
        row[header.index(column)] = text
        return [*lines[:-1], ",".join(row)]

    return change


@pytest.mark.parametrize(("change", "said"), {
    with_cell("accuracy", "nan"): "accuracy of row 1, of task 0, is nan",
    with_cell("accuracy", ""): "accuracy of row 1, of task 0, is missing",
    with_cell("accuracy", "-inf"): "accuracy of row 1, of task 0, is -inf",
    with_cell("loss", "nan"): "loss of row 1, of task 0, is nan",
    with_cell("loss", ""): "loss of row 1, of task 0, is missing",
}.items())  # fmt: skip
def test_rows_that_cannot_be_are_not_resumed(tmp_path, change, said):
    run, folder = interrupted(tmp_path)
    path = folder.path / "tasks.csv"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    state = train(run, folder, Session())
    assert state.status == "finished" and state.notes == [
        f"Attempt 2 started over: tasks.csv is invalid ({said})."
    ]
    whole = RunFolder.of(tmp_path / "whole", run)
    train(run, whole, Session())
    assert folder.rows() == whole.rows()
    path.write_text("\n".join(with_cell("accuracy", "nan")(path.read_text().splitlines())) + "\n")
    assert folder.state().reason == (
        "tasks.csv is invalid: accuracy of row 3, of task 2, is nan, though the run was finished"
    )


def test_a_network_about_to_diverge_leaves_the_last_finite_checkpoint(tmp_path):
    """Its loss is that of a step whose update overflowed: the next step shows it, in each attempt."""
    data = PermutedMnist(tasks=9, examples_per_task=1)
    run = Run.of({"dataset": data.values(), "optimiser": {"step_size": 1e20}})
    folder = RunFolder.of(tmp_path, run)
    reasons = [train(run, folder, Session(checkpoint_seconds=0)).reason for _ in range(2)]
    assert reasons[0] == reasons[1] and str(reasons[0]).startswith("diverged in task ")
    assert folder.state().notes == []
    kept = folder.checkpoint()
    assert kept is None or kept.network.is_finite()


def test_a_launch_starts_a_run_over_once_whatever_the_clocks_say(tmp_path):
    run, folder = interrupted(tmp_path)
    state = folder.state()
    state.started += 120  # begun on a machine whose clock is ahead of this one's
    folder.write_state(state)
    stop = Event()
    begun = train(run, folder, Session(StopAfter(stop), stop=stop, restart="one"))
    assert begun.status == "stopped" and begun.attempts[-1]["task"] == 0
    resumed = train(run, folder, Session(restart="one"))  # its job was requeued
    assert resumed.status == "finished" and resumed.attempts[-1]["task"] == 1
    assert train(run, folder, Session(restart="one")).attempt == 3
    again = train(run, folder, Session(restart="two"))
    assert again.attempt == 4 and again.attempts[-1]["task"] == 0
    assert (
        train(run, folder, Session(restart="one")).attempt == 4
    )  # requeued once more, it takes nothing away
    assert [entry["attempt"] for entry in again.attempts] == [1, 2, 3, 4] and again.restarts == ["one", "two"]


def test_a_state_from_before_attempts_were_kept_is_read_and_its_run_resumed(tmp_path):
    run, folder = interrupted(tmp_path)
    path = folder.path / "state.json"
    stored = json.loads(path.read_text())
    before = stored["provenance"]
    del stored["attempts"], stored["restarts"], before["code"]
    path.write_text(json.dumps(stored))
    state = train(run, folder, Session())
    assert state.status == "finished" and state.notes == []
    assert state.attempts == [before, {"attempt": 2, "task": 1} | state.provenance]


def test_a_run_of_which_nothing_is_known_but_its_checkpoint_starts_over(tmp_path):
    run, folder = interrupted(tmp_path)
    (folder.path / "state.json").unlink()
    state = train(run, folder, Session())
    assert state.status == "finished" and state.attempts[0]["task"] == 0
    assert state.notes == ["Attempt 1 started over: state.json did not say what had computed it."]


def killed_at_its_very_end(run, folder):
    """Computes a run in a process that is killed before it removes the checkpoint."""
    with warnings.catch_warnings(action="ignore"):  # the child of a process with threads
        child = os.fork()
    if child == 0:
        remove = RunFolder.remove_checkpoint

        def killed(self):
            if self.state().status == "finished":
                os.kill(os.getpid(), signal.SIGKILL)
            remove(self)

        RunFolder.remove_checkpoint = killed
        train(run, folder, Session(checkpoint_seconds=0))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert folder.state().status == "finished" and folder.has_checkpoint()


def test_a_run_killed_at_its_very_end_loses_its_checkpoint_at_the_next_launch(tmp_path):
    run = Run(model=Mlp(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
    folder = RunFolder.of(tmp_path, run)
    killed_at_its_very_end(run, folder)
    state = (folder.path / "state.json").read_bytes()
    with folder.claim():
        assert plan([run], tmp_path, force=False, engine="auto").finished() == [run]
        assert folder.has_checkpoint()  # another process holds the run
    assert plan([run], tmp_path, force=False, engine="auto", dry=True).finished() == [run]
    assert folder.has_checkpoint()  # a dry run changes nothing
    assert plan([run], tmp_path, force=False, engine="auto").finished() == [run]
    assert not folder.has_checkpoint() and (folder.path / "state.json").read_bytes() == state
    killed_at_its_very_end(run, RunFolder.of(tmp_path / "more", run))
    more = RunFolder.of(tmp_path / "more", run)
    assert train(run, more, Session()).attempt == 1 and not more.has_checkpoint()
    killed_at_its_very_end(run, RunFolder.of(tmp_path / "died", run))
    died = RunFolder.of(tmp_path / "died", run)
    assert died.mark_failed(run, "killed").status == "finished" and not died.has_checkpoint()


def test_a_reference_run_resumed_on_another_processor_says_so_and_keeps_both(command):
    run = ["engine=reference", "model.width=10", "model.depth=2", "dataset.tasks=60"]
    run += ["dataset.examples_per_task=20", "checkpoint_seconds=1e-6", "diagnostics=none"]
    command.environment = {"ATEN_CPU_CAPABILITY": "default"}
    folder = kill_after_checkpoint(command, *run, pause=0)
    command.environment = {}
    (before,) = json.loads((folder / "state.json").read_text())["attempts"]
    assert before["capability"] == "DEFAULT" and before["torch"] and before["processor"]
    done = command(*run)
    assert done.returncode == 0, done.stderr
    state = json.loads((folder / "state.json").read_text())
    now = state["attempts"][1]
    if now["capability"] == "DEFAULT":
        pytest.skip("PyTorch uses no further instructions of this processor")
    where = f"PyTorch {now['torch']} on {now['processor']}"
    clause = f"under {where} ({now['capability']}) instead of {where} (DEFAULT)"
    warning = "the numbers may differ from those of an uninterrupted run"
    assert f"1 run resumes {clause}: {warning}; force=true starts over." in done.stdout
    assert state["notes"] == [f"Attempt 2 resumed {clause}: {warning}."]
    assert state["attempts"][0] == before and now["task"] > 0


def test_a_lock_is_ours_or_somebody_else_s_or_there_are_none(tmp_path, monkeypatch):
    path, said = tmp_path / "lock", []
    with lock(path) as ours:
        assert ours.held
        for patience in (0.0, 0.1):
            with lock(path, patience, lambda: said.append("waiting")) as other:
                assert not other.held and other.refusal is None
        assert said == ["waiting"]  # once, and only by the one that has patience
        thread = threading.Thread(target=lambda: said.append(_held(path, lambda: said.append("forever"))))
        thread.start()
        while said[1:] != ["forever"]:
            time.sleep(0.01)
    thread.join(10)
    assert said[1:] == ["forever", True]
    monkeypatch.setattr("fcntl.flock", _no_locks)
    with lock(path, patience=None) as none:
        assert not none.held and none.refusal.strerror == "No locks available"
    with pytest.raises(UserError, match="must be on a file system with locks"), claim(path):
        pass


def _held(path, waiting):
    with lock(path, patience=None, waiting=waiting) as ours:
        return ours.held


def _no_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")
