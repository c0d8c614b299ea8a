"""Sweeps from the command line: everything is computed once, and one bad run costs no other."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT, Command, wait_for

from plasticity.composition.compose import experiment
from plasticity.launch.local import cause_of_death

SWEEP = [
    "-m",
    "dataset.tasks=4",
    "dataset.examples_per_task=400",
    "checkpoint_seconds=0.01",
    "model.width=20",
]
LONGER = ["dataset.tasks=120", "diagnostics=none", "checkpoint_seconds=0.2", "launch.workers=2"]
TWENTY = [*SWEEP, "seed=range(4)", "replacement=all,layer_1,layer_2,last,none"]


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """The rows of `TWENTY`, computed in one go."""
    whole = Command(tmp_path_factory.mktemp("twenty"))
    done = whole(*TWENTY)
    assert done.returncode == 0 and "20 runs: 0 finished, 0 resumed, 20 new, about" in done.stdout
    assert "20 of 20 runs finished" in done.stdout
    return whole.tables()


def test_a_sweep_killed_at_random_moments_ends_like_one_that_was_not(command, twenty):
    for _ in range(3):
        process = command.fork(*TWENTY)
        deadline = time.monotonic() + random.Random(time.time_ns()).uniform(0.5, 2)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finished = {name for name, state in command.states().items() if state["status"] == "finished"}
    attempts = {name: command.states()[name]["attempt"] for name in finished}
    last = command(*TWENTY)
    assert last.returncode == 0 and f"20 runs: {len(finished)} finished" in last.stdout
    assert command.tables() == twenty
    assert {name: command.states()[name]["attempt"] for name in finished} == attempts, "computed twice"
    assert command(*TWENTY).stdout.startswith("20 runs: 20 finished, 0 resumed, 0 new")


def test_an_invalid_run_refuses_the_whole_sweep(command):
    done = command(*SWEEP, "seed=range(10)", "replacement.rate=0.001,-1")
    assert done.returncode != 0 and not command.folders()
    assert len(done.stderr.strip().splitlines()) == 1
    assert "seed=0" in done.stderr and "replacement.rate=-1 is refused" in done.stderr


def test_a_diverging_run_is_named_and_the_others_finish_and_only_it_is_tried_again(command):
    sweep = [*SWEEP, "optimiser.step_size=0.001,0.002,0.003,1e20"]
    done = command(*sweep)
    assert done.returncode == 1
    failed = [name for name, state in command.states().items() if state["status"] == "failed"]
    assert len(failed) == 1 and len(command.states()) == 4
    assert "3 of 4 runs finished, 1 failed" in done.stdout
    assert f"failed: {'1e+20'} ({failed[0]}): diverged in task 0 at step" in done.stdout.replace(
        "step_size ", ""
    )
    before = {name: state["attempt"] for name, state in command.states().items()}
    again = command(*sweep)
    assert again.returncode == 1 and "4 runs: 3 finished, 0 resumed, 1 new" in again.stdout
    after = {name: state["attempt"] for name, state in command.states().items()}
    assert after == before | {failed[0]: 2}


@pytest.mark.parametrize(
    ("code", "said"),
    [(-9, "killed by SIGKILL (out of memory?)"), (-51, "killed by signal 51"), (3, "ended with exit code 3")],
)
def test_the_cause_of_a_workers_death_is_named(code, said):
    assert cause_of_death(code).endswith(said)


def test_a_killed_worker_costs_its_run_alone(command):
    process = command.fork(*SWEEP, *LONGER, "seed=0,1,2")
    wait_for(command.running, process)
    os.kill(command.running()[0]["provenance"]["pid"], signal.SIGKILL)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    (failed,) = [state for state in command.states().values() if state["status"] == "failed"]
    assert "SIGKILL" in failed["reason"] and "2 of 3 runs finished, 1 failed" in out and "SIGKILL" in out
    resumed = command(*SWEEP, *LONGER, "seed=0,1,2")
    assert resumed.returncode == 0 and "3 of 3 runs finished" in resumed.stdout


def test_two_launches_of_one_sweep_share_its_runs(command, twenty):
    both = [command.fork(*TWENTY) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert "20 of 20 runs finished" in out
    assert command.tables() == twenty
    assert all(state["attempt"] == 1 for state in command.states().values()), "computed twice"


def test_a_launch_takes_over_what_a_dead_one_held(command):
    sweep = [*SWEEP, *LONGER, "seed=0,1"]
    first = command.fork(*sweep)
    wait_for(lambda: len(command.running()) == 2, first)
    os.killpg(first.pid, signal.SIGSTOP)
    second = command.fork(*sweep)
    time.sleep(4)
    assert second.poll() is None and len(command.running()) == 2
    os.killpg(first.pid, signal.SIGKILL)
    out, err = second.communicate(timeout=250)
    assert second.returncode == 0, err
    assert {state["status"] for state in command.states().values()} == {"finished"}


def test_absent_cells_are_left_out_where_the_experiment_says_so(command):
    sweep = [
        "-m",
        "model.depth=2",
        "replacement=all,layer_3",
        "dataset.tasks=1",
        "dataset.examples_per_task=50",
    ]
    refused = command(*sweep)
    assert refused.returncode != 0 and "layers from 1 to 2" in refused.stderr and not command.folders()
    done = command(*sweep, "launch.impossible=absent")
    assert done.returncode == 0 and "1 run (1 absent)" in done.stdout and len(command.folders()) == 1
    assert "1 combination is absent: the network has no such layer to replace." in done.stdout


def test_duplicates_are_computed_once_and_a_dry_run_computes_nothing(command):
    sweep = ["-m", "replacement.layers=[1,3],[3,1],[1,3]", "replacement.rate=1e-4,0.0001"]
    done = command(*sweep, "launch.dry_run=true")
    assert done.returncode == 0 and done.stdout.startswith("1 run: 0 finished, 0 resumed, 1 new, about")
    assert not command.runs.exists()
    seeds = command("-m", "activation=relu,tanh", "seed=0,1,2,4", "dataset.tasks=3", "launch.dry_run=true")
    listed = [re.split("  +", line.strip()) for line in seeds.stdout.splitlines() if line.startswith("  ")]
    assert listed[0] == ["seeds", "engine", "steps", "time each", "run"]
    assert [[*row[:3], row[4]] for row in listed[1:]] == [
        ["0, 1, 2, 4", "native", "30,000", f"activation {name}"] for name in ("relu", "tanh")
    ]
    assert all(re.fullmatch(r"\d+ (s|min)", row[3]) for row in listed[1:])
    command.runs.write_text("a file")
    refused = command(*sweep, "launch.dry_run=true")
    assert refused.returncode == 1 and f"runs_dir={command.runs} is refused" in refused.stderr


def test_the_first_layer_experiment_needs_no_flag(command):
    planned = command("+experiment=first_layer", "seed=0,1", "launch.dry_run=true")
    assert planned.stdout.startswith("14 runs: 0 finished, 0 resumed, 14 new"), planned.stderr
    layers = [run.replacement.layers for run in experiment("first_layer", "seed=0,1")]
    assert sorted(map(tuple, layers)) == sorted(
        2 * [(1, 2, 3, 4, 5), (1,), (2,), (3,), (5,), (), (2, 3, 4, 5)]
    )


def test_a_sweeper_that_wants_scores_gets_them(command, tmp_path):
    """A sweeper like Optuna's: it launches a batch, and chooses the next one by the scores."""
    plugins = tmp_path / "hydra_plugins"
    plugins.mkdir()
    (plugins / "halving.py").write_text(
        """
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

class Halving(Sweeper):
    def __init__(self, seeds, **options):
        self.seeds = seeds
    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config)
    def sweep(self, arguments):
        seeds = list(self.seeds)
        while len(seeds) > 1:
            results = self.launcher.launch([[*arguments, f"seed={s}"] for s in seeds], 0)
            scores = [result.return_value for result in results]
            print("scores", *scores)
            seeds = [s for _, s in sorted(zip(scores, seeds))][len(seeds) // 2:]
        print("best", *seeds)
"""
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    arguments = ["hydra/sweeper=combinations", "hydra.sweeper._target_=hydra_plugins.halving.Halving"]
    arguments += ["+hydra.sweeper.seeds=[0,1,2,3]", "launch.workers=1"]
    done = subprocess.run(
        [sys.executable, "launch.py", *SWEEP, *arguments, f"runs_dir={command.runs}"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("scores")]
    assert [len(scores) for scores in printed] == [4, 2]
    assert np.all(np.array(printed[0], float) > 0)
    assert {float(score) for score in printed[0]} == {state["score"] for state in command.states().values()}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sweep_says_how_far_it_is(command, sent):
    process = command.fork(*SWEEP, "dataset.tasks=2000", "seed=0,1,2")
    wait_for(command.running, process)
    os.kill(process.pid, sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    assert "Interrupted. 0 of 3 runs finished" in out and "resumes them" in out
    assert "Error executing job" not in err, "Hydra's word for it"
