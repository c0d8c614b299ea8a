from math import inf, isnan, sqrt

import numpy as np
import pytest
from scipy import integrate, stats

from analysis.statistics import (
    MOST_SEEDS,
    Estimate,
    describe,
    fieller,
    holm,
    paired,
    power_different,
    power_equivalent,
    seeds_to_decide,
    spread,
    t_quantile,
)

SEEDS = [3, 10]
EXPERIMENTS = 4000


def share_of(events):
    """How often something happened, and 4 standard errors of that share if the chance is 5 %."""
    return np.mean(events), 4 * sqrt(0.05 * 0.95 / len(events))


def experiments(seeds, deviations, correlation, number=EXPERIMENTS):
    """Two correlated columns of normal values of mean 0: [experiments, 2, seeds]."""
    first, second = deviations
    covariance = [[first**2, correlation * first * second], [correlation * first * second, second**2]]
    values = np.random.default_rng(seeds).multivariate_normal([0, 0], covariance, size=(number, seeds))
    return values.transpose(0, 2, 1)


def test_describe_by_hand():
    # Deviations from 2 are −1, 0, 1: variance 2/3 over three, 1 over two degrees of freedom.
    cell = describe(np.array([1.0, 2.0, 3.0]))
    assert cell["mean"] == 2
    assert cell["std"] == pytest.approx(sqrt(2 / 3), rel=1e-12)
    assert cell["sem"] == pytest.approx(1 / sqrt(3), rel=1e-12)
    assert (cell["low"], cell["high"]) == pytest.approx((2 - 4.302653 / sqrt(3), 2 + 4.302653 / sqrt(3)))


def test_one_seed_has_no_standard_error_and_none_has_nothing():
    one = describe(np.array([5.0]))
    assert (one["mean"], one["std"]) == (5, 0)
    assert all(isnan(one[name]) for name in ("sem", "low", "high"))
    assert all(isnan(value) for value in describe(np.array([])).values())


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (10, 2.228), (100, 1.984), (1000, 1.962)],
)
def test_t_quantiles_are_those_of_the_tables(degrees, quantile):
    assert t_quantile(degrees) == pytest.approx(quantile, abs=5e-4)


def test_paired_means_by_hand_and_by_scipy():
    # Differences 1, 2, 6: mean 3, variance (4 + 1 + 9)/2 = 7, error √(7/3).
    first, second = np.array([11.0, 13.0, 20.0]), np.array([10.0, 11.0, 14.0])
    estimate = paired(first - second)
    assert (estimate.value, estimate.error, estimate.degrees) == (3, pytest.approx(sqrt(7 / 3)), 2)
    oracle = stats.ttest_rel(first, second)
    assert estimate.p_different() == pytest.approx(oracle.pvalue, rel=1e-12)
    low, high = oracle.confidence_interval(0.9)
    interval = estimate.interval(0.9)
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((3, low, high), rel=1e-12)


@pytest.mark.parametrize("values", [[0.2, 0.4, 0.9], [-0.2, -0.4, -0.9], [1.5, 1.0, 2.0], [-0.1, 0.1]])
def test_equivalence_is_two_one_sided_t_tests(values):
    larger = max(
        stats.ttest_1samp(values, -1, alternative="greater").pvalue,
        stats.ttest_1samp(values, 1, alternative="less").pvalue,
    )
    estimate = paired(np.array(values))
    assert estimate.p_equivalent(1) == pytest.approx(larger, rel=1e-9)
    interval = estimate.interval(0.9)
    assert (larger < 0.05) == (interval.low > -1 and interval.high < 1)


def test_values_that_do_not_scatter_are_certain():
    assert spread(np.array([0.1 + 0.2, 0.3, 0.3])) == 0  # they differ by rounding
    estimate = paired(np.array([2.0, 2.0]))
    assert estimate.p_different() == 0
    assert [estimate.p_equivalent(margin) for margin in (1, 2, 3)] == [1, 0.5, 0]
    assert paired(np.array([0.0, 0.0])).p_different() == 1


@pytest.mark.parametrize(("seeds", "correlation"), [(3, -0.7), (10, 0), (3, 0.5)])
def test_the_interval_of_a_paired_difference_covers_it(seeds, correlation):
    missed = []
    for first, second in experiments(seeds, (1, 0.2), correlation):
        interval = paired(first - second).interval()
        missed.append(not interval.low <= 0 <= interval.high)
    share, tolerance = share_of(missed)
    assert share == pytest.approx(0.05, abs=tolerance)


@pytest.mark.parametrize("seeds", SEEDS)
def test_the_interval_of_a_cell_covers_its_mean(seeds):
    draws = np.random.default_rng(0).normal(80, 0.4, (EXPERIMENTS, seeds))
    cells = [describe(scores) for scores in draws]
    share, tolerance = share_of([not cell["low"] <= 80 <= cell["high"] for cell in cells])
    assert share == pytest.approx(0.05, abs=tolerance)


@pytest.mark.parametrize("seeds", SEEDS)
def test_the_tests_of_a_difference_err_once_in_twenty(seeds):
    values = np.random.default_rng(1).normal(0, 0.3, (EXPERIMENTS, seeds))
    different, tolerance = share_of([paired(own).p_different() < 0.05 for own in values])
    assert different == pytest.approx(0.05, abs=tolerance)
    # At the margin itself, equivalence is claimed once in twenty, beyond it less often.
    at, beyond = ([paired(own + edge).p_equivalent(1) < 0.05 for own in values] for edge in (1, -1.2))
    assert np.mean(at) == pytest.approx(0.05, abs=tolerance)
    assert np.mean(beyond) < np.mean(at)


def test_holm_by_hand():
    # In order: 4 · 0.005, 3 · 0.01, 2 · 0.03, 1 · 0.04, which is raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.016, 0.5, 0.4]) == pytest.approx([0.048, 0.8, 0.8])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@pytest.mark.parametrize(("seeds", "effects"), [(3, 5), (10, 0)])
def test_holm_rejects_any_true_hypothesis_at_most_once_in_twenty(seeds, effects):
    # 11 contrasts that share half of their variance; `effects` of them have a large effect.
    generator = np.random.default_rng(seeds)
    shift = np.where(np.arange(11) < effects, 20.0, 0.0)
    wrong = []
    for _ in range(EXPERIMENTS // 4):
        values = generator.normal(size=(11, seeds)) + generator.normal(size=seeds) + shift[:, None]
        adjusted = holm([paired(own).p_different() for own in values])
        wrong.append(min(adjusted[effects:]) < 0.05)
    share, tolerance = share_of(wrong)
    assert share < 0.05 + tolerance


def test_the_ends_of_fiellers_interval_are_just_not_rejected():
    part, whole = np.array([22.8, 23.1, 23.4]), np.array([24.2, 23.8, 24.9])
    share = fieller(part, whole)
    assert share.estimate == pytest.approx(69.3 / 72.9, rel=1e-12)
    for end in (share.low, share.high):
        assert stats.ttest_1samp(part - end * whole, 0).pvalue == pytest.approx(0.05, abs=1e-9)
    assert share.low < share.estimate < share.high


def test_fiellers_interval_by_hand():
    # Means 2 and 4, variances 1, no covariance; t² = 18.5128 over 3 seeds is 6.17094 of each:
    # (16 − 6.17094) ρ² − 2 · 8 ρ + 4 − 6.17094 = 0, so ρ = (8 ± √(64 + 9.82906 · 2.17094)) / 9.82906.
    # Values 1, 2, 3 and 4 + (1, −2, 1)/√3.
    ratio = fieller(np.array([1.0, 2.0, 3.0]), 4 + np.array([1.0, -2.0, 1.0]) / sqrt(3))
    root = sqrt(64 + 9.82906 * 2.17094)
    assert ratio.estimate == pytest.approx(0.5)
    assert (ratio.low, ratio.high) == pytest.approx(((8 - root) / 9.82906, (8 + root) / 9.82906), rel=1e-5)


def test_a_share_of_what_may_be_nothing_is_unbounded():
    share = fieller(np.array([1.0, 1.1, 1.2]), np.array([-1.0, 0.5, 1.0]))
    assert (share.low, share.high) == (-inf, inf)


@pytest.mark.parametrize(
    ("seeds", "whole", "correlation"), [(3, 1.0, -0.7), (3, 10.0, 0.9), (10, 1.0, 0.9), (10, 10.0, -0.7)]
)
def test_fiellers_interval_covers_a_share(seeds, whole, correlation):
    missed = []
    for part, all_of_it in experiments(seeds, (0.9, 1), correlation):
        share = fieller(part + 0.8 * whole, all_of_it + whole)
        missed.append(not share.low <= 0.8 <= share.high)
    rate, tolerance = share_of(missed)
    if whole == 10:
        assert rate == pytest.approx(0.05, abs=tolerance)
    else:  # where the interval is unbounded, it is the whole line, which is more than Fieller's set
        assert rate < 0.05 + tolerance


@pytest.mark.parametrize("degrees", [2, 9, 40])
@pytest.mark.parametrize("ratio", [0.1, 2, 5, 12])
def test_the_power_of_a_t_test_is_that_of_scipys_noncentral_t(degrees, ratio):
    critical = stats.t.ppf(0.995, degrees)  # at 1 %; beyond a ratio of 1 the other tail is negligible
    exact = stats.nct.sf(critical, degrees, ratio) + (ratio < 1) * stats.nct.sf(critical, degrees, -ratio)
    assert power_different(ratio, 1, degrees, 0.01) == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("degrees", [2, 9])
@pytest.mark.parametrize("ratio", [2, 5, 12])
def test_the_power_of_an_equivalence_test_is_the_integral_over_its_error(degrees, ratio):
    critical = stats.t.ppf(0.95, degrees)

    def within(chi_square):
        room = ratio - critical * sqrt(chi_square / degrees)
        return max(0.0, 1 - 2 * stats.norm.sf(room)) * stats.chi2.pdf(chi_square, degrees)

    exact, _ = integrate.quad(within, 0, degrees * (ratio / critical) ** 2)
    assert power_equivalent(ratio, 1, degrees, 0.05) == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize(("effect", "seeds"), [(1.0, 10), (0.5, 34), (0.25, 128)])
def test_seeds_for_a_difference_are_those_of_the_tables(effect, seeds):
    # The numbers that tables of the paired t test give for a power of 80 % at 5 % (Cohen's d_z).
    assert seeds_to_decide(1.0, effect, effect / 2) == seeds
    assert seeds_to_decide(1.0, -effect, effect / 2) == seeds


def test_seeds_for_what_may_be_nothing_show_either():
    number = seeds_to_decide(0.9, 0.3, 1.0)
    powers = [
        (power_different(1, 0.9 / sqrt(n), n - 1, 0.05), power_equivalent(1, 0.9 / sqrt(n), n - 1, 0.05))
        for n in (number - 1, number)
    ]
    assert min(powers[0]) < 0.8 <= min(powers[1])
    assert seeds_to_decide(0.9, 0.3, 1.0, 0.05 / 11) > number
    assert seeds_to_decide(0.9, 1.5, 1.0) < number


def test_seeds_that_would_be_too_many_and_none_that_scatter():
    assert seeds_to_decide(100.0, 0.0, 1.0) is None
    assert seeds_to_decide(0.0, 0.0, 1.0) == 2
    assert power_different(1, 100 / sqrt(MOST_SEEDS), MOST_SEEDS - 1, 0.05) < 0.8


def test_planned_seeds_decide_as_often_as_they_say():
    number = seeds_to_decide(0.5, 0.0, 1.0)
    values = np.random.default_rng(2).normal(0, 0.5, (EXPERIMENTS, number))
    equivalent = np.mean([paired(own).p_equivalent(1) < 0.05 for own in values])
    different = np.mean([paired(own + 1).p_different() < 0.05 for own in values])
    assert min(equivalent, different) > 0.8 - 4 * sqrt(0.8 * 0.2 / EXPERIMENTS)


def test_an_estimate_need_not_have_whole_degrees_of_freedom():
    estimate = Estimate(1.0, 0.5, 2.5)
    assert estimate.p_different() == pytest.approx(2 * stats.t.sf(2, 2.5), rel=1e-9)
