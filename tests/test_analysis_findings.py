import numpy as np
import pandas as pd
import pytest
from fabricate import put
from scipy import stats

from analysis import summarise
from analysis.paper import CELLS, names, published
from analysis.paper.claims import CLAIMS, MARGIN, needed
from analysis.paper.contrasts import ComparedNetwork, fall, layer
from analysis.paper.findings import layout
from analysis.paper.grid import cells
from analysis.paper.judgement import findings

NOISE = np.array([-1.0, 0.0, 1.0])

BASE = {
    "all": 84 + 0.0 * NOISE, "layer_1": 83 + 0.1 * NOISE, "layer_2": 71 + 0.2 * NOISE,
    "layer_3": 68 + 0.4 * NOISE, "layer_4": 65 - 0.1 * NOISE, "last": 61 + 0.3 * NOISE,
    "none": 60 + 0.3 * NOISE, "tuned_bp": 74 - 0.2 * NOISE, "except_first": 75 + 0.2 * NOISE,
    "tuned_l2": 82 + 0.3 * NOISE,
}  # fmt: skip
"""Scores of a network of 5 layers, in percent, over 3 seeds."""

FLAT = {
    "all": 76.0 - 0.02 * NOISE, "layer_1": 76.05 + 0.01 * NOISE, "layer_2": 76.02 - 0.03 * NOISE,
    "layer_3": 75.97 + 0.02 * NOISE, "layer_4": 76.03 + 0.01 * NOISE, "last": 76.01 - 0.01 * NOISE,
    "none": 76.1 + 0.02 * NOISE, "tuned_bp": 76.1 + 0.02 * NOISE, "except_first": 76.0 + 0.03 * NOISE,
    "tuned_l2": 76.2 + 0.01 * NOISE,
}  # fmt: skip
"""Scores of a network on which nothing makes a difference."""


def frame(same=(), **networks):
    """What `analysis.grid.cells` would find; a score that is NaN has no run. The `same` sets share runs."""
    return pd.DataFrame(
        {
            "network": network, "replacement": replacement, "seed": seed, "score": score / 100,
            "run": f"{network} {same[0] if replacement in same else replacement} {seed}",
        }
        for network, scores in networks.items()
        for replacement, own in scores.items()
        for seed, score in enumerate(own)
    )  # fmt: skip


def judged(network, scores, **changed):
    """The findings on one network, by claim."""
    scores = {cell: own for cell, own in (scores | changed).items() if own is not None}
    found = findings(frame(**{network: scores}))
    own = found[found["network"] == names(network)]
    return {finding.claim: finding for finding in own.itertuples()}


def assert_is_paired(finding, values):
    """Checks a finding on one network against scipy's t test of its contrast."""
    oracle = stats.ttest_1samp(values, 0)
    assert finding.p_different == pytest.approx(oracle.pvalue)
    assert (finding.low, finding.high) == pytest.approx(tuple(oracle.confidence_interval()))


def test_a_layer_of_a_network():
    assert [layer(number, 5) for number in (1, 2, 4, 5)] == ["layer_1", "layer_2", "layer_4", "last"]
    assert layer(5, 8) == "layer_5"


def test_the_fall_along_the_layers_by_hand():
    # x = −2 … 2, Σx² = 10: weights −4x/10.
    weights = fall(1, 5, 5)
    assert weights == pytest.approx(
        {"layer_1": 0.8, "layer_2": 0.4, "layer_3": 0, "layer_4": -0.4, "last": -0.8}
    )
    assert fall(1, 2, 2) == {"layer_1": 1, "last": -1}
    scores = [70.0, 69.5, 66.0, 66.5, 60.0, 61.0, 59.0]
    slope = stats.linregress(range(2, 9), scores).slope
    own = dict(zip([layer(number, 8) for number in range(2, 9)], scores, strict=True))
    total = sum(weight * own[cell] for cell, weight in fall(2, 8, 8).items())
    assert total == pytest.approx(-6 * slope)


def test_a_contrast_is_taken_within_seeds_that_have_all_of_its_cells():
    scores = {"all": [84.0, 85.0, np.nan, 87.0], "none": [60.0, np.nan, 62.0, 64.0], "last": [1, 2, 3, 4]}
    network = ComparedNetwork("width_100", frame(width_100=scores))
    assert network.values({"all": 1, "none": -1}) == pytest.approx(np.array([[24, 23]]))
    assert network.values({"all": 1}, {"last": 2}) == pytest.approx(np.array([[84, 85, 87], [2, 4, 8]]))
    assert network.values({"all": 1, "tuned_bp": -1}).shape == (1, 0)
    assert network.lacks({"all": 1, "none": -1, "tuned_bp": 1}) == (
        "all (seed 2); none (seed 1); tuned bp (seed 0, 1, 2, 3)"
    )


def test_a_network_that_is_as_the_paper_says():
    found = judged("width_100", BASE)
    assert [found[claim].verdict for claim in ("a1", "a2", "b1", "b2", "c", "e")] == ["holds"] * 6
    assert "d1" not in found
    assert {finding.seeds for finding in found.values()} == {3}
    # 0.8 · 83 + 0.4 · 71 − 0.4 · 65 − 0.8 · 61, and the same weights for the noise.
    assert found["a1"].value == pytest.approx(20)
    assert_is_paired(found["a1"], 20 + (0.08 + 0.08 + 0.04 - 0.24) * NOISE)
    # x = −1.5 … 1.5, Σx² = 5: (−1.5 · 71 − 0.5 · 68 + 0.5 · 65 + 1.5 · 61)/5 = −3.3 a layer.
    assert found["a2"].value == pytest.approx(9.9)
    assert_is_paired(found["c"], 8 - 0.1 * NOISE)
    assert found["c"].value == pytest.approx(8)
    assert_is_paired(found["e"], 2 - 0.3 * NOISE)


def test_weight_decay_that_scores_more():
    found = judged("width_100", BASE, tuned_l2=86 + 0.3 * NOISE)["e"]
    assert (found.verdict, found.value) == ("does not hold", pytest.approx(-2))


def test_both_shares_of_the_gap():
    found = judged("width_100", BASE)
    same, tuned = found["b1"], found["b2"]
    assert (same.value, tuned.value) == (pytest.approx(23 / 24), pytest.approx(9 / 10))
    assert same.detail == "gap 24.0 [23.3, 24.7]"
    # Layer 1 less the midpoint has 0.1 − 0.15 of the noise, the gap −0.3 of it: the larger of both p values.
    half, gap = (stats.ttest_1samp(values, 0).pvalue for values in (11 - 0.05 * NOISE, 24 - 0.3 * NOISE))
    assert same.p_different == pytest.approx(max(half, gap))
    for finding, base in ((same, BASE["none"]), (tuned, BASE["tuned_bp"])):
        for end in (finding.low, finding.high):
            rest = BASE["layer_1"] - base - end * (BASE["all"] - base)
            assert stats.ttest_1samp(rest, 0).pvalue == pytest.approx(0.05)


def test_layer_1_that_closes_less_than_half_of_the_gap():
    found = judged("width_100", BASE, layer_1=70 + 0.1 * NOISE)
    assert found["b1"].value == pytest.approx(10 / 24)
    assert [found[claim].verdict for claim in ("b1", "b2", "c")] == ["does not hold"] * 3
    assert found["b2"].value == pytest.approx(-4 / 10)


def test_without_a_gap_there_is_no_share():
    below = judged("width_100", BASE, none=90 + 0.3 * NOISE)["b1"]
    assert np.isnan(below.value)
    assert below.verdict == "does not hold"
    none = judged("width_100", BASE, none=84.1 + 0.01 * NOISE)["b1"]
    assert np.isnan(none.value)
    assert none.verdict == "equivalent"
    unclear = judged("width_100", BASE, none=83 + 3 * NOISE)["b1"]
    assert np.isnan(unclear.value)
    assert unclear.verdict == "undecided"


@pytest.mark.parametrize(
    ("first", "verdict"),
    [(83 + 0.01 * NOISE, "does not hold"), (83.5 + 0.01 * NOISE, "equivalent"), (83.5 + NOISE, "undecided")],
)
def test_layer_1_and_all_layers_are_the_same_only_where_that_is_shown(first, verdict):
    found = judged("width_100", BASE, layer_1=first, all=84 + 0.02 * NOISE)["b3"]
    assert found.verdict == verdict
    assert found.p_equivalent == pytest.approx(
        stats.ttest_1samp(84 + 0.02 * NOISE - first, MARGIN, alternative="less").pvalue
    )


def test_a_layer_that_helps_more_than_the_one_above_it_contradicts():
    found = judged("width_100", BASE, layer_3=80 + 0.1 * NOISE)["a1"]
    assert found.detail == "1→2 -12.0 falls, 2→3 +9.0 rises, 3→4 -15.0 falls, 4→5 -4.0 falls"
    assert found.p_different < 0.05 and found.value > 0
    assert found.verdict == "does not hold"


def test_steps_are_adjusted_for_each_other():
    found = judged("width_100", BASE)["a1"]
    assert found.detail == "1→2 -12.0 falls, 2→3 -3.0 falls, 3→4 -3.0 falls, 4→5 -4.0 falls"
    # Two steps that would be significant alone, but not as the last two of four.
    found = judged("width_100", BASE, layer_4=65 - 0.5 * NOISE, last=61 + 0.7 * NOISE)["a1"]
    for step in (3 + 0.9 * NOISE, 4 - 1.2 * NOISE):
        assert 0.025 < stats.ttest_1samp(step, 0).pvalue < 0.05
    assert found.detail == "1→2 -12.0 falls, 2→3 -3.0 falls, 3→4 -3.0 open, 4→5 -4.0 open"


def test_what_makes_no_difference_is_equivalent_and_no_lack_of_seeds():
    found = judged("selu", FLAT)
    assert {claim: finding.verdict for claim, finding in found.items()} == dict.fromkeys(CLAIMS, "equivalent")
    assert found["a1"].detail == "1→2 -0.0 level, 2→3 -0.0 level, 3→4 +0.1 level, 4→5 -0.0 level"


@pytest.mark.parametrize(
    ("every", "verdict"),
    [(74 + 0.1 * NOISE, "holds"), (78 + 0.1 * NOISE, "does not hold"), (78 + 2 * NOISE, "undecided")],
)
def test_help_without_relu(every, verdict):
    found = judged("tanh", FLAT, all=every)["d1"]
    assert found.value == pytest.approx(every[1] - 76.1)
    assert found.verdict == verdict


def test_networks_are_adjusted_for_each_other():
    found = findings(frame(width_100=BASE, width_150=BASE, selu=FLAT))
    assert set(found.loc[found["claim"] == "c", "verdict"]) == {"holds", "equivalent", "not computed"}
    p_values = found[found["claim"] == "c"].set_index("network")["p_different"].dropna()
    alone = [stats.ttest_1samp(own["layer_1"] - own["except_first"], 0).pvalue for own in (BASE, FLAT)]
    assert p_values["Width 150"] == pytest.approx(3 * alone[0])
    assert p_values["SELU"] == pytest.approx(max(3 * alone[0], alone[1]))


def test_depth_2_has_one_contrast_that_is_counted_once():
    scores = {cell: BASE[cell] for cell in ("all", "layer_1", "last", "none", "tuned_bp")}
    scores |= {"except_first": BASE["last"], "layer_2": BASE["last"]}
    found = findings(
        frame(same=("last", "except_first", "layer_2"), depth_2=scores).pipe(
            lambda own: pd.concat([own, frame(width_100=BASE)])
        )
    )
    own = found[found["network"] == "Depth 2"].set_index("claim")
    assert "a2" not in own.index
    assert own.loc["a1", "value"] == own.loc["c", "value"] == pytest.approx(22)
    assert own.loc["c", "p_different"] == own.loc["a1", "p_different"]
    assert own.loc["c", "detail"] == "counted in (a1)"
    base = found[(found["network"] == names("width_100")) & (found["claim"] == "c")].iloc[0]
    assert_is_paired(base, BASE["layer_1"] - BASE["except_first"])  # it is alone in (c): nothing to adjust


def test_a_baseline_that_is_the_same_run_is_counted_once():
    found = findings(frame(same=("none", "tuned_bp"), selu=FLAT, tanh=FLAT)).set_index(["claim", "network"])
    assert found.loc[("d2", "SELU"), "detail"] == "counted in (d1)"
    assert found.loc[("d2", "SELU"), "p_different"] == found.loc[("d1", "SELU"), "p_different"]
    assert found.loc[("b2", "Tanh"), "detail"].endswith("; counted in (b1)")


def test_what_is_missing_is_named():
    found = judged("width_100", BASE, tuned_bp=None, layer_4=np.array([65.0, np.nan, np.nan]))
    assert {claim: found[claim].verdict for claim in ("a1", "b1", "b2", "c")} == {
        "a1": "not computed", "b1": "holds", "b2": "not computed", "c": "holds",
    }  # fmt: skip
    assert found["a1"].detail.startswith(
        "missing: layer 4 (seed 1, 2); 1→2 -12.0 falls, 2→3 -3.0 falls, 3→4 not"
    )
    assert found["b2"].detail == "missing: tuned bp (seed 0, 1, 2)"
    assert (found["a1"].seeds, found["b2"].seeds) == (1, 0)
    single = judged("width_100", {cell: own[:1] for cell, own in BASE.items()})["c"]
    assert (single.verdict, single.detail) == ("not computed", "one seed is too few")


def test_two_seeds_of_three_are_judged():
    found = judged("width_100", BASE, except_first=np.array([75.0, 75.3, np.nan]))["c"]
    assert found.seeds == 2
    assert_is_paired(found, [7.9, 7.7])


def test_undecided_comes_with_the_number_of_seeds_that_would_decide_it():
    found = judged("width_100", BASE, except_first=82.8 + 0.6 * NOISE)["c"]
    assert found.verdict == "undecided"
    assert found.needed > 3
    far = judged("width_100", BASE, except_first=80 + 2 * NOISE)["c"]
    # A difference of 3 with a spread of 1.9.
    power = [
        stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, 3 / 1.9 * n**0.5) for n in (far.needed - 1, far.needed)
    ]
    assert power[0] < 0.8 <= power[1]
    hopeless = judged("width_100", BASE, except_first=83 + 100 * NOISE)["c"]
    assert pd.isna(hopeless.needed)
    said = layout(findings(frame(width_100=BASE | {"except_first": 83 + 100 * NOISE})))
    assert "undecided (> 1,000 seeds)" in [cell.text for row in said.rows for cell in row]


def test_the_margin_is_between_what_the_paper_calls_an_effect_and_none():
    table = published()
    columns = table.groupby(["section", "network"])["mean"].agg(["min", "max"])
    spans = (columns["max"] - columns["min"]).round(1)
    flat = spans.index.isin([("activation", "SELU"), ("activation", "Tanh")])
    assert (spans[flat].max(), spans[~flat].min()) == (0.6, 4.6)
    assert 0.6 < MARGIN < 4.6


def test_the_sets_that_a_network_needs():
    every = ["layer_1", "layer_2", "layer_3", "layer_4", "last", "all", "none", "tuned_bp", "except_first"]
    every.append("tuned_l2")
    assert needed("width_20") == needed("selu") == every
    assert needed("depth_2") == ["layer_1", "last", "all", "none", "tuned_bp", "except_first", "tuned_l2"]
    assert {"layer_4", "layer_7", "last"} < set(needed("depth_8"))
    assert "layer_8" not in needed("depth_8")


def test_runs_on_disk_are_judged(tmp_path):
    for replacement, score in (("all", 0.84), ("layer_1", 0.83), ("last", 0.7), ("none", 0.6)):
        put(tmp_path, "depth_2", replacement, [score - 0.001, score, score + 0.002])
    found = findings(cells(summarise(tmp_path), CELLS))
    own = found[found["network"] == "Depth 2"].set_index("claim")
    assert (
        own.loc["c", "detail"] == "counted in (a1)"
    )  # layers 2 to L are the last layer, and so the same runs
    assert own.loc["a1", "value"] == pytest.approx(13)
    assert own.loc["a1", "verdict"] == "holds"
