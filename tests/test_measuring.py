"""Measures of runs that are interrupted, finished without them, or measured from snapshots."""

import os
import shutil
import signal

import pandas as pd
import pytest
from conftest import Command, uninterrupted, wait_for

import plasticity
from plasticity.composition.compose import compose_settings
from plasticity.diagnostics import (
    Curvature,
    DeadUnits,
    Diagnostic,
    Probing,
    StepPlasticity,
    Utilities,
    lacking,
)
from plasticity.store import RunFolder
from plasticity.track.stored import stamp
from plasticity.training.measuring import needed
from plasticity.training.session import Session
from plasticity.training.train import train

SHAPE = ["model.width=12", "model.depth=2", "dataset.examples_per_task=300"]
REPLACING = ["replacement.rate=0.01", "replacement.maturity_threshold=20"]
TINY = [*SHAPE, *REPLACING, "dataset.tasks=4"]
FULL = [
    "diagnostics=full",
    "diagnostics.curvature_rank.every=3",
    "diagnostics.curvature_rank.examples=60",
    "diagnostics.probing_accuracy.every=3",
]


def table(folder):
    """The rows, their columns in alphabetical order: those that were added later come last in the file."""
    return pd.read_csv(folder / "tasks.csv", dtype=str).sort_index(axis="columns")


def files(folder):
    kept = [folder / "tasks.csv", *sorted((folder / "snapshots").glob("*"))]
    return {path.name: path.read_bytes() for path in kept}


# --- Interrupted ---


@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_a_run_that_was_killed_measures_the_same_as_one_that_was_not(command, tmp_path, engine):
    size = {"auto": ["dataset.tasks=24"], "reference": ["dataset.tasks=8", "dataset.examples_per_task=120"]}
    long = [*SHAPE, *REPLACING, *size[engine], *FULL, f"engine={engine}", "snapshots.every=5"]
    process = command.fork(*long, "checkpoint_seconds=0.01")

    def has_rows():
        return any(path.read_bytes().count(b"\n") > 4 for path in command.runs.glob("*/tasks.csv"))

    wait_for(has_rows, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    ((identity, state),) = command.states().items()
    assert state["status"] == "running"
    assert command(*long).returncode == 0
    assert command.states()[identity]["attempt"] == 2
    uninterrupted(tmp_path / "whole", *long)
    assert files(command.runs / identity) == files(tmp_path / "whole" / identity)
    rows = pd.read_csv(command.runs / identity / "tasks.csv")
    assert rows["curvature_rank"].notna().tolist() == [task % 3 == 0 for task in range(len(rows))]
    after = rows["probing_accuracy_after.layer_2"].notna()
    assert after.tolist() == [task % 3 == 0 for task in range(len(rows))]


# --- Finished without them ---


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """The directories of a finished run without diagnostics, and of the same one measured as it was computed."""
    without, measured = (Command(tmp_path_factory.mktemp("computed")) for _ in range(2))
    assert without(*TINY, "diagnostics=none").returncode == 0
    assert measured(*TINY, *FULL).returncode == 0
    return without, measured


@pytest.fixture
def plain(command, computed):
    """A finished run without diagnostics."""
    shutil.copytree(computed[0].runs, command.runs)
    (folder,) = command.folders()
    return folder


@pytest.fixture
def measured(computed):
    """The same run, measured as it was computed."""
    (folder,) = computed[1].folders()
    return folder


def test_a_finished_run_without_measures_is_named_and_left(command, plain):
    before = files(plain)
    done = command(*TINY)
    assert done.returncode == 0 and "It was finished before" in done.stdout
    (note,) = [line for line in done.stdout.splitlines() if "lack" in line]
    assert note.startswith(
        "1 finished run lacks measures (dead_units, dormant_units, linearised_units and 8 more)"
    )
    assert (
        "launch.missing_measures=compute" in note and f"python -m plasticity.diagnose {command.runs}" in note
    )
    assert files(plain) == before
    assert "lacks" not in command(*TINY, "diagnostics=none").stdout


def test_a_finished_run_is_computed_again_for_its_measures_if_that_is_asked_for(command, plain, measured):
    before = pd.read_csv(plain / "tasks.csv")
    done = command(*TINY, *FULL, "launch.missing_measures=compute")
    assert done.returncode == 0, done.stderr
    assert "lacks" not in done.stdout
    pd.testing.assert_frame_equal(table(plain), table(measured))
    pd.testing.assert_frame_equal(pd.read_csv(plain / "tasks.csv")[list(before)], before)
    assert not list((command.runs / ".again").iterdir())
    assert "lacks" not in command(*TINY, *FULL).stdout
    assert "lacks" in command(*TINY, "diagnostics=full").stdout  # the curvature, with other examples


def test_it_is_not_computed_again_where_its_snapshots_serve(command, fresh, measured):
    assert command(*TINY, "diagnostics=none", "snapshots.every=1").returncode == 0
    (folder,) = command.folders()
    before = command.states()[folder.name]
    assert command(*TINY, *FULL, "launch.missing_measures=compute").returncode == 0
    pd.testing.assert_frame_equal(table(folder), table(measured))
    assert not (command.runs / ".again").exists()
    changed = {"measured", "updated"}
    after = command.states()[folder.name]
    assert {key for key in after if after[key] != before[key]} <= changed


def test_a_run_that_gives_other_numbers_when_it_is_computed_again_keeps_its_result(command, plain):
    text = (plain / "tasks.csv").read_text()
    (plain / "tasks.csv").write_text(text.replace("\n3,0.", "\n3,1.", 1))
    before = files(plain)
    done = command(*TINY, "diagnostics=dead_units", "launch.missing_measures=compute")
    assert done.returncode == 1 and "computed again, it gives different numbers" in done.stdout
    assert files(plain) == before and command.states()[plain.name]["status"] == "finished"


def test_being_killed_while_computing_again_loses_nothing(command):
    long = [*SHAPE, *REPLACING, "dataset.tasks=24"]
    assert command(*long, "diagnostics=none").returncode == 0
    (folder,) = command.folders()
    before = files(folder)
    asked = [*long, *FULL, "launch.missing_measures=compute", "checkpoint_seconds=0.01"]
    process = command.fork(*asked)
    again = command.runs / ".again" / folder.name
    wait_for((again / "checkpoint.npz").exists, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert files(folder) == before and command.states()[folder.name]["status"] == "finished"
    assert command(*asked).returncode == 0
    assert "curvature_rank.output" in pd.read_csv(folder / "tasks.csv") and not again.exists()


@pytest.mark.parametrize("kept", [1, 0], ids=["from snapshots", "computed again"])
def test_other_settings_replace_what_was_measured(tmp_path, kept):
    run = plasticity.compose(*TINY)
    folder, whole = RunFolder.of(tmp_path, run), RunFolder.of(tmp_path / "whole", run)
    train(run, folder, Session(diagnostics=[DeadUnits(), Utilities()], snapshot_every=kept))
    before = stamp(folder.stored_state())
    other = DeadUnits(examples=5, every=2)
    state = train(run, folder, Session(diagnostics=[other], measure_finished=True))
    train(run, whole, Session(diagnostics=[other, Utilities()]))
    pd.testing.assert_frame_equal(table(folder.path), table(whole.path))
    assert (
        state.measured["dead_units"] == other.values() and state.measured["utilities"] == Utilities().values()
    )
    assert stamp(folder.stored_state()) != before, "it is published again"


def test_a_damaged_snapshot_is_not_needed(tmp_path):
    run = plasticity.compose(*TINY)
    folder = RunFolder.of(tmp_path, run)
    train(run, folder, Session(snapshot_every=1))
    (folder.path / "snapshots" / "000002.safetensors").write_bytes(b"torn")
    state = train(run, folder, Session(diagnostics=[DeadUnits()], measure_finished=True))
    assert state.status == "finished" and "dead_units.layer_1" in table(folder.path)
    assert "000002.safetensors cannot be read" in state.notes[-1]


@pytest.mark.parametrize("ruin", ["halved", "missing"])
def test_a_ruined_network_is_said_and_replaced_by_the_one_that_it_was(command, plain, ruin):
    before = files(plain)
    snapshot = plain / "snapshots" / "000004.safetensors"
    if ruin == "halved":
        snapshot.write_bytes(before[snapshot.name][: len(before[snapshot.name]) // 2])
    else:
        snapshot.unlink()
    said = command(*TINY, "diagnostics=none").stdout
    assert (
        "1 finished run lacks the network after the last task" in said or f"{snapshot} cannot be read" in said
    )
    assert ("cannot be read" in said) == (ruin == "halved") and "launch.missing_measures=compute" in said
    done = command(*TINY, "diagnostics=none", "launch.missing_measures=compute")
    assert done.returncode == 0, done.stderr
    assert files(plain) == before
    said = command(*TINY, "diagnostics=none").stdout
    assert "cannot be read" not in said and "lack" not in said


def test_what_another_launch_computes_without_is_said_at_the_end_and_can_be_had(command):
    sweep = ["-m", "seed=0,1", "launch.workers=2", *SHAPE, *REPLACING, "dataset.tasks=7"]
    first = command.fork(*sweep, "diagnostics=none", "dataset.examples_per_task=10000")
    wait_for(lambda: len(command.running()) == 2, first)
    os.killpg(first.pid, signal.SIGSTOP)
    more = [*sweep, "dataset.examples_per_task=10000", "diagnostics=rank", "snapshots.every=3"]
    second = command.fork(*more)
    assert "2 runs: 0 finished" in second.stdout.readline()
    os.killpg(first.pid, signal.SIGCONT)
    said, _ = second.communicate(timeout=200)
    assert first.wait() == 0 and second.returncode == 0
    assert "2 of 2 runs finished" in said
    assert all(
        folder.name in said.partition("did not ask for all of this")[2] for folder in command.folders()
    )
    assert "2 finished runs lack measures (rank): launch.missing_measures=compute adds them" in said
    assert "2 finished runs lack the snapshots of snapshots.every=3" in said
    got = command(*more, "launch.missing_measures=compute")
    assert got.returncode == 0 and "lack" not in got.stdout, got.stdout
    for folder in command.folders():
        assert [path.stem for path in sorted((folder / "snapshots").iterdir())] == [
            "000003",
            "000006",
            "000007",
        ]
        assert "rank.layer_1" in pd.read_csv(folder / "tasks.csv")
    assert "lack" not in command(*more).stdout


# --- From snapshots ---


def test_the_command_measures_what_the_run_itself_would_have(command, fresh):
    assert command(*TINY, "diagnostics=none", "snapshots.every=1").returncode == 0
    whole = fresh()
    every = [
        "diagnostics=[dead_units,rank,utilities,curvature_rank]",
        "diagnostics.curvature_rank.examples=60",
    ]
    assert whole(*TINY, *every, "diagnostics.curvature_rank.every=1").returncode == 0
    with_steps = every[0].replace("]", ",step_plasticity]")
    done = command(str(command.runs), with_steps, every[1], module="plasticity.diagnose")
    assert done.returncode == 0, done.stderr
    said, measured = done.stdout.splitlines()
    assert said.startswith("step_plasticity is left out")
    assert measured == "1 of 1 runs measured, from 4 snapshots."
    assert command.tables() == whole.tables()
    assert "lacks" not in command(*TINY, *every).stdout
    refused = command(str(command.runs), "diagnostics=step_plasticity", module="plasticity.diagnose")
    assert refused.returncode == 1 and "No diagnostic is left to measure" in refused.stderr


def test_the_command_measures_where_there_are_snapshots_and_keeps_what_is_there(command, plain):
    assert command(*TINY, "seed=1", "diagnostics=dead_units", "snapshots.every=2").returncode == 0
    assert command(*TINY, "seed=2", "diagnostics=none", "dataset.tasks=3").returncode == 0
    (plain / "snapshots" / "000004.safetensors").unlink()
    (torn,) = [path for path in command.folders() if "tasks: 3" in (path / "config.yaml").read_text()]
    (torn / "snapshots" / "000003.safetensors").write_bytes(b"torn")
    done = command(str(command.runs), "diagnostics=[dead_units,utilities]", module="plasticity.diagnose")
    assert done.returncode == 1 and done.stderr == ""
    assert f"{plain}: it has no snapshots." in done.stdout
    assert f"{torn}: 000003.safetensors cannot be read" in done.stdout
    assert "1 of 3 runs measured, from 2 snapshots." in done.stdout
    other = command(str(command.runs), "diagnostics=dead_units", "diagnostics.dead_units.examples=5",
                    module="plasticity.diagnose")  # fmt: skip
    assert "dead_units: measured with other settings before" in other.stdout
    (folder,) = [path for path in command.folders() if path not in (plain, torn)]
    rows = pd.read_csv(folder / "tasks.csv")
    assert rows["dead_units.layer_1"].notna().all()
    assert rows["utility_mean.layer_2"].notna().tolist() == [False, True, False, True]
    assert "utility_mean.layer_2" not in pd.read_csv(torn / "tasks.csv")


def test_no_runs_are_refused_in_a_sentence(command, tmp_path):
    done = command(str(tmp_path), module="plasticity.diagnose")
    assert done.returncode == 1 and done.stderr == f"There are no runs in {tmp_path}.\n"


def test_the_networks_that_a_diagnostic_needs():
    run = plasticity.compose("dataset.tasks=10")

    class Both(Diagnostic):
        def __call__(self, view):
            return {}

        def after(self, view):
            return {}

    assert needed(run, DeadUnits(every=4)) == {0, 4, 8}
    assert needed(run, Utilities(every=4)) == {1, 5, 9}
    assert needed(run, Both(every=5)) == {0, 1, 5, 6}
    assert needed(run, Probing()) == {0, 1}


def test_a_diagnostic_lacks_where_it_was_taken_with_other_values_or_more_rarely():
    def missing(taken, *asked):
        return [one.name for one in lacking({one.name: one.values() for one in taken}, asked)]

    assert missing([], DeadUnits(), Curvature()) == ["dead_units", "curvature_rank"]
    assert missing([Curvature(every=5)], Curvature(every=10), DeadUnits()) == ["dead_units"]
    assert missing([Curvature(every=10)], Curvature(every=5)) == ["curvature_rank"]
    assert missing([Curvature(every=2)], Curvature(every=5)) == ["curvature_rank"]
    assert missing([Curvature(every=5)], Curvature(every=5, examples=10)) == ["curvature_rank"]


def test_a_resumed_run_has_the_measures_that_all_its_rows_have(tmp_path):
    run = plasticity.compose(*TINY)
    folder = RunFolder.of(tmp_path, run)

    class StopAfterTwo:
        def __init__(self, session):
            self.session = session

        def began(self, *_): ...
        def advanced(self, *_): ...
        def ended(self, *_): ...
        def learnt(self, identity, tasks_done, score):
            if tasks_done == 2:
                self.session().stop.set()

    session = Session(StopAfterTwo(lambda: session), diagnostics=[DeadUnits(), Utilities()])
    assert train(run, folder, session).status == "stopped"
    state = train(run, folder, Session(diagnostics=[Utilities(), Curvature(examples=20)]))
    assert state.status == "finished" and list(state.measured) == ["utilities"]
    assert folder.state(run).status == "finished"


def test_what_is_measured_in_steps_is_not_in_snapshots(tmp_path):
    run = plasticity.compose(*TINY)
    folder = RunFolder.of(tmp_path, run)
    train(run, folder, Session(snapshot_every=1))
    before = pd.read_csv(folder.path / "tasks.csv")
    state = train(run, folder, Session(diagnostics=[StepPlasticity(every=2)], measure_finished=True))
    assert state.status == "finished" and list(state.measured) == ["step_plasticity"]
    rows = pd.read_csv(folder.path / "tasks.csv")
    assert rows.pop("step_plasticity").notna().tolist() == [True, False, True, False]
    pd.testing.assert_frame_equal(rows, before)


def test_settings_are_composed_without_a_launch():
    settings = compose_settings(
        ["diagnostics=[dead_units,probing_accuracy]", "diagnostics.dead_units.every=7"]
    )
    assert settings.diagnostics == (DeadUnits(every=7), Probing())
