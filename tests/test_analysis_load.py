import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from fabricate import fabricate

from analysis import load_runs, summarise
from plasticity.errors import UserError


def test_load_runs_gives_a_row_per_run_and_task_with_the_config_as_columns(tmp_path):
    first = fabricate(
        tmp_path, {"model": {"width": 20}, "replacement": {"layers": [3, 1]}}, [0.5, 0.25, 1 / 3]
    )
    second = fabricate(
        tmp_path, {"model": {"depth": 6}, "replacement": {"layers": "none"}, "seed": 4}, [0.75]
    )
    tasks = load_runs(tmp_path)
    assert len(tasks) == 4
    own = tasks[tasks["run"] == first.identity]
    assert list(own["task"]) == [0, 1, 2]
    assert list(own["accuracy"]) == [0.5, 0.25, 1 / 3]  # to the last bit
    assert set(own["model.width"]) == {20}
    assert set(own["replacement.layers"]) == {"1,3"}
    assert set(own["activation.name"]) == {"relu"}
    assert own["weight_magnitude.layer_6"].isna().all()
    other = tasks[tasks["run"] == second.identity].iloc[0]
    assert (other["replacement.layers"], other["seed"], other["status"]) == ("none", 4, "finished")
    assert (other["weight_magnitude"], other["weight_magnitude.layer_6"], other["replaced.layer_6"]) == (
        700,
        100,
        7,
    )


def test_a_torn_last_row_does_not_count(tmp_path):
    folder = fabricate(tmp_path, {"dataset": {"tasks": 5}}, [0.5, 0.25, 0.125], status="stopped")
    with open(folder.path / "tasks.csv", "ab") as file:
        file.write(b"3,0.9")
    assert list(load_runs(tmp_path)["accuracy"]) == [0.5, 0.25, 0.125]
    assert summarise(tmp_path)["tasks_done"].item() == 3


def test_a_run_without_rows_is_a_run(tmp_path):
    fabricate(tmp_path, {"dataset": {"tasks": 5}}, [], status="failed", reason="killed")
    assert load_runs(tmp_path).empty
    run = summarise(tmp_path).iloc[0]
    assert (run["status"], run["tasks_done"], run["reason"]) == ("failed", 0, "killed")
    assert np.isnan(run["score"])


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([k / 2_000 for k in range(1_100)], 1_017 / 2_000),  # the mean of 935 … 1,099, the last 165
        ([0.1] * 8 + [0.5, 0.75], 0.625),  # the last 2
        ([0.375], 0.375),
    ],
)
def test_score_is_the_mean_over_the_last_15_percent_of_the_rows(tmp_path, accuracies, expected):
    fabricate(tmp_path, {}, accuracies)
    assert summarise(tmp_path)["score"].item() == pytest.approx(expected, rel=1e-12)


def test_a_finished_run_one_task_short_has_no_score(tmp_path):
    fabricate(tmp_path, {"dataset": {"tasks": 10}}, [0.5] * 9)
    run = summarise(tmp_path).iloc[0]
    assert (run["status"], run["tasks_done"]) == ("incomplete", 9)
    assert "9 of 10 tasks" in run["reason"]
    assert np.isnan(run["score"])


def test_a_finished_run_with_an_accuracy_that_is_not_a_number_has_no_score(tmp_path):
    fabricate(tmp_path, {}, [0.5] * 9 + [float("nan")])
    run = summarise(tmp_path).iloc[0]
    assert run["status"] == "incomplete" and "accuracy" in run["reason"] and "nan" in run["reason"]
    assert np.isnan(run["score"])


def test_a_run_that_nobody_holds_is_interrupted(tmp_path):
    config = {"dataset": {"tasks": 5}}
    folder = fabricate(tmp_path, config, [0.5], status="running")
    assert summarise(tmp_path)["status"].item() == "interrupted"
    with folder.claim() as held:
        assert held
        assert summarise(tmp_path)["status"].item() == "running"
    assert summarise(tmp_path)["status"].item() == "interrupted"


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("state.json", "{", "unreadable"),
        ("state.json", '{"status": "finished", "tasks_done": 2.7}', "unreadable"),
        ("config.yaml", "model: [", "unreadable"),
        ("config.yaml", "", "unreadable"),
        ("tasks.csv", "a\nb\n", "incomplete"),
        ("tasks.csv", "task,accuracy\n0,half\n", "incomplete"),
        ("tasks.csv", "task,accuracy\n1,0.5\n", "incomplete"),
        ("tasks.csv", "task,loss\n0,0.5\n", "incomplete"),
    ],
)
def test_a_folder_that_makes_no_sense_is_listed(tmp_path, name, text, status):
    folder = fabricate(tmp_path, {}, [0.5])
    (folder.path / name).write_text(text)
    fabricate(tmp_path, {"seed": 1}, [0.5])
    runs = summarise(tmp_path).set_index("run")
    assert runs.loc[folder.identity, "status"] == status
    assert name in runs.loc[folder.identity, "reason"]
    assert sorted(runs["status"]) == ["finished", status]
    assert len(load_runs(tmp_path)) == 1


def test_a_run_in_two_directories_counts_once_and_finished_goes_first(tmp_path):
    config = {"dataset": {"tasks": 2}}
    fabricate(tmp_path / "a", config, [0.5, 0.5], updated=1.0)
    fabricate(tmp_path / "b", config, [0.25], status="stopped", updated=9.0)
    fabricate(tmp_path / "c", config, [0.75, 0.75], updated=2.0)
    assert summarise(tmp_path / "a", tmp_path / "b")["score"].item() == 0.5
    later = summarise(tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert (len(later), later["score"].item()) == (1, 0.75)
    assert list(load_runs(tmp_path / "c", tmp_path / "a")["accuracy"]) == [0.75, 0.75]


def test_a_directory_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"There are no runs in .*nowhere"):
        summarise(tmp_path / "nowhere")


def test_an_empty_directory_has_no_runs(tmp_path):
    assert summarise(tmp_path).empty
    assert {"run", "status", "score"} <= set(summarise(tmp_path))
    assert {"run", "task", "accuracy"} <= set(load_runs(tmp_path))


def test_the_command_of_a_run_computes_that_run(command):
    values = {
        "model": {"width": 20, "depth": 3},
        "activation": {"name": "selu"},
        "replacement": {"layers": [1, 3], "rate": 1e-6, "bias_compensation": True},
        "regulariser": {"name": "l2", "strength": 1e-3},
        "seed": 3,
    }
    fabricate(command.runs, values, [0.5])
    fabricate(command.runs, {"replacement": {"layers": "none"}}, [0.5])
    for _, run in summarise(command.runs).iterrows():
        python, launch, *arguments = run["command"].replace("'", "").split()
        answer = command(*arguments, "launch.dry_run=true")
        assert (python, launch) == ("python", "launch.py")
        assert answer.returncode == 0 and "1 finished, 0 resumed, 0 new" in answer.stdout


def test_neither_torch_nor_an_engine_is_imported():
    commands = ("table_1", "findings", "runs", "collect", "calibration")
    code = f"import sys, analysis, {', '.join(f'analysis.{name}' for name in commands)}\n"
    code += "engines = [f'plasticity.engines.{name}' for name in ('native', 'reference', 'kernel')]\n"
    code += "print([name for name in sys.modules if name == 'torch' or name in engines])"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_frames_hold_numbers_as_numbers(tmp_path):
    fabricate(tmp_path, {}, [0.5])
    runs = summarise(tmp_path)
    for column in ("score", "optimiser.step_size", "model.width", "seed", "tasks_done"):
        assert pd.api.types.is_numeric_dtype(runs[column]), column
