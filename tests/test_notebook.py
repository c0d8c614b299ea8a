"""Runs from Python, as in the package's docstring."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from threading import Thread

import numpy as np
import pandas as pd
import pytest

import plasticity
from plasticity import Diagnostic
from plasticity.activations import Activation
from plasticity.engines import native
from plasticity.errors import Diverged, UserError
from plasticity.store import RunFolder
from plasticity.training.score import score

TINY = ["dataset.tasks=8", "dataset.examples_per_task=100", "model.width=8", "model.depth=2"]


class Half(Activation):
    """Half of z."""

    def __call__(self, z):
        return z / 2


class Magnitude(Diagnostic):
    """Σ|w| of the first layer before the task."""

    def __call__(self, view):
        return {"before": float(np.abs(view.network.weights[0]).sum(dtype=np.float64))}


class Failing(Diagnostic):
    """Fails before task 5."""

    def __call__(self, view):
        if view.task.number == 5:
            raise KeyError("no such measure")
        return {}


@pytest.fixture(scope="module")
def run():
    return plasticity.compose(*TINY, "activation=tanh", "replacement=layer_1", "replacement.rate=0.01")


@pytest.fixture(scope="module")
def learnt(run):
    return list(plasticity.learn(run))


def table(learnt):
    return pd.DataFrame([step.row for step in learnt])


def test_compose_is_the_command_line_in_python(run):
    assert run.activation.name == "tanh" and run.replacement.layers == (1,)
    assert (run.model.width, run.dataset.tasks, run.seed) == (8, 8, 0)
    assert run == plasticity.compose(
        "replacement.layers=[1]", *TINY, "activation=tanh", "replacement.rate=1e-2"
    )
    with pytest.raises(UserError, match=r"^activation=tanhh is refused: it must be one of crelu"):
        plasticity.compose("activation=tanhh")
    assert plasticity.compose("+tuned=tanh") == plasticity.compose("tuned=tanh")
    with pytest.raises(UserError, match=r"^seed=0,1 is refused: a run has a single value"):
        plasticity.compose("seed=0,1")
    with pytest.raises(UserError, match=r"^experiment=table_1 is refused: .*experiment\('table_1'\)"):
        plasticity.compose("experiment=table_1")
    with pytest.raises(UserError, match="describes no run"):
        plasticity.compose("replacement=layer_7", "launch.impossible=absent")


def test_a_run_that_is_kept_nowhere_has_rows_a_score_and_its_network(run, learnt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = plasticity.train(run, progress=False)
    assert not list(tmp_path.iterdir())
    assert result.run == run and result.state.status == "finished"
    pd.testing.assert_frame_equal(result.rows, table(learnt), check_exact=True)
    assert result.score == score([step.row["accuracy"] for step in learnt])
    for name, array in learnt[-1].network.arrays().items():
        np.testing.assert_array_equal(result.network.arrays()[name], array)
    shown = run.dataset.objective.shown(result.score, 2)
    assert repr(result) == f"Result({run.identity}, finished, 8/8 tasks, accuracy {shown})"
    assert "weights.0 [8, 784]" in repr(result.network) and len(repr(learnt[-1].network)) < 200
    stored = plasticity.train(run, tmp_path / "runs", progress=False).state
    differing = {"started", "updated", "finished", "seconds", "provenance"}
    for key, value in asdict(result.state).items():
        assert key in differing or value == getattr(stored, key), key
    assert result.state.provenance["engine"] == stored.provenance["engine"]


def test_an_error_is_a_score_that_is_read_as_one():
    short = ["dataset=bit_flipping", "dataset.examples=4", "dataset.record_every=2", "dataset.flip_after=2"]
    state = plasticity.train(plasticity.compose(*short), progress=False).state
    assert (state.score_name, state.higher_is_better, state.percent, state.tasks) == (
        "error",
        False,
        False,
        2,
    )


def test_learning_task_by_task_gives_the_stored_rows_bit_for_bit(run, learnt, tmp_path, capsys):
    result = plasticity.train(run, runs_dir=tmp_path)
    assert (tmp_path / run.identity / "config.yaml").exists()
    pd.testing.assert_frame_equal(result.rows, table(learnt), check_exact=True)
    assert result.score == score([step.row["accuracy"] for step in learnt])
    last = learnt[-1].network.arrays()
    for given in (run, run.identity):
        loaded = plasticity.load(str(tmp_path), given)
        for name, array in loaded.network.arrays().items():
            np.testing.assert_array_equal(array, last[name])
        assert loaded.run == run and loaded.score == result.score
        pd.testing.assert_frame_equal(loaded.rows, result.rows, check_exact=True)
    again = plasticity.train(run, runs_dir=tmp_path)
    assert again.state == result.state, "a finished run is loaded"


def test_each_network_is_a_copy_of_its_own(learnt):
    first = [step.network.weights[0] for step in learnt]
    assert all(not np.array_equal(one, other) for one, other in zip(first, first[1:], strict=False))
    assert len(learnt) == 8 and [step.row["task"] for step in learnt] == list(range(8))


def test_a_diagnostic_sees_the_network_before_each_task(run, learnt, tmp_path):
    every_third = Magnitude(every=3)
    result = plasticity.train(run, tmp_path, diagnostics=[every_third], progress=False)
    assert list(result.rows["before"].notna()) == [True, False, False, True, False, False, True, False]
    for task in (3, 6):
        expected = np.abs(learnt[task - 1].network.weights[0]).sum(dtype=np.float64)
        assert result.rows["before"][task] == expected
    pd.testing.assert_frame_equal(result.rows.drop(columns="before"), table(learnt), check_exact=True)
    assert result.run.identity == run.identity, "what is measured changes no number"


def test_a_run_that_fails_says_why_and_is_resumed_to_the_same_rows(run, learnt, tmp_path):
    with pytest.raises(UserError, match=r"The run failed: KeyError: 'no such measure' \(see traceback.txt\)"):
        plasticity.train(run, tmp_path, diagnostics=[Failing()], progress=False)
    part = plasticity.load(tmp_path, run)
    assert part.score is None and part.state.status == "failed" and len(part.rows) == 5
    pd.testing.assert_frame_equal(part.rows, table(learnt)[:5], check_exact=True)
    whole = plasticity.train(run, tmp_path, progress=False)
    assert whole.state.attempt == 2
    pd.testing.assert_frame_equal(whole.rows, table(learnt), check_exact=True)


def test_ctrl_c_keeps_a_checkpoint_that_the_next_call_resumes(tmp_path):
    run = plasticity.compose(*TINY[1:], "dataset.tasks=40000")
    folder = RunFolder.of(tmp_path, run)

    def interrupt():
        while folder.last_row() is None:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        plasticity.train(run, tmp_path, progress=False)
    state = folder.stored_state()
    assert state.status == "stopped" and 0 < state.tasks_done < 40_000 and folder.has_checkpoint()


def test_a_run_that_diverges_fails_in_a_folder_and_without_one(tmp_path):
    run = plasticity.compose(*TINY, "optimiser.step_size=1e20")
    with pytest.raises(UserError, match="The run failed: diverged in task 0 at step"):
        plasticity.train(run, tmp_path, progress=False)
    with pytest.raises(UserError, match="The run failed: diverged in task 0 at step"):
        plasticity.train(run, progress=False)
    with pytest.raises(Diverged, match="task 0"):
        list(plasticity.learn(run))
    none = plasticity.load(tmp_path, run)
    assert len(none.rows) == 0 and none.score is None


def test_a_run_that_another_process_computes_is_left_alone(run, tmp_path):
    folder = RunFolder.of(tmp_path, run)
    folder.create(run)
    with folder.claim() as held:
        assert held
        with pytest.raises(UserError, match="is being computed by another process"):
            plasticity.train(run, tmp_path, progress=False)


def test_a_run_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}/0123456789ab holds no run"):
        plasticity.load(tmp_path, "0123456789ab")


def test_an_engine_that_cannot_compute_a_run_says_so(run):
    with pytest.raises(UserError, match=r"engine=cuda is refused: it must be one of auto, "):
        plasticity.train(run, engine="cuda")
    with pytest.raises(UserError, match=r"engine=native cannot compute this run: activation=crelu"):
        next(plasticity.learn(replace(run, activation="crelu"), engine="native"))


def test_every_public_name_is_where_it_is_said_to_be():
    assert set(plasticity.__all__) == {"__version__", *plasticity._MODULE} and len(plasticity.__all__) > 20
    for name in plasticity.__all__:
        assert getattr(plasticity, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Netwrok'"):
        _ = plasticity.Netwrok


SCRIPT = """
import sys

import plasticity
from plasticity import Activation
from plasticity.engines import choose
from plasticity.launch.start import main

CELL = '''
class Gate(Activation):
    gain = 1.0

    def __call__(self, z):
        return {factor} * z.clamp(min=0)
'''
for factor in (0.5, 1.5):
    exec(CELL.format(factor=factor))
    run = plasticity.compose(*TINY, "activation=__main__.Gate")
    scores = [plasticity.train(run, progress=False, engine=name).score for name in ("auto", "reference")]
    print(type(run.activation) is Gate, choose("auto", run).engine, abs(scores[0] - scores[1]) < 0.03)
sys.argv[1:] = [*TINY, "activation=__main__.Gate"]
main()
"""


def test_parts_of_the_script_itself_run_in_its_process_and_no_launch_takes_them(tmp_path):
    (tmp_path / "mine.py").write_text(f"TINY = {TINY[1:]} + ['dataset.tasks=2']\n{SCRIPT}")
    process = subprocess.run(
        [sys.executable, "mine.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    engine = "native" if native.unavailable() is None else "reference"
    assert process.stdout == f"True {engine} True\n" * 2, process.stderr
    assert process.stderr == (
        "activation=__main__.Gate is refused: it must be a class in a module that other processes can import; "
        "one defined in a notebook, or in the script that was started, works only with plasticity.train.\n"
    )
    assert process.returncode == 1 and not list((tmp_path / "runs").glob("*/config.yaml"))
