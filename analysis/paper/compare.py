"""Table 1 as measured beside Table 1 as published, each cell once."""

from dataclasses import dataclass, replace
from math import copysign, sqrt

import numpy as np
import pandas as pd
from scipy.special import chdtri, ndtri, stdtr

from ..render import Cell, Section, Table
from ..statistics import (
    CONFIDENCE,
    POWER,
    SIGNIFICANCE,
    Estimate,
    fewest_seeds,
    holm,
    power_equivalent,
)
from . import COLUMNS, PUBLISHED_SEEDS, ROWS, SECTIONS, names, published
from .claims import EQUIVALENT, MARGIN, UNDECIDED
from .grid import aggregate
from .layout import p_value, shown

DIFFERS = "differs"

ROUNDING = 0.05
"""How far a published figure, rounded to one decimal, can be from its exact value."""

EXPLANATION = (
    "Difference: ours less published, in percentage points. Error: its standard error, from one standard "
    "deviation that both sides share, as they must if they are the same experiment; it is pooled from the "
    f"squares about both means (published: {PUBLISHED_SEEDS} seeds, ddof = 0), and what rounding to one "
    "decimal adds is added. p: of the t test against 0 (differs) and of two one-sided tests against a "
    f"difference of {MARGIN:g} point or more (equivalent), adjusted by Holm's method over the cells; both "
    "take the published mean for as far off as rounding allows, in the direction that is against them. "
    f"Verdicts, at {SIGNIFICANCE:.0%}: equivalent, where the difference is shown to lie within ± {MARGIN:g} "
    "point; else differs, where it is shown not to be 0; else undecided, with the number of our seeds that "
    f"would show an equivalence with a chance of {POWER:.0%} if there is no difference (no number: the "
    "published seeds are too few). Each cell stands once. A cell is judged from 2 seeds on. Cells of one "
    "network share seeds, so that their differences are not independent."
)


def compare(found: pd.DataFrame) -> pd.DataFrame:
    """A row for each distinct cell of the paper, where the base network's row appears four times.

    Columns:
        section, network, replacement: where the cell appears first.
        names: the names of its network in all of its rows.
        mean, std, seeds, missing: ours, as in `analysis.paper.grid`.
        published_mean, published_std: in percent and percentage points; population standard deviation.
        difference: ours less published, in percentage points.
        error, degrees: standard error of the difference, from seeds and rounding, and its degrees of freedom.
        p_different, p_equivalent: adjusted over the cells.
        score: the difference over its error as a standard normal deviate (`normal_score`).
        verdict: "equivalent", "differs", "undecided"; missing where there are fewer than 2 seeds.
        needed: where undecided, the number of our seeds that would show an equivalence, if there is one; missing
            where no number would, since there are so few published ones.

    Args:
        found: as returned by `analysis.paper.grid.cells`.
    """
    both = _distinct(found)
    both["difference"] = both["mean"] - both["published_mean"]
    judged = both[both["seeds"] >= 2]
    pooled = [Pooled.of(cell) for _, cell in judged.iterrows()]
    estimates = [shared.difference(value) for shared, value in zip(pooled, judged["difference"], strict=True)]
    known = pd.DataFrame(
        {
            "error": [rounded(estimate).error for estimate in estimates],
            "degrees": [estimate.degrees for estimate in estimates],
            "p_different": holm([p_different(estimate) for estimate in estimates]),
            "p_equivalent": holm([estimate.p_equivalent(MARGIN - ROUNDING) for estimate in estimates]),
            "score": [normal_score(rounded(estimate)) for estimate in estimates],
            "needed": [shared.seeds_to_decide(SIGNIFICANCE / len(pooled)) for shared in pooled],
        },
        index=judged.index,
    ).astype({"needed": "Int64"})
    compared = both.join(known)
    compared["verdict"] = [_verdict(cell) for _, cell in compared.iterrows()]
    compared["needed"] = compared["needed"].where(compared["verdict"] == UNDECIDED)
    return compared


@dataclass(frozen=True)
class Pooled:
    """The spread over seeds, pooled from ours and the published ones.

    With n seeds of ours and m published ones, of population standard deviations s and S, it is
    v = (n s² + m (S² + r²/3)) / (n + m − 2) on n + m − 2 degrees of freedom, and the difference between the two
    means has the error √(v (1/n + 1/m)). S is printed with one decimal, so it is anywhere within r = 0.05 of
    what is printed (0.0: between 0 and 0.05), which adds r²/3 to the mean of its square.

    Attributes:
        variance: v, in squared percentage points.
        seeds: n.
    """

    variance: float
    seeds: int

    @classmethod
    def of(cls, cell: pd.Series) -> "Pooled":
        """The pooled spread of a cell, of which we need at least two seeds."""
        n, m = int(cell["seeds"]), PUBLISHED_SEEDS
        squares = n * cell["std"] ** 2 + m * (cell["published_std"] ** 2 + ROUNDING**2 / 3)
        return cls(squares / (n + m - 2), n)

    def difference(self, value: float, seeds: int | None = None) -> Estimate:
        """A difference with its error from seeds, as if our mean were over `seeds` of them."""
        n, m = seeds or self.seeds, PUBLISHED_SEEDS
        return Estimate(value, sqrt(self.variance * (1 / n + 1 / m)), n + m - 2)

    def seeds_to_decide(self, significance: float) -> int | None:
        """The number of our seeds that would show a true equivalence (with `analysis.statistics.POWER`)."""

        def power(seeds: int) -> float:
            estimate = self.difference(0, seeds)
            return power_equivalent(MARGIN - ROUNDING, estimate.error, estimate.degrees, significance)

        number = fewest_seeds(power)
        return None if number is None else max(number, self.seeds + 1)


def p_different(estimate: Estimate) -> float:
    """The p value of the t test against 0, with the published mean as close to ours as rounding allows."""
    return replace(estimate, value=max(0.0, abs(estimate.value) - ROUNDING)).p_different()


def rounded(estimate: Estimate) -> Estimate:
    """A difference whose error includes that of rounding, with the variance of a uniform distribution, r²/3."""
    return replace(estimate, error=sqrt(estimate.error**2 + ROUNDING**2 / 3))


def normal_score(estimate: Estimate) -> float:
    """An estimate over its error, which is Student's t if the true value is 0, as a standard normal deviate."""
    tail = stdtr(estimate.degrees, -abs(estimate.value) / estimate.error)  # 1 less it would lose its digits
    return copysign(float(ndtri(tail)), estimate.value)


def _distinct(found: pd.DataFrame) -> pd.DataFrame:
    """Our figures and the published ones, each cell once: cells with the same runs are the same cell."""
    table = aggregate(found).merge(
        published().rename(columns={"mean": "published_mean", "std": "published_std"}),
        on=["section", "network", "replacement"],
    )
    network = {(row.section, row.label): row.network for row in ROWS}
    table["file"] = [network[place] for place in zip(table["section"], table["network"], strict=True)]
    table["names"] = table["file"].map(names)
    first = found.sort_values("seed").drop_duplicates(["network", "replacement"])
    runs = first[["network", "replacement", "run"]].rename(columns={"network": "file"})
    table = table.merge(runs, on=["file", "replacement"], how="left").dropna(subset="published_mean")
    columns = ["section", "network", "replacement", "names", "mean", "std", "seeds", "missing"]
    return table.drop_duplicates("run", ignore_index=True)[[*columns, "published_mean", "published_std"]]


def _verdict(cell: pd.Series) -> str | None:
    if pd.isna(cell["error"]):
        return None
    if cell["p_equivalent"] < SIGNIFICANCE:
        return EQUIVALENT
    return DIFFERS if cell["p_different"] < SIGNIFICANCE else UNDECIDED


def summary(compared: pd.DataFrame) -> list[str]:
    """Sentences about all cells together.

    Args:
        compared: as returned by `compare`.
    """
    judged = compared.dropna(subset="error")
    counts = {
        verdict: int((judged["verdict"] == verdict).sum()) for verdict in (EQUIVALENT, DIFFERS, UNDECIDED)
    }
    unknown = len(compared) - len(judged)
    said = [
        f"Of {len(compared)} distinct cells, {counts[EQUIVALENT]} are equivalent to the published within ± "
        f"{MARGIN:g} point, {counts[DIFFERS]} differ, {counts[UNDECIDED]} are undecided, and {unknown} "
        "cannot be judged."
    ]
    if judged.empty:
        return said
    worst = judged.iloc[int(judged["difference"].abs().argmax())]
    tails = (1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2
    low, high = (sqrt(chdtri(len(judged), tail) / len(judged)) for tail in tails)
    said.append(
        f"Differences: mean {judged['difference'].mean():+.2f}, root mean square "
        f"{_rms(judged['difference']):.2f} (expected of seeds and rounding alone: "
        f"{_rms(judged['error']):.2f}), largest {worst['difference']:+.1f} ({worst['names']}, "
        f"{COLUMNS[worst['replacement']].lower()}). As standard normal scores: root mean square "
        f"{_rms(judged['score']):.2f}; {CONFIDENCE:.0%} of experiments that differ by seeds alone, with "
        f"independent cells, have {low:.2f} to {high:.2f}."
    )
    return said


def _rms(values: pd.Series) -> float:
    return float(np.sqrt(np.mean(values**2)))


def comparison(compared: pd.DataFrame) -> Table:
    """The comparison, cell by cell.

    Args:
        compared: as returned by `compare`.
    """
    sections = [
        Section(title, [_line(cell) for _, cell in compared[compared["section"] == section].iterrows()])
        for section, title in SECTIONS.items()
    ]
    columns = [
        "Network",
        "Replaced",
        "Ours",
        "Published",
        "Difference",
        "Error",
        "p differs",
        "p equivalent",
        "Verdict",
    ]
    return Table(columns, sections, [*summary(compared), EXPLANATION])


def _line(cell: pd.Series) -> list[Cell]:
    values = [
        cell["network"],
        COLUMNS[cell["replacement"]],
        shown(cell),
        f"{cell['published_mean']:.1f} ± {cell['published_std']:.1f}",
        "–" if cell["seeds"] == 0 else f"{round(cell['difference'], 1) + 0.0:+.1f}",
        "–" if pd.isna(cell["error"]) else f"{cell['error']:.2f}",
        p_value(cell["p_different"]),
        p_value(cell["p_equivalent"]),
        _verdict_in_words(cell),
    ]
    return [Cell(value) for value in values]


def _verdict_in_words(cell: pd.Series) -> str:
    if pd.isna(cell["error"]):
        return "–"
    if cell["verdict"] != UNDECIDED:
        return cell["verdict"]
    return f"{UNDECIDED} ({cell['needed']} seeds)" if pd.notna(cell["needed"]) else f"{UNDECIDED} (no number)"
