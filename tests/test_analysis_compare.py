from math import sqrt

import numpy as np
import pandas as pd
import pytest
from fabricate import cell, put
from scipy import stats

from analysis import summarise
from analysis.paper import COMPARISON, NAMES, TABLE
from analysis.paper.calibration import draw
from analysis.paper.grid import cells, compare
from analysis.statistics import Estimate
from analysis.tables import beside
from analysis.tables.published import Pooled, normal_score, p_different, rounded

ROUNDING = 0.05
"""What one decimal leaves open."""


def compared(directory):
    return compare(cells(summarise(directory)))


def comparison(found):
    return beside.comparison(found.rename(columns={own: name for name, own in NAMES.items()}), COMPARISON)


def test_a_difference_by_hand(tmp_path):
    # Published for width 20, all layers: 79.2 ± 0.1. Ours: 79.5, 79.6, 79.7, 79.8: mean 79.65, squares 0.05.
    # v = (0.05 + 3 (0.01 + 0.0025/3)) / 5 = 0.0165 on 5 degrees of freedom; error by seeds √(0.0165 · 7/12).
    put(tmp_path, "width_20", "all", [0.795, 0.796, 0.797, 0.798])
    own = cell(compare(cells(summarise(tmp_path), seeds=4)), "width", "Width 20", "all")
    assert (own["published_mean"], own["published_std"]) == (79.2, 0.1)
    seeds, both = sqrt(0.0165 * 7 / 12), sqrt(0.0165 * 7 / 12 + 0.0025 / 3)
    assert (own["difference"], own["error"], own["degrees"]) == (pytest.approx(0.45), pytest.approx(both), 5)
    assert own["p_different"] == pytest.approx(2 * stats.t.sf(0.40 / seeds, 5))  # rounding against the test
    assert own["p_equivalent"] == pytest.approx(stats.t.sf(0.50 / seeds, 5))
    assert own["score"] == pytest.approx(stats.norm.isf(stats.t.sf(0.45 / both, 5)))
    assert own["verdict"] == "equivalent"


def test_the_pooled_error_is_that_of_the_t_test_but_for_rounding():
    ours, theirs = np.array([70.1, 71.2, 72.9, 70.4]), np.array([69.0, 71.5, 73.4])
    row = pd.Series({"seeds": 4, "std": np.std(ours), "published_std": np.std(theirs)})
    estimate = Pooled.of(row, TABLE.published).difference(float(np.mean(ours) - np.mean(theirs)))
    oracle = stats.ttest_ind(ours, theirs)
    assert estimate.degrees == oracle.df
    assert estimate.p_different() == pytest.approx(oracle.pvalue, abs=1e-3)


def test_verdicts(tmp_path):
    put(tmp_path, "width_20", "all", [0.795, 0.796, 0.797])  # 79.2 ± 0.1 published
    put(tmp_path, "width_20", "layer_1", [0.745, 0.746, 0.747])  # 76.1 ± 0.2
    put(tmp_path, "width_20", "layer_2", [0.58, 0.60, 0.623])  # 59.5 ± 1.3
    put(tmp_path, "depth_2", "layer_1", [0.863, 0.869, 0.875])  # 86.8 ± 0.1
    put(tmp_path, "width_20", "last", [0.5])
    found = compared(tmp_path)
    own = {name: cell(found, "width", "Width 20", name) for name in ("all", "layer_1", "layer_2", "last")}
    own["depth_2"] = cell(found, "depth", "Depth 2", "layer_1")
    assert [own[name]["verdict"] for name in ("all", "layer_1", "layer_2", "depth_2")] == [
        "equivalent", "differs", "undecided", "undecided"
    ]  # fmt: skip
    assert pd.isna(own["last"]["verdict"]) and pd.isna(own["last"]["error"])
    # However many seeds we had, three published ones that scatter by more than a point would show nothing.
    assert pd.isna(own["layer_2"]["needed"])
    assert own["depth_2"]["needed"] > 3
    # Holm: four cells are judged, and the smallest of their p values is multiplied by 4.
    first = found["p_equivalent"].idxmin()
    value, error, degrees = found.loc[first, ["difference", "error", "degrees"]]
    alone = stats.t.sf((0.95 - abs(value)) / sqrt(error**2 - 0.0025 / 3), degrees)
    assert found.loc[first, "p_equivalent"] == pytest.approx(4 * alone)
    said = comparison(found).notes
    assert said[0] == (
        "Of 51 distinct cells, 1 are equivalent to the published within ± 1 point, 1 differ, 2 are "
        "undecided, and 47 cannot be judged."
    )
    differences = np.array([0.4, -1.5, 0.6, 0.1])
    assert (
        f"mean {differences.mean():+.2f}, root mean square {np.sqrt((differences**2).mean()):.2f} " in said[1]
    )
    assert "largest -1.5 (Width 20, layer 1)" in said[1]
    assert "have 0.35 to 1.67." in said[1]  # √(χ²/4) at 2.5 and 97.5 %: √(0.4844/4), √(11.143/4)
    words = [[own.text for own in row] for row in comparison(found).rows]
    assert [row[-1] for row in words if row[0] == "Width 20"] == [
        "equivalent", "differs", "undecided (no number)", "–", "–"
    ]  # fmt: skip


def test_every_cell_counts_once(tmp_path):
    put(tmp_path, "width_100", "all", [0.845, 0.846, 0.847])
    put(tmp_path, "depth_2", "last", [0.819, 0.82, 0.818])
    found = compared(tmp_path)
    assert len(found) == 51 and found["error"].notna().sum() == 2
    assert found.groupby("section")["names"].count().to_dict() == {
        "width": 25, "activation": 10, "depth": 8, "depth_equal_parameters": 8,
    }  # fmt: skip
    base = found[found["names"] == "Width 100 = ReLU = Depth 5"]
    assert set(base["section"]) == {"width"} and len(base) == 5
    assert list(found.loc[found["names"] == "Depth 2", "replacement"]) == ["all", "layer_1", "layer_2"]
    assert cell(found, "depth", "Depth 2", "layer_2")["mean"] == pytest.approx(81.9)
    assert len(comparison(found).rows) == 51


def test_a_normal_score_has_the_place_of_its_t():
    assert normal_score(Estimate(2.776445 * 0.3, 0.3, 4)) == pytest.approx(1.959964, abs=1e-5)
    assert normal_score(Estimate(-4.302653, 1, 2)) == pytest.approx(-1.959964, abs=1e-5)
    far = stats.norm.isf(stats.t.sf(125, 11))
    assert normal_score(Estimate(5, 0.04, 11)) == -normal_score(Estimate(-5, 0.04, 11)) == pytest.approx(far)


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("deviation", [0.03, 0.3, 2.0])
def test_cells_of_one_experiment_that_are_printed_with_one_decimal(seeds, deviation):
    generator, number = np.random.default_rng(seeds), 3000
    ours = generator.normal(0.234, deviation, (number, seeds))
    theirs = generator.normal(0.234, deviation, (number, 3))
    means, spreads = theirs.mean(axis=1).round(1), theirs.std(axis=1).round(1)
    rows = pd.DataFrame({"seeds": seeds, "std": ours.std(axis=1), "published_std": spreads})
    pooled = [Pooled.of(row, TABLE.published) for _, row in rows.iterrows()]
    differences = ours.mean(axis=1) - means
    estimates = [own.difference(value) for own, value in zip(pooled, differences, strict=True)]
    tolerance = 4 * sqrt(0.05 * 0.95 / number)
    assert np.mean([p_different(estimate, ROUNDING) < 0.05 for estimate in estimates]) < 0.05 + tolerance
    for edge in (-1, 1):
        shifted = [own.difference(value + edge) for own, value in zip(pooled, differences, strict=True)]
        assert np.mean([own.p_equivalent(1 - ROUNDING) < 0.05 for own in shifted]) < 0.05 + tolerance
    if deviation > 0.1:  # otherwise most of the error is rounding, the same for all with this mean
        scores = [normal_score(rounded(estimate, ROUNDING)) for estimate in estimates]
        assert np.std(scores) == pytest.approx(1, abs=4 / sqrt(2 * number))
        assert np.mean(np.abs(scores) > 1.96) == pytest.approx(0.05, abs=tolerance)


def test_the_calibration_plot_shows_every_judged_cell_in_order(tmp_path):
    for network, score in (("width_20", 0.79), ("width_50", 0.83), ("width_150", 0.855)):
        put(tmp_path, network, "all", [score - 0.001, score, score + 0.001])
    found = compared(tmp_path)
    figure = draw(found)
    [axes] = figure.axes
    points = axes.lines[-1]
    assert list(points.get_ydata()) == sorted(found["score"].dropna())
    # Φ⁻¹ of 0.625, 1.625 and 2.625 of 3.25.
    assert list(points.get_xdata()) == pytest.approx(stats.norm.ppf([0.625 / 3.25, 0.5, 2.625 / 3.25]))
    assert [text.get_text() for text in axes.texts] == [
        "Width 20, all layers (-0.2)",
        "Width 50, all layers (+0.7)",
    ]
    figure.savefig(tmp_path / "calibration.png")
    assert (tmp_path / "calibration.png").stat().st_size > 10_000
