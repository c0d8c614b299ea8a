"""The numbers of each cell: mean or interquartile mean over seeds, its spread, and how many seeds there are."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ..robust import interquartile_interval
from ..statistics import describe
from .grid import Grid

NOTHING = pd.DataFrame({"seed": pd.Series(dtype=int), "score": pd.Series(dtype=float)})


def by_seed(cell: pd.DataFrame) -> pd.Series:
    """The score of each seed: the mean over the cell's settings, NaN where one of them has no score.

    Args:
        cell: rows of `analysis.tables.cells.cells`.
    """
    known = cell["score"].to_numpy(float)
    if not cell["seed"].duplicated().any():
        return pd.Series(known, cell["seed"].to_numpy()).sort_index()
    return cell.groupby("seed")["score"].agg(lambda scores: scores.mean(skipna=False))


def strata(cell: pd.DataFrame) -> list[np.ndarray]:
    """The scores of each setting of a cell, without those that are missing: [seeds] for each."""
    known = cell.dropna(subset="score")
    return [own["score"].to_numpy(float) for _, own in known.groupby("setting", sort=False)]


def summarised(found: pd.DataFrame, grid: Grid, factor: int, statistic: str) -> pd.DataFrame:
    """A row per cell, section by section and row by row.

    Columns:
        section, row, column: keys of the section and of the column, and the label of the row.
        key: the key of the row.
        mean: over seeds; with the statistic "iqm" the interquartile mean of all runs. NaN without any.
        std, sem, low, high: population standard deviation, standard error of the mean, and the ends of Student's
            95 % interval (`analysis.statistics.describe`); with "iqm", of the stratified bootstrap interval.
        seeds: number of seeds that have a score.
        missing: number of seeds that were asked for and have none; 0 where there is no such run.

    Args:
        found: as returned by `analysis.tables.cells.cells`.
        grid: its grid.
        factor: what scores are multiplied by.
        statistic: a key of `analysis.tables.declaration.STATISTICS`.
    """
    by_cell = {(str(row), str(column)): cell for (row, column), cell in found.groupby(["row", "column"])}
    numbers = {place: _numbers(cell, factor, statistic) for place, cell in by_cell.items()}
    nothing = _numbers(NOTHING, factor, "std")
    return pd.DataFrame(
        [
            {"section": section.key, "row": row.label, "column": column.key, "key": row.key}
            | numbers.get((row.key, column.key), nothing)
            for section in grid.sections
            for row in section.rows
            for column in grid.columns
        ]
    )


def _numbers(cell: pd.DataFrame, factor: int, statistic: str) -> dict[str, float]:
    seeds = by_seed(cell)
    values = factor * seeds.dropna().to_numpy(float)
    numbers = describe(values) | {"seeds": len(values), "missing": len(seeds) - len(values)}
    if statistic != "iqm" or not len(values):
        return numbers
    interval = interquartile_interval([factor * own for own in strata(cell)])
    ends = {"low": interval.low, "high": interval.high} if len(values) > 1 else {}
    return numbers | {"mean": interval.estimate} | ends


def with_best(
    table: pd.DataFrame, along: str, among: Iterable[str], digits: int, higher: bool
) -> pd.DataFrame:
    """The table with a column `best`: whether a cell is the best of its row or column, to the digit shown.

    All that tie are. None is best while one of those it is compared with has no seed at all.

    Args:
        table: as returned by `summarised`.
        along: "row", "column" or "none".
        among: keys of the columns that can be the best.
        digits: how many are shown after the decimal point.
        higher: whether the higher of two is the better one.
    """
    among = list(among)
    competing = table["column"].isin(among) if among else pd.Series(True, table.index)
    marked = pd.Series(False, table.index)
    if along != "none":
        keys = ["section", "row"] if along == "row" else ["section", "column"]
        for _, own in table.groupby(keys, sort=False):
            marked[own.index] = best(own, competing[own.index], digits, higher)
    return table.assign(best=marked)


def best(cells: pd.DataFrame, competing: pd.Series, digits: int = 1, higher: bool = True) -> np.ndarray:
    """Which of some cells are the best, to the digit shown: [cells].

    Args:
        cells: with the columns `mean`, `seeds` and `missing`.
        competing: which of them can be: [cells].
        digits, higher: as in `with_best`.
    """
    there = competing & (cells["seeds"] + cells["missing"] > 0)
    if not there.any() or (cells.loc[there, "seeds"] == 0).any():
        return np.zeros(len(cells), bool)
    shown = cells["mean"].map(lambda mean: float(f"{mean:.{digits}f}"))
    known = shown[there]
    best: np.ndarray = (there & (shown == (known.max() if higher else known.min()))).to_numpy()
    return best
