from math import isnan, sqrt

import numpy as np
import pandas as pd
import pytest
from fabricate import cell, fabricate, put

from analysis import grid, summarise
from analysis.paper import COLUMNS, TABLE, published, run
from analysis.paper.grid import cells
from analysis.paper.notes import notes
from analysis.tables.layout import shown
from analysis.tables.summary import best as best_of
from plasticity.errors import UserError


def test_the_grid_has_the_cells_of_the_paper(tmp_path):
    put(tmp_path, "width_100", "all", [0.5])
    table = grid(summarise(tmp_path))
    paper = published().set_index(["section", "network", "replacement"])["mean"]
    assert len(table) == 14 * 5
    assert set(table.set_index(["section", "network", "replacement"]).index) == set(paper.index)
    absent = table[table["seeds"] + table["missing"] == 0]
    assert list(absent["replacement"]) == ["layer_3", "layer_3"]
    assert set(absent["network"]) == {"Depth 2"}
    assert sorted(paper[paper.isna()].index) == sorted(
        absent[["section", "network", "replacement"]].itertuples(index=False, name=None)
    )


def test_a_cell_by_hand_and_the_three_rows_that_share_it(tmp_path):
    # 80, 81 and 85 %: mean 82, deviations −2, −1, 3, population variance 14/3, sample variance 7.
    put(tmp_path, "width_100", "layer_1", [0.80, 0.81, 0.85])
    table = grid(summarise(tmp_path))
    for section, network in (("width", "Width 100"), ("activation", "ReLU"), ("depth", "Depth 5"),
                             ("depth_equal_parameters", "Depth 5")):  # fmt: skip
        own = cell(table, section, network, "layer_1")
        assert own["mean"] == pytest.approx(82, rel=1e-12)
        assert own["std"] == pytest.approx(sqrt(14 / 3), rel=1e-12)
        assert own["sem"] == pytest.approx(sqrt(7 / 3), rel=1e-12)
        assert (own["seeds"], own["missing"]) == (3, 0)
        assert shown(own) == "82.0 ± 2.2"
    assert isnan(cell(table, "width", "Width 20", "layer_1")["mean"])
    assert cell(table, "width", "Width 20", "layer_1")["missing"] == 3


def test_depth_2_shares_its_last_layer_with_layer_2(tmp_path):
    put(tmp_path, "depth_2", "last", [0.5, 0.75])
    table = grid(summarise(tmp_path))
    assert cell(table, "depth", "Depth 2", "layer_2")["mean"] == 62.5
    assert cell(table, "depth", "Depth 2", "last")["mean"] == 62.5


def test_runs_that_do_not_count_are_missing_and_named(tmp_path):
    put(tmp_path, "width_20", "all", [0.5, 0.75], tasks=10)
    config = run("width_20", "all", 2, 10, 10_000)
    fabricate(tmp_path, config, [0.5] * 9 + [float("nan")])
    put(tmp_path, "width_20", "layer_1", [0.5], tasks=10, status="failed", reason="diverged in task 9.")
    put(tmp_path, "selu", "all", [0.5], tasks=10, status="stopped")
    fabricate(tmp_path, run("tanh", "last", 1, 10, 10_000), [0.5] * 9)
    runs = summarise(tmp_path)
    own = cell(grid(runs), "width", "Width 20", "all")
    assert (own["mean"], own["std"], own["seeds"], own["missing"]) == (62.5, 12.5, 2, 1)
    assert shown(own) == "62.5 ± 12.5 (2)"
    said = notes(runs, cells(runs))
    assert said[0] == "Missing: 151 of 153 runs of experiment=table_1."
    (invalid,) = (
        s for s in said if s.startswith("Width 20, all layers, seed 2: incomplete: tasks.csv is invalid: ")
    )
    assert "accuracy" in invalid and "nan" in invalid and config.identity in invalid
    assert any(s.startswith("Width 20, layer 1, seed 0: failed: diverged in task 9 (") for s in said)
    assert "Width 20, layer 1, seed 1, 2: no such run." in said
    assert any(s.startswith("SELU, all layers, seed 0: stopped, 10 of 10 tasks done (") for s in said)
    assert any(
        "tasks.csv holds 9 of 10 tasks" in s and s.startswith("Tanh, last layer, seed 1") for s in said
    )
    assert "Depth 2, all layers, layer 1, layer 2, last layer, seed 0, 1, 2: no such run." in said


def test_a_run_with_another_setting_belongs_to_no_cell(tmp_path):
    put(tmp_path, "width_100", "all", [0.5])
    other = {"dataset": {"tasks": 1}, "seed": 1}
    fabricate(tmp_path, other | {"optimiser": {"step_size": 0.004}}, [0.9])
    fabricate(tmp_path, other | {"regulariser": {"name": "l2", "strength": 1e-3}}, [0.9])
    fabricate(tmp_path, other | {"replacement": {"bias_compensation": True}}, [0.9])
    fabricate(tmp_path, other | {"replacement": {"maturity_threshold": 50}}, [0.9])
    own = cell(grid(summarise(tmp_path)), "width", "Width 100", "all")
    assert (own["mean"], own["seeds"], own["missing"]) == (50, 1, 2)
    assert shown(own) == "50.0 (1)"


def test_a_run_collected_and_on_disk_counts_once(tmp_path):
    put(tmp_path / "a", "width_100", "all", [0.5, 0.75])
    put(tmp_path / "b", "width_100", "all", [0.5])
    own = cell(grid(summarise(tmp_path / "a", tmp_path / "b")), "width", "Width 100", "all")
    assert (own["mean"], own["seeds"]) == (62.5, 2)


def test_seeds_beyond_those_asked_for_are_mentioned(tmp_path):
    put(tmp_path, "width_100", "all", [0.5, 0.5, 0.5, 0.9])
    runs = summarise(tmp_path)
    assert cell(grid(runs), "width", "Width 100", "all")["mean"] == 50
    assert notes(runs, cells(runs))[-1] == "There are finished runs of further seeds, which --seeds 4 shows."
    assert cell(grid(runs, seeds=4), "width", "Width 100", "all")["mean"] == pytest.approx(60)


def test_lengths_are_not_mixed(tmp_path):
    put(tmp_path, "width_100", "all", [0.5], tasks=1)
    put(tmp_path, "width_100", "layer_1", [0.75], tasks=10)
    runs = summarise(tmp_path)
    with pytest.raises(
        UserError, match=r"1 with 1 tasks × 10,000 examples; 1 with 10 tasks × 10,000.*--tasks"
    ):
        grid(runs)
    assert cell(grid(runs, tasks=10), "width", "Width 100", "layer_1")["mean"] == 75
    assert cell(grid(runs, tasks=10), "width", "Width 100", "all")["missing"] == 3
    with pytest.raises(UserError, match="not of the requested length"):
        grid(runs, tasks=7)


def test_runs_that_are_not_part_of_the_table_are_refused(tmp_path):
    fabricate(tmp_path, {"model": {"width": 7}}, [0.5])
    with pytest.raises(UserError, match="None of the 1 runs belongs to Table 1"):
        grid(summarise(tmp_path))


def test_versions_that_differ_are_marked(tmp_path):
    put(tmp_path, "width_100", "all", [0.5, 0.5])
    runs = summarise(tmp_path)
    assert not any("versions" in note for note in notes(runs, cells(runs)))
    put(tmp_path, "width_100", "last", [0.5], commit="1234567890abcdef-dirty")
    runs = summarise(tmp_path)
    assert (
        "The runs were computed by different versions: 2 by 0.1.0 (c0ffee), engine native; "
        "1 by 0.1.0 (1234567890ab-dirty), engine native." in notes(runs, cells(runs))
    )


def row(*means, seeds=3, missing=0):
    """A row of the grid: all layers, and four layers."""
    return pd.DataFrame({"replacement": list(COLUMNS), "mean": means, "seeds": seeds, "missing": missing})


def best(own):
    return best_of(own, own["replacement"].isin(TABLE.among))


def test_the_best_individual_layers_are_those_that_share_the_best_shown_value():
    assert list(best(row(99.0, 76.04, 75.0, 75.96, 76.0))) == [False, True, False, True, True]
    assert list(best(row(99.0, 76.06, 75.0, 76.04, 60.0))) == [False, True, False, False, False]


def test_no_layer_is_best_while_one_has_no_seed_and_a_layer_that_is_not_there_does_not_matter():
    means = (80.0, 70.0, np.nan, 60.0, 50.0)
    assert not best(row(*means, seeds=[3, 3, 0, 3, 3], missing=[0, 0, 3, 0, 0])).any()
    assert list(best(row(*means, seeds=[3, 3, 0, 3, 3], missing=0))) == [False, True, False, False, False]
