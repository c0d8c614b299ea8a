"""Table 1, measured, beside Table 1, published."""

from math import nan

import pandas as pd

from analysis.layout import shown
from analysis.paper import COLUMNS, PUBLISHED_SEEDS, SECTIONS, published
from analysis.render import Cell, Section, Table
from analysis.statistics import Interval, Sample, contrast

ROUNDING = 0.05
"""The published figures have one decimal."""

EXPLANATION = (
    "Within: whether the difference is one that seeds explain, by Welch's 95 % interval for two means whose "
    f"seeds scatter as both standard deviations say (the published over {PUBLISHED_SEEDS} seeds). Published "
    "figures are taken as far off as rounding to one decimal allows, so that a cell outside is outside "
    "however they were rounded. Of 100 cells that agree, about 5 lie outside by chance. A cell is judged "
    "from 2 seeds on."
)


def compare(table: pd.DataFrame) -> pd.DataFrame:
    """A row per cell that the paper has.

    Columns:
        section, network, replacement, mean, std, seeds, missing: ours, as in `analysis.grid`.
        published_mean, published_std: in percent and percentage points; population standard deviation.
        difference: ours less published, in percentage points.
        explained: the largest difference, in percentage points, that seeds and rounding explain (95 %).
        within: whether the published mean lies within that; missing where there are fewer than 2 seeds.

    Args:
        table: as from `analysis.grid`.
    """
    theirs = published().rename(columns={"mean": "published_mean", "std": "published_std"})
    both = table.merge(theirs, on=["section", "network", "replacement"], how="left")
    both = both.dropna(subset="published_mean").reset_index(drop=True)
    both["difference"] = both["mean"] - both["published_mean"]
    both["explained"] = both.apply(_explained, axis=1)
    judged = both["explained"].notna()
    both["within"] = (both["difference"].abs() <= both["explained"]).astype("boolean").where(judged)
    ours = ["section", "network", "replacement", "mean", "std", "seeds", "missing"]
    return both[[*ours, "published_mean", "published_std", "difference", "explained", "within"]]


def _explained(cell: pd.Series) -> float:
    """Half the length of the interval of the difference, from sample standard deviations of both sides."""
    if cell["seeds"] < 2:
        return nan
    largest = cell["published_std"] + ROUNDING
    difference = contrast([(1, _sample(cell["mean"], cell["std"], int(cell["seeds"]))),
                           (-1, _sample(cell["published_mean"], largest, PUBLISHED_SEEDS))])  # fmt: skip
    return _half(difference.widened(ROUNDING))


def _sample(mean: float, population_std: float, seeds: int) -> Sample:
    return Sample(mean, population_std**2 * seeds / (seeds - 1), seeds)


def _half(interval: Interval) -> float:
    return (interval.high - interval.low) / 2


def comparison(compared: pd.DataFrame) -> Table:
    """The comparison, cell by cell.

    Args:
        compared: as from `compare`.
    """
    sections = [
        Section(title, [_line(cell) for _, cell in compared[compared["section"] == section].iterrows()])
        for section, title in SECTIONS.items()
    ]
    inside, outside = (int((compared["within"] == answer).sum()) for answer in (True, False))
    count = (
        f"Of {len(compared)} cells, {inside} lie within what seeds explain, {outside} outside, and "
        f"{len(compared) - inside - outside} cannot be judged."
    )
    columns = ["Network", "Replaced", "Ours", "Published", "Difference", "Seeds explain", "Within"]
    return Table(columns, sections, [count, EXPLANATION])


def _line(cell: pd.Series) -> list[Cell]:
    unknown = pd.isna(cell["within"])
    values = [
        cell["network"],
        COLUMNS[cell["replacement"]],
        shown(cell),
        f"{cell['published_mean']:.1f} ± {cell['published_std']:.1f}",
        "–" if cell["seeds"] == 0 else f"{round(cell['difference'], 1) + 0.0:+.1f}",
        "–" if unknown else f"± {cell['explained']:.1f}",
        "–" if unknown else "yes" if cell["within"] else "no",
    ]
    return [Cell(value) for value in values]
