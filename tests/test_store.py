import time
from threading import Event

import numpy as np
import pytest

from analysis import load_runs, summarise
from plasticity.datasets import PermutedMnist
from plasticity.engines import get
from plasticity.model import Model
from plasticity.observer import Silent
from plasticity.run import Run
from plasticity.session import Session
from plasticity.store import RunFolder, RunState, rows
from plasticity.store.rows import MOST_BYTES_PER_ROW
from plasticity.training import train


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
    run = Run(model=Model(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
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
    run = Run(model=Model(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
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
    without("weights.1"): "checkpoint.npz cannot be read ('weights.1')",
    without("age.0"): "age.0 is missing or has another shape",
    with_value("biases.0", [1.0, 2.0]): "biases.0 is missing or has another shape",
    without("rows"): "checkpoint.npz cannot be read",
    with_value("rows", 99): "it comes after 99 rows",
    with_value("rows", -1): "it comes after -1 rows",
}.items())  # fmt: skip
def test_a_checkpoint_that_is_not_the_runs_own_is_not_resumed(tmp_path, change, said):
    run = Run(model=Model(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
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
    run = Run(model=Model(width=10, depth=2), dataset=PermutedMnist(tasks=3, examples_per_task=40))
    folder = RunFolder.of(tmp_path, run)
    assert train(run, folder, Session()).status == "finished"
    keep, seen = RunFolder.keep_rows, []

    def kept(self, *arguments):
        seen.append((self.state().status, len(self.rows())))
        return keep(self, *arguments)

    monkeypatch.setattr(RunFolder, "keep_rows", kept)
    assert train(run, folder, Session(restart_before=time.time())).status == "finished"
    assert seen == [("running", 3)]
