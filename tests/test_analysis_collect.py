import fcntl
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import wait_for
from fabricate import fabricate

from analysis import load_runs, summarise
from analysis.collect import collect
from analysis.pieces import Piece
from analysis.results import Results
from plasticity.errors import UserError

KEPT = ["run", "task", "accuracy", "loss", "weight_magnitude"]


def test_collected_runs_load_as_the_folders_do(tmp_path):
    runs, results = tmp_path / "runs", tmp_path / "results"
    fabricate(runs, {"replacement": {"layers": [1, 3]}}, [1 / 3, 0.1 + 0.2, 0.5])
    fabricate(
        runs,
        {"model": {"depth": 2}, "seed": 1, "dataset": {"tasks": 9}},
        [0.25],
        status="failed",
        reason="no",
    )
    said = collect([str(runs)], results)
    assert said.startswith(f"1 finished and 1 failed runs are in {results}: ")
    assert said.endswith(" MB in 2 pieces, of which 2 changed.")
    tasks, there = load_runs(runs), load_runs(results)
    config = [
        name for name in there if "." in name and not name.startswith(("replaced", "weight_magnitude."))
    ]
    assert len(config) > 15 and "weight_magnitude.layer_5" in there
    pd.testing.assert_frame_equal(there[[*KEPT, *config]], tasks[[*KEPT, *config]])
    pd.testing.assert_frame_equal(there, tasks, check_dtype=False)
    ours = ["run", "status", "tasks_done", "score", "reason", "command", "provenance.commit", *config]
    pd.testing.assert_frame_equal(summarise(results)[ours], summarise(runs)[ours])


def test_measures_are_collected_to_four_digits_and_counts_exactly(tmp_path):
    ranks = {"rank.layer_1": 100, "stable_rank.layer_1": 1 / 7}
    extra = [
        ranks | {"dead_units.layer_1": 2**20 + 1, "utility_min.layer_1": -2e-7 / 3},
        {"dead_units.layer_1": 2**20 + 1, "utility_min.layer_1": 0.0},
        ranks | {"dead_units.layer_1": 2**20 + 1, "utility_min.layer_1": float("nan")},
    ]
    fabricate(tmp_path / "runs", {}, [1 / 3, 0.5, 0.7], extra=extra)
    collect([str(tmp_path / "runs")], tmp_path / "results")
    there = load_runs(tmp_path / "results")
    assert list(there["accuracy"]) == [1 / 3, 0.5, 0.7]
    assert list(there["dead_units.layer_1"]) == [2**20 + 1] * 3
    assert there["rank.layer_1"].to_list()[::2] == [100, 100] and pd.isna(there["rank.layer_1"][1])
    assert there["stable_rank.layer_1"].to_list()[::2] == pytest.approx([1 / 7] * 2, rel=3.1e-5)
    assert there["stable_rank.layer_1"][0] != 1 / 7 and pd.isna(there["stable_rank.layer_1"][1])
    assert there["utility_min.layer_1"][0] == pytest.approx(-2e-7 / 3, rel=3.1e-5)
    assert there["utility_min.layer_1"][1] == 0 and pd.isna(there["utility_min.layer_1"][2])
    assert there["weight_magnitude.layer_1"].dtype == float


def test_unfinished_runs_are_not_results(tmp_path):
    fabricate(tmp_path / "runs", {"dataset": {"tasks": 2}}, [0.5], status="stopped")
    with pytest.raises(UserError, match="There are no finished runs in"):
        collect([str(tmp_path / "runs")], tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_collecting_again_adds_and_the_newer_finished_state_wins(tmp_path):
    results = tmp_path / "results"
    fabricate(tmp_path / "a", {}, [0.5], updated=1.0)
    fabricate(tmp_path / "a", {"seed": 1}, [0.5], updated=1.0)
    fabricate(tmp_path / "a", {"seed": 2}, [0.5], status="failed", reason="killed", updated=5.0)
    collect([str(tmp_path / "a")], results)
    fabricate(tmp_path / "b", {}, [0.75], updated=2.0)
    fabricate(tmp_path / "b", {"seed": 1}, [0.1], status="failed", reason="killed", updated=9.0)
    fabricate(tmp_path / "b", {"seed": 2}, [0.25], updated=1.0)
    fabricate(tmp_path / "b", {"seed": 3}, [0.125])
    collect([str(tmp_path / "b")], results)
    runs = summarise(results).sort_values("seed")
    assert list(runs["status"]) == ["finished"] * 4
    assert list(runs["score"]) == [0.75, 0.5, 0.25, 0.125]
    assert list(load_runs(results).sort_values("seed")["accuracy"]) == [0.75, 0.5, 0.25, 0.125]


def test_a_run_computed_again_to_the_same_scores_stays_and_gets_the_measures_that_it_lacked(tmp_path):
    results, scores = tmp_path / "results", [0.5, 0.25, 0.75]
    changed = [{"weight_magnitude": 7.0}] * 3
    for seed in range(3):
        fabricate(tmp_path / "a", {"seed": seed}, scores, updated=1.0)
    collect([str(tmp_path / "a")], results)
    before, runs = load_runs(results), summarise(results)
    measured = [row | {"rank.layer_1": 3.0} for row in changed]
    fabricate(tmp_path / "b", {"seed": 0}, scores, updated=2.0, extra=measured)
    fabricate(tmp_path / "b", {"seed": 1}, [0.5, 0.25, 0.5], updated=2.0, extra=measured)
    collect([str(tmp_path / "b")], results)
    after = load_runs(results)
    first, second, third = (after[after["seed"] == seed] for seed in range(3))
    assert first["rank.layer_1"].tolist() == second["rank.layer_1"].tolist() == [3.0] * 3
    assert third["rank.layer_1"].isna().all()
    columns = list(before)
    pd.testing.assert_frame_equal(first[columns], before[before["seed"] == 0])
    pd.testing.assert_frame_equal(third[columns], before[before["seed"] == 2])
    assert (second["weight_magnitude"] == 7).all() and second["accuracy"].tolist()[-1] == 0.5
    shown = summarise(results).set_index("seed")["updated"]
    assert shown.to_dict() == {0: 1.0, 1: 2.0, 2: 1.0} and len(runs) == 3


def test_the_same_runs_give_the_same_bytes(tmp_path):
    results = tmp_path / "results"
    fabricate(tmp_path / "runs", {}, [0.5, 0.25])

    def collected():
        collect([str(tmp_path / "runs")], results)
        return [path.read_bytes() for path in sorted(results.glob("*/*"))]

    first = collected()
    assert len(first) == 2
    assert collected() == first
    shutil.rmtree(results)
    assert collected() == first


def test_dying_while_writing_leaves_the_old_results(tmp_path, monkeypatch):
    results = tmp_path / "results"
    fabricate(tmp_path / "runs", {}, [0.5])
    collect([str(tmp_path / "runs")], results)
    before = {path: path.read_bytes() for path in results.glob("*/*")}
    assert len(before) == 2
    fabricate(tmp_path / "runs", {"seed": 1}, [0.5])

    def full(frame, path, **options):
        path.write(b"PAR1")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(UserError, match="cannot be written to \\(No space left on device\\)"):
        collect([str(tmp_path / "runs")], results)
    assert {path: path.read_bytes() for path in results.glob("*/*")} == before


def test_results_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "piece.parquet").write_text("no Parquet")
    assert Results(tmp_path).exists()
    with pytest.raises(UserError, match=r"runs/piece\.parquet cannot be read"):
        summarise(tmp_path)


def opened(process, directory):
    """Whether a process has a directory open, as one that waits for its lock has."""
    files = Path(f"/proc/{process.pid}/fd").iterdir()
    return any(os.path.realpath(file) == str(directory) for file in files)


def test_two_that_collect_at_once_keep_the_runs_of_both(command, tmp_path):
    results = tmp_path / "results"
    for seed, name in enumerate("ABC"):
        fabricate(tmp_path / name, {"seed": seed}, [0.5])
    collect([str(tmp_path / "C")], results)
    lock = os.open(results, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    both = [
        command.fork("--runs", str(tmp_path / name), "--output", str(results), module="analysis.collect")
        for name in "AB"
    ]
    for process in both:
        wait_for(lambda waiting=process: opened(waiting, results), process)
    os.close(lock)
    assert [process.wait(60) for process in both] == [0, 0]
    assert sorted(summarise(results)["seed"]) == sorted(load_runs(results)["seed"]) == [0, 1, 2]


def test_without_locks_nothing_is_written_over_what_another_wrote_meanwhile(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    results = tmp_path / "results"
    for seed, name in enumerate("AB"):
        fabricate(tmp_path / name, {"seed": seed}, [0.5])
    collect([str(tmp_path / "A")], results)
    with Results(results).change() as write:
        read = summarise(results), load_runs(results)
        collect([str(tmp_path / "B")], results)
        with pytest.raises(UserError, match="was changed by another process meanwhile"):
            write(*read)
    assert sorted(summarise(results)["seed"]) == [0, 1]


@pytest.mark.parametrize(("missing", "other"), [("runs", "tasks"), ("tasks", "runs")])
def test_half_of_collected_results_is_refused_and_kept(tmp_path, missing, other):
    results = tmp_path / "results"
    fabricate(tmp_path / "A", {}, [0.5])
    fabricate(tmp_path / "B", {"seed": 1}, [0.5])
    collect([str(tmp_path / "A"), str(tmp_path / "B")], results)
    absent, there = (results / kind / "permuted_mnist-relu-5x100.parquet" for kind in (missing, other))
    absent.unlink()
    left = there.read_bytes()
    sentence = f"{absent} is missing, and {there} cannot be used without it"
    with pytest.raises(UserError, match=sentence):
        collect([str(tmp_path / "A")], results)
    with pytest.raises(UserError, match=sentence):
        summarise(results)
    assert list(results.glob("*/*")) == [there]
    assert there.read_bytes() == left


def test_a_collection_changes_only_the_pieces_of_its_runs(tmp_path):
    results, runs = tmp_path / "results", tmp_path / "runs"
    narrow = {"model": {"width": 20}}
    for network in ({}, narrow, {"activation": {"name": "tanh"}}):
        fabricate(runs, network, [0.5, 0.25], extra=[{"rank.layer_1": 3.0}, {}] if network else [])
    collect([str(runs)], results)
    kept = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in results.glob("*/*")}
    names = [f"permuted_mnist-{network}.parquet" for network in ("relu-5x100", "relu-5x20", "tanh-5x100")]
    assert sorted(map(str, kept)) == sorted(
        str(results / kind / x) for kind in ("runs", "tasks") for x in names
    )
    fabricate(tmp_path / "more", narrow | {"seed": 1}, [0.5], extra=[{"rank.layer_2": 1 / 3}])
    assert collect([str(tmp_path / "more")], results).endswith(" in 3 pieces, of which 1 changed.")
    changed = {path for path, (inode, _) in kept.items() if path.stat().st_ino != inode}
    assert changed == {results / kind / names[1] for kind in ("runs", "tasks")}
    both = load_runs(runs, tmp_path / "more")[[*KEPT, "rank.layer_1", "seed", "model.width"]]
    pd.testing.assert_frame_equal(load_runs(results)[list(both)], both)


@pytest.mark.parametrize("killed", [False, True])
def test_the_one_pair_of_earlier_versions_is_read_and_split(tmp_path, killed):
    results, runs = tmp_path / "results", tmp_path / "runs"
    for number, network in enumerate(({}, {"model": {"width": 20}})):
        fabricate(runs, network, [0.5, 0.25], updated=float(number + 1))
    summaries, rows = summarise(runs), load_runs(runs)
    results.mkdir()
    summaries.assign(score=0.0 if killed else summaries["score"]).to_parquet(results / "runs.parquet")
    rows[["run", "task", "accuracy", "loss", "weight_magnitude"]].to_parquet(results / "tasks.parquet")
    read = load_runs(results)
    pd.testing.assert_frame_equal(read[KEPT], rows[KEPT])
    if killed:  # after the first piece: its runs are in both
        Piece(*(results / kind / "permuted_mnist-relu-5x100.parquet" for kind in ("runs", "tasks"))).update(
            summaries[summaries["model.width"] == 100], rows[rows["model.width"] == 100].iloc[:, :5]
        )
        assert sorted(summarise(results)["score"]) == [0.0, 0.25]
    collect([str(runs)], results)
    assert not list(results.glob("*.parquet")) and len(list(results.glob("*/*.parquet"))) == 4
    pd.testing.assert_frame_equal(load_runs(results)[KEPT], rows[KEPT])
    pd.testing.assert_frame_equal(summarise(results)[["run", "score"]], summaries[["run", "score"]])
