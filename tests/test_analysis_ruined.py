"""Ruined folders and files: what cannot be used is named and left out, and everything else is collected."""

import pandas as pd
import pytest
from fabricate import fabricate

from analysis import load_runs, summarise
from analysis.collect import collect
from plasticity.errors import UserError


def edit(name, old, new):
    def ruin(folder):
        path = folder.path / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return ruin


RUINED = {
    "a torn row": edit("tasks.csv", "\n1,0.25,", "\n1,0.2"),
    "a row of words": edit("tasks.csv", "\n1,0.25,", "\n1,half,"),
    "a column of words": edit("tasks.csv", ",7\n", ",seven\n"),
    "a column less": edit("tasks.csv", "task,accuracy", "task,accurbcy"),
    "names that are no text": lambda folder: (folder.path / "tasks.csv").write_bytes(
        (folder.path / "tasks.csv").read_bytes().replace(b"loss", b"lo\x80s", 1)
    ),
    "a width in words": edit("config.yaml", "width: 100", "width: wide"),
    "a seed in words": edit("config.yaml", "seed: 0", "seed: [1]"),
    "a state in words": edit("state.json", '"attempt": 1', '"attempt": "one"'),
    "a score in words": edit("state.json", '"score": 0.25', '"score": "good"'),
}


@pytest.mark.parametrize("ruin", RUINED)
def test_a_ruined_run_is_named_and_left_out_and_the_others_are_collected(tmp_path, ruin):
    runs, results = tmp_path / "runs", tmp_path / "results"
    bad = fabricate(runs, {}, [0.5, 0.25])
    fine = fabricate(runs, {"dataset": {"tasks": 2}, "seed": 1}, [0.5, 0.25])
    RUINED[ruin](bad)
    said = collect([str(runs)], results)
    assert f"left out: {bad.identity} is " in said and "1 finished and 0 failed runs" in said
    assert list(summarise(results)["run"]) == [fine.identity]
    assert set(load_runs(runs)["run"]) == {fine.identity}


@pytest.mark.parametrize(
    ("file", "column", "value"),
    [
        ("runs", "score", "good"),
        ("runs", "updated", "now"),
        ("runs", "run", 3),
        ("tasks", "accuracy", "half"),
    ],
)
def test_collected_results_of_wrong_kinds_are_refused_by_column(tmp_path, file, column, value):
    fabricate(tmp_path / "runs", {}, [0.5])
    collect([str(tmp_path / "runs")], tmp_path / "results")
    (path,) = (tmp_path / "results" / file).glob("*.parquet")
    pd.read_parquet(path).assign(**{column: value}).to_parquet(path)
    with pytest.raises(UserError, match=rf"{path} cannot be used: its column {column} must hold"):
        load_runs(tmp_path / "results")
