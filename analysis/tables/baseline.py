"""Cells compared with those of a baseline, seed by seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import pandas as pd

from ..robust import improvement
from ..statistics import DIFFERS, EQUIVALENT, SIGNIFICANCE, UNDECIDED, Estimate, holm, paired
from .summary import by_seed

COLUMNS = [
    *("key", "column", "base", "pairs", "difference", "difference_low", "difference_high"),
    *("p_different", "p_equivalent", "better"),
]


def compared(
    found: pd.DataFrame, others: pd.DataFrame, factor: int, margin: float, higher_is_better: bool | None
) -> pd.DataFrame:
    """A row for each cell that is compared, by the keys of its row and column.

    A difference is taken within each seed that both cells have, and Student's t test is applied to those of all
    seeds. The p values of all cells are adjusted together by Holm's method, differences and equivalences apart; a
    pair of cells of the same runs is counted once.

    Columns:
        key, column: keys of its row and column.
        base: the baseline's mean over its seeds; NaN without any.
        pairs: number of seeds that both have.
        difference, difference_low, difference_high: its mean, with Student's 95 % interval; NaN with too few pairs.
        p_different, p_equivalent: of the t test against 0, and of two one-sided tests against ± margin; adjusted.
        better: the probability that a seed of the cell is better than one of the baseline, whether paired or not.
        verdict: "equivalent", "differs" or "undecided"; None with fewer than two pairs.

    Args:
        found: as returned by `analysis.tables.cells.cells`.
        others: likewise, with the runs of each cell's baseline.
        factor: what scores are multiplied by.
        margin: the smallest difference that counts, after that; 0 for no test of equivalence.
        higher_is_better: which is the better of two scores; None for the higher.
    """
    own, bases = (dict(list(each.groupby(["row", "column"], sort=False))) for each in (found, others))
    pairs = [
        Pair.of(cell, bases[place], factor, higher_is_better is not False)
        for place, cell in own.items()
        if place in bases and set(bases[place]["run"]) != set(cell["run"])
    ]
    judged = {pair.contrast: pair.estimate for pair in pairs if pair.estimate is not None}
    different = adjusted({key: estimate.p_different() for key, estimate in judged.items()})
    equivalent = adjusted({key: estimate.p_equivalent(margin) for key, estimate in judged.items() if margin})
    rows = [
        pair.numbers
        | {
            "p_different": different.get(pair.contrast, nan),
            "p_equivalent": equivalent.get(pair.contrast, nan),
        }
        for pair in pairs
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["verdict"] = pd.Series(
        [verdict(row["p_different"], row["p_equivalent"]) for row in rows], dtype=object
    )
    return frame


@dataclass(frozen=True)
class Pair:
    """A cell and its baseline.

    Attributes:
        contrast: the runs of both.
        numbers: the columns of `compared` that are known without other pairs.
        estimate: the difference; None with fewer than two pairs of seeds.
    """

    contrast: tuple[frozenset[str], frozenset[str]]
    numbers: dict[str, Any]
    estimate: Estimate | None

    @classmethod
    def of(cls, cell: pd.DataFrame, base: pd.DataFrame, factor: int, higher_is_better: bool) -> "Pair":
        """A cell and its baseline; arguments as in `compared`."""
        scores, others = (factor * by_seed(each).dropna() for each in (cell, base))
        differences = (scores - others).dropna().to_numpy(float)
        estimate = paired(differences) if len(differences) > 1 else None
        interval = estimate.interval() if estimate else None
        numbers = {
            "key": cell["row"].iloc[0],
            "column": cell["column"].iloc[0],
            "base": float(others.mean()) if len(others) else nan,
            "pairs": len(differences),
            "difference": float(differences.mean()) if len(differences) else nan,
            "difference_low": interval.low if interval else nan,
            "difference_high": interval.high if interval else nan,
            "better": improvement(scores.to_numpy(), others.to_numpy(), higher_is_better)
            if len(scores) and len(others)
            else nan,
        }
        return cls((frozenset(cell["run"]), frozenset(base["run"])), numbers, estimate)


def adjusted(p_values: Mapping[Any, float]) -> dict[Any, float]:
    """P values by key, adjusted together by Holm's method."""
    return dict(zip(p_values, holm(list(p_values.values())), strict=True))


def verdict(p_different: float, p_equivalent: float) -> str | None:
    """What adjusted p values say of a difference; None where there are none."""
    if p_equivalent < SIGNIFICANCE:
        return EQUIVALENT
    if isnan(p_different):
        return None
    return DIFFERS if p_different < SIGNIFICANCE else UNDECIDED
