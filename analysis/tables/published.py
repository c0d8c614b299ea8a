"""A table as measured beside the same table as published, each cell once."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import copysign, sqrt

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtr

from plasticity.errors import UserError

from ..statistics import (
    DIFFERS,
    EQUIVALENT,
    SIGNIFICANCE,
    UNDECIDED,
    Estimate,
    fewest_seeds,
    holm,
    power_equivalent,
)
from .declaration import Declaration
from .grid import Grid
from .measure import Measure
from .printed import Published
from .summary import summarised


@dataclass(frozen=True)
class Comparison:
    """What is compared, and by which margin.

    Attributes:
        declaration: the table.
        grid: its grid.
        measure: what its cells are means of.
        published: the published numbers.
    """

    declaration: Declaration
    grid: Grid
    measure: Measure
    published: Published

    @classmethod
    def of(cls, declaration: Declaration, grid: Grid, measure: Measure) -> "Comparison":
        """The comparison of a table with the published numbers that it declares.

        Raises:
            UserError: when it declares none, not one for each cell, or no margin.
        """
        published = declaration.published
        if published is None:
            raise UserError("--compare published is refused: the table declares no published numbers.")
        if not declaration.margin:
            raise UserError(
                "--compare published is refused: it needs --margin, the smallest difference that counts."
            )
        wrong = [row for row in published.rows if row not in grid.rows]
        wide = len(next(iter(published.rows.values())))
        if wrong or wide != len(grid.columns):
            rows, columns = ", ".join(grid.rows), len(grid.columns)
            raise UserError(
                f"published is refused: its rows must be among {rows}, each with {columns} numbers, one for each "
                f"column; it has {', '.join(wrong) or f'rows of {wide} numbers'}."
            )
        return cls(declaration, grid, measure, published)

    @property
    def margin(self) -> float:
        """The smallest difference that counts."""
        return self.declaration.margin

    @cached_property
    def margin_text(self) -> str:
        """The margin with its unit: "1 point"."""
        unit = f" point{'s' * (self.margin != 1)}" if self.measure.percent else ""
        return f"{self.margin:g}{unit}"

    @property
    def titles(self) -> dict[str, str]:
        """The labels of the columns, by key."""
        return {column.key: column.label for column in self.grid.columns}

    def numbers(self) -> pd.DataFrame:
        """The published numbers, a row per cell of the grid: section, row, column, mean and std, NaN for none."""
        rows = []
        for section in self.grid.sections:
            for row in section.rows:
                printed = self.published.rows.get(row.key, [None] * len(self.grid.columns))
                for column, number in zip(self.grid.columns, printed, strict=True):
                    mean, std = (number.mean, number.std) if number else (np.nan, np.nan)
                    place = {"section": section.key, "row": row.label, "column": column.key}
                    rows.append(place | {"mean": mean, "std": std})
        return pd.DataFrame(rows)


def compare(found: pd.DataFrame, asked: Comparison) -> pd.DataFrame:
    """A row for each distinct cell, where Table 1's row of the base network appears four times.

    Columns:
        section, row, column: where the cell appears first.
        names: the names of its row in all sections.
        mean, std, seeds, missing: ours, as in `analysis.tables.summary.summarised`.
        published_mean, published_std: as published; population standard deviation.
        difference: ours minus published.
        error, degrees: standard error of the difference, from seeds and rounding, and its degrees of freedom.
        p_different, p_equivalent: adjusted over the cells.
        score: the difference over its error as a standard normal deviate (`normal_score`).
        verdict: "equivalent", "differs", "undecided"; missing where there are fewer than 2 seeds.
        needed: where undecided, the number of our seeds that would show an equivalence, if there is one; missing
            where no number would, since there are so few published ones.

    Args:
        found: as returned by `analysis.tables.cells.cells`.
        asked: what is compared.
    """
    both = _distinct(found, asked)
    both["difference"] = both["mean"] - both["published_mean"]
    judged = both[both["seeds"] >= 2]
    rounding, margin = asked.published.rounding, asked.margin - asked.published.rounding
    pooled = [Pooled.of(cell, asked.published) for _, cell in judged.iterrows()]
    estimates = [shared.difference(value) for shared, value in zip(pooled, judged["difference"], strict=True)]
    known = pd.DataFrame(
        {
            "error": [rounded(estimate, rounding).error for estimate in estimates],
            "degrees": [estimate.degrees for estimate in estimates],
            "p_different": holm([p_different(estimate, rounding) for estimate in estimates]),
            "p_equivalent": holm([estimate.p_equivalent(margin) for estimate in estimates]),
            "score": [normal_score(rounded(estimate, rounding)) for estimate in estimates],
            "needed": [shared.seeds_to_decide(margin, SIGNIFICANCE / len(pooled)) for shared in pooled],
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
    means has the error √(v (1/n + 1/m)). S is printed with few digits, so it is anywhere within r of what is
    printed (with one decimal r = 0.05; 0.0: between 0 and 0.05), which adds r²/3 to the mean of its square.

    Attributes:
        variance: v.
        seeds, published_seeds: n, m.
    """

    variance: float
    seeds: int
    published_seeds: int

    @classmethod
    def of(cls, cell: pd.Series, published: Published) -> "Pooled":
        """The pooled spread of a cell, of which we need at least two seeds."""
        n, m = int(cell["seeds"]), published.seeds
        squares = n * cell["std"] ** 2 + m * (cell["published_std"] ** 2 + published.rounding**2 / 3)
        return cls(squares / (n + m - 2), n, m)

    def difference(self, value: float, seeds: int | None = None) -> Estimate:
        """A difference with its error from seeds, as if our mean were over `seeds` of them."""
        n, m = seeds or self.seeds, self.published_seeds
        return Estimate(value, sqrt(self.variance * (1 / n + 1 / m)), n + m - 2)

    def seeds_to_decide(self, margin: float, significance: float) -> int | None:
        """The number of our seeds that would show a true equivalence (with `analysis.statistics.POWER`)."""

        def power(seeds: int) -> float:
            estimate = self.difference(0, seeds)
            return power_equivalent(margin, estimate.error, estimate.degrees, significance)

        number = fewest_seeds(power)
        return None if number is None else max(number, self.seeds + 1)


def p_different(estimate: Estimate, rounding: float) -> float:
    """The p value of the t test against 0, with the published mean as close to ours as rounding allows."""
    return replace(estimate, value=max(0.0, abs(estimate.value) - rounding)).p_different()


def rounded(estimate: Estimate, rounding: float) -> Estimate:
    """A difference whose error includes that of rounding, with the variance of a uniform distribution, r²/3."""
    return replace(estimate, error=sqrt(estimate.error**2 + rounding**2 / 3))


def normal_score(estimate: Estimate) -> float:
    """An estimate over its error, which is Student's t if the true value is 0, as a standard normal deviate."""
    tail = stdtr(estimate.degrees, -abs(estimate.value) / estimate.error)  # 1 less it would lose its digits
    return copysign(float(ndtri(tail)), estimate.value)


def _distinct(found: pd.DataFrame, asked: Comparison) -> pd.DataFrame:
    """Our figures and the published ones, each cell once: cells with the same runs are the same cell."""
    table = summarised(found, asked.grid, asked.measure.factor, "std").merge(
        asked.numbers().rename(columns={"mean": "published_mean", "std": "published_std"}),
        on=["section", "row", "column"],
    )
    table["names"] = table["key"].map(asked.grid.name)
    first = found.sort_values("seed").drop_duplicates(["row", "column"])
    runs = first[["row", "column", "run"]].rename(columns={"row": "key"})
    table = table.merge(runs, on=["key", "column"], how="left").dropna(subset="published_mean")
    columns = ["section", "row", "column", "names", "mean", "std", "seeds", "missing"]
    return table.drop_duplicates("run", ignore_index=True)[[*columns, "published_mean", "published_std"]]


def _verdict(cell: pd.Series) -> str | None:
    if pd.isna(cell["error"]):
        return None
    if cell["p_equivalent"] < SIGNIFICANCE:
        return EQUIVALENT
    return DIFFERS if cell["p_different"] < SIGNIFICANCE else UNDECIDED
