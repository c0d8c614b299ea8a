"""One run from the command line: what it prints and keeps, what it refuses; how it resumes."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import uninterrupted, wait_for
from hydra.core.override_parser.overrides_parser import OverridesParser
from storm.season import fill

import plasticity
from plasticity.composition.combinations import combinations
from plasticity.composition.compose import compose_settings
from plasticity.errors import UserError
from plasticity.launch import watch
from plasticity.launch.plan import plan

RUN = ["dataset.tasks=5", "dataset.examples_per_task=150", "checkpoint_seconds=0.01"]
LONGER = ["model.width=20", "dataset.tasks=150", "dataset.examples_per_task=500", "diagnostics=none"]


def state(folder):
    return json.loads((folder / "state.json").read_text())


def test_a_run_keeps_its_config_rows_and_state_and_is_not_computed_twice(command):
    first = command(*RUN)
    assert first.returncode == 0, first.stderr
    assert "\x1b" not in first.stdout + first.stderr, "it is no terminal"
    (folder,) = command.folders()
    rows = list(csv.DictReader((folder / "tasks.csv").open()))
    assert [row["task"] for row in rows] == ["0", "1", "2", "3", "4"]
    for name in ("accuracy", "loss", "weight_magnitude", "weight_magnitude.layer_5", "replaced.layer_1"):
        assert all(float(row[name]) >= 0 for row in rows)
    parts = [f"weight_magnitude.layer_{layer}" for layer in range(1, 6)] + ["weight_magnitude.output"]
    for row in rows:
        assert float(row["weight_magnitude"]) == pytest.approx(sum(float(row[part]) for part in parts))
    kept = state(folder)
    assert kept["status"] == "finished" and kept["tasks_done"] == 5 and kept["attempt"] == 1
    assert kept["score"] == float(rows[-1]["accuracy"])  # 15 % of 5 tasks, rounded up: 1
    assert {"engine", "version", "commit", "python", "numpy", "torch", "host", "pid"} <= set(
        kept["provenance"]
    )
    assert f"Score {kept['score']:.2%}" in first.stdout and folder.name in first.stdout
    assert not (folder / "checkpoint.npz").exists()

    again = command(*RUN, "tracker.mode=online", "launch.wait=true", "snapshots.every=2")
    assert again.returncode == 0 and "finished before" in again.stdout
    assert "tracker.mode=online has no effect without tracker=wandb" in again.stdout
    assert "launch.wait has no effect here" in again.stdout
    assert "1 finished run lacks the snapshots of snapshots.every=2: force=true" in again.stdout
    assert state(folder) == kept

    forced = command(*RUN, "force=true")
    assert forced.returncode == 0 and state(folder)["attempt"] == 2
    assert [row["accuracy"] for row in csv.DictReader((folder / "tasks.csv").open())] == [
        row["accuracy"] for row in rows
    ]


@pytest.mark.parametrize(
    "run",
    [
        ["engine=reference", "model.depth=2", *RUN],
        [
            *("engine=native", "diagnostics=none", "checkpoint_seconds=0.2"),
            *("dataset.tasks=60", "dataset.examples_per_task=1500"),
        ],
    ],
    ids=["reference", "native"],
)
def test_a_run_killed_at_a_random_moment_resumes_to_the_same_numbers(command, tmp_path, run):
    for kill in range(2):
        process = command.fork(*run)
        wait_for(lambda: command.folders() and (command.folders()[0] / "state.json").exists(), process)
        time.sleep(random.Random(time.time_ns()).uniform(0, 0.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if state(command.folders()[0])["status"] == "finished":
            assert kill > 0
            break
    assert command(*run).returncode == 0
    assert command.tables() == uninterrupted(tmp_path / "whole", *run)


def test_ctrl_c_says_what_is_kept_and_the_same_command_resumes(command, tmp_path):
    process = command.fork(*LONGER)
    wait_for(lambda: command.folders() and (command.folders()[0] / "tasks.csv").exists(), process)
    wait_for(lambda: (command.folders()[0] / "tasks.csv").read_bytes().count(b"\n") > 3, process)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    (folder,) = command.folders()
    done = state(folder)["tasks_done"]
    assert 3 <= done < 150 and state(folder)["status"] == "stopped"
    assert f"Interrupted. {done} of 150 tasks are kept in" in out and "resumes it" in out

    second = command(*LONGER)
    assert second.returncode == 0 and state(folder)["attempt"] == 2
    assert command.tables() == uninterrupted(tmp_path / "whole", *LONGER)


def test_ctrl_c_does_not_wait_for_a_long_task(command):
    process = command.fork("engine=reference", "dataset.tasks=2", "dataset.examples_per_task=60000")
    wait_for(lambda: command.folders() and (command.folders()[0] / "state.json").exists(), process)
    time.sleep(0.7)
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 130 and "Interrupted. 0 of 2 tasks are kept" in out


REFUSED = {
    "replacement=layer_7": ["replacement.layers=layer_7", "layers from 1 to 5", "model.depth=5"],
    "replacement.layers=[6]": ["replacement.layers=[6]", "layers from 1 to 5", "model.depth=5"],
    "replacement.layers=[0]": ["replacement.layers=[0]", "all, none, last, except_first", "[1,3]"],
    "replacement.rate=-1": ["replacement.rate=-1", "at least 0"],
    "model.width=0": ["model.width=0", "at least 1"],
    "activation=reluu": ["activation=reluu", "relu", "tanh"],
    "optimiser.stepsize=1": ["optimiser.stepsize=1", "optimiser.step_size"],
    "optimizer.step_size=1": ["optimizer", "optimiser"],
    "dataset.examples_per_task=70000": ["dataset.examples_per_task=70000", "at most 60000"],
    "regulariser.strength=0.1": ["regulariser.strength=0.1", "regulariser=none"],
    "tracker=wandbb": ["tracker=wandbb", "wandb"],
    "diagnostics=[basic,foo]": ["diagnostics=foo", "one of absolute_approximate_rank, "],
    "engine.name=fast": ["engine.name=fast", "reference"],
    "tuned=tanhh": ["tuned=tanhh", "width_20"],
    "+tuned=tanhh": ["tuned=tanhh", "width_20"],
    "tracker.every=0": ["tracker.every=0", "at least 1"],
    "replacement=1": ["replacement=1", "layer_1 (did you mean that?)", "except_first"],
    "regulariser=null": ["regulariser=null", "l2, l2_init, none"],
    "tracker=false": ["tracker=false", "none, wandb"],
    "activation=[1]": ["activation=[1]", "relu"],
    "~model=0": ["model=0", "mlp"],
    "--resolve": ["--resolve", "--cfg"],
    "launch.minutes_per_job=1e-320": ["launch.minutes_per_job=1e-320", "at least 1"],
    "dataset.root=true": ["dataset.root=True", "a string"],
    "hydra.launcher.partition=compute": ["hydra.launcher.partition=compute", "hydra/launcher=slurm"],
    "hydra.launcher.additional_parameters={exclude: node7}": [
        "hydra.launcher.additional_parameters",
        "hydra/launcher=slurm",
    ],
    "replacement.maturity_threshold=18446744073709551616": ["maturity_threshold", "below 2^63"],
}


LONG = "a" * 5_000
REFUSED |= {
    f"dataset={LONG}": ["dataset=aaa", "… is refused", "one of bit_flipping, "],
    f"diagnostics=[{LONG}]": ["diagnostics=[aaa", "… is refused"],
    f"model.{LONG}=1": ["model.aaa", "no key is that long"],
}

REFUSED_IN_SWEEPS = {
    "replacement=1,2": ["replacement=1"],
    "replacement=layer_1,2": ["layer_2 (did you mean that?)"],
    "activation=relu,null": ["activation=None"],
    "seed=range(0,0)": ["no combinations"],
    "seed=glob(*)": ["no combinations"],
    "seed=range(1000000000)": ["more than 100,000 combinations"],
    "seed=shuffle(range(1000000000))": ["more than 100,000 combinations"],
    "experiment=range(1000000000)": ["launch each on its own"],
    "replacement=shuffle(range(1000000000))": ["more than 100,000 combinations"],
    "experiment=table_1,first_layer": ["launch each on its own"],
    "hydra.sweeper.only=bp": ["hydra.sweeper.only=bp", "no alternatives"],
    "engine=native,reference": ["all runs of a sweep share engine"],
}

OF_A_COMMAND = [
    "replacement=layer_7", "replacement.rate=-1", "activation=reluu", "optimiser.stepsize=1", "tuned=tanhh",
    "replacement=1", "tracker=false", "~model=0", "--resolve", "dataset.root=true",
    "hydra.launcher.partition=compute", "hydra.launcher.additional_parameters={exclude: node7}", f"dataset={LONG}",
]  # fmt: skip
"""Mistakes of every kind, whoever notices them. The others of `REFUSED` are told in this process."""

OF_COMBINATIONS = [
    "seed=range(1000000000)", "seed=shuffle(range(1000000000))",
    "replacement=shuffle(range(1000000000))",
]  # fmt: skip
"""Likewise, of `REFUSED_IN_SWEEPS`."""

MISTAKES = [(override,) for override in OF_A_COMMAND]
MISTAKES += [("-m", override) for override in REFUSED_IN_SWEEPS if override not in OF_COMBINATIONS]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: " ".join(mistake)[:60])
def test_a_mistake_is_refused_with_one_sentence(command, mistake):
    done = command(*mistake)
    assert done.returncode == 1 and done.stdout == "" and not command.runs.exists()
    assert len(done.stderr.strip().splitlines()) == 1
    for named in (REFUSED | REFUSED_IN_SWEEPS)[mistake[-1]]:
        assert named in done.stderr


@pytest.mark.parametrize(
    "override", [one for one in REFUSED if one not in OF_A_COMMAND], ids=lambda override: override[:60]
)
def test_a_mistake_is_told_in_one_sentence(override):
    with pytest.raises(UserError) as refused:
        compose_settings([override])
    said = str(refused.value)
    assert len(said.strip().splitlines()) == 1 and all(named in said for named in REFUSED[override])


@pytest.mark.parametrize("override", OF_COMBINATIONS)
def test_a_sweep_that_is_none_is_told_in_one_sentence(override):
    with pytest.raises(UserError) as refused:
        combinations(OverridesParser.create(), [override])
    said = str(refused.value)
    assert len(said.strip().splitlines()) == 1
    assert all(named in said for named in REFUSED_IN_SWEEPS[override])


def test_a_mistake_ends_a_process_of_its_own(command):
    process = command.start("-m", "seed=range(0,0)")
    out, err = process.communicate()
    assert process.returncode == 1 and out == "" and len(err.splitlines()) == 1


def test_a_compiler_that_cannot_be_called_leaves_the_reference_engine(command, tmp_path):
    done = command(*RUN, "engine=native", CC="gcc '", PLASTICITY_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 1 and "but gcc '" in done.stderr


def test_a_directory_that_cannot_be_written_is_refused(command):
    command.runs.write_text("a file")
    done = command("engine=reference")
    assert done.returncode != 0 and done.stdout == ""
    assert f"runs_dir={command.runs} is refused: it must be a writable directory" in done.stderr


def test_a_full_disk_is_reported_and_nothing_is_lost(command, disk):
    disk("3m")
    ballast = command.runs / "ballast"
    process = command.fork(*LONGER, "checkpoint_seconds=0.05")
    wait_for(lambda: command.folders() and (command.folders()[0] / "checkpoint.npz").exists(), process)
    fill(ballast)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the disk that runs_dir is on is full" in out and "Traceback" not in err
    full = command(*RUN)
    assert full.returncode == 1 and "runs_dir=" in full.stderr and "No space left" in full.stderr
    ballast.unlink()
    assert command(*LONGER).returncode == 0
    assert not list(command.folders()[0].glob(".*"))


def test_the_help_explains_the_groups_and_shows_examples(command):
    shown = command("--help")
    assert shown.returncode == 0
    groups = [
        "model",
        "activation",
        "replacement",
        "regulariser",
        "dataset",
        "optimiser",
        "diagnostics",
        "engine",
        "tracker",
        "tuned",
        "experiment",
    ]
    for group in groups:
        assert f"\n{group} " in shown.stdout
    assert "\n  /method " in shown.stdout and "\n  /utility " in shown.stdout
    assert shown.stdout.count("\n  python launch.py") >= 6
    assert max(map(len, shown.stdout.splitlines())) < 120, "a terminal would break a line within a word"


def test_the_help_is_printed_before_anything_large_is_imported():
    code = (
        "import sys; sys.argv[1:] = ['--help']\nfrom plasticity.launch.start import main\nmain()\n"
        "print('loaded', [name for name in ('hydra', 'numpy', 'rich', 'torch') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.endswith("\nloaded []\n")


def test_a_tuned_method_is_chosen_with_its_network(command):
    swept = command(
        "-m", "tuned=width_20,selu", "tuned.method=cbp", "replacement=none", "launch.dry_run=true"
    )
    assert swept.returncode == 0 and swept.stdout.startswith("2 runs: 0 finished, 0 resumed, 2 new")
    alone = command("tuned.method=cbp")
    assert alone.returncode == 1 and "tuned.method=cbp is refused" in alone.stderr


def test_who_watches_jobs_that_do_not_start_is_told_where_to_look(tmp_path, monkeypatch, capsys):
    run, settings = plasticity.compose(*RUN), compose_settings([f"runs_dir={tmp_path}"])
    todo = plan([run], tmp_path, force=False, engine="auto")
    living = iter([{"1"}, {"1"}, set()])
    monkeypatch.setattr(watch, "living_jobs", lambda runs_dir: next(living))
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(watch, "QUEUED_SECONDS", 0.0)
    assert watch.watch(todo, {"1"}, settings)
    assert capsys.readouterr().err == "No run has begun yet. What the jobs wait for: squeue --me\n"
