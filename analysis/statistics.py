"""The statistics of few seeds, each a few lines.

All of them assume that the values of different seeds are independent and normally distributed; three seeds can
neither show nor refute that. Cells of one seed share permutations and orders, so cells are first compared within
each seed, and the comparisons are then averaged over seeds.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, nan, sqrt

import numpy as np
from scipy.special import chdtri, ndtr, stdtr, stdtrit

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05

DIFFERS, EQUIVALENT, UNDECIDED = "differs", "equivalent", "undecided"
"""What tests say of a difference."""

POWER = 0.8
"""The probability of a decision that a planned number of seeds has to give."""

MOST_SEEDS = 1000
"""The most seeds to plan with."""


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error, whose square is χ²-distributed with some degrees of freedom, up to a factor.

    Attributes:
        value: the estimate.
        error: its standard error.
        degrees: degrees of freedom of the error.
    """

    value: float
    error: float
    degrees: float

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Student's interval, value ± t · error."""
        half = t_quantile(self.degrees, confidence) * self.error
        return Interval(self.value, self.value - half, self.value + half)

    def p_different(self) -> float:
        """Two-sided p value of the t test of the hypothesis that the value is 0."""
        return 2 * self._tail(abs(self.value))

    def p_equivalent(self, margin: float) -> float:
        """The p value of two one-sided t tests (Schuirmann 1987): small where |value| is below the margin.

        The null hypothesis is that the true value lies at −margin, margin, or beyond; the larger of both p values
        counts. It is below 5 % exactly where the 90 % interval lies within ± margin.
        """
        return self._tail(margin - abs(self.value))

    def _tail(self, distance: float) -> float:
        """P(T ≥ distance / error)."""
        if self.error == 0:
            return 0.5 if distance == 0 else float(distance < 0)
        return float(stdtr(self.degrees, -distance / self.error))


def paired(values: np.ndarray) -> Estimate:
    """The mean over seeds of a value that each seed gives: standard error s/√n on n − 1 degrees of freedom.

    Args:
        values: a value per seed, such as a difference between two cells of that seed: [seeds], at least 2.
    """
    seeds = len(values)
    return Estimate(float(np.mean(values)), spread(values) / sqrt(seeds), seeds - 1)


def spread(values: np.ndarray) -> float:
    """Sample standard deviation (ddof = 1) of [seeds]; 0 where they differ by rounding alone."""
    deviation = float(np.std(values, ddof=1))
    return deviation if deviation > 1e-12 * float(np.max(np.abs(values), initial=0)) else 0.0


def describe(values: np.ndarray) -> dict[str, float]:
    """Mean and spread of a cell.

    Args:
        values: a score per seed: [seeds], any number of them.

    Returns:
        mean; std: population standard deviation (ddof = 0); sem: standard error of the mean, sample standard
        deviation (ddof = 1) / √seeds; low, high: Student's 95 % interval of the mean. NaN where there are
        too few values.
    """
    if len(values) == 0:
        return dict.fromkeys(("mean", "std", "sem", "low", "high"), nan)
    known = {"mean": float(np.mean(values)), "std": float(np.std(values))}
    if len(values) == 1:
        return known | dict.fromkeys(("sem", "low", "high"), nan)
    estimate = paired(values)
    interval = estimate.interval()
    return known | {"sem": estimate.error, "low": interval.low, "high": interval.high}


def possible(low: float, high: float, share: bool, positive: bool = False) -> tuple[float, float]:
    """The ends of an interval, within what can be: a share is from 0 to 1, what is positive at least 0."""
    return max(low, 0.0) if share or positive else low, min(high, 1.0) if share else high


def fieller(numerator: np.ndarray, denominator: np.ndarray, confidence: float = CONFIDENCE) -> Interval:
    """The ratio of two paired means with Fieller's interval (Fieller 1954).

    A ratio ρ is in it where the paired t test does not reject that mean(numerator − ρ · denominator) is 0.
    With x̄, ȳ the means, v their variances and covariance over seeds, divided by the number of seeds, and t
    Student's quantile on n − 1 degrees of freedom, its ends solve (ȳ² − t²v_yy) ρ² − 2 (x̄ȳ − t²v_xy) ρ +
    x̄² − t²v_xx = 0. Exact for normal pairs, however they are correlated.

    Args:
        numerator, denominator: a value of each per seed: [seeds], at least 2.

    Returns:
        from −∞ to ∞ where the denominator cannot be told from 0: the interval is unbounded then.
    """
    seeds = len(numerator)
    x, y = float(np.mean(numerator)), float(np.mean(denominator))
    covariance = np.cov(numerator, denominator) * t_quantile(seeds - 1, confidence) ** 2 / seeds
    square = y**2 - covariance[1, 1]
    if square <= 0:
        return Interval(x / y if y else nan, -inf, inf)
    middle = x * y - covariance[0, 1]
    root = sqrt(max(0.0, middle**2 - square * (x**2 - covariance[0, 0])))
    return Interval(x / y, float(middle - root) / square, float(middle + root) / square)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values (Holm 1979): the chance of any false rejection among them is at most the level.

    The k-th smallest of m is multiplied by m − k + 1, and raised to the one before it if it is below that. This
    holds for p values that depend on each other in any way.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(1, np.maximum.accumulate(np.asarray(p_values, float)[order] * factors))
    return [float(adjusted[rank]) for rank in np.argsort(order, kind="stable")]


def seeds_to_decide(
    deviation: float, observed: float, margin: float, significance: float = SIGNIFICANCE
) -> int | None:
    """The smallest number of seeds that decides a paired comparison with a chance of at least `POWER`.

    An observed difference beyond the margin is taken as the true one, and the two-sided t test has to show it.
    Otherwise either may be true, and both have to be shown: a difference as large as the margin by that test, and
    no difference by two one-sided tests. The observed deviation is taken as the true one: after three seeds that
    is a rough guess, which may be off by a factor of several.

    Args:
        deviation: standard deviation over seeds of the difference within a seed.
        observed: mean of that difference.
        margin: the smallest difference that counts, positive.
        significance: level of each test.

    Returns:
        None where `MOST_SEEDS` are not enough
    """

    def power(seeds: int) -> float:
        degrees, error = seeds - 1, deviation / sqrt(seeds)
        if abs(observed) > margin:
            return power_different(abs(observed), error, degrees, significance)
        return min(
            power_different(margin, error, degrees, significance),
            power_equivalent(margin, error, degrees, significance),
        )

    return 2 if deviation == 0 else fewest_seeds(power)


def fewest_seeds(power: Callable[[int], float]) -> int | None:
    """The smallest number of seeds from 2 to `MOST_SEEDS` that gives a power of `POWER`; None if none does.

    Args:
        power: by number of seeds; it must not decrease.
    """
    counts = range(2, MOST_SEEDS + 1)
    place = bisect_left(counts, POWER, key=power)
    return counts[place] if place < len(counts) else None


def power_different(effect: float, error: float, degrees: float, significance: float) -> float:
    """The chance that a two-sided t test shows a true value `effect` estimated with this standard error."""
    critical = t_quantile(degrees, 1 - significance) * _errors(degrees)
    shift = effect / error
    return float(np.mean(ndtr(shift - critical) + ndtr(-shift - critical)))


def power_equivalent(margin: float, error: float, degrees: float, significance: float) -> float:
    """The chance that two one-sided t tests show a value whose true value is 0 to be within ± margin."""
    critical = t_quantile(degrees, 1 - 2 * significance) * _errors(degrees)
    return float(np.mean(np.maximum(0, 2 * ndtr(margin / error - critical) - 1)))


def t_quantile(degrees: float, confidence: float = CONFIDENCE) -> float:
    """The t with P(|T| ≤ t) = confidence for Student's distribution; degrees need not be whole."""
    return float(stdtrit(degrees, (1 + confidence) / 2))


@lru_cache(maxsize=64)
def _errors(degrees: float) -> np.ndarray:
    """Estimated over true standard error, √(χ²/degrees), at 2,000 equally likely quantiles: [2000]."""
    roots: np.ndarray = np.sqrt(chdtri(degrees, (np.arange(2000) + 0.5) / 2000) / degrees)
    return roots
