import pandas as pd
import pytest
from fabricate import cell, put

from analysis import grid, summarise
from analysis.compare import compare, comparison


def test_comparison_by_hand(tmp_path):
    # Published for width 20, all layers: 79.2 ± 0.1. Ours: 79.5, 79.6, 79.7: mean 79.6, sample variance 0.01.
    # Theirs, rounded in our favour: 0.15² · 3/2 = 0.03375. Error √(0.01/3 + 0.03375/3) = 0.1207 with
    # 0.014583² / (0.003333²/2 + 0.01125²/2) = 3.0895 degrees of freedom, t = 3.13; 0.378 + 0.05.
    put(tmp_path, "width_20", "all", [0.795, 0.796, 0.797])
    put(tmp_path, "width_20", "layer_1", [0.775, 0.776, 0.777])
    put(tmp_path, "width_20", "last", [0.5])
    compared = compare(grid(summarise(tmp_path)))
    assert len(compared) == 68
    own = cell(compared, "width", "Width 20", "all")
    assert (own["published_mean"], own["published_std"]) == (79.2, 0.1)
    assert own["difference"] == pytest.approx(0.4)
    assert own["explained"] == pytest.approx(0.428, abs=0.002)
    assert own["within"]
    other = cell(compared, "width", "Width 20", "layer_1")  # 76.1 ± 0.2, 1.5 away
    assert not other["within"]
    assert pd.isna(cell(compared, "width", "Width 20", "last")["within"])
    said = comparison(compared).notes[0]
    assert said == "Of 68 cells, 1 lie within what seeds explain, 1 outside, and 66 cannot be judged."
