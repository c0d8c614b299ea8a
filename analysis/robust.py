"""Statistics of scores that assume no distribution, as defined by Agarwal et al. 2021 ("Deep reinforcement learning
at the edge of the statistical precipice").

A stratum holds the scores of one setting, a value per seed.
"""

from collections.abc import Sequence

import numpy as np

from .statistics import CONFIDENCE, Interval

TRIMMED = 0.25
"""The share of the scores that is left out at either end, rounded down to whole scores."""

RESAMPLES = 20_000
"""How often the scores are drawn anew for an interval."""

FEW = 10
"""With fewer seeds than this, a percentile interval covers the true value less often than it says."""


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """The mean of the middle half of the scores: [..., scores] → [...].

    Of n scores, ⌊n/4⌋ are left out at either end; of fewer than four, none.
    """
    number = values.shape[-1]
    cut = int(TRIMMED * number)
    means: np.ndarray = np.sort(values, axis=-1)[..., cut : number - cut].mean(axis=-1)
    return means


def interquartile_interval(strata: Sequence[np.ndarray], confidence: float = CONFIDENCE) -> Interval:
    """The interquartile mean of all scores, with its stratified bootstrap interval.

    Each resample draws, with replacement and within each stratum, as many scores as the stratum has. The ends are
    percentiles of the resamples' interquartile means. The draws are the same in every call.

    Args:
        strata: scores of each setting: [seeds], at least one.
        confidence: the share of the resamples between the ends.
    """
    generator = np.random.default_rng(0)
    drawn = [own[generator.integers(len(own), size=(RESAMPLES, len(own)))] for own in strata]
    means = interquartile_mean(np.concatenate(drawn, axis=-1))
    low, high = np.percentile(means, [50 * (1 - confidence), 50 * (1 + confidence)])
    return Interval(float(interquartile_mean(np.concatenate(strata))), float(low), float(high))


def improvement(values: np.ndarray, others: np.ndarray, higher_is_better: bool = True) -> float:
    """The probability that one of the values is better than one of the others, ties counting as half.

    That is the Mann-Whitney U statistic over the number of pairs.

    Args:
        values, others: a score per seed: [seeds], [other seeds], at least one of each.
        higher_is_better: which is the better of two scores.
    """
    differences = np.subtract.outer(values, others) * (1 if higher_is_better else -1)
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))
