from math import isnan, sqrt

import numpy as np
import pytest

from analysis.statistics import Sample, contrast, describe, rank_correlation, t_quantile


def test_describe_by_hand():
    # Deviations from 2 are −1, 0, 1: variance 2/3 over three, 1 over two degrees of freedom.
    cell = describe(np.array([1.0, 2.0, 3.0]))
    assert cell["mean"] == 2
    assert cell["std"] == pytest.approx(sqrt(2 / 3), rel=1e-12)
    assert cell["sem"] == pytest.approx(1 / sqrt(3), rel=1e-12)


def test_bootstrap_interval_of_three_seeds_by_hand():
    # Of the 27 resamples of (0, 0, 9), 1 has the mean 9, 6 have 6, 12 have 3 and 8 have 0: the 97.5th
    # percentile is 9, which 3.7 % reach, and the 2.5th is 0.
    cell = describe(np.array([0.0, 0.0, 9.0]))
    assert (cell["low"], cell["high"]) == (0, 9)
    assert describe(np.array([0.0, 0.0, 9.0])) == cell


def test_one_seed_has_no_standard_error_and_none_has_nothing():
    one = describe(np.array([5.0]))
    assert (one["mean"], one["std"], one["low"], one["high"]) == (5, 0, 5, 5)
    assert isnan(one["sem"])
    assert all(isnan(value) for value in describe(np.array([])).values())


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (10, 2.228), (100, 1.984), (1000, 1.962)],
)
def test_t_quantiles_are_those_of_the_tables(degrees, quantile):
    assert t_quantile(degrees) == pytest.approx(quantile, abs=5e-4)


def test_t_quantile_between_whole_degrees_of_freedom():
    assert t_quantile(2) > t_quantile(2.5) > t_quantile(3)


def test_contrast_by_hand():
    # Both variances are 1, the standard error is √(1/3 + 1/3), Welch's degrees of freedom are 2 + 2.
    difference = contrast(
        [(1, Sample.of(np.array([1.0, 2.0, 3.0]))), (-1, Sample.of(np.array([5.0, 6.0, 7.0])))]
    )
    half = 2.776445 * sqrt(2 / 3)
    assert difference.estimate == -4
    assert (difference.low, difference.high) == pytest.approx((-4 - half, -4 + half), abs=1e-5)


def test_contrast_with_unequal_variances_and_weights_by_hand():
    # Parts 4 · 3/3 = 4 and 1 · 12/4 = 3: √7, and 7² / (4²/2 + 3²/3) = 49/11 degrees of freedom.
    value = contrast([(2, Sample(10, 3, 3)), (-1, Sample(5, 12, 4))])
    half = t_quantile(49 / 11) * sqrt(7)
    assert (value.estimate, value.low, value.high) == pytest.approx((15, 15 - half, 15 + half))


def test_contrast_of_cells_that_do_not_scatter():
    value = contrast([(1, Sample(3, 0, 3)), (-1, Sample(1, 0, 3))])
    assert (value.estimate, value.low, value.high) == (2, 2, 2)


def test_rank_correlation_by_hand():
    # Ranks 1.5, 1.5, 3.5, 3.5 and 4, 3, 2, 1: −4 / (2 · √5).
    assert rank_correlation([1, 1, 2, 2], [40, 30, 20, 10]) == pytest.approx(-2 / sqrt(5), rel=1e-12)
    assert rank_correlation([1, 2, 3], [1, 10, 100]) == pytest.approx(1, rel=1e-12)
    assert isnan(rank_correlation([1, 2, 3], [5, 5, 5]))
