import numpy as np
import pytest
from fabricate import fabricate

from analysis import summarise
from analysis.claims import findings
from analysis.grid import cells
from analysis.paper import FINDINGS, run

CELLS = {
    "all": 0.84, "layer_1": 0.83, "layer_2": 0.71, "layer_3": 0.68, "last": 0.61,
    "none": 0.60, "except_first": 0.75,
}  # fmt: skip
SEEDS = (-0.001, 0.0, 0.001)
"""Each cell has the sample variance 0.1² in percentage points. A difference of two has the half length
t(4) · √(2/3) · 0.1 = 0.227."""


def judged(directory, network="width_100", seeds=SEEDS, **changed):
    """The findings on a network, by claim; cells are 100 times the scores given, and None is not run."""
    for replacement, score in (CELLS | changed).items():
        for seed, offset in enumerate(seeds):
            config = run(network, replacement, seed, 1, 10_000)
            if score is not None and config is not None:
                fabricate(directory, config, [score + offset])
    frame = findings(cells(summarise(directory), FINDINGS))
    own = frame[
        frame["network"].str.startswith(
            {"width_100": "Width 100", "tanh": "Tanh", "depth_2": "Depth 2"}[network]
        )
    ]
    return {finding.claim: finding for finding in own.drop_duplicates("claim").itertuples()}


def test_the_published_base_network_by_hand(tmp_path):
    found = judged(tmp_path)
    deeper, close, beats = found["a"], found["b"], found["c"]
    assert (deeper.verdict, close.verdict, beats.verdict) == ("holds", "holds", "holds")
    assert "d" not in found
    assert (deeper.value, deeper.low, deeper.high) == pytest.approx((22, 21.773, 22.227), abs=1e-3)
    # 12 runs in 4 ties of 3, in perfect order: ρ = 3·45 / √(3·45 · 143) = 0.972.
    assert deeper.detail == "ρ = -0.97; 1→2 falls, 2→3 falls, 3→5 falls"
    assert close.value == pytest.approx(23 / 24)
    assert close.detail == "all layers less no replacement: 24.0 [23.8, 24.2]"
    # Parts of the share: 1/24, 23/24² and 1/24² of cells whose errors are 0.1/√3.
    error = 0.1 / np.sqrt(3) * np.sqrt((1 / 24) ** 2 + (23 / 24**2) ** 2 + (1 / 24**2) ** 2)
    assert 2.776 * error < close.value - close.low < 3.182 * error  # between 3 and 4 degrees of freedom
    assert (beats.value, beats.low, beats.high) == pytest.approx((8, 7.773, 8.227), abs=1e-3)
    assert [found[claim].seeds for claim in "abc"] == [3, 3, 3]


def test_a_deeper_layer_that_helps_more_contradicts(tmp_path):
    found = judged(tmp_path, layer_2=0.60)["a"]
    assert found.detail.endswith("1→2 falls, 2→3 rises, 3→5 falls")
    assert found.verdict == "does not hold"


def test_an_interval_with_both_answers_is_open(tmp_path):
    found = judged(tmp_path, last=0.6805, except_first=0.829)
    assert found["a"].detail.endswith("3→5 within seeds")
    assert (found["a"].verdict, found["c"].verdict) == ("holds", "too few seeds")


def test_layer_1_far_from_all_or_behind_the_rest(tmp_path):
    found = judged(tmp_path, layer_1=0.72)
    assert found["b"].value == pytest.approx(0.5)
    assert (found["b"].verdict, found["c"].verdict) == ("does not hold", "does not hold")


@pytest.mark.parametrize(("none", "verdict"), [(0.84, "too few seeds"), (0.85, "does not hold")])
def test_without_a_gap_there_is_no_share(tmp_path, none, verdict):
    found = judged(tmp_path, none=none)["b"]
    assert np.isnan(found.value)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("every", "verdict"),
    [(0.60, "holds"), (0.607, "holds"), (0.61, "too few seeds"), (0.62, "does not hold")],
)
def test_help_is_more_than_one_percentage_point(tmp_path, every, verdict):
    found = judged(tmp_path, network="tanh", all=every)["d"]
    assert found.value == pytest.approx(100 * every - 60)
    assert found.verdict == verdict


def test_depth_2_has_one_pair_of_layers(tmp_path):
    found = judged(tmp_path, network="depth_2", layer_2=None, except_first=None)
    assert found["a"].detail == "ρ = -0.88; 1→2 falls"
    assert found["c"].value == pytest.approx(22)  # layers 2 to L are the last layer


def test_fewer_than_two_seeds_are_too_few(tmp_path):
    found = judged(tmp_path, seeds=(0.0,))
    assert {(f.verdict, f.seeds) for f in found.values()} == {("too few seeds", 1)}
    found = judged(tmp_path / "other", none=None)
    assert (found["a"].verdict, found["b"].verdict, found["b"].seeds) == ("holds", "too few seeds", 0)
