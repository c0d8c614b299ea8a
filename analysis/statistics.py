"""Small statistics over seeds, each a few lines.

Seeds are few, so an interval is wide: Student's t with Welch's degrees of freedom, which assumes that scores
scatter normally around their cell's mean, each cell with a variance of its own. What such an interval
includes is not thereby shown to be so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import pandas as pd
from scipy.special import stdtrit

CONFIDENCE = 0.95


def describe(values: np.ndarray) -> dict[str, float]:
    """Mean and spread of a cell.

    Args:
        values: a score per seed: [seeds], any number of them.

    Returns:
        mean; std: population standard deviation (ddof = 0); sem: standard error of the mean, sample standard
        deviation (ddof = 1) / √seeds; low, high: 95 % bootstrap interval of the mean (percentiles of the
        means of 10,000 resamples, drawn with a fixed seed). NaN where there are too few values.
    """
    seeds = len(values)
    if seeds == 0:
        return dict.fromkeys(("mean", "std", "sem", "low", "high"), nan)
    sem = float(np.std(values, ddof=1)) / sqrt(seeds) if seeds > 1 else nan
    resampled = values[np.random.default_rng(0).integers(seeds, size=(10_000, seeds))].mean(axis=1)
    low, high = np.percentile(resampled, [100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2])
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values)),
        "sem": sem,
        "low": float(low),
        "high": float(high),
    }


@dataclass(frozen=True)
class Sample:
    """A cell as its seeds show it.

    Attributes:
        mean: over seeds.
        variance: sample variance (ddof = 1).
        seeds: number of seeds, at least 2.
    """

    mean: float
    variance: float
    seeds: int

    @classmethod
    def of(cls, values: np.ndarray) -> "Sample":
        """The sample of a score per seed: [seeds]."""
        return cls(float(np.mean(values)), float(np.var(values, ddof=1)), len(values))


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % confidence interval."""

    estimate: float
    low: float
    high: float

    def widened(self, by: float) -> "Interval":
        """The interval, longer at both ends."""
        return Interval(self.estimate, self.low - by, self.high + by)


def contrast(terms: Sequence[tuple[float, Sample]]) -> Interval:
    """A weighted sum of cell means, Σ c·m, such as a difference (weights 1 and −1).

    Its standard error is √Σ c²s²/n, its degrees of freedom Welch and Satterthwaite's
    (Σ c²s²/n)² / Σ (c²s²/n)²/(n−1).

    Args:
        terms: weight and sample of each cell; the cells are taken as independent.
    """
    estimate = sum(weight * sample.mean for weight, sample in terms)
    parts = [weight**2 * sample.variance / sample.seeds for weight, sample in terms]
    variance = sum(parts)
    if variance == 0:
        return Interval(estimate, estimate, estimate)
    shares = [(part / variance) ** 2 / (s.seeds - 1) for part, (_, s) in zip(parts, terms, strict=True)]
    half = t_quantile(1 / sum(shares)) * sqrt(variance)
    return Interval(estimate, estimate - half, estimate + half)


def t_quantile(degrees: float, confidence: float = CONFIDENCE) -> float:
    """The t with P(|T| ≤ t) = confidence for Student's distribution; degrees need not be whole."""
    return float(stdtrit(degrees, (1 + confidence) / 2))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's ρ: the correlation of ranks, ties at their mean rank; NaN where one of both is constant."""
    ranks = np.array([pd.Series(values).rank() for values in (first, second)])
    return nan if (np.ptp(ranks, axis=1) == 0).any() else float(np.corrcoef(ranks)[0, 1])
